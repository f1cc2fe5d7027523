//! The in-memory twin of the ledger: the same rules over maps, for simulation
//! and tests. Without threads and timers, so that a simulation stays in command.

use crate::projection::{ForgottenRow, RowKey, RowSet, conflict};
use crate::transition::{self, Ready, WAKES, Wake};
use async_trait::async_trait;
use charter::approval::ApprovalState;
use charter::content::Content;
use charter::digest::Digest;
use charter::event::Recorded;
use charter::flow::Flow;
use charter::ids::{
    ApprovalId, ContentId, Millis, MissionId, StepKey, StreamId, TenantId, TransitionId,
};
use charter::leader::{Bid, LeaderRow};
use charter::mode::{Mode, ModeRow};
use charter::ports::{
    Around, Committed, Fence, LeaseChange, LeaseRow, LeaseStatus, Ledger, LedgerError, LedgerSize,
    OutboxRow, Query, Rows, Transition,
};
use charter::record::{Kept, Record, RecordKey, RecordKind};
use charter::rows::{ApprovalRow, EffectRow, MadeRow, MissionRow, StepRow, StepState};
use charter::tool::Process;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::{of_each, rows_at_most};

/// A ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<(TenantId, Recorded)>,
    /// Numbers of the newest events.
    streams: BTreeMap<(TenantId, StreamId), u64>,
    /// Position of the first and the last event.
    transitions: BTreeMap<TransitionId, (usize, usize)>,
    contents: BTreeMap<ContentId, Content>,
    missions: BTreeMap<MissionId, MissionRow>,
    steps: BTreeMap<StepKey, StepRow>,
    effects: BTreeMap<Digest, EffectRow>,
    approvals: BTreeMap<ApprovalId, ApprovalRow>,
    made: BTreeMap<(TenantId, Digest), MadeRow>,
    records: BTreeMap<RecordKey, Record>,
    forgotten: BTreeMap<ContentId, ForgottenRow>,
    leases: BTreeMap<StepKey, LeaseRow>,
    outbox: BTreeMap<i64, OutboxRow>,
    outbox_last: i64,
    leader: Option<LeaderRow>,
}

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// A panic elsewhere leaves the state whole: it is replaced row by row only
    /// after a transition was found legal.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn load(&self, keys: impl IntoIterator<Item = RowKey>, tenant: &TenantId, rows: &mut RowSet) {
        for key in keys {
            match key {
                RowKey::Mission(id) => {
                    if let Some(row) = self.missions.get(&id) {
                        rows.missions.load(id, row.clone());
                    }
                }
                RowKey::Step(key) => {
                    if let Some(row) = self.steps.get(&key) {
                        rows.steps.load(key, row.clone());
                    }
                }
                RowKey::StepsOf(mission) => {
                    for row in self.steps_of(&mission).filter(|row| row.key.item == 0) {
                        rows.steps.load(row.key.clone(), row.clone());
                    }
                }
                RowKey::Effect(key) => {
                    if let Some(row) = self.effects.get(&key) {
                        rows.effects.load(key, row.clone());
                    }
                }
                RowKey::Approval(id) => {
                    if let Some(row) = self.approvals.get(&id) {
                        rows.approvals.load(id, row.clone());
                    }
                }
                RowKey::Made(made) => {
                    let key = (tenant.clone(), made);
                    if let Some(row) = self.made.get(&key) {
                        rows.made.load(key, row.clone());
                    }
                }
                RowKey::Record(key) => {
                    if let Some(row) = self.records.get(&key) {
                        rows.records.load(key, row.clone());
                    }
                }
                RowKey::Forgotten(id) => {
                    if let Some(row) = self.forgotten.get(&id) {
                        rows.forgotten.load(id, row.clone());
                    }
                }
            }
        }
    }

    fn save(&mut self, rows: &RowSet) {
        macro_rules! save {
            ($($table:ident),*) => {$(
                for change in rows.$table.changes() {
                    match change.is {
                        Some(row) => self.$table.insert(change.key.clone(), row.clone()),
                        None => self.$table.remove(change.key),
                    };
                }
            )*};
        }
        save!(missions, steps, effects, approvals, made, records, forgotten);
    }

    fn steps_of<'a>(&'a self, mission: &'a MissionId) -> impl Iterator<Item = &'a StepRow> {
        self.steps
            .range(StepKey::report(mission)..)
            .take_while(move |(key, _)| key.mission == *mission)
            .map(|(_, row)| row)
    }

    /// Steps that wait: the next behind this one, then the first; or one that failed before.
    fn next(&self, Wake { behind, at }: &Wake) -> Vec<Ready> {
        let ready = |s: &&StepRow| s.state == StepState::Ready && s.key.n > 0;
        let own = || self.steps_of(&behind.mission).filter(ready);
        let fresh = || own().filter(|s| s.ready_at == 0);
        let later = fresh().filter(|s| s.key > *behind);
        let line: Vec<&StepRow> =
            later.chain(fresh().filter(|s| s.key <= *behind)).take(WAKES).collect();
        let failed = || own().filter(|s| s.ready_at > 0 && s.ready_at <= *at);
        match line.is_empty() {
            false => line.into_iter().map(Ready::of).collect(),
            true => failed().min_by_key(|s| s.ready_at).map(Ready::of).into_iter().collect(),
        }
    }

    /// The same transition again: succeeds, changes nothing.
    fn repeated(&self, transition: &Transition) -> Option<Result<Committed, LedgerError>> {
        let (first, last) = *self.transitions.get(&transition.id)?;
        let same = self.events.get(first..=last).is_some_and(|events| {
            events.len() == transition.events.len()
                && events.iter().zip(&transition.events).all(|((tenant, old), (stream, event))| {
                    *tenant == transition.tenant && old.stream == *stream && old.event == *event
                })
        });
        Some(if same {
            Ok(Committed { position: last as i64 + 1, ready: Vec::new() })
        } else {
            conflict(format!("transition {} was something else before", transition.id))
        })
    }

    fn commit(&mut self, transition: Transition) -> Result<Committed, LedgerError> {
        transition::check(&transition)?;
        if let Some(repeated) = self.repeated(&transition) {
            return repeated;
        }
        let mut rows = RowSet::default();
        rows.term = self.leader.as_ref().map_or(0, |leader| leader.term);
        self.load(transition::keys(&transition), &transition.tenant, &mut rows);
        transition::check_named(&transition, &rows)?;
        for (id, reference) in transition::older_contents(&transition) {
            transition::check_older(reference, self.contents.get(&id), &transition)?;
        }
        if let Some(taken) = transition.contents.iter().find(|c| self.contents.contains_key(&c.id))
        {
            return conflict(format!("content {} exists already", taken.id));
        }
        let there = |id: &ContentId| {
            self.contents.get(id).is_some_and(|content| content.tenant == transition.tenant)
        };
        transition::check_forgets(&transition, &rows, there)?;
        let more = transition::more_keys(&transition, &rows);
        self.load(more, &transition.tenant, &mut rows);
        let decision = transition::decide(&transition, &mut rows)?;
        self.save(&rows);
        for id in &decision.forgotten {
            self.contents.remove(id);
        }
        for step in &decision.released {
            self.leases.remove(step);
        }
        let Transition { id, tenant, at, fence, lease, events, contents, term: _ } = transition;
        if let (LeaseChange::Take { holder, expires_at, .. }, Some(Fence { step, token })) =
            (lease, fence)
        {
            let (programs, tenant) = (Vec::new(), tenant.clone());
            let row = LeaseRow { step: step.clone(), tenant, token, holder, programs, expires_at };
            self.leases.insert(step, row);
        }
        let first = self.events.len();
        for (stream, event) in events {
            let seq = self.streams.entry((tenant.clone(), stream.clone())).or_default();
            *seq += 1;
            let (seq, position) = (*seq, self.events.len() as i64 + 1);
            let recorded = Recorded { position, stream, seq, at, transition: id.clone(), event };
            self.events.push((tenant.clone(), recorded));
        }
        self.transitions.insert(id, (first, self.events.len() - 1));
        self.contents.extend(contents.into_iter().map(|content| (content.id.clone(), content)));
        self.outbox.retain(|_, row| !decision.silenced.contains(&row.step));
        let told = Ready::told(&decision.ready);
        let woken: Vec<Ready> = decision.wakes.iter().flat_map(|wake| self.next(wake)).collect();
        for Ready { step, flow, due_at } in decision.ready.into_iter().chain(woken) {
            self.outbox_last += 1;
            let (id, Flow { lane, priority, tenant }) = (self.outbox_last, flow);
            self.outbox.insert(id, OutboxRow { id, tenant, step, lane, priority, due_at });
        }
        Ok(Committed { position: self.events.len() as i64, ready: told })
    }

    fn query(&self, tenant: &TenantId, query: Query) -> Rows {
        match query {
            Query::Mission { id } => Rows::Missions(
                self.missions
                    .get(&id)
                    .filter(|m| m.tenant == *tenant)
                    .cloned()
                    .into_iter()
                    .collect(),
            ),
            Query::Missions { state, same, before, limit } => Rows::Missions(
                self.missions
                    .values()
                    .rev()
                    .filter(|m| m.tenant == *tenant)
                    .filter(|m| state.is_none_or(|state| m.state == state))
                    .filter(|m| same.is_none_or(|same| m.same == same))
                    .filter(|m| before.as_ref().is_none_or(|before| m.id < *before))
                    .take(rows_at_most(limit))
                    .cloned()
                    .collect(),
            ),
            Query::Step { key } => Rows::Steps(
                self.steps.get(&key).filter(|s| s.tenant == *tenant).cloned().into_iter().collect(),
            ),
            Query::Around { step } => Rows::Around(self.around(tenant, &step).map(Box::new)),
            Query::Steps { mission, state, items_of, after, limit } => Rows::Steps(
                self.steps_of(&mission)
                    .filter(|s| s.tenant == *tenant && s.key.n > 0)
                    .filter(|s| match items_of {
                        None => s.key.item == 0,
                        Some(n) => s.key.n == n && s.key.item > 0,
                    })
                    .filter(|s| state.is_none_or(|state| s.state == state))
                    .filter(|s| {
                        after.as_ref().is_none_or(|a| (s.key.n, s.key.item) > (a.n, a.item))
                    })
                    .take(rows_at_most(limit))
                    .cloned()
                    .collect(),
            ),
            Query::DeadSteps { limit } => Rows::Steps(
                self.steps
                    .values()
                    .filter(|s| s.tenant == *tenant && s.state == StepState::Dead)
                    .take(rows_at_most(limit))
                    .cloned()
                    .collect(),
            ),
            Query::EffectsOfStep { step } => {
                Rows::Effects(self.effects(tenant, u32::MAX, |of| *of == step))
            }
            Query::EffectsOfMission { mission, limit } => {
                Rows::Effects(self.effects(tenant, limit, |of| of.mission == mission))
            }
            Query::Approval { id } => Rows::Approvals(
                self.approvals
                    .get(&id)
                    .filter(|a| a.tenant == *tenant)
                    .cloned()
                    .into_iter()
                    .collect(),
            ),
            Query::Approvals { mission, state, limit } => Rows::Approvals(
                self.approvals
                    .values()
                    .filter(|a| a.tenant == *tenant)
                    .filter(|a| mission.as_ref().is_none_or(|mission| a.mission == *mission))
                    .filter(|a| state.is_none_or(|state| a.state == state))
                    .take(rows_at_most(limit))
                    .cloned()
                    .collect(),
            ),
            Query::Content { id } => Rows::Contents(
                self.contents
                    .get(&id)
                    .filter(|c| c.tenant == *tenant)
                    .cloned()
                    .into_iter()
                    .collect(),
            ),
            Query::Events { stream, after, limit } => Rows::Events(
                self.events
                    .iter()
                    .filter(|(of, e)| of == tenant && e.stream == stream && e.seq > after)
                    .take(rows_at_most(limit))
                    .map(|(_, event)| event.clone())
                    .collect(),
            ),
            Query::Happened { after, kinds, limit } => {
                let wanted = |event: &charter::event::Event| {
                    kinds.is_empty() || kinds.iter().any(|kind| kind == event.kind())
                };
                let behind =
                    self.events.iter().filter(|(of, e)| of == tenant && e.position > after);
                let found = behind.filter(|(_, e)| wanted(&e.event)).take(rows_at_most(limit));
                Rows::Events(found.map(|(_, event)| event.clone()).collect())
            }
            Query::Made { made } => {
                Rows::Made(self.made.get(&(tenant.clone(), made)).cloned().into_iter().collect())
            }
            Query::Outbox { now, limit } => {
                Rows::Outbox(by_flow(self.outbox.values().cloned(), now, limit))
            }
            Query::OutboxNext { now } => Rows::When(
                self.outbox.values().map(|row| row.due_at).filter(|due_at| *due_at > now).min(),
            ),
            Query::Leases => Rows::Leases(self.leases.values().cloned().collect()),
            Query::ReadySteps { now, limit } => {
                let mut due: Vec<_> = self
                    .steps
                    .values()
                    .filter(|s| s.state == StepState::Ready && s.ready_at <= now)
                    .cloned()
                    .collect();
                due.sort_by(|a, b| (a.ready_at, &a.key).cmp(&(b.ready_at, &b.key)));
                due.truncate(rows_at_most(limit));
                Rows::Steps(due)
            }
            Query::ReadyByFlow { now, limit } => {
                let ready = self.steps.values().filter(|s| s.state == StepState::Ready);
                let waiting = ready.map(|s| OutboxRow {
                    id: 0,
                    tenant: s.tenant.clone(),
                    step: s.key.clone(),
                    lane: s.lane,
                    priority: s.priority,
                    due_at: s.ready_at,
                });
                Rows::Outbox(by_flow(waiting, now, limit))
            }
            Query::ExpiredApprovals { now, limit } => {
                let mut late: Vec<_> = self
                    .approvals
                    .values()
                    .filter(|a| a.state == ApprovalState::Open && a.expires_at <= now)
                    .cloned()
                    .collect();
                late.sort_by(|a, b| (a.expires_at, &a.id).cmp(&(b.expires_at, &b.id)));
                late.truncate(rows_at_most(limit));
                Rows::Approvals(late)
            }
            Query::Record { key } => Rows::Records(
                self.records
                    .get(&key)
                    .filter(|r| r.tenant() == tenant)
                    .cloned()
                    .into_iter()
                    .collect(),
            ),
            Query::Records { kind, parent, state, after, newest, limit } => {
                let fits = |r: &&Record| {
                    r.tenant() == tenant
                        && r.key().kind == kind
                        && parent.as_ref().is_none_or(|parent| r.parent() == parent)
                        && state.as_ref().is_none_or(|state| r.state() == state)
                };
                let behind = |r: &&Record| {
                    after.as_ref().is_none_or(|after| match newest {
                        true => r.key().id < *after,
                        false => r.key().id > *after,
                    })
                };
                let found = self.records.values().filter(fits).filter(behind);
                let limit = rows_at_most(limit);
                Rows::Records(match newest {
                    true => found.rev().take(limit).cloned().collect(),
                    false => found.take(limit).cloned().collect(),
                })
            }
            Query::DueRecords { now, limit } => {
                let due = |r: &&Record| r.due_at().is_some_and(|at| at <= now);
                let mut due: Vec<_> = self.records.values().filter(due).cloned().collect();
                due.sort_by_key(|r| (r.due_at(), r.key().kind.as_str(), r.key().id));
                due.truncate(rows_at_most(limit));
                Rows::Records(due)
            }
            Query::DueNext => Rows::When(self.records.values().filter_map(Record::due_at).min()),
            Query::ContentsWith { needle, limit } => Rows::ContentIds(
                self.contents
                    .values()
                    .filter(|c| c.tenant == *tenant && !needle.is_empty())
                    .filter(|c| c.bytes.windows(needle.len()).any(|w| w == needle.as_bytes()))
                    .take(rows_at_most(limit))
                    .map(|c| c.id.clone())
                    .collect(),
            ),
            Query::Size => Rows::Size(LedgerSize {
                events: self.events.len() as u64,
                missions: self.missions.len() as u64,
                position: self.events.len() as i64,
            }),
        }
    }

    fn around(&self, tenant: &TenantId, key: &StepKey) -> Option<Around> {
        let step = self.steps.get(key).filter(|s| s.tenant == *tenant)?.clone();
        let mode = RecordKey::new(RecordKind::Mode, tenant.to_string());
        let mode = self.records.get(&mode).cloned().and_then(ModeRow::of);
        Some(Around {
            mission: self.missions.get(&key.mission)?.clone(),
            mode: mode.map_or(Mode::Running, |row| row.mode),
            effects: self.effects(tenant, u32::MAX, |of| of == key),
            step,
        })
    }

    fn effects(
        &self,
        tenant: &TenantId,
        limit: u32,
        wanted: impl Fn(&StepKey) -> bool,
    ) -> Vec<EffectRow> {
        let mut found: Vec<_> = self
            .effects
            .values()
            .filter(|e| e.tenant == *tenant && wanted(&e.step))
            .cloned()
            .collect();
        found.sort_by(|a, b| {
            (&a.step, a.ordinal, a.intended_at, a.key).cmp(&(
                &b.step,
                b.ordinal,
                b.intended_at,
                b.key,
            ))
        });
        found.truncate(rows_at_most(limit));
        found
    }

    fn lease(&mut self, fence: &Fence) -> Option<&mut LeaseRow> {
        self.leases.get_mut(&fence.step).filter(|lease| lease.token == fence.token)
    }
}

/// The first steps of every flow that are due, `limit` of each.
fn by_flow(waiting: impl Iterator<Item = OutboxRow>, now: Millis, limit: u32) -> Vec<OutboxRow> {
    let mut flows: BTreeMap<String, Vec<OutboxRow>> = BTreeMap::new();
    for row in waiting {
        flows.entry(row.flow().to_string()).or_default().push(row);
    }
    let limit = rows_at_most(of_each(limit, flows.len()));
    let first = |mut rows: Vec<OutboxRow>| {
        rows.retain(|row| row.due_at <= now);
        rows.sort_by(|a, b| (a.due_at, &a.step, a.id).cmp(&(b.due_at, &b.step, b.id)));
        rows.truncate(limit);
        rows
    };
    flows.into_values().flat_map(first).collect()
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        self.state().commit(transition)
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        Ok(self.state().query(tenant, query))
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        let mut state = self.state();
        let stopped = state
            .missions
            .get(&fence.step.mission)
            .is_some_and(|mission| mission.cancelled || mission.stopped.is_some());
        Ok(match state.lease(fence) {
            None => LeaseStatus::Lost,
            Some(lease) => {
                lease.expires_at = expires_at;
                if stopped { LeaseStatus::Cancelled } else { LeaseStatus::Held }
            }
        })
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        let mut state = self.state();
        let Some(lease) = state.lease(fence) else {
            return conflict(format!("the claim {} on step {} is void", fence.token, fence.step));
        };
        crate::limits::note(&mut lease.programs, program, running)
    }

    async fn lead(&self, bid: &Bid) -> Result<LeaderRow, LedgerError> {
        let mut state = self.state();
        let leads = bid.on(state.leader.as_ref());
        state.leader = Some(leads.clone());
        Ok(leads)
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        let mut state = self.state();
        for id in ids {
            state.outbox.remove(id);
        }
        Ok(())
    }

    async fn changed(&self, _after: i64, _wait_ms: u64) -> Result<i64, LedgerError> {
        Ok(self.state().events.len() as i64)
    }
}
