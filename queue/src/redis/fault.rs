//! What can go wrong with a Redis, in words that say what to do.

use charter::breaker::Refused;
use redis::{ErrorKind, RedisError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Most characters of a server's own words that are repeated.
const WORDS_MAX: usize = 200;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(
        "there is no connection to {at} ({source}); see that the server runs and can be reached"
    )]
    Unreachable {
        at: String,
        #[source]
        source: io::Error,
    },
    #[error("{at} did not answer within {} ms; see whether the server is stopped or too busy", waited.as_millis())]
    Silent { at: String, waited: Duration },
    #[error("the connection to {at} broke ({source})")]
    Broken {
        at: String,
        #[source]
        source: RedisError,
    },
    #[error(
        "no TLS with {at} ({source}); see that the server speaks TLS and its certificate names this host and is signed by whom you trust"
    )]
    Tls {
        at: String,
        #[source]
        source: io::Error,
    },
    #[error("the certificates of {} cannot be read: {why}", path.display())]
    Authority { path: PathBuf, why: String },
    #[error("{0}")]
    Unfit(Unfit),
    #[error("{advice} ({at} answered {command} with \"{words}\")")]
    Server { at: String, command: &'static str, code: String, words: String, advice: String },
    #[error(
        "{at} answered {command} with something that Redis does not answer; see that it is a Redis"
    )]
    Nonsense { at: String, command: &'static str },
    #[error("no Sentinel could name the master {master}: {causes}")]
    Sentinels { master: String, causes: String },
    #[error("the server closed the connection to {at}")]
    Closed { at: String },
    #[error(
        "{count} entries of {key} in a row were no steps and were taken off; see what else writes \
         there"
    )]
    Foreign { key: String, count: usize },
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Fault {
    /// Whether the connection is of no use any more.
    pub(super) fn ends_link(&self) -> bool {
        match self {
            Self::Server { code, .. } => code == "READONLY",
            Self::Refused(_) | Self::Foreign { .. } => false,
            _ => true,
        }
    }

    /// Whether the same call may succeed over a new connection: the server was
    /// started anew or is another one now.
    pub(super) fn may_pass_elsewhere(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::Server { code, .. } => code == "READONLY",
            _ => false,
        }
    }

    /// The server is there, and its answer to this command is no.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Server { .. })
    }
}

/// Makes sense of an error of the library. `about` is the key that was asked for.
pub(super) fn explain(
    at: &str,
    command: &'static str,
    about: &str,
    waited: Duration,
    error: RedisError,
) -> Fault {
    let at = at.to_owned();
    if error.is_timeout() {
        return Fault::Silent { at, waited };
    }
    // The library keeps the server's words to itself when a login fails.
    let code = match error.kind() {
        ErrorKind::AuthenticationFailed => Some("WRONGPASS"),
        _ => error.code(),
    };
    let Some(code) = code.map(str::to_owned) else {
        return match error.kind() {
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Fault::Nonsense { at, command },
            _ => Fault::Broken { at, source: error },
        };
    };
    let detail = error.detail().unwrap_or_default();
    let advice = advice(&code, detail, command, about);
    let words = format!("{code} {detail}");
    let words = words.trim_end().chars().take(WORDS_MAX);
    let words = words.map(|c| if c.is_control() { ' ' } else { c }).collect();
    Fault::Server { at, command, code, words, advice }
}

/// What to do about an answer that is an error.
fn advice(code: &str, detail: &str, command: &str, about: &str) -> String {
    match code {
        "WRONGPASS" => "the user name or the password is wrong: correct the address of the queue".into(),
        "NOAUTH" => "the server asks for a password: write it into the address of the queue, as in redis://user:password@host".into(),
        "NOPERM" => {
            let right = match command {
                "PUBLISH" | "SUBSCRIBE" => format!(" &{about}"),
                "ZADD" | "ZCARD" | "ZRANGE" | "ZPOPMIN" | "XADD" | "XREAD" | "XREVRANGE" | "EXISTS"
                | "SET" | "DEL" => format!(" ~{about}"),
                _ => String::new(),
            };
            let name = command.to_lowercase();
            format!("the user may not use {command}: allow it, as ACL SETUSER … +{name}{right} does")
        }
        "READONLY" => "the server is a replica and takes no steps: name the master, or its Sentinels".into(),
        "LOADING" => "the server is still reading its data; it is asked again".into(),
        "OOM" => "the memory that the server may use is full: raise maxmemory or remove what else lies there".into(),
        "MISCONF" => "the server cannot save to its disk and takes no more steps: mend its disk".into(),
        "NOREPLICAS" => "the server has fewer replicas than min-replicas-to-write asks for: bring them back".into(),
        "MASTERDOWN" => "the server has lost its master; it is asked again".into(),
        "BUSY" => "a script keeps the server from answering; it is asked again".into(),
        "WRONGTYPE" => foreign_key(about),
        "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => Unfit::Cluster.to_string(),
        // These have no code of their own.
        _ if detail.contains("not an integer") || detail.contains("overflow") => foreign_key(about),
        _ if detail.contains("DB index") => "the server has no database of this number: correct the address of the queue".into(),
        _ if detail.contains("unknown command") => format!("the server does not know {command}: {}", Unfit::OLDEST),
        _ if detail.contains("max number of clients") => "the server has no connection left: raise maxclients".into(),
        _ => format!("the server refused {command}"),
    }
}

fn foreign_key(key: &str) -> String {
    format!(
        "the key {key} holds something that is not Alma's: remove it (DEL {key}); the steps are \
         rung again from the ledger"
    )
}

/// A server that answers, and cannot hold the queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(
        "this is a Redis Cluster, which cannot hold the queue: the keys of one installation lie on \
         one node, so that a cluster adds nothing but redirections; use a single server, or \
         Sentinels where it must survive the loss of one"
    )]
    Cluster,
    #[error("this is a Sentinel, not a server: use redis+sentinel://host:26379/MASTER")]
    Sentinel,
    #[error("this server is a {0} and takes no steps: name the master, or its Sentinels")]
    Replica(String),
    #[error("this is version {version}: {}", Unfit::OLDEST)]
    TooOld { version: String },
}

impl Unfit {
    const OLDEST: &'static str = "Redis 6.2 is the oldest that can hold the queue";
}

/// What a server says of itself when it is greeted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: String,
    pub(super) mode: String,
    pub(super) role: String,
}

impl Hello {
    /// Whether it can hold the queue.
    pub(super) fn fits(&self) -> Result<(), Unfit> {
        match (self.mode.as_str(), self.role.as_str()) {
            ("cluster", _) => Err(Unfit::Cluster),
            ("sentinel", _) => Err(Unfit::Sentinel),
            (_, "master") if self.number() >= (6, 2) => Ok(()),
            (_, "master") => Err(Unfit::TooOld { version: self.version.clone() }),
            (_, role) => Err(Unfit::Replica(role.to_owned())),
        }
    }

    /// Major and minor version; 0 where it says something else.
    fn number(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, mode: &str, role: &str, expect: Result<(), Unfit>) {
        let hello = Hello { version: version.into(), mode: mode.into(), role: role.into() };
        assert_eq!(hello.fits(), expect, "{hello:?}");
    }

    #[test]
    fn only_a_master_of_6_2_or_later_fits() {
        check("7.0.15", "standalone", "master", Ok(()));
        check("6.2.0", "standalone", "master", Ok(()));
        check("10.1", "standalone", "master", Ok(()));
        check("6.0.16", "standalone", "master", Err(Unfit::TooOld { version: "6.0.16".into() }));
        check("?", "standalone", "master", Err(Unfit::TooOld { version: "?".into() }));
        check("7.0.15", "standalone", "replica", Err(Unfit::Replica("replica".into())));
        check("7.0.15", "cluster", "master", Err(Unfit::Cluster));
        check("7.0.15", "sentinel", "", Err(Unfit::Sentinel));
    }

    fn advised(code: &str, detail: &str, expect: &str) {
        let advice = advice(code, detail, "ZADD", "{alma:1}:steps");
        assert!(advice.contains(expect), "{code} {detail}: {advice}");
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        advised("WRONGPASS", "", "correct the address");
        advised("NOAUTH", "", "redis://user:password@host");
        advised("NOPERM", "", "ACL SETUSER … +zadd ~{alma:1}:steps does");
        advised("READONLY", "", "name the master");
        advised("LOADING", "", "asked again");
        advised("OOM", "", "raise maxmemory");
        advised("MISCONF", "", "mend its disk");
        advised("WRONGTYPE", "", "DEL {alma:1}:steps");
        advised("MOVED", "1 host:1", "Redis Cluster");
        advised("ERR", "value is not an integer or out of range", "DEL {alma:1}:steps");
        advised("ERR", "increment or decrement would overflow", "DEL {alma:1}:steps");
        advised("ERR", "DB index is out of range", "no database of this number");
        advised("ERR", "unknown command 'HELLO'", "Redis 6.2");
        advised("ERR", "max number of clients reached", "maxclients");
        advised("ERR", "something new", "refused ZADD");
    }

    #[test]
    fn a_servers_words_are_bounded_and_stay_on_one_line() {
        let error = redis::make_extension_error("ODD".into(), Some("a\r\nb".repeat(500)));
        let fault = explain("host:1", "ZADD", "key", Duration::ZERO, error);
        let text = fault.to_string();
        assert!(text.len() < 400 && !text.contains('\n'), "{text}");
        assert!(fault.is_answer() && !fault.ends_link());
    }
}
