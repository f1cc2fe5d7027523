//! The test harness: simulated ports with seeded faults ([`sim`]).

pub mod sim;
