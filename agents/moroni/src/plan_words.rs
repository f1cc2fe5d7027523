//! From words to a plan: the best playbook is filled from the wish, part by part.
//!
//! What no playbook can do is never dropped silently: a part of a wish that cannot
//! be met stands in [`Plan::unmet`] in the user's own words, and a wish of which
//! nothing can be met is refused with the reason.

use crate::clauses::clauses;
use crate::compile::compile;
use crate::likeness::{Likeness, MISSED_GROUP, Probe, THRESHOLD, Use, View};
use crate::playbook::{Playbook, SlotType};
use crate::playbooks::Library;
use crate::reading::{Mention, Reading, What};
use crate::slots::{self, Missing};
use crate::template::Values;
use crate::words::token::WISH_BYTES_MAX;
use charter::budget::Budget;
use charter::plan::{Plan, PlanSource, STEPS_MAX};
use charter::reflex::{Leaning, Reflex};
use charter::survey::Survey;
use charter::tool::ToolSpec;
use jiff::civil::Date;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// A wish and all that planning may know.
pub struct Request<'a> {
    /// The user's words.
    pub words: &'a str,
    /// What lies in the workspace.
    pub survey: &'a Survey,
    /// What can be done.
    pub playbooks: &'a Library,
    /// The tools there are.
    pub specs: &'a [ToolSpec],
    /// The day it is, for "last week".
    pub today: Date,
    /// What the mission may spend.
    pub budget: Budget,
    /// What says at once which playbook a wish is for; `None`: its words alone decide.
    pub reflex: Option<&'a dyn Reflex>,
}

/// A part of a wish and how it is met.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The playbook.
    pub playbook: String,
    /// The words that it meets.
    pub words: String,
    /// How like the words are to it.
    pub likeness: f32,
    /// The values of its slots.
    pub slots: Values,
}

/// What came of planning.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// A plan.
    Plan {
        /// The plan.
        plan: Plan,
        /// Why these playbooks.
        reason: String,
        /// What the user should know about how words were taken.
        notes: Vec<String>,
        /// The parts of the wish that it meets.
        parts: Vec<Part>,
    },
    /// It cannot be planned.
    Refused(Refusal),
}

/// Why a wish cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// In words: what is missing, and what could be done instead.
    pub message: String,
    /// Words that nothing covers, or slots without a value.
    pub missing: Vec<String>,
    /// The nearest things that can be done, with their summaries.
    pub nearest: Vec<String>,
    /// Whether a playbook fits, and only a value is missing.
    pub fits: bool,
}

/// Playbooks that are filled for a closer look.
const LOOKED_AT: usize = 40;
/// How much less like a wish a playbook may be and still win over one that lacks a
/// value.
const LACK: f32 = 0.12;

/// Shares of covered words that differ by less are equal.
const EQUAL: f32 = 0.01;
/// Factor for a wish with a word that a plan would leave out, where that matters.
const LEFT_OUT: f32 = 0.78;
/// Factor for a wish about whom it is told, and about nothing here.
const YOURS: f32 = 0.6;

/// What the reflex adds to the likeness of a playbook that it is sure of, and what it
/// takes from all where it is sure that none is meant.
const LEANS: f32 = 0.6;
const AGAINST: f32 = 0.3;
/// A part of a wish as like as this to a playbook needs no verb.
const SURE: f32 = 0.75;
/// General concepts that are verbs.
const VERBS: [&str; 15] = [
    "find", "show", "collect", "write", "convert", "count", "compare", "move", "copy", "delete",
    "run", "total", "average", "sort", "check",
];

/// A playbook filled from a part of a wish.
struct Candidate {
    p: usize,
    range: Range<usize>,
    likeness: Likeness,
    values: Values,
    notes: Vec<String>,
    missing: Vec<Missing>,
    spoken: usize,
    used: Vec<Use>,
}

impl Candidate {
    fn is_good(&self) -> bool {
        self.likeness.score >= THRESHOLD && self.missing.is_empty()
    }
}

struct Planner<'r, 'a> {
    request: &'r Request<'a>,
    reading: &'r Reading<'a>,
    probe: Probe,
    /// What the reflex says of parts of the wish.
    leanings: RefCell<HashMap<Range<usize>, Leaning>>,
}

/// Plans a wish.
pub fn plan(request: &Request<'_>) -> Planned {
    let words = request.words.trim();
    let nothing = |message: &str| {
        let nearest = request.playbooks.playbooks.iter().take(5);
        Planned::Refused(Refusal {
            message: message.to_owned(),
            missing: Vec::new(),
            nearest: nearest.map(|p| format!("{}: {}", p.name, p.summary)).collect(),
            fits: false,
        })
    };
    if words.is_empty() {
        return nothing("The wish is empty: say what shall be done, in a sentence.");
    }
    if words.len() > WISH_BYTES_MAX {
        return nothing(&format!(
            "The wish has {} bytes, more than the {WISH_BYTES_MAX} that are read: say it shorter, \
             or write a mission file.",
            words.len()
        ));
    }
    let lexicon = request.playbooks.lexicon;
    let Some(reading) = Reading::new(lexicon, words, request.survey, request.today) else {
        return nothing("No language is known here.");
    };
    let values: Vec<bool> = (0..reading.sentence.tokens.len())
        .map(|i| {
            let counted = |m: &&Mention| matches!(m.what, What::Number(_) | What::Days(_));
            let mut counted = reading.mentions.iter().filter(counted);
            reading.sentence.tokens[i].is_value() || counted.any(|m| (m.from..m.to).contains(&i))
        })
        .collect();
    let probe =
        request.playbooks.index.probe(&reading.sentence, &values, &|word| reading.names.has(word));
    let planner = Planner { request, reading: &reading, probe, leanings: RefCell::default() };
    planner.plan()
}

impl Planner<'_, '_> {
    fn plan(&self) -> Planned {
        let whole = 0..self.reading.sentence.tokens.len();
        let clauses = clauses(&self.reading.sentence);
        let mut parts: Vec<Candidate> = Vec::new();
        let mut unmet: Vec<Range<usize>> = Vec::new();
        let mut open: Option<Range<usize>> = None;
        for clause in clauses {
            let Some(before) = open.clone() else {
                open = Some(clause);
                continue;
            };
            let both = before.start..clause.end;
            match self.joins(&parts, &before, &clause, &both) {
                Join::Together => open = Some(both),
                Join::Apart => {
                    self.close(before, &mut parts, &mut unmet);
                    open = Some(clause);
                }
                Join::Unmet => unmet.push(clause),
                Join::FirstUnmet => {
                    unmet.push(before);
                    open = Some(clause);
                }
            }
        }
        if let Some(range) = open {
            self.close(range, &mut parts, &mut unmet);
        }
        if parts.is_empty() {
            return self.refuse(whole);
        }
        unmet.sort_by_key(|range| range.start);
        self.assemble(parts, &unmet)
    }

    /// Ends a part: it is met, or it is not.
    fn close(
        &self,
        range: Range<usize>,
        parts: &mut Vec<Candidate>,
        unmet: &mut Vec<Range<usize>>,
    ) {
        match self.best(&range, parts) {
            Some(best) if best.is_good() && !self.forbids(&range) => {
                unmet.extend(self.negation(&best));
                parts.push(best);
            }
            _ if self.asks(&range) || self.has_value(&range) => unmet.push(range),
            _ => {}
        }
    }

    /// Whether two parts of a wish belong together.
    fn joins(
        &self,
        parts: &[Candidate],
        before: &Range<usize>,
        clause: &Range<usize>,
        both: &Range<usize>,
    ) -> Join {
        if !self.asks(clause) && !self.has_value(clause) {
            return Join::Together;
        }
        let first = self.best(before, parts).filter(Candidate::is_good);
        let together = self.best(both, parts);
        let good = together.as_ref().filter(|c| c.is_good());
        let earlier = first.as_ref().map_or_else(Values::new, |c| c.values.clone());
        let second = self
            .best_with(clause, &earlier)
            .filter(|c| c.is_good() && self.is_part(c) && self.stands_alone(c));
        let covered = |candidate: &Candidate, part: &Range<usize>| self.share(candidate, part);
        match (first, second, good) {
            (Some(first), Some(second), Some(good)) => {
                // One playbook that knows both parts as well as one for each does.
                let as_well = covered(good, clause) + 0.02 >= covered(&second, clause)
                    && covered(good, before) + 0.02 >= covered(&first, before);
                let one_of_them = good.p == first.p || good.p == second.p;
                let both_known = covered(good, clause) >= 0.8 && covered(good, before) >= 0.8;
                // What meets its rules by both parts only was made for the two.
                let made_for_both = !one_of_them
                    && self.spans(good, before, clause)
                    && covered(good, clause) + 0.25 >= covered(&second, clause)
                    && covered(good, before) + 0.25 >= covered(&first, before);
                let like =
                    good.likeness.score + 0.1 >= first.likeness.score.min(second.likeness.score);
                let together = match first.p == second.p {
                    true => as_well && one_of_them,
                    false => like && (made_for_both || as_well && (one_of_them || both_known)),
                };
                if together { Join::Together } else { Join::Apart }
            }
            (Some(_), Some(_), None) => Join::Apart,
            (Some(first), None, Some(good)) if self.does_both(good, &first, before, clause) => {
                Join::Together
            }
            (Some(first), None, Some(good)) => {
                match covered(good, clause) >= 0.5
                    && (good.p == first.p || covered(good, before) >= 0.6)
                {
                    true => Join::Together,
                    false => Join::Unmet,
                }
            }
            (Some(_), None, None) => Join::Unmet,
            (None, Some(_), Some(good))
                if covered(good, before) >= 0.5 || self.hits(good, before) =>
            {
                Join::Together
            }
            (None, Some(_), _) if self.asks(before) => Join::FirstUnmet,
            (None, _, _) => Join::Together,
        }
    }

    /// Whether words of a part meet a playbook's rules.
    fn hits(&self, candidate: &Candidate, part: &Range<usize>) -> bool {
        candidate.likeness.hits.iter().any(|i| part.contains(i))
    }

    /// Whether two parts together meet all the rules of a playbook, and neither does
    /// alone.
    fn spans(&self, both: &Candidate, before: &Range<usize>, clause: &Range<usize>) -> bool {
        let whole = |part: &Range<usize>| {
            let alone = self.candidate(both.p, part, &Values::new());
            alone.is_some_and(|alone| alone.likeness.rules >= 1.0)
        };
        both.likeness.rules >= 1.0
            && self.hits(both, before)
            && self.hits(both, clause)
            && !whole(before)
            && !whole(clause)
    }

    /// Whether a playbook that is not the first part's meets words of both parts.
    fn does_both(
        &self,
        both: &Candidate,
        first: &Candidate,
        before: &Range<usize>,
        clause: &Range<usize>,
    ) -> bool {
        both.p != first.p
            && self.hits(both, before)
            && self.hits(both, clause)
            && both.likeness.score + 0.15 >= first.likeness.score
    }

    /// Whether a part can be a wish of its own: it has a verb, or is very like one.
    fn stands_alone(&self, candidate: &Candidate) -> bool {
        let sentence = &self.reading.sentence;
        if candidate.likeness.rules < 1.0 {
            return false;
        }
        candidate.likeness.score >= SURE && self.asks(&candidate.range)
            || candidate.range.clone().any(|i| VERBS.iter().any(|verb| sentence.means(i, verb)))
    }

    fn is_part(&self, candidate: &Candidate) -> bool {
        self.request.playbooks.playbooks.get(candidate.p).is_some_and(|p| p.options.part)
    }

    /// Whether a part has words with a meaning besides names.
    fn asks(&self, range: &Range<usize>) -> bool {
        let sentence = &self.reading.sentence;
        range.clone().any(|i| sentence.is_content(i) && !sentence.is_proper(i))
    }

    fn has_value(&self, range: &Range<usize>) -> bool {
        range.clone().any(|i| self.reading.sentence.tokens[i].is_value())
    }

    /// The share of a part's words that a candidate covers, weighed by rarity.
    fn share(&self, candidate: &Candidate, part: &Range<usize>) -> f32 {
        let sentence = &self.reading.sentence;
        let (mut all, mut lost) = (0.0, 0.0);
        for i in part.clone() {
            if sentence.is_content(i) || sentence.tokens[i].is_value() {
                let weight = self.probe.weight(i);
                all += weight;
                if candidate.likeness.uncovered.contains(&i) {
                    lost += weight;
                }
            }
        }
        if all > 0.0 { 1.0 - lost / all } else { 1.0 }
    }

    fn best(&self, range: &Range<usize>, parts: &[Candidate]) -> Option<Candidate> {
        let mut inherited = Values::new();
        for part in parts {
            inherited.extend(part.values.clone());
        }
        self.best_with(range, &inherited)
    }

    /// The playbook that a part of a wish is most like, filled.
    fn best_with(&self, range: &Range<usize>, inherited: &Values) -> Option<Candidate> {
        let mut candidates = self.candidates(range, inherited);
        // One that lacks a value loses against one almost as like that lacks none.
        let most = candidates.first()?.likeness.score;
        let near =
            |at: &usize| candidates.get(*at).is_some_and(|good| good.likeness.score + LACK >= most);
        let good = candidates.iter().position(Candidate::is_good).filter(near);
        let at = good.map_or(0, |at| self.own_before(&candidates, at));
        Some(candidates.swap_remove(at))
    }

    /// The first of the user's own playbooks that knows a part of a wish as well as the
    /// shipped one at `at` does; else that one. How often a thing can be said is no
    /// measure: a shipped playbook has a hundred examples, the user's own three.
    fn own_before(&self, candidates: &[Candidate], at: usize) -> usize {
        let is_own = |c: &Candidate| {
            self.request.playbooks.playbooks.get(c.p).is_some_and(|playbook| playbook.own)
        };
        let Some(shipped) = candidates.get(at).filter(|c| !is_own(c)) else { return at };
        let as_well = |c: &Candidate| {
            c.is_good()
                && is_own(c)
                && c.likeness.rules >= shipped.likeness.rules
                && c.likeness.coverage + EQUAL >= shipped.likeness.coverage
        };
        candidates.iter().position(as_well).unwrap_or(at)
    }

    fn view<'v>(&'v self, range: &Range<usize>, used: &'v [Use]) -> View<'v> {
        View {
            sentence: &self.reading.sentence,
            probe: &self.probe,
            from: range.start,
            to: range.end,
            used,
        }
    }

    fn candidates(&self, range: &Range<usize>, inherited: &Values) -> Vec<Candidate> {
        let library = self.request.playbooks;
        let sentence = &self.reading.sentence;
        let nothing = vec![Use::No; sentence.tokens.len()];
        let mut ranked: Vec<(f32, usize)> = (0..library.playbooks.len())
            .map(|p| {
                let view = self.view(range, &nothing);
                let l = library.index.likeness(view, p, None);
                // What is forbidden may yet turn out to be part of a value.
                let rules = if l.rules > 0.0 { l.rules } else { 0.9 };
                (rules * (l.coverage + l.example), p)
            })
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut found: Vec<Candidate> = ranked
            .into_iter()
            .take(LOOKED_AT)
            .filter_map(|(_, p)| self.candidate(p, range, inherited))
            .collect();
        found.sort_by(|a, b| {
            b.likeness
                .score
                .total_cmp(&a.likeness.score)
                .then_with(|| b.spoken.cmp(&a.spoken))
                .then_with(|| a.p.cmp(&b.p))
        });
        found
    }

    fn candidate(&self, p: usize, range: &Range<usize>, inherited: &Values) -> Option<Candidate> {
        let library = self.request.playbooks;
        let playbook = library.playbooks.get(p)?;
        let mut fill =
            slots::fill(self.reading, &self.probe, library, p, range.clone(), inherited)?;
        let needs = &playbook.options.needs;
        let extensions: Vec<String> =
            needs.iter().filter_map(|kind| library.lexicon.extensions(kind)).flatten().collect();
        let there = self.reading.names.any_extension(&extensions);
        if !needs.is_empty() && !there && !self.request.survey.truncated {
            fill.missing.push(Missing {
                slot: needs.join(", "),
                question: format!("There is no file for that here ({}).", extensions.join(", ")),
                candidates: Vec::new(),
            });
        }
        let view = self.view(range, &fill.used);
        let mut likeness = library.index.likeness(view, p, Some(&fill.spoken));
        // Several single files, each in a place of its own, fit nothing else as well.
        let paths = playbook.slots.iter().filter(|(_, slot)| slot.kind == SlotType::Path);
        let spoken = paths.map(|(name, _)| fill.spoken.iter().any(|spoken| spoken == name));
        let spoken: Vec<bool> = spoken.collect();
        if spoken.len() > 1 && spoken.iter().all(|spoken| *spoken) && likeness.score > 0.0 {
            likeness.score = (likeness.score + 0.05).min(1.0);
        }
        likeness.score *= self.doubt(playbook, &fill.spoken, &likeness, range, &fill.used);
        likeness.score = self.leant(likeness.score, &playbook.name, range);
        Some(Candidate {
            p,
            range: range.clone(),
            likeness,
            spoken: fill.spoken.len(),
            values: fill.values,
            notes: fill.notes,
            missing: fill.missing,
            used: fill.used,
        })
    }

    /// How like a part of the wish is to a playbook, by its words and by the reflex.
    fn leant(&self, score: f32, playbook: &str, range: &Range<usize>) -> f32 {
        let Some(reflex) = self.request.reflex else { return score };
        let mut leanings = self.leanings.borrow_mut();
        let leaning = leanings.entry(range.clone()).or_insert_with(|| {
            reflex.playbook(self.reading.sentence.words(range.start, range.end))
        });
        lean(score, leaning, playbook)
    }

    /// How much less a wish is like a playbook than its words are: it says nothing
    /// about what is here, or something that the plan would leave out.
    fn doubt(
        &self,
        playbook: &Playbook,
        spoken: &[String],
        likeness: &Likeness,
        range: &Range<usize>,
        used: &[Use],
    ) -> f32 {
        let sentence = &self.reading.sentence;
        let inside = |m: &Mention| m.from >= range.start && m.to <= range.end;
        let placed = self.reading.mentions.iter().filter(|m| inside(m)).any(|m| {
            matches!(m.what, What::Path { .. } | What::Glob(_) | What::Folder(_) | What::Files(_))
        });
        let grounded = placed
            || playbook.slots.iter().any(|(name, slot)| {
                let words = matches!(slot.kind, SlotType::Text | SlotType::Choice);
                !words && spoken.iter().any(|spoken| spoken == name)
            });
        let odd = |i: &usize| !sentence.is_proper(*i) && used.get(*i) == Some(&Use::No);
        // "for customers from FR": what a general word names may stand in the table.
        let verb = |i: usize| VERBS.iter().any(|verb| sentence.means(i, verb));
        let noun = |i: usize| !sentence.concepts[i].is_empty() && !verb(i);
        let odd = || likeness.uncovered.iter().copied().filter(odd);
        let mut doubt = 1.0;
        // A value alone, or "all" of it, says nothing about what shall be done with it,
        // where a word that is no noun says something else: "pay the open invoices",
        // "move to Berlin".
        let quantifier = |i: &usize| sentence.language.all.contains(&sentence.folded[*i]);
        let first = likeness.hits.first().copied().unwrap_or(range.end);
        let unused = |i: &usize| sentence.is_content(*i) && used.get(*i) == Some(&Use::No);
        let none = likeness.hits.is_empty() && range.clone().filter(unused).any(verb);
        let other = odd().any(|i| i < first && !noun(i));
        if none || likeness.hits.iter().all(quantifier) && other {
            doubt *= MISSED_GROUP;
        }
        if odd().any(|i| !grounded || playbook.options.strict && !noun(i)) {
            doubt *= LEFT_OUT;
        }
        let yours = |i: usize| {
            used.get(i) == Some(&Use::No)
                && sentence.language.yours.contains(&sentence.folded[i])
                && sentence.is_content(i + 1)
        };
        if !grounded && range.clone().any(yours) {
            doubt *= YOURS;
        }
        doubt
    }

    /// Whether a part says what shall not be done: "do not delete the logs", "lösche
    /// die Logs nicht", "delete no logs". A negation that only tells which ones are
    /// meant ("tasks that are not done", "nicht leere Dateien") forbids nothing.
    fn forbids(&self, range: &Range<usize>) -> bool {
        let sentence = &self.reading.sentence;
        let (language, words) = (sentence.language, &sentence.folded);
        let verb = |i: usize| VERBS.iter().any(|verb| sentence.means(i, verb));
        let related =
            |i: usize| (range.start..i).any(|at| language.relative.longest(words, at).is_some());
        let denied = |i: usize| {
            let Some((_, length)) = language.deny.longest(words, i) else { return false };
            let next = i + length;
            next >= range.end || verb(next) || !sentence.is_content(next)
        };
        let nothing = |i: usize| {
            let none = language.none.longest(words, i).is_some();
            none && (i == range.start || verb(i - 1))
        };
        // "not delete csv files"
        let opens = |i: usize| {
            let found = language.compare.all(words, i);
            let length = found.filter(|(is, _)| *is == "!=").map(|(_, length)| length).max();
            let before = range.start..i;
            length.is_some_and(|length| verb(i + length))
                && before.clone().all(|at| !sentence.is_content(at))
        };
        range.clone().any(|i| !related(i) && (denied(i) || nothing(i) || opens(i)))
    }

    /// A negation that no slot took and that the playbook does not know: what it
    /// denies would be done all the same.
    fn negation(&self, part: &Candidate) -> Option<Range<usize>> {
        let sentence = &self.reading.sentence;
        let free = |i: usize| part.used.get(i) == Some(&Use::No);
        let found = part.range.clone().find_map(|i| {
            let except = sentence.language.except.longest(&sentence.folded, i);
            let differs = sentence.language.compare.all(&sentence.folded, i);
            let differs = differs.filter(|(is, _)| *is == "!=").max_by_key(|(_, l)| *l);
            let length = except.into_iter().chain(differs).map(|(_, length)| length).max()?;
            let taken = |at: usize| !free(at) || part.likeness.hits.contains(&at);
            (!(i..i + length).any(taken)).then_some(i..i + length)
        })?;
        // "tasks that are not done": a playbook that knows the word knows it denied.
        let next = (found.end..part.range.end)
            .find(|i| sentence.is_content(*i) || sentence.tokens[*i].is_value())?;
        let known = free(next) && !part.likeness.uncovered.contains(&next);
        (!known).then_some(found.start..part.range.end)
    }

    fn assemble(&self, parts: Vec<Candidate>, unmet: &[Range<usize>]) -> Planned {
        let library = self.request.playbooks;
        let sentence = &self.reading.sentence;
        let mut plan = Plan {
            goal: self.request.words.trim().to_owned(),
            source: PlanSource::File,
            steps: Vec::new(),
            answer: None,
            unmet: unmet.iter().map(|r| sentence.words(r.start, r.end).to_owned()).collect(),
            budget: self.request.budget.clone(),
        };
        let (mut reasons, mut notes, mut told) = (Vec::new(), Vec::new(), Vec::new());
        let mut answers: Vec<String> = Vec::new();
        let single = parts.len() == 1;
        for (nth, part) in parts.into_iter().enumerate() {
            let Some(playbook) = library.playbooks.get(part.p) else { continue };
            if nth == 0 {
                plan.source =
                    PlanSource::Playbook { name: playbook.name.clone(), version: playbook.version };
            }
            if single {
                plan.budget = playbook.budget.lower_budget(&plan.budget);
            }
            let first = plan.steps.len() as u32 + 1;
            let compiled = match compile(playbook, &part.values, self.request.specs, first) {
                Ok(compiled) => compiled,
                Err(message) => {
                    return Planned::Refused(Refusal {
                        message: format!(
                            "The playbook {} cannot be used here: {message}.",
                            playbook.name
                        ),
                        missing: Vec::new(),
                        nearest: Vec::new(),
                        fits: true,
                    });
                }
            };
            plan.steps.extend(compiled.steps);
            answers.extend(compiled.answer);
            reasons.push(self.reason(&playbook.name, playbook.version, &part.likeness));
            notes.extend(part.notes.clone());
            notes.extend(self.unused(&part));
            told.push(Part {
                playbook: playbook.name.clone(),
                words: sentence.words(part.range.start, part.range.end).to_owned(),
                likeness: part.likeness.score,
                slots: part.values,
            });
        }
        if plan.steps.len() > STEPS_MAX {
            return Planned::Refused(Refusal {
                message: format!(
                    "That would be {} steps, more than the {STEPS_MAX} that a plan may have: ask \
                     for it in several missions.",
                    plan.steps.len()
                ),
                missing: Vec::new(),
                nearest: Vec::new(),
                fits: true,
            });
        }
        plan.answer = (!answers.is_empty()).then(|| answers.join("\n"));
        Planned::Plan { plan, reason: reasons.join("; "), notes, parts: told }
    }

    /// Why a playbook was chosen.
    fn reason(&self, name: &str, version: u32, likeness: &Likeness) -> String {
        let mut words: Vec<String> = Vec::new();
        for token in likeness.hits.iter().filter_map(|i| self.reading.sentence.tokens.get(*i)) {
            let quoted = format!("\"{}\"", token.text);
            if !words.contains(&quoted) {
                words.push(quoted);
            }
        }
        let hits = match words.as_slice() {
            [] => "no word of its rules is there".to_owned(),
            some => format!("{} met its rules", some.join(", ")),
        };
        format!(
            "{name} (version {version}): {hits}; likeness {:.2}, {THRESHOLD:.2} is needed",
            likeness.score
        )
    }

    /// Words of a part that its playbook did not use.
    fn unused(&self, part: &Candidate) -> Option<String> {
        let tokens = &self.reading.sentence.tokens;
        let words: Vec<String> = part
            .likeness
            .uncovered
            .iter()
            .filter_map(|i| tokens.get(*i))
            .map(|token| format!("\"{}\"", token.text))
            .collect();
        (!words.is_empty()).then(|| format!("Not taken into account: {}.", words.join(", ")))
    }

    fn refuse(&self, whole: Range<usize>) -> Planned {
        let library = self.request.playbooks;
        let candidates = self.candidates(&whole, &Values::new());
        let summary = |c: &Candidate| {
            library.playbooks.get(c.p).map(|p| format!("{}: {}", p.name, p.summary))
        };
        let nearest: Vec<String> = candidates.iter().take(3).filter_map(summary).collect();
        if let Some(best) = candidates.first().filter(|c| c.likeness.score >= THRESHOLD)
            && !best.missing.is_empty()
        {
            let asked: Vec<String> = best.missing.iter().map(question).collect();
            let summary = library.playbooks.get(best.p).map_or("", |p| p.summary.as_str());
            return Planned::Refused(Refusal {
                message: format!(
                    "Something is missing for \"{}\": {}",
                    summary.trim_end_matches('.'),
                    asked.join(" ")
                ),
                missing: best.missing.iter().map(|missing| missing.slot.clone()).collect(),
                nearest,
                fits: true,
            });
        }
        let sentence = &self.reading.sentence;
        let foreign: Vec<String> = whole
            .filter(|i| sentence.is_content(*i) || sentence.tokens[*i].is_value())
            .filter(|i| candidates.iter().take(1).all(|c| c.likeness.uncovered.contains(i)))
            .filter_map(|i| sentence.tokens.get(i))
            .map(|token| token.text.clone())
            .collect();
        let what = match foreign.as_slice() {
            [] => "Nothing here does that as it is said".to_owned(),
            words => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("Nothing here can do anything about {}", quoted.join(", "))
            }
        };
        let instead = match nearest.as_slice() {
            [] => String::new(),
            some => format!(" The nearest things that can be done: {}", some.join(" ")),
        };
        Planned::Refused(Refusal {
            message: format!("{what}.{instead}"),
            missing: foreign,
            nearest,
            fits: false,
        })
    }
}

/// What a score becomes by what the reflex says.
fn lean(score: f32, leaning: &Leaning, playbook: &str) -> f32 {
    match leaning.of(playbook) {
        Some(share) => (score + LEANS * share - AGAINST * leaning.none()).clamp(0.0, 1.0),
        // A playbook of the user's own.
        None => score,
    }
}

/// How a part stands to the part before it.
enum Join {
    Together,
    Apart,
    Unmet,
    FirstUnmet,
}

fn question(missing: &Missing) -> String {
    match missing.candidates.as_slice() {
        [] => missing.question.clone(),
        some => format!("{} There are {}.", missing.question, some.join(", ")),
    }
}
