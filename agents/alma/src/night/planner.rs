//! The planner, as the night asks it: pure, with one playbook more where one is on
//! trial.

use charter::budget::Budget;
use charter::effect::EffectClass;
use charter::label::Label;
use charter::reflex::Reflex;
use charter::survey::Survey;
use charter::tool::ToolSpec;
use forty_two::planner::{Names, Outcome, Piece, Planner, Reading};
use jiff::civil::Date;
use moroni::playbook::Playbook;
use moroni::playbooks::Library;
use moroni::reading::{Reading as Read, What};
use moroni::{Planned, Request};
use policy::{Place, Verdict};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Libraries with a playbook on trial that are kept.
const KEPT_MAX: usize = 16;

/// The planner with everything that it needs.
pub(super) struct Drawing {
    library: Arc<Library>,
    specs: Vec<ToolSpec>,
    today: Date,
    budget: Budget,
    reflex: Option<Arc<dyn Reflex>>,
    /// Libraries by the playbook on trial; `None` if that cannot be read.
    tried: Mutex<BTreeMap<String, Option<Arc<Library>>>>,
}

impl Drawing {
    pub(super) fn new(
        library: Arc<Library>,
        specs: Vec<ToolSpec>,
        today: Date,
        budget: Budget,
        reflex: Option<Arc<dyn Reflex>>,
    ) -> Self {
        Self { library, specs, today, budget, reflex, tried: Mutex::default() }
    }

    fn with(&self, own: Option<&str>) -> Option<Arc<Library>> {
        let Some(text) = own else { return Some(Arc::clone(&self.library)) };
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = tried.get(text) {
            return found.clone();
        }
        let made = self.parse(text).ok().and_then(|playbook| {
            let mut all = self.library.playbooks.clone();
            all.retain(|other| other.name != playbook.name);
            all.push(Playbook { own: true, ..playbook });
            Library::of(all).ok().map(Arc::new)
        });
        if tried.len() >= KEPT_MAX {
            tried.clear();
        }
        tried.insert(text.to_owned(), made.clone());
        made
    }

    fn parse(&self, text: &str) -> Result<Playbook, String> {
        Playbook::parse("the proposal", text, self.library.lexicon)
            .map_err(|error| error.to_string())
    }
}

impl Planner for Drawing {
    fn plan(&self, own: Option<&str>, wish: &str, survey: &Survey) -> Outcome {
        let Some(library) = self.with(own) else {
            return Outcome::Refused("the playbook cannot be read".to_owned());
        };
        let planned = moroni::plan(&Request {
            words: wish,
            survey,
            playbooks: &library,
            specs: &self.specs,
            today: self.today,
            budget: self.budget.clone(),
            reflex: self.reflex.as_deref(),
        });
        match planned {
            Planned::Plan { plan, .. } => Outcome::Plan(Box::new(plan)),
            Planned::Refused(refusal) => Outcome::Refused(refusal.message),
        }
    }

    fn read(&self, wish: &str, survey: &Survey) -> Reading {
        let Some(read) = Read::new(self.library.lexicon, wish, survey, self.today) else {
            return Reading { language: "en".to_owned(), pieces: Vec::new() };
        };
        let sentence = &read.sentence;
        let names = |i: usize| {
            let what = read.mentions.iter().find(|m| (m.from..m.to).contains(&i));
            match what.map(|m| &m.what) {
                Some(What::Path { .. } | What::Glob(_) | What::Folder(_) | What::Files(_)) => {
                    Names::Files
                }
                Some(What::Days(_)) => Names::Days,
                Some(What::Number(_)) => Names::Number,
                Some(What::Quoted(_) | What::Url) => Names::Value,
                None if sentence.tokens[i].is_value() => Names::Value,
                None => Names::Nothing,
            }
        };
        let pieces = sentence.tokens.iter().enumerate().map(|(i, token)| Piece {
            start: token.start,
            end: token.end,
            folded: token.folded.clone(),
            content: sentence.is_content(i),
            concepts: sentence.concepts[i].iter().cloned().collect(),
            names: names(i),
        });
        Reading { language: sentence.language.code.to_owned(), pieces: pieces.collect() }
    }

    fn flaws(&self, playbook: &str) -> Vec<String> {
        match self.parse(playbook) {
            Ok(playbook) => moroni::trial::trial(&playbook, &self.specs),
            Err(message) => vec![message],
        }
    }

    fn is_taken(&self, name: &str) -> bool {
        self.library.get(name).is_some()
    }
}

/// Whether policy lets an effect happen unasked when its arguments come from text
/// that was read.
pub(super) fn unasked(rules: &policy::Settings, class: EffectClass) -> bool {
    let request =
        policy::Request { class, place: Place::Workspace, label: Label::UNTRUSTED, sandbox: None };
    policy::decide(rules, &request).verdict == Verdict::Allow
}
