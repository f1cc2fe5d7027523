//! Who is computed in the next step: a pure decision.
//!
//! Conversations go before background work; within each, whoever was given least goes
//! first. All who answer already are computed in each step, one token each; what room
//! is left is for prompts. While somebody waits for the first word of a conversation,
//! background work stands back, but for each [`TURN`]th step.

use charter::generate::Urgency;

/// Every so many steps background work takes part, whoever waits.
pub(crate) const TURN: u64 = 4;
/// Tokens of a prompt that a step has room for while somebody listens to a
/// conversation: its next word should not wait long.
const LISTENED: usize = 64;

/// An answer in the making, as the schedule sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Who waits for it.
    pub(crate) urgency: Urgency,
    /// What its tenant was given so far.
    pub(crate) given: u64,
    /// When it came.
    pub(crate) number: u64,
    /// Tokens to read; never none.
    pub(crate) unread: usize,
    /// Guessed tokens that may be read along.
    pub(crate) guessed: usize,
    /// Whether it has begun to answer.
    pub(crate) answers: bool,
}

/// What one of them gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Which.
    pub(crate) candidate: usize,
    /// Tokens to read.
    pub(crate) unread: usize,
    /// Guessed tokens to read along.
    pub(crate) guessed: usize,
}

/// Shares out `room` tokens.
pub(crate) fn shares(candidates: &[Candidate], room: usize, step: u64) -> Vec<Share> {
    let is_talk = |candidate: &Candidate| candidate.urgency == Urgency::Conversation;
    let awaited = candidates.iter().any(|candidate| is_talk(candidate) && !candidate.answers);
    let listened = candidates.iter().any(|candidate| is_talk(candidate) && candidate.answers);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|at| {
        let candidate = &candidates[*at];
        (!candidate.answers, !is_talk(candidate), candidate.given, candidate.number)
    });
    let (mut left, mut prompts) = (room, if listened { LISTENED.min(room) } else { room });
    let mut shares = Vec::new();
    for at in order {
        let candidate = &candidates[at];
        if awaited && !is_talk(candidate) && !step.is_multiple_of(TURN) {
            continue;
        }
        // A conversation that is awaited is not held up by one that is listened to.
        let bound = if candidate.answers || is_talk(candidate) { left } else { prompts.min(left) };
        let unread = candidate.unread.min(bound);
        if unread == 0 {
            continue;
        }
        let reaches = unread == candidate.unread;
        let guessed = if reaches { candidate.guessed.min(left - unread) } else { 0 };
        left -= unread + guessed;
        prompts = prompts.saturating_sub(if candidate.answers { 0 } else { unread });
        shares.push(Share { candidate: at, unread, guessed });
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(
        urgency: Urgency,
        given: u64,
        number: u64,
        unread: usize,
        answers: bool,
    ) -> Candidate {
        Candidate { urgency, given, number, unread, guessed: 0, answers }
    }

    use Urgency::{Background, Conversation};

    fn who(candidates: &[Candidate], step: u64) -> Vec<(usize, usize)> {
        shares(candidates, 100, step).iter().map(|s| (s.candidate, s.unread)).collect()
    }

    #[test]
    fn all_who_answer_take_part_and_prompts_take_the_rest() {
        let all = [
            candidate(Background, 0, 0, 1, true),
            candidate(Background, 0, 1, 500, false),
            candidate(Background, 0, 2, 1, true),
        ];
        assert_eq!(who(&all, 1), [(0, 1), (2, 1), (1, 98)]);
    }

    #[test]
    fn background_work_stands_back_while_a_conversation_is_awaited() {
        let all = [
            candidate(Background, 0, 0, 1, true),
            candidate(Background, 0, 1, 500, false),
            candidate(Conversation, 9, 2, 40, false),
        ];
        assert_eq!(who(&all, 1), [(2, 40)]);
        assert_eq!(who(&all, TURN), [(0, 1), (2, 40), (1, 59)]);
        // One that is listened to leaves room, but not so much that it has to wait.
        let all = [all[0], all[1], candidate(Conversation, 9, 2, 1, true)];
        assert_eq!(who(&all, 1), [(2, 1), (0, 1), (1, 64)]);
    }

    #[test]
    fn whoever_was_given_least_goes_first() {
        let all = [
            candidate(Background, 700, 0, 90, false),
            candidate(Background, 30, 1, 60, false),
            candidate(Background, 30, 2, 60, false),
        ];
        assert_eq!(who(&all, 1), [(1, 60), (2, 40)]);
    }

    proptest! {
        #[test]
        fn no_step_is_too_large_and_none_is_empty(
            all in prop::collection::vec(
                (any::<bool>(), 0_u64..100, 1_usize..400, 0_usize..6, any::<bool>()), 1..30),
            step in 0_u64..100, room in 40_usize..300,
        ) {
            let all: Vec<Candidate> = all.into_iter().enumerate().map(|(at, (talk, given, unread, guessed, answers))| {
                let urgency = if talk { Conversation } else { Background };
                let unread = if answers { 1 } else { unread };
                Candidate { urgency, given, number: at as u64, unread, guessed, answers }
            }).collect();
            let made = shares(&all, room, step);
            let sum: usize = made.iter().map(|share| share.unread + share.guessed).sum();
            prop_assert!(sum <= room && sum > 0);
            for share in &made {
                let candidate = &all[share.candidate];
                prop_assert!(share.unread >= 1 && share.unread <= candidate.unread);
                prop_assert!(share.guessed == 0 || share.unread == candidate.unread);
            }
            // Nobody is stood up for ever: with its turn, everything takes part that has room.
            let listened = all.iter().any(|one| one.urgency == Conversation && one.answers);
            let turn = shares(&all, 10_000_000, TURN);
            prop_assert!(listened || turn.len() == all.len());
        }
    }
}
