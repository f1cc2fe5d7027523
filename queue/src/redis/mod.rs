//! The queue on a Redis: one sorted set for each lane of an installation.
//!
//! | call | command | what it gives |
//! |---|---|---|
//! | ring | `ZADD NX` with its rank | a step that waits keeps its place and is not doubled |
//! | take | `ZPOPMIN` | the step of the smallest rank, to one taker |
//! | line | `ZCARD`, `ZRANGE 0 0` | how many wait, and the rank of the first |
//! | bell | `PUBLISH` after a ring | workers in every process look at once |
//!
//! No script, no transaction, no stream: each command is atomic by itself, and
//! what is lost between two of them (or with a flush, or with a failover) the
//! relay rings again from the ledger. A set cannot grow beyond the relay's window,
//! keeps no consumer groups and has nothing to acknowledge or to trim. An Alma that
//! knew no lanes had one set; it is that of light steps, so that either version
//! takes what the other rang.
//!
//! Keys begin with `{alma:<installation>}`, so that several installations share
//! one Redis without seeing each other. Calls pass a circuit breaker; a connection
//! that broke is made anew, and with Sentinels to whichever server is the master
//! by then.

use crate::{Line, Queue};
use async_trait::async_trait;
use charter::breaker::{Breaker, BreakerLimits, Health};
use charter::flow::Lane;
use charter::ports::{Doorbell, DoorbellError, Entropy, Ring};
use fault::Fault;
use futures::future::join;
use redis::{Cmd, FromRedisValue, cmd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

mod address;
mod bell;
mod check;
mod connect;
mod entry;
mod events;
mod fault;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod tests;

pub use address::{AddressError, RedisAddress};
pub use check::{Finding, Level};
use connect::Link;
pub(crate) use events::LENGTH;
pub use events::RedisEvents;

/// Most steps put on the queue with one command.
const BATCH: usize = 1_000;
/// Most entries in a row that are no steps before a take gives up.
const FOREIGN_MAX: usize = 64;
/// Characters of an installation's id.
const INSTALLATION: usize = 16;
/// When calls are refused, and how soon one is tried.
const LIMITS: BreakerLimits =
    BreakerLimits { failures: 5, rest: Duration::from_secs(1), rest_max: Duration::from_secs(4) };

/// The names of what one installation has on a Redis.
struct Keys {
    /// The light steps that wait, by rank.
    light: String,
    /// Those that need a sandbox.
    exec: String,
    /// Those that ask the language model.
    model: String,
    /// The channel on which rings are announced.
    bell: String,
    /// Events for whoever follows them.
    events: String,
    /// There while anybody does.
    listening: String,
    /// For trying what is allowed.
    scratch: String,
}

impl Keys {
    fn of(installation: &str) -> Option<Self> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let good = installation.len() == INSTALLATION && installation.bytes().all(digit);
        let key = |name: &str| format!("{{alma:{installation}}}:{name}");
        good.then(|| Self {
            light: key("steps"),
            exec: key("steps:exec"),
            model: key("steps:model"),
            bell: key("bell"),
            events: key("events"),
            listening: key("listening"),
            scratch: key("scratch"),
        })
    }
}

impl Keys {
    fn line(&self, lane: Lane) -> &str {
        match lane {
            Lane::Light => &self.light,
            Lane::Exec => &self.exec,
            Lane::Model => &self.model,
        }
    }
}

/// The queue on a Redis.
pub struct RedisQueue {
    address: RedisAddress,
    keys: Keys,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
    breaker: Mutex<Breaker>,
    origin: Instant,
    foreign: AtomicU64,
    unannounced: AtomicU64,
}

impl RedisQueue {
    /// The queue of an installation (sixteen hexadecimal digits). Connects when it
    /// is first used, and again whenever the connection is lost.
    pub fn new(address: RedisAddress, installation: &str) -> Result<Self, DoorbellError> {
        let keys = Keys::of(installation).ok_or_else(|| DoorbellError {
            operation: "name its keys".to_owned(),
            cause: format!("the id of an installation is {INSTALLATION} hexadecimal digits"),
        })?;
        Ok(Self {
            address,
            keys,
            link: tokio::sync::Mutex::default(),
            breaker: Mutex::new(Breaker::new(LIMITS)),
            origin: Instant::now(),
            foreign: AtomicU64::new(0),
            unannounced: AtomicU64::new(0),
        })
    }

    /// Where it stands, without passwords.
    pub fn address(&self) -> &RedisAddress {
        &self.address
    }

    /// How the server answers.
    pub fn health(&self) -> Health {
        self.lock().health(self.origin.elapsed())
    }

    /// How many entries were taken off the queue because they were no steps.
    pub fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Changes whenever steps were rung by any process, and once after each
    /// connection, since rings may have been missed before it. Listens until the
    /// last receiver is dropped.
    pub fn wakes(&self, entropy: Arc<dyn Entropy>) -> watch::Receiver<u64> {
        bell::listen(self.address.clone(), self.keys.bell.clone(), entropy)
    }

    /// Tries everything that the queue needs, for `alma doctor`.
    pub async fn check(&self) -> Vec<Finding> {
        check::check(&self.address, &self.keys).await
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // Nothing that holds the lock can leave the breaker half changed.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection in use, or a new one; whether it is new.
    async fn link(&self) -> Result<(Arc<Link>, bool), Fault> {
        let mut link = self.link.lock().await;
        if let Some(link) = &*link {
            return Ok((Arc::clone(link), false));
        }
        let made = Arc::new(connect::connect(&self.address).await?);
        tracing::debug!(at = %made.at, version = %made.hello.version, "connected to the queue");
        *link = Some(Arc::clone(&made));
        Ok((made, true))
    }

    /// Forgets a connection, unless somebody already did.
    async fn discard(&self, broken: &Arc<Link>) {
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, broken)) {
            *link = None;
        }
    }

    /// Sends a command; once more over a new connection if the one at hand turned
    /// out to be dead.
    async fn send<T: FromRedisValue>(
        &self,
        name: &'static str,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Fault> {
        loop {
            let (link, new) = self.link().await?;
            match link.call(name, key, command).await {
                Err(fault) if fault.ends_link() => {
                    self.discard(&link).await;
                    if new || !fault.may_pass_elsewhere() {
                        return Err(fault);
                    }
                }
                done => return done,
            }
        }
    }

    /// The same through the circuit breaker.
    async fn call<T: FromRedisValue>(
        &self,
        name: &'static str,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Fault> {
        let pass = self.lock().admit(self.origin.elapsed())?;
        let done = self.send(name, key, command).await;
        let now = self.origin.elapsed();
        match &done {
            Ok(_) => self.lock().succeeded(pass, now),
            Err(fault) => self.lock().failed(pass, fault.to_string(), now),
        }
        done
    }

    async fn ring_batch(&self, lane: Lane, rings: &[&Ring]) -> Result<(), Fault> {
        let (key, bell) = (self.keys.line(lane), &self.keys.bell);
        let mut add = cmd("ZADD");
        add.arg(key).arg("NX");
        for ring in rings {
            add.arg(ring.rank).arg(entry::write(ring));
        }
        let mut announce = cmd("PUBLISH");
        announce.arg(bell).arg("");
        // On one connection the second is sent behind the first without waiting.
        let (added, announced) =
            join(self.call::<i64>("ZADD", key, &add), self.call::<i64>("PUBLISH", bell, &announce))
                .await;
        added?;
        if let Err(fault) = announced {
            let times = self.unannounced.fetch_add(1, Ordering::Relaxed) + 1;
            if times.is_power_of_two() {
                tracing::warn!(%fault, times, "steps were put on the queue without a bell; workers find them at their next tick");
            }
        }
        Ok(())
    }

    async fn look(&self, lane: Lane) -> Result<Line, Fault> {
        let key = self.keys.line(lane);
        let mut first = cmd("ZRANGE");
        first.arg(key).arg(0).arg(0).arg("WITHSCORES");
        let mut count = cmd("ZCARD");
        count.arg(key);
        let (first, waiting) = join(
            self.call::<Vec<(Vec<u8>, f64)>>("ZRANGE", key, &first),
            self.call::<u64>("ZCARD", key, &count),
        )
        .await;
        // What is no rank of ours (below nothing, no number) becomes 0.
        let head = first?.first().map(|(_, score)| *score as u64);
        Ok(Line { waiting: waiting?, head })
    }

    /// Takes entries until one is a step.
    async fn take_step(&self, lane: Lane) -> Result<Option<Ring>, Fault> {
        let key = self.keys.line(lane);
        for _ in 0..FOREIGN_MAX {
            let popped: Vec<(Vec<u8>, f64)> =
                self.call("ZPOPMIN", key, cmd("ZPOPMIN").arg(key)).await?;
            let Some((popped, score)) = popped.first() else { return Ok(None) };
            match entry::read(popped) {
                Ok((tenant, step)) => {
                    return Ok(Some(Ring { tenant, step, lane, rank: *score as u64 }));
                }
                Err(reason) => {
                    let times = self.foreign.fetch_add(1, Ordering::Relaxed) + 1;
                    if times.is_power_of_two() {
                        tracing::warn!(%reason, bytes = popped.len(), times, "an entry was taken off the queue: it is no step");
                    }
                }
            }
        }
        // The rest is left to the next take, so that this one ends.
        Err(Fault::Foreign { key: key.to_owned(), count: FOREIGN_MAX })
    }

    /// Sees whether a server is back that is left alone: in the background, for who
    /// asks has other things to do. At most one such call is under way.
    pub(crate) fn knock(self: &Arc<Self>) {
        if !self.lock().admits(self.origin.elapsed()) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(fault) = this.look(Lane::Light).await {
                tracing::debug!(%fault, "the queue is still away");
            }
        });
    }
}

fn during(operation: &str) -> impl Fn(Fault) -> DoorbellError + '_ {
    move |fault| DoorbellError { operation: operation.to_owned(), cause: fault.to_string() }
}

#[async_trait]
impl Doorbell for RedisQueue {
    async fn ring(&self, rings: &[Ring]) -> Result<(), DoorbellError> {
        for lane in Lane::ALL {
            let of: Vec<&Ring> = rings.iter().filter(|ring| ring.lane == lane).collect();
            for batch in of.chunks(BATCH) {
                self.ring_batch(lane, batch).await.map_err(during("put steps on the queue"))?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn line(&self, lane: Lane) -> Result<Line, DoorbellError> {
        self.look(lane).await.map_err(during("count the steps on the queue"))
    }

    async fn take(&self, lane: Lane) -> Result<Option<Ring>, DoorbellError> {
        self.take_step(lane).await.map_err(during("take a step off the queue"))
    }
}
