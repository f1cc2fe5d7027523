//! One answer in the making: which tokens come next, given logits.

use super::order::{Order, Produced};
use super::speculation::Speculation;
use crate::grammar::Guide;
use crate::sampling::{Chance, Chooser, Sampling};
use crate::tokens::{Characters, Tokens};
use charter::generate::{Ended, GenerateError, Logprob};
use toktrie::SimpleVob;

/// An answer and its prompt.
pub(crate) struct Sequence {
    /// Prompt and answer.
    tokens: Vec<u32>,
    prompt: usize,
    /// Tokens that the model has read.
    computed: usize,
    guide: Option<Guide>,
    max_tokens: u32,
    min_tokens: u32,
    sampling: Sampling,
    chance: Chance,
    logprobs: Option<u32>,
    text: Text,
    /// Tokens whose text was added.
    shown: usize,
    told: Vec<Logprob>,
    guesses: bool,
    speculation: Speculation,
    penalised: Vec<f32>,
}

/// What is left to read: tokens, and a guess at those behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Tokens that were not read yet; never none.
    pub(crate) unread: usize,
    /// Guessed tokens that may be read along.
    pub(crate) guessed: usize,
}

/// Text that grows token by token.
struct Text {
    characters: Characters,
    whole: String,
    /// How much of it was said.
    said: usize,
    stop: Vec<String>,
}

impl Text {
    /// Adds the bytes of a token; `true`: the text has ended at a stop.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let from = self.whole.len();
        self.whole.push_str(&self.characters.push(bytes));
        self.stops(from)
    }

    /// Whether a stop stands in what was added from `from` on; it is cut off.
    fn stops(&mut self, from: usize) -> bool {
        let longest = self.stop.iter().map(String::len).max().unwrap_or(0);
        let mut from = from.saturating_sub(longest).max(self.said);
        while !self.whole.is_char_boundary(from) {
            from -= 1;
        }
        let ends = self.stop.iter().filter_map(|stop| self.whole[from..].find(stop.as_str()));
        if let Some(at) = ends.min() {
            self.whole.truncate(from + at);
            return true;
        }
        false
    }

    /// What can be said: all but an end that may become a stop.
    fn say(&mut self) -> String {
        let kept = self.stop.iter().map(|stop| overlap(&self.whole[self.said..], stop)).max();
        let to = self.whole.len() - kept.unwrap_or(0);
        let said = self.whole[self.said..to].to_owned();
        self.said = to;
        said
    }

    /// Ends it; gives what was not said yet.
    fn finish(&mut self, is_cut: bool) -> String {
        let from = self.whole.len();
        let rest = self.characters.finish();
        if !is_cut {
            self.whole.push_str(&rest);
            self.stops(from);
        }
        let said = self.whole[self.said..].to_owned();
        self.said = self.whole.len();
        said
    }
}

/// How many bytes at the end of a text are the beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let fits = |length: &usize| stop.is_char_boundary(*length) && text.ends_with(&stop[..*length]);
    (1..stop.len()).rev().find(fits).unwrap_or(0)
}

/// How an answer goes on after a step.
pub(crate) enum Progress {
    /// It goes on; more of its text.
    More(String),
    /// It has ended; the rest of its text.
    Ended(String, Ended),
}

impl Sequence {
    /// From an order.
    pub(crate) fn new(order: Order) -> Result<Self, GenerateError> {
        let mut sequence = Self {
            prompt: order.prompt.len(),
            shown: order.prompt.len(),
            tokens: order.prompt,
            computed: 0,
            guide: order.guide,
            max_tokens: order.max_tokens,
            min_tokens: order.min_tokens,
            sampling: order.sampling,
            chance: Chance::new(order.seed),
            logprobs: order.logprobs,
            text: Text {
                characters: Characters::default(),
                whole: String::new(),
                said: 0,
                stop: order.stop,
            },
            told: Vec::new(),
            guesses: order.guesses,
            speculation: Speculation::default(),
            penalised: Vec::new(),
        };
        sequence.force()?;
        Ok(sequence)
    }

    /// Its tokens, those that were read first.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many tokens were read.
    pub(crate) fn computed(&self) -> usize {
        self.computed
    }

    /// Says how many tokens were read: those that others have read already, or none
    /// after its blocks were taken from it.
    pub(crate) fn set_computed(&mut self, computed: usize) {
        self.computed = computed;
    }

    /// Most tokens that it can come to have.
    pub(crate) fn longest(&self) -> usize {
        self.prompt + self.max_tokens as usize
    }

    /// Whether its prompt was read.
    pub(crate) fn answers(&self) -> bool {
        self.computed >= self.prompt
    }

    /// Tokens of the answer so far.
    pub(crate) fn count(&self) -> u32 {
        (self.tokens.len() - self.prompt) as u32
    }

    /// What is left to read. `has_draft`: whether a smaller model may guess.
    pub(crate) fn left(&mut self, has_draft: bool) -> Left {
        let unread = self.tokens.len() - self.computed;
        let room = self.longest().saturating_sub(self.tokens.len() + 1);
        let guesses = self.guesses && unread == 1;
        let guessed =
            if guesses { self.speculation.guess(&self.tokens, room, has_draft) } else { 0 };
        Left { unread, guessed }
    }

    /// The guess at the tokens behind the last.
    pub(crate) fn guess(&self) -> &[u32] {
        self.speculation.guessed()
    }

    /// Whether a smaller model is to make the guess.
    pub(crate) fn is_drafted(&self) -> bool {
        self.speculation.is_drafted()
    }

    /// Takes what a smaller model guesses.
    pub(crate) fn suggest(&mut self, guess: Vec<u32>) {
        self.speculation.suggest(guess);
    }

    /// How many guessed tokens came true.
    pub(crate) fn right(&self) -> u64 {
        self.speculation.right()
    }

    /// What the grammar demands before anything is computed.
    fn force(&mut self) -> Result<(), GenerateError> {
        while let Some(guide) = &mut self.guide {
            let forced = guide.forced()?;
            if forced.is_empty() {
                break;
            }
            self.tokens.extend(forced);
        }
        Ok(())
    }

    /// Goes on behind the tokens that the model has read: `read` unread ones, then
    /// `guessed` of the guess. `rows` are the logits behind the last unread one and
    /// behind each guessed one; none if tokens are left.
    pub(crate) fn advance(
        &mut self,
        read: usize,
        guessed: usize,
        rows: &[f32],
        tokens: &Tokens,
        chooser: &mut Chooser,
        model: &str,
    ) -> Result<Progress, GenerateError> {
        self.computed += read;
        if self.computed < self.tokens.len() {
            return Ok(Progress::More(String::new()));
        }
        let base = self.tokens.len();
        let width = rows.len() / (guessed + 1);
        let mut row = 0;
        // What the grammar demanded at the very beginning is text too.
        let mut is_cut = self.show(tokens);
        let ended = loop {
            if let Some(ended) = self.over() {
                break Some(ended);
            }
            let logits = &rows[row * width..(row + 1) * width];
            let Some(token) = self.next(logits, tokens, chooser, model)? else {
                break Some(Ended::Whole);
            };
            self.tokens.push(token);
            self.force()?;
            is_cut = self.show(tokens);
            if is_cut {
                break Some(Ended::Whole);
            }
            // A row holds as long as what was read is what has come.
            let came = &self.tokens[base..];
            let guess = &self.speculation.guessed()[..guessed];
            if came.len() > guess.len() || !guess.starts_with(came) {
                break self.over();
            }
            row = came.len();
        };
        let came = &self.tokens[base..];
        let guess = &self.speculation.guessed()[..guessed];
        let right = came.iter().zip(guess).take_while(|(a, b)| a == b).count();
        // The last token is read with the next step, guessed or not: its logits are gone.
        self.computed += right.min(came.len().saturating_sub(1));
        self.speculation.learn(guessed, right);
        Ok(match ended {
            Some(ended) => Progress::Ended(self.text.finish(is_cut), ended),
            None => Progress::More(self.text.say()),
        })
    }

    /// How it has ended, if no token can follow.
    fn over(&self) -> Option<Ended> {
        match &self.guide {
            Some(guide) => guide.is_done().then_some(Ended::Whole),
            None => (self.count() >= self.max_tokens).then_some(Ended::Length),
        }
    }

    /// Adds new tokens to the text; `true`: it has ended at a stop.
    fn show(&mut self, tokens: &Tokens) -> bool {
        while let Some(token) = self.tokens.get(self.shown).copied() {
            self.shown += 1;
            if self.text.push(tokens.bytes(token)) {
                return true;
            }
        }
        false
    }

    /// The next token, or `None` at the end of the answer.
    fn next(
        &mut self,
        logits: &[f32],
        tokens: &Tokens,
        chooser: &mut Chooser,
        model: &str,
    ) -> Result<Option<u32>, GenerateError> {
        if !logits.iter().all(|logit| logit.is_finite() || *logit == f32::NEG_INFINITY) {
            return Err(GenerateError::NotANumber { model: model.to_owned() });
        }
        let may_end = self.count() >= self.min_tokens;
        let mask: SimpleVob;
        let mask = match &mut self.guide {
            Some(guide) => {
                mask = guide.allowed()?;
                &mask
            }
            // Free text may end, but holds no other control token.
            None => tokens.free(may_end),
        };
        let considered = if self.sampling.penalises() {
            self.penalised.clear();
            self.penalised.extend_from_slice(logits);
            self.sampling.penalise(&mut self.penalised, &self.tokens, self.prompt);
            &self.penalised
        } else {
            logits
        };
        let token = chooser.choose(considered, mask, self.sampling, &mut self.chance);
        let token = token.ok_or_else(|| GenerateError::Engine {
            operation: "choose the next token",
            source: "no token is allowed here".into(),
        })?;
        let is_end = tokens.ends().contains(&token);
        let taken = match &mut self.guide {
            Some(_) if is_end => None,
            Some(guide) => guide.take_one(token)?,
            None => (!is_end).then_some(token),
        };
        if let (Some(count), Some(token)) = (self.logprobs, taken) {
            let (logprob, top) = chooser.log_probabilities(logits, token, count as usize);
            let text = |token: u32| String::from_utf8_lossy(tokens.bytes(token)).into_owned();
            self.told.push(Logprob {
                token: text(token),
                logprob,
                top: top.into_iter().map(|(token, logprob)| (text(token), logprob)).collect(),
            });
        }
        Ok(taken)
    }

    /// What it has come to.
    pub(crate) fn produced(self, ended: Ended) -> Produced {
        Produced { tokens: self.count(), text: self.text.whole, ended, logprobs: self.told }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_stop_nothing_follows_not_even_half_a_character() {
        let stop = vec!["END".to_owned(), "näh".to_owned()];
        let (characters, whole) = (Characters::default(), String::new());
        let mut text = Text { characters, whole, said: 0, stop };
        assert!(!text.push("so n\u{e4}".as_bytes()));
        // What may become a stop is held back, and let go when it does not.
        assert_eq!(text.say(), "so ");
        assert!(!text.push(b"chste E"));
        assert_eq!(text.say(), "n\u{e4}chste ");
        assert!(text.push(b"ND\xe2\x82"));
        assert_eq!((text.finish(true), text.whole), (String::new(), "so n\u{e4}chste ".to_owned()));
    }
}
