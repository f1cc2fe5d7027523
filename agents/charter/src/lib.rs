//! The words Alma's rooms share: values in files by topic, and the **ports**,
//! traits behind which the outside world stands.
//!
//! Nothing here does I/O, reads a clock, draws a random number or knows an
//! asynchronous runtime. A decision made from these values alone can be
//! replayed, simulated and tested without a machine.
//!
//! | topic | file |
//! |---|---|
//! | who asks, and typed names for things | [`ids`] |
//! | SHA-256 and canonical JSON | [`digest`] |
//! | human text, kept apart from the record of it | [`content`] |
//! | trust and sensitivity of a datum | [`label`] |
//! | what a mission may spend | [`budget`] |
//! | plans and their steps | [`plan`], [`mod@reference`] |
//! | what a tool is, and what it proposes to change | [`tool`], [`effect`] |
//! | checks and their verdicts | [`check`] |
//! | what is asked of a person | [`approval`] |
//! | the record: events, and the rows derived from them | [`event`], [`rows`] |
//! | an event as it leaves the house; its schema in `schemas/` | [`envelope`] |
//! | whether work goes on | [`mode`] |
//! | who does what exactly one process may do | [`leader`] |
//! | whose turn it is | [`flow`] |
//! | conversations, memories, schedules, nights: events and rows | [`conversation`], [`memory`], [`schedule`], [`night`], [`record`] |
//! | what lies in a workspace | [`survey`] |
//! | what a mission says of itself in the end | [`report`] |
//! | what is asked of a language model, and its port | [`generate`] |
//! | what a small model says at once, and its port | [`reflex`] |
//! | summaries in a model's words, and what of them must hold | [`gist`] |
//! | a server that keeps failing is left alone for a while | [`breaker`] |
//! | the ports | [`ports`], [`embed`], [`excerpt`] |

pub mod approval;
pub mod breaker;
pub mod budget;
pub mod check;
pub mod content;
pub mod conversation;
pub mod digest;
pub mod effect;
pub mod embed;
pub mod envelope;
pub mod event;
pub mod excerpt;
pub mod flow;
pub mod generate;
pub mod gist;
pub mod ids;
pub mod label;
pub mod leader;
pub mod memory;
pub mod mode;
pub mod night;
pub mod plan;
pub mod ports;
pub mod record;
pub mod reference;
pub mod reflex;
pub mod report;
pub mod rows;
pub mod schedule;
#[cfg(test)]
mod schemas;
pub mod survey;
pub mod tool;
