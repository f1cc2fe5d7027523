//! Whether a Redis can hold the queue: everything the queue does, tried once.

use super::Keys;
use super::address::RedisAddress;
use super::connect::{self, Link};
use super::fault::Fault;
use redis::{Cmd, Value, cmd};

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// In order.
    Good,
    /// Works, but less well than it could.
    Notice,
    /// Does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// In words, with what to do where something is to be done.
    pub detail: String,
}

impl Finding {
    fn new(level: Level, detail: impl Into<String>) -> Self {
        Self { level, detail: detail.into() }
    }
}

/// Connects and tries; never changes what is on the queue.
pub(super) async fn check(address: &RedisAddress, keys: &Keys) -> Vec<Finding> {
    let link = match connect::connect(address).await {
        Ok(link) => link,
        Err(fault) => return vec![Finding::new(Level::Bad, fault.to_string())],
    };
    let about = format!("version {}, {}, at {}", link.hello.version, link.hello.role, link.at);
    let mut findings = vec![Finding::new(Level::Good, about), eviction(&link).await];
    findings.extend(commands(&link, keys).await);
    findings.extend(bell(&link, address, keys).await);
    findings.push(events(&link, keys).await);
    findings
}

/// What becomes of the queue when the server's memory is full.
async fn eviction(link: &Link) -> Finding {
    let info = link.call::<String>("INFO", "memory", cmd("INFO").arg("memory")).await;
    match info {
        Ok(info) => policy(&info),
        Err(fault) => Finding::new(
            Level::Notice,
            format!(
                "it cannot be seen whether the server throws keys away when it is full: {fault}"
            ),
        ),
    }
}

fn policy(info: &str) -> Finding {
    let policy = info.lines().find_map(|line| line.trim().strip_prefix("maxmemory_policy:"));
    match policy {
        Some("noeviction") => {
            Finding::new(Level::Good, "nothing is thrown away when memory is full")
        }
        Some(policy) => Finding::new(
            Level::Notice,
            format!(
                "when memory is full the queue may be thrown away (maxmemory-policy {policy}); the \
                 ledger fills it again, but steps wait meanwhile: set maxmemory-policy noeviction"
            ),
        ),
        None => Finding::new(
            Level::Notice,
            "the server does not say what it throws away when memory is full",
        ),
    }
}

/// Each command of the queue, on a key that holds nothing else.
async fn commands(link: &Link, keys: &Keys) -> Vec<Finding> {
    let scratch = &keys.scratch;
    let tried: [(&'static str, &str, Cmd); 4] = [
        ("ZADD", scratch, cmd("ZADD").arg(scratch).arg("NX").arg(1).arg("tried").to_owned()),
        ("ZCARD", scratch, cmd("ZCARD").arg(scratch).to_owned()),
        ("ZRANGE", scratch, cmd("ZRANGE").arg(scratch).arg(0).arg(0).arg("WITHSCORES").to_owned()),
        ("ZPOPMIN", scratch, cmd("ZPOPMIN").arg(scratch).to_owned()),
    ];
    let mut findings = Vec::new();
    for (name, key, command) in tried {
        if let Err(fault) = link.call::<Value>(name, key, &command).await {
            findings.push(Finding::new(Level::Bad, fault.to_string()));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::new(Level::Good, "steps can be put on the queue and taken off"));
    }
    findings
}

/// Whether a ring is heard at once.
async fn bell(link: &Link, address: &RedisAddress, keys: &Keys) -> Vec<Finding> {
    let notice = |fault: Fault| {
        let late = "steps wait for a worker's next tick, because no bell is heard";
        Finding::new(Level::Notice, format!("{late}: {fault}"))
    };
    let heard = connect::listen(address, &keys.bell).await.err();
    let mut publish = cmd("PUBLISH");
    publish.arg(&keys.bell).arg("");
    let rung = link.call::<Value>("PUBLISH", &keys.bell, &publish).await.err();
    match [heard, rung].into_iter().flatten().map(notice).collect::<Vec<_>>() {
        notices if notices.is_empty() => {
            vec![Finding::new(Level::Good, "workers hear at once when a step is ready")]
        }
        notices => notices,
    }
}

/// Whether events can be published and read: each command in a form that changes nothing
/// where there is nothing.
async fn events(link: &Link, keys: &Keys) -> Finding {
    let (scratch, stream) = (&keys.scratch, &keys.events);
    let mut add = cmd("XADD");
    add.arg(scratch).arg("NOMKSTREAM").arg("*").arg("e").arg("");
    let tried: [(&'static str, &str, Cmd); 5] = [
        ("XADD", scratch, add),
        (
            "XREAD",
            stream,
            cmd("XREAD").arg("COUNT").arg(1).arg("STREAMS").arg(stream).arg("$").to_owned(),
        ),
        (
            "XREVRANGE",
            stream,
            cmd("XREVRANGE").arg(stream).arg("+").arg("-").arg("COUNT").arg(1).to_owned(),
        ),
        ("SET", scratch, cmd("SET").arg(scratch).arg(1).arg("XX").to_owned()),
        ("EXISTS", &keys.listening, cmd("EXISTS").arg(&keys.listening).to_owned()),
    ];
    for (name, key, command) in tried {
        if let Err(fault) = link.call::<Value>(name, key, &command).await {
            let late = "events are read from the record, which is slower";
            return Finding::new(Level::Notice, format!("{late}: {fault}"));
        }
    }
    Finding::new(Level::Good, "events are heard as they happen")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(info: &str, level: Level, words: &str) {
        let finding = policy(info);
        assert!(finding.level == level && finding.detail.contains(words), "{finding:?}");
    }

    #[test]
    fn only_noeviction_keeps_the_queue() {
        expect("a:1\r\nmaxmemory_policy:noeviction\r\nb:2\r\n", Level::Good, "nothing");
        expect("maxmemory_policy:allkeys-lru\r\n", Level::Notice, "allkeys-lru");
        expect("", Level::Notice, "does not say");
    }
}
