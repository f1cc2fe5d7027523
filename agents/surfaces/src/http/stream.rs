//! Events of a mission as a stream (server-sent events) that can be resumed.
//!
//! While anybody watches, one task reads what happens ([`Source`]) and hands each
//! mission's events to everybody who watches it. A reader that falls behind loses its
//! place in the feed and reads from the ledger again: a slow client costs nothing.
//! Numbers of events have no gaps, so a gap is always noticed.

use super::live::Source;
use super::problem::Problem;
use alma::Alma;
use alma::operations::mission_events;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use charter::envelope::Envelope;
use charter::event::Event;
use charter::ids::{MissionId, Principal, StreamId};
use charter::ports::LedgerError;
use futures::stream;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};

/// Events that are replayed to somebody who resumes; who saw less is told so.
const RETAINED: u64 = 10_000;
/// Events read at a time.
const PAGE: u32 = 200;
/// Events that a feed keeps for readers that are not quite as fast.
const FEED_EVENTS: usize = 256;
/// Longest silence of a stream.
const SILENCE: Duration = Duration::from_secs(15);
/// Rest after an error of the ledger.
const REST: Duration = Duration::from_millis(250);

/// One event as it is sent.
#[derive(Clone)]
struct Frame {
    seq: u64,
    text: Bytes,
    /// Whether the mission ended with it.
    ends: bool,
}

impl Frame {
    fn new(envelope: &Envelope) -> Self {
        let recorded = &envelope.recorded;
        let data = serde_json::to_value(envelope).unwrap_or_default();
        let kind = recorded.event.kind();
        Self {
            seq: recorded.seq,
            text: format!("id: {}\nevent: {kind}\ndata: {data}\n\n", recorded.seq).into(),
            ends: matches!(recorded.event, Event::MissionEnded { .. }),
        }
    }
}

/// What everybody who watches a mission shares.
struct Feed(broadcast::Sender<Frame>);

/// Missions that are watched, by their streams.
type Feeds = HashMap<StreamId, Weak<Feed>>;

/// Everything that is watched in this process.
pub(super) struct Hub {
    alma: Alma,
    principal: Principal,
    source: Source,
    feeds: Mutex<Feeds>,
    /// Rung when the first mission is watched.
    wanted: Notify,
    /// Whether what happens is read: everything from now on is handed on.
    awake: watch::Sender<bool>,
    seats: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Hub {
    /// Begins to wait for who watches.
    pub(super) fn start(
        alma: &Alma,
        principal: &Principal,
        seats: u32,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let ledger = Arc::clone(&alma.ports.ledger);
        let live = alma.installation.live();
        let hub = Arc::new(Self {
            alma: alma.clone(),
            principal: principal.clone(),
            source: Source::new(ledger, live, principal.tenant.clone()),
            feeds: Mutex::default(),
            wanted: Notify::new(),
            awake: watch::Sender::new(false),
            seats: Arc::new(Semaphore::new(seats as usize)),
            stop: stop.clone(),
        });
        let (reading, mut stop) = (Arc::clone(&hub), stop);
        tokio::spawn(async move {
            tokio::select! {
                () = reading.read() => {}
                () = super::told(&mut stop) => {}
            }
        });
        hub
    }

    /// Reads what happens while anybody watches, and hands it on.
    async fn read(&self) {
        loop {
            self.wanted.notified().await;
            if let Err(error) = self.read_on().await {
                tracing::warn!(%error, "could not read events");
                self.awake.send_replace(false);
                tokio::time::sleep(REST).await;
                // Whoever watches still does.
                self.wanted.notify_one();
            }
        }
    }

    async fn read_on(&self) -> Result<(), LedgerError> {
        let mut position = self.source.newest().await?;
        self.awake.send_replace(true);
        while self.is_watched() {
            // The place is kept: who has joined the feed is not told of a gap.
            let (events, read) = kept(position, self.source.next(position).await).await;
            position = read;
            for event in events {
                let feed = self.feeds().get(&event.recorded.stream).and_then(Weak::upgrade);
                if let Some(feed) = feed {
                    // Nobody listens at the moment; the ledger has it.
                    let _ = feed.0.send(Frame::new(&event));
                }
            }
        }
        Ok(())
    }

    /// Whether anybody watches anything. From a no on, nobody is awake.
    fn is_watched(&self) -> bool {
        let mut feeds = self.feeds();
        feeds.retain(|_, feed| feed.strong_count() > 0);
        if feeds.is_empty() {
            self.awake.send_replace(false);
        }
        !feeds.is_empty()
    }

    fn feeds(&self) -> MutexGuard<'_, Feeds> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when this process begins to end.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    /// A place for one more stream.
    pub(super) fn seat(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.seats)
            .try_acquire_owned()
            .map_err(|_| Problem::unavailable("too many event streams are open; try again"))
    }

    /// Streams that are open, of how many.
    pub(super) fn open(&self, most: u32) -> usize {
        (most as usize).saturating_sub(self.seats.available_permits())
    }

    async fn page(
        &self,
        mission: &MissionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Frame>, alma::Error> {
        let request =
            mission_events::Request { mission: mission.clone(), after, limit: Some(limit) };
        let response = mission_events::run(&self.alma, &self.principal, request).await?;
        Ok(response.events.iter().map(Frame::new).collect())
    }

    /// The feed of a mission. It hands on whatever is committed from now on.
    async fn join(&self, mission: &MissionId) -> Option<(Arc<Feed>, broadcast::Receiver<Frame>)> {
        let mut awake = self.awake.subscribe();
        let (feed, receiver) = {
            let mut feeds = self.feeds();
            let stream = StreamId::mission(mission);
            let feed = feeds.get(&stream).and_then(Weak::upgrade).unwrap_or_else(|| {
                let feed = Arc::new(Feed(broadcast::channel(FEED_EVENTS).0));
                feeds.insert(stream, Arc::downgrade(&feed));
                feed
            });
            let receiver = feed.0.subscribe();
            (feed, receiver)
        };
        self.wanted.notify_one();
        awake.wait_for(|awake| *awake).await.ok()?;
        Some((feed, receiver))
    }

    /// Answers with the stream of a mission's events after `last`.
    pub(super) async fn answer(
        self: &Arc<Self>,
        mission: MissionId,
        last: Option<&str>,
    ) -> Result<Response<Body>, Problem> {
        let seen = match last.map(str::parse::<u64>) {
            None => Seen::Nothing,
            Some(Err(_)) => Seen::Unknown,
            Some(Ok(0)) => Seen::Nothing,
            // The last one again, to see that it is there.
            Some(Ok(last)) => match self.page(&mission, last - 1, 2).await?.as_slice() {
                [only] if only.seq == last && only.ends => {
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = StatusCode::NO_CONTENT;
                    return Ok(response);
                }
                [first, ..] if first.seq == last => Seen::Until(last),
                _ => Seen::Unknown,
            },
        };
        let mut oldest = 0;
        let from = if let Seen::Until(last) = seen { last } else { 0 };
        // Also tells whether the mission is there.
        while !self.page(&mission, from.max(oldest) + RETAINED, 1).await?.is_empty() {
            oldest = from.max(oldest) + RETAINED;
        }
        let (after, reset) = begin(seen, oldest);
        let seat = self.seat()?;
        let mut first = String::from("retry: 1000\n\n");
        if let Some(reason) = reset {
            let data = serde_json::json!({ "reason": reason, "after": after });
            first.push_str(&format!("event: reset\ndata: {data}\n\n"));
        }
        let reader = Reader {
            hub: Arc::clone(self),
            mission,
            last: after,
            waiting: VecDeque::from([Bytes::from(first)]),
            feed: None,
            behind: true,
            over: false,
            stop: self.stop.clone(),
            _seat: seat,
        };
        let chunks = stream::unfold(reader, |mut reader| async {
            let chunk = reader.next().await?;
            Some((Ok::<_, std::convert::Infallible>(chunk), reader))
        });
        let mut response = Response::new(Body::from_stream(chunks));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// What was read behind `position`; after an error nothing, and a moment later.
async fn kept(
    position: i64,
    read: Result<(Vec<Envelope>, i64), LedgerError>,
) -> (Vec<Envelope>, i64) {
    match read {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!(%error, position, "could not read events; trying again");
            tokio::time::sleep(REST).await;
            (Vec::new(), position)
        }
    }
}

/// What somebody who resumes has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Until(u64),
    /// Something that is not in this record.
    Unknown,
}

/// After which event a stream begins, and why it does not go on where the reader
/// was, if it does not. `oldest`: events up to this one are not replayed.
fn begin(seen: Seen, oldest: u64) -> (u64, Option<&'static str>) {
    match seen {
        Seen::Unknown => (oldest, Some("there is no such event")),
        Seen::Nothing if oldest > 0 => (oldest, Some("earlier events are not replayed")),
        Seen::Nothing => (0, None),
        Seen::Until(last) if last < oldest => (oldest, Some("earlier events are not replayed")),
        Seen::Until(last) => (last, None),
    }
}

/// One client's place.
struct Reader {
    hub: Arc<Hub>,
    mission: MissionId,
    last: u64,
    waiting: VecDeque<Bytes>,
    feed: Option<(Arc<Feed>, broadcast::Receiver<Frame>)>,
    /// Whether the ledger is to be read before the feed.
    behind: bool,
    over: bool,
    stop: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
}

impl Reader {
    /// The next bytes; `None` when the mission or this process ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.waiting.pop_front() {
                return Some(chunk);
            }
            if self.over || *self.stop.borrow() {
                return None;
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            let Some((_, receiver)) = &mut self.feed else {
                // What comes between the last page and the feed is read again.
                let mut stop = self.stop.clone();
                self.feed = tokio::select! {
                    joined = self.hub.join(&self.mission) => Some(joined?),
                    () = super::told(&mut stop) => return None,
                };
                self.behind = true;
                continue;
            };
            tokio::select! {
                frame = receiver.recv() => match frame {
                    Ok(frame) if frame.seq <= self.last => {}
                    Ok(frame) if frame.seq == self.last + 1 => {
                        self.last = frame.seq;
                        self.over = frame.ends && receiver.is_empty();
                        self.waiting.push_back(frame.text);
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(SILENCE) => return Some(Bytes::from_static(b": here\n\n")),
                () = super::told(&mut self.stop) => return None,
            }
        }
    }

    async fn catch_up(&mut self) -> Option<()> {
        let frames = match self.hub.page(&self.mission, self.last, PAGE).await {
            Ok(frames) => frames,
            Err(error) => {
                tracing::warn!(%error, mission = %self.mission, "could not read events");
                return None;
            }
        };
        self.behind = frames.len() == PAGE as usize;
        if let Some(newest) = frames.last() {
            self.last = newest.seq;
            self.over = newest.ends && !self.behind;
        }
        self.waiting.extend(frames.into_iter().map(|frame| frame.text));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_costs_a_moment_and_not_the_place() {
        let error = LedgerError::Store { operation: "answer".into(), cause: "it rests".into() };
        let began = tokio::time::Instant::now();
        let (events, position) = kept(7, Err(error)).await;
        assert!(events.is_empty() && position == 7);
        assert!(began.elapsed() >= REST);
        assert_eq!(kept(7, Ok((Vec::new(), 9))).await.1, 9);
    }

    #[test]
    fn a_stream_goes_on_or_says_why_not() {
        assert_eq!(begin(Seen::Nothing, 0), (0, None));
        assert_eq!(begin(Seen::Until(7), 0), (7, None));
        assert_eq!(begin(Seen::Until(7), 7), (7, None));
        assert!(matches!(begin(Seen::Until(7), 8), (8, Some(_))));
        assert!(matches!(begin(Seen::Unknown, 0), (0, Some(_))));
        assert!(matches!(begin(Seen::Nothing, 9), (9, Some(_))));
    }
}
