//! Lists schedules that are not deleted, oldest first.

use super::shared::Nothing;
use crate::schedules::{self, Shown};
use crate::{Alma, Error};
use charter::ids::Principal;
use serde::Serialize;

/// The schedules.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The schedules.
    pub schedules: Vec<Shown>,
}

/// Lists.
pub async fn run(alma: &Alma, principal: &Principal, _: Nothing) -> Result<Response, Error> {
    let mut shown = Vec::new();
    for row in schedules::schedules(alma, principal).await? {
        shown.push(schedules::shown(alma, principal, &row).await?);
    }
    Ok(Response { schedules: shown })
}
