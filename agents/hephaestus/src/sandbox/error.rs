//! Why a run could not be made, and what that means for the step.

use super::copy::CopyError;
use charter::tool::{ErrorCode, ToolError};
use std::path::PathBuf;

/// A run that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The workspace or the start folder cannot be used.
    #[error("could not use the folder {path:?}: {why}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The program does not exist, or cannot be run.
    #[error("could not start {program:?}: {source}")]
    Program {
        /// Its name.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The arguments and variables are too large or malformed.
    #[error("could not hand over the arguments: {0}")]
    Arguments(String),
    /// A layer could not be put in force; nothing was started.
    #[error("could not contain the program: {layer}: {cause}")]
    Refused {
        /// The layer.
        layer: String,
        /// Why not.
        cause: String,
    },
    /// The workspace could not be copied.
    #[error("could not copy the folder")]
    Copy(#[from] CopyError),
    /// The helper could not be started, or died.
    #[error("could not {operation} the containment helper: {cause}")]
    Helper {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        cause: String,
    },
    /// Whoever had to be told of the program did not agree.
    #[error(transparent)]
    Watch(ToolError),
    /// Cancelled before the program started.
    #[error("cancelled before the program started")]
    Cancelled,
    /// Killed processes did not die in time.
    #[error("the program was killed but some of its processes are still there")]
    Survivors,
}

impl SandboxError {
    pub(super) fn helper(operation: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Helper { operation, cause: cause.to_string() }
    }
}

impl From<SandboxError> for ToolError {
    fn from(error: SandboxError) -> Self {
        let message = match std::error::Error::source(&error) {
            Some(source) if !matches!(error, SandboxError::Program { .. }) => {
                format!("{error}: {source}")
            }
            _ => error.to_string(),
        };
        match error {
            SandboxError::Watch(error) => error,
            SandboxError::Folder { .. } => Self::new(ErrorCode::Outside, message)
                .hint("choose a folder of your own as the workspace, and start below it"),
            SandboxError::Program { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Self::new(ErrorCode::NotFound, message)
                    .hint("install the program, or name it with its path in the workspace"),
                std::io::ErrorKind::PermissionDenied => {
                    Self::new(ErrorCode::Permission, message).hint("make the file executable")
                }
                _ => Self::new(ErrorCode::Permanent, message)
                    .hint("is it a program, or a script with a #! line?"),
            },
            SandboxError::Arguments(_) => Self::new(ErrorCode::Arguments, message),
            SandboxError::Refused { .. } | SandboxError::Survivors => {
                Self::new(ErrorCode::Sandbox, message).hint("alma doctor says what is missing")
            }
            SandboxError::Copy(CopyError::Cancelled) | SandboxError::Cancelled => {
                Self::new(ErrorCode::Cancelled, message)
            }
            SandboxError::Copy(CopyError::TooLarge) => Self::new(ErrorCode::TooLarge, message)
                .hint("use a smaller folder as the workspace"),
            SandboxError::Copy(CopyError::Os { .. }) | SandboxError::Helper { .. } => {
                Self::new(ErrorCode::Transient, message)
            }
        }
    }
}
