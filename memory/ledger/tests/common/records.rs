//! Conversations, memories, schedules and nights, and forgetting.

use super::{Draft, World};
use charter::content::ContentRef;
use charter::conversation::{Conversed, Route, Tone, TurnState};
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::{
    ContentId, MemoryId, Millis, MissionId, NightId, ProposalId, ScheduleId, SessionId, TurnId,
};
use charter::memory::{MemoryKind, Remembered, Source};
use charter::night::Nightly;
use charter::ports::{LedgerExt, Query, Rows};
use charter::record::{Kept, Record, RecordKind};
use charter::schedule::{Missed, Outcome, Scheduled};

/// Makes names: `world.name(MemoryId::new)`.
impl World<'_> {
    pub(crate) fn name<T>(&self, new: fn(Millis, &dyn charter::ports::Entropy) -> T) -> T {
        new(self.pass(1), &self.rng)
    }

    pub(crate) fn conversed(&self, event: Conversed) -> Draft<'_> {
        self.draft().event(Event::Conversed(event))
    }

    pub(crate) fn remembered(&self, event: Remembered) -> Draft<'_> {
        self.draft().event(Event::Remembered(event))
    }

    pub(crate) fn scheduled(&self, event: Scheduled) -> Draft<'_> {
        self.draft().event(Event::Scheduled(event))
    }

    pub(crate) fn nightly(&self, event: Nightly) -> Draft<'_> {
        self.draft().event(Event::Nightly(event))
    }

    pub(crate) fn opening(&self, forked: Option<TurnId>) -> (SessionId, Draft<'_>) {
        let session = self.name(SessionId::new);
        let mut draft = self.draft();
        let workspace = draft.text("/home/me");
        let (id, subject) = (session.clone(), "me".to_owned());
        let event = Conversed::SessionOpened { session: id, subject, workspace, forked };
        (session, draft.event(Event::Conversed(event)))
    }

    pub(crate) fn saying(&self, session: &SessionId, words: &str) -> (TurnId, Draft<'_>) {
        let turn = self.name(TurnId::new);
        let mut draft = self.draft();
        let said = draft.text(words);
        let (session, id) = (session.clone(), turn.clone());
        (turn, draft.event(Event::Conversed(Conversed::TurnBegun { session, turn: id, said })))
    }

    pub(crate) fn routing(&self, session: &SessionId, turn: &TurnId) -> Draft<'_> {
        let mut draft = self.draft();
        let (session, turn, reason) = (session.clone(), turn.clone(), draft.text("because"));
        let (route, tone) = (Route::Chat, Tone::Operator);
        draft.event(Event::Conversed(Conversed::TurnRouted { session, turn, route, reason, tone }))
    }

    pub(crate) fn submitting(&self, s: &SessionId, t: &TurnId, m: &MissionId) -> Draft<'_> {
        let (session, turn, mission) = (s.clone(), t.clone(), m.clone());
        self.conversed(Conversed::TurnSubmitted { session, turn, mission })
    }

    pub(crate) fn answered(&self, s: &SessionId, turn: &TurnId, state: TurnState) -> Draft<'_> {
        let mut draft = self.draft();
        let (session, turn) = (s.clone(), turn.clone());
        let (answer, focus) = (draft.text("answer"), Some(draft.text("{}")));
        let event = Conversed::TurnEnded { session, turn, state, answer, focus };
        draft.event(Event::Conversed(event))
    }

    pub(crate) fn observing(&self, words: &str, from: &[MemoryId]) -> (MemoryId, Draft<'_>) {
        let memory = self.name(MemoryId::new);
        let mut draft = self.draft();
        let event = Remembered::Observed {
            memory: memory.clone(),
            is: MemoryKind::Fact,
            source: Source::Document { path: draft.text("/a.txt"), sha256: Digest::of(b"file") },
            span: None,
            text: draft.text(words),
            scope: "user".into(),
            embedder: "test/1".into(),
            valid_from: self.now(),
            derived_from: from.to_vec(),
        };
        (memory, draft.event(Event::Remembered(event)))
    }

    pub(crate) async fn observe(&self, words: &str) -> MemoryId {
        let (memory, draft) = self.observing(words, &[]);
        draft.commit().await.unwrap();
        memory
    }

    pub(crate) fn merging(&self, memory: &MemoryId, name: &str) -> Draft<'_> {
        let source = Source::Import { name: name.to_owned(), origin: None };
        self.remembered(Remembered::Merged { memory: memory.clone(), source })
    }

    pub(crate) fn untrue(&self, memory: &MemoryId, by: Option<MemoryId>) -> Draft<'_> {
        let (memory, valid_to) = (memory.clone(), self.now());
        self.remembered(Remembered::Ended { memory, valid_to, by })
    }

    pub(crate) fn forgetting(&self, memories: &[MemoryId], contents: &[ContentId]) -> Draft<'_> {
        let mut draft = self.draft();
        let (memories, contents) = (memories.to_vec(), contents.to_vec());
        let receipt = draft.text("receipt");
        draft.event(Event::Remembered(Remembered::Forgotten { memories, contents, receipt }))
    }

    pub(crate) fn creating(&self, next_at: Option<Millis>) -> (ScheduleId, Draft<'_>) {
        let schedule = self.name(ScheduleId::new);
        let mut draft = self.draft();
        let event = Scheduled::Created {
            schedule: schedule.clone(),
            subject: "me".into(),
            wish: draft.text("every day"),
            workspace: draft.text("/home/me"),
            plan: draft.text("plan"),
            digest: Digest::of(b"plan"),
            cron: "0 8 * * *".into(),
            zone: "Europe/Berlin".into(),
            missed: Missed::Once,
            next_at,
        };
        (schedule, draft.event(Event::Scheduled(event)))
    }

    pub(crate) fn due(&self, of: &ScheduleId, due_at: Millis, next_at: Millis) -> Draft<'_> {
        let (schedule, outcome) = (of.clone(), Outcome::Missed { more: 0 });
        self.scheduled(Scheduled::Due { schedule, due_at, outcome, next_at })
    }

    pub(crate) fn dreaming(&self) -> (NightId, Draft<'_>) {
        let night = self.name(NightId::new);
        (night.clone(), self.nightly(Nightly::Begun { night, since: 1, until: 2 }))
    }

    pub(crate) fn stage(&self, night: &NightId, stage: &str) -> Draft<'_> {
        let mut draft = self.draft();
        let (night, stage, result) = (night.clone(), stage.to_owned(), draft.text("{}"));
        draft.event(Event::Nightly(Nightly::Stage { night, stage, result }))
    }

    pub(crate) fn waking(&self, night: &NightId, whole: bool) -> Draft<'_> {
        let mut draft = self.draft();
        let (night, report) = (night.clone(), draft.text("report"));
        draft.event(Event::Nightly(Nightly::Ended { night, report, whole }))
    }

    pub(crate) fn proposing(&self, night: &NightId) -> (ProposalId, Draft<'_>) {
        let proposal = self.name(ProposalId::new);
        let mut draft = self.draft();
        let (night, of, body) = (night.clone(), "playbook".to_owned(), draft.text("{}"));
        let event = Nightly::Proposed { proposal: proposal.clone(), night, of, body };
        (proposal, draft.event(Event::Nightly(event)))
    }

    pub(crate) async fn record<R: Kept + Send>(&self, id: impl std::fmt::Display + Send) -> R {
        self.ledger.record(&self.tenant, id).await.unwrap()
    }

    /// All records of a kind.
    pub(crate) async fn all(&self, kind: RecordKind) -> Vec<Record> {
        let (parent, state, after, newest, limit) = (None, None, None, false, 9_999);
        let list = Query::Records { kind, parent, state, after, newest, limit };
        match self.ask(list).await {
            Rows::Records(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    /// A record of every kind; one memory is forgotten. Returns its text.
    pub(crate) async fn whole_life(&self) -> ContentRef {
        let (session, draft) = self.opening(None);
        draft.commit().await.unwrap();
        let (turn, draft) = self.saying(&session, "hello");
        draft.commit().await.unwrap();
        self.routing(&session, &turn).commit().await.unwrap();
        self.answered(&session, &turn, TurnState::Answered).commit().await.unwrap();
        self.observe("kept").await;
        let gone = self.observe("not kept").await;
        let text = self.record::<charter::memory::MemoryRow>(&gone).await.text;
        let (schedule, draft) = self.creating(Some(100));
        draft.commit().await.unwrap();
        self.due(&schedule, 100, 200).commit().await.unwrap();
        let (night, draft) = self.dreaming();
        draft.commit().await.unwrap();
        self.stage(&night, "sort").commit().await.unwrap();
        self.proposing(&night).1.commit().await.unwrap();
        self.waking(&night, true).commit().await.unwrap();
        let contents = [text.id.clone()];
        self.forgetting(&[gone], &contents).commit().await.unwrap();
        text
    }
}
