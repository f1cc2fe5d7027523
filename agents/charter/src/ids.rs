//! Typed names: a mission cannot be passed where an approval is meant.
//!
//! An id is a prefix and sixteen characters of Crockford base 32: 48 bits of
//! milliseconds, then 32 random bits, so ids sort by the time they were made.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::ports::Entropy;

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = i64;

/// A text that is no id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {kind}: expected {expected}")]
pub struct IdError {
    text: String,
    kind: &'static str,
    expected: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn encode(now: Millis, random: u32) -> String {
    let value = ((now as u128 & 0xffff_ffff_ffff) << 32) | u128::from(random);
    (0..16).rev().map(|i| ALPHABET[(value >> (i * 5)) as usize & 31] as char).collect()
}

/// The time in an id; 0 in a text that is none.
fn decode_millis(id: &str) -> Millis {
    let digits = id.split_once('-').map_or("", |(_, digits)| digits).bytes().take(16);
    let value = digits.fold(0u128, |value, digit| {
        let digit = ALPHABET.iter().position(|known| *known == digit).unwrap_or(0);
        (value << 5) | digit as u128
    });
    (value >> 32) as Millis & 0xffff_ffff_ffff
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new name from the time and four random bytes.
            pub fn new(now: Millis, entropy: &dyn Entropy) -> Self {
                Self(format!(concat!($prefix, "-{}"), encode(now, entropy.next_u32())))
            }

            /// When it was made.
            pub fn made_at(&self) -> Millis {
                decode_millis(&self.0)
            }

            /// The text form, for instance `m-01k9…`.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let good = text.strip_prefix(concat!($prefix, "-")).is_some_and(|rest| {
                    rest.len() == 16 && rest.bytes().all(|b| ALPHABET.contains(&b))
                });
                if good {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError {
                        text: text.chars().take(80).collect(),
                        kind: $kind,
                        expected: concat!($prefix, "- and sixteen letters or digits"),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        #[cfg(test)]
        crate::schemas::text!($name, concat!("^", $prefix, "-[0-9a-hjkmnp-tv-z]{16}$"));
    };
}

id!(
    /// A mission: one wish, planned and carried out.
    MissionId, "m", "a mission"
);
id!(
    /// Something a person is asked: permission, or what really happened.
    ApprovalId, "a", "an approval"
);
id!(
    /// One text in the content store.
    ContentId, "c", "a content"
);
id!(
    /// One atomic change of the ledger. Committing it twice is committing it once.
    TransitionId, "t", "a transition"
);
id!(
    /// One start of a worker. A restarted worker is another worker.
    WorkerId, "w", "a worker"
);

id!(
    /// A conversation.
    SessionId, "s", "a session"
);
id!(
    /// What was said in a conversation, and what came of it.
    TurnId, "u", "a turn"
);
id!(
    /// Something that is remembered.
    MemoryId, "k", "a memory"
);
id!(
    /// A mission that is due again and again.
    ScheduleId, "r", "a schedule"
);
id!(
    /// A nightly run.
    NightId, "n", "a nightly run"
);
id!(
    /// A change that a nightly run proposes.
    ProposalId, "p", "a proposal"
);

/// Whose data it is. The local user is tenant `local`.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantId(pub String);

impl TenantId {
    /// The tenant of a single-user installation.
    pub fn local() -> Self {
        Self("local".to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who asks: the first argument of every operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Whose data the operation sees.
    pub tenant: TenantId,
    /// The person or program, for the record.
    pub subject: String,
}

impl Principal {
    /// The person at this machine.
    pub fn local() -> Self {
        Self { tenant: TenantId::local(), subject: "local".to_owned() }
    }
}

/// A step of a mission, or one instance of a `for_each` step.
///
/// Position 0 is the mission's closing report; steps count from 1; `item` 0 is
/// the step itself, instances count from 1. Written `m-…/3` or `m-…/3.12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepKey {
    /// The mission.
    pub mission: MissionId,
    /// Position in the plan; 0 is the report.
    pub n: u32,
    /// Instance of a `for_each` step; 0 is the step itself.
    pub item: u32,
}

impl StepKey {
    /// Step `n` of a mission.
    pub fn step(mission: &MissionId, n: u32) -> Self {
        Self { mission: mission.clone(), n, item: 0 }
    }

    /// The closing report of a mission.
    pub fn report(mission: &MissionId) -> Self {
        Self::step(mission, 0)
    }

    /// Instance `item` (from 1) of this step.
    pub fn instance(&self, item: u32) -> Self {
        Self { item, ..self.clone() }
    }

    /// The step that an instance belongs to; `None` for a step itself.
    pub fn parent(&self) -> Option<Self> {
        (self.item > 0).then(|| Self { item: 0, ..self.clone() })
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            0 => write!(f, "{}/{}", self.mission, self.n),
            item => write!(f, "{}/{}.{item}", self.mission, self.n),
        }
    }
}

impl FromStr for StepKey {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (mission, place) = text.split_once('/')?;
            let (n, item) = place.split_once('.').unwrap_or((place, "0"));
            Some(Self {
                mission: mission.parse().ok()?,
                n: n.parse().ok()?,
                item: item.parse().ok()?,
            })
        };
        parse().ok_or_else(|| IdError {
            text: text.chars().take(80).collect(),
            kind: "a step",
            expected: "a mission, a slash and a number, as in m-…/3",
        })
    }
}

impl TryFrom<String> for StepKey {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<StepKey> for String {
    fn from(key: StepKey) -> String {
        key.to_string()
    }
}

#[cfg(test)]
crate::schemas::text!(StepKey, "^m-[0-9a-hjkmnp-tv-z]{16}/[0-9]+([.][0-9]+)?$");

/// A sequence of events with a hash chain of its own: `mission/m-…`,
/// `conversation/s-…`, `memory`, or `admin` (schedules, nights, proposals).
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub String);

impl StreamId {
    /// The stream of one mission.
    pub fn mission(id: &MissionId) -> Self {
        Self(format!("mission/{id}"))
    }

    /// The stream of one conversation.
    pub fn conversation(id: &SessionId) -> Self {
        Self(format!("conversation/{id}"))
    }

    /// The tenant's memories.
    pub fn memory() -> Self {
        Self("memory".to_owned())
    }

    /// The tenant's administration stream.
    pub fn admin() -> Self {
        Self("admin".to_owned())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Fixed(AtomicU32);
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(4) {
                let next = self.0.fetch_add(1, Ordering::Relaxed);
                chunk.copy_from_slice(&next.to_le_bytes()[..chunk.len()]);
            }
        }
    }

    proptest! {
        #[test]
        fn a_step_key_reads_back_as_written(now in 0i64..1 << 47, random: u32, n in 0u32..1000, item in 0u32..1000) {
            let mission = MissionId(format!("m-{}", encode(now, random)));
            let key = StepKey { mission, n, item };
            prop_assert_eq!(key.to_string().parse::<StepKey>(), Ok(key));
        }

        #[test]
        fn an_id_knows_when_it_was_made(now in 0i64..1 << 48, random: u32) {
            prop_assert_eq!(WorkerId(format!("w-{}", encode(now, random))).made_at(), now);
        }

        #[test]
        fn ids_sort_by_time(a in 0i64..1 << 47, b in 0i64..1 << 47, x: u32, y: u32) {
            prop_assume!(a < b);
            prop_assert!(encode(a, x) < encode(b, y));
        }
    }

    #[test]
    fn another_kind_of_id_is_refused() {
        let fixed = Fixed(AtomicU32::new(7));
        let mission = MissionId::new(1, &fixed);
        assert!(mission.as_str().parse::<ApprovalId>().is_err());
        assert!("m-short".parse::<MissionId>().is_err());
    }
}
