//! The Librarian at work: she follows the ledger, keeps what is worth keeping, and
//! answers. The ledger is the truth and the index can always be built from it; she
//! is the only one who has it open.

use crate::ask::{Hit, Recall, Refusal, Report, Request, Response};
use crate::error::Error;
use crate::excerpts::OpenEmbedder;
use crate::index::{Index, Question};
use async_trait::async_trait;
use charter::content::ContentRef;
use charter::embed::Embed;
use charter::event::Event;
use charter::ids::{StreamId, TenantId, TransitionId};
use charter::memory::{MemoryRow, MemoryState, Remembered};
use charter::ports::{
    Clock, Entropy, LeaseChange, Ledger, LedgerError, LedgerExt, Query, Rows, Transition,
};
use charter::record::RecordKind;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;
use vectors::{Opened, VectorError};

/// Events read at a time.
const EVENTS: u32 = 500;
/// Rows read at a time.
const PAGE: u32 = 1_000;
/// What happens that concerns her.
const KINDS: [&str; 3] = ["remembered", "conversed", "mission_ended"];

/// The Librarian. One per data folder, in the process that holds it.
pub struct Librarian {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    embedder: OpenEmbedder,
    folder: PathBuf,
    /// Opened when it is first needed: most commands remember nothing.
    index: Arc<Mutex<Option<Index>>>,
    /// One reader of the ledger at a time.
    reading: Mutex<()>,
}

impl Librarian {
    /// A Librarian with this ledger whose index stands in `folder`.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        embedder: OpenEmbedder,
        folder: PathBuf,
    ) -> Self {
        let (index, reading) = (Arc::default(), Mutex::new(()));
        Self { ledger, clock, entropy, embedder, folder, index, reading }
    }

    /// Answers a request. Asked the same again she does nothing twice.
    pub async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let answered = match request {
            Request::Recall(recall) => self.recall(recall).await,
            Request::Keep { tenant, drafts } => {
                self.keep(&tenant, drafts).await.map(|kept| Response::Kept { kept })
            }
            Request::Correctable { tenant, text } => {
                self.correctable(&tenant, &text).await.map(|said| Response::Correctable { said })
            }
            Request::Document { tenant, document } => {
                self.file(&tenant, document).await.map(Response::Filed)
            }
            Request::Forget { tenant, what, dry_run } => self.forget(&tenant, what, dry_run).await,
            Request::Rebuild { tenant } => self.rebuild(&tenant).await,
            Request::CatchUp { tenant } => self.catch_up(&tenant).await.map(|()| Response::Done),
            Request::PutAway => {
                self.close().await;
                Ok(Response::Done)
            }
            Request::Report { tenant } => self.report(&tenant).await,
        };
        answered.map_err(Refusal::from)
    }

    /// The embedder: opened when it is first needed, as the index is.
    pub(crate) fn embedder(&self) -> Result<Arc<dyn Embed>, Error> {
        (self.embedder)().map_err(Error::Embedder)
    }

    /// Works on the index, off the threads that serve others.
    pub(crate) async fn with_index<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Index) -> Result<T, VectorError> + Send + 'static,
    ) -> Result<T, Error> {
        let mut held = Arc::clone(&self.index).lock_owned().await;
        let (folder, embedder) = (self.folder.clone(), self.embedder()?);
        let working = tokio::task::spawn_blocking(move || {
            let index = match &mut *held {
                Some(index) => index,
                empty => {
                    let (index, opened) = Index::open(&folder, embedder)?;
                    if let Opened::Discarded(why) = opened {
                        tracing::warn!(%why, "the index is built again from the ledger");
                    }
                    empty.insert(index)
                }
            };
            work(index)
        });
        Ok(working.await.map_err(|error| Error::Broken(error.to_string()))??)
    }

    /// Reads what happened since the last time: what is worth keeping becomes
    /// memories, and memories become points of the index.
    pub async fn catch_up(&self, tenant: &TenantId) -> Result<(), Error> {
        let _one = self.reading.lock().await;
        loop {
            // At once: it is always further than that.
            let newest = self.ledger.changed(i64::MIN, 1).await;
            let newest = newest
                .map_err(|source| Error::Ledger { operation: "ask how far it is", source })?;
            let of = tenant.clone();
            let mark = self.with_index(move |index| Ok(index.mark(&of))).await?;
            let after = i64::try_from(mark).unwrap_or(i64::MAX);
            if after >= newest {
                return Ok(());
            }
            let kinds = KINDS.map(str::to_owned).to_vec();
            let query = Query::Happened { after, kinds, limit: EVENTS };
            let failed = Error::ledger("read what happened");
            let events = match self.ledger.query(tenant, query).await.map_err(failed)? {
                Rows::Events(events) => events,
                _ => return Ok(()),
            };
            let last = events.last().map(|event| event.position);
            let until =
                if events.len() < EVENTS as usize { newest } else { last.unwrap_or(newest) };
            let (mut known, mut drafts) = (Vec::new(), Vec::new());
            for recorded in events {
                match recorded.event {
                    Event::Remembered(event) => {
                        let text = match &event {
                            Remembered::Observed { text, .. } => self.text(tenant, text).await?,
                            _ => None,
                        };
                        known.push((position(recorded.position), recorded.at, event, text));
                    }
                    Event::Conversed(event) => drafts.extend(self.of_turn(tenant, &event).await?),
                    Event::MissionEnded { mission, .. } => {
                        drafts.extend(self.of_mission(tenant, &mission).await?);
                    }
                    _ => {}
                }
            }
            let of = tenant.clone();
            self.with_index(move |index| {
                for (seq, at, event, text) in &known {
                    index.apply(&of, *seq, *at, event, text.as_deref())?;
                }
                index.settle()
            })
            .await?;
            // Before the mark moves: what is not kept now would be passed over.
            self.keep_observed(tenant, drafts).await?;
            let of = tenant.clone();
            self.with_index(move |index| index.caught_up(&of, position(until))).await?;
        }
    }

    /// Brings the index to disk.
    pub async fn flush(&self) -> Result<(), Error> {
        if self.index.lock().await.is_none() {
            return Ok(());
        }
        self.with_index(Index::flush).await
    }

    /// Brings the index to disk and lets go of its files.
    pub async fn close(&self) {
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "the index was not brought to disk; it is built again");
        }
        self.index.lock().await.take();
    }

    async fn recall(&self, recall: Recall) -> Result<Response, Error> {
        if recall.words.trim().is_empty() {
            return Err(Error::Usage("there is nothing to look for: say what about".to_owned()));
        }
        let tenant = recall.tenant.clone();
        self.catch_up(&tenant).await?;
        let now = self.clock.now();
        let ranked = self
            .with_index(move |index| {
                index.search(&Question {
                    words: &recall.words,
                    tenant: &recall.tenant,
                    scopes: recall.scopes,
                    kinds: recall.kinds,
                    from: recall.from.as_deref(),
                    now,
                    as_of: recall.as_of,
                    limit: recall.limit,
                })
            })
            .await?;
        let mut hits = Vec::new();
        for found in ranked {
            let Some(row) = self.row(&tenant, &found.id).await? else { continue };
            // Forgotten between the search and now.
            let Some(text) = self.text(&tenant, &row.text).await? else { continue };
            let (shares, cosine, bm25) = (found.shares, found.cosine, found.bm25);
            hits.push(Hit { row, text, shares, cosine, bm25 });
        }
        Ok(Response::Recalled { hits })
    }

    async fn rebuild(&self, tenant: &TenantId) -> Result<Response, Error> {
        {
            let _one = self.reading.lock().await;
            self.with_index(Index::clear).await?;
        }
        self.catch_up(tenant).await?;
        self.flush().await?;
        self.report(tenant).await
    }

    async fn report(&self, tenant: &TenantId) -> Result<Response, Error> {
        self.catch_up(tenant).await?;
        let mut report = Report::default();
        for row in self.all(tenant).await? {
            let states = report.memories.entry(row.is.as_str().to_owned()).or_default();
            *states.entry(row.state.as_str().to_owned()).or_default() += 1;
        }
        let of = tenant.clone();
        (report.indexed, report.embedder, report.position) = self
            .with_index(move |index| {
                let position = i64::try_from(index.mark(&of)).unwrap_or(i64::MAX);
                Ok((index.len(), index.embedder().version().to_owned(), position))
            })
            .await?;
        Ok(Response::Report(report))
    }

    /// A memory that is not forgotten.
    pub(crate) async fn row(
        &self,
        tenant: &TenantId,
        id: &charter::ids::MemoryId,
    ) -> Result<Option<MemoryRow>, Error> {
        match self.ledger.record::<MemoryRow>(tenant, id).await {
            Ok(row) => Ok(Some(row).filter(|row| row.state != MemoryState::Forgotten)),
            Err(LedgerError::NotFound(_)) => Ok(None),
            Err(source) => Err(Error::Ledger { operation: "look a memory up", source }),
        }
    }

    /// A text; `None`: it is forgotten.
    pub(crate) async fn text(
        &self,
        tenant: &TenantId,
        reference: &ContentRef,
    ) -> Result<Option<String>, Error> {
        match self.ledger.content(tenant, &reference.id).await {
            Ok(content) => Ok(Some(content.text())),
            Err(LedgerError::NotFound(_)) => Ok(None),
            Err(source) => Err(Error::Ledger { operation: "read a text", source }),
        }
    }

    /// Every memory of a tenant, oldest first.
    pub(crate) async fn all(&self, tenant: &TenantId) -> Result<Vec<MemoryRow>, Error> {
        let mut all: Vec<MemoryRow> = Vec::new();
        loop {
            let query = Query::Records {
                kind: RecordKind::Memory,
                parent: None,
                state: None,
                after: all.last().map(|row| row.id.to_string()),
                newest: false,
                limit: PAGE,
            };
            let failed = Error::ledger("list memories");
            let page: Vec<MemoryRow> = self.ledger.records(tenant, query).await.map_err(failed)?;
            let whole = page.len() == PAGE as usize;
            all.extend(page);
            if !whole {
                return Ok(all);
            }
        }
    }

    /// Commits events of the tenant's memory stream.
    pub(crate) async fn commit(
        &self,
        tenant: &TenantId,
        events: Vec<Remembered>,
        contents: Vec<charter::content::Content>,
    ) -> Result<(), Error> {
        let at = self.clock.now();
        let stream = StreamId::memory();
        let transition = Transition {
            id: TransitionId::new(at, self.entropy.as_ref()),
            tenant: tenant.clone(),
            at,
            fence: None,
            lease: LeaseChange::Keep,
            term: None,
            events: events.into_iter().map(|e| (stream.clone(), Event::Remembered(e))).collect(),
            contents,
        };
        let committed = self.ledger.commit(transition).await;
        committed.map(|_| ()).map_err(Error::ledger("keep a memory"))
    }
}

fn position(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

/// The way to the Librarian, from whichever process.
#[async_trait]
pub trait Ask: Send + Sync {
    /// Asks.
    async fn ask(&self, request: Request) -> Result<Response, Refusal>;
}
