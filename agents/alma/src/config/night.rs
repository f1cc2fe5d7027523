//! When the day is looked back on, and how long.

use crate::night::timer::time_of_day;
use serde::{Deserialize, Serialize};

/// The night.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Night {
    /// The local time at which it begins, as in `02:30`; `never`: only by hand.
    pub at: String,
    /// Seconds that it may take, 1 to 86,400; what is not done then is left out.
    pub seconds: u32,
    /// Missions, turns and memories that it looks at, each, 1 to 100,000.
    pub items: u32,
}

impl Night {
    /// What is wrong with a field, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        time_of_day(&self.at).map_err(|message| format!("night.at: {message}"))?;
        if !(1..=86_400).contains(&self.seconds) {
            return Err("night.seconds: expected 1 to 86400".to_owned());
        }
        if !(1..=100_000).contains(&self.items) {
            return Err("night.items: expected 1 to 100000".to_owned());
        }
        Ok(())
    }
}
