//! `alma dead-letters`: one step or many, and what comes of them.

use super::args::{Command, DeadLetterCommand, Many, Which};
use super::exit::Exit;
use super::{Screen, follow, route};
use alma::{Alma, Error};
use charter::budget::Budget;
use charter::ids::Principal;
use console::Term;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The fields of a request that say which dead steps are meant.
pub(super) fn which(which: &Which) -> Value {
    json!({ "mission": which.mission, "tool": which.tool, "cause": which.cause })
}

/// Runs one of the commands.
pub(super) async fn run(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
    command: DeadLetterCommand,
) -> Result<Exit, Error> {
    let (name, request, no_wait) = match command {
        DeadLetterCommand::Requeue { step: Some(step), no_wait, .. } => {
            ("dead_letters.requeue", json!({ "step": step }), no_wait)
        }
        DeadLetterCommand::Requeue { many, .. } => {
            return bulk(alma, principal, screen, "requeue", &many).await;
        }
        DeadLetterCommand::Discard { step: None, many } => {
            return bulk(alma, principal, screen, "discard", &many).await;
        }
        DeadLetterCommand::Edit { step, set, args, input, no_wait } => {
            let text = match input {
                Some(file) => Some(route::read(&file)?),
                None => args,
            };
            let args = text.as_deref().map(object).transpose()?;
            let set: Vec<Value> = set
                .into_iter()
                .map(|input| json!({ "path": input.path, "value": input.value }))
                .collect();
            let request = json!({ "step": step, "args": args, "set": set });
            ("dead_letters.edit", request, no_wait)
        }
        command => {
            let command = Command::DeadLetters { command };
            return match route::route(&command, &Budget::default())? {
                Some((name, request)) => route::ask(alma, principal, screen, name, request).await,
                None => Ok(Exit::Done),
            };
        }
    };
    follow::after(alma, principal, screen, interrupts, name, request, no_wait).await
}

/// The inputs of a step, written as JSON.
fn object(text: &str) -> Result<Value, Error> {
    match serde_json::from_str(text) {
        Ok(inputs @ Value::Object(_)) => Ok(inputs),
        Ok(_) => Err(Error::Usage("the inputs are no JSON object: write {\"name\": value}".into())),
        Err(error) => Err(Error::Usage(format!("the inputs are no JSON: {error}"))),
    }
}

/// Counts, asks, and moves what was counted.
async fn bulk(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    what: &str,
    many: &Many,
) -> Result<Exit, Error> {
    const NAME: &str = "dead_letters.bulk";
    let mut request = json!({
        "what": what, "mission": many.mission, "tool": many.tool, "cause": many.cause,
        "dry_run": true,
    });
    let mut counted = route::call(alma, principal, NAME, request.clone()).await?;
    let count = counted["count"].as_u64().unwrap_or(0);
    if count == 0 {
        return route::ask(alma, principal, screen, NAME, request).await;
    }
    let question = format!("{what} {count} dead steps ({})", causes(&counted));
    if !many.yes && !agreed(screen, &question).await? {
        if screen.json {
            counted["state"] = json!(Exit::Waiting.state());
            screen.document(&counted);
        } else {
            screen.line(&format!("{question}: nothing was done; say it with --yes"));
        }
        return Ok(Exit::Waiting);
    }
    request["dry_run"] = json!(false);
    request["expect"] = json!(count);
    route::ask(alma, principal, screen, NAME, request).await
}

/// Counts by cause: `3 poison, 9 permanent`.
pub(super) fn causes(response: &Value) -> String {
    let causes = response["causes"].as_object();
    let told: Vec<String> =
        causes.into_iter().flatten().map(|(cause, count)| format!("{count} {cause}")).collect();
    told.join(", ")
}

/// Whether a person who sits here says yes.
async fn agreed(screen: &Screen, question: &str) -> Result<bool, Error> {
    if !screen.interactive || screen.json {
        return Ok(false);
    }
    let hint = format!("{question}? [y]es / [n]o: ");
    let line = tokio::task::spawn_blocking(move || {
        let term = Term::stdout();
        term.write_str(&hint).and_then(|()| term.read_line())
    })
    .await
    .map_err(|error| Error::Machine { operation: "ask".to_owned(), cause: error.to_string() })?;
    // The terminal is gone: nobody agreed.
    Ok(line.is_ok_and(|line| line.trim().to_lowercase().starts_with('y')))
}
