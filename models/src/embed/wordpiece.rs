//! BERT's uncased tokeniser: clean, fold and split the text, then cut each
//! word into the longest pieces that the vocabulary knows.
//!
//! Written out rather than taken from `tokenizers`: this one starts in a few
//! milliseconds, borrows the vocabulary it is shipped with, and allocates
//! nothing per piece. The golden file holds it to the reference.

use std::collections::HashMap;
use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

/// A word longer than this is unknown as a whole, as in the reference.
const WORD_CHARS: usize = 100;

/// What stands for a word that cannot be cut into known pieces.
const UNKNOWN: &str = "[UNK]";

/// What precedes a piece that continues a word.
const CONTINUES: &str = "##";

/// A vocabulary and the rule to cut words with it.
#[derive(Debug)]
pub(super) struct WordPiece {
    starts: HashMap<&'static str, u32>,
    continuations: HashMap<&'static str, u32>,
    longest: usize,
    unknown: u32,
    len: usize,
}

impl WordPiece {
    /// From a vocabulary with one piece per line; the line number is the id.
    /// `None` if it has no `[UNK]`.
    pub(super) fn new(vocabulary: &'static str) -> Option<Self> {
        let mut starts = HashMap::with_capacity(vocabulary.len() / 8);
        let mut continuations = HashMap::with_capacity(vocabulary.len() / 32);
        let mut longest = 0;
        let mut len = 0;
        for (line, id) in vocabulary.lines().zip(0u32..) {
            let (map, piece) = match line.strip_prefix(CONTINUES) {
                Some(rest) if !rest.is_empty() => (&mut continuations, rest),
                _ => (&mut starts, line),
            };
            longest = longest.max(piece.len());
            map.insert(piece, id);
            len += 1;
        }
        let unknown = *starts.get(UNKNOWN)?;
        Some(Self { starts, continuations, longest, unknown, len })
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Calls `each` with the ids of the text in order.
    ///
    /// The text is data: the names of special tokens in it are words like any
    /// other.
    pub(super) fn encode(&self, text: &str, mut each: impl FnMut(u32)) {
        let text = normalise(text);
        let mut pieces = Vec::new();
        for word in words(&text) {
            if self.cut(word, &mut pieces) {
                pieces.iter().copied().for_each(&mut each);
            } else {
                each(self.unknown);
            }
        }
    }

    /// Cuts a word into its longest pieces, from the left. `false` if a rest
    /// remains that starts with no known piece.
    fn cut(&self, word: &str, pieces: &mut Vec<u32>) -> bool {
        pieces.clear();
        if word.len() > WORD_CHARS && word.chars().count() > WORD_CHARS {
            return false;
        }
        let mut rest = word;
        while !rest.is_empty() {
            let map = if pieces.is_empty() { &self.starts } else { &self.continuations };
            let mut end = rest.floor_char_boundary(self.longest);
            let id = loop {
                if end == 0 {
                    return false;
                }
                if let Some(id) = map.get(&rest[..end]) {
                    break *id;
                }
                end = rest.floor_char_boundary(end - 1);
            };
            pieces.push(id);
            rest = &rest[end..];
        }
        true
    }
}

/// Clean text in lower case without accents, with blanks around ideographs.
fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    if text.is_ascii() {
        out.extend(text.chars().filter_map(clean).map(|c| c.to_ascii_lowercase()));
        return out;
    }
    let spaced = text.chars().filter_map(clean).flat_map(|c| {
        let blank = is_ideograph(c).then_some(' ');
        blank.into_iter().chain([c]).chain(blank)
    });
    let folded = spaced
        .nfd()
        .filter(|c| c.is_ascii() || get_general_category(*c) != GeneralCategory::NonspacingMark);
    out.extend(folded.flat_map(char::to_lowercase));
    out
}

/// A blank for any white space, nothing for what cannot be seen.
fn clean(c: char) -> Option<char> {
    use GeneralCategory::{Control, Format, PrivateUse};
    match c {
        '\t' | '\n' | '\r' => Some(' '),
        '\0' | '\u{fffd}' => None,
        ' '..='~' => Some(c),
        _ if matches!(get_general_category(c), Control | Format | PrivateUse) => None,
        _ if c.is_whitespace() => Some(' '),
        _ => Some(c),
    }
}

/// The blocks that BERT takes for ideographs.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF
        | 0x3400..=0x4DBF
        | 0x20000..=0x2A6DF
        | 0x2A700..=0x2B73F
        | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF
        | 0xF900..=0xFAFF
        | 0x2F800..=0x2FA1F)
}

fn is_punctuation(c: char) -> bool {
    use GeneralCategory::{
        ClosePunctuation, ConnectorPunctuation, DashPunctuation, FinalPunctuation,
        InitialPunctuation, OpenPunctuation, OtherPunctuation,
    };
    if c.is_ascii() {
        return c.is_ascii_punctuation();
    }
    matches!(
        get_general_category(c),
        ClosePunctuation
            | ConnectorPunctuation
            | DashPunctuation
            | FinalPunctuation
            | InitialPunctuation
            | OpenPunctuation
            | OtherPunctuation
    )
}

/// Runs between white space; each punctuation mark is a word of its own.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|run| {
        let mut rest = run;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let end = if is_punctuation(first) {
                first.len_utf8()
            } else {
                rest.find(is_punctuation).unwrap_or(rest.len())
            };
            let (word, after) = rest.split_at(end);
            rest = after;
            Some(word)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VOCABULARY: &str = "[UNK]\nun\n##aff\n##able\nable\n!\n#\n##\nstrasse\na\n##b";

    fn check(text: &str, expect: &[u32]) {
        let mut ids = Vec::new();
        WordPiece::new(VOCABULARY).unwrap().encode(text, |id| ids.push(id));
        assert_eq!(ids, expect, "{text:?}");
    }

    fn check_normal(text: &str, expect: &str) {
        assert_eq!(normalise(text), expect, "{text:?}");
    }

    #[test]
    fn the_longest_piece_wins() {
        check("unaffable", &[1, 2, 3]);
        check("able", &[4]);
    }

    #[test]
    fn a_word_with_an_unknown_rest_is_unknown_as_a_whole() {
        check("unaffablex able", &[0, 4]);
        check("x", &[0]);
    }

    #[test]
    fn punctuation_stands_alone() {
        check("able!able", &[4, 5, 4]);
        check("##", &[6, 6]);
    }

    #[test]
    fn nothing_comes_from_nothing() {
        check("", &[]);
        check(" \t\n\u{0}\u{200b}\u{feff}", &[]);
    }

    #[test]
    fn a_word_beyond_the_bound_is_unknown() {
        check(&format!("a{}", "b".repeat(99)), &[[9].as_slice(), &[10; 99]].concat());
        check(&format!("a{}", "b".repeat(100)), &[0]);
    }

    #[test]
    fn special_tokens_are_no_commands() {
        check("[UNK]", &[0, 0, 0]);
    }

    #[test]
    fn case_and_accents_are_folded() {
        check_normal("Ünï CÔDE", "uni code");
        check_normal("İ", "i");
        check_normal("e\u{301}", "e");
    }

    #[test]
    fn ideographs_are_set_apart() {
        check_normal("ab漢字", "ab 漢  字 ");
    }

    #[test]
    fn a_vocabulary_without_the_unknown_is_refused() {
        assert!(WordPiece::new("a\nb").is_none());
    }

    proptest! {
        #[test]
        fn any_text_gives_known_ids(text in "\\PC{0,80}") {
            let wordpiece = WordPiece::new(VOCABULARY).unwrap();
            wordpiece.encode(&text, |id| assert!((id as usize) < wordpiece.len()));
        }
    }
}
