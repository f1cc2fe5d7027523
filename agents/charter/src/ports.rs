//! The ports: traits behind which the outside world stands. Each has at least
//! two real implementations, one of them for simulation.

mod clock;
mod ledger;
mod query;
mod queue;
mod tools;

pub use clock::{Clock, Drawn, Entropy};
pub use ledger::{
    Committed, Fence, LeaseChange, LeaseRow, LeaseStatus, Ledger, LedgerError, LedgerSize,
    OutboxRow, Transition,
};
pub use query::{Around, LedgerExt, Query, Rows};
pub use queue::{Doorbell, DoorbellError, Live, Ring};
pub use tools::{ProgramWatch, Reach, Tools};
