//! The report of a mission: each claim with the check that was made of it.

use super::shared::there;
use crate::{Alma, Error};
use charter::ids::{MissionId, Principal};
use charter::ports::LedgerExt;
use charter::report::Report;
use serde::{Deserialize, Serialize};

/// Which mission.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The report.
    pub report: Report,
    /// The report as text.
    pub text: String,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = alma.ledger().mission(&principal.tenant, &request.mission).await?;
    let Some(reference) = &row.report else {
        return Err(Error::Conflict(format!(
            "mission {} is {}, and a report is written when it has ended; \
             `alma mission show {}` tells how it stands",
            row.id, row.state, row.id
        )));
    };
    let report: Option<Report> = there(alma.json_of(principal, reference, "a report").await)?;
    let Some(report) = report else {
        return Err(Error::NotFound(format!(
            "the report of mission {} (its words were forgotten)",
            row.id
        )));
    };
    Ok(Response { text: moroni::report::render(&report), report })
}
