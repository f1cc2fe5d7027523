//! What texts say about a topic: whole documents in, the sentences that speak of
//! it out, most relevant first. Pure.
//!
//! A sentence speaks of a topic by its own words, by those of the headings it
//! stands under, and by its meaning. Words count by how rare they are in these
//! texts; below a floor nothing is said.

use crate::passages::{sentences, slice};
use crate::summary::dot;
use crate::terms::{is_stop_word, stems, words};
use charter::embed::Embed;
use charter::memory::Span;
use std::collections::BTreeSet;

/// Sentences that are looked at.
const LOOKED_AT: usize = 20_000;
/// Words of a topic that are looked for.
const TOPIC_WORDS: usize = 24;
/// Words that a sentence needs to be worth quoting.
const WORDS_MIN: usize = 3;
/// Below this a sentence is about something else.
const FLOOR: f32 = 0.42;
/// What the words of a heading above count beside a sentence's own.
const HEADING: f32 = 0.7;
/// From here on a meaning speaks for itself, without a word in common.
const MEANT: f32 = 0.52;
/// What meaning adds to words.
const MEANING: f32 = 0.3;
/// Letters that two words share from the beginning on to be forms of one.
const STEM_MIN: usize = 4;
/// Letters of a part of a compound.
const PART_MIN: usize = 5;

/// A sentence about the topic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Which of the texts it is from.
    pub text: usize,
    /// Where it stands there.
    pub span: Span,
    /// How much it is about the topic.
    pub score: f32,
}

/// The words of a topic that tell something, each once.
fn topic_stems(topic: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = stems(topic).into_iter().filter(|stem| seen.insert(stem.clone()));
    all.take(TOPIC_WORDS).collect()
}

/// How far one stem is a form of another, or a part of it: `küche` and
/// `küchenplan`.
fn alike(wanted: &str, found: &str) -> f32 {
    if wanted == found {
        return 1.0;
    }
    let count = |word: &str| word.chars().count();
    let (short, long) = match wanted.len() <= found.len() {
        true => (wanted, found),
        false => (found, wanted),
    };
    let letters = count(short);
    if short.chars().any(|c| c.is_ascii_digit()) {
        return 0.0;
    }
    if letters >= STEM_MIN && long.starts_with(short) {
        return if count(long) - letters <= 3 { 0.95 } else { 0.75 };
    }
    // "kitchens", "Küchen": forms that differ in their last letters only.
    let common = wanted.chars().zip(found.chars()).take_while(|(a, b)| a == b).count();
    let longest = count(wanted).max(count(found));
    if common >= PART_MIN && common + 2 >= longest {
        return 0.9;
    }
    if letters >= PART_MIN && long.contains(short) { 0.7 } else { 0.0 }
}

/// How well each stem of a topic is met by some others.
fn met(topic: &[String], found: &[String]) -> Vec<f32> {
    let best = |wanted: &String| found.iter().map(|f| alike(wanted, f)).fold(0.0, f32::max);
    topic.iter().map(best).collect()
}

/// The share of a topic's words, from 0 to 1, that a text has in some form.
pub fn share(topic: &str, text: &str) -> f32 {
    let topic = topic_stems(topic);
    let found = met(&topic, &stems(text));
    found.iter().sum::<f32>() / (topic.len() as f32).max(1.0)
}

struct Part<'t> {
    text: usize,
    span: Span,
    words: &'t str,
    own: Vec<f32>,
    above: Vec<f32>,
}

fn parts<'t>(topic: &[String], texts: &[&'t str]) -> Vec<Part<'t>> {
    let mut parts = Vec::new();
    for (text, whole) in texts.iter().enumerate() {
        // The headings that a sentence stands under, outermost first.
        let mut headings: Vec<(usize, Vec<f32>)> = Vec::new();
        for span in sentences(whole) {
            let Some(words) = slice(whole, span) else { continue };
            let own = met(topic, &stems(words));
            let level = words.len() - words.trim_start_matches('#').len();
            if level > 0 {
                headings.retain(|(above, _)| *above < level);
                headings.push((level, own));
                continue;
            }
            let met_above = |at: usize| {
                let found = headings.iter().filter_map(|(_, met)| met.get(at));
                found.copied().fold(0.0, f32::max)
            };
            let above = (0..topic.len()).map(met_above).collect();
            parts.push(Part { text, span, words, own, above });
            if parts.len() >= LOOKED_AT {
                return parts;
            }
        }
    }
    parts
}

/// The sentences that speak of a topic, most relevant first, at most `limit` of
/// each text, none twice.
pub fn about(topic: &str, texts: &[&str], limit: usize, embedder: &dyn Embed) -> Vec<Said> {
    let wanted = topic_stems(topic);
    if wanted.is_empty() {
        return Vec::new();
    }
    let parts = parts(&wanted, texts);
    // A word of the topic that stands in every sentence tells little.
    let rarity: Vec<f32> = (0..wanted.len())
        .map(|at| {
            let found = parts.iter().filter(|p| p.own.get(at).is_some_and(|m| *m > 0.0)).count();
            (1.0 + (parts.len() as f32 + 1.0) / (found as f32 + 1.0)).ln()
        })
        .collect();
    let whole: f32 = rarity.iter().sum();
    let vector = embedder.embed(topic);
    let mut said: Vec<(Said, &str)> = Vec::new();
    for part in &parts {
        let own: f32 = part.own.iter().zip(&rarity).map(|(met, weight)| met * weight).sum();
        let best = part.own.iter().zip(&part.above).map(|(own, above)| own.max(above * HEADING));
        let with: f32 = best.zip(&rarity).map(|(met, weight)| met * weight).sum();
        let near = dot(&vector, &embedder.embed(part.words)).max(0.0);
        let (own, with) = (own / whole, with / whole);
        let relevant = with >= FLOOR || near >= MEANT;
        let count = words(part.words).iter().filter(|word| !is_stop_word(word)).count();
        if !relevant || count < WORDS_MIN {
            continue;
        }
        let asks = if part.words.ends_with('?') { 0.6 } else { 1.0 };
        let score = asks * (0.5 * own + 0.5 * with + MEANING * near);
        said.push((Said { text: part.text, span: part.span, score }, part.words));
    }
    said.sort_by(|(a, _), (b, _)| {
        let place = |said: &Said| (said.text, said.span.start);
        b.score.total_cmp(&a.score).then_with(|| place(a).cmp(&place(b)))
    });
    let mut seen = BTreeSet::new();
    let mut of_text = vec![0usize; texts.len()];
    said.retain(|(said, sentence)| {
        let Some(taken) = of_text.get_mut(said.text) else { return false };
        let kept = *taken < limit && seen.insert((said.text, words(sentence)));
        *taken += usize::from(kept);
        kept
    });
    said.into_iter().map(|(said, _)| said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ByWords;

    const NOTES: &[&str] = &[
        "# Garden\nThe fence fell over in the storm. A new gate costs 400 euros.",
        "# Kitchen renovation\nThe fitter starts on Monday at eight. The oak floor costs 2,300 euros.\n\
         # Other\nThe cat was at the vet today.",
        "We talked about the kitchen cabinets for a long time. Rain all day again today.",
        "Die Küchenplanung liegt beim Schreiner im Nachbarort.",
    ];

    fn check(topic: &str, expected: &[&str]) {
        let found = about(topic, NOTES, 3, &ByWords);
        let said: Vec<_> = found.iter().map(|s| slice(NOTES[s.text], s.span).unwrap()).collect();
        assert_eq!(said.len(), expected.len(), "{topic}: {said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{topic}: {said:?}");
        }
    }

    #[test]
    fn own_words_and_headings_speak_for_a_sentence() {
        check("kitchen", &["kitchen cabinets", "fitter", "oak floor"]);
        check("Küche", &["Küchenplanung"]);
        check("the fences", &["fence fell"]);
    }

    #[test]
    fn below_the_floor_nothing_is_said() {
        check("trumpet lessons", &[]);
        check("", &[]);
        check("the of and", &[]);
    }

    #[test]
    fn no_text_says_more_than_its_limit_and_nothing_twice() {
        let text = "The kitchen tap drips a lot. ".repeat(5) + "The kitchen light is broken now.";
        assert_eq!(about("kitchen", &[&text], 9, &ByWords).len(), 2);
        assert_eq!(about("kitchen", &[&text], 1, &ByWords).len(), 1);
    }

    #[test]
    fn shares_are_of_the_topic() {
        assert_eq!(share("oak floor", "The floor is made of oak."), 1.0);
        assert_eq!(share("oak floor", "The floor is wet."), 0.5);
        assert!(share("Küche", "die Küchen") > 0.8 && share("12", "1234") == 0.0);
    }
}
