//! What the tests of plans share: tools, workspaces, a way to plan.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
// Each test takes what it needs.
#![allow(dead_code)]

use charter::budget::Budget;
use charter::effect::EffectClass;
use charter::survey::{Column, Entry, Survey};
use charter::tool::{Limits, ToolSpec};
use jiff::civil::{Date, date};
use moroni::plan_words::{Planned, Request, plan};
use moroni::playbooks::Library;
use serde::Deserialize;
use serde_json::{Value, json};

/// A Wednesday.
pub(crate) fn today() -> Date {
    date(2026, 3, 18)
}

pub(crate) fn text(path: &str) -> String {
    let path = format!("{}/tests/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tools of `specs.json`: names, classes and arguments as the registry has
/// them.
pub(crate) fn specs() -> Vec<ToolSpec> {
    #[derive(Deserialize)]
    struct Spec {
        name: String,
        effect: EffectClass,
        args: Value,
    }
    let specs: Vec<Spec> = serde_json::from_str(&text("specs.json")).unwrap();
    specs
        .into_iter()
        .map(|spec| ToolSpec {
            summary: format!("The tool {}.", spec.name),
            name: spec.name,
            version: 1,
            effect: spec.effect,
            args: spec.args,
            output: String::new(),
            undo: String::new(),
            limits: Limits::default(),
            asks_model: false,
        })
        .collect()
}

/// A workspace of `surveys/`.
pub(crate) fn survey(name: &str) -> Survey {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Line {
        Path(String),
        Table { path: String, columns: serde_json::Map<String, Value> },
    }
    let lines: Vec<Line> = serde_saphyr::from_str(&text(&format!("surveys/{name}.yaml"))).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines {
        let (path, columns) = match line {
            Line::Path(path) => (path, serde_json::Map::new()),
            Line::Table { path, columns } => (path, columns),
        };
        let mut above = path.trim_end_matches('/');
        while let Some((folder, _)) = above.rsplit_once('/') {
            if !entries.iter().any(|entry| entry.path == folder) {
                entries.push(entry(folder, true, Vec::new()));
            }
            above = folder;
        }
        let columns = columns
            .into_iter()
            .map(|(name, values)| Column {
                name,
                numeric: values == json!("numeric"),
                values: values
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                    .collect(),
            })
            .collect();
        let name = path.trim_end_matches('/');
        if !entries.iter().any(|entry| entry.path == name) {
            entries.push(entry(name, path.ends_with('/'), columns));
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Survey { entries, truncated: false }
}

fn entry(path: &str, folder: bool, columns: Vec<Column>) -> Entry {
    Entry { path: path.to_owned(), folder, bytes: 100, modified: 0, columns }
}

/// Plans a wish.
pub(crate) fn planned(
    library: &Library,
    specs: &[ToolSpec],
    survey: &Survey,
    words: &str,
) -> Planned {
    plan(&Request {
        words,
        survey,
        playbooks: library,
        specs,
        today: today(),
        budget: Budget::default(),
        reflex: None,
    })
}
