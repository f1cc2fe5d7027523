//! Rules for nightly runs and their proposals.

use super::records::{get, make, put};
use super::{Cx, RowKey, conflict};
use charter::ids::NightId;
use charter::night::{NightRow, NightState, Nightly, ProposalRow, ProposalState, STAGES_MAX};
use charter::ports::LedgerError;
use charter::record::RecordKind::{Night, Proposal};

pub(super) fn touches(event: &Nightly) -> Vec<RowKey> {
    match event {
        Nightly::Begun { night, .. }
        | Nightly::Stage { night, .. }
        | Nightly::Ended { night, .. } => vec![RowKey::record(Night, night)],
        Nightly::Proposed { proposal, night, .. } => {
            vec![RowKey::record(Night, night), RowKey::record(Proposal, proposal)]
        }
        Nightly::Decided { proposal, .. } => vec![RowKey::record(Proposal, proposal)],
    }
}

pub(super) fn apply(event: &Nightly, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Nightly::Begun { night, since, until } => {
            if since > until {
                return conflict(format!("night {night} would end before it begins"));
            }
            let row = NightRow {
                id: night.clone(),
                tenant: cx.tenant.clone(),
                state: NightState::Running,
                since: *since,
                until: *until,
                at: cx.at,
                stages: Vec::new(),
                report: None,
            };
            make(row, cx)
        }
        Nightly::Stage { night, stage, result } => {
            let mut row = running(night, "taken further", cx)?;
            if row.stages.iter().any(|(done, _)| done == stage) {
                return conflict(format!("night {night} has done this part already: {stage}"));
            }
            if row.stages.len() >= STAGES_MAX {
                return conflict(format!("night {night} has {STAGES_MAX} parts already"));
            }
            row.stages.push((stage.clone(), result.clone()));
            put(row, cx);
            Ok(())
        }
        Nightly::Ended { night, report, whole } => {
            let row = running(night, "ended", cx)?;
            let state = if *whole { NightState::Done } else { NightState::Partial };
            put(NightRow { state, report: Some(report.clone()), ..row }, cx);
            Ok(())
        }
        Nightly::Proposed { proposal, night, of, body } => {
            get::<NightRow>(night, cx)?;
            let row = ProposalRow {
                id: proposal.clone(),
                tenant: cx.tenant.clone(),
                night: night.clone(),
                of: of.clone(),
                state: ProposalState::Open,
                body: body.clone(),
                at: cx.at,
                by: None,
            };
            make(row, cx)
        }
        Nightly::Decided { proposal, state, by } => {
            use ProposalState::{Accepted, Open, Rejected, Undone};
            let row: ProposalRow = get(proposal, cx)?;
            if !matches!((row.state, state), (Open, Accepted | Rejected) | (Accepted, Undone)) {
                return conflict(format!(
                    "proposal {proposal} is {}, so it cannot be {}",
                    row.state.as_str(),
                    state.as_str()
                ));
            }
            put(ProposalRow { state: *state, by: Some(by.clone()), ..row }, cx);
            Ok(())
        }
    }
}

fn running(id: &NightId, what: &str, cx: &Cx<'_>) -> Result<NightRow, LedgerError> {
    let row: NightRow = get(id, cx)?;
    if row.state != NightState::Running {
        let state = row.state.as_str();
        return conflict(format!("night {id} is {state}, so it cannot be {what}"));
    }
    Ok(row)
}
