//! The names of a workspace, read once, so that a wish is compared with thousands
//! of files in little time.

use crate::reading::{extension, name, stem};
use crate::words::fold::fold;
use charter::survey::Survey;
use std::collections::{HashMap, HashSet};

/// The name of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The folded words of its name, without the extension.
    pub words: Vec<String>,
    /// Those with letters, as they are written.
    pub lettered: Vec<String>,
    /// Its extension, in lower case; none for folders.
    pub extension: Option<String>,
}

/// The names of a workspace.
#[derive(Debug, Default)]
pub struct Names {
    /// One for each entry of the survey.
    pub entries: Vec<Named>,
    by_first: HashMap<String, Vec<usize>>,
    words: HashSet<String>,
    extensions: HashSet<String>,
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

impl Names {
    /// Reads the names.
    pub fn new(survey: &Survey) -> Self {
        let mut names = Self::default();
        for (i, entry) in survey.entries.iter().enumerate() {
            let bare = if entry.folder { name(&entry.path) } else { stem(&entry.path) };
            let folded = fold(bare);
            let own: Vec<String> = words(&folded).map(str::to_owned).collect();
            if let Some(first) = own.first() {
                names.by_first.entry(first.clone()).or_default().push(i);
            }
            names.words.extend(own.iter().cloned());
            for column in &entry.columns {
                let texts = std::iter::once(&column.name).chain(&column.values);
                names.words.extend(
                    texts.flat_map(|t| words(&fold(t)).map(str::to_owned).collect::<Vec<_>>()),
                );
            }
            let extension = (!entry.folder).then(|| extension(&entry.path)).flatten();
            names.extensions.extend(extension.clone());
            let lettered = words(bare).filter(|word| word.chars().any(char::is_alphabetic));
            let lettered = lettered.map(str::to_owned).collect();
            names.entries.push(Named { words: own, lettered, extension });
        }
        names
    }

    /// Entries whose name begins with this folded word.
    pub fn beginning(&self, word: &str) -> &[usize] {
        self.by_first.get(word).map_or(&[], Vec::as_slice)
    }

    /// Whether a folded word is part of a name: of a file, a folder, a column or a
    /// value of one.
    pub fn has(&self, folded: &str) -> bool {
        self.words.contains(folded)
    }

    /// Whether a file has one of these extensions.
    pub fn any_extension(&self, extensions: &[String]) -> bool {
        extensions.iter().any(|extension| self.extensions.contains(extension))
    }

    /// Whether entry `i` has one of these extensions.
    pub fn has_extension(&self, i: usize, extensions: &[String]) -> bool {
        let own = self.entries.get(i).and_then(|named| named.extension.as_ref());
        own.is_some_and(|own| extensions.contains(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use charter::survey::Entry;

    #[test]
    fn names_are_found_by_their_words() {
        let entry = |path: &str, folder: bool| Entry {
            path: path.to_owned(),
            folder,
            bytes: 0,
            modified: 0,
            columns: Vec::new(),
        };
        let survey = Survey {
            entries: vec![
                entry("Über uns", true),
                entry("a/2025-03 Team-Notes.tar.gz", false),
                entry(".env", false),
            ],
            truncated: false,
        };
        let names = Names::new(&survey);
        assert_eq!(names.entries[0].words, ["uber", "uns"]);
        assert_eq!(names.entries[1].words, ["2025", "03", "team", "notes"]);
        assert_eq!(names.entries[1].lettered, ["Team", "Notes"]);
        assert_eq!(names.entries[1].extension.as_deref(), Some("gz"));
        assert_eq!(names.beginning("uber"), [0]);
        assert!(names.has("notes") && !names.has("note"));
        assert!(
            names.any_extension(&["gz".to_owned()]) && !names.any_extension(&["md".to_owned()])
        );
    }
}
