//! The language model of this process: found at once, loaded when it is first
//! asked, on a thread of its own; and the models that lie beside it. Which process
//! of a household loads it, [`crate::thinker`] says.

use alma::Error;
use alma::config::model::FOLDER;
use alma::operations::models_list::{self, Line, Recommended};
use alma::operations::models_show;
use charter::generate::{Ask, Ended, Generate, GenerateError, Generated};
use models::catalogue::RECOMMENDED;
use models::qwen::Options;
use models::qwen::describe::{Speed, describe, details};
use models::{LoadError, Qwen};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use surfaces::cli::exit::chain;
use surfaces::http::Gauge;

/// Asks that may wait while the model is being loaded.
const WAITING_MAX: usize = 16;
/// How often somebody who waits is asked whether to go on waiting.
const LOOK: Duration = Duration::from_millis(100);
/// Models of the folder that are listed.
const LISTED_MAX: usize = 200;

/// A model that is loaded when it is first asked.
pub(crate) struct LazyModel {
    path: PathBuf,
    /// The one that guesses ahead of it.
    draft: Option<PathBuf>,
    /// Name of the file, until the digest is known.
    stem: String,
    name: OnceLock<String>,
    shared: Arc<Shared>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Clone)]
enum State {
    #[default]
    Untouched,
    Loading,
    Ready(Arc<Qwen>),
    /// Why it cannot be used. The file is not tried again: that takes a restart.
    Broken(String),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }
}

/// A place among those that wait.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl LazyModel {
    /// The model at a path, and one that guesses ahead of it; nothing is read yet.
    pub(crate) fn new(path: PathBuf, draft: Option<PathBuf>) -> Self {
        let stem = name_of(&path);
        let (name, shared) = (OnceLock::new(), Arc::default());
        Self { path, draft, stem, name, shared, waiting: AtomicUsize::new(0) }
    }

    fn load_beside(&self) {
        let (path, shared) = (self.path.clone(), Arc::clone(&self.shared));
        let options = Options { draft: self.draft.clone(), ..Options::default() };
        let started = std::thread::Builder::new().name("model".to_owned()).spawn(move || {
            // Whatever a file makes the loader do, somebody waits for the end.
            let loaded = catch_unwind(AssertUnwindSafe(|| Qwen::load_with(&path, options)));
            shared.set(match loaded {
                Ok(Ok(model)) => {
                    tracing::info!(model = model.stem(), "the language model is loaded");
                    State::Ready(Arc::new(model))
                }
                Ok(Err(error)) => State::Broken(chain(&error)),
                Err(_) => State::Broken(format!("{} could not be read", path.display())),
            });
        });
        if let Err(error) = started {
            self.shared.set(State::Broken(format!("no thread could be started: {error}")));
        }
    }

    /// The model, loaded; `None`: `go_on` said to stop waiting.
    fn loaded(
        &self,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Arc<Qwen>>, GenerateError> {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _place = Place(&self.waiting);
        let mut state = self.shared.state();
        loop {
            match &*state {
                State::Ready(model) => {
                    return Ok(Some(Arc::clone(model)));
                }
                State::Broken(why) => {
                    let (model, source) = (self.stem.clone(), why.clone().into());
                    return Err(GenerateError::Unusable { model, source });
                }
                _ if waiting >= WAITING_MAX => return Err(GenerateError::Busy { waiting }),
                State::Untouched => {
                    *state = State::Loading;
                    drop(state);
                    self.load_beside();
                    state = self.shared.state();
                }
                State::Loading => {
                    let waited = self.shared.changed.wait_timeout(state, LOOK);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                    // Whoever is asked may take its time: the loader needs the lock.
                    if go_on().is_break() {
                        return Ok(None);
                    }
                    state = self.shared.state();
                }
            }
        }
    }

    /// Figures of the engine; none while no model is loaded here.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let State::Ready(model) = &*self.shared.state() else { return Vec::new() };
        let figures = model.figures();
        let gauge = |name, help, value| Gauge { name, help, label: None, value };
        vec![
            gauge("alma_model_active", "Answers in the making.", figures.active as u64),
            gauge("alma_model_waiting", "Asks that wait.", figures.waiting as u64),
            gauge("alma_model_tokens_total", "Tokens that the model has read.", figures.read),
            gauge(
                "alma_model_prefix_hits_total",
                "Tokens of prompts that were in the cache.",
                figures.hits,
            ),
            gauge(
                "alma_model_prefix_misses_total",
                "Tokens of prompts that were not.",
                figures.misses,
            ),
            gauge("alma_model_guessed_total", "Tokens that were guessed ahead.", figures.guessed),
            gauge("alma_model_guessed_right_total", "Guesses that came true.", figures.right),
            gauge(
                "alma_model_drafts_failed_total",
                "Smaller models that failed and guess no more.",
                figures.drafts_failed,
            ),
            gauge(
                "alma_model_cache_bytes",
                "Bytes of the cache that hold something.",
                figures.cache_bytes,
            ),
        ]
    }
}

impl Generate for LazyModel {
    fn name(&self) -> &str {
        self.name.get().unwrap_or(&self.stem)
    }

    fn context(&self) -> u32 {
        if let State::Ready(model) = &*self.shared.state() {
            return model.context();
        }
        let found = describe(&self.path).map(|found| found.context_used);
        found.ok().and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(0)
    }

    fn generate(
        &self,
        ask: &Ask,
        token: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        let found = self.loaded(&mut || token(""))?;
        match found {
            Some(model) => {
                let made = model.generate(ask, token);
                // Its digest takes a while, in which it answers.
                self.name.get_or_init(|| model.name().to_owned());
                made
            }
            None => {
                let (text, ended) = (String::new(), Ended::Cancelled);
                Ok(Generated { text, prompt_tokens: 0, tokens: 0, ended, logprobs: Vec::new() })
            }
        }
    }

    fn forget(&self, tenant: &str) {
        if let State::Ready(model) = &*self.shared.state() {
            model.forget(tenant);
        }
    }
}

/// Models that lie in the data folder, and the configured one.
pub(crate) fn list(home: &Path, used: Option<&Path>) -> models_list::Response {
    let folder = home.join(FOLDER);
    let models = found(&folder, used).iter().map(|path| line(path, used)).collect();
    let recommended = RECOMMENDED
        .iter()
        .map(|one| Recommended {
            name: one.name.to_owned(),
            format: one.format.to_owned(),
            bytes: one.bytes,
            memory: one.memory.to_owned(),
            why: one.why.to_owned(),
        })
        .collect();
    models_list::Response { models, folder, recommended }
}

/// One model, looked at closely.
pub(crate) fn show(
    home: &Path,
    used: Option<&Path>,
    name: Option<&str>,
) -> Result<models_show::Response, Error> {
    let path = match name {
        None => used.map(Path::to_owned).ok_or_else(|| {
            Error::NotFound(
                "a configured language model (`alma models list` shows what is there and how to \
                 use it)"
                    .to_owned(),
            )
        })?,
        Some(name) => found(&home.join(FOLDER), used)
            .into_iter()
            .find(|path| name_of(path) == name)
            .ok_or_else(|| {
                Error::NotFound(format!(
                    "the language model {name:?} (`alma models list` shows all)"
                ))
            })?,
    };
    let unusable = |error: LoadError| Error::Machine {
        operation: format!("look at the language model {}", name_of(&path)),
        cause: chain(&error),
    };
    let found = describe(&path).map_err(unusable)?;
    let more = details(&path).map_err(unusable)?;
    let (heads, kv_heads) = found.heads;
    Ok(models_show::Response {
        name: name_of(&path),
        used: Some(path.as_path()) == used,
        architecture: found.architecture.to_owned(),
        format: found.format,
        bytes: found.bytes,
        runs: runs(found.speed).to_owned(),
        shape: format!(
            "{} layers of {}, {heads} heads ({kv_heads} for keys), {} rows of vocabulary",
            found.layers, found.hidden, found.vocabulary
        ),
        context: found.context,
        context_used: found.context_used,
        tokens: more.tokens,
        template: more.template.unwrap_or_else(|| "ChatML (the model brings none)".to_owned()),
        digest: more.digest.map(|digest| digest.to_string()).unwrap_or_default(),
        path,
    })
}

fn line(path: &Path, used: Option<&Path>) -> Line {
    let own = Line { name: name_of(path), used: Some(path) == used, ..Line::default() };
    match describe(path) {
        Ok(found) => Line {
            architecture: Some(found.architecture.to_owned()),
            format: Some(found.format),
            bytes: Some(found.bytes),
            context: Some(found.context),
            runs: Some(runs(found.speed).to_owned()),
            ..own
        },
        Err(error) => Line { problem: Some(chain(&error)), ..own },
    }
}

fn runs(speed: Speed) -> &'static str {
    match speed {
        Speed::Good => "well",
        Speed::Slow => "slowly",
    }
}

/// Everything in the folder that could be meant as a model, and the used one.
fn found(folder: &Path, used: Option<&Path>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let hidden = |path: &Path| name_of(path).starts_with('.');
    let mut all: Vec<PathBuf> = entries
        .take(LISTED_MAX)
        .map(|entry| entry.path())
        .filter(|path| !hidden(path))
        .filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "gguf"))
        .collect();
    all.extend(used.filter(|used| !all.iter().any(|path| path == used)).map(Path::to_owned));
    all.sort();
    all
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::generate::{Message, Shape};

    fn ask() -> Ask {
        Ask::new(vec![Message::user("hi")], Shape::Text, 4)
    }

    #[test]
    fn a_model_that_is_none_says_why_each_time_and_is_read_once() {
        let model = LazyModel::new("/nowhere/none.gguf".into(), None);
        for _ in 0..2 {
            let error = model.generate(&ask(), &mut |_| ControlFlow::Continue(())).unwrap_err();
            assert_eq!(error.to_string(), "the language model none.gguf cannot be used");
            assert!(chain(&error).contains("does not exist"), "{}", chain(&error));
        }
        assert_eq!((model.context(), model.name()), (0, "none.gguf"));
    }

    #[test]
    fn whoever_waits_can_leave_and_not_too_many_wait() {
        let model = LazyModel::new("/nowhere/none.gguf".into(), None);
        model.shared.set(State::Loading);
        let made = model.generate(&ask(), &mut |_| ControlFlow::Break(())).unwrap();
        assert_eq!(made.ended, Ended::Cancelled);
        model.waiting.store(WAITING_MAX, Ordering::SeqCst);
        let error = model.generate(&ask(), &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, GenerateError::Busy { waiting: WAITING_MAX }), "{error}");
    }

    #[test]
    fn an_empty_folder_still_recommends() {
        let listed = list(Path::new("/nowhere"), None);
        assert!(listed.models.is_empty() && !listed.recommended.is_empty());
    }
}
