//! One lane of a [`Queue`] as an apalis backend.
//!
//! One step is fetched at a time, and only when a handler is free to run it, so
//! that no process hoards steps that another could start. A fetch begins when a
//! wake-up is owed: one arrived since the last fetch began, or the last fetch
//! found something. A [`Gate`] may keep the lane from beginning anything for a while.
//! Errors of the queue never reach apalis, which would end the
//! worker: they are logged, and the fetch is tried again after a pause.

use crate::Queue;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::layers::Identity;
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use charter::flow::Lane;
use charter::ports::{DoorbellError, Ring};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Wake-ups read in one poll; the rest is read in the next.
const WAKES_PER_POLL: usize = 32;
/// The first pause after an error.
const REST: Duration = Duration::from_millis(20);
/// The longest pause after errors.
const REST_MAX: Duration = Duration::from_secs(2);

/// Pause while the gate of the lane is closed.
const CLOSED: Duration = Duration::from_millis(250);

/// Whether a step may begin now, as free memory and the like allow.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// A step that was taken, with the permission to run it.
#[derive(Debug)]
pub struct Turn {
    /// The step.
    pub ring: Ring,
    /// Frees the slot when the turn ends.
    _slot: OwnedSemaphorePermit,
}

enum State {
    Idle,
    WaitingForSlot(BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>),
    Taking(Option<OwnedSemaphorePermit>, BoxFuture<'static, Result<Option<Ring>, DoorbellError>>),
    Resting(Pin<Box<Sleep>>),
    GivingBack(BoxFuture<'static, Result<(), DoorbellError>>),
}

/// Hands steps of a queue to an apalis worker.
pub struct QueueBackend {
    queue: Arc<dyn Queue>,
    lane: Lane,
    gate: Gate,
    wakes: Option<BoxStream<'static, ()>>,
    slots: Arc<Semaphore>,
    state: State,
    owed: bool,
    failures: u32,
}

impl QueueBackend {
    /// A backend that looks at the lane once, and again whenever `wakes` yields;
    /// at most as many steps are under way as `slots` has permits.
    pub fn new(
        queue: Arc<dyn Queue>,
        (lane, gate): (Lane, Gate),
        wakes: BoxStream<'static, ()>,
        slots: Arc<Semaphore>,
    ) -> Self {
        let (wakes, state) = (Some(wakes), State::Idle);
        Self { queue, lane, gate, wakes, slots, state, owed: true, failures: 0 }
    }

    /// Reads wake-ups until none is left, so that the task is woken by the next.
    fn poll_wakes(&mut self, cx: &mut Context<'_>) {
        for _ in 0..WAKES_PER_POLL {
            let Some(wakes) = &mut self.wakes else { return };
            match wakes.poll_next_unpin(cx) {
                Poll::Ready(Some(())) => self.owed = true,
                Poll::Ready(None) => self.wakes = None,
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    fn rest(&mut self, error: &DoorbellError) {
        self.failures = self.failures.saturating_add(1);
        let pause = REST.saturating_mul(1 << self.failures.min(7)).min(REST_MAX);
        if self.failures.is_power_of_two() {
            tracing::warn!(%error, failures = self.failures, "the queue cannot be read; trying again");
        }
        self.owed = true;
        self.state = State::Resting(Box::pin(tokio::time::sleep(pause)));
    }
}

impl Backend for QueueBackend {
    type Task = Task<Turn>;
    type Error = DoorbellError;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        self.poll_wakes(cx);
        loop {
            match &mut self.state {
                State::Idle if self.owed => {
                    let slot = Arc::clone(&self.slots).acquire_owned().boxed();
                    self.state = State::WaitingForSlot(slot);
                }
                State::Idle => return Poll::Pending,
                State::WaitingForSlot(slot) => {
                    let Ok(slot) = ready!(slot.poll_unpin(cx)) else { return Poll::Ready(None) };
                    if !(self.gate)() {
                        self.state = State::Resting(Box::pin(tokio::time::sleep(CLOSED)));
                        continue;
                    }
                    let (queue, lane) = (Arc::clone(&self.queue), self.lane);
                    let take = async move { queue.take(lane).await }.boxed();
                    // A wake-up from here on may speak of a step that this fetch
                    // does not see: it owes another one.
                    self.owed = false;
                    self.state = State::Taking(Some(slot), take);
                }
                State::Taking(slot, take) => {
                    let taken = ready!(take.poll_unpin(cx));
                    let slot = slot.take();
                    self.state = State::Idle;
                    match (taken, slot) {
                        (Ok(Some(ring)), Some(slot)) => {
                            self.failures = 0;
                            self.owed = true;
                            return Poll::Ready(Some(Ok(Task::new(Turn { ring, _slot: slot }))));
                        }
                        (Ok(_), _) => self.failures = 0,
                        (Err(error), _) => self.rest(&error),
                    }
                }
                State::Resting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = State::Idle;
                }
                State::GivingBack(_) => return Poll::Ready(None),
            }
        }
    }

    /// A fetch under way is finished, and what it took is rung again for others.
    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        loop {
            match &mut self.state {
                State::Taking(_, take) => match ready!(take.poll_unpin(cx)) {
                    Ok(Some(ring)) => {
                        let queue = Arc::clone(&self.queue);
                        let ringing = async move { queue.ring(&[ring]).await }.boxed();
                        self.state = State::GivingBack(ringing);
                    }
                    Ok(None) => self.state = State::Idle,
                    Err(error) => {
                        tracing::debug!(%error, "the last look at the queue failed");
                        self.state = State::Idle;
                    }
                },
                State::GivingBack(ring) => {
                    if let Err(error) = ready!(ring.poll_unpin(cx)) {
                        tracing::warn!(%error, "a step could not be put back; the relay rings it again");
                    }
                    self.state = State::Idle;
                }
                State::Idle | State::WaitingForSlot(_) | State::Resting(_) => {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl BackendConfig for QueueBackend {
    type Args = Turn;
    type Id = ();
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Self::Layer {
        Identity::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MemoryQueue, rings, step, waiting};
    use charter::ids::StepKey;
    use charter::ports::Doorbell;
    use futures::task::noop_waker;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::mpsc;

    fn backend(
        queue: &Arc<MemoryQueue>,
        slots: usize,
    ) -> (QueueBackend, mpsc::UnboundedSender<()>) {
        let (wake, woken) = mpsc::unbounded_channel();
        let wakes = futures::stream::unfold(woken, |mut woken| async move {
            woken.recv().await.map(|()| ((), woken))
        });
        let queue: Arc<dyn Queue> = Arc::clone(queue) as _;
        let lane: (Lane, Gate) = (Lane::Light, Arc::new(|| true));
        (QueueBackend::new(queue, lane, wakes.boxed(), Arc::new(Semaphore::new(slots))), wake)
    }

    fn poll(backend: &mut QueueBackend) -> Option<Turn> {
        let worker = WorkerContext::new("test");
        let waker = noop_waker();
        match backend.poll_next(&mut Context::from_waker(&waker), &worker) {
            Poll::Ready(Some(Ok(task))) => Some(task.args),
            Poll::Ready(other) => panic!("the backend ended: {}", other.is_some()),
            Poll::Pending => None,
        }
    }

    fn step_of(backend: &mut QueueBackend) -> Option<StepKey> {
        poll(backend).map(|turn| turn.ring.step)
    }

    #[tokio::test]
    async fn a_wake_up_during_a_fetch_is_not_forgotten() {
        let queue = Arc::new(MemoryQueue::default());
        let (mut backend, wake) = backend(&queue, 1);
        queue.hold(true);
        assert!(poll(&mut backend).is_none(), "a fetch is under way and has seen nothing");
        queue.ring(&rings([step(1)])).await.unwrap();
        wake.send(()).unwrap();
        assert!(poll(&mut backend).is_none());
        queue.hold(false);
        assert_eq!(step_of(&mut backend), Some(step(1)));
    }

    #[tokio::test]
    async fn nothing_is_fetched_without_a_wake_up() {
        let queue = Arc::new(MemoryQueue::default());
        let (mut backend, wake) = backend(&queue, 1);
        assert!(poll(&mut backend).is_none());
        queue.ring(&rings([step(1)])).await.unwrap();
        assert!(poll(&mut backend).is_none());
        wake.send(()).unwrap();
        assert_eq!(step_of(&mut backend), Some(step(1)));
    }

    #[tokio::test]
    async fn no_step_is_taken_while_every_slot_is_busy() {
        let queue = Arc::new(MemoryQueue::default());
        queue.ring(&rings([step(1), step(2)])).await.unwrap();
        let (mut backend, _wake) = backend(&queue, 1);
        let first = poll(&mut backend).unwrap();
        assert!(poll(&mut backend).is_none());
        assert_eq!(waiting(&*queue).await, 1);
        drop(first);
        assert_eq!(step_of(&mut backend), Some(step(2)));
    }

    #[tokio::test]
    async fn closing_gives_back_what_a_fetch_took() {
        let queue = Arc::new(MemoryQueue::default());
        queue.ring(&rings([step(1)])).await.unwrap();
        let (mut backend, _wake) = backend(&queue, 1);
        queue.hold(true);
        assert!(poll(&mut backend).is_none());
        assert_eq!(waiting(&*queue).await, 0, "the fetch has the step");
        queue.hold(false);
        let worker = WorkerContext::new("test");
        std::future::poll_fn(|cx| backend.poll_close(cx, &worker)).await.unwrap();
        assert_eq!(waiting(&*queue).await, 1);
    }

    #[tokio::test]
    async fn nothing_begins_while_the_gate_is_closed() {
        let queue = Arc::new(MemoryQueue::default());
        queue.ring(&rings([step(1)])).await.unwrap();
        let (mut backend, _wake) = backend(&queue, 1);
        let open = Arc::new(AtomicBool::new(false));
        let looked = Arc::clone(&open);
        backend.gate = Arc::new(move || looked.load(Ordering::SeqCst));
        assert!(poll(&mut backend).is_none());
        tokio::time::sleep(2 * CLOSED).await;
        assert!(poll(&mut backend).is_none());
        assert_eq!(waiting(&*queue).await, 1);
        assert_eq!(backend.slots.available_permits(), 1, "it holds no slot meanwhile");
        open.store(true, Ordering::SeqCst);
        tokio::time::sleep(2 * CLOSED).await;
        assert_eq!(step_of(&mut backend), Some(step(1)));
    }
}
