//! What a tool is on this side of the port: synchronous, so that a tool is
//! plain code. [`crate::Hephaestus`] runs it on a thread of its own, bounds its
//! time, and passes on what it says about programs.

use crate::workspace::Workspace;
use charter::digest::Digest;
use charter::effect::EffectClass;
use charter::tool::{
    Act, Acted, Call, ErrorCode, Limits, Prepared, Probe, Process, ToolError, ToolSpec,
};
use serde_json::{Value, json};

/// One tool. A new tool is one file in [`crate::tools`] and one line there.
pub trait Tool: Send + Sync {
    /// What it says of itself.
    fn spec(&self) -> ToolSpec;

    /// Looks, computes, proposes; changes nothing. The arguments fit the schema
    /// of [`Tool::spec`]. The label may be [`Call::label`] alone: what the
    /// workspace handed out is joined to it by the caller.
    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError>;

    /// Whether everything in this output was chosen from words of the tool's own,
    /// whatever it read. Such an output is as trusted as the call.
    fn vouches_for(&self, _output: &Value) -> bool {
        false
    }

    /// Carries out what [`Tool::prepare`] proposed as an act.
    fn act(
        &self,
        _call: &Call,
        _workspace: &Workspace,
        act: &Act,
        _key: &Digest,
        _watch: &dyn Watch,
    ) -> Result<Acted, ToolError> {
        Err(ToolError::new(
            ErrorCode::Permanent,
            format!("this tool does nothing by itself, yet it was asked to: {}", act.summary),
        ))
    }

    /// Says whether an act with an unknown outcome happened.
    fn probe(
        &self,
        _call: &Call,
        _workspace: &Workspace,
        _act: &Act,
        _key: &Digest,
    ) -> Result<Probe, ToolError> {
        Ok(Probe::Unknown)
    }
}

/// Receives the programs that an act starts.
pub trait Watch {
    /// A program stands ready; it may run only after this returns `Ok`.
    fn started(&self, program: &Process) -> Result<(), ToolError>;
    /// It ended.
    fn ended(&self, program: &Process);
}

/// A spec at version 1 with the default limits.
pub fn spec(
    name: &str,
    effect: EffectClass,
    summary: &str,
    args: Value,
    output: &str,
    undo: &str,
) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        version: 1,
        summary: summary.to_owned(),
        effect,
        args,
        output: output.to_owned(),
        undo: undo.to_owned(),
        limits: Limits::default(),
        asks_model: false,
    }
}

/// The schema of an object with these properties and no others.
pub fn object(required: &[&str], properties: Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// Most bytes that the changes of one call may carry together: they are recorded
/// before they happen, and the record of a call has a bound.
pub const PAYLOAD_MAX: usize = 30 << 20;
