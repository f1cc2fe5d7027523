//! Reading what is true: plans, outputs and steps, with a small cache of texts
//! that never change.

use crate::job::Stop;
use charter::content::{Content, ContentError, ContentRef};
use charter::ids::{ContentId, MissionId, StepKey, TenantId};
use charter::plan::Plan;
use charter::ports::{Ledger, LedgerError, LedgerExt, Query};
use charter::rows::StepRow;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Texts that are kept parsed.
const CACHE_MAX: usize = 16;
/// Rows read at a time.
const PAGE: u32 = 500;

type Cache<T> = Mutex<VecDeque<(ContentId, Arc<T>)>>;

/// Reads for one tenant.
pub(crate) struct View {
    ledger: Arc<dyn Ledger>,
    tenant: TenantId,
    plans: Cache<Plan>,
    values: Cache<Value>,
    texts: Cache<String>,
}

impl View {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, tenant: TenantId) -> Self {
        Self {
            ledger,
            tenant,
            plans: Cache::default(),
            values: Cache::default(),
            texts: Cache::default(),
        }
    }

    pub(crate) async fn plan(&self, reference: &ContentRef) -> Result<Arc<Plan>, Stop> {
        self.cached(&self.plans, reference, |content| content.json("a plan")).await
    }

    pub(crate) async fn value(&self, reference: &ContentRef) -> Result<Arc<Value>, Stop> {
        self.cached(&self.values, reference, |content| content.json("an output")).await
    }

    /// A text that is read once.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        reference: &ContentRef,
        what: &'static str,
    ) -> Result<T, Stop> {
        Ok(self.ledger.content(&self.tenant, &reference.id).await?.json(what)?)
    }

    pub(crate) async fn text(&self, reference: &ContentRef) -> Result<String, Stop> {
        Ok(self.ledger.content(&self.tenant, &reference.id).await?.text())
    }

    /// A text that is read again and again.
    pub(crate) async fn kept_text(&self, reference: &ContentRef) -> Result<Arc<String>, Stop> {
        self.cached(&self.texts, reference, |content| Ok(content.text())).await
    }

    async fn cached<T>(
        &self,
        cache: &Cache<T>,
        reference: &ContentRef,
        read: impl FnOnce(&Content) -> Result<T, ContentError>,
    ) -> Result<Arc<T>, Stop> {
        let found = lock(cache).iter().find(|(id, _)| *id == reference.id).map(|(_, v)| v.clone());
        if let Some(value) = found {
            return Ok(value);
        }
        let value = Arc::new(read(&self.ledger.content(&self.tenant, &reference.id).await?)?);
        let mut cache = lock(cache);
        if cache.len() >= CACHE_MAX {
            cache.pop_front();
        }
        cache.push_back((reference.id.clone(), Arc::clone(&value)));
        Ok(value)
    }

    /// The steps of a mission without instances and report, or the instances of
    /// one step, all of them.
    pub(crate) async fn steps(
        &self,
        mission: &MissionId,
        items_of: Option<u32>,
    ) -> Result<Vec<StepRow>, LedgerError> {
        let mut all: Vec<StepRow> = Vec::new();
        loop {
            let page = self
                .ledger
                .steps(
                    &self.tenant,
                    Query::Steps {
                        mission: mission.clone(),
                        state: None,
                        items_of,
                        after: all.last().map(|row| row.key.clone()),
                        limit: PAGE,
                    },
                )
                .await?;
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// Every step and instance that has not ended, the report excepted.
    pub(crate) async fn open_steps(
        &self,
        mission: &MissionId,
    ) -> Result<Vec<StepKey>, LedgerError> {
        let mut open = Vec::new();
        for step in self.steps(mission, None).await? {
            if step.items > 0 && !step.state.is_end() {
                let items = self.steps(mission, Some(step.key.n)).await?;
                open.extend(
                    items.into_iter().filter(|item| !item.state.is_end()).map(|item| item.key),
                );
            }
            if step.key.n > 0 && !step.state.is_end() {
                open.push(step.key);
            }
        }
        Ok(open)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
