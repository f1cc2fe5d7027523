//! Forgetting, carried out: what holds a phrase, what was made from it, and the
//! event after which all of it is gone.

use crate::ask::{Forgettable, Response};
use crate::error::Error;
use crate::forget::{self, PHRASE_CHARS_MIN, Plan};
use crate::index::Index;
use crate::librarian::Librarian;
use charter::content::Content;
use charter::conversation::TurnRow;
use charter::ids::{ContentId, MemoryId, StreamId, TenantId};
use charter::label::Label;
use charter::memory::{MemoryRow, NAMED_MAX, Remembered, Source};
use charter::ports::{LedgerError, LedgerExt, Query, Rows};
use charter::record::RecordKind;
use charter::rows::MissionState;
use charter::schedule::{ScheduleRow, ScheduleState};
use std::collections::{BTreeMap, BTreeSet};

/// Missions and schedules that are looked at.
const OPEN_MAX: u32 = 10_000;
/// Events of one mission that are looked at, at a time.
const EVENTS: u32 = 1_000;
/// A shorter text stands in others by chance.
const REPEATED_CHARS_MIN: usize = 12;
/// Files that are named to the user.
const FILES_MAX: usize = 100;

impl Librarian {
    pub(crate) async fn forget(
        &self,
        tenant: &TenantId,
        what: Forgettable,
        dry_run: bool,
    ) -> Result<Response, Error> {
        self.catch_up(tenant).await?;
        let held = self.all(tenant).await?;
        let (memories, contents) = match what {
            Forgettable::Phrase(phrase) => {
                if phrase.trim().chars().count() < PHRASE_CHARS_MIN {
                    return Err(Error::Usage(format!(
                        "{phrase:?} is too short to forget: it stands in too much that you do \
                         not mean; name at least {PHRASE_CHARS_MIN} characters, or a memory"
                    )));
                }
                (BTreeSet::new(), self.holding(tenant, &phrase).await?)
            }
            Forgettable::Memory(memory) => {
                let Some(row) = held.iter().find(|row| row.id == memory) else {
                    let source = LedgerError::NotFound(format!("memory {memory}"));
                    return Err(Error::Ledger { operation: "forget", source });
                };
                // Answers and whatever else repeats it go with it.
                let repeats = match self.text(tenant, &row.text).await? {
                    Some(text) if text.chars().count() >= REPEATED_CHARS_MIN => {
                        self.holding(tenant, &text).await?
                    }
                    _ => BTreeSet::new(),
                };
                (BTreeSet::from([memory]), repeats)
            }
        };
        let plan = self.whole_plan(tenant, &memories, &contents, &held).await?;
        self.refuse_if_in_use(tenant, &plan).await?;
        let files = self.files(tenant, &plan, &held).await?;
        let receipt = forget::receipt(&plan, &held, files.len());
        let nothing = plan.contents.is_empty() && plan.memories.is_empty();
        if !dry_run && !nothing {
            self.carry_out(tenant, &plan, &held, &receipt).await?;
            self.catch_up(tenant).await?;
            self.with_index(Index::compact).await?;
        }
        Ok(Response::Forgotten { receipt, files })
    }

    /// Texts in which a phrase stands, however it is written and wherever its lines
    /// break.
    async fn holding(&self, tenant: &TenantId, phrase: &str) -> Result<BTreeSet<ContentId>, Error> {
        let mut found = self.with_any(tenant, forget::forms(phrase)).await?;
        for needles in forget::needles(phrase) {
            let near = self.with_any(tenant, needles).await?;
            if near.len() >= NAMED_MAX {
                // A word of every day: another one of the phrase is rarer.
                continue;
            }
            for id in near.difference(&found.clone()) {
                let failed = Error::ledger("read a text");
                let content = self.ledger.content(tenant, id).await.map_err(failed)?;
                if forget::holds(&content.text(), phrase) {
                    found.insert(id.clone());
                }
            }
            break;
        }
        if found.len() >= NAMED_MAX {
            return Err(Error::Usage(format!(
                "it stands in more than {NAMED_MAX} texts: say it more exactly"
            )));
        }
        Ok(found)
    }

    /// Texts that hold any of these, as far as one event names them.
    async fn with_any(
        &self,
        tenant: &TenantId,
        needles: Vec<String>,
    ) -> Result<BTreeSet<ContentId>, Error> {
        let mut found = BTreeSet::new();
        let limit = u32::try_from(NAMED_MAX).unwrap_or(u32::MAX);
        for needle in needles {
            let query = Query::ContentsWith { needle, limit };
            let failed = Error::ledger("look for what is to be forgotten");
            if let Rows::ContentIds(ids) = self.ledger.query(tenant, query).await.map_err(failed)? {
                found.extend(ids);
            }
        }
        Ok(found)
    }

    async fn whole_plan(
        &self,
        tenant: &TenantId,
        memories: &BTreeSet<MemoryId>,
        contents: &BTreeSet<ContentId>,
        held: &[MemoryRow],
    ) -> Result<Plan, Error> {
        let first = forget::plan(memories, contents, held, |_| Vec::new());
        let mut said: BTreeMap<String, Vec<ContentId>> = BTreeMap::new();
        for row in held.iter().filter(|row| first.memories.contains(&row.id)) {
            for source in &row.sources {
                if let Source::Turn { turn, .. } = source {
                    let failed = Error::ledger("look a turn up");
                    let row: TurnRow = self.ledger.record(tenant, turn).await.map_err(failed)?;
                    said.insert(turn.to_string(), vec![row.said.id]);
                }
            }
        }
        Ok(forget::plan(memories, contents, held, |source| match source {
            Source::Turn { turn, .. } => said.get(turn.as_str()).cloned().unwrap_or_default(),
            _ => Vec::new(),
        }))
    }

    /// What is being worked on cannot lose its texts.
    async fn refuse_if_in_use(&self, tenant: &TenantId, plan: &Plan) -> Result<(), Error> {
        let failed = || Error::ledger("look for missions that use it");
        for state in [MissionState::Running, MissionState::Waiting] {
            let query =
                Query::Missions { state: Some(state), same: None, before: None, limit: OPEN_MAX };
            let rows = match self.ledger.query(tenant, query).await.map_err(failed())? {
                Rows::Missions(rows) => rows,
                _ => continue,
            };
            for mission in rows {
                let stream = StreamId::mission(&mission.id);
                if self.names(tenant, stream, plan).await? {
                    return Err(Error::Conflict(format!(
                        "mission {} is not finished and uses it: wait for it, or stop it with \
                         `alma mission cancel {}`, then forget",
                        mission.id, mission.id
                    )));
                }
            }
        }
        let query = Query::Records {
            kind: RecordKind::Schedule,
            parent: None,
            state: None,
            after: None,
            newest: true,
            limit: OPEN_MAX,
        };
        let schedules: Vec<ScheduleRow> =
            self.ledger.records(tenant, query).await.map_err(failed())?;
        let uses = |row: &&ScheduleRow| {
            row.state != ScheduleState::Deleted
                && [&row.wish, &row.workspace, &row.plan]
                    .iter()
                    .any(|text| plan.contents.contains(&text.id))
        };
        match schedules.iter().find(uses) {
            Some(row) => Err(Error::Conflict(format!(
                "schedule {} uses it: delete it with `alma schedules delete {}`, then forget",
                row.id, row.id
            ))),
            None => Ok(()),
        }
    }

    /// Whether an event of a stream names one of the texts.
    async fn names(&self, tenant: &TenantId, stream: StreamId, plan: &Plan) -> Result<bool, Error> {
        let mut after = 0;
        loop {
            let query = Query::Events { stream: stream.clone(), after, limit: EVENTS };
            let failed = Error::ledger("look for missions that use it");
            let events = match self.ledger.query(tenant, query).await.map_err(failed)? {
                Rows::Events(events) => events,
                _ => return Ok(false),
            };
            let Some(last) = events.last().map(|event| event.seq) else { return Ok(false) };
            after = last;
            for recorded in &events {
                let body = serde_json::to_string(&recorded.event).unwrap_or_default();
                if named_in(&body).any(|id| plan.contents.contains(&id)) {
                    return Ok(true);
                }
            }
        }
    }

    /// Documents that hold it and are still there.
    async fn files(
        &self,
        tenant: &TenantId,
        plan: &Plan,
        held: &[MemoryRow],
    ) -> Result<Vec<String>, Error> {
        let mut files = BTreeSet::new();
        for row in held.iter().filter(|row| plan.memories.contains(&row.id)) {
            for source in &row.sources {
                if let Source::Document { path, .. } = source
                    && files.len() < FILES_MAX
                    && let Some(path) = self.text(tenant, path).await?
                    && std::path::Path::new(&path).exists()
                {
                    files.insert(path);
                }
            }
        }
        Ok(files.into_iter().collect())
    }

    async fn carry_out(
        &self,
        tenant: &TenantId,
        plan: &Plan,
        held: &[MemoryRow],
        receipt: &forget::Receipt,
    ) -> Result<(), Error> {
        let text_of = |memory: &MemoryId| {
            held.iter().find(|row| row.id == *memory).map(|row| row.text.id.clone())
        };
        // A memory and its text go in one event; an event has a bound.
        let mut parts: Vec<(Vec<MemoryId>, Vec<ContentId>)> = vec![Default::default()];
        let mut alone: BTreeSet<ContentId> = plan.contents.clone();
        for memory in &plan.memories {
            let Some(text) = text_of(memory) else { continue };
            alone.remove(&text);
            if let Some((memories, contents)) = parts.last_mut() {
                memories.push(memory.clone());
                contents.push(text);
                if contents.len() >= NAMED_MAX {
                    parts.push(Default::default());
                }
            }
        }
        for content in alone {
            if let Some((_, contents)) = parts.last_mut() {
                contents.push(content);
                if contents.len() >= NAMED_MAX {
                    parts.push(Default::default());
                }
            }
        }
        for (memories, contents) in parts.into_iter().filter(|(_, contents)| !contents.is_empty()) {
            let now = self.clock.now();
            let (content, receipt) =
                Content::of_json(tenant, receipt, Label::TRUSTED, now, self.entropy.as_ref())?;
            let event = Remembered::Forgotten { memories, contents, receipt };
            self.commit(tenant, vec![event], vec![content]).await?;
        }
        Ok(())
    }
}

/// Names of texts that stand in an event.
fn named_in(body: &str) -> impl Iterator<Item = ContentId> {
    body.split('"').filter(|part| part.starts_with("c-")).filter_map(|part| part.parse().ok())
}
