//! Bounds that both stores hold.

use crate::projection::conflict;
use charter::ports::LedgerError;
use charter::tool::Process;

/// Most rows that one answer holds, whatever was asked for: a plan with all its
/// instances fits several times.
pub(crate) const ROWS_MAX: u32 = 100_000;
/// Most programs that one step may have running.
pub(crate) const PROGRAMS_MAX: usize = 64;

/// How many rows to answer with.
pub(crate) fn rows_at_most(limit: u32) -> usize {
    limit.min(ROWS_MAX) as usize
}

/// How many rows of each of so many flows to answer with.
pub(crate) fn of_each(limit: u32, flows: usize) -> u32 {
    let flows = u32::try_from(flows).unwrap_or(u32::MAX).max(1);
    limit.min((ROWS_MAX / flows).max(1))
}

/// Adds a program that started to the list of a lease, or takes off one that ended.
pub(crate) fn note(
    programs: &mut Vec<Process>,
    program: &Process,
    running: bool,
) -> Result<(), LedgerError> {
    programs.retain(|known| known != program);
    if running {
        if programs.len() >= PROGRAMS_MAX {
            return conflict(format!("a step has at most {PROGRAMS_MAX} programs running"));
        }
        programs.push(program.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_noted_once_and_bounded() {
        let program = |pid| Process { host: "h".into(), pid, start: 1 };
        let mut programs = Vec::new();
        for pid in [1, 1, 2] {
            note(&mut programs, &program(pid), true).unwrap();
        }
        note(&mut programs, &program(1), false).unwrap();
        assert_eq!(programs, [program(2)]);
        for pid in 3..66 {
            note(&mut programs, &program(pid), true).unwrap();
        }
        assert!(note(&mut programs, &program(99), true).is_err());
    }
}
