//! An intent without a receipt: a worker died between the two. What is true of
//! the world decides what to do; where it cannot be known, a person is asked.

use charter::digest::Digest;
use charter::effect::Repeat;

/// What to do about an effect whose outcome nobody recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// It happened: write the receipt.
    Receive,
    /// It may be carried out again with the same key.
    Repeat,
    /// Ask the target.
    Probe,
    /// Ask a person.
    Ask,
}

/// What a target said when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Done.
    Done,
    /// Not done.
    NotDone,
    /// It cannot tell, or could not be reached.
    Unknown,
}

/// For a change of files: compares what the targets hold now with what they
/// held before and should hold afterwards.
pub fn change(before: Option<&Digest>, after: Option<&Digest>, now: &Digest) -> Settle {
    if after == Some(now) {
        Settle::Receive
    } else if before == Some(now) {
        Settle::Repeat
    } else {
        Settle::Ask
    }
}

/// For an act of a tool, before anybody was asked.
pub fn act(repeat: Repeat) -> Settle {
    match repeat {
        Repeat::Safe | Repeat::Keyed => Settle::Repeat,
        Repeat::Probe => Settle::Probe,
        Repeat::Never => Settle::Ask,
    }
}

/// For an act, after its target was asked. "Not done" counts only when the
/// former executor is known to be dead: else it may still be about to act.
pub fn probed(told: Told, former_dead: bool) -> Settle {
    match told {
        Told::Done => Settle::Receive,
        Told::NotDone if former_dead => Settle::Repeat,
        Told::NotDone | Told::Unknown => Settle::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_settled_by_what_the_targets_hold() {
        let (old, new, other) = (Digest::of(b"old"), Digest::of(b"new"), Digest::of(b"other"));
        assert_eq!(change(Some(&old), Some(&new), &new), Settle::Receive);
        assert_eq!(change(Some(&old), Some(&new), &old), Settle::Repeat);
        assert_eq!(change(Some(&old), Some(&new), &other), Settle::Ask);
    }

    #[test]
    fn not_done_from_a_living_executor_is_no_answer() {
        assert_eq!(probed(Told::NotDone, true), Settle::Repeat);
        assert_eq!(probed(Told::NotDone, false), Settle::Ask);
        assert_eq!(probed(Told::Unknown, true), Settle::Ask);
    }

    #[test]
    fn what_can_neither_be_repeated_nor_asked_goes_to_a_person() {
        assert_eq!(act(Repeat::Never), Settle::Ask);
        assert_eq!(act(Repeat::Keyed), Settle::Repeat);
    }
}
