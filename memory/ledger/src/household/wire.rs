//! What passes between the owner and an attached process: frames of MessagePack,
//! each preceded by its length as four bytes, most significant first.
//!
//! An attached process says [`Hello`] and is answered [`Welcome`]; then it sends
//! [`Call`]s and receives [`Message`]s, replies in any order.

use super::Desk;
use charter::ids::{Millis, TenantId};
use charter::leader::{Bid, LeaderRow};
use charter::ports::{Committed, Fence, LeaseStatus, LedgerError, Query, Rows, Transition};
use charter::tool::Process;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest frame.
pub(super) const FRAME_MAX: usize = 80 << 20;
/// How long the rest of a frame may take once its length is known.
const FRAME_TIME: Duration = Duration::from_secs(30);
/// What is reserved for a frame before any of it has arrived.
const RESERVE: usize = 64 << 10;

/// Version of this crate: both sides must have the same.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A frame that cannot be sent or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the message has {0} bytes, more than the {FRAME_MAX} that fit")]
    TooLarge(usize),
    #[error("the message ends before its end")]
    Cut,
    #[error("the message took more than {} s to arrive", FRAME_TIME.as_secs())]
    TooSlow,
    #[error("the message cannot be understood")]
    Parse(#[from] rmp_serde::decode::Error),
    #[error("the message cannot be written")]
    Write(#[from] rmp_serde::encode::Error),
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// First message of an attached process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: String,
}

/// The owner's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Welcome {
    Accepted(News),
    Refused { version: String, reason: String },
}

/// What an attached process asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) request: Request,
}

/// One operation of the ledger, or a question to a service of the owner. Waiting
/// for a change is answered from [`News`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Request {
    Commit(Box<Transition>),
    Query {
        tenant: TenantId,
        query: Box<Query>,
    },
    Renew {
        fence: Fence,
        expires_at: Millis,
    },
    NoteProgram {
        fence: Fence,
        program: Process,
        running: bool,
    },
    Lead(Bid),
    OutboxDone(Vec<i64>),
    Ask {
        service: String,
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
}

impl Request {
    /// What was tried, for an error message.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit a change",
            Self::Query { .. } => "answer a question",
            Self::Renew { .. } => "renew a lease",
            Self::NoteProgram { .. } => "note a program",
            Self::Lead(_) => "ask for the office of the leader",
            Self::OutboxDone(_) => "clear the outbox",
            Self::Ask { .. } => "ask a service",
        }
    }

    /// Whether it may overtake others: a slow commit must not cost a lease.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Self::Renew { .. } | Self::Lead(_))
    }

    /// Carries it out.
    pub(super) async fn perform(self, desk: &Desk) -> Result<Reply, LedgerError> {
        let ledger = &*desk.ledger;
        Ok(match self {
            Self::Commit(transition) => Reply::Committed(ledger.commit(*transition).await?),
            Self::Query { tenant, query } => Reply::Rows(ledger.query(&tenant, *query).await?),
            Self::Renew { fence, expires_at } => {
                Reply::Lease(ledger.renew(&fence, expires_at).await?)
            }
            Self::NoteProgram { fence, program, running } => {
                ledger.note_program(&fence, &program, running).await?;
                Reply::Done
            }
            Self::Lead(bid) => Reply::Leader(ledger.lead(&bid).await?),
            Self::OutboxDone(ids) => {
                ledger.outbox_done(&ids).await?;
                Reply::Done
            }
            Self::Ask { service, body } => Reply::Answer(desk.ask(&service, &body).await?),
        })
    }
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Reply {
    Committed(Committed),
    Rows(Rows),
    Lease(LeaseStatus),
    Leader(LeaderRow),
    Done,
    Answer(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// What every attached process is told without asking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct News {
    /// Newest position of the ledger.
    pub(super) position: i64,
    /// How often the queue was rung.
    pub(super) rings: u64,
}

/// A message of the owner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    Reply { id: u64, result: Result<Reply, LedgerError> },
    News(News),
}

/// A message as a frame.
pub(super) fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![0; 4];
    let mut writer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    message.serialize(&mut writer)?;
    let len = bytes.len() - 4;
    match (u32::try_from(len), bytes.first_chunk_mut()) {
        (Ok(len32), Some(head)) if len <= FRAME_MAX => *head = len32.to_be_bytes(),
        _ => return Err(WireError::TooLarge(len)),
    }
    Ok(bytes)
}

/// The message in the body of a frame.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    Ok(rmp_serde::from_slice(body)?)
}

/// Length of the next frame; `None` when the other side closed the connection.
pub(super) async fn read_len<R: AsyncRead + Unpin>(
    reader: &mut R,
) -> Result<Option<usize>, WireError> {
    let mut head = [0; 4];
    let got = reader.read(&mut head).await?;
    if got == 0 {
        return Ok(None);
    }
    if let Some(rest) = head.get_mut(got..) {
        in_time(reader.read_exact(rest)).await?;
    }
    let len = u32::from_be_bytes(head) as usize;
    if len > FRAME_MAX {
        return Err(WireError::TooLarge(len));
    }
    Ok(Some(len))
}

/// Body of a frame. Memory grows with what arrives, not with what is promised.
pub(super) async fn read_body<R: AsyncRead + Unpin>(
    reader: &mut R,
    len: usize,
) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::with_capacity(len.min(RESERVE));
    in_time(reader.take(len as u64).read_to_end(&mut body)).await?;
    if body.len() < len {
        return Err(WireError::Cut);
    }
    Ok(body)
}

async fn in_time<T>(read: impl Future<Output = io::Result<T>>) -> Result<T, WireError> {
    match tokio::time::timeout(FRAME_TIME, read).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(WireError::Cut),
        Ok(Err(error)) => Err(WireError::Io(error)),
        Err(_) => Err(WireError::TooSlow),
    }
}

/// A whole frame.
pub(super) async fn read<T: DeserializeOwned, R: AsyncRead + Unpin>(
    reader: &mut R,
) -> Result<Option<T>, WireError> {
    match read_len(reader).await? {
        Some(len) => Ok(Some(parse(&read_body(reader, len).await?)?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fence, process, transition};
    use super::*;
    use charter::ids::StepKey;
    use charter::ports::{LeaseChange, OutboxRow};
    use charter::record::{Record, RecordKey, RecordKind};
    use charter::rows::StepState;
    use charter::schedule::{DueRow, Outcome};
    use proptest::prelude::*;

    async fn check(request: Request) {
        let sent = frame(&Call { id: 7, request: request.clone() }).unwrap();
        let received: Call = read(&mut sent.as_slice()).await.unwrap().unwrap();
        assert_eq!((received.id, received.request), (7, request));
    }

    #[tokio::test]
    async fn requests_arrive_as_they_were_sent() {
        let mut change = transition(1, 3);
        change.lease = LeaseChange::Take {
            holder: process(),
            expires_at: i64::MAX,
            of: Some(charter::digest::Digest::of(b"step")),
        };
        change.fence = Some(fence());
        check(Request::Commit(Box::new(change))).await;
        check(Request::Renew { fence: fence(), expires_at: -1 }).await;
        check(Request::NoteProgram { fence: fence(), program: process(), running: true }).await;
        check(Request::OutboxDone(vec![1, i64::MAX])).await;
        let bid = Bid { holder: process(), now: 1, expires_at: 2, over: Some(u64::MAX) };
        check(Request::Lead(bid)).await;
        check(Request::Ask { service: "memory".into(), body: vec![0, 255] }).await;
        let tenant = TenantId::local();
        for query in [
            Query::Leases,
            Query::Size,
            Query::Record { key: RecordKey::new(RecordKind::Turn, "u-1") },
            Query::Records {
                kind: RecordKind::Memory,
                parent: Some("user".into()),
                state: None,
                after: Some("k-1".into()),
                newest: true,
                limit: 9,
            },
            Query::ContentsWith { needle: "é\0".into(), limit: 1 },
            Query::Outbox { now: 5, limit: u32::MAX },
            Query::Step { key: fence().step },
            Query::Around { step: fence().step },
            Query::Steps {
                mission: fence().step.mission,
                state: Some(StepState::Ready),
                items_of: Some(0),
                after: Some(StepKey { item: 12, ..fence().step }),
                limit: 1,
            },
        ] {
            check(Request::Query { tenant: tenant.clone(), query: Box::new(query) }).await;
        }
    }

    #[tokio::test]
    async fn replies_arrive_as_they_were_sent() {
        let outbox = OutboxRow {
            id: 1,
            tenant: TenantId::local(),
            step: fence().step,
            lane: charter::flow::Lane::Exec,
            priority: charter::flow::Priority::High,
            due_at: 0,
        };
        for result in [
            Ok(Reply::Committed(Committed { position: 3, ready: vec![(fence().step, 9)] })),
            Ok(Reply::Rows(Rows::Outbox(vec![outbox]))),
            Ok(Reply::Rows(Rows::When(None))),
            Ok(Reply::Rows(Rows::Records(vec![Record::Due(DueRow {
                schedule: "r-0000000000000001".parse().unwrap(),
                tenant: TenantId::local(),
                due_at: 1,
                at: 2,
                outcome: Outcome::Missed { more: 2 },
            })]))),
            Ok(Reply::Rows(Rows::ContentIds(vec!["c-0000000000000001".parse().unwrap()]))),
            Ok(Reply::Lease(LeaseStatus::Cancelled)),
            Ok(Reply::Leader(LeaderRow { term: 3, holder: process(), expires_at: 4 })),
            Ok(Reply::Done),
            Ok(Reply::Answer(vec![0, 255])),
            Err(LedgerError::Conflict("stale".into())),
            Err(LedgerError::Store { operation: "a".into(), cause: "b\n".into() }),
        ] {
            let sent = frame(&Message::Reply { id: 1, result: result.clone() }).unwrap();
            let Some(Message::Reply { result: received, .. }) =
                read(&mut sent.as_slice()).await.unwrap()
            else {
                panic!("not a reply")
            };
            assert_eq!(received, result);
        }
    }

    #[tokio::test]
    async fn a_promise_of_too_much_is_refused_before_it_is_read() {
        let head = u32::MAX.to_be_bytes();
        assert!(matches!(read_len(&mut head.as_slice()).await, Err(WireError::TooLarge(_))));
        let mut empty: &[u8] = &[];
        assert!(matches!(read_body(&mut empty, FRAME_MAX).await, Err(WireError::Cut)));
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_sent() {
        let mut large = transition(1, 1);
        for content in &mut large.contents {
            content.bytes = vec![0; FRAME_MAX];
        }
        assert!(matches!(frame(&Request::Commit(Box::new(large))), Err(WireError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse::<Call>(&bytes);
            let _ = parse::<Message>(&bytes);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = runtime.block_on(read::<Hello, _>(&mut bytes.as_slice()));
        }

        #[test]
        fn a_damaged_call_is_an_error_or_another_call(at in 0usize..200, byte: u8) {
            let mut sent = frame(&Call { id: 1, request: Request::Commit(Box::new(transition(1, 2))) }).unwrap();
            let place = 4 + at % (sent.len() - 4);
            sent[place] = byte;
            let _ = parse::<Call>(&sent[4..]);
        }
    }
}
