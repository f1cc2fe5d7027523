//! Lists tools.

use super::shared::Nothing;
use crate::{Alma, Error};
use charter::effect::EffectClass;
use charter::ids::Principal;
use serde::Serialize;

/// The tools.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The tools.
    pub tools: Vec<Line>,
}

/// One tool.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its name in plans.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The furthest it may reach.
    pub effect: EffectClass,
    /// One line for people.
    pub summary: String,
}

/// Lists.
pub async fn run(alma: &Alma, _: &Principal, _: Nothing) -> Result<Response, Error> {
    let tools = alma
        .specs()
        .into_iter()
        .map(|spec| Line {
            name: spec.name,
            version: spec.version,
            effect: spec.effect,
            summary: spec.summary,
        })
        .collect();
    Ok(Response { tools })
}
