//! A transition in the making: events and the texts they refer to.

use crate::worker::Ports;
use charter::content::{Content, ContentError, ContentRef};
use charter::event::Event;
use charter::ids::{MissionId, StreamId, TenantId, TransitionId};
use charter::label::Label;
use charter::ports::{Committed, Fence, LeaseChange, LedgerError, Transition};
use charter::tool::Cancel;
use moroni::machine::failure::full_jitter;
use serde::Serialize;

/// Tries to commit when the store cannot be reached, before giving up.
const COMMIT_TRIES_MAX: u32 = 8;
/// Longest first wait between two tries, in milliseconds; doubled every time.
const COMMIT_WAIT_FIRST_MS: u64 = 20;
/// Wait between two tries while the disk is full, in milliseconds.
const DISK_FULL_WAIT_MS: u64 = 500;

/// Events and contents collected for one commit, most of them on one stream.
pub struct Draft<'p> {
    ports: &'p Ports,
    tenant: TenantId,
    stream: StreamId,
    events: Vec<(StreamId, Event)>,
    contents: Vec<Content>,
}

impl<'p> Draft<'p> {
    /// An empty draft for a mission's stream.
    pub fn new(ports: &'p Ports, tenant: &TenantId, mission: &MissionId) -> Self {
        Self::on(ports, tenant, StreamId::mission(mission))
    }

    /// An empty draft for any stream.
    pub fn on(ports: &'p Ports, tenant: &TenantId, stream: StreamId) -> Self {
        let (events, contents) = (Vec::new(), Vec::new());
        Self { ports, tenant: tenant.clone(), stream, events, contents }
    }

    /// Adds an event.
    pub fn event(&mut self, event: Event) {
        self.events.push((self.stream.clone(), event));
    }

    /// Adds an event of another stream.
    pub fn also(&mut self, stream: StreamId, event: Event) {
        self.events.push((stream, event));
    }

    /// Adds a content that was made before.
    pub fn content(&mut self, content: Content) {
        self.contents.push(content);
    }

    /// Adds a value as JSON content.
    pub fn json<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        label: Label,
    ) -> Result<ContentRef, ContentError> {
        self.json_sized(value, label).map(|(reference, _)| reference)
    }

    /// The same, and how many bytes it has.
    pub(crate) fn json_sized<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        label: Label,
    ) -> Result<(ContentRef, usize), ContentError> {
        let (content, reference) = Content::of_json(
            &self.tenant,
            value,
            label,
            self.ports.clock.now(),
            self.ports.entropy.as_ref(),
        )?;
        let bytes = content.bytes.len();
        self.contents.push(content);
        Ok((reference, bytes))
    }

    /// Adds a text as content.
    pub fn text(&mut self, text: &str, label: Label) -> Result<ContentRef, ContentError> {
        let (content, reference) = Content::new(
            &self.tenant,
            text.as_bytes().to_vec(),
            label,
            self.ports.clock.now(),
            self.ports.entropy.as_ref(),
        )?;
        self.contents.push(content);
        Ok(reference)
    }

    /// Commits what no claim stands behind.
    pub async fn commit(self) -> Result<Committed, LedgerError> {
        let ports = self.ports;
        commit(ports, self.transition(None, LeaseChange::Keep)).await
    }

    /// The transition, named and dated.
    pub fn transition(self, fence: Option<Fence>, lease: LeaseChange) -> Transition {
        let at = self.ports.clock.now();
        Transition {
            id: TransitionId::new(at, self.ports.entropy.as_ref()),
            tenant: self.tenant,
            at,
            fence,
            lease,
            term: None,
            events: self.events,
            contents: self.contents,
        }
    }
}

/// Commits, and tries the same transition again when it is not known whether it
/// was written. That the disk is full is said at once.
pub async fn commit(ports: &Ports, transition: Transition) -> Result<Committed, LedgerError> {
    let mut tries = 0;
    loop {
        match ports.ledger.commit(transition.clone()).await {
            Err(LedgerError::Store { operation, cause }) => {
                tries += 1;
                if tries >= COMMIT_TRIES_MAX {
                    return Err(LedgerError::Store { operation, cause });
                }
                let ceiling = COMMIT_WAIT_FIRST_MS << tries;
                ports.timer.rest(full_jitter(ceiling, ports.entropy.next_u32())).await;
            }
            other => return other,
        }
    }
}

/// Commits what somebody who holds a step records, and waits while the disk is full:
/// what has happened must not be lost, and what waits for room to begin has not been
/// tried. It waits as long as the process lives; only a cancelled step gives up what it
/// has not begun.
pub(crate) async fn commit_in_room(
    ports: &Ports,
    transition: Transition,
    cancel: &Cancel,
) -> Result<Committed, LedgerError> {
    let begins = transition.events.iter().any(|(_, event)| event.begins());
    let mut told = false;
    loop {
        match commit(ports, transition.clone()).await {
            Err(LedgerError::DiskFull(place)) => {
                if begins && cancel.is_cancelled() {
                    return Err(LedgerError::DiskFull(place));
                }
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(place, "the disk is full; work waits for room");
                }
                ports.timer.rest(DISK_FULL_WAIT_MS).await;
            }
            other => return other,
        }
    }
}
