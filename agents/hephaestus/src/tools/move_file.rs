//! `move`: one file or folder to another, free name.

use crate::args::{parse, path_schema};
use crate::error::{arguments, never_touched, os};
use crate::tool::{Tool, object, spec};
use crate::workspace::{Kind, Workspace, paths};
use charter::effect::{Change, EffectClass};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use rustix::io::Errno;
use serde::Deserialize;
use serde_json::json;

/// The tool.
pub(crate) struct Move;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) from: String,
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) if_taken: IfTaken,
}

/// What to do when the new name is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IfTaken {
    /// An error.
    #[default]
    Fail,
    /// The next free number is added to the name.
    Number,
}

/// Numbers that are tried.
pub(crate) const NUMBERS_MAX: u32 = 1_000;

impl Tool for Move {
    fn spec(&self) -> ToolSpec {
        spec(
            "move",
            EffectClass::Change,
            "Moves or renames one file or folder; never over another.",
            object(
                &["from", "to"],
                json!({
                    "from": path_schema("what is moved"),
                    "to": path_schema("its new name; a folder, or a name that ends in /, keeps the old name"),
                    "if_taken": {
                        "enum": ["fail", "number"],
                        "description": "when the new name is taken: fail, or add the next free number",
                    },
                }),
            ),
            "from, to",
            "Undone by moving it back.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let from = paths::normal(&args.from)?;
        let mut to = paths::normal(&args.to)?;
        let source = workspace.meta(&from)?.ok_or_else(|| os("move", &from, Errno::NOENT))?;
        if source.kind == Kind::Other {
            return Err(never_touched(&from));
        }
        let into = args.to.ends_with('/')
            || workspace.meta(&to)?.is_some_and(|target| target.kind == Kind::Folder);
        if into {
            to = paths::join(&to, paths::split(&from).1);
        }
        if from == to {
            // Asked a second time: it stands where it shall stand.
            return Ok(Prepared::output(json!({"from": from, "to": to}), call.label));
        }
        if to.starts_with(&format!("{from}/")) {
            return Err(arguments(format!("{from:?} cannot be moved into itself")));
        }
        if args.if_taken == IfTaken::Number {
            to = free(&to, workspace)?;
        }
        if workspace.meta(&to)?.is_some() {
            return Err(ToolError::new(
                ErrorCode::Taken,
                format!("could not move {from:?}: the name {to:?} is taken"),
            )
            .hint("choose a name that is free"));
        }
        let output = json!({"from": from, "to": to});
        let proposed = workspace.propose(Change::Move { from, to })?;
        Ok(Prepared { changes: vec![proposed], ..Prepared::output(output, call.label) })
    }
}

/// The name itself, or the first numbered one that is free.
fn free(name: &str, workspace: &Workspace) -> Result<String, ToolError> {
    for number in 1..NUMBERS_MAX {
        let tried = if number == 1 { name.to_owned() } else { paths::numbered(name, number) };
        if workspace.meta(&tried)?.is_none() {
            return Ok(tried);
        }
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;

    fn check(from: &str, to: &str, expect: &str) {
        let desk = Desk::new(&[("a.md", "x"), ("dir/b.md", "y"), ("taken.md", "z")]);
        let subject = desk.verified("move", json!({"from": from, "to": to}));
        assert_eq!(subject.output["to"], expect);
        assert!(!desk.at(from).exists());
        assert!(desk.at(expect).exists());
    }

    #[test]
    fn files_and_folders_move() {
        check("a.md", "c.md", "c.md");
        check("a.md", "dir", "dir/a.md");
        check("a.md", "new/deep/", "new/deep/a.md");
        check("a.md", "-c\nd.md", "-c\nd.md");
        check("dir", "other", "other");
    }

    #[test]
    fn what_stands_there_already_stays() {
        let desk = Desk::new(&[("a.md", "x"), ("dir/b.md", "y")]);
        for (from, to) in [("a.md", "a.md"), ("dir/b.md", "dir/"), ("dir/b.md", "dir")] {
            let subject = desk.verified("move", json!({"from": from, "to": to}));
            assert_eq!((&subject.output["to"], subject.changes.len()), (&json!(from), 0));
        }
        let gone = json!({"from": "dir/b.md", "to": "dir/"});
        let subject = desk.verified("move", gone);
        std::fs::remove_file(desk.at("dir/b.md")).unwrap();
        desk.failed(&subject);
    }

    #[test]
    fn a_taken_name_gets_a_number_where_that_is_wanted() {
        let desk = Desk::new(&[("a.md", "x"), ("dir/a.md", "y"), ("dir/a-2.md", "z")]);
        let args = json!({"from": "a.md", "to": "dir/", "if_taken": "number"});
        let subject = desk.verified("move", args);
        assert_eq!(subject.output["to"], "dir/a-3.md");
        assert!(desk.at("dir/a-3.md").exists());
    }

    #[test]
    fn what_cannot_be_moved_is_told() {
        let desk = Desk::new(&[("a.md", "x"), ("dir/b.md", "y"), ("dir/a.md", "z")]);
        let code = |from: &str, to: &str| {
            desk.prepare("move", json!({"from": from, "to": to})).unwrap_err().code
        };
        assert_eq!(code("gone", "c"), ErrorCode::NotFound);
        assert_eq!(code("a.md", "dir"), ErrorCode::Taken);
        assert_eq!(code("a.md", "dir/b.md"), ErrorCode::Taken);
        assert_eq!(code("dir", "dir/inner"), ErrorCode::Arguments);
        assert_eq!(code("a.md", "../a.md"), ErrorCode::Outside);
    }

    #[test]
    fn lies_are_found() {
        let desk = Desk::new(&[("a.md", "x")]);
        let subject = desk.verified("move", json!({"from": "a.md", "to": "b.md"}));
        desk.put("b.md", b"");
        desk.failed(&subject);
        desk.put("b.md", b"x");
        desk.put("a.md", b"x");
        desk.failed(&subject);
        desk.failed(&desk.subject("move", subject.args, subject.output, Vec::new()));
    }
}
