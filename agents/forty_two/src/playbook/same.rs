//! When two plans are the same work: the same tools with the same arguments, files
//! compared by what they select and not by how that is written.

use crate::day::Mission;
use charter::digest::Digest;
use charter::plan::Plan;
use charter::survey::Survey;
use charter::tool::ToolSpec;
use globset::{Glob, GlobSetBuilder};
use serde_json::Value;
use std::collections::BTreeSet;

/// Arguments that only say what something is called: words for people, which change
/// nothing of what is done.
const CALLED: &[&str] = &["title", "intro", "empty", "ungrouped", "total_label"];

/// A place in a plan: position of the step, and the pointer within its arguments.
pub(super) type Spot = (usize, String);

/// Whether the argument at a pointer only says what something is called.
pub(super) fn names_only(pointer: &str) -> bool {
    pointer.rsplit('/').next().is_some_and(|key| CALLED.contains(&key))
}

/// What plans of one kind have in common: tools, references, arguments that their
/// tools require. What may be there or not is compared later.
pub(super) fn shape(plan: &Plan, specs: &[ToolSpec]) -> String {
    let steps = plan.steps.iter().map(|step| {
        let each = step.for_each.as_ref().map_or("", |each| each.items.as_str());
        let spec = specs.iter().find(|spec| spec.name == step.tool);
        let required = spec.map(|spec| spec.args["required"].as_array().map_or(&[][..], |r| r));
        let is_required = |key: &str| {
            required.is_none_or(|all| all.iter().any(|name| name.as_str() == Some(key)))
        };
        let args = match &step.args {
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(key, value)| {
                    let form = form(value);
                    form != "*" || is_required(key) && !CALLED.contains(&key.as_str())
                });
                form(&kept.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            other => form(other),
        };
        format!("{}({args}){each}{:?}", step.tool, step.after)
    });
    steps.collect::<Vec<_>>().join(" ")
}

/// All names of arguments of a plan, those that may be left out among them.
pub(super) fn names(plan: &Plan) -> String {
    plan.steps.iter().map(|step| form(&step.args)).collect::<Vec<_>>().join(" ")
}

/// A short name for a shape.
pub(super) fn digest(shape: &str) -> String {
    Digest::of(shape.as_bytes()).to_string()
}

fn form(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut all: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}:{}", form(value))).collect();
            all.sort();
            format!("{{{}}}", all.join(","))
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            format!("[{}]", values.iter().map(form).collect::<Vec<_>>().join(","))
        }
        Value::String(text) if text.contains("${") => format!("{text:?}"),
        _ => "*".to_owned(),
    }
}

/// Scalars and lists of scalars within arguments, with their pointers.
pub(super) fn leaves(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(value, format!("{at}/{key}"), found);
                }
            }
            Value::Array(values) if values.iter().any(Value::is_object) => {
                for (i, value) in values.iter().enumerate() {
                    walk(value, format!("{at}/{i}"), found);
                }
            }
            _ => found.push(at),
        }
    }
    let mut found = Vec::new();
    walk(value, String::new(), &mut found);
    found
}

/// Whether a plan does what a mission did. In `free` places only the extension of
/// a file must agree: no word said its name, or it may as well be left out.
pub(super) fn is_same(plan: &Plan, mission: &Mission, free: &BTreeSet<Spot>) -> bool {
    let (one, other) = (&plan.steps, &mission.plan.steps);
    one.len() == other.len()
        && one.iter().zip(other).enumerate().all(|(i, (a, b))| {
            let mut pointers = leaves(&a.args);
            pointers.extend(leaves(&b.args));
            a.tool == b.tool
                && a.for_each.as_ref().map(|e| &e.items) == b.for_each.as_ref().map(|e| &e.items)
                && pointers.iter().all(|pointer| {
                    let (a, b) = (a.args.pointer(pointer), b.args.pointer(pointer));
                    let is_free = free.contains(&(i, pointer.clone()));
                    names_only(pointer)
                        || agree(a, b, &mission.survey)
                        || is_free && extension(a) == extension(b)
                })
        })
}

fn agree(a: Option<&Value>, b: Option<&Value>, survey: &Survey) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if a == b => true,
        (Some(a), Some(b)) => {
            let (a, b) = (texts(a), texts(b));
            // The same files by other patterns; nothing is not the same as nothing.
            let chosen = selected(&a, survey);
            a == b && !a.is_empty() || !chosen.is_empty() && chosen == selected(&b, survey)
        }
        _ => a == b,
    }
}

/// One text or a list of texts.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The files that patterns, paths and folders select.
pub(super) fn selected<'s>(patterns: &[&str], survey: &'s Survey) -> BTreeSet<&'s str> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
        set.extend_with(pattern);
    }
    let Ok(set) = set.build() else { return BTreeSet::new() };
    let files = survey.entries.iter().filter(|entry| !entry.folder);
    files.map(|entry| entry.path.as_str()).filter(|path| set.is_match(path)).collect()
}

trait Extend {
    fn extend_with(&mut self, pattern: &str);
}

impl Extend for GlobSetBuilder {
    /// A pattern, and what lies below a folder of that name.
    fn extend_with(&mut self, pattern: &str) {
        for text in [pattern.to_owned(), format!("{pattern}/**")] {
            if let Ok(glob) = globset::GlobBuilder::new(&text).literal_separator(true).build() {
                self.add(glob);
            } else if let Ok(glob) = Glob::new(&globset::escape(&text)) {
                self.add(glob);
            }
        }
    }
}

fn extension(value: Option<&Value>) -> Option<&str> {
    let name = value?.as_str()?.rsplit('/').next()?;
    name.rsplit_once('.').map(|(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{mission, survey};
    use serde_json::json;

    fn check(a: Value, b: Value, expect: bool) {
        let survey = survey(&["a.md", "notes/b.md", "notes/c.txt"]);
        assert_eq!(agree(Some(&a), Some(&b), &survey), expect, "{a} {b}");
    }

    #[test]
    fn files_are_the_same_by_what_they_select() {
        check(json!("notes/*.md"), json!(["notes/**/*.md"]), true);
        check(json!("notes"), json!(["notes/b.md", "notes/c.txt"]), true);
        check(json!("*.md"), json!("**/*.md"), false);
        check(json!("gone.md"), json!("lost.md"), false);
        check(json!(3), json!(4), false);
    }

    #[test]
    fn a_free_place_needs_the_same_extension_only() {
        let mut one = mission("m1", "hash");
        one.plan.steps[0].args = json!({ "path": "x.md" });
        let mut plan = one.plan.clone();
        plan.steps[0].args = json!({ "path": "y.md" });
        let free: BTreeSet<Spot> = [(0, "/path".to_owned())].into();
        assert!(!is_same(&plan, &one, &BTreeSet::new()) && is_same(&plan, &one, &free));
        plan.steps[0].args = json!({ "path": "y.csv" });
        assert!(!is_same(&plan, &one, &free));
    }

    #[test]
    fn a_shape_forgets_values_and_keeps_references() {
        let form = |args| form(&args);
        assert_eq!(form(json!({"a": 1, "b": ["x"]})), form(json!({"b": "y", "a": 2})));
        assert_ne!(form(json!({"a": "${1.rows}"})), form(json!({"a": "${1.files}"})));
    }
}
