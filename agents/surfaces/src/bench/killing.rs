//! Two workers on one data folder, one of which is killed again and again at
//! drawn moments, while missions go on. Used by the bench and by the tests.

use super::child::{BenchError, Stage, Worker, pause};
use super::measure::Seed;
use super::record::{Phase, Record};
use charter::approval::Question;
use charter::digest::Digest;
use charter::event::DeathCause;
use charter::ids::{Millis, MissionId, StepKey};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest time between two kills, in milliseconds: of most, and of those that
/// shall hit a worker while it starts.
const MOMENT_MS: u64 = 240;
const EARLY_MS: u64 = 50;
/// One kill of so many is early.
const EARLY_IN: u64 = 4;
/// Of so many kills one aims at the phase that was hit least so far.
const AIM_IN: u64 = 2;
/// How long an aimed kill waits for an effect to show, and how often it looks.
const AIM: Duration = Duration::from_millis(500);
const AIM_LOOK: Duration = Duration::from_micros(200);
/// Pause between two looks at missions that end by themselves.
const LOOK: Duration = Duration::from_millis(100);
/// How long the last mission may take once nobody is killed any more.
const SETTLE: Duration = Duration::from_secs(180);

/// What is worked on while workers die.
pub trait Field {
    /// Puts in place what mission `number` (from 1) works on. Gives its mission
    /// file and its workspace.
    fn prepare(&mut self, number: u32) -> Result<(Value, PathBuf), BenchError>;

    /// A number that is another one as soon as the target shows another effect of
    /// mission `number`. It is asked for often.
    fn shows(&self, number: u32) -> u64;

    /// Whether the target shows that this effect of mission `number` happened.
    fn happened(&self, number: u32, step: &StepKey, key: &Digest) -> bool;
}

/// One mission that was worked on.
#[derive(Debug)]
pub struct Mission {
    /// Its number, from 1.
    pub number: u32,
    /// Its name.
    pub id: MissionId,
    /// What happened to it.
    pub record: Record,
}

/// What was killed.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Kills.
    pub kills: u32,
    /// Kills of the process that held the data folder.
    pub owners: u32,
    /// Kills by how far the victim had come. The rest had nothing to do.
    pub by_phase: BTreeMap<Phase, u32>,
    /// Steps that lost three workers and were sent round again.
    pub requeued: u32,
}

impl Tally {
    /// Kills in the phase that was hit least.
    pub fn least(&self) -> u32 {
        Phase::ALL.into_iter().map(|phase| self.hit(phase)).min().unwrap_or(0)
    }

    fn hit(&self, phase: Phase) -> u32 {
        self.by_phase.get(&phase).copied().unwrap_or(0)
    }

    /// The phase that was hit least, the earlier one of two.
    fn rarest(&self) -> Phase {
        Phase::ALL.into_iter().min_by_key(|phase| self.hit(*phase)).unwrap_or(Phase::Queued)
    }

    /// Counts the kill of a worker that was started in this span.
    fn count(
        &mut self,
        field: &impl Field,
        mission: &Mission,
        (since, until): (Millis, Millis),
        was_owner: bool,
    ) {
        let happened = |step: &StepKey, key: &Digest| field.happened(mission.number, step, key);
        let phase = mission.record.phase(since, until, &happened);
        self.kills += 1;
        self.owners += u32::from(was_owner);
        if let Some(phase) = phase {
            *self.by_phase.entry(phase).or_default() += 1;
        }
    }
}

/// Missions under way, and workers that do not live long.
pub struct Killing<'s, F> {
    stage: &'s Stage,
    field: F,
    seed: Seed,
    workers: [Worker; 2],
    current: Option<Mission>,
    ended: Vec<Mission>,
    /// What was killed so far.
    pub tally: Tally,
}

impl<'s, F: Field> Killing<'s, F> {
    /// Starts two workers of one step each.
    pub fn begin(stage: &'s Stage, field: F, seed: u64) -> Result<Self, BenchError> {
        let mut first = stage.worker(Some(1))?;
        first.begun()?;
        let mut second = stage.worker(Some(1))?;
        second.begun()?;
        Ok(Self {
            stage,
            field,
            seed: Seed::new(seed),
            workers: [first, second],
            current: None,
            ended: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// What is worked on.
    pub fn field(&self) -> &F {
        &self.field
    }

    /// Kills one of the workers at a drawn moment, looks how far it had come,
    /// answers what is asked, and starts another in its place. `meanwhile` is done
    /// while one worker goes on alone.
    pub fn kill(
        &mut self,
        meanwhile: impl FnOnce() -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let mut mission = self.mission()?;
        self.wait(mission.number)?;
        let at = usize::from(self.seed.below(2) == 1);
        let [first, second] = &mut self.workers;
        let (victim, other) = if at == 0 { (first, second) } else { (second, first) };
        let was_owner = self.stage.owner() == Some(victim.pid());
        victim.kill()?;
        let started = victim.started();
        self.stage.follow(&mission.id, &mut mission.record)?;
        self.tally.count(&self.field, &mission, started, was_owner);
        // Never two that start at the same time: claims are told apart by when
        // their workers were started.
        other.begun()?;
        meanwhile()?;
        self.care(&mission)?;
        self.put_back(mission);
        let mission = self.mission()?;
        self.current = Some(mission);
        // Last, so that the next moment may fall into its start.
        self.workers[at] = self.stage.worker(Some(1))?;
        Ok(())
    }

    /// Kills both workers at a drawn moment, as a power cut would, lets `look` see
    /// what is left on disk, and starts two others.
    pub fn kill_all(
        &mut self,
        look: impl FnOnce() -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let mut mission = self.mission()?;
        self.wait(mission.number)?;
        let owner = self.stage.owner();
        // The owner last: nobody shall take its place.
        self.workers.sort_by_key(|worker| Some(worker.pid()) == owner);
        for worker in &mut self.workers {
            worker.kill()?;
        }
        look()?;
        self.stage.follow(&mission.id, &mut mission.record)?;
        for worker in &self.workers {
            let was_owner = Some(worker.pid()) == owner;
            self.tally.count(&self.field, &mission, worker.started(), was_owner);
        }
        for worker in &mut self.workers {
            *worker = self.stage.worker(Some(1))?;
            worker.begun()?;
        }
        self.care(&mission)?;
        self.put_back(mission);
        Ok(())
    }

    /// Waits for the next moment: a drawn one, or one that is likely to hit the
    /// phase that was hit least. All that is known of the workers is what the record
    /// and the target show from outside.
    fn wait(&mut self, number: u32) -> Result<(), BenchError> {
        let aim = (self.seed.below(AIM_IN) == 0).then(|| self.tally.rarest());
        let longest = match aim {
            Some(Phase::Acted) => return self.until_it_shows(number),
            Some(Phase::Queued) => EARLY_MS,
            _ if self.seed.below(EARLY_IN) == 0 => EARLY_MS,
            _ => MOMENT_MS,
        };
        pause(Duration::from_millis(self.seed.below(longest)))
    }

    /// Waits until the target shows one more effect.
    fn until_it_shows(&self, number: u32) -> Result<(), BenchError> {
        let (began, before) = (Instant::now(), self.field.shows(number));
        while began.elapsed() < AIM && self.field.shows(number) == before {
            pause(AIM_LOOK)?;
        }
        Ok(())
    }

    /// The missions that have ended.
    pub fn ended(&self) -> &[Mission] {
        &self.ended
    }

    /// Events of the mission under way so far.
    pub fn moved(&self) -> usize {
        self.current.as_ref().map_or(0, |mission| mission.record.len())
    }

    /// Lets the last mission end. Gives all of them.
    pub fn settle(mut self) -> Result<(Vec<Mission>, Tally, F), BenchError> {
        let began = Instant::now();
        while let Some(mut mission) = self.current.take() {
            if began.elapsed() > SETTLE {
                // It is lost; whoever counts sees that it has not ended.
                self.ended.push(mission);
                break;
            }
            pause(LOOK)?;
            self.stage.follow(&mission.id, &mut mission.record)?;
            self.care(&mission)?;
            self.put_back(mission);
        }
        Ok((self.ended, self.tally, self.field))
    }

    fn mission(&mut self) -> Result<Mission, BenchError> {
        if let Some(mission) = self.current.take() {
            return Ok(mission);
        }
        let number = u32::try_from(self.ended.len()).unwrap_or(u32::MAX).saturating_add(1);
        let (file, workspace) = self.field.prepare(number)?;
        let path = self.stage.mission_file("mission", &file)?;
        let id = self.stage.submit(&path, &workspace)?;
        Ok(Mission { number, id, record: Record::default() })
    }

    fn put_back(&mut self, mission: Mission) {
        if mission.record.ended().is_some() && mission.record.dead().is_empty() {
            self.ended.push(mission);
        } else {
            self.current = Some(mission);
        }
    }

    /// Answers what is asked: permissions with yes, doubts with what the target
    /// shows. Sends steps round again that lost too many workers.
    fn care(&mut self, mission: &Mission) -> Result<(), BenchError> {
        for asked in mission.record.asked() {
            let answer = match (asked.question, &asked.about) {
                (Question::InDoubt, Some((step, key))) => {
                    let happened = self.field.happened(mission.number, step, key);
                    Some(if happened { "--happened" } else { "--not-happened" })
                }
                (Question::InDoubt, None) => {
                    return Err(BenchError::Wrong(format!("{} is about nothing", asked.approval)));
                }
                (Question::Permission | Question::Part | Question::Plan, _) => None,
            };
            let mut arguments = vec!["approve", asked.approval.as_str(), "--no-wait"];
            arguments.extend(answer);
            self.stage.json(&arguments)?;
        }
        for (step, cause) in mission.record.dead() {
            match cause {
                DeathCause::Poison => {
                    let step = step.to_string();
                    self.stage.json(&["dead-letters", "requeue", &step, "--no-wait"])?;
                    self.tally.requeued += 1;
                }
                // It comes back with its instance.
                _ if mission.record.dead().keys().any(|k| k.parent().as_ref() == Some(&step)) => {}
                cause => {
                    let shown = self.stage.run(&["dead-letters", "show", &step.to_string()])?;
                    let shown = String::from_utf8_lossy(&shown.stdout);
                    return Err(BenchError::Wrong(format!(
                        "{step} of {} died of {cause:?}: {shown}",
                        mission.id
                    )));
                }
            }
        }
        Ok(())
    }
}
