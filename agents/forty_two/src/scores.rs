//! How well each part works: figures with the number of cases behind them, and how
//! they were the nights before.

use crate::day::Day;
use charter::approval::ApprovalState;
use charter::conversation::{Route, TurnState};
use charter::event::DeathCause;
use charter::rows::MissionState;
use serde::{Deserialize, Serialize};

/// Nights that a trend shows.
pub const NIGHTS: usize = 14;
/// Changes of a share that say nothing.
const STILL: f64 = 0.005;

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of the cases.
    Share,
    /// A number of cases.
    Count,
    /// Milliseconds.
    Millis,
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Its name.
    pub name: String,
    /// What it tells, for people.
    pub label: String,
    /// The figure; absent where there was no case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Cases behind it.
    pub n: u32,
    /// What it is.
    pub unit: Unit,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// The figures of earlier nights, oldest first; nights without a case left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<f64>,
}

/// How a figure moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// There is nothing to compare.
    New,
    /// As it was.
    Same,
    /// It got better.
    Better,
    /// It got worse.
    Worse,
}

impl Score {
    /// How it moved since the night before.
    pub fn trend(&self) -> Trend {
        let (Some(now), Some(before)) = (self.value, self.before.last()) else { return Trend::New };
        let change = now - before;
        let still = match self.unit {
            Unit::Share => STILL,
            Unit::Count => 0.5,
            Unit::Millis => before.abs() * 0.1,
        };
        match change {
            change if change.abs() <= still => Trend::Same,
            change if (change > 0.0) == self.more_is_better => Trend::Better,
            _ => Trend::Worse,
        }
    }
}

/// The figures of a day. `earlier` holds those of the nights before, oldest first.
pub fn scores(day: &Day, attacks: (u32, u32), earlier: &[Vec<Score>]) -> Vec<Score> {
    let ended: Vec<_> = day.missions.iter().filter(|m| m.state.is_end()).collect();
    let steps: Vec<_> =
        day.missions.iter().flat_map(|m| &m.steps).filter(|s| s.state.is_end()).collect();
    let routed: Vec<_> = day.turns.iter().filter(|t| t.route.is_some()).collect();
    let of = |route| day.turns.iter().filter(move |t| t.route == Some(route));
    let answered = |state| matches!(state, ApprovalState::Approved | ApprovalState::Denied);
    let asked: Vec<_> = day.asked.iter().filter(|a| answered(a.state)).collect();
    let claims: u32 = day.missions.iter().map(|m| m.claims).sum();
    let proven: u32 = day.missions.iter().map(|m| m.proven).sum();
    let count = |n: usize| n as u32;
    let mut times: Vec<u64> = ended.iter().map(|m| m.wall_ms).collect();
    times.sort_unstable();
    let median = times.get(times.len().saturating_sub(1) / 2).map(|ms| *ms as f64);
    let share = |name: &str, label: &str, part: u32, n: u32, more_is_better: bool| {
        let value = (n > 0).then(|| f64::from(part) / f64::from(n));
        score(name, label, (value, n), Unit::Share, more_is_better)
    };
    let mut all = vec![
        share(
            "missions.proven",
            "missions done and proven",
            count(ended.iter().filter(|m| m.state == MissionState::Done).count()),
            count(ended.len()),
            true,
        ),
        share("claims.proven", "claims that a check proved", proven, claims, true),
        share(
            "steps.unproven",
            "results found wrong",
            count(steps.iter().filter(|s| s.cause == Some(DeathCause::Unproven)).count()),
            count(steps.len()),
            false,
        ),
        score(
            "dead_letters",
            "steps on the dead-letter desk",
            (
                (!steps.is_empty())
                    .then(|| steps.iter().filter(|s| s.cause.is_some()).count() as f64),
                count(steps.len()),
            ),
            Unit::Count,
            false,
        ),
        share(
            "routing.sure",
            "messages understood at once",
            count(routed.iter().filter(|t| t.state != TurnState::Asked).count()),
            count(routed.len()),
            true,
        ),
        share(
            "wishes.refused",
            "wishes that became no mission",
            count(of(Route::Mission).filter(|t| !t.mission).count()),
            count(of(Route::Mission).count()),
            false,
        ),
        share(
            "recall.sourced",
            "questions answered from memory",
            count(of(Route::Recall).filter(|t| t.state == TurnState::Answered).count()),
            count(of(Route::Recall).count()),
            true,
        ),
        share(
            "approvals.denied",
            "questions answered with no",
            count(asked.iter().filter(|a| a.state == ApprovalState::Denied).count()),
            count(asked.len()),
            false,
        ),
        score(
            "mission.p50",
            "median time of a mission",
            (median, count(times.len())),
            Unit::Millis,
            false,
        ),
        share("attacks.held", "attacks that changed nothing", attacks.1, attacks.0, true),
    ];
    for score in &mut all {
        let values = earlier.iter().flatten().filter(|old| old.name == score.name);
        let values: Vec<f64> = values.filter_map(|old| old.value).collect();
        score.before = values.into_iter().rev().take(NIGHTS - 1).collect();
        score.before.reverse();
    }
    all
}

fn score(
    name: &str,
    label: &str,
    (value, n): (Option<f64>, u32),
    unit: Unit,
    more_is_better: bool,
) -> Score {
    Score {
        name: name.to_owned(),
        label: label.to_owned(),
        value,
        n,
        unit,
        more_is_better,
        before: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{day, mission, turn};

    fn value(all: &[Score], name: &str) -> (Option<f64>, u32) {
        let score = all.iter().find(|score| score.name == name).unwrap();
        (score.value, score.n)
    }

    #[test]
    fn figures_say_how_many_cases_they_rest_on() {
        let mut day = day();
        day.missions = vec![mission("m1", "a"), mission("m2", "b")];
        day.missions[1].state = MissionState::Failed;
        day.missions[1].steps[0].cause = Some(DeathCause::Unproven);
        day.turns = vec![
            turn("u1", "where is it", Route::Recall, "there", &[]),
            turn("u2", "make it so", Route::Mission, "I cannot", &[]),
        ];
        let all = scores(&day, (4, 4), &[]);
        assert_eq!(value(&all, "missions.proven"), (Some(0.5), 2));
        assert_eq!(value(&all, "steps.unproven"), (Some(0.5), 2));
        assert_eq!(value(&all, "wishes.refused"), (Some(1.0), 1));
        assert_eq!(value(&all, "attacks.held"), (Some(1.0), 4));
        assert_eq!(value(&all, "approvals.denied"), (None, 0));
    }

    #[test]
    fn a_trend_knows_which_way_is_better() {
        let with = |value: f64, before: f64, more_is_better| Score {
            before: vec![before],
            ..score("x", "x", (Some(value), 1), Unit::Share, more_is_better)
        };
        assert_eq!(with(0.9, 0.5, true).trend(), Trend::Better);
        assert_eq!(with(0.9, 0.5, false).trend(), Trend::Worse);
        assert_eq!(with(0.5, 0.5, true).trend(), Trend::Same);
        assert_eq!(score("x", "x", (None, 0), Unit::Share, true).trend(), Trend::New);
    }

    #[test]
    fn earlier_nights_are_kept_in_order_and_bounded() {
        let night =
            |value: f64| vec![score("attacks.held", "", (Some(value), 1), Unit::Share, true)];
        let earlier: Vec<_> = (0..40).map(|i| night(f64::from(i))).collect();
        let all = scores(&day(), (0, 0), &earlier);
        let before = &all.iter().find(|s| s.name == "attacks.held").unwrap().before;
        assert_eq!((before.len(), before.last()), (NIGHTS - 1, Some(&39.0)));
    }
}
