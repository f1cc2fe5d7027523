//! Mission files: a plan written by hand, in YAML, compiled without any guessing.
//!
//! ```yaml
//! goal: Keep a list of open tasks
//! steps:
//!   - name: find
//!     tool: extract
//!     args: {files: "notes/**/*.md", what: tasks, open_only: true}
//!   - tool: write
//!     args: {path: open.json, text: "${find.rows}"}
//! answer: "${find.count} tasks are open."
//! ```
//!
//! The JSON Schema for editors is `agents/charter/schemas/mission.schema.json`.

use crate::compile;
use crate::lint::lint;
use crate::playbook::Bounds;
use crate::refs;
use crate::yaml::{self, Ordered, YamlError};
use charter::budget::Budget;
use charter::flow::Priority;
use charter::plan::{ForEach, ITEMS_MAX, Plan, PlanSource, STEPS_MAX, Step};
use charter::tool::{Limits, ToolSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

/// The JSON Schema of mission files.
pub const SCHEMA: &str = include_str!("../../charter/schemas/mission.schema.json");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MissionFile {
    goal: Spanned<String>,
    steps: Spanned<Vec<Spanned<FileStep>>>,
    #[serde(default)]
    answer: Option<Spanned<String>>,
    #[serde(default)]
    budget: FileBudget,
    #[serde(default)]
    priority: Option<Priority>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct FileBudget {
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_written: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    #[serde(default)]
    name: Option<Spanned<String>>,
    #[serde(default)]
    title: Option<String>,
    tool: Spanned<String>,
    #[serde(default)]
    version: Option<Spanned<u32>>,
    #[serde(default)]
    args: Ordered<Spanned<Value>>,
    #[serde(default)]
    after: Vec<Spanned<Value>>,
    #[serde(default)]
    for_each: Option<FileEach>,
    #[serde(default)]
    limits: FileLimits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEach {
    items: Spanned<String>,
    max_items: Spanned<u32>,
}

/// Names of steps, by number.
struct Names<'a> {
    known: BTreeMap<&'a str, u32>,
}

impl Names<'_> {
    /// The number of an earlier step by its name or number.
    fn number(&self, n: u32, head: &str) -> Result<u32, String> {
        let number = head.parse::<u32>().ok().or_else(|| self.known.get(head).copied());
        match number {
            Some(other) if (1..n).contains(&other) => Ok(other),
            Some(other) => Err(format!("\"{head}\" is step {other}, which is no earlier step")),
            None => {
                let mut names: Vec<&str> = self
                    .known
                    .iter()
                    .filter(|(_, number)| **number < n)
                    .map(|(name, _)| *name)
                    .collect();
                names.sort_unstable();
                let there = match names.as_slice() {
                    [] => "none has a name".to_owned(),
                    names => format!("there are {}", names.join(", ")),
                };
                Err(format!("\"{head}\" is the name of no earlier step; {there}"))
            }
        }
    }
}

/// Compiles a mission file: its plan, and how urgent it is where the file says so.
pub fn compile(text: &str, specs: &[ToolSpec]) -> Result<(Plan, Option<Priority>), YamlError> {
    let file: MissionFile = yaml::parse(text)?;
    if file.goal.value.trim().is_empty() {
        return Err(at(&file.goal, "the goal is empty: say what the mission is for"));
    }
    let steps = &file.steps.value;
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return Err(at(&file.steps, format!("a mission has from 1 to {STEPS_MAX} steps")));
    }
    let mut names = Names { known: BTreeMap::new() };
    for (i, step) in steps.iter().enumerate() {
        let Some(name) = &step.value.name else { continue };
        let word = name.value.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !word || name.value == "item" {
            return Err(at(
                name,
                "a name begins with a letter, holds letters, digits, - and _, and is not \"item\"",
            ));
        }
        if names.known.insert(&name.value, i as u32 + 1).is_some() {
            return Err(at(name, format!("two steps are called {:?}", name.value)));
        }
    }
    let mut plan = Plan {
        goal: file.goal.value.trim().to_owned(),
        source: PlanSource::File,
        steps: Vec::with_capacity(steps.len()),
        answer: None,
        unmet: Vec::new(),
        budget: file.budget.over(Budget::default()),
    };
    for (i, step) in steps.iter().enumerate() {
        plan.steps.push(self::step(i as u32 + 1, &step.value, &names, specs)?);
    }
    if let Some(answer) = &file.answer {
        let n = steps.len() as u32 + 1;
        let rename = |head: &str| names.number(n, head).map(|n| n.to_string());
        let text = refs::rename(&answer.value, &rename).map_err(|message| at(answer, message))?;
        plan.answer = Some(text);
    }
    // What no single field shows is found by the same lint that all plans pass.
    for finding in lint(&plan, specs) {
        if finding.is_error() {
            let place = finding
                .step
                .and_then(|n| steps.get(n as usize - 1))
                .map_or(file.steps.referenced, |step| place_of(step, &finding.at));
            let what = match finding.at.as_str() {
                "" => finding.message,
                at => format!("args.{at}: {}", finding.message),
            };
            return Err(YamlError::at(place, what));
        }
    }
    Ok((plan, file.priority))
}

impl FileBudget {
    /// A budget with the given bounds in place of its own.
    fn over(&self, budget: Budget) -> Budget {
        Budget {
            steps: self.steps.unwrap_or(budget.steps),
            wall_ms: self.wall_ms.unwrap_or(budget.wall_ms),
            cpu_ms: self.cpu_ms.unwrap_or(budget.cpu_ms),
            bytes_written: self.bytes_written.unwrap_or(budget.bytes_written),
        }
    }
}

/// A plan as a mission file, to be edited: compiled again it is the same plan.
pub fn write(plan: &Plan) -> String {
    #[derive(Serialize)]
    struct Written<'a> {
        goal: &'a str,
        #[serde(skip_serializing_if = "is_default")]
        budget: FileBudget,
        steps: Vec<WrittenStep<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        answer: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct WrittenStep<'a> {
        title: &'a str,
        tool: &'a str,
        version: u32,
        args: &'a Value,
        #[serde(skip_serializing_if = "<[u32]>::is_empty")]
        after: &'a [u32],
        #[serde(skip_serializing_if = "Option::is_none")]
        for_each: Option<&'a ForEach>,
        #[serde(skip_serializing_if = "is_default")]
        limits: FileLimits,
    }
    fn is_default<T: Default + PartialEq>(value: &T) -> bool {
        *value == T::default()
    }
    let (usual, limits) = (Budget::default(), Limits::default());
    let other = |own: u64, usual: u64| (own != usual).then_some(own);
    let steps = plan.steps.iter().map(|step| WrittenStep {
        title: &step.title,
        tool: &step.tool,
        version: step.version,
        args: &step.args,
        after: &step.after,
        for_each: step.for_each.as_ref(),
        limits: FileLimits {
            wall_ms: other(step.limits.wall_ms, limits.wall_ms),
            cpu_ms: other(step.limits.cpu_ms, limits.cpu_ms),
            memory_mb: other(step.limits.memory_mb, limits.memory_mb),
            output_bytes: other(step.limits.output_bytes, limits.output_bytes),
            attempts: (step.limits.attempts != limits.attempts).then_some(step.limits.attempts),
        },
    });
    let written = Written {
        goal: &plan.goal,
        budget: FileBudget {
            steps: other(plan.budget.steps, usual.steps),
            wall_ms: other(plan.budget.wall_ms, usual.wall_ms),
            cpu_ms: other(plan.budget.cpu_ms, usual.cpu_ms),
            bytes_written: other(plan.budget.bytes_written, usual.bytes_written),
        },
        steps: steps.collect(),
        answer: plan.answer.as_deref(),
    };
    // YAML reads JSON too: what cannot be written as one is shown as the other.
    serde_saphyr::to_string(&written)
        .or_else(|_| serde_json::to_string_pretty(&written))
        .unwrap_or_default()
}

fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> YamlError {
    YamlError::at(place.referenced, message)
}

/// Where an argument of a step stands.
fn place_of(step: &Spanned<FileStep>, argument: &str) -> Location {
    let first = argument.split('.').next().unwrap_or_default();
    step.value.args.get(first).map_or(step.value.tool.referenced, |value| value.referenced)
}

fn step(n: u32, step: &FileStep, names: &Names<'_>, specs: &[ToolSpec]) -> Result<Step, YamlError> {
    let spec = compile::spec(specs, &step.tool.value).map_err(|message| at(&step.tool, message))?;
    if let Some(version) = step.version.as_ref().filter(|version| version.value != spec.version) {
        let message = format!("{} is here in version {}", spec.name, spec.version);
        return Err(at(version, message));
    }
    let number = |head: &str| match head {
        "item" if step.for_each.is_some() => Ok("item".to_owned()),
        "item" => Err("${item} stands only in a step with for_each".to_owned()),
        head => names.number(n, head).map(|number| number.to_string()),
    };
    let mut args = Map::new();
    for (key, value) in step.args.iter() {
        let value =
            refs::rename_all(&value.value, &number).map_err(|message| at(value, message))?;
        args.insert(key.to_owned(), value);
    }
    let mut after = Vec::with_capacity(step.after.len());
    for name in &step.after {
        let head = name.value.as_str().map_or_else(|| name.value.to_string(), str::to_owned);
        after.push(names.number(n, &head).map_err(|message| at(name, message))?);
    }
    let for_each = match &step.for_each {
        None => None,
        Some(each) => {
            if !(1..=ITEMS_MAX).contains(&each.max_items.value) {
                let message = format!("max_items must be from 1 to {ITEMS_MAX}");
                return Err(at(&each.max_items, message));
            }
            let earlier = |head: &str| names.number(n, head).map(|number| number.to_string());
            let items = refs::rename(&each.items.value, &earlier)
                .map_err(|message| at(&each.items, message))?;
            if !refs::is_lone(&items) {
                return Err(at(&each.items, "items must be one reference, such as ${list.files}"));
            }
            Some(ForEach { items, max_items: each.max_items.value })
        }
    };
    let limits = Bounds {
        wall_ms: step.limits.wall_ms,
        cpu_ms: step.limits.cpu_ms,
        memory_mb: step.limits.memory_mb,
        output_bytes: step.limits.output_bytes,
        attempts: step.limits.attempts,
        ..Bounds::default()
    };
    Ok(Step {
        n,
        title: step.title.clone().unwrap_or_else(|| spec.summary.trim_end_matches('.').to_owned()),
        tool: spec.name.clone(),
        version: spec.version,
        args: Value::Object(args),
        after,
        for_each,
        effect: spec.effect,
        limits: limits.lower(&spec.limits),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::specs;
    use expect_test::{Expect, expect};

    const GOOD: &str = "goal: count the logs\n\
                        steps:\n  \
                        - name: logs\n    tool: list\n    args:\n      files: \"*.log\"\n  \
                        - tool: write\n    after: [logs]\n    args: {path: count.txt, text: \"${logs.count} logs\"}\n  \
                        - tool: delete\n    for_each: {items: \"${1.files}\", max_items: 10}\n    args: {path: \"${item.path}\"}\n\
                        answer: \"${logs.count} logs\"\n";

    fn check(text: &str, expect: Expect) {
        let found = compile(text, &specs());
        let shown = match found {
            Ok((plan, _)) => serde_json::to_string_pretty(
                &plan
                    .steps
                    .iter()
                    .map(|s| (&s.title, &s.args, &s.after, &s.for_each))
                    .collect::<Vec<_>>(),
            )
            .unwrap(),
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn names_become_numbers() {
        check(
            GOOD,
            expect![[r#"
            [
              [
                "lists things",
                {
                  "files": "*.log"
                },
                [],
                null
              ],
              [
                "writes things",
                {
                  "path": "count.txt",
                  "text": "${1.count} logs"
                },
                [
                  1
                ],
                null
              ],
              [
                "deletes things",
                {
                  "path": "${item.path}"
                },
                [],
                {
                  "items": "${1.files}",
                  "max_items": 10
                }
              ]
            ]"#]],
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        check(
            &GOOD.replace("tool: list", "tool: lst"),
            expect![[
                r#"line 4, column 11: there is no tool called "lst"; there are list, write, delete"#
            ]],
        );
        check(
            &GOOD.replace("files: \"*.log\"", "fils: x"),
            expect![[r#"line 6, column 13: args.fils: "fils" is not known here; there are files"#]],
        );
        check(
            &GOOD.replace("files: \"*.log\"", "files: 3"),
            expect!["line 6, column 14: args.files: expected string, found number"],
        );
        check(
            &GOOD.replace("${logs.count} logs\"}", "${lost.count}\"}"),
            expect![[
                r#"line 9, column 35: "lost" is the name of no earlier step; there are logs"#
            ]],
        );
        check(
            &GOOD.replace("after: [logs]", "after: [3]"),
            expect![[r#"line 8, column 13: "3" is step 3, which is no earlier step"#]],
        );
        check(
            &GOOD.replace("max_items: 10", "max_items: 0"),
            expect!["line 11, column 48: max_items must be from 1 to 20000"],
        );
        check(
            &GOOD.replace("goal:", "gaol:"),
            expect![
                "line 1, column 1: unknown field `gaol`, expected one of goal, steps, answer, budget, priority"
            ],
        );
        check(
            &GOOD.replace("name: logs", "name: item"),
            expect![[
                r#"line 3, column 11: a name begins with a letter, holds letters, digits, - and _, and is not "item""#
            ]],
        );
        check(
            &GOOD.replace("answer: \"${logs", "answer: \"${item"),
            expect![[
                r#"line 13, column 9: "item" is the name of no earlier step; there are logs"#
            ]],
        );
        check(
            "goal: x\nsteps: []\n",
            expect!["line 2, column 8: a mission has from 1 to 200 steps"],
        );
        check("goal: x\n", expect!["line 1, column 1: missing field `steps`"]);
        check("", expect!["line 1, column 1: unexpected end of input"]);
        check("goal: [", expect!["line 1, column 7: expected string scalar"]);
    }

    #[test]
    fn a_budget_is_taken_over() {
        let text = format!("{GOOD}budget: {{steps: 5}}\n");
        let (plan, _) = compile(&text, &specs()).unwrap();
        assert_eq!(plan.budget, Budget { steps: 5, ..Budget::default() });
    }

    #[test]
    fn a_written_plan_is_the_same_plan() {
        let (mut plan, _) = compile(GOOD, &specs()).unwrap();
        let hard =
            ["yes", "1", "null", "# no", "a: b", "- x", "line\nline", " ", "é\t\"'", "$${x}"];
        for text in hard {
            plan.steps[1].args["text"] = Value::String(text.to_owned());
            plan.answer = Some(text.to_owned());
            plan.goal = format!("goal {text}").trim().to_owned();
            plan.budget.steps = 7;
            plan.steps[0].limits.attempts = 1;
            let written = write(&plan);
            let (again, _) =
                compile(&written, &specs()).unwrap_or_else(|e| panic!("{e}\n{written}"));
            assert_eq!(again, plan, "{written}");
        }
    }

    /// The files that are read are those that the published schema accepts, tools
    /// and references aside.
    #[test]
    fn the_schema_says_the_same() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let good = [
            GOOD.to_owned(),
            "goal: x\nsteps: [{tool: list, args: {files: a}}]".to_owned(),
            "goal: x\nsteps: [{tool: list, version: 1, title: t, args: {files: a}, limits: {wall_ms: 5, attempts: 1}}]\nbudget: {bytes_written: 0}".to_owned(),
        ];
        for text in good {
            compile(&text, &specs()).unwrap();
            let value: Value = yaml::parse(&text).unwrap();
            assert!(validator.is_valid(&value), "{text}");
        }
        let bad = [
            "goal: x",
            "steps: [{tool: list, args: {files: a}}]",
            "goal: ''\nsteps: [{tool: list, args: {files: a}}]",
            "goal: 'x'\nsteps: []",
            "goal: x\nsteps: [{args: {files: a}}]",
            "goal: x\nsteps: [{tool: list, arg: {files: a}}]",
            "goal: x\nsteps: [{tool: list, name: 1a, args: {files: a}}]",
            "goal: x\nsteps: [{tool: list, name: item, args: {files: a}}]",
            "goal: x\nsteps: [{tool: list, args: [a]}]",
            "goal: x\nsteps: [{tool: list, args: {files: a}, for_each: {items: '${1.x}'}}]",
            "goal: x\nsteps: [{tool: list, args: {files: a}, for_each: {items: 'x', max_items: 3}}]",
            "goal: x\nsteps: [{tool: list, args: {files: a}, for_each: {items: '${1.x}', max_items: 20001}}]",
            "goal: x\nsteps: [{tool: list, args: {files: a}, limits: {wall: 1}}]",
            "goal: x\nsteps: [{tool: list, args: {files: a}, version: -1}]",
            "goal: x\nsteps: [{tool: list, args: {files: a}}]\nbudget: {steps: -1}",
            "goal: x\nsteps: [{tool: list, args: {files: a}}]\nmore: 1",
            "[]",
        ];
        for text in bad {
            assert!(compile(text, &specs()).is_err(), "{text}");
            let value: Value = yaml::parse(text).unwrap();
            assert!(!validator.is_valid(&value), "{text}");
        }
    }

    #[test]
    fn hostile_files_end_in_an_error() {
        let many =
            format!("goal: x\nsteps:\n{}", "  - {tool: list, args: {files: a}}\n".repeat(300));
        for text in [many, "goal: ".repeat(300_000), "\u{0}".to_owned(), "{".repeat(9_000)] {
            assert!(compile(&text, &specs()).is_err());
        }
    }
}
