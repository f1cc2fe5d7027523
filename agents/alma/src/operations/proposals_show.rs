//! Shows a proposal: the change, and what speaks for it.

use crate::{Alma, Error, night};
use charter::ids::{Principal, ProposalId};
use charter::night::ProposalState;
use forty_two::playbook::{Evidence, Share};
use serde::{Deserialize, Serialize};

/// Which proposal.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub proposal: ProposalId,
}

/// A proposal in full.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Its name.
    pub proposal: ProposalId,
    /// How it stands.
    pub state: ProposalState,
    /// In one line.
    pub title: String,
    /// The change.
    pub diff: String,
    /// What speaks for it.
    pub evidence: Evidence,
    /// All of it as text.
    pub text: String,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let (row, proposal) = night::proposals::read(alma, principal, &request.proposal).await?;
    let evidence = &proposal.evidence;
    let share = |share: &Share| format!("{} of {}", share.right, share.of);
    let mut text = format!("{}  [{}]\n", proposal.title, row.state.as_str());
    if !proposal.say.is_empty() {
        text.push_str("\nsay it like this\n");
        proposal.say.iter().for_each(|way| text.push_str(&format!("  {way}\n")));
    }
    text.push_str("\nwhat speaks for it\n");
    let shares = [
        ("planned from their words alone", &evidence.replayed),
        ("held out, made from the others", &evidence.held_out),
        ("new wishes in their words", &evidence.reached),
        ("other wishes planned as before", &evidence.unchanged),
    ];
    for (what, found) in shares.into_iter().filter(|(_, found)| found.of > 0) {
        text.push_str(&format!("  {what:<32} {}\n", share(found)));
    }
    text.push_str("\nmissions it comes from\n");
    for origin in &evidence.missions {
        text.push_str(&format!(
            "  {}  “{}”\n    in {}; by these words alone, without it: {}\n",
            origin.mission, origin.wish, origin.folder, origin.before
        ));
    }
    if !proposal.slots.is_empty() {
        text.push_str("\nfilled from the words\n");
        for slot in &proposal.slots {
            text.push_str(&format!("  {slot}\n"));
        }
    }
    let diff = proposal.diff();
    text.push_str(&format!("\n{diff}"));
    if row.state == ProposalState::Open {
        text.push_str(&format!(
            "\naccept it: alma proposals accept {0}\nnot wanted: alma proposals reject {0}\n",
            row.id
        ));
    }
    Ok(Response {
        proposal: row.id,
        state: row.state,
        title: proposal.title,
        diff,
        evidence: proposal.evidence,
        text,
    })
}
