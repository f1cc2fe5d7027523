//! Phrasings that no playbook has as an example, in several languages: each must
//! come out as its playbook with its slots, or be refused. The format of the
//! corpora is described in `playbooks/README.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use charter::survey::Survey;
use common::{planned, specs, survey, text};
use globset::GlobBuilder;
use moroni::plan_words::{Part, Planned};
use moroni::playbooks::Library;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phrase {
    say: String,
    #[serde(default = "english")]
    lang: String,
    #[serde(default = "all")]
    workspace: String,
    expect: Option<String>,
    #[serde(default)]
    slots: Map<String, Value>,
    #[serde(default)]
    parts: Vec<Expected>,
    #[serde(default)]
    unmet: Vec<String>,
    #[serde(default)]
    missing: Vec<String>,
    /// Globs of files that the slot `files` must not hold.
    #[serde(default)]
    without: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    expect: String,
    #[serde(default)]
    slots: Map<String, Value>,
}

fn english() -> String {
    "en".to_owned()
}

fn all() -> String {
    "all".to_owned()
}

/// The files of a workspace that globs mean; the globs themselves for none.
fn meant(value: &Value, survey: &Survey) -> Value {
    let Value::Array(list) = value else { return value.clone() };
    let globs: Vec<_> = list
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|glob| {
            let glob =
                GlobBuilder::new(glob).literal_separator(true).case_insensitive(true).build();
            glob.ok().map(|glob| glob.compile_matcher())
        })
        .collect();
    let files: Vec<Value> = survey
        .entries
        .iter()
        .filter(|entry| !entry.folder && globs.iter().any(|glob| glob.is_match(&entry.path)))
        .map(|entry| Value::from(entry.path.as_str()))
        .collect();
    if files.is_empty() { value.clone() } else { Value::Array(files) }
}

fn same(expected: &Value, found: &Value, survey: &Survey) -> bool {
    expected == found
        || meant(expected, survey) == meant(found, survey)
        || matches!((expected, found), (one, Value::Array(list)) if list.as_slice() == std::slice::from_ref(one))
}

/// What is wrong with what came of a phrase: playbook, then slots.
fn wrong(phrase: &Phrase, found: &Planned, survey: &Survey) -> (Option<String>, Option<String>) {
    let refused = phrase.expect.as_deref() == Some("refused");
    let (plan, parts): (_, &[Part]) = match found {
        Planned::Plan { plan, parts, .. } => (plan, parts),
        Planned::Refused(refusal) if refused => {
            let unnamed = phrase.missing.iter().find(|word| !refusal.message.contains(*word));
            return (None, unnamed.map(|word| format!("{word} is not in: {}", refusal.message)));
        }
        Planned::Refused(refusal) => return (Some(format!("refused: {}", refusal.message)), None),
    };
    let names: Vec<&str> = parts.iter().map(|part| part.playbook.as_str()).collect();
    if refused {
        return (Some(format!("planned as {names:?}, unmet {:?}", plan.unmet)), None);
    }
    let mut expected = phrase.parts.clone();
    if let Some(one) = &phrase.expect {
        expected.push(Expected { expect: one.clone(), slots: phrase.slots.clone() });
    }
    let wanted: Vec<&str> = expected.iter().map(|part| part.expect.as_str()).collect();
    if names != wanted {
        return (Some(format!("planned as {names:?}, unmet {:?}", plan.unmet)), None);
    }
    if plan.unmet != phrase.unmet {
        return (Some(format!("unmet: {:?}", plan.unmet)), None);
    }
    for (part, expected) in parts.iter().zip(&expected) {
        for (name, value) in &expected.slots {
            let found = part.slots.get(name).unwrap_or(&Value::Null);
            if !same(value, found, survey) {
                return (None, Some(format!("{name} is {found}, not {value}")));
            }
        }
    }
    if let (false, Some(part)) = (phrase.without.is_empty(), parts.first()) {
        let files = part.slots.get("files").cloned().unwrap_or_default();
        let (held, unwanted) =
            (meant(&files, survey), meant(&phrase.without.clone().into(), survey));
        let both = |file: &Value| unwanted.as_array().is_some_and(|list| list.contains(file));
        let any = held.as_array().is_some_and(|list| list.is_empty() || list.iter().any(both));
        if any || files.is_null() {
            return (None, Some(format!("files are {files}, without {unwanted}")));
        }
    }
    (None, None)
}

#[derive(Default)]
struct Tally {
    playbook: (u32, u32),
    slots: (u32, u32),
    refused: (u32, u32),
}

fn share((right, all): (u32, u32)) -> f64 {
    if all == 0 { 1.0 } else { f64::from(right) / f64::from(all) }
}

#[test]
fn other_phrasings_are_understood() {
    let library = Library::shipped().unwrap();
    let specs = specs();
    let mut tally: BTreeMap<String, Tally> = BTreeMap::new();
    let mut failures = Vec::new();
    let folder = format!("{}/tests/phrases", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    for file in files {
        let phrases: Vec<Phrase> = serde_saphyr::from_str(&text(&format!("phrases/{file}")))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        for phrase in phrases {
            let survey = survey(&phrase.workspace);
            let found = planned(&library, &specs, &survey, &phrase.say);
            let (playbook, slots) = wrong(&phrase, &found, &survey);
            let refused = phrase.expect.as_deref() == Some("refused");
            for key in [phrase.lang.as_str(), "all", &file] {
                let tally = tally.entry(key.to_owned()).or_default();
                let count = if refused { &mut tally.refused } else { &mut tally.playbook };
                count.1 += 1;
                count.0 += u32::from(playbook.is_none());
                if !refused && playbook.is_none() {
                    tally.slots.1 += 1;
                    tally.slots.0 += u32::from(slots.is_none());
                }
            }
            if let Some(message) = playbook.or(slots) {
                let expected = phrase.expect.clone().unwrap_or_else(|| {
                    format!(
                        "{:?}",
                        phrase.parts.iter().map(|p| p.expect.clone()).collect::<Vec<_>>()
                    )
                });
                failures.push(format!(
                    "{file} [{}] {} -> {expected}\n      {message}",
                    phrase.lang, phrase.say
                ));
            }
        }
    }
    for (key, tally) in &tally {
        println!(
            "{key:16} playbook {:5.1} % of {:4}   slots {:5.1} % of {:4}   refused {:5.1} % of {:4}",
            100.0 * share(tally.playbook),
            tally.playbook.1,
            100.0 * share(tally.slots),
            tally.slots.1,
            100.0 * share(tally.refused),
            tally.refused.1,
        );
    }
    println!("{}", failures.join("\n"));
    let all = &tally["all"];
    assert!(share(all.playbook) >= 0.98, "playbooks: {}", share(all.playbook));
    assert!(share(all.slots) >= 0.98, "slots: {}", share(all.slots));
    assert!(share(all.refused) >= 0.97, "refusals: {}", share(all.refused));
}
