//! The record as configured: a file in the data folder, or PostgreSQL.

use crate::clock::ServerClock;
use alma::degraded::Degraded;
use alma::operations::doctor::{Finding, Level};
use anyhow::Context;
use charter::ids::Millis;
use charter::ports::{Clock, LedgerError};
use ledger::keys::{self, KeyError};
use ledger::{Durability, PgAddress, PgDurability, PgLedger, SigningKey, SqliteLedger};
use serde_json::{Value, json};
use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use surfaces::cli::exit::chain;
use surfaces::http::{Dependency, Gauge};

/// The file that the ledger has in a data folder.
pub(crate) const FILE: &str = "ledger.db";
/// The key that signs its checkpoints.
const KEY: &str = "ledger.key";

/// Settings in force on which durability rests.
#[derive(Debug)]
pub(crate) enum InForce {
    /// Of SQLite.
    File(Durability),
    /// Of PostgreSQL.
    Server(PgDurability),
}

impl InForce {
    /// By the names that the store gives them.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::File(found) => {
                json!({ "journal_mode": found.journal_mode, "synchronous": found.synchronous })
            }
            Self::Server(found) => json!({
                "synchronous_commit": found.synchronous_commit,
                "fsync": found.fsync,
                "full_page_writes": found.full_page_writes,
            }),
        }
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(found) => {
                write!(f, "journal_mode={} synchronous={}", found.journal_mode, found.synchronous)
            }
            Self::Server(found) => write!(
                f,
                "synchronous_commit={} fsync={} full_page_writes={}",
                found.synchronous_commit, found.fsync, found.full_page_writes
            ),
        }
    }
}

/// Opens the record in a data folder with the key that signs its checkpoints. The
/// key is kept only after the record was made: a key without a record means that
/// the record is lost, and nothing may begin anew as if there had been none.
pub(crate) async fn open_file(
    home: &Path,
    clock: Arc<dyn Clock>,
) -> Result<SqliteLedger, LedgerError> {
    let (file, kept) = (home.join(FILE), home.join(KEY));
    let unusable = |error: KeyError| LedgerError::Damaged(chain(&error));
    let Some(key) = key(home).map_err(unusable)? else {
        let key = keys::draw().map_err(unusable)?;
        let ledger = SqliteLedger::open(&file, clock, key.clone()).await?;
        keys::keep(&kept, &key).map_err(unusable)?;
        return Ok(ledger);
    };
    if !file.exists() && home.join(crate::migrate::kept(1)).exists() {
        return Err(LedgerError::Damaged(
            "it was moved to PostgreSQL with `alma migrate`: name that place under [ledger] in \
             config.toml"
                .to_owned(),
        ));
    }
    if std::fs::metadata(&file).map_or(true, |found| found.len() == 0) {
        return Err(LedgerError::Damaged(format!(
            "{} is empty or gone, and {} says that it held something; restore a backup of it, or \
             move the key away to begin anew",
            file.display(),
            kept.display()
        )));
    }
    SqliteLedger::open(&file, clock, key).await
}

/// Opens the record on PostgreSQL. The first process of an installation makes its
/// key; every other host needs a copy of it.
pub(crate) async fn open_server(home: &Path, url: &str) -> anyhow::Result<Server> {
    let address: PgAddress = url.parse().context("ledger.url cannot be used")?;
    if home.join(FILE).exists() {
        anyhow::bail!(
            "{} holds a record of its own, and ledger.url names another; move it with `alma \
             migrate`, or set ALMA_HOME to an empty folder",
            home.display()
        );
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home)
        .with_context(|| format!("could not make the data folder {}", home.display()))?;
    let opening = || format!("could not open the record on PostgreSQL at {address}");
    let own = Arc::new(ServerClock::new());
    let clock: Arc<dyn Clock> = Arc::clone(&own) as Arc<dyn Clock>;
    let ledger = match key(home)? {
        Some(key) => PgLedger::open(&address, clock, key).await.with_context(opening)?,
        None => {
            let drawn = keys::draw()?;
            match PgLedger::open(&address, Arc::clone(&clock), drawn.clone()).await {
                Ok(ledger) => {
                    keys::keep(&home.join(KEY), &drawn)?;
                    ledger
                }
                // Another process of this folder may have been first.
                Err(error) => match key(home)? {
                    Some(key) => {
                        PgLedger::open(&address, clock, key).await.with_context(opening)?
                    }
                    None => return Err(error).with_context(opening),
                },
            }
        }
    };
    let ledger = Arc::new(ledger);
    Arc::clone(&own).follow(&ledger).await.with_context(opening)?;
    Ok(Server { ledger, address, clock: own })
}

/// The key of a data folder, if it has one.
fn key(home: &Path) -> Result<Option<SigningKey>, KeyError> {
    match keys::load(&home.join(KEY)) {
        Ok(key) => Ok(Some(key)),
        Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The name of this installation, by its key.
pub(crate) fn installation(home: &Path) -> anyhow::Result<String> {
    let key = keys::load(&home.join(KEY)).context("could not name this installation")?;
    Ok(keys::installation(&keys::public(&key)))
}

/// Where the key lies.
pub(crate) fn key_file(home: &Path) -> PathBuf {
    home.join(KEY)
}

/// A record on PostgreSQL.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) ledger: Arc<PgLedger>,
    pub(crate) address: PgAddress,
    /// The time there.
    pub(crate) clock: Arc<ServerClock>,
}

impl Server {
    /// How it answers, in words, and whether all is well.
    fn health(&self) -> (bool, String) {
        let health = self.ledger.health();
        let well = health.is_closed() && health.is_well();
        let why = health.why.map(|why| format!(": {why}")).unwrap_or_default();
        let state = if well { "answers" } else { "does not answer" };
        (well, format!("PostgreSQL at {} {state}{why}", self.address))
    }

    /// What there is to say while it is away.
    pub(crate) fn degraded(&self, now: Millis) -> Option<Degraded> {
        let health = self.ledger.health();
        (!health.is_closed()).then(|| Degraded {
            what: "the record is away",
            why: health.why.unwrap_or_else(|| format!("{} does not answer", self.address)),
            since: now.saturating_sub_unsigned(
                u64::try_from(health.lasting.as_millis()).unwrap_or_default(),
            ),
            works: "nothing is taken on or worked on before it is back, and nothing is lost",
        })
    }

    /// How it answers, as a figure.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge::circuit("record", &self.ledger.health())
    }

    /// What `/ready` says of it.
    pub(crate) fn dependency(&self) -> Dependency {
        let (ready, detail) = self.health();
        Dependency { name: "record", ready, detail }
    }

    /// What `alma doctor` says of it.
    pub(crate) fn finding(&self) -> Finding {
        let (well, detail) = self.health();
        let in_force = InForce::Server(self.ledger.durability().clone());
        Finding {
            what: "record".to_owned(),
            level: if well { Level::Good } else { Level::Bad },
            detail: format!("{detail} ({in_force})"),
            fix: (!well).then(|| "look at the PostgreSQL server and its log".to_owned()),
        }
    }
}
