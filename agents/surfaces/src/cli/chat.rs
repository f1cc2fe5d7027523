//! `alma` alone, `alma chat`, `alma ask`: talking with Alma.
//!
//! What is said is put on record before anything else; what happens is shown as it
//! happens ([`super::chat_view`]). A person at a terminal gets an editor
//! ([`super::chat_editor`]), slash commands ([`super::chat_commands`]) and questions
//! on the spot; anybody else writes one message per line.

use super::chat_commands::{self, Said};
use super::chat_editor::{Editor, Heard};
use super::chat_view::View;
use super::exit::Exit;
use super::{Screen, show};
use alma::conversation::{self, Answer, Happening, MESSAGE_BYTES_MAX, Watcher};
use alma::operations::{approval_show, sessions_list, sessions_show};
use alma::{Alma, Error};
use charter::conversation::{Route, TurnState};
use charter::ids::{Principal, SessionId, TurnId};
use serde_json::json;
use std::io::{BufRead, Read};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Happenings that may wait to be shown.
const SHOWN_LATER: usize = 256;
/// Messages that the arrow keys bring back.
const RECENT: u32 = 20;

const WELCOME: [&str; 3] = [
    "I am Alma. Say in your own words what you want done with the files in this folder;",
    "I plan it, do it step by step, ask before anything is lost, and show what is proven.",
    "“what can you do?” gives examples, /help the commands, Ctrl-D leaves.",
];

/// Where to talk.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The session; a new one unless given.
    pub session: Option<SessionId>,
    /// The folder to talk about; the current one unless given.
    pub workspace: Option<PathBuf>,
}

/// A conversation as this process sees it.
pub(super) struct Chat<'a> {
    pub(super) alma: &'a Alma,
    pub(super) principal: &'a Principal,
    pub(super) screen: &'a Screen,
    pub(super) workspace: PathBuf,
    pub(super) session: Option<SessionId>,
    pub(super) last: Option<Answer>,
    view: View<'a>,
}

impl<'a> Chat<'a> {
    fn new(
        alma: &'a Alma,
        principal: &'a Principal,
        screen: &'a Screen,
        place: Place,
    ) -> Result<Self, Error> {
        let workspace = folder(place.workspace)?;
        let session = place.session;
        let view = View::new(screen);
        Ok(Self { alma, principal, screen, workspace, session, last: None, view })
    }

    /// Says something and shows what happens until the turn has ended.
    pub(super) async fn say(
        &mut self,
        words: &str,
        interrupts: &mut mpsc::Receiver<()>,
    ) -> Result<Answer, Error> {
        let named = self.session.as_ref();
        let session =
            conversation::session_for(self.alma, self.principal, named, &self.workspace, None)
                .await?;
        self.session = Some(session.clone());
        let turn = conversation::begin(self.alma, self.principal, &session, words).await?;
        self.watch(turn, interrupts).await
    }

    /// Shows a turn to its end; Ctrl-C stops the turn, not the program.
    pub(super) async fn watch(
        &mut self,
        turn: TurnId,
        interrupts: &mut mpsc::Receiver<()>,
    ) -> Result<Answer, Error> {
        let (sender, mut happenings) = mpsc::channel(SHOWN_LATER);
        let watcher = Watcher::new(sender);
        let (alma, principal) = (self.alma.clone(), self.principal.clone());
        let (theirs, which) = (watcher.clone(), turn.clone());
        let carrying = tokio::spawn(async move {
            conversation::carry_on(&alma, &principal, &which, &theirs).await
        });
        let mut stopped = false;
        loop {
            tokio::select! {
                happening = happenings.recv() => match happening {
                    Some(happening) => {
                        let complete = matches!(happening, Happening::Complete(_));
                        self.view.show(happening);
                        if complete {
                            break;
                        }
                    }
                    None => break,
                },
                Some(()) = interrupts.recv() => {
                    if stopped {
                        carrying.abort();
                        self.screen.note("left; what is running stops by itself");
                        return Err(Error::Conflict(format!("turn {turn} was left")));
                    }
                    stopped = true;
                    watcher.stop();
                    self.screen.note("stopping (press again to leave at once)");
                    conversation::cancel(self.alma, self.principal, &turn).await?;
                }
                () = tokio::time::sleep(std::time::Duration::from_millis(200)),
                    if carrying.is_finished() && happenings.is_empty() => break,
            }
        }
        let answer = carrying.await.map_err(|error| Error::Machine {
            operation: "carry the turn on".to_owned(),
            cause: error.to_string(),
        })??;
        self.session = Some(answer.session.clone());
        self.last = Some(answer.clone());
        Ok(answer)
    }

    /// The newest session in this folder whose last turn never ended.
    async fn cut_off(&self) -> Result<Option<(SessionId, TurnId)>, Error> {
        let request = sessions_list::Request { before: None, limit: Some(5) };
        let sessions = sessions_list::run(self.alma, self.principal, request).await?.sessions;
        for line in sessions {
            let wanted = match &self.session {
                Some(session) => line.session == *session,
                None => self.workspace.to_str() == Some(line.workspace.as_str()),
            };
            if wanted && let Some(turn) = self.open_turn(&line.session).await? {
                return Ok(Some((line.session, turn)));
            }
        }
        match &self.session {
            Some(session) => Ok(self.open_turn(session).await?.map(|turn| (session.clone(), turn))),
            None => Ok(None),
        }
    }

    async fn open_turn(&self, session: &SessionId) -> Result<Option<TurnId>, Error> {
        let request = sessions_show::Request { session: session.clone(), limit: Some(1) };
        let shown = sessions_show::run(self.alma, self.principal, request).await?;
        Ok(shown
            .history
            .last()
            .filter(|last| last.turn.state == TurnState::Open && last.turn.session == *session)
            .map(|last| last.turn.turn.clone()))
    }

    /// The turn that a client left behind is carried on before anything else.
    async fn pick_up(&mut self, interrupts: &mut mpsc::Receiver<()>) -> Result<(), Error> {
        if let Some((session, turn)) = self.cut_off().await? {
            let request = sessions_show::Request { session: session.clone(), limit: Some(1) };
            let shown = sessions_show::run(self.alma, self.principal, request).await?;
            let said = shown.history.last().map(|last| last.said.clone()).unwrap_or_default();
            self.session = Some(session);
            if !self.screen.json {
                self.screen.line(&format!("going on with “{}”", show::visible(said.trim())));
            }
            self.watch(turn, interrupts).await?;
        }
        Ok(())
    }

    /// Shows an error; the conversation goes on.
    fn sorry(&self, error: &Error) -> Exit {
        if self.screen.json {
            let exit = Exit::of_error(error);
            let line = json!({
                "event": "error", "state": exit.state(), "error": super::exit::chain(error),
            });
            self.screen.line(&line.to_string());
            exit
        } else {
            super::fail(self.screen, error)
        }
    }
}

/// The folder that is talked about, by its whole path.
fn folder(named: Option<PathBuf>) -> Result<PathBuf, Error> {
    let named = named.unwrap_or_else(|| PathBuf::from("."));
    std::fs::canonicalize(&named).ok().filter(|path| path.is_dir()).ok_or_else(|| {
        Error::Usage(format!(
            "the folder {} is not there; name another with --workspace",
            named.display()
        ))
    })
}

/// `alma` and `alma chat`.
pub async fn run(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
    place: Place,
) -> Result<Exit, Error> {
    let mut chat = Chat::new(alma, principal, screen, place)?;
    if screen.interactive && !screen.json {
        at_terminal(&mut chat, interrupts).await
    } else {
        from_lines(&mut chat, interrupts).await
    }
}

/// `alma chat --attach`: one turn, to its end.
pub async fn attach(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
    place: Place,
    turn: TurnId,
) -> Result<Exit, Error> {
    let mut chat = Chat::new(alma, principal, screen, place)?;
    let answer = chat.watch(turn, interrupts).await?;
    Ok(exit_of(&answer))
}

/// `alma ask`: one message, one answer, an exit code that tells how it went.
pub async fn ask(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
    place: Place,
    words: &[String],
) -> Result<Exit, Error> {
    let words = match words {
        [] => read_all().await?,
        [dash] if dash == "-" => read_all().await?,
        words => words.join(" "),
    };
    let quiet = Screen { json: screen.json, interactive: false };
    let mut chat = Chat::new(alma, principal, &quiet, place)?;
    chat.view.only_answer();
    let answer = chat.say(&words, interrupts).await?;
    let exit = exit_of(&answer);
    if screen.json {
        let mut document = serde_json::to_value(&answer).unwrap_or_default();
        document["state"] = json!(exit.state());
        screen.document(&document);
    }
    Ok(exit)
}

/// How a turn ends a command that waited for it.
pub fn exit_of(answer: &Answer) -> Exit {
    match (answer.turn_state, answer.mission_state, answer.route) {
        (TurnState::Cancelled, ..) => Exit::Cancelled,
        (TurnState::Asked | TurnState::Open, ..) => Exit::Waiting,
        (_, Some(state), _) => Exit::of_mission(state),
        (TurnState::Answered, None, _) => Exit::Done,
        (TurnState::Failed, None, Some(Route::Recall)) => Exit::Empty,
        (TurnState::Failed, None, Some(_)) => Exit::Refused,
        (TurnState::Failed, None, None) => Exit::Failed,
    }
}

/// All of standard input as one message.
async fn read_all() -> Result<String, Error> {
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        let most = MESSAGE_BYTES_MAX as u64 + 1;
        std::io::stdin().lock().take(most).read_to_end(&mut bytes).map(|_| bytes)
    });
    let read = read.await.map_err(|error| unread(error.to_string()))?;
    text(read.map_err(|error| unread(error.to_string()))?)
}

fn unread(cause: String) -> Error {
    Error::Machine { operation: "read standard input".to_owned(), cause }
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| {
        Error::Usage(
            "the message is no UTF-8 text: put it into a file in this folder and say what to do \
             with it"
                .to_owned(),
        )
    })
}

/// One message per line; a line that ends with a backslash goes on in the next.
async fn from_lines(
    chat: &mut Chat<'_>,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<Exit, Error> {
    let (sender, mut lines) = mpsc::channel(1);
    // Reading blocks; the thread ends with the input or with the process.
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read_lines(&mut std::io::stdin().lock(), &sender))
        .map_err(|error| unread(error.to_string()))?;
    let mut message = Vec::new();
    let mut exit = Exit::Done;
    chat.pick_up(interrupts).await?;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line.transpose().map_err(|error| unread(error.to_string()))?,
            _ = interrupts.recv() => return Ok(Exit::Cancelled),
        };
        let last = line.is_none();
        let mut line = line.unwrap_or_default();
        let goes_on = !last && line.ends_with(b"\\");
        if goes_on {
            line.pop();
            line.push(b'\n');
        }
        if message.len() <= MESSAGE_BYTES_MAX {
            message.extend_from_slice(&line);
        }
        if goes_on {
            continue;
        }
        let said = std::mem::take(&mut message);
        if !said.iter().all(u8::is_ascii_whitespace) {
            exit = match text(said) {
                Ok(words) => heard(chat, words.trim(), interrupts).await,
                Err(error) => chat.sorry(&error),
            };
        }
        if last {
            return Ok(exit);
        }
    }
}

/// Sends each line without its end, until nobody listens.
fn read_lines(input: &mut impl BufRead, lines: &mpsc::Sender<std::io::Result<Vec<u8>>>) {
    loop {
        let mut line = Vec::new();
        let more = match bounded_line(input, &mut line) {
            Ok(more) => more,
            Err(error) => {
                let _gone = lines.blocking_send(Err(error));
                return;
            }
        };
        let heard = (!more && line.is_empty()) || lines.blocking_send(Ok(line)).is_ok();
        if !heard || !more {
            return;
        }
    }
}

/// Reads a line without its end, and tells whether it had one; what is longer than
/// a message is passed over, save one byte by which it is known to be too long.
fn bounded_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = (MESSAGE_BYTES_MAX + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            if line.ends_with(b"\r") {
                line.pop();
            }
            return Ok(true);
        }
    }
}

async fn heard(chat: &mut Chat<'_>, words: &str, interrupts: &mut mpsc::Receiver<()>) -> Exit {
    if words.starts_with('/')
        && let Some(said) = chat_commands::run(chat, words, interrupts).await
    {
        return match said {
            Ok(_) => Exit::Done,
            Err(error) => chat.sorry(&error),
        };
    }
    match chat.say(words, interrupts).await {
        Ok(answer) => exit_of(&answer),
        Err(error) => chat.sorry(&error),
    }
}

/// A person at a terminal.
async fn at_terminal(
    chat: &mut Chat<'_>,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<Exit, Error> {
    let recent = recent(chat).await?;
    if recent.is_empty() {
        WELCOME.iter().for_each(|line| chat.screen.line(line));
    }
    let mut editor = Editor::open(recent)?;
    chat.pick_up(interrupts).await?;
    if let Some(session) = chat.session.clone() {
        chat_commands::recap(chat, &session).await?;
    }
    loop {
        let asked = match &chat.last {
            Some(last) if last.turn_state == TurnState::Asked => !last.approvals.is_empty(),
            _ => false,
        };
        let heard = tokio::select! {
            heard = editor.read(asked) => heard?,
            _ = interrupts.recv() => Heard::Leave,
        };
        let words = match heard {
            Heard::Leave => break,
            Heard::Nothing => continue,
            Heard::Words(words) => words,
        };
        let words = words.trim();
        let done = match words.to_lowercase().as_str() {
            "" => Ok(()),
            "d" | "details" if asked => details(chat).await,
            "l" | "later" if asked => {
                chat.screen.line("it waits; “yes” or “no” answers it, /approvals shows it");
                chat.last = None;
                Ok(())
            }
            "y" if asked => chat.say("yes", interrupts).await.map(|_| ()),
            "n" if asked => chat.say("no", interrupts).await.map(|_| ()),
            _ if words.starts_with('/') => {
                match chat_commands::run(chat, words, interrupts).await {
                    Some(Ok(Said::Leave)) => break,
                    Some(Ok(Said::Done)) => Ok(()),
                    Some(Err(error)) => Err(error),
                    None => chat.say(words, interrupts).await.map(|_| ()),
                }
            }
            _ => chat.say(words, interrupts).await.map(|_| ()),
        };
        if let Err(error) = done {
            chat.sorry(&error);
        }
    }
    editor.close();
    Ok(Exit::Done)
}

/// Effects that are shown with all their arguments.
const EXACT_MAX: usize = 12;

/// Every effect of what is asked, exactly.
async fn details(chat: &mut Chat<'_>) -> Result<(), Error> {
    let approvals = chat.last.as_ref().map(|last| last.approvals.clone()).unwrap_or_default();
    for approval in approvals {
        let request = approval_show::Request { approval };
        let shown = approval_show::run(chat.alma, chat.principal, request).await?;
        let shown = serde_json::to_value(shown).unwrap_or_default();
        chat.screen.line(show::whole_card(&shown).trim_end());
        let effects = &shown["card"]["effects"];
        match effects.as_array().is_some_and(|all| all.len() > EXACT_MAX) {
            true => chat.screen.line(&format!(
                "with all arguments: alma --json approvals show {}",
                show::text(&shown["approval"])
            )),
            false => chat.screen.line(&serde_json::to_string_pretty(effects).unwrap_or_default()),
        }
    }
    Ok(())
}

/// What was said lately, oldest first, out of the content store.
async fn recent(chat: &Chat<'_>) -> Result<Vec<String>, Error> {
    let request = sessions_list::Request { before: None, limit: Some(RECENT) };
    let sessions = sessions_list::run(chat.alma, chat.principal, request).await?.sessions;
    let mut said = Vec::new();
    for line in sessions.into_iter().rev() {
        let request = sessions_show::Request { session: line.session, limit: Some(RECENT) };
        let shown = sessions_show::run(chat.alma, chat.principal, request).await?;
        said.extend(shown.history.into_iter().map(|turn| turn.said));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::rows::MissionState;

    fn check(turn: TurnState, mission: Option<MissionState>, route: Route, expect: Exit) {
        let answer = Answer {
            session: "s-0000000000000000".parse().unwrap(),
            turn: "u-0000000000000000".parse().unwrap(),
            turn_state: turn,
            route: Some(route),
            reason: None,
            tone: None,
            answer: String::new(),
            mission: None,
            mission_state: mission,
            approvals: Vec::new(),
        };
        assert_eq!(exit_of(&answer), expect, "{turn:?} {mission:?} {route:?}");
    }

    #[test]
    fn lines_have_a_bound_and_the_next_line_is_whole() {
        let long = format!("{}\nshort\r\nlast", "a".repeat(MESSAGE_BYTES_MAX * 3));
        let mut input = std::io::Cursor::new(long);
        let mut read = || {
            let mut line = Vec::new();
            let more = bounded_line(&mut input, &mut line).unwrap();
            (line.len(), more)
        };
        assert_eq!(read(), (MESSAGE_BYTES_MAX + 1, true));
        assert_eq!(read(), (5, true));
        assert_eq!(read(), (4, false));
    }

    #[test]
    fn a_turn_ends_a_command_as_it_went() {
        check(TurnState::Answered, None, Route::Chat, Exit::Done);
        check(TurnState::Answered, Some(MissionState::Done), Route::Mission, Exit::Done);
        check(
            TurnState::Answered,
            Some(MissionState::Unverified),
            Route::Mission,
            Exit::Unverified,
        );
        check(TurnState::Asked, Some(MissionState::Waiting), Route::Mission, Exit::Waiting);
        check(TurnState::Failed, None, Route::Mission, Exit::Refused);
        check(TurnState::Failed, None, Route::Recall, Exit::Empty);
        check(TurnState::Failed, Some(MissionState::Failed), Route::Mission, Exit::Failed);
        check(TurnState::Cancelled, Some(MissionState::Cancelled), Route::Mission, Exit::Cancelled);
    }
}
