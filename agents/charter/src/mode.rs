//! Whether work goes on: one switch per tenant, durable like everything else.
//! Nothing is lost by turning it, and nothing is done twice.

use crate::ids::{Millis, TenantId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the switch stands.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Steps are claimed and carried out.
    Running,
    /// Running steps end by themselves, and no other is claimed.
    Maintenance,
    /// Running steps are interrupted, and no other is claimed.
    Stopped,
}

impl Mode {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Maintenance => "maintenance",
            Self::Stopped => "stopped",
        }
    }

    /// What there is to say while work does not go on, and how it goes on.
    pub fn notice(self) -> Option<&'static str> {
        match self {
            Self::Running => None,
            Self::Maintenance => Some(
                "maintenance: running steps end, no new one begins, and what is submitted waits; \
                 `alma stop --maintenance off` ends it",
            ),
            Self::Stopped => Some(
                "everything is stopped, and what is submitted waits; `alma stop --resume` lets it \
                 go on where it was",
            ),
        }
    }

    /// Whether the switch may be turned like this. What is stopped does not become
    /// maintenance: that would begin nothing and read as less.
    pub fn may_become(self, next: Self) -> bool {
        !(self == Self::Stopped && next == Self::Maintenance)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The switch of a tenant. One that was never turned has no row, and is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// How it stands.
    pub mode: Mode,
    /// Who turned it.
    pub by: String,
    /// When.
    pub at: Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_stopped_cannot_be_put_into_maintenance() {
        use Mode::{Maintenance, Running, Stopped};
        let all = [Running, Maintenance, Stopped];
        let refused: Vec<_> = all
            .iter()
            .flat_map(|from| all.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| !from.may_become(*to))
            .collect();
        assert_eq!(refused, [(Stopped, Maintenance)]);
    }

    #[test]
    fn whoever_is_told_that_nothing_goes_on_is_told_how_it_does() {
        assert_eq!(Mode::Running.notice(), None);
        for mode in [Mode::Maintenance, Mode::Stopped] {
            assert!(mode.notice().is_some_and(|notice| notice.contains("`alma stop --")));
        }
    }
}
