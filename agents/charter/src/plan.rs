//! Plans: immutable, digested, acyclic by construction.

use crate::budget::Budget;
use crate::digest::{Digest, DigestError};
use crate::effect::EffectClass;
use crate::reference;
use crate::tool::Limits;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most steps that a plan may have.
pub const STEPS_MAX: usize = 200;
/// Most instances that one `for_each` step may have.
pub const ITEMS_MAX: u32 = 20_000;

/// Where a plan comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum PlanSource {
    /// A mission file.
    File,
    /// A playbook filled from words.
    Playbook {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// Written by a language model.
    Model {
        /// Its name.
        name: String,
        /// Digest of its weights, where they are at hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weights: Option<Digest>,
    },
    /// Made from another plan: a repair or an edit.
    Child {
        /// Digest of the parent plan.
        parent: Digest,
        /// Why it was made.
        reason: String,
    },
}

/// Run a step once for every element of an earlier output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// A reference to a list, for instance `${1.files}`.
    pub items: String,
    /// More elements than this fail the step.
    pub max_items: u32,
}

/// One step. It names only earlier steps, so a plan cannot have a cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Position, from 1.
    pub n: u32,
    /// One line for people.
    pub title: String,
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub version: u32,
    /// Arguments; texts may hold references such as `${1.rows}` or `${item.path}`.
    pub args: Value,
    /// Steps that must be done before, beyond those that arguments name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<u32>,
    /// Run once per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// The furthest that it may reach.
    pub effect: EffectClass,
    /// Bounds of each call.
    pub limits: Limits,
}

impl Step {
    /// All earlier steps that this one waits for, ascending.
    pub fn needs(&self) -> BTreeSet<u32> {
        let mut needs: BTreeSet<u32> = self.after.iter().copied().collect();
        needs.extend(reference::steps_named(&self.args));
        if let Some(each) = &self.for_each {
            needs.extend(reference::steps_named(&Value::String(each.items.clone())));
        }
        needs
    }

    /// Digest of what the step will do: tool, version, arguments as planned,
    /// class, limits and iteration. No times, no ids, no temporary paths.
    pub fn digest(&self) -> Result<Digest, DigestError> {
        Digest::of_json(&json!({
            "tool": self.tool,
            "version": self.version,
            "args": self.args,
            "effect": self.effect,
            "limits": self.limits,
            "for_each": self.for_each,
        }))
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is for, in the user's words.
    pub goal: String,
    /// Where it comes from.
    pub source: PlanSource,
    /// The steps; `steps[i].n == i + 1`.
    pub steps: Vec<Step>,
    /// The answer to the user: a text with references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Parts of the wish that this plan does not meet, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
    /// What it may spend.
    #[serde(default)]
    pub budget: Budget,
}

impl Plan {
    /// Merkle root of steps and edges: any change of a step, its order or what
    /// it waits for changes this value.
    pub fn digest(&self) -> Result<Digest, DigestError> {
        let mut layer = self
            .steps
            .iter()
            .map(|step| {
                let edges: Vec<u8> = step.needs().into_iter().flat_map(u32::to_be_bytes).collect();
                Ok(Digest::of_parts(&[&step.n.to_be_bytes(), &step.digest()?.0, &edges]))
            })
            .collect::<Result<Vec<_>, DigestError>>()?;
        while layer.len() > 1 {
            layer = layer
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => Digest::of_parts(&[b"node", &left.0, &right.0]),
                    _ => Digest::of_parts(&[b"odd", &pair[0].0]),
                })
                .collect();
        }
        Ok(layer.pop().unwrap_or_else(|| Digest::of(b"empty plan")))
    }

    /// Step `n` (from 1).
    pub fn step(&self, n: u32) -> Option<&Step> {
        self.steps.get(usize::try_from(n).ok()?.checked_sub(1)?)
    }

    /// Steps that wait directly for step `n`.
    pub fn dependents(&self, n: u32) -> Vec<u32> {
        self.steps.iter().filter(|step| step.needs().contains(&n)).map(|step| step.n).collect()
    }

    /// All steps that wait for step `n`, directly or through others, ascending.
    pub fn downstream(&self, n: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for step in &self.steps {
            if step.needs().iter().any(|need| *need == n || found.contains(need)) {
                found.insert(step.n);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let step = |n: u32, args: Value| Step {
            n,
            title: String::new(),
            tool: "list".into(),
            version: 1,
            args,
            after: vec![],
            for_each: None,
            effect: EffectClass::Read,
            limits: Limits::default(),
        };
        Plan {
            goal: "test".into(),
            source: PlanSource::File,
            steps: vec![
                step(1, json!({})),
                step(2, json!({"x": "${1.files}"})),
                step(3, json!({"y": "${2}"})),
            ],
            answer: None,
            unmet: vec![],
            budget: Budget::default(),
        }
    }

    #[test]
    fn edges_come_from_references() {
        assert_eq!(plan().dependents(1), [2]);
        assert_eq!(plan().downstream(1).into_iter().collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn one_byte_or_one_edge_changes_the_digest() {
        let before = plan().digest().unwrap();
        let mut changed = plan();
        changed.steps[2].args = json!({"y": "${2} "});
        assert_ne!(changed.digest().unwrap(), before);
        let mut edge = plan();
        edge.steps[2].after = vec![1];
        assert_ne!(edge.digest().unwrap(), before);
    }
}
