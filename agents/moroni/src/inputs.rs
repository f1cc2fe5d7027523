//! Other inputs for one step of a plan: what a person changes of a step that died.

use crate::heal;
use charter::plan::{Plan, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Parts that a path may have.
const PARTS_MAX: usize = 16;

/// One value, and where it goes in the arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Names of fields and numbers of elements (from 0), with dots between them:
    /// `path`, `rows.0.name`.
    pub path: String,
    /// The value.
    pub value: Value,
}

/// Why inputs cannot be put into a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The plan has no such step.
    #[error("the plan has no step {0}")]
    Step(u32),
    /// The path leads nowhere.
    #[error("there is no place {path:?} in the inputs: {why}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        why: String,
    },
}

/// The plan with other arguments for step `n`: these in their place, if they are
/// given, with each of `sets` put into them.
pub fn edited(plan: &Plan, n: u32, args: Option<Value>, sets: &[Set]) -> Result<Plan, InputError> {
    let mut plan = plan.clone();
    let step = usize::try_from(n).ok().and_then(|n| plan.steps.get_mut(n.checked_sub(1)?));
    let step: &mut Step = step.ok_or(InputError::Step(n))?;
    if let Some(args) = args {
        step.args = args;
    }
    for set in sets {
        put(&mut step.args, &set.path, set.value.clone())?;
    }
    Ok(plan)
}

/// Positions that a child plan carries over when one dead step gets other inputs:
/// the steps that are the same, and those that another dead step keeps from running
/// anyway. `dead` lists the other steps that ended without a result.
pub fn carried(parent: &Plan, child: &Plan, dead: &[u32]) -> Vec<u32> {
    let mut kept = heal::keep(parent, child);
    kept.extend(dead.iter().flat_map(|n| parent.downstream(*n)));
    kept.sort_unstable();
    kept.dedup();
    kept
}

/// Puts a value into arguments. Only the last part of a path may be new.
fn put(args: &mut Value, path: &str, value: Value) -> Result<(), InputError> {
    let wrong = |why: String| InputError::Path { path: path.chars().take(80).collect(), why };
    let parts: Vec<&str> = path.split('.').collect();
    if parts.len() > PARTS_MAX || parts.iter().any(|part| part.is_empty()) {
        return Err(wrong(format!("expected one to {PARTS_MAX} names with dots between them")));
    }
    let mut place = args;
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        place = match place {
            Value::Object(fields) => {
                if last {
                    fields.entry(*part).or_insert(Value::Null);
                }
                let known = fields.keys().cloned().collect::<Vec<_>>().join(", ");
                fields
                    .get_mut(*part)
                    .ok_or_else(|| wrong(format!("{part:?} is none of its fields ({known})")))?
            }
            Value::Array(items) => {
                let count = items.len();
                let index: usize = part
                    .parse()
                    .map_err(|_| wrong(format!("{part:?} is no number of an element")))?;
                if last && index == count {
                    items.push(Value::Null);
                }
                items
                    .get_mut(index)
                    .ok_or_else(|| wrong(format!("the list has {count} elements, from 0 on")))?
            }
            _ => return Err(wrong(format!("{part:?} would stand inside a plain value"))),
        };
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::budget::Budget;
    use charter::effect::EffectClass;
    use charter::plan::PlanSource;
    use charter::tool::Limits;
    use serde_json::json;

    fn check(args: Value, path: &str, expect: Result<Value, &str>) {
        let mut args = args;
        let found = put(&mut args, path, json!(7)).map(|()| args).map_err(|e| e.to_string());
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{found}"),
            (found, expect) => panic!("{found:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn a_value_goes_to_its_place() {
        check(json!({"a": 1, "b": 2}), "a", Ok(json!({"a": 7, "b": 2})));
        check(json!({"a": 1}), "new", Ok(json!({"a": 1, "new": 7})));
        check(json!({"a": [1, {"b": 2}]}), "a.1.b", Ok(json!({"a": [1, {"b": 7}]})));
        check(json!({"a": [1]}), "a.1", Ok(json!({"a": [1, 7]})));
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        check(json!({"a": 1}), "c.d", Err("none of its fields (a)"));
        check(json!({"a": 1}), "a.b", Err("inside a plain value"));
        check(json!({"a": [1]}), "a.2", Err("1 elements"));
        check(json!({"a": [1]}), "a.x", Err("no number"));
        check(json!({}), "", Err("expected one to"));
    }

    fn plan(needs: &[&[u32]]) -> Plan {
        let step = |(n, after): (u32, &&[u32])| Step {
            n,
            title: String::new(),
            tool: "read".into(),
            version: 1,
            args: json!({ "path": n }),
            after: after.to_vec(),
            for_each: None,
            effect: EffectClass::Read,
            limits: Limits::default(),
        };
        Plan {
            goal: "test".into(),
            source: PlanSource::File,
            steps: (1..).zip(needs).map(step).collect(),
            answer: None,
            unmet: vec![],
            budget: Budget::default(),
        }
    }

    #[test]
    fn only_what_depends_on_the_step_starts_anew() {
        let parent = plan(&[&[], &[1], &[1], &[2], &[3], &[2, 3]]);
        let sets = [Set { path: "path".into(), value: json!("other") }];
        let child = edited(&parent, 2, None, &sets).unwrap();
        assert_eq!(carried(&parent, &child, &[]), [1, 3, 5]);
        // Step 3 is dead too: step 6 cannot run anyway.
        assert_eq!(carried(&parent, &child, &[3]), [1, 3, 5, 6]);
        assert_eq!(edited(&parent, 9, None, &sets), Err(InputError::Step(9)));
    }
}
