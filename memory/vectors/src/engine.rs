//! The engine: the only file that knows qdrant-edge.
//!
//! Parts of the engine panic where a disk is full or a file is not what it was
//! (`flush` by design). Every call that touches files is therefore caught and
//! becomes an error: the store can always be built again, the process cannot.
//!
//! Points have vectors and nothing beside: what a filter asks for stands in the
//! state, which is in memory, and the engine is told names.

use crate::error::VectorError;
use crate::store::Memory;
use qdrant_edge::external::uuid::Uuid;
use qdrant_edge::{
    Condition, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams,
    Filter as EdgeFilter, HasIdCondition, Modifier, NamedQuery, OperationResult, PointId,
    PointInsertOperations, PointOperations, PointStruct, QueryEnum, SearchRequest, UpdateOperation,
    Vector, VectorInternal, VectorStructInternal, Vectors, WalOptions, WithPayloadInterface,
    WithVector,
};
use serde_json::json;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const DENSE: &str = "dense";
const TERMS: &str = "terms";
/// Bytes of one file of the engine's log, allocated ahead.
const LOG_BYTES: usize = 4 << 20;
/// Points of one change: it must fit a file of the log.
pub(crate) const BATCH: usize = 256;

/// An open shard.
#[derive(Debug)]
pub(crate) struct Engine {
    shard: ManuallyDrop<EdgeShard>,
}

/// A point as it is copied.
pub(crate) struct Raw {
    key: u128,
    vectors: VectorStructInternal,
}

fn guarded<T>(
    operation: &'static str,
    work: impl FnOnce() -> OperationResult<T>,
) -> Result<T, VectorError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(VectorError::Engine { operation, cause: error.to_string() }),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(VectorError::Engine { operation, cause: said.unwrap_or("it gave up").to_owned() })
        }
    }
}

fn config(dimensions: usize) -> EdgeConfig {
    let terms = EdgeSparseVectorParams { modifier: Some(Modifier::Idf), ..Default::default() };
    let log = WalOptions { segment_capacity: LOG_BYTES, ..WalOptions::default() };
    EdgeConfig::builder()
        .vector(DENSE, EdgeVectorParams::builder(dimensions, Distance::Dot).build())
        .sparse_vector(TERMS, terms)
        .wal_options(log)
        .build()
}

fn point(key: u128) -> PointId {
    PointId::Uuid(Uuid::from_u128(key))
}

fn number(id: &PointId) -> u128 {
    match id {
        PointId::NumId(n) => u128::from(*n),
        PointId::Uuid(uuid) => uuid.as_u128(),
    }
}

impl Engine {
    /// A new shard in a folder that exists and is empty.
    pub(crate) fn create(folder: &Path, dimensions: usize) -> Result<Self, VectorError> {
        let engine = guarded("create its files", || EdgeShard::new(folder, config(dimensions)))?;
        Ok(Self { shard: ManuallyDrop::new(engine) })
    }

    /// The shard that lies in a folder.
    pub(crate) fn load(folder: &Path, dimensions: usize) -> Result<Self, VectorError> {
        let shard =
            guarded("open its files", || EdgeShard::load(folder, Some(config(dimensions))))?;
        Ok(Self { shard: ManuallyDrop::new(shard) })
    }

    fn update(&self, what: &'static str, operation: UpdateOperation) -> Result<(), VectorError> {
        guarded(what, || self.shard.update(operation))
    }

    fn points(&self, what: &'static str, change: PointOperations) -> Result<(), VectorError> {
        self.update(what, UpdateOperation::PointOperation(change))
    }

    pub(crate) fn upsert(&self, memories: &[(u128, &Memory)]) -> Result<(), VectorError> {
        for batch in memories.chunks(BATCH) {
            let points = batch.iter().map(|(key, memory)| Ok(made(*key, memory)?.0));
            let points = guarded("take points", || points.collect())?;
            self.put(points)?;
        }
        Ok(())
    }

    fn put(&self, points: Vec<qdrant_edge::PointStructPersisted>) -> Result<(), VectorError> {
        let list = PointInsertOperations::PointsList(points);
        self.points("take points", PointOperations::UpsertPoints(list))
    }

    pub(crate) fn delete(&self, keys: &[u128]) -> Result<(), VectorError> {
        let ids = keys.iter().map(|key| point(*key)).collect();
        self.points("delete points", PointOperations::DeletePoints { ids })
    }

    /// The nearest by cosine, best first; of all points, or of those that are named.
    pub(crate) fn dense(
        &self,
        vector: &[f32],
        limit: usize,
        among: Option<&[u128]>,
    ) -> Result<Vec<(u128, f32)>, VectorError> {
        self.search(VectorInternal::Dense(vector.to_vec()), DENSE, limit, among)
    }

    /// The same by terms.
    pub(crate) fn sparse(
        &self,
        terms: &[(u32, f32)],
        limit: usize,
        among: Option<&[u128]>,
    ) -> Result<Vec<(u128, f32)>, VectorError> {
        let terms = guarded("read the terms", || Vector::try_from(terms))?;
        self.search(terms.0, TERMS, limit, among)
    }

    fn search(
        &self,
        query: VectorInternal,
        using: &str,
        limit: usize,
        among: Option<&[u128]>,
    ) -> Result<Vec<(u128, f32)>, VectorError> {
        let request = SearchRequest {
            query: QueryEnum::Nearest(NamedQuery { query, using: Some(using.into()) }),
            filter: among.map(names),
            params: None,
            limit,
            offset: 0,
            with_payload: Some(WithPayloadInterface::Bool(false)),
            with_vector: Some(WithVector::Bool(false)),
            score_threshold: None,
        };
        let found = guarded("search", || self.shard.search(request))?;
        Ok(found.iter().map(|point| (number(&point.id), point.score)).collect())
    }

    /// Points with all that belongs to them; those that are not there are left out.
    pub(crate) fn read(&self, keys: &[u128]) -> Result<Vec<Raw>, VectorError> {
        let ids: Vec<_> = keys.iter().map(|key| point(*key)).collect();
        let none = Some(WithPayloadInterface::Bool(false));
        let found = guarded("read points", || {
            self.shard.retrieve(&ids, none, Some(WithVector::Bool(true)))
        })?;
        let raw = found
            .into_iter()
            .filter_map(|record| Some(Raw { key: number(&record.id), vectors: record.vector? }));
        Ok(raw.collect())
    }

    /// Writes points that were read from another shard.
    pub(crate) fn write(&self, points: Vec<Raw>) -> Result<(), VectorError> {
        let points = points.into_iter().map(|raw| {
            let vector = raw.vectors.into();
            qdrant_edge::PointStructPersisted { id: point(raw.key), vector, payload: None }
        });
        self.put(points.collect())
    }

    /// Whether a point is there.
    pub(crate) fn holds(&self, key: u128) -> Result<bool, VectorError> {
        let none = Some(WithPayloadInterface::Bool(false));
        let found = guarded("read a point", || {
            self.shard.retrieve(&[point(key)], none, Some(WithVector::Bool(false)))
        })?;
        Ok(!found.is_empty())
    }

    /// How many points there are, by the engine's own account.
    pub(crate) fn len(&self) -> Result<usize, VectorError> {
        guarded("count", || Ok(self.shard.info().points_count))
    }

    pub(crate) fn flush(&self) -> Result<(), VectorError> {
        guarded("write its files", || {
            self.shard.flush();
            Ok(())
        })
    }
}

impl Raw {
    pub(crate) fn key(&self) -> u128 {
        self.key
    }

    pub(crate) fn dense(&self) -> Option<Vec<f32>> {
        match &self.vectors {
            VectorStructInternal::Named(named) => match named.get(DENSE)? {
                VectorInternal::Dense(vector) => Some(vector.clone()),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The shard flushes when it is dropped and panics where it cannot.
        #[allow(unsafe_code)]
        // SAFETY: `shard` is taken here, once, and never used again.
        let shard = unsafe { ManuallyDrop::take(&mut self.shard) };
        let _ = catch_unwind(AssertUnwindSafe(move || drop(shard)));
    }
}

fn made(key: u128, memory: &Memory) -> OperationResult<PointStruct> {
    let vectors: [(&str, Vector); 2] = [
        (DENSE, Vector::new_dense(memory.dense.clone())),
        (TERMS, Vector::try_from(memory.terms.as_slice())?),
    ];
    Ok(PointStruct::new(point(key), Vectors::new_named(vectors), json!({})))
}

fn names(keys: &[u128]) -> EdgeFilter {
    let ids: HasIdCondition = keys.iter().map(|key| point(*key)).collect();
    EdgeFilter { must: Some(vec![Condition::HasId(ids)]), ..EdgeFilter::default() }
}
