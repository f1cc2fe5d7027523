//! Sentences, and passages made of them, with their place in the text.

use charter::memory::Span;

/// A passage grows up to about here.
const PASSAGE_BYTES: usize = 600;
/// A sentence is cut here.
const SENTENCE_BYTES: usize = 1_200;
/// Passages of one document.
pub const PASSAGES_MAX: usize = 5_000;

const SHORTENED: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "etc", "e.g", "i.e", "approx", "fig", "inc",
    "ltd", "co", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov",
    "dec", "z.b", "bzw", "nr",
];

/// Whether a full stop at the end of `before` ends a sentence.
fn ends(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    let word = word.trim_end_matches('.').to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let ordinal = word.len() <= 2 && !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    !initial && !ordinal && !SHORTENED.contains(&word.as_str())
}

/// The sentences of a text as spans without the white space around them. A line
/// that is empty, or begins like an item or a heading, ends a sentence too.
pub fn sentences(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut push = |from: usize, to: usize| {
        let Some(raw) = text.get(from..to) else { return };
        let lead = raw.len() - raw.trim_start().len();
        let trimmed = raw.trim();
        let mut at = from + lead;
        let mut rest = trimmed;
        while !rest.is_empty() {
            let cut = match rest.len() > SENTENCE_BYTES {
                false => rest.len(),
                true => rest.floor_char_boundary(SENTENCE_BYTES).max(1),
            };
            spans.push(Span { start: at as u64, end: (at + cut) as u64 });
            rest = rest.get(cut..).unwrap_or("");
            at += cut;
        }
    };
    for (at, c) in text.char_indices() {
        let after = at + c.len_utf8();
        let next = text.get(after..).unwrap_or("");
        let cut = match c {
            // A heading is a sentence of its own.
            '\n' => {
                let line = text.get(..at).unwrap_or("").rsplit('\n').next().unwrap_or("");
                // A task goes on only in a line that is set in.
                let task = is_task(line) && !next.starts_with([' ', '\t']);
                line.trim_start().starts_with('#') || task || is_new_block(next)
            }
            '。' | '！' | '？' => true,
            '.' | '!' | '?' | '…' => {
                next.chars().next().is_none_or(char::is_whitespace)
                    && (c != '.' || ends(text.get(start..after).unwrap_or("")))
            }
            _ => false,
        };
        if cut {
            push(start, after);
            start = after;
        }
    }
    push(start, text.len());
    spans
}

fn is_new_block(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t']);
    line.is_empty()
        || ["\n", "\r", "#", "|", ">", "```", "TODO"].iter().any(|mark| line.starts_with(mark))
        || is_item(line)
}

/// Whether a line is something to do: `- [ ] call Ada`, `TODO call Ada`.
fn is_task(line: &str) -> bool {
    let rest = line.trim_start_matches([' ', '\t', '-', '*', '+']);
    rest.starts_with("TODO") || (rest.len() < line.len() && rest.starts_with('['))
}

/// Whether a line begins like an item of a list.
fn is_item(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t']);
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark))
        || (numbered.len() < line.len() && numbered.starts_with([')', '.']))
}

/// Passages: whole sentences that stand together, up to a bound, cut rather at a
/// heading or an empty line than within a block. The second value says whether
/// all of the text is covered.
pub fn passages(text: &str) -> (Vec<Span>, bool) {
    let mut passages: Vec<Span> = Vec::new();
    let mut open: Option<Span> = None;
    for sentence in sentences(text) {
        let between = open.and_then(|open| text.get(open.end as usize..sentence.start as usize));
        let apart = between.is_some_and(|gap| gap.matches('\n').count() > 1)
            || text.get(sentence.start as usize..).is_some_and(|rest| rest.starts_with('#'));
        open = Some(match open {
            None => sentence,
            Some(open) => {
                let size = (sentence.end - open.start) as usize;
                let grown = (open.end - open.start) as usize;
                if size > PASSAGE_BYTES || (apart && grown > PASSAGE_BYTES / 3) {
                    passages.push(open);
                    sentence
                } else {
                    Span { start: open.start, end: sentence.end }
                }
            }
        });
        if passages.len() >= PASSAGES_MAX {
            return (passages, false);
        }
    }
    passages.extend(open);
    (passages, true)
}

/// The part of a text that a span names; `None`: the text is another.
pub fn slice(text: &str, span: Span) -> Option<&str> {
    text.get(usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?)
}

/// The line, from 1, in which a byte stands.
pub fn line_of(text: &[u8], at: u64) -> u64 {
    let before = text.get(..usize::try_from(at).unwrap_or(usize::MAX)).unwrap_or(text);
    before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(text: &str, expected: Expect) {
        let parts: Vec<_> = sentences(text).iter().map(|s| slice(text, *s).unwrap()).collect();
        expected.assert_eq(&parts.join(" ¦ "));
    }

    #[test]
    fn sentences_end_where_they_end() {
        check("One. Two! Three? Four", expect!["One. ¦ Two! ¦ Three? ¦ Four"]);
        check("Dr. Ada paid 3.50 on May 8. Good.", expect!["Dr. Ada paid 3.50 on May 8. Good."]);
        check("We met J. Smith. He left.", expect!["We met J. Smith. ¦ He left."]);
        check("- one\n- two\nmore of two\n\nAfter", expect!["- one ¦ - two\nmore of two ¦ After"]);
        check("- [x] book\nWe decided.", expect!["- [x] book ¦ We decided."]);
        check("- [ ] book\n  the room\nTODO call", expect!["- [ ] book\n  the room ¦ TODO call"]);
        check("# Head\nText goes\non.", expect!["# Head ¦ Text goes\non."]);
        check("你好。再见。", expect!["你好。 ¦ 再见。"]);
        check("  \n ", expect![""]);
    }

    #[test]
    fn passages_keep_to_their_bound_and_cover_everything() {
        let text = "A sentence of ordinary length stands here. ".repeat(100);
        let (found, whole) = passages(&text);
        assert!(whole && found.len() > 5);
        assert!(found.iter().all(|p| (p.end - p.start) as usize <= PASSAGE_BYTES));
        assert_eq!(found.last().unwrap().end as usize, text.trim_end().len());
    }

    #[test]
    fn a_heading_begins_a_passage() {
        let block = "Some words that fill the first section well enough. ".repeat(6);
        let text = format!("# One\n{block}\n\n# Two\nShort.");
        let (found, _) = passages(&text);
        assert!(slice(&text, found[1]).unwrap().starts_with("# Two"));
    }

    #[test]
    fn a_line_is_counted_from_one() {
        assert_eq!([0, 2, 3, 99].map(|at| line_of(b"a\nb\nc", at)), [1, 2, 2, 3]);
    }

    proptest! {
        #[test]
        fn spans_are_within_the_text_in_order_and_lose_no_word(text in "\\PC{0,300}(\n|\\. |\\PC){0,200}") {
            let spans = sentences(&text);
            let joined: String = spans.iter().filter_map(|s| slice(&text, *s)).collect();
            let dense = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(dense(&joined), dense(&text));
            prop_assert!(spans.is_sorted_by(|a, b| a.end <= b.start));
            let (found, _) = passages(&text);
            let joined: String = found.iter().filter_map(|s| slice(&text, *s)).collect();
            prop_assert_eq!(dense(&joined), dense(&text));
        }
    }
}
