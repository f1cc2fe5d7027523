//! *What did I learn today?* Each lesson is one rule over the day. It cites at
//! least two sources and says something that stands in none of them alone; what one
//! source says, or what a count says, is no lesson.

use crate::day::{Day, Mission, Turn};
use crate::happened::{count, short};
use charter::approval::ApprovalState;
use charter::conversation::{Route, TurnState};
use charter::rows::MissionState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Lessons of one night.
pub const LESSONS_MAX: usize = 12;
/// Sources that a lesson quotes.
const SOURCES_MAX: usize = 6;
/// Times something must have been so, before it is a habit.
const HABIT: usize = 3;
/// Cosine from which two questions ask the same.
const SAME_QUESTION: f32 = 0.62;
/// Cosine above which they are the same words again.
const SAME_WORDS: f32 = 0.995;

/// Something learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// The rule that found it.
    pub rule: String,
    /// The lesson, in a sentence or two.
    pub text: String,
    /// What it rests on; two at least.
    pub sources: Vec<Cited>,
}

/// A source of a lesson.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cited {
    /// Its name.
    pub id: String,
    /// What stands there.
    pub quote: String,
}

fn cited(id: &str, quote: &str) -> Cited {
    Cited { id: id.to_owned(), quote: short(quote) }
}

/// Everything that the day teaches, the best-founded first. A lesson that stands
/// on one source is none, whichever rule found it.
pub fn lessons(day: &Day) -> Vec<Lesson> {
    let rules = [asked_again, failed_then_worked, one_after_another, denied_alike, unproven_alike];
    let mut all: Vec<Lesson> = rules.iter().flat_map(|rule| rule(day)).collect();
    all.retain(|lesson| {
        lesson.sources.iter().map(|source| &source.id).collect::<BTreeSet<_>>().len() >= 2
    });
    all.sort_by(|a, b| b.sources.len().cmp(&a.sources.len()).then(a.text.cmp(&b.text)));
    for lesson in &mut all {
        lesson.sources.truncate(SOURCES_MAX);
    }
    all.truncate(LESSONS_MAX);
    all
}

/// The same was asked again and again in other words.
fn asked_again(day: &Day) -> Vec<Lesson> {
    let questions: Vec<&Turn> = day
        .turns
        .iter()
        .filter(|t| matches!(t.route, Some(Route::Recall | Route::Chat)) && !t.vector.is_empty())
        .collect();
    let mut open: Vec<&Turn> = questions;
    let mut found = Vec::new();
    while let Some(first) = open.first().copied() {
        // The same words again are a repetition, not another question.
        let mut group: Vec<&Turn> = vec![first];
        for turn in open.iter().skip(1) {
            let near = cosine(&first.vector, &turn.vector);
            let repeated = |other: &&Turn| cosine(&other.vector, &turn.vector) > SAME_WORDS;
            if near >= SAME_QUESTION && !group.iter().any(repeated) {
                group.push(turn);
            }
        }
        open.retain(|turn| {
            cosine(&first.vector, &turn.vector) < SAME_QUESTION && turn.id != first.id
        });
        if group.len() < HABIT {
            continue;
        }
        let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
        for turn in group.iter().filter(|t| t.state == TurnState::Answered) {
            *answers.entry(first_line(&turn.answer)).or_insert(0) += 1;
        }
        let usual = answers.iter().max_by_key(|(answer, n)| (**n, std::cmp::Reverse(**answer)));
        let n = group.len();
        let text = match usual {
            Some((answer, times)) if *times >= 2 && !answer.is_empty() => format!(
                "You asked {n} times, each time in other words, and {times} times the answer was \
                 “{}”: it is worth keeping where you look first.",
                short(answer)
            ),
            _ if answers.is_empty() => format!(
                "You asked {n} times, each time in other words, and I never had an answer: tell me \
                 once, with “remember that …”."
            ),
            _ => continue,
        };
        found.push(Lesson {
            rule: "asked-again".to_owned(),
            text,
            sources: group.iter().map(|turn| cited(&turn.id, &turn.said)).collect(),
        });
    }
    found
}

/// Something failed twice with one cause, and worked when done otherwise.
fn failed_then_worked(day: &Day) -> Vec<Lesson> {
    let mut chains: BTreeMap<Vec<&str>, Vec<&Mission>> = BTreeMap::new();
    for mission in &day.missions {
        chains.entry(mission.chain()).or_default().push(mission);
    }
    let mut found = Vec::new();
    for missions in chains.values() {
        let mut causes: BTreeMap<(u32, String), Vec<&Mission>> = BTreeMap::new();
        for mission in missions.iter().filter(|m| m.state == MissionState::Failed) {
            if let Some(step) = mission.failure() {
                let cause = general(step.error.as_deref().unwrap_or_default());
                causes.entry((step.n, cause)).or_default().push(mission);
            }
        }
        for ((n, cause), failed) in causes.iter().filter(|(_, failed)| failed.len() >= 2) {
            let Some(last) = failed.last() else { continue };
            let worked = missions.iter().find(|m| m.at > last.at && m.state == MissionState::Done);
            let Some(worked) = worked else { continue };
            let args = |m: &Mission| m.plan.steps.get(*n as usize - 1).map(|s| s.args.clone());
            let (Some(now), Some(before)) = (args(worked), args(last)) else { continue };
            let other = differences(&now, &before);
            let same_in_all =
                failed.iter().all(|m| args(m).is_some_and(|a| differences(&now, &a) == other));
            let how = match other.as_slice() {
                [] => continue,
                [(key, value)] => format!("with {key} = {value}"),
                // More than one thing changed: which one helped is not known.
                several if same_in_all || failed.len() == 2 => format!(
                    "after {} were changed",
                    several.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(", ")
                ),
                _ => continue,
            };
            let tool = last.chain().get(*n as usize - 1).copied().unwrap_or_default().to_owned();
            let mut sources: Vec<Cited> = failed.iter().map(|m| cited(&m.id, &m.wish)).collect();
            sources.push(cited(&worked.id, &worked.wish));
            found.push(Lesson {
                rule: "failed-then-worked".to_owned(),
                text: format!(
                    "{tool} failed {} for one reason ({}) and worked {how}.",
                    count(failed.len(), "time"),
                    short(cause)
                ),
                sources,
            });
        }
    }
    found
}

/// Whatever goes through one tool went through another before, mission by mission.
fn one_after_another(day: &Day) -> Vec<Lesson> {
    type Uses<'d> = Vec<(i64, &'d str, &'d Mission)>;
    let mut uses: BTreeMap<(&str, &str), Uses<'_>> = BTreeMap::new();
    let done = |m: &&Mission| matches!(m.state, MissionState::Done | MissionState::Unverified);
    for mission in day.missions.iter().filter(done) {
        for step in &mission.plan.steps {
            for file in inputs(&step.args, &mission.survey) {
                uses.entry((&mission.folder, file))
                    .or_default()
                    .push((mission.at, &step.tool, mission));
            }
        }
    }
    // By pair of tools: files where the first came before, and files of the second.
    type Met<'d> = (Vec<(&'d Mission, &'d Mission, &'d str)>, usize);
    let mut pairs: BTreeMap<(&str, &str), Met<'_>> = BTreeMap::new();
    let tools: BTreeSet<&str> = uses.values().flatten().map(|(_, tool, _)| *tool).collect();
    for ((_, file), met) in &uses {
        for second in &tools {
            let Some(late) = met.iter().filter(|(_, t, _)| t == second).max_by_key(|(at, ..)| *at)
            else {
                continue;
            };
            for first in tools.iter().filter(|first| *first != second) {
                let pair = pairs.entry((*first, *second)).or_default();
                pair.1 += 1;
                let early =
                    met.iter().find(|(at, t, m)| t == first && *at < late.0 && m.id != late.2.id);
                if let Some(early) = early {
                    pair.0.push((early.2, late.2, *file));
                }
            }
        }
    }
    let mut found = Vec::new();
    for ((first, second), (met, all)) in pairs {
        if met.len() < HABIT || met.len() < all {
            continue;
        }
        let mut sources: Vec<Cited> = Vec::new();
        for (early, late, file) in &met {
            sources.push(cited(&early.id, &format!("{} ({file})", early.wish)));
            sources.push(cited(&late.id, &format!("{} ({file})", late.wish)));
        }
        sources.dedup_by(|a, b| a.id == b.id);
        found.push(Lesson {
            rule: "one-after-another".to_owned(),
            text: format!(
                "Every file that went through {second} had gone through {first} before, in a \
                 mission of its own: {} of {all}. One wish could ask for both.",
                met.len()
            ),
            sources,
        });
    }
    found
}

/// What was asked about one tool was never allowed.
fn denied_alike(day: &Day) -> Vec<Lesson> {
    let tools: BTreeSet<&str> =
        day.asked.iter().flat_map(|a| &a.tools).map(String::as_str).collect();
    let mut found = Vec::new();
    for tool in tools {
        let about = |state| {
            day.asked.iter().filter(move |a| a.state == state && a.tools.iter().any(|t| t == tool))
        };
        let denied: Vec<_> = about(ApprovalState::Denied).collect();
        if denied.len() < 2 || about(ApprovalState::Approved).next().is_some() {
            continue;
        }
        found.push(Lesson {
            rule: "denied-alike".to_owned(),
            text: format!(
                "Whatever {tool} wanted to do, you said no: {0} of {0}. A rule in [policy] would \
                 spare you the question.",
                denied.len()
            ),
            sources: denied.iter().map(|a| cited(&a.id, &a.summary)).collect(),
        });
    }
    found
}

/// One tool leaves claims unproven, again and again, where others prove theirs.
fn unproven_alike(day: &Day) -> Vec<Lesson> {
    let mut tools: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for mission in &day.missions {
        for step in mission.steps.iter().filter(|s| s.state == charter::rows::StepState::Done) {
            let entry = tools.entry(&step.tool).or_default();
            if step.verified { &mut entry.1 } else { &mut entry.0 }.insert(&mission.id);
        }
    }
    let proves = tools.values().any(|(open, proven)| open.is_empty() && proven.len() >= 2);
    let mut found = Vec::new();
    for (tool, (open, proven)) in tools {
        if open.len() < HABIT || !proven.is_empty() || !proves {
            continue;
        }
        let of = day.missions.iter().filter(|m| open.contains(m.id.as_str()));
        found.push(Lesson {
            rule: "unproven-alike".to_owned(),
            text: format!(
                "What {tool} did was never proven, in {} out of {0}, while other tools proved \
                 theirs: look at its results yourself.",
                count(open.len(), "mission")
            ),
            sources: of.map(|m| cited(&m.id, &m.wish)).collect(),
        });
    }
    found
}

/// Names of existing files among arguments.
fn inputs<'v>(args: &'v Value, survey: &charter::survey::Survey) -> Vec<&'v str> {
    match args {
        Value::String(text) => {
            let there = survey.entries.iter().any(|entry| !entry.folder && entry.path == *text);
            if there { vec![text.as_str()] } else { Vec::new() }
        }
        Value::Array(values) => values.iter().flat_map(|value| inputs(value, survey)).collect(),
        Value::Object(fields) => fields.values().flat_map(|value| inputs(value, survey)).collect(),
        _ => Vec::new(),
    }
}

/// Arguments that have another value now, with that value.
fn differences(now: &Value, before: &Value) -> Vec<(String, String)> {
    let (Some(now), Some(before)) = (now.as_object(), before.as_object()) else {
        return Vec::new();
    };
    let differs = now.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    differs.map(|(key, value)| (key.clone(), short(&value.to_string()))).collect()
}

/// An error without what is in quotation marks and without numbers, up to where it
/// goes on to say what to do: its cause.
fn general(error: &str) -> String {
    let mut quoted = false;
    let mut text = String::new();
    let line = error.lines().next().unwrap_or_default();
    let end = [";", " (", ". "].iter().filter_map(|mark| line.find(mark)).min();
    for c in line.get(..end.unwrap_or(line.len())).unwrap_or(line).chars() {
        match c {
            '"' => {
                if !quoted {
                    text.push('…');
                }
                quoted = !quoted;
            }
            c if quoted || c.is_ascii_digit() => {}
            c => text.push(c),
        }
    }
    text
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default().trim()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::day::Asked;
    use crate::testing::{day, mission, turn};
    use charter::event::DeathCause;
    use serde_json::json;

    fn rules(day: &Day) -> Vec<(String, usize)> {
        lessons(day).into_iter().map(|l| (l.rule, l.sources.len())).collect()
    }

    fn ask(id: &str, angle: f32, answer: &str) -> Turn {
        turn(id, &format!("question {id}"), Route::Recall, answer, &[angle.cos(), angle.sin()])
    }

    #[test]
    fn the_same_question_in_other_words_is_a_lesson() {
        let mut day = day();
        day.turns =
            vec![ask("u1", 0.0, "on 3 May"), ask("u2", 0.3, "on 3 May"), ask("u3", 0.5, "May")];
        assert_eq!(rules(&day), [("asked-again".to_owned(), 3)]);
        assert!(lessons(&day)[0].text.contains("2 times the answer was “on 3 May”"));
    }

    #[test]
    fn the_same_words_again_or_other_questions_are_none() {
        let mut day = day();
        day.turns = vec![ask("u1", 0.0, "a"), ask("u2", 0.0, "a"), ask("u3", 0.01, "a")];
        assert!(rules(&day).is_empty());
        day.turns = vec![ask("u1", 0.0, "a"), ask("u2", 1.4, "a"), ask("u3", 2.9, "a")];
        assert!(rules(&day).is_empty());
    }

    fn failing(id: &str, at: i64, state: MissionState, by: &str) -> Mission {
        let mut mission = mission(id, &format!("total {id}"));
        mission.at = at;
        mission.state = state;
        mission.plan.steps[0].args = json!({ "files": "a.csv", "by": by });
        if state == MissionState::Failed {
            mission.steps[0].cause = Some(DeathCause::Permanent);
            mission.steps[0].error = Some(format!("there is no column \"{by}\" in line {at}"));
        }
        mission
    }

    #[test]
    fn what_failed_twice_for_one_reason_and_then_worked_is_a_lesson() {
        use MissionState::{Done, Failed};
        let mut day = day();
        day.missions = vec![failing("m1", 1, Failed, "sum"), failing("m2", 2, Failed, "amount")];
        assert!(rules(&day).is_empty(), "nothing has worked yet");
        day.missions.push(failing("m3", 3, Done, "total"));
        assert_eq!(rules(&day), [("failed-then-worked".to_owned(), 3)]);
        assert!(lessons(&day)[0].text.contains("worked with by = \"total\""));
        day.missions.remove(0);
        assert!(rules(&day).is_empty(), "one failure is no cause");
    }

    #[test]
    fn what_always_goes_before_something_is_a_lesson() {
        let mut day = day();
        for (i, file) in ["a.csv", "b.csv", "c.csv"].iter().enumerate() {
            for (tool, at) in [("convert", 1), ("table", 2)] {
                let mut mission = mission(&format!("m{i}{tool}"), &format!("{tool} {file}"));
                mission.at = at;
                mission.plan.steps[0].tool = tool.to_owned();
                mission.plan.steps[0].args = json!({ "from": file });
                mission.survey = std::sync::Arc::new(crate::testing::survey(&[file]));
                day.missions.push(mission);
            }
        }
        assert_eq!(rules(&day), [("one-after-another".to_owned(), 6)]);
        // One that was not converted: it is no rule.
        day.missions.remove(0);
        assert!(rules(&day).is_empty());
    }

    #[test]
    fn what_is_always_denied_is_a_lesson() {
        let asked = |id: &str, state| Asked {
            id: id.to_owned(),
            tools: vec!["delete".to_owned()],
            summary: format!("delete {id}"),
            state,
        };
        let mut day = day();
        day.asked = vec![asked("a1", ApprovalState::Denied)];
        assert!(rules(&day).is_empty());
        day.asked.push(asked("a2", ApprovalState::Denied));
        assert_eq!(rules(&day), [("denied-alike".to_owned(), 2)]);
        day.asked.push(asked("a3", ApprovalState::Approved));
        assert!(rules(&day).is_empty());
    }

    #[test]
    fn what_one_tool_never_proves_is_a_lesson_only_beside_tools_that_do() {
        let mut day = day();
        for i in 0..3 {
            let mut one = mission(&format!("m{i}"), "run it");
            one.steps[0].tool = "run".to_owned();
            one.steps[0].verified = false;
            day.missions.push(one);
        }
        assert!(rules(&day).is_empty());
        day.missions.extend([mission("m8", "hash"), mission("m9", "hash")]);
        assert_eq!(rules(&day), [("unproven-alike".to_owned(), 3)]);
    }
}
