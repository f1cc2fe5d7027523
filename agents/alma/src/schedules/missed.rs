//! What is done when due times have come: one runs, the others are recorded. Pure.

use super::cron::Cron;
use charter::ids::Millis;
use charter::schedule::Missed;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::VecDeque;

/// How late a due time may be taken as if it were on time, in milliseconds: a busy
/// or sleeping machine wakes a little late.
pub(super) const ON_TIME_MS: Millis = 120_000;
/// Missed times that get a record of their own; how many more there were is noted.
pub(super) const RECORDED_MAX: usize = 50;
/// The farthest that is looked back, in milliseconds: what passed before is not
/// counted.
pub(super) const LOOKED_BACK_MS: Millis = 400 * 24 * 3_600_000;

/// A due time that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// When it was due.
    pub(super) due_at: Millis,
    /// Whether it runs; otherwise it is missed.
    pub(super) runs: bool,
    /// Missed ones behind it that have no record of their own.
    pub(super) more: u32,
    /// The due time that is next on record.
    pub(super) next_at: Millis,
}

/// Takes all that is due at `now`, oldest first; `first` is the next one on record.
/// At most the newest runs. `None` where nothing is due, or nothing ever follows.
pub(super) fn take(
    cron: &Cron,
    zone: &TimeZone,
    first: Millis,
    now: Millis,
    missed: Missed,
) -> Option<Vec<Taken>> {
    if first > now {
        return None;
    }
    let from = first.max(now.saturating_sub(LOOKED_BACK_MS));
    let mut newest = VecDeque::new();
    let mut passed = 0_u32;
    let mut next_at = None;
    for at in cron.after(Timestamp::from_millisecond(from).ok()?, zone) {
        let at = at.as_millisecond();
        if at > now {
            next_at = Some(at);
            break;
        }
        passed = passed.saturating_add(1);
        newest.push_back(at);
        if newest.len() > RECORDED_MAX {
            newest.pop_front();
        }
    }
    let next_at = next_at?;
    let more = passed - u32::try_from(newest.len()).unwrap_or(passed);
    let due: Vec<Millis> = std::iter::once(first).chain(newest).collect();
    let last = due.len() - 1;
    let taken = due.iter().enumerate().map(|(i, at)| Taken {
        due_at: *at,
        runs: i == last && (missed == Missed::Once || now - at <= ON_TIME_MS),
        more: if i == 0 { more } else { 0 },
        next_at: due.get(i + 1).copied().unwrap_or(next_at),
    });
    Some(taken.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;
    const HOUR: Millis = 60 * MINUTE;

    /// Hours of due times, `!` behind the one that runs, `+n` behind one that
    /// stands for more; then the next.
    fn check(first: Millis, now: Millis, missed: Missed, expect: &str) {
        let cron = Cron::read("0 * * * *").unwrap();
        let told = take(&cron, &TimeZone::UTC, first * HOUR, now, missed).map(|all| {
            let mut told: Vec<String> = all
                .iter()
                .map(|t| {
                    let more = if t.more > 0 { format!("+{}", t.more) } else { String::new() };
                    format!("{}{}{more}", t.due_at / HOUR, if t.runs { "!" } else { "" })
                })
                .collect();
            for pair in all.windows(2) {
                assert_eq!(pair[0].next_at, pair[1].due_at);
            }
            told.push(format!("→{}", all.last().unwrap().next_at / HOUR));
            told.join(" ")
        });
        assert_eq!(told.as_deref().unwrap_or("nothing"), expect);
    }

    #[test]
    fn on_time_it_runs_whatever_is_said_of_missed_ones() {
        for missed in [Missed::Once, Missed::Skip] {
            check(5, 5 * HOUR - 1, missed, "nothing");
            check(5, 5 * HOUR, missed, "5! →6");
            check(5, 5 * HOUR + ON_TIME_MS, missed, "5! →6");
        }
    }

    #[test]
    fn late_ones_run_once_or_not_at_all() {
        check(5, 5 * HOUR + 30 * MINUTE, Missed::Once, "5! →6");
        check(5, 5 * HOUR + 30 * MINUTE, Missed::Skip, "5 →6");
        check(5, 8 * HOUR + 30 * MINUTE, Missed::Once, "5 6 7 8! →9");
        check(5, 8 * HOUR + 30 * MINUTE, Missed::Skip, "5 6 7 8 →9");
        check(5, 8 * HOUR + MINUTE, Missed::Skip, "5 6 7 8! →9");
    }

    /// Nobody was there on the night on which the clocks changed.
    #[test]
    fn a_change_of_clocks_is_missed_like_any_night() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let cron = Cron::read("30 2 * * *").unwrap();
        for (first, nights) in [
            // Put forward: 02:30 does not exist, and the night counts from 03:00.
            ("2026-03-28T02:30:00+01:00", ["03-28 02:30", "03-29 03:00", "03-30 02:30"]),
            // Put back: 02:30 comes twice, and counts once.
            ("2026-10-24T02:30:00+02:00", ["10-24 02:30", "10-25 02:30", "10-26 02:30"]),
        ] {
            let first: Timestamp = first.parse().unwrap();
            let now = first.as_millisecond() + 60 * HOUR;
            for (missed, runs) in [(Missed::Once, true), (Missed::Skip, false)] {
                let all = take(&cron, &berlin, first.as_millisecond(), now, missed).unwrap();
                let local = |at: Millis| {
                    let at = Timestamp::from_millisecond(at).unwrap().to_zoned(berlin.clone());
                    at.strftime("%m-%d %H:%M").to_string()
                };
                let due: Vec<String> = all.iter().map(|taken| local(taken.due_at)).collect();
                assert_eq!(due, nights);
                assert_eq!(all.iter().filter(|taken| taken.runs).count(), usize::from(runs));
            }
        }
    }

    #[test]
    fn a_long_absence_is_bounded() {
        let cron = Cron::read("* * * * *").unwrap();
        let now = 10 * 365 * 24 * HOUR;
        let all = take(&cron, &TimeZone::UTC, 0, now, Missed::Once).unwrap();
        assert_eq!(all.len(), RECORDED_MAX + 1);
        let minutes = u32::try_from(LOOKED_BACK_MS / MINUTE).unwrap();
        assert_eq!(all[0].more, minutes - u32::try_from(RECORDED_MAX).unwrap());
        assert_eq!((all[0].due_at, all[0].runs), (0, false));
        let last = all.last().unwrap();
        assert_eq!((last.due_at, last.runs, last.next_at), (now, true, now + MINUTE));
    }
}
