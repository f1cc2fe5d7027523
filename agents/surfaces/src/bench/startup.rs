//! `alma bench startup`: how long the program takes to begin, empty-handed and on
//! a folder with a history.

use super::child::{BenchError, Durability, Ran, Stage, pause};
use super::measure::{Figures, Samples, rss_mb};
use super::recall;
use super::{Progress, at_rest, many_file};
use std::time::Duration;

/// Runs of a command before the ones that count: the files are in memory then.
const WARM_UP: u32 = 2;
/// Instances of one mission that fills a folder.
const ITEMS_MAX: u32 = 1_000;
/// Events of one instance that only thinks: claimed, intended, received, finished.
const EVENTS_PER_ITEM: u32 = 4;
/// Missions beyond the number asked for, to reach the events asked for.
const EXTRA_MAX: u32 = 100_000;
/// Steps that the filling worker works on at the same time.
const FILLERS: u32 = 16;
/// How long an idle worker is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(2);
/// How long all missions may take to end.
const FILL_TIME: Duration = Duration::from_secs(3_600);

/// What the folder holds when it is measured.
pub(super) struct History {
    /// Missions.
    pub(super) missions: u32,
    /// Events of missions, at least.
    pub(super) events: u32,
    /// Memories.
    pub(super) memories: u32,
}

/// Measures.
pub(super) fn run(
    stage: &Stage,
    history: &History,
    runs: u32,
    progress: &mut Progress,
) -> Result<(Figures, Durability), BenchError> {
    let mut figures = Figures::default();
    figures.set("runs", runs);
    let version = repeat(runs, || stage.run(&["--version"]))?;
    figures.number("version_ms", version.percentile(50));
    figures.number("version_p99_ms", version.percentile(99));
    if history.missions > 0 || history.events > 0 {
        fill(stage, history.missions, history.events, progress)?;
    }
    if history.memories > 0 {
        recall::fill(stage, history.memories, progress)?;
        let recall = repeat(runs, || checked(stage, &["recall", &recall::question(0), "--json"]))?;
        figures.number("recall_ms", recall.percentile(50));
        figures.number("recall_p99_ms", recall.percentile(99));
        figures.set("memories", history.memories);
        figures
            .note("recall_ms: `alma recall` without an owner, from spawning it until it is gone");
    }
    progress.say("measuring the start");
    // The first one also makes the folder, or tidies up after a killed worker.
    let start = repeat(runs, || checked(stage, &["config", "show", "--json"]))?;
    figures.number("start_ms", start.percentile(50));
    figures.number("start_p99_ms", start.percentile(99));

    let mut worker = stage.worker(None)?;
    let durability = worker.durability()?;
    pause(IDLE)?;
    figures.number("idle_rss_mb", rss_mb(worker.pid()));
    let list = repeat(runs, || checked(stage, &["mission", "list", "--json"]))?;
    figures.number("list_ms", list.percentile(50));
    figures.number("list_p99_ms", list.percentile(99));
    worker.kill()?;

    progress.say("verifying the ledger");
    // Its file is tidied up first, so that the audit reads what an ended Alma leaves.
    checked(stage, &["config", "show", "--json"])?;
    let report = stage.json(&["audit", "verify"])?;
    let clean = report["findings"].as_array().is_some_and(Vec::is_empty);
    if !clean {
        return Err(BenchError::Wrong(format!("the ledger is not intact: {}", report["findings"])));
    }
    for key in ["events", "verify_ms", "rebuild_ms"] {
        figures.set(key, report[key].clone());
    }
    figures.set("missions", count(stage)?);
    let size = std::fs::metadata(stage.home().join("ledger.db")).map(|found| found.len());
    figures.number("ledger_mb", size.ok().map(|bytes| bytes as f64 / f64::from(1 << 20)));
    figures.note("version_ms: `alma --version`, from spawning the process until it is gone");
    figures.note("start_ms: `alma config show` without an owner: opens and closes the ledger");
    figures
        .note("list_ms: `alma mission list` (50 missions) beside an idle worker that is the owner");
    figures.note("idle_rss_mb: resident memory of that worker");
    Ok((figures, durability))
}

fn checked(stage: &Stage, arguments: &[&str]) -> Result<Ran, BenchError> {
    let ran = stage.run(arguments)?;
    // An empty list ends with 1 and is no failure.
    if matches!(ran.status.code(), Some(0 | 1)) && ran.stderr.is_empty() {
        return Ok(ran);
    }
    Err(BenchError::Child {
        command: arguments.join(" "),
        status: ran.status,
        said: ran.stderr.trim().to_owned(),
    })
}

fn repeat(
    runs: u32,
    mut command: impl FnMut() -> Result<Ran, BenchError>,
) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    for _ in 0..WARM_UP {
        command()?;
    }
    for _ in 0..runs.max(1) {
        samples.push_ms(command()?.took);
    }
    Ok(samples)
}

/// Instances that each mission needs so that `missions` of them leave `events`.
fn items(missions: u32, events: u32) -> u32 {
    let each = events / missions.max(1);
    // A mission without instances leaves about twenty events.
    (each.saturating_sub(20) / EVENTS_PER_ITEM).clamp(1, ITEMS_MAX)
}

/// Fills the folder by the ordinary way: missions that are carried out.
fn fill(
    stage: &Stage,
    missions: u32,
    events: u32,
    progress: &mut Progress,
) -> Result<(), BenchError> {
    let per_mission = items(missions, events);
    let file = many_file(stage, "fill", per_mission)?;
    let mut worker = stage.worker(Some(FILLERS))?;
    worker.begun()?;
    let first = stage.submit(&file, stage.workspace())?;
    progress.wait("the first mission to end", FILL_TIME, || {
        Ok(stage.record(&first)?.ended().is_some())
    })?;
    let each = u32::try_from(stage.record(&first)?.len()).unwrap_or(u32::MAX).max(1);
    let wanted = missions.max(events.div_ceil(each));
    if wanted > missions.saturating_add(EXTRA_MAX) {
        return Err(BenchError::Usage(format!(
            "{events} events would take {wanted} missions; ask for fewer"
        )));
    }
    for n in 1..wanted {
        progress.tell(|| format!("submitted {n} of {wanted} missions"));
        stage.submit(&file, stage.workspace())?;
    }
    at_rest(stage, progress, FILL_TIME)?;
    worker.kill()?;
    Ok(())
}

/// Missions in the folder.
fn count(stage: &Stage) -> Result<usize, BenchError> {
    let document = stage.json(&["mission", "list", "--limit", "10000"])?;
    Ok(document["missions"].as_array().map_or(0, Vec::len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(missions: u32, events: u32, expected: u32) {
        assert_eq!(items(missions, events), expected);
    }

    #[test]
    fn missions_are_as_long_as_the_events_need() {
        check(1_000, 100_000, 20);
        check(1_000, 0, 1);
        check(0, 100, 20);
        check(1, 1_000_000, ITEMS_MAX);
    }
}
