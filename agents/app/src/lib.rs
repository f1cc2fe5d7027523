//! What the binary `alma` is made of: configuration, wiring, signals; nothing
//! else. A library, so that a binary with other tools has the same wiring.

mod bare;
mod bell;
mod clock;
mod desk;
mod diagnose;
mod house;
mod lanes;
mod lines;
mod machine;
mod memory;
mod migrate;
mod model;
mod night;
mod office;
mod record;
mod schedules;
mod shelf;
mod system;
mod thinker;
mod trials;

pub use house::excerpts;

use alma::config;
use anyhow::Context;
use hephaestus::tool::Tool;
use std::io::IsTerminal;
use std::process::ExitCode;
use surfaces::bench::Means;
use surfaces::cli::args::{Cli, Command};
use surfaces::cli::exit::Exit;
use surfaces::cli::{self, Screen};
use tokio::sync::mpsc;

/// Runs the command line to its end. `more` makes tools beyond the product's own.
pub fn main_with(more: fn() -> Vec<Box<dyn Tool>>) -> ExitCode {
    // A contained program is started by this same binary, which shuts itself in
    // before it runs the program. See `hephaestus::sandbox`.
    hephaestus::sandbox::run_if_helper();
    // So is the reader of PDF files. See `librarian::extract::pdf`.
    librarian::extract::pdf::run_if_reader();
    let cli = match Cli::of_process() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no error.
            let code = if error.use_stderr() { Exit::Usage.code() } else { 0 };
            let _gone = error.print();
            return ExitCode::from(code);
        }
    };
    let screen = Screen {
        json: cli.json,
        interactive: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
    };
    if let Command::Bench { command } = &cli.command {
        let means = Means {
            embedder: &house::embedder,
            reflex: &house::reflex,
            bare: &bare::BareQueue,
            models: &trials::Trials,
        };
        let exit = surfaces::bench::run(command, &screen, &means);
        return ExitCode::from(exit.code());
    }
    let lines = match &cli.command {
        Command::Models { command } => lines::run(command),
        _ => None,
    };
    let run = || lines.map_or_else(|| start(cli, &screen, more), |done| done.map(|()| Exit::Done));
    match run() {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            let usage = error.downcast_ref::<config::ConfigError>().is_some();
            let exit = if usage { Exit::Usage } else { Exit::Failed };
            if screen.json {
                screen.document(&serde_json::json!({
                    "state": exit.state(), "error": format!("{error:#}"),
                }));
            } else {
                screen.note(&format!("alma: {error:#}"));
            }
            ExitCode::from(exit.code())
        }
    }
}

fn start(cli: Cli, screen: &Screen, more: fn() -> Vec<Box<dyn Tool>>) -> anyhow::Result<Exit> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("ALMA_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error")),
        )
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let home = config::home(&|name| std::env::var(name).ok())?;
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut settings = cli.settings.clone();
    if let Command::Worker { concurrency: Some(steps) } = &cli.command {
        settings.push(("worker.concurrency".to_owned(), steps.to_string()));
    }
    if let Command::Serve { port, bind } = &cli.command {
        settings.extend(port.map(|port| ("http.port".to_owned(), port.to_string())));
        settings.extend(bind.map(|bind| ("http.bind".to_owned(), bind.to_string())));
    }
    let config = config::load(&home, &environment, &settings)?;
    addresses(&config)?;
    if let Command::Config { .. } = &cli.command {
        return Ok(cli::config(&home, &config, screen));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    if let Command::Migrate { to } = &cli.command {
        let request = alma::operations::migrate::Request { to: to.clone() };
        let tell = |progress| screen.note(&format!("{progress}"));
        let done = runtime.block_on(migrate::run(&home, &config, request, &tell));
        return Ok(cli::migrated(screen, done));
    }
    let exit = runtime.block_on(async {
        let mut interrupts = interrupts()?;
        let looks = matches!(cli.command, Command::Doctor);
        let opened = house::House::open(&home, config.clone(), cli.command.needs(), more()).await;
        let house = match opened {
            Err(error) if looks => {
                let found = diagnose::without_a_record(&home, &config, &error).await;
                return Ok(cli::doctor(screen, found));
            }
            opened => opened?,
        };
        let exit = match &cli.command {
            Command::Worker { .. } => house.work_until(&mut interrupts, screen).await,
            Command::Serve { .. } => match house.serve(&mut interrupts, screen).await {
                Ok(exit) => exit,
                Err(error) => {
                    house.close(&mut interrupts).await;
                    return Err(error);
                }
            },
            _ => {
                let principal = charter::ids::Principal::local();
                cli::run(&house.alma, &principal, cli, screen, &mut interrupts).await
            }
        };
        house.close(&mut interrupts).await;
        anyhow::Ok(exit)
    });
    // A tool that does not listen to its cancellation must not hold the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    exit
}

/// Refuses addresses of servers that nobody could reach.
fn addresses(config: &config::Config) -> Result<(), config::ConfigError> {
    let wrong = |field: &str, error: &dyn std::error::Error| config::ConfigError::Field {
        place: "in force".to_owned(),
        message: format!("{field}: {}", cli::exit::chain(error)),
    };
    if let Some(url) = config.ledger.url.secret() {
        let read: Result<ledger::PgAddress, _> = url.parse();
        read.map_err(|error| wrong("ledger.url", &error))?;
    }
    if let Some(url) = config.queue.url.secret() {
        let read: Result<queue::RedisAddress, _> = url.parse();
        read.map_err(|error| wrong("queue.url", &error))?;
    }
    Ok(())
}

/// Ctrl-C and SIGTERM, as messages.
fn interrupts() -> anyhow::Result<mpsc::Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            let more = tokio::select! {
                more = interrupt.recv() => more,
                more = terminate.recv() => more,
            };
            // Nobody listens any more: the command is over.
            if more.is_none() || sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
