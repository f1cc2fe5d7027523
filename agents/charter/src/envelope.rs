//! An event as programs outside receive it: with whose it is, the version of its
//! schema, and its place in a trace. The names of traces and spans follow from what
//! the event is about, so they are the same in every process and every time.

use crate::conversation::Conversed;
use crate::digest::Digest;
use crate::event::{Event, Recorded};
use crate::ids::{StreamId, TenantId};
use serde::{Deserialize, Serialize};

/// Version of the schemas of events and of their envelope. Within a version fields
/// and kinds are only added.
pub const SCHEMA_VERSION: u32 = 1;

/// An event on its way out.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The trace: one per mission, conversation, or other stream. Sixteen bytes as
    /// 32 hexadecimal digits, as in W3C Trace Context.
    pub trace_id: String,
    /// The span: the step or the turn that it is about, else the stream. Eight bytes
    /// as 16 hexadecimal digits.
    pub span_id: String,
    /// The event in its place.
    #[serde(flatten)]
    pub recorded: Recorded,
}

impl Envelope {
    /// Around an event.
    pub fn new(tenant: &TenantId, recorded: Recorded) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tenant_id: tenant.clone(),
            trace_id: trace(tenant, &recorded.stream),
            span_id: span(tenant, &recorded),
            recorded,
        }
    }
}

fn trace(tenant: &TenantId, stream: &StreamId) -> String {
    let digest = Digest::of_parts(&[b"trace", tenant.0.as_bytes(), stream.0.as_bytes()]);
    hex::encode(&digest.0[..16])
}

fn span(tenant: &TenantId, recorded: &Recorded) -> String {
    let about = match &recorded.event {
        Event::Conversed(
            Conversed::TurnBegun { turn, .. }
            | Conversed::TurnRouted { turn, .. }
            | Conversed::TurnSubmitted { turn, .. }
            | Conversed::TurnEnded { turn, .. },
        ) => turn.to_string(),
        event => event.step().map_or_else(|| recorded.stream.to_string(), ToString::to_string),
    };
    let digest = Digest::of_parts(&[b"span", tenant.0.as_bytes(), about.as_bytes()]);
    hex::encode(&digest.0[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Usage;
    use crate::ids::StepKey;
    use serde_json::json;

    fn enveloped(tenant: &str, mission: &str, event: Event) -> Envelope {
        let recorded = Recorded {
            position: 7,
            stream: StreamId(format!("mission/{mission}")),
            seq: 3,
            at: 1_000,
            transition: "t-0000000000000000".parse().unwrap(),
            event,
        };
        Envelope::new(&TenantId(tenant.to_owned()), recorded)
    }

    fn cancelled(mission: &str, n: u32) -> Event {
        let step = StepKey::step(&mission.parse().unwrap(), n);
        Event::StepCancelled { step, usage: Usage::default() }
    }

    const ONE: &str = "m-0000000000000001";
    const OTHER: &str = "m-0000000000000002";

    #[test]
    fn a_trace_is_a_mission_and_a_span_a_step() {
        let one = enveloped("local", ONE, cancelled(ONE, 1));
        assert_eq!((one.trace_id.len(), one.span_id.len()), (32, 16));
        assert_eq!(one, enveloped("local", ONE, cancelled(ONE, 1)));
        let next = enveloped("local", ONE, cancelled(ONE, 2));
        assert_eq!(one.trace_id, next.trace_id);
        assert_ne!(one.span_id, next.span_id);
        let other = enveloped("local", OTHER, cancelled(OTHER, 1));
        assert_ne!((one.trace_id, one.span_id), (other.trace_id, other.span_id));
        assert_ne!(next.trace_id, enveloped("else", ONE, cancelled(ONE, 2)).trace_id);
    }

    #[test]
    fn the_fields_of_the_record_stand_beside_those_of_the_envelope() {
        let envelope = enveloped("local", ONE, cancelled(ONE, 1));
        let written = serde_json::to_value(&envelope).unwrap();
        assert_eq!(written["seq"], 3);
        assert_eq!(written["schema_version"], SCHEMA_VERSION);
        assert_eq!(written["event"]["kind"], "step_cancelled");
        assert_eq!(written["tenant_id"], json!("local"));
        assert_eq!(serde_json::from_value::<Envelope>(written).unwrap(), envelope);
    }
}
