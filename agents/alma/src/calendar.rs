//! Days, as the user's own calendar counts them.

use crate::Error;
use charter::ids::Millis;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

fn local(at: Millis) -> Result<Zoned, Error> {
    let moment = Timestamp::from_millisecond(at).map_err(|error| Error::Machine {
        operation: "read the clock".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(moment.to_zoned(TimeZone::system()))
}

/// The local calendar day of a point in time.
pub(crate) fn today(now: Millis) -> Result<Date, Error> {
    Ok(local(now)?.date())
}

/// A day for people: `3 March 2026`.
pub(crate) fn day(at: Millis) -> Result<String, Error> {
    Ok(local(at)?.strftime("%-d %B %Y").to_string())
}

/// The end of a local day such as `2026-03-01`, or the point in time that is named.
pub(crate) fn end_of(text: &str) -> Result<Millis, Error> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let unread = |cause: String| {
        Error::Usage(format!(
            "{text:?} is no day and no point in time ({cause}): write it like 2026-03-01 or \
             2026-03-01T18:00:00Z"
        ))
    };
    let date: Date = text.parse().map_err(|error: jiff::Error| unread(error.to_string()))?;
    let next = date.checked_add(1.day()).map_err(|error| unread(error.to_string()))?;
    let midnight = next.to_zoned(TimeZone::system()).map_err(|error| unread(error.to_string()))?;
    Ok(midnight.timestamp().as_millisecond() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_before_the_next_begins() {
        let end = end_of("2026-03-01").unwrap();
        assert_eq!(day(end).unwrap(), "1 March 2026");
        assert_eq!(day(end + 1).unwrap(), "2 March 2026");
        assert_eq!(end_of("1970-01-01T00:00:05Z").unwrap(), 5_000);
        assert!(end_of("March").unwrap_err().to_string().contains("2026-03-01"));
    }
}
