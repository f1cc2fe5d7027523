//! The words by which a playbook is known: examples, words of rules, a name.

use super::super::Sample;
use super::{Draft, Hole, Maker};
use crate::planner::{Names, Planner};
use charter::effect::EffectClass;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Words of rules that a playbook gets.
const WORDS_MAX: usize = 60;

impl Maker<'_, '_> {
    /// The wishes with slots in place of what they say.
    pub(super) fn examples(&self) -> BTreeMap<String, Vec<String>> {
        let mut examples: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (nth, sample) in self.samples.iter().enumerate() {
            let text = example(&self.holes, sample, nth);
            examples.entry(sample.reading.language.clone()).or_default().push(text);
        }
        examples
    }

    /// Words by which the playbook is known: those of the wishes that are no value,
    /// and general concepts that two wishes share.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words: BTreeMap<String, usize> = BTreeMap::new();
        for (nth, sample) in self.samples.iter().enumerate() {
            let inside = |start: usize| {
                let said = self.holes.iter().filter_map(|hole| hole.said.get(nth)?.clone());
                said.into_iter().any(|range| range.contains(&start))
            };
            let mut own = BTreeSet::new();
            for piece in sample.reading.pieces.iter().filter(|p| p.content && !inside(p.start)) {
                if piece.names == Names::Nothing {
                    own.insert(piece.folded.clone());
                    own.extend(piece.concepts.iter().map(|concept| format!("@{concept}")));
                }
            }
            for word in own {
                *words.entry(word).or_insert(0) += 1;
            }
        }
        // The tools that look are named by what they do: "hash", "search".
        for step in &self.samples[0].mission.plan.steps {
            if step.effect == EffectClass::Read {
                *words.entry(step.tool.clone()).or_insert(0) += 1;
            }
        }
        let mut words: Vec<(String, usize)> =
            words.into_iter().filter(|(word, n)| !word.starts_with('@') || *n >= 2).collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        words.into_iter().take(WORDS_MAX).map(|(word, _)| word).collect()
    }
}

impl Draft {
    /// A wish that nobody made yet: the words of one sample with the values of another.
    /// `None` where they do not say the same things.
    pub(in crate::playbook) fn crossed(
        &self,
        samples: &[Sample<'_>],
        words: usize,
        values: usize,
    ) -> Option<String> {
        let (one, other) = (samples.get(words)?, samples.get(values)?);
        let (mut text, theirs) = (one.mission.wish.trim().to_owned(), other.mission.wish.trim());
        let mut marks: Vec<(&Range<usize>, &str)> = Vec::new();
        for hole in &self.holes {
            match (hole.said.get(words)?, hole.said.get(values)?) {
                (Some(place), Some(said)) => marks.push((place, theirs.get(said.clone())?)),
                (None, None) => {}
                _ => return None,
            }
        }
        marks.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        for (place, said) in marks {
            text.get(place.clone())?;
            text.replace_range(place.clone(), said);
        }
        let made = samples.iter().any(|s| s.mission.wish.trim() == text);
        (one.reading.language == other.reading.language && !made).then_some(text)
    }

    /// The wish of a sample with slots in place of what it says.
    pub(in crate::playbook) fn example(&self, sample: &Sample<'_>, nth: usize) -> String {
        example(&self.holes, sample, nth)
    }
}

fn example(holes: &[Hole], sample: &Sample<'_>, nth: usize) -> String {
    let mut marks: Vec<(Range<usize>, &str)> = holes
        .iter()
        .filter_map(|hole| Some((hole.said.get(nth)?.clone()?, hole.name.as_str())))
        .collect();
    marks.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = sample.mission.wish.trim().to_owned();
    for (range, name) in marks {
        if text.get(range.clone()).is_some() {
            text.replace_range(range, &format!("{{{name}}}"));
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name that nobody has: words that most wishes share, and the tools.
pub(super) fn name(
    samples: &[Sample<'_>],
    words: &[String],
    planner: &dyn Planner,
    chain: &[&str],
) -> String {
    let plain = |word: &&String| {
        word.len() > 2
            && word.chars().all(|c| c.is_ascii_lowercase())
            && !chain.contains(&word.as_str())
    };
    let shared = |word: &&String| {
        let says = |s: &&Sample<'_>| s.reading.pieces.iter().any(|p| p.folded == **word);
        samples.iter().filter(says).count() >= 2
    };
    let mut tools: Vec<&str> = Vec::new();
    for tool in chain {
        if !tools.contains(tool) {
            tools.push(tool);
        }
    }
    let named: Vec<&str> =
        words.iter().filter(plain).filter(shared).take(2).map(String::as_str).collect();
    let base = if named.is_empty() { tools.join("-") } else { named.join("-") };
    let base: String = base.replace('_', "-").chars().take(40).collect();
    let base = format!("learned-{}", base.trim_matches('-'));
    (1..1_000)
        .map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") })
        .find(|name| !planner.is_taken(name))
        .unwrap_or(base)
}
