//! A ledger that counts, shared by the households of a test as the disk is shared
//! by processes.

use async_trait::async_trait;
use charter::budget::Budget;
use charter::content::{Content, ContentRef};
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::event::{Event, StepHead};
use charter::flow::{Lane, Priority};
use charter::ids::{Millis, MissionId, StepKey, StreamId, TenantId};
use charter::label::Label;
use charter::ports::{
    Clock, Committed, Fence, LeaseChange, LeaseStatus, Ledger, LedgerError, LedgerSize, Query,
    Rows, Transition,
};
use charter::tool::Process;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub(super) fn mission() -> MissionId {
    "m-0000000000000001".parse().unwrap()
}

pub(super) fn fence() -> Fence {
    Fence { step: StepKey::step(&mission(), 3), token: u64::MAX }
}

pub(super) fn process() -> Process {
    Process { host: "here".into(), pid: 1, start: u64::MAX }
}

pub(super) fn transition(n: u64, contents: u64) -> Transition {
    let step = StepKey::step(&mission(), 1);
    let event = Event::StepReleased { step, token: n, dead: true, ready_at: 0 };
    let content = |i: u64| Content {
        id: format!("c-{n:08}{i:08}").parse().unwrap(),
        tenant: TenantId::local(),
        salt: vec![0xff; 16],
        bytes: "text\n\0é".as_bytes().to_vec(),
    };
    Transition {
        id: format!("t-{n:016}").parse().unwrap(),
        tenant: TenantId::local(),
        at: 1,
        fence: None,
        lease: LeaseChange::Keep,
        term: None,
        events: vec![(StreamId::mission(&mission()), event)],
        contents: (0..contents).map(content).collect(),
    }
}

/// A mission of one step, as a real ledger takes it.
pub(super) fn submission(n: u64) -> Transition {
    let mission: MissionId = format!("m-{n:016}").parse().unwrap();
    let stream = StreamId::mission(&mission);
    let content = |i: u64| Content {
        id: format!("c-{n:08}{i:08}").parse().unwrap(),
        tenant: TenantId::local(),
        salt: vec![i as u8; 16],
        bytes: b"{}".to_vec(),
    };
    let contents: Vec<Content> = (0..3).map(content).collect();
    let reference = |i: usize| ContentRef {
        id: contents[i].id.clone(),
        sha256: contents[i].sha256(),
        label: Label::TRUSTED,
    };
    let head = StepHead {
        n: 1,
        digest: Digest::of(b"step"),
        needs: Vec::new(),
        class: EffectClass::Read,
        for_each: false,
        lane: Lane::Light,
    };
    let submitted = Event::MissionSubmitted {
        mission: mission.clone(),
        subject: "local".into(),
        wish: reference(0),
        workspace: reference(1),
        same: Digest::of(&n.to_be_bytes()),
        budget: Budget::default(),
        priority: Priority::Normal,
    };
    let planned = Event::MissionPlanned {
        mission,
        plan: reference(2),
        digest: Digest::of(b"plan"),
        steps: vec![head],
    };
    Transition {
        id: format!("t-{n:016}").parse().unwrap(),
        tenant: TenantId::local(),
        at: 1,
        fence: None,
        lease: LeaseChange::Keep,
        term: None,
        events: vec![(stream.clone(), submitted), (stream, planned)],
        contents,
    }
}

/// Stands still.
pub(super) struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Millis {
        1
    }
}

/// Counts commits; a commit can be held up after it is written.
#[derive(Default)]
pub(super) struct Tally {
    written: Mutex<BTreeMap<String, i64>>,
    position: watch::Sender<i64>,
    held: watch::Sender<bool>,
    calls: AtomicU64,
}

impl Tally {
    pub(super) fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// Calls of commit so far, repeated ones included.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn written(&self) -> usize {
        self.written.lock().unwrap().len()
    }
}

#[async_trait]
impl Ledger for Tally {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        let position = {
            let mut written = self.written.lock().unwrap();
            let next = written.len() as i64 + 1;
            *written.entry(transition.id.to_string()).or_insert(next)
        };
        self.position.send_if_modified(|newest| {
            let higher = position > *newest;
            *newest = position.max(*newest);
            higher
        });
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        Ok(Committed { position, ready: Vec::new() })
    }

    async fn query(&self, _: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        match query {
            Query::Size => {
                let events = self.written() as u64;
                Ok(Rows::Size(LedgerSize { events, ..LedgerSize::default() }))
            }
            Query::Leases => {
                let content = transition(1, 1).contents.remove(0);
                let bytes = vec![7; 1 << 20];
                Ok(Rows::Contents(vec![Content { bytes, ..content }]))
            }
            other => Err(LedgerError::NotFound(format!("{other:?}"))),
        }
    }

    async fn renew(&self, _: &Fence, _: Millis) -> Result<LeaseStatus, LedgerError> {
        Ok(LeaseStatus::Held)
    }

    async fn note_program(&self, _: &Fence, _: &Process, _: bool) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn lead(
        &self,
        bid: &charter::leader::Bid,
    ) -> Result<charter::leader::LeaderRow, LedgerError> {
        Ok(bid.on(None))
    }

    async fn outbox_done(&self, _: &[i64]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        let mut position = self.position.subscribe();
        let wait = Duration::from_millis(wait_ms);
        let _ = tokio::time::timeout(wait, position.wait_for(|newest| *newest > after)).await;
        Ok(*self.position.borrow())
    }
}
