//! From three missions to a playbook: missions that were written by hand, with the
//! same tools in the same order, become one plan with typed slots. Arguments that
//! vary become slots, words that vary become examples. A draft counts only for what
//! the planner makes of it: it is tried on the missions it comes from, on those
//! that were held out, and on everything else the user has asked for.

mod draft;
mod same;
#[cfg(test)]
mod tests;
mod write;

use crate::day::Mission;
use crate::happened::{count, short};
use crate::planner::{Outcome, Planner, Reading};
use charter::plan::PlanSource;
use charter::rows::MissionState;
use charter::tool::ToolSpec;
use draft::{Draft, Flaw};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Missions that a playbook needs.
pub const MISSIONS_MIN: usize = 3;
/// Missions that are generalised at a time; of more the newest.
pub const MISSIONS_MAX: usize = 12;
/// Proposals of one night.
pub const PROPOSALS_MAX: usize = 5;
/// Other wishes that are planned again with a new playbook.
const OTHERS_MAX: usize = 60;
/// Wishes that nobody made yet, by which a new playbook is tried.
const NEW_MAX: usize = 24;
/// Ways to say it that a proposal tells.
const SAID_MAX: usize = 3;
/// Times a group is divided by what differs in it.
const DIVIDED_MAX: usize = 4;

/// A change that is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Name of the playbook, and of its file without `.yaml`.
    pub name: String,
    /// In one line.
    pub title: String,
    /// The file.
    pub text: String,
    /// What the missions have in common: found again, it is not proposed again.
    pub chain: String,
    /// What is filled from the words, in words.
    pub slots: Vec<String>,
    /// Words that reach it, with `{slot}` where values stand: tried before it is
    /// proposed.
    #[serde(default)]
    pub say: Vec<String>,
    /// What speaks for it.
    pub evidence: Evidence,
}

/// What speaks for a playbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The missions that it comes from.
    pub missions: Vec<Origin>,
    /// Of these, planned rightly from their words alone.
    pub replayed: Share,
    /// Each of them planned by a playbook made from the others.
    pub held_out: Share,
    /// Wishes that nobody made yet, the words of one mission with the values of
    /// another, that reach it and are planned rightly.
    #[serde(default)]
    pub reached: Share,
    /// Other wishes of the user that are planned as they were.
    pub unchanged: Share,
}

/// A mission that a playbook comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The mission.
    pub mission: String,
    /// Its wish.
    pub wish: String,
    /// The folder.
    pub folder: String,
    /// What these words came to without the playbook.
    pub before: String,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Those that were right.
    pub right: u32,
    /// All of them.
    pub of: u32,
}

impl Share {
    fn add(&mut self, right: bool) {
        self.of += 1;
        self.right += u32::from(right);
    }

    /// Whether all were right.
    pub fn all(&self) -> bool {
        self.right == self.of
    }
}

impl Evidence {
    /// In one line.
    pub fn told(&self) -> String {
        let n = self.missions.len();
        let share = |share: &Share| format!("{} of {}", share.right, share.of);
        let mut told = format!(
            "made from {}. From words alone it plans {} of them, {} that it was not made from",
            count(n, "mission"),
            share(&self.replayed),
            share(&self.held_out)
        );
        if self.reached.of > 0 {
            told.push_str(&format!(", and {} in new words", share(&self.reached)));
        }
        match self.unchanged.of {
            0 => told.push('.'),
            _ => told.push_str(&format!(
                ". Of your other wishes, {} are planned as before.",
                share(&self.unchanged)
            )),
        }
        told
    }
}

impl Proposal {
    /// The change as a difference: a new file.
    pub fn diff(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let body: String = lines.iter().map(|line| format!("+{line}\n")).collect();
        format!(
            "--- /dev/null\n+++ playbooks/{}.yaml\n@@ -0,0 +1,{} @@\n{body}",
            self.name,
            lines.len()
        )
    }
}

/// A mission with its words as planning reads them.
#[derive(Clone)]
pub(crate) struct Sample<'d> {
    pub(crate) mission: &'d Mission,
    pub(crate) reading: Reading,
}

/// What looking for playbooks came to.
#[derive(Debug, Default)]
pub struct Found {
    /// What is proposed.
    pub made: Vec<Proposal>,
    /// What was tried and came to nothing, with the reason.
    pub not_made: Vec<String>,
    /// What is done alike, and is planned from its words as it is.
    pub needless: Vec<String>,
}

/// Looks for playbooks in missions, oldest first. `known` holds the chains that
/// were proposed before.
pub fn propose(
    missions: &[Mission],
    known: &BTreeSet<String>,
    specs: &[ToolSpec],
    planner: &dyn Planner,
) -> Found {
    let mut found = Found::default();
    let mut groups: BTreeMap<String, Vec<Sample<'_>>> = BTreeMap::new();
    let mut by_words: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for mission in missions.iter().rev() {
        let good = matches!(mission.state, MissionState::Done | MissionState::Unverified);
        if !good || !mission.plan.unmet.is_empty() {
            continue;
        }
        if let PlanSource::Playbook { name, .. } = &mission.plan.source {
            by_words.entry(name).or_default().insert(mission.wish.to_lowercase());
            continue;
        }
        let group = groups.entry(same::shape(&mission.plan, specs)).or_default();
        let again = group.iter().any(|s| s.mission.wish.eq_ignore_ascii_case(&mission.wish));
        if !again && group.len() < MISSIONS_MAX {
            let reading = planner.read(&mission.wish, &mission.survey);
            group.push(Sample { mission, reading });
        }
    }
    for (shape, mut samples) in groups {
        let chain = same::digest(&shape);
        let full = found.made.len() >= PROPOSALS_MAX;
        if samples.len() < MISSIONS_MIN || known.contains(&chain) || full {
            continue;
        }
        samples.reverse();
        let n = count(samples.len(), "mission");
        match whole_or_part(&samples, missions, specs, planner) {
            Ok(Some(proposal)) => found.made.push(Proposal { chain, ..proposal }),
            Ok(None) => found.needless.push(format!(
                "{n} by file could have been asked for in plain words: they are planned the same \
                 from those."
            )),
            Err(why) => {
                let tools = samples[0].mission.chain().join(", ");
                found.not_made.push(format!("{n} that use {tools} are alike, but {why}"));
            }
        }
    }
    let often = by_words.iter().filter(|(_, wishes)| wishes.len() >= MISSIONS_MIN);
    let often: Vec<&str> = often.map(|(name, _)| *name).take(PROPOSALS_MAX).collect();
    if !often.is_empty() {
        found.needless.push(format!(
            "What you ask for most in plain words has its playbook already: {}.",
            often.join(", ")
        ));
    }
    found
}

/// A proposal from all samples; else from the most that have the same arguments.
fn whole_or_part(
    samples: &[Sample<'_>],
    missions: &[Mission],
    specs: &[ToolSpec],
    planner: &dyn Planner,
) -> Result<Option<Proposal>, String> {
    one(samples, missions, specs, planner, DIVIDED_MAX).or_else(|why| {
        let forms: Vec<String> = samples.iter().map(|s| same::names(&s.mission.plan)).collect();
        let large = parts(samples, &forms).into_iter().max_by_key(Vec::len);
        let large = large.filter(|part| (MISSIONS_MIN..samples.len()).contains(&part.len()));
        one(&large.ok_or(why)?, missions, specs, planner, DIVIDED_MAX)
    })
}

/// A proposal from samples of one shape; `None` if there is nothing to gain.
fn one(
    samples: &[Sample<'_>],
    missions: &[Mission],
    specs: &[ToolSpec],
    planner: &dyn Planner,
    divided: usize,
) -> Result<Option<Proposal>, String> {
    let before: Vec<Outcome> =
        samples.iter().map(|s| planner.plan(None, &s.mission.wish, &s.mission.survey)).collect();
    let none = BTreeSet::new();
    let planned = |s: &Sample<'_>, outcome: &Outcome| {
        outcome.whole().is_some_and(|plan| same::is_same(plan, s.mission, &none))
    };
    if samples.iter().zip(&before).all(|(sample, outcome)| planned(sample, outcome)) {
        return Ok(None);
    }
    let (draft, text) = match sound(samples, specs, planner) {
        Ok(made) => made,
        Err(Flaw { why, divide }) => {
            let parts = divide.filter(|_| divided > 0).map(|values| parts(samples, &values));
            let large = parts.into_iter().flatten().filter(|part| part.len() >= MISSIONS_MIN);
            let large = large.max_by_key(Vec::len).ok_or(why)?;
            return one(&large, missions, specs, planner, divided - 1);
        }
    };
    let mut evidence = Evidence {
        missions: samples
            .iter()
            .zip(&before)
            .map(|(s, outcome)| origin(s.mission, outcome))
            .collect(),
        replayed: Share::default(),
        held_out: Share::default(),
        reached: Share::default(),
        unchanged: Share::default(),
    };
    for (nth, sample) in samples.iter().enumerate() {
        evidence.replayed.add(replay(sample, nth, &draft, &text, planner));
        let mut others = samples.to_vec();
        others.remove(nth);
        let without = sound(&others, specs, planner);
        evidence.held_out.add(without.is_ok_and(|(_, text)| {
            let outcome = planner.plan(Some(&text), &sample.mission.wish, &sample.mission.survey);
            outcome
                .whole()
                .is_some_and(|plan| same::is_same(plan, sample.mission, &draft.free(nth)))
        }));
    }
    if !evidence.replayed.all() {
        return Err(format!(
            "a playbook made from them plans only {} of {} rightly from their words",
            evidence.replayed.right, evidence.replayed.of
        ));
    }
    let (reached, say) = reached(samples, &draft, &text, planner);
    evidence.reached = reached;
    if say.is_empty() && reached.of > 0 {
        return Err("a new wish in their words would be planned otherwise".to_owned());
    }
    let own: BTreeSet<&str> = samples.iter().map(|s| s.mission.wish.as_str()).collect();
    let mut seen = BTreeSet::new();
    let others = missions.iter().rev().filter(|m| {
        !own.contains(m.wish.as_str()) && seen.insert((m.wish.as_str(), m.folder.as_str()))
    });
    for other in others.take(OTHERS_MAX) {
        let as_before = planner.plan(None, &other.wish, &other.survey);
        let now = planner.plan(Some(&text), &other.wish, &other.survey);
        evidence.unchanged.add(match (as_before.whole(), now.whole()) {
            (Some(before), Some(now)) => before.steps == now.steps,
            (None, None) => true,
            // What had no plan and has one now must have the one that was made by hand.
            (None, Some(now)) => same::is_same(now, other, &none),
            (Some(_), None) => false,
        });
    }
    if !evidence.unchanged.all() {
        return Err(format!(
            "a playbook made from them would plan {} of your other wishes otherwise than now",
            evidence.unchanged.of - evidence.unchanged.right
        ));
    }
    Ok(Some(Proposal {
        title: format!("A playbook for “{}”", draft.summary()),
        slots: draft.told(),
        say,
        name: draft.name,
        text,
        chain: String::new(),
        evidence,
    }))
}

/// A draft and its file, if planning takes it.
fn sound(
    samples: &[Sample<'_>],
    specs: &[ToolSpec],
    planner: &dyn Planner,
) -> Result<(Draft, String), Flaw> {
    let draft = Draft::of(samples, specs, planner)?;
    let text = write::playbook(&draft);
    match planner.flaws(&text).into_iter().next() {
        None => Ok((draft, text)),
        Some(flaw) => Err(Flaw::new(format!("the playbook made from them is not sound: {flaw}"))),
    }
}

/// Samples with the same value together.
fn parts<'d>(samples: &[Sample<'d>], values: &[String]) -> Vec<Vec<Sample<'d>>> {
    let mut parts: BTreeMap<&str, Vec<Sample<'d>>> = BTreeMap::new();
    for (sample, value) in samples.iter().zip(values) {
        parts.entry(value).or_default().push(sample.clone());
    }
    parts.into_values().collect()
}

fn replay(
    sample: &Sample<'_>,
    nth: usize,
    draft: &Draft,
    text: &str,
    planner: &dyn Planner,
) -> bool {
    let outcome = planner.plan(Some(text), &sample.mission.wish, &sample.mission.survey);
    outcome.whole().is_some_and(|plan| same::is_same(plan, sample.mission, &draft.free(nth)))
}

/// How many wishes that nobody made yet are planned rightly, and the words of those
/// that are.
fn reached(
    samples: &[Sample<'_>],
    draft: &Draft,
    text: &str,
    planner: &dyn Planner,
) -> (Share, Vec<String>) {
    let (mut share, mut say) = (Share::default(), Vec::new());
    // Each in turn with the values of the next, of the one after it, and so on.
    let n = samples.len();
    let pairs = (1..n).flat_map(|step| (0..n).map(move |words| (words, (words + step) % n)));
    for (words, values) in pairs {
        let Some(wish) = draft.crossed(samples, words, values) else { continue };
        if share.of as usize >= NEW_MAX {
            break;
        }
        let target = samples[values].mission;
        let outcome = planner.plan(Some(text), &wish, &target.survey);
        let free = draft.free(values);
        let right = outcome.whole().is_some_and(|plan| same::is_same(plan, target, &free));
        share.add(right);
        let example = draft.example(&samples[words], words);
        if right && !say.contains(&example) {
            say.push(example);
        }
    }
    say.sort_by_key(String::len);
    say.truncate(SAID_MAX);
    (share, say)
}

fn origin(mission: &Mission, before: &Outcome) -> Origin {
    let before = match before {
        Outcome::Refused(_) => "refused".to_owned(),
        Outcome::Plan(plan) => match &plan.source {
            PlanSource::Playbook { name, .. } => format!("planned otherwise, by {name}"),
            _ => "planned otherwise".to_owned(),
        },
    };
    Origin {
        mission: mission.id.clone(),
        wish: short(&mission.wish),
        folder: mission.folder.clone(),
        before,
    }
}
