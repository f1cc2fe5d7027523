//! What lies at a path: a GGUF file, a folder of safetensors, or no model.

use crate::error::LoadError;
use charter::digest::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest JSON file of a checkpoint, in bytes.
const JSON_MAX: u64 = 256 << 20;

/// A model's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Files {
    /// One GGUF file.
    Gguf(PathBuf),
    /// A folder with config.json.
    Folder(PathBuf),
}

impl Files {
    /// What lies at `path`.
    pub(crate) fn find(path: &Path) -> Result<Self, LoadError> {
        let no_model = |why: String| LoadError::NoModel { path: path.to_owned(), why };
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(no_model("it does not exist".to_owned()));
            }
            Err(source) => return Err(LoadError::Read { path: path.to_owned(), source }),
        };
        if found.is_file() {
            let mut magic = Vec::new();
            open(path)?
                .take(4)
                .read_to_end(&mut magic)
                .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
            return match magic.as_slice() {
                b"GGUF" => Ok(Self::Gguf(path.to_owned())),
                _ => Err(no_model("it is a file, but no GGUF file".to_owned())),
            };
        }
        if !found.is_dir() {
            return Err(no_model("it is neither a file nor a folder".to_owned()));
        }
        if path.join("config.json").is_file() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let mut files = with_ending(path, "gguf")?;
        match (files.pop(), files.len()) {
            (Some(only), 0) => Self::find(&only),
            (Some(_), more) => Err(no_model(format!(
                "the folder holds {} .gguf files: name one of them",
                more + 1
            ))),
            (None, _) => {
                Err(no_model("the folder holds neither config.json nor a .gguf file".to_owned()))
            }
        }
    }
}

pub(crate) fn open(path: &Path) -> Result<File, LoadError> {
    File::open(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// Files of a folder with this ending, by name.
pub(crate) fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, LoadError> {
    let read = |source| LoadError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|own| own == ending) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A JSON file, or `None` if there is none.
pub(crate) fn json(path: &Path) -> Result<Option<Value>, LoadError> {
    let Some(text) = text(path)? else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| LoadError::Damaged { path: path.to_owned(), why: error.to_string() })
}

/// A text file, or `None` if there is none.
pub(crate) fn text(path: &Path) -> Result<Option<String>, LoadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Read { path: path.to_owned(), source }),
    };
    let damaged = |why: String| LoadError::Damaged { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    file.take(JSON_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > JSON_MAX {
        return Err(damaged(format!("it has more than {JSON_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| damaged(error.to_string()))
}

/// Name and digest of files as the ledger keeps them.
pub(crate) fn name(path: &Path, files: &[PathBuf]) -> Result<String, LoadError> {
    let mut all = Sha256::new();
    for file in files {
        let read = |source| LoadError::Read { path: file.clone(), source };
        let mut reader = open(file)?;
        let mut own = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = reader.read(&mut buffer).map_err(read)?;
            if count == 0 {
                break;
            }
            own.update(buffer.get(..count).unwrap_or_default());
        }
        // A single file keeps the digest that its publisher states.
        if files.len() == 1 {
            all = own;
        } else {
            all.update(own.finalize());
        }
    }
    let digest = Digest(all.finalize().into());
    Ok(format!("{} sha256:{digest}", stem(path)))
}

/// The name of a file or folder.
pub(crate) fn stem(path: &Path) -> String {
    path.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy()).into_owned()
}
