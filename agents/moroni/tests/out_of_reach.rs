//! How often a wish that nothing here can meet is planned after all. The phrases
//! are a file of one's own, one per line, named by `OUT_OF_REACH`; what stands
//! behind a tab is a group for the table.
//!
//! `OUT_OF_REACH=phrases.tsv cargo test -p moroni --test out_of_reach -- --ignored --nocapture`

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{planned, specs, survey};
use moroni::plan_words::Planned;
use moroni::playbooks::Library;
use std::collections::BTreeMap;

#[test]
#[ignore = "needs a file of phrases"]
fn what_is_out_of_reach_is_refused() {
    let path = std::env::var("OUT_OF_REACH").unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let library = Library::shipped().unwrap();
    let specs = specs();
    let surveys = ["household", "webshop", "all", "studio"].map(survey);
    let mut groups: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let (mut wrong, mut all) = (0u32, 0u32);
    for (line, survey) in text.lines().zip(surveys.iter().cycle()) {
        let (words, group) = line.split_once('\t').unwrap_or((line, ""));
        let group = groups.entry(group.to_owned()).or_default();
        (group.1, all) = (group.1 + 1, all + 1);
        let found = planned(&library, &specs, survey, words);
        if let Planned::Plan { plan, parts, reason, notes } = found {
            (group.0, wrong) = (group.0 + 1, wrong + 1);
            let names: Vec<&str> = parts.iter().map(|part| part.playbook.as_str()).collect();
            println!("{words} -> {names:?} unmet {:?} {notes:?} ({reason})", plan.unmet);
        }
    }
    for (group, (wrong, all)) in groups.iter().filter(|(_, (wrong, _))| *wrong > 0) {
        println!("{group:30} {wrong:4} of {all:5}");
    }
    let share = f64::from(wrong) / f64::from(all.max(1));
    println!("{wrong} of {all} are planned: {:.2} %", 100.0 * share);
    assert!(share < 0.03, "{wrong} of {all} are planned");
}
