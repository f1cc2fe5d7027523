//! How the relay paces itself: how much it moves, and what it waits for. Pure.

use std::time::Duration;

/// Most steps that wait in each lane of the queue at a time.
pub(crate) const WINDOW: u32 = 1_000;
/// Rows of each flow that are read at a time, while there are few. The number doubles
/// with each full batch up to the window, so that a backlog costs few commits.
pub(crate) const BATCH: u32 = 256;
/// Rows of each flow that are read at least while the window is full.
const FEW: u32 = 64;
/// Rows of each flow at least, however many flows share the window.
const SHARE: u32 = 16;
/// Time between sweeps.
pub(crate) const SWEEP: Duration = Duration::from_secs(2);
/// Pause while the window is full, in which workers make room.
pub(crate) const FULL: Duration = Duration::from_millis(20);

/// How many steps may be put into a lane in which so many wait.
pub(crate) fn room(waiting: u64) -> u32 {
    WINDOW.saturating_sub(u32::try_from(waiting).unwrap_or(u32::MAX))
}

/// How many rows of each of so many flows fill the window.
pub(crate) fn share(flows: usize) -> u32 {
    let flows = u32::try_from(flows).unwrap_or(u32::MAX).max(1);
    (WINDOW / flows).max(SHARE)
}

/// What one round found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// Rows of each flow that were asked for.
    pub(crate) asked: u32,
    /// Flows that had any.
    pub(crate) flows: usize,
    /// Rows that were put on the queue.
    pub(crate) moved: usize,
    /// A flow had as many as were asked for, so that it may have more.
    pub(crate) more: bool,
    /// The lane of most steps had no room for all of its rows.
    pub(crate) crowded: bool,
    /// Another lane had none.
    pub(crate) held_up: bool,
    /// Time until the next row that is not due yet.
    pub(crate) next_due: Option<Duration>,
}

/// How many rows of each flow to ask for in the next round. Where the window is full,
/// twice of what each had room for in this one: what finds none is read in vain.
pub(crate) fn next_batch(round: Round) -> u32 {
    let each = u32::try_from(round.moved / round.flows.max(1)).unwrap_or(u32::MAX);
    let batch = match round.more {
        false => BATCH,
        true if round.crowded || round.held_up => each.saturating_mul(2).clamp(FEW, WINDOW),
        true => round.asked.saturating_mul(2).min(WINDOW),
    };
    batch.min(share(round.flows))
}

/// What to wait for after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: there is more to move.
    Nothing,
    /// Room on the queue: most of what is committed meanwhile would find none.
    Room(Duration),
    /// A commit, for so long at most.
    Commit(Duration),
}

/// What to wait for after a round; `unswept` is the time since the last sweep.
pub(crate) fn wait(round: Round, unswept: Duration) -> Wait {
    let sweep = SWEEP.saturating_sub(unswept);
    if round.crowded {
        return Wait::Room(FULL.min(sweep));
    }
    if round.more && round.moved > 0 {
        return Wait::Nothing;
    }
    let longest = if round.held_up { FULL.min(sweep) } else { sweep };
    Wait::Commit(round.next_due.map_or(longest, |next| next.min(longest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn round(moved: usize, next: Option<u32>) -> Round {
        let next_due = next.map(|ms| ms * MS);
        Round { asked: BATCH, flows: 1, moved, next_due, ..Round::default() }
    }

    fn full(moved: usize) -> Round {
        Round { more: true, ..round(moved, None) }
    }

    fn check(round: Round, unswept: u32, expect: Wait) {
        assert_eq!(wait(round, unswept * MS), expect, "{round:?}, {unswept} ms unswept");
    }

    #[test]
    fn an_idle_relay_sleeps_until_the_sweep_or_the_next_row() {
        check(round(0, None), 0, Wait::Commit(SWEEP));
        check(round(0, None), 500, Wait::Commit(1_500 * MS));
        check(round(0, Some(40)), 500, Wait::Commit(40 * MS));
        check(round(0, Some(9_000)), 500, Wait::Commit(1_500 * MS));
        check(round(0, None), 9_000, Wait::Commit(Duration::ZERO));
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_a_full_window_is_waited_for() {
        check(full(9), 0, Wait::Nothing);
        check(round(9, None), 0, Wait::Commit(SWEEP));
        check(Round { crowded: true, ..full(9) }, 0, Wait::Room(FULL));
        check(Round { crowded: true, ..round(0, Some(1)) }, 9_000, Wait::Room(Duration::ZERO));
    }

    #[test]
    fn a_full_lane_of_few_steps_holds_up_no_other() {
        check(Round { held_up: true, ..full(9) }, 0, Wait::Nothing);
        check(Round { held_up: true, ..full(0) }, 0, Wait::Commit(FULL));
        check(Round { held_up: true, ..round(3, Some(5)) }, 0, Wait::Commit(5 * MS));
    }

    #[test]
    fn batches_grow_with_a_backlog_and_shrink_after_it() {
        assert_eq!(next_batch(full(9)), 2 * BATCH);
        assert_eq!(next_batch(round(9, None)), BATCH);
        assert_eq!(next_batch(Round { crowded: true, ..full(0) }), FEW);
        assert_eq!(next_batch(Round { crowded: true, ..full(50) }), 100);
        assert_eq!(next_batch(Round { crowded: true, flows: 5, ..full(500) }), 200);
        assert_eq!(next_batch(Round { held_up: true, asked: FEW, ..full(64) }), 2 * FEW);
        assert_eq!(next_batch(Round { crowded: true, ..full(900) }), WINDOW);
        assert_eq!(next_batch(Round { asked: WINDOW, ..full(9) }), WINDOW);
        assert_eq!(next_batch(Round { flows: 10, ..full(9) }), 100);
        assert_eq!(next_batch(Round { flows: 10_000, ..full(9) }), SHARE);
    }

    #[test]
    fn the_window_bounds_the_room() {
        assert_eq!(room(0), WINDOW);
        assert_eq!(room(u64::from(WINDOW) - 3), 3);
        assert_eq!(room(u64::from(WINDOW)), 0);
        assert_eq!(room(u64::MAX), 0);
    }

    proptest! {
        #[test]
        fn nothing_sleeps_past_a_sweep(
            moved in 0_usize..300, more: bool, crowded: bool, held_up: bool, next: Option<u16>,
            unswept in 0u32..5_000,
        ) {
            let round = Round { more, crowded, held_up, ..round(moved, next.map(u32::from)) };
            match wait(round, unswept * MS) {
                Wait::Nothing => prop_assert!(moved > 0),
                Wait::Room(pause) | Wait::Commit(pause) => prop_assert!(pause <= SWEEP),
            }
        }
    }
}
