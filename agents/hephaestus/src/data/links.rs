//! Links in texts for people: Markdown inline, by reference, autolinks, wiki
//! links, HTML attributes, bare addresses of the web.

use super::markdown::{self, Markup, blank, html_text, line_of, mask_code, unescape};
use regex::Regex;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

/// Longest text of a link that is looked for, in bytes.
const TEXT_MAX: usize = 2_000;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where it begins.
    pub(crate) line: usize,
    /// What is shown for it; empty where nothing is.
    pub(crate) text: String,
    /// Where it leads, as written.
    pub(crate) target: String,
    /// `[[Page]]`: named by title, not by path.
    pub(crate) wiki: bool,
}

/// All links of a file, by place. `prose`: brackets have the meaning they have
/// in texts for people; source code has only addresses of the web.
pub(crate) fn find(source: &str, markup: Markup, prose: bool) -> Vec<Link> {
    let mut scan = Scan { found: Vec::new(), text: mask(source, markup), source };
    if markup == Markup::Html || markup == Markup::Markdown {
        scan.attributes();
    }
    if prose && markup != Markup::Html {
        scan.brackets();
    }
    scan.bare();
    scan.found.sort_by_key(|(at, _)| *at);
    scan.found.into_iter().map(|(_, link)| link).collect()
}

#[expect(clippy::expect_used, reason = "constant patterns, used by tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("a sound pattern")
}

static SILENT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?is)<!--.*?-->|<(?:style)\b.*?</style\s*>|<script\b[^>]*>(?<js>.*?)</script\s*>")
});
static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?is)<([a-z][a-z0-9]*)\b[^<>]*?\s(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))[^<>]*>"#,
    )
});
static BARE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i)\b(?:https?|ftp)://[^\s<>"'`\\{}|^\u{ab}\u{bb}\u{201c}\u{201d}]+"#)
});
static AUTO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)<((?:[a-z][a-z0-9+.-]{1,31}:[^\s<>]+)|(?:[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+))>",
    )
});
static DEFINITION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)^[ \t]{0,3}\[([^\]\[^][^\]\[]*)\]:[ \t]*(?:<([^<>\n]*)>|(\S+))[^\n]*$")
});

/// The text with what is no link blanked: code, comments, scripts.
fn mask(source: &str, markup: Markup) -> String {
    let lines = markdown::lines(source, markup);
    let mut bytes = match markup {
        Markup::Html => source.to_owned(),
        _ => mask_code(source, &lines),
    };
    if matches!(markup, Markup::Markdown | Markup::Plain) {
        bytes = mask_spans(&bytes);
    }
    if matches!(markup, Markup::Markdown | Markup::Html) {
        let mut masked = bytes.clone().into_bytes();
        for silent in SILENT.captures_iter(&bytes) {
            // The `src` of a script is a link, its text is none.
            if let Some(range) = silent.name("js").or_else(|| silent.get(0)) {
                blank(&mut masked, range.start(), range.end());
            }
        }
        bytes = String::from_utf8(masked).unwrap_or(bytes);
    }
    bytes
}

/// Blanks `code spans`, which end with their paragraph at the latest.
fn mask_spans(source: &str) -> String {
    let mut masked = source.as_bytes().to_vec();
    let mut at = 0;
    while let Some(start) = source.get(at..).and_then(|rest| rest.find('`')).map(|i| at + i) {
        let run = source[start..].bytes().take_while(|byte| *byte == b'`').count();
        let rest = &source[start + run..];
        let paragraph = rest.find("\n\n").unwrap_or(rest.len());
        let mut from = 0;
        let mut end = None;
        while let Some(i) = rest[from..paragraph].find('`').map(|i| from + i) {
            let width = rest[i..].bytes().take_while(|byte| *byte == b'`').count();
            if width == run {
                end = Some(start + run + i + width);
                break;
            }
            from = (i + width).min(paragraph);
        }
        match end {
            Some(end) => {
                blank(&mut masked, start, end);
                at = end;
            }
            None => at = start + run,
        }
    }
    String::from_utf8(masked).unwrap_or_else(|_| source.to_owned())
}

struct Scan<'s> {
    found: Vec<(usize, Link)>,
    /// The masked text; what was read is blanked, so that nothing is found twice.
    text: String,
    source: &'s str,
}

impl Scan<'_> {
    fn add(&mut self, at: usize, text: &str, target: &str, wiki: bool) {
        let target = target.trim();
        let silent = ["javascript:", "data:"].iter().any(|scheme| {
            target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        if target.is_empty() || silent {
            return;
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = line_of(self.source, at);
        self.found.push((at, Link { line, text, target: target.to_owned(), wiki }));
    }

    fn erase(&mut self, ranges: &[Range<usize>]) {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        for range in ranges {
            blank(&mut bytes, range.start, range.end);
        }
        self.text = String::from_utf8(bytes).unwrap_or_default();
    }

    /// `href` and `src` of HTML.
    fn attributes(&mut self) {
        let text = self.text.clone();
        let mut read = Vec::new();
        for tag in ATTRIBUTE.captures_iter(&text) {
            let (Some(whole), Some(name)) = (tag.get(0), tag.get(1)) else { continue };
            let target = (2..=4).find_map(|i| tag.get(i)).map_or("", |target| target.as_str());
            let shown = if name.as_str().eq_ignore_ascii_case("a") {
                let rest = &text[whole.end()..];
                let end = rest.to_ascii_lowercase().find("</a").unwrap_or(0);
                html_text(&rest[..end])
            } else {
                String::new()
            };
            self.add(whole.start(), &shown, &unescape(target), false);
            read.push(whole.range());
        }
        self.erase(&read);
    }

    /// Everything that brackets can mean in Markdown.
    fn brackets(&mut self) {
        let mut definitions: HashMap<String, String> = HashMap::new();
        let mut places: Vec<(usize, String)> = Vec::new();
        let mut read = Vec::new();
        let text = self.text.clone();
        for found in DEFINITION.captures_iter(&text) {
            let (Some(whole), Some(name)) = (found.get(0), found.get(1)) else { continue };
            let Some(target) = found.get(2).or_else(|| found.get(3)) else { continue };
            let label = label(name.as_str());
            // The first definition of a label counts.
            if !definitions.contains_key(&label) {
                definitions.insert(label.clone(), target.as_str().to_owned());
                places.push((whole.start(), label));
            }
            read.push(whole.range());
        }
        self.erase(&read);
        let text = self.text.clone();
        read.clear();
        let mut used = BTreeSet::new();
        // A target and a label are read with their link, a text may hold others.
        let mut skip: Vec<Range<usize>> = Vec::new();
        for at in text.match_indices('[').map(|(at, _)| at) {
            let escaped =
                text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            while skip.first().is_some_and(|first| first.end <= at) {
                skip.remove(0);
            }
            let inside = skip.iter().any(|range| range.contains(&at));
            if inside
                || escaped
                || text[..at].ends_with('[')
                    && text[at..].find("]]").is_some()
                    && is_wiki(&text[at - 1..])
            {
                continue;
            }
            if let Some((shown, target, end)) = wiki(&text[at..]) {
                self.add(at, shown, target, true);
                read.push(at..at + end);
                continue;
            }
            let Some(close) = closing(&text[at..]) else { continue };
            let shown = &text[at + 1..at + close];
            let after = &text[at + close + 1..];
            if let Some((target, width)) = destination(after) {
                self.add(at, shown, &target, false);
                read.push(at..at + close + 1 + width);
                skip.push(at + close + 1..at + close + 1 + width);
                continue;
            }
            let (name, width) = match after.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            {
                Some(("", _)) => (shown, 2),
                Some((name, _)) if name.len() <= TEXT_MAX => (name, name.len() + 2),
                _ => (shown, 0),
            };
            let name = label(name);
            if let Some(target) = definitions.get(&name) {
                self.add(at, shown, target, false);
                read.push(at..at + close + 1 + width);
                skip.push(at + close + 1..at + close + 1 + width);
                used.insert(name);
            }
        }
        for (at, name) in places.iter().filter(|(_, name)| !used.contains(name)) {
            if let Some(target) = definitions.get(name) {
                self.add(*at, "", target, false);
            }
        }
        self.erase(&read);
    }

    /// `<https://…>` and addresses that stand alone.
    fn bare(&mut self) {
        let text = self.text.clone();
        let mut read = Vec::new();
        for found in AUTO.captures_iter(&text) {
            let (Some(whole), Some(inner)) = (found.get(0), found.get(1)) else { continue };
            let inner = inner.as_str();
            let target =
                if inner.contains(':') { inner.to_owned() } else { format!("mailto:{inner}") };
            self.add(whole.start(), inner, &target, false);
            read.push(whole.range());
        }
        self.erase(&read);
        let text = self.text.clone();
        for found in BARE.find_iter(&text) {
            let mut target = found.as_str();
            // Marks at the end belong to the sentence; a bracket belongs to the
            // address only if it was opened in it.
            loop {
                let cut = match target.chars().next_back() {
                    Some('.' | ',' | ';' | ':' | '!' | '?' | '*' | '_' | '~' | '’' | '…') => {
                        true
                    }
                    Some(')') => target.matches(')').count() > target.matches('(').count(),
                    Some(']') => target.matches(']').count() > target.matches('[').count(),
                    _ => false,
                };
                let Some((last, _)) = target.char_indices().next_back().filter(|_| cut) else {
                    break;
                };
                target = &target[..last];
            }
            if target.split_once("://").is_some_and(|(_, rest)| !rest.is_empty()) {
                self.add(found.start(), target, target, false);
            }
        }
    }
}

fn label(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn is_wiki(text: &str) -> bool {
    wiki(text).is_some()
}

/// `[[Page]]`, `[[Page|shown]]`: what is shown, the page, the width.
fn wiki(text: &str) -> Option<(&str, &str, usize)> {
    let inner = text.strip_prefix("[[")?;
    let end = inner.find("]]").filter(|end| *end <= TEXT_MAX)?;
    let inner = &inner[..end];
    if inner.is_empty() || inner.contains(['\n', '[', ']']) {
        return None;
    }
    let (target, shown) = inner.split_once('|').unwrap_or((inner, inner));
    Some((shown, target, end + 4))
}

/// The place of the bracket that closes the first one, in the same paragraph.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut escaped = false;
    let mut newline = false;
    for (at, c) in text.char_indices().take_while(|(at, _)| *at <= TEXT_MAX) {
        if c == '\n' && newline {
            return None;
        }
        newline = c == '\n' || newline && c.is_whitespace();
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => depth += 1,
            ']' if depth == 1 => return Some(at),
            ']' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `(target "title")`: the target and the width of it all.
fn destination(text: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix('(')?;
    let start = inner.len() - inner.trim_start().len();
    let body = &inner[start..];
    let (target, after) = if let Some(rest) = body.strip_prefix('<') {
        let end = rest.find('>').filter(|end| !rest[..*end].contains('\n'))?;
        (&rest[..end], start + end + 2)
    } else {
        let mut depth = 0usize;
        let mut end = None;
        for (at, c) in body.char_indices().take_while(|(at, _)| *at <= TEXT_MAX) {
            match c {
                '(' => depth += 1,
                ')' if depth == 0 => {
                    end = Some(at);
                    break;
                }
                ')' => depth -= 1,
                c if c.is_whitespace() => {
                    // Blanks in a target are no Markdown, but people write them.
                    let line = body[..].split('\n').next().unwrap_or_default();
                    let rest = line[at..].trim_start();
                    let titled = rest.starts_with(['"', '\'', '(', ')']);
                    if titled || c == '\n' {
                        end = Some(at);
                        break;
                    }
                }
                _ => {}
            }
        }
        let end = end?;
        (&body[..end], start + end)
    };
    let rest = inner.get(after..)?;
    let close = title_end(rest)?;
    Some((target.trim().replace("\\(", "(").replace("\\)", ")"), 1 + after + close + 1))
}

/// The place of the `)` after an optional title.
fn title_end(rest: &str) -> Option<usize> {
    let skipped = rest.len() - rest.trim_start().len();
    let body = &rest[skipped..];
    if body.starts_with(')') {
        return Some(skipped);
    }
    let close = match body.chars().next()? {
        '"' => '"',
        '\'' => '\'',
        '(' => ')',
        _ => return None,
    };
    let end = body[1..].find(close)? + 2;
    let tail = &body[end..];
    let blanks = tail.len() - tail.trim_start().len();
    tail[blanks..].starts_with(')').then_some(skipped + end + blanks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(path: &str, source: &str, expect: Expect) {
        let shown: String = find(source, Markup::of(path), !path.ends_with(".rs"))
            .iter()
            .map(|link| {
                let wiki = if link.wiki { " wiki" } else { "" };
                format!("{} {:?} -> {}{wiki}\n", link.line, link.text, link.target)
            })
            .collect();
        expect.assert_eq(&shown);
    }

    #[test]
    fn markdown_links() {
        check(
            "a.md",
            "[one](a.md) ![two](<my pic.png> \"t\")\n[![in](i.png)](out.md)\n[par](a_(b).md) and \\[no](x)\n[two\nlines](z.md#a) [blank](my file.md)\n",
            expect![[r#"
            1 "one" -> a.md
            1 "two" -> my pic.png
            2 "![in](i.png)" -> out.md
            2 "in" -> i.png
            3 "par" -> a_(b).md
            4 "two lines" -> z.md#a
            5 "blank" -> my file.md
        "#]],
        );
        check(
            "a.md",
            "[A][ref] [Ref][] [ref] [none][x] [ ] [x]\n\n[ref]: <t.md> 'T'\n[unused]: u.md\n[^1]: foot\n",
            expect![[r#"
            1 "A" -> t.md
            1 "Ref" -> t.md
            1 "ref" -> t.md
            4 "" -> u.md
        "#]],
        );
        check(
            "a.md",
            "see <https://a.b/c>, <x@y.org>, https://d.e/f(g). [[Page|P]] [[Other#h]]\n",
            expect![[r#"
            1 "https://a.b/c" -> https://a.b/c
            1 "x@y.org" -> mailto:x@y.org
            1 "https://d.e/f(g)" -> https://d.e/f(g)
            1 "P" -> Page wiki
            1 "Other#h" -> Other#h wiki
        "#]],
        );
    }

    #[test]
    fn code_holds_no_links() {
        check(
            "a.md",
            "`[a](b)` ``[c](`d)`` [e](f)\n```\n[g](h)\n```\n<!-- [i](j) -->\n",
            expect![[r#"
            1 "e" -> f
        "#]],
        );
        check(
            "a.rs",
            "x[0](y); // https://a.b/c.\n",
            expect![[r#"
            1 "https://a.b/c" -> https://a.b/c
        "#]],
        );
    }

    #[test]
    fn html_links() {
        check(
            "a.html",
            "<a class=x href=\"a.html?x=1&amp;y\">A <b>b</b></a>\n<img alt='' src='i.png'><a href=\"javascript:x\">no</a>\n<!-- <a href=no> --><script src=s.js>var a = 'http://no';</script>\n",
            expect![[r#"
            1 "A b" -> a.html?x=1&y
            2 "" -> i.png
            3 "" -> s.js
        "#]],
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(source in "[a()<>`\"'#!|:\\\\ä\n /\\[\\]-]{0,60}", i in 0usize..3) {
            let path = ["a.md", "a.html", "a.txt"][i];
            find(&source, Markup::of(path), true);
        }
    }
}
