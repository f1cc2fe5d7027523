//! How like a wish is to a playbook.
//!
//! One figure from 0 to 1:
//!
//! ```text
//! likeness = rules × (0.25 + 0.75 × coverage) × (0.60 + 0.40 × example)
//!          + 0.03 × (concept groups hit beyond the first, at most two)
//! ```
//!
//! - **rules**: 1 when every concept group of the playbook is hit, times
//!   [`MISSED_GROUP`] for each that is not; 0 when a forbidden word is there.
//! - **coverage**: the share of the wish's words, weighed by rarity, that the
//!   playbook knows from its examples, rules and slots, or that filled a slot. A
//!   word that no playbook knows weighs most, so a wish about something else
//!   falls here.
//! - **example**: likeness to the nearest example: words in common on both
//!   sides, weighed by rarity; a longer wish that contains the example counts too.
//!
//! Words are compared by spelling, by stem, by general concept (which reaches
//! across languages), and where a word is known nowhere, by the nearest known
//! spelling: typos, parts of compounds, letter groups. Words that are values
//! never count. Below [`THRESHOLD`] a wish is out of reach.

mod index;
mod probe;
mod rule;

pub(crate) use index::quoted;
pub use index::{Index, markers};
pub use probe::Probe;
pub(crate) use rule::RulePhrase;

use crate::words::sentence::Sentence;
use index::{Example, Known};
use rule::NEAR;
use std::ops::Range;

/// A wish less like a playbook than this is out of its reach.
pub const THRESHOLD: f32 = 0.48;
/// Factor for each concept group that a wish does not hit.
pub const MISSED_GROUP: f32 = 0.62;
/// Factor for a wish that hits no concept group at all.
const NO_GROUP: f32 = 0.8;
/// Weight of a function word beside that of a rare word.
const STOP_WEIGHT: f32 = 0.08;
/// Weight of a value beside that of a rare word.
const VALUE_WEIGHT: f32 = 0.6;
/// Weight of an unknown proper name: it says little about what is wished.
const PROPER_WEIGHT: f32 = 0.15;
/// Share of its weight with which a word inside a free text counts as unknown.
const TEXT_SHARE: f32 = 0.25;
/// The same for a word by which other playbooks are known.
const OTHERS_SHARE: f32 = 0.7;
/// Weight that speaks for every playbook, so that a wish of few words is not lost
/// by one of them.
const PRIOR: f32 = 0.3;
/// How much an example counts that is wholly contained in a longer wish.
const CONTAINED: f32 = 0.8;
/// Weight of a function word that is part of a rule.
const RULE_STOP: f32 = 0.1;
/// How much a shared general concept counts beside a shared word.
const CONCEPT: f32 = 0.8;

type Feature = u32;

/// How like a wish is to a playbook, and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Likeness {
    /// From 0 to 1.
    pub score: f32,
    /// Share by rules.
    pub rules: f32,
    /// Share of the words that are known.
    pub coverage: f32,
    /// Likeness to the nearest example.
    pub example: f32,
    /// Pieces of the wish that hit a rule.
    pub hits: Vec<usize>,
    /// Pieces with a meaning that the playbook does not know.
    pub uncovered: Vec<usize>,
}

/// How a piece of a wish was used by a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Not at all.
    #[default]
    No,
    /// As a word that leads to a value.
    Lead,
    /// As a value.
    Value,
    /// Inside a free text: says nothing about what is wished.
    Text,
}

/// A part of a wish, and how slots took its pieces.
#[derive(Clone, Copy)]
pub struct View<'v> {
    /// The wish.
    pub sentence: &'v Sentence<'v>,
    /// The wish, as the index sees it.
    pub probe: &'v Probe,
    /// First piece of the part.
    pub from: usize,
    /// Piece after the last.
    pub to: usize,
    /// How each piece of the wish was used.
    pub used: &'v [Use],
}

impl View<'_> {
    fn range(&self) -> Range<usize> {
        self.from..self.to
    }

    fn used_at(&self, i: usize) -> Use {
        self.used.get(i).copied().unwrap_or_default()
    }
}

impl Index {
    /// How like a part of a wish is to playbook `p`. `spoken` names the slots that
    /// its words filled; `None` before they were filled, when any may yet be.
    pub fn likeness(&self, view: View<'_>, p: usize, spoken: Option<&[String]>) -> Likeness {
        let Some(known) = self.known(p) else { return Likeness::default() };
        let (rules, groups_hit, hits) = rules(known, view, spoken);
        let (coverage, uncovered) = self.coverage(known, p, view, &hits);
        let example = known.examples.iter().map(|example| alike(example, view)).fold(0.0, f32::max);
        let score = combine(rules, coverage, example, groups_hit);
        Likeness { score, rules, coverage, example, hits, uncovered }
    }

    /// The share of the words that a playbook knows, and those it does not.
    fn coverage(
        &self,
        known: &Known,
        p: usize,
        view: View<'_>,
        hits: &[usize],
    ) -> (f32, Vec<usize>) {
        let (mut all, mut covered) = (PRIOR, PRIOR);
        let mut uncovered = Vec::new();
        for i in view.range() {
            let Some(seen) = view.probe.seen(i) else { continue };
            if !seen.content {
                // "still need to do": function words of a rule speak for it.
                let share = if hits.contains(&i) { RULE_STOP } else { 0.0 };
                all += share;
                covered += share;
                continue;
            }
            let used = view.used_at(i);
            if used == Use::Text {
                // Free words say little, unless they are what others are about.
                let decides = |(feature, near): &(Feature, f32)| {
                    *near >= 1.0 && self.decides_other(*feature, p)
                };
                let others = seen.name || seen.features.iter().any(decides);
                let share = match (seen.word, others) {
                    (false, _) => 0.0,
                    (true, true) => OTHERS_SHARE,
                    (true, false) => TEXT_SHARE,
                };
                all += share * seen.weight;
                continue;
            }
            let share = if used != Use::No || hits.contains(&i) {
                1.0
            } else {
                let shared = seen.features.iter().filter(|(f, _)| known.vocabulary.contains(f));
                shared.map(|(_, nearness)| *nearness).fold(0.0, f32::max)
            };
            all += seen.weight;
            covered += share * seen.weight;
            if share < 0.5 {
                uncovered.push(i);
            }
        }
        (covered / all, uncovered)
    }
}

/// How far the rules are met, how many groups, and by which pieces.
fn rules(known: &Known, view: View<'_>, spoken: Option<&[String]>) -> (f32, u8, Vec<usize>) {
    let (mut rules, mut groups_hit) = (1.0, 0u8);
    let mut hits: Vec<usize> = Vec::new();
    let any = (!known.any.is_empty()).then_some(&known.any);
    for group in known.all.iter().chain(any) {
        let mut hit = group.iter().any(|phrase| match phrase {
            RulePhrase::Slot(slot) => spoken.is_none_or(|spoken| spoken.contains(slot)),
            _ => false,
        });
        for phrase in group {
            for i in view.range() {
                let length = phrase.length_at(view, i, NEAR);
                if length > 0 {
                    hit = true;
                    hits.extend(i..i + length);
                }
            }
        }
        match hit {
            true => groups_hit += 1,
            false => rules *= MISSED_GROUP,
        }
    }
    if groups_hit == 0 && !known.all.is_empty() {
        rules *= NO_GROUP;
    }
    let forbidden = |phrase: &RulePhrase| view.range().any(|i| phrase.length_at(view, i, 1.0) > 0);
    if known.none.iter().any(forbidden) {
        rules = 0.0;
    }
    hits.sort_unstable();
    hits.dedup();
    (rules, groups_hit, hits)
}

/// The one figure.
fn combine(rules: f32, coverage: f32, example: f32, groups_hit: u8) -> f32 {
    let specific = f32::from(groups_hit.saturating_sub(1).min(2));
    let likeness = rules * (0.25 + 0.75 * coverage) * (0.60 + 0.40 * example);
    if rules > 0.0 { (likeness + 0.03 * specific).min(1.0) } else { 0.0 }
}

/// Words in common with an example on both sides, weighed.
fn alike(example: &Example, view: View<'_>) -> f32 {
    let mut matched = vec![0.0f32; example.weights.len()];
    let (mut total, mut common) = (0.0, 0.0);
    for i in view.range() {
        let Some(seen) = view.probe.seen(i).filter(|seen| seen.word) else { continue };
        if view.used_at(i) >= Use::Value {
            continue;
        }
        total += seen.weight;
        let mut best = 0.0f32;
        for (feature, nearness) in &seen.features {
            let Some(places) = example.places.get(feature) else { continue };
            best = best.max(*nearness);
            for place in places {
                if let Some(matched) = matched.get_mut(*place) {
                    *matched = matched.max(*nearness);
                }
            }
        }
        common += best * seen.weight;
    }
    let theirs: f32 = matched.iter().zip(&example.weights).map(|(m, w)| m * w).sum();
    let both = total + example.total;
    let mutual = if both > 0.0 { (common + theirs) / both } else { 0.0 };
    // A wish may say more than an example; it still says all of it.
    let contained = if example.total >= 0.8 { CONTAINED * theirs / example.total } else { 0.0 };
    mutual.max(contained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::Playbook;
    use crate::words::Lexicon;

    const BOOKS: [&str; 3] = [
        "name: links\nversion: 1\nsummary: s\nsteps: [{title: t, tool: x}]\n\
         examples: {en: [list all links in the documents], de: [liste alle Links auf]}\n\
         rules: {all: [[link, links, verweis*]], none: [broken, \"^ mail\"]}\n",
        "name: duplicates\nversion: 1\nsummary: s\nsteps: [{title: t, tool: x}]\n\
         examples: {en: [find duplicate files], de: [finde doppelte Dateien]}\n\
         rules: {all: [[duplicate, doppelt, \"@same\"]]}\n",
        "name: tests\nversion: 1\nsummary: s\nsteps: [{title: t, tool: x}]\n\
         examples: {en: [run the tests], de: [führe die Tests aus]}\n\
         rules: {all: [[run the tests, führe ... aus]]}\n",
    ];

    /// Scores of the three playbooks, in hundredths.
    fn scores(wish: &str) -> [u32; 3] {
        let lexicon = Lexicon::shipped().unwrap();
        let books = BOOKS.map(|text| Playbook::parse("p", text, lexicon).unwrap());
        let index = Index::new(&books, lexicon);
        let sentence = Sentence::read(lexicon, wish, &|_| false).unwrap();
        let probe = index.probe(&sentence, &[], &|_| false);
        let used = vec![Use::No; sentence.tokens.len()];
        let view = View {
            sentence: &sentence,
            probe: &probe,
            from: 0,
            to: sentence.tokens.len(),
            used: &used,
        };
        [0, 1, 2].map(|p| (index.likeness(view, p, Some(&[])).score * 100.0).round() as u32)
    }

    fn check(wish: &str, expect: usize) {
        let scores = scores(wish);
        let best = (0..3).max_by_key(|p| scores[*p]).unwrap();
        assert_eq!(best, expect, "{wish}: {scores:?}");
        assert!(scores[best] >= (THRESHOLD * 100.0) as u32, "{wish}: {scores:?}");
    }

    #[test]
    fn an_example_is_most_like_its_own_playbook() {
        assert_eq!(scores("list all links in the documents")[0], 100);
        assert_eq!(scores("finde doppelte Dateien")[1], 100);
    }

    #[test]
    fn other_words_languages_and_typos_are_understood() {
        check("could you please show me every link?", 0);
        check("Verweisliste der Dokumente", 0);
        check("find dublicate files", 1);
        check("identical files", 1);
        check("busca archivos duplicados", 1);
        check("führe bitte mal alle Tests aus", 2);
    }

    #[test]
    fn an_imperative_is_told_from_a_noun() {
        assert_eq!(scores("please mail all links in the documents")[0], 0);
        assert!(scores("list all links in the mail")[0] > 0);
    }

    #[test]
    fn what_is_about_something_else_is_far() {
        for wish in ["book me a flight to Paris", "what is the weather", "list broken links"] {
            let scores = scores(wish);
            assert!(scores.iter().all(|s| *s < 45), "{wish}: {scores:?}");
        }
    }
}
