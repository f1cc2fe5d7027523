//! From a prompt to an answer, one token after the other, whatever computes the
//! logits.

use crate::grammar::{Grammars, Guide};
use crate::sampling::{Chance, Sampling, choose};
use crate::tokens::{Characters, Tokens};
use charter::generate::{Ended, GenerateError, Shape};
use std::ops::ControlFlow;

/// Tokens that are read before it is asked whether to go on.
const PIECE: usize = 256;

/// Why logits could not be computed.
pub type NetworkError = crate::qwen::weights::WeightsError;

/// What computes logits: a model with one conversation in its memory.
pub trait Network: Send {
    /// Forgets what it has read.
    fn reset(&mut self);

    /// Reads tokens on and gives the logits of the next one.
    fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>, NetworkError>;
}

/// What to generate.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The prompt.
    pub prompt: &'a [u32],
    /// What the answer must look like.
    pub shape: &'a Shape,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Seed of the choice.
    pub seed: u64,
    /// Name of the model, for errors.
    pub model: &'a str,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: u32,
    /// Why it ended.
    pub ended: Ended,
}

/// Generates an answer. `receive` gets whole characters; its break ends the
/// answer before the next token is computed.
pub fn produce(
    network: &mut dyn Network,
    tokens: &Tokens,
    grammars: &Grammars,
    order: &Order<'_>,
    receive: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<Produced, GenerateError> {
    let mut guide = grammars.guide(order.shape, order.max_tokens)?;
    let mut chance = Chance::new(order.seed);
    let mut answer =
        Answer { tokens, characters: Characters::default(), text: String::new(), count: 0 };
    network.reset();
    let mut unread: Vec<u32> = order.prompt.to_vec();
    let ended = loop {
        if let Some(guide) = &mut guide {
            let forced = guide.forced()?;
            if answer.add(&forced, receive).is_break() {
                break Ended::Cancelled;
            }
            unread.extend_from_slice(&forced);
            if guide.is_done() {
                break Ended::Whole;
            }
            if !forced.is_empty() {
                continue;
            }
        } else if answer.count >= order.max_tokens {
            break Ended::Length;
        }
        let Some(logits) = heard(network, &unread, receive)? else { break Ended::Cancelled };
        if !logits.iter().all(|logit| logit.is_finite() || *logit == f32::NEG_INFINITY) {
            return Err(GenerateError::NotANumber { model: order.model.to_owned() });
        }
        let token = next(&logits, tokens, guide.as_mut(), order.sampling, &mut chance)?;
        let Some(token) = token else { break Ended::Whole };
        if answer.add(&[token], receive).is_break() {
            break Ended::Cancelled;
        }
        unread = vec![token];
    };
    network.reset();
    let rest = answer.characters.finish();
    answer.text.push_str(&rest);
    if !rest.is_empty() {
        // The answer has ended: whether the receiver wants more changes nothing.
        let _ = receive(&rest);
    }
    Ok(Produced { text: answer.text, tokens: answer.count, ended })
}

/// Lets the network read, and asks between two pieces whether to go on; `None`:
/// no.
fn heard(
    network: &mut dyn Network,
    tokens: &[u32],
    receive: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<Option<Vec<f32>>, GenerateError> {
    let mut logits = Vec::new();
    for piece in tokens.chunks(PIECE) {
        if tokens.len() > PIECE && receive("").is_break() {
            return Ok(None);
        }
        logits = network.read(piece).map_err(failed)?;
    }
    Ok(Some(logits))
}

/// The next token, or `None` at the end of the answer.
fn next(
    logits: &[f32],
    tokens: &Tokens,
    guide: Option<&mut Guide<'_>>,
    sampling: Sampling,
    chance: &mut Chance,
) -> Result<Option<u32>, GenerateError> {
    let is_end = |token: u32| tokens.ends().contains(&token);
    let Some(guide) = guide else {
        // Free text may end, but holds no other control token.
        let allowed = |token: u32| is_end(token) || !tokens.bytes(token).is_empty();
        let token = choose(logits, allowed, sampling, chance).ok_or_else(nothing)?;
        return Ok((!is_end(token)).then_some(token));
    };
    let mask = guide.allowed()?;
    let token = choose(logits, |token| mask.is_allowed(token), sampling, chance);
    let token = token.ok_or_else(nothing)?;
    if is_end(token) { Ok(None) } else { guide.take_one(token) }
}

fn nothing() -> GenerateError {
    GenerateError::Engine {
        operation: "choose the next token",
        source: "no token is allowed here".into(),
    }
}

fn failed(error: NetworkError) -> GenerateError {
    GenerateError::Engine { operation: "compute the next token", source: Box::new(error) }
}

struct Answer<'t> {
    tokens: &'t Tokens,
    characters: Characters,
    text: String,
    count: u32,
}

impl Answer<'_> {
    fn add(
        &mut self,
        tokens: &[u32],
        receive: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut whole = String::new();
        for token in tokens {
            whole.push_str(&self.characters.push(self.tokens.bytes(*token)));
            self.count += 1;
        }
        if whole.is_empty() {
            return ControlFlow::Continue(());
        }
        self.text.push_str(&whole);
        receive(&whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, tokenizer_json};
    use serde_json::json;
    use std::sync::Arc;

    struct Fixture {
        tokens: Arc<Tokens>,
        grammars: Grammars,
        width: usize,
    }

    fn fixture() -> Fixture {
        let tokens = Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap());
        let width = tokens.size() + 5;
        let grammars = Grammars::new(Arc::clone(&tokens), width).unwrap();
        Fixture { tokens, grammars, width }
    }

    fn order(shape: &Shape, max_tokens: u32, seed: u64) -> Order<'_> {
        let sampling = Sampling { temperature: 1.0, top_p: 1.0 };
        Order { prompt: &[1, 2, 3], shape, max_tokens, sampling, seed, model: "random" }
    }

    #[test]
    fn the_stream_is_the_text() {
        let f = fixture();
        for seed in 0..20 {
            for shape in [Shape::Text, Shape::Json(json!({"type": "string", "maxLength": 50}))] {
                let mut streamed = String::new();
                let produced = produce(
                    &mut Random::new(f.width, seed),
                    &f.tokens,
                    &f.grammars,
                    &order(&shape, 80, seed),
                    &mut |text| {
                        streamed.push_str(text);
                        ControlFlow::Continue(())
                    },
                )
                .unwrap();
                assert_eq!(streamed, produced.text);
                assert!(produced.tokens <= 80);
                assert_eq!(
                    produced.ended == Ended::Length,
                    shape == Shape::Text && produced.tokens == 80
                );
            }
        }
    }

    #[test]
    fn a_break_ends_the_answer_before_the_next_token() {
        let f = fixture();
        let mut heard = 0;
        let produced = produce(
            &mut Random::new(f.width, 3),
            &f.tokens,
            &f.grammars,
            &order(&Shape::Text, 500, 3),
            &mut |_| {
                heard += 1;
                if heard == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )
        .unwrap();
        assert_eq!((heard, produced.ended), (4, Ended::Cancelled));
        assert!(produced.tokens < 20, "{}", produced.tokens);
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        struct Broken(f32);
        impl Network for Broken {
            fn reset(&mut self) {}
            fn read(&mut self, _: &[u32]) -> Result<Vec<f32>, NetworkError> {
                Ok(vec![self.0; 300])
            }
        }
        let f = fixture();
        for value in [f32::NAN, f32::INFINITY] {
            let error = produce(
                &mut Broken(value),
                &f.tokens,
                &f.grammars,
                &order(&Shape::Text, 5, 1),
                &mut |_| ControlFlow::Continue(()),
            )
            .unwrap_err();
            assert!(error.to_string().contains("no number"), "{error}");
        }
    }
}
