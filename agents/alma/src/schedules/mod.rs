//! Schedules: wishes that come true again and again, at times of a clock on the
//! wall.
//!
//! ```text
//! words ── when ──► rhythm + wish ── plan, dry run ──► Created ──► Approved
//!                                                          │ (if a run would ask)
//! owner, each minute: due? ── missed::take ──► MissionSubmitted … Due   (one transition)
//! ```
//!
//! Every due time is a record that can be made once, with the mission that it
//! submitted in the same transition: whoever takes it, and whenever that one dies,
//! it is taken once. A person approves a schedule once. What is approved is the plan
//! of that day: on a due day the wish is planned for both days, and where the plan
//! for the approved day is still the same, the plan for the due day differs from it
//! in its dates alone. Its mission then carries a standing approval, which covers
//! what the approved steps ask ([`charter::approval::cover`]); everything else parks
//! as ever, and is shown as an alert.

mod arrange;
pub mod cron;
mod due;
mod keep;
mod manage;
mod missed;
pub mod rhythm;
mod show;
pub mod when;
mod words;
pub mod zone;

pub(crate) use arrange::{Arranged, arrange, managed};
pub use due::take_due;
pub(crate) use keep::{Wanted, approve, delete, make, pause, resume, row, schedules};
pub use show::{Alert, Last, Shown};
pub(crate) use show::{approved_plan, past, shown};
