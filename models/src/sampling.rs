//! Which token comes next: the likeliest, or one drawn by chance from a seed.

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
const HEAD: f64 = 1e-5;

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest.
    pub temperature: f32,
    /// Share of the likeliest that is drawn from.
    pub top_p: f32,
}

/// The chosen token among those that `allowed` lets through; `None` if it lets
/// none through. The logits are numbers.
pub fn choose(
    logits: &[f32],
    allowed: impl Fn(u32) -> bool,
    sampling: Sampling,
    chance: &mut Chance,
) -> Option<u32> {
    let candidates = || {
        logits
            .iter()
            .zip(0_u32..)
            .filter(|(_, token)| allowed(*token))
            .map(|(logit, token)| (*logit, token))
    };
    let (best, likeliest) = candidates().reduce(|a, b| if b.0 > a.0 { b } else { a })?;
    if sampling.temperature <= 0.0 {
        return Some(likeliest);
    }
    let temperature = f64::from(sampling.temperature);
    let mut weighed: Vec<(f64, u32)> = candidates()
        .map(|(logit, token)| ((f64::from(logit - best) / temperature).exp(), token))
        .filter(|(weight, _)| *weight > 0.0)
        .collect();
    let mut total: f64 = weighed.iter().map(|(weight, _)| weight).sum();
    if sampling.top_p < 1.0 {
        let share = f64::from(sampling.top_p) * total;
        // A vocabulary is long and its tail light: mostly the head is enough.
        let head: Vec<(f64, u32)> =
            weighed.iter().copied().filter(|(weight, _)| *weight > HEAD).collect();
        if head.iter().map(|(weight, _)| weight).sum::<f64>() >= share {
            weighed = head;
        }
        weighed.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut sum = 0.0;
        let kept = weighed.iter().take_while(|(weight, _)| {
            let before = sum;
            sum += weight;
            before < share
        });
        let kept = kept.count().max(1);
        weighed.truncate(kept);
        total = weighed.iter().map(|(weight, _)| weight).sum();
    }
    let mut left = chance.unit() * total;
    for (weight, token) in &weighed {
        left -= weight;
        if left < 0.0 {
            return Some(*token);
        }
    }
    weighed.last().map(|(_, token)| *token).or(Some(likeliest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(logits: &[f32], temperature: f32, top_p: f32, seed: u64) -> Option<u32> {
        choose(logits, |_| true, Sampling { temperature, top_p }, &mut Chance::new(seed))
    }

    #[test]
    fn zero_temperature_takes_the_likeliest_and_the_first_of_equals() {
        assert_eq!(drawn(&[0.0, 2.0, 2.0, 1.0], 0.0, 1.0, 1), Some(1));
        assert_eq!(drawn(&[], 0.0, 1.0, 1), None);
        let none = choose(
            &[1.0, 2.0],
            |_| false,
            Sampling { temperature: 1.0, top_p: 1.0 },
            &mut Chance::new(1),
        );
        assert_eq!(none, None);
    }

    #[test]
    fn frequencies_follow_the_weights() {
        let logits = [0.0, 3.0_f32.ln(), f32::NEG_INFINITY];
        let mut chance = Chance::new(7);
        let mut counts = [0_u32; 3];
        for _ in 0..20_000 {
            let sampling = Sampling { temperature: 1.0, top_p: 1.0 };
            let token = choose(&logits, |_| true, sampling, &mut chance).unwrap();
            counts[token as usize] += 1;
        }
        let share = f64::from(counts[1]) / 20_000.0;
        assert!((share - 0.75).abs() < 0.02, "{share}");
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn top_p_leaves_the_tail_out() {
        let logits = [5.0, 4.9, -3.0, -3.0, -3.0];
        for seed in 0..500 {
            assert!(drawn(&logits, 1.0, 0.9, seed).unwrap() < 2);
        }
    }

    proptest! {
        #[test]
        fn only_allowed_tokens_are_drawn(
            logits in prop::collection::vec(-30.0_f32..30.0, 1..50), only in 0_u32..50,
            temperature in 0.0_f32..5.0, top_p in 0.01_f32..1.0, seed: u64,
        ) {
            let sampling = Sampling { temperature, top_p };
            let found = choose(&logits, |t| t == only, sampling, &mut Chance::new(seed));
            prop_assert_eq!(found, ((only as usize) < logits.len()).then_some(only));
            prop_assert_eq!(drawn(&logits, temperature, top_p, seed), drawn(&logits, temperature, top_p, seed));
        }
    }
}
