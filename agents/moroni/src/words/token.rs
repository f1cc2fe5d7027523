//! A wish cut into words and values. Paths, quoted texts, numbers and dates stay
//! whole; everything else becomes words, compound words with hyphens too.

use super::fold::fold;
use regex::Regex;
use std::sync::LazyLock;

/// Longest wish that is read, in bytes.
pub const WISH_BYTES_MAX: usize = 8_192;

/// What a piece of a wish is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A word.
    Word,
    /// Digits, with separators.
    Number,
    /// A date in digits.
    Date,
    /// A file name, path or glob.
    Path,
    /// A text in quotation marks, without them.
    Quoted,
    /// An address of the web.
    Url,
    /// `>`, `<=` and the like.
    Symbol,
    /// A mark between words.
    Mark,
}

/// A piece of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// As it was written.
    pub text: String,
    /// Lower case without accents.
    pub folded: String,
    /// What it is.
    pub kind: Kind,
    /// First byte in the wish, quotation marks included.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

impl Token {
    fn new(text: &str, kind: Kind, start: usize, end: usize) -> Self {
        Self { text: text.to_owned(), folded: fold(text), kind, start, end }
    }

    /// Whether it is a word.
    pub fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }

    /// Whether it is a value by its form alone.
    pub fn is_value(&self) -> bool {
        !matches!(self.kind, Kind::Word | Kind::Symbol | Kind::Mark)
    }
}

static PIECE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        (?P<date> \d{4}-\d{1,2}-\d{1,2} | \d{4}-\d{2}\b | \d{1,2}\.\d{1,2}\.\d{2,4} | \d{1,2}/\d{1,2}/\d{2,4})
        | (?P<number> -?\d+(?:[.,]\d+)*\b)
        | (?P<word> [\p{L}\p{N}][\p{L}\p{M}\p{N}]*)
        | (?P<symbol> [<>=!≥≤≠]=? )
        | (?P<mark> [,;:.!?()\[\]…–—&+])",
    )
    .ok()
});

const QUOTES: [(char, &[char]); 8] = [
    ('"', &['"']),
    ('“', &['”', '“']),
    ('„', &['“', '”', '"']),
    ('«', &['»']),
    ('»', &['«']),
    ('‘', &['’']),
    ('\'', &['\'']),
    ('`', &['`']),
];

/// The quoted text that begins `rest`, and the length of all of it.
fn quoted(rest: &str, before: Option<char>) -> Option<(&str, usize)> {
    let open = rest.chars().next()?;
    let (_, closing) = QUOTES.iter().find(|(mark, _)| *mark == open)?;
    // An apostrophe inside a word opens nothing.
    if open == '\'' && before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let inner = &rest[open.len_utf8()..];
    for (at, c) in inner.char_indices() {
        let after = inner[at + c.len_utf8()..].chars().next();
        let closes = closing.contains(&c)
            && (c != '\'' && c != '’' || !after.is_some_and(char::is_alphanumeric));
        if closes {
            let text = inner[..at].trim();
            let length = open.len_utf8() + at + c.len_utf8();
            return (!text.is_empty()).then_some((text, length));
        }
    }
    None
}

/// Whether a run of letters without spaces is a path by its form.
fn is_path(chunk: &str, known: &dyn Fn(&str) -> bool) -> bool {
    let above = chunk.rfind('/').is_some_and(|slash| known(&chunk[..=slash]));
    if known(chunk) || above || chunk.contains('*') {
        return chunk.len() > 1;
    }
    if ["./", "../", "~/", "/"].iter().any(|start| chunk.starts_with(start)) {
        return chunk.len() > 1;
    }
    let last = chunk.rsplit('/').next().unwrap_or(chunk);
    if last.is_empty() {
        return chunk.len() > 1;
    }
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    match last.rsplit_once('.') {
        Some((stem, ext)) => {
            let good = ext.len() <= 10
                && ext.starts_with(|c: char| c.is_ascii_alphanumeric())
                && ext.chars().any(|c| c.is_ascii_alphabetic())
                && ext.chars().all(|c| c.is_ascii_alphanumeric());
            let same_case =
                !ext.chars().any(char::is_lowercase) || !ext.chars().any(char::is_uppercase);
            good && same_case
                && (ext.len() >= 2 || letters(stem) >= 2 || stem.contains('_'))
                && !stem.ends_with('.')
        }
        None => false,
    }
}

const EDGE: &[char] = &[',', ';', ':', '.', '!', '?', ')', '(', ']', '…', '"', '”', '»'];

/// Cuts a wish. `known` tells which texts are names of files (or, with a final
/// slash, folders) here.
pub fn tokens(wish: &str, known: &dyn Fn(&str) -> bool) -> Vec<Token> {
    tokens_around(wish, known, &[])
}

/// Cuts a wish in which some ranges of bytes are paths as a whole.
pub fn tokens_around(
    wish: &str,
    known: &dyn Fn(&str) -> bool,
    paths: &[std::ops::Range<usize>],
) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut before = None;
    while let Some(c) = wish.get(at..).and_then(|rest| rest.chars().next()) {
        if let Some(path) = paths.iter().find(|path| path.start == at)
            && let Some(text) = wish.get(path.clone())
        {
            found.push(Token::new(text, Kind::Path, path.start, path.end));
            at = path.end;
            before = text.chars().last();
            continue;
        }
        if c.is_whitespace() {
            before = Some(c);
            at += c.len_utf8();
            continue;
        }
        if let Some((text, length)) = quoted(&wish[at..], before) {
            found.push(Token::new(text, Kind::Quoted, at, at + length));
            at += length;
            before = None;
            continue;
        }
        let rest = &wish[at..];
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(i, c)| {
                c.is_whitespace()
                    || matches!(c, '"' | '“' | '„' | '«' | '»' | '`')
                        && quoted(&rest[*i..], None).is_some()
            })
            .map_or(rest.len(), |(i, _)| i);
        let chunk = &rest[..end];
        chunk_tokens(chunk, at, known, &mut found);
        at += end;
        before = chunk.chars().last();
    }
    found
}

fn chunk_tokens(chunk: &str, start: usize, known: &dyn Fn(&str) -> bool, found: &mut Vec<Token>) {
    let lead = chunk.len() - chunk.trim_start_matches(['(', '[', '"', '\'']).len();
    let bare = chunk[lead..].trim_end_matches(EDGE).trim_end_matches('\'');
    let from = start + lead;
    let url = ["http://", "https://", "www."].iter().any(|p| bare.starts_with(p));
    if url || (is_path(bare, known) && !is_numeric_date(bare)) {
        let kind = if url { Kind::Url } else { Kind::Path };
        found.push(Token::new(bare, kind, from, from + bare.len()));
        let tail = &chunk[lead + bare.len()..];
        split(tail, from + bare.len(), found);
        return;
    }
    split(chunk, start, found);
}

fn is_numeric_date(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/' | '-'))
}

fn split(text: &str, start: usize, found: &mut Vec<Token>) {
    let Some(piece) = PIECE.as_ref() else { return };
    for captures in piece.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        let kind = if captures.name("date").is_some() {
            Kind::Date
        } else if captures.name("number").is_some() {
            Kind::Number
        } else if captures.name("word").is_some() {
            Kind::Word
        } else if whole.as_str() == "!="
            || captures.name("symbol").is_some() && !whole.as_str().starts_with("!")
        {
            Kind::Symbol
        } else {
            Kind::Mark
        };
        found.push(Token::new(whole.as_str(), kind, start + whole.start(), start + whole.end()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(wish: &str, expect: Expect) {
        let shown: Vec<String> = tokens(wish, &|name| name == "src/web")
            .iter()
            .map(|t| format!("{:?} {}", t.kind, t.text))
            .collect();
        expect.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn values_stay_whole() {
        check(
            r#"Find "foo bar", it's in a/b.md (and *.log)."#,
            expect![[r#"
                Word Find
                Quoted foo bar
                Mark ,
                Word it
                Word s
                Word in
                Path a/b.md
                Mark (
                Word and
                Path *.log
                Mark )
                Mark ."#]],
        );
        check(
            "amount>1,234.50 or 1.3.2025, not and/or src/web",
            expect![[r#"
                Word amount
                Symbol >
                Number 1,234.50
                Word or
                Date 1.3.2025
                Mark ,
                Word not
                Word and
                Word or
                Path src/web"#]],
        );
        check(
            "„Größe“ l'état CSV-Datei 'single quoted' e.g. z.B. .env",
            expect![[r#"
                Quoted Größe
                Word l
                Word état
                Word CSV
                Word Datei
                Quoted single quoted
                Word e
                Mark .
                Word g
                Mark .
                Word z
                Mark .
                Word B
                Mark .
                Path .env"#]],
        );
    }

    proptest! {
        #[test]
        fn any_text_is_cut_in_order(wish in "\\PC{0,80}") {
            let mut last = 0;
            for token in tokens(&wish, &|_| false) {
                prop_assert!(token.start >= last && token.end <= wish.len());
                last = token.end;
            }
        }
    }
}
