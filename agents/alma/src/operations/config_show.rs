//! Shows the configuration in force.

use super::shared::Nothing;
use crate::config::Config;
use crate::{Alma, Error};
use charter::ids::Principal;
use serde::Serialize;
use std::path::PathBuf;

/// The configuration.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The data folder.
    pub home: PathBuf,
    /// Every setting.
    pub config: Config,
}

/// Shows.
pub async fn run(alma: &Alma, _: &Principal, _: Nothing) -> Result<Response, Error> {
    Ok(Response { home: alma.home.clone(), config: alma.config.as_ref().clone() })
}
