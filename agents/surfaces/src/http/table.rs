//! The table from routes to operations. Adding a route is a line here, and a
//! shape where it takes or gives something new.

use alma::operations;

/// Method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Looks.
    Get,
    /// Does.
    Post,
    /// Takes away.
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Asks an operation.
    Ask(&'static str),
    /// Asks an operation with a field that the route itself says.
    Say(&'static str, &'static str, &'static str),
    /// Asks an operation that plans in a workspace.
    Plan(&'static str),
    /// `mission.submit`, once per `Idempotency-Key`.
    Submit,
    /// `mission.events`, as a stream.
    Events,
    /// `chat.say`, as a stream of what happens.
    Talk,
    /// Whether the process is there.
    Health,
    /// Whether it can do its work.
    Ready,
    /// Figures for Prometheus.
    Metrics,
    /// The OpenAPI document.
    Document,
    /// The document as a page.
    Docs,
}

/// Where an input stands in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the path.
    Path,
    /// In the query string.
    Query,
}

/// One input beside the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    /// Its name in the address.
    pub(super) name: &'static str,
    /// Its name in the operation's request.
    pub(super) field: &'static str,
    /// Its kind, as in [`super::schema`].
    pub(super) kind: &'static str,
    /// Where it stands.
    pub(super) place: Place,
}

const fn path(name: &'static str, field: &'static str, kind: &'static str) -> Input {
    Input { name, field, kind, place: Place::Path }
}

const fn query(name: &'static str, kind: &'static str) -> Input {
    Input { name, field: name, kind, place: Place::Query }
}

const MISSION: Input = path("mission", "mission", "MissionId");
const LEFT: Input = path("mission", "left", "MissionId");
const OTHER: Input = path("other", "right", "MissionId");
const APPROVAL: Input = path("approval", "approval", "ApprovalId");
const SCHEDULE: Input = path("schedule", "schedule", "ScheduleId");
const STEP: Input = path("step", "step", "StepPlace");
const SESSION: Input = path("session", "session", "SessionId");
const TURN: Input = path("turn", "turn", "TurnId");
const PROPOSAL: Input = path("proposal", "proposal", "ProposalId");
const NAME: Input = path("name", "name", "text");
const LIMIT: Input = query("limit", "Limit");

/// One route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) does: Does,
    /// Inputs beside the body.
    pub(super) inputs: &'static [Input],
    /// Shape of the body, if it takes one.
    pub(super) body: Option<&'static str>,
    /// Shape of the answer.
    pub(super) reply: &'static str,
}

const fn get(
    path: &'static str,
    does: Does,
    inputs: &'static [Input],
    reply: &'static str,
) -> Route {
    Route { method: Method::Get, path, does, inputs, body: None, reply }
}

const fn post(
    path: &'static str,
    does: Does,
    inputs: &'static [Input],
    body: Option<&'static str>,
    reply: &'static str,
) -> Route {
    Route { method: Method::Post, path, does, inputs, body, reply }
}

const fn delete(
    path: &'static str,
    does: Does,
    inputs: &'static [Input],
    reply: &'static str,
) -> Route {
    Route { method: Method::Delete, path, does, inputs, body: None, reply }
}

use Does::{Ask, Docs, Document, Events, Health, Metrics, Plan, Ready, Say, Submit, Talk};

/// Every route.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = &[
    get("/api/v1/missions", Ask("mission.list"), &[query("state", "MissionState"), query("skip", "Skip"), LIMIT, query("before", "MissionId")], "Missions"),
    post("/api/v1/missions", Submit, &[], Some("Submission"), "Accepted"),
    get("/api/v1/missions/{mission}", Ask("mission.show"), &[MISSION], "Mission"),
    get("/api/v1/missions/{mission}/events", Events, &[MISSION, query("after", "Count"), LIMIT], "Events"),
    get("/api/v1/missions/{mission}/effects", Ask("mission.effects"), &[MISSION, LIMIT], "Effects"),
    get("/api/v1/missions/{mission}/report", Ask("mission.report"), &[MISSION], "Report"),
    post("/api/v1/missions/{mission}/cancel", Ask("mission.cancel"), &[MISSION], None, "Cancelled"),
    post("/api/v1/missions/{mission}/steer", Ask("mission.steer"), &[MISSION], Some("Steering"), "Steered"),
    post("/api/v1/plans", Plan("plan.new"), &[], Some("Wish"), "Planned"),
    post("/api/v1/plans/dry-run", Plan("plan.dry_run"), &[], Some("Wish"), "Foreseen"),
    get("/api/v1/plans/{mission}", Ask("plan.show"), &[MISSION], "Plan"),
    post("/api/v1/plans/{mission}/edit", Ask("plan.edit"), &[MISSION], Some("Edit"), "Edited"),
    get("/api/v1/plans/{mission}/diff/{other}", Ask("plan.diff"), &[LEFT, OTHER], "Difference"),
    get("/api/v1/approvals", Ask("approvals.list"), &[query("mission", "MissionId"), query("all", "flag"), LIMIT], "Approvals"),
    get("/api/v1/approvals/{approval}", Ask("approvals.show"), &[APPROVAL], "Approval"),
    post("/api/v1/approvals/{approval}/approve", Say("approvals.answer", "answer", "approve"), &[APPROVAL], Some("Yes"), "Answered"),
    post("/api/v1/approvals/{approval}/deny", Say("approvals.answer", "answer", "deny"), &[APPROVAL], Some("No"), "Answered"),
    get("/api/v1/dead-letters", Ask("dead_letters.list"), &[query("mission", "MissionId"), query("tool", "text"), query("cause", "DeathCause"), LIMIT], "DeadLetters"),
    post("/api/v1/dead-letters/requeue", Say("dead_letters.bulk", "what", "requeue"), &[], Some("Bulk"), "Moved"),
    post("/api/v1/dead-letters/discard", Say("dead_letters.bulk", "what", "discard"), &[], Some("Bulk"), "Moved"),
    post("/api/v1/dead-letters/{mission}/{step}/edit", Ask("dead_letters.edit"), &[MISSION, STEP], Some("Inputs"), "InputsEdited"),
    get("/api/v1/dead-letters/{mission}/{step}", Ask("dead_letters.show"), &[MISSION, STEP], "DeadLetter"),
    post("/api/v1/dead-letters/{mission}/{step}/requeue", Ask("dead_letters.requeue"), &[MISSION, STEP], None, "Requeued"),
    post("/api/v1/dead-letters/{mission}/{step}/discard", Ask("dead_letters.discard"), &[MISSION, STEP], None, "Discarded"),
    get("/api/v1/tools", Ask("tools.list"), &[], "Tools"),
    get("/api/v1/tools/{name}", Ask("tools.show"), &[NAME], "Tool"),
    get("/api/v1/playbooks", Ask("playbooks.list"), &[], "Playbooks"),
    get("/api/v1/playbooks/{name}", Ask("playbooks.show"), &[NAME], "Playbook"),
    post("/api/v1/chat", Plan("chat.say"), &[], Some("Saying"), "map"),
    post("/api/v1/chat/stream", Talk, &[], Some("Saying"), "text"),
    post("/api/v1/turns/{turn}/attach", Ask("chat.attach"), &[TURN], None, "map"),
    post("/api/v1/turns/{turn}/cancel", Ask("chat.cancel"), &[TURN], None, "TurnCancelled"),
    get("/api/v1/sessions", Ask("sessions.list"), &[query("before", "SessionId"), LIMIT], "Sessions"),
    get("/api/v1/sessions/search", Ask("sessions.search"), &[query("words", "text"), LIMIT], "Found"),
    get("/api/v1/sessions/{session}", Ask("sessions.show"), &[SESSION, LIMIT], "Session"),
    post("/api/v1/sessions/{session}/fork", Ask("sessions.fork"), &[SESSION], Some("Fork"), "Forked"),
    post("/api/v1/memory/recall", Ask("memory.recall"), &[], Some("Question"), "Recalled"),
    post("/api/v1/memory/remember", Ask("memory.remember"), &[], Some("Fact"), "Remembered"),
    post("/api/v1/memory/forget", Ask("memory.forget"), &[], Some("Forgettable"), "Forgotten"),
    get("/api/v1/memory", Ask("memory.export"), &[query("after", "MemoryId"), LIMIT], "Memories"),
    get("/api/v1/memory/report", Ask("memory.report"), &[], "MemoryReport"),
    post("/api/v1/memory/rebuild", Ask("memory.rebuild"), &[], None, "MemoryReport"),
    get("/api/v1/nightly", Ask("nightly.report"), &[query("night", "NightId"), query("markdown", "flag"), query("width", "Columns")], "Night"),
    get("/api/v1/nights", Ask("nightly.list"), &[LIMIT], "Nights"),
    post("/api/v1/nightly", Ask("nightly.run"), &[], Some("Nightly"), "Night"),
    get("/api/v1/proposals", Ask("proposals.list"), &[LIMIT], "Proposals"),
    get("/api/v1/proposals/{proposal}", Ask("proposals.show"), &[PROPOSAL], "Proposal"),
    post("/api/v1/proposals/{proposal}/accept", Ask("proposals.accept"), &[PROPOSAL], None, "Decided"),
    post("/api/v1/proposals/{proposal}/reject", Ask("proposals.reject"), &[PROPOSAL], None, "Decided"),
    post("/api/v1/proposals/{proposal}/undo", Ask("proposals.undo"), &[PROPOSAL], None, "Decided"),
    get("/api/v1/schedules", Ask("schedules.list"), &[], "Schedules"),
    post("/api/v1/schedules", Plan("schedules.new"), &[], Some("Rhythm"), "Scheduled"),
    get("/api/v1/schedules/{schedule}", Ask("schedules.show"), &[SCHEDULE, LIMIT], "ScheduleWhole"),
    post("/api/v1/schedules/{schedule}/approve", Ask("schedules.approve"), &[SCHEDULE], Some("ScheduleYes"), "Schedule"),
    post("/api/v1/schedules/{schedule}/pause", Ask("schedules.pause"), &[SCHEDULE], None, "Schedule"),
    post("/api/v1/schedules/{schedule}/resume", Ask("schedules.resume"), &[SCHEDULE], None, "Schedule"),
    delete("/api/v1/schedules/{schedule}", Ask("schedules.delete"), &[SCHEDULE], "Schedule"),
    get("/api/v1/models", Ask("models.list"), &[], "Models"),
    get("/api/v1/models/{name}", Ask("models.show"), &[NAME], "Model"),
    get("/api/v1/config", Ask("config.show"), &[], "Config"),
    get("/api/v1/audit", Ask("audit.verify"), &[], "Audit"),
    get("/api/v1/doctor", Ask("doctor"), &[], "Doctor"),
    get("/api/v1/mode", Ask("work.status"), &[], "Work"),
    post("/api/v1/mode/stop", Say("work.set", "mode", "stopped"), &[], None, "Work"),
    post("/api/v1/mode/maintenance", Say("work.set", "mode", "maintenance"), &[], None, "Work"),
    post("/api/v1/mode/resume", Say("work.set", "mode", "running"), &[], None, "Work"),
    get("/health", Health, &[], "Health"),
    get("/ready", Ready, &[], "Readiness"),
    get("/metrics", Metrics, &[], "text"),
    get("/openapi.json", Document, &[], "map"),
    get("/docs", Docs, &[], "text"),
];

/// Operations that no route reaches, and why.
pub const UNREACHED: &[(&str, &str)] = &[
    ("memory.import", "it reads files of this machine that a request over HTTP may not name"),
    ("migrate", "every process that uses the record must be stopped for it, this server too"),
];

impl Route {
    /// The operation that it asks.
    pub(super) fn operation(&self) -> Option<&'static str> {
        match self.does {
            Ask(name) | Say(name, _, _) | Plan(name) => Some(name),
            Submit => Some("mission.submit"),
            Events => Some("mission.events"),
            Talk => Some("chat.say"),
            Health | Ready | Metrics | Document | Docs => None,
        }
    }

    /// One line for people.
    pub(super) fn summary(&self) -> &'static str {
        let own = match self.does {
            Say(_, _, "approve") => "say yes to one question",
            Say(_, _, "deny") => "say no to one question",
            Events => "what happens to a mission, as a stream that can be resumed",
            Talk => "say something to Alma and see her answer come, as a stream",
            Health => "whether the process is there",
            Ready => "whether each thing it needs is there",
            Metrics => "figures for Prometheus",
            Document => "this document",
            Docs => "this document as a page",
            _ => "",
        };
        let asked = self.operation().and_then(operations::find).map(|found| found.summary);
        if own.is_empty() { asked.unwrap_or_default() } else { own }
    }

    /// Whether it needs the key. A browser that opens the description cannot send
    /// one, and what it describes is no secret.
    pub(super) fn guarded(&self) -> bool {
        !matches!(self.does, Health | Ready | Document | Docs)
    }

    /// Whether its body may be left out.
    pub(super) fn body_may_be_absent(&self) -> bool {
        matches!(self.does, Say(..))
    }

    /// The media type of its answer.
    pub(super) fn media_type(&self) -> &'static str {
        match self.does {
            Metrics => "text/plain",
            Docs => "text/html",
            Talk => "text/event-stream",
            _ => "application/json",
        }
    }

    /// The first part of its path below the version: what it is about.
    pub(super) fn topic(&self) -> &'static str {
        let rest = self.path.strip_prefix("/api/v1/").unwrap_or("server");
        rest.split('/').next().unwrap_or(rest)
    }

    /// A name for programs that make clients out of the document.
    pub(super) fn id(&self) -> String {
        match (self.does, self.operation()) {
            (Say("approvals.answer", _, word), _) => format!("approvals_{word}"),
            (Say(name, _, word), _) => format!("{}_{word}", name.replace('.', "_")),
            (Talk, _) => "chat_stream".to_owned(),
            (_, Some(name)) => name.replace('.', "_"),
            (_, None) => self.path.trim_start_matches('/').replace('.', "_"),
        }
    }
}

/// Every operation that HTTP reaches, for the test that none is forgotten.
pub fn reached() -> Vec<&'static str> {
    ROUTES.iter().filter_map(Route::operation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::schema;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_is_reached_or_says_why_not() {
        let mut reached: BTreeSet<_> = reached().into_iter().collect();
        for (name, why) in UNREACHED {
            assert!(!why.is_empty() && reached.insert(name), "{name}");
        }
        let all: BTreeSet<_> = operations::ALL.iter().map(|operation| operation.name).collect();
        assert_eq!(reached, all);
    }

    #[test]
    fn every_route_has_a_summary_an_id_of_its_own_and_known_shapes() {
        let ids: BTreeSet<_> = ROUTES.iter().map(Route::id).collect();
        assert_eq!(ids.len(), ROUTES.len());
        for route in ROUTES {
            assert!(!route.summary().is_empty(), "{}", route.path);
            let kinds = route.inputs.iter().map(|input| input.kind).chain(route.body);
            for kind in kinds.chain([route.reply]) {
                let plain = ["text", "flag", "map"].contains(&kind);
                assert!(plain || schema::shape(kind).is_some(), "{}: {kind}", route.path);
            }
            for input in route.inputs.iter().filter(|input| input.place == Place::Path) {
                assert!(route.path.contains(&format!("{{{}}}", input.name)), "{}", route.path);
            }
        }
    }
}
