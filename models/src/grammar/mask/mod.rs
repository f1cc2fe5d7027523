//! Which tokens may come next, fast.
//!
//! The grammar engine walks a tree of all tokens and asks for each byte whether it may
//! follow. Within a text nearly every token may, and there are 150,000. So characters are
//! put into [`groups`], and before the walk it is looked up which groups may follow each
//! other freely from here, and for how long: what is made of them alone is decided without
//! a walk, and what is left of the tree is small ([`vocabulary`]). What is free is looked up
//! on the states of the engine's lexer ([`lexer`]).
//!
//! The idea of tokens that do not depend on the parser is that of XGrammar (Dong et al.,
//! 2024), that of slices of the vocabulary llguidance's; which they are is found anew here
//! for every state.

mod groups;
mod lexer;
mod vocabulary;

#[cfg(test)]
mod tests;

pub(super) use vocabulary::Vocabulary;

use groups::{Free, TEXT};
use lexer::{Lexer, Rows, Step};
use llguidance::derivre::StateID;
use llguidance::earley::{BiasComputer, ParserRecognizer};
use llguidance::toktrie::{SimpleVob, TokTrie};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Texts of JSON, and what is free where they may come next: the engine can tell that of
/// many patterns from their form, which is sooner done than a search.
const TEXTS: [(&str, Free); 2] = [
    (r#"[^"\\\x00-\x1F\x7F]+"#, Free { groups: TEXT, chars: u16::MAX, exact: true }),
    (r#"[^"\\\x00-\x1F\x7F]{1,24}"#, Free { groups: TEXT, chars: 24, exact: false }),
];
/// How much work that may be, in the engine's units, some 70 ns each; what takes more counts
/// as no.
const TEXTS_FUEL: u64 = 1_000;
/// How long a mask may search.
const SEARCH_MAX: Duration = Duration::from_micros(400);

/// The patterns that every grammar has to know, for [`Masks`]. The engine calls them slices,
/// and keeps trees for them that are not used.
pub(super) fn patterns() -> Vec<String> {
    TEXTS.iter().map(|(pattern, _)| (*pattern).to_owned()).collect()
}

/// Computes the masks of one grammar, which knows [`patterns`].
pub(super) struct Masks {
    vocabulary: Arc<Vocabulary>,
    search_max: Duration,
    /// Of the lexer that all clones of a matcher share. What `deep_clone` makes has a lexer
    /// of its own, so it must not be used.
    rows: Mutex<Rows<StateID>>,
}

impl Masks {
    pub(super) fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Self { vocabulary, search_max: SEARCH_MAX, rows: Mutex::default() }
    }

    /// What is free where the parser stands.
    fn free(&self, parser: &mut ParserRecognizer<'_>) -> Free {
        let state = parser.lexer_state();
        let lexer = parser.lexer_mut();
        if lexer.subsume_possible(state) {
            for (number, (_, free)) in TEXTS.iter().enumerate() {
                // An error would be that the mask is cancelled.
                if lexer.check_subsume(state, number, TEXTS_FUEL, None).unwrap_or(false) {
                    return *free;
                }
            }
        }
        let step = |state: StateID, byte: u8| {
            let next = lexer.transition_start_state(state, Some(byte), &None);
            if next.has_lowest_match() {
                Step::Ends
            } else if !next.is_dead() {
                Step::Within(next)
            } else if lexer.try_lexeme_end(state).is_error() {
                Step::Dead
            } else {
                Step::Ends
            }
        };
        let began = Instant::now();
        let goes_on = || began.elapsed() < self.search_max;
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.free(state, &mut Lexer { step, goes_on }, |free| self.vocabulary.count(free))
    }
}

impl BiasComputer for Masks {
    fn compute_bias(&self, parser: &mut ParserRecognizer<'_>, start: &[u8]) -> SimpleVob {
        if start.is_empty() {
            let free = self.free(parser);
            return self.vocabulary.following(parser, free);
        }
        let mut set = self.trie().alloc_token_set();
        self.trie().add_bias(parser, &mut set, start);
        set
    }

    fn trie(&self) -> &TokTrie {
        self.vocabulary.trie()
    }
}
