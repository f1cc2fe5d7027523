//! Pocket: what ships inside the program and says at once what a text is.
//!
//! Made by `models/recipes/pocket`; what it can do and cannot stands in
//! `models/pocket/README.md`.

mod words;

use charter::conversation::Route;
use charter::reflex::{Leaning, Reflex};
use std::sync::{Arc, OnceLock};
use words::Words;
pub use words::WordsError;

/// The reflex that ships with the program.
#[derive(Debug)]
pub struct Pocket {
    words: Words,
}

impl Pocket {
    /// Checks what ships.
    pub fn new() -> Result<Self, WordsError> {
        Ok(Self { words: Words::shipped()? })
    }

    /// The one of this process, made when it is first asked for.
    pub fn shared() -> Result<Arc<Self>, WordsError> {
        static SHARED: OnceLock<Result<Arc<Pocket>, WordsError>> = OnceLock::new();
        SHARED.get_or_init(|| Self::new().map(Arc::new)).clone()
    }
}

impl Reflex for Pocket {
    fn route(&self, message: &str) -> [f32; Route::ALL.len()] {
        let found = self.words.route(message);
        let of = |route: Route| found.iter().find(|(label, _)| *label == route.as_str());
        Route::ALL.map(|route| of(route).map_or(0.0, |(_, share)| *share))
    }

    fn playbook(&self, wish: &str) -> Leaning {
        Leaning::new(self.words.playbook(wish))
    }
}
