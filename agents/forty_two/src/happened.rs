//! *What happened*: counts, told in sentences that link to what they count.

use crate::day::{Day, Mission};
use crate::report::{Activity, Line};
use charter::approval::ApprovalState;
use charter::rows::MissionState;
use std::collections::BTreeSet;

/// Failed missions that are told one by one.
const FAILED_TOLD: usize = 3;
/// Most bars of the activity.
const BARS_MAX: i64 = 24;
const MINUTE: i64 = 60_000;
/// What a bar may stand for.
const BARS: [i64; 8] = [
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    60 * MINUTE,
    180 * MINUTE,
    720 * MINUTE,
    1_440 * MINUTE,
    10_080 * MINUTE,
];
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
    if day.discarded > 0 {
        lines.push(Line::new(format!(
            "{} discarded, for nobody looked after them.",
            count(day.discarded as usize, "dead step")
        )));
    }
    if day.memories > 0 {
        lines.push(Line::new(format!("{} kept.", count(day.memories as usize, "memory"))));
    }
    lines
}

/// Missions and turns over time, from the first to the last of them: nothing where
/// they are too close together to tell apart.
pub fn activity(day: &Day) -> Activity {
    let moments: Vec<i64> =
        day.missions.iter().map(|m| m.at).chain(day.turns.iter().map(|t| t.at)).collect();
    let (Some(first), Some(last)) = (moments.iter().min(), moments.iter().max()) else {
        return Activity::default();
    };
    let span = last - first;
    let longest = span / BARS_MAX + 1;
    let bar = BARS.into_iter().find(|bar| *bar >= longest).unwrap_or(longest);
    let mut bars = vec![0u32; (span / bar + 1) as usize];
    if bars.len() < 2 {
        return Activity::default();
    }
    for at in &moments {
        if let Some(count) = bars.get_mut(((at - first) / bar) as usize) {
            *count += 1;
        }
    }
    Activity { since: *first, until: *last, bar_ms: bar, bars }
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
        assert!(activity(&day()).bars.is_empty());
    }

    /// What happened at these times, in minutes: minutes per bar, and the bars.
    fn bars(at: &[i64]) -> (i64, Vec<u32>) {
        let mut day = day();
        day.missions = at.iter().map(|_| mission("m", "a")).collect();
        for (mission, at) in day.missions.iter_mut().zip(at) {
            mission.at = at * MINUTE;
        }
        let activity = activity(&day);
        (activity.bar_ms / MINUTE, activity.bars)
    }

    #[test]
    fn bars_reach_from_the_first_to_the_last() {
        assert_eq!(bars(&[600, 601, 601, 604]), (1, vec![1, 2, 0, 0, 1]));
        assert_eq!(bars(&[600, 660]).0, 5);
        assert_eq!(
            bars(&[0, 23 * 60]),
            (60, {
                let mut b = vec![0; 24];
                b[0] = 1;
                b[23] = 1;
                b
            })
        );
        assert_eq!(bars(&[0, 7 * 1_440]).0, 720);
        // Within one minute there is nothing to show.
        assert_eq!(bars(&[600, 600]), (0, Vec::new()));
        assert_eq!(bars(&[600]), (0, Vec::new()));
    }

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(count(1, "memory"), "1 memory");
        assert_eq!(count(0, "memory"), "0 memories");
        assert_eq!(count(2, "claim"), "2 claims");
        assert_eq!(short(&"word ".repeat(40)).chars().count(), WISH_CHARS);
    }
}
