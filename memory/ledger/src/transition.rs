//! What makes a transition legal as a whole, for both stores: its shape, its
//! fence, its lease, its texts. Pure; a store loads the rows that [`keys`] names,
//! asks [`decide`], and writes the rows that changed.

use crate::projection::{self, RowKey, RowSet, conflict};
use charter::budget::{Limit, Usage};
use charter::content::{CONTENT_BYTES_MAX, Content, ContentRef};
use charter::event::Event;
use charter::flow::Flow;
use charter::ids::{ContentId, Millis, StepKey};
use charter::memory::Remembered;
use charter::ports::{Fence, LeaseChange, LedgerError, Transition};
use charter::rows::{StepRow, StepState};
use std::collections::{BTreeMap, BTreeSet};

/// Most events that one transition may hold.
pub(crate) const EVENTS_MAX: usize = 10_000;
/// Most texts that one transition may hold: one per instance, and some more.
pub(crate) const CONTENTS_MAX: usize = 50_000;
/// Bytes of a salt. A fixed number: the hash of a text covers salt and bytes
/// without a mark between them.
pub(crate) const SALT_BYTES: usize = 16;
/// Longest name of a stream, in bytes.
const STREAM_BYTES_MAX: usize = 200;

/// What follows from a legal transition besides changed rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Steps that may be claimed now.
    pub(crate) ready: Vec<Ready>,
    /// Steps that a child plan took away or made wait again: the queue need not
    /// hear of them.
    pub(crate) silenced: Vec<StepKey>,
    /// Steps whose lease is over.
    pub(crate) released: Vec<StepKey>,
    /// Steps behind which one may have room now that waits in their mission.
    pub(crate) wakes: Vec<Wake>,
    /// Texts that are forgotten now: they are wiped from the store.
    pub(crate) forgotten: Vec<ContentId>,
    /// The chain is sealed with a checkpoint.
    pub(crate) seals: bool,
}

/// Steps woken at a time: more than one, for the next may be large, or in its lane already.
pub(crate) const WAKES: usize = 2;

/// Room for a step that waits: the next ones behind this, due by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wake {
    pub(crate) behind: StepKey,
    pub(crate) at: Millis,
}

/// A step that may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) step: StepKey,
    pub(crate) flow: Flow,
    /// From when on.
    pub(crate) due_at: Millis,
}

impl Ready {
    pub(crate) fn of(row: &StepRow) -> Self {
        Self { step: row.key.clone(), flow: row.flow(), due_at: row.ready_at }
    }

    /// As a commit tells of them.
    pub(crate) fn told(ready: &[Self]) -> Vec<(StepKey, Millis)> {
        ready.iter().map(|ready| (ready.step.clone(), ready.due_at)).collect()
    }
}

/// The rows to load first, each once.
pub(crate) fn keys(transition: &Transition) -> BTreeSet<RowKey> {
    let fenced = transition.fence.iter().map(|fence| RowKey::Step(fence.step.clone()));
    let touched = transition.events.iter().flat_map(|(_, event)| projection::touches(event));
    let named = transition.events.iter().flat_map(|(_, event)| content_refs(event));
    let texts = named.map(|reference| RowKey::Forgotten(reference.id.clone()));
    fenced.chain(touched).chain(texts).collect()
}

/// The rows to load after those, named by them.
pub(crate) fn more_keys(transition: &Transition, rows: &RowSet) -> BTreeSet<RowKey> {
    transition.events.iter().flat_map(|(_, event)| projection::follows(event, rows)).collect()
}

/// The texts that the events name and the transition does not bring: they must
/// be there already.
pub(crate) fn older_contents(transition: &Transition) -> BTreeMap<ContentId, &ContentRef> {
    let brought: BTreeSet<_> = transition.contents.iter().map(|content| &content.id).collect();
    transition
        .events
        .iter()
        .flat_map(|(_, event)| content_refs(event))
        .filter(|reference| !brought.contains(&reference.id))
        .map(|reference| (reference.id.clone(), reference))
        .collect()
}

/// Whether a stored text is the one that an event names.
pub(crate) fn check_older(
    reference: &ContentRef,
    stored: Option<&Content>,
    transition: &Transition,
) -> Result<(), LedgerError> {
    match stored.filter(|content| content.tenant == transition.tenant) {
        None => Err(LedgerError::NotFound(format!("content {}", reference.id))),
        Some(content) if content.sha256() != reference.sha256 => {
            conflict(format!("content {} does not have the hash that an event names", content.id))
        }
        Some(_) => Ok(()),
    }
}

/// The texts that the events forget.
pub(crate) fn forgets(transition: &Transition) -> impl Iterator<Item = &ContentId> {
    transition.events.iter().flat_map(|(_, event)| match event {
        Event::Remembered(Remembered::Forgotten { contents, .. }) => contents.as_slice(),
        _ => &[],
    })
}

/// What is forgotten is never named again, nor is its name.
pub(crate) fn check_named(transition: &Transition, rows: &RowSet) -> Result<(), LedgerError> {
    for reference in transition.events.iter().flat_map(|(_, event)| content_refs(event)) {
        let id = &reference.id;
        match rows.forgotten.get(id) {
            Some(row) if row.tenant == transition.tenant => {
                return Err(LedgerError::NotFound(format!("content {id}, which was forgotten,")));
            }
            Some(_) if transition.contents.iter().any(|content| content.id == *id) => {
                return conflict(format!("content {id} exists already"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is to be forgotten must be there, or be forgotten already.
pub(crate) fn check_forgets(
    transition: &Transition,
    rows: &RowSet,
    there: impl Fn(&ContentId) -> bool,
) -> Result<(), LedgerError> {
    let gone = |id| rows.forgotten.get(id).is_some_and(|row| row.tenant == transition.tenant);
    match forgets(transition).find(|id| !gone(id) && !there(id)) {
        Some(id) => Err(LedgerError::NotFound(format!("content {id}"))),
        None => Ok(()),
    }
}

/// Checks the shape of a transition: what can be told from it alone.
pub(crate) fn check(transition: &Transition) -> Result<(), LedgerError> {
    let Transition { events, contents, .. } = transition;
    if events.is_empty() {
        return conflict("a transition holds at least one event");
    }
    if events.len() > EVENTS_MAX || contents.len() > CONTENTS_MAX {
        return conflict(format!(
            "a transition holds at most {EVENTS_MAX} events and {CONTENTS_MAX} texts"
        ));
    }
    if events.iter().any(|(s, _)| s.0.is_empty() || s.0.len() > STREAM_BYTES_MAX) {
        return conflict(format!("a stream has a name of 1 to {STREAM_BYTES_MAX} bytes"));
    }
    for (stream, event) in events {
        let own = projection::stream_of(event);
        if *stream != own {
            return conflict(format!("an event of the stream {own} cannot stand in another one"));
        }
    }
    let mut named = BTreeMap::new();
    for reference in events.iter().flat_map(|(_, event)| content_refs(event)) {
        if named.insert(&reference.id, reference.sha256).is_some_and(|is| is != reference.sha256) {
            return conflict(format!("content {} is named with two hashes", reference.id));
        }
    }
    if let Some(id) = forgets(transition).find(|id| named.contains_key(id)) {
        return conflict(format!("content {id} is named and forgotten at a time"));
    }
    let mut seen = BTreeSet::new();
    for content in contents {
        let id = &content.id;
        if content.bytes.len() > CONTENT_BYTES_MAX {
            return conflict(format!("content {id} has more than {CONTENT_BYTES_MAX} bytes"));
        }
        if content.salt.len() != SALT_BYTES {
            return conflict(format!("content {id} needs a salt of {SALT_BYTES} bytes"));
        }
        if content.tenant != transition.tenant || !seen.insert(id) {
            return conflict(format!("content {id} is another tenant's, or is there twice"));
        }
        match named.get(id) {
            Some(sha256) if *sha256 == content.sha256() => {}
            Some(_) => return conflict(format!("content {id} does not have the hash named")),
            None => return conflict(format!("no event of the transition names content {id}")),
        }
    }
    Ok(())
}

/// Applies a transition to its rows, or says why it must not happen. After an
/// error the rows must be thrown away.
pub(crate) fn decide(transition: &Transition, rows: &mut RowSet) -> Result<Decision, LedgerError> {
    if let Some(term) = transition.term.filter(|term| *term != rows.term) {
        return conflict(format!("the term {term} of the leader is over: it is {}", rows.term));
    }
    let takes = matches!(transition.lease, LeaseChange::Take { .. });
    match &transition.fence {
        Some(fence) if !takes => check_fence(fence, transition, rows)?,
        None if transition.lease != LeaseChange::Keep => {
            return conflict("a lease is taken or given back only under its fence");
        }
        _ => {}
    }
    for (_, event) in &transition.events {
        match event {
            Event::MissionReplanned { .. } => {
                check_replan(event, transition.fence.as_ref(), rows)?;
            }
            Event::StepClaimed { step, wall_ms, cpu_ms, .. } => {
                let own =
                    Usage { steps: 1, wall_ms: *wall_ms, cpu_ms: *cpu_ms, ..Usage::default() };
                check_budget(step, &own, rows)?;
            }
            Event::EffectIntended { key, step, bytes, .. } => {
                let kept = projection::kept(rows.effects.get(key), rows.steps.get(step));
                check_bytes(step, bytes.saturating_sub(kept), rows)?;
            }
            _ => {}
        }
        projection::apply(event, transition.at, &transition.tenant, rows)?;
    }
    if let Some(mission) = rows.unplanned() {
        return conflict(format!("mission {mission} was submitted without a plan"));
    }
    if let (true, Some(fence)) = (takes, &transition.fence) {
        check_fence(fence, transition, rows)?;
    }
    let fenced = transition.fence.as_ref().map(|fence| &fence.step);
    let mut decision = Decision {
        ready: Vec::new(),
        silenced: Vec::new(),
        released: Vec::new(),
        wakes: Vec::new(),
        forgotten: rows.forgotten.changes().map(|change| change.key.clone()).collect(),
        seals: transition.events.iter().any(|(_, event)| projection::seals(event)),
    };
    let mut taken = false;
    for change in rows.steps.changes() {
        let claim = |row: Option<&StepRow>| {
            row.filter(|row| row.state == StepState::Claimed).map(|row| row.token)
        };
        let (was, is) = (claim(change.was), claim(change.is));
        if is.is_some() && is != was {
            if !takes || fenced != Some(change.key) {
                return conflict(format!("step {} is claimed without a lease", change.key));
            }
            taken = true;
        }
        if was.is_some() && was != is {
            decision.released.push(change.key.clone());
        }
        if wakes(change.was, change.is, rows) {
            decision.wakes.push(Wake { behind: change.key.clone(), at: transition.at });
        }
        let blocked = |row: Option<&StepRow>| row.is_none_or(|row| row.state == StepState::Blocked);
        if blocked(change.is) && !blocked(change.was) {
            decision.silenced.push(change.key.clone());
        }
        let Some(row) = change.is else { continue };
        let rung =
            |row: &StepRow| (row.state == StepState::Ready).then_some((row.ready_at, row.token));
        if rung(row).is_some() && change.was.and_then(rung) != rung(row) {
            decision.ready.push(Ready::of(row));
        }
        if row.key.n == 0 {
            check_report(row, rows)?;
        }
        if row.state == StepState::Parked && change.was.map(|was| was.state) != Some(row.state) {
            check_parked(row, rows)?;
        }
    }
    match (&transition.lease, fenced) {
        (LeaseChange::Release, Some(step)) if !decision.released.contains(step) => {
            conflict(format!("step {step} stays claimed, so its lease stays too"))
        }
        (LeaseChange::Take { .. }, _) if !taken => {
            conflict("a lease is taken together with the claim of its step only")
        }
        (LeaseChange::Take { of: Some(of), .. }, Some(step))
            if rows.steps.get(step).is_some_and(|row| row.digest != *of) =>
        {
            conflict(format!("step {step} was replaced by another one"))
        }
        _ => Ok(decision),
    }
}

fn check_fence(fence: &Fence, transition: &Transition, rows: &RowSet) -> Result<(), LedgerError> {
    match rows.steps.get(&fence.step).filter(|row| row.tenant == transition.tenant) {
        None => Err(LedgerError::NotFound(format!("step {}", fence.step))),
        Some(row) if row.state == StepState::Claimed && row.token == fence.token => Ok(()),
        Some(row) => conflict(format!(
            "the claim {} on step {} is void: its last claim is {}",
            fence.token, fence.step, row.token
        )),
    }
}

/// A question that was answered meanwhile never wakes who parks under it now.
fn check_parked(row: &StepRow, rows: &RowSet) -> Result<(), LedgerError> {
    use charter::approval::ApprovalState::{Expired, Open};
    let approval = row.approval.as_ref().and_then(|id| rows.approvals.get(id));
    match approval {
        Some(approval)
            if approval.tenant == row.tenant && matches!(approval.state, Open | Expired) =>
        {
            Ok(())
        }
        _ => conflict(format!("step {} would wait for an approval that is not open", row.key)),
    }
}

/// Nothing comes after the report that could end the mission. A dead one can be
/// sent round again.
fn check_report(row: &StepRow, rows: &RowSet) -> Result<(), LedgerError> {
    let ended = rows.missions.get(&row.key.mission).is_some_and(|mission| mission.state.is_end());
    if row.state.is_end() && row.state != StepState::Dead && !ended {
        return conflict(format!("the report {} would end and leave its mission open", row.key));
    }
    Ok(())
}

/// A running step is replaced by its own worker only.
fn check_replan(event: &Event, fence: Option<&Fence>, rows: &RowSet) -> Result<(), LedgerError> {
    let Event::MissionReplanned { mission, keep, drop, .. } = event else { return Ok(()) };
    if rows.missions.get(mission).is_some_and(|row| row.cancelled || row.stopped.is_some()) {
        return conflict(format!("mission {mission} was stopped, so its plan stays as it is"));
    }
    let replaced = |key: &StepKey| {
        drop.contains(key) || (key.item == 0 && key.n > 0 && !keep.contains(&key.n))
    };
    let running = rows.steps.iter().find(|(key, row)| {
        key.mission == *mission
            && row.state == StepState::Claimed
            && fence.map(|fence| &fence.step) != Some(key)
            && replaced(key)
    });
    match running {
        Some((key, _)) => conflict(format!("step {key} is running, so it cannot be replaced")),
        None => Ok(()),
    }
}

/// A step begins within the budget of its mission, however many begin at the same
/// time; time is counted when a step ends, so until then the bounds of those that run
/// are held against it. The report, and a step that only ends because the mission stops,
/// cost nothing.
fn check_budget(step: &StepKey, own: &Usage, rows: &RowSet) -> Result<(), LedgerError> {
    let Some(mission) = rows.missions.get(&step.mission) else { return Ok(()) };
    if step.n == 0 || mission.cancelled || mission.stopped.is_some() {
        return Ok(());
    }
    let next = mission.spent.plus(Usage { steps: 1, ..Usage::default() });
    match mission.budget.exceeded(&next) {
        Some(limit) => beyond(step, limit),
        None if mission.must_wait(own) => conflict(format!(
            "step {step} waits: with those that run it could pass the budget of its mission"
        )),
        None => Ok(()),
    }
}

/// In a mission in which steps wait, others are woken by each claim that ends, and by each
/// that begins and leaves room for another like it.
fn wakes(was: Option<&StepRow>, is: Option<&StepRow>, rows: &RowSet) -> bool {
    let claimed = |row: Option<&StepRow>| row.is_some_and(|r| r.state == StepState::Claimed);
    let Some(row) = is.or(was) else { return false };
    let Some(mission) = rows.missions.get(&row.key.mission) else { return false };
    let Usage { wall_ms, cpu_ms, .. } = row.reserved;
    let another = Usage { steps: 1, wall_ms, cpu_ms, ..Usage::default() };
    mission.crowded
        && match (claimed(was), claimed(is)) {
            (true, false) => true,
            (false, true) => another.takes_time() && !mission.must_wait(&another),
            _ => false,
        }
}

/// The same for what is written, by however many steps at the same time.
fn check_bytes(step: &StepKey, bytes: u64, rows: &RowSet) -> Result<(), LedgerError> {
    match rows.missions.get(&step.mission) {
        Some(mission) if bytes > 0 && mission.would_write_too_much(bytes) => {
            beyond(step, Limit::BytesWritten)
        }
        _ => Ok(()),
    }
}

fn beyond(step: &StepKey, limit: Limit) -> Result<(), LedgerError> {
    conflict(format!("step {step} would pass the budget of its mission: {limit}"))
}

/// Every text that an event refers to.
pub(crate) fn content_refs(event: &Event) -> Vec<&ContentRef> {
    match event {
        Event::Conversed(event) => event.contents(),
        Event::Remembered(event) => event.contents(),
        Event::Scheduled(event) => event.contents(),
        Event::Nightly(event) => event.contents(),
        Event::MissionSubmitted { wish, workspace, .. } => vec![wish, workspace],
        Event::MissionPlanned { plan, .. } | Event::MissionReplanned { plan, .. } => vec![plan],
        Event::MissionEnded { report, .. } => vec![report],
        Event::StepExpanded { prepared, .. } => prepared.iter().collect(),
        Event::StepPrepared { prepared, .. } => vec![prepared],
        Event::StepFinished { output, verdicts, .. } => vec![output, verdicts],
        Event::StepFailed { error, .. } | Event::StepDied { error, .. } => vec![error],
        Event::EffectReceived { output, .. } => output.iter().collect(),
        Event::ApprovalRequested { card, .. } => vec![card],
        Event::MissionCancelled { .. }
        | Event::MissionStopped { .. }
        | Event::MissionCrowded { .. }
        | Event::StepClaimed { .. }
        | Event::StepReleased { .. }
        | Event::StepParked { .. }
        | Event::StepCancelled { .. }
        | Event::StepHalted { .. }
        | Event::ModeChanged { .. }
        | Event::StepRequeued { .. }
        | Event::StepDiscarded { .. }
        | Event::EffectIntended { .. }
        | Event::EffectInDoubt { .. }
        | Event::ApprovalAnswered { .. }
        | Event::ApprovalExpired { .. }
        | Event::ApprovalReopened { .. }
        | Event::ApprovalWithdrawn { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::ids::{MissionId, StreamId, TenantId, TransitionId};
    use charter::label::Label;
    use charter::ports::Entropy;

    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn transition() -> Transition {
        let mission = MissionId::new(1, &Zeros);
        let tenant = TenantId::local();
        let (content, plan) =
            Content::new(&tenant, b"plan".to_vec(), Label::TRUSTED, 1, &Zeros).unwrap();
        let digest = plan.sha256;
        let event = Event::MissionPlanned { mission: mission.clone(), plan, digest, steps: vec![] };
        Transition {
            id: TransitionId::new(1, &Zeros),
            tenant,
            at: 1,
            fence: None,
            lease: LeaseChange::Keep,
            term: None,
            events: vec![(StreamId::mission(&mission), event)],
            contents: vec![content],
        }
    }

    fn checked(change: impl Fn(&mut Transition), expect: &str) {
        let mut transition = transition();
        change(&mut transition);
        let error = check(&transition).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn the_shape_of_a_transition_is_checked() {
        assert_eq!(check(&transition()), Ok(()));
        checked(|t| t.events.clear(), "at least one event");
        checked(|t| t.events = vec![t.events[0].clone(); EVENTS_MAX + 1], "at most 10000 events");
        checked(|t| t.events[0].0.0.clear(), "1 to 200 bytes");
        checked(|t| t.events[0].0.0 = "x".repeat(201), "1 to 200 bytes");
        checked(|t| t.events[0].0 = StreamId::admin(), "cannot stand in another one");
        checked(|t| t.contents[0].bytes.clear(), "does not have the hash named");
        checked(|t| t.contents[0].salt.clear(), "salt of 16 bytes");
        checked(|t| t.contents[0].tenant.0.clear(), "another tenant's");
        checked(|t| t.contents.push(t.contents[0].clone()), "there twice");
        checked(|t| t.tenant.0.push('x'), "another tenant's");
    }

    #[test]
    fn a_text_that_is_not_brought_must_be_there() {
        let mut transition = transition();
        let brought = transition.contents.remove(0);
        let older = older_contents(&transition);
        let reference = older[&brought.id];
        assert_eq!(check_older(reference, Some(&brought), &transition), Ok(()));
        assert!(check_older(reference, None, &transition).is_err());
        let theirs = Content { tenant: TenantId("other".into()), ..brought.clone() };
        assert!(check_older(reference, Some(&theirs), &transition).is_err());
        let changed = Content { bytes: vec![1], ..brought };
        assert!(check_older(reference, Some(&changed), &transition).is_err());
    }
}
