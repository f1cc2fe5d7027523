//! Says yes, once, to what the runs of a schedule would ask; it begins.

use crate::schedules::{self, Shown};
use crate::{Alma, Error};
use charter::digest::Digest;
use charter::ids::{Principal, ScheduleId};
use serde::{Deserialize, Serialize};

/// The yes.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The schedule.
    pub schedule: ScheduleId,
    /// Only if it is still about this.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Whether the plan was shown before.
    #[serde(default)]
    pub seen: bool,
}

/// Approves.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Shown, Error> {
    let Request { schedule, digest, seen } = request;
    let row = schedules::approve(alma, principal, &schedule, digest, seen).await?;
    schedules::shown(alma, principal, &row).await
}
