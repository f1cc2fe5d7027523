//! Days, as the user's own calendar counts them.

use crate::Error;
use charter::ids::Millis;

/// The local calendar day of a point in time.
pub(crate) fn today(now: Millis) -> Result<jiff::civil::Date, Error> {
    let moment = jiff::Timestamp::from_millisecond(now).map_err(|error| Error::Machine {
        operation: "read the clock".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(moment.to_zoned(jiff::tz::TimeZone::system()).date())
}
