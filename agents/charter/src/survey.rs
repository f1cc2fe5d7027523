//! What lies in a workspace, as planning sees it: names, sizes, column names.
//! A value, so that filling a playbook from words needs no disk.

use crate::ids::Millis;
use serde::{Deserialize, Serialize};

/// Most entries that a survey lists.
pub const SURVEY_ENTRIES_MAX: usize = 5_000;

/// A look at a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// Files and folders, sorted by path.
    pub entries: Vec<Entry>,
    /// Whether there were more than [`SURVEY_ENTRIES_MAX`].
    pub truncated: bool,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the workspace, `/`-separated.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Size of a file in bytes.
    pub bytes: u64,
    /// When it was modified last.
    pub modified: Millis,
    /// Columns of a table (csv, tsv, or a json or yaml list of records); empty
    /// for other files.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether every value seen is a number.
    pub numeric: bool,
    /// Up to fifty distinct values, in order of first appearance.
    pub values: Vec<String>,
}
