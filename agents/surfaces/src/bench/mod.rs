//! `alma bench`: measures the product on this machine.
//!
//! Every bench runs the public operations: it starts this same program as other
//! processes, on a data folder and a workspace of their own, and reads times from
//! what they record. Nothing is measured that a user could not do.
//!
//! | bench | file |
//! |---|---|
//! | start of the program, of a ledger with a history | [`startup`] |
//! | a mission's own cost | [`mission`] |
//! | throughput and wake-up time of the queue | [`queue`]; by itself [`bare`] |
//! | what killed workers lose or do twice | [`kill`] |
//! | what is made of messages | [`route`] |
//! | what is made of wishes | [`plan`] |
//! | what is answered from notes | [`answer`] |
//! | what vectors of texts hold | [`embed`] |
//! | what is found in memory, and how fast | [`recall`] |
//! | how soon an event reaches who follows | [`stream`] |
//! | topics over points whose groups are known | [`cluster`] |
//! | language models: how fast they are, what their grammars accept | [`generate`] |
//!
//! [`cases`] reads messages with what is expected of them, [`child`] starts and stops
//! processes, [`record`] reads what they recorded, [`killing`] kills them, [`measure`] holds numbers and makes the document.

mod answer;
mod bare;
mod cases;
pub mod child;
mod cluster;
mod embed;
mod generate;
mod kill;
pub mod killing;
pub mod measure;
mod mission;
mod plan;
mod queue;
mod recall;
pub mod record;
mod route;
mod startup;
mod stream;

use crate::cli::Screen;
use crate::cli::args::BenchCommand;
use crate::cli::exit::{Exit, chain};
pub use bare::{Bare, Carried, Place};
use charter::reflex::Reflex;
use child::{BenchError, Durability, Stage, pause};
pub use cluster::Embedder;
pub use generate::{Load, Models};
pub use measure::Figures;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often progress is shown.
const TELL: Duration = Duration::from_secs(1);
/// How often an end is looked for: seldom, so that looking does not disturb.
const LOOK: Duration = Duration::from_millis(500);

/// Most worker processes.
const WORKERS_MAX: u32 = 64;

/// Jobs that a process of the bare queue has in hand, unless given.
const BARE_CONCURRENCY: u32 = 16;

/// What is measured beside the public operations, as the wiring has it.
pub struct Means<'m> {
    /// The shipped embedder.
    pub embedder: Embedder<'m>,
    /// The shipped small model.
    pub reflex: &'m dyn Fn() -> Result<Arc<dyn Reflex>, String>,
    /// The queue by itself.
    pub bare: &'m dyn Bare,
    /// Language models.
    pub models: &'m dyn Models,
}

/// Measures, and shows what was found. The folders in which it was measured are
/// removed, whatever happens.
pub fn run(command: &BenchCommand, screen: &Screen, means: &Means<'_>) -> Exit {
    listen();
    if let BenchCommand::Carry { file, redis, name, concurrency } = command {
        let place = match (file, redis, name) {
            (Some(file), _, _) => Place::File(file.clone()),
            (None, Some(url), Some(name)) => Place::Redis(url.clone(), name.clone()),
            _ => return Exit::Usage,
        };
        return match bare::carry(means.bare, &place, *concurrency) {
            Ok(()) => Exit::Done,
            Err(error) => {
                screen.note(&format!("alma: {}", chain(&error)));
                Exit::Failed
            }
        };
    }
    match measured(command, screen, means) {
        Ok(document) => {
            if screen.json {
                screen.document(&document);
            } else {
                screen.line(measure::table(&document).trim_end());
            }
            if document["state"] == "done" { Exit::Done } else { Exit::Failed }
        }
        Err(error) => {
            let exit = match error {
                BenchError::Stopped => Exit::Cancelled,
                BenchError::Usage(_) => Exit::Usage,
                _ => Exit::Failed,
            };
            if screen.json {
                screen.document(&json!({ "state": exit.state(), "error": chain(&error) }));
            } else {
                screen.note(&format!("alma: {}", chain(&error)));
            }
            exit
        }
    }
}

fn measured(
    command: &BenchCommand,
    screen: &Screen,
    means: &Means<'_>,
) -> Result<Value, BenchError> {
    let program = std::env::current_exe()
        .map_err(|source| BenchError::Io { operation: "find this program".to_owned(), source })?;
    let base = base();
    let stage = match command {
        BenchCommand::Queue { servers, protocol: true, .. }
        | BenchCommand::Kill { servers, .. }
        | BenchCommand::Mission { servers, .. }
        | BenchCommand::Stream { servers, .. } => {
            Stage::new(program, &base)?.on(servers.redis.as_deref(), servers.postgres.as_deref())
        }
        BenchCommand::Route { without_model: true, .. }
        | BenchCommand::Plan { without_model: true, .. }
        | BenchCommand::Answer { without_model: true, .. } => {
            Stage::new(program, &base)?.without_pocket()
        }
        _ => Stage::new(program, &base)?,
    };
    let mut progress = Progress::new(screen);
    let (name, (figures, durability)): (_, (Figures, Durability)) = match *command {
        BenchCommand::Route { ref data, without_model } => {
            let reflex = (!without_model).then_some(means.reflex);
            let figures = route::run(data, reflex, &mut progress)?;
            ("route", (figures, stage.worker(None)?.durability()?))
        }
        BenchCommand::Plan { ref data, .. } => ("plan", plan::run(&stage, data, &mut progress)?),
        BenchCommand::Answer { ref data, .. } => {
            ("answer", answer::run(&stage, data, &mut progress)?)
        }
        BenchCommand::Embed { ref sts, ref clinc, ref clinc_test } => {
            let clinc = clinc.as_deref().map(|train| (train, clinc_test.as_deref()));
            let figures = embed::run(means.embedder, sts.as_deref(), clinc, &mut progress)?;
            ("embed", (figures, stage.worker(None)?.durability()?))
        }
        BenchCommand::Recall { ref locomo, synthetic } => {
            ("recall", recall::run(&stage, locomo.as_deref(), synthetic, &mut progress)?)
        }
        BenchCommand::Cluster { ref points, ref titles, compare } => {
            let source = match (points, titles) {
                (Some(folder), _) => cluster::Source::Points(folder),
                (None, Some(file)) => cluster::Source::Titles(file, means.embedder),
                (None, None) => {
                    return Err(BenchError::Usage("name --points DIR or --titles FILE".to_owned()));
                }
            };
            let figures = cluster::run(&source, compare, &mut progress)?;
            ("cluster", (figures, stage.worker(None)?.durability()?))
        }
        BenchCommand::Startup { missions, events, memories, runs } => {
            let history = startup::History { missions, events, memories };
            ("startup", startup::run(&stage, &history, runs, &mut progress)?)
        }
        BenchCommand::Mission { steps, runs, workers, servers: _ } => {
            ("mission", mission::run(&stage, (steps, runs, workers), &mut progress)?)
        }
        BenchCommand::Generate { ref model, ref load } => {
            let figures = generate::run(means.models, model, load, &mut progress)?;
            ("generate", (figures, stage.worker(None)?.durability()?))
        }
        BenchCommand::Grammar { ref maskbench, ref tokenizer } => {
            let figures = generate::grammars(means.models, maskbench, tokenizer, &mut progress)?;
            ("grammar", (figures, stage.worker(None)?.durability()?))
        }
        BenchCommand::Stream { steps, runs, servers: _ } => {
            ("stream", stream::run(&stage, (steps, runs), &mut progress)?)
        }
        BenchCommand::Queue { jobs, workers, concurrency, protocol: false, ref servers } => {
            let load = (jobs, workers, concurrency.unwrap_or(BARE_CONCURRENCY));
            let redis = servers.redis.as_deref();
            ("queue", bare::run(&stage, means.bare, redis, load, &mut progress)?)
        }
        BenchCommand::Queue { jobs, workers, concurrency, protocol: true, servers: _ } => {
            let load = queue::Load { jobs, workers, concurrency };
            ("queue", queue::run(&stage, &load, &mut progress)?)
        }
        BenchCommand::Carry { .. } => {
            return Err(BenchError::Usage("a worker process measures nothing itself".to_owned()));
        }
        BenchCommand::Kill { kills, seed, servers: _ } => {
            ("kill", kill::run(&stage, (kills, seed), &mut progress)?)
        }
    };
    stage.close()?;
    Ok(figures.document(name, &base.to_string_lossy(), &durability))
}

/// Where the temporary folders go: beside the data folder, so that the same disk
/// is measured; else where temporary files go.
fn base() -> PathBuf {
    let home = alma::config::home(&|name| std::env::var(name).ok()).ok();
    let beside = home.and_then(|home| {
        let home = std::path::absolute(home).ok()?;
        home.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned)
    });
    let usable = |folder: &PathBuf| {
        tempfile::Builder::new().prefix(".alma-bench-").tempdir_in(folder).is_ok()
    };
    beside.filter(usable).unwrap_or_else(std::env::temp_dir)
}

/// From now on Ctrl-C asks to stop, so that the folders are removed.
fn listen() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            child::stop();
        });
    });
}

/// Says on standard error how far things are, not more than once a second.
struct Progress<'s> {
    screen: &'s Screen,
    told: Instant,
}

impl<'s> Progress<'s> {
    fn new(screen: &'s Screen) -> Self {
        Self { screen, told: Instant::now() }
    }

    fn say(&mut self, text: &str) {
        self.screen.note(text);
        self.told = Instant::now();
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.told.elapsed() >= TELL {
            self.say(&text());
        }
    }

    fn wait(
        &mut self,
        what: &str,
        time: Duration,
        mut is_so: impl FnMut() -> Result<bool, BenchError>,
    ) -> Result<(), BenchError> {
        let began = Instant::now();
        while !is_so()? {
            if began.elapsed() >= time {
                let (what, seconds) = (what.to_owned(), time.as_secs());
                return Err(BenchError::Waited { what, seconds });
            }
            self.tell(|| format!("waiting for {what}"));
            pause(LOOK)?;
        }
        Ok(())
    }
}

/// Waits until no mission is under way.
fn at_rest(stage: &Stage, progress: &mut Progress<'_>, time: Duration) -> Result<(), BenchError> {
    progress.wait("all missions to end", time, || {
        let document = stage.json(&["mission", "list", "--state", "running", "--limit", "1"])?;
        Ok(document["missions"].as_array().is_none_or(Vec::is_empty))
    })
}

/// A mission file that runs `count` trivial instances, and the table they come from.
fn many_file(stage: &Stage, name: &str, count: u32) -> Result<PathBuf, BenchError> {
    let rows: String = (1..=count).map(|n| format!("{n}\n")).collect();
    let table = format!("{name}-{count}.csv");
    let path = stage.workspace().join(&table);
    std::fs::write(&path, format!("item\n{rows}")).map_err(|source| BenchError::Io {
        operation: format!("write {}", path.display()),
        source,
    })?;
    let mission = json!({
        "goal": format!("{count} trivial steps"),
        "steps": [
            { "name": "items", "title": "Read the items", "tool": "table",
              "args": { "from": table } },
            { "title": "Think about each", "tool": "compose",
              "args": { "text": "item ${item.item}" },
              "for_each": { "items": "${items.rows}", "max_items": count } },
        ],
    });
    stage.mission_file(name, &mission)
}
