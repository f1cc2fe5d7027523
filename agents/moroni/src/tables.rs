//! The tables of a workspace, their words read once: names of columns and values,
//! by spelling, stem and concept.

use crate::reading::two;
use crate::words::Lexicon;
use crate::words::fold::{distance, fold};
use crate::words::sentence::Sentence;
use crate::words::token::tokens;
use charter::survey::{Column, Entry, Survey};
use std::collections::HashSet;

/// Most tables whose words are read.
const TABLES_MAX: usize = 200;
/// Concepts that name what stands in a column or table. A verb such as "total" is
/// none.
const NOUNS: [&str; 19] = [
    "amount",
    "category",
    "customer",
    "country",
    "city",
    "price",
    "quantity",
    "name",
    "status",
    "project",
    "product",
    "department",
    "month",
    "year",
    "vendor",
    "payment",
    "region",
    "expense",
    "order",
];

/// A word of a name, as it is compared with words of the wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Lower case without accents.
    pub folded: String,
    /// Its stem in the wish's language.
    pub stem: String,
    /// Its stem in English.
    pub english: String,
    letters: usize,
    /// Whether it is written like a name, which has no other forms.
    proper: bool,
}

/// How well a word of a wish spells a word of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spelled {
    /// With one typo.
    Typo,
    /// In another form.
    Stem,
    /// Exactly, case and accents aside.
    Exactly,
}

impl Form {
    fn new(sentence: &Sentence<'_>, word: &str) -> Self {
        let english = sentence.lexicon.languages.first().map(|english| english.stem(word));
        let folded = fold(word);
        Self {
            letters: folded.chars().count(),
            proper: word.starts_with(char::is_uppercase),
            stem: sentence.language.stem(word),
            english: english.unwrap_or_default(),
            folded,
        }
    }

    /// How piece `i` of the wish spells this word; words shorter than `least`
    /// letters have no typos.
    pub fn spelled(&self, sentence: &Sentence<'_>, i: usize, least: usize) -> Option<Spelled> {
        let folded = sentence.folded.get(i)?;
        if self.folded == *folded {
            return Some(Spelled::Exactly);
        }
        let stem = sentence.stems.get(i) == Some(&self.stem)
            || sentence.english.get(i) == Some(&self.english);
        let near = !self.proper || distance(&self.folded, folded, 1).is_some();
        if stem && near && self.letters >= 3 {
            return Some(Spelled::Stem);
        }
        let typo = self.letters >= least
            && folded.chars().count() >= least
            && distance(&self.folded, folded, 1).is_some();
        typo.then_some(Spelled::Typo)
    }
}

/// A column and its words.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnWords<'a> {
    /// The column.
    pub column: &'a Column,
    /// The words of its name.
    pub words: Vec<Form>,
    /// What its name means.
    pub concepts: Vec<&'static str>,
    /// Whether most of its values are days.
    pub dated: bool,
    /// Its values and their words; none for numbers and days.
    pub values: Vec<(&'a str, Vec<Form>)>,
}

/// A table and its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<'a> {
    /// Its path.
    pub path: &'a str,
    /// The stem of its name in the wish's language.
    pub stem: String,
    /// What its name means.
    pub concepts: Vec<&'static str>,
    /// Its columns.
    pub columns: Vec<ColumnWords<'a>>,
}

impl<'a> Table<'a> {
    /// The tables of a workspace, those whose name the wish spells first. Values are
    /// read only if a word of the wish has the same first two letters.
    pub fn all(
        sentence: &Sentence<'_>,
        survey: &'a Survey,
        beginnings: &HashSet<[char; 2]>,
    ) -> Vec<Self> {
        let mut tables: Vec<&Entry> =
            survey.entries.iter().filter(|entry| !entry.columns.is_empty()).collect();
        tables.sort_by_key(|entry| !sentence.text.contains(crate::reading::name(&entry.path)));
        let tables = tables.into_iter().take(TABLES_MAX);
        tables
            .map(|entry| {
                let name = crate::template::part(&entry.path, "stem");
                Self {
                    path: &entry.path,
                    stem: sentence.language.stem(name),
                    concepts: concepts(sentence.lexicon, name),
                    columns: entry
                        .columns
                        .iter()
                        .map(|c| ColumnWords::new(sentence, c, beginnings))
                        .collect(),
                }
            })
            .collect()
    }
}

impl<'a> ColumnWords<'a> {
    fn new(sentence: &Sentence<'_>, column: &'a Column, beginnings: &HashSet<[char; 2]>) -> Self {
        let forms = |text: &str| -> Vec<Form> {
            let words = tokens(text, &|_| false);
            let words = words.iter().filter(|t| t.is_word() || t.is_value());
            words.map(|t| Form::new(sentence, &t.text)).collect()
        };
        let dated = is_dated(column);
        let spoken = !column.numeric && !dated;
        let said = |value: &&String| {
            let folded = fold(value);
            let letters = folded.trim_start_matches(|c: char| !c.is_alphanumeric());
            two(letters).is_none_or(|beginning| beginnings.contains(&beginning))
        };
        let values = column.values.iter().filter(|_| spoken).filter(said);
        Self {
            column,
            words: forms(&column.name),
            concepts: concepts(sentence.lexicon, &column.name),
            dated,
            values: values.map(|value| (value.as_str(), forms(value))).collect(),
        }
    }

    /// Whether its name means an amount of money.
    pub fn is_amount(&self) -> bool {
        self.concepts.iter().any(|concept| matches!(*concept, "amount" | "price"))
    }
}

/// The nouns among the concepts of a name, in any language.
fn concepts(lexicon: &Lexicon, name: &str) -> Vec<&'static str> {
    let words: Vec<String> =
        tokens(name, &|_| false).iter().filter(|t| t.is_word()).map(|t| t.text.clone()).collect();
    let mut found = Vec::new();
    for language in &lexicon.languages {
        let stems: Vec<String> = words.iter().map(|word| language.stem(word)).collect();
        for i in 0..stems.len() {
            for (concept, _) in language.concepts.all(&stems, i) {
                found.extend(NOUNS.iter().find(|noun| **noun == concept));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn is_dated(column: &Column) -> bool {
    let days = column.values.iter().filter(|value| is_day(value)).count();
    !column.numeric && !column.values.is_empty() && days * 2 > column.values.len()
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> =
        text.get(..10).unwrap_or(text).split(['-', '.', '/']).map(str::trim).collect();
    let digits =
        |part: &&str| (1..=4).contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_in_any_language() {
        let lexicon = Lexicon::shipped().unwrap();
        assert_eq!(concepts(lexicon, "Betrag"), ["amount"]);
        assert_eq!(concepts(lexicon, "catégorie"), ["category"]);
        assert!(concepts(lexicon, "foo").is_empty());
    }

    #[test]
    fn days_are_told_from_words() {
        let column = |values: &[&str]| Column {
            name: "x".into(),
            numeric: false,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        assert!(is_dated(&column(&["2025-01-03", "3.1.2025", "1/2/25", "later"])));
        assert!(!is_dated(&column(&["a-b-c", "1.2"])));
        assert!(!is_dated(&column(&[])));
    }
}
