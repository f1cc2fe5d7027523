//! The routes `recall` and `remember`: answers in the words of the sources, and
//! facts as they were said.

use super::mission::visible;
use super::turn::{Outcome, Turn};
use crate::Error;
use crate::memory::Recalled;
use crate::operations::{plan_new, recall, remember};
use crate::talk::route::clip;
use crate::talk::tone::{Moment, Say};
use crate::talk::words;
use charter::conversation::TurnState;
use charter::effect::EffectClass;
use charter::label::Trust;
use charter::plan::PlanSource;

/// Memories that are named where none answers.
const NEAREST_SHOWN_MAX: usize = 3;
/// Longest quote of an answer.
const QUOTE_BYTES_MAX: usize = 600;
/// Memories that an answer is made of.
const RECALLED_MAX: u32 = 6;

impl Turn<'_> {
    pub(super) async fn look_up(&self, words: &str) -> Result<recall::Response, Error> {
        let request = recall::Request {
            words: words.to_owned(),
            workspace: self.workspace.clone(),
            limit: Some(RECALLED_MAX),
            ..recall::Request::default()
        };
        recall::run(self.alma, self.principal, request).await
    }

    pub(super) async fn recall(&mut self, words: &str) -> Result<Outcome, Error> {
        if self.alma.installation.memory().is_none() {
            return Ok(without_memory("I cannot look in my memory here"));
        }
        self.focus.topic = Some(clip(words, 400).to_owned());
        let found = self.look_up(words).await?;
        if self.files_answer(words).await? {
            // What a file says may be newer than what was said, and the other way
            // round: both are told.
            let mut outcome = self.mission(words, false).await?;
            let own = found.answer.iter().filter(|quote| quote.trust == Trust::Trusted);
            outcome.say.facts.extend(own.map(|quote| {
                let text = format!("{} ({})", quote.text, quote.source);
                ("you said".to_owned(), visible(&text))
            }));
            return Ok(outcome);
        }
        if !found.found {
            let say = Say {
                what: "I remember nothing about that.".to_owned(),
                options: vec!["tell me with “remember that …”".to_owned()],
                ..Say::default()
            };
            return Ok(Outcome::of(TurnState::Failed, Moment::Asked, say));
        }
        let mut say = Say::default();
        if let Some(model) = self.alma.installation.generate() {
            match self.composed(model, words, &found.memories).await {
                Ok(Some(answer)) => {
                    say.what = answer.text;
                    say.facts = answer.quotes.iter().map(quoted).collect();
                    return Ok(Outcome::said(say));
                }
                Ok(None) => {}
                Err(error) => {
                    say.why.extend(self.trouble(&error));
                    self.focus.told = true;
                }
            }
        }
        if found.answer.is_empty() {
            say.what = "I remember nothing that answers this; nearest to it is:".to_owned();
            let near = found.memories.iter().take(NEAREST_SHOWN_MAX);
            say.facts = near.map(|memory| ("near".to_owned(), source(memory))).collect();
            return Ok(Outcome::said(say));
        }
        let quotes = found.answer.iter().map(|quote| {
            let text = quote.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = clip(&text, QUOTE_BYTES_MAX);
            let trust = match quote.trust {
                Trust::Trusted => "",
                Trust::Untrusted => " (not your own words)",
            };
            let (text, from) = (visible(text), visible(&quote.source));
            format!("{text}\n    {from}{trust}")
        });
        say.what = quotes.collect::<Vec<_>>().join("\n");
        Ok(Outcome::said(say))
    }

    /// Whether a playbook answers the question by reading alone.
    async fn files_answer(&self, words: &str) -> Result<bool, Error> {
        let request = plan_new::Request {
            workspace: self.workspace.clone(),
            words: Some(words.to_owned()),
            file: None,
            budget: None,
        };
        let plan = match plan_new::run(self.alma, self.principal, request).await {
            Ok(planned) if planned.plan.unmet.is_empty() => planned.plan,
            Ok(_) | Err(Error::Refused(_) | Error::Usage(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let specs = self.alma.specs();
        let reads = |tool: &str| {
            specs.iter().any(|spec| spec.name == tool && spec.effect <= EffectClass::Read)
        };
        let by_playbook = matches!(plan.source, PlanSource::Playbook { .. });
        Ok(by_playbook && plan.steps.iter().all(|step| reads(&step.tool)))
    }

    pub(super) async fn remember(&mut self, words: &str) -> Result<Outcome, Error> {
        if self.alma.installation.memory().is_none() {
            return Ok(without_memory("I cannot keep this as a memory"));
        }
        let request = remember::Request {
            words: words::fact(words, self.router()?.speeches()).to_owned(),
            workspace: None,
            said: Some(remember::Said {
                session: self.row.session.clone(),
                turn: self.row.id.clone(),
            }),
        };
        let kept = remember::run(self.alma, self.principal, request).await?;
        let text = visible(&kept.text);
        let mut say = Say::plainly(match kept.known {
            true => format!("I know that already: “{text}”"),
            false => format!("Kept: “{text}”"),
        });
        for old in kept.ended {
            say.facts.push(("no longer true".to_owned(), visible(&old)));
        }
        Ok(Outcome::said(say))
    }
}

/// What is said where the wiring gives no memory.
fn without_memory(what: &str) -> Outcome {
    let say = Say::plainly(format!("{what}: this installation has none."));
    Outcome::of(TurnState::Failed, Moment::Asked, say)
}

fn quoted(quote: &Recalled) -> (String, String) {
    ("source".to_owned(), source(quote))
}

fn source(memory: &Recalled) -> String {
    let quote: String = memory.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let quote = visible(clip(&quote, 160));
    let trust = match memory.trust {
        Trust::Trusted => "",
        Trust::Untrusted => ", not your own words",
    };
    format!("{}{trust}: “{quote}”", visible(&memory.source))
}
