//! One suite for every ledger.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[macro_use]
#[path = "../common/stories.rs"]
mod stories;

mod budgets;
mod effects;
mod missions;
mod questions;
mod queue;
mod steps;

use charter::ports::{LedgerError, LedgerExt, Query};
use charter::rows::{StepRow, StepState};
use common::World;

fn refused<T: std::fmt::Debug>(result: Result<T, LedgerError>, expect: &str) {
    match result.unwrap_err() {
        LedgerError::Conflict(why) | LedgerError::NotFound(why) => {
            assert!(why.contains(expect), "{why:?} does not say {expect:?}");
        }
        other => panic!("{other}"),
    }
}

/// From when on a step may run that waits for nothing: no clock can hold it up.
const AT_ONCE: charter::ids::Millis = 0;

async fn states(world: &World<'_>, mission: &charter::ids::MissionId) -> Vec<(u32, StepState)> {
    let query = Query::Steps {
        mission: mission.clone(),
        state: None,
        items_of: None,
        after: None,
        limit: 100,
    };
    let rows = world.ledger.steps(&world.tenant, query).await.unwrap();
    rows.into_iter().map(|row: StepRow| (row.key.n, row.state)).collect()
}
