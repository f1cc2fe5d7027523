//! A step as it stands on the queue: a version, a colon and the step's name.
//!
//! Anything may stand under our key: entries of a later or an earlier Alma, or
//! what another program wrote there by mistake. Only what we would have written
//! ourselves is a step.

use charter::ids::StepKey;

/// Raised when the form changes.
const VERSION: &str = "1";
/// Longer than any entry of ours.
const LONGEST: usize = 64;

/// Why an entry is no step. Says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoStep {
    #[error("it is longer than any name of a step")]
    TooLong,
    #[error("it was written by another version of Alma")]
    OtherVersion,
    #[error("it was not written by Alma")]
    Foreign,
}

pub(super) fn write(step: &StepKey) -> String {
    format!("{VERSION}:{step}")
}

pub(super) fn read(entry: &[u8]) -> Result<StepKey, NoStep> {
    if entry.len() > LONGEST {
        return Err(NoStep::TooLong);
    }
    let text = std::str::from_utf8(entry).map_err(|_| NoStep::Foreign)?;
    let (version, name) = text.split_once(':').ok_or(NoStep::Foreign)?;
    let numbered = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    if numbered && version != VERSION {
        return Err(NoStep::OtherVersion);
    }
    let step: StepKey = name.parse().map_err(|_| NoStep::Foreign)?;
    // There are several spellings of a number, and one entry for each step.
    if write(&step) == text { Ok(step) } else { Err(NoStep::Foreign) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{mission, step};
    use proptest::prelude::*;

    fn check(entry: &str, expect: Result<StepKey, NoStep>) {
        assert_eq!(read(entry.as_bytes()), expect, "{entry}");
    }

    #[test]
    fn only_what_we_would_write_is_a_step() {
        check("1:m-0000000000000001/3", Ok(step(3)));
        check("1:m-0000000000000001/3.7", Ok(step(3).instance(7)));
        check("2:m-0000000000000001/3", Err(NoStep::OtherVersion));
        check("0:", Err(NoStep::OtherVersion));
        check("m-0000000000000001/3", Err(NoStep::Foreign));
        check("1:m-0000000000000001/03", Err(NoStep::Foreign));
        check("1:m-0000000000000001/+3", Err(NoStep::Foreign));
        check("1:m-0000000000000001/3.0", Err(NoStep::Foreign));
        check("1:m-0000000000000001/3 ", Err(NoStep::Foreign));
        check("01:m-0000000000000001/3", Err(NoStep::OtherVersion));
        check(":", Err(NoStep::Foreign));
        check("", Err(NoStep::Foreign));
        check(&format!("1:{}", "x".repeat(63)), Err(NoStep::TooLong));
        assert_eq!(read(b"1:\xff\xfe"), Err(NoStep::Foreign));
    }

    proptest! {
        #[test]
        fn every_step_is_read_as_it_was_written(n: u32, item: u32) {
            let step = StepKey { mission: mission(), n, item };
            let entry = write(&step);
            prop_assert!(entry.len() <= LONGEST);
            prop_assert_eq!(read(entry.as_bytes()), Ok(step));
        }

        #[test]
        fn no_bytes_break_the_reader(entry: Vec<u8>) {
            if let Ok(step) = read(&entry) {
                prop_assert_eq!(write(&step).into_bytes(), entry);
            }
        }
    }
}
