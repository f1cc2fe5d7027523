//! The queue as configured: a file in the data folder, or a Redis.

use alma::degraded::Degraded;
use alma::operations::doctor::{Finding, Level};
use anyhow::Context;
use charter::ids::Millis;
use charter::ports::{DoorbellError, Entropy};
use ledger::household::{Household, Role};
use queue::{Fallback, Queue, RedisAddress, RedisEvents, RedisQueue, RelayStatus, SqliteDoorbell};
use sons_of_helaman::Ports;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use surfaces::http::{Dependency, Gauge};
use tokio::sync::watch;

/// Where the queue is.
#[derive(Clone)]
enum Place {
    /// `queue.db`, made by the process that holds the data folder.
    File(PathBuf),
    /// A server, shared with every process of the installation.
    Redis(Arc<RedisQueue>),
}

/// The queue, and how its relay fares where this process relays.
#[derive(Clone)]
pub(crate) struct Bell {
    place: Place,
    /// The installation's name on a server.
    name: String,
    relay: Arc<watch::Sender<Option<watch::Receiver<RelayStatus>>>>,
}

impl Bell {
    /// The file, or the Redis at `url` under the name of the installation.
    pub(crate) fn open(
        home: &Path,
        url: Option<&str>,
        installation: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let (place, name) = match url {
            None => (Place::File(home.join("queue.db")), String::new()),
            Some(url) => {
                let address: RedisAddress = url.parse().context("queue.url cannot be used")?;
                let name = installation()?;
                (Place::Redis(Arc::new(RedisQueue::new(address, &name)?)), name)
            }
        };
        Ok(Self { place, name, relay: Arc::default() })
    }

    /// For the relay.
    pub(crate) async fn for_relay(&self) -> Result<Arc<dyn Queue>, DoorbellError> {
        Ok(match &self.place {
            Place::File(path) => Arc::new(SqliteDoorbell::open(path).await?),
            Place::Redis(queue) => Arc::clone(queue) as _,
        })
    }

    /// This process relays, and fares like this.
    pub(crate) fn is_relayed(&self, status: watch::Receiver<RelayStatus>) {
        self.relay.send_replace(Some(status));
    }

    /// For workers. They take steps off the record while a server is away.
    pub(crate) fn for_workers(&self, ports: &Ports) -> Arc<dyn Queue> {
        match &self.place {
            Place::File(path) => Arc::new(SqliteDoorbell::attach(path)),
            Place::Redis(queue) => {
                let Ports { ledger, clock, entropy, .. } = ports.clone();
                Arc::new(Fallback::new(Arc::clone(queue), ledger, clock, entropy))
            }
        }
    }

    /// Changes whenever steps were put on the queue.
    pub(crate) fn wakes(
        &self,
        household: &Household,
        entropy: &Arc<dyn Entropy>,
    ) -> watch::Receiver<u64> {
        match &self.place {
            Place::File(_) => household.rings(),
            Place::Redis(queue) => queue.wakes(Arc::clone(entropy)),
        }
    }

    /// The events on the same server, over a connection of their own.
    pub(crate) fn events(&self) -> Option<RedisEvents> {
        let Place::Redis(queue) = &self.place else { return None };
        match RedisEvents::new(queue.address().clone(), &self.name) {
            Ok(events) => Some(events),
            Err(error) => {
                // The queue has taken the same name.
                tracing::error!(%error, "events are read from the ledger alone");
                None
            }
        }
    }

    /// What `alma doctor` says of it, where it is on a server.
    pub(crate) async fn findings(&self) -> Vec<Finding> {
        let Place::Redis(queue) = &self.place else { return Vec::new() };
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

    /// What there is to say while a server is away.
    pub(crate) fn degraded(&self, now: Millis) -> Option<Degraded> {
        let Place::Redis(queue) = &self.place else { return None };
        let health = queue.health();
        (!health.is_closed()).then(|| Degraded {
            what: "the queue is away",
            why: health.why.unwrap_or_else(|| format!("{} does not answer", queue.address())),
            since: now.saturating_sub_unsigned(
                u64::try_from(health.lasting.as_millis()).unwrap_or_default(),
            ),
            works: "steps are taken from the record until it is back",
        })
    }

    /// What `/ready` says of it. `relaying`: whether the relay of this process still
    /// runs. A server that is away is no reason not to be asked: work goes on.
    pub(crate) fn dependency(&self, role: Role, relaying: bool) -> Dependency {
        let relay = match role {
            Role::Owner if !relaying => "the relay ended",
            Role::Owner => "relayed by this process",
            _ => "relayed by the process that holds the data folder",
        };
        let (there, place) = match &self.place {
            Place::File(path) => (path.exists(), String::new()),
            Place::Redis(queue) => {
                let circuit = queue.health().circuit.as_str();
                (true, format!("{} ({circuit}); ", queue.address()))
            }
        };
        Dependency { name: "queue", ready: there && relaying, detail: format!("{place}{relay}") }
    }

    /// Figures of the relay and of the server.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let mut all = Vec::new();
        let relay = self.relay.borrow().as_ref().map(|status| status.borrow().clone());
        if let Some(RelayStatus { lag_ms, waiting, ready, failures, .. }) = relay {
            let mut gauge = |name, help, value| all.push(Gauge { name, help, label: None, value });
            gauge(
                "alma_relay_lag_ms",
                "For how long due steps have waited to be put on the queue.",
                lag_ms,
            );
            gauge("alma_relay_ready", "Steps that were ready at the last sweep.", ready);
            gauge(
                "alma_relay_failures",
                "Rounds of the relay in a row that failed.",
                failures.into(),
            );
            all.extend(waiting.into_iter().map(|(lane, value)| Gauge {
                name: "alma_lane_waiting",
                help: "Steps on the queue, by lane.",
                label: Some(("lane", lane.as_str())),
                value,
            }));
        }
        if let Place::Redis(queue) = &self.place {
            all.push(Gauge::circuit("queue", &queue.health()));
        }
        all
    }
}
