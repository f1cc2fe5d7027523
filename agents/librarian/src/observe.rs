//! What becomes a memory: what was said, what missions came to, documents.

use crate::ask::{Correctable, Document, Filed, Kept};
use crate::claims;
use crate::error::Error;
use crate::gate::{self, Origin, Verdict};
use crate::keep::{self, Draft, Known};
use crate::librarian::Librarian;
use charter::content::{Content, ContentRef};
use charter::conversation::{Conversed, SessionRow, TurnRow};
use charter::ids::{MemoryId, MissionId, TenantId};
use charter::label::Label;
use charter::memory::{MemoryKind, MemoryRow, MemoryState, Remembered, SOURCES_MAX, Source};
use charter::ports::{LedgerError, LedgerExt};
use charter::report::Report;
use std::collections::BTreeMap;

/// Memories that are compared with one that wants in.
const COMPARED: usize = 24;
/// Memories by each of meaning and words that a correction may mean.
const CORRECTABLE: usize = 40;
/// Cosine below which two texts do not say the same, in whatever words.
const ALIKE: f32 = 0.75;
/// Memories that are committed together.
const TOGETHER: usize = 64;

impl Librarian {
    /// What the end of a turn leaves.
    pub(crate) async fn of_turn(
        &self,
        tenant: &TenantId,
        event: &Conversed,
    ) -> Result<Option<(MemoryId, Draft)>, Error> {
        let Conversed::TurnEnded { session, turn, .. } = event else { return Ok(None) };
        let failed = || Error::ledger("look a turn up");
        let turn: TurnRow = self.ledger.record(tenant, turn).await.map_err(failed())?;
        let session: SessionRow = self.ledger.record(tenant, session).await.map_err(failed())?;
        let (Some(said), Some(folder)) =
            (self.text(tenant, &turn.said).await?, self.text(tenant, &session.workspace).await?)
        else {
            return Ok(None);
        };
        let draft = keep::of_turn(&turn, &said, &keep::workspace_scope(&folder));
        Ok(draft.and_then(named))
    }

    /// What the end of a mission leaves.
    pub(crate) async fn of_mission(
        &self,
        tenant: &TenantId,
        mission: &MissionId,
    ) -> Result<Option<(MemoryId, Draft)>, Error> {
        let failed = Error::ledger("look a mission up");
        let row = self.ledger.mission(tenant, mission).await.map_err(failed)?;
        let Some(report) = &row.report else { return Ok(None) };
        let texts = (
            self.text(tenant, &row.wish).await?,
            self.text(tenant, &row.workspace).await?,
            self.text(tenant, report).await?,
        );
        let (Some(wish), Some(folder), Some(report)) = texts else { return Ok(None) };
        // A report of a newer version is not understood, and leaves nothing.
        let Ok(report) = serde_json::from_str::<Report>(&report) else { return Ok(None) };
        let scope = keep::workspace_scope(&folder);
        Ok(keep::of_mission(&wish, &report, &scope, row.updated_at).and_then(named))
    }

    /// Keeps what was observed. What cannot be kept is said and passed over.
    pub(crate) async fn keep_observed(
        &self,
        tenant: &TenantId,
        drafts: Vec<(MemoryId, Draft)>,
    ) -> Result<(), Error> {
        if drafts.is_empty() {
            return Ok(());
        }
        match self.keep_all(tenant, drafts).await {
            Err(Error::Ledger { source: LedgerError::Conflict(why), .. }) => {
                tracing::warn!(%why, "something that was observed is not kept");
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Keeps drafts, each once.
    pub(crate) async fn keep(
        &self,
        tenant: &TenantId,
        drafts: Vec<(MemoryId, Draft)>,
    ) -> Result<Vec<Kept>, Error> {
        if drafts.len() > crate::ask::DRAFTS_MAX {
            return Err(Error::Usage(format!(
                "{} memories are more than the {} that can be kept at a time",
                drafts.len(),
                crate::ask::DRAFTS_MAX
            )));
        }
        self.catch_up(tenant).await?;
        let kept = self.keep_all(tenant, drafts).await?;
        self.catch_up(tenant).await?;
        Ok(kept)
    }

    async fn keep_all(
        &self,
        tenant: &TenantId,
        drafts: Vec<(MemoryId, Draft)>,
    ) -> Result<Vec<Kept>, Error> {
        let mut kept: Vec<Option<Kept>> = drafts.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..drafts.len()).collect();
        // Each round decides at least the first of those that are open.
        while !open.is_empty() {
            let mut later = Vec::new();
            let (mut events, mut contents) = (Vec::new(), Vec::new());
            let mut round: Vec<&Draft> = Vec::new();
            for n in open {
                let Some((memory, draft)) = drafts.get(n) else { continue };
                if round.len() >= TOGETHER || round.iter().any(|other| alike(other, draft)) {
                    // What it is compared with must be in the index first.
                    later.push(n);
                    continue;
                }
                let (became, written, texts) = self.decide(tenant, memory, draft).await?;
                if !written.is_empty() {
                    round.push(draft);
                }
                events.extend(written);
                contents.extend(texts);
                if let Some(slot) = kept.get_mut(n) {
                    *slot = Some(became);
                }
            }
            if !events.is_empty() {
                let noted = events.clone();
                let texts: BTreeMap<_, _> =
                    contents.iter().map(|c: &Content| (c.id.clone(), c.text())).collect();
                self.commit(tenant, events, contents).await?;
                let (of, at) = (tenant.clone(), self.clock.now());
                // The index must know them now; reading them again from the
                // ledger changes nothing.
                self.with_index(move |index| {
                    let mark = index.mark(&of);
                    for event in &noted {
                        let text = match event {
                            Remembered::Observed { text, .. } => texts.get(&text.id),
                            _ => None,
                        };
                        index.apply(&of, mark, at, event, text.map(String::as_str))?;
                    }
                    index.settle()
                })
                .await?;
            }
            open = later;
        }
        Ok(kept.into_iter().flatten().collect())
    }

    /// What becomes of one draft, and the events that say so.
    async fn decide(
        &self,
        tenant: &TenantId,
        memory: &MemoryId,
        draft: &Draft,
    ) -> Result<(Kept, Vec<Remembered>, Vec<Content>), Error> {
        let told = |became| Ok((became, Vec::new(), Vec::new()));
        match self.ledger.record::<MemoryRow>(tenant, memory).await {
            Ok(_) => return told(Kept::Known { memory: memory.clone(), ended: Vec::new() }),
            Err(LedgerError::NotFound(_)) => {}
            Err(source) => return Err(Error::Ledger { operation: "look a memory up", source }),
        }
        if let Verdict::Refuse(reason) = gate::admit(&draft.text, Origin::Fresh) {
            return told(Kept::Refused { reason: reason.to_owned() });
        }
        let now = self.clock.now();
        let (text, scope, of) = (draft.text.clone(), draft.scope.clone(), tenant.clone());
        let mut near =
            self.with_index(move |index| index.nearest(&text, &of, &scope, now, COMPARED)).await?;
        for named in &draft.replaces {
            if near.iter().all(|(id, _)| id != named) {
                near.push((named.clone(), 0.0));
            }
        }
        let mut known = Vec::new();
        for (id, cosine) in near {
            // Only a fact can end what merely resembles it.
            if cosine < ALIKE && draft.is != MemoryKind::Fact {
                continue;
            }
            let Some(row) = self.row(tenant, &id).await? else { continue };
            let Some(text) = self.text(tenant, &row.text).await? else { continue };
            if row.state == MemoryState::Held {
                let (valid_from, trust) = (row.valid_from, row.text.label.trust);
                let is = row.is;
                known.push((row, Known { id, is, text, cosine, valid_from, trust }));
            }
        }
        let compared: Vec<Known> = known.iter().map(|(_, known)| known.clone()).collect();
        let decision = keep::decide(draft, &compared);
        let ended = decision.ends.clone();
        let became = match &decision.merges {
            Some(same) => Kept::Known { memory: same.clone(), ended },
            None => Kept::New { memory: memory.clone(), ended },
        };
        let (mut events, mut contents) = keep::written(
            memory,
            draft,
            &decision,
            tenant,
            self.embedder()?.version(),
            now,
            self.entropy.as_ref(),
        )?;
        if let Some(same) = &decision.merges {
            let row = known.iter().find(|(row, _)| row.id == *same).map(|(row, _)| row);
            let full = row.is_none_or(|row| {
                row.sources.contains(&draft.source) || row.sources.len() >= SOURCES_MAX
            });
            if full {
                events.retain(|event| !matches!(event, Remembered::Merged { .. }));
                contents.clear();
            }
        }
        Ok((became, events, contents))
    }

    /// What was said that a text may correct, likeliest first.
    pub(crate) async fn correctable(
        &self,
        tenant: &TenantId,
        text: &str,
    ) -> Result<Vec<Correctable>, Error> {
        self.catch_up(tenant).await?;
        let (now, of, words) = (self.clock.now(), tenant.clone(), text.to_owned());
        let near = self.with_index(move |index| index.said(&words, &of, now, CORRECTABLE)).await?;
        let mut found = Vec::new();
        for memory in near {
            let Some(row) = self.row(tenant, &memory).await? else { continue };
            let Some(said) = self.text(tenant, &row.text).await? else { continue };
            let likely = claims::correction(text, &said);
            if row.state == MemoryState::Held && likely >= claims::CORRECTS {
                found.push(Correctable { memory, text: said, likely });
            }
        }
        found.sort_by(|a, b| b.likely.total_cmp(&a.likely));
        Ok(found)
    }

    /// Keeps what a document says now, and ends what it says no more.
    pub(crate) async fn file(&self, tenant: &TenantId, document: Document) -> Result<Filed, Error> {
        self.catch_up(tenant).await?;
        let before = self.passages_of(tenant, &document).await?;
        let now = self.clock.now();
        let entropy = self.entropy.as_ref();
        // One name for the path, so that its passages stand together.
        let (path, new_path) = match before.first().and_then(|(row, _)| path_of(row)) {
            Some(path) => (path.clone(), None),
            None => {
                let bytes = document.path.clone().into_bytes();
                let (content, path) = Content::new(tenant, bytes, Label::UNTRUSTED, now, entropy)?;
                (path, Some(content))
            }
        };
        let source = Source::Document { path, sha256: document.sha256 };
        let (drafts, whole) =
            keep::of_document(&document.text, &source, &document.scope, document.at);
        let mut old: BTreeMap<&str, &MemoryRow> =
            before.iter().map(|(row, text)| (text.as_str(), row)).collect();
        let mut filed = Filed { whole, ..Filed::default() };
        let (mut events, mut contents) = (Vec::new(), Vec::new());
        contents.extend(new_path);
        let embedder = self.embedder()?;
        let mut seen = std::collections::BTreeSet::new();
        for (n, draft) in (0i64..).zip(&drafts) {
            if !seen.insert(draft.text.as_str()) || old.remove(draft.text.as_str()).is_some() {
                filed.known += 1;
                continue;
            }
            // Names differ by time first: many passages are made in one moment.
            let memory = MemoryId::new(now.saturating_add(n), entropy);
            let fresh = &keep::Decision::FRESH;
            let (written, texts) =
                keep::written(&memory, draft, fresh, tenant, embedder.version(), now, entropy)?;
            events.extend(written);
            contents.extend(texts);
            filed.new += 1;
        }
        for row in old.into_values() {
            let (memory, valid_to) = (row.id.clone(), document.at.max(row.valid_from));
            events.push(Remembered::Ended { memory, valid_to, by: None });
            filed.ended += 1;
        }
        if !events.is_empty() {
            self.commit(tenant, events, contents).await?;
        }
        self.catch_up(tenant).await?;
        Ok(filed)
    }

    /// The held passages of an earlier reading of a document.
    async fn passages_of(
        &self,
        tenant: &TenantId,
        document: &Document,
    ) -> Result<Vec<(MemoryRow, String)>, Error> {
        let mut paths: BTreeMap<charter::ids::ContentId, bool> = BTreeMap::new();
        let mut found = Vec::new();
        for row in self.all(tenant).await? {
            let Some(path) = path_of(&row) else { continue };
            if row.state != MemoryState::Held || row.scope != document.scope {
                continue;
            }
            let same = match paths.get(&path.id) {
                Some(same) => *same,
                None => {
                    let same = self.text(tenant, path).await?.as_deref() == Some(&*document.path);
                    paths.insert(path.id.clone(), same);
                    same
                }
            };
            if same && let Some(text) = self.text(tenant, &row.text).await? {
                found.push((row, text));
            }
        }
        Ok(found)
    }
}

fn path_of(row: &MemoryRow) -> Option<&ContentRef> {
    row.sources.iter().find_map(|source| match source {
        Source::Document { path, .. } => Some(path),
        _ => None,
    })
}

fn named(draft: Draft) -> Option<(MemoryId, Draft)> {
    keep::name_of(&draft.source, draft.valid_from).map(|name| (name, draft))
}

/// Whether one of two might repeat or end the other.
fn alike(a: &Draft, b: &Draft) -> bool {
    a.scope == b.scope && (gate::same(&a.text, &b.text, 1.0) || claims::replaces(&a.text, &b.text))
}
