//! Sends many dead steps round again, or takes them off the desk: all of them, or
//! those of a mission, a tool, a cause. With `dry_run` it only counts.

use super::shared::limit;
use crate::desk::{self, Filter};
use crate::{Alma, Error};
use charter::event::DeathCause;
use charter::ids::{MissionId, Principal, StepKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Dead steps that one request moves, unless it asks for fewer.
const MOVED_MAX: u32 = 1_000;
/// Reasons for what was left that are told.
const LEFT_TOLD_MAX: usize = 20;

/// What is done with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It goes round again.
    Requeue,
    /// It is taken off the desk for good.
    Discard,
}

/// Which steps, and what is done with them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is done.
    pub what: What,
    /// Only of this mission.
    #[serde(default)]
    pub mission: Option<MissionId>,
    /// Only those of this tool.
    #[serde(default)]
    pub tool: Option<String>,
    /// Only those that died of this.
    #[serde(default)]
    pub cause: Option<DeathCause>,
    /// How many at most; 1000 unless given, and never more.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
    /// How many were counted before: another number now is refused.
    #[serde(default)]
    pub expect: Option<u32>,
}

/// What became of them.
#[derive(Debug, Serialize)]
pub struct Response {
    /// What was to be done.
    pub what: What,
    /// How many fit.
    pub count: u32,
    /// How many of each cause, among the first of them.
    pub causes: BTreeMap<String, u32>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// What was moved.
    pub steps: Vec<StepKey>,
    /// What was not moved, and why.
    pub left: Vec<String>,
}

/// Moves them.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let filter = Filter { mission: request.mission, tool: request.tool, cause: request.cause };
    let most = limit(request.limit.or(Some(MOVED_MAX))).min(MOVED_MAX);
    let found = desk::find(alma, principal, &filter, most).await?;
    if let Some(expected) = request.expect.filter(|expected| *expected != found.count) {
        return Err(Error::Conflict(format!(
            "{} dead steps fit now, and {expected} did when they were counted; look again",
            found.count
        )));
    }
    let mut causes = BTreeMap::new();
    for letter in &found.letters {
        let cause = letter.cause.map_or("unknown", DeathCause::as_str);
        *causes.entry(cause.to_owned()).or_default() += 1;
    }
    let mut keys: Vec<StepKey> = found.letters.into_iter().map(|letter| letter.step).collect();
    // An instance before its step: with the instance, the step goes on by itself.
    keys.sort_by_key(|key| key.item == 0);
    let mut response = Response {
        what: request.what,
        count: found.count,
        causes,
        dry_run: request.dry_run,
        steps: Vec::new(),
        left: Vec::new(),
    };
    if request.dry_run {
        return Ok(response);
    }
    for key in keys {
        match moved(alma, principal, &key, request.what).await {
            Ok(()) => response.steps.push(key),
            // It was moved meanwhile, or its mission was stopped.
            Err(Error::NotFound(why) | Error::Conflict(why)) => {
                if response.left.len() < LEFT_TOLD_MAX {
                    response.left.push(format!("{key}: {why}"));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(response)
}

async fn moved(alma: &Alma, principal: &Principal, key: &StepKey, what: What) -> Result<(), Error> {
    let row = desk::dead(alma, principal, key).await?;
    match what {
        What::Requeue => desk::requeue(alma, principal, &row).await.map(|_| ()),
        What::Discard => desk::discard(alma, principal, &row).await,
    }
}
