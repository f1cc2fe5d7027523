//! Checkpoints as folders: config.json, tokenizer.json, *.safetensors.

use crate::error::{LoadError, said};
use crate::qwen::config::{self, Dimensions, Family, SAFETENSORS, Wrong};
use crate::qwen::files;
use crate::qwen::network::Weights;
use crate::qwen::{Loaded, Talk};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_transformers::models::{qwen2, qwen3};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest header of a safetensors file, in bytes.
const HEADER_MAX: u64 = 100 << 20;

/// What a folder says of itself, checked.
pub(crate) struct Header {
    pub(crate) config: Value,
    pub(crate) dimensions: Dimensions,
    pub(crate) shards: Vec<PathBuf>,
    /// Type of the weights.
    pub(crate) kind: &'static str,
}

/// Reads config.json and the headers of the weight files.
pub(crate) fn header(folder: &Path) -> Result<Header, LoadError> {
    let path = folder.join("config.json");
    let config = files::json(&path)?.ok_or_else(|| LoadError::NoModel {
        path: folder.to_owned(),
        why: "it has no config.json".to_owned(),
    })?;
    let dimensions = config::from_json(&config).map_err(|wrong| match wrong {
        Wrong::Unsupported(why) => LoadError::Unsupported { path: folder.to_owned(), why },
        Wrong::Damaged(why) => LoadError::Damaged { path: path.clone(), why },
    })?;
    let shards = shards(folder)?;
    let kind = check_shards(&dimensions, &shards, folder)?;
    Ok(Header { config, dimensions, shards, kind })
}

/// The files that are digested.
pub(crate) fn digested(folder: &Path, shards: &[PathBuf]) -> Vec<PathBuf> {
    let own = ["config.json", "tokenizer.json"].map(|name| folder.join(name));
    own.into_iter().chain(shards.iter().cloned()).collect()
}

/// Loads a folder. `context_max` bounds the tables that depend on the context.
pub(crate) fn load(folder: &Path, context_max: usize) -> Result<Loaded, LoadError> {
    let Header { config, mut dimensions, shards, .. } = header(folder)?;
    dimensions.context = dimensions.context.min(context_max);
    let talk = talk(folder, &config)?;
    let name = files::name(folder, &digested(folder, &shards))?;
    let weights = weights(&dimensions, &shards).map_err(|error| LoadError::Weights {
        path: folder.to_owned(),
        source: said(&error).into(),
    })?;
    Ok(Loaded {
        name,
        vocabulary: dimensions.vocabulary,
        context: dimensions.context,
        weights,
        talk,
    })
}

/// Tokenizer and chat template of a folder.
pub(crate) fn talk(folder: &Path, config: &Value) -> Result<Talk, LoadError> {
    let read = |name: &str| files::json(&folder.join(name));
    let tokenizer = read("tokenizer.json")?.ok_or_else(|| LoadError::NoModel {
        path: folder.to_owned(),
        why: "it has no tokenizer.json".to_owned(),
    })?;
    let generation = read("generation_config.json")?;
    let mut ends = Vec::new();
    for source in [Some(config), generation.as_ref()].into_iter().flatten() {
        match source.get("eos_token_id") {
            Some(Value::Array(many)) => ends.extend(many.iter().filter_map(Value::as_u64)),
            Some(one) => ends.extend(one.as_u64()),
            None => {}
        }
    }
    let own = read("tokenizer_config.json")?;
    let template = match files::text(&folder.join("chat_template.jinja"))? {
        Some(template) => Some(template),
        None => own.as_ref().and_then(|own| own.get("chat_template")).and_then(template_of),
    };
    let ends = ends.into_iter().filter_map(|id| u32::try_from(id).ok()).collect();
    Ok(Talk { tokenizer, ends, template })
}

/// A template, or the default one of several named ones.
fn template_of(value: &Value) -> Option<String> {
    match value {
        Value::String(one) => Some(one.clone()),
        Value::Array(many) => many
            .iter()
            .find(|one| one.get("name").is_some_and(|name| name == "default"))
            .and_then(|one| one.get("template")?.as_str())
            .map(str::to_owned),
        _ => None,
    }
}

/// The weight files: those that the index names, else all.
fn shards(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let index = folder.join("model.safetensors.index.json");
    let no_model = |why: &str| LoadError::NoModel { path: folder.to_owned(), why: why.to_owned() };
    let found = match files::json(&index)? {
        None => files::with_ending(folder, "safetensors")?,
        Some(value) => {
            let map = value.get("weight_map").and_then(Value::as_object);
            let names: BTreeSet<&str> =
                map.into_iter().flat_map(Map::values).filter_map(Value::as_str).collect();
            // A name with a slash would leave the folder.
            if names.iter().any(|name| name.contains(['/', '\\'])) {
                let why = "it names files outside the folder".to_owned();
                return Err(LoadError::Damaged { path: index, why });
            }
            let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
            if let Some(missing) = paths.iter().find(|path| !path.is_file()) {
                let name = missing.file_name().unwrap_or_default().to_string_lossy();
                return Err(no_model(&format!("the file {name} is missing")));
            }
            paths
        }
    };
    if found.is_empty() {
        return Err(no_model("it has no .safetensors file"));
    }
    Ok(found)
}

/// Checks every header against the length of its file, and all of them against
/// what the model needs.
fn check_shards(
    dimensions: &Dimensions,
    shards: &[PathBuf],
    folder: &Path,
) -> Result<&'static str, LoadError> {
    let mut found = BTreeMap::new();
    let mut kind = "F32";
    for shard in shards {
        kind = shard_header(shard, &mut found)?;
    }
    let damaged = |why: String| LoadError::Damaged { path: folder.to_owned(), why };
    for (name, shape) in dimensions.tensors(&SAFETENSORS) {
        let own =
            found.get(&name).ok_or_else(|| damaged(format!("the tensor {name} is missing")))?;
        if *own != shape {
            return Err(damaged(format!("the tensor {name} has the shape {own:?}, not {shape:?}")));
        }
    }
    Ok(kind)
}

/// Reads the header of one file; gives the type of its last tensor.
fn shard_header(
    path: &Path,
    found: &mut BTreeMap<String, Vec<usize>>,
) -> Result<&'static str, LoadError> {
    let mut last = "F32";
    let damaged = |why: String| LoadError::Damaged { path: path.to_owned(), why };
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let mut file = files::open(path)?;
    let length = file.metadata().map_err(read)?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|_| damaged(format!("it has {length} bytes")))?;
    let size = u64::from_le_bytes(size);
    if size > HEADER_MAX || size + 8 > length {
        return Err(damaged(format!("its header claims {size} bytes of {length}")));
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(read)?;
    let header: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let room = length - 8 - size;
    for (name, tensor) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let numbers = |key: &str| -> Option<Vec<usize>> {
            let all = tensor.get(key)?.as_array()?;
            all.iter().map(|n| usize::try_from(n.as_u64()?).ok()).collect()
        };
        let shape = numbers("shape").ok_or_else(|| damaged(format!("{name} has no shape")))?;
        let (kind, bytes) = match tensor.get("dtype").and_then(Value::as_str) {
            Some("F32") => ("F32", 4),
            Some("F16") => ("F16", 2),
            Some("BF16") => ("BF16", 2),
            other => {
                let kind = other.unwrap_or("unknown");
                let why =
                    format!("the tensor {name} is of type {kind}; F32, F16 and BF16 run here");
                return Err(LoadError::Unsupported { path: path.to_owned(), why });
            }
        };
        let wanted = shape.iter().try_fold(bytes, |product: usize, n| product.checked_mul(*n));
        match (numbers("data_offsets").as_deref(), wanted) {
            (Some([from, to]), Some(wanted))
                if from <= to && *to as u64 <= room && to - from == wanted => {}
            (Some([_, to]), _) if *to as u64 > room => {
                let why = format!("the tensor {name} ends at {to}, the data at {room}");
                return Err(damaged(why));
            }
            _ => return Err(damaged(format!("the tensor {name} has wrong offsets"))),
        }
        last = kind;
        found.insert(name, shape);
    }
    Ok(last)
}

fn weights(dimensions: &Dimensions, shards: &[PathBuf]) -> candle_core::Result<Weights> {
    let device = Device::Cpu;
    let mut tensors = HashMap::new();
    for shard in shards {
        tensors.extend(candle_core::safetensors::load(shard, &device)?);
    }
    // On a processor, products in BF16 are many times slower than in F32.
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &device);
    Ok(match dimensions.family {
        Family::Qwen2 => {
            Weights::Qwen2(qwen2::ModelForCausalLM::new(&dimensions.qwen2(), builder)?)
        }
        Family::Qwen3 => {
            Weights::Qwen3(qwen3::ModelForCausalLM::new(&dimensions.qwen3(), builder)?)
        }
    })
}
