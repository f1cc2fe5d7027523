//! Bytes of people's files as text and lines.

use super::DataError;

/// The bytes as text: UTF-8 with or without a byte order mark, or UTF-16 with
/// one, as spreadsheets save it.
pub(crate) fn decode(bytes: &[u8]) -> Result<String, DataError> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(DataError::whole("the text is UTF-16, and its last character is cut off"));
        }
        let units = pairs.map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units)
            .collect::<Result<String, _>>()
            .map_err(|_| DataError::whole("the text is damaged UTF-16"))
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        all => utf8(all),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, DataError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            Err(DataError::line(
                line,
                "this is no UTF-8 text; save the file as UTF-8 and try again",
            ))
        }
    }
}

/// Whether the bytes are no text at all: a zero byte near the beginning, unless
/// a byte order mark says UTF-16.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    let utf16 = matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
    !utf16 && bytes.iter().take(8_192).any(|byte| *byte == 0)
}

/// The lines without their ends: LF, CRLF or a lone CR. A last line without an
/// end counts; nothing after the last end does not.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let width = match (byte, bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => 2,
            (b'\r' | b'\n', _) => 1,
            _ => 0,
        };
        if width > 0 {
            lines.push(&text[start..at]);
            start = at + width;
        }
        at += width.max(1);
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

/// Lines with their numbers from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    lines(text).into_iter().enumerate().map(|(i, line)| (i + 1, line))
}

/// A text on one line, cut to a bearable length for messages.
pub(crate) fn short(text: &str) -> String {
    const SHOWN: usize = 80;
    let one: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if one.chars().count() <= SHOWN {
        one
    } else {
        one.chars().take(SHOWN).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_is_known() {
        assert_eq!(lines("a\r\nb\rc\nd"), ["a", "b", "c", "d"]);
        assert_eq!(lines("a\n\n"), ["a", ""]);
        assert_eq!(lines(""), [""; 0]);
    }

    #[test]
    fn marks_and_utf16_are_understood() {
        assert_eq!(decode(b"\xEF\xBB\xBFa").unwrap(), "a");
        assert_eq!(decode(b"\xFF\xFEa\0\xFC\0").unwrap(), "aü");
        assert_eq!(decode(b"\xFE\xFF\0a").unwrap(), "a");
        let error = decode(b"fine\nM\xFCller").unwrap_err().to_string();
        assert!(error.starts_with("line 2:"), "{error}");
        assert!(decode(b"\xFF\xFEa").is_err());
    }

    #[test]
    fn a_zero_byte_is_no_text() {
        assert!(is_binary(b"a\0b"));
        assert!(!is_binary(b"\xFF\xFEa\0"));
    }
}
