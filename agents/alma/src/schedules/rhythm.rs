//! From the parts of a rhythm to five cron fields, and back to words. Pure.

use super::cron::Cron;
use super::words::Unit;

/// The hour that is meant where none is named.
const HOUR: u8 = 8;

/// Words that give no rhythm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsaid {
    /// Nothing in them says how often.
    #[error(
        "I found no rhythm in that; say how often, as in “every weekday at eight …” or “on the \
         1st of every month …”. Only once, at a set time, I cannot do yet"
    )]
    Nothing,
    /// These words begin like one and are none.
    #[error(
        "I do not understand “{0}” as a time; say how often and when, as in “every weekday at \
         eight …”, “every 2 hours …” or “on the 1st of every month …”"
    )]
    Unread(String),
    /// They say something that a clock on the wall cannot keep.
    #[error("{0}")]
    Odd(String),
}

/// A part of a rhythm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Every n of something.
    Every(Unit, u8),
    /// Days of the week, as bits from Sunday.
    Days(u8),
    /// Days of the month.
    MonthDays(Vec<u8>),
    /// Hours and minutes.
    At(Vec<(u8, u8)>),
    /// A part of the day.
    Part(u8),
    /// From one hour to another.
    Window(u8, u8),
}

fn odd<T>(text: impl Into<String>) -> Result<T, Unsaid> {
    Err(Unsaid::Odd(text.into()))
}

/// Cron fields from parts, and notes on what was put in.
pub(super) fn fields(pieces: impl Iterator<Item = Piece>) -> Result<(String, Vec<String>), Unsaid> {
    let (mut unit, mut n, mut days, mut part, mut window) = (None, 1, 0_u8, None, None);
    let (mut month_days, mut times) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Every(next, _) if unit.is_some_and(|unit| unit != next) => {
                return odd(
                    "I found two rhythms in that; say one, and make a schedule of its own for \
                     the other",
                );
            }
            Piece::Every(next, every) => (unit, n) = (Some(next), every),
            Piece::Days(more) => days |= more,
            Piece::MonthDays(none) if none.is_empty() => {
                return odd(
                    "the last day of a month is not the same day each month; name one from \
                            1 to 28",
                );
            }
            Piece::MonthDays(more) => month_days.extend(more),
            Piece::At(more) => times.extend(more),
            Piece::Part(hour) => part = Some(hour),
            Piece::Window(from, until) => window = Some((from, until)),
        }
    }
    if days != 0 && !month_days.is_empty() {
        return odd("days of the week and days of the month together would mean either of them; \
                    name one kind");
    }
    let mut notes = Vec::new();
    if matches!(unit, Some(Unit::Minute | Unit::Hour)) {
        let (minute, hour) = often(unit, n, window, &times)?;
        return Ok((join(&minute, &hour, &month_days, "*", days), notes));
    }
    if let Some((from, until)) = window {
        return odd(format!(
            "“between {from} and {until}” fits something that happens every hour or every few \
             minutes; name a time, as in “at 9:00”"
        ));
    }
    let months = match (unit, n) {
        (Some(Unit::Day | Unit::Week), 2..) => {
            return odd("every second day or week is nothing that a calendar repeats; name days, \
                        as in “every Monday and Thursday”");
        }
        (Some(Unit::Month), n) if n == 0 || 12 % n != 0 => {
            return odd(format!("every {n} months do not fit into a year; 2, 3, 4 or 6 do"));
        }
        (Some(Unit::Month), 2..) => format!("*/{n}"),
        _ => "*".to_owned(),
    };
    if unit == Some(Unit::Week) && days == 0 {
        days = 1 << 1;
        notes.push("no day was said, so I take Monday".to_owned());
    }
    if unit == Some(Unit::Month) && days == 0 && month_days.is_empty() {
        month_days.push(1);
        notes.push("no day was said, so I take the 1st".to_owned());
    }
    if times.is_empty() {
        let hour = part.unwrap_or(HOUR);
        notes.push(format!("no time was said, so I take {hour:02}:00"));
        times.push((hour, 0));
    } else if part.is_some_and(|part| part >= 12) {
        for (hour, _) in times.iter_mut().filter(|(hour, _)| *hour < 12 && *hour > 0) {
            *hour += 12;
        }
    }
    times.sort_unstable();
    times.dedup();
    let minute = times.first().map_or(0, |(_, minute)| *minute);
    if times.iter().any(|(_, other)| *other != minute) {
        return odd("these times have different minutes; make a schedule for each of them");
    }
    let hours: Vec<String> = times.iter().map(|(hour, _)| hour.to_string()).collect();
    Ok((join(&minute.to_string(), &hours.join(","), &month_days, &months, days), notes))
}

/// Minutes and hours of what happens many times a day.
fn often(
    unit: Option<Unit>,
    n: u8,
    window: Option<(u8, u8)>,
    times: &[(u8, u8)],
) -> Result<(String, String), Unsaid> {
    let (whole, name) = if unit == Some(Unit::Minute) { (60, "minutes") } else { (24, "hours") };
    if n == 0 || whole % n != 0 {
        return odd(format!(
            "every {n} {name} do not fit evenly into {}; numbers that divide {whole} do",
            if whole == 60 { "an hour" } else { "a day" }
        ));
    }
    if !times.is_empty() {
        return odd("a time of the day and “every hour” or “every few minutes” together have no \
                    meaning; say “between 9 and 17”, or name the times alone");
    }
    let hours = match window {
        None => "*".to_owned(),
        Some((from, until)) => {
            // The last minutes of a window are before its end, a whole hour is its end.
            let last =
                if unit == Some(Unit::Minute) || until == 24 { (until + 23) % 24 } else { until };
            if from <= last { format!("{from}-{last}") } else { format!("{from}-23,0-{last}") }
        }
    };
    Ok(match unit {
        Some(Unit::Minute) if n == 1 => ("*".to_owned(), hours),
        Some(Unit::Minute) if n == 60 => ("0".to_owned(), hours),
        Some(Unit::Minute) => (format!("*/{n}"), hours),
        _ if n == 1 => ("0".to_owned(), hours),
        _ if n == 24 => ("0".to_owned(), "0".to_owned()),
        _ => {
            let step = |range: &str| format!("{range}/{n}");
            ("0".to_owned(), hours.split(',').map(step).collect::<Vec<_>>().join(","))
        }
    })
}

fn join(minute: &str, hour: &str, month_days: &[u8], months: &str, days: u8) -> String {
    let mut month_days = month_days.to_vec();
    month_days.sort_unstable();
    month_days.dedup();
    let of_month: Vec<String> = month_days.iter().map(u8::to_string).collect();
    let of_month = if of_month.is_empty() { "*".to_owned() } else { of_month.join(",") };
    format!("{minute} {hour} {of_month} {months} {}", weekdays(days))
}

fn weekdays(days: u8) -> String {
    match days {
        0 | 0x7f => "*".to_owned(),
        0b011_1110 => "1-5".to_owned(),
        days => {
            let named: Vec<String> =
                (0..7_u8).filter(|day| days & 1 << day != 0).map(|day| day.to_string()).collect();
            named.join(",")
        }
    }
}

/// A rhythm in words, where it is a plain one; otherwise its fields.
pub fn describe(cron: &str) -> String {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let [minute, hour, of_month, month, weekday] = fields.as_slice() else {
        return cron.to_owned();
    };
    let number = |text: &str| text.parse::<u8>().ok();
    let hours: Option<Vec<u8>> = hour.split(',').map(number).collect();
    let days = match (*of_month, *month, *weekday) {
        ("*", "*", "*") => Some("every day".to_owned()),
        ("*", "*", "1-5") => Some("every weekday".to_owned()),
        ("*", "*", days) => names(days),
        (days, "*", "*") if days.split(',').all(|day| number(day).is_some()) => {
            Some(format!("on day {} of every month", days.replace(',', " and ")))
        }
        _ => None,
    };
    let told = match (number(minute), hours, days) {
        (Some(minute), Some(hours), Some(days)) => {
            let times: Vec<String> = hours.iter().map(|h| format!("{h:02}:{minute:02}")).collect();
            Some(format!("{days} at {}", times.join(" and ")))
        }
        (_, _, Some(days)) if Cron::read(cron).is_ok() => {
            let often = match (minute.strip_prefix("*/"), *minute) {
                (Some(n), _) => Some(format!("every {n} minutes")),
                (None, "*") => Some("every minute".to_owned()),
                (None, "0") if !hour.contains('/') => Some("every hour".to_owned()),
                _ => None,
            };
            let span = match *hour {
                "*" => Some(String::new()),
                hours => hours
                    .split_once('-')
                    .filter(|_| !hours.contains([',', '/']))
                    .map(|(from, to)| format!(" from {from}:00 to {to}:59")),
            };
            let days = if days == "every day" { String::new() } else { format!(", {days}") };
            often.zip(span).map(|(often, span)| format!("{often}{span}{days}"))
        }
        _ => None,
    };
    told.unwrap_or_else(|| format!("cron {cron}"))
}

fn names(days: &str) -> Option<String> {
    const NAMES: [&str; 7] =
        ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let found: Option<Vec<&str>> = days
        .split(',')
        .map(|day| day.parse::<usize>().ok().and_then(|day| NAMES.get(day % 7)).copied())
        .collect();
    found.map(|names| format!("every {}", names.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rhythms_are_told() {
        let tell = |cron: &str, expect: &str| assert_eq!(describe(cron), expect);
        tell("0 8 * * 1-5", "every weekday at 08:00");
        tell("30 18 * * 1,4", "every Monday and Thursday at 18:30");
        tell("0 8,20 * * *", "every day at 08:00 and 20:00");
        tell("0 8 1,15 * *", "on day 1 and 15 of every month at 08:00");
        tell("*/15 9-16 * * 1-5", "every 15 minutes from 9:00 to 16:59, every weekday");
        tell("* * * * *", "every minute");
        tell("0 * * * *", "every hour");
        tell("0 0 29 2 *", "cron 0 0 29 2 *");
    }
}
