//! The language model.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Folder below the data folder in which models lie.
pub const FOLDER: &str = "models";

/// The language model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A GGUF file, or a folder with safetensors; empty: none.
    pub path: String,
    /// A smaller model of the same tokens that guesses ahead; empty: none.
    pub draft: String,
    /// Whether the small model that ships inside the program advises.
    pub pocket: bool,
}

impl Model {
    /// Where it lies: a name alone means the folder for models.
    pub fn place(&self, home: &Path) -> Option<PathBuf> {
        place(&self.path, home)
    }

    /// Where the smaller one lies.
    pub fn draft_place(&self, home: &Path) -> Option<PathBuf> {
        place(&self.draft, home)
    }
}

fn place(path: &str, home: &Path) -> Option<PathBuf> {
    let path = path.trim();
    (!path.is_empty()).then(|| home.join(FOLDER).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: Option<&str>) {
        let found = place(path, Path::new("/home/.alma"));
        assert_eq!(found.as_deref(), expect.map(Path::new));
    }

    #[test]
    fn a_name_alone_lies_in_the_folder_for_models() {
        check("", None);
        check("  ", None);
        check("a.gguf", Some("/home/.alma/models/a.gguf"));
        check("/models/qwen", Some("/models/qwen"));
    }
}
