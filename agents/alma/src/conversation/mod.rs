//! A conversation, turn by turn. A turn is durable: what was said is on record
//! before anything is done about it, and every step from there on can be taken
//! again by whoever comes after a crash.
//!
//! ```text
//! begin ── TurnBegun ──► route ── TurnRouted ──► do ── TurnSubmitted ──► TurnEnded
//!                        (talk::route)           (a mission, a memory, talk)
//! ```
//!
//! [`begin`] records the words, [`carry_on`] takes an open turn to its end from
//! wherever it stands, [`cancel`] ends it. Whoever watches gets [`Happening`]s; the
//! turn goes on without them.

mod answer;
mod approval;
mod log;
mod memory;
mod mission;
mod model;
mod schedule;
mod turn;

pub use answer::Answer;
pub use log::{History, history};
pub use turn::{begin, cancel, carry_on, session_for};

use crate::operations::{approval_show, mission_show};
use charter::conversation::{Route, Tone};
use charter::digest::Digest;
use charter::ids::{MissionId, SessionId, TurnId};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Longest message, in bytes; longer texts belong into files.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// How long a slow reader may hold up the words of an answer.
const READER: Duration = Duration::from_millis(5_000);

/// What happens during a turn, as it happens.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Happening {
    /// The words are on record.
    Begun {
        /// The session.
        session: SessionId,
        /// The turn.
        turn: TurnId,
    },
    /// It is decided what to do.
    Routed {
        /// What.
        route: Route,
        /// Why, in a sentence.
        reason: String,
        /// The shape of the answer.
        tone: Tone,
    },
    /// Something worth knowing: what "it" was taken for, a change of subject.
    Note {
        /// What.
        text: String,
    },
    /// A mission is planned.
    Plan {
        /// The mission.
        mission: MissionId,
        /// The plan as text.
        text: String,
        /// Its digest.
        digest: Digest,
    },
    /// A mission moved on.
    Progress(Box<mission_show::Response>),
    /// A person is asked.
    Approval(Box<approval_show::Response>),
    /// A piece of the answer.
    Token {
        /// The piece.
        text: String,
    },
    /// The turn has ended.
    Complete(Box<Answer>),
    /// It could not be brought to its end now, and is left open to be carried on.
    Failed {
        /// The turn.
        turn: TurnId,
        /// Why.
        text: String,
    },
}

/// Where happenings go, and the wish to stop.
#[derive(Clone)]
pub struct Watcher {
    reader: Option<Reader>,
    stop: Arc<AtomicBool>,
}

/// Who watches.
#[derive(Clone)]
struct Reader {
    sender: mpsc::Sender<Happening>,
    /// Where a thread that may block waits for it; none outside of a runtime.
    runtime: Option<Handle>,
    /// Whether it missed a token and has not read all the others since.
    behind: Arc<AtomicBool>,
}

impl Watcher {
    /// Sends everything to `sender`.
    pub fn new(sender: mpsc::Sender<Happening>) -> Self {
        let runtime = Handle::try_current().ok();
        let reader = Reader { sender, runtime, behind: Arc::default() };
        Self { reader: Some(reader), stop: Arc::default() }
    }

    /// Nobody watches.
    pub fn nobody() -> Self {
        Self { reader: None, stop: Arc::default() }
    }

    /// Asks the turn to stop: a model ends before its next token.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells; a reader that hangs is not waited for longer than [`READER`].
    pub(crate) async fn tell(&self, happening: Happening) {
        if let Some(reader) = &self.reader {
            let _gone = reader.sender.send_timeout(happening, READER).await;
        }
    }

    /// Tells how far a mission is, unless the reader is behind: newer news follow.
    pub(crate) fn glance(&self, happening: Happening) {
        if let Some(reader) = &self.reader {
            let _behind = reader.sender.try_send(happening);
        }
    }

    /// Tells a token from a thread that may block. A reader that hangs holds the model
    /// for [`READER`] once; until it has caught up it is told no more.
    pub(crate) fn tell_blocking(&self, happening: Happening) {
        if let Some(reader) = &self.reader {
            reader.tell_blocking(happening);
        }
    }
}

impl Reader {
    fn tell_blocking(&self, happening: Happening) {
        let caught_up = self.sender.capacity() == self.sender.max_capacity();
        if self.behind.load(Ordering::Relaxed) && !caught_up {
            return;
        }
        let missed = match (self.sender.try_send(happening), &self.runtime) {
            (Err(TrySendError::Full(happening)), Some(runtime)) => {
                runtime.block_on(self.sender.send_timeout(happening, READER)).is_err()
            }
            (told, _) => told.is_err(),
        };
        self.behind.store(missed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Happening {
        Happening::Token { text: "a".to_owned() }
    }

    #[test]
    fn a_reader_that_hangs_is_told_no_more_until_it_has_caught_up() {
        let (sender, mut reader) = mpsc::channel(2);
        // Outside of a runtime it waits for nobody.
        let watcher = Watcher::new(sender);
        for _ in 0..4 {
            watcher.tell_blocking(token());
        }
        assert!(reader.try_recv().is_ok());
        watcher.tell_blocking(token());
        assert!(reader.try_recv().is_ok());
        assert!(reader.try_recv().is_err(), "there was room, but it had not caught up");
        watcher.tell_blocking(token());
        assert!(reader.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_reader_that_is_only_slow_is_waited_for() {
        let (sender, mut reader) = mpsc::channel(1);
        let watcher = Watcher::new(sender);
        let telling = tokio::task::spawn_blocking(move || {
            for _ in 0..3 {
                watcher.tell_blocking(token());
            }
        });
        let mut heard = 0;
        while reader.recv().await.is_some() {
            heard += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(heard, 3);
        telling.await.unwrap();
    }
}
