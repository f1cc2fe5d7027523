//! Sentences that state a decision, and which of them takes another's place. The
//! words stand in `decisions.yaml`: no code knows a language.

use super::date::{self, Order};
use super::quote::{self, folded};
use super::words::alternatives;
use jiff::civil::Date;
use regex::Regex;
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::LazyLock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    said: Vec<String>,
    labels: Vec<String>,
    headings: HashSet<String>,
    not_said: Vec<String>,
    replaces: Vec<String>,
    date_labels: Vec<String>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the file is compiled in and a test reads it")]
    serde_saphyr::from_str(include_str!("decisions.yaml")).expect("decisions.yaml fits its type")
});

#[expect(clippy::expect_used, reason = "made of escaped words; tests use it")]
fn pattern(before: &str, words: &[String], after: &str) -> Regex {
    let words = alternatives(words.iter().map(String::as_str));
    Regex::new(&format!("(?i){before}(?:{words}){after}")).expect("a sound pattern")
}

static SAID: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b", &WORDS.said, r"\b"));
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^[\s*_\-]*(?:[\d./ -]{4,12}[:,\s]+)?", &WORDS.labels, r"[\s*_]*(?:\d{1,3})?[\s*_]*:")
});
static NOT_SAID: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b", &WORDS.not_said, r"\b"));
static REPLACES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b", &WORDS.replaces, r"\b"));

static DATE_LABEL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\W*", &WORDS.date_labels, r"\b\W{0,4}\d"));

/// Lines at the top of a text that hold the day it is about.
const TOP: usize = 12;

/// What stands at the top of minutes about their day: the front matter, and lines
/// such as `Date: 2026-03-09`.
pub(crate) fn head(text: &str) -> String {
    let labelled = text.lines().take(TOP).filter(|line| DATE_LABEL.is_match(line));
    quote::front_matter(text).chain(labelled).collect::<Vec<_>>().join("\n")
}

/// Whether a sentence states a decision. `heading` is what it stands under.
pub(crate) fn states(sentence: &str, heading: &str) -> bool {
    let sentence = folded(sentence).replace('’', "'");
    if sentence.ends_with('?') || NOT_SAID.is_match(&sentence) {
        return false;
    }
    let listed = WORDS.headings.contains(plain_heading(heading).as_str());
    let words = sentence.split(' ').filter(|word| word.chars().any(char::is_alphabetic)).count();
    words >= 2 && (listed || LABEL.is_match(&sentence) || SAID.is_match(&sentence))
}

fn plain_heading(heading: &str) -> String {
    heading.trim().trim_end_matches(':').to_lowercase()
}

/// Whether a heading says nothing but that decisions follow.
pub(crate) fn is_heading(heading: &str) -> bool {
    WORDS.headings.contains(plain_heading(heading).as_str())
}

/// Whether a decision says that it takes the place of another.
pub(crate) fn says_it_replaces(sentence: &str) -> bool {
    REPLACES.is_match(&folded(sentence))
}

/// What is known of the day of a sentence.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Days<'t> {
    /// Of the headings above it, innermost first.
    pub(crate) headings: &'t [&'t str],
    /// The front matter.
    pub(crate) front: &'t str,
    /// The path of the file.
    pub(crate) path: &'t str,
}

/// The day of a decision: one it begins with, that of the heading it stands under,
/// of the front matter, of the file's name, or else the first one it names.
pub(crate) fn day(sentence: &str, days: Days<'_>, order: Option<Order>) -> Option<Date> {
    let first = |text: &str| date::find(text, order).into_iter().find_map(|found| found.date);
    let sentence = folded(sentence);
    let begin = date::find(&sentence, order).into_iter().next().filter(|found| {
        sentence.get(..found.start).is_some_and(|before| !before.contains(char::is_alphanumeric))
    });
    let name = days.path.rsplit('/').next().unwrap_or(days.path);
    begin
        .and_then(|found| found.date)
        .or_else(|| days.headings.iter().find_map(|heading| first(heading)))
        .or_else(|| first(days.front))
        .or_else(|| dated_name(name))
        .or_else(|| first(&sentence))
        .or_else(|| dated_name(days.path))
}

/// The date in a name such as `2026-03-02_minutes.md` or `20260302.txt`.
fn dated_name(name: &str) -> Option<Date> {
    #[expect(clippy::expect_used, reason = "a constant pattern, used by a test")]
    static NAME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:^|\D)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)(?:\D|$)")
            .expect("a sound pattern")
    });
    let found = NAME.captures(name)?;
    let part = |at: usize| found.get(at).map(|part| part.as_str());
    let (year, month, day) = (part(1)?, part(2)?, part(3)?);
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sentence: &str, heading: &str, expect: bool) {
        assert_eq!(states(sentence, heading), expect, "{sentence:?} under {heading:?}");
    }

    #[test]
    fn decisions_are_told_from_talk() {
        check("We decided to take the oak floor.", "", true);
        check("Decision: oak, not tiles.", "", true);
        check("Decisions:", "", false);
        check("**Decision 3:** oak floor", "", true);
        check("Wir haben uns auf Eiche geeinigt.", "", true);
        check("Beschluss: das Fest findet im Juni statt.", "", true);
        check("We’ll paint it white.", "", true);
        check("Oak floor in the kitchen", "Decisions", true);
        check("Oak floor in the kitchen", "Ideas", false);
    }

    #[test]
    fn what_is_open_is_no_decision() {
        check("What was decided about the floor?", "", false);
        check("Not yet decided: the colour.", "", false);
        check("Das wurde noch nicht entschieden.", "", false);
        check("The floor must be decided by May.", "", false);
        check("The indecision hurts.", "", false);
    }

    #[test]
    fn the_day_is_where_people_write_it() {
        let check = |sentence: &str, headings: &[&str], front: &str, path: &str, expect: &str| {
            let found = day(sentence, Days { headings, front, path }, None);
            let found = found.map_or("-".to_owned(), |date| date.to_string());
            assert_eq!(found, expect, "{sentence:?}");
        };
        let name = "meetings/2026-01-12 kickoff.md";
        check("We agreed to start on 2026-05-01.", &[], "", name, "2026-01-12");
        check("We agreed.", &["2 March 2026"], "date: 2026-01-01", name, "2026-03-02");
        check("We agreed.", &[], "date: 2026-01-01", "a.md", "2026-01-01");
        check("2026-02-02: we agreed on oak.", &["3 March 2026"], "", name, "2026-02-02");
        check("On 2026-02-02 we agreed.", &[], "", "a.md", "2026-02-02");
        check("We agreed.", &[], "", "20260302.txt", "2026-03-02");
        check("We agreed.", &[], "", "a.md", "-");
    }

    #[test]
    fn the_top_of_minutes_tells_their_day() {
        assert_eq!(
            head("# Review\n\n**Date:** 2026-03-09\nDate of birth\n"),
            "**Date:** 2026-03-09"
        );
        assert_eq!(head("---\ndate: 2026-01-12\n---\n# A"), "date: 2026-01-12\ndate: 2026-01-12");
        assert_eq!(head("Dates are fruit."), "");
    }

    #[test]
    fn a_later_one_says_that_it_replaces() {
        assert!(says_it_replaces("We take tiles instead of oak."));
        assert!(says_it_replaces("Wir nehmen doch nicht die Eiche."));
        assert!(!says_it_replaces("We take oak."));
    }
}
