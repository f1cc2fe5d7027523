//! The line in which a person writes: history, several lines, the usual keys.
//!
//! Reading blocks, so the editor lives on a thread of its own.

use alma::Error;
use reedline::{
    FileBackedHistory, History, HistoryItem, Prompt, PromptEditMode, PromptHistorySearch, Reedline,
    Signal, ValidationResult, Validator,
};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as channel;
use tokio::sync::mpsc;

/// Messages that the arrow keys bring back.
const HISTORY_MAX: usize = 1_000;

/// What a person did.
#[derive(Debug)]
pub(super) enum Heard {
    /// Wrote this.
    Words(String),
    /// Thought better of it (Ctrl-C).
    Nothing,
    /// Leaves (Ctrl-D).
    Leave,
}

/// The editor.
pub(super) struct Editor {
    ask: channel::Sender<bool>,
    heard: mpsc::Receiver<std::io::Result<Signal>>,
    leave: Arc<AtomicBool>,
}

impl Editor {
    /// An editor that knows what was said before, oldest first.
    pub(super) fn open(said: Vec<String>) -> Result<Self, Error> {
        let failed = |cause: String| Error::Machine { operation: "open the editor".into(), cause };
        let mut history =
            FileBackedHistory::new(HISTORY_MAX).map_err(|error| failed(error.to_string()))?;
        for words in said {
            // What cannot be brought back can be written again.
            let _kept = history.save(HistoryItem::from_command_line(words));
        }
        let (ask, asked) = channel::channel::<bool>();
        let (tell, heard) = mpsc::channel(1);
        let leave = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&leave);
        let reading = move || {
            let colours = console::colors_enabled();
            let mut editor = Reedline::create()
                .with_history(Box::new(history))
                .with_validator(Box::new(Lines))
                .with_ansi_colors(colours)
                .with_break_signal(left);
            while let Ok(question) = asked.recv() {
                let line = editor.read_line(&Mark { question });
                if tell.blocking_send(line).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("editor".to_owned())
            .spawn(reading)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { ask, heard, leave })
    }

    /// Waits until the person has written something. `question`: an answer to what
    /// Alma asks is expected.
    pub(super) async fn read(&mut self, question: bool) -> Result<Heard, Error> {
        let gone = || Error::Machine {
            operation: "read what you write".to_owned(),
            cause: "the editor has ended".to_owned(),
        };
        self.ask.send(question).map_err(|_| gone())?;
        match self.heard.recv().await.ok_or_else(gone)? {
            Ok(Signal::Success(words)) => Ok(Heard::Words(joined(&words))),
            Ok(Signal::CtrlC) => Ok(Heard::Nothing),
            Ok(_) => Ok(Heard::Leave),
            Err(error) => Err(Error::Machine {
                operation: "read what you write".to_owned(),
                cause: error.to_string(),
            }),
        }
    }

    /// Gives the terminal back.
    pub(super) fn close(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.close();
    }
}

/// A backslash at the end of a line means that the next belongs to it.
fn joined(words: &str) -> String {
    words.replace("\\\n", "\n")
}

/// A message goes on while its last line ends with a backslash.
struct Lines;

impl Validator for Lines {
    fn validate(&self, line: &str) -> ValidationResult {
        if line.ends_with('\\') { ValidationResult::Incomplete } else { ValidationResult::Complete }
    }
}

/// What stands before the line.
struct Mark {
    question: bool,
}

impl Prompt for Mark {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(if self.question { "[y]es / [n]o / [d]etails / [l]ater" } else { "you" })
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed(" › ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("  … ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search “{}”) ", search.term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_goes_on_in_the_next_line() {
        assert!(matches!(Lines.validate("one\\"), ValidationResult::Incomplete));
        assert!(matches!(Lines.validate("one\\\ntwo"), ValidationResult::Complete));
        assert_eq!(joined("one\\\ntwo"), "one\ntwo");
    }
}
