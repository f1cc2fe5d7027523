//! What a model is, read from its headers: nothing is loaded for it.

use crate::error::LoadError;
use crate::qwen::files::{self, Files};
use crate::qwen::{CONTEXT_MAX, Talk, gguf, safetensors};
use candle_core::quantized::GgmlDType;
use charter::digest::Digest;
use charter::generate::identity;
use std::path::{Path, PathBuf};

/// How fast a model answers for its size: each token reads all weights once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// Most weights have eight bits or fewer.
    Good,
    /// Most weights are floats: two to eight times as much to read.
    Slow,
}

/// A model, as its headers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `qwen2` or `qwen3`.
    pub architecture: &'static str,
    /// Container and type of the weights, for instance `GGUF Q8_0`.
    pub format: String,
    /// Size of its weight files.
    pub bytes: u64,
    /// Tokens that it was trained to see.
    pub context: usize,
    /// Tokens of it that are used here.
    pub context_used: usize,
    /// Layers.
    pub layers: usize,
    /// Width of a layer.
    pub hidden: usize,
    /// Heads, and those of keys and values.
    pub heads: (usize, usize),
    /// Rows of its embedding.
    pub vocabulary: usize,
    /// How well it runs.
    pub speed: Speed,
}

/// What takes a closer look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Tokens of the tokenizer.
    pub tokens: usize,
    /// Its chat template; `None`: it brings none, and ChatML is used.
    pub template: Option<String>,
    /// SHA-256 of its files.
    pub digest: Option<Digest>,
}

/// Describes the model at a path.
pub fn describe(path: &Path) -> Result<Description, LoadError> {
    let (dimensions, format, bytes, speed) = match Files::find(path)? {
        Files::Gguf(file) => {
            let header = gguf::header(&file)?;
            let types = gguf::types(&header.content);
            let format = match types.first() {
                Some((kind, _)) => format!("GGUF {}", type_name(*kind)),
                None => "GGUF".to_owned(),
            };
            (header.dimensions, format, size(&[file])?, speed(&types))
        }
        Files::Folder(folder) => {
            let header = safetensors::header(&folder)?;
            let format = format!("safetensors {}", type_name(header.kind));
            (header.dimensions, format, size(&header.shards)?, Speed::Slow)
        }
    };
    Ok(Description {
        architecture: dimensions.family.as_str(),
        format,
        bytes,
        context: dimensions.context,
        context_used: dimensions.context.min(CONTEXT_MAX),
        layers: dimensions.layers,
        hidden: dimensions.hidden,
        heads: (dimensions.heads, dimensions.kv_heads),
        vocabulary: dimensions.vocabulary,
        speed,
    })
}

/// Looks closer: tries tokenizer and template, and reads every byte.
pub fn details(path: &Path) -> Result<Details, LoadError> {
    let (talk, vocabulary, digested) = found(path)?;
    let template = talk.template.clone();
    let (tokens, _) = talk.checked(path, vocabulary)?;
    let name = files::name(path, &digested)?;
    Ok(Details { tokens: tokens.size(), template, digest: identity(&name).1 })
}

/// Tries tokenizer and template.
pub fn try_talk(path: &Path) -> Result<(), LoadError> {
    let (talk, vocabulary, _) = found(path)?;
    talk.checked(path, vocabulary).map(|_| ())
}

/// Tries whether a smaller model can guess ahead of another one.
pub fn try_draft(path: &Path, of: &Path) -> Result<(), LoadError> {
    let ((own, rows, _), (other, other_rows, _)) = (found(path)?, found(of)?);
    let (tokens, _) = other.checked(of, other_rows)?;
    own.guesses_for(path, rows, &tokens, other_rows)
}

/// Tokenizer and template of a model, rows of its embedding, and the files that
/// its digest covers.
fn found(path: &Path) -> Result<(Talk, usize, Vec<PathBuf>), LoadError> {
    Ok(match Files::find(path)? {
        Files::Gguf(file) => {
            let mut header = gguf::header(&file)?;
            (gguf::talk(&mut header.content, &file)?, header.dimensions.vocabulary, vec![file])
        }
        Files::Folder(folder) => {
            let header = safetensors::header(&folder)?;
            let talk = safetensors::talk(&folder, &header.config)?;
            let all = safetensors::digested(&folder, &header.shards);
            (talk, header.dimensions.vocabulary, all)
        }
    })
}

fn size(files: &[PathBuf]) -> Result<u64, LoadError> {
    files.iter().try_fold(0, |all, file| {
        let found = std::fs::metadata(file);
        let found = found.map_err(|source| LoadError::Read { path: file.clone(), source })?;
        Ok(all + found.len())
    })
}

/// By the types of its matrices.
fn speed(types: &[(GgmlDType, u64)]) -> Speed {
    let is_float = |kind| matches!(kind, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16);
    let all: u64 = types.iter().map(|(_, bytes)| bytes).sum();
    let floats: u64 =
        types.iter().filter(|(kind, _)| is_float(*kind)).map(|(_, bytes)| bytes).sum();
    if 2 * floats > all { Speed::Slow } else { Speed::Good }
}

/// The name of a type as files carry it.
fn type_name(kind: GgmlDType) -> String {
    match kind {
        GgmlDType::Q4K => "Q4_K".to_owned(),
        GgmlDType::Q5K => "Q5_K".to_owned(),
        GgmlDType::Q6K => "Q6_K".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tiny;
    use tempfile::TempDir;

    #[test]
    fn both_formats_are_described() {
        let folder = TempDir::new().unwrap();
        Tiny::new("qwen3").write_folder(folder.path());
        let found = describe(folder.path()).unwrap();
        let told = (found.architecture, found.format.as_str(), found.context, found.speed);
        assert_eq!(told, ("qwen3", "safetensors F32", 2_048, Speed::Slow));
        assert!(found.bytes > 100_000, "{found:?}");
        let file = folder.path().join("tiny.gguf");
        Tiny::new("qwen2").write_gguf(&file, GgmlDType::Q8_0, |_| {});
        let found = describe(&file).unwrap();
        let told = (found.architecture, found.format.as_str(), found.heads, found.speed);
        assert_eq!(told, ("qwen2", "GGUF Q8_0", (4, 2), Speed::Good));
    }

    #[test]
    fn a_closer_look_knows_template_and_digest() {
        let folder = TempDir::new().unwrap();
        Tiny::new("qwen2").write_folder(folder.path());
        let found = details(folder.path()).unwrap();
        assert_eq!((found.tokens, found.template), (275, None));
        let model = crate::Qwen::load(folder.path()).unwrap();
        assert_eq!(found.digest, identity(charter::generate::Generate::name(&model)).1);
        assert!(found.digest.is_some());
        std::fs::write(folder.path().join("chat_template.jinja"), "{{ messages").unwrap();
        assert!(matches!(details(folder.path()), Err(LoadError::Template { .. })));
    }

    #[test]
    fn mixed_files_count_by_what_most_of_them_is() {
        use GgmlDType as T;
        let check = |types: &[(T, u64)], expect| assert_eq!(speed(types), expect);
        check(&[(T::Q4K, 90), (T::Q6K, 10)], Speed::Good);
        check(&[(T::F16, 10), (T::Q8_0, 90)], Speed::Good);
        check(&[(T::BF16, 60), (T::Q5_0, 40)], Speed::Slow);
        check(&[], Speed::Good);
    }
}
