//! A small day, for the tests of this crate.

use crate::day::{Day, Mission, Step, Turn};
use charter::budget::Budget;
use charter::conversation::{Route, TurnState};
use charter::effect::EffectClass;
use charter::plan::{Plan, PlanSource, Step as Planned};
use charter::rows::{MissionState, StepState};
use charter::survey::{Entry, Survey};
use charter::tool::Limits;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn day() -> Day {
    Day { since: 0, until: 86_400_000, ..Day::default() }
}

pub(crate) fn planned(n: u32, tool: &str, effect: EffectClass, args: Value) -> Planned {
    Planned {
        n,
        title: format!("Use {tool}"),
        tool: tool.to_owned(),
        version: 1,
        args,
        after: Vec::new(),
        for_each: None,
        effect,
        limits: Limits::default(),
    }
}

pub(crate) fn plan(goal: &str, steps: Vec<Planned>) -> Plan {
    Plan {
        goal: goal.to_owned(),
        source: PlanSource::File,
        steps,
        answer: Some("Done.".to_owned()),
        unmet: Vec::new(),
        budget: Budget::default(),
    }
}

pub(crate) fn survey(paths: &[&str]) -> Survey {
    let entry = |path: &&str| Entry {
        path: path.trim_end_matches('/').to_owned(),
        folder: path.ends_with('/'),
        bytes: 1,
        modified: 0,
        columns: Vec::new(),
    };
    Survey { entries: paths.iter().map(entry).collect(), truncated: false }
}

/// A mission of one step that hashed some files, all proven.
pub(crate) fn mission(id: &str, wish: &str) -> Mission {
    let args = json!({ "files": ["a.txt"] });
    Mission {
        id: id.to_owned(),
        wish: wish.to_owned(),
        folder: "/work".to_owned(),
        state: MissionState::Done,
        at: 1_000,
        wall_ms: 100,
        steps: vec![Step {
            n: 1,
            tool: "hash".to_owned(),
            state: StepState::Done,
            verified: true,
            cause: None,
            error: None,
        }],
        claims: 2,
        proven: 2,
        files: vec!["b.txt".to_owned()],
        plan: plan(wish, vec![planned(1, "hash", EffectClass::Read, args)]),
        survey: Arc::new(survey(&["a.txt"])),
    }
}

pub(crate) fn turn(id: &str, said: &str, route: Route, answer: &str, vector: &[f32]) -> Turn {
    Turn {
        id: id.to_owned(),
        session: "s1".to_owned(),
        at: 2_000,
        said: said.to_owned(),
        route: Some(route),
        state: TurnState::Answered,
        answer: answer.to_owned(),
        mission: false,
        vector: vector.to_vec(),
    }
}
