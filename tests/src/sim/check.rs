//! What must hold when faults have stopped and everything has settled.

use super::book::Rule;
use super::case::Shape;
use super::person::{Person, Submitted};
use super::ports::service;
use super::target::Service;
use charter::check::Outcome;
use charter::effect::{Repeat, TargetState};
use charter::event::EffectOutcome;
use charter::plan::Step;
use charter::ports::{Query, Rows};
use charter::report::{FileFate, Report};
use charter::rows::{EffectState, MissionState, StepRow, StepState};

/// Effects of one mission, at most.
const EFFECTS_MAX: u32 = 1_000;

/// Checks a finished run.
pub(crate) fn check(person: &Person, turns: u64) {
    for mission in &person.missions {
        check_mission(person, mission, turns);
    }
}

fn check_mission(person: &Person, mission: &Submitted, turns: u64) {
    let witness = &person.witness;
    let number = mission.case.number;
    let Some(row) = witness.mission(&mission.id) else {
        return witness.blame(Rule::Ends, format!("mission {number} is lost"));
    };
    if !row.state.is_end() {
        let steps = person.steps(&mission.id);
        let open = steps.iter().filter(|step| !step.state.is_end());
        let open: Vec<String> = open.map(|one| format!("{} {:?}", one.key, one.state)).collect();
        let stopped = if row.cancelled || row.stopped.is_some() { ", stopped" } else { "" };
        let what = format!(
            "mission {number} is {}{stopped} after {turns} turns: {}",
            row.state,
            open.join(", ")
        );
        return witness.blame(Rule::Ends, what);
    }
    let Some(plan) = person.plan(&mission.id) else {
        return witness.blame(Rule::Record, format!("mission {number} has no plan"));
    };
    let steps = person.steps(&mission.id);
    for row in &steps {
        if let Some(step) = plan.step(row.key.n)
            && (step.for_each.is_none() || row.key.item > 0)
        {
            check_step(person, mission, step, row);
        }
    }
    check_effects(person, mission, &steps);
    if row.state == MissionState::Done && steps.iter().any(|step| step.state != StepState::Done) {
        witness.blame(Rule::Report, format!("mission {number} is done, and a step is not"));
    }
    let report = row.report.as_ref().map(|report| Query::Content { id: report.id.clone() });
    match report.map(|query| witness.ask(query)) {
        Some(Rows::Contents(contents)) => {
            let report = contents.first().and_then(|one| one.json::<Report>("a report").ok());
            match report {
                Some(report) => check_report(person, mission, &report, row.state, &steps),
                None => witness.blame(Rule::Report, format!("mission {number} has none")),
            }
        }
        _ => witness.blame(Rule::Report, format!("mission {number} has none")),
    }
}

/// The target is as the step's end says.
fn check_step(person: &Person, mission: &Submitted, step: &Step, row: &StepRow) {
    let done = row.state == StepState::Done;
    let field = if step.tool == "place" { "to" } else { "path" };
    let path = step.args[field].as_str().unwrap_or_default();
    let path = path.replace("${item}", &row.key.item.to_string());
    let there = person.world.file(&path).is_some();
    let blame = |what: &str| {
        let what = format!("mission {}: {} {path} {what}", mission.case.number, row.key);
        person.witness.blame(Rule::File, what);
    };
    match step.tool.as_str() {
        "write" | "place" | "pair" | "build" if done && !there => blame("was not written"),
        "remove" if done && there => blame("was not removed"),
        _ => {}
    }
    let (service, repeat) = service(&step.tool);
    let counts = service != Service::Plain || matches!(step.tool.as_str(), "plain" | "build");
    if !counts {
        return;
    }
    let count = person.world.count(service, &path);
    let (least, most) = (u32::from(done), if repeat == Repeat::Safe { u32::MAX } else { 1 });
    if !(least..=most).contains(&count) {
        let what =
            format!("{} {} is {:?} and happened {count} times", row.key, step.tool, row.state);
        person.witness.blame(Rule::HappensOnce, what);
    }
}

fn check_effects(person: &Person, mission: &Submitted, steps: &[StepRow]) {
    let query = Query::EffectsOfMission { mission: mission.id.clone(), limit: EFFECTS_MAX };
    let Rows::Effects(effects) = person.witness.ask(query) else { return };
    let done = |key| steps.iter().any(|step| step.key == key && step.state == StepState::Done);
    for effect in effects {
        let open = effect.state.is_open();
        if open && done(effect.step.clone()) {
            let what = format!("{} is done with effect {} open", effect.step, effect.ordinal);
            person.witness.blame(Rule::Receipt, what);
        }
        let not = EffectState::Received(EffectOutcome::NotDone);
        let denied =
            effect.state == not || effect.state == EffectState::Received(EffectOutcome::Failed);
        if denied && effect.repeat != Repeat::Safe && person.world.knows(&effect.key) {
            let what = format!("{} is on record as {:?}, and happened", effect.step, effect.state);
            person.witness.blame(Rule::Receipt, what);
        }
    }
}

/// The report says what the files show, and how the steps ended.
fn check_report(
    person: &Person,
    mission: &Submitted,
    report: &Report,
    state: MissionState,
    steps: &[StepRow],
) {
    let number = mission.case.number;
    let blame = |what: String| {
        person.witness.blame(Rule::Report, format!("mission {number}: {what}"));
    };
    if report.state != state {
        blame(format!("it is {state}, its report says {}", report.state));
    }
    for line in &report.files {
        let found = person.world.look(&line.path).state;
        let gone = matches!(found, TargetState::Absent);
        let should = matches!(line.fate, FileFate::Deleted | FileFate::Moved);
        if gone != should && mission.case.shape != Shape::Disturbed {
            blame(format!("{} is {found:?}, not {:?}", line.path, line.fate));
        }
    }
    for claim in &report.claims {
        let step = steps.iter().find(|step| step.key == claim.step);
        let dead = step.is_none_or(|step| step.state != StepState::Done);
        if claim.verdict.outcome == Outcome::Verified && dead {
            blame(format!("{} is claimed, and is {:?}", claim.step, step.map(|s| s.state)));
        }
    }
    let unreported = steps.iter().filter(|step| step.state == StepState::Dead).count();
    if unreported > 0 && report.problems.is_empty() {
        blame(format!("{unreported} steps are dead, and it tells of no problem"));
    }
}
