//! What a worker does to its lease while it works. Touches the row of the lease
//! alone, so that it waits for nobody who writes events.

use super::tables::{from_json, to_json};
use super::{Arg, Sql, fixed};
use crate::limits;
use charter::ids::Millis;
use charter::ports::{Fence, LeaseStatus, LedgerError};
use charter::rows::MissionRow;
use charter::tool::Process;

/// Tries to note a program while its list keeps changing. Only the worker of the
/// step writes it, so the first one does.
const NOTE_TRIES: usize = 8;

/// A fencing token as a database has it.
pub(crate) fn token(token: u64) -> Result<i64, LedgerError> {
    i64::try_from(token).map_err(|_| LedgerError::Conflict(format!("{token} is no claim")))
}

fn of(fence: &Fence, token: i64) -> Vec<Arg> {
    vec![
        fence.step.mission.as_str().into(),
        fence.step.n.into(),
        fence.step.item.into(),
        token.into(),
    ]
}

pub(crate) async fn renew(
    conn: &mut dyn Sql,
    fence: &Fence,
    expires_at: Millis,
) -> Result<LeaseStatus, LedgerError> {
    let Ok(token) = token(fence.token) else { return Ok(LeaseStatus::Lost) };
    let sql = fixed(
        "UPDATE leases SET expires_at = $5 \
         WHERE mission = $1 AND n = $2 AND item = $3 AND token = $4 \
         RETURNING (SELECT coalesce(max(body), '') FROM missions WHERE id = $1)",
    );
    let mut args = of(fence, token);
    args.push(expires_at.into());
    let Some(mut held) = conn.lines("renew a lease", sql, args).await?.into_iter().next() else {
        return Ok(LeaseStatus::Lost);
    };
    let body = held.text(0)?;
    let stopped = match body.as_str() {
        "" => false,
        body => {
            let mission: MissionRow = from_json("mission", body)?;
            mission.cancelled || mission.stopped.is_some()
        }
    };
    Ok(if stopped { LeaseStatus::Cancelled } else { LeaseStatus::Held })
}

/// Notes a program. The inner error is a refusal: nothing was tried.
pub(crate) async fn note(
    conn: &mut dyn Sql,
    fence: &Fence,
    program: &Process,
    running: bool,
) -> Result<Result<(), LedgerError>, LedgerError> {
    let void = || {
        let Fence { step, token } = fence;
        Ok(Err(LedgerError::Conflict(format!("the claim {token} on step {step} is void"))))
    };
    let Ok(token) = token(fence.token) else { return void() };
    for _ in 0..NOTE_TRIES {
        let sql = fixed(
            "SELECT programs FROM leases \
             WHERE mission = $1 AND n = $2 AND item = $3 AND token = $4",
        );
        let found = conn.lines("note a program", sql, of(fence, token)).await?;
        let Some(mut line) = found.into_iter().next() else { return void() };
        let was = line.text(0)?;
        let mut programs: Vec<Process> = from_json("list of programs", &was)?;
        if let Err(error) = limits::note(&mut programs, program, running) {
            return Ok(Err(error));
        }
        let sql = fixed(
            "UPDATE leases SET programs = $5 \
             WHERE mission = $1 AND n = $2 AND item = $3 AND token = $4 AND programs = $6",
        );
        let mut args = of(fence, token);
        args.extend([Arg::Text(to_json(&programs)?), Arg::Text(was)]);
        if conn.run("note a program", sql, args).await? > 0 {
            return Ok(Ok(()));
        }
    }
    Err(LedgerError::Store {
        operation: "note a program".to_owned(),
        cause: "its lease kept changing".to_owned(),
    })
}
