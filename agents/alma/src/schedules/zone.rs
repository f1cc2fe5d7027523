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

/// Names of zones that people say and that are no name of a place there.
#[rustfmt::skip]
const SPOKEN: &[(&str, &str)] = &[
    ("eastern", "America/New_York"), ("us eastern", "America/New_York"),
    ("central", "America/Chicago"), ("mountain", "America/Denver"),
    ("pacific", "America/Los_Angeles"), ("us pacific", "America/Los_Angeles"),
    ("central european", "Europe/Berlin"), ("eastern european", "Europe/Athens"),
    ("western european", "Europe/Lisbon"), ("british", "Europe/London"),
    ("greenwich", "GMT"), ("greenwich mean", "GMT"), ("universal", "UTC"), ("indian", "Asia/Kolkata"),
    ("india", "Asia/Kolkata"), ("japan", "Asia/Tokyo"), ("german", "Europe/Berlin"),
    ("germany", "Europe/Berlin"), ("uk", "Europe/London"), ("san francisco", "America/Los_Angeles"),
    ("seattle", "America/Los_Angeles"), ("boston", "America/New_York"),
    ("washington", "America/New_York"), ("munich", "Europe/Berlin"), ("hamburg", "Europe/Berlin"),
    ("frankfurt", "Europe/Berlin"), ("milan", "Europe/Rome"), ("barcelona", "Europe/Madrid"),
    ("geneva", "Europe/Zurich"), ("mumbai", "Asia/Kolkata"), ("delhi", "Asia/Kolkata"),
    ("beijing", "Asia/Shanghai"), ("osaka", "Asia/Tokyo"), ("tokio", "Asia/Tokyo"),
    ("tokiot", "Asia/Tokyo"), ("wien", "Europe/Vienna"), ("zürch", "Europe/Zurich"),
    ("zürich", "Europe/Zurich"), ("moskau", "Europe/Moscow"), ("londres", "Europe/London"),
    ("londra", "Europe/London"), ("roma", "Europe/Rome"), ("parigi", "Europe/Paris"),
    ("berlino", "Europe/Berlin"), ("berlín", "Europe/Berlin"), ("parís", "Europe/Paris"),
    ("nueva york", "America/New_York"), ("tokyo", "Asia/Tokyo"),
];
/// What is written behind a time of the day. Summer time is that of the place.
#[rustfmt::skip]
const SHORT: &[(&str, &str)] = &[
    ("UTC", "UTC"), ("GMT", "GMT"), ("CET", "Europe/Berlin"), ("CEST", "Europe/Berlin"),
    ("MEZ", "Europe/Berlin"), ("MESZ", "Europe/Berlin"), ("WET", "Europe/Lisbon"),
    ("EET", "Europe/Athens"), ("BST", "Europe/London"), ("MSK", "Europe/Moscow"),
    ("EST", "America/New_York"), ("EDT", "America/New_York"), ("ET", "America/New_York"),
    ("CST", "America/Chicago"), ("CDT", "America/Chicago"), ("MST", "America/Denver"),
    ("MDT", "America/Denver"), ("PST", "America/Los_Angeles"), ("PDT", "America/Los_Angeles"),
    ("PT", "America/Los_Angeles"), ("JST", "Asia/Tokyo"), ("KST", "Asia/Seoul"),
    ("IST", "Asia/Kolkata"), ("SGT", "Asia/Singapore"), ("AEST", "Australia/Sydney"),
    ("AEDT", "Australia/Sydney"),
];
/// Words of a place.
const PLACE_WORDS: usize = 3;

/// A zone that a text names, and the text without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The name of the zone.
    pub zone: Option<String>,
    /// The rest.
    pub text: String,
}

/// The zone of a place, as people call it.
fn of_place(place: &str) -> Option<String> {
    let place = place.to_lowercase();
    if let Some((_, zone)) = SPOKEN.iter().find(|(spoken, _)| *spoken == place) {
        return Some((*zone).to_owned());
    }
    let wanted = place.replace(' ', "_");
    let found = jiff::tz::db().available().map(|name| name.as_str().to_owned());
    let mut fits: Vec<String> = found
        .filter(|name| {
            let last = name.rsplit_once('/').map(|(_, last)| last.to_lowercase());
            last.as_deref() == Some(wanted.as_str())
        })
        .collect();
    fits.sort();
    fits.into_iter().next()
}

/// Takes the zone out of a text: "at eight Tokyo time", "9am UTC". The error is the
/// place that is called like one and is not known.
pub fn taken(text: &str) -> Result<Taken, String> {
    let begins = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    let words: Vec<(usize, &str)> =
        text.split_whitespace().map(|word| (begins(word), word)).collect();
    let bare = |n: usize| {
        let word = words.get(n).map_or("", |(_, word)| *word);
        word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/' && c != '_')
    };
    let without = |from: usize, to: usize, zone: String| {
        let start = words.get(from).map_or(0, |(at, _)| *at);
        let end = words.get(to - 1).map_or(text.len(), |(at, word)| at + word.len());
        let (before, behind) = (text.get(..start).unwrap_or(""), text.get(end..).unwrap_or(""));
        // A comma behind the zone belongs to the sentence.
        let mark = if text.get(..end).is_some_and(|t| t.ends_with(',')) { "," } else { "" };
        let text = format!("{}{mark}{behind}", before.trim_end());
        Taken { zone: Some(zone), text: text.trim().to_owned() }
    };
    let joined = |from: usize, to: usize| (from..to).map(bare).collect::<Vec<_>>().join(" ");
    for n in 0..words.len() {
        let word = bare(n);
        if word.contains('/')
            && let Ok(zone) = named(word)
        {
            let led = n > 0 && matches!(bare(n - 1), "in" | "zone" | "timezone");
            return Ok(without(if led { n - 1 } else { n }, n + 1, zone.name));
        }
        let short = SHORT.iter().find(|(short, _)| {
            *short == word || (matches!(*short, "UTC" | "GMT") && short.eq_ignore_ascii_case(word))
        });
        if let (Some((_, zone)), true) = (short, n > 0) {
            let to = if bare(n + 1).eq_ignore_ascii_case("time") { n + 2 } else { n + 1 };
            return Ok(without(n, to, (*zone).to_owned()));
        }
        let lower = word.to_lowercase();
        if matches!(lower.as_str(), "time" | "zeit") {
            for from in n.saturating_sub(PLACE_WORDS)..n {
                let place = joined(from, n);
                let stem = if lower == "zeit" { place.strip_suffix("er") } else { None };
                if let Some(zone) = of_place(&place).or_else(|| of_place(stem?)) {
                    return Ok(without(from, n + 1, zone));
                }
            }
            let place = bare(n.wrapping_sub(1));
            let capital = place.chars().next().is_some_and(char::is_uppercase) && n > 1;
            if capital {
                return Err(place.to_owned());
            }
        }
        let hour = matches!(lower.as_str(), "heure" | "hora" | "ora");
        if hour && matches!(bare(n + 1), "de" | "di") {
            for to in (n + 3..=(n + 2 + PLACE_WORDS).min(words.len())).rev() {
                if let Some(zone) = of_place(&joined(n + 2, to)) {
                    return Ok(without(n, to, zone));
                }
            }
        }
    }
    Ok(Taken { zone: None, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, zone: Option<&str>, rest: &str) {
        let taken = taken(text).unwrap();
        assert_eq!((taken.zone.as_deref(), taken.text.as_str()), (zone, rest), "{text}");
    }

    #[test]
    fn a_zone_is_taken_out_of_the_words() {
        let rest = "every day at eight list the files";
        check("every day at eight Tokyo time list the files", Some("Asia/Tokyo"), rest);
        check("every day at eight New York time list the files", Some("America/New_York"), rest);
        check(
            "every day at eight, Europe/Paris, list the files",
            Some("Europe/Paris"),
            "every day at eight,, list the files",
        );
        check(
            "list the files every day at 9am UTC",
            Some("UTC"),
            "list the files every day at 9am",
        );
        check(
            "list the files daily at 9 pm CET",
            Some("Europe/Berlin"),
            "list the files daily at 9 pm",
        );
        check("at nine Eastern time total a.csv", Some("America/New_York"), "at nine total a.csv");
        check("jeden Tag um acht Berliner Zeit", Some("Europe/Berlin"), "jeden Tag um acht");
        check(
            "chaque jour à huit heures heure de Paris",
            Some("Europe/Paris"),
            "chaque jour à huit heures",
        );
        check(
            "cada día a las ocho hora de Nueva York",
            Some("America/New_York"),
            "cada día a las ocho",
        );
    }

    #[test]
    fn other_times_are_no_zones() {
        for text in ["every time the first time", "put notes/a.md into b", "every day at eight", ""]
        {
            check(text, None, text);
        }
        assert_eq!(taken("every day at eight Atlantis time"), Err("Atlantis".to_owned()));
    }

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
