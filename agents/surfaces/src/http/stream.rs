//! Events of a mission as a stream (server-sent events) that can be resumed.
//!
//! One task waits for commits; one feed per watched mission reads what is new and
//! hands it to everybody who watches it. A reader that falls behind loses its
//! place in the feed and reads from the ledger again: a slow client costs nothing.
//! Numbers of events have no gaps, so a gap is always noticed.

use super::problem::Problem;
use alma::Alma;
use alma::operations::mission_events;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use charter::envelope::Envelope;
use charter::event::Event;
use charter::ids::{MissionId, Principal};
use futures::stream;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::task::AbortHandle;

/// Events that are replayed to somebody who resumes; who saw less is told so.
const RETAINED: u64 = 10_000;
/// Events read at a time.
const PAGE: u32 = 200;
/// Events that a feed keeps for readers that are not quite as fast.
const FEED_EVENTS: usize = 256;
/// Longest silence of a stream.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest wait for a commit before asking again, in milliseconds.
const WAIT_MS: u64 = 10_000;
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
struct Feed {
    sender: broadcast::Sender<Frame>,
    task: AbortHandle,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everything that is watched in this process.
pub(super) struct Hub {
    alma: Alma,
    principal: Principal,
    position: watch::Sender<i64>,
    feeds: Mutex<HashMap<MissionId, Weak<Feed>>>,
    seats: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Hub {
    /// Begins to wait for commits.
    pub(super) fn start(
        alma: &Alma,
        principal: &Principal,
        seats: u32,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let hub = Arc::new(Self {
            alma: alma.clone(),
            principal: principal.clone(),
            position: watch::Sender::new(0),
            feeds: Mutex::default(),
            seats: Arc::new(Semaphore::new(seats as usize)),
            stop: stop.clone(),
        });
        let watching = Arc::downgrade(&hub);
        let (ledger, mut stop) = (Arc::clone(&alma.ports.ledger), stop);
        tokio::spawn(async move {
            let mut position = 0;
            loop {
                tokio::select! {
                    next = ledger.changed(position, WAIT_MS) => match next {
                        Ok(next) => position = next,
                        Err(error) => {
                            tracing::warn!(%error, "could not wait for the ledger");
                            tokio::time::sleep(REST).await;
                        }
                    },
                    () = super::told(&mut stop) => return,
                }
                let Some(hub) = watching.upgrade() else { return };
                hub.position
                    .send_if_modified(|known| std::mem::replace(known, position) != position);
            }
        });
        hub
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

    /// The feed of a mission; a new one begins after `after`.
    fn join(
        self: &Arc<Self>,
        mission: &MissionId,
        after: u64,
    ) -> (Arc<Feed>, broadcast::Receiver<Frame>) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(mission).and_then(Weak::upgrade) {
            let receiver = feed.sender.subscribe();
            return (feed, receiver);
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let (sender, receiver) = broadcast::channel(FEED_EVENTS);
        let reading = read_on(Arc::clone(self), mission.clone(), after, sender.clone());
        let task = tokio::spawn(reading).abort_handle();
        let feed = Arc::new(Feed { sender, task });
        feeds.insert(mission.clone(), Arc::downgrade(&feed));
        (feed, receiver)
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

/// Reads what is new and hands it round, for as long as somebody listens.
async fn read_on(
    hub: Arc<Hub>,
    mission: MissionId,
    mut after: u64,
    sender: broadcast::Sender<Frame>,
) {
    let mut position = hub.position.subscribe();
    loop {
        position.borrow_and_update();
        match hub.page(&mission, after, PAGE).await {
            Ok(frames) => {
                let more = frames.len() == PAGE as usize;
                for frame in frames {
                    after = frame.seq;
                    // Nobody listens at the moment; the ledger has it.
                    let _ = sender.send(frame);
                }
                if more {
                    continue;
                }
            }
            Err(error) => {
                tracing::warn!(%error, %mission, "could not read events");
                tokio::time::sleep(REST).await;
                continue;
            }
        }
        if position.changed().await.is_err() {
            return;
        }
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
                self.feed = Some(self.hub.join(&self.mission, self.last));
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
