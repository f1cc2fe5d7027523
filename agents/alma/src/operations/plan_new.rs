//! Plans a wish, or reads a mission file, and shows the plan.

use crate::calendar::today;
use crate::error::Refusal;
use crate::{Alma, Error, model_plan};
use charter::digest::Digest;
use charter::flow::Priority;
use charter::ids::Principal;
use charter::plan::Plan;
use jiff::civil::Date;
use moroni::lint::Severity;
use moroni::{Planned, Request as Wish};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Longest wish, in bytes.
pub const WORDS_BYTES_MAX: usize = 64 << 10;

/// A wish in words, or the text of a mission file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The folder to work in. Absolute.
    pub workspace: PathBuf,
    /// The user's words.
    #[serde(default)]
    pub words: Option<String>,
    /// The text of a mission file.
    #[serde(default)]
    pub file: Option<String>,
    /// Upper bounds that go before the configured ones.
    #[serde(default)]
    pub budget: Option<charter::budget::Budget>,
    /// How urgent it is, whatever the mission file says; `normal` where neither does.
    #[serde(default)]
    pub priority: Option<Priority>,
}

/// A plan that was not accepted yet.
#[derive(Debug, Clone, Serialize)]
pub struct Response {
    /// The plan.
    pub plan: Plan,
    /// Its digest: what `--approve-plan=` names.
    pub digest: Digest,
    /// The plan as text.
    pub text: String,
    /// Why this plan: rule and likeness, or the file.
    pub reason: String,
    /// What the user should know, for instance a corrected file name.
    pub notes: Vec<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// The playbooks that meet it, with the values of their slots; none where a file or
    /// a language model made the plan.
    pub parts: Vec<Filled>,
}

/// A playbook that meets a part of a wish.
#[derive(Debug, Clone, Serialize)]
pub struct Filled {
    /// Its name.
    pub playbook: String,
    /// The words that it meets.
    pub words: String,
    /// The values of its slots.
    pub slots: BTreeMap<String, Value>,
}

/// Plans; changes nothing.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let today = today(alma.now())?;
    plan_on(alma, principal, request, today).await
}

/// Plans as of a day.
pub(crate) async fn plan_on(
    alma: &Alma,
    principal: &Principal,
    request: Request,
    today: Date,
) -> Result<Response, Error> {
    let specs = alma.specs();
    let mut priority = request.priority;
    let (mut plan, reason, notes, parts) = match (&request.words, &request.file) {
        (Some(words), None) => {
            let words = words.trim();
            if words.is_empty() {
                return Err(Error::Usage(
                    "there is no wish: say in a few words what you want done".to_owned(),
                ));
            }
            if words.len() > WORDS_BYTES_MAX {
                return Err(Error::Usage(format!(
                    "the wish has {} bytes, more than {WORDS_BYTES_MAX}: put long texts into files",
                    words.len()
                )));
            }
            let survey = alma.tools().survey(&request.workspace).await?;
            let reflex = alma.installation.reflex();
            let planned = moroni::plan(&Wish {
                reflex: reflex.as_deref(),
                words,
                survey: &survey,
                playbooks: alma.installation.playbooks()?.as_ref(),
                specs: &specs,
                today,
                budget: alma.config.budget.clone(),
            });
            match planned {
                Planned::Plan { plan, reason, notes, parts } => {
                    let filled = |part: moroni::Part| Filled {
                        playbook: part.playbook,
                        words: part.words,
                        slots: part.slots,
                    };
                    (plan, reason, notes, parts.into_iter().map(filled).collect())
                }
                Planned::Refused(refused) => {
                    let fits = refused.fits;
                    let refusal = Refusal {
                        message: refused.message,
                        missing: refused.missing,
                        nearest: refused.nearest,
                    };
                    match alma.model(principal) {
                        Some(model) if !fits => {
                            let made = model_plan::plan(
                                model,
                                words,
                                survey,
                                &specs,
                                &alma.config.budget,
                                refusal,
                            );
                            let made = made.await?;
                            (made.plan, made.reason, Vec::new(), Vec::new())
                        }
                        _ => return Err(Error::Refused(refusal)),
                    }
                }
            }
        }
        (None, Some(text)) => {
            let (plan, own) = moroni::mission_file::compile(text, &specs)
                .map_err(|error| Error::Usage(error.to_string()))?;
            priority = priority.or(own);
            (plan, "the mission file".to_owned(), Vec::new(), Vec::new())
        }
        _ => {
            return Err(Error::Usage("give either words or a mission file".to_owned()));
        }
    };
    if let Some(budget) = request.budget {
        plan.budget = budget;
    }
    let wrong: Vec<String> = moroni::lint::lint(&plan, &specs)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.to_string())
        .collect();
    if !wrong.is_empty() {
        return Err(Error::Usage(format!("the plan is not sound: {}", wrong.join("; "))));
    }
    let digest = plan.digest()?;
    let (text, priority) = (moroni::render::plan(&plan), priority.unwrap_or_default());
    Ok(Response { text, digest, plan, reason, notes, priority, parts })
}
