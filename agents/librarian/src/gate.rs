//! The write gate: what is worth keeping, and what is known already.
//!
//! Memory rots from writing, not from reading. A text that came out of memory is
//! never taken in again ([`Origin::Recalled`]); what is known already is merged;
//! what says nothing is not kept.

use crate::terms::{stems, words};
use std::collections::BTreeSet;

/// A longer text is not one memory: it is a document.
pub const TEXT_BYTES_MAX: usize = 16 << 10;
/// Cosine from which two texts may be the same said twice.
pub const NEAR: f32 = 0.94;
/// Share of stems that they must have in common.
const COMMON: f32 = 0.8;

/// Where a text that wants in comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A person said or wrote it, or a tool made it from what is not memory.
    Fresh,
    /// It was made with the help of recalled memories.
    Recalled,
}

/// What becomes of a text that wants in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept.
    Keep,
    /// It is not, for this reason.
    Refuse(&'static str),
}

/// Whether a text is worth keeping by itself.
pub fn admit(text: &str, origin: Origin) -> Verdict {
    if origin == Origin::Recalled {
        return Verdict::Refuse("it came out of memory");
    }
    if text.len() > TEXT_BYTES_MAX {
        return Verdict::Refuse("it is too long for one memory; add it as a document");
    }
    if !text.chars().any(char::is_alphanumeric) {
        return Verdict::Refuse("it holds no words");
    }
    if stems(text).is_empty() {
        return Verdict::Refuse("it says nothing by itself");
    }
    Verdict::Keep
}

/// Words that turn a sentence round.
const TURNS: &[&str] = &[
    "not", "no", "never", "none", "nobody", "nothing", "without", "neither", "nor", "cannot",
    "isn", "aren", "wasn", "weren", "don", "doesn", "didn", "won", "wouldn", "can", "couldn",
    "shouldn", "before", "after", "more", "less", "from", "to", "i", "you", "he", "she", "we",
    "they", "my", "your", "his", "her", "our", "their",
];

/// Whether two texts say the same: the same words, or nearly, and the same
/// numbers, the same turns, the same persons.
pub fn same(a: &str, b: &str, cosine: f32) -> bool {
    let (left, right) = (stems(a), stems(b));
    let turns = |text: &str| {
        let words = words(text);
        words.into_iter().filter(|word| TURNS.contains(&word.as_str())).collect::<Vec<_>>()
    };
    if turns(a) != turns(b) {
        return false;
    }
    if left == right {
        return true;
    }
    let with_digit = |stems: &[String]| {
        let digits = stems.iter().filter(|stem| stem.contains(|c: char| c.is_ascii_digit()));
        digits.cloned().collect::<Vec<_>>()
    };
    if cosine < NEAR || with_digit(&left) != with_digit(&right) {
        return false;
    }
    // One name exchanged for another makes another statement: what differs must
    // be words too many on one side only.
    let (left, right): (BTreeSet<_>, BTreeSet<_>) =
        (left.into_iter().collect(), right.into_iter().collect());
    let common = left.intersection(&right).count() as f32;
    let all = left.union(&right).count() as f32;
    (left.is_subset(&right) || right.is_subset(&left)) && common / all >= COMMON
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, expected: bool) {
        assert_eq!(same(a, b, 0.99), expected, "{a:?} {b:?}");
        assert_eq!(same(b, a, 0.99), expected, "{b:?} {a:?}");
    }

    #[test]
    fn the_same_said_twice_is_the_same() {
        check("The rent is due on Friday.", "the rent is due on friday", true);
        check(
            "My sister Ada moved to Berlin last May",
            "my sister ada moved to Berlin, last May!",
            true,
        );
        check(
            "the new office door code opens room five",
            "the new office door code opens room five today",
            true,
        );
    }

    #[test]
    fn another_fact_is_another() {
        check("the rent is 900", "the rent is 950", false);
        check("I like tea", "I do not like tea", false);
        check("Ada owes Bob money", "Ada owes Eve money", false);
        check("my keys are in the drawer", "your keys are in the drawer", false);
        check("the train goes from Bonn to Ulm", "the train goes to Ulm from Bonn", false);
        assert!(!same(
            "the new office door code opens room five",
            "the new office door code opens room five today",
            0.5
        ));
    }

    #[test]
    fn the_gate_refuses_what_is_no_memory() {
        let refused = |text: &str, origin| matches!(admit(text, origin), Verdict::Refuse(_));
        assert!(refused("", Origin::Fresh) && refused("🙂!!", Origin::Fresh));
        assert!(refused("it is so", Origin::Fresh));
        assert!(refused(&"long ".repeat(10_000), Origin::Fresh));
        assert!(refused("The rent is 900", Origin::Recalled));
        assert_eq!(admit("The rent is 900", Origin::Fresh), Verdict::Keep);
    }
}
