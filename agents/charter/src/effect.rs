//! What happens to the world: classes of effects, proposed changes, and the
//! state of the things they touch.

use crate::digest::{Digest, DigestError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far an effect reaches, from harmless to irrevocable.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Computes from its arguments alone.
    Think,
    /// Reads the world.
    Read,
    /// Writes Alma's own memory.
    Memory,
    /// Makes a file or folder under a free name, or moves one onto a free name.
    Create,
    /// Overwrites or deletes.
    Change,
    /// Runs a program.
    Exec,
    /// Talks to another machine.
    Network,
    /// Acts on another machine.
    Remote,
    /// Cannot be undone by anyone here: a message, a payment.
    External,
}

impl EffectClass {
    /// Every class, mildest first.
    pub const ALL: [Self; 9] = [
        Self::Think,
        Self::Read,
        Self::Memory,
        Self::Create,
        Self::Change,
        Self::Exec,
        Self::Network,
        Self::Remote,
        Self::External,
    ];

    /// Its name in plans, rules and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Think => "think",
            Self::Read => "read",
            Self::Memory => "memory",
            Self::Create => "create",
            Self::Change => "change",
            Self::Exec => "exec",
            Self::Network => "network",
            Self::Remote => "remote",
            Self::External => "external",
        }
    }
}

impl fmt::Display for EffectClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an effect may be carried out again when nobody knows if it was.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Doing it twice is doing it once.
    Safe,
    /// The target knows the idempotency key and refuses a second time.
    Keyed,
    /// The target can be asked whether it happened.
    Probe,
    /// Neither: after a crash a person is asked.
    Never,
}

/// What a path holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum TargetState {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// SHA-256 of its bytes.
        sha256: Digest,
        /// Its size.
        bytes: u64,
    },
    /// A folder; its contents are targets of their own.
    Folder,
    /// A link, device or socket; never touched.
    Other,
}

/// A path and what it holds, or shall hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Relative to the workspace, `/`-separated, without `..`.
    pub path: String,
    /// What it holds.
    pub state: TargetState,
}

/// Digest of a list of targets: compares pre- and post-states without text.
pub fn targets_digest(targets: &[Target]) -> Result<Digest, DigestError> {
    Digest::of_json(targets)
}

/// One change of the user's files that a tool proposes. The set is closed: what
/// cannot be said here, a tool cannot do to files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Change {
    /// The path holds exactly these bytes afterwards. Missing folders above it
    /// are made.
    Write {
        /// Relative to the workspace.
        path: String,
        /// The whole new content.
        #[serde(with = "hex_bytes")]
        bytes: Vec<u8>,
        /// Unix permission bits; `None` is the default of the system.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
    },
    /// A folder exists afterwards.
    Folder {
        /// Relative to the workspace.
        path: String,
    },
    /// The file stands under another, free name afterwards.
    Move {
        /// Where it is.
        from: String,
        /// Where it goes; must be free.
        to: String,
    },
    /// The file, or the empty folder, is gone afterwards.
    Delete {
        /// Relative to the workspace.
        path: String,
    },
}

impl Change {
    /// The paths it touches, in the order of its target states.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Self::Write { path, .. } | Self::Folder { path } | Self::Delete { path } => vec![path],
            Self::Move { from, to } => vec![from, to],
        }
    }

    /// What the paths hold after the change, given what they held before.
    pub fn expected(&self, before: &[Target]) -> Vec<Target> {
        let state_after = |i: usize| match (self, i) {
            (Self::Write { bytes, .. }, _) => {
                TargetState::File { sha256: Digest::of(bytes), bytes: bytes.len() as u64 }
            }
            (Self::Folder { .. }, _) => TargetState::Folder,
            (Self::Delete { .. }, _) | (Self::Move { .. }, 0) => TargetState::Absent,
            (Self::Move { .. }, _) => {
                before.first().map_or(TargetState::Absent, |from| from.state.clone())
            }
        };
        self.paths()
            .into_iter()
            .enumerate()
            .map(|(i, path)| Target { path: path.to_owned(), state: state_after(i) })
            .collect()
    }

    /// Its class, given what the paths held before: onto a free name is
    /// `create`, anything that loses bytes is `change`.
    pub fn class(&self, before: &[Target]) -> EffectClass {
        let held = |i: usize| before.get(i).map(|target| &target.state);
        match self {
            Self::Write { .. } if held(0) == Some(&TargetState::Absent) => EffectClass::Create,
            Self::Folder { .. } => EffectClass::Create,
            Self::Move { .. } if held(1) == Some(&TargetState::Absent) => EffectClass::Create,
            Self::Write { .. } | Self::Move { .. } | Self::Delete { .. } => EffectClass::Change,
        }
    }

    /// Bytes that it writes.
    pub fn bytes_written(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } => bytes.len() as u64,
            Self::Folder { .. } | Self::Move { .. } | Self::Delete { .. } => 0,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, bytes, .. } => write!(f, "write {path:?} ({} bytes)", bytes.len()),
            Self::Folder { path } => write!(f, "make the folder {path:?}"),
            Self::Move { from, to } => write!(f, "move {from:?} to {to:?}"),
            Self::Delete { path } => write!(f, "delete {path:?}"),
        }
    }
}

/// Bytes in JSON as hexadecimal text; as plain bytes in binary formats.
mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            hex::encode(bytes).serialize(s)
        } else {
            serde_bytes::Bytes::new(bytes).serialize(s)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        if d.is_human_readable() {
            let text = String::deserialize(d)?;
            hex::decode(text).map_err(serde::de::Error::custom)
        } else {
            serde_bytes::ByteBuf::deserialize(d).map(serde_bytes::ByteBuf::into_vec)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, state: TargetState) -> Target {
        Target { path: path.to_owned(), state }
    }

    #[test]
    fn writing_a_free_name_creates_and_writing_a_file_changes() {
        let write = Change::Write { path: "a".into(), bytes: b"x".to_vec(), mode: None };
        let file = TargetState::File { sha256: Digest::of(b"old"), bytes: 3 };
        assert_eq!(write.class(&[at("a", TargetState::Absent)]), EffectClass::Create);
        assert_eq!(write.class(&[at("a", file)]), EffectClass::Change);
    }

    #[test]
    fn a_moved_file_keeps_its_content() {
        let file = TargetState::File { sha256: Digest::of(b"x"), bytes: 1 };
        let before = [at("a", file.clone()), at("b", TargetState::Absent)];
        let change = Change::Move { from: "a".into(), to: "b".into() };
        assert_eq!(change.class(&before), EffectClass::Create);
        assert_eq!(change.expected(&before), [at("a", TargetState::Absent), at("b", file)]);
    }

    #[test]
    fn a_change_reads_back_from_json() {
        let write = Change::Write { path: "a".into(), bytes: vec![0, 255], mode: Some(0o755) };
        let text = serde_json::to_string(&write).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), write);
    }
}
