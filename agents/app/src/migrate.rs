//! `alma migrate`: the record goes from the data folder to PostgreSQL, or back. It is
//! not opened as for work: the lock of the data folder keeps other processes of this
//! host out, and [`ledger::transfer`] those of others.

use crate::record;
use crate::system::SystemClock;
use alma::Error;
use alma::config::Config;
use alma::operations::migrate::{Destination, Request, Response, destination, told};
use charter::ports::{Clock, LedgerError};
use ledger::household::OwnerLock;
use ledger::transfer::{Place, Progress, transfer, was_moved};
use std::path::{Path, PathBuf};
use surfaces::cli::exit::chain;

/// Where a record arrives before it is whole: under its own name it is whole or not
/// there.
const ARRIVING: &str = "ledger-arriving.db";
/// Former records that are kept in one folder.
const KEPT_MAX: u32 = 1_000;

/// Moves the record; says how far it is.
pub(crate) async fn run(
    home: &Path,
    config: &Config,
    request: Request,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Response, Error> {
    let to = destination(&request.to)?;
    let machine =
        |operation: &str, cause: String| Error::Machine { operation: operation.to_owned(), cause };
    if !home.is_dir() {
        return Err(Error::NotFound(format!("the data folder {}", home.display())));
    }
    let lock = OwnerLock::try_take(home)
        .map_err(|error| machine("take the lock of the data folder", chain(&error)))?;
    let Some(_lock) = lock else {
        return Err(Error::Conflict(format!(
            "a process uses the data folder {} ({}): stop it first",
            home.display(),
            ledger::household::holder(home)
        )));
    };
    let key = ledger::keys::load(&record::key_file(home))
        .map_err(|error| machine("read the key that signs checkpoints", chain(&error)))?;
    let own = home.join(record::FILE);
    let address = |url: &str| url.parse().map(Place::Postgres).map_err(failed);
    let from = match config.ledger.url.secret() {
        Some(url) => address(url)?,
        None => Place::File(match newest_kept(home) {
            Some(kept) if !own.exists() => kept,
            _ => own.clone(),
        }),
    };
    let place = match &to {
        Destination::Postgres(url) => address(url)?,
        Destination::File if matches!(from, Place::File(_)) => {
            return Err(Error::Usage("the record is in the data folder already".to_owned()));
        }
        Destination::File if own.exists() => Place::File(own.clone()),
        Destination::File => Place::File(home.join(ARRIVING)),
    };
    let is_own = |place: &Place| matches!(place, Place::File(path) if *path == own);
    // Killed behind the renaming: all is done but the telling.
    let renamed = match &from {
        Place::File(path) => *path != own,
        Place::Postgres(_) => is_own(&place),
    };
    if renamed {
        return match was_moved(&from, &place, &key).await.map_err(failed)? {
            true => Ok(told(config, &to, None, name(&from))),
            false if is_own(&place) => Err(Error::Conflict(format!(
                "{} is in the way: move it elsewhere first",
                own.display()
            ))),
            false => Err(Error::NotFound(format!("the ledger {}", own.display()))),
        };
    }
    let moved = transfer(&from, &place, &key, SystemClock.now(), tell).await.map_err(failed)?;
    let kept = match &from {
        Place::Postgres(_) => name(&from),
        Place::File(path) => {
            let kept = free_name(home).ok_or_else(|| {
                machine("keep the former record", format!("{KEPT_MAX} of them are kept already"))
            })?;
            rename(path, &kept)?;
            kept.display().to_string()
        }
    };
    if let Place::File(arrived) = &place {
        rename(arrived, &own)?;
    }
    let folder = std::fs::File::open(home).and_then(|folder| folder.sync_all());
    folder.map_err(|error| machine("keep the new name of the record", error.to_string()))?;
    Ok(told(config, &to, moved.as_ref(), kept))
}

fn name(place: &Place) -> String {
    match place {
        Place::Postgres(address) => address.to_string(),
        Place::File(path) => path.display().to_string(),
    }
}

/// Gives a record that was closed its name. Its log must be empty, for it would stay
/// behind; so must one that lies there, for it would be taken for this record's.
fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let has_log = |path: &Path| {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
    };
    if has_log(from) {
        return Err(Error::Conflict(format!(
            "another program reads {}: end it, then begin the move anew",
            from.display()
        )));
    }
    if has_log(to) {
        return Err(Error::Conflict(format!(
            "{}-wal is what another record left behind: move it to where that record is, then \
             begin the move anew",
            to.display()
        )));
    }
    std::fs::rename(from, to).map_err(|error| Error::Machine {
        operation: "rename the record".to_owned(),
        cause: error.to_string(),
    })
}

fn failed(source: LedgerError) -> Error {
    match Error::from(source) {
        Error::Ledger { source, .. } => Error::Ledger { operation: "move the record", source },
        other => other,
    }
}

/// A name under which a former record can be kept.
fn free_name(home: &Path) -> Option<PathBuf> {
    (1..=KEPT_MAX).map(|n| home.join(kept(n))).find(|path| !path.exists())
}

fn newest_kept(home: &Path) -> Option<PathBuf> {
    (1..=KEPT_MAX).map(|n| home.join(kept(n))).take_while(|path| path.exists()).last()
}

/// The name of the nth former record that is kept.
pub(crate) fn kept(n: u32) -> String {
    format!("ledger-moved-{n}.db")
}
