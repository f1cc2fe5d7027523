//! Conversations: sessions and their turns, as events and as rows.
//!
//! A turn is durable: what was said is recorded before anything is done about it,
//! and what came of it is recorded before it is shown as done.

use crate::content::ContentRef;
use crate::ids::{Millis, MissionId, SessionId, TenantId, TurnId};
use serde::{Deserialize, Serialize};

/// What is to be done about what somebody said.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Talk.
    Chat,
    /// Answer from memory.
    Recall,
    /// Keep a fact.
    Remember,
    /// Plan and do something.
    Mission,
    /// Answer what Alma asks.
    Approval,
    /// Tell how things stand.
    Status,
    /// Do something at certain times.
    Schedule,
    /// Explain what Alma can do.
    Help,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Chat,
        Self::Recall,
        Self::Remember,
        Self::Mission,
        Self::Approval,
        Self::Status,
        Self::Schedule,
        Self::Help,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Recall => "recall",
            Self::Remember => "remember",
            Self::Mission => "mission",
            Self::Approval => "approval",
            Self::Status => "status",
            Self::Schedule => "schedule",
            Self::Help => "help",
        }
    }
}

/// The shape of an answer, chosen by what is being done.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Designing: options and reasons.
    Architect,
    /// Doing: short, the result first.
    Operator,
    /// Something is wrong: what happened, why, what to do, in this order.
    Medic,
}

/// How a turn stands.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// It is being answered.
    Open,
    /// It was answered.
    Answered,
    /// Alma asked something back.
    Asked,
    /// The person stopped it.
    Cancelled,
    /// It could not be answered; the answer says why.
    Failed,
}

impl TurnState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Asked => "asked",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What can happen to a conversation.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Conversed {
    /// A session began.
    SessionOpened {
        /// The session.
        session: SessionId,
        /// Who talks.
        subject: String,
        /// Absolute path of the folder that is talked about.
        workspace: ContentRef,
        /// The turn after which it leaves another session, if it is a fork.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forked: Option<TurnId>,
    },
    /// Somebody said something.
    TurnBegun {
        /// The session.
        session: SessionId,
        /// The turn.
        turn: TurnId,
        /// The words.
        said: ContentRef,
    },
    /// It was decided what to do about it.
    TurnRouted {
        /// The session.
        session: SessionId,
        /// The turn.
        turn: TurnId,
        /// What is done.
        route: Route,
        /// Why, in words.
        reason: ContentRef,
        /// The shape of the answer.
        tone: Tone,
    },
    /// A mission was submitted for it, once. Comes behind the mission's own first
    /// event, in the same transition or later.
    TurnSubmitted {
        /// The session.
        session: SessionId,
        /// The turn.
        turn: TurnId,
        /// The mission.
        mission: MissionId,
    },
    /// It came to an end.
    TurnEnded {
        /// The session.
        session: SessionId,
        /// The turn.
        turn: TurnId,
        /// How; not [`TurnState::Open`].
        state: TurnState,
        /// What Alma said.
        answer: ContentRef,
        /// What is spoken of now, as JSON: what "it" means in the next turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        focus: Option<ContentRef>,
    },
}

impl Conversed {
    /// The session that it belongs to.
    pub fn session(&self) -> &SessionId {
        match self {
            Self::SessionOpened { session, .. }
            | Self::TurnBegun { session, .. }
            | Self::TurnRouted { session, .. }
            | Self::TurnSubmitted { session, .. }
            | Self::TurnEnded { session, .. } => session,
        }
    }

    /// The texts that it names.
    pub fn contents(&self) -> Vec<&ContentRef> {
        match self {
            Self::SessionOpened { workspace, .. } => vec![workspace],
            Self::TurnBegun { said, .. } => vec![said],
            Self::TurnRouted { reason, .. } => vec![reason],
            Self::TurnSubmitted { .. } => Vec::new(),
            Self::TurnEnded { answer, focus, .. } => {
                std::iter::once(answer).chain(focus.iter()).collect()
            }
        }
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who talks.
    pub subject: String,
    /// Absolute path of the folder that is talked about.
    pub workspace: ContentRef,
    /// The turn after which it left another session.
    pub forked: Option<TurnId>,
    /// When it began.
    pub opened_at: Millis,
    /// When the last turn began or ended.
    pub last_at: Millis,
    /// How many turns it has.
    pub turns: u32,
    /// The first words, which serve as its title.
    pub title: Option<ContentRef>,
}

/// A turn: what was said, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRow {
    /// Its name.
    pub id: TurnId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// Position in the session, from 1.
    pub n: u32,
    /// How it stands.
    pub state: TurnState,
    /// When it began.
    pub at: Millis,
    /// The words.
    pub said: ContentRef,
    /// What was done.
    pub route: Option<Route>,
    /// Why.
    pub reason: Option<ContentRef>,
    /// The shape of the answer.
    pub tone: Option<Tone>,
    /// Its mission.
    pub mission: Option<MissionId>,
    /// What Alma said.
    pub answer: Option<ContentRef>,
    /// What is spoken of afterwards, as JSON.
    pub focus: Option<ContentRef>,
}
