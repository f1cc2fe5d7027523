//! Lists playbooks: what can be asked for in plain words.

use super::shared::Nothing;
use crate::{Alma, Error};
use charter::ids::Principal;
use serde::Serialize;

/// The playbooks.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The playbooks.
    pub playbooks: Vec<Line>,
}

/// One playbook.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// One line for people.
    pub summary: String,
}

/// Lists.
pub async fn run(alma: &Alma, _: &Principal, _: Nothing) -> Result<Response, Error> {
    let playbooks = alma
        .installation
        .playbooks()?
        .playbooks
        .iter()
        .map(|playbook| Line {
            name: playbook.name.clone(),
            version: playbook.version,
            summary: playbook.summary.clone(),
        })
        .collect();
    Ok(Response { playbooks })
}
