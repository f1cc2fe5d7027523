//! Days and spans of days in words, relative to a day that is given.

use super::sentence::Sentence;
use super::token::Kind;
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

/// A span of days that a wish names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First day.
    pub start: Date,
    /// Last day.
    pub end: Date,
    /// First piece of the wish.
    pub from: usize,
    /// Piece after the last.
    pub to: usize,
}

fn month(year: i16, month: i8) -> Option<(Date, Date)> {
    let first = Date::new(year, month, 1).ok()?;
    Some((first, first.last_of_month()))
}

fn year(year: i16) -> Option<(Date, Date)> {
    Some((Date::new(year, 1, 1).ok()?, Date::new(year, 12, 31).ok()?))
}

/// The days that a name of `dates` in the words of a language means, such as
/// `last_week`.
pub(crate) fn named(name: &str, today: Date) -> Option<(Date, Date)> {
    let day = |days: i32| today.checked_add(days.days()).ok().map(|date| (date, date));
    let week = |weeks: i32| {
        let back = i32::from(today.weekday().since(Weekday::Monday));
        let monday = today.checked_add((7 * weeks - back).days()).ok()?;
        Some((monday, monday.checked_add(6.days()).ok()?))
    };
    let months = |months: i32| {
        let there = today.first_of_month().checked_add(months.months()).ok()?;
        Some((there, there.last_of_month()))
    };
    // The last one there was: what is spoken of lies in the past.
    let last = |weekday: Weekday| day(-i32::from(today.weekday().since(weekday)));
    match name {
        "monday" => last(Weekday::Monday),
        "tuesday" => last(Weekday::Tuesday),
        "wednesday" => last(Weekday::Wednesday),
        "thursday" => last(Weekday::Thursday),
        "friday" => last(Weekday::Friday),
        "saturday" => last(Weekday::Saturday),
        "sunday" => last(Weekday::Sunday),
        "today" => day(0),
        "yesterday" => day(-1),
        "tomorrow" => day(1),
        "this_week" => week(0),
        "last_week" => week(-1),
        "next_week" => week(1),
        "this_month" => months(0),
        "last_month" => months(-1),
        "next_month" => months(1),
        "this_year" => year(today.year()),
        "last_year" => year(today.year() - 1),
        _ => None,
    }
}

fn digits(text: &str, month_first: bool) -> Option<(Date, Date)> {
    let numbers: Vec<i16> =
        text.split(['-', '.', '/']).map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let full_year = |y: i16| if y < 100 { 2000 + y } else { y };
    let (y, m, d) = match numbers.as_slice() {
        [y, m] if text.contains('-') => return month(*y, i8::try_from(*m).ok()?),
        [y, m, d] if text.contains('-') => (*y, *m, *d),
        [d, m, y] if text.contains('.') => (full_year(*y), *m, *d),
        [a, b, y] if *a > 12 || (!month_first && *b <= 12) => (full_year(*y), *b, *a),
        [a, b, y] => (full_year(*y), *a, *b),
        _ => return None,
    };
    let date = Date::new(y, i8::try_from(m).ok()?, i8::try_from(d).ok()?).ok()?;
    Some((date, date))
}

fn year_number(text: &str) -> Option<i16> {
    let plain = text.len() == 4 && text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|y| plain && (1900..=2100).contains(y))
}

/// All days and spans that a wish names, in order, without overlap.
pub fn spans(sentence: &Sentence<'_>, today: Date) -> Vec<Span> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < sentence.tokens.len() {
        match span_at(sentence, i, today) {
            Some(span) => {
                i = span.to;
                found.push(span);
            }
            None => i += 1,
        }
    }
    found
}

fn span_at(sentence: &Sentence<'_>, i: usize, today: Date) -> Option<Span> {
    let language = sentence.language;
    let token = sentence.tokens.get(i)?;
    let make =
        |(start, end): (Date, Date), length: usize| Span { start, end, from: i, to: i + length };
    if token.kind == Kind::Quoted {
        return None;
    }
    if token.kind == Kind::Date {
        return digits(&token.text, language.code == "en").map(|days| make(days, 1));
    }
    if let Some((name, length)) = language.dates.longest(&sentence.folded, i) {
        return named(name, today).map(|days| make(days, length));
    }
    let month_at = |i: usize| {
        let word = sentence.folded.get(i)?;
        language.months.get(word).copied()
    };
    let year_at = |i: usize| sentence.tokens.get(i).and_then(|t| year_number(&t.text));
    let day_at = |i: usize| {
        let token = sentence.tokens.get(i)?;
        let number = token.folded.trim_end_matches(|c: char| c.is_alphabetic());
        number.parse::<i8>().ok().filter(|d| (1..=31).contains(d))
    };
    // Marks and small words inside a date: "3. März", "le 3 mars", "3 de marzo de 2025".
    let skip = |mut i: usize| {
        while sentence
            .tokens
            .get(i)
            .is_some_and(|t| matches!(t.text.as_str(), "." | "," | "de" | "of" | "di" | "del"))
        {
            i += 1;
        }
        i
    };
    if let Some(day) = day_at(i) {
        let at = skip(i + 1);
        let m = month_at(at)?;
        let behind = skip(at + 1);
        let (y, to) = match year_at(behind) {
            Some(y) => (y, behind + 1),
            None => (today.year(), at + 1),
        };
        let date = Date::new(y, m, day).ok()?;
        return Some(Span { start: date, end: date, from: i, to });
    }
    if let Some(m) = month_at(i) {
        let behind = skip(i + 1);
        if let (Some(day), Some(y)) = (day_at(behind), year_at(skip(behind + 1))) {
            let date = Date::new(y, m, day).ok()?;
            return Some(Span { start: date, end: date, from: i, to: skip(behind + 1) + 1 });
        }
        if let Some(y) = year_at(behind) {
            return month(y, m).map(|(start, end)| Span { start, end, from: i, to: behind + 1 });
        }
        // A bare month is one only behind a preposition: "may" and "mars" are words too.
        let introduced = i > 0 && preposition_before(sentence, i);
        let y = if m > today.month() { today.year() - 1 } else { today.year() };
        return month(y, m).filter(|_| introduced).map(|days| make(days, 1));
    }
    let quarter = token.folded.strip_prefix('q').and_then(|q| q.parse::<i8>().ok());
    if let (Some(q @ 1..=4), Some(y)) = (quarter, year_at(i + 1)) {
        let (start, _) = month(y, 3 * q - 2)?;
        let (_, end) = month(y, 3 * q)?;
        return Some(make((start, end), 2));
    }
    let y = year_number(&token.text).filter(|_| preposition_before(sentence, i))?;
    year(y).map(|days| make(days, 1))
}

fn preposition_before(sentence: &Sentence<'_>, i: usize) -> bool {
    let language = sentence.language;
    (1..=3).any(|back| {
        i.checked_sub(back).is_some_and(|at| {
            let ends_here = |length: usize| {
                at + length == i || {
                    // "im Jahr 2024": a word for the span itself may stand between.
                    at + length + 1 == i && sentence.means(i - 1, "year")
                }
            };
            let lists =
                [&language.at, &language.per, &language.during, &language.between, &language.until];
            lists.iter().any(|list| list.all(&sentence.folded, at).any(|(_, l)| ends_here(l)))
                || language.compare.all(&sentence.folded, at).any(|(means, l)| {
                    matches!(means, "before" | "after" | ">" | "<" | ">=" | "<=") && ends_here(l)
                })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Lexicon;
    use jiff::civil::date;

    fn check(wish: &str, expect: &str) {
        let lexicon = Lexicon::shipped().unwrap();
        let sentence = Sentence::read(lexicon, wish, &|_| false).unwrap();
        // A Wednesday.
        let found: Vec<String> = spans(&sentence, date(2026, 3, 18))
            .iter()
            .map(|s| format!("{}..{}", s.start, s.end))
            .collect();
        assert_eq!(found.join(" "), expect, "{wish}");
    }

    #[test]
    fn absolute_days() {
        check("since Monday", "2026-03-16..2026-03-16");
        check("seit Mittwoch", "2026-03-18..2026-03-18");
        check("since 2025-03-01", "2025-03-01..2025-03-01");
        check("seit dem 1.3.2025", "2025-03-01..2025-03-01");
        check("on 3/14/2025", "2025-03-14..2025-03-14");
        check("on 3 March 2025 or March 4, 2025", "2025-03-03..2025-03-03 2025-03-04..2025-03-04");
        check("am 3. März 2025", "2025-03-03..2025-03-03");
        check("el 3 de marzo de 2025", "2025-03-03..2025-03-03");
    }

    #[test]
    fn spans_of_days() {
        check("in March 2025", "2025-03-01..2025-03-31");
        check("total for 2024", "2024-01-01..2024-12-31");
        check("im Jahr 2024", "2024-01-01..2024-12-31");
        check("in Q2 2025", "2025-04-01..2025-06-30");
        check("the meetings in November", "2025-11-01..2025-11-30");
    }

    #[test]
    fn relative_days() {
        check("what is due today or yesterday", "2026-03-18..2026-03-18 2026-03-17..2026-03-17");
        check("notes from last week", "2026-03-09..2026-03-15");
        check("die Notizen von letzter Woche", "2026-03-09..2026-03-15");
        check("las notas del mes pasado", "2026-02-01..2026-02-28");
    }

    #[test]
    fn what_only_looks_like_a_date_is_none() {
        check("you may count 2024 lines", "");
        check("add 15 files", "");
    }
}
