//! Asking the language model: beside the runtime, and no longer than somebody
//! waits for the answer.

use charter::generate::{Ask, Generate, GenerateError, Generated};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often an ask that is too long is made shorter.
const SHORTER_MAX: usize = 16;

/// Set when nobody waits any more.
#[derive(Default)]
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks. `ask` makes the ask from how often it was too long already and the
/// model's context; `None`: it cannot be made shorter. `hear` gets the answer as
/// it comes.
pub(crate) async fn think(
    model: Arc<dyn Generate>,
    mut ask: impl FnMut(usize, u32) -> Option<Ask> + Send + 'static,
    mut hear: impl FnMut(&str) -> ControlFlow<()> + Send + 'static,
) -> Result<Generated, GenerateError> {
    let waiting = Waiting::default();
    let gone = Arc::clone(&waiting.0);
    let thinking = tokio::task::spawn_blocking(move || {
        let context = model.context();
        let mut last = GenerateError::Ask("it is empty".to_owned());
        for shorter in 0..SHORTER_MAX {
            let Some(ask) = ask(shorter, context) else { break };
            let made = model.generate(&ask, &mut |text| {
                if gone.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { hear(text) }
            });
            match made {
                Err(error @ GenerateError::TooLong { .. }) => {
                    tracing::debug!(%error, shorter, "the ask is made shorter");
                    last = error;
                }
                made => return made,
            }
        }
        Err(last)
    });
    thinking.await.unwrap_or_else(|error| {
        Err(GenerateError::Engine { operation: "answer", source: Box::new(error) })
    })
}

/// An error with its causes, outermost first.
pub(crate) fn reason(error: &GenerateError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Whether the next ask may fare better: then it is worth saying each time.
pub(crate) fn passes(error: &GenerateError) -> bool {
    matches!(error, GenerateError::Busy { .. } | GenerateError::TooLong { .. })
}

/// Models for tests: what they say is known.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;
    use charter::generate::Ended;
    use std::sync::Mutex;

    /// Says these texts, one after the other, and keeps what it was asked.
    pub(crate) struct Fake {
        pub(crate) says: Mutex<Vec<String>>,
        pub(crate) asked: Mutex<Vec<Ask>>,
        /// Bytes that fit.
        pub(crate) room: usize,
    }

    impl Fake {
        pub(crate) fn new(says: &[&str]) -> Arc<Self> {
            Self::with_room(says, usize::MAX)
        }

        pub(crate) fn with_room(says: &[&str], room: usize) -> Arc<Self> {
            let says = Mutex::new(says.iter().rev().map(|text| (*text).to_owned()).collect());
            Arc::new(Self { says, asked: Mutex::default(), room })
        }
    }

    impl Generate for Fake {
        fn name(&self) -> &str {
            "fake sha256:9a129038d9b2a5d9a4dfcd8a2a7ae1ebaf3a1d1c8e4a5e2f9d2a4b7c6d5e4f3a"
        }

        fn context(&self) -> u32 {
            4_096
        }

        fn generate(
            &self,
            ask: &Ask,
            token: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> Result<Generated, GenerateError> {
            let bytes: usize = ask.messages.iter().map(|message| message.text.len()).sum();
            if bytes > self.room {
                let (prompt, context) = (bytes as u64, self.room as u64);
                return Err(GenerateError::TooLong { prompt, answer: 1, context });
            }
            self.asked.lock().unwrap().push(ask.clone());
            let text = self.says.lock().unwrap().pop();
            let Some(text) = text else {
                return Err(GenerateError::NotANumber { model: "fake".to_owned() });
            };
            let mut ended = Ended::Whole;
            for word in text.split_inclusive(' ') {
                if token(word).is_break() {
                    ended = Ended::Cancelled;
                    break;
                }
            }
            Ok(Generated { text, prompt_tokens: 1, tokens: 1, ended, logprobs: Vec::new() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;
    use charter::generate::{Message, Shape};

    fn turns(shorter: usize) -> Option<Ask> {
        let messages: Vec<Message> =
            (shorter..3).map(|n| Message::user(format!("message {n}"))).collect();
        (!messages.is_empty()).then(|| Ask::new(messages, Shape::Text, 8))
    }

    #[tokio::test]
    async fn what_is_too_long_is_made_shorter() {
        let model = Fake::with_room(&["fine"], 20);
        let made = think(model.clone(), |n, _| turns(n), |_| ControlFlow::Continue(())).await;
        assert_eq!(made.unwrap().text, "fine");
        let asked = model.asked.lock().unwrap();
        let texts: Vec<&str> = asked[0].messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["message 1", "message 2"]);
    }

    #[tokio::test]
    async fn what_never_fits_says_so() {
        let model = Fake::with_room(&["fine"], 3);
        let made = think(model, |n, _| turns(n), |_| ControlFlow::Continue(())).await;
        assert!(matches!(made, Err(GenerateError::TooLong { prompt: 9, .. })), "{made:?}");
    }
}
