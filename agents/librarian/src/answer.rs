//! Extractive answers: the sentences that answer a question, word for word, each
//! with its source; or none. Pure.

use crate::passages::{sentences, slice};
use crate::summary::dot;
use crate::terms::{stems, words};
use charter::embed::Embed;
use charter::memory::Span;
use charter::reflex::Reflex;
use std::collections::BTreeSet;

/// Sentences of one answer.
pub const QUOTES_MAX: usize = 3;
/// Sentences that are looked at.
const LOOKED_AT: usize = 300;
/// A quote must reach this share of the best one.
const NEAR_BEST: f32 = 0.8;
/// What all the words of a question say for a text that holds them, beside what a small
/// model says of it; from which sum on it answers; and how far behind the best one a
/// further sentence may be.
const SHARED: f32 = 3.0;
const SURE: f32 = 1.7;
const NEARLY: f32 = 0.7;
/// What it is at least where a sentence answers plainly.
const PLAIN: f32 = 2.2;
/// Bytes of sentences that it reads together.
const PORTION_BYTES: usize = 360;
/// Below this nothing is said: a question without an answer in memory.
const FLOOR: f32 = 0.34;
/// Share of a question's words from which a sentence may answer it: one rare word
/// in common is not enough.
const COVERED: f32 = 0.58;
/// From this cosine on it may in other words.
const MEANT: f32 = 0.62;
/// Or some of the words stand in it, and nearly all in its passage.
const WITHIN: (f32, f32) = (0.4, 0.75);
/// Words that only tell what kind of answer is wanted.
const KINDS: &[&str] = &[
    "much", "mani", "long", "often", "kind", "exact", "pleas", "say", "said", "tell", "told",
    "rememb", "know", "mention", "anyth", "someth", "made",
];
/// Places in which one sentence may stand.
const PLACES_MAX: usize = 12;
/// Words of a line that may be the heading of something.
const HEADING_WORDS: usize = 6;
/// Stems that ask for the same.
const SAME: &[&[&str]] = &[
    &["call", "name"],
    &["cost", "price", "pay", "paid", "spend", "spent", "expens", "fee"],
    &["live", "resid", "home"],
    &["work", "job", "employ"],
    &["colour", "color", "paint"],
    &["borrow", "lent", "lend"],
    &["insur", "insurer"],
];

const WORDS: f32 = 0.5;
const MEANING: f32 = 0.4;
const KIND: f32 = 0.15;
/// What the place of the text in the ranking gives.
const RANK: f32 = 0.1;

/// The stems of a question that an answer should hold.
pub(crate) fn telling(question: &str) -> BTreeSet<String> {
    stems(question).into_iter().filter(|stem| !KINDS.contains(&stem.as_str())).collect()
}

/// A sentence that answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quote {
    /// Which of the texts it is from.
    pub text: usize,
    /// Where it stands there.
    pub span: Span,
    /// How well it answers: about 0 to 1 by words and meaning ([`answer`]), a sum of
    /// evidence where a small model was asked ([`answer_by`]).
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
    } else if has("number")
        || has("code")
        || has("pin")
        || matches!(after_how, Some("many" | "much" | "old" | "long" | "far" | "big" | "tall"))
    {
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

/// Each stem of a text, as one for all that ask for the same.
fn asked_for(text: &str) -> Vec<String> {
    let one = |stem: String| {
        let same = SAME.iter().find(|same| same.contains(&stem.as_str()));
        same.and_then(|same| same.first()).map_or(stem, |first| (*first).to_owned())
    };
    stems(text).into_iter().filter(|stem| stem != "s").map(one).collect()
}

/// Whether a line only names what stands below it: it says nothing itself.
fn is_heading(line: &str, asked: &BTreeSet<String>) -> bool {
    let says = line.trim_start_matches(|c: char| c.is_whitespace() || "#*_=-|>".contains(c));
    let few = words(says).len() <= HEADING_WORDS;
    let whole = says.ends_with(['.', '!', '…']) || says.contains(':');
    line.starts_with('#')
        || stems(says).is_empty()
        || (few && !whole && asked_for(says).iter().all(|stem| asked.contains(stem)))
}

/// The stems that an answer should hold.
fn wanted_stems(question: &str) -> BTreeSet<String> {
    let all: BTreeSet<String> = asked_for(question).into_iter().collect();
    let tell: BTreeSet<String> =
        all.iter().filter(|stem| !KINDS.contains(&stem.as_str())).cloned().collect();
    if tell.is_empty() { all } else { tell }
}

/// How much of a question stands in a sentence and in its passage: the shares of
/// its words, and the cosine.
#[derive(Debug, Clone, Copy)]
struct Nearness {
    share: f32,
    around: f32,
    cosine: f32,
}

impl Nearness {
    fn is_enough(self) -> bool {
        let (some, nearly_all) = WITHIN;
        self.share >= COVERED
            || self.cosine >= MEANT
            || (self.share >= some && self.around >= nearly_all)
    }
}

/// The share of some stems that others hold.
fn share(asked: &BTreeSet<String>, held: &[String]) -> f32 {
    let found = asked.iter().filter(|stem| held.contains(stem)).count();
    found as f32 / asked.len().max(1) as f32
}

/// Whether a text has to do with a question, though it may not answer it.
pub fn is_near(question: &str, text: &str, embedder: &dyn Embed) -> bool {
    let share = share(&wanted_stems(question), &asked_for(text));
    let cosine = dot(&embedder.embed(question), &embedder.embed(text));
    Nearness { share, around: share, cosine }.is_enough()
}

/// The sentences of texts that were recalled that a small model and the words of the
/// question hold for the answer, surest first. Empty: what is remembered does not answer
/// the question.
pub fn answer_by(question: &str, texts: &[&str], reflex: &dyn Reflex) -> Vec<Quote> {
    if words(question).is_empty() {
        return Vec::new();
    }
    let (asked, asked_words, wanted) = (wanted_stems(question), words(question), wanted(question));
    let (mut quotes, mut left) = (Vec::<Quote>::new(), LOOKED_AT);
    for (n, text) in texts.iter().enumerate() {
        let spans = sentences(text).into_iter();
        let said: Vec<(Span, &str)> = spans
            .filter_map(|span| Some((span, slice(text, span)?)))
            .filter(|(_, line)| !is_heading(line, &asked))
            .take(left)
            .collect();
        left -= said.len();
        for part in portions(&said) {
            let lines: Vec<&str> = part.iter().map(|(_, line)| *line).collect();
            let reply = reflex.answer(question, &lines);
            let held: Vec<String> = lines.iter().flat_map(|line| asked_for(line)).collect();
            let score = logit(reply.sure) + SHARED * share(&asked, &held);
            if let Some((span, _)) = part.get(reply.sentence) {
                quotes.push(Quote { text: n, span: *span, score });
            }
            // Who says all the words of the question, and the kind of thing that it asks
            // for, answers plainly.
            let plain = part.iter().filter(|(_, line)| {
                !line.ends_with('?')
                    && share(&asked, &asked_for(line)) >= 1.0
                    && holds(line, wanted, &asked_words)
            });
            quotes.extend(plain.map(|(span, _)| Quote {
                text: n,
                span: *span,
                score: score.max(PLAIN),
            }));
        }
    }
    let best = quotes.iter().map(|quote| quote.score).fold(f32::MIN, f32::max);
    quotes.retain(|quote| quote.score >= SURE.max(best - NEARLY));
    quotes.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.text.cmp(&b.text)));
    once_each(quotes, texts)
}

/// How sure as a sum of evidence.
fn logit(share: f32) -> f32 {
    let share = share.clamp(1e-6, 1.0 - 1e-6);
    (share / (1.0 - share)).ln()
}

/// Sentences in portions that are read together: a sentence may say of what the one
/// before it spoke.
fn portions<'s, 't>(said: &'s [(Span, &'t str)]) -> Vec<&'s [(Span, &'t str)]> {
    let (mut found, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (i, (_, line)) in said.iter().enumerate() {
        if i > from && bytes + line.len() > PORTION_BYTES {
            found.extend(said.get(from..i));
            (from, bytes) = (i, 0);
        }
        bytes += line.len();
    }
    found.extend(said.get(from..).filter(|rest| !rest.is_empty()));
    found
}

/// A sentence that stands in several places is one sentence.
fn once_each(mut quotes: Vec<Quote>, texts: &[&str]) -> Vec<Quote> {
    let mut said = BTreeSet::new();
    quotes.retain(|quote| {
        let words = texts.get(quote.text).and_then(|text| slice(text, quote.span)).map(words);
        let words = words.unwrap_or_default();
        said.contains(&words) || (said.len() < QUOTES_MAX && said.insert(words))
    });
    quotes.truncate(PLACES_MAX);
    quotes
}

/// The best sentences of texts that were recalled by their words and their meaning,
/// best text first. Empty: what is remembered does not answer the question.
pub fn answer(question: &str, texts: &[&str], embedder: &dyn Embed) -> Vec<Quote> {
    let asked = wanted_stems(question);
    let around: Vec<f32> = texts.iter().map(|text| share(&asked, &asked_for(text))).collect();
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
        .filter(|(_, _, line)| !is_heading(line, &asked))
        .map(|(text, span, line)| (text, span, line, asked_for(line)))
        .take(LOOKED_AT)
        .collect();
    // How rare a term is among what was recalled: a word that stands everywhere
    // does not tell one sentence from another.
    let weight = |stem: &&String| {
        let found = parts.iter().filter(|(.., held)| held.contains(stem)).count() as f32;
        (1.0 + (parts.len() as f32 + 1.0) / (found + 1.0)).ln()
    };
    let weights: Vec<(&String, f32)> = asked.iter().map(|stem| (stem, weight(&stem))).collect();
    let whole: f32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut quotes: Vec<Quote> = parts
        .iter()
        .filter_map(|(text, span, sentence, held)| {
            let common = weights.iter().filter(|(stem, _)| held.contains(stem));
            let shared: f32 = common.map(|(_, weight)| weight).sum();
            let overlap = if whole > 0.0 { shared / whole } else { 0.0 };
            let near = dot(&vector, &embedder.embed(sentence)).max(0.0);
            let around = around.get(*text).copied().unwrap_or(0.0);
            if !(Nearness { share: share(&asked, held), around, cosine: near }).is_enough() {
                return None;
            }
            let related = overlap > 0.0 || near > 0.15;
            let kind = if related && holds(sentence, wanted, &asked_words) { KIND } else { 0.0 };
            let rank = RANK / (1.0 + *text as f32);
            let asks_too = sentence.ends_with('?');
            let score = WORDS * overlap + MEANING * near + kind + rank;
            let score = if asks_too { score * 0.5 } else { score };
            Some(Quote { text: *text, span: *span, score })
        })
        .collect();
    quotes.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.text.cmp(&b.text)));
    let best = quotes.first().map_or(0.0, |quote| quote.score);
    quotes.retain(|quote| quote.score >= FLOOR.max(best * NEAR_BEST));
    once_each(quotes, texts)
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
    fn one_rare_word_in_common_is_no_answer() {
        check("What is the code of the landlord's alarm?", "");
        check("Which garden gate did the plumber paint?", "");
    }

    #[test]
    fn headings_answer_nothing_and_repetitions_count_once() {
        let texts = ["# The rent\nThe rent is 950 euros.", "Rent", "The rent is 950 euros."];
        let found = answer("How much is the rent?", &texts, &ByWords);
        let said: Vec<_> = found.iter().map(|q| slice(texts[q.text], q.span).unwrap()).collect();
        assert_eq!(said, ["The rent is 950 euros."; 2]);
    }

    #[test]
    fn what_is_not_known_is_not_answered() {
        check("What is the capital of Mongolia?", "");
        check("Which trumpet did my cousin buy?", "");
        check("", "");
    }
}
