//! Ranking: from what words and meaning found to one order, with reasons. Pure.
//!
//! Each of the two lists is brought to 0..1 and they are added, words counting more. A
//! memory then gains from its neighbours in the same conversation or document:
//! what answers a question often stands beside what sounds like it. Who speaks,
//! where it belongs and how new it is add a little. The figures behind the
//! weights are in `models/recipes/embedder`; `alma bench recall` measures the
//! whole.

use charter::ids::{MemoryId, Millis};
use charter::memory::MemoryKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use vectors::Facts;

/// Candidates that each of words and meaning may name.
pub const CANDIDATES: usize = 200;
/// How far neighbours reach.
pub const REACH: u8 = 2;

const WORDS: f32 = 0.65;
const MEANING: f32 = 0.35;
/// What a neighbour gives, by distance.
const NEXT: [f32; REACH as usize] = [0.3, 0.15];
const SPEAKER: f32 = 0.2;
const SCOPE: f32 = 0.05;
/// What somebody wrote into a file does not outdo what the user said.
const OWN: f32 = 0.15;
const RECENCY: f32 = 0.02;
/// After this time a memory's newness counts half.
const HALF_LIFE: f64 = 30.0 * 24.0 * 3_600_000.0;

/// A question is about what is remembered if the best cosine or the best share
/// of its words reaches one of these, or both come near.
const COSINE_FLOOR: f32 = 0.4;
const WORDS_FLOOR: f32 = 0.6;
const TOGETHER: f32 = 1.3;
/// A hit below this share of the best one is not shown.
const TAIL: f32 = 0.15;

/// What was found, best first, with scores as they are: cosines and BM25.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// By meaning.
    pub dense: Vec<(MemoryId, f32)>,
    /// By words.
    pub sparse: Vec<(MemoryId, f32)>,
}

/// What else ranking looks at.
#[derive(Debug, Clone)]
pub struct Context {
    /// The question's terms.
    pub terms: Vec<(u32, f32)>,
    /// The time.
    pub now: Millis,
    /// Hash of the scope that is asked from; 0: none.
    pub scope: u64,
}

/// What each component gave; their sum is the score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// The same words (BM25).
    pub words: f32,
    /// Near in meaning (cosine).
    pub meaning: f32,
    /// What stands beside it.
    pub neighbours: f32,
    /// The question names who said it.
    pub speaker: f32,
    /// It belongs where it is asked from.
    pub scope: f32,
    /// These are the user's own words.
    #[serde(default)]
    pub own: f32,
    /// It is new.
    pub recency: f32,
}

impl Shares {
    /// The score.
    pub fn sum(&self) -> f32 {
        let Self { words, meaning, neighbours, speaker, scope, own, recency } = self;
        words + meaning + neighbours + speaker + scope + own + recency
    }
}

/// A memory in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Which.
    pub id: MemoryId,
    /// What is known of it.
    pub facts: Facts,
    /// What each component gave.
    pub shares: Shares,
    /// Cosine with the question; 0 where meaning did not name it.
    pub cosine: f32,
    /// BM25 score; 0 where words did not name it.
    pub bm25: f32,
}

/// How near the best of what was found comes to the question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// The best cosine.
    pub cosine: f32,
    /// The best BM25 score, as a share of what a text would reach that holds every
    /// word of the question, each found nowhere else.
    pub words: f32,
}

/// The evidence of what was found among `held` memories.
pub fn evidence(found: &Found, terms: &[(u32, f32)], held: usize) -> Evidence {
    let best = |list: &[(MemoryId, f32)]| list.first().map_or(0.0, |(_, score)| *score);
    let rarest = (1.0 + (held as f32 - 0.5).max(0.5) / 1.5).ln();
    let most: f32 = terms.iter().map(|(_, count)| count * rarest).sum();
    Evidence { cosine: best(&found.dense), words: best(&found.sparse) / most.max(1e-9) }
}

/// Whether anything that was found has to do with the question at all.
pub fn is_relevant(evidence: &Evidence) -> bool {
    let (cosine, words) = (evidence.cosine / COSINE_FLOOR, evidence.words / WORDS_FLOOR);
    cosine >= 1.0 || words >= 1.0 || cosine + words >= TOGETHER
}

/// A list brought to 0..1. Where the list is not full, whatever is not in it
/// scored 0, so 0 is where the scale begins.
fn rescaled(list: &[(MemoryId, f32)], from_zero: bool) -> impl Iterator<Item = (&MemoryId, f32)> {
    let high = list.first().map_or(0.0, |(_, score)| *score);
    let low = if from_zero { 0.0 } else { list.last().map_or(0.0, |(_, score)| *score) };
    let width = (high - low).max(1e-9);
    list.iter().map(move |(id, score)| (id, (score - low) / width))
}

/// Puts what was found in order, best first.
pub fn rank(
    found: &Found,
    context: &Context,
    facts: impl Fn(&MemoryId) -> Option<Facts>,
    neighbours: impl Fn(&MemoryId) -> Vec<(i8, MemoryId, Facts)>,
) -> Vec<Ranked> {
    let mut all: HashMap<MemoryId, Ranked> = HashMap::new();
    let new = |id: &MemoryId, facts| Ranked {
        id: id.clone(),
        facts,
        shares: Shares::default(),
        cosine: 0.0,
        bm25: 0.0,
    };
    let scores: HashMap<_, _> = found.dense.iter().map(|(id, score)| (id, *score)).collect();
    for (id, share) in rescaled(&found.dense, false) {
        let Some(facts) = facts(id) else { continue };
        let ranked = all.entry(id.clone()).or_insert_with(|| new(id, facts));
        ranked.shares.meaning = MEANING * share;
        ranked.cosine = scores.get(id).copied().unwrap_or(0.0);
    }
    let scores: HashMap<_, _> = found.sparse.iter().map(|(id, score)| (id, *score)).collect();
    for (id, share) in rescaled(&found.sparse, found.sparse.len() < CANDIDATES) {
        let Some(facts) = facts(id) else { continue };
        let ranked = all.entry(id.clone()).or_insert_with(|| new(id, facts));
        ranked.shares.words = WORDS * share;
        ranked.bm25 = scores.get(id).copied().unwrap_or(0.0);
    }
    let own: Vec<_> =
        all.values().map(|r| (r.id.clone(), r.shares.words + r.shares.meaning)).collect();
    for (id, score) in &own {
        for (far, beside, facts) in neighbours(id) {
            let Some(weight) = NEXT.get(usize::from(far.unsigned_abs()).wrapping_sub(1)) else {
                continue;
            };
            let ranked = all.entry(beside.clone()).or_insert_with(|| new(&beside, facts));
            ranked.shares.neighbours += weight * score;
        }
    }
    let speakers: BTreeSet<u32> =
        all.values().map(|ranked| ranked.facts.who).filter(|who| *who != 0).collect();
    let mut named = speakers.iter().filter(|who| context.terms.iter().any(|(t, _)| t == *who));
    let speaker = named.next().filter(|_| named.next().is_none()).copied();
    for ranked in all.values_mut() {
        if speaker == Some(ranked.facts.who) {
            ranked.shares.speaker = SPEAKER;
        }
        if context.scope != 0 && ranked.facts.scope == context.scope {
            ranked.shares.scope = SCOPE;
        }
        if matches!(ranked.facts.kind, MemoryKind::Fact | MemoryKind::Turn) {
            ranked.shares.own = OWN;
        }
        let age = (context.now - ranked.facts.valid_from).max(0) as f64;
        ranked.shares.recency = RECENCY * (-age / HALF_LIFE).exp2() as f32;
    }
    let mut ranked: Vec<_> = all.into_values().collect();
    ranked.sort_by(|a, b| {
        let by_score = b.shares.sum().total_cmp(&a.shares.sum());
        by_score.then_with(|| a.facts.place.cmp(&b.facts.place)).then_with(|| a.id.cmp(&b.id))
    });
    ranked
}

/// The first `limit` that are not far behind the best one.
pub fn shown(mut ranked: Vec<Ranked>, limit: usize) -> Vec<Ranked> {
    let floor = ranked.first().map_or(0.0, |best| best.shares.sum() * TAIL);
    ranked.retain(|hit| hit.shares.sum() >= floor);
    ranked.truncate(limit);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::memory::MemoryKind;
    use proptest::prelude::*;
    use vectors::Place;

    fn id(n: u32) -> MemoryId {
        format!("k-{n:016}").parse().unwrap()
    }

    fn facts(n: u32) -> Facts {
        Facts {
            tenant: 1,
            scope: u64::from(n % 3),
            kind: MemoryKind::Turn,
            place: Place { group: 1, order: i64::from(n) },
            who: n % 2 + 100,
            at: 0,
            valid_from: 0,
            valid_to: None,
        }
    }

    fn number(id: &MemoryId) -> u32 {
        id.as_str()[2..].parse().unwrap()
    }

    fn context(terms: &[u32]) -> Context {
        let terms = terms.iter().map(|term| (*term, 1.0)).collect();
        Context { terms, now: i64::MAX / 2, scope: 0 }
    }

    fn run(dense: &[(u32, f32)], sparse: &[(u32, f32)], context: &Context) -> Vec<Ranked> {
        let list = |list: &[(u32, f32)]| list.iter().map(|(n, score)| (id(*n), *score)).collect();
        let found = Found { dense: list(dense), sparse: list(sparse) };
        rank(
            &found,
            context,
            |id| Some(facts(number(id))),
            |of| {
                let n = number(of);
                [-2i8, -1, 1, 2]
                    .into_iter()
                    .filter_map(|far| Some((far, n.checked_add_signed(far.into())?)))
                    .map(|(far, n)| (far, id(n), facts(n)))
                    .collect()
            },
        )
    }

    fn order(ranked: &[Ranked]) -> Vec<u32> {
        ranked.iter().map(|ranked| number(&ranked.id)).collect()
    }

    #[test]
    fn agreement_of_words_and_meaning_wins() {
        let ranked =
            run(&[(10, 0.9), (20, 0.8), (30, 0.1)], &[(20, 9.0), (40, 8.9)], &context(&[]));
        assert_eq!(order(&ranked)[0], 20);
        assert_eq!((ranked[0].cosine, ranked[0].bm25), (0.8, 9.0));
    }

    #[test]
    fn a_neighbour_of_good_hits_comes_along() {
        let ranked =
            run(&[(10, 0.9), (12, 0.9), (50, 0.1)], &[(10, 5.0), (12, 5.0)], &context(&[]));
        assert_eq!(order(&ranked)[..3], [10, 12, 11]);
        let shares = ranked[2].shares;
        assert!((shares.neighbours - 0.6).abs() < 1e-5 && shares.words == 0.0, "{shares:?}");
    }

    #[test]
    fn a_named_speaker_counts_unless_two_are_named() {
        let found = [(10, 0.9), (31, 0.8), (50, 0.1)];
        assert_eq!(order(&run(&found, &[], &context(&[])))[0], 10);
        let named = run(&found, &[], &context(&[101]));
        assert_eq!(order(&named)[0], 31);
        assert_eq!(order(&run(&found, &[], &context(&[100, 101])))[0], 10);
    }

    #[test]
    fn nothing_near_is_nothing() {
        let relevant = |cosine, bm25| {
            let found = Found { dense: vec![(id(1), cosine)], sparse: vec![(id(2), bm25)] };
            is_relevant(&evidence(&found, &[(1, 1.0), (2, 1.0)], 1_000))
        };
        assert!(!is_relevant(&evidence(&Found::default(), &[], 0)));
        assert!(!relevant(0.1, 1.0));
        assert!(relevant(0.9, 0.0) && relevant(0.0, 10.0) && relevant(0.5, 4.0));
    }

    #[test]
    fn the_far_tail_is_not_shown() {
        let ranked = run(&[(10, 0.9), (50, 0.85), (90, 0.1)], &[(10, 9.0)], &context(&[]));
        let shown = shown(ranked, 100);
        assert!(!order(&shown).contains(&90));
        assert_eq!(order(&shown)[0], 10);
    }

    proptest! {
        #[test]
        fn scores_are_finite_in_order_and_each_memory_stands_once(
            dense in proptest::collection::vec((0u32..50, -1f32..1.0), 0..20),
            sparse in proptest::collection::vec((0u32..50, 0f32..30.0), 0..20),
        ) {
            let best_first = |mut list: Vec<(u32, f32)>| {
                list.sort_by(|a, b| b.1.total_cmp(&a.1));
                let mut seen = BTreeSet::new();
                list.retain(|(n, _)| seen.insert(*n));
                list
            };
            let ranked = run(&best_first(dense), &best_first(sparse), &context(&[101]));
            prop_assert!(ranked.iter().all(|r| r.shares.sum().is_finite()));
            prop_assert!(ranked.is_sorted_by(|a, b| a.shares.sum() >= b.shares.sum()));
            let unique: BTreeSet<_> = order(&ranked).into_iter().collect();
            prop_assert_eq!(unique.len(), ranked.len());
        }
    }
}
