//! Files as the data tools read them: text decoded, tables taken apart.

use crate::data::format::{self, Format};
use crate::data::records::Table;
use crate::data::text;
use crate::error::{arguments, io};
use crate::workspace::{TEXT_MAX, Workspace};
use charter::tool::ToolError;
use serde_json::Value;
use std::io::Read;

/// The text of a file; what is no text is an error.
pub(crate) fn text(workspace: &Workspace, path: &str) -> Result<String, ToolError> {
    text::decode(&workspace.read(path, TEXT_MAX)?).map_err(|error| error.reading(path))
}

/// A file among others.
pub(crate) enum Content {
    /// Its text.
    Text(String),
    /// Text with bytes that are not UTF-8; they show as U+FFFD.
    Lossy(String),
    /// No text.
    Binary,
}

/// A file among others: one that is no text is no reason to stop.
pub(crate) fn content(workspace: &Workspace, path: &str) -> Result<Content, ToolError> {
    // The beginning tells a film from a text, so that its size does not matter.
    let mut head = Vec::with_capacity(8_192);
    let file = workspace.open_file(path)?;
    file.take(8_192).read_to_end(&mut head).map_err(|error| io("read", path, &error))?;
    if text::is_binary(&head) {
        return Ok(Content::Binary);
    }
    let bytes = workspace.read(path, TEXT_MAX)?;
    Ok(match text::decode(&bytes) {
        Ok(text) => Content::Text(text),
        Err(_) => Content::Lossy(String::from_utf8_lossy(&bytes).into_owned()),
    })
}

/// The format of a file by its name.
pub(crate) fn format_of(path: &str) -> Result<Format, ToolError> {
    Format::of(path).ok_or_else(|| {
        arguments(format!("the name {path:?} does not say what kind of data it holds"))
            .hint("use a name that ends in .csv, .tsv, .json, .yaml or .toml")
    })
}

/// The rows of a file.
pub(crate) fn table(workspace: &Workspace, path: &str) -> Result<Table, ToolError> {
    let format = format_of(path)?;
    let text = text(workspace, path)?;
    format::parse_table(format, &text).map_err(|error| error.reading(path))
}

/// The value of a file.
pub(crate) fn value(workspace: &Workspace, path: &str) -> Result<Value, ToolError> {
    let format = format_of(path)?;
    let text = text(workspace, path)?;
    format::parse(format, &text).map_err(|error| error.reading(path))
}
