//! How fast candle-transformers' own quantised models read and answer: the column
//! "candle" in models/README.md.
//!
//!     cargo run --release -p models --example stock_candle -- MODEL.gguf [PROMPT] [GEN]

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Result, Tensor, bail};
use candle_transformers::models::{quantized_qwen2, quantized_qwen3};
use std::time::Instant;

/// Reads tokens from a position on, and gives the logits behind the last.
type Forward = dyn FnMut(&Tensor, usize) -> Result<Tensor>;

fn main() -> Result<()> {
    let mut given = std::env::args().skip(1);
    let Some(path) = given.next() else { bail!("name a GGUF file") };
    let mut number =
        |otherwise: u32| given.next().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let (prompt, answer) = (number(512), number(64));
    let mut file = std::fs::File::open(&path)?;
    let content = Content::read(&mut file)?;
    let family = content.metadata.get("general.architecture").map(|name| name.to_string().cloned());
    let mut read: Box<Forward> = match family {
        Some(Ok(name)) if name == "qwen3" => {
            let mut model =
                quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
            Box::new(move |tokens, position| model.forward(tokens, position))
        }
        _ => {
            let mut model =
                quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
            Box::new(move |tokens, position| model.forward(tokens, position))
        }
    };
    let tokens: Vec<u32> = (0..prompt).map(|at| (at * 7_919) % 1_000).collect();
    let mut token = |tokens: &[u32], position: usize| -> Result<()> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        read(&input, position)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(())
    };
    let (mut prefills, mut decodes) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let began = Instant::now();
        token(&tokens, 0)?;
        prefills.push(f64::from(prompt) / began.elapsed().as_secs_f64());
        let began = Instant::now();
        for at in 0..answer {
            token(&[(at * 31) % 1_000], (prompt + at) as usize)?;
        }
        decodes.push(f64::from(answer) / began.elapsed().as_secs_f64());
    }
    prefills.sort_by(f64::total_cmp);
    decodes.sort_by(f64::total_cmp);
    println!(
        "{{\"engine\": \"candle\", \"model\": {path:?}, \"prefill_tokens_per_second\": {:.1}, \
         \"decode_tokens_per_second\": {:.1}}}",
        prefills[1], decodes[1]
    );
    Ok(())
}
