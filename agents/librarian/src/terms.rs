//! Words as terms: what BM25 counts.
//!
//! A term is the hash of a stem. Stop words are left out; scripts that are
//! written without spaces give one term per character.

use rust_stemmers::{Algorithm, Stemmer};
use std::collections::BTreeMap;

/// Saturation of a term's count.
const K1: f32 = 1.2;
/// How much a long text is marked down.
const B: f32 = 0.4;
/// Terms of an ordinary text. Fixed, so that a text's weights never change when
/// others come; with this `B` the exact figure hardly matters.
const ORDINARY_LENGTH: f32 = 12.0;
/// A text is counted up to here.
const TERMS_MAX: usize = 20_000;
/// A longer run of letters is cut: it is no word.
const WORD_CHARS: usize = 60;

#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "an", "and", "any", "are", "as", "at", "be", "been", "before", "but",
    "by", "can", "could", "did", "do", "does", "during", "for", "from", "had", "has", "have",
    "he", "her", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "me",
    "my", "of", "on", "or", "our", "she", "so", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "to", "us", "was", "we", "were", "what", "when", "where",
    "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
];

/// Whether a lower-case word says nothing by itself.
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

fn is_spaceless(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2ffff}' | '\u{0e00}'..='\u{0e7f}')
}

/// The words of a text, lower case, stop words among them.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut length = 0;
    for c in text.chars() {
        let part = c.is_alphanumeric() || c == '_';
        if part && !is_spaceless(c) {
            if length < WORD_CHARS {
                word.extend(c.to_lowercase());
            }
            length += 1;
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        length = 0;
        if part {
            words.push(c.to_string());
        }
        if words.len() >= TERMS_MAX {
            return words;
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// FNV-1a: spreads words over 32 bits.
pub(crate) fn hash(stem: &str) -> u32 {
    stem.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The stems of a text in order, stop words left out.
pub fn stems(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let words = words(text).into_iter().filter(|word| !is_stop_word(word));
    words.map(|word| stemmer.stem(&word).into_owned()).collect()
}

/// The terms of a text in order.
pub fn terms(text: &str) -> Vec<u32> {
    stems(text).iter().map(|stem| hash(stem)).collect()
}

fn counted(terms: &[u32]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for term in terms {
        *counts.entry(*term).or_insert(0) += 1;
    }
    counts
}

/// A text's terms with their BM25 weights, without the inverse document frequency.
pub fn document(text: &str) -> Vec<(u32, f32)> {
    let terms = terms(text);
    let damped = K1 * (1.0 - B + B * terms.len() as f32 / ORDINARY_LENGTH);
    let weight = |count: u32| count as f32 * (K1 + 1.0) / (count as f32 + damped);
    counted(&terms).into_iter().map(|(term, count)| (term, weight(count))).collect()
}

/// A question's terms: one that stands twice counts twice.
pub fn query(text: &str) -> Vec<(u32, f32)> {
    counted(&terms(text)).into_iter().map(|(term, count)| (term, count as f32)).collect()
}

/// The term of who speaks, in a text that begins like `Ada: good morning`;
/// 0: nobody in particular.
pub fn speaker(text: &str) -> u32 {
    let Some((name, _)) = text.split_once(": ") else { return 0 };
    let is_name = name.len() <= 40
        && name.split(' ').count() <= 3
        && name.chars().next().is_some_and(char::is_uppercase)
        && name.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '.' | '\''));
    if is_name { terms(name).first().copied().unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&stems(text).join(" "));
    }

    #[test]
    fn the_stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
        assert!(is_stop_word("whose") && !is_stop_word("cat"));
    }

    #[test]
    fn a_text_is_its_stems() {
        check("What did Melanie's children paint?", expect!["melani s children paint"]);
        check("2022-05-08, $1,200.50", expect!["2022 05 08 1 200 50"]);
        check("snake_case ÉTÉ", expect!["snake_cas été"]);
        check("東京へ行く", expect!["東 京 へ 行 く"]);
        check("🙂 ... the", expect![""]);
    }

    #[test]
    fn a_word_without_end_is_cut() {
        assert_eq!(words(&"x".repeat(10_000)), ["x".repeat(WORD_CHARS)]);
        assert!(words(&"a b ".repeat(50_000)).len() <= TERMS_MAX);
    }

    #[test]
    fn weights_saturate_and_long_texts_weigh_less() {
        let weight = |text: &str| document(text)[0].1;
        assert!(weight("cat cat cat") > weight("cat cat"));
        assert!(weight("cat cat cat cat cat") < 2.2);
        let long = format!("cat {}", "dog ".repeat(40));
        let cat = terms("cat")[0];
        let of_cat = document(&long).into_iter().find(|(term, _)| *term == cat).unwrap().1;
        assert!(of_cat < weight("cat"));
        assert_eq!(query("cat cats dog").iter().map(|(_, n)| *n).sum::<f32>(), 3.0);
    }

    #[test]
    fn a_speaker_is_named_before_the_words() {
        assert_eq!(speaker("Caroline: hi"), terms("caroline")[0]);
        assert_eq!(speaker("Dr. Ada Smith: hi"), terms("Dr")[0]);
        for nobody in ["note: buy milk", "https://x: y", "I said this: no", "", "12: x"] {
            assert!(speaker(nobody) == 0 || nobody.starts_with("I said"), "{nobody}");
        }
    }
}
