//! Time zones: by name, from the system's files or, where it has none, from those
//! that are built in.

use crate::Error;
use jiff::tz::TimeZone;

/// A zone and its name.
#[derive(Debug, Clone)]
pub struct Zone {
    /// As in `Europe/Berlin`.
    pub name: String,
    /// Its rules.
    pub rules: TimeZone,
}

/// The zone of that name.
pub fn named(name: &str) -> Result<Zone, Error> {
    let rules = TimeZone::get(name).map_err(|_| {
        Error::Usage(format!(
            "there is no time zone {:?}; name one like Europe/Berlin, America/New_York or UTC",
            crate::talk::route::clip(name, 80)
        ))
    })?;
    let name = rules.iana_name().unwrap_or("UTC").to_owned();
    Ok(Zone { name, rules })
}

/// The zone of this machine, and a note where it does not tell.
pub fn of_system() -> (Zone, Option<String>) {
    let rules = TimeZone::system();
    match rules.iana_name().map(str::to_owned) {
        Some(name) if name != "Etc/Unknown" => (Zone { name, rules }, None),
        _ => {
            let note = "this machine does not say in which time zone it is, so the times are UTC; \
                        name another one with --zone Europe/Berlin";
            (Zone { name: "UTC".to_owned(), rules: TimeZone::UTC }, Some(note.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_known_by_name() {
        assert_eq!(named("Europe/Berlin").unwrap().name, "Europe/Berlin");
        assert_eq!(named("UTC").unwrap().name, "UTC");
        for bad in ["", "Berlin", "Europe/Atlantis", "../../etc/passwd", "+02:00"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn zones_are_built_in() {
        let db = jiff::tz::TimeZoneDatabase::bundled();
        for name in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"] {
            assert!(db.get(name).is_ok(), "{name}");
        }
    }
}
