//! From the ledger to the day as a value. Reading only; what was forgotten
//! meanwhile is passed over.

use crate::operations::shared::there;
use crate::{Alma, Error};
use charter::approval::Card;
use charter::check::Outcome;
use charter::content::ContentRef;
use charter::conversation::TurnRow;
use charter::event::{Event, Recorded};
use charter::ids::{MemoryId, Millis, Principal};
use charter::label::Label;
use charter::memory::{MemoryKind, MemoryRow, MemoryState, Source};
use charter::ports::{Query, Rows};
use charter::report::{FileFate, FileLine, Report};
use charter::rows::MissionRow;
use charter::survey::{Entry, Survey};
use forty_two::day::{Asked, Day, Mission, Step, Turn};
use sons_of_helaman::StepError;
use sons_of_helaman::reconcile::RETENTION;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How far back missions are looked for that a playbook may come from: 30 days.
const WINDOW_MS: Millis = 30 * 24 * 3_600_000;
/// Folders that are looked at.
const FOLDERS_MAX: usize = 50;
/// Rows that are read at a time.
const PAGE: u32 = 200;
/// Pages of discarded steps that are read.
const DISCARDED_PAGES_MAX: u32 = 500;
/// Questions of one mission.
const ASKED_MAX: u32 = 100;

/// Everything that a night looks at.
pub(super) struct Gathered {
    /// The day.
    pub(super) day: Day,
    /// Missions of the last weeks, oldest first, those of the day among them.
    pub(super) window: Vec<Mission>,
    /// Memories of the day, oldest first.
    pub(super) memories: Vec<Kept>,
    /// What was left out, and why.
    pub(super) left_out: Vec<String>,
}

/// A memory with its text.
pub(super) struct Kept {
    pub(super) id: MemoryId,
    pub(super) is: MemoryKind,
    pub(super) text: String,
    pub(super) label: Label,
    pub(super) scope: String,
    /// Names of the turns and missions that it comes from.
    pub(super) of: Vec<String>,
}

/// Reads the day from `since` to `until`.
pub(super) async fn gather(
    alma: &Alma,
    principal: &Principal,
    (since, until): (Millis, Millis),
) -> Result<Gathered, Error> {
    let reader = Reader { alma, principal };
    let items = alma.config.night.items as usize;
    let mut left_out = Vec::new();
    let cut = |what: &str| {
        format!("older {what}: [night] looks at {items} of them; raise night.items for more.")
    };
    let (rows, more) = reader.missions(since.min(until - WINDOW_MS), until, items).await?;
    if more && rows.first().is_some_and(|row| row.created_at > since) {
        left_out.push(cut("missions"));
    }
    let mut folders = BTreeMap::new();
    let mut window = Vec::new();
    for row in &rows {
        if let Some(mission) = reader.mission(row, &mut folders).await? {
            window.push(mission);
        }
    }
    let surveys = settle(&window, &folders);
    for ((mission, _), survey) in window.iter_mut().zip(surveys) {
        mission.survey = Arc::new(survey);
    }
    let missions: Vec<Mission> =
        window.iter().filter(|(m, _)| m.at >= since).map(|(m, _)| m.clone()).collect();
    let mut asked = Vec::new();
    for mission in &missions {
        asked.extend(reader.asked(mission).await?);
    }
    let (turns, more) = reader.turns(since, until, items).await?;
    if more {
        left_out.push(cut("turns"));
    }
    let (memories, more) = reader.memories(since, until, items).await?;
    if more {
        left_out.push(cut("memories"));
    }
    let memories_made = memories.len() as u32;
    let discarded = reader.discarded(since, until).await?;
    let day = Day { since, until, missions, turns, asked, memories: memories_made, discarded };
    let window = window.into_iter().map(|(mission, _)| mission).collect();
    Ok(Gathered { day, window, memories, left_out })
}

struct Reader<'a> {
    alma: &'a Alma,
    principal: &'a Principal,
}

impl Reader<'_> {
    /// A text; `None` if it was forgotten.
    async fn text(&self, reference: &ContentRef) -> Result<Option<String>, Error> {
        there(self.alma.text_of(self.principal, reference).await)
    }

    /// Dead steps that housekeeping discarded in a time.
    async fn discarded(&self, since: Millis, until: Millis) -> Result<u32, Error> {
        let (mut found, mut after) = (0, 0);
        for _ in 0..DISCARDED_PAGES_MAX {
            let kinds = vec!["step_discarded".to_owned()];
            let query = Query::Happened { after, kinds, limit: PAGE };
            let Rows::Events(page) =
                self.alma.ledger().query(&self.principal.tenant, query).await?
            else {
                break;
            };
            let by_age =
                |event: &Event| matches!(event, Event::StepDiscarded { by, .. } if by == RETENTION);
            let inside = |one: &&Recorded| one.at >= since && one.at < until && by_age(&one.event);
            found += u32::try_from(page.iter().filter(inside).count()).unwrap_or(u32::MAX);
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = last.position,
                _ => break,
            }
        }
        Ok(found)
    }

    /// Missions of a time, oldest first, and whether there were more.
    async fn missions(
        &self,
        since: Millis,
        until: Millis,
        most: usize,
    ) -> Result<(Vec<MissionRow>, bool), Error> {
        let (mut all, mut before) = (Vec::<MissionRow>::new(), None);
        loop {
            let query = Query::Missions { state: None, same: None, before, limit: PAGE };
            let Rows::Missions(page) =
                self.alma.ledger().query(&self.principal.tenant, query).await?
            else {
                break;
            };
            let (full, last) = (page.len() == PAGE as usize, page.last().cloned());
            let inside = |row: &MissionRow| row.created_at >= since && row.created_at < until;
            all.extend(page.into_iter().filter(inside));
            let reached = last.as_ref().is_none_or(|row| row.created_at < since);
            if !full || reached || all.len() > most {
                break;
            }
            before = last.map(|row| row.id);
        }
        let more = all.len() > most;
        all.truncate(most);
        all.reverse();
        Ok((all, more))
    }

    /// A mission with the files that it touched; its survey is settled later.
    async fn mission(
        &self,
        row: &MissionRow,
        folders: &mut BTreeMap<String, Survey>,
    ) -> Result<Option<(Mission, Vec<FileLine>)>, Error> {
        let (Some(wish), Some(folder), Some(plan)) = (
            self.text(&row.wish).await?,
            self.text(&row.workspace).await?,
            there(self.alma.plan_of(self.principal, row).await)?,
        ) else {
            return Ok(None);
        };
        let report: Option<Report> = match &row.report {
            Some(report) => there(self.alma.json_of(self.principal, report, "a report").await)?,
            None => None,
        };
        let mut steps = Vec::new();
        for step in self.alma.all_steps(self.principal, &row.id, None).await? {
            let Some(planned) = plan.step(step.key.n) else { continue };
            let error: Option<StepError> = match &step.error {
                Some(error) if step.cause.is_some() => {
                    there(self.alma.json_of(self.principal, error, "an error").await)?
                }
                _ => None,
            };
            steps.push(Step {
                n: step.key.n,
                tool: planned.tool.clone(),
                state: step.state,
                verified: step.verified,
                cause: step.cause,
                error: error.map(|kept| kept.error.to_string()),
            });
        }
        if !folders.contains_key(&folder) {
            let there = folders.len() < FOLDERS_MAX && Path::new(&folder).is_dir();
            let survey = match there {
                true => self.alma.tools().survey(Path::new(&folder)).await.unwrap_or_default(),
                false => Survey::default(),
            };
            folders.insert(folder.clone(), survey);
        }
        let claims = report.as_ref().map_or(&[][..], |report| &report.claims);
        let files = report.as_ref().map_or_else(Vec::new, |report| report.files.clone());
        let mission = Mission {
            id: row.id.to_string(),
            wish,
            folder,
            state: row.state,
            at: row.created_at,
            wall_ms: row.spent.wall_ms,
            steps,
            claims: claims.len() as u32,
            proven: claims.iter().filter(|c| c.verdict.outcome == Outcome::Verified).count() as u32,
            files: files.iter().map(|line| line.path.clone()).collect(),
            plan,
            survey: Arc::default(),
        };
        Ok(Some((mission, files)))
    }

    async fn asked(&self, mission: &Mission) -> Result<Vec<Asked>, Error> {
        let Ok(id) = mission.id.parse() else { return Ok(Vec::new()) };
        let query = Query::Approvals { mission: Some(id), state: None, limit: ASKED_MAX };
        let Rows::Approvals(rows) = self.alma.ledger().query(&self.principal.tenant, query).await?
        else {
            return Ok(Vec::new());
        };
        let mut asked = Vec::new();
        for row in rows {
            let card: Option<Card> =
                there(self.alma.json_of(self.principal, &row.card, "a card").await)?;
            let Some(card) = card else { continue };
            let mut tools: Vec<String> = card.effects.iter().map(|e| e.tool.clone()).collect();
            tools.sort();
            tools.dedup();
            let first = card.effects.first().map(|effect| effect.summary.clone());
            asked.push(Asked {
                id: row.id.to_string(),
                tools,
                summary: first.unwrap_or(card.title),
                state: row.state,
            });
        }
        Ok(asked)
    }

    async fn turns(
        &self,
        since: Millis,
        until: Millis,
        most: usize,
    ) -> Result<(Vec<Turn>, bool), Error> {
        let embedder = self.alma.installation.embedder()?;
        let (mut all, mut after) = (Vec::<TurnRow>::new(), None);
        loop {
            let page: Vec<TurnRow> =
                self.alma.records(self.principal, None, after, true, PAGE).await?;
            let (full, last) = (page.len() == PAGE as usize, page.last().cloned());
            all.extend(page.into_iter().filter(|row| row.at >= since && row.at < until));
            if !full || last.as_ref().is_none_or(|row| row.at < since) || all.len() > most {
                break;
            }
            after = last.map(|row| row.id.to_string());
        }
        let more = all.len() > most;
        all.truncate(most);
        all.reverse();
        let mut turns = Vec::new();
        for row in all {
            let Some(said) = self.text(&row.said).await? else { continue };
            let answer = match &row.answer {
                Some(answer) => self.text(answer).await?.unwrap_or_default(),
                None => String::new(),
            };
            turns.push(Turn {
                id: row.id.to_string(),
                session: row.session.to_string(),
                at: row.at,
                vector: embedder.embed(&said),
                said,
                route: row.route,
                state: row.state,
                answer,
                mission: row.mission.is_some(),
            });
        }
        Ok((turns, more))
    }

    async fn memories(
        &self,
        since: Millis,
        until: Millis,
        most: usize,
    ) -> Result<(Vec<Kept>, bool), Error> {
        let (mut all, mut after) = (Vec::<MemoryRow>::new(), None);
        loop {
            let page: Vec<MemoryRow> =
                self.alma.records(self.principal, None, after, true, PAGE).await?;
            let (full, last) = (page.len() == PAGE as usize, page.last().cloned());
            let inside = |row: &MemoryRow| {
                row.state == MemoryState::Held && row.at >= since && row.at < until
            };
            all.extend(page.into_iter().filter(inside));
            if !full || last.as_ref().is_none_or(|row| row.at < since) || all.len() > most {
                break;
            }
            after = last.map(|row| row.id.to_string());
        }
        let more = all.len() > most;
        all.truncate(most);
        all.reverse();
        let mut memories = Vec::new();
        for row in all {
            let Some(text) = self.text(&row.text).await? else { continue };
            let of = row.sources.iter().filter_map(|source| match source {
                Source::Turn { turn, .. } => Some(turn.to_string()),
                Source::Mission { mission } => Some(mission.to_string()),
                _ => None,
            });
            memories.push(Kept {
                of: of.collect(),
                id: row.id,
                is: row.is,
                text,
                label: row.text.label,
                scope: row.scope,
            });
        }
        Ok((memories, more))
    }
}

/// What lay in each mission's folder before it: what stands there now, without what
/// it and later missions made, with what they took away.
fn settle(window: &[(Mission, Vec<FileLine>)], folders: &BTreeMap<String, Survey>) -> Vec<Survey> {
    let mut surveys = Vec::new();
    for (mission, _) in window.iter() {
        let mut survey = folders.get(&mission.folder).cloned().unwrap_or_default();
        let later = window.iter().filter(|(m, _)| m.folder == mission.folder && m.at >= mission.at);
        for line in later.flat_map(|(_, files)| files) {
            let gone = match line.fate {
                FileFate::Created => Some(line.path.clone()),
                FileFate::Moved => line.to.clone(),
                FileFate::Changed | FileFate::Deleted => None,
            };
            survey.entries.retain(|entry| Some(&entry.path) != gone.as_ref());
            let back = matches!(line.fate, FileFate::Moved | FileFate::Deleted);
            if back && survey.entries.iter().all(|entry| entry.path != line.path) {
                survey.entries.push(Entry {
                    path: line.path.clone(),
                    folder: false,
                    bytes: 0,
                    modified: mission.at,
                    columns: Vec::new(),
                });
            }
        }
        survey.entries.sort_by(|a, b| a.path.cmp(&b.path));
        surveys.push(survey);
    }
    surveys
}
