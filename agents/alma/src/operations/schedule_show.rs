//! Shows a schedule with its plan and the due times that came.

use super::shared::limit;
use crate::schedules::{self, Last, Shown};
use crate::{Alma, Error};
use charter::ids::{Principal, ScheduleId};
use serde::{Deserialize, Serialize};

/// Which one.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The schedule.
    pub schedule: ScheduleId,
    /// How many of the newest due times; 50 unless given.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// The schedule.
#[derive(Debug, Serialize)]
pub struct Response {
    /// How it stands.
    #[serde(flatten)]
    pub schedule: Shown,
    /// The plan as text.
    pub plan: String,
    /// What one approval covers, a line for each.
    pub covers: Vec<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// Due times that came, newest first.
    pub due: Vec<Last>,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let row = schedules::row(alma, principal, &request.schedule).await?;
    let (plan, covers) = schedules::approved_plan(alma, principal, &row).await?;
    Ok(Response {
        schedule: schedules::shown(alma, principal, &row).await?,
        plan,
        covers,
        due: schedules::past(alma, principal, &row, limit(request.limit)).await?,
        approved_by: row.approved.map(|approver| approver.by),
    })
}
