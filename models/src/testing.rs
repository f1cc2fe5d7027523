//! Small checkpoints that tests write (`tests/src/checkpoint.rs`), in quantised
//! types too, and logits by chance.

#[path = "../../tests/src/checkpoint.rs"]
#[expect(unreachable_pub, reason = "it is a module of the test harness too")]
mod checkpoint;

use crate::engine::{Engine, Limits, Model, ModelError, Order, Piece, Produced};
use crate::grammar::{Grammars, Guide};
use crate::sampling::Sampling;
use candle_core::quantized::gguf_file::{Value as Meta, write};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use charter::generate::Shape;
use checkpoint::Entry;
pub(crate) use checkpoint::{Tiny, tokenizer_json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The system's memory, with a count of how often a thread asked for some.
struct Counted;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system does what is asked for.
#[expect(unsafe_code, reason = "what gives out memory cannot be said otherwise")]
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no count any more.
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static MEMORY: Counted = Counted;

/// How often this thread asked for memory.
pub(crate) fn asked_for_memory() -> u64 {
    ASKED.get()
}

/// Logits by chance: a taste of its own for every seed, and noise at each step,
/// so that some seeds love quotes and others never end a text.
pub(crate) struct Random {
    pub(crate) taste: Vec<f32>,
    chance: crate::sampling::Chance,
    rows: Vec<f32>,
}

impl Random {
    pub(crate) fn new(width: usize, seed: u64) -> Self {
        let mut chance = crate::sampling::Chance::new(seed);
        let taste = (0..width).map(|_| 6.0 * normal(&mut chance)).collect();
        Self { taste, chance, rows: Vec::new() }
    }
}

/// About normally distributed.
fn normal(chance: &mut crate::sampling::Chance) -> f32 {
    (0..4).map(|_| chance.unit() as f32 - 0.5).sum::<f32>() * 1.7
}

impl Model for Random {
    fn width(&self) -> usize {
        self.taste.len()
    }

    fn batch(&self) -> usize {
        64
    }

    fn read(&mut self, pieces: &[Piece<'_>], _: &AtomicBool) -> Result<Option<&[f32]>, ModelError> {
        self.rows.clear();
        for _ in 0..pieces.iter().map(|piece| piece.logits).sum() {
            let row = self.taste.iter().map(|taste| taste + 2.0 * normal(&mut self.chance));
            self.rows.extend(row);
        }
        Ok(Some(&self.rows))
    }
}

/// How many generations a test makes: `ALMA_GENERATIONS` where it is set, for the soak.
pub(crate) fn generations(otherwise: u64) -> u64 {
    let set = std::env::var("ALMA_GENERATIONS").ok();
    set.map_or(otherwise, |set| set.parse().expect("ALMA_GENERATIONS is a number"))
}

/// What a model answers, asked alone.
pub(crate) fn answer(
    model: impl Model + 'static,
    grammars: &Arc<Grammars>,
    shape: &Shape,
    max_tokens: u32,
    sampling: Sampling,
    seed: u64,
) -> Produced {
    let limits = Limits { blocks: 400, block_bytes: 1 };
    let tokens = Arc::clone(grammars.tokens());
    let engine = Engine::start(Box::new(model), None, tokens, "random", limits).unwrap();
    let guide = grammars.guide(shape, max_tokens).unwrap();
    engine
        .answer(order(guide, max_tokens, sampling, seed), &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

/// An order with a short prompt.
pub(crate) fn order(guide: Option<Guide>, max_tokens: u32, sampling: Sampling, seed: u64) -> Order {
    let tenant = "local".to_owned();
    Order { guide, sampling, seed, tenant, ..Order::new(vec![1, 2, 3], max_tokens) }
}

fn meta(entry: Entry) -> Meta {
    match entry {
        Entry::Number(number) => Meta::U32(number),
        Entry::Real(number) => Meta::F32(number),
        Entry::Text(text) => Meta::String(text),
        Entry::Texts(texts) => Meta::Array(texts.into_iter().map(Meta::String).collect()),
        Entry::Kinds(kinds) => Meta::Array(kinds.into_iter().map(Meta::I32).collect()),
    }
}

impl Tiny {
    /// Writes a GGUF file with its matrices in this type; its tokenizer is in its
    /// metadata.
    pub(crate) fn write_gguf(
        self,
        path: &std::path::Path,
        kind: GgmlDType,
        edit: impl FnOnce(&mut Vec<(String, Meta)>),
    ) {
        let mut metadata: Vec<(String, Meta)> =
            self.gguf_header().into_iter().map(|(key, entry)| (key, meta(entry))).collect();
        edit(&mut metadata);
        let tensors: Vec<(String, QTensor)> = self
            .weights()
            .into_iter()
            .map(|weight| {
                let kind = if weight.shape.len() == 2 { kind } else { GgmlDType::F32 };
                let tensor = Tensor::from_vec(weight.values, weight.shape, &Device::Cpu).unwrap();
                (weight.gguf, QTensor::quantize(&tensor, kind).unwrap())
            })
            .collect();
        let metadata: Vec<(&str, &Meta)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        write(&mut std::fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
    }
}

/// The types that are computed here.
pub(crate) const FORMATS: [GgmlDType; 11] = [
    GgmlDType::F32,
    GgmlDType::F16,
    GgmlDType::BF16,
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// Numbers by chance.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut chance = crate::sampling::Chance::new(seed);
    (0..count).map(|_| normal(&mut chance)).collect()
}

/// Numbers in this type, as candle quantises them, and the numbers that candle reads
/// in them.
pub(crate) fn quantised(
    kind: GgmlDType,
    values: &[f32],
    rows: usize,
    columns: usize,
) -> (Vec<u8>, Vec<f32>) {
    let tensor = Tensor::from_slice(values, (rows, columns), &Device::Cpu).unwrap();
    let quantised = QTensor::quantize(&tensor, kind).unwrap();
    let read =
        quantised.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (quantised.data().unwrap().into_owned(), read)
}
