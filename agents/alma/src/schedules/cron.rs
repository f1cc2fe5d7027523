//! Rhythms: five cron fields in a time zone, and the points in time that follow.
//!
//! Fields name times of the clock on the wall. A time that does not exist, because
//! clocks were put forward, counts at the instant they are put forward; one that
//! exists twice counts the first time. So each day has every named time once.

use charter::ids::Millis;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use std::fmt;

/// Days that are searched for the next time: 29 February may be eight years away.
const DAYS_MAX: u32 = 9 * 366;
/// Longest text of a rhythm, in bytes.
const TEXT_BYTES_MAX: usize = 200;

/// Five fields as sets of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Days of the month and of the week are both named: then either will do.
    either: bool,
}

/// A rhythm that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cron text {text:?} cannot be used: {why}; five fields are needed (minute, hour, day of \
     month, month, day of week), as in \"0 8 * * 1-5\""
)]
pub struct CronError {
    text: String,
    why: String,
}

/// What a field may hold.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of month", least: 1, most: 31, names: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    // Both 0 and 7 are Sunday.
    Field {
        name: "day of week",
        least: 0,
        most: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

impl Field {
    fn read(&self, text: &str) -> Result<u64, String> {
        let mut set = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (part, None),
            };
            let every = match step {
                None => 1,
                Some(step) => step
                    .parse::<u8>()
                    .ok()
                    .filter(|n| (1..=self.most).contains(n))
                    .ok_or_else(|| format!("{}: {step:?} is no step", self.name))?,
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.least, self.most.min(self.last())),
                Some((from, to)) => (self.number(from)?, self.number(to)?),
                None if step.is_some() => (self.number(range)?, self.last()),
                None => {
                    let one = self.number(range)?;
                    (one, one)
                }
            };
            if from > to {
                return Err(format!("{}: {range} runs backwards", self.name));
            }
            set |= (from..=to).step_by(usize::from(every)).fold(0, |set, n| set | 1 << n);
        }
        Ok(set)
    }

    /// The last number that is not another name of the first.
    fn last(&self) -> u8 {
        if self.most == 7 { 6 } else { self.most }
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(place) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.least + u8::try_from(place).unwrap_or(0));
        }
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>()
            .ok()
            .filter(|n| plain && (self.least..=self.most).contains(n))
            .ok_or_else(|| {
                format!("{}: {text:?} is not within {} to {}", self.name, self.least, self.most)
            })
    }
}

impl Cron {
    /// Reads five fields.
    pub fn read(text: &str) -> Result<Self, CronError> {
        let fail = |why: String| {
            let text = text.chars().take(TEXT_BYTES_MAX).collect();
            CronError { text, why }
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(fail("it is too long".to_owned()));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(fail(format!("it has {} fields", fields.len())));
        };
        let [minutes, hours, days, months, weekdays] = FIELDS;
        let sundays = weekdays.read(weekday).map_err(fail)?;
        Ok(Self {
            minutes: minutes.read(minute).map_err(fail)?,
            hours: hours.read(hour).map_err(fail)?,
            days: days.read(day).map_err(fail)?,
            months: months.read(month).map_err(fail)?,
            weekdays: (sundays | sundays >> 7) & 0x7f,
            either: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    /// Whether a day is named.
    pub fn on(&self, date: Date) -> bool {
        let weekday = date.weekday().since(Weekday::Sunday);
        let (of_month, of_week) = (has(self.days, date.day()), has(self.weekdays, weekday));
        let day = if self.either { of_month || of_week } else { of_month && of_week };
        has(self.months, date.month()) && day
    }

    /// Whether a time of the day is named.
    pub fn at(&self, hour: i8, minute: i8) -> bool {
        has(self.hours, hour) && has(self.minutes, minute)
    }

    /// The due times behind a point in time, ascending.
    pub fn after<'a>(&'a self, after: Timestamp, zone: &'a TimeZone) -> Times<'a> {
        let date = after.to_zoned(zone.clone()).date();
        // What was skipped at the end of a day counts on the next one.
        let date = date.yesterday().unwrap_or(date);
        Times { cron: self, zone, date, minute: 0, last: after, days: 0 }
    }

    /// The next due time in milliseconds.
    pub fn next(&self, after: Millis, zone: &TimeZone) -> Option<Millis> {
        let after = Timestamp::from_millisecond(after).ok()?;
        self.after(after, zone).next().map(Timestamp::as_millisecond)
    }
}

fn has(set: u64, n: i8) -> bool {
    u32::try_from(n).is_ok_and(|n| set & 1_u64.checked_shl(n).unwrap_or(0) != 0)
}

/// Due times, ascending. Ends where none comes for years.
pub struct Times<'a> {
    cron: &'a Cron,
    zone: &'a TimeZone,
    date: Date,
    /// The first minute of the day that was not looked at yet.
    minute: i16,
    last: Timestamp,
    days: u32,
}

impl Times<'_> {
    /// The next named minute of this day.
    fn in_day(&mut self) -> Option<DateTime> {
        if self.minute == 0 && !self.cron.on(self.date) {
            return None;
        }
        while self.minute < 24 * 60 {
            let hour = i8::try_from(self.minute / 60).ok()?;
            if !has(self.cron.hours, hour) {
                self.minute = (i16::from(hour) + 1) * 60;
                continue;
            }
            let minute = i8::try_from(self.minute % 60).ok()?;
            self.minute += 1;
            if has(self.cron.minutes, minute) {
                return Some(self.date.at(hour, minute, 0, 0));
            }
        }
        None
    }
}

impl Iterator for Times<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        while self.days <= DAYS_MAX {
            while let Some(time) = self.in_day() {
                if let Some(at) = instant(time, self.zone).filter(|at| *at > self.last) {
                    self.last = at;
                    self.days = 0;
                    return Some(at);
                }
            }
            self.date = self.date.checked_add(1.day()).ok()?;
            self.minute = 0;
            self.days += 1;
        }
        None
    }
}

/// When the clock on the wall shows a time.
fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(time).ok()
        }
        AmbiguousOffset::Gap { before, .. } => {
            let behind = before.to_timestamp(time).ok()?;
            // The gap ends at the change of offset, at or before this instant.
            let just_behind = behind.checked_add(1.second()).ok()?;
            zone.preceding(just_behind).next().map(|change| change.timestamp())
        }
    }
}

/// A point in time as the clock on the wall shows it: `Mon 2026-03-30 08:00`.
pub struct Local<'z>(pub Millis, pub &'z TimeZone);

impl fmt::Display for Local<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(at) => {
                let local = at.to_zoned(self.1.clone());
                write!(f, "{}", local.strftime("%a %Y-%m-%d %H:%M"))
            }
            Err(_) => f.write_str("a time beyond the calendar"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    /// The times that follow, local and with their offset, without the year.
    fn check(cron: &str, name: &str, after: &str, expect: &[&str]) {
        let (cron, zone) = (Cron::read(cron).unwrap(), zone(name));
        let after: Timestamp = after.parse().unwrap();
        let found: Vec<String> = cron
            .after(after, &zone)
            .take(expect.len())
            .map(|at| at.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string())
            .collect();
        assert_eq!(found, expect);
    }

    fn refused(cron: &str, why: &str) {
        let error = Cron::read(cron).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn plain_rhythms() {
        let utc = |cron, after, expect: &[&str]| check(cron, "UTC", after, expect);
        let friday = "2026-03-20T08:00:00Z";
        utc("0 8 * * 1-5", friday, &["03-23 08:00+00:00", "03-24 08:00+00:00"]);
        utc("30 18 * * mon,THU", friday, &["03-23 18:30+00:00", "03-26 18:30+00:00"]);
        utc("*/15 * * * *", friday, &["03-20 08:15+00:00", "03-20 08:30+00:00"]);
        utc("0 9-17/4 * * *", friday, &["03-20 09:00+00:00", "03-20 13:00+00:00"]);
        utc("0 0 1 * *", friday, &["04-01 00:00+00:00", "05-01 00:00+00:00"]);
        utc("0 7 * * 0", friday, &["03-22 07:00+00:00"]);
        utc("0 7 * * 7", friday, &["03-22 07:00+00:00"]);
        utc("0 7 * * 5-7", friday, &["03-21 07:00+00:00", "03-22 07:00+00:00"]);
        utc("59 23 31 12 *", friday, &["12-31 23:59+00:00"]);
        utc("0 0 29 2 *", "2097-01-01T00:00:00Z", &["02-29 00:00+00:00"]);
    }

    #[test]
    fn a_day_of_the_month_or_of_the_week() {
        let thirteenth = &["03-06 00:00+00:00", "03-13 00:00+00:00", "03-20 00:00+00:00"];
        check("0 0 13 * fri", "UTC", "2026-03-01T00:00:00Z", thirteenth);
        let first = &["03-02 00:00+00:00", "03-09 00:00+00:00"];
        check("0 0 * * mon", "UTC", "2026-03-01T00:00:00Z", first);
    }

    #[test]
    fn clocks_put_forward() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00.
        let night = "2026-03-28T12:00:00Z";
        let berlin = |cron, expect: &[&str]| check(cron, "Europe/Berlin", night, expect);
        berlin("30 2 * * *", &["03-29 03:00+02:00", "03-30 02:30+02:00"]);
        berlin("0 3 * * *", &["03-29 03:00+02:00", "03-30 03:00+02:00"]);
        berlin("0 8 * * *", &["03-29 08:00+02:00", "03-30 08:00+02:00"]);
        // What falls together happens once.
        berlin(
            "0,20,40 1-3 29 3 *",
            &[
                "03-29 01:00+01:00",
                "03-29 01:20+01:00",
                "03-29 01:40+01:00",
                "03-29 03:00+02:00",
                "03-29 03:20+02:00",
                "03-29 03:40+02:00",
            ],
        );
        // New York, 2026-03-08: 02:00 becomes 03:00.
        let york = &["03-08 03:00-04:00", "03-09 02:15-04:00"];
        check("15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", york);
    }

    #[test]
    fn clocks_put_back() {
        // Berlin, 2026-10-25: 03:00 becomes 02:00.
        let night = "2026-10-24T12:00:00Z";
        let berlin = |cron, expect: &[&str]| check(cron, "Europe/Berlin", night, expect);
        berlin("30 2 * * *", &["10-25 02:30+02:00", "10-26 02:30+01:00"]);
        berlin("0 8 * * *", &["10-25 08:00+01:00", "10-26 08:00+01:00"]);
        // Asked between the two: the second one does not count.
        let after = &["10-26 02:30+01:00"];
        check("30 2 * * *", "Europe/Berlin", "2026-10-25T00:31:00Z", after);
        // New York, 2026-11-01: 02:00 becomes 01:00.
        let york = &["11-01 01:15-04:00", "11-02 01:15-05:00"];
        check("15 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", york);
    }

    #[test]
    fn odd_zones() {
        let kolkata = &["03-20 08:00+05:30", "03-21 08:00+05:30"];
        check("0 8 * * *", "Asia/Kolkata", "2026-03-20T02:29:59Z", kolkata);
        check("0 8 * * *", "Asia/Kolkata", "2026-03-20T02:30:00Z", &kolkata[1..]);
        // Samoa had no 2011-12-30 at all.
        let samoa = &["12-29 09:00-10:00", "12-31 00:00+14:00", "12-31 09:00+14:00"];
        check("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", samoa);
        // Half an hour forward at Lord Howe.
        let howe = &["10-04 02:30+11:00", "10-05 02:15+11:00"];
        check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", howe);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        refused("", "it has 0 fields");
        refused("0 8 * *", "it has 4 fields");
        refused("0 8 * * * *", "it has 6 fields");
        refused("60 8 * * *", "minute: \"60\" is not within 0 to 59");
        refused("0 24 * * *", "hour");
        refused("0 8 0 * *", "day of month");
        refused("0 8 * 13 *", "month");
        refused("0 8 * * 8", "day of week");
        refused("0 8 * * fri-mon", "runs backwards");
        refused("*/0 * * * *", "no step");
        refused("+1 * * * *", "minute");
        refused("-1 * * * *", "minute");
        refused("1, * * * *", "minute");
        refused("@daily", "it has 1 fields");
        refused(&"9".repeat(500), "too long");
    }

    #[test]
    fn a_day_that_never_comes_has_no_time() {
        let never = Cron::read("0 0 30 2 *").unwrap();
        assert_eq!(never.next(0, &TimeZone::UTC), None);
    }

    fn field(least: u8, most: u8) -> impl Strategy<Value = String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => (least..=most).prop_map(|n| n.to_string()),
            1 => (1..=most.max(2)).prop_map(|n| format!("*/{n}")),
            1 => (least..=most, least..=most)
                .prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        ]
    }

    proptest! {
        #[test]
        fn times_ascend_and_are_named(
            fields in (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)),
            zone in prop::sample::select(vec![
                "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC",
            ]),
            after in 1_500_000_000_i64..2_000_000_000,
        ) {
            let (minute, hour, day, month, weekday) = fields;
            let text = format!("{minute} {hour} {day} {month} {weekday}");
            let cron = Cron::read(&text).unwrap();
            let zone = TimeZone::get(zone).unwrap();
            let mut last = Timestamp::from_second(after).unwrap();
            for at in cron.after(last, &zone).take(20) {
                prop_assert!(at > last, "{text}");
                last = at;
                let local = at.to_zoned(zone.clone());
                let named = cron.on(local.date()) && cron.at(local.hour(), local.minute());
                let changed = zone.preceding(at + 1.second()).next();
                let forward = changed.is_some_and(|change| change.timestamp() == at);
                prop_assert!(named || forward, "{text} at {local}");
                prop_assert_eq!(local.second(), 0);
                // Asked anew from just before, the answer is the same.
                let before = at.as_millisecond() - 1;
                prop_assert_eq!(cron.next(before, &zone), Some(at.as_millisecond()), "{}", text);
            }
        }
    }
}
