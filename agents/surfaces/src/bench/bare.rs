//! The queue by itself: names of steps are put on it, worker processes take them and do
//! nothing. No ledger, no claim, no proof; it says how much of the protocol's cost is
//! the queue's.
//!
//! A worker process is this same program (`alma bench carry`), because what crosses
//! processes is what is measured.

use super::child::{BenchError, Durability, Stage};
use super::measure::Figures;
use super::{Progress, WORKERS_MAX};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Child, Output};

/// A queue of its own for one measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A Redis, under this name of an installation.
    Redis(String, String),
}

/// What one process took, and when it began the first and ended the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Jobs.
    pub jobs: u64,
    /// Microseconds since 1970.
    pub first_us: u64,
    /// Likewise.
    pub last_us: u64,
}

/// The queue as the measured program has it.
pub trait Bare {
    /// Puts so many jobs on the queue.
    fn fill(&self, place: &Place, jobs: u32) -> Result<(), String>;

    /// Takes jobs, so many at a time, until none is left.
    fn carry(&self, place: &Place, concurrency: u32) -> Result<Carried, String>;
}

fn failed(operation: &str) -> impl Fn(String) -> BenchError + '_ {
    move |cause| BenchError::Io {
        operation: operation.to_owned(),
        source: std::io::Error::other(cause),
    }
}

/// One worker process: says on standard output what it carried.
pub(super) fn carry(bare: &dyn Bare, place: &Place, concurrency: u32) -> Result<(), BenchError> {
    let carried = bare.carry(place, concurrency).map_err(failed("take jobs"))?;
    println!("{}", serde_json::json!(carried));
    Ok(())
}

/// Measures.
pub(super) fn run(
    stage: &Stage,
    bare: &dyn Bare,
    redis: Option<&str>,
    (jobs, workers, concurrency): (u32, u32, u32),
    progress: &mut Progress,
) -> Result<(Figures, Durability), BenchError> {
    if !(1..=WORKERS_MAX).contains(&workers) {
        return Err(BenchError::Usage(format!("--workers: expected 1 to {WORKERS_MAX}")));
    }
    let jobs = jobs.max(1);
    let place = match redis {
        None => Place::File(stage.root().join("bare.db")),
        Some(url) => {
            // A name that no installation has drawn: its own queue goes with it.
            let name = format!("{:08x}{:08x}", std::process::id(), super::child::now() as u32);
            Place::Redis(url.to_owned(), name)
        }
    };
    progress.say("putting jobs on the queue");
    bare.fill(&place, jobs).map_err(failed("put jobs on the queue"))?;
    progress.say("taking jobs");
    let concurrency_text = concurrency.to_string();
    let mut arguments = vec!["bench", "carry", "--concurrency", &concurrency_text];
    let file;
    match &place {
        Place::File(path) => {
            file = path.to_string_lossy().into_owned();
            arguments.extend(["--file", &file]);
        }
        Place::Redis(url, name) => arguments.extend(["--redis", url, "--name", name]),
    }
    let started = || {
        stage.command(&arguments).spawn().map_err(|source| BenchError::Io {
            operation: "start a worker process".to_owned(),
            source,
        })
    };
    let processes = (0..workers).map(|_| started()).collect::<Result<Vec<Child>, _>>()?;
    let mut all: Option<Carried> = None;
    for process in processes {
        let output = process.wait_with_output().map_err(|source| BenchError::Io {
            operation: "wait for a worker process".to_owned(),
            source,
        })?;
        if let Some(one) = read(&output)? {
            all = Some(all.map_or(one, |all| together(all, one)));
        }
    }
    let all = all.filter(|all| all.jobs == u64::from(jobs)).ok_or_else(|| {
        BenchError::Wrong(format!("the workers took {} of {jobs} jobs", all.map_or(0, |a| a.jobs)))
    })?;
    let mut figures = Figures::default();
    figures.set("runs", 1);
    figures.set("n", jobs);
    figures.set("workers", workers);
    figures.set("concurrency", concurrency);
    figures.set("protocol", false);
    let seconds = all.last_us.saturating_sub(all.first_us) as f64 / 1_000_000.0;
    if seconds > 0.0 {
        figures.number("jobs_per_second", Some(f64::from(jobs) / seconds));
    }
    figures.note("a job is the name of a step that a worker process takes off the queue");
    figures.note("jobs_per_second: from the first job that is taken to the last, in all processes");
    figures.note("durability is the ledger's, which has no part in this figure");
    Ok((figures, stage.worker(None)?.durability()?))
}

/// What a process says it carried; `None`: it found nothing left.
fn read(output: &Output) -> Result<Option<Carried>, BenchError> {
    if !output.status.success() {
        return Err(BenchError::Child {
            command: "bench carry".to_owned(),
            status: output.status,
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    let carried: Carried = serde_json::from_slice(&output.stdout)
        .map_err(|source| BenchError::Document { command: "bench carry".to_owned(), source })?;
    Ok(Some(carried).filter(|carried| carried.jobs > 0))
}

fn together(one: Carried, other: Carried) -> Carried {
    Carried {
        jobs: one.jobs + other.jobs,
        first_us: one.first_us.min(other.first_us),
        last_us: one.last_us.max(other.last_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_measured_from_the_first_to_the_last() {
        let one = Carried { jobs: 3, first_us: 20, last_us: 30 };
        let other = Carried { jobs: 4, first_us: 10, last_us: 25 };
        assert_eq!(together(one, other), Carried { jobs: 7, first_us: 10, last_us: 30 });
    }
}
