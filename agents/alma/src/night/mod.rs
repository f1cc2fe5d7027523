//! The night: gathers the day from the ledger, has it looked at, and writes down
//! what was found, part by part. A part that is written down is not done again: a
//! run that was killed goes on behind it.
//!
//! | to know | look at |
//! |---|---|
//! | from the ledger to the day | [`gather`] |
//! | the planner behind a port | [`planner`] |
//! | topics and their summaries | [`themes`], in a model's words [`gists`] |
//! | when it is time | [`timer`] |
//! | proposals and what became of them | [`proposals`] |

mod gather;
mod gists;
mod planner;
pub mod proposals;
mod themes;
pub mod timer;

pub use topics::{Settings, cluster, others, probe};

use crate::calendar::today;
use crate::{Alma, Error};
use charter::event::Event;
use charter::ids::{Millis, NightId, Principal, ProposalId, StreamId};
use charter::label::Label;
use charter::night::{NightRow, NightState, Nightly, ProposalRow};
use forty_two::attack::{Attacked, attack};
use forty_two::day::Day;
use forty_two::happened::{activity, happened};
use forty_two::lessons::{Lesson, lessons};
use forty_two::playbook::{Found, Proposal, propose};
use forty_two::report::{Activity, Line, Offer, Offers, Report, Themes};
use forty_two::scores::{NIGHTS, Score, scores};
use gather::Gathered;
use planner::Drawing;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sons_of_helaman::Draft;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a first night looks back on, in milliseconds: a week.
const FIRST_LOOK_MS: Millis = 7 * 24 * 3_600_000;
/// Nights and proposals that are read.
const READ_MAX: u32 = 500;

/// What was counted, the first part of a night.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counted {
    happened: Vec<Line>,
    #[serde(default)]
    active: Activity,
    left_out: Vec<String>,
}

/// Runs a night to its end: a new one, or the one that was interrupted.
pub async fn run(alma: &Alma, principal: &Principal) -> Result<Report, Error> {
    let row = begin(alma, principal).await?;
    let night =
        Night { alma, principal, began: Instant::now(), row, gathered: None, left_out: Vec::new() };
    night.work().await
}

/// Records nights that were missed: each with the time at which it was due.
pub async fn missed(alma: &Alma, principal: &Principal, due: &[Millis]) -> Result<(), Error> {
    for at in due {
        let night = NightId::new(alma.now(), alma.ports.entropy.as_ref());
        let report = Report {
            night: night.to_string(),
            since: *at,
            until: *at,
            missed: vec![*at],
            ..Report::default()
        };
        let mut draft = alma.draft(principal, StreamId::admin());
        draft.event(Event::Nightly(Nightly::Begun {
            night: night.clone(),
            since: *at,
            until: *at,
        }));
        let report = draft.json(&report, Label::TRUSTED)?;
        draft.event(Event::Nightly(Nightly::Ended { night, report, whole: false }));
        draft.commit().await?;
    }
    Ok(())
}

/// Whether a row stands for a night that was missed.
pub(crate) fn is_missed(row: &NightRow) -> bool {
    row.since == row.until
}

/// Nights, newest first.
pub(crate) async fn nights(alma: &Alma, principal: &Principal) -> Result<Vec<NightRow>, Error> {
    alma.records(principal, None, None, true, READ_MAX).await
}

async fn begin(alma: &Alma, principal: &Principal) -> Result<NightRow, Error> {
    let all = nights(alma, principal).await?;
    if let Some(open) = all.iter().find(|row| row.state == NightState::Running) {
        return Ok(open.clone());
    }
    let now = alma.now();
    let before = all.iter().find(|row| !is_missed(row)).map(|row| row.until);
    let since = before.unwrap_or(now - FIRST_LOOK_MS).min(now - 1);
    let night = NightId::new(now, alma.ports.entropy.as_ref());
    let mut draft = alma.draft(principal, StreamId::admin());
    draft.event(Event::Nightly(Nightly::Begun { night: night.clone(), since, until: now }));
    draft.commit().await?;
    alma.record(principal, night.as_str()).await
}

struct Night<'a> {
    alma: &'a Alma,
    principal: &'a Principal,
    began: Instant,
    row: NightRow,
    gathered: Option<Arc<Gathered>>,
    left_out: Vec<String>,
}

impl Night<'_> {
    async fn work(mut self) -> Result<Report, Error> {
        let counted: Counted = self.counted().await?;
        self.left_out.extend(counted.left_out);
        let themes = self.themes().await?;
        let lessons = self.lessons().await?;
        let attacks = self.attacks().await?;
        let offers = self.offers().await?;
        let scores = self.scores(&attacks).await?;
        let all = nights(self.alma, self.principal).await?;
        let last = all.iter().find(|row| !is_missed(row) && row.id != self.row.id);
        let last = last.map_or(self.row.since, |row| row.until);
        let missed: Vec<Millis> = all
            .iter()
            .filter(|row| is_missed(row) && row.until >= last)
            .map(|row| row.until)
            .collect();
        let mut report = Report {
            night: self.row.id.to_string(),
            since: self.row.since,
            until: self.row.until,
            happened: counted.happened,
            active: counted.active,
            themes: themes.unwrap_or_default(),
            lessons: lessons.unwrap_or_default(),
            scores: scores.unwrap_or_default(),
            attacks: attacks.unwrap_or_default(),
            offers: offers.unwrap_or_default(),
            left_out: std::mem::take(&mut self.left_out),
            missed,
        };
        report.missed.reverse();
        let mut draft = self.alma.draft(self.principal, StreamId::admin());
        let body = draft.json(&report, Label::UNTRUSTED)?;
        let whole = report.left_out.is_empty();
        draft.event(Event::Nightly(Nightly::Ended {
            night: self.row.id.clone(),
            report: body,
            whole,
        }));
        match draft.commit().await.map_err(Error::from) {
            Ok(_) => Ok(report),
            // Another process brought the same run to its end.
            Err(Error::Conflict(_)) => report_of(self.alma, self.principal, &self.row.id).await,
            Err(error) => Err(error),
        }
    }

    /// What a part came to, if it is written down.
    async fn done<T: DeserializeOwned>(&self, stage: &str) -> Result<Option<T>, Error> {
        match self.row.stages.iter().find(|(done, _)| done == stage) {
            Some((_, result)) => {
                Ok(Some(self.alma.json_of(self.principal, result, "a part of a night").await?))
            }
            None => Ok(None),
        }
    }

    /// Writes a part down. If somebody else did, what they wrote counts.
    async fn write<T: Serialize + DeserializeOwned>(
        &mut self,
        stage: &str,
        mut draft: Draft<'_>,
        result: T,
    ) -> Result<T, Error> {
        let body = draft.json(&result, Label::UNTRUSTED)?;
        let night = self.row.id.clone();
        draft.event(Event::Nightly(Nightly::Stage {
            night,
            stage: stage.to_owned(),
            result: body,
        }));
        match draft.commit().await.map_err(Error::from) {
            Ok(_) => Ok(result),
            Err(Error::Conflict(why)) => {
                self.row = self.alma.record(self.principal, self.row.id.as_str()).await?;
                self.done(stage).await?.ok_or(Error::Conflict(why))
            }
            Err(error) => Err(error),
        }
    }

    /// How long a night may take.
    fn bound(&self) -> Duration {
        Duration::from_secs(self.alma.config.night.seconds.into())
    }

    /// Whether there is time for another part; if not, it is said to be left out.
    fn has_time(&mut self, what: &str) -> bool {
        let bound = self.bound();
        let there = self.began.elapsed() < bound;
        if !there {
            self.left_out.push(format!(
                "{what}: the {} seconds of [night] were spent; the next night looks again.",
                bound.as_secs()
            ));
        }
        there
    }

    async fn gathered(&mut self) -> Result<Arc<Gathered>, Error> {
        if let Some(gathered) = &self.gathered {
            return Ok(Arc::clone(gathered));
        }
        let span = (self.row.since, self.row.until);
        let gathered = Arc::new(gather::gather(self.alma, self.principal, span).await?);
        self.gathered = Some(Arc::clone(&gathered));
        Ok(gathered)
    }

    async fn counted(&mut self) -> Result<Counted, Error> {
        if let Some(done) = self.done("observe").await? {
            return Ok(done);
        }
        let gathered = self.gathered().await?;
        let counted = Counted {
            happened: happened(&gathered.day),
            active: activity(&gathered.day),
            left_out: gathered.left_out.clone(),
        };
        let draft = self.alma.draft(self.principal, StreamId::admin());
        self.write("observe", draft, counted).await
    }

    async fn themes(&mut self) -> Result<Option<Themes>, Error> {
        if let Some(done) = self.done("topics").await? {
            return Ok(Some(done));
        }
        if !self.has_time("topics") {
            return Ok(None);
        }
        let gathered = self.gathered().await?;
        let embedder = self.alma.installation.embedder()?;
        let version = embedder.version().to_owned();
        let memories = Arc::clone(&gathered);
        let mut themes =
            apart(move || themes::themes(&memories.memories, embedder.as_ref())).await??;
        if let Some(model) = self.alma.model(self.principal) {
            gists::write(model, &mut themes, self.began + self.bound()).await;
        }
        let mut draft = self.alma.draft(self.principal, StreamId::admin());
        for theme in &mut themes.topics {
            themes::summarised(
                theme,
                &gathered.memories,
                &self.row,
                &version,
                self.alma,
                &mut draft,
            )?;
        }
        Ok(Some(self.write("topics", draft, themes).await?))
    }

    async fn lessons(&mut self) -> Result<Option<Vec<Lesson>>, Error> {
        if let Some(done) = self.done("lessons").await? {
            return Ok(Some(done));
        }
        if !self.has_time("lessons") {
            return Ok(None);
        }
        let gathered = self.gathered().await?;
        let version = self.alma.installation.embedder()?.version().to_owned();
        let found = lessons(&gathered.day);
        let mut draft = self.alma.draft(self.principal, StreamId::admin());
        for lesson in &found {
            themes::learn(lesson, &gathered.memories, &self.row, &version, self.alma, &mut draft)?;
        }
        Ok(Some(self.write("lessons", draft, found).await?))
    }

    async fn drawing(&self) -> Result<Drawing, Error> {
        Ok(Drawing::new(
            self.alma.installation.playbooks()?,
            self.alma.specs(),
            today(self.row.until)?,
            self.alma.config.budget.clone(),
            self.alma.installation.reflex(),
        ))
    }

    async fn attacks(&mut self) -> Result<Option<Vec<Attacked>>, Error> {
        if let Some(done) = self.done("attack").await? {
            return Ok(Some(done));
        }
        if !self.has_time("attacks") {
            return Ok(None);
        }
        let (gathered, drawing) = (self.gathered().await?, self.drawing().await?);
        let rules = self.alma.config.policy.rules.clone();
        let found = apart(move || {
            attack(&gathered.day, &drawing, &|class| planner::unasked(&rules, class))
        })
        .await?;
        let draft = self.alma.draft(self.principal, StreamId::admin());
        Ok(Some(self.write("attack", draft, found).await?))
    }

    async fn offers(&mut self) -> Result<Option<Offers>, Error> {
        if let Some(done) = self.done("propose").await? {
            return Ok(Some(done));
        }
        if !self.has_time("proposals") {
            return Ok(None);
        }
        let (gathered, drawing) = (self.gathered().await?, self.drawing().await?);
        let known = self.known().await?;
        let specs = self.alma.specs();
        let found = apart(move || propose(&gathered.window, &known, &specs, &drawing)).await?;
        let mut draft = self.alma.draft(self.principal, StreamId::admin());
        let Found { made, not_made, needless } = found;
        let mut offers = Offers { made: Vec::new(), not_made, needless };
        for proposal in &made {
            let id = ProposalId::new(self.alma.now(), self.alma.ports.entropy.as_ref());
            offers.made.push(Offer::of(id.as_str(), proposal));
            let body = draft.json(proposal, Label::UNTRUSTED)?;
            let (night, of) = (self.row.id.clone(), "playbook".to_owned());
            draft.event(Event::Nightly(Nightly::Proposed { proposal: id, night, of, body }));
        }
        Ok(Some(self.write("propose", draft, offers).await?))
    }

    /// Chains that were proposed before, whatever became of them.
    async fn known(&self) -> Result<BTreeSet<String>, Error> {
        let rows: Vec<ProposalRow> =
            self.alma.records(self.principal, None, None, true, READ_MAX).await?;
        let mut known = BTreeSet::new();
        for row in rows {
            match self.alma.json_of::<Proposal>(self.principal, &row.body, "a proposal").await {
                Ok(proposal) => {
                    known.insert(proposal.chain);
                }
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    async fn scores(
        &mut self,
        attacks: &Option<Vec<Attacked>>,
    ) -> Result<Option<Vec<Score>>, Error> {
        if let Some(done) = self.done("scores").await? {
            return Ok(Some(done));
        }
        if !self.has_time("figures") {
            return Ok(None);
        }
        let mut earlier = Vec::new();
        let rows = nights(self.alma, self.principal).await?;
        for row in rows.into_iter().filter(|row| !is_missed(row)).take(NIGHTS) {
            let Some(report) = &row.report else { continue };
            match self.alma.json_of::<Report>(self.principal, report, "a report").await {
                Ok(report) => earlier.push(report.scores),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        earlier.reverse();
        let held = attacks
            .iter()
            .flatten()
            .fold((0, 0), |(tried, held), one| (tried + one.tried, held + one.held));
        let gathered = self.gathered().await?;
        let day: &Day = &gathered.day;
        let found = scores(day, held, &earlier);
        let draft = self.alma.draft(self.principal, StreamId::admin());
        Ok(Some(self.write("scores", draft, found).await?))
    }
}

/// The report of a night; of the newest one that has any unless one is named.
pub(crate) async fn report_of(
    alma: &Alma,
    principal: &Principal,
    night: &NightId,
) -> Result<Report, Error> {
    let row: NightRow = alma.record(principal, night.as_str()).await?;
    match &row.report {
        Some(report) => alma.json_of(principal, report, "a report").await,
        None => Err(Error::Conflict(format!(
            "the night {night} is not over; `alma nightly run` takes it to its end"
        ))),
    }
}

/// Computes beside the runtime: a night thinks for seconds, and others want to be
/// answered meanwhile.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Machine {
        operation: "think about the day".to_owned(),
        cause: error.to_string(),
    })
}
