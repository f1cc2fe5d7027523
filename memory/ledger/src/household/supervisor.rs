//! Finds this process its place and looks after it: takes the lock or attaches,
//! notices the end of an owner, and gives the folder back in order.

use super::client::Client;
use super::lock::OwnerLock;
use super::wire::News;
use super::{Desk, HouseholdError, OpenLedger, OpenedLedger, Role, address, server};
use charter::ports::Ledger;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Pause between two looks for an owner, doubled up to the second value.
pub(super) const SEEK: Duration = Duration::from_millis(5);
pub(super) const SEEK_MAX: Duration = Duration::from_millis(100);
/// Pause after an error that will not pass by itself.
const SEEK_AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long an owner that ends waits for calls under way.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long one wait for the newest position lasts.
const TIP_WAIT_MS: u64 = 30_000;
/// Pause after the ledger could not tell its newest position, or did not wait.
const TIP_REST: Duration = Duration::from_millis(500);

/// Where calls go at the moment.
#[derive(Clone)]
pub(super) enum Seat {
    Owner(Owned),
    Attached(Arc<Client>),
    /// With what went wrong last.
    Seeking(Option<String>),
    Closed,
}

/// What answers calls, and a sign that one is under way while a clone lives.
#[derive(Clone)]
pub(super) struct Owned {
    pub(super) desk: Desk,
    _busy: mpsc::Sender<()>,
}

/// What the household and its supervisor share.
pub(super) struct Shared {
    pub(super) home: PathBuf,
    pub(super) open: OpenLedger,
    pub(super) patience: Duration,
    pub(super) seat: watch::Sender<Seat>,
    pub(super) role: watch::Sender<Role>,
    pub(super) position: Arc<watch::Sender<i64>>,
    pub(super) rings: Arc<watch::Sender<u64>>,
}

/// The place a process has found, with what it must look after there.
pub(super) enum Post {
    Owner(Box<Office>, Owned),
    Attached(Arc<Client>),
}

/// What the owner holds.
pub(super) struct Office {
    opened: OpenedLedger,
    lock: OwnerLock,
    /// Says nothing, and ends when the last call has ended.
    calls: mpsc::Receiver<()>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    tip: JoinHandle<()>,
}

/// A post whose seat is taken.
pub(super) enum Duty {
    Owner(Box<Office>),
    Attached(Arc<Client>),
}

impl Shared {
    /// Tries once to become the owner, then to attach. `None`: nobody is there
    /// yet, try again.
    pub(super) async fn find_post(&self) -> Result<Option<Post>, HouseholdError> {
        if let Some(lock) = OwnerLock::try_take(&self.home)? {
            return self.take_office(lock).await.map(Some);
        }
        let (position, rings) = (Arc::clone(&self.position), Arc::clone(&self.rings));
        let known = Mutex::new(None);
        let news = move |news: News| {
            raise(&position, news.position);
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.replace(news.rings) != Some(news.rings) {
                rings.send_modify(|rings| *rings = rings.wrapping_add(1));
            }
        };
        let client = Client::attach(&self.home, news).await?;
        Ok(client.map(|client| Post::Attached(Arc::new(client))))
    }

    async fn take_office(&self, lock: OwnerLock) -> Result<Post, HouseholdError> {
        address::vacate(&self.home).await?;
        let opened = (self.open)().await?;
        let desk = opened.desk.clone();
        let ledger = Arc::clone(&desk.ledger);
        raise(&self.position, ledger.changed(i64::MIN, 0).await?);
        // Attaching processes find the socket only once there is a ledger to ask.
        let listener = address::listen(&self.home)?;
        let (busy, calls) = mpsc::channel(1);
        let stop = watch::Sender::new(false);
        let server = tokio::spawn(server::serve(
            listener,
            desk.clone(),
            self.position.subscribe(),
            self.rings.subscribe(),
            busy.clone(),
            stop.subscribe(),
        ));
        let tip = tokio::spawn(follow(Arc::clone(&ledger), Arc::clone(&self.position)));
        let office = Office { opened, lock, calls, stop, server, tip };
        Ok(Post::Owner(Box::new(office), Owned { desk, _busy: busy }))
    }

    pub(super) fn take_seat(&self, post: Post) -> Duty {
        let (seat, role, duty) = match post {
            Post::Owner(office, owned) => (Seat::Owner(owned), Role::Owner, Duty::Owner(office)),
            Post::Attached(client) => {
                (Seat::Attached(Arc::clone(&client)), Role::Attached, Duty::Attached(client))
            }
        };
        self.sit(seat, role);
        // Rings may have been missed in between.
        self.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
        duty
    }

    fn sit(&self, seat: Seat, role: Role) {
        self.seat.send_replace(seat);
        self.role.send_if_modified(|now| std::mem::replace(now, role) != role);
    }

    async fn seek(&self) -> Duty {
        let mut pause = SEEK;
        loop {
            match self.find_post().await {
                Ok(Some(post)) => return self.take_seat(post),
                Ok(None) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(SEEK_MAX);
                }
                Err(error) => {
                    let reason = with_cause(&error);
                    tracing::warn!(%reason, "the data folder has no owner that can be asked");
                    self.seat.send_replace(Seat::Seeking(Some(reason)));
                    tokio::time::sleep(SEEK_AFTER_ERROR).await;
                }
            }
        }
    }

    /// The order matters: nobody may open the files before they are closed.
    async fn leave_office(&self, office: Office) {
        let Office { opened, lock, mut calls, stop, server, tip } = office;
        self.sit(Seat::Closed, Role::Closed);
        stop.send_replace(true);
        for task in [server, tip] {
            task.abort();
            // An error says that it was stopped.
            let _ = task.await;
        }
        if tokio::time::timeout(CLOSE_TIME, calls.recv()).await.is_err() {
            tracing::warn!("calls to the ledger are still under way while it is closed");
        }
        drop(opened.desk);
        opened.close.await;
        address::remove(&self.home);
        drop(lock);
    }
}

pub(super) async fn supervise(
    shared: Arc<Shared>,
    mut duty: Duty,
    mut closing: watch::Receiver<bool>,
) {
    loop {
        match duty {
            Duty::Owner(office) => {
                closed(&mut closing).await;
                return shared.leave_office(*office).await;
            }
            Duty::Attached(client) => tokio::select! {
                () = client.closed() => {}
                () = closed(&mut closing) => return shared.sit(Seat::Closed, Role::Closed),
            },
        }
        shared.sit(Seat::Seeking(None), Role::Seeking);
        duty = tokio::select! {
            duty = shared.seek() => duty,
            () = closed(&mut closing) => return shared.sit(Seat::Closed, Role::Closed),
        };
    }
}

/// Waits until the household is to be closed or was dropped.
pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Passes on the newest position of the ledger for ever.
async fn follow(ledger: Arc<dyn Ledger>, position: Arc<watch::Sender<i64>>) {
    loop {
        let known = *position.borrow();
        let began = Instant::now();
        match ledger.changed(known, TIP_WAIT_MS).await {
            Ok(newest) if newest > known => raise(&position, newest),
            // The time was up, and nothing happened.
            Ok(_) if began.elapsed() >= TIP_REST => {}
            Ok(_) => tokio::time::sleep(TIP_REST).await,
            Err(error) => {
                tracing::warn!(%error, "the ledger does not tell its newest position");
                tokio::time::sleep(TIP_REST).await;
            }
        }
    }
}

pub(super) fn raise(position: &watch::Sender<i64>, newest: i64) {
    position.send_if_modified(|known| {
        let higher = newest > *known;
        *known = newest.max(*known);
        higher
    });
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
