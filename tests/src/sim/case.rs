//! What one seed simulates, as a value: missions, workers, faults. What a case
//! does follows from it alone, and a part can be left out of it.

use super::fate::{Dice, Fault, Planned, Port};
use charter::budget::Budget;
use charter::effect::EffectClass;
use charter::ids::Millis;
use charter::plan::{ForEach, Plan, PlanSource, Step};
use charter::tool::Limits;
use serde_json::{Value, json};

/// Workers of a case.
pub const WORKERS: usize = 3;
/// Missions of a case, at least.
pub const MISSIONS: u64 = 5;
/// Faults of a case, at least, besides those of the bell.
pub const FAULTS: usize = 20;
/// Most calls between two faults.
const APART: u64 = 20;
/// Tries of a step that may fail for a while.
const ATTEMPTS: u32 = 30;
/// Elements that a list has.
pub const ITEMS: u64 = 3;
/// Bytes that a step of a mission with few of them writes.
pub const BLOCK: usize = 100;
/// Milliseconds of processor time that a call uses.
pub const CPU_MS: u64 = 30;

/// What is particular about a mission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Any steps that wait for each other.
    Mixed,
    /// Steps in a row, an approval in the middle, which is given.
    Approved,
    /// The same, and the person says no.
    Denied,
    /// The same, and the person answers when the question has expired.
    Expired,
    /// The same, and somebody else changes the file before the person answers.
    Disturbed,
    /// Steps run over lists.
    Each,
    /// A file has another name than the plan says.
    Missing,
    /// A name that must be free is taken.
    Taken,
    /// A tool fails a few times.
    Flaky,
    /// A tool fails more often than it may.
    Exhausted,
    /// A tool kills its worker a few times; the person sends it round again.
    Poison,
    /// A tool fails for good; the person takes it off the desk.
    Broken,
    /// A person stops it.
    Cancelled,
    /// It has fewer starts than steps.
    FewSteps,
    /// It may write less than it would.
    FewBytes,
    /// It may use less processor time than it would.
    FewTime,
    /// Its acts can be probed, refused or neither.
    Doubt,
}

impl Shape {
    const HEALS: [Self; 2] = [Self::Missing, Self::Taken];
    const ASKS: [Self; 4] = [Self::Approved, Self::Denied, Self::Expired, Self::Disturbed];
    const OTHERS: [Self; 11] = [
        Self::Mixed,
        Self::Each,
        Self::Flaky,
        Self::Exhausted,
        Self::Poison,
        Self::Broken,
        Self::Cancelled,
        Self::FewSteps,
        Self::FewBytes,
        Self::FewTime,
        Self::Doubt,
    ];
}

/// One mission of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissionCase {
    /// Its number: a part of every name in it.
    pub number: u64,
    /// What is particular about it.
    pub shape: Shape,
    /// What its plan is drawn from.
    pub seed: u64,
    /// When it is submitted, in milliseconds from the start.
    pub begins: Millis,
    /// When a person stops it, if one does, in milliseconds from the start.
    pub stops: Millis,
}

/// What is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What the order of events is drawn from.
    pub seed: u64,
    /// Processes at work.
    pub workers: usize,
    /// What is worked on.
    pub missions: Vec<MissionCase>,
    /// What goes wrong at calls of ports.
    pub faults: Vec<Planned>,
    /// Whether rings get lost, come twice, late and out of order.
    pub bell_lies: bool,
}

impl Case {
    /// The case of a seed: one mission that needs a repair, one that asks, and
    /// others.
    pub fn of(seed: u64) -> Self {
        let dice = Dice::new(seed ^ 0x0ca5_e000);
        let count = MISSIONS + dice.below(3);
        let missions = (0..count).map(|number| MissionCase {
            number,
            shape: match number {
                0 => dice.pick(&Shape::HEALS),
                1 => dice.pick(&Shape::ASKS),
                _ => dice.pick(&Shape::OTHERS),
            },
            seed: dice.roll(),
            begins: dice.below(3_000) as Millis,
            stops: 500 + dice.below(8_000) as Millis,
        });
        let missions = missions.collect();
        let count = FAULTS + 8 + dice.below(8) as usize;
        let mut after = 0;
        let faults = (0..count).map(|n| {
            after += dice.below(APART);
            // Most at calls that every run makes often enough.
            let (port, fault) = draw(&dice, n % 4 > 0);
            Planned { after, port, fault }
        });
        let faults = faults.collect();
        Self { seed, workers: WORKERS, missions, faults, bell_lies: true }
    }
}

fn draw(dice: &Dice, common: bool) -> (Port, Fault) {
    let often = [Port::Commit, Port::Query, Port::Renew, Port::OutboxDone, Port::Prepare];
    loop {
        let port = if common { dice.pick(&often) } else { dice.pick(&Port::ALL) };
        let fault = dice.pick(&Fault::ALL);
        if fault.fits(port) {
            return (port, fault);
        }
    }
}

impl MissionCase {
    /// A path of one of its steps.
    fn path(&self, n: u32) -> String {
        format!("m{}/s{n}", self.number)
    }

    /// The folder it works in.
    pub fn workspace(&self) -> String {
        format!("/sim/m{}", self.number)
    }

    /// Files that are there before it begins.
    pub fn files(&self) -> Vec<String> {
        let plan = self.plan();
        let mut files = Vec::new();
        for step in &plan.steps {
            let path = step.args["path"].as_str().unwrap_or_default();
            match step.tool.as_str() {
                "remove" if step.for_each.is_some() => {
                    files.extend((1..=ITEMS).map(|i| path.replace("${item}", &i.to_string())));
                }
                "remove" => files.push(path.to_owned()),
                "seek" => files.push(path.replace("notes", "Notes")),
                "place" if self.shape == Shape::Taken => files.push(path.to_owned()),
                _ => {}
            }
        }
        files
    }

    /// Its plan.
    pub fn plan(&self) -> Plan {
        let dice = Dice::new(self.seed);
        let mut sketch = Sketch { case: self, steps: Vec::new() };
        self.sketch(&dice, &mut sketch);
        let mut budget = Budget { wall_ms: u64::MAX / 4, ..Budget::default() };
        match self.shape {
            Shape::FewSteps => budget.steps = 2 + dice.below(4),
            Shape::FewBytes => budget.bytes_written = (BLOCK * 3 / 2) as u64,
            Shape::FewTime => budget.cpu_ms = CPU_MS * 5 / 2,
            _ => {}
        }
        Plan {
            goal: "simulated".into(),
            source: PlanSource::File,
            steps: sketch.steps,
            answer: None,
            unmet: vec![],
            budget,
        }
    }

    fn sketch(&self, dice: &Dice, sketch: &mut Sketch<'_>) {
        const QUIET: [&str; 5] = ["look", "write", "keyed", "build", "pair"];
        const ANY: [&str; 9] =
            ["look", "write", "remove", "keyed", "probed", "neither", "plain", "build", "pair"];
        let doubtful = ["probed", "neither", "keyed", "keyed_late", "probed_late", "neither_late"];
        match self.shape {
            Shape::Mixed | Shape::Cancelled => {
                for n in 1..=3 + dice.below(4) as u32 {
                    let each = (n > 1 && dice.one_in(5)).then_some(1);
                    let after = (1..n).filter(|_| dice.one_in(3)).collect();
                    let tool = if n == 1 { "look" } else { dice.pick(&ANY) };
                    sketch.add(tool, json!({ "asks": dice.one_in(3) }), after, each);
                }
            }
            Shape::Approved | Shape::Denied | Shape::Expired | Shape::Disturbed => {
                let first = sketch.row(dice.pick(&QUIET), json!({}), None);
                let asks = if self.shape == Shape::Disturbed || dice.one_in(2) {
                    "remove"
                } else {
                    dice.pick(&["keyed", "probed", "neither", "plain"])
                };
                let middle = sketch.row(asks, json!({ "asks": true }), Some(first));
                sketch.row(dice.pick(&QUIET), json!({}), Some(middle));
            }
            Shape::Each => {
                let look = sketch.row("look", json!({}), None);
                for _ in 0..1 + dice.below(2) {
                    let tool = dice.pick(&["write", "remove", "keyed", "neither", "plain"]);
                    let asks = json!({ "asks": dice.one_in(2) });
                    sketch.add(tool, asks, vec![look], Some(look));
                }
                let all = (1..=sketch.steps.len() as u32).collect();
                sketch.add("write", json!({}), all, None);
            }
            Shape::Missing | Shape::Taken => {
                let first = sketch.row(dice.pick(&QUIET), json!({}), None);
                let tool = if self.shape == Shape::Missing { "seek" } else { "place" };
                let healed = sketch.row(tool, json!({}), Some(first));
                let last = sketch.row(dice.pick(&QUIET), json!({}), Some(healed));
                sketch.row("write", json!({}), Some(last));
            }
            Shape::Flaky | Shape::Exhausted | Shape::Poison | Shape::Broken => {
                let first = sketch.row(dice.pick(&QUIET), json!({}), None);
                let (tool, args) = match self.shape {
                    Shape::Flaky => ("flaky", json!({ "times": 1 + dice.below(4) })),
                    Shape::Exhausted => ("flaky", json!({ "times": 1_000 })),
                    Shape::Poison => ("poison", json!({ "times": 1 + dice.below(5) })),
                    _ => ("broken", json!({})),
                };
                let middle = sketch.row(tool, args, Some(first));
                if let Some(step) = sketch.steps.last_mut()
                    && self.shape == Shape::Exhausted
                {
                    step.limits.attempts = 3;
                }
                sketch.row(dice.pick(&QUIET), json!({}), Some(middle));
                sketch.row(dice.pick(&QUIET), json!({}), None);
            }
            Shape::FewSteps | Shape::FewBytes | Shape::FewTime => {
                for _ in 0..3 + dice.below(4) {
                    let writes = self.shape == Shape::FewBytes;
                    let tool = if writes { "write" } else { dice.pick(&QUIET) };
                    sketch.row(tool, json!({}), None);
                }
                if self.shape == Shape::FewTime {
                    sketch.steps.iter_mut().for_each(|step| step.limits.cpu_ms = CPU_MS);
                }
            }
            Shape::Doubt => {
                for _ in 0..2 + dice.below(3) {
                    sketch.row(dice.pick(&doubtful), json!({ "asks": dice.one_in(4) }), None);
                }
            }
        }
    }
}

/// A plan in the making.
struct Sketch<'c> {
    case: &'c MissionCase,
    steps: Vec<Step>,
}

impl Sketch<'_> {
    /// A step after another one, or after none.
    fn row(&mut self, tool: &str, args: Value, after: Option<u32>) -> u32 {
        self.add(tool, args, after.into_iter().collect(), None)
    }

    fn add(&mut self, tool: &str, mut args: Value, after: Vec<u32>, each: Option<u32>) -> u32 {
        let n = self.steps.len() as u32 + 1;
        let mut path = self.case.path(n);
        if each.is_some() {
            path.push_str("-${item}");
        }
        if tool == "seek" {
            // So that no other path is one letter away from it.
            path = format!("{path}{n}-notes");
        }
        let field = if tool == "place" { "to" } else { "path" };
        args[field] = json!(path);
        args["path"] = json!(path);
        args["text"] = json!("x".repeat(BLOCK));
        self.steps.push(Step {
            n,
            title: tool.to_owned(),
            tool: tool.to_owned(),
            version: 1,
            args,
            after,
            for_each: each
                .map(|look| ForEach { items: format!("${{{look}.items}}"), max_items: 10 }),
            effect: super::ports::class(tool),
            limits: Limits { attempts: ATTEMPTS, ..Limits::default() },
        });
        n
    }
}

/// The class of an act that asks a person, and of one that does not.
pub(crate) fn act_class(asks: bool) -> EffectClass {
    if asks { EffectClass::External } else { EffectClass::Exec }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_what_the_simulation_promises() {
        for seed in 0..500 {
            let case = Case::of(seed);
            assert!(case.missions.len() as u64 >= MISSIONS && case.workers >= WORKERS);
            assert!(case.faults.len() >= FAULTS);
            assert!(Shape::HEALS.contains(&case.missions[0].shape));
            assert!(Shape::ASKS.contains(&case.missions[1].shape));
            assert_eq!(case, Case::of(seed));
        }
    }
}
