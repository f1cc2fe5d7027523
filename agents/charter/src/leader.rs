//! The office of the leader. Of all processes that share a record exactly one
//! relays, takes claims back from other hosts, takes due times and looks back at
//! night.
//!
//! The office is a lease with a term, a number that only grows. A leader that stood
//! still for longer than its lease does not know that another leads by now, so what
//! only a leader may commit names its term ([`crate::ports::Transition::term`]), and
//! the ledger refuses every term but the newest.

use crate::ids::Millis;
use crate::tool::Process;
use serde::{Deserialize, Serialize};

/// Who leads, or led last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRow {
    /// Counts the times that the office changed hands.
    pub term: u64,
    /// Who has it.
    pub holder: Process,
    /// When it is free again unless renewed.
    pub expires_at: Millis,
}

/// Asks for the office, or to keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// Who asks.
    pub holder: Process,
    /// The time.
    pub now: Millis,
    /// Until when it wants the office; not later than now: it gives it back.
    pub expires_at: Millis,
    /// The term of a holder that is known to be dead: its office is free.
    pub over: Option<u64>,
}

impl Bid {
    /// Who leads after this bid: the bidder in a new term where the office is free,
    /// in the same term where it is the bidder's already, else whoever leads.
    pub fn on(&self, row: Option<&LeaderRow>) -> LeaderRow {
        let next = |term: u64| LeaderRow {
            term,
            holder: self.holder.clone(),
            expires_at: self.expires_at,
        };
        match row {
            None => next(1),
            Some(row) if row.holder == self.holder => next(row.term),
            Some(row) if row.expires_at <= self.now || self.over == Some(row.term) => {
                next(row.term.saturating_add(1))
            }
            Some(row) => row.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Process {
        Process { host: "here".into(), pid, start: 1 }
    }

    fn check(row: Option<(u64, u32, Millis)>, bid: (u32, Millis, Option<u64>), leads: (u64, u32)) {
        let row =
            row.map(|(term, pid, expires_at)| LeaderRow { term, holder: process(pid), expires_at });
        let (pid, now, over) = bid;
        let bid = Bid { holder: process(pid), now, expires_at: now + 5, over };
        let next = bid.on(row.as_ref());
        assert_eq!((next.term, next.holder.pid), leads);
        let is_bidders = leads.1 == pid;
        assert_eq!(next.expires_at == now + 5, is_bidders, "{next:?}");
    }

    #[test]
    fn the_office_is_taken_when_it_is_free_and_never_otherwise() {
        check(None, (7, 100, None), (1, 7));
        check(Some((3, 8, 101)), (7, 100, None), (3, 8));
        check(Some((3, 8, 100)), (7, 100, None), (4, 7));
        check(Some((3, 8, 900)), (7, 100, Some(3)), (4, 7));
        // Who was known to be dead led before this one.
        check(Some((3, 8, 900)), (7, 100, Some(2)), (3, 8));
    }

    #[test]
    fn its_holder_keeps_the_term_while_nobody_else_took_it() {
        check(Some((3, 7, 101)), (7, 100, None), (3, 7));
        check(Some((3, 7, 50)), (7, 100, None), (3, 7));
    }

    #[test]
    fn who_gives_it_back_leaves_it_free() {
        let row = LeaderRow { term: 3, holder: process(7), expires_at: 900 };
        let gone = Bid { holder: process(7), now: 100, expires_at: 100, over: None };
        let free = gone.on(Some(&row));
        assert_eq!((free.term, free.expires_at), (3, 100));
        let next = Bid { holder: process(8), now: 100, expires_at: 105, over: None };
        assert_eq!(next.on(Some(&free)).term, 4);
    }
}
