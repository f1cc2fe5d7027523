//! Makes a schedule: plans the wish, shows what it would do today, and when.

use crate::schedules::{self, Shown, Wanted, when};
use crate::{Alma, Error};
use charter::ids::{Principal, ScheduleId};
use charter::schedule::Missed;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A wish with its rhythm.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The folder to work in. Absolute.
    pub workspace: PathBuf,
    /// The user's words; they say when, unless `cron` does.
    pub words: String,
    /// When, as five cron fields.
    #[serde(default)]
    pub cron: Option<String>,
    /// The time zone; this machine's unless named.
    #[serde(default)]
    pub zone: Option<String>,
    /// What is done about times that pass while nothing runs; `once` unless given.
    #[serde(default)]
    pub missed: Option<Missed>,
}

/// The schedule, and what it would do.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The schedule.
    #[serde(flatten)]
    pub schedule: Shown,
    /// The plan as text.
    pub text: String,
    /// What would happen if it ran now.
    pub effects: Vec<super::plan_dry_run::Effect>,
    /// Steps that could not be foreseen, and why.
    pub unforeseen: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Makes it.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let words = request.words.trim();
    if words.len() > super::plan_new::WORDS_BYTES_MAX {
        return Err(Error::Usage(format!(
            "the wish has {} bytes, more than {}: put long texts into files",
            words.len(),
            super::plan_new::WORDS_BYTES_MAX
        )));
    }
    let (cron, wish, spoken, said) = match request.cron {
        Some(cron) => {
            let fields: Vec<&str> = cron.split_whitespace().collect();
            (fields.join(" "), words.to_owned(), None, Vec::new())
        }
        None => match when::read(words)? {
            Ok(said) => (said.cron, said.wish, said.zone, said.notes),
            Err(unsaid) => {
                return Err(Error::Usage(format!(
                    "{unsaid}; or give the times with --cron \"0 8 * * 1-5\""
                )));
            }
        },
    };
    if wish.is_empty() {
        return Err(Error::Usage("there is no wish: say what you want done, and when".to_owned()));
    }
    let wanted = Wanted {
        wish,
        workspace: request.workspace,
        cron,
        zone: request.zone.or(spoken),
        missed: request.missed.unwrap_or(Missed::Once),
        schedule: ScheduleId::new(alma.now(), alma.ports.entropy.as_ref()),
    };
    let made = schedules::make(alma, principal, wanted).await?;
    Ok(Response {
        schedule: made.shown,
        text: made.text,
        effects: made.effects,
        unforeseen: made.unforeseen,
        notes: said.into_iter().chain(made.notes).collect(),
    })
}
