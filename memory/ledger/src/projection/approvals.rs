//! Rules for approvals and their grants.

use super::rowset::owned;
use super::{Cx, conflict, missions, steps};
use charter::approval::{Answer, ApprovalState, Grant, Question};
use charter::event::Event;
use charter::ids::{ApprovalId, MissionId};
use charter::ports::LedgerError;
use charter::rows::{ApprovalRow, StepRow, StepState};

pub(super) fn apply(event: &Event, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Event::ApprovalRequested {
            approval,
            mission,
            question,
            card,
            digest,
            grants,
            steps: listed,
            expires_at,
        } => {
            missions::get(mission, cx)?;
            if cx.rows.approvals.get(approval).is_some() {
                return conflict(format!("approval {approval} exists already"));
            }
            let row = ApprovalRow {
                id: approval.clone(),
                tenant: cx.tenant.clone(),
                mission: mission.clone(),
                question: *question,
                state: ApprovalState::Open,
                card: card.clone(),
                digest: *digest,
                requested: grants.clone(),
                grants: Vec::new(),
                steps: listed.clone(),
                asked_at: cx.at,
                expires_at: *expires_at,
                answer: None,
                by: None,
                seen: false,
            };
            cx.rows.approvals.put(approval.clone(), row);
            for key in listed {
                // Instances that are listed before they are made park when made.
                let Some(step) = cx.rows.steps.get(key).cloned() else { continue };
                if step.state == StepState::Ready {
                    let approval = Some(approval.clone());
                    steps::set(StepRow { state: StepState::Parked, approval, ..step }, cx)?;
                }
            }
            Ok(())
        }
        Event::ApprovalAnswered { approval, mission, answer, by, seen, steps: listed } => {
            let row = in_state(approval, mission, &[ApprovalState::Open], "answered", cx)?;
            let fits = match answer {
                Answer::Approve => row.question != Question::InDoubt,
                Answer::Deny => true,
                Answer::Happened | Answer::NotHappened => row.question == Question::InDoubt,
            };
            if !fits {
                return conflict(format!("approval {approval} asks for another kind of answer"));
            }
            match answer {
                Answer::Approve => row.grants.clone_from(&row.requested),
                Answer::Deny | Answer::Happened | Answer::NotHappened => {}
            }
            row.state = match answer {
                Answer::Deny => ApprovalState::Denied,
                Answer::Approve | Answer::Happened | Answer::NotHappened => ApprovalState::Approved,
            };
            row.answer = Some(*answer);
            row.by = Some(by.clone());
            row.seen = *seen;
            for key in listed {
                let step = steps::get(key, cx)?;
                if step.state == StepState::Parked && step.approval.as_ref() == Some(approval) {
                    let ready_at = steps::AT_ONCE;
                    steps::set(StepRow { state: StepState::Ready, ready_at, ..step }, cx)?;
                }
            }
            Ok(())
        }
        Event::ApprovalExpired { approval, mission } => {
            let row = in_state(approval, mission, &[ApprovalState::Open], "expired", cx)?;
            row.state = ApprovalState::Expired;
            Ok(())
        }
        Event::ApprovalReopened { approval, mission, expires_at } => {
            let row = in_state(approval, mission, &[ApprovalState::Expired], "reopened", cx)?;
            row.state = ApprovalState::Open;
            row.expires_at = *expires_at;
            Ok(())
        }
        Event::ApprovalWithdrawn { approval, mission } => {
            let open = [ApprovalState::Open, ApprovalState::Expired];
            in_state(approval, mission, &open, "withdrawn", cx)?.state = ApprovalState::Withdrawn;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn in_state<'a>(
    id: &ApprovalId,
    mission: &MissionId,
    states: &[ApprovalState],
    what: &str,
    cx: &'a mut Cx<'_>,
) -> Result<&'a mut ApprovalRow, LedgerError> {
    let row = owned(cx.rows.approvals.get_mut(id), cx.tenant, id)?;
    if row.mission != *mission {
        return conflict(format!("approval {id} belongs to another mission"));
    }
    if !states.contains(&row.state) {
        let state = format!("{:?}", row.state).to_lowercase();
        return conflict(format!("approval {id} is {state}, so it cannot be {what}"));
    }
    Ok(row)
}

/// Takes a grant: one permission is spent by one intent.
pub(super) fn spend(
    grant: &Grant,
    mission: &MissionId,
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    let id = &grant.approval;
    let row = in_state(id, mission, &[ApprovalState::Approved], "used as permission", cx)?;
    let Some(place) = row.grants.iter().position(|effect| *effect == grant.effect) else {
        return conflict(format!("approval {id} does not permit this effect, or no longer"));
    };
    row.grants.remove(place);
    Ok(())
}
