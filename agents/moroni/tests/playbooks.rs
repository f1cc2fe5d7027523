//! Every shipped playbook is sound against the tools, for each combination of its
//! optional slots.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::specs;
use moroni::playbooks::Library;
use moroni::trial::trial;

#[test]
fn every_playbook_is_sound_whatever_is_filled() {
    let library = Library::shipped().unwrap();
    let specs = specs();
    let wrong: Vec<String> =
        library.playbooks.iter().flat_map(|playbook| trial(playbook, &specs)).collect();
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
