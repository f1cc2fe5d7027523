//! `hash`: copies are compared byte by byte, files that are no copies differ in
//! size or hash, and nothing is left out.

use super::{Finding, equal, list, short, verdict, wrong};
use crate::args::parse;
use crate::tools::hash::Args;
use crate::workspace::{Reading, Workspace};
use charter::check::{Subject, Verdict};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    let claim = match subject.args.get("duplicates").and_then(Value::as_bool) {
        Some(true) => "the groups are all files with the same content, and only those",
        _ => "every file is listed with its hash",
    };
    vec![verdict("hash", claim, found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let output = &subject.output;
    let rows = list(output, "rows")?;
    equal(output, "count", rows.len())?;
    let files = workspace.walk(&args.files)?.files;
    equal(output, "files", files.len())?;
    let mut sizes = HashMap::new();
    for file in &files {
        let meta = std::fs::metadata(workspace.path().join(&file.path));
        let bytes =
            meta.map_err(|error| Finding::Unsure(format!("{:?}: {error}", file.path)))?.len();
        sizes.insert(file.path.as_str(), bytes);
    }
    if args.duplicates {
        copies(output, rows, &sizes, workspace)
    } else {
        each(rows, &sizes, workspace)
    }
}

fn open(workspace: &Workspace, path: &str) -> Result<Reading, Finding> {
    workspace.open_unseen(path).map_err(|error| Finding::Unsure(error.to_string()))
}

fn hash(workspace: &Workspace, path: &str) -> Result<String, Finding> {
    let mut file = open(workspace, path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(n) => hash.update(buffer.get(..n).unwrap_or_default()),
            Err(error) => return Err(Finding::Unsure(format!("{path:?}: {error}"))),
        }
    }
}

fn text<'r>(row: &'r Value, name: &str) -> &'r str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn each(
    rows: &[Value],
    sizes: &HashMap<&str, u64>,
    workspace: &Workspace,
) -> Result<String, Finding> {
    let mut listed: BTreeMap<&str, &Value> = BTreeMap::new();
    for row in rows {
        listed.insert(text(row, "file"), row);
    }
    if listed.len() != rows.len() || listed.len() != sizes.len() {
        return wrong(format!(
            "{} files are listed in {} rows, there are {}",
            listed.len(),
            rows.len(),
            sizes.len()
        ));
    }
    for (path, row) in listed {
        let Some(bytes) = sizes.get(path) else {
            return wrong(format!("{path:?} is listed and is none of the files"));
        };
        equal(row, "bytes", *bytes)?;
        equal(row, "sha256", hash(workspace, path)?)?;
    }
    Ok(format!("{} files hashed again, all hashes and sizes are equal", rows.len()))
}

fn copies(
    output: &Value,
    rows: &[Value],
    sizes: &HashMap<&str, u64>,
    workspace: &Workspace,
) -> Result<String, Finding> {
    let mut wasted = 0u64;
    let mut group_of: HashMap<&str, usize> = HashMap::new();
    let mut hashes: Vec<(u64, String)> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let files: Vec<&str> = list(row, "files")?.iter().filter_map(Value::as_str).collect();
        let Some((first, others)) = files.split_first().filter(|(_, others)| !others.is_empty())
        else {
            return wrong(format!("{} is no group of copies", short(row)));
        };
        equal(row, "copies", files.len())?;
        for file in &files {
            let Some(bytes) = sizes.get(file) else {
                return wrong(format!("{file:?} is listed and is none of the files"));
            };
            equal(row, "bytes", *bytes)?;
            if group_of.insert(file, i).is_some() {
                return wrong(format!("{file:?} is listed twice"));
            }
        }
        for other in others {
            if !alike(open(workspace, first)?, open(workspace, other)?)? {
                return wrong(format!("{first:?} and {other:?} differ"));
            }
        }
        let sha256 = hash(workspace, first)?;
        equal(row, "sha256", sha256.as_str())?;
        let bytes = sizes.get(first).copied().unwrap_or(0);
        wasted += bytes * others.len() as u64;
        hashes.push((bytes, sha256));
    }
    equal(output, "wasted_bytes", wasted)?;
    // What is in no group must not be a copy of anything.
    let mut by_size: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for (path, bytes) in sizes.iter().filter(|(_, bytes)| **bytes > 0) {
        by_size.entry(*bytes).or_default().push(path);
    }
    let mut hashed = 0usize;
    for (bytes, paths) in by_size.iter().filter(|(_, paths)| paths.len() > 1) {
        let mut seen: HashMap<String, &str> = HashMap::new();
        for path in paths.iter().filter(|path| !group_of.contains_key(*path)) {
            hashed += 1;
            let sha256 = hash(workspace, path)?;
            let grouped = hashes.contains(&(*bytes, sha256.clone()));
            if let Some(twin) = seen.insert(sha256, path) {
                return wrong(format!("{path:?} and {twin:?} are the same and in no group"));
            }
            if grouped {
                return wrong(format!("{path:?} belongs to a group and is not in it"));
            }
        }
    }
    Ok(format!(
        "{} copies in {} groups compared byte by byte; {hashed} other files of a size that is not alone hashed again: no more copies among {} files",
        group_of.len(),
        rows.len(),
        sizes.len()
    ))
}

fn alike(mut left: Reading, mut right: Reading) -> Result<bool, Finding> {
    let (mut one, mut other) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n = fill(&mut left, &mut one)?;
        let m = fill(&mut right, &mut other)?;
        if one.get(..n) != other.get(..m) {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut Reading, buffer: &mut [u8]) -> Result<usize, Finding> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) => return Err(Finding::Unsure(format!("a file cannot be read: {error}"))),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::{Value, json};

    #[test]
    fn lies_are_found() {
        for duplicates in [false, true] {
            let args = json!({"files": ".", "duplicates": duplicates});
            let now = [("a", "one"), ("b", "one"), ("c", "two"), ("d", "two"), ("e", "tri")];
            let desk = Desk::new(&now);
            let honest = desk.verified("hash", args.clone());
            let lie = |change: &dyn Fn(&mut Value)| {
                let mut subject = honest.clone();
                change(&mut subject.output);
                desk.failed(&subject);
            };
            lie(&|output| *output = json!({}));
            lie(&|output| (output["rows"], output["count"]) = (json!([]), 0.into()));
            lie(&|output| {
                let rows = output["rows"].as_array_mut().unwrap();
                rows.remove(0);
                let left = rows.len();
                output["count"] = left.into();
                output["wasted_bytes"] = (3 * left).into();
            });
            let old =
                Desk::new(&[("a", "one"), ("b", "one"), ("c", "two"), ("d", "tvo"), ("e", "tri")]);
            let stale = old.done("hash", args.clone()).output;
            lie(&|output| *output = stale.clone());
        }
    }

    #[test]
    fn a_file_missing_from_its_group_is_found() {
        let desk = Desk::new(&[("a", "one"), ("b", "one"), ("c", "one")]);
        let mut subject = desk.verified("hash", json!({"files": ".", "duplicates": true}));
        subject.output["rows"][0]["files"].as_array_mut().unwrap().pop();
        subject.output["rows"][0]["copies"] = 2.into();
        subject.output["wasted_bytes"] = 3.into();
        desk.failed(&subject);
    }
}
