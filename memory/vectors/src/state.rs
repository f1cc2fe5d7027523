//! What the store knows of its points beside the engine, and up to where it was
//! built: one file, written in one piece, its own digest at its end.

use crate::error::VectorError;
use crate::key;
use crate::store::Filter;
use charter::digest::Digest;
use charter::ids::{MemoryId, Millis};
use charter::memory::MemoryKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

/// A new number here throws older stores away.
const LAYOUT: u32 = 4;
/// Length of the digest at the end.
const DIGEST: usize = 32;

/// Where a memory stands among those of the same origin: turns of a session,
/// passages of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Hash of the origin.
    pub group: u64,
    /// Ascending within it; gaps do not matter.
    pub order: i64,
}

/// What ranking needs to know of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Hash of whose it is.
    pub tenant: u64,
    /// Hash of whom it concerns.
    pub scope: u64,
    /// What it is.
    pub kind: MemoryKind,
    /// Where it stands.
    pub place: Place,
    /// Term of who said it; 0: nobody in particular.
    pub who: u32,
    /// When it was made.
    pub at: Millis,
    /// From when it is true.
    pub valid_from: Millis,
    /// Until when it was.
    pub valid_to: Option<Millis>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    layout: u32,
    embedder: String,
    dimensions: usize,
    marks: BTreeMap<String, u64>,
    second: bool,
    points: Vec<(u128, Facts)>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) marks: BTreeMap<String, u64>,
    /// Which of two folders holds the engine's files: compaction goes back and forth.
    pub(crate) second: bool,
    points: HashMap<u128, Facts>,
    order: BTreeSet<(Place, u128)>,
}

impl State {
    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    pub(crate) fn get(&self, key: u128) -> Option<&Facts> {
        self.points.get(&key)
    }

    /// The points that pass a filter.
    pub(crate) fn passing(&self, filter: &Filter) -> Vec<u128> {
        let passing = self.points.iter().filter(|(_, facts)| filter.passes(facts));
        passing.map(|(key, _)| *key).collect()
    }

    pub(crate) fn keys(&self) -> Vec<u128> {
        self.order.iter().map(|(_, key)| *key).collect()
    }

    pub(crate) fn put(&mut self, key: u128, facts: Facts) {
        self.remove(key);
        self.points.insert(key, facts);
        self.order.insert((facts.place, key));
    }

    pub(crate) fn remove(&mut self, key: u128) -> bool {
        let old = self.points.remove(&key);
        old.is_some_and(|facts| self.order.remove(&(facts.place, key)))
    }

    /// Those next to a memory, with how far they are: −1 is the one before.
    pub(crate) fn neighbours(&self, of: u128, reach: u8) -> Vec<(i8, MemoryId, Facts)> {
        let Some(facts) = self.points.get(&of) else { return Vec::new() };
        let here = (facts.place, of);
        let before = self.order.range(..here).rev();
        let after = self.order.range(here..).skip(1);
        let side = |found: &mut dyn Iterator<Item = &(Place, u128)>, sign: i8| {
            found
                .take(usize::from(reach.min(i8::MAX as u8)))
                .take_while(|(place, _)| place.group == facts.place.group)
                .zip(1i8..)
                .filter_map(|((_, key), far)| {
                    Some((sign * far, key::memory(*key)?, *self.points.get(key)?))
                })
                .collect::<Vec<_>>()
        };
        let (mut before, mut after) = (before, after);
        let mut all = side(&mut before, -1);
        all.extend(side(&mut after, 1));
        all
    }

    /// Writes everything beside the old file, then in its place.
    pub(crate) fn write(
        &self,
        path: &Path,
        embedder: &str,
        dimensions: usize,
    ) -> Result<(), VectorError> {
        let points = self.order.iter().filter_map(|(_, key)| Some((*key, *self.points.get(key)?)));
        let written = Written {
            layout: LAYOUT,
            embedder: embedder.to_owned(),
            dimensions,
            marks: self.marks.clone(),
            second: self.second,
            points: points.collect(),
        };
        let mut bytes = rmp_serde::to_vec(&written).map_err(VectorError::Encode)?;
        let digest = Digest::of(&bytes);
        bytes.extend(digest.0);
        let beside = path.with_extension("new");
        let io = |operation| {
            let path = beside.clone();
            move |source| VectorError::Io { operation, path, source }
        };
        let mut file = fs::File::create(&beside).map_err(io("create"))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io("write"))?;
        fs::rename(&beside, path).map_err(io("put in place"))?;
        let folder = path.parent().unwrap_or(path);
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("put in place"))
    }

    /// Reads what was written; the error says in words why it is of no use.
    pub(crate) fn read(path: &Path, embedder: &str, dimensions: usize) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| format!("its state cannot be read: {error}"))?;
        let damaged = || "its state is damaged".to_owned();
        let (body, digest) =
            bytes.split_at_checked(bytes.len().saturating_sub(DIGEST)).ok_or_else(damaged)?;
        if Digest::of(body).0 != digest {
            return Err(damaged());
        }
        let written: Written = rmp_serde::from_slice(body)
            .map_err(|_| "it has another layout than this program's".to_owned())?;
        if written.layout != LAYOUT {
            return Err(format!("it has layout {}, this program's is {LAYOUT}", written.layout));
        }
        if (written.embedder.as_str(), written.dimensions) != (embedder, dimensions) {
            return Err(format!(
                "its vectors are of {} ({}), this program's of {embedder} ({dimensions})",
                written.embedder, written.dimensions
            ));
        }
        let order = written.points.iter().map(|(key, facts)| (facts.place, *key)).collect();
        let (marks, second) = (written.marks, written.second);
        Ok(Self { marks, second, points: written.points.into_iter().collect(), order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(group: u64, order: i64) -> Facts {
        Facts {
            tenant: 3,
            scope: 7,
            kind: MemoryKind::Turn,
            place: Place { group, order },
            who: 0,
            at: 1,
            valid_from: 1,
            valid_to: None,
        }
    }

    fn state() -> State {
        let mut state = State::default();
        for (key, group, order) in [(10, 1, 5), (11, 1, 9), (12, 1, 12), (13, 2, 1), (14, 1, 20)] {
            state.put(key, facts(group, order));
        }
        state.marks.insert("local".into(), 42);
        state
    }

    fn near(of: u128, reach: u8) -> Vec<(i8, u128)> {
        let near = state().neighbours(of, reach);
        near.into_iter().map(|(far, id, _)| (far, key::key(&id))).collect()
    }

    #[test]
    fn neighbours_are_of_the_same_group_in_order() {
        assert_eq!(near(11, 2), [(-1, 10), (1, 12), (2, 14)]);
        assert_eq!(near(14, 2), [(-1, 12), (-2, 11)]);
        assert_eq!(near(13, 2), []);
        assert_eq!(near(99, 2), []);
        assert_eq!(near(11, 0), []);
    }

    #[test]
    fn a_state_comes_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        state().write(&path, "e/1", 4).unwrap();
        let read = State::read(&path, "e/1", 4).unwrap();
        assert_eq!((read.len(), &read.marks["local"]), (5, &42));
        assert_eq!(read.get(12), Some(&facts(1, 12)));
        assert_eq!(read.keys(), state().keys());
    }

    #[test]
    fn a_state_of_no_use_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let why = |embedder: &str| State::read(&path, embedder, 4).unwrap_err();
        assert!(why("e/1").contains("cannot be read"));
        state().write(&path, "e/1", 4).unwrap();
        assert!(why("e/2").contains("its vectors are of e/1"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[9] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(why("e/1").contains("damaged"));
        fs::write(&path, b"short").unwrap();
        assert!(why("e/1").contains("damaged"));
    }

    #[test]
    fn moving_a_point_leaves_no_trace_of_its_old_place() {
        let mut state = state();
        state.put(10, facts(2, 3));
        assert_eq!(state.len(), 5);
        assert_eq!(state.neighbours(11, 1).len(), 1);
        assert!(state.remove(10));
        assert!(!state.remove(10));
        assert_eq!(state.keys().len(), 4);
    }
}
