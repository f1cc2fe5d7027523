//! What stands inside of lines: addresses, marked comments, dates.

use super::DataError;
use super::code;
use super::date;
use super::language;
use super::markdown::item_text;
use super::owner;
use super::text::numbered;
use super::words::{WORDS, alternatives};
use jiff::civil::Date;
use regex::Regex;
use std::sync::LazyLock;

/// A marked comment, such as `TODO(anna): text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    /// Where it stands.
    pub(crate) line: usize,
    /// The mark.
    pub(crate) kind: String,
    /// What it says.
    pub(crate) text: String,
    /// Who is named beside the mark.
    pub(crate) person: String,
}

/// A line with a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dated {
    /// Where it stands.
    pub(crate) line: usize,
    /// The day.
    pub(crate) date: Date,
    /// The line without the date.
    pub(crate) text: String,
}

#[expect(clippy::expect_used, reason = "a constant pattern, used by a test")]
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[\p{L}\p{N}_][\p{L}\p{N}._%+-]*@[\p{L}\p{N}][\p{L}\p{N}-]*(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,24}")
        .expect("a sound pattern")
});

/// Mail addresses with their lines.
pub(crate) fn addresses(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in numbered(text) {
        for address in ADDRESS.find_iter(line) {
            let after = line.get(address.end()..).unwrap_or_default();
            let mut next = after.chars();
            // `git@host:project` is a place of a program, `x@2x.png` a picture.
            let place = next.next() == Some(':') && next.next().is_some_and(char::is_alphanumeric);
            let host = address.as_str().rsplit_once('@').map_or("", |(_, host)| host);
            let picture = host.starts_with(|c: char| c.is_ascii_digit())
                && host.get(1..).is_some_and(|rest| rest.starts_with("x."));
            if !place && !picture {
                found.push((number, address.as_str()));
            }
        }
    }
    found
}

/// The marks of comments that are looked for, in capitals; none means all.
pub(crate) fn marks(kinds: &[String]) -> Vec<String> {
    if kinds.is_empty() {
        return WORDS.comment_kinds.clone();
    }
    kinds.iter().map(|kind| kind.to_uppercase()).collect()
}

/// The marked comments of a source file; none where the language is not known.
pub(crate) fn comments(
    kinds: &[String],
    file: &str,
    source: &str,
) -> Result<Vec<Comment>, DataError> {
    let Some(language) = language::of(file, source) else { return Ok(Vec::new()) };
    let marks = alternatives(marks(kinds).iter().map(String::as_str));
    // A mark in quotes is only spoken of.
    let mark = Regex::new(&format!(
        r#"(?:^|[^\w"'`“”„‘’«»])({marks})\b(?:\s*\(\s*@?([^()]{{1,60}})\s*\)|@([\w.-]+))?\s*[:：]?[\s-]*(.*)$"#
    ))
    .map_err(|error| DataError::whole(format!("no pattern can be made of the marks: {error}")))?;
    let mut comments = Vec::new();
    for (i, line) in code::scan(source, &language.style).iter().enumerate() {
        for comment in &line.comments {
            let Some(found) = mark.captures(comment) else { continue };
            let group = |i: usize| found.get(i).map_or("", |group| group.as_str().trim());
            let person = if group(2).is_empty() { group(3) } else { group(2) };
            let text = match group(4).trim_end_matches("*/").trim() {
                "" => comment.trim(),
                text => text,
            };
            comments.push(Comment {
                line: i + 1,
                kind: group(1).to_owned(),
                text: text.to_owned(),
                person: owner::name(person),
            });
        }
    }
    Ok(comments)
}

/// Every date with the line around it, and how many cannot be told.
pub(crate) fn dates(text: &str) -> (Vec<Dated>, u64) {
    let order = date::order_of([text]);
    let (mut dated, mut unclear) = (Vec::new(), 0);
    for (number, line) in numbered(text) {
        for found in date::find(line, order) {
            match found.date {
                Some(date) => {
                    let text = around(&line[..found.start], &line[found.end..]);
                    dated.push(Dated { line: number, date, text });
                }
                None => unclear += 1,
            }
        }
    }
    (dated, unclear)
}

#[expect(clippy::expect_used, reason = "a pattern of escaped words, used by a test")]
static EMPTIED: LazyLock<Regex> = LazyLock::new(|| {
    let due = alternatives(WORDS.due.iter().map(String::as_str));
    Regex::new(&format!(r"(?i)\s*[(\[]\s*(?:{due})?\s*:?\s*[)\]]|\*{{1,3}}\s\*{{1,3}}"))
        .expect("a sound pattern")
});

/// A line without its date and without the marks of lists and headings.
fn around(before: &str, after: &str) -> String {
    let after = match after.strip_prefix(['T', 't']) {
        Some(time) if time.starts_with(|c: char| c.is_ascii_digit()) => time,
        _ => after,
    };
    let joined = format!("{before} {after}");
    let line = joined.trim();
    let words: Vec<&str> = item_text(line).unwrap_or(line).split_whitespace().collect();
    let text = words.join(" ").replace(" .", ".").replace(" ,", ",");
    // `(due: 2025-03-01)` leaves nothing but an announcement.
    let text = EMPTIED.replace_all(&text, "");
    text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '-' | '–' | '—' | ':' | ',' | ';' | '|' | '#' | '>' | '•')
    })
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_are_only_spoken_of_are_none() {
        let check = |line: &str, expect: &[&str]| {
            let found = comments(&[], "a.py", line).unwrap();
            let texts: Vec<&str> = found.iter().map(|comment| comment.text.as_str()).collect();
            assert_eq!(texts, expect, "{line:?}");
        };
        check("# TODO: mend", &["mend"]);
        check("# Draws. TODO mend", &["mend"]);
        check("x = 1  # TODO(anna): mend", &["mend"]);
        check("# The text \"TODO\" is not one, nor is `FIXME`.", &[]);
        check("# After \"TODO\" comes one. TODO: mend", &["mend"]);
        check("# NOTODO: x", &[]);
    }

    #[test]
    fn dates_leave_a_readable_text() {
        let check = |line: &str, expect: &str| {
            let (found, _) = dates(line);
            assert_eq!(found[0].text, expect, "{line:?}");
        };
        check("- **2025-03-01**: kick-off", "kick-off");
        check("* *2025-03-01* kick-off", "kick-off");
        check("## 2025-03-01 — Kick-off", "Kick-off");
        check("- [ ] **Anna** – send (due: 2025-03-01)", "**Anna** – send");
        check("2025-03-01T10:30 call", "10:30 call");
        check("2025-03-01,Food,12.50", "Food,12.50");
        check("We met on 3 March 2025.", "We met on.");
    }
}
