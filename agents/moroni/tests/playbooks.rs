//! Every shipped playbook lints clean against the tools, for each combination of
//! its optional slots.

mod common;

use charter::budget::Budget;
use charter::plan::{Plan, PlanSource};
use common::specs;
use moroni::compile::compile;
use moroni::lint::lint;
use moroni::playbook::{Allowed, Playbook, Slot, SlotType};
use moroni::playbooks::Library;
use moroni::template::Values;
use serde_json::{Value, json};

/// A value as filling would give it.
fn value(slot: &Slot) -> Value {
    match slot.kind {
        SlotType::Path => json!("expenses.csv"),
        SlotType::Files => json!(["notes/**/*.md"]),
        SlotType::Folder => json!("archive"),
        SlotType::NewFile => json!(format!("out.{}", slot.ext.first().map_or("md", |e| e))),
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

fn plans(playbook: &Playbook) -> Vec<(Vec<&str>, Result<Plan, String>)> {
    let optional = playbook.optional_slots();
    assert!(optional.len() <= 12, "{}: too many optional slots", playbook.name);
    (0u32..1 << optional.len())
        .map(|mask| {
            let empty: Vec<&str> = optional
                .iter()
                .enumerate()
                .filter(|(i, _)| mask & (1 << i) == 0)
                .map(|(_, name)| *name)
                .collect();
            let values: Values = playbook
                .slots
                .iter()
                .filter(|(name, _)| !empty.contains(name))
                .map(|(name, slot)| (name.to_owned(), value(slot)))
                .collect();
            let plan = compile(playbook, &values, &specs(), 1).map(|compiled| Plan {
                goal: playbook.summary.clone(),
                source: PlanSource::Playbook { name: playbook.name.clone(), version: 1 },
                steps: compiled.steps,
                answer: compiled.answer,
                unmet: Vec::new(),
                budget: Budget::default(),
            });
            (empty, plan)
        })
        .collect()
}

#[test]
fn every_playbook_is_sound_whatever_is_filled() {
    let library = Library::shipped().unwrap();
    let mut wrong = Vec::new();
    for playbook in &library.playbooks {
        for (empty, plan) in plans(playbook) {
            match plan {
                Err(message) => {
                    wrong.push(format!("{} without {empty:?}: {message}", playbook.name));
                }
                Ok(plan) => {
                    assert!(plan.answer.is_some(), "{} has no answer", playbook.name);
                    let found = lint(&plan, &specs());
                    wrong.extend(
                        found.iter().map(|f| format!("{} without {empty:?}: {f}", playbook.name)),
                    );
                }
            }
        }
    }
    wrong.truncate(60);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_playbook_speaks_at_least_four_languages() {
    let library = Library::shipped().unwrap();
    for playbook in &library.playbooks {
        for code in ["en", "de", "fr", "es"] {
            let examples = playbook.examples.get(code).map_or(0, Vec::len);
            assert!(examples >= 3, "{} has {examples} examples in {code}", playbook.name);
        }
    }
}
