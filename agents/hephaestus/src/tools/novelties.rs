//! `novelties`: what is new or changed in a folder since a day, with a line from
//! every file that has words.

use super::list::{begin, iso};
use super::summarise;
use crate::args::{Files, parse};
use crate::data::quote::{self, counted};
use crate::error::arguments;
use crate::sources::{self, Sources, with_unread};
use crate::tool::{Tool, object, spec};
use crate::workspace::Workspace;
use charter::effect::EffectClass;
use charter::excerpt::Excerpts;
use charter::ids::Millis;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The tool.
pub(crate) struct Novelties(pub(crate) Arc<dyn Excerpts>);

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    since: String,
    #[serde(default)]
    pub(crate) page: String,
}

impl Args {
    /// The first moment that counts.
    pub(crate) fn begin(&self) -> Result<Millis, ToolError> {
        begin(&self.since).ok_or_else(|| {
            arguments(format!("since: {:?} is no date", self.since))
                .hint("write it as 2025-01-31 or 2025-01-31T12:00:00Z")
        })
    }
}

impl Tool for Novelties {
    fn spec(&self) -> ToolSpec {
        spec(
            "novelties",
            EffectClass::Read,
            "Lists what is new or changed since a day, with a line from every text file.",
            object(
                &["files", "since"],
                json!({
                    "files": Files::schema(),
                    "since": {"type": "string", "minLength": 1, "description": "only what was modified on this ISO date (UTC) or at this moment or later"},
                    "page": {"type": "string", "description": "path of the file that the text is for; links are relative to it"},
                }),
            ),
            "rows: [{file, modified, bytes, title, about, quotes: [{quote, line or page}]}] the newest first, count, text (Markdown), searched, empty, unread: [{file, why}], made: [pages put together from other files, which are no source], binary, skipped_secrets",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        Ok(Prepared::output(gather(&args, workspace, &*self.0)?, call.label))
    }
}

/// The whole output.
pub(crate) fn gather(
    args: &Args,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Result<Value, ToolError> {
    let since = args.begin()?;
    let mut walked = workspace.walk(&args.files)?;
    walked.files.retain(|file| file.modified >= since);
    let mut files = walked.files.clone();
    files.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.path.cmp(&b.path)));
    let found = sources::read_walked(workspace, excerpts, walked)?;
    let mut rows = Vec::with_capacity(files.len());
    for file in &files {
        workspace.still_wanted()?;
        let source = found.read.iter().find(|source| source.path == file.path);
        let (title, about, quotes) = match source {
            Some(source) => {
                let (about, quotes) = summarise::of(source, 1, excerpts)?;
                (source.title.as_str(), about, quotes)
            }
            None => ("", String::new(), Vec::new()),
        };
        rows.push(json!({
            "file": file.path, "modified": iso(file.modified), "bytes": file.bytes,
            "title": title, "about": about, "quotes": quotes,
        }));
    }
    let text = render(args, &rows, &found);
    let output = json!({"count": rows.len(), "rows": rows, "text": text});
    Ok(with_unread(output, &found))
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// The page.
fn render(args: &Args, rows: &[Value], found: &Sources) -> String {
    let since = quote::folded(&args.since);
    let mut blocks = vec![format!("# New since {since}")];
    blocks.push(match rows.len() {
        0 => format!("Nothing is new or changed since {since}."),
        count => format!("{} new or changed, the newest first.", counted(count, "file")),
    });
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
            let bytes = row.get("bytes").and_then(Value::as_u64).unwrap_or(0);
            let when = text("modified").replace('T', " ");
            let when = when.get(..16).unwrap_or(&when);
            let link = quote::linked(text("file"), &args.page, text("file"));
            let quote = row.get("quotes").and_then(|quotes| quotes.get(0));
            let said = quote.and_then(|row| row.get("quote")).and_then(Value::as_str);
            let line = match (said, text("about")) {
                (Some(said), "") => format!(": {said}"),
                (Some(said), about) => format!(": {about}. {said}"),
                (None, "") => String::new(),
                (None, about) => format!(": {about}"),
            };
            format!("- {link} ({when}, {}){line}", size(bytes))
        })
        .collect();
    if !lines.is_empty() {
        blocks.push(lines.join("\n"));
    }
    blocks.extend(quote::unread(&found.unread, &args.page));
    quote::page(blocks, &args.page)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::json;
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    fn desk() -> Desk {
        let desk = Desk::new(&[
            ("old.md", "Long ago somebody wrote this.\n"),
            ("notes/new.md", "# News\n\nThe fitter comes on Monday at eight.\n"),
        ]);
        desk.put("photo.png", b"\x89PNG\0\0");
        let day = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n * 86_400);
        for (path, at) in [("old.md", 20_000), ("notes/new.md", 20_010), ("photo.png", 20_011)] {
            File::options().write(true).open(desk.at(path)).unwrap().set_modified(day(at)).unwrap();
        }
        desk
    }

    #[test]
    fn only_what_is_new_is_told() {
        let output =
            desk().verified("novelties", json!({"files": ".", "since": "2024-10-05"})).output;
        let text = output["text"].as_str().unwrap();
        assert!(text.contains("- [notes/new.md](notes/new.md) (2024-10-14 00:00, 45 bytes): The fitter comes on Monday at eight."), "{text}");
        assert!(text.find("photo.png") < text.find("new.md") && !text.contains("old.md"), "{text}");
        let output =
            desk().verified("novelties", json!({"files": ".", "since": "2025-01-01"})).output;
        assert!(
            output["text"]
                .as_str()
                .unwrap()
                .contains("Nothing is new or changed since 2025-01-01.")
        );
        let moment = json!({"files": ".", "since": "2024-10-14T12:00:00Z"});
        assert_eq!(desk().verified("novelties", moment).output["count"], 1);
        assert!(desk().prepare("novelties", json!({"files": ".", "since": "soon"})).is_err());
    }

    #[test]
    fn lies_are_found() {
        let desk = desk();
        let honest = desk.verified("novelties", json!({"files": ".", "since": "2024-10-01"}));
        let lie = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut subject = honest.clone();
            edit(&mut subject.output);
            desk.failed(&subject);
        };
        lie(&|output| *output = json!({}));
        lie(&|output| {
            output["rows"].as_array_mut().unwrap().pop();
            output["count"] = 2.into();
        });
        lie(&|output| output["rows"][1]["quotes"][0]["quote"] = "He comes on Friday.".into());
        lie(&|output| output["rows"][0]["modified"] = "2024-10-16T00:00:00Z".into());
        lie(&|output| output["text"] = "# New\n".into());
        desk.put("more.md", b"This came today.\n");
        desk.failed(&honest);
    }
}
