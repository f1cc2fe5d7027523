//! Says whether work goes on, and what runs, waits and lies dead.

use super::shared::Nothing;
use crate::{Alma, Error};
use charter::ids::{Millis, Principal};
use charter::mode::{Mode, ModeRow};
use charter::ports::{LedgerError, LedgerExt, Query, Rows};
use charter::rows::MissionState;
use serde::Serialize;

/// Most rows that are counted.
const COUNTED_MAX: u32 = 10_000;

/// How work stands.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether it goes on.
    pub mode: Mode,
    /// Since when, if it was ever turned.
    pub since: Option<Millis>,
    /// Who turned it.
    pub by: Option<String>,
    /// What to know and how it goes on, unless it runs.
    pub notice: Option<String>,
    /// Steps that a worker has.
    pub claimed: usize,
    /// Steps that are ready and not taken.
    pub ready: usize,
    /// Missions that wait for a person.
    pub waiting: usize,
    /// Dead steps on the desk.
    pub dead: usize,
    /// Days that they are kept; 0: for ever.
    pub dead_kept_days: u32,
}

/// Says.
pub async fn run(alma: &Alma, principal: &Principal, _: Nothing) -> Result<Response, Error> {
    status(alma, principal).await
}

/// How work stands now.
pub(crate) async fn status(alma: &Alma, principal: &Principal) -> Result<Response, Error> {
    let tenant = &principal.tenant;
    let row = match alma.ledger().record::<ModeRow>(tenant, tenant).await {
        Ok(row) => Some(row),
        Err(LedgerError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let mode = row.as_ref().map_or(Mode::Running, |row| row.mode);
    let count = async |query| -> Result<usize, Error> {
        Ok(match alma.ledger().query(tenant, query).await? {
            Rows::Leases(rows) => rows.iter().filter(|row| row.tenant == *tenant).count(),
            Rows::Steps(rows) => rows.iter().filter(|row| row.tenant == *tenant).count(),
            Rows::Missions(rows) => rows.len(),
            _ => 0,
        })
    };
    let waiting = Query::Missions {
        state: Some(MissionState::Waiting),
        same: None,
        before: None,
        limit: COUNTED_MAX,
    };
    Ok(Response {
        mode,
        since: row.as_ref().map(|row| row.at),
        by: row.map(|row| row.by),
        notice: mode.notice().map(str::to_owned),
        claimed: count(Query::Leases).await?,
        ready: count(Query::ReadySteps { now: alma.now(), limit: COUNTED_MAX }).await?,
        waiting: count(waiting).await?,
        dead: count(Query::DeadSteps { limit: COUNTED_MAX }).await?,
        dead_kept_days: alma.config.dead_letters.keep_days,
    })
}
