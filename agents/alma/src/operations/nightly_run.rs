//! Runs a night now, or takes one to its end that was interrupted.

use super::nightly_report::{self, Response};
use crate::{Alma, Error, night};
use charter::ids::Principal;
use serde::{Deserialize, Serialize};

/// How the report shall look.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// As Markdown.
    pub markdown: bool,
    /// Columns of the terminal.
    pub width: Option<u32>,
}

/// Runs.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let report = night::run(alma, principal).await?;
    Ok(nightly_report::response(report, request.markdown, request.width))
}
