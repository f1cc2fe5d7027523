//! The route `mission`: a wish becomes a mission, which is followed to its end.

use super::Happening;
use super::turn::{Outcome, Turn};
use crate::Error;
use crate::operations::mission_submit::Once;
use crate::operations::{
    approval_show, mission_report, mission_show, mission_submit, plan_dry_run, plan_new,
    work_status,
};
use crate::talk::focus::{self, Blocked};
use crate::talk::risk::{self, Guard, Intent};
use crate::talk::tone::{Moment, Say, only_plan};
use charter::approval::FrozenEffect;
use charter::conversation::{Conversed, TurnState};
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::MissionId;
use charter::ports::LedgerExt;
use charter::report::{FileFate, Report};
use charter::rows::MissionState;
use std::collections::BTreeMap;

/// Longest time between two looks at a mission, in milliseconds.
const LOOK_MS: u64 = 200;
/// Files that an answer names.
const FILES_SHOWN_MAX: usize = 12;
/// Effects of a card that an answer names.
pub(super) const EFFECTS_SHOWN_MAX: usize = 12;

impl Turn<'_> {
    /// Plans the wish, and carries it out unless only the plan is wanted.
    pub(super) async fn mission(&mut self, words: &str, opened: bool) -> Result<Outcome, Error> {
        let names = self.names().await?;
        let (calm, left_out) = risk::without_anger(words, self.router()?.speeches());
        let calm = if calm.is_empty() { words.to_owned() } else { calm };
        if !left_out.is_empty() {
            let text = format!("I leave out “{}”", left_out.join("”, “"));
            self.watcher.tell(Happening::Note { text }).await;
        }
        let resolved = focus::resolve(
            &calm,
            &self.focus,
            &names,
            self.playbooks()?.lexicon,
            self.router()?.speeches(),
        );
        if let Some(question) = resolved.question {
            return Ok(Outcome::asked(Say::plainly(question)));
        }
        for note in &resolved.notes {
            self.watcher.tell(Happening::Note { text: note.clone() }).await;
        }
        let speeches = self.router()?.speeches();
        let wish = resolved.words;
        let request = plan_new::Request {
            workspace: self.workspace.clone(),
            words: Some(wish.clone()),
            file: None,
            budget: None,
            priority: None,
        };
        let planned = match plan_new::run(self.alma, self.principal, request.clone()).await {
            Ok(planned) => planned,
            Err(error) => return refused(error),
        };
        if !opened && self.guard(&planned, &request).await? == Guard::Block {
            return Ok(self.block(wish));
        }
        if !opened && only_plan(words, speeches) {
            let say = Say {
                what: planned.text.trim_end().to_owned(),
                why: vec![planned.reason.clone()],
                facts: planned.notes.iter().map(|n| ("note".to_owned(), n.clone())).collect(),
                options: vec![
                    "“do it”: carry this plan out".to_owned(),
                    "say what should be different, and I plan again".to_owned(),
                    format!("`alma plan new --dry-run \"{wish}\"`: see every effect first"),
                ],
            };
            self.focus.planned = Some(wish);
            return Ok(Outcome::of(TurnState::Answered, Moment::Choice, say));
        }
        let submit = mission_submit::Request {
            wish: request,
            again: true,
            mission: None,
            // The turn names the mission: whoever carries the turn on finds it.
            once: Some(Once {
                key: format!("turn {}", self.row.id),
                request: Digest::of(wish.as_bytes()),
            }),
        };
        let accepted =
            mission_submit::submit(self.alma, self.principal, submit, Some(planned)).await?;
        self.submitted(&accepted.mission).await?;
        self.focus.planned = None;
        self.watcher
            .tell(Happening::Plan {
                mission: accepted.mission.clone(),
                text: accepted.text.trim_end().to_owned(),
                digest: accepted.digest,
            })
            .await;
        for note in accepted.notes {
            self.watcher.tell(Happening::Note { text: note }).await;
        }
        self.follow(&accepted.mission).await
    }

    /// Puts the mission on record beside the turn.
    pub(super) async fn submitted(&mut self, mission: &MissionId) -> Result<(), Error> {
        let mut entry = self.entry();
        entry.event(Event::Conversed(Conversed::TurnSubmitted {
            session: self.row.session.clone(),
            turn: self.row.id.clone(),
            mission: mission.clone(),
        }));
        match entry.commit().await.map_err(Error::from) {
            // Somebody carries the same turn on, with the same mission.
            Ok(_) | Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        self.row.mission = Some(mission.clone());
        Ok(())
    }

    /// Whether this is a moment to do it.
    async fn guard(
        &self,
        planned: &plan_new::Response,
        request: &plan_new::Request,
    ) -> Result<Guard, Error> {
        let reach = planned.plan.steps.iter().map(|step| risk::intent_of(step.effect)).max();
        if self.focus.temper < risk::HIGH || reach != Some(Intent::Destroy) {
            return Ok(risk::guard(self.focus.temper, reach.unwrap_or(Intent::Read)));
        }
        // A tool that may overwrite need not: look what it would do here.
        let foreseen =
            plan_dry_run::foresee_all(self.alma, &request.workspace, planned.clone()).await;
        let found = foreseen.effects.iter().map(|effect| risk::intent_of(effect.class)).max();
        let said = risk::intent_in(
            request.words.as_deref().unwrap_or_default(),
            self.router()?.speeches(),
        );
        let unknown = if foreseen.unforeseen.is_empty() { Intent::Read } else { said };
        Ok(risk::guard(self.focus.temper, found.unwrap_or(Intent::Read).max(unknown)))
    }

    fn block(&mut self, wish: String) -> Outcome {
        let seconds = risk::PAUSE_MS / 1_000;
        let say = Say {
            what: "This would destroy something, and you sound upset. I have put it aside."
                .to_owned(),
            why: vec![format!("I do not want you to lose files in anger: “{wish}”")],
            options: vec![
                format!("in {seconds} seconds, say “open it”, and I ask you about each effect"),
                "say something else, and nothing of this happens".to_owned(),
            ],
            facts: Vec::new(),
        };
        self.focus.blocked = Some(Blocked { wish, opens_at: self.alma.now() + risk::PAUSE_MS });
        Outcome::of(TurnState::Asked, Moment::Choice, say)
    }

    /// Follows a mission until it ends or needs a person.
    pub(super) async fn follow(&mut self, mission: &MissionId) -> Result<Outcome, Error> {
        let (mut position, mut told, mut away) = (0, None, Vec::new());
        loop {
            for part in self.alma.installation.degraded() {
                if !away.contains(&part.what) {
                    away.push(part.what);
                    self.watcher.tell(Happening::Note { text: part.to_string() }).await;
                }
            }
            let request = mission_show::Request { mission: mission.clone() };
            let now = mission_show::run(self.alma, self.principal, request).await?;
            if now.state.is_end() {
                self.watcher.tell(Happening::Progress(Box::new(now))).await;
                return self.ended(mission).await;
            }
            let waits = now.state == MissionState::Waiting;
            let approvals = now.approvals.clone();
            if let Some(notice) = now.notice.clone()
                && work_status::status(self.alma, self.principal).await?.claimed == 0
            {
                return Ok(self.rests(mission, notice));
            }
            if told.as_ref() != Some(&now) {
                self.watcher.glance(Happening::Progress(Box::new(now.clone())));
                told = Some(now);
            }
            if waits {
                if !approvals.is_empty() {
                    return self.waits(mission, &approvals).await;
                }
                return Ok(self.expired(mission));
            }
            position = self.alma.ports.ledger.changed(position, LOOK_MS).await?;
        }
    }

    /// All work rests, and this mission with it.
    fn rests(&mut self, mission: &MissionId, notice: String) -> Outcome {
        self.focus.mission = Some(mission.clone());
        let say = Say {
            what: format!("Mission {mission} is on record and waits: {notice}."),
            options: vec!["`alma status` shows how work stands".into()],
            ..Say::default()
        };
        Outcome::of(TurnState::Asked, Moment::Choice, say)
    }

    fn expired(&mut self, mission: &MissionId) -> Outcome {
        self.focus.mission = Some(mission.clone());
        Outcome::of(
            TurnState::Asked,
            Moment::Choice,
            Say {
                what: format!("Mission {mission} waits: its question was not answered in time."),
                options: vec!["`alma approvals list` shows it; answering opens it again".into()],
                ..Say::default()
            },
        )
    }

    /// Shows what is asked.
    async fn waits(
        &mut self,
        mission: &MissionId,
        approvals: &[charter::ids::ApprovalId],
    ) -> Result<Outcome, Error> {
        let mut facts = Vec::new();
        let mut what = String::new();
        for id in approvals {
            let request = approval_show::Request { approval: id.clone() };
            let shown = approval_show::run(self.alma, self.principal, request).await?;
            if what.is_empty() {
                what.clone_from(&shown.card.title);
            }
            for effect in shown.card.effects.iter().take(EFFECTS_SHOWN_MAX) {
                facts.push((effect.class.to_string(), visible(&effect.summary)));
            }
            facts.extend(more(&shown.card.effects));
            facts.extend(shown.card.notes.iter().map(|n| ("note".to_owned(), visible(n))));
            self.watcher.tell(Happening::Approval(Box::new(shown))).await;
        }
        let wish = self.wish_of(mission).await?;
        self.focus.after(mission.clone(), &wish, Vec::new(), self.alma.now());
        let say = Say {
            what,
            facts,
            why: Vec::new(),
            options: vec!["“yes”, “no” or “details”; it waits as long as you like".to_owned()],
        };
        Ok(Outcome::of(TurnState::Asked, Moment::Asked, say))
    }

    async fn wish_of(&self, mission: &MissionId) -> Result<String, Error> {
        let row = self.alma.ledger().mission(&self.principal.tenant, mission).await?;
        self.alma.spoken(self.principal, &row.wish).await
    }

    /// Says what came of it.
    async fn ended(&mut self, mission: &MissionId) -> Result<Outcome, Error> {
        let request = mission_report::Request { mission: mission.clone() };
        let report = mission_report::run(self.alma, self.principal, request).await?.report;
        let wish = self.wish_of(mission).await?;
        let names = self.names().await?;
        let mut files: Vec<String> = report
            .files
            .iter()
            .filter(|file| file.fate != FileFate::Deleted)
            .map(|file| file.to.clone().unwrap_or_else(|| file.path.clone()))
            .collect();
        let mut named: Vec<(usize, String)> =
            names.into_iter().filter_map(|name| Some((stands(&wish, &name)?, name))).collect();
        named.sort();
        files.extend(named.into_iter().map(|(_, name)| name));
        self.focus.after(mission.clone(), &wish, files, self.alma.now());
        Ok(told(&report))
    }
}

/// What is told of the effects of a card that are not shown: how many, and of what
/// classes all are.
pub(super) fn more(effects: &[FrozenEffect]) -> Option<(String, String)> {
    let left = effects.len().checked_sub(EFFECTS_SHOWN_MAX).filter(|left| *left > 0)?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for effect in effects {
        *counts.entry(effect.class.to_string()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(class, n)| format!("{n} {class}")).collect();
    let text = format!("{left} effects; in all {}; “details” lists them", counts.join(", "));
    Some(("and more".to_owned(), text))
}

/// Where a file is named in a wish, as a word of its own.
fn stands(wish: &str, name: &str) -> Option<usize> {
    let at = wish.find(name)?;
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '/');
    (edge(wish[..at].chars().next_back()) && edge(wish[at + name.len()..].chars().next()))
        .then_some(at)
}

/// A report, as an answer.
fn told(report: &Report) -> Outcome {
    let mut facts = Vec::new();
    let files: Vec<String> = report
        .files
        .iter()
        .take(FILES_SHOWN_MAX)
        .map(|file| {
            let fate = match file.fate {
                FileFate::Created => "new",
                FileFate::Changed => "changed",
                FileFate::Deleted => "deleted",
                FileFate::Moved => "moved",
            };
            let to = file.to.as_ref().map_or_else(String::new, |to| format!(" → {}", visible(to)));
            format!("{}{to} ({fate})", visible(&file.path))
        })
        .collect();
    if !files.is_empty() {
        let more = report.files.len().saturating_sub(FILES_SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        facts.push(("files".to_owned(), format!("{}{more}", files.join(", "))));
    }
    let verified = report
        .claims
        .iter()
        .filter(|claim| claim.verdict.outcome == charter::check::Outcome::Verified)
        .count();
    facts.push((
        "checked".to_owned(),
        format!(
            "{verified} of {} claims verified; `alma mission report {}`",
            report.claims.len(),
            report.mission
        ),
    ));
    let (state, moment) = match report.state {
        MissionState::Done | MissionState::Unverified => (TurnState::Answered, Moment::Asked),
        MissionState::Cancelled => (TurnState::Cancelled, Moment::Asked),
        _ => (TurnState::Failed, Moment::Failed),
    };
    let say = if moment == Moment::Failed {
        Say {
            what: match report.state {
                MissionState::Refused => "the mission was not allowed to do this".to_owned(),
                MissionState::Partial => "the budget was spent before the end".to_owned(),
                _ => "a step of the mission did not come to its end".to_owned(),
            },
            why: report.problems.clone(),
            facts,
            options: vec![
                format!("look at it: `alma mission show {}`", report.mission),
                "mend the cause, then: `alma dead-letters list` and `requeue`, or say it again"
                    .to_owned(),
            ],
        }
    } else {
        let answer = match (report.state, report.answer.trim()) {
            (MissionState::Cancelled, _) => "Stopped.",
            (_, "") => "Done.",
            (_, answer) => answer,
        };
        facts.extend(report.problems.iter().map(|p| ("not verified".to_owned(), p.clone())));
        Say { what: answer.to_owned(), facts, ..Say::default() }
    };
    Outcome::of(state, moment, say)
}

/// A wish that cannot be planned.
fn refused(error: Error) -> Result<Outcome, Error> {
    match error {
        Error::Refused(refusal) => {
            // The message names what is missing and what comes nearest.
            let mut say = Say::plainly(refusal.message);
            say.options = vec![
                "say it in other words, or name the files".to_owned(),
                "“what can you do?” gives examples".to_owned(),
            ];
            Ok(Outcome::of(TurnState::Failed, Moment::Failed, say))
        }
        error => Err(error),
    }
}

/// Control characters made visible: names of files must not move the cursor.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
