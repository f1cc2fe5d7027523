//! How the process itself is: readiness and figures.

use super::App;
use super::metrics::{head, line};
use super::problem::Problem;
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::MissionState;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Longest wait for the ledger.
const LEDGER_TIME: Duration = Duration::from_secs(2);
/// Most rows that are counted.
const COUNTED_MAX: u32 = 10_000;
/// How long counts of missions are good.
pub(super) const COUNTS_GOOD: Duration = Duration::from_secs(2);
/// States in which missions are counted.
const STATES: [MissionState; 8] = [
    MissionState::Running,
    MissionState::Waiting,
    MissionState::Done,
    MissionState::Unverified,
    MissionState::Failed,
    MissionState::Refused,
    MissionState::Partial,
    MissionState::Cancelled,
];

/// Something that the process needs.
#[derive(Debug, Clone, Serialize)]
pub struct Dependency {
    /// What.
    pub name: &'static str,
    /// Whether it is there.
    pub ready: bool,
    /// In words.
    pub detail: String,
}

/// Everything that the process needs, and whether it is there.
pub(super) async fn dependencies(app: &App) -> Vec<Dependency> {
    let asking = app.alma.ports.ledger.query(&app.principal.tenant, Query::Size);
    let ledger = match tokio::time::timeout(LEDGER_TIME, asking).await {
        Ok(Ok(_)) => (true, "answers".to_owned()),
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("no answer within {LEDGER_TIME:?}")),
    };
    let mut all = vec![Dependency { name: "ledger", ready: ledger.0, detail: ledger.1 }];
    all.push(work(app).await);
    all.extend((app.probe)());
    all
}

/// Whether work goes on. Also while it does not, this process answers, and takes what
/// is submitted.
async fn work(app: &App) -> Dependency {
    let asking = app.alma.ports.ledger.mode(&app.principal.tenant);
    let detail = match tokio::time::timeout(LEDGER_TIME, asking).await {
        Ok(Ok(mode)) => mode.notice().unwrap_or("goes on").to_owned(),
        Ok(Err(_)) | Err(_) => "cannot be told: the ledger does not answer".to_owned(),
    };
    Dependency { name: "work", ready: true, detail }
}

/// Figures of requests, streams, missions and the queue, as text.
pub(super) async fn metrics(app: &App) -> Result<String, Problem> {
    let mut text = app.metrics.text();
    let streams = app.hub.open(app.alma.config.http.streams);
    head(&mut text, "alma_http_streams", "gauge", "Event streams that are open.");
    line(&mut text, "alma_http_streams", "", streams);
    let mut kept = app.counts.lock().await;
    if kept.as_ref().is_none_or(|(at, _)| at.elapsed() > COUNTS_GOOD) {
        *kept = Some((Instant::now(), count(app).await.map_err(alma::Error::from)?));
    }
    if let Some((_, counts)) = kept.as_ref() {
        text.push_str(counts);
    }
    Ok(text)
}

async fn count(app: &App) -> Result<String, charter::ports::LedgerError> {
    let ask = |query| app.alma.ports.ledger.query(&app.principal.tenant, query);
    let mut text = String::new();
    head(&mut text, "alma_missions", "gauge", "Missions by state, up to 10000 of each.");
    for state in STATES {
        let query =
            Query::Missions { state: Some(state), same: None, before: None, limit: COUNTED_MAX };
        if let Rows::Missions(rows) = ask(query).await? {
            line(&mut text, "alma_missions", &format!("state=\"{state}\""), rows.len());
        }
    }
    let now = app.alma.ports.clock.now();
    if let Rows::Steps(rows) = ask(Query::ReadySteps { now, limit: COUNTED_MAX }).await? {
        head(&mut text, "alma_queue_depth", "gauge", "Steps that are ready and not taken.");
        line(&mut text, "alma_queue_depth", "", rows.len());
    }
    if let Rows::Leases(rows) = ask(Query::Leases).await? {
        head(&mut text, "alma_steps_running", "gauge", "Steps that a worker has.");
        line(&mut text, "alma_steps_running", "", rows.len());
    }
    if let Rows::Size(size) = ask(Query::Size).await? {
        head(&mut text, "alma_events_total", "counter", "Events in the ledger.");
        line(&mut text, "alma_events_total", "", size.events);
    }
    Ok(text)
}
