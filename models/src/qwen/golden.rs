//! The engine beside Hugging Face transformers: checkpoints of `models/golden`, made
//! by `models/recipes/reference/golden.py`, whose header names the versions.

use super::*;
use crate::engine::Piece;
use candle_core::{DType, Device};
use std::sync::atomic::AtomicBool;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

struct Golden {
    prompt: Vec<u32>,
    logits: Vec<Vec<f32>>,
    greedy: Vec<u32>,
}

fn golden(folder: &Path) -> Golden {
    let all =
        candle_core::safetensors::load(folder.with_extension("safetensors"), &Device::Cpu).unwrap();
    let tokens = |name: &str| all[name].to_dtype(DType::U32).unwrap().to_vec1().unwrap();
    let logits = all["logits"].to_vec2().unwrap();
    Golden { prompt: tokens("prompt"), logits, greedy: tokens("greedy") }
}

/// Everything that computes: the kernels here, and what a graphics processor is given.
fn computing(folder: &Path) -> [Box<dyn crate::engine::Model>; 2] {
    let found = || safetensors::find(folder).unwrap().checkpoint;
    [
        Box::new(Local::new(Network::new(found(), 2).unwrap(), 20).unwrap()),
        Box::new(device::OnDevice::new(found(), Device::Cpu, 20).unwrap()),
    ]
}

fn likeliest(row: &[f32]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap()
}

#[test]
fn logits_are_those_of_the_reference() {
    for name in ["qwen2", "qwen3"] {
        let folder = Path::new(GOLDEN).join(name);
        let golden = golden(&folder);
        for mut model in computing(&folder) {
            let (blocks, tokens) = ((0..20).collect::<Vec<u32>>(), golden.prompt.as_slice());
            let piece = Piece { tokens, position: 0, blocks: &blocks, logits: tokens.len() };
            let width = model.width();
            let rows = model.read(&[piece], &AtomicBool::new(false)).unwrap().unwrap();
            let most = golden.logits.iter().flatten().fold(0.0_f32, |most, x| most.max(x.abs()));
            assert_eq!(rows.len(), width * golden.logits.len());
            for (position, (own, other)) in rows.chunks(width).zip(&golden.logits).enumerate() {
                let apart = own.iter().zip(other).map(|(a, b)| (a - b).abs());
                let apart = apart.fold(0.0_f32, f32::max);
                assert!(apart <= 1e-3 * most, "{name} {position}: {apart} of {most}");
                assert_eq!(likeliest(own), likeliest(other), "{name} {position}");
            }
        }
    }
}

/// Every token is fed back by itself, as answers are computed. Tokens that no text has
/// may come too, so this does not go through an engine, which would not draw them.
#[test]
fn the_same_tokens_are_drawn_greedily() {
    for name in ["qwen2", "qwen3"] {
        let folder = Path::new(GOLDEN).join(name);
        let golden = golden(&folder);
        for mut model in computing(&folder) {
            let blocks = (0..20).collect::<Vec<u32>>();
            let (mut drawn, mut read, mut position) = (Vec::<u32>::new(), golden.prompt.clone(), 0);
            while drawn.len() < golden.greedy.len() {
                let piece = Piece { tokens: &read, position, blocks: &blocks, logits: 1 };
                let row = model.read(&[piece], &AtomicBool::new(false)).unwrap().unwrap();
                position += read.len();
                read = vec![likeliest(row) as u32];
                drawn.extend(&read);
            }
            assert_eq!(drawn, golden.greedy, "{name}");
        }
    }
}
