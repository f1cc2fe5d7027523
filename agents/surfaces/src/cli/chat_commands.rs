//! The slash commands of a conversation: one line each in [`COMMANDS`].

use super::chat::Chat;
use super::{route, show};
use alma::Error;
use alma::operations::{sessions_fork, sessions_list, sessions_search, sessions_show};
use charter::conversation::TurnState;
use charter::ids::SessionId;
use console::style;
use serde_json::json;
use tokio::sync::mpsc;

/// Exchanges that a resumed session shows.
const RECAP: u32 = 3;
/// Sessions and hits that a list shows.
const LISTED: u32 = 20;

/// Name, what it takes, what it does.
const COMMANDS: [(&str, &str, &str); 11] = [
    ("/help", "", "these commands"),
    ("/sessions", "", "the last conversations"),
    ("/resume", "N or ID", "go on with one of them"),
    ("/fork", "[TURN]", "go on from here in a new conversation, and keep this one as it is"),
    ("/search", "WORDS", "find what was said"),
    ("/approvals", "", "what waits for your answer"),
    ("/status", "", "the last missions"),
    ("/new", "", "begin a new conversation"),
    ("/why", "", "why I took the last message as I did"),
    ("/attach", "TURN", "show a turn again, or carry it on"),
    ("/quit", "", "leave; Ctrl-D does the same"),
];

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Done,
    Leave,
}

/// Runs a command; `None`: it is none.
pub(super) async fn run(
    chat: &mut Chat<'_>,
    line: &str,
    interrupts: &mut mpsc::Receiver<()>,
) -> Option<Result<Said, Error>> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    // A path is a message, not a command.
    if name.len() < 2 || name[1..].contains('/') {
        return None;
    }
    let done = match name {
        "/help" | "/?" => {
            let wide = |(name, takes, _): &(&str, &str, &str)| name.len() + takes.len() + 1;
            let width = COMMANDS.iter().map(wide).max().unwrap_or(0);
            for (name, takes, does) in COMMANDS {
                let left = format!("{name} {takes}");
                chat.screen.line(&format!("  {left:<width$}  {does}"));
            }
            chat.screen.line("  Alt-Enter or a final \\ begins another line; Ctrl-C stops a turn");
            Ok(Said::Done)
        }
        "/quit" | "/exit" | "/q" => Ok(Said::Leave),
        "/new" => {
            chat.session = None;
            chat.last = None;
            chat.screen.line("a new conversation begins");
            Ok(Said::Done)
        }
        "/sessions" => sessions(chat).await,
        "/resume" => resume(chat, rest, interrupts).await,
        "/fork" => fork(chat, rest).await,
        "/search" => search(chat, rest).await,
        "/approvals" => ask(chat, "approvals.list", json!({})).await,
        "/status" => ask(chat, "mission.list", json!({ "limit": LISTED })).await,
        "/why" => {
            let why = match &chat.last {
                Some(last) => format!(
                    "{}: {}\nturn {} in session {}",
                    last.route.map_or("not decided", |route| route.as_str()),
                    last.reason.as_deref().unwrap_or("there was nothing to decide"),
                    last.turn,
                    last.session
                ),
                None => "nothing was said yet".to_owned(),
            };
            chat.screen.line(&why);
            Ok(Said::Done)
        }
        "/attach" => match rest.parse() {
            Ok(turn) => chat.watch(turn, interrupts).await.map(|_| Said::Done),
            Err(error) => Err(Error::Usage(format!("{error}"))),
        },
        _ => Err(Error::Usage(format!("there is no command {name}; /help lists them"))),
    };
    Some(done)
}

async fn ask(
    chat: &Chat<'_>,
    name: &'static str,
    request: serde_json::Value,
) -> Result<Said, Error> {
    route::ask(chat.alma, chat.principal, chat.screen, name, request).await?;
    Ok(Said::Done)
}

async fn listed(chat: &Chat<'_>) -> Result<Vec<sessions_list::Line>, Error> {
    let request = sessions_list::Request { before: None, limit: Some(LISTED) };
    Ok(sessions_list::run(chat.alma, chat.principal, request).await?.sessions)
}

async fn sessions(chat: &Chat<'_>) -> Result<Said, Error> {
    let sessions = listed(chat).await?;
    if sessions.is_empty() {
        chat.screen.line("no conversation yet");
    }
    for (i, line) in sessions.iter().enumerate() {
        let here = if chat.session.as_ref() == Some(&line.session) { "*" } else { " " };
        let title = show::visible(line.title.lines().next().unwrap_or_default());
        chat.screen.line(&format!(
            "{here}{:>3}  {}  {:>3} turns  {title}",
            i + 1,
            line.session,
            line.turns
        ));
    }
    Ok(Said::Done)
}

async fn resume(
    chat: &mut Chat<'_>,
    which: &str,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<Said, Error> {
    let session: SessionId = match which.parse::<usize>() {
        Ok(n) => {
            let sessions = listed(chat).await?;
            let at = n.checked_sub(1).and_then(|n| sessions.into_iter().nth(n));
            at.ok_or_else(|| Error::NotFound(format!("session number {n}")))?.session
        }
        Err(_) => which.parse().map_err(|error| {
            Error::Usage(format!("{error}; /sessions lists them, /resume 1 takes the first"))
        })?,
    };
    recap(chat, &session).await?;
    chat.session = Some(session.clone());
    chat.last = None;
    let request = sessions_show::Request { session, limit: Some(1) };
    let shown = sessions_show::run(chat.alma, chat.principal, request).await?;
    if let Some(last) = shown.history.last().filter(|last| last.turn.state == TurnState::Open) {
        chat.watch(last.turn.turn.clone(), interrupts).await?;
    }
    Ok(Said::Done)
}

/// The last exchanges of a session, in short.
pub(super) async fn recap(chat: &Chat<'_>, session: &SessionId) -> Result<(), Error> {
    let request = sessions_show::Request { session: session.clone(), limit: Some(RECAP) };
    let shown = sessions_show::run(chat.alma, chat.principal, request).await?;
    for past in shown.history {
        let said = show::visible(past.said.trim());
        chat.screen.line(&style(format!("you › {said}")).dim().to_string());
        let answer = past.answer.unwrap_or_default();
        if let Some(first) = answer.lines().next() {
            chat.screen.line(&style(format!("      {}", show::visible(first))).dim().to_string());
        }
    }
    Ok(())
}

async fn fork(chat: &mut Chat<'_>, turn: &str) -> Result<Said, Error> {
    let Some(session) = chat.session.clone() else {
        return Err(Error::Conflict("there is nothing to fork yet: say something first".into()));
    };
    let turn = match turn {
        "" => None,
        turn => Some(turn.parse().map_err(|error| Error::Usage(format!("{error}")))?),
    };
    let request = sessions_fork::Request { session, turn };
    let made = sessions_fork::run(chat.alma, chat.principal, request).await?;
    chat.screen.line(&format!("this is {} now; the other one stays as it is", made.session));
    chat.session = Some(made.session);
    Ok(Said::Done)
}

async fn search(chat: &Chat<'_>, words: &str) -> Result<Said, Error> {
    let request = sessions_search::Request { words: words.to_owned(), limit: Some(LISTED) };
    let found = sessions_search::run(chat.alma, chat.principal, request).await?.found;
    if found.is_empty() {
        chat.screen.line("nobody said that here");
    }
    for hit in found {
        let text = show::visible(&hit.text);
        chat.screen.line(&format!("{}  {:<4}  {text}", hit.session, hit.by));
    }
    Ok(Said::Done)
}
