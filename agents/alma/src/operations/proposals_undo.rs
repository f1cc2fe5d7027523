//! Takes a proposal out of force again.

use super::proposals_show::Request;
use crate::{Alma, Error, night};
use charter::ids::{Principal, ProposalId};
use charter::night::ProposalState;
use serde::Serialize;

/// How it stands now.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Which.
    pub proposal: ProposalId,
    /// How it stands.
    pub state: ProposalState,
    /// What was done.
    pub text: String,
}

/// Decides.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let path = night::proposals::undo(alma, principal, &request.proposal).await?;
    let text = format!("{} is gone; wishes are planned as before", path.display());
    Ok(Response { proposal: request.proposal, state: ProposalState::Undone, text })
}
