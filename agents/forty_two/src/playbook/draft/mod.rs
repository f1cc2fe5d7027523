//! The generalisation itself: what is the same in all missions stays, what varies
//! becomes a slot with the type that its values have, and must be said in the words
//! or follow from another slot. What only names something follows from the slots.
//!
//! | to know | look at |
//! |---|---|
//! | what varies, and which slot it makes | [`compare`] |
//! | where the words say it | [`said`] |
//! | the steps with slots in them | [`steps`] |
//! | examples, words of rules, the name | [`words`] |

mod compare;
mod said;
mod steps;
mod words;

use super::Sample;
use super::same::{Spot, texts};
use crate::planner::Planner;
use charter::tool::ToolSpec;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Why samples make no playbook.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) why: String,
    /// A value per sample: those with the same one may make a playbook together.
    pub(super) divide: Option<Vec<String>>,
}

impl Flaw {
    pub(super) fn new(why: String) -> Self {
        Self { why, divide: None }
    }
}

/// What fills a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    NewFile,
    Path,
    Files,
    Folder,
    Format,
    Column,
    Number,
    Date,
    Choice,
    Text,
}

impl Fill {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NewFile => "new-file",
            Self::Path => "path",
            Self::Files => "files",
            Self::Folder => "folder",
            Self::Format => "format",
            Self::Column => "column",
            Self::Number => "number",
            Self::Date => "date",
            Self::Choice => "choice",
            Self::Text => "text",
        }
    }

    fn base(self) -> &'static str {
        match self {
            Self::NewFile => "output",
            Self::Path => "source",
            other => other.as_str(),
        }
    }

    pub(super) fn question(self) -> &'static str {
        match self {
            Self::NewFile => "Into which file?",
            Self::Path => "Which file?",
            Self::Files => "Which files?",
            Self::Folder => "Which folder?",
            Self::Format => "In which format?",
            Self::Column => "Which column?",
            Self::Number => "How many?",
            Self::Date => "Which day?",
            Self::Choice => "Which of them?",
            Self::Text => "Which words?",
        }
    }
}

/// A slot in the making.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    pub(super) name: String,
    pub(super) fill: Fill,
    pub(super) kinds: Vec<String>,
    pub(super) ext: Vec<String>,
    pub(super) cues: Vec<String>,
    pub(super) choices: Vec<String>,
    pub(super) of: Option<String>,
    pub(super) many: bool,
    /// Whether some samples do without it.
    pub(super) optional: bool,
    pub(super) default: Option<Value>,
    /// Its value in each sample; null where that does without.
    values: Vec<Value>,
    /// Where each sample says it.
    said: Vec<Option<Range<usize>>>,
    /// The places that it fills wholly.
    spots: Vec<Spot>,
}

impl Hole {
    fn new(fill: Fill, values: &[Value], spot: Spot) -> Self {
        Self {
            name: String::new(),
            fill,
            kinds: Vec::new(),
            ext: Vec::new(),
            cues: Vec::new(),
            choices: Vec::new(),
            of: None,
            many: false,
            optional: values.iter().any(Value::is_null),
            default: None,
            values: values.to_vec(),
            said: Vec::new(),
            spots: vec![spot],
        }
    }

    /// Samples that have a value which their words do not say.
    fn unsaid(&self) -> Vec<usize> {
        let silent = |nth: &usize| self.said.get(*nth).is_none_or(Option::is_none);
        let has = |nth: &usize| self.values.get(*nth).is_some_and(|value| !value.is_null());
        (0..self.values.len()).filter(|nth| has(nth) && silent(nth)).collect()
    }

    /// Whether its value alone in an argument is a text, and no list or number.
    fn is_text(&self) -> bool {
        !self.many && !matches!(self.fill, Fill::Files | Fill::Number)
    }
}

/// A step in the making.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) title: String,
    pub(super) tool: String,
    pub(super) args: Value,
    pub(super) for_each: Option<(String, u32)>,
    pub(super) after: Vec<u32>,
}

/// A playbook in the making.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) missions: usize,
    pub(super) examples: BTreeMap<String, Vec<String>>,
    pub(super) words: Vec<String>,
    pub(super) holes: Vec<Hole>,
    pub(super) steps: Vec<Step>,
    pub(super) answer: String,
    /// Places that say nothing: what stands there is also so without it.
    idle: BTreeSet<Spot>,
}

impl Draft {
    /// Generalises samples of one shape.
    pub(super) fn of(
        samples: &[Sample<'_>],
        specs: &[ToolSpec],
        planner: &dyn Planner,
    ) -> Result<Self, Flaw> {
        let Some(first) = samples.first() else {
            return Err(Flaw::new("there are none".to_owned()));
        };
        let mut maker =
            Maker { samples, specs, holes: Vec::new(), open: Vec::new(), idle: BTreeSet::new() };
        maker.find()?;
        maker.say()?;
        maker.holes.sort_by_key(|hole| hole.fill);
        maker.name_holes();
        let (steps, answer) = maker.steps()?;
        let examples = maker.examples();
        let words = maker.words();
        let name = words::name(samples, &words, planner, &first.mission.chain());
        Ok(Self {
            name,
            missions: samples.len(),
            examples,
            words,
            holes: maker.holes,
            steps,
            answer,
            idle: maker.idle,
        })
    }

    /// One line: the shortest example, slots by what they are.
    pub(super) fn summary(&self) -> String {
        let shortest = self.examples.values().flatten().min_by_key(|e| (e.len(), (*e).clone()));
        let mut text = shortest.cloned().unwrap_or_default();
        for hole in &self.holes {
            let plain = match hole.fill {
                Fill::NewFile => "a file".to_owned(),
                Fill::Path => "a file".to_owned(),
                Fill::Files => "files".to_owned(),
                Fill::Folder => "a folder".to_owned(),
                other => format!("a {}", other.as_str()),
            };
            text = text.replace(&format!("{{{}}}", hole.name), &plain);
        }
        let mut letters = text.chars();
        match letters.next() {
            Some(letter) => {
                let rest = letters.as_str().trim_end_matches(['.', '!', '?']);
                format!("{}{rest}.", letter.to_uppercase())
            }
            None => "Learned.".to_owned(),
        }
    }

    /// The slots, for people.
    pub(super) fn told(&self) -> Vec<String> {
        let told = self.holes.iter().map(|hole| {
            let show = |value: &Value| match value {
                Value::Null => "–".to_owned(),
                value => value.to_string(),
            };
            let shown: Vec<String> = hole.values.iter().map(show).collect();
            let else_ = hole.default.as_ref().map_or_else(String::new, |d| format!(", else {d}"));
            format!("{} ({}{else_}): {}", hole.name, hole.fill.as_str(), shown.join(" · "))
        });
        told.collect()
    }

    /// Places whose value a sample does not say (names of new files), and those that
    /// say nothing.
    pub(super) fn free(&self, nth: usize) -> BTreeSet<Spot> {
        let unsaid = self.holes.iter().filter(|hole| {
            hole.fill == Fill::NewFile && hole.said.get(nth).is_none_or(Option::is_none)
        });
        unsaid.flat_map(|hole| hole.spots.iter()).chain(&self.idle).cloned().collect()
    }
}

struct Maker<'s, 'd> {
    samples: &'s [Sample<'d>],
    specs: &'s [ToolSpec],
    holes: Vec<Hole>,
    /// Texts that vary and are no slot by their type.
    open: Vec<(Spot, Vec<Value>)>,
    /// Places that the playbook leaves out.
    idle: BTreeSet<Spot>,
}

/// Values of one slot, whether written as one text or as a list of one.
fn alike(a: &[Value], b: &[Value]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b || !texts(a).is_empty() && texts(a) == texts(b))
}

/// Folder with its final slash, and the name without extension.
fn parts(path: &str) -> (&str, &str) {
    let at = path.rfind('/').map_or(0, |at| at + 1);
    let (folder, name) = path.split_at(at);
    (folder, name.rsplit_once('.').map_or(name, |(stem, _)| stem))
}

fn extension(text: &str) -> Option<String> {
    let (_, extension) = text.rsplit('/').next()?.rsplit_once('.')?;
    let good = (1..=8).contains(&extension.len())
        && extension.chars().all(|c| c.is_ascii_alphanumeric())
        && extension.chars().any(|c| c.is_ascii_alphabetic());
    good.then(|| extension.to_lowercase())
}
