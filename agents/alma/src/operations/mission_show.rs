//! Shows a mission with its steps as they stand.

use super::shared::{FORGOTTEN, there};
use crate::{Alma, Error};
use charter::approval::ApprovalState;
use charter::budget::{Budget, Usage};
use charter::flow::Priority;
use charter::ids::{ApprovalId, Millis, MissionId, Principal, StepKey};
use charter::ports::{LedgerExt, Query, Rows};
use charter::rows::{MissionState, StepState};
use serde::{Deserialize, Serialize};
use sons_of_helaman::StepError;

/// Which mission.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which.
    pub mission: MissionId,
}

/// A mission as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Response {
    /// Its name.
    pub mission: MissionId,
    /// How it stands.
    pub state: MissionState,
    /// The user's words.
    pub wish: String,
    /// The folder it works in.
    pub workspace: String,
    /// When it was accepted.
    pub created_at: Millis,
    /// Its steps.
    pub steps: Vec<StepLine>,
    /// What a person is asked.
    pub approvals: Vec<ApprovalId>,
    /// What it may spend.
    pub budget: Budget,
    /// What it has spent.
    pub spent: Usage,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether nothing can move on by itself.
    pub idle: bool,
    /// Why nothing of it begins now, where all work rests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepLine {
    /// Which.
    pub step: StepKey,
    /// What it does.
    pub title: String,
    /// The tool.
    pub tool: String,
    /// How it stands.
    pub state: StepState,
    /// Whether every check verified its claim.
    pub verified: bool,
    /// Instances.
    pub items: u32,
    /// Instances that have not ended.
    pub items_open: u32,
    /// Working time.
    pub wall_ms: u64,
    /// What went wrong.
    pub error: Option<String>,
}

/// Shows.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let tenant = &principal.tenant;
    let row = alma.ledger().mission(tenant, &request.mission).await?;
    let plan = there(alma.plan_of(principal, &row).await)?;
    let mut steps = Vec::new();
    for step in alma.all_steps(principal, &row.id, None).await? {
        // The report is no step of the plan.
        let planned = plan.as_ref().and_then(|plan| plan.step(step.key.n));
        let (title, tool) = match (planned, &plan) {
            (Some(planned), _) => (planned.title.clone(), planned.tool.clone()),
            (None, None) if step.key.n > 0 => (FORGOTTEN.to_owned(), String::new()),
            (None, _) => continue,
        };
        let error =
            match &step.error {
                Some(error) if step.state != StepState::Done => {
                    let kept = there(alma.json_of(principal, error, "an error").await)?;
                    Some(kept.map_or_else(
                        || FORGOTTEN.to_owned(),
                        |kept: StepError| kept.error.to_string(),
                    ))
                }
                _ => None,
            };
        steps.push(StepLine {
            title,
            tool,
            state: step.state,
            verified: step.verified,
            items: step.items,
            items_open: step.items_open,
            wall_ms: step.usage.wall_ms,
            error,
            step: step.key,
        });
    }
    let query = Query::Approvals {
        mission: Some(row.id.clone()),
        state: Some(ApprovalState::Open),
        limit: 100,
    };
    let approvals = match alma.ledger().query(tenant, query).await? {
        Rows::Approvals(rows) => rows.into_iter().map(|row| row.id).collect(),
        _ => Vec::new(),
    };
    Ok(Response {
        wish: alma.spoken(principal, &row.wish).await?,
        workspace: alma.spoken(principal, &row.workspace).await?,
        mission: row.id,
        state: row.state,
        created_at: row.created_at,
        steps,
        approvals,
        notice: match row.state.is_end() {
            true => None,
            false => alma.ledger().mode(tenant).await?.notice().map(str::to_owned),
        },
        idle: row.state.is_end() || row.state == MissionState::Waiting,
        priority: row.priority,
        budget: row.budget,
        spent: row.spent,
    })
}
