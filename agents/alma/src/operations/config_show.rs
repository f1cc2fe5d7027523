//! Shows the configuration in force, and how it spreads Alma over processes.

use super::shared::Nothing;
use crate::config::Config;
use crate::config::stores::Mode;
use crate::{Alma, Error};
use charter::ids::Principal;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The configuration.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The data folder.
    pub home: PathBuf,
    /// How this installation is spread.
    pub mode: Mode,
    /// What one should know of that.
    pub notes: &'static [&'static str],
    /// Every setting.
    pub config: Config,
}

/// Shows.
pub async fn run(alma: &Alma, _: &Principal, _: Nothing) -> Result<Response, Error> {
    of(&alma.home, &alma.config)
}

/// The same before anything is opened: a configuration is shown whether or not its
/// servers answer.
pub fn of(home: &Path, config: &Config) -> Result<Response, Error> {
    let mode = config.mode().map_err(|error| Error::Usage(error.to_string()))?;
    Ok(Response { home: home.to_owned(), mode, notes: mode.notes(), config: config.clone() })
}
