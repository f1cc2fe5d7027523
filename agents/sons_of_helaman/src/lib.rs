//! The Sons of Helaman: workers. They claim a step, carry it out under the effect
//! protocol, prove it, and write the receipt. They never decide what to do next:
//! `moroni` does, and `policy` says what may happen.
//!
//! One mission step as it passes through here:
//!
//! 1. [`worker`] (one of a [`Crew`], for the tenant of the ring) is rung for a step, claims it with a fencing token, holds its
//!    lease ([`lease`]) and hands it to a job.
//! 2. The job resolves the call, records the intent to look, and has the tool
//!    *prepare*: look and propose (`call`).
//! 3. Each proposed effect gets a permit, or the step parks with a card
//!    (`permit`).
//! 4. Intents are committed, effects carried out, receipts committed
//!    (`call`); after a crash `recovery` settles what is open.
//! 5. Checks run; the step is finished with its verdicts, tried again, repaired,
//!    or laid on the dead-letter desk (`ending`).
//! 6. `iterate` turns a `for_each` step into instances and gathers their outputs;
//!    `closing` writes the report.
//!
//! [`reconcile`] takes claims back from the dead.

mod call;
mod closing;
mod crew;
mod draft;
mod ending;
mod iterate;
mod job;
pub mod lease;
mod permit;
pub mod reconcile;
mod recovery;
mod tally;
mod view;
pub mod worker;

pub use crew::Crew;
pub use draft::{Draft, commit};
pub use ending::StepError;
pub use worker::{Ports, Settings, Timer, WorkError, Worked, Worker};
