//! A day as a value: everything that a night looks at.

use charter::approval::ApprovalState;
use charter::conversation::{Route, TurnState};
use charter::event::DeathCause;
use charter::ids::Millis;
use charter::plan::Plan;
use charter::rows::{MissionState, StepState};
use charter::survey::Survey;
use std::sync::Arc;

/// What a night looks at.
#[derive(Debug, Clone, Default)]
pub struct Day {
    /// From when on.
    pub since: Millis,
    /// Until when.
    pub until: Millis,
    /// Missions that were asked for in this time, oldest first.
    pub missions: Vec<Mission>,
    /// What was said in this time, oldest first.
    pub turns: Vec<Turn>,
    /// What a person was asked in this time.
    pub asked: Vec<Asked>,
    /// Memories that were made in this time.
    pub memories: u32,
    /// Dead steps that nobody looked after, and that were discarded in this time.
    pub discarded: u32,
}

/// A mission.
#[derive(Debug, Clone)]
pub struct Mission {
    /// Its name.
    pub id: String,
    /// The user's words, or the goal of its file.
    pub wish: String,
    /// The folder it worked in.
    pub folder: String,
    /// How it stands.
    pub state: MissionState,
    /// When it was accepted.
    pub at: Millis,
    /// Working time.
    pub wall_ms: u64,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Claims that its report makes.
    pub claims: u32,
    /// Those that a check proved.
    pub proven: u32,
    /// Files that it made or changed.
    pub files: Vec<String>,
    /// The plan in force.
    pub plan: Plan,
    /// What lies in its folder, without what it made itself.
    pub survey: Arc<Survey>,
}

/// A step of a mission.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its position.
    pub n: u32,
    /// The tool.
    pub tool: String,
    /// How it stands.
    pub state: StepState,
    /// Whether every check verified its claim.
    pub verified: bool,
    /// Why it is dead.
    pub cause: Option<DeathCause>,
    /// What went wrong, in words.
    pub error: Option<String>,
}

/// Something that was said.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Its name.
    pub id: String,
    /// The session.
    pub session: String,
    /// When.
    pub at: Millis,
    /// The words.
    pub said: String,
    /// What was done about it.
    pub route: Option<Route>,
    /// How it ended.
    pub state: TurnState,
    /// What Alma said.
    pub answer: String,
    /// Whether a mission came of it.
    pub mission: bool,
    /// The vector of the words; empty where none was made.
    pub vector: Vec<f32>,
}

/// Something that a person was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its name.
    pub id: String,
    /// What it was about: the tools of its effects.
    pub tools: Vec<String>,
    /// What would have happened, in words.
    pub summary: String,
    /// How it stands.
    pub state: ApprovalState,
}

impl Mission {
    /// The tools of its plan in order.
    pub fn chain(&self) -> Vec<&str> {
        self.plan.steps.iter().map(|step| step.tool.as_str()).collect()
    }

    /// The first step that died, with what went wrong.
    pub fn failure(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.cause.is_some())
    }
}
