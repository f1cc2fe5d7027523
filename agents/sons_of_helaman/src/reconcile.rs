//! Taking claims back from the dead, and other housekeeping that compares what
//! is with what should be. It takes no input, may run at any time and by anybody,
//! and doing it twice is doing it once.

use crate::draft::{Draft, commit};
use crate::lease::{FIRST_LEASE_MS, LEASE_MS, RENEW_MS};
use crate::worker::{Ports, Settings};
use charter::event::Event;
use charter::ids::{Millis, MissionId, StepKey, TenantId};
use charter::ports::{Fence, LeaseChange, LeaseRow, LedgerError, LedgerExt, Query, Rows};
use charter::tool::Process;
use moroni::machine::failure::backoff_ms;
use std::collections::BTreeMap;

/// Approvals handled in one round.
const BATCH: u32 = 100;
/// Dead steps looked at in one round.
const DEAD_LOOKED_MAX: u32 = 1_000;
/// Who discards what nobody looked after, in the record.
pub const RETENTION: &str = "retention";
/// How long a claim of this process that has run out is given to be renewed after
/// all, in milliseconds: several renewals.
const OWN_MS: u64 = 6 * RENEW_MS;
/// How much longer a process of this host keeps a claim that has run out, while it
/// lives: a claim that was never renewed is then as old as one that was may get.
const SLOW_MS: Millis = LEASE_MS - FIRST_LEASE_MS;
/// How much later the leader takes a claim from another host than that host itself
/// does, which can tell whether its worker is dead.
const HEAD_START_MS: Millis = 1_500;

/// Whose claims are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of this host, by whoever holds a data folder on it.
    Host,
    /// All, by the leader.
    Everywhere,
}

/// One round. `is_alive` tells whether a process still runs; `None`: it cannot be told
/// from here. Returns how many claims were taken back.
pub async fn reconcile(
    ports: &Ports,
    settings: &Settings,
    reach: Reach,
    is_alive: &(dyn Fn(&Process) -> Option<bool> + Send + Sync),
) -> Result<u32, LedgerError> {
    let mut leases = leases(ports, settings).await?;
    let own = |lease: &LeaseRow| lease.holder == settings.process;
    if leases.iter().any(|lease| own(lease) && lease.expires_at < ports.clock.now()) {
        // A clock that jumped lets claims look old on which this process is at
        // work: they are renewed by then.
        ports.timer.rest(OWN_MS).await;
        leases = self::leases(ports, settings).await?;
    }
    let now = ports.clock.now();
    let here = |process: &Process| process.host == settings.process.host;
    // A process of another host that is known to be over went with its boot.
    let gone = |process: &Process| !here(process) && is_alive(process) == Some(false);
    let mut taken = 0;
    for lease in leases {
        let alive = is_alive(&lease.holder);
        let is_here = here(&lease.holder);
        if alive.is_none() && reach == Reach::Host {
            continue;
        }
        let patience = match alive {
            _ if own(&lease) => 0,
            Some(false) => Millis::MIN,
            Some(true) => SLOW_MS,
            None => HEAD_START_MS,
        };
        if now.saturating_sub(lease.expires_at) <= patience {
            continue;
        }
        // This process renews what it works on, so what has run out here is
        // worked on no more; it need not be its own victim.
        let dead = alive == Some(false) || own(&lease);
        if take_back(ports, &lease, dead, is_here, &gone).await? {
            taken += 1;
        }
    }
    if reach == Reach::Everywhere {
        expire_approvals(ports, settings).await?;
    }
    Ok(taken)
}

async fn leases(ports: &Ports, settings: &Settings) -> Result<Vec<LeaseRow>, LedgerError> {
    match ports.ledger.query(&settings.tenant, Query::Leases).await? {
        Rows::Leases(leases) => Ok(leases),
        _ => Ok(Vec::new()),
    }
}

/// Makes sure that the former executor is dead, then takes the claim back. On
/// this host a process that may still act keeps its claim: two at work are worse
/// than one that is late. A worker of another host loses an expired claim, and
/// the record says that it may still live.
async fn take_back(
    ports: &Ports,
    lease: &LeaseRow,
    holder_dead: bool,
    is_here: bool,
    gone: &(dyn Fn(&Process) -> bool + Send + Sync),
) -> Result<bool, LedgerError> {
    let mut dead = true;
    for program in &lease.programs {
        dead &= gone(program) || ports.tools.kill(program).await;
    }
    dead &= holder_dead || ports.tools.kill(&lease.holder).await;
    if !dead && is_here {
        tracing::warn!(step = %lease.step, "what a lost claim started cannot be stopped");
        return Ok(false);
    }
    let now = ports.clock.now();
    // A step that kills its workers must not do so in a tight loop.
    let wait = if holder_dead { 0 } else { backoff_ms(0, ports.entropy.next_u32()) };
    let mut draft = Draft::new(ports, &lease.tenant, &lease.step.mission);
    draft.event(Event::StepReleased {
        step: lease.step.clone(),
        token: lease.token,
        dead,
        ready_at: now.saturating_add_unsigned(wait),
    });
    let fence = Fence { step: lease.step.clone(), token: lease.token };
    match commit(ports, draft.transition(Some(fence), LeaseChange::Release)).await {
        Ok(_) => Ok(true),
        // Its worker was quicker than this round.
        Err(LedgerError::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes dead steps off the desk whose missions have not changed since then, on
/// the record. Returns how many.
pub async fn discard_old(
    ports: &Ports,
    tenant: &TenantId,
    unchanged_since: Millis,
) -> Result<u32, LedgerError> {
    let query = Query::DeadSteps { limit: DEAD_LOOKED_MAX };
    let mut dead: BTreeMap<MissionId, Vec<StepKey>> = BTreeMap::new();
    for row in ports.ledger.steps(tenant, query).await? {
        dead.entry(row.key.mission.clone()).or_default().push(row.key);
    }
    let mut discarded = 0;
    for (id, steps) in dead {
        if ports.ledger.mission(tenant, &id).await?.updated_at >= unchanged_since {
            continue;
        }
        // All of a mission at once: the first one changes the mission.
        let mut draft = Draft::new(ports, tenant, &id);
        let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        for step in steps {
            draft.event(Event::StepDiscarded { step, by: RETENTION.to_owned() });
        }
        match commit(ports, draft.transition(None, LeaseChange::Keep)).await {
            Ok(_) => discarded += count,
            // A person was quicker.
            Err(LedgerError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(discarded)
}

async fn expire_approvals(ports: &Ports, settings: &Settings) -> Result<(), LedgerError> {
    let query = Query::ExpiredApprovals { now: ports.clock.now(), limit: BATCH };
    let Rows::Approvals(expired) = ports.ledger.query(&settings.tenant, query).await? else {
        return Ok(());
    };
    for row in expired {
        let mut draft = Draft::new(ports, &row.tenant, &row.mission);
        draft.event(Event::ApprovalExpired { approval: row.id, mission: row.mission.clone() });
        match commit(ports, draft.transition(None, LeaseChange::Keep)).await {
            Ok(_) | Err(LedgerError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
