//! Where the record and the queue are kept, and which of them go together.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Empty: `ledger.db` in the data folder. Else a PostgreSQL database.
    pub url: Address,
}

/// The queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Empty: `queue.db` in the data folder. Else a Redis server.
    pub url: Address,
}

/// The address of a server, with the password that may stand in it; shown without.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// An address.
    pub fn new(url: &str) -> Self {
        Self(url.to_owned())
    }

    /// The address with all that is in it, for the connection; `None`: there is none.
    pub fn secret(&self) -> Option<&str> {
        Some(self.0.trim()).filter(|url| !url.is_empty())
    }

    fn has_scheme(&self, schemes: &[&str]) -> bool {
        let scheme = self.0.trim().split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| schemes.contains(&scheme))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0.trim();
        // Everything up to the last "@" may belong to a password.
        let whole = url.split_once("://").and_then(|(scheme, rest)| {
            let (user, host) = rest.rsplit_once('@')?;
            let name = user.split(':').next().unwrap_or_default();
            Some(format!("{scheme}://{name}:***@{host}"))
        });
        f.write_str(whole.as_deref().unwrap_or(url))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How this installation is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything in the data folder.
    Embedded,
    /// The record in the data folder, the queue on Redis: many processes, one host.
    OneHost,
    /// Record and queue on servers: many hosts.
    Scaled,
}

impl Mode {
    /// What a user should know who chose it.
    pub fn notes(self) -> &'static [&'static str] {
        match self {
            Self::Embedded => &[],
            Self::OneHost => &[
                "the record stands in this data folder: every process needs the same ALMA_HOME on the same host",
            ],
            Self::Scaled => &[
                "every host needs its own ALMA_HOME with a copy of ledger.key",
                "every host makes its own index of what is remembered, from the record, and loads the language model that its own configuration names",
                "missions read and write files: every host needs their workspaces below the same paths",
            ],
        }
    }
}

/// How record and queue go together; else what is wrong, beginning with the field.
pub fn mode(ledger: &Ledger, queue: &Queue) -> Result<Mode, String> {
    if ledger.url.secret().is_some() && !ledger.url.has_scheme(&["postgres", "postgresql"]) {
        return Err(format!(
            "ledger.url: expected nothing or postgres://USER@HOST/DATABASE, found {}",
            ledger.url
        ));
    }
    let redis = ["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"];
    if queue.url.secret().is_some() && !queue.url.has_scheme(&redis) {
        return Err(format!(
            "queue.url: expected nothing or redis://HOST:PORT, found {}",
            queue.url
        ));
    }
    match (ledger.url.secret(), queue.url.secret()) {
        (None, None) => Ok(Mode::Embedded),
        (None, Some(_)) => Ok(Mode::OneHost),
        (Some(_), Some(_)) => Ok(Mode::Scaled),
        (Some(_), None) => Err("queue.url: a record on PostgreSQL needs a queue on Redis, for \
            queue.db serves the processes of one data folder only; set it to redis://HOST:PORT, \
            or leave ledger.url empty"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ledger: &str, queue: &str, expected: Result<Mode, &str>) {
        let ledger = Ledger { url: Address::new(ledger) };
        let queue = Queue { url: Address::new(queue) };
        match (mode(&ledger, &queue), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
            (found, _) => panic!("{ledger:?} {queue:?}: {found:?}"),
        }
    }

    #[test]
    fn record_and_queue_go_together_or_are_refused() {
        check("", " ", Ok(Mode::Embedded));
        check("", "redis://localhost:6379/1", Ok(Mode::OneHost));
        check("", "redis+sentinel://a:26379,b:26379/alma", Ok(Mode::OneHost));
        check("postgres://alma@db/alma", "rediss://cache", Ok(Mode::Scaled));
        check("postgres://alma@db/alma", "", Err("queue.url: a record on PostgreSQL needs"));
        check("mysql://db/alma", "redis://a", Err("ledger.url: expected nothing or postgres"));
        check("", "localhost:6379", Err("queue.url: expected nothing or redis"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let check = |url: &str, shown: &str| {
            let address = Address::new(url);
            assert_eq!(address.to_string(), shown);
            assert_eq!(serde_json::to_value(&address).unwrap(), shown);
            assert_eq!(format!("{address:?}"), format!("{shown:?}"));
        };
        check("postgres://alma:p@ss/w:rd@db:5432/alma", "postgres://alma:***@db:5432/alma");
        check("redis://:secret@cache:6379", "redis://:***@cache:6379");
        check("redis://cache:6379", "redis://cache:6379");
        check("", "");
    }
}
