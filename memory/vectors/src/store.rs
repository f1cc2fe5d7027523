//! The store: the engine and its state as one thing.

use crate::engine::{BATCH, Engine};
use crate::error::VectorError;
use crate::key::{hash, key, memory};
use crate::state::{Facts, State};
use charter::ids::{MemoryId, Millis, TenantId};
use charter::memory::MemoryKind;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The engine's files stand in one of these; the state says in which.
const HALVES: [&str; 2] = ["points-a", "points-b"];
const STATE: &str = "state";
const LOCK: &str = "lock";
/// Free bytes below which nothing is written. The engine writes to mapped files, and
/// where the disk has no room for a page, the kernel ends the whole process.
const FREE_FLOOR: u64 = 32 << 20;

/// What a store is made for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its folder; nothing else may lie in it.
    pub folder: PathBuf,
    /// Version of the embedder.
    pub embedder: String,
    /// Length of a dense vector.
    pub dimensions: usize,
}

/// A memory as it is stored.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Its name.
    pub id: MemoryId,
    /// What ranking and filters need.
    pub facts: Facts,
    /// Its dense vector, of unit length or all zero.
    pub dense: Vec<f32>,
    /// Hashes of its terms with their BM25 weights, without the inverse document
    /// frequency, which is computed when it is asked for.
    pub terms: Vec<(u32, f32)>,
}

/// Which memories are asked for.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Hash of whose.
    pub tenant: u64,
    /// Only of these scopes, as hashes; empty: of all.
    pub scopes: Vec<u64>,
    /// Only of these kinds; empty: of all.
    pub kinds: Vec<MemoryKind>,
    /// Only what was true at this time; `None`: all that is there.
    pub true_at: Option<Millis>,
}

impl Filter {
    /// Everything of a tenant.
    pub fn all(tenant: &TenantId) -> Self {
        let tenant = hash(&[&tenant.0]);
        Self { tenant, scopes: Vec::new(), kinds: Vec::new(), true_at: None }
    }

    /// Whether it lets a memory through.
    pub fn passes(&self, facts: &Facts) -> bool {
        let then = |at| facts.valid_from <= at && facts.valid_to.is_none_or(|to| to > at);
        self.tenant == facts.tenant
            && (self.scopes.is_empty() || self.scopes.contains(&facts.scope))
            && (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && self.true_at.is_none_or(then)
    }
}

/// How a store was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// As it was left.
    Found,
    /// There was none.
    New,
    /// It was of no use, for this reason, and is empty now.
    Discarded(String),
}

/// An open store. One process has it at a time.
#[derive(Debug)]
pub struct Store {
    settings: Settings,
    state: State,
    engine: Engine,
    dirty: bool,
    /// Held, never used: given back when the store or its process is gone.
    _lock: fs::File,
}

fn io<'p>(
    operation: &'static str,
    path: &'p Path,
) -> impl FnOnce(std::io::Error) -> VectorError + use<'p> {
    move |source| VectorError::Io { operation, path: path.to_owned(), source }
}

/// Nothing is written where the disk is nearly full.
fn has_room(folder: &Path) -> Result<(), VectorError> {
    let disk = rustix::fs::statvfs(folder)
        .map_err(|error| io("ask how much space is left at", folder)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < FREE_FLOOR {
        return Err(VectorError::NoRoom { folder: folder.to_owned(), free, floor: FREE_FLOOR });
    }
    Ok(())
}

fn half(settings: &Settings, second: bool) -> PathBuf {
    settings.folder.join(HALVES[usize::from(second)])
}

/// Removes a file or a folder with all that is in it, if it is there.
fn remove(path: &Path) -> Result<(), VectorError> {
    let gone = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    gone.map_err(io("remove", path))
}

impl Store {
    /// Opens the store, or begins an empty one where there is none of use.
    pub fn open(settings: Settings) -> Result<(Self, Opened), VectorError> {
        let folder = settings.folder.clone();
        fs::create_dir_all(&folder).map_err(io("make the folder", &folder))?;
        has_room(&folder)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let owner_only = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&folder, owner_only).map_err(io("protect the folder", &folder))?;
        }
        let lock = folder.join(LOCK);
        let held = fs::File::create(&lock).map_err(io("open", &lock))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(VectorError::InUse { folder }),
            Err(fs::TryLockError::Error(source)) => return Err(io("lock", &lock)(source)),
        }
        let there = |name: &&str| fs::symlink_metadata(folder.join(name)).is_ok();
        let why = if HALVES.iter().chain([&STATE]).any(there) {
            match Self::load(&settings) {
                Ok((state, engine)) => {
                    // What a copy that died left behind: it may hold what was to
                    // be removed.
                    remove(&half(&settings, !state.second))?;
                    let dirty = false;
                    let store = Self { settings, state, engine, dirty, _lock: held };
                    return Ok((store, Opened::Found));
                }
                Err(why) => Opened::Discarded(why),
            }
        } else {
            Opened::New
        };
        remove(&settings.folder.join(STATE))?;
        let state = State::default();
        remove(&half(&settings, !state.second))?;
        let engine = Self::begin(&settings, &half(&settings, state.second))?;
        Ok((Self { settings, state, engine, dirty: true, _lock: held }, why))
    }

    fn load(settings: &Settings) -> Result<(State, Engine), String> {
        let path = settings.folder.join(STATE);
        let state = State::read(&path, &settings.embedder, settings.dimensions)?;
        let engine = Engine::load(&half(settings, state.second), settings.dimensions)
            .map_err(|error| error.to_string())?;
        // After a kill the engine may hold more than the state says, never less.
        let held = engine.len().map_err(|error| error.to_string())?;
        if held < state.len() {
            return Err(format!("it holds {held} of {} points", state.len()));
        }
        Ok((state, engine))
    }

    /// An empty engine in the place of whatever is there.
    fn begin(settings: &Settings, points: &Path) -> Result<Engine, VectorError> {
        has_room(&settings.folder)?;
        remove(points)?;
        fs::create_dir(points).map_err(io("make the folder", points))?;
        Engine::create(points, settings.dimensions)
    }

    /// Up to which event of its memory stream each tenant's memories are here.
    pub fn marks(&self) -> &BTreeMap<String, u64> {
        &self.state.marks
    }

    /// Notes that all of a tenant's events up to this one are here. On disk with
    /// the next [`Store::flush`].
    pub fn mark(&mut self, tenant: &TenantId, seq: u64) {
        self.state.marks.insert(tenant.0.clone(), seq);
        self.dirty = true;
    }

    /// How many memories are here.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something is not on disk yet.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Version of the embedder whose vectors are here.
    pub fn embedder(&self) -> &str {
        &self.settings.embedder
    }

    /// Takes memories; one that is here already is replaced.
    pub fn upsert(&mut self, memories: &[Memory]) -> Result<(), VectorError> {
        let expected = self.settings.dimensions;
        for memory in memories {
            if memory.dense.len() != expected || !memory.dense.iter().all(|x| x.is_finite()) {
                let found = memory.dense.len();
                return Err(VectorError::Vector { memory: memory.id.clone(), expected, found });
            }
        }
        has_room(&self.settings.folder)?;
        let keyed: Vec<_> = memories.iter().map(|memory| (key(&memory.id), memory)).collect();
        self.dirty |= !keyed.is_empty();
        self.engine.upsert(&keyed)?;
        for (key, memory) in keyed {
            self.state.put(key, memory.facts);
        }
        Ok(())
    }

    /// Says since when a memory is true no more. `false`: it is not here.
    pub fn end(&mut self, id: &MemoryId, to: Option<Millis>) -> bool {
        let key = key(id);
        let Some(facts) = self.state.get(key).copied() else { return false };
        self.state.put(key, Facts { valid_to: to, ..facts });
        self.dirty = true;
        true
    }

    /// Takes memories out; returns how many were here. Their bytes are gone after
    /// [`Store::compact`].
    pub fn delete(&mut self, ids: &[MemoryId]) -> Result<usize, VectorError> {
        has_room(&self.settings.folder)?;
        let keys: Vec<_> = ids.iter().map(key).collect();
        self.engine.delete(&keys)?;
        self.dirty |= !keys.is_empty();
        Ok(keys.into_iter().filter(|key| self.state.remove(*key)).count())
    }

    /// What is known of a memory.
    pub fn facts(&self, id: &MemoryId) -> Option<Facts> {
        self.state.get(key(id)).copied()
    }

    /// The memories next to one, and how far they are: −1 is the one before.
    pub fn neighbours(&self, id: &MemoryId, reach: u8) -> Vec<(i8, MemoryId, Facts)> {
        self.state.neighbours(key(id), reach)
    }

    /// The nearest by cosine, best first.
    pub fn dense(
        &self,
        vector: &[f32],
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<(MemoryId, f32)>, VectorError> {
        let expected = self.settings.dimensions;
        if vector.len() != expected {
            return Err(VectorError::Query { expected, found: vector.len() });
        }
        // A text without a known word is near to nothing.
        if vector.iter().all(|x| *x == 0.0) {
            return Ok(Vec::new());
        }
        self.filtered(limit, filter, |limit, among| self.engine.dense(vector, limit, among))
    }

    /// The best by BM25 over these terms, best first.
    pub fn sparse(
        &self,
        terms: &[(u32, f32)],
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<(MemoryId, f32)>, VectorError> {
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        self.filtered(limit, filter, |limit, among| self.engine.sparse(terms, limit, among))
    }

    /// The first `limit` that pass a filter. Most memories pass most filters, so the
    /// engine is first asked for some more of all, and among those that pass only
    /// where too few of them did.
    fn filtered(
        &self,
        limit: usize,
        filter: &Filter,
        search: impl Fn(usize, Option<&[u128]>) -> Result<Vec<(u128, f32)>, VectorError>,
    ) -> Result<Vec<(MemoryId, f32)>, VectorError> {
        // The state does not know points that a killed process wrote and that will
        // be written again.
        let passed = |found: Vec<(u128, f32)>| -> Vec<(MemoryId, f32)> {
            let passing = found
                .into_iter()
                .filter(|(key, _)| self.state.get(*key).is_some_and(|facts| filter.passes(facts)));
            let named = passing.filter_map(|(key, score)| Some((memory(key)?, score)));
            named.take(limit).collect()
        };
        let asked = limit.saturating_mul(2);
        let found = search(asked, None)?;
        let all = found.len() < asked;
        let first = passed(found);
        if all || first.len() >= limit {
            return Ok(first);
        }
        Ok(passed(search(limit, Some(&self.state.passing(filter)))?))
    }

    /// Dense vectors of memories, in the order asked for; those not here are left out.
    pub fn vectors(&self, ids: &[MemoryId]) -> Result<Vec<(MemoryId, Vec<f32>)>, VectorError> {
        let mut all = Vec::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            let keys: Vec<_> = batch.iter().map(key).collect();
            let raw = self.engine.read(&keys)?;
            all.extend(raw.iter().filter_map(|raw| Some((memory(raw.key())?, raw.dense()?))));
        }
        Ok(all)
    }

    /// Holds nothing, as if it had just been made.
    pub fn clear(&mut self) -> Result<(), VectorError> {
        let second = !self.state.second;
        let empty = Self::begin(&self.settings, &half(&self.settings, second))?;
        self.state = State::default();
        self.state.second = second;
        self.move_to(empty)
    }

    /// Brings everything to disk, then the marks that say so.
    pub fn flush(&mut self) -> Result<(), VectorError> {
        if !self.dirty {
            return Ok(());
        }
        has_room(&self.settings.folder)?;
        self.engine.flush()?;
        self.write_state()?;
        self.dirty = false;
        Ok(())
    }

    fn write_state(&self) -> Result<(), VectorError> {
        let path = self.settings.folder.join(STATE);
        self.state.write(&path, &self.settings.embedder, self.settings.dimensions)
    }

    /// Copies what is held into new files and removes the old ones: afterwards no
    /// byte of a deleted memory is left, and the engine's log is empty.
    pub fn compact(&mut self) -> Result<(), VectorError> {
        let second = !self.state.second;
        let copy = Self::begin(&self.settings, &half(&self.settings, second))?;
        for batch in self.state.keys().chunks(BATCH) {
            has_room(&self.settings.folder)?;
            copy.write(self.engine.read(batch)?)?;
        }
        self.state.second = second;
        self.move_to(copy)
    }

    /// Goes on with another engine, whose half the state names already. Whoever
    /// dies in between finds the old half or the new one, and removes the other.
    fn move_to(&mut self, engine: Engine) -> Result<(), VectorError> {
        drop(std::mem::replace(&mut self.engine, engine));
        self.dirty = true;
        self.flush()?;
        remove(&half(&self.settings, !self.state.second))
    }

    /// Whether the engine itself holds a memory, deleted or not yet compacted away.
    pub fn holds(&self, id: &MemoryId) -> Result<bool, VectorError> {
        self.engine.holds(key(id))
    }
}
