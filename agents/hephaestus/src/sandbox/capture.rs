//! What a program writes to its standard output and error, within a bound: the
//! beginning and the end are kept, because errors stand at either.

use std::collections::VecDeque;
use std::io::{self, Read};

/// Bytes that were written, as far as they were kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// Bytes that were written in all.
    pub bytes: u64,
}

impl Captured {
    /// Whether something was left out.
    pub fn truncated(&self) -> bool {
        self.bytes > (self.head.len() + self.tail.len()) as u64
    }

    /// The text; what is not UTF-8 is replaced, and a gap is said.
    pub fn text(&self) -> String {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if !self.truncated() {
            return String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned();
        }
        format!(
            "{}\n[{} bytes left out]\n{}",
            String::from_utf8_lossy(&self.head),
            self.bytes.saturating_sub(kept),
            String::from_utf8_lossy(&tail)
        )
    }

    /// At most the last `max` characters of the text.
    pub fn ending(&self, max: usize) -> String {
        let text = self.text();
        let skip = text.chars().count().saturating_sub(max);
        text.chars().skip(skip).collect()
    }
}

/// Reads to the end and keeps at most `max` bytes.
pub(super) fn drain(mut from: impl Read, max: usize) -> io::Result<Captured> {
    let half = max / 2;
    let mut captured = Captured::default();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(captured),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = chunk.get(..read).unwrap_or_default();
        captured.bytes = captured.bytes.saturating_add(read as u64);
        let room = half.saturating_sub(captured.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        captured.head.extend_from_slice(first);
        captured.tail.extend(rest);
        let over = captured.tail.len().saturating_sub(max - half);
        captured.tail.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], max: usize, expect: &str) {
        assert_eq!(drain(input, max).unwrap().text(), expect);
    }

    #[test]
    fn head_and_tail_are_kept() {
        check(b"", 10, "");
        check(b"0123456789", 10, "0123456789");
        check(b"0123456789abc", 10, "01234\n[3 bytes left out]\n89abc");
        check(b"ab", 1, "\n[1 bytes left out]\nb");
        check(b"a\xffb", 10, "a\u{fffd}b");
    }

    #[test]
    fn the_ending_counts_characters() {
        assert_eq!(drain("äöü".as_bytes(), 99).unwrap().ending(2), "öü");
    }
}
