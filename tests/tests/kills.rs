//! SIGKILL from another process at moments drawn from a seed, until each phase of
//! the effect protocol was hit often enough. Three tools that count their acts:
//! one whose target knows the key, one whose target can be asked, one with
//! neither. Run by `tests/run --all`; another seed with ALMA_KILLS_SEED.

use alma_tests::counting::{FOLDER, Kind, acts};
use alma_tests::late::Late;
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::StepKey;
use charter::rows::MissionState;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use surfaces::bench::child::{BenchError, Stage};
use surfaces::bench::killing::{Field, Killing, Mission};
use surfaces::bench::record::{Phase, Record};

/// Kills that each phase needs.
const ENOUGH: u32 = 20;
/// Bounds of the whole test.
const KILLS_MAX: u32 = 1_500;
const TIME_MAX: Duration = Duration::from_secs(8 * 60);
/// Kills in a row after which nothing was added to the record: nothing moves.
const STILL_MAX: u32 = 60;
/// Of so many moments one kills every process.
const ALL_IN: u32 = 6;
/// Chains of steps in one mission, and their length. No multiple of three, so
/// that each chain has every kind of tool.
const CHAINS: u32 = 5;
const LENGTH: u32 = 9;

/// Missions whose steps count.
struct Counts {
    workspace: PathBuf,
}

fn kind(n: u32) -> Kind {
    Kind::ALL[n as usize % Kind::ALL.len()]
}

fn name(mission: u32, n: u32) -> String {
    format!("{mission}-{n}")
}

impl Field for Counts {
    fn prepare(&mut self, number: u32) -> Result<(Value, PathBuf), BenchError> {
        let steps: Vec<Value> = (1..=CHAINS * LENGTH)
            .map(|n| {
                let after: Vec<u32> =
                    n.checked_sub(CHAINS).filter(|n| *n > 0).into_iter().collect();
                json!({
                    "tool": kind(n).name(), "args": { "name": name(number, n) }, "after": after,
                })
            })
            .collect();
        let file = json!({ "goal": format!("count ({number})"), "steps": steps });
        Ok((file, self.workspace.clone()))
    }

    fn shows(&self, number: u32) -> u64 {
        // Acts are lines, so another act is another size.
        let acts = std::fs::read_dir(self.workspace.join(FOLDER)).into_iter().flatten().flatten();
        let mine = format!("{number}-");
        acts.filter(|entry| entry.file_name().to_string_lossy().starts_with(&mine))
            .map(|entry| entry.metadata().map_or(0, |file| file.len()))
            .sum()
    }

    fn happened(&self, number: u32, step: &StepKey, key: &Digest) -> bool {
        acts(&self.workspace, &name(number, step.n)).contains(&key.to_string())
    }
}

/// A person is asked about an effect if and only if its tool can neither refuse a
/// key nor be asked, and a worker died between its intent and its receipt.
fn doubts(record: &Record) -> Result<usize, String> {
    let mut open: BTreeMap<Digest, StepKey> = BTreeMap::new();
    let mut unknown: BTreeSet<Digest> = BTreeSet::new();
    let mut asked = 0;
    for event in record.events() {
        match event {
            Event::EffectIntended { key, step, ordinal, .. } if *ordinal > 0 => {
                if unknown.contains(key) {
                    return Err(format!("{step}: done again without asking whether it happened"));
                }
                open.insert(*key, step.clone());
            }
            Event::EffectReceived { key, step, .. } => {
                if unknown.contains(key) {
                    return Err(format!("{step}: received without asking whether it happened"));
                }
                open.remove(key);
            }
            Event::StepReleased { step, .. } if kind(step.n) == Kind::Neither => {
                let mine = open.iter().filter(|(_, of)| *of == step);
                unknown.extend(mine.map(|(key, _)| *key));
            }
            Event::EffectInDoubt { key, step, .. } => {
                if !unknown.remove(key) {
                    return Err(format!("{step}: asked although it could be known"));
                }
                open.remove(key);
                asked += 1;
            }
            _ => {}
        }
    }
    if unknown.is_empty() { Ok(asked) } else { Err(format!("never asked about {unknown:?}")) }
}

/// A mission that has ended did everything once. Gives how often a person was asked
/// whether something happened.
fn check(mission: &Mission, counts: &Counts, seed: u64) -> usize {
    let (record, mut wrong) = (&mission.record, Vec::new());
    let ended = record.ended().map(|(state, _)| state);
    // Nothing in the product proves what a counting tool claims.
    if ended != Some(MissionState::Unverified) || record.unfinished() > 0 {
        wrong.push(format!("{} is {ended:?}: {} open", mission.id, record.unfinished()));
    }
    for key in record.doubled() {
        wrong.push(format!("{}: two receipts for {key}", mission.id));
    }
    for step in record.finished_twice() {
        wrong.push(format!("{step} is finished twice"));
    }
    for n in 1..=CHAINS * LENGTH {
        let (name, kind) = (name(mission.number, n), kind(n));
        let times = acts(&counts.workspace, &name).len();
        if times != 1 {
            wrong.push(format!("{} {name} happened {times} times", kind.name()));
        }
    }
    let asked = doubts(record).unwrap_or_else(|why| {
        wrong.push(why);
        0
    });
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    asked
}

/// What is on disk when every process is dead is one consistent ledger, and its
/// outbox tells of nothing that was not committed.
fn intact(home: &Path) {
    let key = ledger::keys::load(&home.join("ledger.key")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime
        .block_on(ledger::audit::verify(&home.join("ledger.db"), &ledger::keys::public(&key)))
        .unwrap();
    assert!(report.is_clean(), "after a power cut: {:#?}", report.findings);
}

#[test]
fn killed_workers_lose_nothing_and_do_nothing_twice() {
    let seed =
        std::env::var("ALMA_KILLS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    // A name of its own for the binary: a build beside this test replaces the other.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let own = tempfile::tempdir_in(folder).unwrap();
    let program = own.path().join("alma-counting");
    std::fs::hard_link(env!("CARGO_BIN_EXE_alma-counting"), &program).unwrap();
    let stage = Stage::new(program, folder).unwrap();
    let counts = Counts { workspace: stage.workspace().to_owned() };
    let mut killing = Killing::begin(&stage, counts, seed).unwrap();
    let mut late = Late::new(seed).unwrap();
    let began = Instant::now();
    let (mut checked, mut still, mut last) = (0, 0, (0, 0));
    while killing.tally.least() < ENOUGH
        && killing.tally.kills < KILLS_MAX
        && began.elapsed() < TIME_MAX
    {
        let killed = if killing.tally.kills % ALL_IN == ALL_IN - 1 {
            killing.kill_all(|| {
                intact(stage.home());
                Ok(())
            })
        } else {
            killing.kill(|| {
                late.write(stage.home()).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
                Ok(())
            })
        };
        killed.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        for mission in &killing.ended()[checked..] {
            check(mission, killing.field(), seed);
        }
        checked = killing.ended().len();
        let moved = (checked, killing.moved());
        still = if moved == last { still + 1 } else { 0 };
        last = moved;
        assert!(still < STILL_MAX, "seed {seed}: nothing moves any more: {:?}", killing.tally);
    }
    let (missions, tally, counts) = killing.settle().unwrap();
    println!(
        "seed {seed}: {} kills in {} s, {} of them of the owner, {} late writes refused, \
         {} steps requeued, by phase {:?}",
        tally.kills,
        began.elapsed().as_secs(),
        tally.owners,
        late.refused,
        tally.requeued,
        tally.by_phase
    );
    let asked: usize = missions.iter().map(|mission| check(mission, &counts, seed)).sum();
    let acts = missions.len() as u32 * CHAINS * LENGTH;
    println!("{} missions, {acts} acts, {asked} questions whether one happened", missions.len());
    let report = stage.json(&["audit", "verify"]).unwrap();
    assert_eq!(report["findings"], json!([]), "the ledger is not intact");
    for phase in Phase::ALL {
        let hit = tally.by_phase.get(&phase).copied().unwrap_or(0);
        assert!(hit >= ENOUGH, "only {hit} kills hit the phase {}", phase.as_str());
    }
    assert!(tally.owners >= ENOUGH && tally.kills - tally.owners >= ENOUGH);
    assert!(asked > 0);
    assert!(late.refused >= ENOUGH, "only {} late writes", late.refused);
}
