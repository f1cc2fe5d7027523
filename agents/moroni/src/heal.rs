//! Child plans: a repair of a failed step, or an edit by a person. A child names
//! its parent and carries finished steps over by digest.

use charter::digest::{Digest, DigestError};
use charter::event::StepHead;
use charter::flow::Lane;
use charter::plan::{Plan, PlanSource, Step};
use charter::survey::Survey;
use charter::tool::{ErrorCode, ToolError, ToolSpec};
use serde_json::Value;

/// Names that are tried before a taken one is given up.
const NAMES_TRIED_MAX: u32 = 100;

/// What the ledger keeps of each step of a plan; which lane it takes follows from
/// the specs of the tools.
pub fn heads(plan: &Plan, specs: &[&ToolSpec]) -> Result<Vec<StepHead>, DigestError> {
    let lane = |step: &Step| {
        let spec = specs.iter().find(|spec| spec.name == step.tool);
        Lane::of(step.effect, spec.is_some_and(|spec| spec.asks_model))
    };
    plan.steps
        .iter()
        .map(|step| {
            Ok(StepHead {
                n: step.n,
                digest: step.digest()?,
                needs: step.needs().into_iter().collect(),
                class: step.effect,
                for_each: step.for_each.is_some(),
                lane: lane(step),
            })
        })
        .collect()
}

/// The edited plan as a child of its parent.
pub fn child(parent: &Plan, edited: Plan, reason: &str) -> Result<Plan, DigestError> {
    let parent: Digest = parent.digest()?;
    Ok(Plan { source: PlanSource::Child { parent, reason: reason.to_owned() }, ..edited })
}

/// Positions of the child's steps that are the parent's: equal digest, and equal
/// in all they wait for.
pub fn keep(parent: &Plan, child: &Plan) -> Vec<u32> {
    let mut kept: Vec<u32> = Vec::new();
    for step in &child.steps {
        let same = parent.step(step.n).is_some_and(|old| {
            // A value without canonical form is never the same.
            matches!((old.digest(), step.digest()), (Ok(old), Ok(new)) if old == new)
                && old.needs() == step.needs()
        });
        if same && step.needs().iter().all(|need| kept.contains(need)) {
            kept.push(step.n);
        }
    }
    kept
}

/// A repaired plan for a step that failed, and why it was repaired so; `None`
/// where nothing simple and safe helps: a file that is not there when exactly one
/// has nearly that name, and a name that is taken when a numbered one is free.
pub fn heal(plan: &Plan, n: u32, error: &ToolError, survey: &Survey) -> Option<(Plan, String)> {
    let step = plan.step(n)?;
    let (args, reason) = match error.code {
        ErrorCode::NotFound => rename_missing(step, survey)?,
        ErrorCode::Taken => rename_taken(step, survey)?,
        _ => return None,
    };
    let mut edited = plan.clone();
    edited.steps.get_mut(usize::try_from(n).ok()?.checked_sub(1)?)?.args = args;
    let child = child(plan, edited, &reason).ok()?;
    Some((child, reason))
}

fn rename_missing(step: &Step, survey: &Survey) -> Option<(Value, String)> {
    replace_one(&step.args, &["path", "from", "left", "right"], &|path| {
        if survey.entries.iter().any(|entry| entry.path == path) {
            return None;
        }
        let near: Vec<&str> = survey
            .entries
            .iter()
            .filter(|entry| !entry.folder && is_near(&entry.path, path))
            .map(|entry| entry.path.as_str())
            .collect();
        match near.as_slice() {
            [only] => Some(((*only).to_owned(), format!("{path} is not there; taking {only}"))),
            _ => None,
        }
    })
}

fn rename_taken(step: &Step, survey: &Survey) -> Option<(Value, String)> {
    replace_one(&step.args, &["to", "path"], &|path| {
        let is_there = |name: &str| survey.entries.iter().any(|entry| entry.path == name);
        if !is_there(path) {
            return None;
        }
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(f, n)| (f, n));
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        let slash = if folder.is_empty() { "" } else { "/" };
        (2..NAMES_TRIED_MAX)
            .map(|i| format!("{folder}{slash}{stem}-{i}{extension}"))
            .find(|name| !is_there(name))
            .map(|free| (free.clone(), format!("{path} is taken; using {free}")))
    })
}

/// The arguments with the first of these fields replaced that `new` has a value
/// for. Only plain values: what comes from an earlier step is not guessed at.
fn replace_one(
    args: &Value,
    fields: &[&str],
    new: &dyn Fn(&str) -> Option<(String, String)>,
) -> Option<(Value, String)> {
    let (field, value, reason) = fields.iter().find_map(|field| {
        let path = args.get(field)?.as_str().filter(|text| !text.contains("${"))?;
        let (value, reason) = new(path)?;
        Some((*field, value, reason))
    })?;
    let mut args = args.clone();
    *args.get_mut(field)? = Value::String(value);
    Some((args, reason))
}

/// Whether two paths have the same name but for case, or one letter.
fn is_near(left: &str, right: &str) -> bool {
    let (left, right) = (left.to_lowercase(), right.to_lowercase());
    left == right || one_edit(&left, &right)
}

fn one_edit(left: &str, right: &str) -> bool {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len().abs_diff(right.len()) > 1 {
        return false;
    }
    let start = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let rest = left.len().min(right.len()) - start;
    let end =
        left.iter().rev().zip(right.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    left.len() - start - end <= 1 && right.len() - start - end <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::budget::Budget;
    use charter::effect::EffectClass;
    use charter::survey::Entry;
    use charter::tool::Limits;
    use serde_json::json;

    fn plan(args: Value) -> Plan {
        let step = |n, args| Step {
            n,
            title: String::new(),
            tool: "read".into(),
            version: 1,
            args,
            after: vec![],
            for_each: None,
            effect: EffectClass::Read,
            limits: Limits::default(),
        };
        Plan {
            goal: "test".into(),
            source: PlanSource::File,
            steps: vec![step(1, json!({"files": "*"})), step(2, args)],
            answer: None,
            unmet: vec![],
            budget: Budget::default(),
        }
    }

    #[test]
    fn a_step_takes_the_lane_of_its_class_and_its_tool() {
        let mut plan = plan(json!({}));
        plan.steps[0].effect = EffectClass::Exec;
        let mut spec = crate::samples::specs().remove(0);
        let lanes = |specs: &[&ToolSpec]| {
            heads(&plan, specs).unwrap().into_iter().map(|head| head.lane).collect::<Vec<_>>()
        };
        assert_eq!(lanes(&[]), [Lane::Exec, Lane::Light]);
        (spec.name, spec.asks_model) = ("read".into(), true);
        assert_eq!(lanes(&[&spec]), [Lane::Model, Lane::Model]);
    }

    fn check(args: Value, code: ErrorCode, there: &[&str], expected: Option<Value>) {
        let survey = Survey {
            entries: there
                .iter()
                .map(|path| Entry {
                    path: (*path).into(),
                    folder: false,
                    bytes: 1,
                    modified: 0,
                    columns: vec![],
                })
                .collect(),
            truncated: false,
        };
        let plan = plan(args);
        let healed = heal(&plan, 2, &ToolError::new(code, "failed"), &survey);
        assert_eq!(healed.as_ref().map(|(child, _)| child.steps[1].args.clone()), expected);
        if let Some((child, _)) = healed {
            assert_eq!(keep(&plan, &child), [1]);
            let parent = plan.digest().unwrap();
            assert!(matches!(child.source, PlanSource::Child { parent: p, .. } if p == parent));
        }
    }

    #[test]
    fn the_only_file_with_nearly_that_name_is_taken() {
        let there = ["Notes/Todo.md", "other.md"];
        let found = Some(json!({"path": "Notes/Todo.md"}));
        check(json!({"path": "notes/todo.md"}), ErrorCode::NotFound, &there, found.clone());
        check(json!({"path": "Notes/Tody.md"}), ErrorCode::NotFound, &there, found);
    }

    #[test]
    fn two_candidates_are_none() {
        check(json!({"path": "a.md"}), ErrorCode::NotFound, &["b.md", "c.md"], None);
    }

    #[test]
    fn a_taken_name_gets_the_next_free_number() {
        let there = ["out/report.md", "out/report-2.md"];
        let found = Some(json!({"to": "out/report-3.md"}));
        check(json!({"to": "out/report.md"}), ErrorCode::Taken, &there, found);
    }

    #[test]
    fn values_of_earlier_steps_are_not_guessed_at() {
        check(json!({"path": "${1.path}"}), ErrorCode::NotFound, &["a.md"], None);
        check(json!({"path": "a"}), ErrorCode::Malformed, &["a"], None);
    }
}
