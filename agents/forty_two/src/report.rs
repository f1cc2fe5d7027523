//! The report of a night as a value. It is kept as JSON; [`crate::show`] makes it
//! text.

use crate::attack::Attacked;
use crate::lessons::Lesson;
use crate::playbook::Proposal;
use crate::scores::Score;
use charter::gist::Gist;
use charter::ids::Millis;
use serde::{Deserialize, Serialize};

/// A sentence, with the names of what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The sentence.
    pub text: String,
    /// Missions, sessions, memories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
}

impl Line {
    /// A sentence about nothing in particular.
    pub fn new(text: String) -> Self {
        Self { text, links: Vec::new() }
    }

    /// A sentence about one thing.
    pub fn about(text: String, id: &str) -> Self {
        Self { text, links: vec![id.to_owned()] }
    }
}

/// Missions and turns over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The first of them.
    pub since: Millis,
    /// The last of them.
    pub until: Millis,
    /// What a bar stands for.
    pub bar_ms: Millis,
    /// How many in each; none where they are too close together.
    pub bars: Vec<u32>,
}

/// A topic of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Theme {
    /// The words that tell it from the others.
    pub keywords: Vec<String>,
    /// How many memories belong to it.
    pub members: u32,
    /// The memory in the middle of it.
    pub medoid: String,
    /// What its memories say, word for word; each sentence links to its memory.
    pub summary: Vec<Line>,
    /// The memory that holds the summary, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// The same in the words of a language model; its facts stand in `summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gist: Option<Gist>,
    /// Why a language model was asked and its words were not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The topics of a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Themes {
    /// Largest first.
    pub topics: Vec<Theme>,
    /// Memories that were looked at.
    pub memories: u32,
    /// Memories that belong to no topic.
    pub noise: u32,
}

/// A proposal as the report names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its name.
    pub id: String,
    /// In one line.
    pub title: String,
    /// What speaks for it.
    pub because: String,
    /// Words that reach it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub say: Vec<String>,
}

impl Offer {
    /// A proposal under its name.
    pub fn of(id: &str, proposal: &Proposal) -> Self {
        Self {
            id: id.to_owned(),
            title: proposal.title.clone(),
            because: proposal.evidence.told(),
            say: proposal.say.clone(),
        }
    }
}

/// What the proposals of a night came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// What is proposed.
    pub made: Vec<Offer>,
    /// What was tried and is not proposed, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_made: Vec<String>,
    /// What is planned from plain words as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needless: Vec<String>,
}

/// A night.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run.
    pub night: String,
    /// From when on it looked.
    pub since: Millis,
    /// Until when.
    pub until: Millis,
    /// *What happened*.
    pub happened: Vec<Line>,
    /// Missions and turns over time.
    #[serde(default)]
    pub active: Activity,
    /// Topics with their summaries.
    pub themes: Themes,
    /// *What did I learn today?*
    pub lessons: Vec<Lesson>,
    /// Figures with their trend.
    pub scores: Vec<Score>,
    /// The attacks.
    pub attacks: Vec<Attacked>,
    /// The proposals.
    pub offers: Offers,
    /// What was left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Due times that passed while nothing ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<Millis>,
}
