//! The route `schedule`: set times, and the answer to what a schedule asks.

use super::turn::{Outcome, Turn};
use crate::Error;
use crate::schedules::{self, Arranged};
use crate::talk::tone::{Moment, Say};
use crate::talk::words::{Pattern, Speech};
use charter::conversation::TurnState;
use charter::ids::ScheduleId;

/// Words of an answer that is only yes or no.
const ANSWER_WORDS_MAX: usize = 4;
/// Schedules with something to look at that a status names.
const ALERTS_MAX: usize = 5;

impl Turn<'_> {
    /// Whether a message is about a schedule that was just spoken of, or that
    /// exists: the answer to its question, or what is to be done with it.
    pub(super) async fn about_schedule(
        &mut self,
        words: &str,
        said: &[String],
    ) -> Result<Option<&'static str>, Error> {
        if self.focus.schedule_asks && self.answer_to_schedule(said)?.is_some() {
            return Ok(Some("You answer what the schedule asks."));
        }
        self.focus.schedule_asks = false;
        let spoken_of = self.focus.schedule.as_ref();
        let managed = schedules::managed(self.alma, self.principal, words, spoken_of).await?;
        if !managed {
            // Something else is spoken of now.
            self.focus.schedule = None;
        }
        Ok(managed.then_some("You speak of what is scheduled."))
    }

    /// Yes or no, where that is all that is said.
    fn answer_to_schedule(&self, said: &[String]) -> Result<Option<bool>, Error> {
        if said.len() > ANSWER_WORDS_MAX {
            return Ok(None);
        }
        let speeches = self.router()?.speeches();
        let says = |patterns: fn(&Speech) -> &[Pattern]| {
            speeches.iter().any(|speech| {
                patterns(speech).iter().any(|p| p.find(said).is_some_and(|at| at.start == 0))
            })
        };
        let (yes, no) = (says(|speech| &speech.yes), says(|speech| &speech.no));
        Ok((yes != no).then_some(yes))
    }

    /// Makes a schedule, or does what is asked of one.
    pub(super) async fn schedule(
        &mut self,
        words: &str,
        said: &[String],
    ) -> Result<Outcome, Error> {
        let asked = std::mem::take(&mut self.focus.schedule_asks);
        if asked
            && let Some(yes) = self.answer_to_schedule(said)?
            && let Some(id) = self.focus.schedule.clone()
        {
            return self.answered(&id, yes).await;
        }
        let (a, p) = (self.alma, self.principal);
        let spoken_of = self.focus.schedule.clone();
        let arranging =
            schedules::arrange(a, p, words, &self.workspace, &self.row, spoken_of.as_ref());
        let Arranged { say, schedule, asks } = arranging.await?;
        self.focus.schedule_asks = asks && schedule.is_some();
        self.focus.schedule = schedule;
        let state = if asks { TurnState::Asked } else { TurnState::Answered };
        Ok(Outcome::of(state, Moment::Asked, say))
    }

    async fn answered(&mut self, id: &ScheduleId, yes: bool) -> Result<Outcome, Error> {
        let (a, p) = (self.alma, self.principal);
        let row = match yes {
            true => schedules::approve(a, p, id, None, true).await?,
            false => schedules::delete(a, p, id).await?,
        };
        let shown = schedules::shown(a, p, &row).await?;
        if !yes {
            self.focus.schedule = None;
            let what = format!("Dropped: “{}” is not scheduled.", shown.wish);
            return Ok(Outcome::said(Say::plainly(what)));
        }
        let say = Say {
            what: format!("Scheduled {}: “{}”.", shown.when, shown.wish),
            facts: vec![("next".to_owned(), format!("{} ({})", shown.next.join(", "), shown.zone))],
            options: vec![
                "it runs while `alma serve`, `alma worker` or a conversation is open".to_owned(),
            ],
            ..Say::default()
        };
        Ok(Outcome::said(say))
    }

    /// What a status says of schedules: only what a person should look at.
    pub(super) async fn schedule_alerts(&self) -> Result<Vec<(String, String)>, Error> {
        let mut facts = Vec::new();
        for row in schedules::schedules(self.alma, self.principal).await? {
            let shown = schedules::shown(self.alma, self.principal, &row).await?;
            let about = |alert: schedules::Alert| format!("“{}”: {}", shown.wish, alert.text);
            facts.extend(
                shown.alerts.clone().into_iter().map(|a| ("schedule".to_owned(), about(a))),
            );
            if facts.len() >= ALERTS_MAX {
                break;
            }
        }
        Ok(facts)
    }
}
