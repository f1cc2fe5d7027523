//! The queue by itself, for `alma bench queue`: no ledger, no relay, no claim.

use crate::system::SystemEntropy;
use charter::flow::Lane;
use charter::ids::{MissionId, StepKey, TenantId};
use charter::ports::{Doorbell, Ring};
use queue::{Consumer, Queue, RedisQueue, SqliteDoorbell};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use surfaces::bench::{Bare, Carried, Place};
use surfaces::cli::exit::chain;
use tokio::sync::watch;

/// How often it is looked whether jobs are left.
const LOOK: Duration = Duration::from_millis(20);
/// Looks in a row that find none before a process has done its part.
const NONE_LEFT: u32 = 10;

/// The shipped queue.
pub(crate) struct BareQueue;

impl Bare for BareQueue {
    fn fill(&self, place: &Place, jobs: u32) -> Result<(), String> {
        blocking(async {
            let mission = MissionId::new(0, &SystemEntropy);
            let ring = |item: u32| Ring {
                tenant: TenantId::local(),
                step: StepKey::step(&mission, 1).instance(item),
                lane: Lane::Light,
                rank: item.into(),
            };
            let steps: Vec<Ring> = (1..=jobs).map(ring).collect();
            let rung = match place {
                Place::File(path) => {
                    let queue = SqliteDoorbell::open(path).await.map_err(|e| chain(&e))?;
                    queue.ring(&steps).await
                }
                Place::Redis(url, name) => redis(url, name)?.ring(&steps).await,
            };
            rung.map_err(|error| chain(&error))
        })
    }

    fn carry(&self, place: &Place, concurrency: u32) -> Result<Carried, String> {
        blocking(async {
            // Nobody rings while a file is emptied.
            let bell = watch::Sender::new(0);
            let (queue, wakes) = match place {
                Place::File(path) => {
                    let queue: Arc<dyn Queue> = Arc::new(SqliteDoorbell::attach(path));
                    (queue, bell.subscribe())
                }
                Place::Redis(url, name) => {
                    let queue = redis(url, name)?;
                    let wakes = queue.wakes(Arc::new(SystemEntropy));
                    (Arc::new(queue) as _, wakes)
                }
            };
            let counts = Arc::new(Counts::default());
            let counting = Arc::clone(&counts);
            let handler = move |_: Ring| {
                counting.one();
                std::future::ready(())
            };
            let concurrency = NonZeroUsize::new(concurrency as usize).unwrap_or(NonZeroUsize::MIN);
            let (stop, stopped) = watch::channel(false);
            let consumer = Consumer::new(Arc::clone(&queue), Lane::Light);
            let emptied = async {
                let mut none = 0;
                while none < NONE_LEFT {
                    tokio::time::sleep(LOOK).await;
                    let line = queue.line(Lane::Light).await.map_err(|error| chain(&error))?;
                    none = if line.waiting == 0 { none + 1 } else { 0 };
                }
                stop.send_replace(true);
                Ok::<(), String>(())
            };
            let carrying = consumer.run(handler, concurrency, wakes, stopped);
            let (emptied, _) = tokio::join!(emptied, carrying);
            emptied?;
            Ok(counts.carried())
        })
    }
}

fn redis(url: &str, name: &str) -> Result<RedisQueue, String> {
    let address = url.parse().map_err(|error: queue::AddressError| chain(&error))?;
    RedisQueue::new(address, name).map_err(|error| chain(&error))
}

fn blocking<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(work)
}

/// Jobs, and when the first and the last were taken, in microseconds since 1970.
#[derive(Default)]
struct Counts {
    jobs: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
}

impl Counts {
    fn one(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.jobs.fetch_add(1, Ordering::Relaxed);
        // Nothing else writes a zero, which stands for none yet.
        let _ = self.first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    fn carried(&self) -> Carried {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Carried { jobs: of(&self.jobs), first_us: of(&self.first), last_us: of(&self.last) }
    }
}
