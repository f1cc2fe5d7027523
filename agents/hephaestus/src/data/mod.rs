//! What the data tools know about people's files, without touching a disk:
//! formats, numbers, dates, languages, Markdown, tasks, test output. Every
//! function here is pure: text in, values out.

pub(crate) mod code;
pub(crate) mod condition;
pub(crate) mod date;
pub(crate) mod decisions;
pub(crate) mod delimited;
pub(crate) mod dotted;
pub(crate) mod failures;
pub(crate) mod format;
pub(crate) mod inline;
pub(crate) mod language;
pub(crate) mod links;
pub(crate) mod mail;
pub(crate) mod markdown;
pub(crate) mod number;
pub(crate) mod owner;
pub(crate) mod quote;
pub(crate) mod records;
pub(crate) mod strict;
pub(crate) mod target;
pub(crate) mod task_table;
pub(crate) mod tasks;
pub(crate) mod template;
pub(crate) mod text;
pub(crate) mod words;

use charter::tool::{ErrorCode, ToolError};

/// Why data cannot be read or written as what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DataError {
    /// At a line, from 1.
    #[error("line {line}: {what}")]
    Line {
        /// The line.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// At a place inside a structure.
    #[error("at {at}: {what}")]
    At {
        /// Dotted path.
        at: String,
        /// What is wrong there.
        what: String,
    },
    /// As a whole.
    #[error("{what}")]
    Whole {
        /// What is wrong.
        what: String,
    },
}

impl DataError {
    pub(crate) fn line(line: usize, what: impl Into<String>) -> Self {
        Self::Line { line, what: what.into() }
    }

    pub(crate) fn at(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self::At { at: at.into(), what: what.into() }
    }

    pub(crate) fn whole(what: impl Into<String>) -> Self {
        Self::Whole { what: what.into() }
    }

    /// The error of a tool that could not read a file.
    pub(crate) fn reading(self, path: &str) -> ToolError {
        ToolError::new(ErrorCode::Malformed, format!("could not read the data of {path:?}: {self}"))
    }
}
