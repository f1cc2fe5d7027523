//! Dates as people write them: `2025-03-01`, `1.3.2025`, `3/14/2025`,
//! `3 March 2025`, `March 3rd, 2025`, `3. März 2025`, `3 de marzo de 2025`.
//! Only whole dates with a year of four digits; what is no day of the calendar
//! is no date.

use super::words::{MONTHS, WORDS, alternatives};
use jiff::civil::Date;
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// What the first number of `3/4/2025` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The day.
    DayFirst,
    /// The month.
    MonthFirst,
}

/// A date in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// First byte.
    pub(crate) start: usize,
    /// First byte after it.
    pub(crate) end: usize,
    /// The day, or `None` when day and month cannot be told apart.
    pub(crate) date: Option<Date>,
}

#[expect(clippy::expect_used, reason = "the pattern is made of escaped words and a test uses it")]
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    let month = alternatives(MONTHS.keys().copied());
    let join = alternatives(WORDS.date_joins.iter().map(String::as_str));
    Regex::new(&format!(
        r"(?ix)
        (?<y1>\d{{4}}) (?: -(?<m1>\d{{1,2}})-(?<d1>\d{{1,2}})
                         | /(?<m2>\d{{1,2}})/(?<d2>\d{{1,2}})
                         | \.(?<m3>\d{{1,2}})\.(?<d3>\d{{1,2}}) )
        | (?<d4>\d{{1,2}})\.[\ \u{{a0}}]?(?<m4>\d{{1,2}})\.[\ \u{{a0}}]?(?<y4>\d{{4}})
        | (?<a>\d{{1,2}}) (?: / (?<b>\d{{1,2}}) / | - (?<c>\d{{1,2}}) - ) (?<y5>\d{{4}})
        | (?<d6>\d{{1,2}}) (?:st|nd|rd|th|er|\.|º|°|ª)? [\s\u{{a0}}-]+ (?:(?:{join})\s+)?
          (?<m6>{month})\b \.? ,? [\s\u{{a0}}-]+ (?:(?:{join})\s+)? (?<y6>\d{{4}})
        | (?<m7>{month})\b \.? \s+ (?<d7>\d{{1,2}}) (?:st|nd|rd|th)? \s* ,? \s+ (?<y7>\d{{4}})
        "
    ))
    .expect("a sound pattern")
});

fn number<'c, T: std::str::FromStr>(found: &Captures<'c>, name: &str) -> Option<T> {
    found.name(name)?.as_str().parse().ok()
}

fn day(year: Option<i16>, month: Option<i8>, day: Option<i8>) -> Option<Date> {
    Date::new(year.filter(|year| *year >= 1000)?, month?, day?).ok()
}

/// Digits or marks of a number directly before or after: part of something
/// else, such as a version or an address.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let mut after = text[end..].chars();
    let (next, over) = (after.next(), after.next());
    let glued_before = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '/'));
    let glued_after = next.is_some_and(|c| c.is_ascii_digit())
        || next.is_some_and(|c| matches!(c, '.' | '-' | '/' | ','))
            && over.is_some_and(|c| c.is_ascii_digit());
    let letter_after = next.is_some_and(|c| c.is_alphabetic() && !matches!(c, 'T' | 't'));
    !(glued_before || glued_after || letter_after)
}

/// All dates of a text, in order. `order` says how to read `3/4/2025`.
pub(crate) fn find(text: &str, order: Option<Order>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(captures) = DATE.captures_at(text, from) {
        let Some(whole) = captures.get(0) else { break };
        let (start, end) = (whole.start(), whole.end());
        let read = if stands_alone(text, start, end) { read(&captures, order) } else { None };
        match read {
            Some(date) => {
                found.push(Found { start, end, date });
                from = end;
            }
            // A date may begin inside what was none: `12. 3 March 2025`.
            None => {
                from = start + text[start..].chars().next().map_or(1, char::len_utf8);
                while text.as_bytes().get(from - 1).is_some_and(u8::is_ascii_digit)
                    && text.as_bytes().get(from).is_some_and(u8::is_ascii_digit)
                {
                    from += 1;
                }
            }
        }
        if from >= text.len() {
            break;
        }
    }
    found
}

/// `None`: no day of the calendar. `Some(None)`: a day, nobody can tell which.
fn read(found: &Captures<'_>, order: Option<Order>) -> Option<Option<Date>> {
    let month =
        |name: &str| MONTHS.get(found.name(name)?.as_str().to_lowercase().as_str()).copied();
    for i in 1..=3 {
        if let (Some(m), Some(d)) =
            (number(found, &format!("m{i}")), number(found, &format!("d{i}")))
        {
            return day(number(found, "y1"), Some(m), Some(d)).map(Some);
        }
    }
    if found.name("y4").is_some() {
        return day(number(found, "y4"), number(found, "m4"), number(found, "d4")).map(Some);
    }
    if found.name("y6").is_some() {
        return day(number(found, "y6"), month("m6"), number(found, "d6")).map(Some);
    }
    if found.name("y7").is_some() {
        return day(number(found, "y7"), month("m7"), number(found, "d7")).map(Some);
    }
    let year = number(found, "y5");
    let first: Option<i8> = number(found, "a");
    let second: Option<i8> = number(found, "b").or_else(|| number(found, "c"));
    let day_first = day(year, second, first);
    let month_first = day(year, first, second);
    match (day_first, month_first, order) {
        (None, None, _) => None,
        (Some(date), None, _) | (None, Some(date), _) => Some(Some(date)),
        (Some(one), Some(other), _) if one == other => Some(Some(one)),
        (Some(date), Some(_), Some(Order::DayFirst)) => Some(Some(date)),
        (Some(_), Some(date), Some(Order::MonthFirst)) => Some(Some(date)),
        (Some(_), Some(_), None) => Some(None),
    }
}

/// How texts that belong together write `3/4/2025`, if one of them shows it and
/// none shows the other.
pub(crate) fn order_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Order> {
    let mut seen = None;
    for text in texts {
        for captures in DATE.captures_iter(text) {
            let first: Option<u8> = number(&captures, "a");
            let second: Option<u8> = number(&captures, "b").or_else(|| number(&captures, "c"));
            let shown = match (first, second) {
                (Some(13..=31), Some(1..=12)) => Order::DayFirst,
                (Some(1..=12), Some(13..=31)) => Order::MonthFirst,
                _ => continue,
            };
            match seen {
                Some(other) if other != shown => return None,
                _ => seen = Some(shown),
            }
        }
    }
    seen
}

/// A text that is one date, perhaps with a time after it.
pub(crate) fn parse(text: &str, order: Option<Order>) -> Option<Date> {
    let text = text.trim();
    let first = find(text, order).into_iter().next()?;
    let rest = text.get(first.end..)?.trim_start_matches(['T', 't', ' ', ',']);
    let is_time = rest.is_empty()
        || rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains(':') && rest.len() <= 35;
    if first.start == 0 && is_time { first.date } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &[&str]) {
        let order = order_of([text]);
        let found: Vec<String> = find(text, order)
            .iter()
            .map(|found| found.date.map_or("?".to_owned(), |date| date.to_string()))
            .collect();
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn people_write_dates_in_many_ways() {
        check("2025-03-01", &["2025-03-01"]);
        check("on 2025-3-1T10:00 and 2025/03/02.", &["2025-03-01", "2025-03-02"]);
        check("am 1.3.2025, 01. 03. 2025", &["2025-03-01", "2025-03-01"]);
        check("14/3/2025", &["2025-03-14"]);
        check("3/14/2025", &["2025-03-14"]);
        check("31-12-2025", &["2025-12-31"]);
        check("3 March 2025 and March 3rd, 2025", &["2025-03-03", "2025-03-03"]);
        check("Sept. 5, 2024", &["2024-09-05"]);
        check("the 1st of May 2025", &["2025-05-01"]);
        check("3. März 2025", &["2025-03-03"]);
        check("1er février 2025", &["2025-02-01"]);
        check("3 de marzo de 2025", &["2025-03-03"]);
        check("3 marzo 2025, 3 maart 2025, 3 de março de 2025", &["2025-03-03"; 3]);
        check("05-Jan-2025", &["2025-01-05"]);
    }

    #[test]
    fn evidence_decides_the_order() {
        check("3/4/2025", &["?"]);
        check("3/4/2025 then 14/4/2025", &["2025-04-03", "2025-04-14"]);
        check("3/4/2025 then 4/14/2025", &["2025-03-04", "2025-04-14"]);
        check("3/3/2025", &["2025-03-03"]);
        check("3/4/2025, 14/4/2025, 4/14/2025", &["?", "2025-04-14", "2025-04-14"]);
    }

    #[test]
    fn what_is_no_date_is_ignored() {
        for text in [
            "31.2.2025",
            "2025-02-30",
            "version 1.2.2025.3",
            "192.168.1.2025",
            "12/2025",
            "March 2025",
            "a2025-01-01b",
            "2025-13-01",
            "1.2.3",
            "10.000.2025",
            "0001-01-01",
            "x1/2/2025",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn a_number_before_a_date_does_not_hide_it() {
        check("12. 3 March 2025", &["2025-03-03"]);
        check("31.2.2025 1.2.2025", &["2025-02-01"]);
    }

    #[test]
    fn a_cell_is_one_date() {
        let check = |text: &str, expect: Option<&str>| {
            let found = parse(text, None).map(|date| date.to_string());
            assert_eq!(found.as_deref(), expect, "{text:?}");
        };
        check(" 2025-03-01 ", Some("2025-03-01"));
        check("2025-03-01T10:00:00Z", Some("2025-03-01"));
        check("2025-03-01 10:00", Some("2025-03-01"));
        check("since 2025-03-01", None);
        check("2025-03-01 and more", None);
    }

    proptest! {
        #[test]
        fn every_day_is_read(year in 1900i16..2100, month in 1i8..=12, day in 1i8..=31) {
            let expect = Date::new(year, month, day).ok();
            let iso = format!("x {year:04}-{month:02}-{day:02} y");
            let dotted = format!("x {day}.{month}.{year} y");
            let name = &WORDS.months[usize::try_from(month).unwrap() - 1][0];
            let named = format!("x {day} {name} {year} y");
            for text in [iso, dotted, named] {
                let found = find(&text, None).first().and_then(|found| found.date);
                prop_assert_eq!(found, expect, "{}", text);
            }
        }

        #[test]
        fn places_are_char_boundaries(text in "[0-9./ äM-]{0,30}") {
            for found in find(&text, None) {
                prop_assert!(text.get(found.start..found.end).is_some());
            }
        }
    }
}
