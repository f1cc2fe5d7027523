//! What must hold when faults have stopped and everything has settled:
//! invariants 1 to 3 of ARCHITECTURE.md.

use super::run::{Submitted, now};
use super::target::{Service, World};
use charter::event::{EffectOutcome, Event};
use charter::ids::{StepKey, StreamId, TenantId};
use charter::ports::{Ledger, Query, Rows};
use charter::rows::{EffectState, MissionState, StepRow, StepState};
use ledger::MemoryLedger;
use std::collections::{BTreeMap, BTreeSet};

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A mission did not end.
    Stuck(String),
    /// An effect happened another number of times than its step says.
    Count {
        /// The step.
        step: String,
        /// How often it should have happened, at least and at most.
        expected: (u32, u32),
        /// How often it did.
        found: u32,
    },
    /// A file is not as its finished step says.
    File(String),
    /// A step finished twice.
    Twice(String),
    /// A step was on its way to the queue before it could run.
    Premature,
    /// A tool acted before its intent was on record.
    Unintended,
    /// An effect that needs a person has no grant on record.
    Unpermitted(String),
    /// The ledger could not be read.
    Unreadable(String),
}

/// Checks a finished run.
pub(crate) fn check(
    missions: &[Submitted],
    ledger: &MemoryLedger,
    world: &World,
    unintended: bool,
) -> Vec<Violation> {
    let mut found = Vec::new();
    if unintended {
        found.push(Violation::Unintended);
    }
    for mission in missions {
        check_mission(mission, ledger, world, &mut found);
    }
    found
}

fn check_mission(
    mission: &Submitted,
    ledger: &MemoryLedger,
    world: &World,
    found: &mut Vec<Violation>,
) {
    let tenant = TenantId::local();
    match now(ledger.query(&tenant, Query::Mission { id: mission.id.clone() })) {
        Ok(Rows::Missions(rows)) if rows.len() == 1 => {
            if !rows[0].state.is_end() {
                found.push(Violation::Stuck(format!("{} is {}", mission.id, rows[0].state)));
            }
            if rows[0].state == MissionState::Waiting {
                found.push(Violation::Stuck(format!("{} waits", mission.id)));
            }
        }
        other => found.push(Violation::Stuck(format!("{}: {other:?}", mission.id))),
    }
    let mut done = BTreeSet::new();
    for step in &mission.plan.steps {
        let key = StepKey::step(&mission.id, step.n);
        let rows: Vec<StepRow> = match &step.for_each {
            None => steps(ledger, Query::Step { key }, found),
            Some(_) => steps(
                ledger,
                Query::Steps {
                    mission: mission.id.clone(),
                    state: None,
                    items_of: Some(step.n),
                    after: None,
                    limit: 100,
                },
                found,
            ),
        };
        for row in rows {
            if row.state == StepState::Done {
                done.insert(row.key.clone());
            }
            let path = step.args["path"].as_str().unwrap_or_default();
            let path = path.replace("${item}", &row.key.item.to_string());
            check_step(&step.tool, &path, &row, world, found);
        }
    }
    check_events(mission, ledger, found);
    let query = Query::EffectsOfMission { mission: mission.id.clone(), limit: 10_000 };
    if let Ok(Rows::Effects(rows)) = now(ledger.query(&tenant, query)) {
        for row in rows {
            let asks = row.class >= charter::effect::EffectClass::Change;
            if asks && row.permit.grant.is_none() {
                found.push(Violation::Unpermitted(format!("{} {}", row.step, row.ordinal)));
            }
            if row.state == EffectState::Intended && done.contains(&row.step) {
                found.push(Violation::Stuck(format!("{} is done with an open effect", row.step)));
            }
        }
    }
}

fn steps(ledger: &MemoryLedger, query: Query, found: &mut Vec<Violation>) -> Vec<StepRow> {
    match now(ledger.query(&TenantId::local(), query)) {
        Ok(Rows::Steps(rows)) => rows,
        other => {
            found.push(Violation::Unreadable(format!("{other:?}")));
            Vec::new()
        }
    }
}

fn check_step(tool: &str, path: &str, row: &StepRow, world: &World, found: &mut Vec<Violation>) {
    let done = row.state == StepState::Done;
    let service = match tool {
        "keyed" => Service::Keyed,
        "probed" => Service::Probed,
        "neither" => Service::Neither,
        "write" if done && world.file(path).is_none() => {
            return found.push(Violation::File(format!("{path} was not written")));
        }
        "remove" if done && world.file(path).is_some() => {
            return found.push(Violation::File(format!("{path} was not removed")));
        }
        _ => return,
    };
    let count = world.count(service, path);
    let expected = if done { (1, 1) } else { (0, 1) };
    if !(expected.0..=expected.1).contains(&count) {
        found.push(Violation::Count { step: row.key.to_string(), expected, found: count });
    }
}

fn check_events(mission: &Submitted, ledger: &MemoryLedger, found: &mut Vec<Violation>) {
    let mut finished: BTreeMap<StepKey, u32> = BTreeMap::new();
    let mut received: BTreeMap<String, u32> = BTreeMap::new();
    let mut after = 0;
    loop {
        let stream = StreamId::mission(&mission.id);
        let query = Query::Events { stream, after, limit: 500 };
        let events = match now(ledger.query(&TenantId::local(), query)) {
            Ok(Rows::Events(events)) => events,
            other => {
                found.push(Violation::Unreadable(format!("{other:?}")));
                return;
            }
        };
        let Some(last) = events.last() else { break };
        after = last.seq;
        for recorded in events {
            match recorded.event {
                Event::StepFinished { step, .. } => *finished.entry(step).or_default() += 1,
                Event::EffectReceived { key, outcome: EffectOutcome::Done, .. } => {
                    *received.entry(key.to_string()).or_default() += 1;
                }
                _ => {}
            }
        }
    }
    let twice = finished.into_iter().filter(|(_, n)| *n > 1).map(|(step, _)| step.to_string());
    let again = received.into_iter().filter(|(_, n)| *n > 1).map(|(key, _)| key);
    found.extend(twice.chain(again).map(Violation::Twice));
}
