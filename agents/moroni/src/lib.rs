//! Moroni plans missions and decides how they go on: values in, values out.
//!
//! A wish becomes a plan in one of three ways: a **mission file** is compiled
//! ([`mission_file`]), the best **playbook** is filled from the words
//! ([`plan_words`]), or a language model has written it ([`written`]). No code here knows what a mission is about: the wording stands
//! in `playbooks/*.yaml`, what is known of languages in `src/words/*.yaml`.
//!
//! | to know | look at |
//! |---|---|
//! | what a playbook is | [`playbook`], [`playbooks`], `playbooks/README.md` |
//! | how words are understood | [`words`], [`names`], [`tables`], [`reading`], [`likeness`], [`slots`] |
//! | how a wish of several parts is planned | [`clauses`], [`plan_words`] |
//! | what is wrong with a plan, or with a playbook | [`lint`], [`schema`], [`trial`] |
//! | how plans are shown and compared | [`render`] |
//! | how a failed step is repaired, or given other inputs | [`heal`], [`inputs`] |
//! | how a mission goes on | [`machine`] |
//! | what a mission says of itself in the end | [`report`] |

pub mod clauses;
pub mod compile;
pub mod heal;
pub mod inputs;
pub mod likeness;
pub mod lint;
pub mod machine;
pub mod mission_file;
pub mod names;
pub mod plan_words;
pub mod playbook;
pub mod playbooks;
pub mod reading;
pub mod refs;
pub mod render;
pub mod report;
#[cfg(test)]
pub(crate) mod samples;
pub mod schema;
pub mod slots;
pub mod tables;
pub mod template;
pub mod trial;
pub mod words;
pub mod written;
pub mod yaml;

pub use heal::heads;
pub use plan_words::{Part, Planned, Refusal, Request, plan};
pub use playbooks::Library as Playbooks;
