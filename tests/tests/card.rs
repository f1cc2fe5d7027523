//! The card of the small model says what is true of the files beside it: their sizes
//! and digests, and how well they do on the messages of `tests/messages`.

use alma_tests::shell::Shell;
use charter::digest::Digest;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How much a figure may differ from the card: one message of 200.
const NEAR: f64 = 0.0051;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The cells of the card's rows that begin with a word in `names`.
fn rows(names: &[&str]) -> Vec<Vec<String>> {
    let card = std::fs::read_to_string(root().join("models/pocket/README.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|').split('|');
        inner.map(|cell| cell.trim().trim_matches(['`', '*']).to_owned()).collect()
    };
    let rows = card.lines().filter(|line| line.starts_with('|')).map(cells);
    rows.filter(|row| names.contains(&row[0].as_str())).collect()
}

#[test]
fn sizes_and_digests_are_those_of_the_files() {
    let files = ["embedder.bin", "vocab.txt", "words.bin", "reader.bin"];
    let rows = rows(&files);
    assert_eq!(rows.len(), files.len(), "a row for each file: {rows:?}");
    let mut all = 0;
    for row in rows {
        let bytes = std::fs::read(root().join("models/pocket").join(&row[0])).unwrap();
        all += bytes.len();
        assert_eq!(row[1].replace(',', ""), bytes.len().to_string(), "size of {}", row[0]);
        assert_eq!(row[2], Digest::of(&bytes).to_string(), "digest of {}", row[0]);
    }
    assert!(all <= 24_000_000, "{all} bytes ship");
}

/// What `alma bench` finds, by the names of the card.
fn measured(what: &str) -> Value {
    let data = root().join(format!("tests/messages/{what}.jsonl"));
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    let found = shell.run(&["--json", "bench", what, "--data", &data.to_string_lossy()]).json();
    assert_eq!(found["state"], "done", "{found}");
    found
}

#[test]
fn scores_are_those_that_are_measured() {
    for what in ["route", "plan", "answer"] {
        let found = measured(what);
        let said = rows(&[what]);
        assert!(!said.is_empty(), "the card says nothing of {what}");
        for row in said {
            let (name, said): (&str, f64) = (&row[1], row[2].parse().unwrap());
            let found = found[name].as_f64().unwrap_or_else(|| panic!("no figure {name}: {found}"));
            assert!(
                (found - said).abs() < NEAR,
                "{what} {name}: the card says {said}, {found} here"
            );
        }
    }
}
