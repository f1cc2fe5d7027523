//! What simulated tools act on: files, and three kinds of services that count.

use charter::digest::Digest;
use charter::effect::{Change, Target, TargetState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// A service that counts how often it was asked to act, by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// It knows idempotency keys: a second call with a key changes nothing.
    Keyed,
    /// It can be asked whether a key was used.
    Probed,
    /// Neither.
    Neither,
    /// A second call changes nothing.
    Plain,
}

/// The world outside the ledger. It survives every crash.
#[derive(Default)]
pub struct World {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
    counts: BTreeMap<(Service, String), u32>,
    keys: BTreeSet<Digest>,
    tries: BTreeMap<String, u64>,
}

impl World {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service acts for a step. Tells whether it is asked for the first time.
    pub fn act(&self, service: Service, who: &str, key: &Digest) -> bool {
        let mut state = self.lock();
        let seen = !state.keys.insert(*key);
        let count = state.counts.entry((service, who.to_owned())).or_default();
        if service != Service::Keyed || !seen {
            *count += 1;
        }
        !seen
    }

    /// Whether a key was used.
    pub fn knows(&self, key: &Digest) -> bool {
        self.lock().keys.contains(key)
    }

    /// How often a service acted for a step.
    pub fn count(&self, service: Service, who: &str) -> u32 {
        self.lock().counts.get(&(service, who.to_owned())).copied().unwrap_or(0)
    }

    /// A tool was asked to prepare.
    pub fn tried(&self, who: &str) {
        *self.lock().tries.entry(who.to_owned()).or_default() += 1;
    }

    /// How often that was.
    pub fn tries(&self, who: &str) -> u64 {
        self.lock().tries.get(who).copied().unwrap_or(0)
    }

    /// Every file below a folder.
    pub fn files_in(&self, folder: &str) -> Vec<String> {
        let below = format!("{folder}/");
        self.lock().files.keys().filter(|path| path.starts_with(&below)).cloned().collect()
    }

    /// What a path holds.
    pub fn look(&self, path: &str) -> Target {
        let world = self.lock();
        let state = match world.files.get(path) {
            None if world.folders.contains(path) => TargetState::Folder,
            None => TargetState::Absent,
            Some(bytes) => {
                TargetState::File { sha256: Digest::of(bytes), bytes: bytes.len() as u64 }
            }
        };
        Target { path: path.to_owned(), state }
    }

    /// The bytes of a file.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().files.get(path).cloned()
    }

    /// Puts a file there.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.lock().files.insert(path.to_owned(), bytes.to_vec());
    }

    /// Carries out a change, unless a target no longer holds what it held. What
    /// already is as it shall be counts as done. Tells whether it is done.
    pub fn apply(&self, change: &Change, before: &[Target], after: &[Target]) -> bool {
        let now: Vec<Target> = change.paths().into_iter().map(|path| self.look(path)).collect();
        if now == after {
            return true;
        }
        if now != before {
            return false;
        }
        let mut state = self.lock();
        match change {
            Change::Write { path, bytes, .. } => {
                state.files.insert(path.clone(), bytes.clone());
            }
            Change::Delete { path } => {
                state.files.remove(path);
            }
            Change::Move { from, to } => {
                if let Some(bytes) = state.files.remove(from) {
                    state.files.insert(to.clone(), bytes);
                }
            }
            Change::Folder { path } => {
                state.folders.insert(path.clone());
            }
        }
        true
    }
}
