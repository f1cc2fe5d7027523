//! Exit codes, as the interface promises them.

use alma::Error;
use charter::rows::MissionState;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done and verified; accepted; found.
    Done,
    /// Failed.
    Failed,
    /// Nothing found.
    Empty,
    /// Usage or configuration.
    Usage,
    /// A person is needed.
    Waiting,
    /// Done, some claims not verified.
    Unverified,
    /// Cannot plan, or policy denies.
    Refused,
    /// Stopped early by a budget.
    Partial,
    /// Stopped by a person.
    Cancelled,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed | Self::Empty => 1,
            Self::Usage => 2,
            Self::Waiting => 3,
            Self::Unverified => 4,
            Self::Refused => 5,
            Self::Partial => 6,
            Self::Cancelled => 130,
        }
    }

    /// The `state` of a document.
    pub fn state(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Empty => "empty",
            Self::Usage => "usage",
            Self::Waiting => "waiting",
            Self::Unverified => "unverified",
            Self::Refused => "refused",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
        }
    }

    /// How a mission's state ends a command that waited for it.
    pub fn of_mission(state: MissionState) -> Self {
        match state {
            MissionState::Done => Self::Done,
            MissionState::Running | MissionState::Waiting => Self::Waiting,
            MissionState::Unverified => Self::Unverified,
            MissionState::Failed => Self::Failed,
            MissionState::Refused => Self::Refused,
            MissionState::Partial => Self::Partial,
            MissionState::Cancelled => Self::Cancelled,
        }
    }

    /// How an error ends a command.
    pub fn of_error(error: &Error) -> Self {
        match error {
            Error::Usage(_) | Error::KeyReused(_) => Self::Usage,
            Error::Refused(_) => Self::Refused,
            Error::NotFound(_) => Self::Empty,
            Error::Conflict(_)
            | Error::Ledger { .. }
            | Error::Tool { .. }
            | Error::Machine { .. } => Self::Failed,
        }
    }
}

/// An error with its causes, outermost first.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = source.source();
    }
    text
}
