//! Plans that a language model writes: the text that comes out of
//! [`charter::generate::Shape::Plan`] made into a [`Plan`].

use charter::budget::Budget;
use charter::effect::EffectClass;
use charter::generate::PLAN_STEPS_MAX;
use charter::plan::{Plan, PlanSource, Step};
use charter::reference;
use charter::tool::ToolSpec;
use serde_json::Value;
use std::collections::BTreeSet;

/// A text that is no plan.
#[derive(Debug, thiserror::Error)]
pub enum WrittenError {
    /// Not JSON, or not an object of steps.
    #[error("the text is no plan: {0}")]
    Form(String),
    /// A tool that was not offered.
    #[error("step {step} uses {tool:?}, which was not offered")]
    Tool {
        /// Which step.
        step: usize,
        /// The name.
        tool: String,
    },
}

/// The plan that a text stands for.
///
/// What only looks like a reference becomes text. Steps that reach beyond
/// reading keep their place: they wait for those before them, and those after
/// wait for them. The answer shows what nothing else uses.
pub fn read(
    text: &str,
    goal: &str,
    source: PlanSource,
    specs: &[ToolSpec],
) -> Result<Plan, WrittenError> {
    let wrong = |what: &str| WrittenError::Form(what.to_owned());
    let value: Value =
        serde_json::from_str(text).map_err(|error| WrittenError::Form(error.to_string()))?;
    let parts = value.as_object().ok_or_else(|| wrong("it is no object"))?;
    let mut steps: Vec<Step> = Vec::new();
    let mut given: Vec<Vec<String>> = Vec::new();
    let mut idle: BTreeSet<u32> = BTreeSet::new();
    for n in 1..=PLAN_STEPS_MAX {
        let Some(part) = parts.get(&format!("s{n}")) else { break };
        let word = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default();
        let spec = specs
            .iter()
            .find(|spec| spec.name == word("tool"))
            .ok_or_else(|| WrittenError::Tool { step: n, tool: word("tool").to_owned() })?;
        let args = part.get("args").filter(|args| args.is_object());
        let args = args.ok_or_else(|| wrong("a step has no arguments"))?;
        let number = n as u32;
        let mut step = Step {
            n: number,
            title: word("title").to_owned(),
            tool: spec.name.clone(),
            version: spec.version,
            args: numbered(args, &given),
            after: Vec::new(),
            for_each: None,
            effect: spec.effect,
            limits: spec.limits.clone(),
        };
        step.after = after(&steps, &step);
        for other in step.needs() {
            idle.remove(&other);
        }
        if step.effect <= EffectClass::Read {
            idle.insert(number);
        }
        given.push(spec.fields());
        steps.push(step);
    }
    if steps.is_empty() {
        return Err(wrong("it has no steps"));
    }
    let said = parts.get("answer").and_then(Value::as_str).unwrap_or_default();
    let mut answer = numbered_text(said, &given);
    let shown = reference::steps_named(&Value::from(answer.as_str()));
    for ((n, step), fields) in (1..).zip(&steps).zip(&given) {
        if !idle.contains(&n) || shown.contains(&n) {
            continue;
        }
        let field = fields.first().map(|field| format!(".{field}")).unwrap_or_default();
        answer.push_str(&format!("\n{}: ${{{n}{field}}}", reference::escape(&step.title)));
    }
    Ok(Plan {
        goal: goal.to_owned(),
        source,
        steps,
        answer: (!answer.trim().is_empty()).then_some(answer),
        unmet: Vec::new(),
        budget: Budget::default(),
    })
}

/// Which steps this one waits for beyond those that its arguments name.
fn after(earlier: &[Step], step: &Step) -> Vec<u32> {
    let acts = |step: &Step| step.effect > EffectClass::Read;
    let last = earlier.iter().rev().find(|step| acts(step)).map(|step| step.n);
    let named = reference::steps_named(&step.args);
    let mut wait: BTreeSet<u32> = last.into_iter().collect();
    if acts(step) {
        wait.extend(earlier.iter().map(|step| step.n).filter(|n| Some(*n) > last));
    }
    wait.difference(&named).copied().collect()
}

fn numbered(value: &Value, given: &[Vec<String>]) -> Value {
    match value {
        Value::String(text) => Value::String(numbered_text(text, given)),
        Value::Array(values) => values.iter().map(|value| numbered(value, given)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), numbered(value, given))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// References by name made into references by number; anything else that begins
/// like one is escaped. `given` holds the fields of each earlier step.
fn numbered_text(text: &str, given: &[Vec<String>]) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, inner) = (&rest[..at], &rest[at + 2..]);
        written.push_str(before);
        // A `$` before it would take its meaning away.
        let reference = if written.ends_with('$') { None } else { earlier(inner, given) };
        match reference {
            Some((name, length)) => {
                written.push_str(&format!("${{{name}}}"));
                rest = &inner[length..];
            }
            None => {
                written.push_str("$${");
                rest = inner;
            }
        }
    }
    written.push_str(rest);
    written
}

/// `s1.files}` as `1.files` and its length, if an earlier step gives that.
fn earlier(inner: &str, given: &[Vec<String>]) -> Option<(String, usize)> {
    let end = inner.find('}')?;
    let name = inner.get(..end)?.strip_prefix('s')?;
    let (number, path) = name.split_once('.').map_or((name, None), |(a, b)| (a, Some(b)));
    let step: usize = number.parse().ok()?;
    let fields = given.get(step.checked_sub(1)?)?;
    let there = match path {
        None => true,
        Some(path) => fields.iter().any(|field| field == path),
    };
    let written = path.map_or(step.to_string(), |path| format!("{step}.{path}"));
    there.then_some((written, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::lint;
    use charter::tool::Limits;
    use serde_json::json;

    fn specs() -> Vec<ToolSpec> {
        let spec = |name: &str, effect, output: &str| ToolSpec {
            name: name.to_owned(),
            version: 3,
            summary: String::new(),
            effect,
            args: json!({"type": "object"}),
            output: output.to_owned(),
            undo: String::new(),
            limits: Limits::default(),
            asks_model: false,
        };
        vec![
            spec("list", EffectClass::Read, "files: [{path}] sorted, count"),
            spec("table", EffectClass::Read, "rows, columns"),
            spec("write", EffectClass::Change, "path, bytes"),
        ]
    }

    fn written(value: &Value) -> Result<Plan, WrittenError> {
        read(&value.to_string(), "goal", PlanSource::File, &specs())
    }

    #[test]
    fn texts_become_plans() {
        let text = json!({
            "s1": {"title": "Look", "tool": "list", "args": {"files": "${s1.files} ${s2} ${x"}},
            "s2": {"title": "Write", "tool": "write", "args": {"path": "a", "text": "${s1.count} $5 ${s9.x}"}},
            "s3": {"title": "Read ${x}", "tool": "table", "args": {}},
            "answer": "Done: ${s2.path}, ${s2.rows}, ${s4.x}, $${s1.count}.",
        });
        let plan = written(&text).unwrap();
        assert_eq!(plan.steps[0].args["files"], "$${s1.files} $${s2} $${x");
        assert_eq!(plan.steps[1].args["text"], "${1.count} $5 $${s9.x}");
        assert_eq!(plan.steps[1].after, [] as [u32; 0]);
        assert_eq!(plan.steps[2].after, [2]);
        assert_eq!(
            plan.answer.as_deref(),
            Some("Done: ${2.path}, $${s2.rows}, $${s4.x}, $$${s1.count}.\nRead $${x}: ${3.rows}")
        );
        assert_eq!(lint(&plan, &specs()), []);
    }

    #[test]
    fn what_is_no_plan_is_named() {
        let check = |value: Value, expect: &str| {
            let error = written(&value).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(json!([]), "no object");
        check(json!({}), "no steps");
        check(json!({"s1": {"tool": "rm", "args": {}}}), "\"rm\"");
        check(json!({"s1": {"tool": "list"}}), "no arguments");
    }
}
