//! Lines of text files of any size, one at a time.

use crate::data::text::{decode, is_binary};
use crate::error::{io, malformed, too_large};
use crate::workspace::{TEXT_MAX, Workspace};
use charter::tool::ToolError;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

/// Longest line that is held in memory.
const LINE_MAX: u64 = 16 << 20;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Text.
    Text,
    /// Text with bytes that are not UTF-8; they show as U+FFFD.
    Lossy,
    /// No text; no line was shown.
    Binary,
}

/// Is shown a line and its number.
pub(crate) type Show<'a> = dyn FnMut(usize, &str) -> Result<ControlFlow<()>, ToolError> + 'a;

/// Shows every line, without its end, with its number from 1. A file that is no
/// text is not shown at all.
pub(crate) fn each_line(
    workspace: &Workspace,
    path: &str,
    show: &mut Show<'_>,
) -> Result<Seen, ToolError> {
    let mut file = workspace.open_file(path)?;
    let failed = |error: std::io::Error| io("read", path, &error);
    let mut head = Vec::with_capacity(8_192);
    file.by_ref().take(8_192).read_to_end(&mut head).map_err(failed)?;
    if is_binary(&head) {
        return Ok(Seen::Binary);
    }
    if matches!(head.as_slice(), [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) {
        let text = decode(&workspace.read(path, TEXT_MAX)?)
            .map_err(|error| malformed(format!("could not read {path:?}: {error}")))?;
        for (i, line) in text.split_terminator('\n').enumerate() {
            if show(i + 1, line.strip_suffix('\r').unwrap_or(line))?.is_break() {
                break;
            }
        }
        return Ok(Seen::Text);
    }
    let start = if head.starts_with(&[0xEF, 0xBB, 0xBF]) { 3 } else { 0 };
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let (mut line, mut seen) = (Vec::new(), Seen::Text);
    for number in 1.. {
        line.clear();
        let n = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        if n == 0 {
            break;
        }
        if n as u64 >= LINE_MAX && line.last() != Some(&b'\n') {
            return Err(too_large(format!(
                "line {number} of {path:?} has more than {LINE_MAX} bytes"
            ))
            .hint("leave the file out"));
        }
        if number % 4_096 == 0 {
            workspace.still_wanted()?;
        }
        let body = line.strip_suffix(b"\n").unwrap_or(&line);
        let body = body.strip_suffix(b"\r").unwrap_or(body);
        let text = String::from_utf8_lossy(body);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            seen = Seen::Lossy;
        }
        if show(number, &text)?.is_break() {
            break;
        }
    }
    Ok(seen)
}
