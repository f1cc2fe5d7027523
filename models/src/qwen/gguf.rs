//! Checkpoints as one GGUF file.

use crate::compute::formats::Format;
use crate::error::{LoadError, said};
use crate::qwen::config::{Dimensions, Family, GGUF};
use crate::qwen::files;
use crate::qwen::network::Checkpoint;
use crate::qwen::weights::{Source, Tensor};
use crate::qwen::{Described, Found, Talk};
use crate::tokens::Vocabulary;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value as Meta};
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// What the header of a file says, checked.
pub(crate) struct Header {
    pub(crate) content: Content,
    pub(crate) dimensions: Dimensions,
}

/// Reads the header of a file.
pub(crate) fn header(path: &Path) -> Result<Header, LoadError> {
    let damaged = |why: String| LoadError::Damaged { path: path.to_owned(), why };
    let unsupported = |why: String| LoadError::Unsupported { path: path.to_owned(), why };
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::new(files::open(path)?);
    let length = reader.get_ref().metadata().map_err(read)?.len();
    // candle divides by numbers of the header.
    let header = catch_unwind(AssertUnwindSafe(|| Content::read(&mut reader)));
    let content =
        header.map_err(|_| damaged("its header makes no sense".to_owned()))?.map_err(|error| {
            match said(&error) {
                why if why.contains("unknown dtype") => unsupported(format!("{why}; {TYPES}")),
                why => damaged(why),
            }
        })?;
    let family = match content.metadata.get("general.architecture") {
        Some(Meta::String(name)) => Family::named(name).map_err(unsupported)?,
        _ => return Err(damaged("it names no general.architecture".to_owned())),
    };
    let dimensions = dimensions(&content, family).map_err(damaged)?;
    dimensions.check().map_err(damaged)?;
    check_tensors(&content, &dimensions, length, path)?;
    Ok(Header { content, dimensions })
}

/// Finds a model in a file.
pub(crate) fn find(path: &Path) -> Result<Found, LoadError> {
    let Header { mut content, dimensions } = header(path)?;
    let talk = talk(&mut content, path)?;
    let source = Source::open(path)?;
    let tensor = |info: &TensorInfo| {
        let format = Format::of(info.ggml_dtype)?;
        let dims = info.shape.dims();
        let (rows, columns) = match dims {
            [rows, columns] => (*rows, *columns),
            _ => (1, info.shape.elem_count()),
        };
        let at = content.tensor_data_offset + info.offset;
        Some(Tensor { source: Arc::clone(&source), format, at, rows, columns })
    };
    let infos = content.tensor_infos.iter();
    let tensors = infos.filter_map(|(name, info)| Some((name.clone(), tensor(info)?))).collect();
    let checkpoint = Checkpoint { dimensions, names: &GGUF, tensors };
    Ok(Found { checkpoint, talk, files: vec![path.to_owned()] })
}

/// What runs, for refusals.
const TYPES: &str = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and Q4_K to Q6_K run here";

fn dimensions(content: &Content, family: Family) -> Result<Dimensions, String> {
    let arch = family.as_str();
    let get = |key: &str| content.metadata.get(&format!("{arch}.{key}"));
    let number = |key: &str| {
        let value = get(key).ok_or_else(|| format!("it states no {arch}.{key}"))?;
        value.to_u32().map(|n| n as usize).map_err(|error| format!("{arch}.{key}: {error}"))
    };
    let real = |key: &str| {
        let value = get(key).ok_or_else(|| format!("it states no {arch}.{key}"))?;
        value.to_f32().map(f64::from).map_err(|error| format!("{arch}.{key}: {error}"))
    };
    let (hidden, heads) = (number("embedding_length")?, number("attention.head_count")?);
    let embedding = content.tensor_infos.get("token_embd.weight");
    let rows = embedding.and_then(|info| info.shape.dims().first().copied());
    Ok(Dimensions {
        family,
        vocabulary: rows.ok_or("the tensor token_embd.weight is missing")?,
        hidden,
        inner: number("feed_forward_length")?,
        layers: number("block_count")?,
        heads,
        kv_heads: number("attention.head_count_kv")?,
        head: match family {
            Family::Qwen2 => hidden / heads.max(1),
            Family::Qwen3 => number("attention.key_length")?,
        },
        context: number("context_length")?,
        theta: match (family, get("rope.freq_base")) {
            (Family::Qwen2, None) => 10_000.0,
            _ => real("rope.freq_base")?,
        },
        epsilon: real("attention.layer_norm_rms_epsilon")?,
        tied: !content.tensor_infos.contains_key(GGUF.output),
        bias: family == Family::Qwen2,
    })
}

/// Every tensor lies within the file and is of a type that runs, and those that
/// the model needs are there.
fn check_tensors(
    content: &Content,
    dimensions: &Dimensions,
    length: u64,
    path: &Path,
) -> Result<(), LoadError> {
    let damaged = |why: String| LoadError::Damaged { path: path.to_owned(), why };
    for (name, info) in &content.tensor_infos {
        let elements = info.shape.dims().iter().try_fold(1_usize, |all, n| all.checked_mul(*n));
        let kind = info.ggml_dtype;
        if Format::of(kind).is_none() {
            let why = format!("the tensor {name} is of type {kind:?}; {TYPES}");
            return Err(LoadError::Unsupported { path: path.to_owned(), why });
        }
        let block = kind.block_size();
        let bytes = elements
            .filter(|elements| elements.is_multiple_of(block))
            .and_then(|elements| (elements / block).checked_mul(kind.type_size()))
            .ok_or_else(|| damaged(format!("the tensor {name} has an impossible shape")))?;
        let end = content
            .tensor_data_offset
            .checked_add(info.offset)
            .and_then(|from| from.checked_add(bytes as u64))
            .ok_or_else(|| damaged(format!("the tensor {name} lies beyond all bounds")))?;
        if end > length {
            let why = format!("the tensor {name} ends at byte {end}, the file at {length}");
            return Err(damaged(why));
        }
    }
    for (name, shape) in dimensions.tensors(&GGUF) {
        let info = content.tensor_infos.get(&name);
        let own = info.ok_or_else(|| damaged(format!("the tensor {name} is missing")))?;
        if own.shape.dims() != shape {
            let found = own.shape.dims();
            return Err(damaged(format!(
                "the tensor {name} has the shape {found:?}, not {shape:?}"
            )));
        }
    }
    Ok(())
}

/// How many bytes of the matrices in the layers are of each type, largest first.
pub(crate) fn types(content: &Content) -> Vec<(GgmlDType, u64)> {
    let mut all: Vec<(GgmlDType, u64)> = Vec::new();
    for (name, info) in &content.tensor_infos {
        let kind = info.ggml_dtype;
        if !name.starts_with("blk.") || info.shape.dims().len() != 2 {
            continue;
        }
        let blocks = info.shape.elem_count() / kind.block_size().max(1);
        let bytes = (blocks * kind.type_size()) as u64;
        match all.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += bytes,
            None => all.push((kind, bytes)),
        }
    }
    all.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    all
}

/// Tokenizer and chat template of a file; they are taken out of the header.
pub(crate) fn talk(content: &mut Content, path: &Path) -> Result<Talk, LoadError> {
    let tokenizer_error = |why: String| LoadError::Tokenizer { path: path.to_owned(), why };
    let word = |content: &Content, key: &str| match content.metadata.get(key) {
        Some(Meta::String(text)) => Some(text.clone()),
        _ => None,
    };
    let pre = word(content, "tokenizer.ggml.pre");
    let own = word(content, "tokenizer.ggml.model").as_deref() == Some("gpt2");
    let tokenizer = if own && pre.as_deref() == Some("qwen2") {
        Described::Words(vocabulary(content).map_err(tokenizer_error)?)
    } else {
        let beside = path.with_file_name("tokenizer.json");
        Described::Json(files::json(&beside)?.ok_or_else(|| {
            let kind = pre.unwrap_or_else(|| "unknown".to_owned());
            tokenizer_error(format!(
                "its own is of the kind {kind:?}, not qwen2, and there is no tokenizer.json beside it"
            ))
        })?)
    };
    let end = content.metadata.get("tokenizer.ggml.eos_token_id").and_then(|v| v.to_u32().ok());
    let template = word(content, "tokenizer.chat_template");
    Ok(Talk { tokenizer, ends: end.into_iter().collect(), template })
}

/// The vocabulary in a header.
fn vocabulary(content: &mut Content) -> Result<Vocabulary, String> {
    /// A token that only a template places, and one that has text too.
    const CONTROL: i32 = 3;
    const USER: i32 = 4;
    let mut list = |key: &str| match content.metadata.remove(key) {
        Some(Meta::Array(values)) => Ok(values),
        _ => Err(format!("it has no list {key}")),
    };
    let texts = |values: Vec<Meta>, key: &str| -> Result<Vec<String>, String> {
        values
            .into_iter()
            .map(|value| match value {
                Meta::String(text) => Ok(text),
                _ => Err(format!("something in {key} is no text")),
            })
            .collect()
    };
    let words = texts(list("tokenizer.ggml.tokens")?, "tokenizer.ggml.tokens")?;
    let merges = texts(list("tokenizer.ggml.merges")?, "tokenizer.ggml.merges")?;
    let kinds = list("tokenizer.ggml.token_type")?;
    let control = kinds
        .iter()
        .zip(0_u32..)
        .filter_map(|(kind, id)| match kind.to_i32() {
            Ok(CONTROL) => Some((id, true)),
            Ok(USER) => Some((id, false)),
            _ => None,
        })
        .collect();
    Ok(Vocabulary { words, control, merges })
}
