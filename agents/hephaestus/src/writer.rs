//! Lets a language model put chosen sentences into its own words, within a share
//! of a call's time. Whatever goes wrong, the sentences stand as they are.

use crate::workspace::Workspace;
use charter::budget::Meter;
use charter::generate::{Ended, Generate, GenerateError};
use charter::gist::{self, Gist};
use charter::tool::{Call, ToolError};
use serde_json::Value;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What became of a file's sentences: a gist, or why they stand themselves.
pub(crate) type Written = Result<Gist, String>;

/// Writes gists for one call.
pub(crate) struct Writer<'a> {
    model: Option<&'a dyn Generate>,
    workspace: &'a Workspace,
    meter: &'a Meter,
    until: Instant,
    /// Why the model is not asked again.
    over: Option<String>,
}

impl<'a> Writer<'a> {
    /// For a call: half of its time is for writing, the rest for reading.
    pub(crate) fn new(
        model: Option<&'a dyn Generate>,
        workspace: &'a Workspace,
        call: &'a Call,
    ) -> Self {
        let until = Instant::now() + Duration::from_millis(call.limits.wall_ms / 2);
        Self { model, workspace, meter: &call.meter, until, over: None }
    }

    /// A gist of a file's quotes; `None`: there is no model, or nothing to sum up.
    pub(crate) fn write(
        &mut self,
        title: &str,
        quotes: &[Value],
    ) -> Result<Option<Written>, ToolError> {
        let sentences = sentences(quotes);
        let Some(model) = self.model.filter(|_| sentences.len() >= gist::SENTENCES_MIN) else {
            return Ok(None);
        };
        if self.over.is_none() && Instant::now() >= self.until {
            self.over = Some("the time of this step is for reading, too".to_owned());
        }
        if let Some(why) = &self.over {
            return Ok(Some(Err(why.clone())));
        }
        let ask = gist::ask(title, &sentences, model.context());
        let made = model.generate(&ask, &mut |_| {
            let late = Instant::now() >= self.until;
            if late || self.workspace.still_wanted().is_err() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Ok(made) = &made {
            self.meter.tokens(made.prompt_tokens.into(), made.tokens.into());
        }
        self.workspace.still_wanted()?;
        Ok(Some(match made {
            Ok(made) if made.ended == Ended::Cancelled => Err("there was no time left".to_owned()),
            Ok(made) => gist::read(&made.text, &sources(title, &sentences))
                .map(|text| Gist::by(text, model.name()))
                .map_err(|unfit| unfit.to_string()),
            Err(error) => {
                let why = told(&error);
                // A sentence too long or a moment too busy says nothing about the
                // next file; anything else does.
                if !matches!(error, GenerateError::TooLong { .. } | GenerateError::Busy { .. }) {
                    self.over = Some(why.clone());
                }
                Err(why)
            }
        }))
    }
}

/// The words of quotes.
pub(crate) fn sentences(quotes: &[Value]) -> Vec<&str> {
    quotes.iter().filter_map(|row| row.get("quote")?.as_str()).collect()
}

/// What a gist's facts may stand in: the quotes, and what their file is called.
pub(crate) fn sources<'t>(title: &'t str, sentences: &[&'t str]) -> Vec<&'t str> {
    std::iter::once(title).chain(sentences.iter().copied()).collect()
}

fn told(error: &GenerateError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
