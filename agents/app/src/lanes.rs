//! The lanes of this process: how many steps of each kind it works on at a time, and
//! when a step that runs a program may begin.

use crate::bell::Bell;
use crate::machine::{Machine, free_mb};
use alma::config::Worker as Settings;
use alma::degraded::Degraded;
use charter::flow::Lane;
use charter::ids::{Millis, TenantId};
use charter::ports::{Clock, Ring};
use ledger::household::Household;
use queue::{Consumer, Gate, Weights};
use sons_of_helaman::{Crew, Ports};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use surfaces::cli::exit::chain;
use surfaces::http::Gauge;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Memory that a program is thought to need, for how many run at a time.
const PROGRAM_MB: u64 = 2_048;
/// Steps at a time that ask the language model, unless configured: while one waits
/// for its turn, another is read and checked.
const MODEL: usize = 2;

/// How many steps of a lane run at a time.
fn slots(lane: Lane, settings: &Settings, machine: Machine) -> NonZeroUsize {
    let configured = match lane {
        Lane::Light => settings.concurrency,
        Lane::Exec => settings.exec,
        Lane::Model => settings.model,
    };
    let usual = match lane {
        Lane::Light => 1,
        Lane::Exec => {
            let fit = usize::try_from(machine.memory_mb / PROGRAM_MB).unwrap_or(usize::MAX);
            machine.cores.min(fit)
        }
        Lane::Model => MODEL,
    };
    let slots = if configured == 0 { usual } else { configured as usize };
    NonZeroUsize::new(slots).unwrap_or(NonZeroUsize::MIN)
}

/// Whether another step that runs a program may begin. Where nobody knows how much
/// memory is free, nothing is held back.
fn admits(free_mb: Option<u64>, floor_mb: u64) -> bool {
    free_mb.is_none_or(|free| free >= floor_mb)
}

/// One lane at work.
struct Open {
    lane: Lane,
    slots: usize,
    running: Arc<AtomicUsize>,
}

/// The lanes at work.
#[derive(Clone)]
pub(crate) struct Lanes {
    open: Arc<Vec<Open>>,
    /// Since when memory holds programs back; 0: it does not.
    held_since: Arc<AtomicI64>,
    floor_mb: u64,
}

impl Lanes {
    /// Starts a consumer for each lane. The task answers how many steps were cut off.
    pub(crate) fn start(
        settings: &Settings,
        (household, bell, ports): (&Household, &Bell, &Ports),
        crew: Crew,
        stop: watch::Receiver<bool>,
    ) -> (Self, JoinHandle<usize>) {
        let (machine, crew) = (Machine::this(), Arc::new(crew));
        let (queue, wakes) = (bell.for_workers(ports), bell.wakes(household, &ports.entropy));
        let drain = Duration::from_secs(settings.drain_seconds.into());
        let (mut open, mut consumers) = (Vec::new(), JoinSet::new());
        let held_since = Arc::new(AtomicI64::new(0));
        for lane in Lane::ALL {
            let mut consumer = Consumer::new(Arc::clone(&queue), lane).drain(drain);
            if lane == Lane::Exec {
                let clock = Arc::clone(&ports.clock);
                consumer = consumer.gate(gate(settings.memory_floor_mb, &held_since, clock));
            }
            let slots = slots(lane, settings, machine);
            open.push(Open { lane, slots: slots.get(), running: consumer.running() });
            let (crew, wakes, stop) = (Arc::clone(&crew), wakes.clone(), stop.clone());
            consumers.spawn(async move {
                let handler = move |ring| answer(Arc::clone(&crew), ring);
                consumer.run(handler, slots, wakes, stop).await.cut_off
            });
        }
        let this = Self { open: Arc::new(open), held_since, floor_mb: settings.memory_floor_mb };
        (this, tokio::spawn(async { consumers.join_all().await.into_iter().sum() }))
    }

    /// How many steps run at a time, in words.
    pub(crate) fn words(&self) -> String {
        let lane = |open: &Open| format!("{} {}", open.slots, open.lane);
        format!("{} at the same time", self.open.iter().map(lane).collect::<Vec<_>>().join(", "))
    }

    /// What there is to say while memory holds programs back.
    pub(crate) fn degraded(&self) -> Option<Degraded> {
        let since = self.held_since.load(Ordering::SeqCst);
        (since != 0).then(|| Degraded {
            what: "memory is short",
            why: format!(
                "less than {} MiB of memory are free; end what needs it, or lower \
                 worker.memory_floor_mb",
                self.floor_mb
            ),
            since,
            works: "steps that run no program go on",
        })
    }

    /// How busy each lane is.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let busy = |open: &Open| open.running.load(Ordering::SeqCst).min(open.slots);
        let figure = |name, help, value: fn(usize, usize) -> usize| {
            self.open.iter().map(move |open| Gauge {
                name,
                help,
                label: Some(("lane", open.lane.as_str())),
                value: value(busy(open), open.slots) as u64,
            })
        };
        let mut all: Vec<Gauge> =
            figure("alma_lane_busy", "Steps that run here, by lane.", |busy, _| busy).collect();
        all.extend(figure(
            "alma_lane_free",
            "Steps that could begin here, by lane.",
            |busy, all| all - busy,
        ));
        all
    }
}

/// Open while enough memory is free; remembers since when it is not.
fn gate(floor_mb: u64, held_since: &Arc<AtomicI64>, clock: Arc<dyn Clock>) -> Gate {
    let held_since = Arc::clone(held_since);
    Arc::new(move || {
        let admitted = admits(free_mb(), floor_mb);
        let now: Millis = clock.now().max(1);
        match admitted {
            true => held_since.store(0, Ordering::SeqCst),
            // Whoever was first said since when.
            false => {
                let _kept = held_since.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
        admitted
    })
}

async fn answer(crew: Arc<Crew>, ring: Ring) {
    if let Err(error) = crew.work(&ring).await {
        tracing::warn!(step = %ring.step, error = chain(&error), "a step was left to its lease");
    }
}

/// Weights of tenants, as configured.
pub(crate) fn weights(settings: &Settings) -> Weights {
    let tenant = |(name, weight): (&String, &u32)| (TenantId(name.clone()), *weight);
    Weights(settings.weights.iter().map(tenant).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn settings(concurrency: u32, exec: u32, model: u32) -> Settings {
        let (drain_seconds, memory_floor_mb, weights) = (1, 1, BTreeMap::new());
        Settings { concurrency, exec, model, memory_floor_mb, drain_seconds, weights }
    }

    fn check(settings: &Settings, cores: usize, memory_mb: u64, expect: [usize; 3]) {
        let machine = Machine { cores, memory_mb };
        let found = Lane::ALL.map(|lane| slots(lane, settings, machine).get());
        assert_eq!(found, expect, "{settings:?} {machine:?}");
    }

    #[test]
    fn programs_run_as_processors_and_memory_allow() {
        check(&settings(8, 0, 0), 4, 64_000, [8, 4, 2]);
        check(&settings(8, 0, 0), 16, 8_192, [8, 4, 2]);
        check(&settings(8, 0, 0), 2, 1_000, [8, 1, 2]);
        check(&settings(8, 0, 0), 2, 0, [8, 1, 2]);
        check(&settings(3, 5, 7), 2, 1_000, [3, 5, 7]);
    }

    #[test]
    fn a_program_begins_above_the_floor_only() {
        assert!(admits(Some(512), 512) && admits(None, 512) && admits(Some(0), 0));
        assert!(!admits(Some(511), 512));
    }
}
