//! `alma bench mission`: what a mission costs beyond its tools.

use super::child::{BenchError, Durability, Stage, Worker, pause};
use super::measure::{Figures, Samples, rss_mb, sync_ms};
use super::{Progress, WORKERS_MAX, at_rest, many_file};
use charter::ids::MissionId;
use charter::plan::ITEMS_MAX;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Steps that a mission file may have.
const STEPS_MAX: u32 = 200;
/// Missions before the ones that count.
const WARM_UP: u32 = 3;
/// Pause after a mission was submitted: it ends undisturbed by the next command.
const ALONE: Duration = Duration::from_millis(150);
/// Instances whose throughput is measured, per step and run.
const THROUGHPUT_MAX: u32 = 2_000;
/// How long everything may take to end.
const REST: Duration = Duration::from_secs(600);

/// Measures.
pub(super) fn run(
    stage: &Stage,
    (steps, runs, workers): (u32, u32, u32),
    progress: &mut Progress,
) -> Result<(Figures, Durability), BenchError> {
    if !(1..=ITEMS_MAX).contains(&steps) {
        return Err(BenchError::Usage(format!("--steps: expected 1 to {ITEMS_MAX}")));
    }
    if steps > STEPS_MAX {
        return large(stage, steps, workers, progress);
    }
    let mut worker = stage.worker(None)?;
    let durability = worker.durability()?;
    let syncs = sync_ms(stage.root())?;
    let file = stage.mission_file("chain", &chain(steps))?;
    let mut overheads = Samples::default();
    let mut first_steps = Samples::default();
    let mut missions: Vec<MissionId> = Vec::new();
    for n in 0..runs.max(1) + WARM_UP {
        progress.tell(|| format!("mission {n} of {runs}"));
        missions.push(stage.submit(&file, stage.workspace())?);
        pause(ALONE)?;
    }
    at_rest(stage, progress, REST)?;
    for mission in missions.iter().skip(WARM_UP as usize) {
        let record = stage.record(mission)?;
        let (Some(submitted), Some(first), Some((state, ended))) =
            (record.submitted_at(), record.first_claim_at(), record.ended())
        else {
            return Err(BenchError::Wrong(format!("{mission} has not ended")));
        };
        if state != charter::rows::MissionState::Done {
            return Err(BenchError::Wrong(format!("{mission} is {state} instead of done")));
        }
        overheads.push((ended - submitted) as f64);
        first_steps.push((first - submitted) as f64);
    }
    let mut figures = Figures::default();
    figures.set("runs", overheads.len());
    figures.set("steps", steps);
    figures.number("overhead_p50_ms", overheads.percentile(50));
    figures.number("overhead_p99_ms", overheads.percentile(99));
    figures.number("first_step_p50_ms", first_steps.percentile(50));
    figures.number("first_step_p99_ms", first_steps.percentile(99));
    progress.say("measuring throughput");
    let instances = steps.saturating_mul(runs).clamp(1, THROUGHPUT_MAX);
    let file = many_file(stage, "many", instances)?;
    let many = stage.submit(&file, stage.workspace())?;
    at_rest(stage, progress, REST)?;
    let record = stage.record(&many)?;
    if let Some((first, last)) = record.instances().filter(|(first, last)| last > first) {
        let seconds = (last - first) as f64 / 1_000.0;
        figures.number("steps_per_second", Some(f64::from(instances) / seconds));
        figures.set("n", instances);
    }
    figures.number("sync_p50_ms", syncs.percentile(50));
    worker.kill()?;
    figures.note(
        "overhead: from the submission to the report, as the record dates them; the steps are \
         chained calls of `compose` on one line, whose own time is not taken off",
    );
    figures.note(
        "the record dates a change before it is on disk: the last commit is not in the figure, \
         the submission's is",
    );
    figures.note("first_step: from the submission to the claim of the first step");
    figures.note("steps_per_second: n instances of one for_each step, in one worker process");
    figures.note("sync_p50_ms: what this disk takes to make 4 KiB durable");
    Ok((figures, durability))
}

/// One mission of very many steps: instances of one step, spread over worker processes
/// whose memory is looked at while they run.
fn large(
    stage: &Stage,
    steps: u32,
    workers: u32,
    progress: &mut Progress,
) -> Result<(Figures, Durability), BenchError> {
    if !(1..=WORKERS_MAX).contains(&workers) {
        return Err(BenchError::Usage(format!("--workers: expected 1 to {WORKERS_MAX}")));
    }
    let mut processes = Vec::new();
    let mut durability = None;
    for _ in 0..workers {
        let mut process = stage.worker(None)?;
        if !process.begun()?["durability"].is_null() {
            durability = Some(process.durability()?);
        }
        processes.push(process);
    }
    let durability = durability
        .ok_or_else(|| BenchError::Wrong("none of the workers is the owner".to_owned()))?;
    let idle = most_rss(&processes);
    let file = many_file(stage, "large", steps)?;
    let mission = stage.submit(&file, stage.workspace())?;
    let (began, mut seen) = (Instant::now(), Vec::new());
    progress.wait("the mission to end", REST, || {
        seen.push(most_rss(&processes).unwrap_or(0.0));
        let document = stage.json(&["mission", "list", "--state", "running", "--limit", "1"])?;
        Ok(document["missions"].as_array().is_none_or(Vec::is_empty))
    })?;
    let took = began.elapsed();
    let record = stage.record(&mission)?;
    let Some((first, last)) = record.instances() else {
        return Err(BenchError::Wrong(format!("{mission} took no step")));
    };
    if record.unfinished() > 0 {
        return Err(BenchError::Wrong(format!("{mission} left steps undone")));
    }
    let mut figures = Figures::default();
    figures.set("runs", 1);
    figures.set("n", steps);
    figures.set("workers", workers);
    let seconds = (last - first).max(1) as f64 / 1_000.0;
    figures.number("steps_per_second", Some(f64::from(steps) / seconds));
    figures.number("whole_seconds", Some(took.as_secs_f64()));
    figures.number("idle_rss_mb", idle);
    // The largest of the first and of the last third of the looks.
    let third = (seen.len() / 3).max(1);
    let most = |of: &[f64]| of.iter().copied().reduce(f64::max);
    figures.number("early_rss_mb", seen.get(..third.min(seen.len())).and_then(most));
    figures.number("late_rss_mb", seen.get(seen.len().saturating_sub(third)..).and_then(most));
    figures.number("peak_rss_mb", most(&seen));
    for process in &mut processes {
        process.kill()?;
    }
    figures.note(
        "n instances of one for_each step; steps_per_second: from the first claim to the last \
         receipt, as the record dates them; whole_seconds: with laying them down, gathering and \
         the report",
    );
    figures.note("rss: of the largest worker process, looked at twice a second");
    Ok((figures, durability))
}

/// Memory of the largest of the processes.
fn most_rss(processes: &[Worker]) -> Option<f64> {
    processes.iter().filter_map(|process| rss_mb(process.pid())).reduce(f64::max)
}

/// A mission whose steps wait for each other.
pub(super) fn chain(steps: u32) -> Value {
    let steps: Vec<Value> = (1..=steps)
        .map(|n| {
            let text = if n == 1 { "begin".to_owned() } else { format!("${{{}.text}}", n - 1) };
            json!({ "title": format!("Step {n}"), "tool": "compose", "args": { "text": text } })
        })
        .collect();
    json!({ "goal": "measure a mission", "steps": steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_waits_for_the_one_before() {
        let plan = chain(3);
        assert_eq!(plan["steps"].as_array().map(Vec::len), Some(3));
        assert_eq!(plan["steps"][0]["args"]["text"], "begin");
        assert_eq!(plan["steps"][2]["args"]["text"], "${2.text}");
    }
}
