//! Files as the reading tools see them: their words, their titles, and sentences
//! of them with the place where each stands. Whatever is quoted stands in its
//! source word for word; only blanks and the marks of a list are folded.

use crate::args::Files;
use crate::data::markdown::{self, Markup};
use crate::data::quote;
use crate::error::too_large;
use crate::workspace::{TEXT_MAX, Walked, Workspace};
use charter::excerpt::{Excerpts, Form, Unexcerpted, Unreadable};
use charter::memory::Span;
use charter::tool::{ErrorCode, ToolError};
use serde_json::{Value, json};

/// Most files of one call.
pub(crate) const SOURCES_MAX: usize = 2_000;
/// Most bytes of one call.
const BYTES_MAX: u64 = 128 << 20;

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: String,
    /// Its words.
    pub(crate) text: String,
    /// What it was read as.
    pub(crate) form: Form,
    /// What it calls itself, or its name.
    pub(crate) title: String,
}

/// All files of a call.
pub(crate) struct Sources {
    /// Those with words, by path.
    pub(crate) read: Vec<Source>,
    /// Text files without a word.
    pub(crate) empty: Vec<String>,
    /// `{file, why}` of those that could not be read.
    pub(crate) unread: Vec<Value>,
    /// Pages that were put together from others, and are no source.
    pub(crate) made: Vec<String>,
    /// How many are no text.
    pub(crate) binary: u64,
    /// What was walked.
    pub(crate) walked: Walked,
}

/// Reads what a `files` argument names.
pub(crate) fn read(
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
    files: &Files,
) -> Result<Sources, ToolError> {
    read_walked(workspace, excerpts, workspace.walk(files)?)
}

/// Reads the files of a walk.
pub(crate) fn read_walked(
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
    walked: Walked,
) -> Result<Sources, ToolError> {
    if walked.files.len() > SOURCES_MAX {
        return Err(too_large(format!(
            "{} files are more than the {SOURCES_MAX} that are read at once",
            walked.files.len()
        ))
        .hint("name a folder or a kind of files"));
    }
    let mut found = Sources {
        read: Vec::new(),
        empty: Vec::new(),
        unread: Vec::new(),
        made: Vec::new(),
        binary: 0,
        walked,
    };
    let mut bytes_read = 0;
    for file in found.walked.files.clone() {
        bytes_read += file.bytes.min(TEXT_MAX);
        if bytes_read > BYTES_MAX {
            return Err(too_large(format!("the files hold more than {BYTES_MAX} bytes together"))
                .hint("name fewer files"));
        }
        let bytes = match workspace.read(&file.path, TEXT_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.code == ErrorCode::TooLarge => {
                found.unread.push(json!({"file": file.path, "why": error.message}));
                continue;
            }
            Err(error) => return Err(error),
        };
        match excerpts.words(&file.path, &bytes) {
            Ok(words) if quote::is_made(&words.text) => found.made.push(file.path),
            Ok(words) => {
                let text = words.text.replace('\u{feff}', " ");
                let title = quote::title(&file.path, &text, words.form);
                found.read.push(Source { path: file.path, text, form: words.form, title });
            }
            Err(Unreadable::Empty) => found.empty.push(file.path),
            Err(Unreadable::NoText) => found.binary += 1,
            Err(Unreadable::Broken(why)) => {
                found.unread.push(json!({"file": file.path, "why": why}));
            }
        }
    }
    Ok(found)
}

impl Source {
    /// The text for those who look for sentences: code blocks and front matter are
    /// blank, places unchanged.
    pub(crate) fn prose(&self) -> String {
        match self.form {
            Form::Plain => {
                let lines = markdown::lines(&self.text, Markup::of(&self.path));
                markdown::mask_code(&self.text, &lines)
            }
            Form::Html | Form::Pdf => self.text.clone(),
        }
    }

    /// A sentence as a row: its words and where they stand; `None` for marks
    /// without words.
    pub(crate) fn quote(&self, span: Span) -> Option<Value> {
        let (start, words) = quote::words(&self.text, span)?;
        let before = self.text.get(..start)?;
        let mut row = json!({ "quote": words });
        match self.form {
            Form::Plain => row["line"] = (before.matches('\n').count() + 1).into(),
            Form::Pdf => row["page"] = (before.matches('\u{c}').count() + 1).into(),
            Form::Html => {}
        }
        Some(row)
    }
}

/// The error of a tool whose texts could not be compared.
pub(crate) fn unexcerpted(error: &Unexcerpted) -> ToolError {
    ToolError::new(ErrorCode::Permanent, error.to_string())
}

/// The output with what a call could not read.
pub(crate) fn with_unread(mut output: Value, found: &Sources) -> Value {
    output["searched"] = found.read.len().into();
    output["empty"] = json!(found.empty);
    output["unread"] = json!(found.unread);
    output["made"] = json!(found.made);
    output["binary"] = found.binary.into();
    crate::tools::list::with_skipped(output, &found.walked)
}
