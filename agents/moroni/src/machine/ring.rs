//! What to do with a step when the bell rings for it.

use charter::budget::{Limit, Usage};
use charter::ids::Millis;
use charter::mode::Mode;
use charter::rows::{MissionRow, StepRow, StepState};

/// Claims that may end without a word before a step counts as poison: it kills
/// or outlives its workers.
pub const LOST_MAX: u32 = 3;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ring {
    /// Nothing: a late or repeated ring, or work does not go on.
    Ignore,
    /// A budget would be passed: stop the mission before this step spends more.
    Stop(Limit),
    /// Claim it.
    Claim(Work),
}

/// What a claimed step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The mission is being stopped: end the step.
    Cancel,
    /// It has lost too many workers: the dead-letter desk.
    Poison,
    /// Write the mission's report.
    Report,
    /// Turn a `for_each` step into instances.
    Expand,
    /// Put the outputs of instances together.
    Gather,
    /// Call the tool.
    Call,
}

/// Decides what a ring for this step means.
pub fn on_ring(step: &StepRow, mission: &MissionRow, mode: Mode, now: Millis) -> Ring {
    let is_due = step.state == StepState::Ready && step.ready_at <= now;
    if mode != Mode::Running || !is_due || mission.state.is_end() {
        return Ring::Ignore;
    }
    if step.key.n == 0 {
        return Ring::Claim(Work::Report);
    }
    if mission.cancelled || mission.stopped.is_some() {
        return Ring::Claim(Work::Cancel);
    }
    let next = mission.spent.plus(Usage { steps: 1, ..Usage::default() });
    if let Some(limit) = mission.budget.exceeded(&next) {
        return Ring::Stop(limit);
    }
    Ring::Claim(if step.lost >= LOST_MAX {
        Work::Poison
    } else if step.expanded {
        Work::Gather
    } else if step.for_each && step.key.item == 0 {
        Work::Expand
    } else {
        Work::Call
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::failure::tests::{mission, step};

    fn check(change: impl FnOnce(&mut StepRow, &mut MissionRow), expected: Ring) {
        let (mut step, mut mission) = (step(), mission());
        change(&mut step, &mut mission);
        assert_eq!(on_ring(&step, &mission, Mode::Running, 1_000), expected);
    }

    #[test]
    fn nothing_is_claimed_while_work_does_not_go_on() {
        for mode in [Mode::Maintenance, Mode::Stopped] {
            assert_eq!(on_ring(&step(), &mission(), mode, 1_000), Ring::Ignore);
        }
    }

    #[test]
    fn a_ready_step_is_called() {
        check(|_, _| {}, Ring::Claim(Work::Call));
    }

    #[test]
    fn a_late_or_early_ring_is_ignored() {
        check(|step, _| step.state = StepState::Done, Ring::Ignore);
        check(|step, _| step.ready_at = 1_001, Ring::Ignore);
    }

    #[test]
    fn the_last_permitted_step_runs_and_the_next_stops_the_mission() {
        check(|_, mission| mission.budget.steps = 1, Ring::Claim(Work::Call));
        check(
            |_, mission| {
                mission.budget.steps = 1;
                mission.spent.steps = 1;
            },
            Ring::Stop(Limit::Steps),
        );
    }

    #[test]
    fn a_step_that_loses_its_workers_is_poison() {
        check(|step, _| step.lost = LOST_MAX, Ring::Claim(Work::Poison));
    }

    #[test]
    fn the_report_is_written_even_when_the_mission_is_cancelled() {
        check(
            |step, mission| {
                step.key.n = 0;
                mission.cancelled = true;
                mission.spent.steps = mission.budget.steps;
            },
            Ring::Claim(Work::Report),
        );
    }

    #[test]
    fn iteration_expands_once_and_gathers_afterwards() {
        check(|step, _| step.for_each = true, Ring::Claim(Work::Expand));
        check(
            |step, _| {
                step.for_each = true;
                step.expanded = true;
            },
            Ring::Claim(Work::Gather),
        );
        check(
            |step, _| {
                step.for_each = true;
                step.key.item = 3;
            },
            Ring::Claim(Work::Call),
        );
    }
}
