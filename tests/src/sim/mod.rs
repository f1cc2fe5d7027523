//! A world in one thread and from one seed: the real worker and the real
//! reconciler over the in-memory ledger, with simulated processes, clocks, bell and
//! tools, and faults at every call of a port. A failing seed fails again, and
//! shrinks.
//!
//! | what | file |
//! |---|---|
//! | what a seed simulates, as a value | [`case`] |
//! | randomness, time, and the faults there are | [`fate`] |
//! | the simulated files and services that tools act on | [`target`] |
//! | processes, and the gate that each of their calls passes | [`gate`] |
//! | the ports | [`ports`] |
//! | what a process does: steps, leases, relay, reconciler | [`worker`] |
//! | the person who submits, answers and stops | [`person`] |
//! | one run | [`run`] |
//! | what must hold at every commit and effect | [`book`], [`witness`] |
//! | what must hold in the end | `check` |
//! | what was reached | [`coverage`] |
//! | the smallest case that still fails | [`mod@shrink`] |
//! | the same history on the real store | [`replay`] |

pub mod book;
pub mod case;
mod check;
pub mod coverage;
pub mod fate;
pub mod gate;
pub mod person;
pub mod ports;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod target;
pub mod witness;
pub mod worker;

pub use book::{Rule, Violation};
pub use case::Case;
pub use run::{Outcome, simulate};
pub use shrink::shrink;
