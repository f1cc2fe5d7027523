//! `replace`: what was to be replaced is gone, and turning the replacements back
//! gives the recorded content of before where that is unambiguous.

use super::landed::{bytes, path, same};
use super::{Finding, equal, field, verdict, wrong};
use crate::args::parse;
use crate::tools::replace::Args;
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::digest::Digest;
use charter::effect::{Change, TargetState};

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict(
        "replace",
        "every place was replaced, and nothing else changed",
        found(subject, workspace),
    )]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let path = path(subject, "path")?;
    equal(&subject.output, "path", path.as_str())?;
    let Some(told) = field(&subject.output, "replacements")?.as_u64() else {
        return wrong("the told number of replacements is no number");
    };
    let on_disk = bytes(workspace, &path)?;
    let Ok(now) = String::from_utf8(on_disk) else {
        return wrong(format!("{path:?} is not UTF-8 text any more"));
    };
    let regex = args.regex()?;
    let places = |text: &str| match &regex {
        Some(regex) => regex.find_iter(text).count(),
        None => text.matches(&args.find).count(),
    };
    let (payload, before) = match subject.changes.as_slice() {
        [] if told == 0 && places(&now) == 0 => {
            return Ok(format!("{path:?} holds no place to replace"));
        }
        [] => return wrong(format!("nothing was written, and {} places remain", places(&now))),
        [one] => match (&one.change, one.before.first().map(|target| &target.state)) {
            (
                Change::Write { path: written, bytes, .. },
                Some(TargetState::File { sha256, bytes: size }),
            ) if *written == path => (bytes, (*sha256, *size)),
            (other, _) => return wrong(format!("instead of writing {path:?} it did: {other}")),
        },
        more => return wrong(format!("{} changes were made instead of one", more.len())),
    };
    same(now.as_bytes(), payload)
        .or_else(|why| wrong(format!("{path:?} holds something else than was recorded: {why}")))?;
    if told == 0 {
        return wrong("a change was made although nothing was told to be replaced");
    }
    let left = places(&now);
    if regex.is_some() {
        return if left == 0 {
            Err(Finding::Unsure(format!(
                "no place fits the pattern any more; that {told} were there cannot be told afterwards"
            )))
        } else {
            Err(Finding::Unsure(format!(
                "{left} places fit the pattern, perhaps only since they were replaced"
            )))
        };
    }
    // Lengths are known on both sides, so the number of replacements is too.
    let grown = told as i128 * (args.with.len() as i128 - args.find.len() as i128);
    if now.len() as i128 - before.1 as i128 != grown {
        return wrong(format!(
            "{told} replacements make {grown} bytes of difference, found are {}",
            now.len() as i128 - before.1 as i128
        ));
    }
    if !args.with.is_empty() && now.matches(&args.with).count() as u64 == told {
        let back = now.replace(&args.with, &args.find);
        return if Digest::of(back.as_bytes()) == before.0 {
            Ok(format!("turning the {told} replacements back gives the content of before"))
        } else {
            wrong("turning the replacements back does not give the content of before")
        };
    }
    if left > 0 && !args.with.contains(&args.find) {
        return wrong(format!("{left} places remain"));
    }
    if (now.matches(&args.with).count() as u64) < told {
        return wrong(format!("{:?} does not stand there {told} times", args.with));
    }
    if args.with.len() == args.find.len() {
        return Err(Finding::Unsure(
            "the new text stood there before too, so the replacements cannot be counted".into(),
        ));
    }
    Ok(format!("no place remains, and the size differs by exactly {told} replacements"))
}
