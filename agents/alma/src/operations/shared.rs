//! What several operations need.

use crate::{Alma, Error};
use charter::content::ContentRef;
use charter::ids::{MissionId, Principal, StepKey};
use charter::plan::Plan;
use charter::ports::{LedgerExt, Query};
use charter::rows::{MissionRow, StepRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sons_of_helaman::StepError;

/// Rows read at a time.
const PAGE: u32 = 500;

/// No fields.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// How many rows a list gives unless asked otherwise, and at most.
pub(crate) fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(50).clamp(1, 10_000)
}

impl Alma {
    pub(crate) async fn json_of<T: DeserializeOwned>(
        &self,
        principal: &Principal,
        reference: &ContentRef,
        what: &'static str,
    ) -> Result<T, Error> {
        Ok(self.ledger().content(&principal.tenant, &reference.id).await?.json(what)?)
    }

    pub(crate) async fn text_of(
        &self,
        principal: &Principal,
        reference: &ContentRef,
    ) -> Result<String, Error> {
        Ok(self.ledger().content(&principal.tenant, &reference.id).await?.text())
    }

    pub(crate) async fn plan_of(
        &self,
        principal: &Principal,
        mission: &MissionRow,
    ) -> Result<Plan, Error> {
        self.json_of(principal, &mission.plan, "a plan").await
    }

    /// All steps of a mission, the report last, without instances; or the
    /// instances of one step.
    pub(crate) async fn all_steps(
        &self,
        principal: &Principal,
        mission: &MissionId,
        items_of: Option<u32>,
    ) -> Result<Vec<StepRow>, Error> {
        let mut all: Vec<StepRow> = Vec::new();
        loop {
            let query = Query::Steps {
                mission: mission.clone(),
                state: None,
                items_of,
                after: all.last().map(|row| row.key.clone()),
                limit: PAGE,
            };
            let page = self.ledger().steps(&principal.tenant, query).await?;
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                all.sort_by_key(|row| (row.key.n == 0, row.key.n, row.key.item));
                return Ok(all);
            }
        }
    }
}

/// What was read, unless it is forgotten.
pub(crate) fn there<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What stands where a text was forgotten.
pub(crate) const FORGOTTEN: &str = "(forgotten)";

/// A dead step, for people.
#[derive(Debug, Serialize)]
pub struct DeadLetter {
    /// The step.
    pub step: StepKey,
    /// What the user asked for.
    pub wish: String,
    /// What the step was to do.
    pub title: String,
    /// The tool; empty for a report, and where the plan was forgotten.
    pub tool: String,
    /// Its inputs as planned.
    pub args: Value,
    /// Why it is dead.
    pub cause: Option<charter::event::DeathCause>,
    /// What happened, and what to do about it.
    pub error: Option<StepError>,
    /// Tries that failed.
    pub failures: u32,
    /// Tries that ended without a word.
    pub lost: u32,
    /// Resources used.
    pub usage: charter::budget::Usage,
}

/// Describes a dead step.
pub(crate) async fn dead_letter(
    alma: &Alma,
    principal: &Principal,
    row: &StepRow,
) -> Result<DeadLetter, Error> {
    let mission = alma.ledger().mission(&principal.tenant, &row.key.mission).await?;
    let plan = there(alma.plan_of(principal, &mission).await)?;
    let step = plan.as_ref().and_then(|plan| plan.step(row.key.n));
    let error = match &row.error {
        Some(error) => there(alma.json_of(principal, error, "an error").await)?,
        None => None,
    };
    Ok(DeadLetter {
        step: row.key.clone(),
        wish: alma.spoken(principal, &mission.wish).await?,
        title: match (step, row.key.n) {
            (Some(step), _) => step.title.clone(),
            (None, 0) => "report".to_owned(),
            (None, _) => FORGOTTEN.to_owned(),
        },
        tool: step.map_or_else(String::new, |step| step.tool.clone()),
        args: step.map_or(Value::Null, |step| step.args.clone()),
        cause: row.cause,
        error,
        failures: row.failures,
        lost: row.lost,
        usage: row.usage,
    })
}
