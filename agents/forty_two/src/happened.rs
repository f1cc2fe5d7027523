//! *What happened*: counts, told in sentences that link to what they count.

use crate::day::{Day, Mission};
use crate::report::Line;
use charter::approval::ApprovalState;
use charter::rows::MissionState;
use std::collections::BTreeSet;

/// Failed missions that are told one by one.
const FAILED_TOLD: usize = 3;
/// Parts that the activity of a day has.
const PARTS: usize = 24;
/// Longest quotation of a wish.
const WISH_CHARS: usize = 60;

/// Tells what happened.
pub fn happened(day: &Day) -> Vec<Line> {
    let mut lines = Vec::new();
    let of = |states: &[MissionState]| -> Vec<&Mission> {
        day.missions.iter().filter(|m| states.contains(&m.state)).collect()
    };
    if !day.missions.is_empty() {
        use MissionState::{
            Cancelled, Done, Failed, Partial, Refused, Running, Unverified, Waiting,
        };
        let kinds: [(&[MissionState], &str); 7] = [
            (&[Done], "done and proven"),
            (&[Unverified], "done, not all of it proven"),
            (&[Failed], "failed"),
            (&[Refused], "refused"),
            (&[Partial], "stopped by a budget"),
            (&[Cancelled], "cancelled"),
            (&[Running, Waiting], "not finished"),
        ];
        let told: Vec<String> = kinds
            .iter()
            .map(|(states, what)| (of(states).len(), what))
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"))
            .collect();
        lines.push(Line::new(format!(
            "{}: {}.",
            count(day.missions.len(), "mission"),
            told.join(", ")
        )));
        let (claims, proven): (u32, u32) = (
            day.missions.iter().map(|m| m.claims).sum(),
            day.missions.iter().map(|m| m.proven).sum(),
        );
        let files: usize = day.missions.iter().map(|m| m.files.len()).sum();
        if claims > 0 {
            lines.push(Line::new(format!(
                "{} made or changed; {proven} of {} proven.",
                count(files, "file"),
                count(claims as usize, "claim")
            )));
        }
        for mission in of(&[Failed]).into_iter().take(FAILED_TOLD) {
            let why = mission.failure().map_or_else(String::new, |step| {
                let error = step.error.as_deref().unwrap_or("no reason was recorded");
                format!(" at step {} ({}): {}", step.n, step.tool, first_sentence(error))
            });
            lines.push(Line::about(format!("“{}” failed{why}", short(&mission.wish)), &mission.id));
        }
        for mission in of(&[Waiting]).into_iter().take(FAILED_TOLD) {
            lines.push(Line::about(
                format!("“{}” waits for you.", short(&mission.wish)),
                &mission.id,
            ));
        }
    }
    if !day.turns.is_empty() {
        let sessions: BTreeSet<&str> = day.turns.iter().map(|t| t.session.as_str()).collect();
        let mut line = Line::new(format!(
            "{} said in {}.",
            count(day.turns.len(), "thing"),
            count(sessions.len(), "conversation")
        ));
        if sessions.len() <= FAILED_TOLD {
            line.links = sessions.into_iter().map(str::to_owned).collect();
        }
        lines.push(line);
    }
    if !day.asked.is_empty() {
        let with = |state| day.asked.iter().filter(|asked| asked.state == state).count();
        let told: Vec<String> = [
            (with(ApprovalState::Approved), "yes"),
            (with(ApprovalState::Denied), "no"),
            (with(ApprovalState::Expired), "not answered in time"),
            (with(ApprovalState::Open), "still open"),
            (with(ApprovalState::Withdrawn), "no longer needed"),
        ]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
        lines.push(Line::new(format!(
            "You were asked {}: {}.",
            count(day.asked.len(), "time"),
            told.join(", ")
        )));
    }
    if day.memories > 0 {
        lines.push(Line::new(format!("{} kept.", count(day.memories as usize, "memory"))));
    }
    lines
}

/// Missions and turns per part of the day, and when the first part begins: with the
/// day, or with the first of them where a long time was silent before.
pub fn activity(day: &Day) -> (i64, Vec<u32>) {
    let moments: Vec<i64> =
        day.missions.iter().map(|m| m.at).chain(day.turns.iter().map(|t| t.at)).collect();
    let first = moments.iter().min().copied().unwrap_or(day.since);
    let silent = (first - day.since) * 2 > day.until - day.since;
    let since = if silent { first } else { day.since };
    let length = (day.until - since).max(1);
    let mut parts = vec![0; if moments.is_empty() { 0 } else { PARTS }];
    for at in moments {
        let place = (at - since).clamp(0, length - 1) as i128 * PARTS as i128 / length as i128;
        if let Some(part) = usize::try_from(place).ok().and_then(|place| parts.get_mut(place)) {
            *part += 1;
        }
    }
    (since, parts)
}

/// A number with its noun.
pub fn count(n: usize, noun: &str) -> String {
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {noun}s"),
    }
}

/// A wish, cut where it is long.
pub fn short(wish: &str) -> String {
    let line = wish.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= WISH_CHARS {
        return line;
    }
    let cut: String = line.chars().take(WISH_CHARS - 1).collect();
    format!("{}…", cut.trim_end())
}

/// An error up to its first full stop or line break, with one.
fn first_sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let end = line.find(". ").unwrap_or(line.len());
    let sentence: String = line.get(..end).unwrap_or(line).chars().take(160).collect();
    format!("{}.", sentence.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{day, mission};
    use expect_test::{Expect, expect};

    fn check(day: &Day, expect: Expect) {
        let told: Vec<String> = happened(day)
            .into_iter()
            .map(|l| format!("{} {}", l.text, l.links.join(" ")))
            .collect();
        expect.assert_eq(&told.join("\n"));
    }

    #[test]
    fn counts_are_told_with_links() {
        let mut day = day();
        day.missions = vec![mission("m1", "total the expenses"), mission("m2", "pack the notes")];
        day.missions[1].state = MissionState::Failed;
        day.missions[1].steps[0].cause = Some(charter::event::DeathCause::Permanent);
        day.missions[1].steps[0].error = Some("no file fits. Name one.".to_owned());
        check(
            &day,
            expect![[r#"
                2 missions: 1 done and proven, 1 failed. 
                2 files made or changed; 4 of 4 claims proven. 
                “pack the notes” failed at step 1 (hash): no file fits. m2"#]],
        );
    }

    #[test]
    fn of_an_empty_day_nothing_is_told() {
        check(&day(), expect![""]);
        assert!(activity(&day()).1.is_empty());
    }

    #[test]
    fn the_bars_begin_where_something_begins() {
        let mut day = day();
        day.missions = vec![mission("m1", "a"), mission("m2", "b")];
        day.missions[1].at = day.until - 1;
        let (since, parts) = activity(&day);
        assert_eq!((since, parts[0], parts[PARTS - 1]), (0, 1, 1));
        day.missions.remove(0);
        assert_eq!(activity(&day).0, day.until - 1);
    }

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(count(1, "memory"), "1 memory");
        assert_eq!(count(0, "memory"), "0 memories");
        assert_eq!(count(2, "claim"), "2 claims");
        assert_eq!(short(&"word ".repeat(40)).chars().count(), WISH_CHARS);
    }
}
