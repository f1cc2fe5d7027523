//! Checkpoints as folders: config.json, tokenizer.json, *.safetensors.

use crate::compute::formats::Format;
use crate::error::LoadError;
use crate::qwen::config::{self, Dimensions, SAFETENSORS, Wrong};
use crate::qwen::files;
use crate::qwen::network::Checkpoint;
use crate::qwen::weights::{Source, Tensor};
use crate::qwen::{Described, Found, Talk};
use candle_core::quantized::GgmlDType;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest header of a safetensors file, in bytes.
const HEADER_MAX: u64 = 100 << 20;

/// What a folder says of itself, checked.
pub(crate) struct Header {
    pub(crate) config: Value,
    pub(crate) dimensions: Dimensions,
    pub(crate) shards: Vec<PathBuf>,
    /// Type of the embedding, and mostly of all weights.
    pub(crate) kind: GgmlDType,
    entries: HashMap<String, Entry>,
}

/// A tensor, as a header states it.
struct Entry {
    shard: usize,
    kind: GgmlDType,
    shape: Vec<usize>,
    /// Its first byte in the file.
    at: u64,
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
    let entries = entries(&dimensions, &shards, folder)?;
    let kind = entries.get(SAFETENSORS.embedding).map_or(GgmlDType::F32, |entry| entry.kind);
    Ok(Header { config, dimensions, shards, kind, entries })
}

/// The files that are digested.
pub(crate) fn digested(folder: &Path, shards: &[PathBuf]) -> Vec<PathBuf> {
    let own = ["config.json", "tokenizer.json"].map(|name| folder.join(name));
    own.into_iter().chain(shards.iter().cloned()).collect()
}

/// Finds a model in a folder.
pub(crate) fn find(folder: &Path) -> Result<Found, LoadError> {
    let Header { config, dimensions, shards, entries, .. } = header(folder)?;
    let talk = talk(folder, &config)?;
    let sources: Vec<Arc<Source>> =
        shards.iter().map(|shard| Source::open(shard)).collect::<Result<_, _>>()?;
    let tensor = |entry: Entry| {
        let (rows, columns) = match entry.shape.as_slice() {
            [rows, columns] => (*rows, *columns),
            all => (1, all.iter().product()),
        };
        let source = Arc::clone(sources.get(entry.shard)?);
        Some(Tensor { source, format: Format::of(entry.kind)?, at: entry.at, rows, columns })
    };
    let tensors =
        entries.into_iter().filter_map(|(name, entry)| Some((name, tensor(entry)?))).collect();
    let files = digested(folder, &shards);
    let checkpoint = Checkpoint { dimensions, names: &SAFETENSORS, tensors };
    Ok(Found { checkpoint, talk, files })
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
    Ok(Talk { tokenizer: Described::Json(tokenizer), ends, template })
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
fn entries(
    dimensions: &Dimensions,
    shards: &[PathBuf],
    folder: &Path,
) -> Result<HashMap<String, Entry>, LoadError> {
    let mut found = HashMap::new();
    for (number, shard) in shards.iter().enumerate() {
        shard_header(shard, number, &mut found)?;
    }
    let damaged = |why: String| LoadError::Damaged { path: folder.to_owned(), why };
    for (name, shape) in dimensions.tensors(&SAFETENSORS) {
        let own =
            found.get(&name).ok_or_else(|| damaged(format!("the tensor {name} is missing")))?;
        if own.shape != shape {
            let found = &own.shape;
            return Err(damaged(format!(
                "the tensor {name} has the shape {found:?}, not {shape:?}"
            )));
        }
    }
    Ok(found)
}

/// Reads the header of one file.
fn shard_header(
    path: &Path,
    shard: usize,
    found: &mut HashMap<String, Entry>,
) -> Result<(), LoadError> {
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
            Some("F32") => (GgmlDType::F32, 4),
            Some("F16") => (GgmlDType::F16, 2),
            Some("BF16") => (GgmlDType::BF16, 2),
            other => {
                let kind = other.unwrap_or("unknown");
                let why =
                    format!("the tensor {name} is of type {kind}; F32, F16 and BF16 run here");
                return Err(LoadError::Unsupported { path: path.to_owned(), why });
            }
        };
        let wanted = shape.iter().try_fold(bytes, |product: usize, n| product.checked_mul(*n));
        let offsets = numbers("data_offsets");
        let at = match (offsets.as_deref(), wanted) {
            (Some([from, to]), Some(wanted))
                if from <= to && *to as u64 <= room && to - from == wanted =>
            {
                8 + size + *from as u64
            }
            (Some([_, to]), _) if *to as u64 > room => {
                let why = format!("the tensor {name} ends at {to}, the data at {room}");
                return Err(damaged(why));
            }
            _ => return Err(damaged(format!("the tensor {name} has wrong offsets"))),
        };
        found.insert(name, Entry { shard, kind, shape, at });
    }
    Ok(())
}
