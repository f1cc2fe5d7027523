//! Lets a schedule rest.

use crate::schedules::{self, Shown};
use crate::{Alma, Error};
use charter::ids::{Principal, ScheduleId};
use serde::{Deserialize, Serialize};

/// Which one.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The schedule.
    pub schedule: ScheduleId,
}

/// Pauses.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Shown, Error> {
    let row = schedules::pause(alma, principal, &request.schedule).await?;
    schedules::shown(alma, principal, &row).await
}
