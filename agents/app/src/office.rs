//! Who leads. Where the record is a file, whoever holds the data folder does: the lock
//! of the folder is kept by the kernel, and one who stands still keeps it. Where it is
//! on a server, every process that works stands for the office of the leader: a lease
//! on record, whose term everything names that only a leader may commit
//! ([`charter::leader`]).

use charter::ids::Millis;
use charter::leader::{Bid, LeaderRow};
use charter::ports::{Clock, Ledger, LedgerError};
use charter::tool::Process;
use ledger::Led;
use ledger::household::Role;
use sons_of_helaman::reconcile::{Reach, reconcile};
use sons_of_helaman::{Ports, Settings};
use std::sync::Arc;
use std::time::Duration;
use surfaces::http::Dependency;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long the office lasts without renewal, in milliseconds: half of a step's lease,
/// so that a dead leader's office and its steps are free at about the same time.
const OFFICE_MS: Millis = 5_000;
/// How often it is renewed, and asked for.
const BEAT: Duration = Duration::from_secs(1);
/// How long one question may take: less than is left of the office.
const ASK_TIME: Duration = Duration::from_secs(2);
/// How often claims of dead workers are looked for.
pub(crate) const RECONCILE: Duration = Duration::from_millis(500);

/// A process that stands for the office.
pub(crate) struct Candidate {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) holder: Process,
    /// Who leads, as far as is known.
    pub(crate) leader: watch::Sender<Option<LeaderRow>>,
}

/// The office while this process has it.
struct Held {
    term: u64,
    until: Instant,
    work: JoinSet<()>,
}

impl Candidate {
    /// Stands for the office until `stop`. While this process leads, `work` runs, on a
    /// ledger that names the term with all that is committed; it is dropped wherever it
    /// stands when the office is lost. An error: this version may work here no more.
    pub(crate) async fn stand<F>(
        &self,
        mut stop: watch::Receiver<bool>,
        work: impl Fn(Arc<dyn Ledger>) -> F,
    ) -> Result<(), LedgerError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut held, mut over): (Option<Held>, Option<u64>) = (None, None);
        loop {
            let asked = Instant::now();
            let bid = self.bid(OFFICE_MS, over.take());
            match tokio::time::timeout(ASK_TIME, self.ledger.lead(&bid)).await {
                Ok(Ok(leader)) => {
                    let mine = (leader.holder == self.holder).then_some(leader.term);
                    if held.as_ref().map(|held| held.term) != mine {
                        leave(held.take()).await;
                        held = mine.map(|term| self.begin(term, &work));
                    }
                    if let Some(held) = &mut held {
                        held.until = asked + Duration::from_millis(OFFICE_MS.unsigned_abs());
                        let stopping = *stop.borrow();
                        if !stopping {
                            self.look_after(held, &work);
                        }
                    }
                    if hephaestus::process::alive(&leader.holder, false) == Some(false) {
                        over = Some(leader.term);
                    }
                    self.leader.send_replace(Some(leader));
                }
                Ok(Err(error @ LedgerError::Damaged(_))) => {
                    leave(held.take()).await;
                    return Err(error);
                }
                failed => {
                    tracing::warn!(?failed, "could not ask who leads");
                    if held.as_ref().is_some_and(|held| Instant::now() >= held.until) {
                        leave(held.take()).await;
                        self.leader.send_replace(None);
                    }
                }
            }
            let pause = if over.is_some() { Duration::ZERO } else { BEAT };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if held.is_some() {
            leave(held).await;
            // Else it is free when it runs out.
            let free = self.bid(0, None);
            let _ = tokio::time::timeout(ASK_TIME, self.ledger.lead(&free)).await;
        }
        Ok(())
    }

    fn bid(&self, lasts: Millis, over: Option<u64>) -> Bid {
        let now = self.clock.now();
        Bid { holder: self.holder.clone(), now, expires_at: now.saturating_add(lasts), over }
    }

    fn begin<F>(&self, term: u64, work: &impl Fn(Arc<dyn Ledger>) -> F) -> Held
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tracing::info!(term, "this process leads");
        let mut held = Held { term, until: Instant::now(), work: JoinSet::new() };
        self.set_to_work(&mut held, work);
        held
    }

    fn set_to_work<F>(&self, held: &mut Held, work: &impl Fn(Arc<dyn Ledger>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        held.work.spawn(work(Arc::new(Led::new(Arc::clone(&self.ledger), held.term))));
    }

    /// Begins work again that ended: else this process would keep the office from the
    /// others and do nothing with it.
    fn look_after<F>(&self, held: &mut Held, work: &impl Fn(Arc<dyn Ledger>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(ended) = held.work.try_join_next() {
            tracing::error!(term = held.term, ?ended, "the leader's work ended; it begins again");
            self.set_to_work(held, work);
        }
    }
}

async fn leave(held: Option<Held>) {
    if let Some(mut held) = held {
        tracing::info!(term = held.term, "this process leads no more");
        held.work.shutdown().await;
    }
}

/// Does `work` whenever this process holds the data folder, until `stop`.
pub(crate) async fn while_owner<F: Future<Output = ()>>(
    mut role: watch::Receiver<Role>,
    mut stop: watch::Receiver<bool>,
    work: impl Fn() -> F,
) {
    loop {
        let is_owner = *role.borrow_and_update() == Role::Owner;
        if is_owner {
            tokio::select! {
                () = work() => {}
                _ = role.changed() => continue,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
        tokio::select! {
            changed = role.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Takes claims back from the dead, again and again.
pub(crate) async fn take_back(ports: &Ports, settings: &Settings, reach: Reach, one_machine: bool) {
    let alive = |process: &Process| hephaestus::process::alive(process, one_machine);
    loop {
        if let Err(error) = reconcile(ports, settings, reach, &alive).await {
            tracing::warn!(%error, "could not look for dead workers");
        }
        tokio::time::sleep(RECONCILE).await;
    }
}

/// What `/ready` says of the leader.
pub(crate) fn dependency(leader: Option<&LeaderRow>, own: &Process) -> Dependency {
    let detail = match leader {
        None => "nobody is known to lead yet; work that is ready waits for a leader".to_owned(),
        Some(row) if row.holder == *own => format!("this process leads (term {})", row.term),
        Some(row) => {
            let host = row.holder.host.split('/').next().unwrap_or_default();
            format!("process {} on {host} leads (term {})", row.holder.pid, row.term)
        }
    };
    Dependency { name: "leader", ready: leader.is_some(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemClock;
    use ledger::MemoryLedger;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn process(pid: u32) -> Process {
        Process { host: "elsewhere".into(), pid, start: 1 }
    }

    async fn until(what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn candidate(ledger: &Arc<MemoryLedger>, pid: u32) -> Candidate {
        Candidate {
            ledger: Arc::clone(ledger) as _,
            clock: Arc::new(SystemClock),
            holder: process(pid),
            leader: watch::Sender::new(None),
        }
    }

    type Log = Arc<Mutex<Vec<u32>>>;

    /// Stands for the office with work that says whose it is for ever.
    fn stands(
        ledger: &Arc<MemoryLedger>,
        pid: u32,
        log: &Log,
    ) -> (watch::Sender<bool>, tokio::task::JoinHandle<Result<(), LedgerError>>) {
        let candidate = candidate(ledger, pid);
        let (stop, stopped) = watch::channel(false);
        let log = Arc::clone(log);
        let task = tokio::spawn(async move {
            let work = |_| {
                let log = Arc::clone(&log);
                async move {
                    loop {
                        log.lock().unwrap().push(pid);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            };
            candidate.stand(stopped, work).await
        });
        (stop, task)
    }

    #[tokio::test]
    async fn one_works_and_the_next_begins_when_it_has_ended() {
        let (ledger, log) = (Arc::new(MemoryLedger::new()), Log::default());
        let (stop, first) = stands(&ledger, 1, &log);
        until("the first works", || log.lock().unwrap().last() == Some(&1)).await;
        let (_other, _second) = stands(&ledger, 2, &log);
        tokio::time::sleep(BEAT * 2).await;
        assert!(!log.lock().unwrap().contains(&2));
        stop.send_replace(true);
        first.await.unwrap().unwrap();
        until("the second works", || log.lock().unwrap().last() == Some(&2)).await;
        let log = log.lock().unwrap();
        let change = log.iter().position(|pid| *pid == 2).unwrap();
        assert!(log[change..].iter().all(|pid| *pid == 2), "both worked");
    }

    #[tokio::test]
    async fn work_that_died_begins_again_in_the_same_term() {
        let candidate = candidate(&Arc::new(MemoryLedger::new()), 1);
        let leads = candidate.leader.subscribe();
        let (begun, (stop, stopped)) = (Arc::new(AtomicU32::new(0)), watch::channel(false));
        let count = Arc::clone(&begun);
        let task = tokio::spawn(async move {
            let work = |_| {
                let nth = count.fetch_add(1, Ordering::SeqCst);
                async move {
                    assert!(nth > 0, "dies once");
                    std::future::pending().await
                }
            };
            candidate.stand(stopped, work).await
        });
        until("it begins again", || begun.load(Ordering::SeqCst) == 2).await;
        assert_eq!(leads.borrow().as_ref().map(|row| row.term), Some(1));
        tokio::time::sleep(BEAT * 2).await;
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        stop.send_replace(true);
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_lost_the_office_works_no_more() {
        let (ledger, log) = (Arc::new(MemoryLedger::new()), Log::default());
        let (_stop, _first) = stands(&ledger, 1, &log);
        until("it works", || !log.lock().unwrap().is_empty()).await;
        let now = SystemClock.now();
        let bid = Bid { holder: process(2), now, expires_at: now + 600_000, over: Some(1) };
        assert_eq!(ledger.lead(&bid).await.unwrap().term, 2);
        tokio::time::sleep(BEAT * 2).await;
        let worked = log.lock().unwrap().len();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(log.lock().unwrap().len(), worked);
    }
}
