//! The owner's side of the socket.
//!
//! Each connection has tasks of its own and bounded room: how many calls it may
//! have under way, how many replies may wait for it, how long a frame may take.
//! What a slow, broken or hostile process does ends with its own connection.

use super::Desk;
use super::wire::{self, Call, Hello, Message, News, Reply, Welcome, WireError};
use charter::ports::LedgerError;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Most processes attached at a time.
const CONNECTIONS_MAX: usize = 64;
/// Most calls of one connection that were read and not yet answered.
const CALLS_MAX: usize = 1_024;
/// Most calls of one connection that the ledger works on at a time, urgent ones
/// not counted.
const WORKING_MAX: usize = 32;
/// Replies that wait for one connection to read them.
const REPLIES_MAX: usize = 8;
/// Bytes of large calls held at a time, in units of a KiB, all connections
/// together.
const WEIGHT_MAX: usize = 256 << 10;
/// Calls up to this many bytes are not weighed.
const LIGHT: usize = 64 << 10;
/// How long the first message may take.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// How long a process may take to read one reply.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Pause after the system refused a connection, for instance for want of handles.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Clone)]
struct Shared {
    desk: Desk,
    position: watch::Receiver<i64>,
    rings: watch::Receiver<u64>,
    weight: Arc<Semaphore>,
    /// Its receiver learns when the last call ended.
    busy: mpsc::Sender<()>,
}

impl Shared {
    fn news(&mut self) -> News {
        News {
            position: *self.position.borrow_and_update(),
            rings: *self.rings.borrow_and_update(),
        }
    }
}

/// Serves attached processes until `stop` is true or its sender is gone.
pub(super) async fn serve(
    listener: UnixListener,
    desk: Desk,
    position: watch::Receiver<i64>,
    rings: watch::Receiver<u64>,
    busy: mpsc::Sender<()>,
    mut stop: watch::Receiver<bool>,
) {
    let weight = Arc::new(Semaphore::new(WEIGHT_MAX));
    let shared = Shared { desk, position, rings, weight, busy };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = super::supervisor::closed(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(attend(stream, shared.clone()));
                }
                Ok((stream, _)) => {
                    let reason = format!("{CONNECTIONS_MAX} processes are attached already");
                    tracing::warn!(%reason, "an attaching process was refused");
                    refuse(&stream, reason);
                }
                Err(error) => {
                    tracing::warn!(%error, "a process could not attach");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

/// Says no without waiting: a few bytes fit into the buffer of a new socket.
fn refuse(stream: &UnixStream, reason: String) {
    let no = Welcome::Refused { version: wire::VERSION.to_owned(), reason };
    if let Ok(frame) = wire::frame(&no) {
        let _ = stream.try_write(&frame);
    }
}

/// Whether a peer may ask at all: the same user, nobody else, not even root.
fn same_user(peer: Option<u32>, own: u32) -> bool {
    peer == Some(own)
}

async fn attend(stream: UnixStream, mut shared: Shared) {
    let peer = stream.peer_cred().ok();
    let pid = peer.and_then(|peer| peer.pid());
    let own = rustix::process::geteuid().as_raw();
    if !same_user(peer.map(|peer| peer.uid()), own) {
        tracing::warn!(?peer, "a process of another user tried to attach");
        return refuse(&stream, format!("this data folder belongs to user {own}"));
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let hello = tokio::time::timeout(HELLO_TIME, wire::read::<Hello, _>(&mut reader)).await;
    let welcome = match hello {
        Ok(Ok(Some(hello))) if hello.version == wire::VERSION => Welcome::Accepted(shared.news()),
        Ok(Ok(Some(hello))) => Welcome::Refused {
            version: wire::VERSION.to_owned(),
            reason: format!("its version is {}, yours is {}", wire::VERSION, hello.version),
        },
        Ok(Ok(None)) => return,
        Ok(Err(error)) => {
            return tracing::warn!(%error, ?pid, "a process attached and said nothing sensible");
        }
        Err(_) => return tracing::warn!(?pid, "a process attached and said nothing"),
    };
    if let Err(error) = send(&mut writer, &welcome).await {
        return tracing::debug!(%error, ?pid, "an attaching process went away");
    }
    if matches!(welcome, Welcome::Refused { .. }) {
        return;
    }
    let (replies, outgoing) = mpsc::channel(REPLIES_MAX);
    let (position, rings) = (shared.position.clone(), shared.rings.clone());
    let ended = tokio::select! {
        ended = read_calls(reader, &shared, replies) => ended,
        ended = write_messages(writer, outgoing, position, rings) => ended,
    };
    if let Err(error) = ended {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, ?pid, "an attached process was cut off");
    }
}

async fn send<T: serde::Serialize>(
    writer: &mut OwnedWriteHalf,
    message: &T,
) -> Result<(), WireError> {
    write(writer, &wire::frame(message)?).await
}

async fn write(writer: &mut OwnedWriteHalf, frame: &[u8]) -> Result<(), WireError> {
    match tokio::time::timeout(WRITE_TIME, writer.write_all(frame)).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(WireError::TooSlow),
    }
}

async fn read_calls(
    mut reader: BufReader<OwnedReadHalf>,
    shared: &Shared,
    replies: mpsc::Sender<Vec<u8>>,
) -> Result<(), WireError> {
    let calls = Arc::new(Semaphore::new(CALLS_MAX));
    let working = Arc::new(Semaphore::new(WORKING_MAX));
    while let Some(len) = wire::read_len(&mut reader).await? {
        let weight = weigh(&shared.weight, len).await;
        let call: Call = wire::parse(&wire::read_body(&mut reader, len).await?)?;
        let Ok(room) = Arc::clone(&calls).acquire_owned().await else { break };
        let desk = shared.desk.clone();
        let (replies, working) = (replies.clone(), Arc::clone(&working));
        let busy = shared.busy.clone();
        // A task of its own: what was begun is finished even if the asker goes.
        tokio::spawn(async move {
            let turn = match call.request.is_urgent() {
                true => None,
                false => working.acquire().await.ok(),
            };
            let operation = call.request.operation();
            let result = call.request.perform(&desk).await;
            drop((desk, busy));
            if let Some(frame) = reply_frame(call.id, operation, result) {
                // An error says that the connection ended.
                let _ = replies.send(frame).await;
            }
            drop((turn, room, weight));
        });
    }
    Ok(())
}

/// Waits until a large call may be held in memory.
async fn weigh(weight: &Arc<Semaphore>, len: usize) -> Option<OwnedSemaphorePermit> {
    if len <= LIGHT {
        return None;
    }
    let units = u32::try_from(len.div_ceil(1_024)).unwrap_or(u32::MAX);
    Arc::clone(weight).acquire_many_owned(units).await.ok()
}

fn reply_frame(id: u64, operation: &str, result: Result<Reply, LedgerError>) -> Option<Vec<u8>> {
    let framed = wire::frame(&Message::Reply { id, result });
    let framed = framed.or_else(|error| {
        let result = Err(LedgerError::Store {
            operation: operation.to_owned(),
            cause: format!("{error}; ask for less at a time"),
        });
        wire::frame(&Message::Reply { id, result })
    });
    framed.inspect_err(|error| tracing::error!(%error, "a reply cannot be written")).ok()
}

async fn write_messages(
    mut writer: OwnedWriteHalf,
    mut replies: mpsc::Receiver<Vec<u8>>,
    mut position: watch::Receiver<i64>,
    mut rings: watch::Receiver<u64>,
) -> Result<(), WireError> {
    loop {
        let changed = tokio::select! {
            reply = replies.recv() => match reply {
                Some(frame) => {
                    write(&mut writer, &frame).await?;
                    continue;
                }
                None => return Ok(()),
            },
            changed = position.changed() => changed,
            changed = rings.changed() => changed,
        };
        if changed.is_err() {
            return Ok(());
        }
        let news =
            News { position: *position.borrow_and_update(), rings: *rings.borrow_and_update() };
        send(&mut writer, &Message::News(news)).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_user_may_ask() {
        assert!(same_user(Some(1000), 1000));
        assert!(!same_user(Some(0), 1000));
        assert!(!same_user(None, 0));
    }

    #[test]
    fn a_reply_that_does_not_fit_becomes_an_error() {
        let mut content = super::super::testing::transition(1, 1).contents.remove(0);
        content.bytes = vec![0; wire::FRAME_MAX];
        let reply = Reply::Rows(charter::ports::Rows::Contents(vec![content]));
        let frame = reply_frame(3, "answer a question", Ok(reply)).unwrap();
        let Message::Reply { id: 3, result: Err(LedgerError::Store { cause, .. }) } =
            wire::parse(&frame[4..]).unwrap()
        else {
            panic!("not an error")
        };
        assert!(cause.contains("ask for less"), "{cause}");
    }
}
