//! Whose turn it is: the lane that a step takes, how urgent its mission is, and the
//! flow that both make with its tenant.
//!
//! A lane is a bulkhead: it has a waiting line and takers of its own, so that what
//! is slow or heavy holds up nothing else. Within a lane the flows share the takers
//! by weight (`queue::fair`).

use crate::effect::EffectClass;
use crate::ids::TenantId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a step needs most.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Little: it reads, computes and writes files.
    #[default]
    Light,
    /// A sandbox, with processors and memory.
    Exec,
    /// The language model.
    Model,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 3] = [Self::Light, Self::Exec, Self::Model];

    /// The lane of a step: by the furthest that it may reach, and by its tool.
    pub fn of(class: EffectClass, asks_model: bool) -> Self {
        match asks_model {
            true => Self::Model,
            false if class >= EffectClass::Exec => Self::Exec,
            false => Self::Light,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Exec => "exec",
            Self::Model => "model",
        }
    }

    /// Whether it is the one of most steps.
    pub fn is_light(&self) -> bool {
        *self == Self::Light
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How urgent a mission is.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// May wait: schedules and the night.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before others.
    High,
}

impl Priority {
    /// Every priority.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// Its share beside the others: a share, not a rank, so that nothing waits for
    /// ever behind what is more urgent.
    pub fn weight(self) -> u32 {
        match self {
            Self::Low => 1,
            Self::Normal => 4,
            Self::High => 16,
        }
    }

    /// Whether it is the usual one.
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no priority: expected low, normal or high")]
pub struct PriorityError(String);

impl FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, PriorityError> {
        let named = |priority: &Self| priority.as_str() == text;
        let unknown = || PriorityError(text.chars().take(40).collect());
        Self::ALL.into_iter().find(named).ok_or_else(unknown)
    }
}

/// Steps that stand in one line. Written `light/normal/local`: flows of one lane
/// stand together where they are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The lane.
    pub lane: Lane,
    /// How urgent.
    pub priority: Priority,
    /// Whose.
    pub tenant: TenantId,
}

impl Flow {
    /// Reads what was written. A step of an Alma that knew no flows says nothing, and
    /// takes the usual one of its tenant; so does one of an Alma that knows more.
    pub fn read(text: &str, tenant: TenantId) -> Self {
        let mut parts = text.splitn(3, '/');
        let lane = parts.next().and_then(|name| Lane::ALL.into_iter().find(|l| l.as_str() == name));
        let priority = parts.next().and_then(|name| name.parse().ok());
        Self { lane: lane.unwrap_or_default(), priority: priority.unwrap_or_default(), tenant }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.lane, self.priority, self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lane_is_told_by_class_and_tool() {
        let check = |class, asks_model, expect| assert_eq!(Lane::of(class, asks_model), expect);
        check(EffectClass::Think, false, Lane::Light);
        check(EffectClass::Change, false, Lane::Light);
        check(EffectClass::Exec, false, Lane::Exec);
        check(EffectClass::External, false, Lane::Exec);
        check(EffectClass::Read, true, Lane::Model);
        check(EffectClass::Exec, true, Lane::Model);
    }

    #[test]
    fn a_flow_is_read_as_it_was_written() {
        for lane in Lane::ALL {
            for priority in Priority::ALL {
                let tenant = TenantId("a/b".to_owned());
                let flow = Flow { lane, priority, tenant: tenant.clone() };
                assert_eq!(Flow::read(&flow.to_string(), tenant), flow);
            }
        }
    }

    #[test]
    fn what_says_nothing_takes_the_usual_way() {
        let usual = |text: &str| Flow::read(text, TenantId::local()).to_string();
        assert_eq!(usual(""), "light/normal/local");
        assert_eq!(usual("warp/urgent/other"), "light/normal/local");
    }

    #[test]
    fn a_priority_has_a_name_and_nothing_else_is_one() {
        for priority in Priority::ALL {
            assert_eq!(priority.as_str().parse(), Ok(priority));
        }
        let error = "urgent".parse::<Priority>().unwrap_err().to_string();
        assert_eq!(error, "\"urgent\" is no priority: expected low, normal or high");
    }
}
