//! Words of a dead worker that arrive late: writes under a claim that was given to
//! somebody else meanwhile, sent to the owner as any attached worker would.

use crate::sim::fate::Dice;
use anyhow::{Context, bail};
use charter::content::Content;
use charter::event::Event;
use charter::ids::{Millis, StreamId, TransitionId};
use charter::label::Label;
use charter::ports::{Fence, LeaseChange, LeaseRow, Ledger, LedgerError, Query, Rows, Transition};
use ledger::household::{Household, HouseholdError};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use surfaces::bench::child::now;

/// Looks for a step that is at work under a later claim than its first.
const LOOKS: u32 = 40;
/// Pause between two of them.
const LOOK: Duration = Duration::from_millis(5);
/// How long to wait for an owner.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody who still has the tokens of the dead.
pub struct Late {
    runtime: tokio::runtime::Runtime,
    dice: Dice,
    /// Writes that the owner refused.
    pub refused: u32,
}

impl Late {
    /// One who draws from a seed.
    pub fn new(seed: u64) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, dice: Dice::new(seed), refused: 0 })
    }

    /// Writes under a void claim of a step that is at work, if there is one within
    /// a fifth of a second. An error if that is accepted.
    pub fn write(&mut self, home: &Path) -> anyhow::Result<()> {
        let (dice, mut refused) = (&self.dice, 0);
        self.runtime.block_on(async {
            let household = attach(home).await?;
            for _ in 0..LOOKS {
                if let Some(lease) = again(household.as_ref()).await? {
                    send(household.as_ref(), &lease, dice).await?;
                    refused += 1;
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
            household.close().await;
            anyhow::Ok(())
        })?;
        self.refused += refused;
        Ok(())
    }
}

/// Attaches to an owner as soon as there is one. Never becomes one itself: the
/// workers shall find it among themselves.
async fn attach(home: &Path) -> anyhow::Result<Arc<Household>> {
    let began = Instant::now();
    loop {
        let opener = || {
            let why = "it only attaches".to_owned();
            Box::pin(async { Err(LedgerError::Damaged(why)) }) as _
        };
        match Household::open_with_patience(home, Box::new(opener), PATIENCE).await {
            Ok(household) => return Ok(household),
            Err(HouseholdError::Ledger(_)) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(error).context("find an owner to write to"),
        }
    }
}

/// A step at work that had an earlier claim.
async fn again(ledger: &dyn Ledger) -> anyhow::Result<Option<LeaseRow>> {
    let tenant = charter::ids::TenantId::local();
    let Rows::Leases(leases) = ledger.query(&tenant, Query::Leases).await? else {
        bail!("leases were asked for");
    };
    Ok(leases.into_iter().find(|lease| lease.token > 1))
}

async fn send(ledger: &dyn Ledger, lease: &LeaseRow, dice: &Dice) -> anyhow::Result<()> {
    let at: Millis = now();
    let (step, token) = (lease.step.clone(), lease.token - 1);
    let (content, error) =
        Content::of_json(&lease.tenant, &json!("late"), Label::TRUSTED, at, dice)
            .context("word it")?;
    let failed = Event::StepFailed {
        step: step.clone(),
        error,
        retry_at: at,
        usage: charter::budget::Usage::default(),
    };
    let transition = Transition {
        id: TransitionId::new(at, dice),
        tenant: lease.tenant.clone(),
        at,
        events: vec![(StreamId::mission(&step.mission), failed)],
        fence: Some(Fence { step, token }),
        lease: LeaseChange::Release,
        term: None,
        contents: vec![content],
    };
    match ledger.commit(transition).await {
        Err(LedgerError::Conflict(_)) => Ok(()),
        Err(error) => Err(error).context("a late write should be refused in other words"),
        Ok(_) => bail!(
            "a write under claim {token} of {} was accepted while claim {} holds",
            lease.step,
            lease.token
        ),
    }
}
