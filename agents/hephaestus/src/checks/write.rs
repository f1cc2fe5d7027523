//! `write`: the file on disk is byte for byte the text of the arguments.

use super::landed::{only, path, written};
use super::{Finding, equal, verdict};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("write", "the file holds exactly the given text", found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let path = path(subject, "path")?;
    let text = subject.args.get("text").and_then(|text| text.as_str());
    let text = text.ok_or_else(|| Finding::Unsure("the arguments have no text".into()))?;
    written(workspace, only(subject)?, &path, text.as_bytes())?;
    equal(&subject.output, "path", path.as_str())?;
    equal(&subject.output, "bytes", text.len())?;
    Ok(format!("{path:?}: all {} bytes are equal", text.len()))
}
