//! The index: memories of the ledger as points of the vector store, and the
//! search over them.
//!
//! It follows each tenant's memory stream event by event ([`Index::apply`]) and
//! notes how far it came; applying an event twice changes nothing. Nothing here
//! waits for a ledger: texts are handed in with the events.

use crate::answer::telling;
use crate::rank::{CANDIDATES, Context, Found, REACH, Ranked, evidence, is_relevant, rank, shown};
use crate::terms;
use charter::embed::Embed;
use charter::ids::{MemoryId, Millis, TenantId};
use charter::memory::{MemoryKind, Remembered, Source};
use std::path::Path;
use std::sync::Arc;
use vectors::{Facts, Filter, Memory, Opened, Place, Settings, Store, VectorError, hash};

/// Memories that are given to the store at once.
const BATCH: usize = 256;
/// Hits of one search.
pub const HITS_MAX: usize = 100;
/// Bytes of a question that are looked at.
pub const QUESTION_BYTES: usize = 4 << 10;

/// What is asked of memory.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The words.
    pub words: &'a str,
    /// Whose memories.
    pub tenant: &'a TenantId,
    /// Only of these scopes; empty: all.
    pub scopes: Vec<String>,
    /// Only of these kinds; empty: all.
    pub kinds: Vec<MemoryKind>,
    /// The scope that is asked from: what belongs there counts a little more.
    pub from: Option<&'a str>,
    /// The time.
    pub now: Millis,
    /// What was true then, instead of now.
    pub as_of: Option<Millis>,
    /// How many hits at most.
    pub limit: usize,
}

/// The memories of this installation, searchable.
pub struct Index {
    store: Store,
    embedder: Arc<dyn Embed>,
    pending: Vec<Memory>,
}

/// What a memory stands among: its session, its document.
fn group(tenant: &TenantId, source: &Source) -> u64 {
    let (kind, name) = match source {
        Source::Turn { session, .. } => ("turn", session.as_str()),
        Source::Document { path, .. } => ("document", path.id.as_str()),
        Source::Mission { mission } => ("mission", mission.as_str()),
        Source::Night { night } => ("night", night.as_str()),
        // `conversation/session:turn`
        Source::Import { name, .. } => {
            ("import", name.rsplit_once(':').map_or(&**name, |(s, _)| s))
        }
    };
    hash(&[&tenant.0, kind, name])
}

impl Index {
    /// Opens the store in a folder, or begins one.
    pub fn open(folder: &Path, embedder: Arc<dyn Embed>) -> Result<(Self, Opened), VectorError> {
        let settings = Settings {
            folder: folder.to_owned(),
            embedder: embedder.version().to_owned(),
            dimensions: embedder.dimensions(),
        };
        let (store, opened) = Store::open(settings)?;
        Ok((Self { store, embedder, pending: Vec::new() }, opened))
    }

    /// Up to which event of a tenant's memory stream it is built.
    pub fn mark(&self, tenant: &TenantId) -> u64 {
        self.store.marks().get(&tenant.0).copied().unwrap_or(0)
    }

    /// How many memories it holds.
    pub fn len(&self) -> usize {
        self.store.len() + self.pending.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The embedder.
    pub fn embedder(&self) -> &Arc<dyn Embed> {
        &self.embedder
    }

    /// Takes the next event of a tenant's memory stream. `text` is that of an
    /// [`Remembered::Observed`]; `None`: it is forgotten.
    pub fn apply(
        &mut self,
        tenant: &TenantId,
        seq: u64,
        at: Millis,
        event: &Remembered,
        text: Option<&str>,
    ) -> Result<(), VectorError> {
        match event {
            Remembered::Observed { memory, is, source, scope, valid_from, .. } => {
                if let Some(text) = text {
                    let order = i64::try_from(seq).unwrap_or(i64::MAX);
                    let facts = Facts {
                        tenant: hash(&[&tenant.0]),
                        scope: hash(&[scope]),
                        kind: *is,
                        place: Place { group: group(tenant, source), order },
                        who: terms::speaker(text),
                        at,
                        valid_from: *valid_from,
                        valid_to: None,
                    };
                    self.pending.push(Memory {
                        id: memory.clone(),
                        facts,
                        dense: self.embedder.embed(text),
                        terms: terms::document(text),
                    });
                }
            }
            Remembered::Merged { .. } => {}
            Remembered::Ended { memory, valid_to, .. } => {
                self.settle()?;
                self.store.end(memory, Some(*valid_to));
            }
            Remembered::Forgotten { memories, .. } => {
                self.settle()?;
                self.store.delete(memories)?;
            }
        }
        if self.pending.len() >= BATCH {
            self.settle()?;
        }
        if self.pending.is_empty() {
            self.store.mark(tenant, seq);
        }
        Ok(())
    }

    /// Gives what was taken to the store, and notes how far the tenant's stream
    /// was read.
    pub fn caught_up(&mut self, tenant: &TenantId, seq: u64) -> Result<(), VectorError> {
        self.settle()?;
        if self.mark(tenant) != seq {
            self.store.mark(tenant, seq);
        }
        Ok(())
    }

    /// Gives what was taken to the store, so that it is found.
    pub fn settle(&mut self) -> Result<(), VectorError> {
        let pending = std::mem::take(&mut self.pending);
        self.store.upsert(&pending)
    }

    /// What answers a question best, best first; empty where nothing remembered
    /// has to do with it.
    pub fn search(&self, question: &Question) -> Result<Vec<Ranked>, VectorError> {
        let words = question.words;
        let words = words.get(..words.floor_char_boundary(QUESTION_BYTES)).unwrap_or(words);
        let filter = Filter {
            scopes: question.scopes.iter().map(|scope| hash(&[scope])).collect(),
            kinds: question.kinds.clone(),
            true_at: Some(question.as_of.unwrap_or(question.now)),
            ..Filter::all(question.tenant)
        };
        let terms = terms::query(words);
        let found = Found {
            dense: self.store.dense(&self.embedder.embed(words), CANDIDATES, &filter)?,
            sparse: self.store.sparse(&terms, CANDIDATES, &filter)?,
        };
        if !is_relevant(&evidence(&found, &terms, self.store.len()))
            && !self.holds_all(words, &found, &filter)?
        {
            return Ok(Vec::new());
        }
        let scope = question.from.map_or(0, |scope| hash(&[scope]));
        let context = Context { terms, now: question.now, scope };
        let ranked = rank(
            &found,
            &context,
            |id| self.store.facts(id),
            |of| {
                let mut beside = self.store.neighbours(of, REACH);
                beside.retain(|(_, _, facts)| filter.passes(facts));
                beside
            },
        );
        Ok(shown(ranked, question.limit.min(HITS_MAX)))
    }

    /// Whether the best by words holds every telling word of a question. Where little
    /// is remembered, or the same in many versions, no word is rare.
    fn holds_all(&self, words: &str, found: &Found, filter: &Filter) -> Result<bool, VectorError> {
        let Some((best, _)) = found.sparse.first() else { return Ok(false) };
        let telling = telling(words);
        for stem in &telling {
            let holding = self.store.sparse(&[(terms::hash(stem), 1.0)], CANDIDATES, filter)?;
            if !holding.iter().any(|(id, _)| id == best) {
                return Ok(false);
            }
        }
        Ok(!telling.is_empty())
    }

    /// The nearest memories to a text that is to be kept: what it may repeat or
    /// contradict. With their cosines.
    pub fn nearest(
        &self,
        text: &str,
        tenant: &TenantId,
        scope: &str,
        now: Millis,
        limit: usize,
    ) -> Result<Vec<(MemoryId, f32)>, VectorError> {
        let filter =
            Filter { scopes: vec![hash(&[scope])], true_at: Some(now), ..Filter::all(tenant) };
        self.store.dense(&self.embedder.embed(text), limit, &filter)
    }

    /// What was said, wherever, that comes nearest to a text by meaning or by words.
    pub fn said(
        &self,
        text: &str,
        tenant: &TenantId,
        now: Millis,
        limit: usize,
    ) -> Result<Vec<MemoryId>, VectorError> {
        let kinds = vec![MemoryKind::Fact, MemoryKind::Turn];
        let filter = Filter { kinds, true_at: Some(now), ..Filter::all(tenant) };
        let dense = self.store.dense(&self.embedder.embed(text), limit, &filter)?;
        let sparse = self.store.sparse(&terms::query(text), limit, &filter)?;
        let mut seen = std::collections::BTreeSet::new();
        let all = dense.into_iter().chain(sparse).map(|(id, _)| id);
        Ok(all.filter(|id| seen.insert(id.clone())).collect())
    }

    /// Holds nothing, as if it had just been made.
    pub fn clear(&mut self) -> Result<(), VectorError> {
        self.pending.clear();
        self.store.clear()
    }

    /// Brings everything to disk.
    pub fn flush(&mut self) -> Result<(), VectorError> {
        self.settle()?;
        self.store.flush()
    }

    /// Leaves no byte of what was forgotten.
    pub fn compact(&mut self) -> Result<(), VectorError> {
        self.settle()?;
        self.store.compact()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ByWords;

    struct House {
        index: Index,
        seq: u64,
        _folder: tempfile::TempDir,
    }

    fn id(n: u64) -> MemoryId {
        format!("k-{n:016}").parse().unwrap()
    }

    fn observed(n: u64, text: &str, session: &str) -> Remembered {
        let content: charter::ids::ContentId = format!("c-{n:016}").parse().unwrap();
        Remembered::Observed {
            memory: id(n),
            is: MemoryKind::Turn,
            source: Source::Import { name: format!("{session}:{n}"), origin: None },
            span: None,
            text: charter::content::ContentRef {
                id: content,
                sha256: charter::digest::Digest::of(text.as_bytes()),
                label: charter::label::Label::TRUSTED,
            },
            scope: "user".into(),
            embedder: "by-words/1".into(),
            valid_from: 1_000,
            derived_from: vec![],
        }
    }

    impl House {
        fn new(texts: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let embedder = Arc::new(ByWords);
            let (index, _) = Index::open(&folder.path().join("v"), embedder).unwrap();
            let mut house = Self { index, seq: 0, _folder: folder };
            for text in texts {
                let n = house.seq + 1;
                house.apply(&observed(n, text, "talk"), Some(text));
            }
            house
        }

        fn apply(&mut self, event: &Remembered, text: Option<&str>) {
            self.seq += 1;
            let local = TenantId::local();
            self.index.apply(&local, self.seq, 1_000, event, text).unwrap();
            self.index.caught_up(&local, self.seq).unwrap();
        }

        fn find(&self, words: &str, as_of: Option<Millis>) -> Vec<u64> {
            let question = Question {
                words,
                tenant: &TenantId::local(),
                scopes: vec![],
                kinds: vec![],
                from: None,
                now: 5_000,
                as_of,
                limit: 3,
            };
            let found = self.index.search(&question).unwrap();
            found.iter().map(|hit| hit.id.as_str()[2..].parse().unwrap()).collect()
        }
    }

    const TALK: &[&str] = &[
        "The landlord raised the rent to 950 euros.",
        "My sister Ada plays the cello in Ulm.",
        "We painted the kitchen yellow on Sunday.",
    ];

    #[test]
    fn what_answers_is_found_first_and_noise_is_not() {
        let house = House::new(TALK);
        assert_eq!(house.find("how much is the rent?", None)[0], 1);
        assert_eq!(house.find("which instrument does Ada play?", None)[0], 2);
        assert!(house.find("quantum chromodynamics lattice", None).is_empty());
        assert!(house.find("", None).is_empty());
    }

    #[test]
    fn what_ended_is_found_only_in_its_time() {
        let mut house = House::new(TALK);
        house.apply(&Remembered::Ended { memory: id(1), valid_to: 2_000, by: None }, None);
        assert!(!house.find("how much is the rent?", None).contains(&1));
        assert_eq!(house.find("how much is the rent?", Some(1_500))[0], 1);
    }

    #[test]
    fn applying_twice_is_applying_once() {
        let mut house = House::new(TALK);
        house.seq = 0;
        for (n, text) in (1..).zip(TALK) {
            house.apply(&observed(n, text, "talk"), Some(text));
        }
        assert_eq!((house.index.len(), house.index.mark(&TenantId::local())), (3, 3));
    }

    #[test]
    fn a_forgotten_text_leaves_no_point() {
        let mut house = House::new(TALK);
        house.apply(&observed(4, "", "talk"), None);
        assert_eq!(house.index.len(), 3);
        let text = house.index.embedder.embed("x");
        assert_eq!(text.len(), 1_024);
    }
}
