//! A step as it stands on the queue: `1:` and its name, or `2:`, its name, a colon
//! and its tenant where that is not `local`. A version that knew one tenant reads
//! the first form and leaves the second to others.
//!
//! Anything may stand under our key: entries of a later or an earlier Alma, or
//! what another program wrote there by mistake. Only what we would have written
//! ourselves is a step.

use charter::ids::{StepKey, TenantId};
use charter::ports::Ring;

/// The form of the local tenant's steps.
const LOCAL: &str = "1";
/// The form of all others.
const OTHER: &str = "2";
/// Longer than any entry of ours.
const LONGEST: usize = 512;

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

pub(super) fn write(ring: &Ring) -> String {
    put(&ring.tenant, &ring.step)
}

fn put(tenant: &TenantId, step: &StepKey) -> String {
    match *tenant == TenantId::local() {
        true => format!("{LOCAL}:{step}"),
        false => format!("{OTHER}:{step}:{tenant}"),
    }
}

pub(super) fn read(entry: &[u8]) -> Result<(TenantId, StepKey), NoStep> {
    if entry.len() > LONGEST {
        return Err(NoStep::TooLong);
    }
    let text = std::str::from_utf8(entry).map_err(|_| NoStep::Foreign)?;
    let (version, rest) = text.split_once(':').ok_or(NoStep::Foreign)?;
    let numbered = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    let (name, tenant) = match version {
        LOCAL => (rest, TenantId::local()),
        OTHER => {
            let (name, tenant) = rest.split_once(':').ok_or(NoStep::Foreign)?;
            (name, TenantId(tenant.to_owned()))
        }
        _ if numbered => return Err(NoStep::OtherVersion),
        _ => return Err(NoStep::Foreign),
    };
    let step: StepKey = name.parse().map_err(|_| NoStep::Foreign)?;
    // There are several spellings of a number, and one entry for each step.
    if put(&tenant, &step) == text { Ok((tenant, step)) } else { Err(NoStep::Foreign) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{mission, step};
    use proptest::prelude::*;

    fn check(entry: &str, expect: Result<(&str, StepKey), NoStep>) {
        let expect = expect.map(|(tenant, step)| (TenantId(tenant.to_owned()), step));
        assert_eq!(read(entry.as_bytes()), expect, "{entry}");
    }

    #[test]
    fn only_what_we_would_write_is_a_step() {
        check("1:m-0000000000000001/3", Ok(("local", step(3))));
        check("1:m-0000000000000001/3.7", Ok(("local", step(3).instance(7))));
        check("2:m-0000000000000001/3:a:b", Ok(("a:b", step(3))));
        check("2:m-0000000000000001/3:local", Err(NoStep::Foreign));
        check("2:m-0000000000000001/3", Err(NoStep::Foreign));
        check("3:m-0000000000000001/3", Err(NoStep::OtherVersion));
        check("0:", Err(NoStep::OtherVersion));
        check("m-0000000000000001/3", Err(NoStep::Foreign));
        check("1:m-0000000000000001/03", Err(NoStep::Foreign));
        check("1:m-0000000000000001/+3", Err(NoStep::Foreign));
        check("1:m-0000000000000001/3.0", Err(NoStep::Foreign));
        check("1:m-0000000000000001/3 ", Err(NoStep::Foreign));
        check("01:m-0000000000000001/3", Err(NoStep::OtherVersion));
        check(":", Err(NoStep::Foreign));
        check("", Err(NoStep::Foreign));
        check(&format!("1:{}", "x".repeat(511)), Err(NoStep::TooLong));
        assert_eq!(read(b"1:\xff\xfe"), Err(NoStep::Foreign));
    }

    proptest! {
        #[test]
        fn every_step_is_read_as_it_was_written(n: u32, item: u32, tenant in "[a-z:]{1,200}") {
            let (step, tenant) = (StepKey { mission: mission(), n, item }, TenantId(tenant));
            let entry = put(&tenant, &step);
            prop_assert!(entry.len() <= LONGEST);
            prop_assert_eq!(read(entry.as_bytes()), Ok((tenant, step)));
        }

        #[test]
        fn no_bytes_break_the_reader(entry: Vec<u8>) {
            if let Ok((tenant, step)) = read(&entry) {
                prop_assert_eq!(put(&tenant, &step).into_bytes(), entry);
            }
        }
    }
}
