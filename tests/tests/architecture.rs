//! The house keeps itself in order: who may use whom, what is documented, what
//! is reachable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each of them may use.
const EDGES: &[(&str, &[&str])] = &[
    ("charter", &[]),
    ("policy", &["charter"]),
    ("moroni", &["charter"]),
    ("ledger", &["charter"]),
    ("vectors", &["charter"]),
    ("topics", &["charter"]),
    ("forty_two", &["charter"]),
    ("models", &["charter"]),
    ("queue", &["charter", "ledger"]),
    ("librarian", &["charter", "vectors"]),
    ("hephaestus", &["charter"]),
    ("sons_of_helaman", &["charter", "moroni", "policy"]),
    (
        "alma",
        &[
            "charter",
            "policy",
            "moroni",
            "forty_two",
            "hephaestus",
            "ledger",
            "librarian",
            "queue",
            "sons_of_helaman",
            "topics",
        ],
    ),
    ("surfaces", &["charter", "alma"]),
    (
        "app",
        &[
            "charter",
            "policy",
            "moroni",
            "hephaestus",
            "ledger",
            "librarian",
            "models",
            "vectors",
            "queue",
            "sons_of_helaman",
            "alma",
            "surfaces",
        ],
    ),
    (
        "alma-tests",
        &[
            "charter",
            "policy",
            "moroni",
            "hephaestus",
            "ledger",
            "librarian",
            "models",
            "vectors",
            "queue",
            "sons_of_helaman",
            "alma",
            "surfaces",
            "app",
        ],
    ),
];

/// Libraries that stay in these crates.
const CONFINED: &[(&str, &[&str])] = &[
    ("sqlx", &["ledger", "queue"]),
    ("apalis", &["queue"]),
    ("apalis-core", &["queue"]),
    ("apalis-sqlite", &["queue"]),
    ("landlock", &["hephaestus"]),
    ("seccompiler", &["hephaestus"]),
    ("mail-parser", &["hephaestus"]),
    ("clap", &["surfaces", "app"]),
    ("axum", &["surfaces"]),
    ("reedline", &["surfaces"]),
    ("qdrant-edge", &["vectors"]),
    ("hdbscan", &["topics"]),
    ("linfa", &["topics"]),
    ("linfa-clustering", &["topics"]),
    ("ndarray", &["topics"]),
    ("candle-core", &["models"]),
    ("candle-transformers", &["models"]),
    ("tokenizers", &["models"]),
    ("llguidance", &["models"]),
    ("toktrie", &["models"]),
    ("minijinja", &["models"]),
];

/// Crates that decide or name: they know no runtime and no machine.
const PURE: &[&str] = &["charter", "policy", "moroni", "forty_two"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Ordinary dependencies of our crates, by name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let names = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

#[test]
fn crates_use_only_whom_they_may() {
    let found = dependencies();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), ours);
    for (name, allowed) in EDGES {
        for used in found[*name].iter().filter(|used| ours.contains(used.as_str())) {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn heavy_libraries_stay_where_they_are() {
    let found = dependencies();
    for (library, allowed) in CONFINED {
        for (name, used) in &found {
            assert!(
                !used.contains(*library) || allowed.contains(&name.as_str()),
                "{name} must not use {library}"
            );
        }
    }
}

#[test]
fn deciders_know_no_machine() {
    let found = dependencies();
    for name in PURE {
        for banned in ["tokio", "rustix", "libc", "getrandom", "tracing"] {
            assert!(!found[*name].contains(banned), "{name} must not use {banned}");
        }
    }
    let words = ["std::fs", "std::net", "std::process", "SystemTime::now", "Instant::now"];
    for name in PURE {
        for file in sources(&root().join("agents").join(name).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let shipped = text.split("#[cfg(test)]").next().unwrap();
            for word in words {
                assert!(!shipped.contains(word), "{} uses {word}", file.display());
            }
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["agents", "memory", "queue", "tests"] {
        for file in sources(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//!"), "{} does not begin with //!", file.display());
        }
    }
}

#[test]
fn the_map_names_every_crate() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, _) in EDGES {
        assert!(map.contains(&format!("`{name}`")), "ARCHITECTURE.md does not name {name}");
    }
    for word in map.split('`').skip(1).step_by(2) {
        let looks_like_path = word.contains('/') && !word.contains([' ', '$', '*']);
        let relative =
            ["tools/", "checks/", "machine/", "golden/", "tools/mod.rs", "checks/mod.rs"];
        if looks_like_path
            && !relative.iter().any(|start| word.starts_with(start))
            && !word.starts_with('~')
        {
            assert!(root().join(word).exists(), "ARCHITECTURE.md names {word}, which is not there");
        }
    }
}

/// Those bugs are planted for `--test faults`, which takes a quarter of an hour and is
/// run by hand: whoever changes the lines around them hears of it here.
#[test]
fn planted_bugs_fit_the_code() {
    let patches = std::fs::read_dir(root().join("tests/faults")).unwrap().flatten();
    let mut found = 0;
    for patch in patches.map(|entry| entry.path()) {
        let text = std::fs::read_to_string(&patch).unwrap();
        let (mut code, mut before) = (String::new(), String::new());
        for line in text.lines().chain(["@@"]) {
            if let Some(file) = line.strip_prefix("+++ b/") {
                code = std::fs::read_to_string(root().join(file)).unwrap();
            } else if line.starts_with("@@") || line.starts_with("diff ") {
                assert!(code.contains(&before), "{}: there is no\n{before}", patch.display());
                found += usize::from(!before.is_empty());
                before.clear();
            } else if let Some(line) = line.strip_prefix([' ', '-'])
                && !line.starts_with("-- a/")
            {
                before.push_str(line);
                before.push('\n');
            }
        }
    }
    assert!(found >= 8, "{found} places");
}

#[test]
fn the_top_level_is_the_agreed_one() {
    let agreed = [
        ".cargo",
        ".ci",
        ".git",
        ".gitignore",
        ".rustfmt.toml",
        "ARCHITECTURE.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "agents",
        "clippy.toml",
        "config.toml",
        "deny.toml",
        "deploy",
        "memory",
        "models",
        "queue",
        "target",
        "tests",
    ];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(agreed.contains(&name.as_str()), "{name} is not part of the agreed top level");
    }
}
