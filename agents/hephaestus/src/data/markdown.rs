//! The outline of texts for people: which lines are code, where headings stand.

use super::text;
use regex::Regex;
use std::sync::LazyLock;

/// A line of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'t> {
    /// From 1.
    pub(crate) number: usize,
    /// Without its end.
    pub(crate) text: &'t str,
    /// Part of a code block or of the front matter.
    pub(crate) code: bool,
}

/// A heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heading {
    /// Where its text stands.
    pub(crate) line: usize,
    /// From 1.
    pub(crate) level: usize,
    /// Without marks.
    pub(crate) text: String,
}

/// What kind of text a file holds, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Markup {
    Markdown,
    Html,
    AsciiDoc,
    Org,
    Plain,
}

impl Markup {
    /// The kind of a file of this name.
    pub(crate) fn of(path: &str) -> Self {
        let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.'));
        match extension.map(|(_, extension)| extension.to_lowercase()).as_deref() {
            Some("md" | "markdown" | "mdx" | "mkd") => Self::Markdown,
            Some("html" | "htm" | "xhtml") => Self::Html,
            Some("adoc" | "asciidoc") => Self::AsciiDoc,
            Some("org") => Self::Org,
            _ => Self::Plain,
        }
    }
}

/// The lines, code blocks marked: fenced ones everywhere, indented ones in
/// Markdown outside of lists.
pub(crate) fn lines(source: &str, markup: Markup) -> Vec<Line<'_>> {
    let all = text::lines(source);
    let front = front_matter(&all, markup);
    let mut fence: Option<(char, usize)> = None;
    let (mut in_list, mut after_blank, mut in_indented) = (false, true, false);
    let mut found = Vec::with_capacity(all.len());
    for (i, line) in all.into_iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = indent(line);
        let mut code = i < front;
        if i < front {
        } else if let Some((mark, width)) = fence {
            code = true;
            let run = trimmed.chars().take_while(|c| *c == mark).count();
            if run >= width && trimmed.chars().skip(run).all(char::is_whitespace) {
                fence = None;
            }
        } else if let Some(opened) = fence_start(trimmed) {
            code = true;
            fence = Some(opened);
        } else if markup == Markup::Markdown {
            let blank = trimmed.is_empty();
            code = !blank && indent >= 4 && !in_list && (after_blank || in_indented);
            in_indented = code || blank && in_indented;
            if is_list_item(trimmed) && !code {
                in_list = true;
            } else if !blank && indent == 0 {
                in_list = false;
            }
            after_blank = blank;
        }
        found.push(Line { number: i + 1, text: line, code });
    }
    found
}

/// Columns of blanks at the beginning; a tab counts four.
pub(crate) fn indent(line: &str) -> usize {
    line.chars()
        .map_while(|c| match c {
            ' ' => Some(1),
            '\t' => Some(4),
            _ => None,
        })
        .sum()
}

/// How many lines of front matter stand at the top.
fn front_matter(lines: &[&str], markup: Markup) -> usize {
    let fence = match lines.first().map(|line| line.trim_end()) {
        Some("---") => ["---", "..."],
        Some("+++") => ["+++", "+++"],
        _ => return 0,
    };
    if markup != Markup::Markdown {
        return 0;
    }
    let end = lines.iter().skip(1).position(|line| fence.contains(&line.trim_end()));
    // A rule at the top is none: front matter holds keys.
    let keys =
        |count: usize| lines.iter().skip(1).take(count).any(|line| line.contains([':', '=']));
    end.filter(|count| keys(*count)).map_or(0, |count| count + 2)
}

fn fence_start(trimmed: &str) -> Option<(char, usize)> {
    let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let width = trimmed.chars().take_while(|c| *c == mark).count();
    let info = trimmed.get(width..)?;
    (width >= 3 && !(mark == '`' && info.contains('`'))).then_some((mark, width))
}

/// Whether a line, blanks before it taken off, begins a list item.
pub(crate) fn is_list_item(trimmed: &str) -> bool {
    item_text(trimmed).is_some()
}

/// The text of a list item: after `- `, `* `, `+ `, `• `, `1. ` or `1) `.
pub(crate) fn item_text(trimmed: &str) -> Option<&str> {
    if let Some(rest) = trimmed.strip_prefix(['-', '*', '+', '•', '–']) {
        return rest.strip_prefix([' ', '\t']).map(str::trim_start);
    }
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    let rest = trimmed.get(digits..)?.strip_prefix(['.', ')'])?;
    rest.strip_prefix([' ', '\t']).map(str::trim_start)
}

/// Marks of emphasis around a whole text taken off.
pub(crate) fn plain(text: &str) -> &str {
    let mut text = text.trim();
    for mark in ["***", "**", "__", "~~", "*", "_", "`"] {
        let inner = text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
        if let Some(inner) = inner.filter(|inner| !inner.is_empty() && !inner.contains(mark)) {
            text = inner.trim();
        }
    }
    text
}

/// All headings of a text.
pub(crate) fn headings(source: &str, markup: Markup) -> Vec<Heading> {
    let lines = lines(source, markup);
    let mut found = Vec::new();
    if markup != Markup::Html {
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| !line.code) {
            let next = lines.get(i + 1).filter(|next| !next.code).map(|next| next.text);
            let heading = match markup {
                Markup::AsciiDoc => marked(line.text, '=', 6),
                Markup::Org => marked(line.text, '*', 20),
                _ => atx(line.text).or_else(|| setext(line.text, next?)),
            };
            if let Some((level, text)) = heading {
                found.push(Heading { line: line.number, level, text: plain(text).to_owned() });
            }
        }
    }
    if matches!(markup, Markup::Html | Markup::Markdown) {
        let masked = mask_code(source, &lines);
        found.extend(html(&masked));
        found.sort_by_key(|heading| heading.line);
    }
    found.retain(|heading| !heading.text.is_empty());
    found
}

/// The text with everything in code lines blanked, places unchanged.
pub(crate) fn mask_code(source: &str, lines: &[Line<'_>]) -> String {
    let mut masked = source.as_bytes().to_vec();
    for line in lines.iter().filter(|line| line.code) {
        let start = (line.text.as_ptr() as usize).saturating_sub(source.as_ptr() as usize);
        blank(&mut masked, start, start + line.text.len());
    }
    String::from_utf8(masked).unwrap_or_else(|_| source.to_owned())
}

/// Blanks bytes, line ends excepted. Whole characters become several blanks.
pub(crate) fn blank(bytes: &mut [u8], start: usize, end: usize) {
    for byte in bytes.get_mut(start..end).unwrap_or_default() {
        if !matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

fn atx(line: &str) -> Option<(usize, &str)> {
    if indent(line) > 3 {
        return None;
    }
    let (level, text) = marked(line.trim_start(), '#', 6)?;
    // Closing marks belong to the heading only after a blank.
    let cut = text.trim_end_matches('#');
    let text = if cut.len() < text.len() && (cut.is_empty() || cut.ends_with([' ', '\t'])) {
        cut.trim_end()
    } else {
        text
    };
    Some((level, text))
}

/// `## Title`, the mark given.
fn marked(line: &str, mark: char, most: usize) -> Option<(usize, &str)> {
    let level = line.chars().take_while(|c| *c == mark).count();
    let rest = line.get(level..)?;
    ((1..=most).contains(&level) && (rest.is_empty() || rest.starts_with([' ', '\t'])))
        .then(|| (level, rest.trim()))
}

fn setext<'l>(line: &'l str, next: &str) -> Option<(usize, &'l str)> {
    let text = line.trim();
    let under = next.trim_end();
    let mark = under.trim_start().chars().next()?;
    let level = match mark {
        '=' => 1,
        '-' => 2,
        _ => return None,
    };
    let rule = indent(under) < 4 && under.trim_start().chars().all(|c| c == mark);
    // A single dash may be the beginning of an empty list item.
    let long = under.trim_start().len() >= 2;
    let prose = !text.is_empty()
        && indent(line) < 4
        && !is_list_item(text)
        && !text.starts_with(['#', '>', '|', '<', '='])
        && !text.chars().all(|c| matches!(c, '-' | '=' | '*' | '_' | ' '));
    (rule && long && prose).then_some((level, text))
}

#[expect(clippy::expect_used, reason = "a constant pattern, used by a test")]
static HTML_HEADING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?is)<h([1-6])(?:\s[^>]*)?>(.*?)</h[1-6]\s*>").expect("a sound pattern")
});

#[expect(clippy::expect_used, reason = "a constant pattern, used by a test")]
static TAG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)<[^>]*>").expect("a sound pattern"));

fn html(source: &str) -> Vec<Heading> {
    HTML_HEADING
        .captures_iter(source)
        .filter_map(|found| {
            let (whole, level, inner) = (found.get(0)?, found.get(1)?, found.get(2)?);
            Some(Heading {
                line: line_of(source, whole.start()),
                level: level.as_str().parse().ok()?,
                text: html_text(inner.as_str()),
            })
        })
        .collect()
}

/// The text of a piece of HTML: no tags, common entities, single blanks.
pub(crate) fn html_text(source: &str) -> String {
    let text = unescape(&TAG.replace_all(source, ""));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Common entities as characters.
pub(crate) fn unescape(source: &str) -> String {
    const ENTITIES: [(&str, &str); 7] = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ];
    ENTITIES.iter().fold(source.to_owned(), |text, (name, c)| text.replace(name, c))
}

/// Widest cell that the cells below it are aligned to.
const ALIGN_MAX: usize = 60;

/// A table with aligned columns. `right` says which columns stand on the right.
pub(crate) fn table(header: &[String], rows: &[Vec<String>], right: &[bool]) -> String {
    let escaped = |row: &[String]| -> Vec<String> {
        row.iter().map(|cell| cell.replace('|', "\\|")).collect()
    };
    let all: Vec<Vec<String>> =
        std::iter::once(header).chain(rows.iter().map(Vec::as_slice)).map(escaped).collect();
    let width = |i: usize| {
        let widest = all.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max();
        widest.unwrap_or(0).clamp(3, ALIGN_MAX)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).zip(right).map(|((cell, width), right)| {
            if *right { format!(" {cell:>width$} |") } else { format!(" {cell:<width$} |") }
        });
        format!("|{}", padded.collect::<String>())
    };
    let rule = |(width, right): (&usize, &bool)| {
        let dashes = "-".repeat(width.saturating_sub(usize::from(*right)));
        if *right { format!(" {dashes}: |") } else { format!(" {dashes} |") }
    };
    let rule: String = widths.iter().zip(right).map(rule).collect();
    let mut lines: Vec<String> = all.iter().map(line).collect();
    lines.insert(1, format!("|{rule}"));
    lines.join("\n")
}

/// The line, from 1, of a byte.
pub(crate) fn line_of(source: &str, at: usize) -> usize {
    let before = source.get(..at).unwrap_or(source);
    let mut count = 1;
    let bytes = before.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        let crlf = *byte == b'\r' && source.as_bytes().get(i + 1) == Some(&b'\n');
        count += usize::from(*byte == b'\n' || *byte == b'\r' && !crlf);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(path: &str, source: &str, expect: Expect) {
        let shown: String = headings(source, Markup::of(path))
            .iter()
            .map(|heading| format!("{} {} {}\n", heading.line, heading.level, heading.text))
            .collect();
        expect.assert_eq(&shown);
    }

    #[test]
    fn headings_of_every_kind() {
        check(
            "a.md",
            "# One #\n\nTwo\n===\n\nThree\n---\n\n### *Four* C#\n#no\n<h2 id=x>Fi<b>ve</b> &amp; six</h2>\n",
            expect![[r#"
            1 1 One
            3 1 Two
            6 2 Three
            9 3 *Four* C#
            11 2 Five & six
        "#]],
        );
        check(
            "a.html",
            "<html>\n<h1>A\n B</h1># no\n",
            expect![[r#"
            2 1 A B
        "#]],
        );
        check(
            "a.adoc",
            "= T\n\n== S\n",
            expect![[r#"
            1 1 T
            3 2 S
        "#]],
        );
        check(
            "a.org",
            "* T\n** S\n- no\n",
            expect![[r#"
            1 1 T
            2 2 S
        "#]],
        );
    }

    #[test]
    fn what_only_looks_like_a_heading() {
        check(
            "a.md",
            "---\ntitle: x\n---\n\n```\n# no\n```\n\n    # no\n\n- item\n---\n\n| a |\n---\n\ntext\n-\n",
            expect![""],
        );
    }

    #[test]
    fn code_is_marked() {
        let source = "a\n~~~\nb\n~~~\n- c\n\n    d\n\ne\n\n    f\n\n    g\nh\n````\n```\n````\ni";
        let code: Vec<usize> = lines(source, Markup::Markdown)
            .iter()
            .filter(|line| line.code)
            .map(|line| line.number)
            .collect();
        assert_eq!(code, [2, 3, 4, 11, 13, 15, 16, 17]);
        let plain = lines("x\n\n    y\n", Markup::Plain);
        assert!(plain.iter().all(|line| !line.code));
    }

    #[test]
    fn masking_keeps_places() {
        let source = "a\n```\nä [x](y)\n```\nb";
        let masked = mask_code(source, &lines(source, Markup::Markdown));
        assert_eq!(masked.len(), source.len());
        assert_eq!(masked.replace(' ', ""), "a\n\n\n\nb");
    }
}
