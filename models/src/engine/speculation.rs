//! Guessing what comes next from what was said before, so that several tokens are
//! computed for the price of one: quotes, edits and structures repeat themselves.
//!
//! A guess is what followed the last time the newest few tokens stood together
//! (prompt lookup decoding, Saxena 2023). The model reads the guess along with the
//! token before it; what it would have said at each place is what counts, so a wrong
//! guess costs time and changes nothing. Where guesses are mostly wrong, none is made
//! for a while.

/// Fewest and most tokens that have to stand together again.
const MATCH: std::ops::RangeInclusive<usize> = 2..=4;
/// Most tokens of a guess: a processor computes so many more almost for nothing.
const GUESS_MAX: usize = 5;
/// How far back is looked, in tokens.
const LOOK_MAX: usize = 8_192;
/// How many steps nothing is guessed after a guess that was wrong, doubled with each
/// further one.
const PAUSE_MAX: u32 = 64;

/// Guesses for one answer.
#[derive(Debug, Default)]
pub(crate) struct Speculation {
    guess: Vec<u32>,
    /// Steps until the next guess.
    wait: u32,
    /// The pause after the next guess that is wrong.
    pause: u32,
    /// Guessed tokens that came true.
    right: u64,
}

impl Speculation {
    /// Guesses at most `room` tokens behind these; gives how many.
    pub(crate) fn guess(&mut self, tokens: &[u32], room: usize) -> usize {
        self.guess.clear();
        if self.wait > 0 {
            self.wait -= 1;
            return 0;
        }
        let room = room.min(GUESS_MAX);
        let tokens = &tokens[tokens.len().saturating_sub(LOOK_MAX)..];
        for length in MATCH.rev() {
            let Some(start) = tokens.len().checked_sub(length) else { continue };
            let (before, newest) = tokens.split_at(start);
            // The last time, but not right here.
            let found = before.windows(length).rposition(|window| window == newest);
            if let Some(at) = found {
                let follows = &tokens[at + length..];
                self.guess.extend(follows.iter().take(room));
                break;
            }
        }
        self.guess.len()
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
        // Two of five pay for the reading of all.
        if right * 5 >= guessed * 2 {
            self.pause = 0;
        } else {
            self.pause = (2 * self.pause).clamp(1, PAUSE_MAX);
            self.wait = self.pause;
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
        assert_eq!(speculation.guess(&tokens, 10), 5);
        assert_eq!(speculation.guessed(), [5, 6, 7, 8, 9]);
        assert_eq!(speculation.guess(&tokens, 2), 2);
        assert_eq!(speculation.guess(&[1, 2, 3, 4], 10), 0);
        assert_eq!(speculation.guess(&[], 10), 0);
        // The newest occurrence counts, and repetitions feed on themselves.
        assert_eq!(speculation.guess(&[7, 7, 7, 7], 10), 2);
    }

    #[test]
    fn who_is_mostly_wrong_guesses_less_and_less() {
        let mut speculation = Speculation::default();
        let tokens = [1, 2, 3, 1, 2];
        let mut made = 0;
        for _ in 0..1_000 {
            let guessed = speculation.guess(&tokens, 10);
            made += usize::from(guessed > 0);
            speculation.learn(guessed, 0);
        }
        assert!(made < 30, "{made}");
        while speculation.guess(&tokens, 10) == 0 {}
        speculation.learn(3, 3);
        assert!(speculation.guess(&tokens, 10) > 0);
    }
}
