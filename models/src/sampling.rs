//! Which token comes next: the likeliest, or one drawn by chance from a seed.

use crate::compute::element::softmax;
use crate::compute::isa::Isa;
use toktrie::SimpleVob;

/// Numbers by chance that are the same for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Weight, the likeliest being 1, above which tokens are looked at first.
const HEAD: f32 = 1e-5;

/// How to choose. The order is: penalties, mask, temperature, then of what is left
/// the `top_k` likeliest, of those the likeliest that make up `top_p`, and of those
/// the ones that are at least `min_p` times as likely as the likeliest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest.
    pub temperature: f32,
    /// So many of the likeliest are drawn from; 0: all.
    pub top_k: u32,
    /// Share of the likeliest that is drawn from; 1: all.
    pub top_p: f32,
    /// How likely a token must be, compared to the likeliest; 0: not at all.
    pub min_p: f32,
    /// What logits of tokens that occurred are divided by (where they are positive,
    /// else multiplied); 1: nothing.
    pub repetition_penalty: f32,
    /// What is taken from logits of tokens that the answer has; 0: nothing.
    pub presence_penalty: f32,
}

impl Default for Sampling {
    /// The likeliest token, always.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
        }
    }
}

impl Sampling {
    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), &'static str> {
        let from_0 = |number: f32| number.is_finite() && number >= 0.0;
        if !from_0(self.temperature) {
            return Err("the temperature is no number from 0 up");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err("top_p is not over 0 and up to 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return Err("min_p is not from 0 to 1");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return Err("the repetition penalty is no number over 0");
        }
        if !self.presence_penalty.is_finite() {
            return Err("the presence penalty is no number");
        }
        Ok(())
    }

    /// Whether it looks at what was said before.
    pub fn penalises(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0
    }

    /// Makes what occurred less likely: `before` are all tokens so far, of which
    /// those from `answer` on are the answer's.
    pub fn penalise(&self, logits: &mut [f32], before: &[u32], answer: usize) {
        let mut seen = std::collections::HashSet::new();
        for token in before {
            if seen.insert(*token)
                && let Some(logit) = logits.get_mut(*token as usize)
            {
                let by = self.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / by } else { *logit * by };
            }
        }
        seen.clear();
        for token in before.get(answer..).unwrap_or_default() {
            if seen.insert(*token)
                && let Some(logit) = logits.get_mut(*token as usize)
            {
                *logit -= self.presence_penalty;
            }
        }
    }
}

/// Chooses tokens, with room for the weights of a vocabulary.
#[derive(Debug, Default)]
pub struct Chooser {
    weights: Vec<f32>,
    order: Vec<u32>,
}

impl Chooser {
    /// The chosen token among those that `mask` lets through; `None` if it lets none
    /// through. The logits are numbers.
    pub fn choose(
        &mut self,
        logits: &[f32],
        mask: &SimpleVob,
        sampling: Sampling,
        chance: &mut Chance,
    ) -> Option<u32> {
        let (likeliest, best) = likeliest(logits, mask)?;
        if sampling.temperature <= 0.0 || best == f32::NEG_INFINITY {
            return Some(likeliest);
        }
        self.weigh(logits, mask, sampling.temperature);
        let Self { weights, order } = self;
        let least = if sampling.min_p > 0.0 { sampling.min_p } else { f32::MIN_POSITIVE };
        let narrow = (sampling.top_k > 0 && (sampling.top_k as usize) < logits.len())
            || sampling.top_p < 1.0;
        if !narrow {
            // In the order of the tokens, without sorting any.
            let total: f64 = weights.iter().filter(|w| **w >= least).map(|w| f64::from(*w)).sum();
            let mut left = chance.unit() * total;
            for (weight, token) in weights.iter().zip(0_u32..) {
                if *weight >= least {
                    left -= f64::from(*weight);
                    if left < 0.0 {
                        return Some(token);
                    }
                }
            }
            return Some(likeliest);
        }
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        rank(weights, total, sampling, order);
        order.retain(|token| weights[*token as usize] >= least);
        let total: f64 = order.iter().map(|token| f64::from(weights[*token as usize])).sum();
        let mut left = chance.unit() * total;
        for token in &*order {
            left -= f64::from(weights[*token as usize]);
            if left < 0.0 {
                return Some(*token);
            }
        }
        order.last().copied().or(Some(likeliest))
    }

    /// Logarithms of the probabilities of the `count` likeliest tokens, and that of
    /// `token`, as the model has them: before temperature, and whatever may come.
    pub fn log_probabilities(
        &mut self,
        logits: &[f32],
        token: u32,
        count: usize,
    ) -> (f32, Vec<(u32, f32)>) {
        let all = SimpleVob::alloc_ones(logits.len());
        let Some((_, best)) = likeliest(logits, &all) else { return (f32::NAN, Vec::new()) };
        self.weigh(logits, &all, 1.0);
        let total: f64 = self.weights.iter().map(|w| f64::from(*w)).sum();
        let log = |token: u32| {
            let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
            (f64::from(logit - best) - total.ln()) as f32
        };
        let most = Sampling { top_k: count.max(1) as u32, ..Sampling::default() };
        rank(&self.weights, total, most, &mut self.order);
        let top = self.order.iter().take(count).map(|token| (*token, log(*token))).collect();
        (log(token), top)
    }

    /// Weights of all tokens, the likeliest being 1.
    fn weigh(&mut self, logits: &[f32], mask: &SimpleVob, temperature: f32) {
        let weights = &mut self.weights;
        weights.clear();
        weights.resize(logits.len(), f32::NEG_INFINITY);
        for (word, (weights, logits)) in
            mask.as_slice().iter().zip(weights.chunks_mut(32).zip(logits.chunks(32)))
        {
            if *word == u32::MAX {
                for (weight, logit) in weights.iter_mut().zip(logits) {
                    *weight = logit / temperature;
                }
            } else if *word != 0 {
                for (bit, (weight, logit)) in weights.iter_mut().zip(logits).enumerate() {
                    if (word >> bit) & 1 == 1 {
                        *weight = logit / temperature;
                    }
                }
            }
        }
        softmax(Isa::best(), weights);
    }
}

/// The likeliest token that is allowed, the first of equals, and its logit.
fn likeliest(logits: &[f32], mask: &SimpleVob) -> Option<(u32, f32)> {
    let mut found: Option<(u32, f32)> = None;
    for (at, (word, logits)) in mask.as_slice().iter().zip(logits.chunks(32)).enumerate() {
        if *word == 0 {
            continue;
        }
        let best = found.map_or(f32::NEG_INFINITY, |(_, best)| best);
        // Mostly nothing here is better: that is seen without looking at each bit.
        if found.is_some() && logits.iter().all(|logit| *logit <= best) {
            continue;
        }
        for (bit, logit) in logits.iter().enumerate() {
            let is_better = found.is_none_or(|(_, best)| *logit > best);
            if (word >> bit) & 1 == 1 && is_better {
                found = Some(((at * 32 + bit) as u32, *logit));
            }
        }
    }
    found
}

/// The tokens that `top_k` and `top_p` leave, the likeliest first, equals by number.
fn rank(weights: &[f32], total: f64, sampling: Sampling, order: &mut Vec<u32>) {
    let share = f64::from(sampling.top_p) * total;
    let most = if sampling.top_k == 0 { usize::MAX } else { sampling.top_k as usize };
    let gather = |order: &mut Vec<u32>, least: f32| {
        order.clear();
        order.extend((0..weights.len() as u32).filter(|token| weights[*token as usize] > least));
    };
    // A vocabulary is long and its tail light: mostly the head is enough.
    gather(order, HEAD);
    let head: f64 = order.iter().map(|token| f64::from(weights[*token as usize])).sum();
    if order.len() < most && head < share {
        gather(order, 0.0);
    }
    let by_weight =
        |a: &u32, b: &u32| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b));
    if order.len() > most {
        order.select_nth_unstable_by(most - 1, by_weight);
        order.truncate(most);
    }
    order.sort_unstable_by(by_weight);
    if sampling.top_p < 1.0 {
        let kept: f64 = order.iter().map(|token| f64::from(weights[*token as usize])).sum();
        // Of what top_k left, if it left less.
        let share = if sampling.top_k > 0 { f64::from(sampling.top_p) * kept } else { share };
        let mut sum = 0.0;
        let count = order.iter().take_while(|token| {
            let before = sum;
            sum += f64::from(weights[**token as usize]);
            before < share
        });
        let count = count.count().max(1);
        order.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(logits: &[f32], sampling: Sampling, seed: u64) -> Option<u32> {
        let all = SimpleVob::alloc_ones(logits.len());
        Chooser::default().choose(logits, &all, sampling, &mut Chance::new(seed))
    }

    fn warm(temperature: f32) -> Sampling {
        Sampling { temperature, ..Sampling::default() }
    }

    /// Shares of the tokens in many draws.
    fn shares(logits: &[f32], sampling: Sampling) -> Vec<f64> {
        let all = SimpleVob::alloc_ones(logits.len());
        let (mut chance, mut chooser) = (Chance::new(7), Chooser::default());
        let mut counts = vec![0_u32; logits.len()];
        for _ in 0..20_000 {
            counts[chooser.choose(logits, &all, sampling, &mut chance).unwrap() as usize] += 1;
        }
        counts.into_iter().map(|count| f64::from(count) / 20_000.0).collect()
    }

    #[test]
    fn zero_temperature_takes_the_likeliest_and_the_first_of_equals() {
        let mut logits = vec![0.0; 100];
        (logits[40], logits[70]) = (2.0, 2.0);
        assert_eq!(draw(&logits, warm(0.0), 1), Some(40));
        assert_eq!(draw(&[], warm(0.0), 1), None);
        let none = SimpleVob::alloc(100);
        let mut chooser = Chooser::default();
        assert_eq!(chooser.choose(&logits, &none, warm(1.0), &mut Chance::new(1)), None);
        assert_eq!(draw(&[f32::NEG_INFINITY; 3], warm(1.0), 1), Some(0));
    }

    #[test]
    fn frequencies_follow_the_weights() {
        let logits = [0.0, 3.0_f32.ln(), f32::NEG_INFINITY];
        for sampling in [warm(1.0), Sampling { top_k: 2, ..warm(1.0) }] {
            let found = shares(&logits, sampling);
            assert!((found[1] - 0.75).abs() < 0.02 && found[2] == 0.0, "{found:?}");
        }
        // Half the temperature squares the odds.
        let found = shares(&logits, warm(0.5));
        assert!((found[1] - 0.9).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn what_is_unlikely_is_left_out_by_number_by_share_and_by_likelihood() {
        let logits = [5.0, 4.9, 4.0, -3.0, -3.0];
        let kept = |sampling: Sampling| -> Vec<usize> {
            let found = shares(&logits, Sampling { temperature: 1.0, ..sampling });
            (0..5).filter(|token| found[*token] > 0.0).collect()
        };
        let all = Sampling::default();
        assert_eq!(kept(Sampling { top_p: 0.8, ..all }), [0, 1]);
        assert_eq!(kept(Sampling { top_k: 1, ..all }), [0]);
        assert_eq!(kept(Sampling { top_k: 3, ..all }), [0, 1, 2]);
        assert_eq!(kept(Sampling { min_p: 0.5, ..all }), [0, 1]);
        assert_eq!(kept(Sampling { min_p: 0.3, ..all }), [0, 1, 2]);
        assert_eq!(kept(Sampling { top_k: 3, top_p: 0.5, min_p: 0.1, ..all }), [0, 1]);
    }

    #[test]
    fn what_was_said_becomes_less_likely() {
        let mut logits = [2.0, -2.0, 1.0, 3.0];
        let sampling =
            Sampling { repetition_penalty: 2.0, presence_penalty: 0.5, ..Sampling::default() };
        sampling.penalise(&mut logits, &[0, 1, 1, 3, 3, 900], 3);
        assert_eq!(logits, [1.0, -4.0, 1.0, 1.0]);
        assert!(sampling.penalises() && !Sampling::default().penalises());
    }

    #[test]
    fn log_probabilities_are_those_of_the_model() {
        let logits = [1.0_f32.ln(), 2.0_f32.ln(), 5.0_f32.ln()];
        let (own, top) = Chooser::default().log_probabilities(&logits, 0, 2);
        assert!((own - 0.125_f32.ln()).abs() < 1e-6);
        assert_eq!(top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [2, 1]);
        assert!((top[0].1 - 0.625_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn nonsense_is_named() {
        let check = |sampling: Sampling, expect: &str| {
            let said = sampling.check().unwrap_err();
            assert!(said.contains(expect), "{said}");
        };
        let all = Sampling::default();
        check(warm(f32::NAN), "temperature");
        check(Sampling { top_p: 0.0, ..all }, "top_p");
        check(Sampling { min_p: 1.5, ..all }, "min_p");
        check(Sampling { repetition_penalty: 0.0, ..all }, "repetition");
        check(Sampling { presence_penalty: f32::INFINITY, ..all }, "presence");
        assert_eq!(all.check(), Ok(()));
    }

    proptest! {
        #[test]
        fn only_allowed_tokens_are_drawn(
            logits in prop::collection::vec(-30.0_f32..30.0, 1..90), only in 0_u32..90, seed: u64,
            temperature in 0.0_f32..5.0, top_k in 0_u32..5, top_p in 0.01_f32..1.0, min_p in 0.0_f32..1.0,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, min_p, ..Sampling::default() };
            let mut mask = SimpleVob::alloc(logits.len());
            let is_one = (only as usize) < logits.len();
            if is_one {
                mask.allow_token(only);
            }
            let found = Chooser::default().choose(&logits, &mask, sampling, &mut Chance::new(seed));
            prop_assert_eq!(found, is_one.then_some(only));
            prop_assert_eq!(draw(&logits, sampling, seed), draw(&logits, sampling, seed));
        }
    }
}
