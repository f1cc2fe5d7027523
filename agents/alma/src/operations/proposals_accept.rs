//! Puts a proposal into force: its playbook plans from now on.

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
    let path = night::proposals::accept(alma, principal, &request.proposal).await?;
    let (_, proposal) = night::proposals::read(alma, principal, &request.proposal).await?;
    let mut text = format!(
        "{} is in force; `alma proposals undo {}` takes it back",
        path.display(),
        request.proposal
    );
    for way in &proposal.say {
        text.push_str(&format!("\n  say: {way}"));
    }
    Ok(Response { proposal: request.proposal, state: ProposalState::Accepted, text })
}
