//! The routes `recall` and `remember`: answers in the words of the sources, and
//! facts as they were said.

use super::approval;
use super::mission::visible;
use super::turn::{Outcome, Turn};
use crate::Error;
use crate::memory::Recalled;
use crate::operations::{plan_new, recall, remember};
use crate::talk::focus::Correcting;
use crate::talk::route::clip;
use crate::talk::told::{self, Known};
use crate::talk::tone::{Moment, Say};
use charter::conversation::TurnState;
use charter::effect::EffectClass;
use charter::ids::MemoryId;
use charter::label::Trust;
use charter::plan::PlanSource;
use librarian::claims;
use moroni::words::fold::fold;
use moroni::words::words_of;

/// Memories that are named where none answers.
const NEAREST_SHOWN_MAX: usize = 3;
/// Longest quote of an answer.
const QUOTE_BYTES_MAX: usize = 600;
/// Memories that an answer is made of.
const RECALLED_MAX: u32 = 6;
/// Facts that are told back to who asks what is known.
const TOLD_MAX: u32 = 20;

impl Turn<'_> {
    pub(super) async fn look_up(&self, words: &str) -> Result<recall::Response, Error> {
        let known = told::known(words, self.router()?.speeches()).is_some();
        let request = recall::Request {
            words: words.to_owned(),
            workspace: self.workspace.clone(),
            limit: Some(if known { TOLD_MAX } else { RECALLED_MAX }),
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
        self.focus.fact = found.answer.first().map(|quote| quote.memory.clone());
        if let Some(known) = told::known(words, self.router()?.speeches())
            && !found.answer.is_empty()
        {
            let what = match known {
                Known::OfMe => "This is what you told me about yourself, newest first:",
                Known::Everything => "This is what you told me, newest first:",
            };
            let lines = found
                .answer
                .iter()
                .map(|quote| format!("- {}\n    {}", visible(&quote.text), visible(&quote.source)));
            let lines: Vec<String> = lines.collect();
            let mut say = Say::plainly(format!("{what}\n{}", lines.join("\n")));
            if found.memories.len() >= TOLD_MAX as usize {
                say.options.push("`alma memory export` lists everything".to_owned());
            }
            return Ok(Outcome::said(say));
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
        if let Some(model) = self.alma.model(self.principal) {
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
            if self.alma.model(self.principal).is_none() {
                let larger = "a larger language model reads them more closely: `alma models list`";
                say.options.push(larger.to_owned());
            }
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
            priority: None,
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

    /// Whether a message corrects something that was told before, or answers which
    /// of several it corrects.
    pub(super) async fn corrects(
        &mut self,
        words: &str,
        said: &[String],
    ) -> Result<Option<Corrects>, Error> {
        if self.alma.installation.memory().is_none() {
            return Ok(None);
        }
        let speeches = self.router()?.speeches();
        if let Some(Correcting { words, options }) = self.focus.correcting.take() {
            let mut texts = Vec::new();
            for option in &options {
                texts.push(remember::text_of(self.alma, self.principal, option).await?);
            }
            let chosen = approval::nth(speeches, said).or_else(|| named(said, &texts));
            if let Some(option) = chosen.and_then(|n| options.into_iter().nth(n)) {
                return Ok(Some(Corrects { words, instead_of: Some(option) }));
            }
        }
        let told = told::told(words, speeches);
        if !told.corrects || words.trim_end().ends_with('?') {
            return Ok(None);
        }
        let about = match &self.focus.fact {
            Some(fact) => Some(remember::text_of(self.alma, self.principal, fact).await?),
            None => None,
        };
        let restates = about.is_some_and(|old| {
            let alone = claims::claim(&told.text).is_none_or(|claim| claim.pronoun);
            alone
                && told::is_value(&told.text, speeches)
                && claims::restated(&told.text, &old).is_some()
        });
        let known = !restates
            && !remember::correctable(self.alma, self.principal, &told.text).await?.is_empty();
        let lost = self.focus.fact.is_none()
            && self.focus.wish.is_none()
            && claims::claim(&told.text).is_some_and(|claim| claim.pronoun);
        let corrects = lost || restates || known || told::states(&told.text, speeches);
        Ok(corrects.then(|| Corrects { words: words.to_owned(), instead_of: None }))
    }

    pub(super) async fn remember(
        &mut self,
        words: &str,
        instead_of: Option<MemoryId>,
    ) -> Result<Outcome, Error> {
        if self.alma.installation.memory().is_none() {
            return Ok(without_memory("I cannot keep this as a memory"));
        }
        let request = remember::Request {
            words: words.to_owned(),
            workspace: None,
            said: Some(remember::Said {
                session: self.row.session.clone(),
                turn: self.row.id.clone(),
            }),
            instead_of,
            about: self.focus.fact.clone(),
        };
        let told = told::told(words, self.router()?.speeches());
        if request.about.is_none()
            && request.instead_of.is_none()
            && claims::claim(&told.text).is_some_and(|claim| claim.pronoun)
        {
            let what =
                "I do not know what that is about: say it in full, as in “the floor is pine”.";
            return Ok(Outcome::asked(Say::plainly(what)));
        }
        let kept = match remember::run(self.alma, self.principal, request).await {
            // What is no fact is no failure either.
            Err(Error::Usage(why)) => return Ok(Outcome::asked(Say::plainly(why))),
            other => other?,
        };
        let text = visible(&kept.text);
        if !kept.unsure.is_empty() {
            let options = kept.unsure.iter().map(|choice| choice.memory.clone()).collect();
            self.focus.correcting = Some(Correcting { words: words.to_owned(), options });
            let say = Say {
                what: "Which of these is no longer true?".to_owned(),
                options: kept.unsure.iter().map(|c| format!("“{}”", visible(&c.text))).collect(),
                ..Say::default()
            };
            return Ok(Outcome::of(TurnState::Asked, Moment::Choice, say));
        }
        self.focus.fact.clone_from(&kept.memory);
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

/// A message that corrects what was told.
pub(super) struct Corrects {
    /// The message.
    pub(super) words: String,
    /// What it corrects, where that was said.
    pub(super) instead_of: Option<MemoryId>,
}

/// The one of some texts that shares words with an answer which no other has.
fn named(said: &[String], texts: &[String]) -> Option<usize> {
    let words = |text: &String| words_of(text, &fold);
    let own = |n: usize| {
        let others = || texts.iter().enumerate().filter(|(other, _)| *other != n);
        let all = texts.get(n).map(words).unwrap_or_default();
        let single = all.into_iter().filter(|w| !others().any(|(_, t)| words(t).contains(w)));
        single.filter(|word| said.contains(word)).count()
    };
    let mut named = (0..texts.len()).filter(|n| own(*n) > 0);
    named.next().filter(|_| named.next().is_none())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_one_of_several() {
        let texts = ["The floor of the shop is oak.", "The floor of the flat is oak."];
        let texts = texts.map(str::to_owned);
        let check = |said: &str, expected| {
            assert_eq!(named(&words_of(said, &fold), &texts), expected, "{said}");
        };
        check("that of the shop", Some(0));
        check("the flat", Some(1));
        check("the floor", None);
        check("shop and flat", None);
    }
}
