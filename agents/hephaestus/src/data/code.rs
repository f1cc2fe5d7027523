//! Source code line by line: what is code, what is comment. Strings are not
//! mistaken for comments in the common languages. It is no parser: a regular
//! expression literal that holds `/*` can mislead it.

use super::language::Style;
use super::text;

/// One line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// It holds something that is no comment.
    pub(crate) code: bool,
    /// The texts of the comments on it, marks excluded.
    pub(crate) comments: Vec<String>,
}

impl Line {
    /// Neither code nor comment.
    pub(crate) fn is_blank(&self) -> bool {
        !self.code && self.comments.is_empty()
    }
}

/// Where the scanner stands between two lines.
enum Inside<'s> {
    Code,
    Block { open: &'s str, close: &'s str, depth: u32 },
    Text { close: String, escapes: bool },
}

/// The lines of a source text.
pub(crate) fn scan(source: &str, style: &Style) -> Vec<Line> {
    let mut inside = Inside::Code;
    text::lines(source).into_iter().map(|line| scan_line(line, style, &mut inside)).collect()
}

fn scan_line<'s>(line: &str, style: &'s Style, inside: &mut Inside<'s>) -> Line {
    let mut found = Line::default();
    let mut at = 0;
    // Every turn moves `at` forward or ends the line.
    while at < line.len() {
        let Some(rest) = line.get(at..) else { break };
        match inside {
            Inside::Block { open, close, depth } => {
                let (end, width) = block_end(rest, open, close, style.nested, depth);
                found.comments.push(rest[..end].to_owned());
                at += end + width;
                if *depth == 0 {
                    *inside = Inside::Code;
                }
            }
            Inside::Text { close, escapes } => {
                found.code |= !rest.trim().is_empty();
                match text_end(rest, close, *escapes, style.doubled) {
                    Some(end) => {
                        at += end;
                        *inside = Inside::Code;
                    }
                    None => break,
                }
            }
            Inside::Code => at += scan_code(line, at, style, inside, &mut found),
        }
    }
    if found.comments.iter().all(|comment| comment.trim().is_empty()) && !found.comments.is_empty()
    {
        // A line inside a block that holds nothing but blanks counts as blank;
        // one that holds a mark counts as comment.
        if line.trim().is_empty() {
            found.comments.clear();
        }
    }
    found
}

/// Where a block comment ends on this line, and the width of its end.
fn block_end(rest: &str, open: &str, close: &str, nested: bool, depth: &mut u32) -> (usize, usize) {
    let mut at = 0;
    while let Some(tail) = rest.get(at..) {
        if tail.starts_with(close) {
            *depth -= 1;
            if *depth == 0 {
                return (at, close.len());
            }
            at += close.len();
        } else if nested && tail.starts_with(open) {
            *depth = depth.saturating_add(1);
            at += open.len();
        } else {
            match tail.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => break,
            }
        }
    }
    (rest.len(), 0)
}

/// First byte after the end of a string.
fn text_end(rest: &str, close: &str, escapes: bool, doubled: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let tail = rest.get(at..)?;
        if escapes && tail.starts_with('\\') {
            at += 1 + tail[1..].chars().next().map_or(0, char::len_utf8);
        } else if let Some(after) = tail.strip_prefix(close) {
            at += close.len();
            if doubled && after.starts_with(close) {
                at += close.len();
            } else {
                return Some(at);
            }
        } else {
            at += tail.chars().next()?.len_utf8();
        }
    }
}

/// Reads on from `at` in code; returns how far it got.
fn scan_code<'s>(
    line: &str,
    at: usize,
    style: &'s Style,
    inside: &mut Inside<'s>,
    found: &mut Line,
) -> usize {
    let (before, rest) = line.split_at(at);
    let Some(c) = rest.chars().next() else { return 1 };
    if c.is_whitespace() {
        return c.len_utf8();
    }
    // Longer marks first, so that `--[[` is no `--`, and `"""` no `"`.
    if let Some((open, close)) = style
        .block
        .iter()
        .filter(|(open, _)| rest.starts_with(open.as_str()))
        .max_by_key(|(open, _)| open.len())
    {
        *inside = Inside::Block { open, close, depth: 1 };
        if rest.len() == open.len() {
            found.comments.push(String::new());
        }
        return open.len();
    }
    let may_begin = if style.leading {
        before.trim().is_empty()
    } else {
        !style.spaced || before.chars().next_back().is_none_or(|c| c.is_whitespace() || c == ';')
    };
    if may_begin && let Some(mark) = style.line.iter().find(|mark| rest.starts_with(mark.as_str()))
    {
        found.comments.push(rest[mark.len()..].to_owned());
        return rest.len();
    }
    found.code |= !style.prose;
    if style.prose {
        return c.len_utf8();
    }
    if style.raw
        && let Some((width, close)) = raw_start(before, rest)
    {
        *inside = Inside::Text { close, escapes: false };
        return width;
    }
    if let Some(mark) = style.multiline.iter().find(|mark| rest.starts_with(mark.as_str())) {
        *inside = Inside::Text { close: mark.clone(), escapes: !style.doubled };
        return mark.len();
    }
    if style.chars && c == '\'' {
        return char_width(rest);
    }
    if let Some(mark) = style.strings.iter().find(|mark| rest.starts_with(mark.as_str())) {
        let inner = &rest[mark.len()..];
        return match text_end(inner, mark, !style.doubled, style.doubled) {
            Some(end) => mark.len() + end,
            // A string that is not closed ends nowhere: an apostrophe, more likely.
            None => mark.len(),
        };
    }
    c.len_utf8()
}

/// `r"`, `r#"`, `br##"`: the width of the start, and the end to look for.
fn raw_start(before: &str, rest: &str) -> Option<(usize, String)> {
    if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after
        .get(hashes..)?
        .starts_with('"')
        .then(|| (rest.len() - after.len() + hashes + 1, format!("\"{}", "#".repeat(hashes))))
}

/// The width of `'x'` or `'\n'`; of `'` alone where it begins a lifetime.
fn char_width(rest: &str) -> usize {
    let inner = &rest[1..];
    let mut chars = inner.chars();
    match chars.next() {
        Some('\\') => {
            let skip = 1 + chars.next().map_or(0, char::len_utf8);
            inner
                .get(skip..)
                .and_then(|tail| tail.find('\''))
                .filter(|end| *end <= 10)
                .map_or(1, |end| 2 + skip + end)
        }
        Some(c) if inner[c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::language;
    use proptest::prelude::*;

    /// `c` code, `#` comment, `b` both, `.` blank; then the comments.
    fn check(path: &str, source: &str, kinds: &str, comments: &[&str]) {
        let style = &language::of(path, source).unwrap().style;
        let lines = scan(source, style);
        let shown: String = lines
            .iter()
            .map(|line| match (line.code, line.comments.is_empty()) {
                (true, true) => 'c',
                (true, false) => 'b',
                (false, false) => '#',
                (false, true) => '.',
            })
            .collect();
        let found: Vec<&str> =
            lines.iter().flat_map(|line| &line.comments).map(|text| text.trim()).collect();
        assert_eq!((shown.as_str(), found.as_slice()), (kinds, comments), "{source}");
    }

    #[test]
    fn line_and_block_comments() {
        check(
            "a.rs",
            "fn a() {} // one\n\n/* two\n\n three */ x\n",
            "b.#.b",
            &["one", "two", "three"],
        );
        check("a.rs", "/* a /* b */ c */ x", "b", &["a /* b */ c"]);
        check("a.c", "/* a /* b */ c", "b", &["a /* b"]);
        check("a.py", "# one\nx = 1  # two\n", "#b", &["one", "two"]);
        check("a.html", "<p>x</p>\n<!-- TODO: y\nz -->\n", "c##", &["TODO: y", "z"]);
        check("a.lua", "--[[ a\nb ]] x\n-- c\n", "#b#", &["a", "b", "c"]);
        check("a.sql", "SELECT '--no' -- yes\n", "b", &["yes"]);
        check("a.bat", "REM hello\necho REM no\n", "#c", &["hello"]);
    }

    #[test]
    fn strings_are_no_comments() {
        check("a.rs", r##"let u = "http://x"; let r = r#"// " no"#; // yes"##, "b", &["yes"]);
        check("a.rs", "let c = '\"'; let l: &'a str = x; // yes", "b", &["yes"]);
        check("a.rs", "let s = \"a\n // no\n\"; // yes", "ccb", &["yes"]);
        check("a.js", "const u = `a\n// no ${x}\n`; // yes", "ccb", &["yes"]);
        check("a.js", "const u = 'it\\'s // no'; // yes", "b", &["yes"]);
        check("a.py", "s = \"\"\"\n# no\n\"\"\"  # yes", "ccb", &["yes"]);
        check("a.py", "s = 'a # no'", "c", &[]);
        check("a.sh", "echo $# ${#x} http://x#y # yes", "b", &["yes"]);
        check("a.yaml", "url: http://x/#a # yes\nit: don't # this", "bb", &["yes", "this"]);
        check("a.css", "a { content: \"/*\" } /* yes */", "b", &["yes"]);
    }

    #[test]
    fn text_for_people_has_no_code() {
        check("a.md", "# Title\n\ntext <!-- TODO x -->\n", "..#", &["TODO x"]);
    }

    proptest! {
        #[test]
        fn every_line_is_counted_once(source in "[a'\"/*# \\\\\n`r<!-]{0,60}", i in 0usize..4) {
            let path = ["a.rs", "a.py", "a.js", "a.html"][i];
            let style = &language::of(path, "").unwrap().style;
            prop_assert_eq!(scan(&source, style).len(), text::lines(&source).len());
        }
    }
}
