//! The checks, one file per tool. A check recomputes a tool's claim from the
//! sources and the disk, by another route than the tool's own code, and says
//! what it compared. What it cannot tell it calls not verified.

mod again;
mod brief;
mod compare;
mod compose;
mod convert;
mod count;
mod decisions;
mod delete;
mod extract;
mod hash;
mod landed;
mod list;
mod mailbox;
mod move_file;
mod novelties;
mod pack;
mod project;
mod quoted;
mod read;
mod replace;
mod run;
mod search;
mod summarise;
mod table;
mod tally;
mod unpack;
mod write;

use crate::sandbox::Sandbox;
use crate::workspace::Workspace;
use charter::check::{Outcome, Subject, Verdict};
use charter::excerpt::Excerpts;
use charter::tool::{Cancel, ToolError};
use serde_json::Value;
use std::sync::Arc;

/// Looks at one result. The workspace is the mission's.
pub type Check = fn(&Subject, &Workspace) -> Vec<Verdict>;

/// Looks at one result of a tool that quotes.
pub type QuoteCheck = fn(&Subject, &Workspace, &dyn Excerpts) -> Vec<Verdict>;

/// What checks need beyond the disk.
#[derive(Clone, Default)]
pub(crate) struct Means {
    /// Where programs are run again.
    pub(crate) sandbox: Option<Arc<Sandbox>>,
    /// How texts are read and quoted again.
    pub(crate) excerpts: Option<Arc<dyn Excerpts>>,
}

/// Why a claim is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is wrong.
    Wrong(String),
    /// Nothing here can tell.
    Unsure(String),
}

impl From<ToolError> for Finding {
    /// What cannot be looked at cannot be judged.
    fn from(error: ToolError) -> Self {
        Self::Unsure(error.to_string())
    }
}

/// The claim is wrong.
pub(crate) fn wrong<T>(why: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Wrong(why.into()))
}

/// The verdict on a claim: the evidence for it, or what was found instead.
pub(crate) fn verdict(
    check: &str,
    claim: impl Into<String>,
    found: Result<String, Finding>,
) -> Verdict {
    match found {
        Ok(evidence) => Verdict::verified(check, claim, evidence),
        Err(Finding::Wrong(why)) => Verdict::failed(check, claim, why),
        Err(Finding::Unsure(why)) => Verdict::not_verified(check, claim, why),
    }
}

/// A field of the output that must be there.
pub(crate) fn field<'v>(output: &'v Value, name: &str) -> Result<&'v Value, Finding> {
    output.get(name).ok_or_else(|| Finding::Wrong(format!("the output has no {name:?}")))
}

/// A field of the output that must hold a list.
pub(crate) fn list<'v>(output: &'v Value, name: &str) -> Result<&'v [Value], Finding> {
    let value = field(output, name)?;
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| Finding::Wrong(format!("{name:?} in the output is no list")))
}

/// A field of the output that must equal what was found.
pub(crate) fn equal(output: &Value, name: &str, found: impl Into<Value>) -> Result<(), Finding> {
    let (told, found) = (field(output, name)?, found.into());
    if *told == found {
        return Ok(());
    }
    wrong(format!("{name:?} is told as {}, found is {}", short(told), short(&found)))
}

/// A value, cut to a bearable length.
pub(crate) fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 120 {
        return text;
    }
    text.chars().take(120).chain(['…']).collect()
}

/// All verdicts on a result; `None` where no check belongs to its tool. What a
/// program did is known from its run alone, so it is run again in the sandbox.
pub(crate) fn all(
    subject: &Subject,
    workspace: &Workspace,
    means: &Means,
    cancel: &Cancel,
) -> Option<Vec<Verdict>> {
    if let Some(check) = of_quotes(&subject.tool) {
        // Without a reader nothing can be said.
        return Some(
            means
                .excerpts
                .as_deref()
                .map_or_else(Vec::new, |excerpts| check(subject, workspace, excerpts)),
        );
    }
    let mut verdicts = of(&subject.tool)?(subject, workspace);
    let is_wrong = verdicts.iter().any(|verdict| verdict.outcome == Outcome::Failed);
    if subject.tool == "run" && !is_wrong {
        verdicts.push(again::check(subject, workspace, means.sandbox.as_deref(), cancel));
    }
    Some(verdicts)
}

/// The check that belongs to a tool that quotes.
pub fn of_quotes(tool: &str) -> Option<QuoteCheck> {
    let check: QuoteCheck = match tool {
        "brief" => brief::check,
        "decisions" => decisions::check,
        "mailbox" => mailbox::check,
        "novelties" => novelties::check,
        "summarise" => summarise::check,
        _ => return None,
    };
    Some(check)
}

/// The check that belongs to a tool, as far as it needs nothing but the disk.
pub fn of(tool: &str) -> Option<Check> {
    let check: Check = match tool {
        "compare" => compare::check,
        "compose" => compose::check,
        "convert" => convert::check,
        "count" => count::check,
        "delete" => delete::check,
        "extract" => extract::check,
        "hash" => hash::check,
        "list" => list::check,
        "move" => move_file::check,
        "pack" => pack::check,
        "project" => project::check,
        "read" => read::check,
        "replace" => replace::check,
        "run" => run::check,
        "search" => search::check,
        "table" => table::check,
        "unpack" => unpack::check,
        "write" => write::check,
        _ => return None,
    };
    Some(check)
}
