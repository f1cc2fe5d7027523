//! What is wrong with a plan, before anything runs.
//!
//! Every plan passes here, wherever it comes from: a mission file, a playbook, a
//! repair, an edit. An error keeps it from running; a warning is shown.

use crate::refs;
use crate::schema;
use charter::plan::{ITEMS_MAX, Plan, STEPS_MAX, Step};
use charter::reference::{self, Root};
use charter::tool::ToolSpec;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The plan can run, but something looks like a mistake.
    Warning,
    /// The plan cannot run.
    Error,
}

/// Something wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The step; `None` for the plan as a whole.
    pub step: Option<u32>,
    /// Where in its arguments; empty elsewhere.
    pub at: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    /// Whether it keeps the plan from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match (self.step, self.at.as_str()) {
            (None, _) => write!(f, "{severity}: {}", self.message),
            (Some(n), "") => write!(f, "{severity}: step {n}: {}", self.message),
            (Some(n), at) => write!(f, "{severity}: step {n}, args.{at}: {}", self.message),
        }
    }
}

struct Lint<'a> {
    plan: &'a Plan,
    specs: &'a [ToolSpec],
    found: Vec<Finding>,
}

/// Everything that is wrong with a plan, steps in order.
pub fn lint(plan: &Plan, specs: &[ToolSpec]) -> Vec<Finding> {
    let mut lint = Lint { plan, specs, found: Vec::new() };
    lint.whole();
    for (i, step) in plan.steps.iter().enumerate().take(STEPS_MAX) {
        lint.step(i, step);
    }
    lint.unused();
    lint.found
}

/// Whether a plan can run.
pub fn is_sound(findings: &[Finding]) -> bool {
    !findings.iter().any(Finding::is_error)
}

impl Lint<'_> {
    fn error(&mut self, step: Option<u32>, at: &str, message: String) {
        let at = at.to_owned();
        self.found.push(Finding { step, at, severity: Severity::Error, message });
    }

    fn warn(&mut self, step: Option<u32>, message: String) {
        self.found.push(Finding { step, at: String::new(), severity: Severity::Warning, message });
    }

    fn whole(&mut self) {
        let steps = self.plan.steps.len();
        if steps == 0 {
            self.error(None, "", "the plan has no steps".to_owned());
        }
        if steps > STEPS_MAX {
            let message = format!("the plan has {steps} steps, more than {STEPS_MAX}: split it");
            self.error(None, "", message);
        }
        if self.plan.goal.trim().is_empty() {
            self.warn(None, "the plan has no goal".to_owned());
        }
        if self.plan.budget.steps < steps as u64 {
            let budget = self.plan.budget.steps;
            let message = format!("its budget of {budget} steps ends before its {steps} steps");
            self.warn(None, message);
        }
        if let Some(answer) = &self.plan.answer {
            let last = steps as u32 + 1;
            match reference::roots(&Value::String(answer.clone())) {
                Err(error) => self.error(None, "", format!("answer: {error}")),
                Ok(roots) => {
                    for root in roots {
                        match root {
                            Root::Item => {
                                let message = "answer: there is no ${item} in an answer";
                                self.error(None, "", message.to_owned());
                            }
                            Root::Step(n) if n >= last => {
                                let message = format!("answer: ${{{n}}} names no step");
                                self.error(None, "", message);
                            }
                            Root::Step(_) => {}
                        }
                    }
                }
            }
        }
    }

    fn step(&mut self, i: usize, step: &Step) {
        let n = i as u32 + 1;
        if step.n != n {
            let message = format!("it is numbered {}; steps are numbered 1, 2, 3 …", step.n);
            self.error(Some(n), "", message);
        }
        if step.title.trim().is_empty() {
            self.warn(Some(n), "it has no title".to_owned());
        }
        self.references(n, step);
        let spec = self.specs.iter().find(|spec| spec.name == step.tool);
        let Some(spec) = spec else {
            let names: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
            let message =
                format!("there is no tool called {:?}; there are {}", step.tool, names.join(", "));
            self.error(Some(n), "", message);
            return;
        };
        if step.version != spec.version {
            let message = format!(
                "it is for version {} of {}; version {} is here: plan it anew",
                step.version, spec.name, spec.version
            );
            self.error(Some(n), "", message);
        }
        if step.effect < spec.effect {
            let message = format!(
                "its class is {}, but {} may reach as far as {}",
                step.effect, spec.name, spec.effect
            );
            self.error(Some(n), "", message);
        }
        let (own, most) = (&step.limits, &spec.limits);
        let beyond = own.wall_ms > most.wall_ms
            || own.cpu_ms > most.cpu_ms
            || own.memory_mb > most.memory_mb
            || own.output_bytes > most.output_bytes
            || own.attempts > most.attempts;
        if beyond {
            let message = format!("its limits are wider than those of {}", spec.name);
            self.error(Some(n), "", message);
        }
        if own.attempts == 0 || own.wall_ms == 0 {
            self.error(Some(n), "", "its limits leave no room to run".to_owned());
        }
        for misfit in schema::misfits(&step.args, &spec.args) {
            self.error(Some(n), &misfit.at, misfit.message);
        }
    }

    /// Only earlier steps are named, and `${item}` only where there is one.
    fn references(&mut self, n: u32, step: &Step) {
        let items = step.for_each.as_ref().map(|each| Value::String(each.items.clone()));
        let places = [("", Some(&step.args)), ("for_each", items.as_ref())];
        for (place, value) in places.into_iter().filter_map(|(p, v)| v.map(|v| (p, v))) {
            let roots = match reference::roots(value) {
                Ok(roots) => roots,
                Err(error) => {
                    self.error(Some(n), place, error.to_string());
                    continue;
                }
            };
            for root in roots {
                match root {
                    Root::Item if step.for_each.is_none() || place == "for_each" => {
                        let message =
                            "${item} stands only in the arguments of a step with for_each";
                        self.error(Some(n), place, message.to_owned());
                    }
                    Root::Step(other) if other >= n => {
                        let message = format!("${{{other}}} names no earlier step");
                        self.error(Some(n), place, message);
                    }
                    Root::Item | Root::Step(_) => {}
                }
            }
        }
        for other in &step.after {
            if *other == 0 || *other >= n {
                self.error(Some(n), "", format!("`after` names {other}, which is no earlier step"));
            }
        }
        if let Some(each) = &step.for_each {
            if !refs::is_lone(&each.items) {
                let message = "`items` must be one reference to a list, such as ${1.files}";
                self.error(Some(n), "for_each", message.to_owned());
            }
            if each.max_items == 0 || each.max_items > ITEMS_MAX {
                let message = format!("`max_items` must be from 1 to {ITEMS_MAX}");
                self.error(Some(n), "for_each", message);
            }
        }
    }

    /// A step that only reads and that nobody reads from does nothing.
    fn unused(&mut self) {
        let mut named: BTreeSet<u32> = self.plan.steps.iter().flat_map(Step::needs).collect();
        if let Some(answer) = &self.plan.answer {
            named.extend(reference::steps_named(&Value::String(answer.clone())));
        }
        let idle: Vec<u32> = self
            .plan
            .steps
            .iter()
            .filter(|step| step.effect <= charter::effect::EffectClass::Read)
            .map(|step| step.n)
            .filter(|n| !named.contains(n))
            .collect();
        for n in idle {
            self.warn(Some(n), "nothing uses its output".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{plan, specs};
    use charter::effect::EffectClass;
    use charter::plan::ForEach;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(edit: impl FnOnce(&mut Plan), expect: Expect) {
        let mut plan = plan();
        edit(&mut plan);
        let found: Vec<String> = lint(&plan, &specs()).iter().map(ToString::to_string).collect();
        expect.assert_eq(&found.join("\n"));
    }

    #[test]
    fn a_sound_plan_has_no_findings() {
        check(|_| {}, expect![[""]]);
    }

    #[test]
    fn structure() {
        check(
            |plan| plan.steps[1].n = 7,
            expect!["error: step 2: it is numbered 7; steps are numbered 1, 2, 3 …"],
        );
        check(
            |plan| plan.steps.clear(),
            expect![[r#"
            error: the plan has no steps
            error: answer: ${1} names no step
            error: answer: ${2} names no step"#]],
        );
        check(
            |plan| plan.steps[0].after = vec![2],
            expect!["error: step 1: `after` names 2, which is no earlier step"],
        );
        check(
            |plan| plan.answer = Some("${9.x} ${item}".into()),
            expect![[r#"
            error: answer: ${9} names no step
            error: answer: there is no ${item} in an answer"#]],
        );
        check(|plan| plan.answer = None, expect![[""]]);
    }

    #[test]
    fn there_are_bounds() {
        let mut plan = plan();
        plan.steps = vec![plan.steps[0].clone(); STEPS_MAX + 1];
        assert!(!is_sound(&lint(&plan, &specs())));
    }

    #[test]
    fn references() {
        check(
            |plan| plan.steps[0].args = json!({"files": "${2.files}"}),
            expect!["error: step 1: ${2} names no earlier step"],
        );
        check(
            |plan| plan.steps[0].args = json!({"files": "${item.path}"}),
            expect!["error: step 1: ${item} stands only in the arguments of a step with for_each"],
        );
        check(
            |plan| plan.steps[0].args = json!({"files": "${0}"}),
            expect![[
                r#"error: step 1: "${0}" is no reference: expected ${N}, ${N.field} or ${item.field}"#
            ]],
        );
        check(
            |plan| plan.steps[1].for_each = Some(ForEach { items: "all".into(), max_items: 0 }),
            expect![[r#"
                error: step 2, args.for_each: `items` must be one reference to a list, such as ${1.files}
                error: step 2, args.for_each: `max_items` must be from 1 to 20000"#]],
        );
    }

    #[test]
    fn tools() {
        check(
            |plan| plan.steps[0].tool = "lst".into(),
            expect![[
                r#"error: step 1: there is no tool called "lst"; there are list, write, delete"#
            ]],
        );
        check(
            |plan| plan.steps[0].version = 2,
            expect!["error: step 1: it is for version 2 of list; version 1 is here: plan it anew"],
        );
        check(
            |plan| plan.steps[1].effect = EffectClass::Read,
            expect!["error: step 2: its class is read, but write may reach as far as change"],
        );
        check(
            |plan| plan.steps[0].limits.wall_ms += 1,
            expect!["error: step 1: its limits are wider than those of list"],
        );
        check(
            |plan| plan.steps[0].args = json!({"file": 3}),
            expect![[r#"
                error: step 1, args.file: "file" is not known here; there are files
                error: step 1: "files" is missing"#]],
        );
    }
}
