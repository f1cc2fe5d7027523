//! Programming and text languages by file name, kept as data in
//! `languages.yaml`.

use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// What tells code from comments; see `languages.yaml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Style {
    /// Begin a comment to the end of the line.
    pub(crate) line: Vec<String>,
    /// Begin and end a comment over several lines.
    pub(crate) block: Vec<(String, String)>,
    /// Blocks may stand inside blocks.
    pub(crate) nested: bool,
    /// Marks of strings that end with the line.
    pub(crate) strings: Vec<String>,
    /// Marks of strings over several lines.
    pub(crate) multiline: Vec<String>,
    /// Marks are escaped by doubling.
    pub(crate) doubled: bool,
    /// `'` holds one character.
    pub(crate) chars: bool,
    /// Raw strings as in Rust.
    pub(crate) raw: bool,
    /// Line comments begin at the start or after a blank.
    pub(crate) spaced: bool,
    /// Line comments begin at the start of the line.
    pub(crate) leading: bool,
    /// Text for people.
    pub(crate) prose: bool,
}

/// A language.
#[derive(Debug)]
pub(crate) struct Language {
    /// Its name.
    pub(crate) name: String,
    /// How it writes comments.
    pub(crate) style: Style,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    styles: HashMap<String, Style>,
    languages: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    style: String,
    ext: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    run: Vec<String>,
}

struct Table {
    languages: Vec<Language>,
    by_extension: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    by_interpreter: HashMap<String, usize>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the file is compiled in and a test reads it")]
    let file: File = serde_saphyr::from_str(include_str!("languages.yaml"))
        .expect("languages.yaml fits its type");
    let mut table = Table {
        languages: Vec::new(),
        by_extension: HashMap::new(),
        by_name: HashMap::new(),
        by_interpreter: HashMap::new(),
    };
    for (name, entry) in file.languages {
        let at = table.languages.len();
        table.by_extension.extend(entry.ext.into_iter().map(|ext| (ext, at)));
        table.by_name.extend(entry.names.into_iter().map(|name| (name, at)));
        table.by_interpreter.extend(entry.run.into_iter().map(|run| (run, at)));
        let style = file.styles.get(&entry.style).cloned().unwrap_or_default();
        table.languages.push(Language { name, style });
    }
    table
});

/// The language of a file: by its name, its extension, or the interpreter in its
/// first line.
pub(crate) fn of(path: &str, text: &str) -> Option<&'static Language> {
    let table = &*TABLE;
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
    let at = table
        .by_name
        .get(name)
        .or_else(|| table.by_extension.get(&extension?))
        .or_else(|| table.by_interpreter.get(interpreter(text)?))?;
    table.languages.get(*at)
}

/// `python3` of `#!/usr/bin/env -S python3 -u` or `#!/usr/bin/python3`.
fn interpreter(text: &str) -> Option<&str> {
    let line = text.strip_prefix("#!")?.lines().next()?;
    let mut words = line.split_whitespace();
    let first = words.next()?.rsplit('/').next()?;
    if first == "env" {
        words.find(|word| !word.starts_with('-') && !word.contains('='))
    } else {
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn check(path: &str, text: &str, expect: Option<&str>) {
        assert_eq!(of(path, text).map(|language| language.name.as_str()), expect, "{path}");
    }

    #[test]
    fn languages_are_known_by_name() {
        check("src/main.rs", "", Some("Rust"));
        check("a/Makefile", "", Some("Makefile"));
        check("X.PY", "", Some("Python"));
        check("CMakeLists.txt", "", Some("CMake"));
        check("a.unknown", "", None);
        check("rs", "", None);
    }

    #[test]
    fn a_first_line_names_the_interpreter() {
        check("tool", "#!/usr/bin/env -S python3 -u\n", Some("Python"));
        check("tool", "#!/bin/bash\n", Some("Shell"));
        check("tool", "#!/opt/strange\n", None);
    }

    #[test]
    fn the_table_is_sound() {
        let file: File = serde_saphyr::from_str(include_str!("languages.yaml")).unwrap();
        let mut seen = HashSet::new();
        for (name, entry) in &file.languages {
            assert!(file.styles.contains_key(&entry.style), "{name} has no style");
            for ext in &entry.ext {
                assert!(seen.insert(ext), "{ext} belongs to two languages");
                assert_eq!(*ext, ext.to_lowercase());
            }
        }
        assert!(file.languages.len() >= 60);
    }
}
