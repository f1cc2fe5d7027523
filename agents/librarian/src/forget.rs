//! Forgetting: what goes when something goes. Pure.

use charter::ids::{ContentId, MemoryId};
use charter::memory::{MemoryRow, MemoryState, Source};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Shorter phrases stand in too much that was not meant.
pub const PHRASE_CHARS_MIN: usize = 3;

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Memories.
    pub memories: BTreeSet<MemoryId>,
    /// Texts, those of the memories among them.
    pub contents: BTreeSet<ContentId>,
}

/// What was removed and what was left, without the text itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Memories that are gone, by kind.
    pub memories: BTreeMap<String, usize>,
    /// Texts that are gone.
    pub contents: usize,
    /// Files of the user that hold it and were left.
    pub files_left: usize,
}

/// How a phrase may stand in stored texts: as said, in other capitals, and as
/// JSON writes it.
pub fn forms(phrase: &str) -> Vec<String> {
    let phrase = phrase.trim();
    let mut forms = BTreeSet::new();
    let mut capital = phrase.to_lowercase();
    if let Some(first) = capital.chars().next() {
        capital.replace_range(..first.len_utf8(), &first.to_uppercase().to_string());
    }
    for form in [phrase.to_owned(), phrase.to_lowercase(), phrase.to_uppercase(), capital] {
        let json = serde_json::Value::from(form.as_str()).to_string();
        let inside = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
        forms.extend(inside.map(str::to_owned));
        forms.insert(form);
    }
    forms.retain(|form| !form.is_empty());
    forms.into_iter().collect()
}

/// The words of a phrase, in the forms of each, rarest guess first: a text that
/// holds the phrase across a line break holds them all.
pub fn needles(phrase: &str) -> Vec<Vec<String>> {
    let mut words: Vec<&str> = phrase.split_whitespace().collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
    words.into_iter().map(forms).collect()
}

/// Whether a phrase stands in a stored text, whatever the capitals, whatever the
/// white space, and as JSON writes it.
pub fn holds(text: &str, phrase: &str) -> bool {
    let phrase = phrase.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let plain = ["\\n", "\\r", "\\t"].iter().fold(text.to_owned(), |t, mark| t.replace(mark, " "));
    flat(text).contains(&phrase) || flat(&plain.replace("\\\"", "\"")).contains(&phrase)
}

/// Everything that goes with some texts and memories: memories of those texts,
/// memories made from memories that go, however far, and the texts of all.
///
/// The text that a memory was taken from goes too where it is the memory itself:
/// the turn that was said (`said` names the texts of a turn).
pub fn plan(
    memories: &BTreeSet<MemoryId>,
    contents: &BTreeSet<ContentId>,
    held: &[MemoryRow],
    said: impl Fn(&Source) -> Vec<ContentId>,
) -> Plan {
    let held: Vec<_> = held.iter().filter(|row| row.state != MemoryState::Forgotten).collect();
    let mut plan = Plan { memories: BTreeSet::new(), contents: contents.clone() };
    for row in &held {
        let path_goes = row.sources.iter().any(|source| match source {
            Source::Document { path, .. } => contents.contains(&path.id),
            Source::Import { origin: Some(origin), .. } => contents.contains(&origin.id),
            _ => false,
        });
        if memories.contains(&row.id) || contents.contains(&row.text.id) || path_goes {
            plan.memories.insert(row.id.clone());
        }
    }
    // Each round adds at least one memory, so there are at most as many rounds.
    for _ in 0..held.len() {
        let before = plan.memories.len();
        for row in &held {
            if row.derived_from.iter().any(|from| plan.memories.contains(from)) {
                plan.memories.insert(row.id.clone());
            }
        }
        if plan.memories.len() == before {
            break;
        }
    }
    for row in held.iter().filter(|row| plan.memories.contains(&row.id)) {
        plan.contents.insert(row.text.id.clone());
        plan.contents.extend(row.sources.iter().filter_map(|source| match source {
            Source::Import { origin, .. } => origin.as_ref().map(|origin| origin.id.clone()),
            _ => None,
        }));
        if row.derived_from.is_empty() {
            plan.contents.extend(row.sources.iter().flat_map(&said));
        }
    }
    plan
}

/// The receipt of a plan that was carried out.
pub fn receipt(plan: &Plan, held: &[MemoryRow], files_left: usize) -> Receipt {
    let mut memories = BTreeMap::new();
    for row in held.iter().filter(|row| plan.memories.contains(&row.id)) {
        *memories.entry(row.is.as_str().to_owned()).or_insert(0) += 1;
    }
    Receipt { memories, contents: plan.contents.len(), files_left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::content::ContentRef;
    use charter::digest::Digest;
    use charter::ids::TenantId;
    use charter::label::Label;
    use charter::memory::MemoryKind;

    fn memory(n: u32) -> MemoryId {
        format!("k-{n:016}").parse().unwrap()
    }

    fn content(n: u32) -> ContentId {
        format!("c-{n:016}").parse().unwrap()
    }

    /// Memory `n` with text `n`, made from others.
    fn row(n: u32, from: &[u32]) -> MemoryRow {
        MemoryRow {
            id: memory(n),
            tenant: TenantId::local(),
            is: if from.is_empty() { MemoryKind::Turn } else { MemoryKind::Summary },
            state: MemoryState::Held,
            sources: vec![Source::Import { name: format!("{n}"), origin: None }],
            span: None,
            text: ContentRef { id: content(n), sha256: Digest::of(b"x"), label: Label::TRUSTED },
            scope: "user".into(),
            embedder: "e".into(),
            at: 1,
            valid_from: 1,
            valid_to: None,
            replaced_by: None,
            derived_from: from.iter().map(|n| memory(*n)).collect(),
        }
    }

    fn check(memories: &[u32], contents: &[u32], expected: &[u32], texts: &[u32]) {
        let held = [row(1, &[]), row(2, &[]), row(3, &[1, 2]), row(4, &[3]), row(5, &[])];
        let plan = plan(
            &memories.iter().map(|n| memory(*n)).collect(),
            &contents.iter().map(|n| content(*n)).collect(),
            &held,
            |source| match source {
                Source::Import { name, .. } if name == "1" => vec![content(91)],
                _ => vec![],
            },
        );
        assert_eq!(plan.memories, expected.iter().map(|n| memory(*n)).collect());
        assert_eq!(plan.contents, texts.iter().map(|n| content(*n)).collect());
        let receipt = receipt(&plan, &held, 0);
        assert_eq!(receipt.memories.values().sum::<usize>(), expected.len());
    }

    #[test]
    fn what_was_made_from_it_goes_too() {
        check(&[5], &[], &[5], &[5]);
        check(&[1], &[], &[1, 3, 4], &[1, 3, 4, 91]);
        check(&[], &[2, 77], &[2, 3, 4], &[2, 3, 4, 77]);
        check(&[4], &[], &[4], &[4]);
        check(&[], &[], &[], &[]);
    }

    #[test]
    fn a_phrase_stands_across_lines_and_gaps() {
        for text in ["the blue key", "The  blue\nKEY hangs", "{\"a\":\"the blue\\nkey\"}"] {
            assert!(holds(text, "the  blue key"), "{text}");
        }
        assert!(holds("{\"a\":\"the \\\"blue\\\" key\"}", "the \"blue\" key"));
        assert!(!holds("the bluekey", "blue key") && !holds("blue: key", "blue key"));
        assert_eq!(needles("the blueish key")[0][0], "BLUEISH");
        assert!(needles(" ").is_empty());
    }

    #[test]
    fn a_phrase_is_looked_for_as_json_writes_it_too() {
        let forms = forms(" Say \"Zürich\" ");
        for form in ["Say \"Zürich\"", "say \"zürich\"", "SAY \"ZÜRICH\"", "Say \\\"Zürich\\\""]
        {
            assert!(forms.iter().any(|known| known == form), "{form} {forms:?}");
        }
        assert!(super::forms("  ").is_empty());
    }
}
