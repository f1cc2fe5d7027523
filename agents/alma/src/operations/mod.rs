//! What Alma can be asked: one file per operation, one line per operation in
//! [`ALL`]. A surface maps its own names to these and adds nothing.

pub mod approval_answer;
pub mod approval_list;
pub mod approval_show;
pub mod audit_verify;
pub mod chat_attach;
pub mod chat_cancel;
pub mod chat_say;
pub mod config_show;
pub mod dead_letter_bulk;
pub mod dead_letter_discard;
pub mod dead_letter_edit;
pub mod dead_letter_list;
pub mod dead_letter_requeue;
pub mod dead_letter_show;
pub mod doctor;
pub mod forget;
pub mod memory_export;
pub mod memory_import;
pub mod memory_rebuild;
pub mod memory_report;
pub mod migrate;
pub mod mission_cancel;
pub mod mission_effects;
pub mod mission_events;
pub mod mission_list;
pub mod mission_report;
pub mod mission_show;
pub mod mission_steer;
pub mod mission_submit;
pub mod models_list;
pub mod models_show;
pub mod nightly_list;
pub mod nightly_report;
pub mod nightly_run;
pub mod plan_diff;
pub mod plan_dry_run;
pub mod plan_edit;
pub mod plan_new;
pub mod plan_show;
pub mod playbook_list;
pub mod playbook_show;
pub mod proposals_accept;
pub mod proposals_list;
pub mod proposals_reject;
pub mod proposals_show;
pub mod proposals_undo;
pub mod recall;
pub mod remember;
pub mod schedule_approve;
pub mod schedule_delete;
pub mod schedule_list;
pub mod schedule_new;
pub mod schedule_pause;
pub mod schedule_resume;
pub mod schedule_show;
pub mod sessions_fork;
pub mod sessions_list;
pub mod sessions_search;
pub mod sessions_show;
pub mod tool_list;
pub mod tool_show;
pub mod work_set;
pub mod work_status;

pub mod shared;

use crate::{Alma, Error};
use charter::ids::Principal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;

/// An operation, as a surface sees it.
pub struct Operation {
    /// Its name: `noun.verb`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// From a request to a response, both as JSON.
    pub call: for<'a> fn(&'a Alma, &'a Principal, Value) -> Answer<'a>,
}

macro_rules! operation {
    ($name:literal, $module:ident, $summary:literal) => {
        Operation {
            name: $name,
            summary: $summary,
            call: |alma, principal, request| {
                Box::pin(async move {
                    reply(&$module::run(alma, principal, read($name, request)?).await?)
                })
            },
        }
    };
}

/// Every operation.
pub const ALL: &[Operation] = &[
    operation!("mission.submit", mission_submit, "plan a wish or a mission file and accept it"),
    operation!("mission.list", mission_list, "list missions, newest first"),
    operation!("mission.show", mission_show, "show a mission with its steps"),
    operation!("mission.report", mission_report, "show the report of a mission"),
    operation!("mission.effects", mission_effects, "list what a mission did to the world"),
    operation!("mission.events", mission_events, "list what happened to a mission"),
    operation!("mission.steer", mission_steer, "change the course of a mission in words"),
    operation!("mission.cancel", mission_cancel, "stop a mission"),
    operation!("plan.new", plan_new, "plan a wish without accepting it"),
    operation!("plan.show", plan_show, "show the plan of a mission"),
    operation!("plan.edit", plan_edit, "replace the plan of a mission, keeping finished steps"),
    operation!("plan.diff", plan_diff, "compare the plans of two missions"),
    operation!("plan.dry_run", plan_dry_run, "show what a wish would do, doing nothing"),
    operation!("approvals.list", approval_list, "list what a person is asked"),
    operation!("approvals.show", approval_show, "show one question in full"),
    operation!("approvals.answer", approval_answer, "answer one question"),
    operation!("dead_letters.list", dead_letter_list, "list steps that ended without a result"),
    operation!("dead_letters.show", dead_letter_show, "show one of them with input and error"),
    operation!("dead_letters.requeue", dead_letter_requeue, "send one of them round again"),
    operation!("dead_letters.discard", dead_letter_discard, "take one of them off the desk"),
    operation!("dead_letters.edit", dead_letter_edit, "give one of them other inputs"),
    operation!("dead_letters.bulk", dead_letter_bulk, "send many of them round, or discard them"),
    operation!("playbooks.list", playbook_list, "list playbooks"),
    operation!("playbooks.show", playbook_show, "show one playbook"),
    operation!("tools.list", tool_list, "list tools"),
    operation!("tools.show", tool_show, "show one tool"),
    operation!("models.list", models_list, "list language models and what is worth getting"),
    operation!("models.show", models_show, "show one language model"),
    operation!("chat.say", chat_say, "say something to Alma and get her answer"),
    operation!("chat.attach", chat_attach, "carry on a turn, or tell again how it ended"),
    operation!("chat.cancel", chat_cancel, "stop a turn of a conversation"),
    operation!("sessions.list", sessions_list, "list conversations, newest first"),
    operation!("sessions.show", sessions_show, "show what was said in a conversation"),
    operation!("sessions.fork", sessions_fork, "go on from a turn in a new conversation"),
    operation!("sessions.search", sessions_search, "find what was said"),
    operation!("memory.recall", recall, "answer from memory, with sources"),
    operation!("memory.remember", remember, "keep a fact"),
    operation!("memory.forget", forget, "remove for good what holds some words"),
    operation!("memory.import", memory_import, "take documents and exported lines into memory"),
    operation!("memory.export", memory_export, "give memories as lines"),
    operation!("memory.report", memory_report, "tell how the memory stands"),
    operation!("memory.rebuild", memory_rebuild, "build the index again from the record"),
    operation!("nightly.list", nightly_list, "list nights, newest first"),
    operation!("nightly.run", nightly_run, "look back on the day now, and propose"),
    operation!("nightly.report", nightly_report, "show the report of a night"),
    operation!("proposals.list", proposals_list, "list what nights proposed"),
    operation!("proposals.show", proposals_show, "show a proposal with what speaks for it"),
    operation!("proposals.accept", proposals_accept, "put a proposal into force"),
    operation!("proposals.reject", proposals_reject, "say that a proposal is not wanted"),
    operation!("proposals.undo", proposals_undo, "take a proposal out of force again"),
    operation!("schedules.new", schedule_new, "put a wish on a schedule"),
    operation!("schedules.list", schedule_list, "list schedules"),
    operation!("schedules.show", schedule_show, "show a schedule with the due times that came"),
    operation!("schedules.approve", schedule_approve, "say yes to all runs of a schedule, once"),
    operation!("schedules.pause", schedule_pause, "let a schedule rest"),
    operation!("schedules.resume", schedule_resume, "let a schedule go on"),
    operation!("schedules.delete", schedule_delete, "end a schedule"),
    operation!("audit.verify", audit_verify, "check the record for any change"),
    operation!("migrate", migrate, "move the record to PostgreSQL, or back into a file"),
    operation!("work.status", work_status, "say whether work goes on, and what waits"),
    operation!("work.set", work_set, "stop all work, let it drain, or let it go on"),
    operation!("doctor", doctor, "look whether everything is in order"),
    operation!("config.show", config_show, "show the configuration in force"),
];

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Operation> {
    ALL.iter().find(|operation| operation.name == name)
}

fn read<T: DeserializeOwned>(name: &str, request: Value) -> Result<T, Error> {
    serde_json::from_value(request)
        .map_err(|error| Error::Usage(format!("the request to {name} cannot be read: {error}")))
}

fn reply<T: Serialize>(response: &T) -> Result<Value, Error> {
    serde_json::to_value(response).map_err(|error| Error::Machine {
        operation: "write the response".to_owned(),
        cause: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_in_the_table_and_names_are_unique() {
        let names: BTreeSet<_> = ALL.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), ALL.len());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/operations");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .filter(|file| {
                let name = file.as_ref().unwrap().file_name();
                name != "mod.rs" && name != "shared.rs"
            })
            .count();
        assert_eq!(files, ALL.len());
    }
}
