//! Says that a proposal is not wanted. It is not made again.

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
    night::proposals::reject(alma, principal, &request.proposal).await?;
    let text = format!("{} is put aside and will not be proposed again", request.proposal);
    Ok(Response { proposal: request.proposal, state: ProposalState::Rejected, text })
}
