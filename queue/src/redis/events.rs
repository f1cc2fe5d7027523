//! Committed events on the same Redis, for whoever follows them live: one stream per
//! installation.
//!
//! The id of an entry is the event's position in the ledger, so Redis itself refuses
//! what is there already: any number of processes may publish. The stream is short
//! ([`LENGTH`]) and may lose anything at any time. Positions have no gaps, so readers
//! notice, and the ledger has the rest. Entries hold envelopes: names, digests and
//! counts, no text of anybody's.
//!
//! Nobody listens most of the time. Whoever does says so ([`LISTENING`]), and only then
//! is published at all.

use super::fault::Fault;
use super::{RedisAddress, RedisQueue, during};
use async_trait::async_trait;
use charter::envelope::Envelope;
use charter::ports::{DoorbellError, Live};
use futures::future::join_all;
use redis::cmd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Events that the stream keeps, roughly.
pub(crate) const LENGTH: usize = 10_000;
/// Largest event that is published, in bytes. The ledger tells of larger ones.
const BYTES_MAX: usize = 64 << 10;
/// Events sent without waiting for each other: no more than a connection takes up
/// at once, so that they leave in order and none is refused for a later one.
const AT_A_TIME: usize = 30;
/// Events read at a time.
const PAGE: usize = 256;
/// How long it counts that somebody said to listen, and how often it is said again.
const LISTENING: Duration = Duration::from_secs(10);
const SAY_AGAIN: Duration = Duration::from_secs(3);
/// Longest wait of one read: a call must be answered within its time.
const BLOCK_MAX_MS: u64 = 1_000;

/// A field of an entry and what it holds, one behind the other.
type Fields = Vec<Vec<u8>>;
/// What a read gives: by stream, by id.
type Found = Option<Vec<(String, Vec<(String, Fields)>)>>;

/// The events of an installation on a Redis.
pub struct RedisEvents {
    /// Its connection, its breaker, its keys. Reads wait on it, so it is no other's.
    link: RedisQueue,
    said: Mutex<Option<Instant>>,
}

impl RedisEvents {
    /// Of an installation, as [`RedisQueue::new`] takes it.
    pub fn new(address: RedisAddress, installation: &str) -> Result<Self, DoorbellError> {
        let link = RedisQueue::new(address, installation)?;
        Ok(Self { link, said: Mutex::default() })
    }

    /// Whether anybody said lately that they listen.
    pub(crate) async fn is_heard(&self) -> Result<bool, DoorbellError> {
        let key = &self.link.keys.listening;
        let there = self.link.call::<i64>("EXISTS", key, cmd("EXISTS").arg(key)).await;
        there.map(|count| count > 0).map_err(during("ask whether anybody follows events"))
    }

    /// The newest position on the stream.
    pub(crate) async fn newest(&self) -> Result<Option<i64>, DoorbellError> {
        let key = &self.link.keys.events;
        let mut ask = cmd("XREVRANGE");
        ask.arg(key).arg("+").arg("-").arg("COUNT").arg(1);
        let found: Vec<(String, Fields)> =
            self.link.call("XREVRANGE", key, &ask).await.map_err(during("read events"))?;
        Ok(found.first().and_then(|(id, _)| position(id)))
    }

    /// Removes the stream: it tells of what the ledger does not have.
    pub(crate) async fn clear(&self) -> Result<(), DoorbellError> {
        let key = &self.link.keys.events;
        let gone = self.link.call::<i64>("DEL", key, cmd("DEL").arg(key)).await;
        gone.map(|_| ()).map_err(during("remove events"))
    }

    /// Puts events on the stream, in order. What is there already stays as it is.
    pub(crate) async fn publish(&self, events: &[Envelope]) -> Result<(), DoorbellError> {
        let key = &self.link.keys.events;
        for some in events.chunks(AT_A_TIME) {
            let adding = some.iter().filter_map(|event| {
                let text = serde_json::to_vec(event).ok().filter(|text| text.len() <= BYTES_MAX)?;
                let mut add = cmd("XADD");
                add.arg(key).arg("MAXLEN").arg("~").arg(LENGTH);
                add.arg(format!("{}-0", event.recorded.position)).arg("e").arg(text);
                // A refusal is an answer: it says nothing against the server.
                Some(async move { self.link.send::<String>("XADD", key, &add).await })
            });
            for added in join_all(adding).await {
                match added {
                    Ok(_) => {}
                    Err(fault) if is_there_already(&fault) => {}
                    Err(fault) => return Err(during("publish events")(fault)),
                }
            }
        }
        Ok(())
    }

    /// Says now and then that somebody listens.
    async fn listen(&self) -> Result<(), Fault> {
        let said = *self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|said| said.elapsed() < SAY_AGAIN) {
            return Ok(());
        }
        let key = &self.link.keys.listening;
        let mut say = cmd("SET");
        say.arg(key).arg(1).arg("EX").arg(LISTENING.as_secs());
        self.link.call::<String>("SET", key, &say).await?;
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    async fn read(&self, after: i64, wait_ms: u64) -> Result<Vec<Envelope>, Fault> {
        self.listen().await?;
        let key = &self.link.keys.events;
        let mut ask = cmd("XREAD");
        ask.arg("COUNT").arg(PAGE).arg("BLOCK").arg(wait_ms.clamp(1, BLOCK_MAX_MS));
        ask.arg("STREAMS").arg(key).arg(format!("{}-0", after.max(0)));
        let found: Found = self.link.call("XREAD", key, &ask).await?;
        let entries = found.into_iter().flatten().flat_map(|(_, entries)| entries);
        Ok(entries.filter_map(|(id, fields)| event(&id, &fields)).collect())
    }
}

#[async_trait]
impl Live for RedisEvents {
    async fn next(&self, after: i64, wait_ms: u64) -> Result<Vec<Envelope>, DoorbellError> {
        self.read(after, wait_ms).await.map_err(during("read events"))
    }
}

/// Somebody else published it, or a later one.
fn is_there_already(fault: &Fault) -> bool {
    matches!(fault, Fault::Server { words, .. } if words.contains("equal or smaller"))
}

/// The position that an id stands for.
fn position(id: &str) -> Option<i64> {
    id.strip_suffix("-0")?.parse().ok()
}

/// The event of an entry. What is none, or stands in the wrong place, is left out: the
/// ledger has it.
fn event(id: &str, fields: &[Vec<u8>]) -> Option<Envelope> {
    let [name, text] = fields else { return None };
    let event: Envelope = serde_json::from_slice(text).ok()?;
    (name == b"e" && position(id) == Some(event.recorded.position)).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Redis;
    use charter::budget::Usage;
    use charter::event::{Event, Recorded};
    use charter::ids::{StepKey, StreamId, TenantId};

    const INSTALLATION: &str = "0123456789abcdef";

    fn envelope(position: i64) -> Envelope {
        let mission = "m-0000000000000001".parse().unwrap();
        let step = StepKey::step(&mission, 1);
        let recorded = Recorded {
            position,
            stream: StreamId::mission(&mission),
            seq: position.unsigned_abs(),
            at: 0,
            transition: "t-0000000000000000".parse().unwrap(),
            event: Event::StepCancelled { step, usage: Usage::default() },
        };
        Envelope::new(&TenantId::local(), recorded)
    }

    fn envelopes(positions: impl IntoIterator<Item = i64>) -> Vec<Envelope> {
        positions.into_iter().map(envelope).collect()
    }

    fn events(redis: &Redis) -> RedisEvents {
        RedisEvents::new(redis.address().parse().unwrap(), INSTALLATION).unwrap()
    }

    async fn positions(events: &RedisEvents, after: i64) -> Vec<i64> {
        let told = events.next(after, 50).await.unwrap();
        told.iter().map(|event| event.recorded.position).collect()
    }

    #[tokio::test]
    async fn two_publishers_put_each_event_there_once() {
        let redis = Redis::start();
        let (one, other) = (events(&redis), events(&redis));
        let all = envelopes(1..=300);
        let (first, second) = tokio::join!(one.publish(&all), other.publish(&all[..200]));
        first.unwrap();
        second.unwrap();
        let mut after = 0;
        let mut found = Vec::new();
        while let Some(last) = positions(&one, after).await.last().copied() {
            found.extend(positions(&one, after).await);
            after = last;
        }
        assert_eq!(found, (1..=300).collect::<Vec<_>>());
        assert_eq!(one.newest().await.unwrap(), Some(300));
    }

    #[tokio::test]
    async fn who_waits_is_told_at_once_and_a_flush_loses_only_what_was_there() {
        let redis = Redis::start();
        let (publisher, reader) = (events(&redis), events(&redis));
        publisher.publish(&envelopes([1, 2])).await.unwrap();
        assert_eq!(positions(&reader, 1).await, [2]);
        let waiting = tokio::spawn(async move {
            let began = Instant::now();
            let told = reader.next(2, 1_000).await.unwrap();
            (told.first().map(|event| event.recorded.position), began.elapsed(), reader)
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        redis.cli(&["FLUSHALL"]);
        publisher.publish(&envelopes([3])).await.unwrap();
        let (told, took, reader) = waiting.await.unwrap();
        assert_eq!(told, Some(3));
        assert!(took < Duration::from_millis(900), "{took:?}");
        assert_eq!(positions(&reader, 0).await, [3]);
    }

    #[tokio::test]
    async fn what_is_no_event_of_ours_is_left_out() {
        let redis = Redis::start();
        let events = events(&redis);
        let key = events.link.keys.events.clone();
        redis.cli(&["XADD", &key, "1-0", "e", "nonsense"]);
        redis.cli(&["XADD", &key, "2-1", "other", "field"]);
        let elsewhere = serde_json::to_string(&envelope(9)).unwrap();
        redis.cli(&["XADD", &key, "3-0", "e", &elsewhere]);
        events.publish(&envelopes([4])).await.unwrap();
        assert_eq!(positions(&events, 0).await, [4]);
        events.clear().await.unwrap();
        assert_eq!(events.newest().await.unwrap(), None);
    }

    #[tokio::test]
    async fn it_is_known_whether_anybody_listens() {
        let redis = Redis::start();
        let (publisher, reader) = (events(&redis), events(&redis));
        assert!(!publisher.is_heard().await.unwrap());
        assert_eq!(positions(&reader, 0).await, [0; 0]);
        assert!(publisher.is_heard().await.unwrap());
    }

    #[tokio::test]
    async fn the_stream_stays_short() {
        let redis = Redis::start();
        let events = events(&redis);
        events.publish(&envelopes(1..=(LENGTH as i64 * 3 / 2))).await.unwrap();
        let length: usize = redis.cli(&["XLEN", &events.link.keys.events]).parse().unwrap();
        assert!((LENGTH..LENGTH + 1_000).contains(&length), "{length}");
    }
}
