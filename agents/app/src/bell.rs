//! The queue as configured: a file in the data folder, or a Redis.

use alma::operations::doctor::{Finding, Level};
use anyhow::Context;
use charter::ports::{DoorbellError, Entropy};
use ledger::household::{Household, Role};
use queue::{Queue, RedisAddress, RedisQueue, SqliteDoorbell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use surfaces::http::Dependency;
use tokio::sync::watch;

/// Where the queue is.
#[derive(Clone)]
pub(crate) enum Bell {
    /// `queue.db`, made by the process that holds the data folder.
    File(PathBuf),
    /// A server, shared with every process of the installation.
    Redis(Arc<RedisQueue>),
}

impl Bell {
    /// The file, or the Redis at `url` under the name of the installation.
    pub(crate) fn open(
        home: &Path,
        url: Option<&str>,
        installation: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let Some(url) = url else { return Ok(Self::File(home.join("queue.db"))) };
        let address: RedisAddress = url.parse().context("queue.url cannot be used")?;
        Ok(Self::Redis(Arc::new(RedisQueue::new(address, &installation()?)?)))
    }

    /// For the relay.
    pub(crate) async fn for_relay(&self) -> Result<Arc<dyn Queue>, DoorbellError> {
        Ok(match self {
            Self::File(path) => Arc::new(SqliteDoorbell::open(path).await?),
            Self::Redis(queue) => Arc::clone(queue) as _,
        })
    }

    /// For workers.
    pub(crate) fn for_workers(&self) -> Arc<dyn Queue> {
        match self {
            Self::File(path) => Arc::new(SqliteDoorbell::attach(path)),
            Self::Redis(queue) => Arc::clone(queue) as _,
        }
    }

    /// Changes whenever steps were put on the queue.
    pub(crate) fn wakes(
        &self,
        household: &Household,
        entropy: &Arc<dyn Entropy>,
    ) -> watch::Receiver<u64> {
        match self {
            Self::File(_) => household.rings(),
            Self::Redis(queue) => queue.wakes(Arc::clone(entropy)),
        }
    }

    /// What `alma doctor` says of it, where it is on a server.
    pub(crate) async fn findings(&self) -> Vec<Finding> {
        let Self::Redis(queue) = self else { return Vec::new() };
        let finding = |found: queue::Finding| Finding {
            what: "queue".to_owned(),
            level: match found.level {
                queue::Level::Good => Level::Good,
                queue::Level::Notice => Level::Notice,
                queue::Level::Bad => Level::Bad,
            },
            detail: found.detail,
            fix: None,
        };
        queue.check().await.into_iter().map(finding).collect()
    }

    /// What `/ready` says of it. `relaying`: whether the relay of this process still
    /// runs.
    pub(crate) fn dependency(&self, role: Role, relaying: bool) -> Dependency {
        let relay = match role {
            Role::Owner if !relaying => "the relay ended",
            Role::Owner => "relayed by this process",
            _ => "relayed by the process that holds the data folder",
        };
        let (there, place) = match self {
            Self::File(path) => (path.exists(), String::new()),
            Self::Redis(queue) => {
                let breaker = queue.breaker();
                let circuit = breaker.circuit().as_str();
                let closed = breaker.failures() == 0;
                (closed, format!("{} ({circuit}); ", queue.address()))
            }
        };
        Dependency { name: "queue", ready: there && relaying, detail: format!("{place}{relay}") }
    }
}
