//! Words for rhythms, per language: tables that stand in `words/*.yaml`, compiled
//! once.

use moroni::words::token::tokens;
use moroni::yaml::{self, YamlError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A phrase, as folded words. An empty one stands everywhere.
type Phrase = Vec<String>;

/// Words of one language, as its file gives them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    every: Vec<String>,
    other: Vec<String>,
    minute: Vec<String>,
    hour: Vec<String>,
    day: Vec<String>,
    week: Vec<String>,
    month: Vec<String>,
    hourly: Vec<String>,
    daily: Vec<String>,
    weekly: Vec<String>,
    monthly: Vec<String>,
    nightly: Vec<String>,
    days: BTreeMap<String, Vec<String>>,
    recurring: BTreeMap<String, Vec<String>>,
    on: Vec<String>,
    and: Vec<String>,
    to: Vec<String>,
    parts: BTreeMap<u8, Vec<String>>,
    at: Vec<String>,
    clock: BTreeMap<u8, Vec<String>>,
    oclock: Vec<String>,
    am: Vec<String>,
    pm: Vec<String>,
    shifts: BTreeMap<i16, Vec<String>>,
    ordinals: BTreeMap<u8, Vec<String>>,
    nth: Vec<String>,
    last: Vec<String>,
    monthday: Vec<String>,
    of_month: Vec<String>,
    between: Vec<String>,
    until: Vec<String>,
    per: Vec<String>,
    edge: Vec<String>,
    tail: Vec<String>,
    schedule: Vec<String>,
    list: Vec<String>,
    pause: Vec<String>,
    resume: Vec<String>,
    delete: Vec<String>,
    it: Vec<String>,
}

/// Phrases that all mean one thing, longest first.
#[derive(Debug, Default)]
pub(super) struct Phrases<T>(Vec<(Phrase, T)>);

impl<T: Copy> Phrases<T> {
    /// The longest phrase at word `i`: its meaning, and the word behind it.
    pub(super) fn at(&self, words: &[String], i: usize) -> Option<(T, usize)> {
        self.0.iter().find_map(|(phrase, means)| {
            let end = i + phrase.len();
            (words.get(i..end)? == phrase.as_slice()).then_some((*means, end))
        })
    }

    /// The longest phrase that ends before word `i`: where it begins.
    pub(super) fn before(&self, words: &[String], i: usize) -> Option<usize> {
        self.0.iter().find_map(|(phrase, _)| {
            let start = i.checked_sub(phrase.len())?;
            (words.get(start..i)? == phrase.as_slice()).then_some(start)
        })
    }

    /// Whether one of them stands anywhere.
    pub(super) fn anywhere(&self, words: &[String]) -> bool {
        (0..words.len()).any(|i| self.at(words, i).is_some())
    }
}

/// What is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// Words of one language.
pub(super) struct Words {
    /// Two letters.
    pub(super) code: &'static str,
    pub(super) every: Phrases<()>,
    pub(super) other: Phrases<()>,
    pub(super) units: Phrases<Unit>,
    /// Whole rhythms in one phrase.
    pub(super) adverbs: Phrases<(Unit, Option<u8>)>,
    /// Days of the week behind "every", as bits from Sunday.
    pub(super) days: Phrases<u8>,
    /// Days of the week that recur by their form alone.
    pub(super) recurring: Phrases<u8>,
    pub(super) on: Phrases<()>,
    pub(super) and: Phrases<()>,
    pub(super) to: Phrases<()>,
    /// Parts of the day, by the hour that is meant where none is named.
    pub(super) parts: Phrases<u8>,
    pub(super) at: Phrases<()>,
    pub(super) clock: Phrases<u8>,
    pub(super) oclock: Phrases<()>,
    pub(super) am: Phrases<()>,
    pub(super) pm: Phrases<()>,
    /// Minutes that are added to the hour that follows.
    pub(super) shifts: Phrases<i16>,
    pub(super) ordinals: Phrases<u8>,
    /// Endings that make a number an ordinal.
    pub(super) nth: Vec<String>,
    pub(super) last: Phrases<()>,
    pub(super) monthday: Phrases<()>,
    pub(super) of_month: Phrases<()>,
    pub(super) between: Phrases<()>,
    pub(super) until: Phrases<()>,
    /// Before "each month", where it says how something is grouped.
    pub(super) per: Phrases<()>,
    /// What stands around a wish and says nothing.
    pub(super) edge: Phrases<()>,
    pub(super) tail: Phrases<()>,
    pub(super) schedule: Phrases<()>,
    pub(super) list: Phrases<()>,
    pub(super) pause: Phrases<()>,
    pub(super) resume: Phrases<()>,
    pub(super) delete: Phrases<()>,
    pub(super) it: Phrases<()>,
}

const FILES: [(&str, &str); 5] = [
    ("en", include_str!("words/en.yaml")),
    ("de", include_str!("words/de.yaml")),
    ("fr", include_str!("words/fr.yaml")),
    ("es", include_str!("words/es.yaml")),
    ("it", include_str!("words/it.yaml")),
];

static SHIPPED: LazyLock<Result<Vec<Words>, YamlError>> =
    LazyLock::new(|| FILES.iter().map(|(code, text)| Words::read(code, text)).collect());

/// Days of the week as bits, from `1-5` or `6,0`.
fn days(text: &str) -> u8 {
    let one = |day: &str| day.parse::<u8>().map_or(0, |day| 1 << (day % 7));
    match text.split_once('-') {
        Some((from, to)) => {
            let (from, to) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0));
            (from..=to).fold(0, |all: u8, day: u8| all | 1 << (day % 7))
        }
        None => text.split(',').map(one).fold(0, |all, day| all | day),
    }
}

impl Words {
    /// The shipped languages.
    pub(super) fn shipped() -> Result<&'static [Self], crate::Error> {
        match &*SHIPPED {
            Ok(all) => Ok(all),
            Err(error) => Err(crate::Error::Machine {
                operation: "read the words for rhythms".to_owned(),
                cause: error.to_string(),
            }),
        }
    }

    fn read(code: &'static str, text: &str) -> Result<Self, YamlError> {
        let file: File = yaml::parse(text)?;
        Ok(Self {
            code,
            every: plain(&file.every),
            other: plain(&file.other),
            units: phrases([
                (Unit::Minute, &file.minute),
                (Unit::Hour, &file.hour),
                (Unit::Day, &file.day),
                (Unit::Week, &file.week),
                (Unit::Month, &file.month),
            ]),
            adverbs: phrases([
                ((Unit::Hour, None), &file.hourly),
                ((Unit::Day, None), &file.daily),
                ((Unit::Week, None), &file.weekly),
                ((Unit::Month, None), &file.monthly),
                ((Unit::Day, Some(2)), &file.nightly),
            ]),
            days: phrases(file.days.iter().map(|(set, names)| (days(set), names))),
            recurring: phrases(file.recurring.iter().map(|(set, names)| (days(set), names))),
            on: plain(&file.on),
            and: plain(&file.and),
            to: plain(&file.to),
            parts: phrases(file.parts.iter().map(|(hour, names)| (*hour, names))),
            at: plain(&file.at),
            clock: phrases(file.clock.iter().map(|(hour, names)| (*hour, names))),
            oclock: plain(&file.oclock),
            am: plain(&file.am),
            pm: plain(&file.pm),
            shifts: phrases(file.shifts.iter().map(|(shift, names)| (*shift, names))),
            ordinals: phrases(file.ordinals.iter().map(|(day, names)| (*day, names))),
            nth: file.nth,
            last: plain(&file.last),
            monthday: plain(&file.monthday),
            of_month: plain(&file.of_month),
            between: plain(&file.between),
            until: plain(&file.until),
            per: plain(&file.per),
            edge: plain(&file.edge),
            tail: plain(&file.tail),
            schedule: plain(&file.schedule),
            list: plain(&file.list),
            pause: plain(&file.pause),
            resume: plain(&file.resume),
            delete: plain(&file.delete),
            it: plain(&file.it),
        })
    }
}

fn plain(names: &[String]) -> Phrases<()> {
    phrases([((), names)])
}

fn phrases<'n, T: Copy, N: AsRef<[String]> + 'n + ?Sized>(
    all: impl IntoIterator<Item = (T, &'n N)>,
) -> Phrases<T> {
    let mut found: Vec<(Phrase, T)> = Vec::new();
    for (means, names) in all {
        for name in names.as_ref() {
            let words = if name == "~" { Vec::new() } else { folded(name) };
            found.push((words, means));
        }
    }
    found.sort_by_key(|(phrase, _)| std::cmp::Reverse(phrase.len()));
    Phrases(found)
}

/// Words of a phrase as they come out of a sentence.
fn folded(text: &str) -> Vec<String> {
    tokens(text, &|_| false).into_iter().map(|token| token.folded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_is_read() {
        let all = Words::shipped().unwrap();
        assert_eq!(all.len(), FILES.len());
        for words in all {
            let known = moroni::words::Lexicon::shipped().unwrap().language(words.code);
            assert!(known.is_some(), "{}", words.code);
        }
    }

    #[test]
    fn days_are_bits() {
        assert_eq!(days("1-5"), 0b011_1110);
        assert_eq!(days("6,0"), 0b100_0001);
        assert_eq!(days("0"), 1);
    }
}
