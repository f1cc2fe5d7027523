//! The answers in the making, and who of those that wait is next: everything between
//! an order and its answer but the thread that drives it.

use super::blocks::{Blocks, NodeId};
use super::draft::{Draft, Reading};
use super::order::{Order, Said};
use super::schedule::{Candidate, Share, shares};
use super::sequence::{Progress, Sequence};
use super::{Figures, Limits, Model, Piece};
use crate::compute::cache::POSITIONS;
use crate::error::chain;
use crate::sampling::Chooser;
use crate::tokens::Tokens;
use charter::generate::{Ended, GenerateError, Urgency};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

/// Background answers in the making at the same time; with conversations, twice as
/// many.
const TOGETHER: usize = 16;

/// An order with the way back to whoever asked.
pub(crate) struct Job {
    pub(crate) order: Order,
    pub(crate) to: Sender<Said>,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// An answer that waits or is in the making.
struct Task {
    sequence: Sequence,
    tenant: String,
    urgency: Urgency,
    number: u64,
    to: Sender<Said>,
    cancelled: Arc<AtomicBool>,
    /// Blocks that are shared, those of the beginning first.
    nodes: Vec<NodeId>,
    /// All its blocks, shared ones first.
    blocks: Vec<u32>,
    /// Tokens that the draft has read.
    drafted: usize,
}

impl Task {
    fn is_talk(&self) -> bool {
        self.urgency == Urgency::Conversation
    }

    /// Blocks that it can come to need.
    fn needs(&self) -> usize {
        self.sequence.longest().div_ceil(POSITIONS)
    }
}

/// Orders and answers.
pub(crate) struct Desk {
    model: Box<dyn Model>,
    draft: Option<Draft>,
    tokens: Arc<Tokens>,
    name: String,
    blocks: Blocks,
    block_bytes: usize,
    waiting: Vec<Task>,
    active: Vec<Task>,
    /// Tokens that each tenant was given, counted from the least that anybody had when
    /// it came.
    given: HashMap<String, u64>,
    chooser: Chooser,
    numbers: u64,
    steps: u64,
    figures: Figures,
}

impl Desk {
    pub(crate) fn new(
        model: Box<dyn Model>,
        draft: Option<Box<dyn Model>>,
        tokens: Arc<Tokens>,
        name: &str,
        limits: Limits,
    ) -> Self {
        Self {
            model,
            draft: draft.map(Draft),
            tokens,
            name: name.to_owned(),
            blocks: Blocks::new(limits.blocks),
            block_bytes: limits.block_bytes,
            waiting: Vec::new(),
            active: Vec::new(),
            given: HashMap::new(),
            chooser: Chooser::default(),
            numbers: 0,
            steps: 0,
            figures: Figures::default(),
        }
    }

    /// Takes an order.
    pub(crate) fn take(&mut self, job: Job) {
        let Job { order, to, cancelled } = job;
        let (tenant, urgency) = (order.tenant.clone(), order.urgency);
        match Sequence::new(order) {
            Ok(sequence) => {
                self.numbers += 1;
                let number = self.numbers;
                let (nodes, blocks) = (Vec::new(), Vec::new());
                let drafted = 0;
                let task = Task {
                    sequence,
                    tenant,
                    urgency,
                    number,
                    to,
                    cancelled,
                    nodes,
                    blocks,
                    drafted,
                };
                if task.needs() > self.blocks.total() {
                    let prompt = task.sequence.tokens().len();
                    let error = GenerateError::TooLong {
                        prompt: prompt as u64,
                        answer: (task.sequence.longest() - prompt) as u64,
                        context: (self.blocks.total() * POSITIONS) as u64,
                    };
                    return self.finish(task, Err(error));
                }
                self.waiting.push(task);
            }
            // Whoever asked may be gone: then nobody needs to know.
            Err(error) => drop(to.send(Said::Done(Err(error)))),
        }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Drops what a tenant's conversations left in the cache.
    pub(crate) fn forget(&mut self, tenant: &str) {
        self.blocks.forget(tenant);
    }

    /// What happened so far.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            active: self.active.len(),
            waiting: self.waiting.len(),
            cache_bytes: (self.blocks.held() * self.block_bytes) as u64,
            ..self.figures
        }
    }

    /// Computes one step for all who take part. `hurry` is set when a conversation
    /// comes in: a step without one is given up then.
    pub(crate) fn step(&mut self, hurry: &AtomicBool) {
        self.sweep();
        self.admit();
        if self.active.is_empty() {
            // With nobody there, nobody was given more than others.
            self.given.clear();
            return;
        }
        self.steps += 1;
        let mut candidates = Vec::with_capacity(self.active.len());
        for task in &mut self.active {
            let left = task.sequence.left(self.draft.is_some());
            candidates.push(Candidate {
                urgency: task.urgency,
                given: self.given.get(&task.tenant).copied().unwrap_or(0),
                number: task.number,
                unread: left.unread,
                guessed: left.guessed,
                answers: task.sequence.answers(),
            });
        }
        let shares = shares(&candidates, self.model.batch(), self.steps);
        let talks = shares.iter().any(|share| self.active[share.candidate].is_talk());
        let never = AtomicBool::new(false);
        let stop = if talks { &never } else { hurry };
        let guessed = self.guess(&shares, stop);
        let turns: Vec<Turn> = shares
            .into_iter()
            .map(|share| {
                let sequence = &self.active[share.candidate].sequence;
                let from = sequence.computed();
                let guessed = share.guessed.min(sequence.guess().len());
                let share = Share { guessed, ..share };
                let mut tokens = sequence.tokens()[from..from + share.unread].to_vec();
                tokens.extend(&sequence.guess()[..share.guessed]);
                let reaches = share.unread == candidates[share.candidate].unread;
                Turn { share, tokens, logits: if reaches { 1 + share.guessed } else { 0 } }
            })
            .collect();
        let pieces: Vec<Piece<'_>> = turns
            .iter()
            .map(|turn| {
                let task = &self.active[turn.share.candidate];
                let (position, blocks) = (task.sequence.computed(), task.blocks.as_slice());
                Piece { tokens: &turn.tokens, position, blocks, logits: turn.logits }
            })
            .collect();
        let width = self.model.width();
        let outcome = if guessed { self.model.read(&pieces, stop) } else { Ok(None) };
        let mut ended = Vec::new();
        match outcome {
            Ok(None) => self.figures.given_up += 1,
            Ok(Some(mut rows)) => {
                self.figures.steps += 1;
                for turn in &turns {
                    let (own, rest) = rows.split_at((turn.logits * width).min(rows.len()));
                    rows = rest;
                    let Share { candidate, unread, guessed } = turn.share;
                    let task = &mut self.active[candidate];
                    *self.given.entry(task.tenant.clone()).or_default() += unread as u64;
                    self.figures.read += (unread + guessed) as u64;
                    self.figures.guessed += guessed as u64;
                    let right = task.sequence.right();
                    let (tokens, name) = (&self.tokens, &self.name);
                    let progress = task.sequence.advance(
                        unread,
                        guessed,
                        own,
                        tokens,
                        &mut self.chooser,
                        name,
                    );
                    self.figures.right += task.sequence.right() - right;
                    // What was guessed wrong is read anew.
                    task.drafted = task.drafted.min(task.sequence.computed());
                    match progress {
                        Ok(Progress::More(text)) => task.say(text),
                        Ok(Progress::Ended(text, how)) => {
                            task.say(text);
                            ended.push((candidate, Ok(how)));
                        }
                        Err(error) => ended.push((candidate, Err(error))),
                    }
                }
            }
            Err(error) => {
                // Nobody can go on without the weights.
                let why = chain(&error);
                for turn in &turns {
                    let (operation, source) = ("compute the next token", why.clone().into());
                    let error = GenerateError::Engine { operation, source };
                    ended.push((turn.share.candidate, Err(error)));
                }
            }
        }
        let drafts = self.draft.is_some();
        for task in &mut self.active {
            let computed = task.sequence.computed();
            let whole = if drafts { task.drafted.min(computed) } else { computed };
            task.share(&mut self.blocks, whole);
        }
        // The last first, so that the places of the others stay what they are.
        ended.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, how) in ended {
            let task = self.active.remove(at);
            self.finish(task, how);
        }
    }

    /// Has the draft read what is about to be read, and guess; `false`: given up. One that
    /// fails guesses no more: answers need none.
    fn guess(&mut self, shares: &[Share], stop: &AtomicBool) -> bool {
        let Some(draft) = &mut self.draft else { return true };
        for share in shares {
            // Of a step that was given up the draft may have read what the model did not.
            let task = &mut self.active[share.candidate];
            task.drafted = task.drafted.min(task.sequence.computed());
        }
        let readings: Vec<Reading<'_>> = shares
            .iter()
            .map(|share| {
                let task = &self.active[share.candidate];
                let to = task.sequence.computed() + share.unread;
                Reading {
                    tokens: &task.sequence.tokens()[task.drafted..to],
                    position: task.drafted,
                    blocks: &task.blocks,
                    guesses: if task.sequence.is_drafted() { share.guessed } else { 0 },
                }
            })
            .collect();
        let guesses = match draft.read(&readings, stop) {
            Ok(Some(guesses)) => guesses,
            Ok(None) => return false,
            Err(_) => {
                self.draft = None;
                self.figures.drafts_failed += 1;
                vec![Vec::new(); shares.len()]
            }
        };
        for (share, guess) in shares.iter().zip(guesses) {
            let task = &mut self.active[share.candidate];
            task.drafted = task.sequence.computed() + share.unread;
            if task.sequence.is_drafted() {
                task.drafted += guess.len().saturating_sub(1);
                task.sequence.suggest(guess);
            }
        }
        true
    }

    /// Ends what nobody wants any more.
    fn sweep(&mut self) {
        let gone = |task: &Task| task.cancelled.load(Ordering::Relaxed);
        self.waiting.retain(|task| !gone(task));
        for at in (0..self.active.len()).rev() {
            if gone(&self.active[at]) {
                let task = self.active.remove(at);
                self.blocks.release(&task.nodes, &task.blocks[task.nodes.len()..]);
            }
        }
    }

    /// Begins with those that wait, as far as there is room; a conversation takes the
    /// room of the background work that came last.
    fn admit(&mut self) {
        loop {
            let talks = self.active.iter().filter(|task| task.is_talk()).count();
            let given = |task: &Task| self.given.get(&task.tenant).copied().unwrap_or(0);
            let next = (0..self.waiting.len()).min_by_key(|at| {
                let task = &self.waiting[*at];
                (!task.is_talk(), given(task), task.number)
            });
            let Some(at) = next else { return };
            let is_talk = self.waiting[at].is_talk();
            let others = self.active.len() - talks;
            if self.active.len() >= 2 * TOGETHER || (!is_talk && others >= TOGETHER) {
                return;
            }
            let mut task = self.waiting.remove(at);
            while !self.begin(&mut task) {
                let last = (0..self.active.len())
                    .filter(|at| is_talk && !self.active[*at].is_talk())
                    .max_by_key(|at| self.active[*at].number);
                let Some(last) = last else {
                    self.waiting.push(task);
                    return;
                };
                let mut other = self.active.remove(last);
                self.blocks.release(&other.nodes, &other.blocks[other.nodes.len()..]);
                (other.nodes, other.blocks) = (Vec::new(), Vec::new());
                // What it said stands; it is read again, mostly from what is still there.
                other.sequence.set_computed(0);
                other.drafted = 0;
                self.waiting.push(other);
            }
            // Who comes new is given as much as those who were given least, and no more.
            let least = self.active.iter().map(|task| self.given_to(task)).min().unwrap_or(0);
            let own = self.given.entry(task.tenant.clone()).or_default();
            *own = (*own).max(least);
            self.active.push(task);
        }
    }

    fn given_to(&self, task: &Task) -> u64 {
        self.given.get(&task.tenant).copied().unwrap_or(0)
    }

    /// Gets all the blocks that a task can come to need; `false`: there is no room.
    fn begin(&mut self, task: &mut Task) -> bool {
        // The last token is always read: its logits are what comes next.
        let tokens = task.sequence.tokens();
        let known = match task.tenant.as_str() {
            "" => Vec::new(),
            tenant => self.blocks.find(tenant, &tokens[..tokens.len() - 1]),
        };
        let missing = task.needs().saturating_sub(known.len());
        let nodes: Vec<NodeId> = known.iter().map(|(node, _)| *node).collect();
        if missing > self.blocks.available() {
            self.blocks.release(&nodes, &[]);
            return false;
        }
        task.blocks = known.iter().map(|(_, block)| *block).collect();
        task.blocks.extend(std::iter::from_fn(|| self.blocks.allocate()).take(missing));
        task.nodes = nodes;
        let found = known.len() * POSITIONS;
        self.figures.hits += found as u64;
        self.figures.misses += (tokens.len() - found) as u64;
        task.sequence.set_computed(found);
        task.drafted = found;
        true
    }

    fn finish(&mut self, task: Task, how: Result<Ended, GenerateError>) {
        self.blocks.release(&task.nodes, &task.blocks[task.nodes.len()..]);
        let Task { sequence, to, .. } = task;
        let done = how.map(|ended| sequence.produced(ended));
        // Whoever asked may be gone: then nobody needs to know.
        let _ = to.send(Said::Done(done));
    }
}

/// What a task is given in a step.
struct Turn {
    share: Share,
    tokens: Vec<u32>,
    logits: usize,
}

impl Task {
    /// Says something, and notices if nobody listens.
    fn say(&self, text: String) {
        if !text.is_empty() && self.to.send(Said::Text(text, self.sequence.count())).is_err() {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Shares the blocks that are full now, with so many tokens read.
    fn share(&mut self, blocks: &mut Blocks, whole: usize) {
        if self.tenant.is_empty() {
            return;
        }
        let tokens = &self.sequence.tokens()[..whole];
        for own in tokens.as_chunks::<POSITIONS>().0.iter().skip(self.nodes.len()) {
            let at = self.nodes.len();
            let below = self.nodes.last().copied();
            let (node, block) = blocks.share(&self.tenant, below, *own, self.blocks[at]);
            self.nodes.push(node);
            self.blocks[at] = block;
        }
    }
}
