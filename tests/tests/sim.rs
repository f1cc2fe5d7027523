//! The seeded simulation: 2,000 seeds, or ALMA_SIM_SEEDS of them, or one with
//! ALMA_SIM_SEED. Run by `tests/run --all`.

use alma_tests::sim::book::Tally;
use alma_tests::sim::coverage::Coverage;
use alma_tests::sim::replay::replay;
use alma_tests::sim::{Case, Outcome, Rule, shrink, simulate};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Seeds unless another number is asked for.
const SEEDS: u64 = 2_000;
/// One seed in so many is played again on the real store.
const REPLAYED: u64 = 100;
/// Fewer seeds than this need not reach everything.
const ENOUGH: u64 = 2_000;
/// Lines of a trace that are shown, from its end.
const LINES_MAX: usize = 400;
/// Seeds that are named for each broken rule.
const SHOWN: usize = 8;
/// Faults that happen in each run at least, and in most.
const FAULTS: usize = 20;

/// What all runs came to.
#[derive(Default)]
struct Sum {
    coverage: Coverage,
    tally: Tally,
    deaths: u32,
    turns: u64,
    faults: Vec<usize>,
    failed: BTreeMap<u64, BTreeSet<Rule>>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.coverage.add(&outcome.coverage);
        self.tally.heals += outcome.tally.heals;
        self.tally.asked += outcome.tally.asked;
        self.tally.doubts += outcome.tally.doubts;
        self.tally.released += outcome.tally.released;
        self.deaths += outcome.deaths;
        self.turns += outcome.turns;
        self.faults.push(outcome.faults);
        if !outcome.violations.is_empty() {
            self.failed.insert(seed, outcome.violations.iter().map(|one| one.rule).collect());
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run_one(seed: u64) -> Outcome {
    let outcome = simulate(&Case::of(seed), false);
    if seed % REPLAYED == 0 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        if let Err(error) = runtime.block_on(replay(&outcome.history)) {
            panic!("Record: seed {seed}: {error:?}");
        }
    }
    outcome
}

/// Runs the seeds on every core.
fn run(seeds: u64) -> Sum {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let outcome = run_one(seed);
                    sum.lock().unwrap_or_else(PoisonError::into_inner).add(seed, outcome);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The smallest case of a seed that still fails, and what happens in it.
fn explain(seed: u64, rules: &BTreeSet<Rule>) -> String {
    let rules: Vec<Rule> = rules.iter().copied().collect();
    let small = shrink(&Case::of(seed), &rules);
    let outcome = simulate(&small, true);
    let from = outcome.trace.len().saturating_sub(LINES_MAX);
    let found: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    format!(
        "{}\n\nshrunk to {} missions, {} faults, {} workers: {small:#?}\n\n{}\n\n{}",
        found.join("\n"),
        small.missions.len(),
        small.faults.len(),
        small.workers,
        outcome.trace[from..].join("\n"),
        found.join("\n")
    )
}

#[test]
fn nothing_is_lost_and_nothing_doubled() {
    if let Some(seed) = number("ALMA_SIM_SEED") {
        let outcome = simulate(&Case::of(seed), false);
        let rules = outcome.violations.iter().map(|one| one.rule).collect::<BTreeSet<_>>();
        assert!(rules.is_empty(), "seed {seed} fails: {}", explain(seed, &rules));
        return;
    }
    let (began, seeds) = (Instant::now(), number("ALMA_SIM_SEEDS").unwrap_or(SEEDS));
    let sum = run(seeds);
    println!(
        "{seeds} seeds in {} s: {} processes died, {} claims taken back, {} repairs, \
         {} permissions asked for, {} questions whether something happened, {} faults, \
         {} turns",
        began.elapsed().as_secs(),
        sum.deaths,
        sum.tally.released,
        sum.tally.heals,
        sum.tally.asked,
        sum.tally.doubts,
        sum.faults.iter().sum::<usize>(),
        sum.turns
    );
    println!("{}", sum.coverage);
    if let Some((seed, rules)) = sum.failed.first_key_value() {
        let all: BTreeMap<Rule, usize> =
            sum.failed.values().flatten().fold(BTreeMap::new(), |mut all, rule| {
                *all.entry(*rule).or_default() += 1;
                all
            });
        let of = |rule: &Rule| {
            let seeds = sum.failed.iter().filter(|(_, rules)| rules.contains(rule));
            let first: Vec<String> = seeds.take(SHOWN).map(|(seed, _)| seed.to_string()).collect();
            format!("{rule:?}: seeds {}", first.join(", "))
        };
        let others: Vec<String> = all.keys().map(of).collect();
        panic!(
            "{} of {seeds} seeds failed, by rule {all:?}\n{}\n\nrun the first again with \
             `ALMA_SIM_SEED={seed} cargo test -p alma-tests --test sim`\n{}",
            sum.failed.len(),
            others.join("\n"),
            explain(*seed, rules)
        );
    }
    // A simulation in which little goes wrong proves little.
    let fewest = sum.faults.iter().min().copied().unwrap_or_default();
    println!("at least {fewest} faults in each seed");
    assert!(fewest >= FAULTS, "a seed had {fewest} faults, fewer than {FAULTS}");
    if seeds >= ENOUGH {
        let missing = sum.coverage.missing();
        assert!(missing.is_empty(), "never reached in {seeds} seeds: {missing:#?}");
    }
}

#[test]
fn a_seed_does_the_same_each_time() {
    for seed in [3, 1_003] {
        let (first, again) = (simulate(&Case::of(seed), true), simulate(&Case::of(seed), true));
        assert_eq!(first.trace, again.trace, "seed {seed}");
    }
}
