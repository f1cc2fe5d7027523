//! What simulated tools act on: files, and three kinds of services that count.

use charter::digest::Digest;
use charter::effect::{Change, Target, TargetState};
use std::collections::BTreeMap;
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
}

/// The world outside the ledger. It survives every crash.
#[derive(Default)]
pub struct World {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    counts: BTreeMap<(Service, String), u32>,
    keys: BTreeMap<Digest, ()>,
    acts: Vec<Digest>,
}

impl World {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service acts for a step.
    pub fn act(&self, service: Service, who: &str, key: &Digest) {
        let mut state = self.lock();
        state.acts.push(*key);
        if service == Service::Keyed && state.keys.contains_key(key) {
            return;
        }
        state.keys.insert(*key, ());
        *state.counts.entry((service, who.to_owned())).or_default() += 1;
    }

    /// Whether a key was used.
    pub fn knows(&self, key: &Digest) -> bool {
        self.lock().keys.contains_key(key)
    }

    /// How often a service acted for a step.
    pub fn count(&self, service: Service, who: &str) -> u32 {
        self.lock().counts.get(&(service, who.to_owned())).copied().unwrap_or(0)
    }

    /// Every act and applied change, by effect key or content.
    pub fn acts(&self) -> Vec<Digest> {
        self.lock().acts.clone()
    }

    /// What a path holds.
    pub fn look(&self, path: &str) -> Target {
        let state = match self.lock().files.get(path) {
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
            Change::Folder { .. } => {}
        }
        true
    }
}
