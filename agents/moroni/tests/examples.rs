//! Every example of every shipped playbook, in every language, its markers filled
//! with samples, comes out as its own playbook.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{planned, specs, survey};
use moroni::likeness::markers;
use moroni::plan_words::Planned;
use moroni::playbook::{Allowed, Slot, SlotType};
use moroni::playbooks::Library;

fn sample(slot: &Slot) -> String {
    if let Some(sample) = &slot.sample {
        return sample.clone();
    }
    let choice = slot.values.first().map(|allowed| match allowed {
        Allowed::Choice(choice) => choice.words[0].clone(),
        Allowed::Name(name) => name.clone(),
    });
    match slot.kind {
        SlotType::Path => "expenses.csv",
        SlotType::Files => "docs/",
        SlotType::Folder => "archive/",
        SlotType::NewFile => {
            return format!("out.{}", slot.ext.first().map_or("md", String::as_str));
        }
        SlotType::Text => "\"budget\"",
        SlotType::Number => "100",
        SlotType::Date => "2025-03-01",
        SlotType::Column => {
            if slot.numeric {
                "amount"
            } else {
                "category"
            }
        }
        SlotType::Condition => "amount > 100",
        SlotType::Format | SlotType::Choice => return choice.unwrap_or_default(),
    }
    .to_owned()
}

#[test]
fn every_example_plans_to_its_own_playbook() {
    let library = Library::shipped().unwrap();
    let (specs, survey) = (specs(), survey("all"));
    let (mut all, mut wrong) = (0, Vec::new());
    for playbook in &library.playbooks {
        for (language, examples) in &playbook.examples {
            for example in examples {
                let mut words = example.clone();
                for marker in markers(example) {
                    let slot = playbook.slot(marker).unwrap_or_else(|| {
                        panic!("{}: {example}: no slot is called {marker}", playbook.name)
                    });
                    words = words.replace(&format!("{{{marker}}}"), &sample(slot));
                }
                all += 1;
                let found = match planned(&library, &specs, &survey, &words) {
                    Planned::Plan { parts, plan, .. } => {
                        let names: Vec<String> = parts.iter().map(|p| p.playbook.clone()).collect();
                        if names == [playbook.name.clone()] && plan.unmet.is_empty() {
                            continue;
                        }
                        format!("{names:?} unmet {:?}", plan.unmet)
                    }
                    Planned::Refused(refusal) => refusal.message,
                };
                wrong.push(format!("{} [{language}] {words}\n      {found}", playbook.name));
            }
        }
    }
    println!("{}\n{} of {all} wrong", wrong.join("\n"), wrong.len());
    assert!(wrong.is_empty());
}
