//! Trying a playbook without a wish: its plan for each combination of optional
//! slots must be sound.

use crate::compile::compile;
use crate::lint::lint;
use crate::playbook::{Allowed, Playbook, Slot, SlotType};
use crate::template::Values;
use charter::budget::Budget;
use charter::plan::{Plan, PlanSource};
use charter::tool::ToolSpec;
use serde_json::{Value, json};

/// Most optional slots whose combinations are all tried.
const OPTIONAL_MAX: usize = 12;

/// A value as words would give it.
fn sample(slot: &Slot) -> Value {
    match slot.kind {
        SlotType::Path => json!("expenses.csv"),
        SlotType::Files => json!(["notes/**/*.md"]),
        SlotType::Folder => json!("archive"),
        SlotType::NewFile => json!(format!("out.{}", slot.ext.first().map_or("md", |ext| ext))),
        SlotType::Text => json!("budget"),
        SlotType::Number => json!(5),
        SlotType::Date => json!("2025-03-01"),
        SlotType::Column if slot.many => json!(["amount"]),
        SlotType::Column => json!("amount"),
        SlotType::Condition => json!([{"column": "amount", "is": ">", "value": 100}]),
        SlotType::Format | SlotType::Choice => match slot.values.first() {
            Some(Allowed::Name(name)) => json!(name),
            Some(Allowed::Choice(choice)) if slot.many && !choice.value.is_array() => {
                json!([choice.value])
            }
            Some(Allowed::Choice(choice)) => choice.value.clone(),
            None => json!("json"),
        },
    }
}

/// Everything that is wrong with the plans of a playbook, whatever is filled.
pub fn trial(playbook: &Playbook, specs: &[ToolSpec]) -> Vec<String> {
    let optional = playbook.optional_slots();
    if optional.len() > OPTIONAL_MAX {
        return vec![format!(
            "it has {} optional slots, more than the {OPTIONAL_MAX} that can be tried",
            optional.len()
        )];
    }
    let mut wrong = Vec::new();
    for mask in 0u32..1 << optional.len() {
        let is_empty = |name: &str| {
            optional.iter().position(|other| *other == name).is_some_and(|i| mask & (1 << i) == 0)
        };
        let empty: Vec<&str> = optional.iter().copied().filter(|name| is_empty(name)).collect();
        let filled = playbook.slots.iter().filter(|(name, _)| !is_empty(name));
        let values: Values = filled.map(|(name, slot)| (name.to_owned(), sample(slot))).collect();
        let found = match compile(playbook, &values, specs, 1) {
            Err(message) => vec![message],
            Ok(compiled) => {
                let unanswered = compiled.answer.is_none().then(|| "it has no answer".to_owned());
                let plan = Plan {
                    goal: playbook.summary.clone(),
                    source: PlanSource::Playbook {
                        name: playbook.name.clone(),
                        version: playbook.version,
                    },
                    steps: compiled.steps,
                    answer: compiled.answer,
                    unmet: Vec::new(),
                    budget: Budget::default(),
                };
                lint(&plan, specs).iter().map(ToString::to_string).chain(unanswered).collect()
            }
        };
        let without = match empty.as_slice() {
            [] => String::new(),
            names => format!(" without {}", names.join(", ")),
        };
        wrong.extend(
            found.into_iter().map(|message| format!("{}{without}: {message}", playbook.name)),
        );
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::specs;
    use crate::words::Lexicon;

    fn check(slots: &str, args: &str, expect: &[&str]) {
        let text = format!(
            "name: p\nversion: 1\nsummary: s\nexamples: {{en: [do it]}}\nslots: {{{slots}}}\n\
             steps: [{{title: t, tool: delete, args: {{{args}}}}}]\nanswer: done\n"
        );
        let playbook = Playbook::parse("p", &text, Lexicon::shipped().unwrap()).unwrap();
        assert_eq!(trial(&playbook, &specs()), expect);
    }

    #[test]
    fn every_combination_is_tried() {
        check("a: {type: path}", "path: \"{{a}}\"", &[]);
        check(
            "a: {type: path, optional: true}",
            "path: \"{{a}}\"",
            &["p without a: error: step 1: \"path\" is missing"],
        );
        check(
            "a: {type: files}",
            "path: \"{{a}}\"",
            &["p: error: step 1, args.path: expected string, found array"],
        );
    }
}
