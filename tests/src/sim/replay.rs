//! The history of a run on the real store: it accepts every transition that the
//! twin accepted, ends with the same rows, and its chains verify.

use super::fate::SimClock;
use anyhow::{Context, bail};
use charter::ids::{MissionId, TenantId};
use charter::ports::{Ledger, Query, Transition};
use ledger::{MemoryLedger, SqliteLedger};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rows of one kind that are compared, at most.
const ROWS: u32 = 2_000;

/// Plays a history on both stores and compares what they hold.
pub async fn replay(history: &[Transition]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let path = folder.path().join("ledger.db");
    let key = ledger::keys::draw().context("draw a key")?;
    let public = ledger::keys::public(&key);
    let file =
        SqliteLedger::open(&path, Arc::new(SimClock::new()), key).await.context("open the file")?;
    let twin = MemoryLedger::new();
    let mut missions: BTreeSet<MissionId> = BTreeSet::new();
    for transition in history {
        let (left, right) =
            (twin.commit(transition.clone()).await, file.commit(transition.clone()).await);
        if left != right {
            bail!("{left:?} in memory, {right:?} in the file: {transition:#?}");
        }
        for (_, event) in &transition.events {
            missions.extend(ledger::projection::mission_of(event).cloned());
        }
    }
    let tenant = TenantId::local();
    for mission in missions {
        let steps = |items_of| Query::Steps {
            mission: mission.clone(),
            state: None,
            items_of,
            after: None,
            limit: ROWS,
        };
        for query in [
            Query::Mission { id: mission.clone() },
            steps(None),
            Query::EffectsOfMission { mission: mission.clone(), limit: ROWS },
            Query::Approvals { mission: Some(mission.clone()), state: None, limit: ROWS },
        ] {
            let (left, right) = (
                twin.query(&tenant, query.clone()).await,
                file.query(&tenant, query.clone()).await,
            );
            if left != right {
                bail!("{query:?}: {left:?} in memory, {right:?} in the file");
            }
        }
    }
    file.close().await.context("close the file")?;
    let report = ledger::audit::verify(&path, &public).await.context("verify the file")?;
    if !report.is_clean() {
        bail!("the record does not verify: {:#?}", report.findings);
    }
    Ok(())
}
