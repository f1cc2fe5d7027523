//! The attached side of the socket: many calls at a time over one connection.

use super::wire::{self, Hello, Message, News, Reply, Request, Welcome, WireError};
use super::{HouseholdError, address};
use charter::ports::LedgerError;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Most calls under way, urgent ones not counted; fewer than the owner accepts.
const CALLS_MAX: usize = 512;
/// Frames that wait to be written.
const OUTGOING_MAX: usize = 64;
/// How long the owner may take to answer, the greeting included.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A call that was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The connection ended: ask the next owner.
    #[error("the connection to the owner of the data folder ended")]
    Lost,
    #[error("the owner of the data folder did not answer within {} s", ANSWER_TIME.as_secs())]
    Silent,
    #[error(transparent)]
    Wire(#[from] WireError),
}

type Answer = Result<Reply, LedgerError>;

/// Calls that wait for an answer; `None` once the connection has ended.
type Pending = Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>;

fn lock(pending: &Pending) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to the owner.
pub(super) struct Client {
    outgoing: mpsc::Sender<Vec<u8>>,
    pending: Arc<Pending>,
    calls: Semaphore,
    next_id: AtomicU64,
    closed: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Attaches to the owner; `None` if nobody answers. `news` is called with
    /// what the owner tells, first with what it said in its greeting.
    pub(super) async fn attach(
        home: &Path,
        news: impl Fn(News) + Send + 'static,
    ) -> Result<Option<Self>, HouseholdError> {
        let Some(stream) = address::connect(home).await? else { return Ok(None) };
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let greeting = async {
            let hello = wire::frame(&Hello { version: wire::VERSION.to_owned() })?;
            writer.write_all(&hello).await?;
            wire::read::<Welcome, _>(&mut reader).await
        };
        match tokio::time::timeout(ANSWER_TIME, greeting).await {
            Ok(Ok(Some(Welcome::Accepted(first)))) => news(first),
            Ok(Ok(Some(Welcome::Refused { version, .. }))) if version != wire::VERSION => {
                return Err(HouseholdError::Version { theirs: version });
            }
            Ok(Ok(Some(Welcome::Refused { reason, .. }))) => {
                return Err(HouseholdError::Refused(reason));
            }
            // An owner that is about to end says nothing.
            Ok(Ok(None) | Err(WireError::Io(_) | WireError::Cut)) | Err(_) => return Ok(None),
            Ok(Err(error)) => {
                return Err(HouseholdError::Refused(format!("it cannot be understood: {error}")));
            }
        }
        let (outgoing, frames) = mpsc::channel(OUTGOING_MAX);
        let (close, closed) = watch::channel(false);
        let pending: Arc<Pending> = Arc::new(Mutex::new(Some(HashMap::new())));
        let waiting = Arc::clone(&pending);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = write_calls(writer, frames) => {}
                () = read_messages(reader, &waiting, news) => {}
            }
            // Whoever waits finds its sender gone.
            *lock(&waiting) = None;
            close.send_replace(true);
        });
        Ok(Some(Self {
            outgoing,
            pending,
            calls: Semaphore::new(CALLS_MAX),
            next_id: AtomicU64::new(1),
            closed,
            task,
        }))
    }

    /// Waits until the connection has ended.
    pub(super) async fn closed(&self) {
        let mut closed = self.closed.clone();
        // A sender that is gone means that the task is.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Asks and waits for the answer.
    pub(super) async fn call(&self, request: &Request) -> Result<Answer, CallError> {
        let _slot = match request.is_urgent() {
            true => None,
            false => self.calls.acquire().await.ok(),
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = wire::frame(&OutgoingCall { id, request })?;
        let (answer, answered) = oneshot::channel();
        lock(&self.pending).as_mut().ok_or(CallError::Lost)?.insert(id, answer);
        let _forget = Forget { pending: &self.pending, id };
        let asked = async {
            self.outgoing.send(frame).await.map_err(|_| CallError::Lost)?;
            answered.await.map_err(|_| CallError::Lost)
        };
        tokio::time::timeout(ANSWER_TIME, asked).await.map_err(|_| CallError::Silent)?
    }
}

/// [`wire::Call`] by reference, so that a request can be sent again to the next owner.
#[derive(serde::Serialize)]
struct OutgoingCall<'a> {
    id: u64,
    request: &'a Request,
}

/// Nobody waits for the answer any more.
struct Forget<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(pending) = lock(self.pending).as_mut() {
            pending.remove(&self.id);
        }
    }
}

async fn write_calls(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = writer.write_all(&frame).await {
            tracing::debug!(%error, "the connection to the owner broke");
            return;
        }
    }
}

async fn read_messages(
    mut reader: BufReader<OwnedReadHalf>,
    pending: &Pending,
    news: impl Fn(News),
) {
    loop {
        match wire::read::<Message, _>(&mut reader).await {
            Ok(Some(Message::News(told))) => news(told),
            Ok(Some(Message::Reply { id, result })) => {
                let asker = lock(pending).as_mut().and_then(|pending| pending.remove(&id));
                if let Some(asker) = asker {
                    // An error says that the asker went away.
                    let _ = asker.send(result);
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the connection to the owner broke");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_by_reference_is_read_as_a_call() {
        let request = Request::OutboxDone(vec![1, 2]);
        let sent = wire::frame(&OutgoingCall { id: 4, request: &request }).unwrap();
        let received: wire::Call = wire::parse(&sent[4..]).unwrap();
        assert_eq!((received.id, received.request), (4, request));
    }
}
