//! `extract`: what stands in texts by form: links, addresses, tasks, headings,
//! comments, dates, failed tests.

use super::list::with_skipped;
use crate::args::{Files, parse};
use crate::data::links;
use crate::data::markdown::{self, Markup};
use crate::data::target::{self, Kind};
use crate::data::{failures, inline, language, quote, tasks};
use crate::error::{arguments, too_large};
use crate::source::{self, Content};
use crate::tool::{Tool, object, spec};
use crate::workspace::{Walked, Workspace};
use charter::effect::EffectClass;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};

/// Most rows of one call.
const ROWS_MAX: usize = 100_000;

/// The tool.
pub(crate) struct Extract;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Links,
    Addresses,
    Tasks,
    Headings,
    Comments,
    Dates,
    Failures,
}

impl What {
    /// Its name in arguments and outputs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Addresses => "addresses",
            Self::Tasks => "tasks",
            Self::Headings => "headings",
            Self::Comments => "comments",
            Self::Dates => "dates",
            Self::Failures => "failures",
        }
    }
}

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Option<Files>,
    pub(crate) text: Option<String>,
    pub(crate) what: What,
    #[serde(default)]
    pub(crate) open_only: bool,
    #[serde(default)]
    pub(crate) kinds: Vec<String>,
}

impl Tool for Extract {
    fn spec(&self) -> ToolSpec {
        spec(
            "extract",
            EffectClass::Read,
            "Collects links, addresses, tasks, headings, code comments, dates or failed tests.",
            object(
                &["what"],
                json!({
                    "files": Files::schema(),
                    "text": {"type": "string", "description": "a text instead of files"},
                    "what": {"enum": ["links", "addresses", "tasks", "headings", "comments", "dates", "failures"]},
                    "open_only": {"type": "boolean", "default": false, "description": "tasks: leave out what is done"},
                    "kinds": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z]+$"}, "maxItems": 50, "description": "comments: the marks to look for, such as TODO; none means all"},
                }),
            ),
            "rows sorted by file and line, count, files (number of files searched), what, binary (number of files that are no text), damaged: [files with text that is not UTF-8], made: [lists put together from other files, which are no source unless asked for alone], unclear (dates whose day and month cannot be told apart), skipped_secrets. \
             Rows: tasks {file, line, text, person, due, done}; links {file, line, text, target, kind: relative/web/mail/anchor, exists: true/false for relative ones inside the workspace, else null}; addresses {file, line, address}; headings {file, line, level, text}; comments {file, line, kind, text, person}; dates {file, line, date, text}; failures {file, line, test, message}",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let output = gather(&args, workspace, call.limits.output_bytes)?;
        Ok(Prepared::output(output, call.label))
    }
}

/// The whole output.
pub(crate) fn gather(args: &Args, workspace: &Workspace, room: u64) -> Result<Value, ToolError> {
    let mut found = Found { args, rows: Vec::new(), room, unclear: 0 };
    let (mut files, mut binary, mut damaged, mut made) = (0u64, 0u64, Vec::new(), Vec::new());
    let mut walked = Walked::default();
    match (&args.files, &args.text) {
        (Some(patterns), None) => {
            walked = workspace.walk(patterns)?;
            for file in &walked.files {
                let text = match source::content(workspace, &file.path)? {
                    Content::Binary => {
                        binary += 1;
                        continue;
                    }
                    Content::Text(text) => text,
                    Content::Lossy(text) => {
                        damaged.push(file.path.clone());
                        text
                    }
                };
                if is_copy(&walked, &text) {
                    made.push(file.path.clone());
                    continue;
                }
                files += 1;
                found.file(&file.path, &text)?;
            }
        }
        (None, Some(text)) => found.file("", text)?,
        _ => return Err(arguments("extract needs either files or text, and not both")),
    }
    let Found { mut rows, unclear, .. } = found;
    match args.what {
        What::Tasks => unify_people(&mut rows),
        What::Links => look_up(&mut rows, workspace)?,
        _ => {}
    }
    let mut output = json!({
        "count": rows.len(), "rows": rows, "files": files, "what": args.what.as_str(),
        "binary": binary, "damaged": damaged, "made": made,
    });
    if args.what == What::Dates {
        output["unclear"] = unclear.into();
    }
    Ok(with_skipped(output, &walked))
}

/// Whether a text only repeats what stands in other files of the same walk: a
/// list that was put together from them would be counted twice.
pub(crate) fn is_copy(walked: &Walked, text: &str) -> bool {
    walked.files.len() > 1 && quote::is_made(text)
}

struct Found<'a> {
    args: &'a Args,
    rows: Vec<Value>,
    room: u64,
    unclear: u64,
}

impl Found<'_> {
    fn file(&mut self, path: &str, text: &str) -> Result<(), ToolError> {
        let (rows, unclear) = rows_of(self.args, path, text)?;
        self.unclear += unclear;
        for row in rows {
            let size: u64 = row
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| {
                    key.len() as u64 + 8 + value.as_str().map_or(4, str::len) as u64
                })
                .sum();
            self.room = self.room.checked_sub(size).ok_or_else(too_many)?;
            self.rows.push(row);
        }
        if self.rows.len() > ROWS_MAX { Err(too_many()) } else { Ok(()) }
    }
}

fn too_many() -> ToolError {
    too_large(format!("more than {ROWS_MAX} rows were found, or they are too long together"))
        .hint("look into fewer files")
}

/// Whether a file is written for people: tasks and headings stand nowhere else.
pub(crate) fn is_prose(path: &str, text: &str) -> bool {
    Markup::of(path) != Markup::Plain
        || language::of(path, text).is_none_or(|language| language.style.prose)
}

/// The rows of one text, and how many dates in it cannot be told.
pub(crate) fn rows_of(args: &Args, file: &str, text: &str) -> Result<(Vec<Value>, u64), ToolError> {
    let markup = Markup::of(file);
    let rows = match args.what {
        What::Tasks if is_prose(file, text) => tasks::find(text, markup)
            .into_iter()
            .filter(|task| !(args.open_only && task.done))
            .map(|task| {
                let due = task.due.map(|due| due.to_string()).unwrap_or_default();
                json!({
                    "file": file, "line": task.line, "text": task.text, "person": task.person,
                    "due": due, "done": task.done,
                })
            })
            .collect(),
        What::Headings if is_prose(file, text) => markdown::headings(text, markup)
            .into_iter()
            .map(|heading| {
                json!({"file": file, "line": heading.line, "level": heading.level, "text": heading.text})
            })
            .collect(),
        What::Tasks | What::Headings => Vec::new(),
        What::Links => links::find(text, markup, is_prose(file, text))
            .into_iter()
            .map(|link| {
                let kind = if link.wiki { Kind::Relative } else { Kind::of(&link.target) };
                let mut row = json!({
                    "file": file, "line": link.line, "text": link.text, "target": link.target,
                    "kind": kind.as_str(), "exists": null,
                });
                if link.wiki {
                    row["wiki"] = true.into();
                }
                row
            })
            .collect(),
        What::Addresses => inline::addresses(text)
            .into_iter()
            .map(|(line, address)| json!({"file": file, "line": line, "address": address}))
            .collect(),
        What::Comments => inline::comments(&args.kinds, file, text)
            .map_err(|error| arguments(format!("kinds: {error}")))?
            .into_iter()
            .map(|found| {
                json!({
                    "file": file, "line": found.line, "kind": found.kind, "text": found.text,
                    "person": found.person,
                })
            })
            .collect(),
        What::Dates => {
            let (dates, unclear) = inline::dates(text);
            let row = |found: inline::Dated| {
                json!({
                    "file": file, "line": found.line, "date": found.date.to_string(),
                    "text": found.text,
                })
            };
            return Ok((dates.into_iter().map(row).collect(), unclear));
        }
        What::Failures => failures::find(text)
            .into_iter()
            .map(|failure| {
                let mut row = Map::new();
                if !file.is_empty() {
                    row.insert("file".into(), file.into());
                }
                row.insert("line".into(), failure.line.into());
                row.insert("test".into(), failure.test.into());
                row.insert("message".into(), failure.message.into());
                Value::Object(row)
            })
            .collect(),
    };
    Ok((rows, 0))
}

/// One spelling per person: `@anna` is Anna where a file says so.
fn unify_people(rows: &mut [Value]) {
    let mut spellings: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for person in rows.iter().filter_map(|row| row["person"].as_str()) {
        *spellings
            .entry(person.to_lowercase())
            .or_default()
            .entry(person.to_owned())
            .or_default() += 1;
    }
    // Who has a task elsewhere is known by the name alone.
    let people: HashSet<String> = spellings.values().flat_map(|s| s.keys().cloned()).collect();
    for row in rows {
        if row["person"] == ""
            && let Some((name, text)) =
                row["text"].as_str().and_then(|t| tasks::begun_by(t, &people))
        {
            let (name, text) = (name.to_owned(), text.to_owned());
            (row["person"], row["text"]) = (name.into(), text.into());
            continue;
        }
        let Some(person) = row["person"].as_str() else { continue };
        let Some(known) = spellings.get(&person.to_lowercase()) else { continue };
        let best = known.iter().max_by_key(|(name, count)| {
            (name.starts_with(char::is_uppercase), **count, std::cmp::Reverse((*name).clone()))
        });
        if let Some((name, _)) = best {
            row["person"] = name.as_str().into();
        }
    }
}

/// Says of each relative link whether what it names is there.
fn look_up(rows: &mut [Value], workspace: &Workspace) -> Result<(), ToolError> {
    let mut pages: Option<HashSet<String>> = None;
    for row in rows.iter_mut().filter(|row| row["kind"] == "relative") {
        let (Some(file), Some(to)) = (row["file"].as_str(), row["target"].as_str()) else {
            continue;
        };
        let resolved = target::resolve(file, to);
        let there = |path: &String| workspace.exists(path);
        let mut exists = resolved.as_ref().map(there);
        if exists == Some(false) {
            exists = target::resolve_raw(file, to).as_ref().map(there).or(exists);
        }
        if row.get("wiki").is_some() && exists != Some(true) {
            if pages.is_none() {
                let all = workspace.walk(&Files::one("."))?.files;
                pages = Some(all.iter().map(|file| page(&file.path)).collect());
            }
            let name = page(to.split('#').next().unwrap_or_default());
            exists = Some(pages.as_ref().is_some_and(|pages| pages.contains(&name)));
        }
        row["exists"] = exists.map_or(Value::Null, Value::Bool);
    }
    for row in rows {
        if let Value::Object(fields) = row {
            fields.remove("wiki");
        }
    }
    Ok(())
}

/// The name by which a wiki link knows a file: no folder, no ending.
fn page(path: &str) -> String {
    let name = path.trim().rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".md").unwrap_or(name);
    stem.to_lowercase()
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    fn check(files: &[(&str, &str)], args: Value, expect: Expect) {
        let desk = Desk::new(files);
        let subject = desk.verified("extract", args);
        let rows: String = subject.output["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{row}\n"))
            .collect();
        expect.assert_eq(&rows);
    }

    #[test]
    fn a_known_name_behind_the_marker_is_the_person() {
        let notes = [
            ("a.md", "- [ ] Jonas: call\n"),
            ("b.txt", "TODO: Jonas order it\nTODO: Call Jonas\n"),
        ];
        check(
            &notes,
            json!({"files": "**/*", "what": "tasks"}),
            expect![[r#"
                {"file":"a.md","line":1,"text":"call","person":"Jonas","due":"","done":false}
                {"file":"b.txt","line":1,"text":"order it","person":"Jonas","due":"","done":false}
                {"file":"b.txt","line":2,"text":"Call Jonas","person":"","due":"","done":false}
            "#]],
        );
    }

    #[test]
    fn a_list_of_tasks_is_no_second_source_of_them() {
        let notes = ("a.md", "- [ ] Ada: call the bank\n");
        let rows = json!([{"text": "call the bank", "person": "Ada", "file": "a.md", "line": 1}]);
        let desk = Desk::new(&[notes]);
        let list = json!({"rows": rows, "style": "tasks", "page": "tasks.md"});
        let list = desk.verified("compose", list).output["text"].as_str().unwrap().to_owned();
        desk.put("tasks.md", list.as_bytes());
        let found =
            |files: &str| desk.verified("extract", json!({"files": files, "what": "tasks"})).output;
        let all = found(".");
        assert_eq!((&all["count"], &all["made"]), (&json!(1), &json!(["tasks.md"])));
        assert_eq!(found("tasks.md")["count"], 1);
    }

    #[test]
    fn tasks_name_people_in_one_spelling() {
        let notes = [
            ("a.md", "- [ ] Anna: send by 2025-03-01\n- [x] paint @bob\n"),
            ("b.md", "- [ ] call @anna\n"),
            ("c.rs", "// TODO: not here\n"),
        ];
        check(
            &notes,
            json!({"files": ".", "what": "tasks", "open_only": true}),
            expect![[r#"
            {"file":"a.md","line":1,"text":"send","person":"Anna","due":"2025-03-01","done":false}
            {"file":"b.md","line":1,"text":"call","person":"Anna","due":"","done":false}
        "#]],
        );
        check(
            &notes,
            json!({"files": "a.md", "what": "tasks"}),
            expect![[r#"
            {"file":"a.md","line":1,"text":"send","person":"Anna","due":"2025-03-01","done":false}
            {"file":"a.md","line":2,"text":"paint","person":"bob","due":"","done":true}
        "#]],
        );
    }

    #[test]
    fn links_say_what_is_broken() {
        let files = [
            (
                "docs/a.md",
                "[x](b.md#p) [y](no.md) [z](../my%20file.md) [[Page]] [[None]] [w](https://x.org) [up](../../out.md)\n",
            ),
            ("docs/b.md", ""),
            ("my file.md", ""),
            ("notes/page.md", ""),
        ];
        check(
            &files,
            json!({"files": "docs", "what": "links"}),
            expect![[r##"
            {"file":"docs/a.md","line":1,"text":"x","target":"b.md#p","kind":"relative","exists":true}
            {"file":"docs/a.md","line":1,"text":"y","target":"no.md","kind":"relative","exists":false}
            {"file":"docs/a.md","line":1,"text":"z","target":"../my%20file.md","kind":"relative","exists":true}
            {"file":"docs/a.md","line":1,"text":"Page","target":"Page","kind":"relative","exists":true}
            {"file":"docs/a.md","line":1,"text":"None","target":"None","kind":"relative","exists":false}
            {"file":"docs/a.md","line":1,"text":"w","target":"https://x.org","kind":"web","exists":null}
            {"file":"docs/a.md","line":1,"text":"up","target":"../../out.md","kind":"relative","exists":null}
        "##]],
        );
    }

    #[test]
    fn comments_of_a_kind() {
        let files = [
            (
                "a.rs",
                "fn a() {} // TODO(anna): first\nlet s = \"// TODO no\";\n/* FIXME second */\n// todo no, methodTODO no\n// see NOTE\n",
            ),
            ("b.py", "# TODO third  \nx = 1  # HACK: fourth\n"),
        ];
        check(
            &files,
            json!({"files": ".", "what": "comments"}),
            expect![[r#"
            {"file":"a.rs","line":1,"kind":"TODO","text":"first","person":"anna"}
            {"file":"a.rs","line":3,"kind":"FIXME","text":"second","person":""}
            {"file":"a.rs","line":5,"kind":"NOTE","text":"see NOTE","person":""}
            {"file":"b.py","line":1,"kind":"TODO","text":"third","person":""}
            {"file":"b.py","line":2,"kind":"HACK","text":"fourth","person":""}
        "#]],
        );
        check(
            &files,
            json!({"files": "*.py", "what": "comments", "kinds": ["todo"]}),
            expect![[r#"
            {"file":"b.py","line":1,"kind":"TODO","text":"third","person":""}
        "#]],
        );
    }

    #[test]
    fn dates_addresses_headings_failures() {
        let files = [(
            "a.txt",
            "# Plan\n- 2025-03-01: start (14/3/2025)\nmail a.b@x.org, git@host.de:p, i@2x.png\n5.3.2025 T\n",
        )];
        check(
            &files,
            json!({"files": "a.txt", "what": "dates"}),
            expect![[r#"
            {"file":"a.txt","line":2,"date":"2025-03-01","text":"start (14/3/2025)"}
            {"file":"a.txt","line":2,"date":"2025-03-14","text":"2025-03-01: start"}
            {"file":"a.txt","line":4,"date":"2025-03-05","text":"T"}
        "#]],
        );
        check(
            &files,
            json!({"files": "a.txt", "what": "addresses"}),
            expect![[r#"
            {"file":"a.txt","line":3,"address":"a.b@x.org"}
        "#]],
        );
        check(
            &files,
            json!({"files": "a.txt", "what": "headings"}),
            expect![[r#"
            {"file":"a.txt","line":1,"level":1,"text":"Plan"}
        "#]],
        );
        check(
            &[],
            json!({"text": "--- FAIL: TestA (0s)\n    why\nFAIL\ta\t0.1s\n", "what": "failures"}),
            expect![[r#"
            {"line":1,"test":"TestA","message":"why"}
        "#]],
        );
    }

    #[test]
    fn unclear_dates_and_other_files_are_counted() {
        let desk = Desk::new(&[("a.txt", "3/4/2025\n"), (".env", "A=1")]);
        desk.put("b.bin", b"a\0b");
        desk.put("c.txt", b"M\xFCller 2025-01-01\n");
        let subject = desk.verified("extract", json!({"files": ".", "what": "dates"}));
        let output = &subject.output;
        assert_eq!(
            (&output["unclear"], &output["binary"], &output["damaged"], &output["count"]),
            (&json!(1), &json!(1), &json!(["c.txt"]), &json!(1))
        );
    }

    #[test]
    fn files_or_text_is_needed() {
        let desk = Desk::new(&[]);
        assert!(desk.prepare("extract", json!({"what": "tasks"})).is_err());
        assert!(
            desk.prepare("extract", json!({"what": "tasks", "files": ".", "text": ""})).is_err()
        );
        assert!(desk.prepare("extract", json!({"what": "tasks", "files": "no.md"})).is_err());
    }
}
