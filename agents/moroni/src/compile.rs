//! A playbook and the values of its slots, made into steps of a plan.

use crate::playbook::{self, Bounds, Playbook};
use crate::refs;
use crate::template::{self, Escape, Values};
use charter::budget::Budget;
use charter::plan::{ForEach, Step};
use charter::tool::{Limits, ToolSpec};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Steps and answer of a filled playbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// Its steps, numbered on from where the plan stood.
    pub steps: Vec<Step>,
    /// Its answer.
    pub answer: Option<String>,
}

impl Bounds {
    /// The tool's bounds, lowered where these are lower.
    pub fn lower(&self, limits: &Limits) -> Limits {
        let least = |own: u64, bound: Option<u64>| bound.map_or(own, |bound| own.min(bound));
        Limits {
            wall_ms: least(limits.wall_ms, self.wall_ms),
            cpu_ms: least(limits.cpu_ms, self.cpu_ms),
            memory_mb: least(limits.memory_mb, self.memory_mb),
            output_bytes: least(limits.output_bytes, self.output_bytes),
            attempts: self.attempts.map_or(limits.attempts, |bound| limits.attempts.min(bound)),
        }
    }

    /// The mission's budget, lowered where these are lower.
    pub fn lower_budget(&self, budget: &Budget) -> Budget {
        let least = |own: u64, bound: Option<u64>| bound.map_or(own, |bound| own.min(bound));
        Budget {
            steps: least(budget.steps, self.steps),
            wall_ms: least(budget.wall_ms, self.wall_ms),
            cpu_ms: least(budget.cpu_ms, self.cpu_ms),
            bytes_written: least(budget.bytes_written, self.bytes_written),
        }
    }
}

/// The tool that a step names.
pub(crate) fn spec<'s>(specs: &'s [ToolSpec], name: &str) -> Result<&'s ToolSpec, String> {
    specs.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        format!("there is no tool called {name:?}; there are {}", names.join(", "))
    })
}

/// Makes the steps, numbered from `first`.
pub fn compile(
    playbook: &Playbook,
    values: &Values,
    specs: &[ToolSpec],
    first: u32,
) -> Result<Compiled, String> {
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut steps = Vec::new();
    let mut n = first;
    for (i, step) in playbook.steps.iter().enumerate() {
        let place = (i + 1).to_string();
        if !playbook::included(&step.when.0, &step.unless.0, values) {
            continue;
        }
        let wrong = |message: String| format!("step {place} ({}): {message}", step.title);
        let number = |head: &str| match head {
            "item" if step.for_each.is_some() => Ok("item".to_owned()),
            "item" => Err("${item} stands only in a step with for_each".to_owned()),
            head => numbers
                .get(head)
                .map(u32::to_string)
                .ok_or_else(|| format!("${{{head}}} names no earlier step that is taken here")),
        };
        let spec = spec(specs, &step.tool).map_err(wrong)?;
        let named = refs::rename_all(&step.args, &number).map_err(wrong)?;
        let args = template::fill(&named, values).map_err(wrong)?;
        let title = template::fill_text(&step.title, values, Escape::No).map_err(wrong)?;
        let for_each = match &step.for_each {
            None => None,
            Some(each) => Some(ForEach {
                items: refs::rename(&each.items, &number).map_err(wrong)?,
                max_items: each.max_items,
            }),
        };
        let mut after = Vec::new();
        for name in &step.after.0 {
            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            let earlier = number(&name).map_err(wrong)?;
            after.extend(earlier.parse::<u32>().ok());
        }
        steps.push(Step {
            n,
            title: title.and_then(|t| t.as_str().map(str::to_owned)).unwrap_or_default(),
            tool: spec.name.clone(),
            version: spec.version,
            args: match args {
                Some(Value::Object(fields)) => Value::Object(fields),
                _ => Value::Object(Map::new()),
            },
            after,
            for_each,
            effect: spec.effect,
            limits: step.limits.lower(&spec.limits),
        });
        numbers.insert(place, n);
        numbers.extend(step.name.iter().map(|name| (name.clone(), n)));
        n += 1;
    }
    Ok(Compiled { steps, answer: answer(playbook, values, &numbers)? })
}

fn answer(
    playbook: &Playbook,
    values: &Values,
    numbers: &BTreeMap<String, u32>,
) -> Result<Option<String>, String> {
    let number = |head: &str| {
        let found = numbers.get(head).map(u32::to_string);
        found.ok_or_else(|| format!("answer: ${{{head}}} names no step that is taken here"))
    };
    let mut parts = Vec::new();
    for part in &playbook.answer.0 {
        let (text, when, unless) = part.parts();
        if !playbook::included(when, unless, values) {
            continue;
        }
        let named = refs::rename(text, &number)?;
        let filled = template::fill_text(&named, values, Escape::References)
            .map_err(|message| format!("answer: {message}"))?;
        parts.extend(filled.and_then(|text| text.as_str().map(str::to_owned)));
    }
    Ok((!parts.is_empty()).then(|| parts.join("\n")))
}
