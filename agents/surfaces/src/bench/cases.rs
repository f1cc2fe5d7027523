//! Messages with what is expected of them, as JSON Lines:
//! `{"id", "say", "workspace"?, "notes"?, "expect": {…}}`.

use super::child::BenchError;
use charter::conversation::Route;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Most lines of a file.
const LINES_MAX: usize = 1_000_000;

/// A message.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    /// Its name; only for people.
    #[serde(default)]
    pub(super) id: String,
    /// What is said.
    pub(super) say: String,
    /// The folder that it is said in, seen from the file's own folder.
    pub(super) workspace: Option<PathBuf>,
    /// What was told before, oldest first.
    #[serde(default)]
    pub(super) notes: Vec<String>,
    /// What should come of it.
    pub(super) expect: Expect,
}

/// What should come of a message; what is not named is not looked at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Expect {
    pub(super) route: Option<Route>,
    /// The name of a playbook, or `refused`.
    pub(super) playbook: Option<String>,
    /// Values of slots; slots that are not named are not compared.
    pub(super) slots: Option<Map<String, Value>>,
    /// Tools of the steps, in order.
    pub(super) tools: Option<Vec<String>>,
    /// A regular expression that the answer fits.
    pub(super) answer: Option<String>,
    /// The notes hold no answer.
    #[serde(default)]
    pub(super) abstain: bool,
}

/// What is wrong with a file or folder that was named.
pub(super) fn unread(data: &Path, cause: impl std::fmt::Display) -> BenchError {
    BenchError::Usage(format!("{} cannot be read: {cause}", data.display()))
}

/// The messages of a file.
pub(super) fn read(data: &Path) -> Result<Vec<Case>, BenchError> {
    let file = std::fs::File::open(data).map_err(|error| unread(data, error))?;
    let mut cases = Vec::new();
    for (i, line) in std::io::BufReader::new(file).lines().take(LINES_MAX).enumerate() {
        let line = line.map_err(|error| unread(data, error))?;
        if line.trim().is_empty() {
            continue;
        }
        let case = serde_json::from_str(&line)
            .map_err(|error| unread(data, format!("line {}: {error}", i + 1)))?;
        cases.push(case);
    }
    Ok(cases)
}

/// A share with four decimals; `None` of nothing.
pub(super) fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| (part as f64 / all as f64 * 10_000.0).round() / 10_000.0)
}
