//! The mission's state machine: Validate → Check → Heal → Execute → Verify, as
//! decisions over values. The workers carry out what is decided here.
//!
//! | question | file |
//! |---|---|
//! | a step was rung: what is to be done with it? | [`ring`] |
//! | a try failed: again, repair, or the dead-letter desk? | [`failure`] |
//! | an intent has no receipt: did it happen? | [`recovery`] |

pub mod failure;
pub mod recovery;
pub mod ring;
