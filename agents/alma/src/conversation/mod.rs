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
use tokio::sync::mpsc;

/// Longest message, in bytes; longer texts belong into files.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// How long a slow reader may hold up the words of an answer.
const READER_MS: u64 = 5_000;

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
    sender: Option<mpsc::Sender<Happening>>,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    /// Sends everything to `sender`.
    pub fn new(sender: mpsc::Sender<Happening>) -> Self {
        Self { sender: Some(sender), stop: Arc::default() }
    }

    /// Nobody watches.
    pub fn nobody() -> Self {
        Self { sender: None, stop: Arc::default() }
    }

    /// Asks the turn to stop: a model ends before its next token.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells; a reader that hangs is not waited for longer than [`READER_MS`].
    pub(crate) async fn tell(&self, happening: Happening) {
        if let Some(sender) = &self.sender {
            let _gone = sender.send_timeout(happening, Duration::from_millis(READER_MS)).await;
        }
    }

    /// Tells how far a mission is, unless the reader is behind: newer news follow.
    pub(crate) fn glance(&self, happening: Happening) {
        if let Some(sender) = &self.sender {
            let _behind = sender.try_send(happening);
        }
    }

    /// Tells a token from a thread that may block.
    pub(crate) fn tell_blocking(&self, happening: Happening) {
        if let Some(sender) = &self.sender {
            let _gone = sender.blocking_send(happening);
        }
    }
}
