//! What of a text can be looked up word by word: figures, names, dates and what
//! stands between quotation marks.
//!
//! A word is *firm* if it has a digit or a sign, a capital letter that no sentence
//! asks for, or is a number, a month or a day in words. Firm words that follow
//! each other are one fact, "Ada Lovelace" or "3 March 2024", and stand in a source
//! in this order or not at all. Where a sentence begins, a word counts as a name
//! unless it is a common opener or the sources write it small.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Numbers, months and days in words, small or capital.
static LISTED: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("listed.txt").split_whitespace().collect());
/// Words that often begin a sentence and name nobody.
static OPENERS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("openers.txt").split_whitespace().collect());

/// Marks that open a quotation, and those that close it.
const QUOTATION: &[(char, &[char])] =
    &[('"', &['"']), ('“', &['”', '"']), ('„', &['“', '”', '"']), ('«', &['»']), ('»', &['«'])];
/// Signs that belong to a figure.
const SIGNS: &[char] = &['%', '€', '$', '£', '¥', '°', '#', '@'];
/// What may be added to a name that stays the same name.
const ENDINGS: &[&str] = &["'s", "’s", "'", "’"];
/// Letters that make a word tell something.
const TELLING: usize = 4;

/// A word of a text.
#[derive(Debug)]
struct Word {
    text: String,
    lower: String,
    /// Whether a sentence begins with it.
    first: bool,
    /// Whether a mark stands before it.
    apart: bool,
}

/// The first fact of a text that stands in none of its sources.
pub(super) fn missing(text: &str, sources: &[&str]) -> Option<String> {
    let read: Vec<Vec<Word>> = sources.iter().map(|source| words(source)).collect();
    missing_quotation(text, sources).or_else(|| {
        let told = words(text);
        let mut rest = told.as_slice();
        while let Some(at) = rest.iter().position(|word| is_firm(word, &read)) {
            let from = rest.get(at..).unwrap_or_default();
            let more = from.iter().skip(1);
            let length = 1 + more.take_while(|word| !word.apart && is_firm(word, &read)).count();
            let (fact, after) = from.split_at_checked(length)?;
            if !read.iter().any(|source| holds(source, fact)) {
                return Some(fact.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" "));
            }
            rest = after;
        }
        None
    })
}

/// Whether at least half of the telling words of a text stand in its sources in
/// some form.
pub(super) fn is_about(text: &str, sources: &[&str]) -> bool {
    /// Telling words without which nothing is told.
    const LEAST: usize = 3;
    let known: Vec<Word> = sources.iter().flat_map(|source| words(source)).collect();
    let told = words(text);
    let telling: Vec<&Word> = told.iter().filter(|w| w.text.chars().count() >= TELLING).collect();
    let met = telling.iter().filter(|word| known.iter().any(|other| are_akin(word, other)));
    telling.len() >= LEAST && 2 * met.count() >= telling.len()
}

/// Blanks folded.
pub(super) fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> Vec<Word> {
    let spaced = text.replace(['—', '–', '…'], " ; ");
    let (mut all, mut first, mut apart) = (Vec::new(), true, true);
    let inside = |c: char| c.is_alphanumeric() || SIGNS.contains(&c);
    for piece in spaced.split_whitespace() {
        let open = piece.trim_start_matches(|c| !inside(c));
        let word = open.trim_end_matches(|c: char| !inside(c) && c != '+');
        let lead = piece.len() - open.len();
        let before = piece.get(..lead).unwrap_or_default();
        let behind = open.get(word.len()..).unwrap_or_default();
        if !word.is_empty() {
            // A sign belongs to its figure; the mark of a list does not.
            let sign = before.chars().last().filter(|c| matches!(c, '-' | '−' | '+'));
            let sign = sign.filter(|_| word.starts_with(|c: char| c.is_numeric()));
            let text = sign.into_iter().chain(word.chars()).collect::<String>();
            let lower = text.to_lowercase();
            all.push(Word { text, lower, first, apart: apart || !before.is_empty() });
            (first, apart) = (false, false);
        } else {
            apart = true;
        }
        apart |= !behind.is_empty();
        first |= behind.contains(['.', '!', '?', ':']) || word.is_empty() && piece.contains(':');
    }
    all
}

fn is_firm(word: &Word, sources: &[Vec<Word>]) -> bool {
    let plain = |c: char| c.is_alphabetic() || matches!(c, '\'' | '’' | '-');
    let is_capital = word.text.starts_with(char::is_uppercase);
    let is_strange = word.text.chars().any(|c| !plain(c))
        || word.text.chars().skip(1).any(char::is_uppercase)
        || LISTED.contains(word.lower.as_str());
    let is_opener = || {
        let small = |other: &Word| other.text == word.lower;
        OPENERS.contains(word.lower.as_str()) || sources.iter().flatten().any(small)
    };
    is_strange || is_capital && !(word.first && is_opener())
}

/// Whether these words follow each other somewhere, with no mark between them.
fn holds(source: &[Word], fact: &[Word]) -> bool {
    source.windows(fact.len()).any(|window| {
        let joined = window.iter().skip(1).all(|word| !word.apart);
        joined && window.iter().zip(fact).all(|(a, b)| is_same(&a.lower, &b.lower))
    })
}

fn is_same(a: &str, b: &str) -> bool {
    let bare = |text: &str| {
        let cut = ENDINGS.iter().find_map(|ending| text.strip_suffix(ending));
        cut.unwrap_or(text).to_owned()
    };
    a == b || bare(a) == bare(b)
}

/// Whether two words are forms of one.
fn are_akin(a: &Word, b: &Word) -> bool {
    let shared = a.lower.chars().zip(b.lower.chars()).take_while(|(a, b)| a == b).count();
    let longer = a.lower.chars().count().max(b.lower.chars().count());
    shared >= TELLING && shared + 3 >= longer
}

/// The first quotation that no source holds word for word; the rest of the text,
/// if one is not closed.
fn missing_quotation(text: &str, sources: &[&str]) -> Option<String> {
    let known: Vec<String> = sources.iter().map(|source| folded(source)).collect();
    let mut rest = text;
    loop {
        let (at, mark) = rest.char_indices().find(|(_, c)| QUOTATION.iter().any(|q| q.0 == *c))?;
        let closers = QUOTATION.iter().find(|(open, _)| *open == mark).map(|(_, close)| *close)?;
        let inner = rest.get(at + mark.len_utf8()..)?;
        let Some(end) = inner.find(closers) else { return Some(inner.to_owned()) };
        let (said, after) = inner.split_at_checked(end)?;
        let said = folded(said.trim_end_matches(['.', ',', ';', ':', '!', '?']));
        if !known.iter().any(|source| source.contains(&said)) {
            return Some(said);
        }
        rest = after.get(after.chars().next()?.len_utf8()..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &[&str] = &[
        "The oak floor costs 2,300 euros, says Ada Lovelace.",
        "On 3 March 2024 the fitter wrote: \"we begin at eight\".",
        "Deliveries (12 % off) go to IBM; mail bob@example.com.",
    ];

    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(missing(text, SOURCES).as_deref(), expect, "{text}");
    }

    #[test]
    fn what_stands_in_the_sources_may_be_said_in_other_words() {
        check("Ada Lovelace puts the floor at 2,300 euros.", None);
        check("The fitter wrote on 3 March 2024.", None);
        check("Floor and fitter are settled; IBM gets 12 % off.", None);
        check("He says “we begin at eight.” and Ada’s floor is oak.", None);
        check("Deliveries go out at eight.", None);
    }

    #[test]
    fn figures_stand_as_they_are_written() {
        check("It costs 300 euros.", Some("300"));
        check("It costs 2300 euros.", Some("2300"));
        check("It is -12 % off.", Some("-12 %"));
        check("It is 12 € off.", Some("12 €"));
        check("It costs two thousand euros.", Some("two thousand"));
    }

    #[test]
    fn names_are_whole_and_so_are_dates() {
        check("Bob pays.", Some("Bob"));
        check("Then Charles pays.", Some("Charles"));
        check("The floor is for Ada Miller.", Some("Ada Miller"));
        check("On 12 March the fitter wrote.", Some("12 March"));
        check("On 3 March 2025 he wrote.", Some("3 March 2025"));
        check("It is due on friday.", Some("friday"));
        check("The address is eve@example.com.", Some("eve@example.com"));
        check("The floor is by McOak.", Some("McOak"));
    }

    #[test]
    fn quotations_are_word_for_word_and_closed() {
        check("He wrote \"we begin at nine\".", Some("we begin at nine"));
        check("He wrote „we begin at eight“.", None);
        check("He wrote \"we begin", Some("we begin"));
    }

    #[test]
    fn a_text_is_about_its_sources() {
        let check = |text: &str, expect| assert_eq!(is_about(text, SOURCES), expect, "{text}");
        check("The costs of the floor and the delivery.", true);
        check("Penguins swim under the winter moon, costs aside.", false);
        check("zzq vvyk", false);
        check("", false);
    }
}
