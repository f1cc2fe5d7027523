//! What is asked of a person: durable, bound to digests, answered once.

use crate::digest::{Digest, DigestError};
use crate::effect::{EffectClass, Target};
use crate::ids::{ApprovalId, Millis, StepKey};
use crate::label::{Label, Sensitivity, Trust};
use crate::tool::SandboxLevel;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How an approval stands. The four ends are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has answered yet.
    Open,
    /// A person said yes.
    Approved,
    /// A person said no.
    Denied,
    /// Nobody answered in time: parked, and can be opened again.
    Expired,
    /// No longer needed: the mission ended or the plan was replaced.
    Withdrawn,
}

/// What is asked.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// May these effects happen?
    Permission,
    /// Did this effect happen? Nobody here can tell.
    InDoubt,
    /// Only a part of the wish can be met: is the part welcome?
    Part,
    /// A language model wrote the plan: may it be carried out?
    Plan,
}

/// One effect exactly as it would be carried out. Its digest is what a person
/// approves: one changed byte is another effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrozenEffect {
    /// The step or instance.
    pub step: StepKey,
    /// Number of the effect within the step: 0 is the call itself or its act,
    /// changes count from 1.
    pub ordinal: u32,
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub version: u32,
    /// The resolved arguments.
    pub args: Value,
    /// Its class.
    pub class: EffectClass,
    /// One line: what would happen.
    pub summary: String,
    /// Digest of the change or the act, payload included.
    pub detail: Digest,
    /// What the targets held when the list was made.
    pub before: Vec<Target>,
    /// Containment in force, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxLevel>,
    /// Label of the arguments: untrusted text is shown as such.
    pub label: Label,
    /// The policy rule that asks.
    pub rule: String,
    /// Why it asks.
    pub reason: String,
}

impl FrozenEffect {
    /// What a grant is bound to. The policy's words are not part of it.
    pub fn digest(&self) -> Result<Digest, DigestError> {
        Digest::of_json(&serde_json::json!({
            "step": self.step, "ordinal": self.ordinal, "tool": self.tool,
            "version": self.version, "args": self.args, "class": self.class,
            "detail": self.detail, "before": self.before,
        }))
    }
}

/// What a standing approval covers: any effect of this class that this step of a
/// plan asks for under this rule. Another step, class or rule is asked about.
pub fn cover(step: &Digest, class: EffectClass, rule: &str) -> Digest {
    Digest::of_parts(&[b"cover", &step.0, class.as_str().as_bytes(), rule.as_bytes()])
}

/// Whether an effect can be covered beforehand at all. Secrets cannot, nor what
/// acts beyond files on words that were read: these are looked at each time.
pub fn may_stand(class: EffectClass, label: Label) -> bool {
    let read = label.trust == Trust::Untrusted;
    label.sensitivity != Sensitivity::Secret && !(read && class >= EffectClass::Exec)
}

/// What the person sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The kind of question.
    pub question: Question,
    /// The question in one sentence.
    pub title: String,
    /// The effects it is about.
    pub effects: Vec<FrozenEffect>,
    /// More to know, for instance which part of a wish cannot be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Card {
    /// Digest over the list of effects and the notes: what `--approve-plan=` names.
    pub fn digest(&self) -> Result<Digest, DigestError> {
        let effects =
            self.effects.iter().map(FrozenEffect::digest).collect::<Result<Vec<_>, _>>()?;
        Digest::of_json(&serde_json::json!({
            "question": self.question, "effects": effects, "notes": self.notes,
        }))
    }
}

/// The answer to an approval.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes, these effects may happen; or: the part is welcome.
    Approve,
    /// No.
    Deny,
    /// The effect in doubt did happen.
    Happened,
    /// The effect in doubt did not happen: do it now.
    NotHappened,
}

/// One permission, spent by the intent of exactly one effect.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The approval it comes from.
    pub approval: ApprovalId,
    /// [`FrozenEffect::digest`].
    pub effect: Digest,
}

/// How long an unanswered approval stays open, in milliseconds: seven days.
pub const APPROVAL_OPEN_MS: Millis = 7 * 24 * 3_600_000;
