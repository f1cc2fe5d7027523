//! Checks the whole record: chains, checkpoints, texts, derived rows.

use super::shared::Nothing;
use crate::{Alma, Error};
use charter::ids::Principal;
use ledger::audit::AuditReport;
use serde::Serialize;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether nothing is wrong.
    pub intact: bool,
    /// Counts, times and findings.
    #[serde(flatten)]
    pub report: AuditReport,
}

/// Checks. Takes time in proportion to the record.
pub async fn run(alma: &Alma, _: &Principal, _: Nothing) -> Result<Response, Error> {
    let report = alma.installation.audit().await?;
    Ok(Response { intact: report.is_clean(), report })
}
