//! The leader's timer for the night. Only a process that stays lets a night begin:
//! a command that is over in a moment does not start one.

use alma::night::timer::{Due, due, time_of_day};
use alma::{Alma, Error, night};
use charter::ids::{Millis, Principal};
use charter::mode::Mode;
use charter::night::NightRow;
use charter::ports::{LedgerExt, Query, Rows};
use charter::record::RecordKind;
use jiff::tz::TimeZone;
use std::time::Duration;
use tokio::sync::watch;

/// How often the clock is looked at: it may be set, and machines sleep.
const LOOK: Duration = Duration::from_secs(60);
/// Nights that are read.
const NIGHTS_READ: u32 = 100;

/// Runs nights when they are due, as long as this process leads.
pub(crate) async fn keep(alma: Alma, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            done = look(&alma) => if let Err(error) = done {
                let error = surfaces::cli::exit::chain(&error);
                tracing::warn!(%error, "the night could not be run; it is tried again");
            },
            // A night that is cut off goes on where it stood.
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn look(alma: &Alma) -> Result<(), Error> {
    let Ok(Some(at)) = time_of_day(&alma.config.night.at) else { return Ok(()) };
    let principal = Principal::local();
    if alma.ports.ledger.mode(&principal.tenant).await? != Mode::Running {
        return Ok(());
    }
    let now = alma.ports.clock.now();
    let query = Query::Records {
        kind: RecordKind::Night,
        parent: None,
        state: None,
        after: None,
        newest: true,
        limit: NIGHTS_READ,
    };
    let rows: Vec<NightRow> = alma.ports.ledger.records(&principal.tenant, query).await?;
    let last = rows.iter().map(|row| row.until).max();
    let since = match last {
        Some(_) => now,
        None => first(alma, &principal).await?.unwrap_or(now),
    };
    if let Due::Run(missed) = due(now, at, &TimeZone::system(), last, since) {
        night::missed(alma, &principal, &missed).await?;
        night::run(alma, &principal).await?;
    }
    Ok(())
}

/// When something first happened, as far back as is read.
async fn first(alma: &Alma, principal: &Principal) -> Result<Option<Millis>, Error> {
    let query = Query::Missions { state: None, same: None, before: None, limit: 1_000 };
    match alma.ports.ledger.query(&principal.tenant, query).await? {
        Rows::Missions(rows) => Ok(rows.last().map(|row| row.created_at)),
        _ => Ok(None),
    }
}
