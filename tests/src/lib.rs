//! The test harness: a whole Alma on a folder ([`rig`]), and
//! simulated ports with seeded faults ([`sim`]).

pub mod counting;
pub mod rig;
pub mod sim;
