//! `unpack`: reads the archive again and compares each member with the file on
//! disk.

use super::landed::{bytes, path, same};
use super::{Finding, equal, list, verdict, wrong};
use crate::archive::{each_member, member_bytes};
use crate::tool::PAYLOAD_MAX;
use crate::workspace::{Workspace, paths};
use charter::check::{Subject, Verdict};
use charter::effect::Change;
use std::collections::BTreeSet;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict(
        "unpack",
        "every file of the archive is on disk with its content",
        found(subject, workspace),
    )]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let (archive, to) = (path(subject, "path")?, path(subject, "to")?);
    let mut wanted = BTreeSet::new();
    let mut first = None;
    each_member(workspace, &archive, &mut |member, from| {
        let content = member_bytes(&archive, &member, from, PAYLOAD_MAX as u64)?;
        let file = paths::join(&to, &member.path);
        if first.is_none() {
            let found = bytes(workspace, &file).and_then(|found| {
                same(&found, &content)
                    .or_else(|why| wrong(format!("{file:?} holds something else: {why}")))
            });
            first = found.err();
        }
        wanted.insert(file);
        Ok(())
    })?;
    if let Some(finding) = first {
        return Err(finding);
    }
    for proposed in &subject.changes {
        match &proposed.change {
            Change::Write { path, .. } if wanted.contains(path) => {}
            other => return wrong(format!("it also did: {other}")),
        }
    }
    if subject.changes.len() != wanted.len() {
        return wrong(format!("{} changes for {} files", subject.changes.len(), wanted.len()));
    }
    let told: Vec<&str> =
        list(&subject.output, "files")?.iter().filter_map(|file| file.as_str()).collect();
    if !told.iter().copied().eq(wanted.iter().map(String::as_str)) {
        return wrong("the told files are not those of the archive");
    }
    equal(&subject.output, "count", wanted.len())?;
    Ok(format!("{} files compared with the archive, all equal", wanted.len()))
}
