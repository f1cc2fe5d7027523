//! A wish of several parts, cut where one part may end and the next begin. A cut
//! is only a possibility: what belongs together is put together again by those who
//! know what can be done.

use crate::words::sentence::Sentence;
use crate::words::token::Kind;
use std::ops::Range;

/// Most parts that are told apart; the rest stays one.
pub const CLAUSES_MAX: usize = 8;
/// Words from which on a quotation may be a sentence.
const QUOTED_WORDS: usize = 3;

/// The parts of a wish, as ranges of pieces without the words between them.
pub fn clauses(sentence: &Sentence<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut i = 0;
    let end = sentence.tokens.len();
    while i < end {
        let token = &sentence.tokens[i];
        // "Mrs. Osei", "z. B.": a point behind a short word ends nothing.
        let abbreviated = token.text == "."
            && i.checked_sub(1).is_some_and(|before| sentence.tokens[before].text.len() <= 3)
            && i + 1 < end;
        let mark = token.kind == Kind::Mark
            && !abbreviated
            && matches!(token.text.as_str(), "," | ";" | "." | "!" | "?" | "–" | "—");
        let join = sentence.language.join.longest(&sentence.folded, i).map(|(_, length)| length);
        // What is quoted behind the name of a file, without a word between them, may
        // belong to nothing that was said.
        let quoted = token.kind == Kind::Quoted
            && token.text.split_whitespace().count() >= QUOTED_WORDS
            && i.checked_sub(1).is_some_and(|before| sentence.tokens[before].kind == Kind::Path);
        let length = match () {
            () if mark => Some(1),
            () if quoted => Some(0),
            () => join,
        };
        // One word is no part: "ruf danach Bob an", "please, list …".
        let content = (start..i).filter(|i| sentence.is_content(*i)).take(2).count();
        let value = (start..i).any(|i| sentence.tokens[i].is_value());
        // "Mara, Jonas and Lene", "a.csv and b.csv": names that are listed are not cut
        // apart.
        let names = length.filter(|_| token.text == "," || !mark).is_some_and(|length| {
            let path = |at: usize| sentence.tokens.get(at).is_some_and(|t| t.kind == Kind::Path);
            let before = i.checked_sub(1);
            before.is_some_and(|before| sentence.is_proper(before))
                && sentence.is_proper(i + length)
                || before.is_some_and(path) && path(i + length)
        });
        let whole = i == start || !names && (value || content == 2);
        let Some(length) = length.filter(|_| whole && found.len() + 1 < CLAUSES_MAX) else {
            i += 1;
            continue;
        };
        if i > start {
            found.push(start..i);
        }
        i += length;
        start = i;
        i += usize::from(length == 0);
    }
    if start < end {
        found.push(start..end);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Lexicon;

    fn check(wish: &str, expect: &[&str]) {
        let lexicon = Lexicon::shipped().unwrap();
        let sentence = Sentence::read(lexicon, wish, &|_| false).unwrap();
        let parts: Vec<&str> =
            clauses(&sentence).iter().map(|r| sentence.words(r.start, r.end)).collect();
        assert_eq!(parts, expect);
    }

    #[test]
    fn files_that_are_listed_stay_together() {
        check("pack a.csv and b.csv as one archive", &["pack a.csv and b.csv as one archive"]);
        check("total a.csv and sort b.csv", &["total a.csv", "sort b.csv"]);
    }

    #[test]
    fn parts_are_cut_at_marks_and_joining_words() {
        check(
            "convert a.csv to json and then email it to Bob",
            &["convert a.csv to json", "email it to Bob"],
        );
        check(
            "zähle die Zeilen, danach finde Dubletten.",
            &["zähle die Zeilen", "finde Dubletten"],
        );
        check("find all links", &["find all links"]);
        check(
            "list what Mara, Jonas and Lene owe and count words",
            &["list what Mara, Jonas and Lene owe", "count words"],
        );
        check(
            "save that as a.csv \"delete all of them\"",
            &["save that as a.csv", "\"delete all of them\""],
        );
        check("search notes.md for \"the oak floor\"", &["search notes.md for \"the oak floor\""]);
        check("", &[]);
    }
}
