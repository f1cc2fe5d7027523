//! When it is time for a night. A decision: clock, zone and rows are passed in.

use charter::ids::Millis;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Nights that are recorded as missed at a time; the record is no calendar.
pub const MISSED_MAX: usize = 31;

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing, until then.
    Wait(Millis),
    /// A night, after these were recorded as missed, oldest first.
    Run(Vec<Millis>),
}

/// A time of day as it stands in the configuration; `None`: never.
pub fn time_of_day(text: &str) -> Result<Option<Time>, String> {
    if text == "never" {
        return Ok(None);
    }
    let read = text
        .split_once(':')
        .and_then(|(hour, minute)| Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok());
    read.map(Some).ok_or_else(|| format!("expected a time like 02:30, or never, found {text:?}"))
}

/// What is to be done about the night. `last` is until when the last one looked
/// that was run or recorded as missed; without one, `since` is when there was first
/// anything to look at. A night that passed while nothing ran is made up for once,
/// however many passed; the latest of them is the one that is run.
pub fn due(now: Millis, at: Time, zone: &TimeZone, last: Option<Millis>, since: Millis) -> Due {
    let Ok(moment) = Timestamp::from_millisecond(now) else { return Due::Wait(Millis::MAX) };
    let day = moment.to_zoned(zone.clone()).date();
    // In a night without that time the clocks went forward: the first moment after.
    let on = |days: i64| -> Option<Millis> {
        let date = day.checked_add(days.days()).ok()?;
        Some(
            zone.to_ambiguous_zoned(date.to_datetime(at))
                .compatible()
                .ok()?
                .timestamp()
                .as_millisecond(),
        )
    };
    let from = last.unwrap_or(since);
    let mut passed: Vec<Millis> = (0..=MISSED_MAX as i64)
        .filter_map(|back| on(-back))
        .filter(|due| *due <= now && *due > from)
        .take(MISSED_MAX)
        .collect();
    if passed.is_empty() {
        let next = (0..3).filter_map(on).find(|due| *due > now.max(from));
        return Due::Wait(next.unwrap_or(Millis::MAX));
    }
    passed.remove(0);
    passed.reverse();
    Due::Run(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn check(now: &str, last: Option<&str>, expect: &str) {
        let zone = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
        let at = time_of_day("02:30").unwrap().unwrap();
        let tell = |at: &Millis| Timestamp::from_millisecond(*at).unwrap().to_string();
        let found = match due(ms(now), at, &zone, last.map(ms), ms("2026-03-01T12:00:00Z")) {
            Due::Wait(until) => format!("wait {}", tell(&until)),
            Due::Run(missed) => {
                format!("run {}", missed.iter().map(tell).collect::<Vec<_>>().join(" "))
            }
        };
        assert_eq!(found.trim_end(), expect, "{now} {last:?}");
    }

    #[test]
    fn a_night_is_run_once_when_its_time_has_come() {
        check("2026-03-05T00:00:00Z", Some("2026-03-04T01:30:01Z"), "wait 2026-03-05T01:30:00Z");
        check("2026-03-05T01:30:00Z", Some("2026-03-04T01:30:01Z"), "run");
        check("2026-03-05T01:31:00Z", Some("2026-03-05T01:30:05Z"), "wait 2026-03-06T01:30:00Z");
    }

    #[test]
    fn missed_nights_are_recorded_and_made_up_for_once() {
        check(
            "2026-03-06T09:00:00Z",
            Some("2026-03-03T01:30:01Z"),
            "run 2026-03-04T01:30:00Z 2026-03-05T01:30:00Z",
        );
        // Recorded, and killed before the run: the latest is still due.
        check("2026-03-06T09:00:00Z", Some("2026-03-05T01:30:00Z"), "run");
    }

    #[test]
    fn without_a_night_before_the_first_one_waits_for_something_to_look_at() {
        check("2026-03-01T13:00:00Z", None, "wait 2026-03-02T01:30:00Z");
        check("2026-03-02T09:00:00Z", None, "run");
    }

    #[test]
    fn the_clock_that_goes_forward_skips_no_night() {
        // 02:30 does not exist in Berlin on 29 March 2026.
        check("2026-03-29T06:00:00Z", Some("2026-03-28T01:30:01Z"), "run");
    }

    #[test]
    fn a_time_is_read_or_refused() {
        assert_eq!(time_of_day("never"), Ok(None));
        assert!(time_of_day("02:30").unwrap().is_some());
        for wrong in ["", "2", "25:00", "02:61", "at night"] {
            assert!(time_of_day(wrong).unwrap_err().contains("02:30"), "{wrong}");
        }
    }
}
