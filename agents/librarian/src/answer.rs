//! Extractive answers: the sentences that answer a question, word for word, each
//! with its source; or none. Pure.

use crate::passages::{sentences, slice};
use crate::summary::dot;
use crate::terms::{document, query, words};
use charter::embed::Embed;
use charter::memory::Span;
use std::collections::BTreeMap;

/// Sentences of one answer.
pub const QUOTES_MAX: usize = 3;
/// Sentences that are looked at.
const LOOKED_AT: usize = 300;
/// A quote must reach this share of the best one.
const NEAR_BEST: f32 = 0.8;
/// Below this nothing is said: a question without an answer in memory.
const FLOOR: f32 = 0.34;

const WORDS: f32 = 0.5;
const MEANING: f32 = 0.4;
const KIND: f32 = 0.15;
/// What the place of the text in the ranking gives.
const RANK: f32 = 0.1;

/// A sentence that answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quote {
    /// Which of the texts it is from.
    pub text: usize,
    /// Where it stands there.
    pub span: Span,
    /// How well it answers, about 0 to 1.
    pub score: f32,
}

/// What kind of thing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Time,
    Number,
    Name,
    Anything,
}

fn wanted(question: &str) -> Wanted {
    let words = words(question);
    let has = |word: &str| words.iter().any(|w| w == word);
    let after_how = words.iter().skip_while(|w| *w != "how").nth(1).map(String::as_str);
    if has("when") || (has("what") && (has("time") || has("date") || has("day"))) {
        Wanted::Time
    } else if matches!(after_how, Some("many" | "much" | "old" | "long" | "far" | "big" | "tall")) {
        Wanted::Number
    } else if has("who") || has("whom") || has("where") || has("whose") {
        Wanted::Name
    } else {
        Wanted::Anything
    }
}

const TIMES: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "yesterday",
    "tomorrow",
    "week",
    "month",
    "year",
    "morning",
    "evening",
    "tonight",
    "noon",
    "midnight",
    "ago",
    "weekend",
];

fn holds(sentence: &str, wanted: Wanted, question: &[String]) -> bool {
    let number = || sentence.contains(|c: char| c.is_ascii_digit());
    match wanted {
        Wanted::Time => number() || words(sentence).iter().any(|w| TIMES.contains(&w.as_str())),
        Wanted::Number => {
            let spelt = ["one", "two", "three", "four", "five", "six", "ten", "dozen", "hundred"];
            number() || words(sentence).iter().any(|w| spelt.contains(&w.as_str()))
        }
        Wanted::Name => sentence
            .split_whitespace()
            .skip(1)
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
            .filter(|word| word.chars().next().is_some_and(char::is_uppercase) && word.len() > 1)
            .any(|word| !question.contains(&word.to_lowercase())),
        Wanted::Anything => true,
    }
}

/// The best sentences of texts that were recalled, best text first. Empty: what
/// is remembered does not answer the question.
pub fn answer(question: &str, texts: &[&str], embedder: &dyn Embed) -> Vec<Quote> {
    let asked = query(question);
    let asked_words = words(question);
    let vector = embedder.embed(question);
    let wanted = wanted(question);
    let parts: Vec<_> = texts
        .iter()
        .enumerate()
        .flat_map(|(n, text)| {
            let spans = sentences(text).into_iter();
            spans.filter_map(move |span| Some((n, span, slice(text, span)?)))
        })
        .take(LOOKED_AT)
        .collect();
    // How rare a term is among what was recalled: a word that stands everywhere
    // does not tell one sentence from another.
    let mut frequency: BTreeMap<u32, u32> = BTreeMap::new();
    for (term, _) in parts.iter().flat_map(|(.., words)| document(words)) {
        *frequency.entry(term).or_insert(0) += 1;
    }
    let weight = |term: &u32| {
        let found = frequency.get(term).copied().unwrap_or(0) as f32;
        (1.0 + (parts.len() as f32 + 1.0) / (found + 1.0)).ln()
    };
    let whole: f32 = asked.iter().map(|(term, _)| weight(term)).sum();
    let mut quotes: Vec<Quote> = parts
        .iter()
        .map(|(text, span, sentence)| {
            let terms = document(sentence);
            let common = asked.iter().filter(|(term, _)| terms.iter().any(|(t, _)| t == term));
            let shared: f32 = common.map(|(term, _)| weight(term)).sum();
            let overlap = if whole > 0.0 { shared / whole } else { 0.0 };
            let near = dot(&vector, &embedder.embed(sentence)).max(0.0);
            let related = overlap > 0.0 || near > 0.3;
            let kind = if related && holds(sentence, wanted, &asked_words) { KIND } else { 0.0 };
            let rank = RANK / (1.0 + *text as f32);
            let asks_too = sentence.ends_with('?');
            let score = WORDS * overlap + MEANING * near + kind + rank;
            let score = if asks_too { score * 0.5 } else { score };
            Quote { text: *text, span: *span, score }
        })
        .collect();
    quotes.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.text.cmp(&b.text)));
    let best = quotes.first().map_or(0.0, |quote| quote.score);
    quotes.retain(|quote| quote.score >= FLOOR.max(best * NEAR_BEST));
    quotes.truncate(QUOTES_MAX);
    quotes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ByWords;

    const NOTES: &[&str] = &[
        "We met at noon. The plumber Mario Rossi fixed the sink for 120 euros. He was late.",
        "The rent is 950 euros since March. The landlord lives in Ulm.",
        "Did the plumber fix the sink?",
    ];

    fn check(question: &str, expected: &str) {
        let found = answer(question, NOTES, &ByWords);
        let said = found.first().map_or("", |q| slice(NOTES[q.text], q.span).unwrap());
        assert!(said.contains(expected), "{question}: {found:?} {said:?}");
        assert_eq!(said.is_empty(), expected.is_empty(), "{question}: {said:?}");
    }

    #[test]
    fn the_sentence_that_answers_is_quoted() {
        check("Who fixed the sink?", "Mario Rossi");
        check("How much is the rent?", "950 euros");
        check("Where does the landlord live?", "lives in Ulm");
    }

    #[test]
    fn what_is_not_known_is_not_answered() {
        check("What is the capital of Mongolia?", "");
        check("Which trumpet did my cousin buy?", "");
        check("", "");
    }
}
