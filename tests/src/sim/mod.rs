//! A world in one thread and from one seed: the real worker over the in-memory
//! ledger, with simulated doorbell, clock and tools, and faults at every call of
//! a port. A failing seed fails again.
//!
//! | what | file |
//! |---|---|
//! | randomness, time, and the draw of faults | [`fate`] |
//! | the simulated files and services that tools act on | [`target`] |
//! | the ports, each call a place where a worker may die | [`ports`] |
//! | workers as tasks, the person who answers, the run | [`run`] |
//! | what must hold in the end | [`check`] |

pub mod check;
pub mod fate;
pub mod ports;
pub mod run;
pub mod target;

pub use check::Violation;
pub use run::{Outcome, simulate};
