//! The route `approval`: what somebody says is the answer to what Alma asks.

use super::Happening;
use super::answer::open_of;
use super::mission::{EFFECTS_SHOWN_MAX, more, visible};
use super::turn::{Outcome, Turn};
use crate::Error;
use crate::operations::{approval_answer, approval_show};
use crate::talk::tone::{Moment, Say};
use crate::talk::words::{self, Pattern, Speech};
use charter::approval::{Answer, ApprovalState, Question};
use charter::conversation::TurnState;
use charter::ids::ApprovalId;
use moroni::words::fold::fold;
use moroni::words::words_of;

/// Questions that are shown at a time.
const SHOWN_MAX: usize = 9;

impl Turn<'_> {
    /// Answers the open question, or asks which one is meant.
    pub(super) async fn approval(&mut self, words: &[String]) -> Result<Outcome, Error> {
        let mut open = Vec::new();
        if let Some(mission) = &self.focus.mission {
            open = open_of(self.alma, self.principal, Some(mission)).await?;
        }
        let here = !open.is_empty();
        if !here {
            open = open_of(self.alma, self.principal, None).await?;
        }
        let mut shown = Vec::new();
        for id in open.iter().take(SHOWN_MAX) {
            shown.push(self.card(id).await?);
        }
        let named = shown.iter().position(|card| words.iter().any(|w| named(&card.approval, w)));
        let speeches = self.router()?.speeches();
        let picked = named.or_else(|| nth(speeches, words)).filter(|n| *n < shown.len());
        let card = match (shown.as_slice(), picked) {
            ([], _) => {
                return Ok(Outcome::said(Say::plainly(
                    "Nothing waits for your answer. Say what you want done.",
                )));
            }
            ([only], _) => only,
            (several, Some(n)) => &several[n],
            (several, None) => {
                let options = several.iter().map(|c| visible(&c.card.title)).collect();
                return Ok(Outcome::of(
                    TurnState::Asked,
                    Moment::Choice,
                    Say {
                        what: "Several questions wait. Which one do you mean?".to_owned(),
                        options,
                        ..Say::default()
                    },
                ));
            }
        };
        let yes = says(speeches, words, |s| &s.yes);
        let no = says(speeches, words, |s| &s.no);
        // "Yes, but not that one" is no yes: the card is for all of it or nothing.
        let about = words_of(&card.card.title, &fold);
        let more = more_than_that(speeches, words, &about);
        // What nobody has seen here is shown before it is agreed to.
        if !here || yes == no || (yes && more) {
            self.focus.mission = Some(card.mission.clone());
            return Ok(self.show(card.clone()).await);
        }
        let answer = match (card.card.question, yes) {
            (Question::InDoubt, true) => Answer::Happened,
            (Question::InDoubt, false) => Answer::NotHappened,
            (Question::Permission | Question::Part | Question::Plan, true) => Answer::Approve,
            (Question::Permission | Question::Part | Question::Plan, false) => Answer::Deny,
        };
        let request = approval_answer::Request {
            approval: card.approval.clone(),
            answer,
            digest: Some(card.digest),
            seen: true,
        };
        let mission = card.mission.clone();
        // First the turn belongs to the mission: whoever carries it on follows that.
        self.submitted(&mission).await?;
        match approval_answer::run(self.alma, self.principal, request).await {
            Ok(_) => {}
            // Somebody else was quicker; what came of it is worth telling.
            Err(Error::Conflict(why)) => self.watcher.tell(Happening::Note { text: why }).await,
            Err(error) => return Err(error),
        }
        self.follow(&mission).await
    }

    async fn card(&self, id: &ApprovalId) -> Result<approval_show::Response, Error> {
        let request = approval_show::Request { approval: id.clone() };
        approval_show::run(self.alma, self.principal, request).await
    }

    async fn show(&mut self, card: approval_show::Response) -> Outcome {
        let mut facts: Vec<(String, String)> = card
            .card
            .effects
            .iter()
            .take(EFFECTS_SHOWN_MAX)
            .flat_map(|effect| {
                let what = (effect.class.to_string(), visible(&effect.summary));
                let args = serde_json::to_string(&effect.args).unwrap_or_default();
                [
                    what,
                    ("with".to_owned(), visible(&args)),
                    ("why asked".into(), effect.reason.clone()),
                ]
            })
            .collect();
        facts.extend(more(&card.card.effects));
        facts.extend(card.card.notes.iter().map(|note| ("note".to_owned(), visible(note))));
        let expired = card.state == ApprovalState::Expired;
        let what = format!(
            "{}{}",
            visible(&card.card.title),
            if expired { " (it expired; answering opens it again)" } else { "" }
        );
        self.watcher.tell(Happening::Approval(Box::new(card))).await;
        Outcome::of(
            TurnState::Asked,
            Moment::Asked,
            Say { what, facts, options: vec!["“yes” or “no”".to_owned()], why: Vec::new() },
        )
    }
}

fn named(id: &ApprovalId, word: &str) -> bool {
    word.len() > 6 && id.as_str().ends_with(word)
}

pub(super) fn nth(speeches: &[Speech], words: &[String]) -> Option<usize> {
    if let Some(n) = words.iter().find_map(|word| word.parse::<usize>().ok()) {
        return n.checked_sub(1);
    }
    speeches.iter().find_map(|speech| {
        let found = speech.ordinals.iter().find(|(_, says)| words::any(says, words).is_some());
        found.map(|(n, _)| usize::from(*n) - 1)
    })
}

/// Whether something is said beside yes and no, and which question is meant.
fn more_than_that(speeches: &[Speech], words: &[String], about: &[String]) -> bool {
    let mut told = vec![false; words.len()];
    for speech in speeches {
        let known = speech.yes.iter().chain(&speech.no).chain(&speech.it);
        for pattern in known.chain(speech.ordinals.values().flatten()) {
            for from in 0..words.len() {
                if let Some(found) = words.get(from..).and_then(|rest| pattern.find(rest)) {
                    let found = from + found.start..from + found.end;
                    told.get_mut(found).into_iter().flatten().for_each(|told| *told = true);
                }
            }
        }
    }
    let courtesy = |word: &String| speeches.iter().any(|speech| speech.please.contains(word));
    let number = |word: &String| word.parse::<usize>().is_ok();
    words.iter().zip(told).any(|(word, told)| {
        !(told || courtesy(word) || number(word) || about.contains(word) || word.starts_with("a-"))
    })
}

/// Whether the words say so; the beginning counts, in any language.
fn says(speeches: &[Speech], words: &[String], patterns: fn(&Speech) -> &[Pattern]) -> bool {
    speeches.iter().any(|speech| {
        patterns(speech).iter().any(|p| p.find(words).is_some_and(|at| at.start <= 1))
    })
}
