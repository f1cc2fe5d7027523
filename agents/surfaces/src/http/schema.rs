//! Shapes of requests and responses, as a table: what the OpenAPI document says
//! and what a request is held to are the same lines.
//!
//! A kind is written as `text`, `whole`, `flag`, `map` (an object of any fields),
//! `any`, `[K]` (a list), `K?` (or null), or the name of a shape. A field whose
//! name ends with `?` may be absent.

use serde_json::Value;

/// A shape.
pub(super) enum Shape {
    /// An object with these fields; more may come in responses.
    Fields(&'static [(&'static str, &'static str)]),
    /// An object with these fields and no others.
    Closed(&'static [(&'static str, &'static str)]),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A prefix and sixteen characters of an id.
    Id(&'static str),
    /// A digest.
    Digest,
    /// The place of a step in its mission, as in `3` or `3.12`.
    Place,
    /// A whole number within bounds.
    Range(u64, u64),
}

/// Characters of ids.
pub(super) const ID_CHARACTERS: &str = "0-9a-hjkmnp-tv-z";

/// Largest whole number that is passed without loss by every program that reads
/// JSON.
pub(super) const WHOLE_MAX: u64 = (1 << 53) - 1;

use Shape::{Choice, Closed, Fields, Id, Place, Range};

/// Every shape by its name.
pub(super) const SHAPES: &[(&str, Shape)] = &[
    ("MissionId", Id("m")),
    ("ApprovalId", Id("a")),
    ("SessionId", Id("s")),
    ("TurnId", Id("u")),
    ("MemoryId", Id("k")),
    ("NightId", Id("n")),
    ("ProposalId", Id("p")),
    ("Columns", Range(1, 10_000)),
    ("ScheduleId", Id("r")),
    ("Digest", Shape::Digest),
    ("StepPlace", Place),
    ("Limit", Range(1, 10_000)),
    ("Skip", Range(0, 10_000)),
    ("Count", Range(0, WHOLE_MAX)),
    (
        "MissionState",
        Choice(&[
            "running",
            "waiting",
            "done",
            "unverified",
            "failed",
            "refused",
            "partial",
            "cancelled",
        ]),
    ),
    ("Priority", Choice(&["low", "normal", "high"])),
    ("Agreement", Choice(&["approve", "happened", "not_happened"])),
    (
        "Budget",
        Closed(&[
            ("steps?", "Count"),
            ("wall_ms?", "Count"),
            ("cpu_ms?", "Count"),
            ("bytes_written?", "Count"),
        ]),
    ),
    (
        "Wish",
        Closed(&[
            ("words?", "text?"),
            ("file?", "text?"),
            ("workspace?", "text?"),
            ("budget?", "Budget?"),
            ("priority?", "Priority?"),
        ]),
    ),
    (
        "Submission",
        Closed(&[
            ("words?", "text?"),
            ("file?", "text?"),
            ("workspace?", "text?"),
            ("budget?", "Budget?"),
            ("priority?", "Priority?"),
            ("again?", "flag"),
        ]),
    ),
    ("MemoryKind", Choice(&["fact", "turn", "passage", "result", "summary", "lesson"])),
    (
        "Question",
        Closed(&[
            ("words", "text"),
            ("kinds?", "[MemoryKind]"),
            ("as_of?", "text?"),
            ("limit?", "Limit?"),
        ]),
    ),
    (
        "Recalled",
        Fields(&[("found", "flag"), ("answer", "[Quoted]"), ("memories", "[MemoryFound]")]),
    ),
    (
        "Quoted",
        Fields(&[("text", "text"), ("memory", "MemoryId"), ("source", "text"), ("at", "whole")]),
    ),
    (
        "MemoryFound",
        Fields(&[
            ("memory", "MemoryId"),
            ("kind", "MemoryKind"),
            ("text", "text"),
            ("source", "text"),
            ("at", "whole"),
            ("why", "map"),
        ]),
    ),
    ("Fact", Closed(&[("words", "text"), ("instead_of?", "MemoryId?")])),
    (
        "Remembered",
        Fields(&[
            ("memory", "MemoryId?"),
            ("known", "flag"),
            ("text", "text"),
            ("ended", "[text]"),
            ("unsure", "[map]"),
        ]),
    ),
    ("Forgettable", Closed(&[("words?", "text?"), ("memory?", "MemoryId?"), ("dry_run?", "flag")])),
    (
        "Forgotten",
        Fields(&[("found", "flag"), ("dry_run", "flag"), ("receipt", "map"), ("files", "[text]")]),
    ),
    ("Memories", Fields(&[("memories", "[map]")])),
    (
        "MemoryReport",
        Fields(&[
            ("memories", "map"),
            ("indexed", "whole"),
            ("embedder", "text"),
            ("position", "whole"),
        ]),
    ),
    ("Edit", Closed(&[("file", "text")])),
    ("Steering", Closed(&[("words", "text")])),
    (
        "Steered",
        Fields(&[
            ("wish", "text"),
            ("notes", "[text]"),
            ("mission", "MissionId"),
            ("parent", "Digest"),
            ("digest", "Digest"),
            ("kept", "[whole]"),
            ("diff", "text"),
        ]),
    ),
    ("Yes", Closed(&[("answer?", "Agreement"), ("digest?", "Digest?"), ("seen?", "flag")])),
    ("No", Closed(&[("digest?", "Digest?"), ("seen?", "flag")])),
    (
        "Accepted",
        Fields(&[
            ("mission", "MissionId"),
            ("state", "MissionState"),
            ("plan", "map"),
            ("digest", "Digest"),
            ("text", "text"),
        ]),
    ),
    (
        "Planned",
        Fields(&[
            ("plan", "map"),
            ("digest", "Digest"),
            ("text", "text"),
            ("reason", "text"),
            ("notes", "[text]"),
            ("priority", "Priority"),
            ("parts", "[Filled]"),
        ]),
    ),
    ("Filled", Fields(&[("playbook", "text"), ("words", "text"), ("slots", "map")])),
    (
        "Foreseen",
        Fields(&[
            ("plan", "map"),
            ("digest", "Digest"),
            ("text", "text"),
            ("effects", "[map]"),
            ("unforeseen", "[text]"),
        ]),
    ),
    ("Plan", Fields(&[("plan", "map"), ("digest", "Digest"), ("text", "text"), ("file", "text")])),
    (
        "Edited",
        Fields(&[
            ("mission", "MissionId"),
            ("parent", "Digest"),
            ("digest", "Digest"),
            ("kept", "[whole]"),
            ("diff", "text"),
        ]),
    ),
    ("Difference", Fields(&[("same", "flag"), ("diff", "text")])),
    ("Missions", Fields(&[("missions", "[MissionLine]")])),
    (
        "MissionLine",
        Fields(&[
            ("mission", "MissionId"),
            ("state", "MissionState"),
            ("wish", "text"),
            ("created_at", "whole"),
            ("ended", "whole"),
            ("steps", "whole"),
        ]),
    ),
    (
        "Mission",
        Fields(&[
            ("mission", "MissionId"),
            ("state", "MissionState"),
            ("wish", "text"),
            ("workspace", "text"),
            ("created_at", "whole"),
            ("steps", "[StepLine]"),
            ("approvals", "[ApprovalId]"),
            ("budget", "Budget"),
            ("spent", "map"),
            ("priority", "Priority"),
            ("idle", "flag"),
            ("notice?", "text"),
        ]),
    ),
    (
        "StepLine",
        Fields(&[
            ("step", "text"),
            ("title", "text"),
            ("tool", "text"),
            ("state", "text"),
            ("verified", "flag"),
            ("items", "whole"),
            ("items_open", "whole"),
            ("wall_ms", "whole"),
            ("error", "text?"),
        ]),
    ),
    ("Cancelled", Fields(&[("mission", "MissionId"), ("was", "MissionState"), ("steps", "whole")])),
    ("Report", Fields(&[("report", "map"), ("text", "text")])),
    ("Effects", Fields(&[("effects", "[map]")])),
    ("Events", Fields(&[("events", "[Event]")])),
    (
        "Event",
        Fields(&[
            ("schema_version", "whole"),
            ("tenant_id", "text"),
            ("trace_id", "text"),
            ("span_id", "text"),
            ("position", "whole"),
            ("stream", "text"),
            ("seq", "whole"),
            ("at", "whole"),
            ("transition", "text"),
            ("event", "map"),
        ]),
    ),
    ("Approvals", Fields(&[("approvals", "[ApprovalLine]")])),
    (
        "ApprovalLine",
        Fields(&[
            ("approval", "ApprovalId"),
            ("mission", "MissionId"),
            ("question", "text"),
            ("state", "text"),
            ("title", "text"),
            ("digest", "Digest"),
            ("asked_at", "whole"),
            ("expires_at", "whole"),
        ]),
    ),
    (
        "Approval",
        Fields(&[
            ("approval", "ApprovalId"),
            ("mission", "MissionId"),
            ("state", "text"),
            ("digest", "Digest"),
            ("card", "map"),
            ("expires_at", "whole"),
            ("answer", "text?"),
            ("by", "text?"),
        ]),
    ),
    (
        "Answered",
        Fields(&[("approval", "ApprovalId"), ("mission", "MissionId"), ("state", "text")]),
    ),
    ("DeadLetters", Fields(&[("dead_letters", "[DeadLetterLine]")])),
    (
        "DeadLetterLine",
        Fields(&[
            ("step", "text"),
            ("wish", "text"),
            ("title", "text"),
            ("tool", "text"),
            ("args", "any"),
            ("cause", "text?"),
            ("error", "any"),
            ("failures", "whole"),
            ("lost", "whole"),
            ("usage", "map"),
        ]),
    ),
    (
        "DeadLetter",
        Fields(&[
            ("step", "text"),
            ("wish", "text"),
            ("title", "text"),
            ("tool", "text"),
            ("args", "any"),
            ("cause", "text?"),
            ("error", "any"),
            ("failures", "whole"),
            ("lost", "whole"),
            ("usage", "map"),
            ("effects", "[map]"),
        ]),
    ),
    ("DeathCause", Choice(&["permanent", "exhausted", "poison", "refused", "denied", "unproven"])),
    (
        "Bulk",
        Closed(&[
            ("mission?", "MissionId?"),
            ("tool?", "text?"),
            ("cause?", "DeathCause?"),
            ("limit?", "Limit?"),
            ("dry_run?", "flag"),
            ("expect?", "Count?"),
        ]),
    ),
    (
        "Moved",
        Fields(&[
            ("what", "text"),
            ("count", "whole"),
            ("causes", "map"),
            ("dry_run", "flag"),
            ("steps", "[text]"),
            ("left", "[text]"),
        ]),
    ),
    ("Inputs", Closed(&[("args?", "any"), ("set?", "[Input]")])),
    ("Input", Closed(&[("path", "text"), ("value", "any")])),
    (
        "InputsEdited",
        Fields(&[
            ("step", "text"),
            ("mission", "MissionId"),
            ("parent", "Digest"),
            ("digest", "Digest"),
            ("kept", "[whole]"),
            ("diff", "text"),
        ]),
    ),
    ("Requeued", Fields(&[("step", "text"), ("mission", "MissionId"), ("revived", "[whole]")])),
    ("Discarded", Fields(&[("step", "text"), ("state", "text")])),
    ("Tools", Fields(&[("tools", "[ToolLine]")])),
    (
        "ToolLine",
        Fields(&[("name", "text"), ("version", "whole"), ("effect", "text"), ("summary", "text")]),
    ),
    (
        "Tool",
        Fields(&[
            ("name", "text"),
            ("version", "whole"),
            ("summary", "text"),
            ("effect", "text"),
            ("args", "map"),
            ("output", "text"),
            ("undo", "text"),
            ("limits", "map"),
        ]),
    ),
    ("Playbooks", Fields(&[("playbooks", "[PlaybookLine]")])),
    ("PlaybookLine", Fields(&[("name", "text"), ("version", "whole"), ("summary", "text")])),
    ("Playbook", Fields(&[("name", "text"), ("version", "whole"), ("text", "text")])),
    ("Saying", Closed(&[("words", "text"), ("session?", "SessionId?"), ("workspace?", "text?")])),
    ("TurnCancelled", Fields(&[("turn", "TurnId")])),
    ("Sessions", Fields(&[("sessions", "[SessionLine]")])),
    (
        "SessionLine",
        Fields(&[
            ("session", "SessionId"),
            ("title", "text"),
            ("turns", "whole"),
            ("last_at", "whole"),
            ("workspace", "text"),
            ("forked?", "TurnId?"),
        ]),
    ),
    ("Session", Fields(&[("session", "SessionId"), ("title", "text"), ("history", "[map]")])),
    ("Found", Fields(&[("found", "[map]")])),
    ("Fork", Closed(&[("turn?", "TurnId?")])),
    ("Forked", Fields(&[("session", "SessionId"), ("forked", "TurnId")])),
    ("Nightly", Closed(&[("markdown?", "flag"), ("width?", "Columns?")])),
    (
        "Night",
        Fields(&[("night", "NightId"), ("state", "text"), ("report", "map"), ("text", "text")]),
    ),
    ("Nights", Fields(&[("nights", "[NightLine]")])),
    (
        "NightLine",
        Fields(&[
            ("night", "NightId"),
            ("state", "text"),
            ("since", "whole"),
            ("until", "whole"),
            ("when", "text"),
            ("told", "text"),
        ]),
    ),
    ("Proposals", Fields(&[("proposals", "[ProposalLine]")])),
    (
        "ProposalLine",
        Fields(&[
            ("proposal", "ProposalId"),
            ("state", "text"),
            ("of", "text"),
            ("title", "text"),
            ("night", "NightId"),
        ]),
    ),
    (
        "Proposal",
        Fields(&[
            ("proposal", "ProposalId"),
            ("state", "text"),
            ("title", "text"),
            ("diff", "text"),
            ("evidence", "map"),
            ("text", "text"),
        ]),
    ),
    ("Decided", Fields(&[("proposal", "ProposalId"), ("state", "text"), ("text", "text")])),
    (
        "Rhythm",
        Closed(&[
            ("words", "text"),
            ("workspace", "text"),
            ("cron?", "text?"),
            ("zone?", "text?"),
            ("missed?", "Missed?"),
        ]),
    ),
    ("Missed", Choice(&["once", "skip"])),
    ("ScheduleYes", Closed(&[("digest?", "Digest?"), ("seen?", "flag")])),
    ("Schedules", Fields(&[("schedules", "[Schedule]")])),
    (
        "Schedule",
        Fields(&[
            ("schedule", "ScheduleId"),
            ("state", "text"),
            ("wish", "text"),
            ("when", "text"),
            ("cron", "text"),
            ("zone", "text"),
            ("missed", "text"),
            ("workspace", "text"),
            ("digest", "Digest"),
            ("next_at", "whole?"),
            ("next", "[text]"),
            ("last", "any"),
            ("alerts", "[map]"),
        ]),
    ),
    (
        "Scheduled",
        Fields(&[
            ("schedule", "ScheduleId"),
            ("state", "text"),
            ("wish", "text"),
            ("when", "text"),
            ("cron", "text"),
            ("zone", "text"),
            ("missed", "text"),
            ("workspace", "text"),
            ("digest", "Digest"),
            ("next_at", "whole?"),
            ("next", "[text]"),
            ("last", "any"),
            ("alerts", "[map]"),
            ("text", "text"),
            ("effects", "[map]"),
            ("unforeseen", "[text]"),
            ("notes", "[text]"),
        ]),
    ),
    (
        "ScheduleWhole",
        Fields(&[
            ("schedule", "ScheduleId"),
            ("state", "text"),
            ("wish", "text"),
            ("when", "text"),
            ("cron", "text"),
            ("zone", "text"),
            ("missed", "text"),
            ("workspace", "text"),
            ("digest", "Digest"),
            ("next_at", "whole?"),
            ("next", "[text]"),
            ("last", "any"),
            ("alerts", "[map]"),
            ("plan", "text"),
            ("covers", "[text]"),
            ("approved_by", "text?"),
            ("due", "[map]"),
        ]),
    ),
    ("Models", Fields(&[("models", "[ModelLine]"), ("folder", "text"), ("recommended", "[map]")])),
    (
        "ModelLine",
        Fields(&[
            ("name", "text"),
            ("used", "flag"),
            ("architecture?", "text?"),
            ("format?", "text?"),
            ("bytes?", "whole?"),
            ("context?", "whole?"),
            ("runs?", "text?"),
            ("problem?", "text?"),
        ]),
    ),
    (
        "Model",
        Fields(&[
            ("name", "text"),
            ("path", "text"),
            ("used", "flag"),
            ("architecture", "text"),
            ("format", "text"),
            ("bytes", "whole"),
            ("runs", "text"),
            ("shape", "text"),
            ("context", "whole"),
            ("context_used", "whole"),
            ("tokens", "whole"),
            ("template", "text"),
            ("digest", "text"),
        ]),
    ),
    (
        "Config",
        Fields(&[("home", "text"), ("mode", "text"), ("notes", "[text]"), ("config", "map")]),
    ),
    ("Doctor", Fields(&[("healthy", "flag"), ("findings", "[map]")])),
    (
        "Work",
        Fields(&[
            ("mode", "text"),
            ("since", "whole?"),
            ("by", "text?"),
            ("notice", "text?"),
            ("claimed", "whole"),
            ("ready", "whole"),
            ("waiting", "whole"),
            ("dead", "whole"),
            ("dead_kept_days", "whole"),
        ]),
    ),
    ("Audit", Fields(&[("intact", "flag")])),
    ("Health", Fields(&[("status", "text"), ("version", "text")])),
    (
        "Readiness",
        Fields(&[("ready", "flag"), ("dependencies", "[Dependency]"), ("degraded", "[Degraded]")]),
    ),
    (
        "Degraded",
        Fields(&[("what", "text"), ("why", "text"), ("since", "whole"), ("works", "text")]),
    ),
    ("Dependency", Fields(&[("name", "text"), ("ready", "flag"), ("detail", "text")])),
    (
        "Problem",
        Fields(&[
            ("type", "text"),
            ("title", "text"),
            ("status", "whole"),
            ("detail", "text"),
            ("error_code", "text"),
            ("timestamp", "text"),
            ("instance", "text"),
            ("missing?", "[text]"),
            ("nearest?", "[text]"),
        ]),
    ),
];

/// The shape of a name.
pub(super) fn shape(name: &str) -> Option<&'static Shape> {
    SHAPES.iter().find(|(known, _)| *known == name).map(|(_, shape)| shape)
}

/// The name of a field, and whether it must be there.
pub(super) fn field(name: &'static str) -> (&'static str, bool) {
    match name.strip_suffix('?') {
        Some(name) => (name, false),
        None => (name, true),
    }
}

/// Whether a value is of a kind; if not, where and what was expected.
pub(super) fn check(kind: &str, value: &Value) -> Result<(), String> {
    if let Some(kind) = kind.strip_suffix('?') {
        return if value.is_null() { Ok(()) } else { check(kind, value) };
    }
    if let Some(kind) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        let items = value.as_array().ok_or("expected a list")?;
        return items.iter().enumerate().try_for_each(|(at, item)| {
            check(kind, item).map_err(|wrong| format!("[{at}]: {wrong}"))
        });
    }
    let good = match kind {
        "any" => true,
        "text" => value.is_string(),
        "whole" => value.is_i64() || value.is_u64(),
        "flag" => value.is_boolean(),
        "map" => value.is_object(),
        name => return fits(name, value),
    };
    if good { Ok(()) } else { Err(format!("expected {}", said(kind))) }
}

fn said(kind: &str) -> &'static str {
    match kind {
        "text" => "a text",
        "whole" => "a whole number",
        "flag" => "true or false",
        _ => "an object",
    }
}

fn fits(name: &str, value: &Value) -> Result<(), String> {
    let shape = shape(name).ok_or_else(|| format!("there is no shape {name}"))?;
    let text = || value.as_str().ok_or_else(|| "expected a text".to_owned());
    let good = match shape {
        Fields(fields) => return object(fields, true, value),
        Closed(fields) => return object(fields, false, value),
        Choice(names) if names.contains(&text()?) => true,
        Choice(names) => return Err(format!("expected one of {}", names.join(", "))),
        Id(prefix) => is_id(prefix, text()?),
        Shape::Digest => is_digest(text()?),
        Place => is_place(text()?),
        Range(least, most) => {
            if !value.as_u64().is_some_and(|number| (*least..=*most).contains(&number)) {
                return Err(format!("expected a whole number from {least} to {most}"));
            }
            true
        }
    };
    if good { Ok(()) } else { Err(format!("this is no {name}")) }
}

fn object(
    fields: &'static [(&'static str, &'static str)],
    open: bool,
    value: &Value,
) -> Result<(), String> {
    let found = value.as_object().ok_or("expected an object")?;
    for (name, kind) in fields {
        match (field(name), found.get(field(name).0)) {
            ((name, _), Some(value)) => {
                check(kind, value).map_err(|wrong| format!("{name}: {wrong}"))?;
            }
            ((name, true), None) => return Err(format!("{name} is missing")),
            ((_, false), None) => {}
        }
    }
    let known = |given: &String| fields.iter().any(|(name, _)| field(name).0 == given);
    match found.keys().find(|given| !open && !known(given)) {
        Some(given) => Err(format!("there is no field {:?}", shortened(given))),
        None => Ok(()),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn is_id(prefix: &str, text: &str) -> bool {
    let good = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'z') && !b"ilou".contains(&b);
    let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| rest.len() == 16 && rest.bytes().all(good))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_place(text: &str) -> bool {
    let number =
        |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let (step, item) = text.split_once('.').unwrap_or((text, "0"));
    number(step) && number(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn wrong(kind: &str, value: Value, expected: Expect) {
        expected.assert_eq(&check(kind, &value).err().unwrap_or_default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        wrong("Submission", json!({ "words": "x", "again": true }), expect![""]);
        wrong("Submission", json!({ "words": 5 }), expect!["words: expected a text"]);
        wrong("Submission", json!({ "word": "x" }), expect![[r#"there is no field "word""#]]);
        wrong("Edit", json!({}), expect!["file is missing"]);
        wrong("Submission", json!({ "words": null }), expect![""]);
        wrong(
            "Wish",
            json!({ "budget": { "steps": -1 } }),
            expect!["budget: steps: expected a whole number from 0 to 9007199254740991"],
        );
        wrong(
            "[MissionState]",
            json!(["done", "dead"]),
            expect![
                "[1]: expected one of running, waiting, done, unverified, failed, refused, partial, cancelled"
            ],
        );
        wrong("MissionId", json!("m-0123456789abcdefg"), expect!["this is no MissionId"]);
        wrong("MissionId", json!("m-0123456789abcdef"), expect![""]);
        wrong("StepPlace", json!("1.2.3"), expect!["this is no StepPlace"]);
    }

    #[test]
    fn every_kind_is_known() {
        for (name, shape) in SHAPES {
            if let Fields(fields) | Closed(fields) = shape {
                for (field, kind) in *fields {
                    let kind = kind.trim_end_matches('?').trim_matches(['[', ']']);
                    let plain = ["any", "text", "whole", "flag", "map"].contains(&kind);
                    assert!(plain || super::shape(kind).is_some(), "{name}.{field}: {kind}");
                }
            }
        }
    }
}
