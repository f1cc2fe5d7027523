//! What planning must answer, so that a proposal can be tried and the day replayed.

use charter::plan::Plan;
use charter::survey::Survey;

/// What came of planning a wish.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A plan.
    Plan(Box<Plan>),
    /// None, and why.
    Refused(String),
}

impl Outcome {
    /// The plan, if the whole wish is met by it.
    pub fn whole(&self) -> Option<&Plan> {
        match self {
            Self::Plan(plan) if plan.unmet.is_empty() => Some(plan),
            _ => None,
        }
    }
}

/// What a piece of a wish names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// A word like others.
    Nothing,
    /// Files: a path, a pattern, a folder, a kind.
    Files,
    /// Days.
    Days,
    /// A number.
    Number,
    /// A quoted text, or another value.
    Value,
}

/// A piece of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Lower case without accents.
    pub folded: String,
    /// Whether it has a meaning of its own.
    pub content: bool,
    /// General concepts that it belongs to.
    pub concepts: Vec<String>,
    /// What it names.
    pub names: Names,
}

/// A wish as planning reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Code of its language.
    pub language: String,
    /// Its pieces.
    pub pieces: Vec<Piece>,
}

/// The planner, with one playbook more where one is on trial.
pub trait Planner {
    /// Plans a wish.
    fn plan(&self, own: Option<&str>, wish: &str, survey: &Survey) -> Outcome;

    /// Reads a wish.
    fn read(&self, wish: &str, survey: &Survey) -> Reading;

    /// What is wrong with a playbook, whatever its slots hold; nothing if it is sound.
    fn flaws(&self, playbook: &str) -> Vec<String>;

    /// Whether there is a playbook of this name.
    fn is_taken(&self, name: &str) -> bool;
}
