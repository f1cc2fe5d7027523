//! `alma bench queue --protocol`: how many jobs worker processes carry out per second,
//! and how long a job waits at an idle queue.

use super::child::{BenchError, Durability, Stage, Worker, pause};
use super::measure::{Figures, Samples, rss_mb};
use super::{Progress, WORKERS_MAX, at_rest, many_file};
use serde_json::json;
use std::time::Duration;

/// Jobs of one mission.
const PER_MISSION: u32 = 10_000;
/// Single submissions.
const SINGLES: u32 = 120;
/// Single submissions before the ones that count.
const WARM_UP: u32 = 5;
/// Pause between two submissions: the queue is idle again.
const APART: Duration = Duration::from_millis(120);
/// How long everything may take to end.
const REST: Duration = Duration::from_secs(1_800);

/// What is to be carried.
pub(super) struct Load {
    pub(super) jobs: u32,
    /// Worker processes.
    pub(super) workers: u32,
    /// Steps that each works on at the same time, if not as configured.
    pub(super) concurrency: Option<u32>,
}

/// Measures.
pub(super) fn run(
    stage: &Stage,
    load: &Load,
    progress: &mut Progress,
) -> Result<(Figures, Durability), BenchError> {
    let Load { jobs, workers, concurrency } = *load;
    if !(1..=WORKERS_MAX).contains(&workers) {
        return Err(BenchError::Usage(format!("--workers: expected 1 to {WORKERS_MAX}")));
    }
    let jobs = jobs.max(1);
    let settings = stage.json(&["config", "show"])?;
    // They wait on the queue before anybody is there to take them.
    let mut missions = Vec::new();
    let mut left = jobs;
    while left > 0 {
        let now = left.min(PER_MISSION);
        let file = many_file(stage, "jobs", now)?;
        missions.push(stage.submit(&file, stage.workspace())?);
        left -= now;
    }
    progress.say("taking jobs");
    let mut processes: Vec<Worker> = Vec::new();
    for _ in 0..workers {
        processes.push(stage.worker(concurrency)?);
    }
    let mut durability = None;
    for process in &mut processes {
        if !process.begun()?["durability"].is_null() {
            durability = Some(process.durability()?);
        }
    }
    let durability = durability
        .ok_or_else(|| BenchError::Wrong("none of the workers is the owner".to_owned()))?;
    at_rest(stage, progress, REST)?;
    let mut span: Option<(i64, i64)> = None;
    for mission in &missions {
        let record = stage.record(mission)?;
        let (first, last) = record
            .instances()
            .ok_or_else(|| BenchError::Wrong(format!("{mission} took no job")))?;
        if record.unfinished() > 0 {
            return Err(BenchError::Wrong(format!("{mission} left jobs undone")));
        }
        span = Some(span.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
    }
    let mut figures = Figures::default();
    figures.set("runs", 1);
    figures.set("n", jobs);
    figures.set("workers", workers);
    let configured = settings["config"]["worker"]["concurrency"].clone();
    figures.set("concurrency", concurrency.map_or(configured, |n| json!(n)));
    figures.set("mode", settings["mode"].clone());
    figures.set("protocol", true);
    if let Some((first, last)) = span.filter(|(first, last)| last > first) {
        let seconds = (last - first) as f64 / 1_000.0;
        figures.number("jobs_per_second", Some(f64::from(jobs) / seconds));
    }
    let starts = singles(stage, progress)?;
    figures.set("singles", starts.len());
    figures.number("start_p50_ms", starts.percentile(50));
    figures.number("start_p99_ms", starts.percentile(99));
    let rss: Option<f64> = processes.iter().map(|process| rss_mb(process.pid())).sum();
    figures.number("workers_rss_mb", rss);
    for process in &mut processes {
        process.kill()?;
    }
    figures.note(
        "a job is an instance of a for_each step under the whole effect protocol: claim, intent \
         with permit, call, check, receipt",
    );
    figures.note(
        "jobs_per_second: from the first claim to the last receipt, as the record dates them",
    );
    figures.note("start: from a single submission to an idle queue until its step is claimed");
    Ok((figures, durability))
}

/// Missions of one step, each submitted when the one before is long over.
fn singles(stage: &Stage, progress: &mut Progress) -> Result<Samples, BenchError> {
    let file = stage.mission_file(
        "single",
        &json!({
            "goal": "measure a start",
            "steps": [{ "tool": "compose", "args": { "text": "go" } }],
        }),
    )?;
    let mut missions = Vec::new();
    for n in 0..SINGLES + WARM_UP {
        progress.tell(|| format!("single submission {n} of {SINGLES}"));
        missions.push(stage.submit(&file, stage.workspace())?);
        pause(APART)?;
    }
    at_rest(stage, progress, REST)?;
    let mut starts = Samples::default();
    let mut busy_until = 0;
    for (n, mission) in missions.iter().enumerate() {
        progress.tell(|| format!("reading record {n} of {}", missions.len()));
        let record = stage.record(mission)?;
        let (Some(submitted), Some(claimed), Some((_, ended))) =
            (record.submitted_at(), record.first_claim_at(), record.ended())
        else {
            return Err(BenchError::Wrong(format!("{mission} has not ended")));
        };
        // Behind a late one the queue was not idle.
        if n >= WARM_UP as usize && submitted > busy_until {
            starts.push((claimed - submitted) as f64);
        }
        busy_until = ended;
    }
    if starts.len() < 100 {
        return Err(BenchError::Wrong(format!(
            "the queue was idle at only {} of {SINGLES} submissions: the machine is too busy",
            starts.len()
        )));
    }
    Ok(starts)
}
