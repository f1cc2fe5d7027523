//! Transitions that share one transaction. What they touch is loaded once, they
//! are decided one after the other over these rows, and what is left of it all is
//! written once: many cost hardly more statements than one. A refused transition
//! leaves no trace in it.

mod load;
mod write;

pub(crate) use load::content;

use super::Sql;
use super::seal::End;
use super::tables::to_json;
use crate::chain::Link;
use crate::projection::{RowSet, conflict};
use crate::transition::{self, Decision, Ready, Wake};
use charter::content::Content;
use charter::digest::Digest;
use charter::ids::{ContentId, Millis, StepKey, StreamId, TenantId, TransitionId};
use charter::ports::{Committed, LeaseChange, LedgerError, Transition};
use charter::tool::Process;
use std::collections::{BTreeMap, BTreeSet};

/// The newest event of a stream.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    seq: i64,
    hash: Digest,
    /// It was written by this batch.
    new: bool,
}

/// An event that was committed earlier, under the name of a transition.
struct Before {
    tenant: String,
    stream: String,
    body: String,
    position: i64,
}

/// An event to be written.
struct Fresh<'t> {
    position: i64,
    transition: &'t Transition,
    stream: &'t StreamId,
    seq: i64,
    body: String,
    prev: Digest,
    hash: Digest,
}

/// A lease to be written.
struct Taken<'t> {
    tenant: &'t TenantId,
    token: i64,
    holder: &'t Process,
    expires_at: Millis,
}

/// What the written transitions call for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    /// A checkpoint.
    pub(crate) seal: bool,
    /// Erasing what was forgotten from where the store keeps older versions.
    pub(crate) scrub: bool,
}

/// Transitions on their way into the store.
#[derive(Default)]
pub(crate) struct Batch<'t> {
    /// As the store has them, and as they are now.
    rows: RowSet,
    streams: BTreeMap<(TenantId, StreamId), Newest>,
    /// Texts of the store that are named by what is committed, and whose.
    texts: BTreeMap<ContentId, TenantId>,
    before: BTreeMap<TransitionId, Vec<Before>>,
    position: i64,
    done: BTreeMap<&'t TransitionId, (&'t Transition, i64)>,
    events: Vec<Fresh<'t>>,
    contents: BTreeMap<&'t ContentId, &'t Content>,
    leases: BTreeMap<StepKey, Option<Taken<'t>>>,
    silenced: BTreeSet<StepKey>,
    ready: Vec<Ready>,
    wakes: Vec<Wake>,
    forgotten: Vec<ContentId>,
    calls: Calls,
}

impl<'t> Batch<'t> {
    /// Decides one of the transitions that the batch was loaded for. The inner
    /// error is a refusal, after which the batch is as before.
    pub(crate) async fn commit(
        &mut self,
        conn: &mut dyn Sql,
        transition: &'t Transition,
    ) -> Result<Result<Committed, LedgerError>, LedgerError> {
        let mut older = BTreeMap::new();
        for id in transition::older_contents(transition).into_keys() {
            let stored = match self.contents.get(&id) {
                Some(brought) => Some((*brought).clone()),
                None => content(conn, &id).await?,
            };
            older.insert(id, stored);
        }
        Ok(self.decide(transition, &older))
    }

    fn decide(
        &mut self,
        transition: &'t Transition,
        older: &BTreeMap<ContentId, Option<Content>>,
    ) -> Result<Committed, LedgerError> {
        if let Some(repeated) = self.repeated(transition) {
            return repeated;
        }
        let mut keys = transition::keys(transition);
        keys.extend(transition::more_keys(transition, &self.rows));
        let mut rows = self.rows.lend(&keys, &transition.tenant);
        transition::check_named(transition, &rows)?;
        for (id, reference) in transition::older_contents(transition) {
            let stored = older.get(&id).and_then(Option::as_ref);
            transition::check_older(reference, stored, transition)?;
        }
        let whose = |id: &ContentId| {
            self.contents.get(id).map(|content| &content.tenant).or_else(|| self.texts.get(id))
        };
        if let Some(taken) = transition.contents.iter().find(|c| whose(&c.id).is_some()) {
            return conflict(format!("content {} exists already", taken.id));
        }
        let there = |id: &ContentId| whose(id) == Some(&transition.tenant);
        transition::check_forgets(transition, &rows, there)?;
        let decision = transition::decide(transition, &mut rows)?;
        let taken = taken(transition)?;
        let events = self.chain(transition)?;
        self.rows.follow(&rows);
        Ok(self.accept(transition, decision, taken, events))
    }

    /// The same transition again: succeeds, changes nothing.
    fn repeated(&self, transition: &Transition) -> Option<Result<Committed, LedgerError>> {
        let (same, position) = match self.done.get(&transition.id) {
            Some((done, position)) => (*done == transition, *position),
            None => {
                let before = self.before.get(&transition.id)?;
                let fits = |(before, (stream, event)): (&Before, &(StreamId, _))| {
                    before.tenant == transition.tenant.0
                        && before.stream == stream.0
                        && to_json(event).is_ok_and(|body| body == before.body)
                };
                let same = before.len() == transition.events.len()
                    && before.iter().zip(&transition.events).all(fits);
                (same, before.last().map_or(0, |last| last.position))
            }
        };
        Some(match same {
            true => Ok(Committed { position, ready: Vec::new() }),
            false => conflict(format!("transition {} was something else before", transition.id)),
        })
    }

    /// Its events behind the newest of their streams.
    fn chain(&self, transition: &'t Transition) -> Result<Vec<Fresh<'t>>, LedgerError> {
        let mut newest: BTreeMap<&StreamId, (i64, Digest)> = BTreeMap::new();
        let mut events = Vec::with_capacity(transition.events.len());
        for (position, (stream, event)) in (self.position + 1..).zip(&transition.events) {
            let head = newest.entry(stream).or_insert_with(|| {
                let key = (transition.tenant.clone(), stream.clone());
                self.streams.get(&key).map_or_else(Default::default, |head| (head.seq, head.hash))
            });
            let body = to_json(event)?;
            let (seq, prev) = (head.0 + 1, head.1);
            let link = Link {
                pos: position,
                tenant: &transition.tenant.0,
                stream: &stream.0,
                seq,
                at: transition.at,
                txn: transition.id.as_str(),
                body: &body,
                prev,
            };
            let hash = link.hash();
            *head = (seq, hash);
            events.push(Fresh { position, transition, stream, seq, body, prev, hash });
        }
        Ok(events)
    }

    fn accept(
        &mut self,
        transition: &'t Transition,
        decision: Decision,
        taken: Option<(StepKey, Taken<'t>)>,
        events: Vec<Fresh<'t>>,
    ) -> Committed {
        for event in events {
            self.position = event.position;
            let key = (transition.tenant.clone(), event.stream.clone());
            self.streams.insert(key, Newest { seq: event.seq, hash: event.hash, new: true });
            self.events.push(event);
        }
        self.contents.extend(transition.contents.iter().map(|content| (&content.id, content)));
        self.leases.extend(decision.released.into_iter().map(|step| (step, None)));
        self.leases.extend(taken.map(|(step, lease)| (step, Some(lease))));
        if !decision.silenced.is_empty() {
            self.silenced.extend(decision.silenced);
            let Self { ready, silenced, .. } = self;
            ready.retain(|ready| !silenced.contains(&ready.step));
        }
        let told = Ready::told(&decision.ready);
        self.ready.extend(decision.ready);
        self.wakes.extend(decision.wakes);
        self.calls.seal |= decision.seals;
        self.calls.scrub |= !decision.forgotten.is_empty();
        self.forgotten.extend(decision.forgotten);
        self.done.insert(&transition.id, (transition, self.position));
        Committed { position: self.position, ready: told }
    }

    /// Loads what these transitions touch, behind the end of the ledger.
    pub(crate) async fn load(
        conn: &mut dyn Sql,
        transitions: &[&'t Transition],
        end: &End,
    ) -> Result<Self, LedgerError> {
        let mut batch = Self { position: end.position, ..Self::default() };
        load::fill(conn, transitions, &mut batch).await?;
        Ok(batch)
    }

    /// Writes what was decided.
    pub(crate) async fn write(
        self,
        conn: &mut dyn Sql,
        end: &mut End,
    ) -> Result<Calls, LedgerError> {
        let calls = self.calls;
        end.position = self.position;
        write::all(conn, self).await?;
        Ok(calls)
    }
}

fn taken(transition: &Transition) -> Result<Option<(StepKey, Taken<'_>)>, LedgerError> {
    let (LeaseChange::Take { holder, expires_at, .. }, Some(fence)) =
        (&transition.lease, &transition.fence)
    else {
        return Ok(None);
    };
    let token = super::leases::token(fence.token)?;
    let lease = Taken { tenant: &transition.tenant, token, holder, expires_at: *expires_at };
    Ok(Some((fence.step.clone(), lease)))
}
