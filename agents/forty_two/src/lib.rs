//! Forty-Two: the night. What happened, what was learned, how well everything
//! works, what an attacker would have got, and what would help: values in, values
//! out. Nothing here reads a file, a clock or the ledger, and nothing is applied
//! that nobody approved.
//!
//! | to know | look at |
//! |---|---|
//! | the day as a value | [`day`] |
//! | counts, told in sentences | [`happened`] |
//! | what no single source says | [`lessons`] |
//! | figures with their trend | [`scores`] |
//! | the day once more, with somebody who means ill | [`attack`] |
//! | from three missions to a playbook | [`playbook`] |
//! | what planning must answer for that | [`planner`] |
//! | the report, and how it looks | [`report`], [`show`], [`spark`] |

pub mod attack;
pub mod day;
pub mod happened;
pub mod lessons;
pub mod planner;
pub mod playbook;
pub mod report;
pub mod scores;
pub mod show;
pub mod spark;
#[cfg(test)]
pub(crate) mod testing;
