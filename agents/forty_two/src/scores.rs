//! How well each part works: figures with the number of cases behind them, and how
//! they were the nights before.
//!
//! A figure over a handful of cases moves by chance. It is called better or worse
//! only where tonight and the nights before it differ by more than chance at a level
//! of 99 %: with ten figures a night, one false alarm in ten nights. For shares that
//! is Newcombe's interval of a difference (Wilson's intervals of both sides put
//! together), which must not hold zero; for times, the interval of tonight's median by
//! rank, which must not hold the median of the nights before. Below [`CASES_MIN`]
//! cases on either side it is too few to tell.

use crate::day::Day;
use charter::approval::ApprovalState;
use charter::conversation::{Route, TurnState};
use charter::event::DeathCause;
use charter::rows::MissionState;
use serde::{Deserialize, Serialize};

/// Nights that a trend shows.
pub const NIGHTS: usize = 14;
/// Cases on either side from which a change can be told from chance.
pub const CASES_MIN: u32 = 10;
/// Standard errors of 99 %.
const NORMAL: f64 = 2.576;

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
    /// Where the figure lies if chance is taken off, at 99 %; of times only, and only
    /// of enough cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// The figures of earlier nights, oldest first; nights without a case left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<f64>,
    /// The cases behind each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<u32>,
}

/// How a figure moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// There is nothing to compare.
    New,
    /// There is too little to compare.
    Few,
    /// No more than by chance.
    Same,
    /// It got better.
    Better,
    /// It got worse.
    Worse,
}

impl Score {
    /// The nights before together: of shares and counts the figure per case over all
    /// their cases, of times the median night.
    pub fn earlier(&self) -> Option<f64> {
        if self.unit == Unit::Millis {
            let mut nights = self.before.clone();
            nights.sort_by(f64::total_cmp);
            return nights.get(nights.len().checked_sub(1)? / 2).copied();
        }
        let all: f64 = self.cases.iter().map(|n| f64::from(*n)).sum();
        let parts = self.before.iter().zip(&self.cases).map(|(value, n)| self.part(*value, *n));
        (all > 0.0).then(|| parts.sum::<f64>() / all)
    }

    /// How it moved since the nights before.
    pub fn trend(&self) -> Trend {
        let Some(now) = self.value.filter(|_| !self.before.is_empty()) else { return Trend::New };
        let cases: u32 = self.cases.iter().fold(0, |sum, n| sum.saturating_add(*n));
        let Some(earlier) = self.earlier().filter(|_| self.n.min(cases) >= CASES_MIN) else {
            return Trend::Few;
        };
        let change = match (self.unit, self.range) {
            (Unit::Millis, Some((low, high))) if (low..=high).contains(&earlier) => 0.0,
            (Unit::Millis, Some(_)) => now - earlier,
            (Unit::Millis, None) => return Trend::Few,
            _ => {
                let n = f64::from(self.n);
                beyond_chance((self.part(now, self.n) / n, n), (earlier, f64::from(cases)))
            }
        };
        match change {
            0.0 => Trend::Same,
            change if (change > 0.0) == self.more_is_better => Trend::Better,
            _ => Trend::Worse,
        }
    }

    /// The cases that a figure stands for.
    fn part(&self, value: f64, n: u32) -> f64 {
        if self.unit == Unit::Count { value } else { value * f64::from(n) }
    }
}

/// The difference of two shares, each of so many cases; 0 where it may be chance.
fn beyond_chance((now, n): (f64, f64), (earlier, m): (f64, f64)) -> f64 {
    let ((low, high), (low_before, high_before)) = (wilson(now, n), wilson(earlier, m));
    let change = now - earlier;
    let below = change - (now - low).hypot(high_before - earlier);
    let above = change + (high - now).hypot(earlier - low_before);
    if below > 0.0 || above < 0.0 { change } else { 0.0 }
}

/// Wilson's interval of a share.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let square = NORMAL * NORMAL;
    let middle = share + square / (2.0 * n);
    let wide = NORMAL * (share * (1.0 - share) / n + square / (4.0 * n * n)).max(0.0).sqrt();
    let scale = 1.0 + square / n;
    ((middle - wide) / scale, (middle + wide) / scale)
}

/// The ranks between which the median lies, of sorted values; `None` of too few.
fn range(sorted: &[u64]) -> Option<(f64, f64)> {
    let n = sorted.len() as f64;
    let away = NORMAL * n.sqrt() / 2.0;
    let (low, high) = ((n / 2.0 - away).floor(), (n / 2.0 + away).ceil());
    let at = |rank: f64| sorted.get(rank as usize).map(|ms| *ms as f64);
    if low < 0.0 { None } else { Some((at(low)?, at(high - 1.0)?)) }
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
    if let Some(score) = all.iter_mut().find(|score| score.unit == Unit::Millis) {
        score.range = range(&times);
    }
    for score in &mut all {
        let values = earlier.iter().flatten().filter(|old| old.name == score.name);
        let values: Vec<(f64, u32)> = values.filter_map(|old| Some((old.value?, old.n))).collect();
        let last = values.len().saturating_sub(NIGHTS - 1);
        (score.before, score.cases) = values.into_iter().skip(last).unzip();
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
        range: None,
        before: Vec::new(),
        cases: Vec::new(),
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

    /// Tonight's share of so many cases against earlier ones.
    fn moved(now: (f64, u32), earlier: &[(f64, u32)], more_is_better: bool) -> Trend {
        let (before, cases) = earlier.iter().copied().unzip();
        let score = score("x", "x", (Some(now.0), now.1), Unit::Share, more_is_better);
        Score { before, cases, ..score }.trend()
    }

    #[test]
    fn a_handful_of_cases_is_no_trend() {
        assert_eq!(moved((0.75, 8), &[(1.0, 8)], true), Trend::Few);
        assert_eq!(moved((0.0, 9), &[(1.0, 900)], true), Trend::Few);
        assert_eq!(moved((0.5, 100), &[], true), Trend::New);
        // Old reports tell no cases.
        let old = score("x", "x", (Some(0.1), 100), Unit::Share, true);
        assert_eq!(Score { before: vec![0.9], ..old }.trend(), Trend::Few);
    }

    #[test]
    fn what_chance_does_is_no_trend() {
        assert_eq!(moved((0.8, 10), &[(1.0, 10)], true), Trend::Same);
        assert_eq!(moved((0.9, 20), &[(1.0, 30)], true), Trend::Same);
        assert_eq!(moved((0.55, 100), &[(0.5, 100)], true), Trend::Same);
        assert_eq!(moved((1.0, 40), &[(1.0, 40)], true), Trend::Same);
    }

    #[test]
    fn a_trend_knows_which_way_is_better() {
        assert_eq!(moved((0.5, 40), &[(0.95, 40)], true), Trend::Worse);
        assert_eq!(moved((0.5, 40), &[(0.95, 40)], false), Trend::Better);
        // Three nights of eight are twenty-four.
        let nights = [(0.25, 8), (0.25, 8), (0.25, 8)];
        assert_eq!(moved((1.0, 20), &nights, true), Trend::Better);
    }

    #[test]
    fn a_time_moved_when_its_median_did() {
        let times = |from: u64, n: u64| -> Vec<u64> { (0..n).map(|i| from + i).collect() };
        let of = |sorted: &[u64], before: f64| {
            let median = sorted[(sorted.len() - 1) / 2] as f64;
            let n = sorted.len() as u32;
            let score = score("t", "t", (Some(median), n), Unit::Millis, false);
            let (before, cases) = (vec![before], vec![20]);
            Score { range: range(sorted), before, cases, ..score }.trend()
        };
        assert_eq!(of(&times(100, 20), 108.0), Trend::Same);
        assert_eq!(of(&times(100, 20), 300.0), Trend::Better);
        assert_eq!(of(&times(100, 20), 20.0), Trend::Worse);
        assert_eq!(of(&times(100, 5), 20.0), Trend::Few);
        assert_eq!(range(&times(0, 20)), Some((4.0, 15.0)));
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
