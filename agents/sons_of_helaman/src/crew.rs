//! The workers of one process: one for each tenant whose steps it is rung for.

use crate::lease::LeaseKeeper;
use crate::worker::{Ports, Settings, WorkError, Worked, Worker};
use charter::ids::TenantId;
use charter::ports::Ring;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Workers that are kept; one that is gone is made again when it is needed.
const KEPT_MAX: usize = 1_000;

/// Answers rings of every tenant.
pub struct Crew {
    ports: Ports,
    settings: Settings,
    keeper: Arc<dyn LeaseKeeper>,
    workers: Mutex<BTreeMap<TenantId, Arc<Worker>>>,
}

impl Crew {
    /// A crew; whose steps it works on is told by each ring.
    pub fn new(ports: Ports, settings: Settings, keeper: Arc<dyn LeaseKeeper>) -> Self {
        Self { ports, settings, keeper, workers: Mutex::default() }
    }

    /// Answers one ring, as [`Worker::work`] does. A step that is not this tenant's is
    /// not found, and the ring is ignored.
    pub async fn work(&self, ring: &Ring) -> Result<Worked, WorkError> {
        self.worker(&ring.tenant).work(&ring.step).await
    }

    fn worker(&self, tenant: &TenantId) -> Arc<Worker> {
        // Nothing that holds the lock can leave the table half changed.
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get(tenant) {
            return Arc::clone(worker);
        }
        if workers.len() >= KEPT_MAX {
            workers.clear();
        }
        let settings = Settings { tenant: tenant.clone(), ..self.settings.clone() };
        let keeper = Arc::clone(&self.keeper);
        let worker = Arc::new(Worker::new(self.ports.clone(), settings, keeper));
        workers.insert(tenant.clone(), Arc::clone(&worker));
        worker
    }
}
