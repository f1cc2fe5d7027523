//! The engine: the only file that knows qdrant-edge.
//!
//! Parts of the engine panic where a disk is full or a file is not what it was
//! (`flush` by design). Every call that touches files is therefore caught and
//! becomes an error: the store can always be built again, the process cannot.

use crate::error::VectorError;
use crate::store::{Filter, Memory};
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::external::uuid::Uuid;
use qdrant_edge::{
    Condition, CreateIndex, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams,
    EdgeVectorParams, FieldCondition, FieldIndexOperations, Filter as EdgeFilter, JsonPath, Match,
    Modifier, NamedQuery, OperationResult, Payload, PayloadFieldSchema, PayloadOps,
    PayloadSchemaType, PointId, PointInsertOperations, PointOperations, PointStruct, QueryEnum,
    Range, SearchRequest, SetPayloadOp, UpdateOperation, ValueVariants, Vector, VectorInternal,
    VectorStructInternal, Vectors, WalOptions, WithPayloadInterface, WithVector,
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
/// "For ever", as a number that a float holds exactly.
const NEVER: i64 = 1 << 53;

/// An open shard.
#[derive(Debug)]
pub(crate) struct Engine {
    shard: ManuallyDrop<EdgeShard>,
}

/// A point as it is copied.
pub(crate) struct Raw {
    key: u128,
    vectors: VectorStructInternal,
    payload: Payload,
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

fn path(field: &str) -> JsonPath {
    JsonPath { first_key: field.to_owned(), rest: Vec::new() }
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
        let engine = Self { shard: ManuallyDrop::new(engine) };
        let fields = [
            ("tenant", PayloadSchemaType::Keyword),
            ("scope", PayloadSchemaType::Keyword),
            ("kind", PayloadSchemaType::Keyword),
            ("from", PayloadSchemaType::Integer),
            ("to", PayloadSchemaType::Integer),
        ];
        for (field, kind) in fields {
            let index = FieldIndexOperations::CreateIndex(CreateIndex {
                field_name: path(field),
                field_schema: Some(PayloadFieldSchema::FieldType(kind)),
            });
            engine.update("index its fields", UpdateOperation::FieldIndexOperation(index))?;
        }
        Ok(engine)
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

    /// Sets the end of a memory's validity.
    pub(crate) fn end(&self, key: u128, to: Option<i64>) -> Result<(), VectorError> {
        let payload =
            Payload([("to".to_owned(), json!(to.unwrap_or(NEVER)))].into_iter().collect());
        let set = SetPayloadOp { payload, points: Some(vec![point(key)]), filter: None, key: None };
        let change = UpdateOperation::PayloadOperation(PayloadOps::SetPayload(set));
        self.update("end a memory", change)
    }

    pub(crate) fn delete(&self, keys: &[u128]) -> Result<(), VectorError> {
        let ids = keys.iter().map(|key| point(*key)).collect();
        self.points("delete points", PointOperations::DeletePoints { ids })
    }

    pub(crate) fn dense(
        &self,
        vector: &[f32],
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<(u128, f32)>, VectorError> {
        self.search(VectorInternal::Dense(vector.to_vec()), DENSE, limit, filter)
    }

    pub(crate) fn sparse(
        &self,
        terms: &[(u32, f32)],
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<(u128, f32)>, VectorError> {
        let terms = guarded("read the terms", || Vector::try_from(terms))?;
        self.search(terms.0, TERMS, limit, filter)
    }

    fn search(
        &self,
        query: VectorInternal,
        using: &str,
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<(u128, f32)>, VectorError> {
        let request = SearchRequest {
            query: QueryEnum::Nearest(NamedQuery { query, using: Some(using.into()) }),
            filter: filter.map(conditions),
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
        let all = Some(WithPayloadInterface::Bool(true));
        let found = guarded("read points", || {
            self.shard.retrieve(&ids, all, Some(WithVector::Bool(true)))
        })?;
        let raw = found.into_iter().filter_map(|record| {
            Some(Raw {
                key: number(&record.id),
                vectors: record.vector?,
                payload: record.payload.unwrap_or_default(),
            })
        });
        Ok(raw.collect())
    }

    /// Writes points that were read from another shard.
    pub(crate) fn write(&self, points: Vec<Raw>) -> Result<(), VectorError> {
        let points = points.into_iter().map(|raw| {
            let vector = raw.vectors.into();
            let payload = Some(raw.payload);
            qdrant_edge::PointStructPersisted { id: point(raw.key), vector, payload }
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
    let facts = &memory.facts;
    let vectors: [(&str, Vector); 2] = [
        (DENSE, Vector::new_dense(memory.dense.clone())),
        (TERMS, Vector::try_from(memory.terms.as_slice())?),
    ];
    let payload = json!({
        "tenant": written(facts.tenant),
        "scope": written(facts.scope),
        "kind": facts.kind.as_str(),
        "at": facts.at,
        "from": facts.valid_from,
        "to": facts.valid_to.unwrap_or(NEVER),
        "group": written(facts.place.group),
        "order": facts.place.order,
    });
    Ok(PointStruct::new(point(key), Vectors::new_named(vectors), payload))
}

/// A hash as the engine takes it: its numbers have a sign.
fn written(hash: u64) -> String {
    format!("{hash:016x}")
}

fn conditions(filter: &Filter) -> EdgeFilter {
    let is = |field: &str, value: String| {
        let value = Match::new_value(ValueVariants::String(value));
        Condition::Field(FieldCondition::new_match(path(field), value))
    };
    let any = |field: &str, values: Vec<String>| {
        let should = values.into_iter().map(|value| is(field, value)).collect();
        Condition::Filter(EdgeFilter { should: Some(should), ..EdgeFilter::default() })
    };
    let bound = |field: &str, range: Range<OrderedFloat<f64>>| {
        Condition::Field(FieldCondition::new_range(path(field), range))
    };
    let mut must = vec![is("tenant", written(filter.tenant))];
    if !filter.scopes.is_empty() {
        must.push(any("scope", filter.scopes.iter().copied().map(written).collect()));
    }
    if !filter.kinds.is_empty() {
        must.push(any("kind", filter.kinds.iter().map(|kind| kind.as_str().to_owned()).collect()));
    }
    if let Some(at) = filter.true_at {
        let at = Some(OrderedFloat(at as f64));
        must.push(bound("from", Range { lt: None, gt: None, gte: None, lte: at }));
        must.push(bound("to", Range { lt: None, gt: at, gte: None, lte: None }));
    }
    EdgeFilter { must: Some(must), ..EdgeFilter::default() }
}
