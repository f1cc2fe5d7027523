//! Extractive summaries: the sentences that say most, each something else. Pure.
//!
//! A sentence is central if it is near to all others; sentences are then chosen
//! one by one, what was chosen already counting against what is like it (maximal
//! marginal relevance). They come out in their own order, word for word.

use crate::passages::{sentences, slice};
use crate::terms::terms;
use charter::embed::Embed;
use charter::memory::Span;
use std::collections::BTreeSet;

/// Sentences that are compared; of a longer text the first ones.
const COMPARED: usize = 400;
/// Terms that a sentence needs to be worth quoting.
const TERMS_MIN: usize = 4;
/// How much saying something else counts against saying the most.
const DIVERSITY: f32 = 0.3;
/// What standing at the beginning adds.
const LEAD: f32 = 0.08;
/// From here on two sentences say the same.
const SAME: f32 = 0.9;

/// A sentence of a summary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// Which of the texts it is from.
    pub text: usize,
    /// Where it stands there.
    pub span: Span,
    /// How central it is: the mean cosine with all others.
    pub centrality: f32,
}

/// The `limit` sentences of some texts that say most.
pub fn summarise(texts: &[&str], limit: usize, embedder: &dyn Embed) -> Vec<Chosen> {
    let mut seen = BTreeSet::new();
    let all = texts.iter().enumerate().flat_map(|(text, words)| {
        let spans = sentences(words).into_iter().enumerate();
        spans.filter_map(move |(n, span)| Some((text, n, span, slice(words, span)?)))
    });
    // Headings, single words and repetitions are no sentences of a summary.
    let all: Vec<_> = all
        .filter(|(_, _, _, words)| !words.starts_with(['#', '|', '>', '`']))
        .filter(|(_, _, _, words)| {
            let terms = terms(words);
            terms.len() >= TERMS_MIN && seen.insert(terms)
        })
        .take(COMPARED)
        .collect();
    let vectors: Vec<_> = all.iter().map(|(.., words)| embedder.embed(words)).collect();
    let centre = centroid(&vectors);
    // The mean cosine with the others: the one with itself is taken out.
    let (count, others) = (vectors.len() as f32, vectors.len().saturating_sub(1).max(1) as f32);
    let central: Vec<f32> = vectors
        .iter()
        .map(|vector| (dot(vector, &centre) * count - dot(vector, vector)) / others)
        .collect();
    let score = |at: usize| {
        let lead = all.get(at).map_or(0.0, |(_, n, ..)| LEAD / (1.0 + *n as f32));
        central.get(at).copied().unwrap_or(0.0) + lead
    };
    let mut chosen: Vec<usize> = Vec::new();
    // How like each sentence is to the nearest chosen one.
    let mut like = vec![0.0f32; all.len()];
    while chosen.len() < limit {
        let open = (0..all.len()).filter(|at| !chosen.contains(at) && like[*at] < SAME);
        let worth = |at: usize| (1.0 - DIVERSITY) * score(at) - DIVERSITY * like[at];
        // Of equals the earlier one.
        let best = open.max_by(|a, b| worth(*a).total_cmp(&worth(*b)).then(b.cmp(a)));
        let Some(best) = best else { break };
        chosen.push(best);
        for (like, vector) in like.iter_mut().zip(&vectors) {
            *like = like.max(dot(vector, &vectors[best]));
        }
    }
    chosen.sort_unstable();
    let found = chosen.into_iter().filter_map(|at| {
        let (text, _, span, _) = all.get(at)?;
        Some(Chosen { text: *text, span: *span, centrality: central[at] })
    });
    found.collect()
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The mean of vectors: its product with one of them is that one's mean cosine.
fn centroid(vectors: &[Vec<f32>]) -> Vec<f32> {
    let width = vectors.first().map_or(0, Vec::len);
    let mut sum = vec![0.0; width];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
    }
    sum.iter_mut().for_each(|x| *x /= vectors.len().max(1) as f32);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ByWords;

    fn check(texts: &[&str], limit: usize) -> Vec<String> {
        let chosen = summarise(texts, limit, &ByWords);
        let words = chosen.iter().map(|c| slice(texts[c.text], c.span).unwrap().to_owned());
        words.collect()
    }

    const NOTE: &str = "# Garden\n\
        The garden needs a new fence before winter. \
        Wood for the garden fence costs about nine hundred euros. \
        Wood for the garden fence costs about nine hundred euros. \
        Ok. \
        My cousin plays the trumpet in a brass band. \
        The old fence in the garden fell over in the storm.";

    #[test]
    fn the_theme_is_chosen_and_the_aside_is_not() {
        let found = check(&[NOTE], 2);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|sentence| sentence.contains("fence")), "{found:?}");
    }

    #[test]
    fn nothing_is_said_twice_and_sentences_keep_their_order() {
        let found = check(&[NOTE], 10);
        assert_eq!(found.len(), 4, "{found:?}");
        let places: Vec<_> = found.iter().map(|words| NOTE.find(words.as_str()).unwrap()).collect();
        assert!(places.is_sorted());
    }

    #[test]
    fn an_empty_text_has_no_summary() {
        assert!(check(&[], 3).is_empty() && check(&["", "# x"], 3).is_empty());
        assert!(check(&[NOTE], 0).is_empty());
    }
}
