//! `pack`: reads the archive back from the disk and compares each member with
//! its file.

use super::landed::{bytes, only, path};
use super::{Finding, equal, list, verdict, wrong};
use crate::archive::each_member;
use crate::args::parse;
use crate::error::io;
use crate::tools::pack::Args;
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::digest::Digest;
use charter::effect::TargetState;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict(
        "pack",
        "the archive holds every file, each with its content",
        found(subject, workspace),
    )]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let to = path(subject, "to")?;
    let proposed = only(subject)?;
    if proposed.change.paths() != [to.as_str()] {
        return wrong(format!("instead of writing {to:?} it did: {}", proposed.change));
    }
    let size = bytes(workspace, &to)?.len();
    let mut packed: BTreeMap<String, TargetState> = BTreeMap::new();
    each_member(workspace, &to, &mut |member, from| {
        let (sha256, bytes) = hash(&member.path, from)?;
        packed.insert(member.path, TargetState::File { sha256, bytes });
        Ok(())
    })
    .or_else(|error| wrong(format!("the archive cannot be read back: {error}")))?;
    let files: Vec<String> = workspace
        .walk(&args.files)?
        .files
        .into_iter()
        .map(|file| file.path)
        .filter(|file| *file != to)
        .collect();
    for file in &files {
        match packed.get(file) {
            None => return wrong(format!("{file:?} is not in the archive")),
            Some(state) if *state != workspace.state(file)? => {
                return wrong(format!("{file:?} has another content in the archive"));
            }
            Some(_) => {}
        }
    }
    if packed.len() != files.len() {
        return wrong(format!("{} entries for {} files", packed.len(), files.len()));
    }
    let told: Vec<&str> =
        list(&subject.output, "entries")?.iter().filter_map(|entry| entry.as_str()).collect();
    if told != files {
        return wrong("the told entries are not the packed ones");
    }
    equal(&subject.output, "path", to.as_str())?;
    equal(&subject.output, "bytes", size)?;
    Ok(format!("{to:?}: {} files read back, all hashes equal", files.len()))
}

fn hash(name: &str, from: &mut dyn Read) -> Result<(Digest, u64), charter::tool::ToolError> {
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = from.read(&mut buffer).map_err(|error| io("read back", name, &error))?;
        if n == 0 {
            return Ok((Digest(hash.finalize().into()), size));
        }
        hash.update(buffer.get(..n).unwrap_or_default());
        size += n as u64;
    }
}
