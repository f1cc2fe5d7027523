//! One model for all who ask: answers join and leave at each step, begin where others
//! that began alike have got to, and are computed together.
//!
//! | to know | look at |
//! |---|---|
//! | what is asked, and what comes out | [`order`] |
//! | one answer in the making | `sequence` |
//! | who is computed in the next step | `schedule` |
//! | which blocks of the cache hold what | `blocks` |
//! | guessing ahead | `speculation`; with a smaller model `draft` |
//! | all of them together | `desk` |
//!
//! The engine is a thread that owns the model. Whoever asks waits on a thread of its
//! own and hears whole characters as they come.

mod blocks;
mod desk;
mod draft;
pub mod order;
mod schedule;
mod sequence;
mod speculation;

use crate::tokens::Tokens;
use charter::generate::{Ended, GenerateError, Urgency};
use desk::{Desk, Job};
use order::Said;
pub use order::{Order, Produced};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Most orders that wait.
const WAITING_MAX: usize = 64;
/// How often somebody who waits is asked whether to go on waiting.
const LOOK: Duration = Duration::from_millis(100);

/// Why logits could not be computed.
pub type ModelError = crate::qwen::weights::WeightsError;

/// A part of a conversation that is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Its tokens; not empty.
    pub tokens: &'a [u32],
    /// Position of the first of them. All before it were read, in pieces of whatever
    /// size.
    pub position: usize,
    /// Blocks of the cache, of sixteen positions each, for all positions up to the last
    /// token.
    pub blocks: &'a [u32],
    /// For how many of its last tokens logits are wanted.
    pub logits: usize,
}

/// What computes logits.
pub trait Model: Send {
    /// Numbers of a row of logits.
    fn width(&self) -> usize;

    /// Most tokens of all pieces together.
    fn batch(&self) -> usize;

    /// Reads pieces of different conversations, and gives the logits that were asked
    /// for, a row each, in order. What comes out for one piece does not depend on the
    /// others. `None`: `stop` was set meanwhile, and nothing was read.
    fn read(
        &mut self,
        pieces: &[Piece<'_>],
        stop: &AtomicBool,
    ) -> Result<Option<&[f32]>, ModelError>;
}

/// What an engine may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Blocks of the cache, sixteen positions each.
    pub blocks: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
}

/// What an engine has done, and does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Answers in the making.
    pub active: usize,
    /// Orders that wait.
    pub waiting: usize,
    /// Steps computed.
    pub steps: u64,
    /// Steps given up for a conversation.
    pub given_up: u64,
    /// Models that guessed ahead, failed and guess no more.
    pub drafts_failed: u64,
    /// Tokens computed.
    pub read: u64,
    /// Tokens of those that were guesses.
    pub guessed: u64,
    /// Guesses that came true.
    pub right: u64,
    /// Tokens of prompts that did not have to be computed.
    pub hits: u64,
    /// Tokens of prompts that had to be.
    pub misses: u64,
    /// Bytes of the cache that hold something.
    pub cache_bytes: u64,
}

/// A model at work.
pub struct Engine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    inbox: Mutex<Inbox>,
    changed: Condvar,
    /// A conversation has come in.
    hurry: AtomicBool,
}

#[derive(Default)]
struct Inbox {
    jobs: VecDeque<Job>,
    forgotten: Vec<String>,
    figures: Figures,
    ends: bool,
    /// The thread is gone, and why.
    broken: Option<String>,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Starts the thread of a model, and of a smaller one that guesses ahead of it if there
    /// is one: both have blocks of the same numbers. `name` is what errors call it.
    pub fn start(
        model: Box<dyn Model>,
        draft: Option<Box<dyn Model>>,
        tokens: Arc<Tokens>,
        name: &str,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            changed: Condvar::new(),
            hurry: AtomicBool::new(false),
        });
        let mut desk = Desk::new(model, draft, tokens, name, limits);
        let own = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("model 0".to_owned());
        let thread = builder.spawn(move || {
            let ran = catch_unwind(AssertUnwindSafe(|| work(&own, &mut desk)));
            let mut inbox = own.inbox();
            inbox.broken = Some(match ran {
                Ok(()) => "the engine has ended".to_owned(),
                Err(_) => "the engine broke off: load the model again".to_owned(),
            });
            // Who waits notices that its sender is gone.
            inbox.jobs.clear();
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Answers. Blocks until the answer has ended; `receive` gets whole characters, and
    /// an empty text now and then while there are none. Its break ends the answer.
    pub fn answer(
        &self,
        order: Order,
        receive: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Produced, GenerateError> {
        if order.prompt.is_empty() {
            return Err(GenerateError::Ask("the prompt has no tokens".to_owned()));
        }
        let (to, from) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let is_talk = order.urgency == Urgency::Conversation;
        {
            let mut inbox = self.shared.inbox();
            if let Some(why) = &inbox.broken {
                return Err(broken(why));
            }
            let waiting = inbox.jobs.len() + inbox.figures.waiting;
            if waiting >= WAITING_MAX {
                return Err(GenerateError::Busy { waiting });
            }
            inbox.jobs.push_back(Job { order, to, cancelled: Arc::clone(&cancelled) });
            // Read by the thread until the next job is taken.
            self.shared.hurry.fetch_or(is_talk, Ordering::Relaxed);
        }
        self.shared.changed.notify_one();
        let (mut heard, mut count) = (String::new(), 0);
        loop {
            let go_on = match from.recv_timeout(LOOK) {
                Ok(Said::Done(done)) => return done,
                Ok(Said::Text(text, tokens)) => {
                    count = tokens;
                    heard.push_str(&text);
                    receive(&text)
                }
                Err(RecvTimeoutError::Timeout) => receive(""),
                Err(RecvTimeoutError::Disconnected) => {
                    let inbox = self.shared.inbox();
                    return Err(broken(inbox.broken.as_deref().unwrap_or("the answer was lost")));
                }
            };
            if go_on.is_break() {
                cancelled.store(true, Ordering::Relaxed);
                let (ended, logprobs) = (Ended::Cancelled, Vec::new());
                return Ok(Produced { text: heard, tokens: count, ended, logprobs });
            }
        }
    }

    /// Drops what a tenant's conversations left in the cache.
    pub fn forget(&self, tenant: &str) {
        self.shared.inbox().forgotten.push(tenant.to_owned());
        self.shared.changed.notify_one();
    }

    /// What the engine has done, as of its last step.
    pub fn figures(&self) -> Figures {
        self.shared.inbox().figures
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.inbox().ends = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was told to whoever waited.
            let _ = thread.join();
        }
    }
}

fn broken(why: &str) -> GenerateError {
    GenerateError::Engine { operation: "answer", source: why.into() }
}

/// Takes orders and computes steps until the engine is dropped.
fn work(shared: &Shared, desk: &mut Desk) {
    loop {
        {
            let mut inbox = shared.inbox();
            inbox.figures = desk.figures();
            while desk.is_idle()
                && inbox.jobs.is_empty()
                && inbox.forgotten.is_empty()
                && !inbox.ends
            {
                inbox = shared.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            }
            if inbox.ends {
                return;
            }
            shared.hurry.store(false, Ordering::Relaxed);
            for tenant in std::mem::take(&mut inbox.forgotten) {
                desk.forget(&tenant);
            }
            let jobs = std::mem::take(&mut inbox.jobs);
            inbox.figures.waiting += jobs.len();
            drop(inbox);
            jobs.into_iter().for_each(|job| desk.take(job));
        }
        desk.step(&shared.hurry);
    }
}

#[cfg(test)]
mod tests;
