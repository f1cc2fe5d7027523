//! What is made of wishes: which playbook meets them, how its slots are filled, and
//! which tools follow. Each wish is planned as `alma plan new` plans it, beside a
//! process that holds the data folder.

use super::Progress;
use super::cases::{Case, read, share, unread};
use super::child::{BenchError, Durability, Stage};
use super::measure::{Figures, Samples};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What a wish that is not met is called where a playbook is expected.
const REFUSED: &str = "refused";
/// Exit code of a refusal.
const REFUSES: i32 = 5;

/// Right ones of so many.
#[derive(Default, Clone, Copy)]
struct Score {
    right: usize,
    n: usize,
}

impl Score {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.n += 1;
    }

    fn share(self) -> Option<f64> {
        share(self.right, self.n)
    }
}

/// Plans every wish of a file.
pub(super) fn run(
    stage: &Stage,
    data: &Path,
    progress: &mut Progress<'_>,
) -> Result<(Figures, Durability), BenchError> {
    let cases = read(data)?;
    let mut owner = stage.worker(None)?;
    let durability = owner.durability()?;
    let mut took = Samples::default();
    let (mut playbook, mut slots, mut tools) = <(Score, Score, Score)>::default();
    let mut by_playbook: BTreeMap<String, Score> = BTreeMap::new();
    for (n, case) in cases.iter().enumerate() {
        let workspace = folder(case, data, stage)?;
        let arguments = ["plan", "new", "--json", "-w", &workspace, "--", &case.say];
        let ran = stage.run(&arguments)?;
        // The first one reads what others find read.
        if n > 0 {
            took.push_ms(ran.took);
        }
        let planned: Value = match ran.status.code() {
            Some(REFUSES) => json!({ "parts": [{ "playbook": REFUSED }] }),
            Some(0) => serde_json::from_slice(&ran.stdout).map_err(|source| {
                BenchError::Document { command: "plan new --json".to_owned(), source }
            })?,
            _ => {
                return Err(BenchError::Child {
                    command: format!("plan new {:?}", case.say),
                    status: ran.status,
                    said: ran.stderr,
                });
            }
        };
        if let Some(expected) = &case.expect.playbook {
            let right = names(&planned) == [expected.as_str()];
            playbook.add(right);
            by_playbook.entry(expected.clone()).or_default().add(right);
        }
        if let Some(expected) = &case.expect.slots {
            slots.add(fits(&planned["parts"][0]["slots"], expected));
        }
        if let Some(expected) = &case.expect.tools {
            let steps = planned["plan"]["steps"].as_array().into_iter().flatten();
            let used: Vec<&str> = steps.filter_map(|step| step["tool"].as_str()).collect();
            tools.add(used == *expected);
        }
        progress.tell(|| format!("planned {} of {}", n + 1, cases.len()));
    }
    owner.kill()?;
    if playbook.n + slots.n + tools.n == 0 {
        return Err(unread(data, "no line expects a playbook, slots or tools"));
    }
    let mut figures = Figures::default();
    figures.set("n", cases.len());
    figures.number("p50_ms", took.percentile(50));
    figures.number("p99_ms", took.percentile(99));
    for (key, score) in [("playbook", playbook), ("slots", slots), ("tools", tools)] {
        if let Some(share) = score.share() {
            figures.set(key, share);
        }
    }
    let by: Map<_, _> = by_playbook
        .iter()
        .map(|(name, score)| (name.clone(), json!({ "n": score.n, "right": score.right })))
        .collect();
    figures.set("by_playbook", by);
    figures.note("p50_ms: one `alma plan new`, its start and its end included");
    Ok((figures, durability))
}

/// The folder of a case: its own, seen from the file that names it, or an empty one.
fn folder(case: &Case, data: &Path, stage: &Stage) -> Result<String, BenchError> {
    let folder = match &case.workspace {
        Some(named) => data.parent().unwrap_or(Path::new(".")).join(named),
        None => stage.workspace().to_owned(),
    };
    let found = folder.canonicalize();
    let found = found.map_err(|error| unread(data, format!("{}: {error}", folder.display())))?;
    Ok(found.to_string_lossy().into_owned())
}

fn names(planned: &Value) -> Vec<&str> {
    let parts = planned["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["playbook"].as_str()).collect()
}

/// Whether every slot that is named has its value.
fn fits(found: &Value, expected: &Map<String, Value>) -> bool {
    expected.iter().all(|(slot, value)| found.get(slot).is_some_and(|own| same(own, value)))
}

/// Whether two values say the same: texts without regard to case, numbers as texts too,
/// a list of one like the one.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Array(one), other) | (other, Value::Array(one)) => {
            matches!(one.as_slice(), [only] if same(only, other))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => plain(a) == plain(b),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().trim_end_matches('/').to_lowercase(),
        other => other.as_f64().map_or_else(|| other.to_string(), |number| number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Value, expected: Value, right: bool) {
        assert_eq!(same(&found, &expected), right, "{found} {expected}");
    }

    #[test]
    fn values_are_the_same_where_they_say_the_same() {
        check(json!("Berlin"), json!("berlin"), true);
        check(json!(["amount"]), json!("amount"), true);
        check(json!("100"), json!(100.0), true);
        check(
            json!([{"column": "a", "is": ">", "value": 5}]),
            json!([{"column": "a", "is": ">", "value": "5"}]),
            true,
        );
        check(json!(["a", "b"]), json!(["a"]), false);
        check(json!("docs/"), json!("docs"), true);
        check(json!("docs"), json!("doc"), false);
    }

    #[test]
    fn slots_that_are_not_named_are_not_compared() {
        let expected = json!({"source": "a.csv"});
        let expected = expected.as_object().unwrap();
        assert!(fits(&json!({"source": "a.csv", "more": 1}), expected));
        assert!(!fits(&json!({"more": 1}), expected));
        assert!(!fits(&Value::Null, expected));
    }
}
