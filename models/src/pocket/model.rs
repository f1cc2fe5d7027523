//! The language model: a Qwen3 of a few million weights, asked about notes.
//!
//! It is told what a text is (`note`) and asked about it; it says the words that
//! answer, or `none`. `models/recipes/pocket` says how it was taught.

use crate::error::LoadError;
use crate::qwen::{Options, Qwen};
use charter::generate::{Ask, Ended, Generate, GenerateError, Generated, Message, Shape};
use charter::reflex::Reply;
use std::ops::ControlFlow;

static FILE: &[u8] = include_bytes!("../../pocket/pocket.gguf");

/// Its name where models are listed.
pub(super) const NAME: &str = "pocket.gguf";
/// What is said where nothing answers.
const NONE: &str = "none";
/// Tokens of an answer: a few words, a path, an address.
const ANSWER_MAX: u32 = 40;
/// Tokens whose chances are asked for.
const LIKELIEST: u32 = 20;
/// Bytes of a question, and of a note, that are read.
const QUESTION_BYTES: usize = 600;
const NOTE_BYTES: usize = 1_600;
/// One conversation at a time, and a short one.
const CONTEXT: usize = 1_024;

/// The model, loaded.
pub(super) struct Model {
    qwen: Qwen,
}

impl Model {
    /// Reads the header and lays out the weights: a few milliseconds.
    pub(super) fn load() -> Result<Self, LoadError> {
        let options = Options { context_max: CONTEXT, threads: Some(2), draft: None };
        Ok(Self { qwen: Qwen::load_within(FILE, NAME, options)? })
    }

    /// What a note says to a question.
    pub(super) fn answer(&self, question: &str, note: &str) -> Result<Reply, GenerateError> {
        let clip = |text: &str, bytes: usize| text[..text.floor_char_boundary(bytes)].to_owned();
        let ask = Ask {
            logprobs: Some(LIKELIEST),
            ..Ask::new(
                vec![
                    Message::system("note"),
                    Message::user(clip(note, NOTE_BYTES)),
                    Message::user(clip(question, QUESTION_BYTES)),
                ],
                Shape::Text,
                ANSWER_MAX,
            )
        };
        let made = self.qwen.generate(&ask, &mut |_| ControlFlow::Continue(()))?;
        Ok(reply(&made, note))
    }
}

/// What the answer says, if its words stand in the note.
fn reply(made: &Generated, note: &str) -> Reply {
    let Some(first) = made.logprobs.first() else { return Reply::default() };
    let listed = first.top.iter().find(|(token, _)| token == NONE);
    let least = first.top.iter().map(|(_, chance)| *chance).fold(first.logprob, f32::min);
    let none = listed.map_or(least, |(_, chance)| *chance).exp();
    let words = made.text.trim();
    let whole = made.ended != Ended::Length && words != NONE && note.contains(words);
    Reply {
        sure: (1.0 - none).clamp(0.0, 1.0),
        words: if whole { words.to_owned() } else { String::new() },
    }
}
