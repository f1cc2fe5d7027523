//! Looks whether everything is in order on this machine, and says what to do
//! about what is not.

use super::shared::Nothing;
use crate::{Alma, Error};
use charter::ids::Principal;
use charter::mode::Mode;
use charter::ports::LedgerExt;
use serde::Serialize;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// Each thing that was looked at.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub level: Level,
    /// In words.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// In order.
    Good,
    /// Works, but less well than it could.
    Notice,
    /// Does not work.
    Bad,
}

/// Looks.
pub async fn run(alma: &Alma, principal: &Principal, _: Nothing) -> Result<Response, Error> {
    let installation = std::sync::Arc::clone(&alma.installation);
    let mode = alma.ledger().mode(&principal.tenant).await?;
    let mut findings =
        tokio::task::spawn_blocking(move || installation.diagnose()).await.map_err(|error| {
            Error::Machine {
                operation: "look at this machine".to_owned(),
                cause: error.to_string(),
            }
        })?;
    findings.extend(alma.installation.servers().await);
    findings.push(Finding {
        what: "work".to_owned(),
        level: if mode == Mode::Running { Level::Good } else { Level::Notice },
        detail: mode.notice().unwrap_or("goes on").to_owned(),
        fix: None,
    });
    Ok(Response { healthy: findings.iter().all(|f| f.level != Level::Bad), findings })
}
