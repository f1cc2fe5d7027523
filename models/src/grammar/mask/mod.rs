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
use lexer::{Rows, Step};
use llguidance::derivre::StateID;
use llguidance::earley::{BiasComputer, ParserRecognizer};
use llguidance::toktrie::{SimpleVob, TokTrie};
use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Texts of JSON, and what is free where they may come next: the engine can tell that of
/// many patterns from their form, which is sooner done than a search.
const TEXTS: [(&str, Free); 2] = [
    (r#"[^"\\\x00-\x1F\x7F]+"#, Free { groups: TEXT, chars: u16::MAX, exact: true }),
    (r#"[^"\\\x00-\x1F\x7F]{1,24}"#, Free { groups: TEXT, chars: 24, exact: false }),
];
/// How much work that may be, in the engine's units, some 70 ns each.
const TEXTS_FUEL: u64 = 1_000;
/// How long a mask may search.
const SEARCH_MAX: Duration = Duration::from_micros(400);

/// The patterns that every grammar has to know, for [`Masks`].
pub(super) fn patterns() -> Vec<String> {
    TEXTS.iter().map(|(pattern, _)| (*pattern).to_owned()).collect()
}

/// Computes the masks of one grammar, which knows [`patterns`].
pub(super) struct Masks {
    vocabulary: Arc<Vocabulary>,
    /// Of the lexer that all clones of a matcher share.
    rows: Mutex<Rows<StateID>>,
}

impl Masks {
    pub(super) fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Self { vocabulary, rows: Mutex::default() }
    }

    /// What is free where the parser stands.
    fn free(&self, parser: &mut ParserRecognizer<'_>) -> Free {
        let state = parser.lexer_state();
        let lexer = parser.lexer_mut();
        if lexer.subsume_possible(state) {
            for (number, (_, free)) in TEXTS.iter().enumerate() {
                let may_follow = lexer.check_subsume(state, number, TEXTS_FUEL, None);
                // Where it took too much work, there is the search.
                if may_follow.unwrap_or(false) {
                    return *free;
                }
            }
        }
        let mut step = |state: StateID, byte: u8| {
            let next = lexer.transition_start_state(state, Some(byte), &None);
            if next.has_lowest_match() {
                return Step::Ends;
            }
            if !next.is_dead() {
                return Step::Within(next);
            }
            // The type of these answers has no name here, but in the dead state no lexeme
            // ends.
            let nothing = discriminant(&lexer.try_lexeme_end(StateID::DEAD));
            let ends = discriminant(&lexer.try_lexeme_end(state)) != nothing;
            if ends { Step::Ends } else { Step::Dead }
        };
        let began = Instant::now();
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |free| self.vocabulary.count(free);
        rows.free(state, &mut step, count, || began.elapsed() < SEARCH_MAX)
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
