//! Trust and sensitivity. Every datum carries both from the first day, and they
//! join when data are combined.

use serde::{Deserialize, Serialize};

/// Who could have written a text.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The user's own words, a shipped playbook, or a value computed from such alone.
    Trusted,
    /// Anything read from the world: files, their names, program output.
    Untrusted,
}

/// How much harm it does when others see a text.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// The user's ordinary data.
    Private,
    /// Keys, passwords and files that look like them.
    Secret,
}

/// Trust and sensitivity of a datum.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// Who could have written it.
    pub trust: Trust,
    /// How much harm it does when others see it.
    pub sensitivity: Sensitivity,
}

impl Label {
    /// The user's own words.
    pub const TRUSTED: Self = Self { trust: Trust::Trusted, sensitivity: Sensitivity::Private };
    /// Read from the world.
    pub const UNTRUSTED: Self = Self { trust: Trust::Untrusted, sensitivity: Sensitivity::Private };

    /// The label of data made from both: the less trusted, the more sensitive.
    pub fn join(self, other: Self) -> Self {
        Self {
            trust: self.trust.max(other.trust),
            sensitivity: self.sensitivity.max(other.sensitivity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_never_gains_trust() {
        assert_eq!(Label::TRUSTED.join(Label::UNTRUSTED), Label::UNTRUSTED);
        assert_eq!(Label::TRUSTED.join(Label::TRUSTED), Label::TRUSTED);
    }
}
