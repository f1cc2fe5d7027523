//! A wish, as the index sees it: what each word is known by, and how much it says.

use super::index::{Index, feature_names};
use super::{CONCEPT, Feature, PROPER_WEIGHT, STOP_WEIGHT, VALUE_WEIGHT};
use crate::words::fold::{dice, distance, trigrams, typos_allowed};
use crate::words::sentence::Sentence;

/// How near a word with a typo is.
const TYPO: f32 = 0.9;
/// How near a compound is to one of its parts.
const PART: f32 = 0.75;
/// Letter groups in common from which words are alike at all.
const ALIKE: f32 = 0.62;

/// A piece of a wish.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// What it is known by, and how near it is to that.
    pub(super) features: Vec<(Feature, f32)>,
    /// How much it says.
    pub(super) weight: f32,
    /// Whether it has a meaning of its own.
    pub(super) content: bool,
    /// Whether it is a word.
    pub(super) word: bool,
    /// Whether something in the workspace is called so.
    pub(super) name: bool,
}

/// A wish, as the index sees it.
#[derive(Debug, Clone)]
pub struct Probe {
    seen: Vec<Seen>,
}

impl Probe {
    pub(super) fn seen(&self, i: usize) -> Option<&Seen> {
        self.seen.get(i)
    }

    /// How much piece `i` says.
    pub(crate) fn weight(&self, i: usize) -> f32 {
        self.seen.get(i).map_or(0.0, |seen| seen.weight)
    }
}

impl Index {
    /// Looks at a wish. Pieces in `values` are values and never count; what is in
    /// `names` is spelled as it should be.
    pub fn probe(
        &self,
        sentence: &Sentence<'_>,
        values: &[bool],
        names: &dyn Fn(&str) -> bool,
    ) -> Probe {
        let seen = (0..sentence.tokens.len()).map(|i| {
            let token = &sentence.tokens[i];
            let value = token.is_value() || values.get(i).copied().unwrap_or(false);
            if value || !token.is_word() {
                let weight = if value { VALUE_WEIGHT } else { 0.0 };
                let features = Vec::new();
                return Seen { features, weight, content: value, word: false, name: false };
            }
            self.seen(sentence, i, names)
        });
        Probe { seen: seen.collect() }
    }

    fn seen(&self, sentence: &Sentence<'_>, i: usize, names: &dyn Fn(&str) -> bool) -> Seen {
        let content = sentence.is_content(i);
        let (mut spelled, mut meant) = (Vec::new(), Vec::new());
        for name in feature_names(sentence, i) {
            match self.feature(&name) {
                Some(feature) if name.starts_with('@') => meant.push((feature, CONCEPT)),
                Some(feature) => spelled.push((feature, 1.0)),
                None => {}
            }
        }
        if sentence.is_foreign(i) || content && self.is_stop_elsewhere(sentence, i) {
            spelled.clear();
        }
        let folded = &sentence.folded[i];
        let name = content && names(folded);
        let mut weight = self.weight(&spelled);
        if spelled.is_empty() && !meant.is_empty() {
            weight = self.weight(&meant).max(0.15);
        } else if spelled.is_empty() && name {
            weight = 0.3;
        } else if spelled.is_empty() && content {
            spelled = self.nearest(folded, sentence.language.code);
            weight = match spelled.as_slice() {
                [] if sentence.is_proper(i) => PROPER_WEIGHT,
                near => self.weight(near),
            };
        }
        spelled.extend(meant);
        let weight = if content { weight } else { STOP_WEIGHT };
        Seen { features: spelled, weight, content, word: true, name }
    }

    /// Features of the known words nearest to an unknown one.
    fn nearest(&self, folded: &str, code: &str) -> Vec<(Feature, f32)> {
        let letters = folded.chars().count();
        let compounds = matches!(code, "de" | "nl");
        let near = |features: &[Feature], nearness: f32| -> Vec<(Feature, f32)> {
            features.iter().map(|feature| (*feature, nearness)).collect()
        };
        let most = typos_allowed(letters);
        let mistyped = self
            .words()
            .iter()
            // Hardly anybody mistypes the first letter.
            .filter(|word| most > 0 && word.folded.chars().next() == folded.chars().next())
            .filter(|word| typos_allowed(word.letters) > 0 && word.is_said_in(code))
            .filter_map(|word| Some((distance(folded, &word.folded, most)?, word)))
            .min_by_key(|(typos, word)| (*typos, &word.folded));
        if let Some((_, word)) = mistyped {
            return near(&word.features, TYPO);
        }
        let mut found = Vec::new();
        for at_end in [false, true].into_iter().filter(|_| compounds) {
            let longest = self
                .words()
                .iter()
                .filter(|word| word.whole && word.letters >= 6 && word.letters + 2 < letters)
                .filter(|word| match at_end {
                    true => folded.ends_with(&word.folded),
                    false => folded.starts_with(&word.folded),
                })
                .max_by_key(|word| word.letters);
            found.extend(longest.map(|word| near(&word.features, PART)).unwrap_or_default());
        }
        if found.is_empty() && letters >= 5 {
            let groups = trigrams(folded);
            let alike = self
                .words()
                .iter()
                .map(|word| (dice(&groups, &word.groups), word))
                .filter(|(alike, _)| *alike >= ALIKE)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            // Helps to cover a word, never to meet a rule.
            found = alike.map(|(alike, w)| near(&w.features, alike * 0.6)).unwrap_or_default();
        }
        found
    }
}
