//! Words of rules, and where they stand in a wish.

use super::{Feature, Use, View};
use crate::words::token::Kind;
use std::collections::BTreeSet;

/// Nearness from which a word counts as a word of a rule.
pub(super) const NEAR: f32 = 0.7;
/// Most words between the parts of a phrase with `...`.
const GAP_MAX: usize = 12;

/// A word in a rule.
#[derive(Debug)]
pub(crate) enum RuleWord {
    /// Any words: `pack ... aus`.
    Gap,
    /// `^`: what follows begins the part of the wish.
    Start,
    /// A word in any of its forms.
    Features(BTreeSet<Feature>),
    /// `duplikat*`
    Prefix(String),
    /// `*zeilen`
    Suffix(String),
    /// `*zeile*`
    Inside(String),
}

/// A phrase in a rule.
#[derive(Debug)]
pub(crate) enum RulePhrase {
    /// Words in this order, and how they are spelled.
    Words(Vec<RuleWord>, Vec<String>),
    /// `@find`: any word of a general concept.
    Concept(String),
    /// `{where}`: a slot that the words must have filled.
    Slot(String),
    /// `.mbox`: a file with this extension.
    Ending(String),
}

impl RuleWord {
    /// Whether a piece of a wish is this word. `least` bounds how near it must be.
    pub(super) fn fits(&self, view: View<'_>, at: usize, least: f32) -> bool {
        let Some(folded) = view.sentence.folded.get(at) else { return false };
        match self {
            Self::Gap | Self::Start => false,
            Self::Features(features) => view.probe.seen(at).is_some_and(|seen| {
                seen.features.iter().any(|(f, near)| *near >= least && features.contains(f))
            }),
            Self::Prefix(part) => folded.starts_with(part.as_str()),
            Self::Suffix(part) => folded.ends_with(part.as_str()),
            Self::Inside(part) => folded.contains(part.as_str()),
        }
    }
}

impl RulePhrase {
    /// How many pieces of the wish from `i` on the phrase takes; 0 for none.
    pub(crate) fn length_at(&self, view: View<'_>, i: usize, least: f32) -> usize {
        let hidden = |i: usize| {
            view.used_at(i) == Use::Text || !view.probe.seen(i).is_some_and(|seen| seen.word)
        };
        let words = match self {
            Self::Concept(name) => return usize::from(!hidden(i) && view.sentence.means(i, name)),
            Self::Slot(_) => return 0,
            Self::Ending(ending) => {
                let named = view.sentence.folded.get(i).filter(|word| word.len() > ending.len());
                return usize::from(named.is_some_and(|word| word.ends_with(ending.as_str())));
            }
            Self::Words(words, _) => words,
        };
        let mut at = i;
        let (mut skipped, mut gap) = (0, false);
        for (nth, word) in words.iter().enumerate() {
            if matches!(word, RuleWord::Gap) {
                gap = true;
                continue;
            }
            if matches!(word, RuleWord::Start) {
                let begins =
                    (view.from..i).all(|i| view.sentence.is_filler(i) || view.sentence.is_stop(i));
                if !begins {
                    return 0;
                }
                continue;
            }
            loop {
                let Some(token) = view.sentence.tokens.get(at).filter(|_| at < view.to) else {
                    return 0;
                };
                if !hidden(at) && word.fits(view, at, least) {
                    at += 1;
                    break;
                }
                // Function words may stand between the words of a phrase.
                let between = match gap {
                    true => token.kind != Kind::Mark && skipped < GAP_MAX,
                    false => !hidden(at) && view.sentence.is_stop(at) && skipped < 2,
                };
                if nth == 0 || !between {
                    return 0;
                }
                skipped += 1;
                at += 1;
            }
            (skipped, gap) = (0, false);
        }
        at - i
    }

    /// Where the phrase stands first.
    pub(crate) fn find(&self, view: View<'_>) -> Option<std::ops::Range<usize>> {
        (view.from..view.to).find_map(|i| match self.length_at(view, i, NEAR) {
            0 => None,
            length => Some(i..i + length),
        })
    }
}
