//! What is known of languages: function words, stems, general concepts, names of
//! file kinds. All of it is data in `*.yaml` beside this file; nothing here knows
//! what a mission is about.

pub mod dates;
pub mod fold;
pub mod numbers;
pub mod sentence;
pub mod token;

use crate::yaml::{self, YamlError};
use fold::fold;
use rust_stemmers::{Algorithm, Stemmer};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

/// Words of one language, as its file gives them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguageFile {
    stem: String,
    stop: Vec<String>,
    filler: Vec<String>,
    all: Vec<String>,
    join: Vec<String>,
    at: Vec<String>,
    into: Vec<String>,
    except: Vec<String>,
    deny: Vec<String>,
    none: Vec<String>,
    relative: Vec<String>,
    or: Vec<String>,
    yours: Vec<String>,
    per: Vec<String>,
    during: Vec<String>,
    between: Vec<String>,
    until: Vec<String>,
    #[serde(rename = "where")]
    where_: Vec<String>,
    numbers: BTreeMap<String, i64>,
    months: BTreeMap<String, i8>,
    dates: BTreeMap<String, Vec<String>>,
    compare: BTreeMap<String, Vec<String>>,
    concepts: BTreeMap<String, Vec<String>>,
    kinds: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KindsFile {
    families: BTreeMap<String, Vec<String>>,
    languages: BTreeMap<String, Vec<String>>,
}

/// Phrases of one or more words, each standing for something.
#[derive(Debug, Default)]
pub struct Phrases(HashMap<String, Vec<(Vec<String>, String)>>);

impl Phrases {
    fn add(&mut self, words: Vec<String>, means: &str) {
        let mut words = words.into_iter();
        if let Some(first) = words.next() {
            self.0.entry(first).or_default().push((words.collect(), means.to_owned()));
        }
    }

    /// The longest phrase that begins at word `i`: what it stands for and how
    /// many words it has.
    pub fn longest<'a>(&'a self, words: &'a [String], i: usize) -> Option<(&'a str, usize)> {
        self.all(words, i).max_by_key(|(_, length)| *length)
    }

    /// The phrases of one word.
    pub fn single_words(&self) -> impl Iterator<Item = &str> {
        let alone =
            |phrases: &[(Vec<String>, String)]| phrases.iter().any(|(rest, _)| rest.is_empty());
        self.0.iter().filter(move |(_, phrases)| alone(phrases)).map(|(word, _)| word.as_str())
    }

    /// All phrases that begin at word `i`.
    pub fn all<'a>(
        &'a self,
        words: &'a [String],
        i: usize,
    ) -> impl Iterator<Item = (&'a str, usize)> {
        let phrases = words.get(i).and_then(|first| self.0.get(first));
        phrases.into_iter().flatten().filter_map(move |(rest, means)| {
            let end = i + 1 + rest.len();
            (words.get(i + 1..end)? == rest.as_slice()).then_some((means.as_str(), end - i))
        })
    }
}

/// One language.
pub struct Language {
    /// Two letters.
    pub code: &'static str,
    stemmer: Stemmer,
    /// Function words, folded.
    pub stop: HashSet<String>,
    /// Function words that are written with accents, folded.
    pub accented: HashSet<String>,
    /// Words that say nothing about what is wished, folded.
    pub filler: HashSet<String>,
    /// Quantifiers, folded.
    pub all: HashSet<String>,
    /// Between two wishes.
    pub join: Phrases,
    /// Before a place where something is.
    pub at: Phrases,
    /// Before a place where something goes.
    pub into: Phrases,
    /// Before what is left out.
    pub except: Phrases,
    /// Before or behind what shall not be done.
    pub deny: Phrases,
    /// Before what nothing shall be done to.
    pub none: Phrases,
    /// Before what only tells which ones are meant.
    pub relative: Phrases,
    /// Between values of which either may hold, folded.
    pub or: HashSet<String>,
    /// What belongs to whom the wish is told, folded.
    pub yours: HashSet<String>,
    /// Before what a table is grouped by.
    pub per: Phrases,
    /// Before a span of time.
    pub during: Phrases,
    /// Before the first of two bounds.
    pub between: Phrases,
    /// Before the second of two bounds.
    pub until: Phrases,
    /// Before a condition.
    pub where_: Phrases,
    /// Number words, folded.
    pub numbers: HashMap<String, i64>,
    /// Names of months, folded.
    pub months: HashMap<String, i8>,
    /// Words for days and spans, folded.
    pub dates: Phrases,
    /// Comparisons, folded.
    pub compare: Phrases,
    /// General concepts, by stem.
    pub concepts: Phrases,
    /// Kinds of files, by stem.
    pub kinds: Phrases,
}

impl Language {
    fn new(code: &'static str, file: &LanguageFile) -> Result<Self, YamlError> {
        let algorithm = match file.stem.as_str() {
            "english" => Algorithm::English,
            "german" => Algorithm::German,
            "french" => Algorithm::French,
            "spanish" => Algorithm::Spanish,
            "italian" => Algorithm::Italian,
            "dutch" => Algorithm::Dutch,
            "portuguese" => Algorithm::Portuguese,
            other => return Err(YamlError::whole(format!("no stemmer is called {other:?}"))),
        };
        let stemmer = Stemmer::create(algorithm);
        let stem = |word: &str| fold(&stemmer.stem(&word.to_lowercase()));
        let list = |phrases: &[String], means: &str| {
            let mut table = Phrases::default();
            phrases.iter().for_each(|phrase| table.add(words_of(phrase, &fold), means));
            table
        };
        let map = |groups: &BTreeMap<String, Vec<String>>, write: &dyn Fn(&str) -> String| {
            let mut table = Phrases::default();
            for (means, phrases) in groups {
                phrases.iter().for_each(|phrase| table.add(words_of(phrase, write), means));
            }
            table
        };
        let set = |list: &[String]| list.iter().map(|word| fold(word)).collect();
        Ok(Self {
            code,
            stop: set(&file.stop),
            accented: file.stop.iter().filter(|w| !w.is_ascii()).map(|w| fold(w)).collect(),
            filler: set(&file.filler),
            all: set(&file.all),
            join: list(&file.join, "and"),
            at: list(&file.at, "at"),
            into: list(&file.into, "into"),
            except: list(&file.except, "except"),
            deny: list(&file.deny, "deny"),
            none: list(&file.none, "none"),
            relative: list(&file.relative, "relative"),
            or: set(&file.or),
            yours: set(&file.yours),
            per: list(&file.per, "per"),
            during: list(&file.during, "during"),
            between: list(&file.between, "between"),
            until: list(&file.until, "until"),
            where_: list(&file.where_, "where"),
            numbers: file.numbers.iter().map(|(word, n)| (fold(word), *n)).collect(),
            months: file.months.iter().map(|(word, n)| (fold(word), *n)).collect(),
            dates: map(&file.dates, &fold),
            compare: map(&file.compare, &fold),
            concepts: map(&file.concepts, &stem),
            kinds: map(&file.kinds, &stem),
            stemmer,
        })
    }

    /// The stem of a word, folded.
    pub fn stem(&self, word: &str) -> String {
        fold(&self.stemmer.stem(&word.to_lowercase()))
    }
}

/// The words of a phrase, each written by `write`.
pub fn words_of(phrase: &str, write: &dyn Fn(&str) -> String) -> Vec<String> {
    if phrase.chars().all(|c| c.is_alphabetic() || c == ' ') {
        return phrase.split(' ').filter(|word| !word.is_empty()).map(write).collect();
    }
    token::tokens(phrase, &|_| false)
        .iter()
        .filter(|token| token.kind != token::Kind::Mark)
        .map(|token| write(&token.text))
        .collect()
}

/// Everything that is known of languages.
pub struct Lexicon {
    /// English first.
    pub languages: Vec<Language>,
    families: BTreeMap<String, Vec<String>>,
    by_name: BTreeMap<String, Vec<String>>,
    extensions: HashSet<String>,
    concepts: BTreeMap<String, Vec<(&'static str, Vec<String>)>>,
}

const FILES: [(&str, &str); 7] = [
    ("en", include_str!("en.yaml")),
    ("de", include_str!("de.yaml")),
    ("fr", include_str!("fr.yaml")),
    ("es", include_str!("es.yaml")),
    ("it", include_str!("it.yaml")),
    ("nl", include_str!("nl.yaml")),
    ("pt", include_str!("pt.yaml")),
];

static SHIPPED: LazyLock<Result<Lexicon, YamlError>> = LazyLock::new(Lexicon::read);

impl Lexicon {
    /// The words that are shipped.
    pub fn shipped() -> Result<&'static Self, YamlError> {
        SHIPPED.as_ref().map_err(Clone::clone)
    }

    fn read() -> Result<Self, YamlError> {
        let kinds: KindsFile = yaml::parse(include_str!("kinds.yaml"))?;
        let mut languages = Vec::with_capacity(FILES.len());
        let mut concepts: BTreeMap<String, Vec<(&'static str, Vec<String>)>> = BTreeMap::new();
        for (code, text) in FILES {
            let file: LanguageFile = yaml::parse(text)?;
            languages.push(Language::new(code, &file)?);
            for (name, phrases) in file.concepts {
                concepts.entry(name).or_default().push((code, phrases));
            }
        }
        let extensions =
            kinds.families.values().chain(kinds.languages.values()).flatten().cloned().collect();
        Ok(Self {
            languages,
            families: kinds.families,
            by_name: kinds.languages,
            extensions,
            concepts,
        })
    }

    /// A language by its two letters.
    pub fn language(&self, code: &str) -> Option<&Language> {
        self.languages.iter().find(|language| language.code == code)
    }

    /// The phrases of a general concept with their languages.
    pub fn concept(&self, name: &str) -> Option<&[(&'static str, Vec<String>)]> {
        self.concepts.get(name).map(Vec::as_slice)
    }

    /// Extensions of a kind of files: a family, a language or an extension.
    pub fn extensions(&self, kind: &str) -> Option<Vec<String>> {
        let known = self.families.get(kind).or_else(|| self.by_name.get(kind)).cloned();
        known.or_else(|| self.extensions.contains(kind).then(|| vec![kind.to_owned()]))
    }

    /// Whether a word is the name of a programming language.
    pub fn is_programming(&self, word: &str) -> bool {
        self.by_name.contains_key(word)
    }

    /// Extensions that a word names when it stands next to a word for "file":
    /// a programming language, or an extension itself.
    pub fn named_extensions(&self, word: &str) -> Option<Vec<String>> {
        let singular = word.strip_suffix('s').unwrap_or(word);
        [word, singular].iter().find_map(|name| {
            let known = self.by_name.get(*name).cloned();
            known.or_else(|| self.extensions.contains(*name).then(|| vec![(*name).to_owned()]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_knows_the_same_things() {
        let lexicon = Lexicon::shipped().unwrap();
        for (name, phrases) in &lexicon.concepts {
            assert_eq!(phrases.len(), FILES.len(), "concept {name} is missing in a language");
        }
        for (code, text) in FILES {
            let file: LanguageFile = yaml::parse(text).unwrap();
            for kind in file.kinds.keys() {
                assert!(lexicon.families.contains_key(kind), "{code}: kind {kind}");
            }
            assert_eq!(file.dates.keys().len(), 18, "{code}");
            assert_eq!(file.compare.keys().len(), 10, "{code}");
            assert!((1..=12).all(|m| file.months.values().any(|n| *n == m)), "{code}");
        }
    }

    #[test]
    fn stems_join_forms_of_a_word() {
        let lexicon = Lexicon::shipped().unwrap();
        let same = |code: &str, a: &str, b: &str| {
            let language = lexicon.language(code).unwrap();
            assert_eq!(language.stem(a), language.stem(b), "{code} {a} {b}");
        };
        same("en", "converting", "converted");
        same("de", "Aufgaben", "Aufgabe");
        same("fr", "tâches", "tâche");
        same("es", "archivos", "archivo");
    }

    #[test]
    fn kinds_name_extensions() {
        let lexicon = Lexicon::shipped().unwrap();
        assert_eq!(lexicon.extensions("table").unwrap(), ["csv", "tsv"]);
        assert_eq!(lexicon.named_extensions("python").unwrap(), ["py"]);
        assert_eq!(lexicon.named_extensions("pdfs").unwrap(), ["pdf"]);
        assert_eq!(lexicon.named_extensions("cat"), None);
    }
}
