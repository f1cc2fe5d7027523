//! How the process itself is: readiness and figures.

use super::App;
use super::metrics::{head, line};
use super::problem::Problem;
use charter::breaker::{Circuit, Health};
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

/// What only the wiring knows of the process.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What the process needs.
    pub dependencies: Vec<Dependency>,
    /// Figures; those of one name stand together.
    pub gauges: Vec<Gauge>,
}

/// A figure: one that only grows, if its name ends in `_total`, or one that goes up and
/// down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What it is of: name and value of a label, where there are several.
    pub label: Option<(&'static str, &'static str)>,
    /// The figure.
    pub value: u64,
}

impl Gauge {
    /// How a server answers: 0 as it should, 1 being tried, 2 left alone.
    pub fn circuit(server: &'static str, health: &Health) -> Self {
        Self {
            name: "alma_circuit",
            help: "How a server answers: 0 as it should, 1 being tried, 2 left alone.",
            label: Some(("server", server)),
            value: match health.circuit {
                Circuit::Closed => 0,
                Circuit::Probing => 1,
                Circuit::Open => 2,
            },
        }
    }
}

/// Figures of the wiring, as text.
fn gauges(text: &mut String, all: &[Gauge]) {
    let mut name = "";
    for gauge in all {
        if gauge.name != name {
            name = gauge.name;
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            head(text, name, kind, gauge.help);
        }
        let label = gauge.label.map(|(name, value)| format!("{name}=\"{value}\""));
        line(text, name, &label.unwrap_or_default(), gauge.value);
    }
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
    all.extend((app.probe)().dependencies);
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
    gauges(&mut text, &(app.probe)().gauges);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_name_stand_under_one_head() {
        let gauge = |lane, value| Gauge {
            name: "alma_lane_busy",
            help: "Steps that run here, by lane.",
            label: Some(("lane", lane)),
            value,
        };
        let mut text = String::new();
        gauges(&mut text, &[gauge("light", 3), gauge("exec", 0)]);
        assert_eq!(
            text,
            "# HELP alma_lane_busy Steps that run here, by lane.\n\
             # TYPE alma_lane_busy gauge\n\
             alma_lane_busy{lane=\"light\"} 3\n\
             alma_lane_busy{lane=\"exec\"} 0\n"
        );
    }
}
