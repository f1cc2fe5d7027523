//! Shows what a wish would do, with the permissions it would have, and does
//! nothing: tools look and propose, nothing is carried out.

use super::plan_new;
use crate::{Alma, Error};
use charter::approval::may_stand;
use charter::budget::Meter;
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::ids::Principal;
use charter::label::Label;
use charter::plan::{Plan, Step};
use charter::reference::{self, Root};
use charter::tool::{Call, Cancel, ErrorCode, Prepared, ToolError};
use policy::{Place, Verdict};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What would happen.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The plan.
    pub plan: Plan,
    /// Its digest.
    pub digest: Digest,
    /// The plan as text.
    pub text: String,
    /// Each effect beyond looking, in order.
    pub effects: Vec<Effect>,
    /// Steps that could not be foreseen, and why.
    pub unforeseen: Vec<String>,
}

/// One effect that would happen.
#[derive(Debug, Serialize)]
pub struct Effect {
    /// The step.
    pub step: u32,
    /// Its class.
    pub class: EffectClass,
    /// What would happen.
    pub summary: String,
    /// What policy says of it now.
    pub verdict: Verdict,
    /// The rule that says so.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// Whether one approval may cover it in every run of a schedule.
    #[serde(skip)]
    pub may_stand: bool,
}

/// Foresees.
pub async fn run(
    alma: &Alma,
    principal: &Principal,
    request: plan_new::Request,
) -> Result<Response, Error> {
    let workspace = request.workspace.clone();
    let planned = plan_new::run(alma, principal, request).await?;
    Ok(foresee_all(alma, &workspace, planned).await)
}

/// What a plan would do.
pub(crate) async fn foresee_all(
    alma: &Alma,
    workspace: &Path,
    planned: plan_new::Response,
) -> Response {
    let (effects, unforeseen) = foresee_plan(alma, workspace, &planned.plan).await;
    Response {
        plan: planned.plan,
        digest: planned.digest,
        text: planned.text,
        effects,
        unforeseen: unforeseen.into_iter().map(|(_, why)| why).collect(),
    }
}

/// The effects of a plan, and the steps that could not be foreseen with the reason.
pub(crate) async fn foresee_plan(
    alma: &Alma,
    workspace: &Path,
    plan: &Plan,
) -> (Vec<Effect>, Vec<(u32, String)>) {
    let mut effects = Vec::new();
    let mut unforeseen = Vec::new();
    let mut outputs: BTreeMap<u32, Value> = BTreeMap::new();
    for step in &plan.steps {
        if let Some(missing) = step.needs().into_iter().find(|n| !outputs.contains_key(n)) {
            unforeseen.push((step.n, format!("step {} depends on step {missing}", step.n)));
            continue;
        }
        match foresee(alma, workspace, step, &outputs).await {
            Ok((output, found)) => {
                let acts = found.iter().any(|effect| effect.class >= EffectClass::Exec);
                effects.extend(found);
                if !acts {
                    outputs.insert(step.n, output);
                }
            }
            Err(error) => unforeseen.push((step.n, format!("step {}: {error}", step.n))),
        }
    }
    (effects, unforeseen)
}

async fn foresee(
    alma: &Alma,
    workspace: &Path,
    step: &Step,
    outputs: &BTreeMap<u32, Value>,
) -> Result<(Value, Vec<Effect>), ToolError> {
    let Some(each) = &step.for_each else {
        let (prepared, effects) = prepare(alma, workspace, step, outputs, None).await?;
        return Ok((prepared.output, effects));
    };
    let list = resolve(&Value::String(each.items.clone()), outputs, None)?;
    let items = list.as_array().cloned().unwrap_or_default();
    if items.len() > each.max_items as usize {
        return Err(ToolError::new(
            ErrorCode::TooLarge,
            format!("{} elements, more than the bound of {}", items.len(), each.max_items),
        ));
    }
    let (mut all, mut effects) = (Vec::new(), Vec::new());
    for item in &items {
        let (prepared, found) = prepare(alma, workspace, step, outputs, Some(item)).await?;
        all.push(prepared.output);
        effects.extend(found);
    }
    Ok((json!({ "count": all.len(), "items": all }), effects))
}

fn resolve(
    value: &Value,
    outputs: &BTreeMap<u32, Value>,
    item: Option<&Value>,
) -> Result<Value, ToolError> {
    reference::resolve(value, &|root| match root {
        Root::Step(n) => outputs.get(n),
        Root::Item => item,
    })
    .map_err(|error| ToolError::new(ErrorCode::Arguments, error.to_string()))
}

async fn prepare(
    alma: &Alma,
    workspace: &Path,
    step: &Step,
    outputs: &BTreeMap<u32, Value>,
    item: Option<&Value>,
) -> Result<(Prepared, Vec<Effect>), ToolError> {
    let call = Call {
        tool: step.tool.clone(),
        version: step.version,
        args: resolve(&step.args, outputs, item)?,
        label: if step.needs().is_empty() { Label::TRUSTED } else { Label::UNTRUSTED },
        workspace: workspace.to_owned(),
        limits: step.limits.clone(),
        secrets_allowed: false,
        now: alma.now(),
        cancel: Cancel::default(),
        meter: Meter::default(),
    };
    let prepared = alma.tools().prepare(&call).await?;
    let word = |class, place, summary: String, sandbox| {
        let label = call.label.join(prepared.label);
        let decision = policy::decide(
            &alma.config.policy.rules,
            &policy::Request { class, place, label, sandbox },
        );
        Effect {
            step: step.n,
            class,
            summary,
            verdict: decision.verdict,
            rule: decision.rule.to_string(),
            reason: decision.reason,
            may_stand: place != Place::Secret && may_stand(class, label),
        }
    };
    let mut effects = Vec::new();
    if let Some(act) = &prepared.act {
        effects.push(word(act.class, Place::Workspace, act.summary.clone(), act.sandbox));
    }
    for proposed in &prepared.changes {
        let named = Call { args: json!({ "files": proposed.change.paths() }), ..call.clone() };
        let secret = !alma.tools().reach(&named).secrets.is_empty();
        let place = if secret { Place::Secret } else { Place::Workspace };
        effects.push(word(proposed.class(), place, proposed.change.to_string(), None));
    }
    Ok((prepared, effects))
}
