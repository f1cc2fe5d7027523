//! The way to the language model: the process that holds the data folder loads it,
//! and every other process asks there.
//!
//! An answer takes longer than one call of the household may, so it is fetched
//! piece by piece: [`Request::Begin`] starts it under a name, [`Request::More`]
//! waits for what it says next. Where the holder of the folder ends in the middle,
//! the next one begins anew; the same ask gives the same answer, so what was heard
//! already is not said twice.

use crate::model::LazyModel;
use async_trait::async_trait;
use charter::generate::{Ask, Ended, Generate, GenerateError, Generated};
use charter::tool::Process;
use ledger::household::{Household, Role, Service};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use surfaces::cli::exit::chain;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Its name among the services of a household.
pub(crate) const SERVICE: &str = "model";

/// Answers under way for other processes at the same time.
const ANSWERS_MAX: usize = 64;
/// How long a question waits for something to be said.
const HOLD: Duration = Duration::from_millis(400);
/// How long an answer goes on while nobody asks what it says.
const SILENCE: Duration = Duration::from_secs(10);
/// How often an answer is begun anew.
const BEGIN_MAX: usize = 5;

/// What another process asks.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Begin an answer; once, however often it is asked.
    Begin {
        /// Its name, drawn by whoever asks.
        name: String,
        /// The model that is meant.
        model: PathBuf,
        /// The ask.
        ask: Box<Ask>,
    },
    /// What an answer says from a byte on.
    More {
        /// Its name.
        name: String,
        /// The byte.
        from: usize,
    },
    /// Drop what a tenant's conversations left in memory.
    Forget {
        /// The tenant.
        tenant: String,
    },
    /// Nobody wants it any more.
    Leave {
        /// Its name.
        name: String,
    },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
enum Response {
    /// Done.
    Done,
    /// What is said, and how it ended if it has.
    Said { text: String, end: Option<End> },
    /// There is no answer of this name.
    Unknown,
    /// Another model is configured here, or none.
    Other,
    /// Too many answers are under way.
    Busy { waiting: usize },
}

/// The end of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct End {
    /// What the model calls itself.
    name: String,
    made: Result<Generated, Failed>,
}

/// A [`GenerateError`] that can be sent: what callers tell apart, the rest in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Failed {
    TooLong { prompt: u64, answer: u64, context: u64 },
    NoRoom { max_tokens: u32 },
    Busy { waiting: usize },
    NotANumber { model: String },
    Unusable { model: String, why: String },
    Ask(String),
    Shape(String),
    Other(String),
}

impl From<GenerateError> for Failed {
    fn from(error: GenerateError) -> Self {
        use GenerateError as E;
        let why = |error: &E| {
            let cause = std::error::Error::source(error);
            cause.map_or_else(String::new, chain)
        };
        match error {
            E::TooLong { prompt, answer, context } => Self::TooLong { prompt, answer, context },
            E::NoRoom { max_tokens } => Self::NoRoom { max_tokens },
            E::Busy { waiting } => Self::Busy { waiting },
            E::NotANumber { model } => Self::NotANumber { model },
            E::Ask(why) => Self::Ask(why),
            E::Shape(why) => Self::Shape(why),
            E::Unusable { ref model, .. } => {
                Self::Unusable { model: model.clone(), why: why(&error) }
            }
            E::Engine { .. } => Self::Other(chain(&error)),
        }
    }
}

impl From<Failed> for GenerateError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::TooLong { prompt, answer, context } => {
                Self::TooLong { prompt, answer, context }
            }
            Failed::NoRoom { max_tokens } => Self::NoRoom { max_tokens },
            Failed::Busy { waiting } => Self::Busy { waiting },
            Failed::NotANumber { model } => Self::NotANumber { model },
            Failed::Ask(why) => Self::Ask(why),
            Failed::Shape(why) => Self::Shape(why),
            Failed::Unusable { model, why } => Self::Unusable { model, source: why.into() },
            Failed::Other(why) => Self::Engine { operation: "answer", source: why.into() },
        }
    }
}

/// An answer under way.
struct Answer {
    said: Mutex<Said>,
    more: Notify,
}

struct Said {
    text: String,
    end: Option<End>,
    /// When somebody last asked for it.
    asked: Instant,
}

impl Answer {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the model says; a break where nobody listens any more.
    fn take(&self, text: &str) -> ControlFlow<()> {
        let mut said = self.said();
        said.text.push_str(text);
        let left = said.asked.elapsed() > SILENCE;
        drop(said);
        if !text.is_empty() {
            self.more.notify_waiters();
        }
        if left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// What is said from a byte on, once there is something or the time is over.
    async fn more(&self, from: usize) -> (String, Option<End>) {
        let until = tokio::time::Instant::now() + HOLD;
        loop {
            let mut news = std::pin::pin!(self.more.notified());
            // Whatever is said from here on wakes it.
            news.as_mut().enable();
            {
                let mut said = self.said();
                said.asked = Instant::now();
                let text = said.text.get(from..).unwrap_or_default().to_owned();
                let late = tokio::time::Instant::now() >= until;
                if late || !text.is_empty() || said.end.is_some() {
                    return (text, said.end.clone());
                }
            }
            // Whether something was said or the time is over: it looks again.
            let _ = tokio::time::timeout_at(until, news).await;
        }
    }
}

/// The model as a service of the household.
pub(crate) struct Desk {
    model: Arc<dyn Generate>,
    path: PathBuf,
    answers: Mutex<HashMap<String, Arc<Answer>>>,
}

impl Desk {
    /// For the model that lies at a path.
    pub(crate) fn new(path: &Path, model: Arc<dyn Generate>) -> Self {
        Self { model, path: path.to_owned(), answers: Mutex::default() }
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, Arc<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, name: String, ask: Ask) -> Response {
        let mut answers = self.answers();
        // Ended, and nobody came for the end.
        answers.retain(|_, answer| {
            let said = answer.said();
            said.end.is_none() || said.asked.elapsed() < SILENCE
        });
        if answers.contains_key(&name) {
            return Response::Done;
        }
        if answers.len() >= ANSWERS_MAX {
            return Response::Busy { waiting: answers.len() };
        }
        let said = Said { text: String::new(), end: None, asked: Instant::now() };
        let answer = Arc::new(Answer { said: Mutex::new(said), more: Notify::new() });
        answers.insert(name, Arc::clone(&answer));
        let model = Arc::clone(&self.model);
        tokio::task::spawn_blocking(move || {
            let made = model.generate(&ask, &mut |text| answer.take(text));
            let made = made.map_err(Failed::from);
            answer.said().end = Some(End { name: model.name().to_owned(), made });
            answer.more.notify_waiters();
        });
        Response::Done
    }

    async fn respond(&self, request: Request) -> Response {
        match request {
            Request::Begin { model, .. } if model != self.path => Response::Other,
            Request::Begin { name, ask, .. } => self.begin(name, *ask),
            Request::More { name, from } => {
                let found = self.answers().get(&name).cloned();
                let Some(answer) = found else { return Response::Unknown };
                let (text, end) = answer.more(from).await;
                if end.is_some() {
                    self.answers().remove(&name);
                }
                Response::Said { text, end }
            }
            Request::Forget { tenant } => {
                self.model.forget(&tenant);
                Response::Done
            }
            Request::Leave { name } => {
                if let Some(answer) = self.answers().remove(&name) {
                    let long_ago = Instant::now().checked_sub(2 * SILENCE);
                    let mut said = answer.said();
                    said.asked = long_ago.unwrap_or(said.asked);
                }
                Response::Done
            }
        }
    }
}

#[async_trait]
impl Service for Desk {
    async fn answer(&self, question: &[u8]) -> Vec<u8> {
        let response = match serde_json::from_slice::<Request>(question) {
            Ok(request) => self.respond(request).await,
            Err(error) => {
                tracing::warn!(%error, "a question to the language model is not understood");
                Response::Other
            }
        };
        serde_json::to_vec(&response).unwrap_or_default()
    }
}

/// The model, wherever in the household it is loaded.
pub(crate) struct Way {
    household: Arc<Household>,
    /// For the time that this process holds the folder.
    own: Arc<LazyModel>,
    path: PathBuf,
    name: OnceLock<String>,
    context: OnceLock<u32>,
    process: Process,
    asked: AtomicU64,
    runtime: Handle,
}

/// What an answer came to elsewhere.
enum Elsewhere {
    Ended(Generated),
    /// No process of the household computes for this model.
    Nobody,
}

impl Way {
    /// To the model that lies at a path. Only within a runtime.
    pub(crate) fn new(household: Arc<Household>, path: &Path, own: Arc<LazyModel>) -> Self {
        Self {
            household,
            own,
            path: path.to_owned(),
            name: OnceLock::new(),
            context: OnceLock::new(),
            process: hephaestus::process::me(),
            asked: AtomicU64::new(0),
            runtime: Handle::current(),
        }
    }

    fn ask(&self, request: &Request) -> Result<Response, GenerateError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| GenerateError::Engine {
            operation: "be asked in the process that holds the data folder",
            source,
        };
        let question = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
        // Whoever generates is on a thread that may wait.
        let answer = self.runtime.block_on(self.household.ask(SERVICE, question));
        match answer {
            Ok(answer) => serde_json::from_slice(&answer).map_err(|error| failed(error.into())),
            Err(charter::ports::LedgerError::NotFound(_)) => Ok(Response::Other),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn elsewhere(
        &self,
        ask: &Ask,
        token: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Elsewhere, GenerateError> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", self.process.pid, self.process.start);
        // What was handed on, over all beginnings.
        let mut heard = String::new();
        for _ in 0..BEGIN_MAX {
            let begin = Request::Begin {
                name: name.clone(),
                model: self.path.clone(),
                ask: Box::new(ask.clone()),
            };
            match self.ask(&begin)? {
                Response::Done => {}
                Response::Busy { waiting } => return Err(GenerateError::Busy { waiting }),
                _ => return Ok(Elsewhere::Nobody),
            }
            let mut text = String::new();
            loop {
                let from = text.len();
                let more = self.ask(&Request::More { name: name.clone(), from })?;
                let Response::Said { text: news, end } = more else { break };
                text.push_str(&news);
                let Some(fresh) = unheard(&heard, &text) else {
                    return Err(GenerateError::Engine {
                        operation: "go on with an answer",
                        source: "the process that computed it ended; ask again".into(),
                    });
                };
                // An answer that is over cannot be ended any more.
                let stop = token(fresh).is_break() && end.is_none();
                heard.push_str(fresh);
                if stop {
                    self.ask(&Request::Leave { name })?;
                    let (text, ended) = (heard, Ended::Cancelled);
                    return Ok(Elsewhere::Ended(Generated {
                        text,
                        prompt_tokens: 0,
                        tokens: 0,
                        ended,
                        logprobs: Vec::new(),
                    }));
                }
                if let Some(end) = end {
                    self.name.get_or_init(|| end.name);
                    return Ok(Elsewhere::Ended(end.made?));
                }
            }
        }
        Err(GenerateError::Engine {
            operation: "end an answer",
            source: format!("it was begun {BEGIN_MAX} times, and each time its process ended")
                .into(),
        })
    }
}

/// What of a text was not heard yet; `None`: it is another text.
fn unheard<'t>(heard: &str, text: &'t str) -> Option<&'t str> {
    if heard.starts_with(text) { Some("") } else { text.strip_prefix(heard) }
}

impl Generate for Way {
    fn name(&self) -> &str {
        self.name.get().map_or_else(|| self.own.name(), String::as_str)
    }

    fn context(&self) -> u32 {
        match self.context.get() {
            Some(context) => *context,
            None => match self.own.context() {
                0 => 0,
                context => *self.context.get_or_init(|| context),
            },
        }
    }

    fn generate(
        &self,
        ask: &Ask,
        token: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        if self.household.role() != Role::Owner
            && let Elsewhere::Ended(made) = self.elsewhere(ask, token)?
        {
            return Ok(made);
        }
        self.own.generate(ask, token)
    }

    fn forget(&self, tenant: &str) {
        self.own.forget(tenant);
        if self.household.role() != Role::Owner
            && let Err(error) = self.ask(&Request::Forget { tenant: tenant.to_owned() })
        {
            tracing::warn!(%error, "what the language model has read stays in memory elsewhere");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::generate::{Message, Shape};
    use ledger::SqliteLedger;
    use ledger::household::OpenedLedger;

    /// Says a word at a time, with a pause.
    struct Slow {
        says: &'static str,
        asked: AtomicU64,
    }

    impl Generate for Slow {
        fn name(&self) -> &str {
            "slow sha256:9a129038d9b2a5d9a4dfcd8a2a7ae1ebaf3a1d1c8e4a5e2f9d2a4b7c6d5e4f3a"
        }

        fn context(&self) -> u32 {
            512
        }

        fn generate(
            &self,
            ask: &Ask,
            token: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> Result<Generated, GenerateError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if ask.max_tokens == 1 {
                return Err(GenerateError::TooLong { prompt: 9, answer: 1, context: 3 });
            }
            let mut text = String::new();
            for word in self.says.split_inclusive(' ') {
                std::thread::sleep(Duration::from_millis(20));
                text.push_str(word);
                if token(word).is_break() {
                    let ended = Ended::Cancelled;
                    return Ok(Generated {
                        text,
                        prompt_tokens: 1,
                        tokens: 1,
                        ended,
                        logprobs: Vec::new(),
                    });
                }
            }
            Ok(Generated {
                text,
                prompt_tokens: 1,
                tokens: 4,
                ended: Ended::Whole,
                logprobs: Vec::new(),
            })
        }
    }

    type Opening = std::pin::Pin<
        Box<dyn Future<Output = Result<OpenedLedger, charter::ports::LedgerError>> + Send>,
    >;

    /// A process of a household.
    struct Member {
        household: Arc<Household>,
        way: Arc<Way>,
        model: Arc<Slow>,
    }

    async fn process(home: &Path, says: &'static str) -> Member {
        let model = Arc::new(Slow { says, asked: AtomicU64::new(0) });
        let (folder, of) = (home.to_owned(), Arc::clone(&model));
        let open = Box::new(move || {
            let (folder, of) = (folder.clone(), Arc::clone(&of) as Arc<dyn Generate>);
            let opening: Opening = Box::pin(async move {
                let clock: Arc<dyn charter::ports::Clock> = Arc::new(crate::system::SystemClock);
                let key = ledger::keys::draw().unwrap();
                let ledger = SqliteLedger::open(&folder.join("ledger.db"), clock, key).await?;
                let desk = Arc::new(Desk::new(Path::new("/m"), of));
                Ok(OpenedLedger::from(ledger).with_service(SERVICE, desk))
            });
            opening
        });
        let household = Household::open(home, open).await.unwrap();
        let own = Arc::new(LazyModel::new("/nowhere/m".into(), None));
        let way = Arc::new(Way::new(Arc::clone(&household), Path::new("/m"), own));
        Member { household, way, model }
    }

    fn ask(tokens: u32) -> Ask {
        Ask::new(vec![Message::user("hi")], Shape::Text, tokens)
    }

    /// What comes of an ask, and the pieces in which it was heard; `stop` is how
    /// many of them are wanted.
    async fn heard(
        way: &Arc<Way>,
        tokens: u32,
        stop: usize,
    ) -> (Result<Generated, GenerateError>, Vec<String>) {
        let way = Arc::clone(way);
        let asking = tokio::task::spawn_blocking(move || {
            let mut pieces = Vec::new();
            let made = way.generate(&ask(tokens), &mut |piece| {
                if !piece.is_empty() {
                    pieces.push(piece.to_owned());
                }
                let enough = pieces.len() >= stop;
                if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (made, pieces)
        });
        asking.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_attached_process_hears_the_answer_as_it_comes() {
        let home = tempfile::tempdir().unwrap();
        let owner = process(home.path(), "one two three four").await;
        let other = process(home.path(), "nothing").await;
        let (made, pieces) = heard(&other.way, 8, usize::MAX).await;
        assert_eq!(made.unwrap().text, "one two three four");
        assert!(pieces.len() > 1 && pieces.concat() == "one two three four", "{pieces:?}");
        assert!(other.way.name().starts_with("slow sha256:"));
        let asked = |of: &Member| of.model.asked.load(Ordering::SeqCst);
        assert_eq!((asked(&owner), asked(&other)), (1, 0));
        let (made, _) = heard(&other.way, 1, usize::MAX).await;
        assert!(matches!(made, Err(GenerateError::TooLong { prompt: 9, .. })), "{made:?}");
        let (made, _) = heard(&other.way, 8, 1).await;
        assert_eq!(made.unwrap().ended, Ended::Cancelled);
        other.household.close().await;
        owner.household.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_next_holder_begins_anew_and_nothing_is_heard_twice() {
        let home = tempfile::tempdir().unwrap();
        const LONG: &str = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
        let owner = process(home.path(), LONG).await;
        let next = process(home.path(), LONG).await;
        let other = process(home.path(), LONG).await;
        let way = Arc::clone(&other.way);
        let asking = tokio::spawn(async move { heard(&way, 8, usize::MAX).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        owner.household.close().await;
        let (made, pieces) = asking.await.unwrap();
        assert_eq!((made.unwrap().text.as_str(), pieces.concat().as_str()), (LONG, LONG));
        other.household.close().await;
        next.household.close().await;
    }

    #[test]
    fn only_what_is_new_is_handed_on() {
        let check = |heard: &str, text, expect| assert_eq!(unheard(heard, text), expect);
        check("", "ab", Some("ab"));
        check("ab", "abc", Some("c"));
        check("abc", "ab", Some(""));
        check("ab", "xy", None);
    }
}
