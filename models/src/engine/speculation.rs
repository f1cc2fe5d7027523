//! Guessing what comes next, so that several tokens are computed for the price of one.
//!
//! A guess is what followed the last time the newest few tokens stood together: quotes,
//! edits and structures repeat themselves (prompt lookup decoding, Saxena 2023). Where
//! nothing stood together before, a smaller model guesses, if one is loaded. The model
//! reads the guess along with the token before it; what it would have said at each place
//! is what counts, so a wrong guess costs time and changes nothing. Where guesses are
//! mostly wrong, none is made for a while.

/// Fewest and most tokens that have to stand together again.
const MATCH: std::ops::RangeInclusive<usize> = 2..=4;
/// Most tokens of a guess: a processor computes so many more almost for nothing.
const GUESS_MAX: usize = 5;
/// Most tokens that a smaller model is asked for: each costs a step of its own.
const DRAFT_MAX: usize = 4;
/// How far back is looked, in tokens.
const LOOK_MAX: usize = 8_192;
/// How many steps nothing is guessed after a guess that was wrong, doubled with each
/// further one.
const PAUSE_MAX: u32 = 64;

/// Guesses for one answer.
#[derive(Debug, Default)]
pub(crate) struct Speculation {
    guess: Vec<u32>,
    /// Whether a smaller model makes the guess.
    drafted: bool,
    /// Of guesses from what stands there, and of a smaller model's.
    looking: Pause,
    drafting: Pause,
    /// Guessed tokens that came true.
    right: u64,
}

/// When to guess again.
#[derive(Debug, Default)]
struct Pause {
    /// Steps until the next guess.
    wait: u32,
    /// The pause after the next guess that is wrong.
    next: u32,
}

impl Pause {
    /// Whether it is over; one more step of it has passed.
    fn is_over(&mut self) -> bool {
        let over = self.wait == 0;
        self.wait = self.wait.saturating_sub(1);
        over
    }

    fn learn(&mut self, pays: bool) {
        self.next = if pays { 0 } else { (2 * self.next).clamp(1, PAUSE_MAX) };
        self.wait = self.next;
    }
}

impl Speculation {
    /// Guesses at most `room` tokens behind these; gives how many. `has_draft`: whether
    /// a smaller model may be asked; then the guess is yet to come ([`Self::suggest`]).
    pub(crate) fn guess(&mut self, tokens: &[u32], room: usize, has_draft: bool) -> usize {
        self.guess.clear();
        self.drafted = false;
        if self.looking.is_over() {
            self.look(tokens, room.min(GUESS_MAX));
        }
        if self.guess.is_empty() && has_draft && self.drafting.is_over() {
            self.drafted = true;
            return room.min(DRAFT_MAX);
        }
        self.guess.len()
    }

    fn look(&mut self, tokens: &[u32], room: usize) {
        let tokens = &tokens[tokens.len().saturating_sub(LOOK_MAX)..];
        for length in MATCH.rev() {
            let Some(start) = tokens.len().checked_sub(length) else { continue };
            let (before, newest) = tokens.split_at(start);
            // The last time, but not right here.
            let found = before.windows(length).rposition(|window| window == newest);
            if let Some(at) = found {
                let follows = &tokens[at + length..];
                self.guess.extend(follows.iter().take(room));
                return;
            }
        }
    }

    /// Whether a smaller model is to make the guess.
    pub(crate) fn is_drafted(&self) -> bool {
        self.drafted
    }

    /// Takes what a smaller model guesses.
    pub(crate) fn suggest(&mut self, guess: Vec<u32>) {
        self.guess = guess;
    }

    /// The guess.
    pub(crate) fn guessed(&self) -> &[u32] {
        &self.guess
    }

    /// How many guessed tokens came true.
    pub(crate) fn right(&self) -> u64 {
        self.right
    }

    /// Learns how many of the guessed tokens that were read came true.
    pub(crate) fn learn(&mut self, guessed: usize, right: usize) {
        if guessed == 0 {
            return;
        }
        self.right += right as u64;
        if self.drafted {
            // Each guess took a step of the smaller model.
            self.drafting.learn(right * 2 >= guessed);
        } else {
            // Two of five pay for the reading of all.
            self.looking.learn(right * 5 >= guessed * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_last_time_is_guessed() {
        let mut speculation = Speculation::default();
        let tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4];
        assert_eq!(speculation.guess(&tokens, 10, false), 5);
        assert_eq!(speculation.guessed(), [5, 6, 7, 8, 9]);
        assert_eq!(speculation.guess(&tokens, 2, false), 2);
        assert_eq!(speculation.guess(&[1, 2, 3, 4], 10, false), 0);
        assert_eq!(speculation.guess(&[], 10, false), 0);
        // The newest occurrence counts, and repetitions feed on themselves.
        assert_eq!(speculation.guess(&[7, 7, 7, 7], 10, false), 2);
    }

    #[test]
    fn who_is_mostly_wrong_guesses_less_and_less() {
        let mut speculation = Speculation::default();
        let tokens = [1, 2, 3, 1, 2];
        let mut made = 0;
        for _ in 0..1_000 {
            let guessed = speculation.guess(&tokens, 10, false);
            made += usize::from(guessed > 0);
            speculation.learn(guessed, 0);
        }
        assert!(made < 30, "{made}");
        while speculation.guess(&tokens, 10, false) == 0 {}
        speculation.learn(3, 3);
        assert!(speculation.guess(&tokens, 10, false) > 0);
    }

    #[test]
    fn a_smaller_model_is_asked_where_nothing_was_said_before() {
        let mut speculation = Speculation::default();
        assert_eq!(speculation.guess(&[1, 2, 3], 10, true), 4);
        assert!(speculation.is_drafted());
        speculation.suggest(vec![9, 9, 9, 9]);
        speculation.learn(4, 1);
        assert_eq!(speculation.guess(&[1, 2, 3], 10, true), 0);
        assert_eq!(speculation.guess(&[1, 2, 3], 3, true), 3);
        // What was said before goes first.
        assert_eq!(speculation.guess(&[1, 2, 3, 1, 2], 10, true), 3);
        assert!(!speculation.is_drafted());
    }
}
