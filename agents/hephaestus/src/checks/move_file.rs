//! `move`: the old name is free, the new one holds what the old one held.

use super::landed::{holds, is_gone, only, path};
use super::{Finding, equal, verdict, wrong};
use crate::tools::move_file::NUMBERS_MAX;
use crate::workspace::{Workspace, paths};
use charter::check::{Subject, Verdict};
use charter::effect::{Change, TargetState};

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("move", "it stands under its new name, unchanged", found(subject, workspace))]
}

/// Whether it is one of the wanted names with a number, where numbers are wanted.
fn is_numbered(subject: &Subject, to: &str) -> bool {
    let (Ok(from), Ok(named)) = (path(subject, "from"), path(subject, "to")) else {
        return false;
    };
    let inside = paths::join(&named, paths::split(&from).1);
    subject.args.get("if_taken").is_some_and(|taken| taken == "number")
        && (2..NUMBERS_MAX)
            .any(|number| [&named, &inside].iter().any(|name| to == paths::numbered(name, number)))
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let (from, named) = (path(subject, "from")?, path(subject, "to")?);
    let inside = paths::join(&named, paths::split(&from).1);
    if subject.changes.is_empty() && (from == named || from == inside) {
        workspace.meta(&from)?.ok_or_else(|| Finding::Wrong(format!("{from:?} is not there")))?;
        equal(&subject.output, "from", from.as_str())?;
        equal(&subject.output, "to", from.as_str())?;
        return Ok(format!("{from:?} already stood there"));
    }
    let proposed = only(subject)?;
    let to = match &proposed.change {
        Change::Move { from: moved, to }
            if *moved == from && (*to == named || *to == inside || is_numbered(subject, to)) =>
        {
            to
        }
        other => return wrong(format!("instead of moving {from:?} to {named:?} it did: {other}")),
    };
    let ends_in_slash =
        subject.args.get("to").and_then(|to| to.as_str()).is_some_and(|to| to.ends_with('/'));
    if ends_in_slash && *to != inside && !is_numbered(subject, to) {
        return wrong(format!("it was not moved into the folder {named:?}"));
    }
    let [before, target] = proposed.before.as_slice() else {
        return wrong("what was there before is not recorded");
    };
    if target.state != TargetState::Absent {
        return wrong(format!("{to:?} was not free"));
    }
    is_gone(workspace, &from)?;
    holds(workspace, to, &before.state)?;
    equal(&subject.output, "from", from.as_str())?;
    equal(&subject.output, "to", to.as_str())?;
    Ok(match &before.state {
        TargetState::File { sha256, bytes } => {
            format!("{to:?} has the recorded hash {} and {bytes} bytes", sha256.short())
        }
        _ => format!("the folder stands at {to:?}"),
    })
}
