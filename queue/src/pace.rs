//! How the relay paces itself: how much it moves, and what it waits for. Pure.

use std::time::Duration;

/// Most steps that wait on the queue at a time.
pub(crate) const WINDOW: u32 = 1_000;
/// Outbox rows moved at a time, while there are few. The number doubles with each
/// full batch up to the window, so that a backlog costs few commits.
pub(crate) const BATCH: u32 = 256;
/// Time between sweeps.
pub(crate) const SWEEP: Duration = Duration::from_secs(2);
/// Pause while the window is full, in which workers make room.
pub(crate) const FULL: Duration = Duration::from_millis(20);

/// How many steps may be put on a queue on which `depth` wait.
pub(crate) fn room(depth: u64) -> u32 {
    WINDOW.saturating_sub(u32::try_from(depth).unwrap_or(u32::MAX))
}

/// What one round found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Round {
    /// Rows that were asked for.
    pub(crate) asked: u32,
    /// Rows that were due and read.
    pub(crate) due: u32,
    /// Steps that the queue had room for.
    pub(crate) room: u32,
    /// Time until the next row that is not due yet.
    pub(crate) next_due: Option<Duration>,
}

/// How many rows to ask for in the next round.
pub(crate) fn next_batch(round: Round) -> u32 {
    if round.due < round.asked {
        return BATCH;
    }
    match round.due <= round.room {
        true => round.asked.saturating_mul(2).min(WINDOW),
        false => round.asked,
    }
}

/// What to wait for after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: there is more to move.
    Nothing,
    /// Room on the queue: what is committed meanwhile would find none.
    Room(Duration),
    /// A commit, for so long at most.
    Commit(Duration),
}

/// What to wait for after a round; `unswept` is the time since the last sweep.
pub(crate) fn wait(round: Round, unswept: Duration) -> Wait {
    let sweep = SWEEP.saturating_sub(unswept);
    if round.due > round.room {
        return Wait::Room(FULL.min(sweep));
    }
    if round.due >= round.asked {
        return Wait::Nothing;
    }
    Wait::Commit(round.next_due.map_or(sweep, |next| next.min(sweep)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn round(due: u32, room: u32, next: Option<u32>) -> Round {
        Round { asked: BATCH, due, room, next_due: next.map(|ms| ms * MS) }
    }

    fn check(round: Round, unswept: u32, expect: Wait) {
        assert_eq!(wait(round, unswept * MS), expect, "{round:?}, {unswept} ms unswept");
    }

    #[test]
    fn an_idle_relay_sleeps_until_the_sweep_or_the_next_row() {
        check(round(0, WINDOW, None), 0, Wait::Commit(SWEEP));
        check(round(0, WINDOW, None), 500, Wait::Commit(1_500 * MS));
        check(round(0, WINDOW, Some(40)), 500, Wait::Commit(40 * MS));
        check(round(0, WINDOW, Some(9_000)), 500, Wait::Commit(1_500 * MS));
        check(round(0, WINDOW, None), 9_000, Wait::Commit(Duration::ZERO));
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_a_full_window_is_waited_for() {
        check(round(BATCH, WINDOW, None), 0, Wait::Nothing);
        check(round(BATCH - 1, WINDOW, None), 0, Wait::Commit(SWEEP));
        check(round(BATCH, 100, None), 0, Wait::Room(FULL));
        check(round(1, 0, Some(1)), 0, Wait::Room(FULL));
        check(round(1, 0, None), 9_000, Wait::Room(Duration::ZERO));
    }

    #[test]
    fn batches_grow_with_a_backlog_and_shrink_after_it() {
        assert_eq!(next_batch(round(BATCH, WINDOW, None)), 2 * BATCH);
        assert_eq!(next_batch(round(BATCH - 1, WINDOW, None)), BATCH);
        assert_eq!(next_batch(round(BATCH, 0, None)), BATCH);
        let large = Round { asked: WINDOW, ..round(WINDOW, WINDOW, None) };
        assert_eq!(next_batch(large), WINDOW);
        assert_eq!(next_batch(Round { due: 3, ..large }), BATCH);
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
        fn nothing_sleeps_past_a_sweep(due in 0u32..300, room in 0u32..300, next: Option<u16>, unswept in 0u32..5_000) {
            match wait(round(due, room, next.map(u32::from)), unswept * MS) {
                Wait::Nothing => prop_assert!(due >= BATCH),
                Wait::Room(pause) | Wait::Commit(pause) => prop_assert!(pause <= SWEEP),
            }
        }
    }
}
