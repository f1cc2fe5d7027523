//! The table from commands to operations.

use super::args::{
    ApprovalCommand, AuditCommand, Command, DeadLetterCommand, MemoryCommand, MissionCommand,
    ModelCommand, NightlyCommand, PlanCommand, PlaybookCommand, ProposalCommand, ScheduleCommand,
    SessionCommand, ToolCommand, Wish,
};
use super::exit::Exit;
use super::{Screen, desk, show};
use alma::{Alma, Error, operations};
use charter::budget::Budget;
use charter::ids::Principal;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes of a mission file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Operations that [`route`] reaches.
pub const NAMES: &[&str] = &[
    "mission.list",
    "mission.show",
    "mission.report",
    "mission.effects",
    "mission.events",
    "mission.cancel",
    "mission.steer",
    "sessions.list",
    "sessions.show",
    "sessions.fork",
    "sessions.search",
    "memory.recall",
    "memory.remember",
    "memory.forget",
    "memory.import",
    "memory.report",
    "memory.rebuild",
    "plan.new",
    "plan.show",
    "plan.edit",
    "plan.diff",
    "approvals.list",
    "approvals.show",
    "schedules.new",
    "schedules.list",
    "schedules.show",
    "schedules.approve",
    "schedules.pause",
    "schedules.resume",
    "schedules.delete",
    "dead_letters.list",
    "dead_letters.show",
    "dead_letters.discard",
    "playbooks.list",
    "playbooks.show",
    "nightly.list",
    "nightly.run",
    "nightly.report",
    "proposals.list",
    "proposals.show",
    "proposals.accept",
    "proposals.reject",
    "proposals.undo",
    "tools.list",
    "tools.show",
    "models.list",
    "models.show",
    "audit.verify",
    "work.status",
    "work.set",
    "doctor",
];

/// The operation and request of a command; `None` for those that are more than
/// one request.
pub fn route(command: &Command, budget: &Budget) -> Result<Option<(&'static str, Value)>, Error> {
    let routed = match command {
        Command::Mission { command } => match command {
            MissionCommand::Submit { wish: w, again } => {
                if w.dry_run {
                    ("plan.dry_run", wish(w, budget)?)
                } else {
                    let mut request = wish(w, budget)?;
                    request["again"] = json!(again);
                    ("mission.submit", request)
                }
            }
            MissionCommand::List { state, limit } => {
                ("mission.list", json!({ "state": state, "limit": limit }))
            }
            MissionCommand::Show { mission } => ("mission.show", json!({ "mission": mission })),
            MissionCommand::Steer { mission, words } => {
                ("mission.steer", json!({ "mission": mission, "words": words.join(" ") }))
            }
            MissionCommand::Cancel { mission } => ("mission.cancel", json!({ "mission": mission })),
            MissionCommand::Report { mission } => ("mission.report", json!({ "mission": mission })),
            MissionCommand::Effects { mission, limit } => {
                ("mission.effects", json!({ "mission": mission, "limit": limit }))
            }
            MissionCommand::Events { mission, after, limit } => {
                ("mission.events", json!({ "mission": mission, "after": after, "limit": limit }))
            }
            MissionCommand::Run { .. } | MissionCommand::Watch { .. } => return Ok(None),
        },
        Command::Sessions { command } => match command {
            SessionCommand::List { limit } => ("sessions.list", json!({ "limit": limit })),
            SessionCommand::Show { session, limit } => {
                ("sessions.show", json!({ "session": session, "limit": limit }))
            }
            SessionCommand::Fork { session, turn } => {
                ("sessions.fork", json!({ "session": session, "turn": turn }))
            }
            SessionCommand::Search { words, limit } => {
                ("sessions.search", json!({ "words": words.join(" "), "limit": limit }))
            }
            SessionCommand::Resume { .. } => return Ok(None),
        },
        Command::Remember { words, workspace, instead_of } => {
            let workspace = workspace.as_deref().map(folder).transpose()?;
            let request = json!({
                "words": words.join(" "), "workspace": workspace, "instead_of": instead_of,
            });
            ("memory.remember", request)
        }
        Command::Recall { words, questions: _, why: _, as_of, here, workspace, limit } => {
            let workspace = folder(workspace.as_deref().unwrap_or(Path::new(".")))?;
            let words = words.join(" ");
            let request = json!({
                "words": words, "as_of": as_of, "here": here, "workspace": workspace,
                "limit": limit,
            });
            ("memory.recall", request)
        }
        Command::Forget { words, memory, dry_run } => {
            let words = (!words.is_empty()).then(|| words.join(" "));
            ("memory.forget", json!({ "words": words, "memory": memory, "dry_run": dry_run }))
        }
        Command::Memory { command } => match command {
            MemoryCommand::Report => ("memory.report", json!({})),
            MemoryCommand::Import { paths, workspace, own } => {
                let absolute = |path: &PathBuf| {
                    path.canonicalize().map_err(|error| {
                        let path = path.display();
                        Error::Usage(format!("{path} cannot be read: {error}"))
                    })
                };
                let paths = paths.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
                let workspace = workspace.as_deref().map(folder).transpose()?;
                ("memory.import", json!({ "paths": paths, "workspace": workspace, "own": own }))
            }
            MemoryCommand::Rebuild => ("memory.rebuild", json!({})),
            MemoryCommand::Export => return Ok(None),
        },
        Command::Plan { command } => match command {
            PlanCommand::New { wish: w } if w.dry_run => ("plan.dry_run", wish(w, budget)?),
            PlanCommand::New { wish: w } => ("plan.new", wish(w, budget)?),
            PlanCommand::Show { mission, .. } => ("plan.show", json!({ "mission": mission })),
            PlanCommand::Edit { mission, file } => {
                ("plan.edit", json!({ "mission": mission, "file": read(file)? }))
            }
            PlanCommand::Diff { left, right } => {
                ("plan.diff", json!({ "left": left, "right": right }))
            }
        },
        Command::Approvals { command } => match command {
            ApprovalCommand::List { all } => ("approvals.list", json!({ "all": all })),
            ApprovalCommand::Show { approval } => {
                ("approvals.show", json!({ "approval": approval }))
            }
        },
        Command::Schedules { command } => match command {
            ScheduleCommand::New { words, cron, zone, missed, workspace } => {
                let request = json!({
                    "workspace": folder(workspace.as_deref().unwrap_or(Path::new(".")))?, "words": words.join(" "),
                    "cron": cron, "zone": zone, "missed": missed,
                });
                ("schedules.new", request)
            }
            ScheduleCommand::List => ("schedules.list", json!({})),
            ScheduleCommand::Show { schedule, limit } => {
                ("schedules.show", json!({ "schedule": schedule, "limit": limit }))
            }
            ScheduleCommand::Approve { schedule, digest } => {
                let request = json!({ "schedule": schedule, "digest": digest, "seen": true });
                ("schedules.approve", request)
            }
            ScheduleCommand::Pause { schedule } => {
                ("schedules.pause", json!({ "schedule": schedule }))
            }
            ScheduleCommand::Resume { schedule } => {
                ("schedules.resume", json!({ "schedule": schedule }))
            }
            ScheduleCommand::Delete { schedule } => {
                ("schedules.delete", json!({ "schedule": schedule }))
            }
        },
        Command::DeadLetters { command } => match command {
            DeadLetterCommand::List { which, limit } => {
                let mut request = desk::which(which);
                request["limit"] = json!(limit);
                ("dead_letters.list", request)
            }
            DeadLetterCommand::Show { step } => ("dead_letters.show", json!({ "step": step })),
            DeadLetterCommand::Discard { step: Some(step), .. } => {
                ("dead_letters.discard", json!({ "step": step }))
            }
            DeadLetterCommand::Discard { .. }
            | DeadLetterCommand::Requeue { .. }
            | DeadLetterCommand::Edit { .. } => return Ok(None),
        },
        Command::Playbooks { command } => match command {
            PlaybookCommand::List => ("playbooks.list", json!({})),
            PlaybookCommand::Show { name } => ("playbooks.show", json!({ "name": name })),
        },
        Command::Nightly { command } => match command {
            NightlyCommand::Run { markdown } => {
                ("nightly.run", json!({ "markdown": markdown, "width": width() }))
            }
            NightlyCommand::List { limit } => ("nightly.list", json!({ "limit": limit })),
            NightlyCommand::Report { night, markdown } => (
                "nightly.report",
                json!({ "night": night, "markdown": markdown, "width": width() }),
            ),
        },
        Command::Proposals { command } => match command {
            ProposalCommand::List { limit } => ("proposals.list", json!({ "limit": limit })),
            ProposalCommand::Show { proposal } => {
                ("proposals.show", json!({ "proposal": proposal }))
            }
            ProposalCommand::Accept { proposal } => {
                ("proposals.accept", json!({ "proposal": proposal }))
            }
            ProposalCommand::Reject { proposal } => {
                ("proposals.reject", json!({ "proposal": proposal }))
            }
            ProposalCommand::Undo { proposal } => {
                ("proposals.undo", json!({ "proposal": proposal }))
            }
        },
        Command::Tools { command } => match command {
            ToolCommand::List => ("tools.list", json!({})),
            ToolCommand::Show { name } => ("tools.show", json!({ "name": name })),
        },
        Command::Models { command } => match command {
            ModelCommand::List => ("models.list", json!({})),
            ModelCommand::Show { name } => ("models.show", json!({ "name": name })),
            // The program answers these itself.
            ModelCommand::Tokenize { .. } | ModelCommand::Render { .. } => return Ok(None),
        },
        Command::Audit { command: AuditCommand::Verify } => ("audit.verify", json!({})),
        Command::Status => ("work.status", json!({})),
        Command::Stop { maintenance: Some(how), .. } if how == "on" => {
            ("work.set", json!({ "mode": "maintenance" }))
        }
        Command::Stop { maintenance: Some(_), .. } => {
            ("work.set", json!({ "mode": "running", "only_from": "maintenance" }))
        }
        Command::Stop { resume: true, .. } => ("work.set", json!({ "mode": "running" })),
        Command::Stop { .. } => ("work.set", json!({ "mode": "stopped" })),
        Command::Doctor => ("doctor", json!({})),
        Command::Migrate { to } => ("migrate", json!({ "to": to })),
        Command::Chat { .. }
        | Command::Config { .. }
        | Command::Ask { .. }
        | Command::Approve { .. }
        | Command::Deny { .. }
        | Command::Worker { .. }
        | Command::Serve { .. }
        | Command::Bench { .. } => return Ok(None),
    };
    Ok(Some(routed))
}

/// Columns of the terminal, if there is one.
fn width() -> Option<u16> {
    console::Term::stdout().size_checked().map(|(_, columns)| columns)
}

/// The request of a wish.
pub fn wish(wish: &Wish, budget: &Budget) -> Result<Value, Error> {
    let workspace = folder(wish.workspace.as_deref().unwrap_or(Path::new(".")))?;
    let file = wish.file.as_deref().map(read).transpose()?;
    let words = (!wish.words.is_empty()).then(|| wish.words.join(" "));
    Ok(json!({
        "workspace": workspace,
        "words": words,
        "file": file,
        "budget": wish.budget(budget),
        "priority": wish.priority,
    }))
}

/// A folder that is named, as a whole path in UTF-8.
fn folder(named: &Path) -> Result<String, Error> {
    let workspace = named.canonicalize().map_err(|error| {
        Error::Usage(format!(
            "the workspace {} cannot be used: {error}; name an existing folder with --workspace",
            named.display()
        ))
    })?;
    if !workspace.is_dir() {
        return Err(Error::Usage(format!(
            "the workspace {} is no folder; name one with --workspace",
            workspace.display()
        )));
    }
    match workspace.to_str() {
        Some(workspace) => Ok(workspace.to_owned()),
        None => Err(Error::Usage(format!(
            "the workspace {} has a name that is no UTF-8 text; rename the folder",
            workspace.display()
        ))),
    }
}

pub(super) fn read(path: &Path) -> Result<String, Error> {
    let fail = |cause: String| {
        Error::Usage(format!("the file {} cannot be read: {cause}", path.display()))
    };
    let mut text = String::new();
    let size = if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    }
    .map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => {
            fail("it is no UTF-8 text; save it as UTF-8 and try again".to_owned())
        }
        _ => fail(format!("{error}; check its name and that you may read it")),
    })?;
    if size as u64 > FILE_BYTES_MAX {
        return Err(fail(format!("it has more than {FILE_BYTES_MAX} bytes; make it shorter")));
    }
    Ok(text)
}

/// Asks Alma and shows what she says.
pub async fn ask(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    name: &'static str,
    request: Value,
) -> Result<Exit, Error> {
    Ok(present(screen, name, call(alma, principal, name, request).await?))
}

/// Shows a response, and gives its exit code.
pub fn present(screen: &Screen, name: &'static str, response: Value) -> Exit {
    let exit = outcome(name, &response);
    if screen.json {
        let mut document = response;
        if let Some(fields) = document.as_object_mut()
            && !fields.contains_key("state")
        {
            let state = match (exit, name) {
                (Exit::Done, "mission.submit") => "accepted",
                (Exit::Done, name) if name.ends_with(".list") => "found",
                (exit, _) => exit.state(),
            };
            fields.insert("state".to_owned(), json!(state));
        }
        screen.document(&document);
    } else {
        screen.line(show::response(name, &response).trim_end());
    }
    exit
}

/// Asks Alma.
pub async fn call(
    alma: &Alma,
    principal: &Principal,
    name: &'static str,
    request: Value,
) -> Result<Value, Error> {
    let operation =
        operations::find(name).ok_or_else(|| Error::NotFound(format!("the operation {name}")))?;
    (operation.call)(alma, principal, request).await
}

/// Models are found if one of them can be used; a configured one that cannot is a
/// failure, whatever lies beside it.
fn models_listed(response: &Value) -> Exit {
    let models = response["models"].as_array().map_or(&[][..], Vec::as_slice);
    let is_good = |one: &Value| one["problem"].is_null();
    if models.iter().any(|one| one["used"] == json!(true) && !is_good(one)) {
        return Exit::Failed;
    }
    if models.iter().any(is_good) { Exit::Done } else { Exit::Empty }
}

fn outcome(name: &str, response: &Value) -> Exit {
    let only_list = response.as_object().and_then(|fields| match fields.len() {
        1 => fields.values().next()?.as_array(),
        _ => None,
    });
    match name {
        "models.list" => models_listed(response),
        "audit.verify" if response["intact"] == json!(false) => Exit::Failed,
        "doctor" if response["healthy"] == json!(false) => Exit::Failed,
        "plan.diff" if response["same"] == json!(false) => Exit::Failed,
        "nightly.run" | "nightly.report" if response["state"] == json!("partial") => Exit::Partial,
        "mission.submit" | "schedules.new" if response["state"] == json!("waiting") => {
            Exit::Waiting
        }
        "dead_letters.bulk" if response["count"] == json!(0) => Exit::Empty,
        "memory.remember" if response["memory"].is_null() => Exit::Waiting,
        _ if response["found"] == json!(false) => Exit::Empty,
        _ if only_list.is_some_and(Vec::is_empty) => Exit::Empty,
        _ => Exit::Done,
    }
}
