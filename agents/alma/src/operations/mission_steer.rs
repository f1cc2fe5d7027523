//! Changes the course of a mission that has not ended, in words: "only the ones of
//! 2025", "write it to summary.md". What the words leave open stays as it was
//! wished; finished steps are carried over.

use super::{plan_edit, plan_new};
use crate::talk::focus::{self, Focus};
use crate::talk::route::Router;
use crate::{Alma, Error};
use charter::ids::{MissionId, Principal};
use charter::ports::LedgerExt;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The mission, and where it is to go.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
    /// The words.
    pub words: String,
}

/// The course from here on.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The wish as it is understood now.
    pub wish: String,
    /// What was taken for what.
    pub notes: Vec<String>,
    /// The child plan in force.
    #[serde(flatten)]
    pub plan: plan_edit::Response,
}

/// Steers.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.ledger().mission(&principal.tenant, &request.mission).await?;
    if row.state.is_end() {
        return Err(Error::Conflict(format!(
            "mission {} is {}: it can no longer be steered; submit a new mission",
            row.id, row.state
        )));
    }
    let workspace = PathBuf::from(alma.text_of(principal, &row.workspace).await?);
    let wish = alma.text_of(principal, &row.wish).await?;
    let survey = alma.tools().survey(&workspace).await?;
    let names: Vec<String> =
        survey.entries.into_iter().filter(|entry| !entry.folder).map(|entry| entry.path).collect();
    let mut spoken_of = Focus::default();
    spoken_of.after(row.id.clone(), &wish, names.clone(), alma.now());
    let router = Router::shipped().map_err(|error| Error::Machine {
        operation: "read the words of the conversation".to_owned(),
        cause: error.to_string(),
    })?;
    let playbooks = alma.installation.playbooks()?;
    let speeches = router.speeches();
    let resolved = focus::resolve(&request.words, &spoken_of, &names, playbooks.lexicon, speeches);
    if let Some(question) = resolved.question {
        return Err(Error::Usage(question));
    }
    let wanted = plan_new::Request {
        workspace,
        words: Some(resolved.words.clone()),
        file: None,
        budget: Some(row.budget.clone()),
        priority: None,
    };
    let planned = plan_new::run(alma, principal, wanted).await?;
    let plan = plan_edit::instead(alma, principal, &row.id, planned.plan, "steered by a person");
    let mut notes = resolved.notes;
    notes.extend(planned.notes);
    Ok(Response { wish: resolved.words, notes, plan: plan.await? })
}
