//! The command line.
//!
//! [`args`] is the grammar, [`route`] the table from commands to operations,
//! [`follow`] watches a mission and asks for approvals, [`tree`] and [`show`]
//! turn values into text, [`exit`] turns outcomes into exit codes.

pub mod args;
pub mod chat;
mod chat_commands;
mod chat_editor;
mod chat_view;
mod desk;
pub mod exit;
pub mod follow;
mod memory;
mod models_view;
pub mod route;
pub mod show;
mod show_schedules;
pub mod tree;

use alma::config::Config;
use alma::operations::{config_show, doctor, migrate};
use alma::{Alma, Error};
use args::{Cli, Command, MissionCommand, PlanCommand};
use charter::ids::Principal;
use exit::Exit;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use tokio::sync::mpsc;

/// What a command needs of the process that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// The ledger only.
    Ledger,
    /// Workers too: it waits for steps to be carried out.
    Workers,
}

impl Command {
    /// What the command needs.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Mission { command: MissionCommand::Run { .. } }
            | Self::Mission { command: MissionCommand::Watch { .. } }
            | Self::Chat { .. }
            | Self::Ask { .. }
            | Self::Sessions { command: args::SessionCommand::Resume { .. } }
            | Self::Worker { .. }
            | Self::Serve { .. } => Needs::Workers,
            Self::Mission { command: MissionCommand::Cancel { .. } } => Needs::Workers,
            Self::Approve { no_wait, .. } | Self::Deny { no_wait, .. } if !no_wait => {
                Needs::Workers
            }
            Self::DeadLetters {
                command:
                    args::DeadLetterCommand::Requeue { step: Some(_), no_wait, .. }
                    | args::DeadLetterCommand::Edit { no_wait, .. },
            } if !no_wait => Needs::Workers,
            _ => Needs::Ledger,
        }
    }
}

/// Where a surface writes, and what it may assume of it.
pub struct Screen {
    /// Machine-readable output.
    pub json: bool,
    /// Whether a person sits in front of both input and output.
    pub interactive: bool,
}

impl Screen {
    /// Writes a line to standard output. A reader that has gone away is no error
    /// of ours: the work goes on without it.
    pub fn line(&self, text: &str) {
        let _gone = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// Writes a line to standard error.
    pub fn note(&self, text: &str) {
        let _gone = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Writes the one document of `--json`.
    pub fn document(&self, value: &Value) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.note(&format!("could not write the document: {error}")),
        }
    }
}

/// Runs one command to its end.
pub async fn run(
    alma: &Alma,
    principal: &Principal,
    cli: Cli,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
) -> Exit {
    let done = match cli.command {
        Command::Chat { session, workspace, attach } => {
            let place = chat::Place { session, workspace };
            match attach {
                Some(turn) => chat::attach(alma, principal, screen, interrupts, place, turn).await,
                None => chat::run(alma, principal, screen, interrupts, place).await,
            }
        }
        Command::Sessions { command: args::SessionCommand::Resume { session } } => {
            let place = chat::Place { session: Some(session), workspace: None };
            chat::run(alma, principal, screen, interrupts, place).await
        }
        Command::Ask { words, session, workspace } => {
            let place = chat::Place { session, workspace };
            chat::ask(alma, principal, screen, interrupts, place, &words).await
        }
        Command::Mission { command: MissionCommand::Run { wish, approve_plan, again } } => {
            let request = match route::wish(&wish, &alma.config.budget) {
                Ok(request) => request,
                Err(error) => return fail(screen, &error),
            };
            if wish.dry_run {
                route::ask(alma, principal, screen, "plan.dry_run", request).await
            } else {
                follow::run(alma, principal, screen, interrupts, request, again, approve_plan).await
            }
        }
        Command::Mission { command: MissionCommand::Watch { mission } } => {
            follow::watch(alma, principal, screen, interrupts, &mission, None).await
        }
        Command::Mission { command: MissionCommand::Cancel { mission } } => {
            follow::cancel(alma, principal, screen, &mission).await
        }
        Command::Approve { approval, happened, not_happened, digest, no_wait } => {
            let answer = match (happened, not_happened) {
                (true, _) => "happened",
                (_, true) => "not_happened",
                _ => "approve",
            };
            let request = json!({
                "approval": approval, "answer": answer, "digest": digest, "seen": true,
            });
            follow::after(alma, principal, screen, interrupts, "approvals.answer", request, no_wait)
                .await
        }
        Command::Deny { approval, no_wait } => {
            let request = json!({ "approval": approval, "answer": "deny", "seen": true });
            follow::after(alma, principal, screen, interrupts, "approvals.answer", request, no_wait)
                .await
        }
        Command::DeadLetters { command } => {
            desk::run(alma, principal, screen, interrupts, command).await
        }
        Command::Plan { command: PlanCommand::Show { mission, file: true } } if !screen.json => {
            let request = json!({ "mission": mission });
            route::call(alma, principal, "plan.show", request).await.map(|response| {
                screen.line(response["file"].as_str().unwrap_or_default().trim_end());
                Exit::Done
            })
        }
        Command::Recall { questions: Some(ref file), limit, .. } => {
            memory::batch(alma, principal, screen, file, limit).await
        }
        Command::Recall { why: true, .. } if !screen.json => {
            memory::why(alma, principal, screen, &cli.command, &alma.config.budget).await
        }
        Command::Memory { command: args::MemoryCommand::Export } => {
            memory::export(alma, principal, screen).await
        }
        command => match route::route(&command, &alma.config.budget) {
            Ok(Some((name, request))) => route::ask(alma, principal, screen, name, request).await,
            Ok(None) => Ok(Exit::Done),
            Err(error) => Err(error),
        },
    };
    done.unwrap_or_else(|error| fail(screen, &error))
}

/// `alma config …`: answered from the configuration alone, so that one whose servers
/// do not answer can be looked at.
pub fn config(home: &Path, config: &Config, screen: &Screen) -> Exit {
    told(screen, "config.show", config_show::of(home, config))
}

/// `alma doctor` where nothing could be opened: this shows what could be looked at.
pub fn doctor(screen: &Screen, found: doctor::Response) -> Exit {
    told(screen, "doctor", Ok(found))
}

/// `alma migrate`: carried out while nobody has the record open, so without an
/// [`Alma`]; this shows what came of it.
pub fn migrated(screen: &Screen, done: Result<migrate::Response, Error>) -> Exit {
    told(screen, "migrate", done)
}

/// Shows what came of an operation that needed no [`Alma`].
fn told(screen: &Screen, name: &'static str, response: Result<impl Serialize, Error>) -> Exit {
    let response = response.and_then(|response| {
        serde_json::to_value(response).map_err(|error| Error::Machine {
            operation: "write the answer".to_owned(),
            cause: error.to_string(),
        })
    });
    match response {
        Ok(response) => route::present(screen, name, response),
        Err(error) => fail(screen, &error),
    }
}

/// Shows an error and gives its exit code.
pub fn fail(screen: &Screen, error: &Error) -> Exit {
    let exit = Exit::of_error(error);
    if screen.json {
        let mut document = json!({ "state": exit.state(), "error": exit::chain(error) });
        if let Error::Refused(refusal) = error {
            document["missing"] = json!(refusal.missing);
            document["nearest"] = json!(refusal.nearest);
        }
        screen.document(&document);
    } else {
        screen.note(&show::error(error));
    }
    exit
}

/// Every operation that the command line reaches, for the test that no operation
/// is forgotten.
pub fn reached() -> Vec<&'static str> {
    let mut names = route::NAMES.to_vec();
    names.extend(["memory.export", "config.show"]);
    names.push("migrate");
    names.extend(["chat.say", "chat.attach", "chat.cancel"]);
    names.extend(["mission.submit", "plan.dry_run", "approvals.answer"]);
    names.extend(["dead_letters.requeue", "dead_letters.edit", "dead_letters.bulk"]);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use alma::operations;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_is_reached() {
        let reached: BTreeSet<_> = reached().into_iter().collect();
        let all: BTreeSet<_> = operations::ALL.iter().map(|operation| operation.name).collect();
        assert_eq!(reached, all);
    }
}
