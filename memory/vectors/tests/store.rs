//! The store from outside: searching, killing, forgetting, discarding.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use charter::ids::{MemoryId, TenantId};
use charter::memory::MemoryKind;
use std::path::Path;
use vectors::{Facts, Filter, Memory, Opened, Place, Settings, Store, hash};

const WIDTH: usize = 4;

fn settings(folder: &Path) -> Settings {
    Settings { folder: folder.join("vectors"), embedder: "test/1".into(), dimensions: WIDTH }
}

fn open(folder: &Path) -> Store {
    Store::open(settings(folder)).unwrap().0
}

fn id(n: u32) -> MemoryId {
    format!("k-{n:016}").parse().unwrap()
}

fn local() -> TenantId {
    TenantId::local()
}

/// Memory `n` of group 1: its dense vector leans towards axis `n % 4`.
fn memory(n: u32, terms: &[u32]) -> Memory {
    let mut dense = vec![0.1; WIDTH];
    dense[n as usize % WIDTH] = 1.0;
    let length = dense.iter().map(|x| x * x).sum::<f32>().sqrt();
    dense.iter_mut().for_each(|x| *x /= length);
    Memory {
        id: id(n),
        facts: Facts {
            tenant: hash(&[&local().0]),
            scope: hash(&["user"]),
            kind: MemoryKind::Turn,
            place: Place { group: 1, order: i64::from(n) },
            who: 0,
            at: 10,
            valid_from: 10,
            valid_to: None,
        },
        dense,
        terms: terms.iter().map(|term| (*term, 1.0)).collect(),
    }
}

fn axis(n: usize) -> Vec<f32> {
    (0..WIDTH).map(|at| if at == n { 1.0 } else { 0.0 }).collect()
}

fn ids(found: &[(MemoryId, f32)]) -> Vec<MemoryId> {
    found.iter().map(|(id, _)| id.clone()).collect()
}

#[test]
fn finds_by_meaning_and_by_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.upsert(&[memory(1, &[7, 8]), memory(2, &[8]), memory(3, &[9])]).unwrap();
    let all = Filter::all(&local());
    assert_eq!(ids(&store.dense(&axis(2), 1, &all).unwrap()), [id(2)]);
    let found = store.sparse(&[(7, 1.0), (8, 1.0)], 10, &all).unwrap();
    assert_eq!(ids(&found), [id(1), id(2)]);
    // Real inverse document frequency: 9 stands in one text, 8 in two.
    let score = |term| store.sparse(&[(term, 1.0)], 1, &all).unwrap()[0].1;
    let idf = |n: f32| (1.0 + (3.0 - n + 0.5) / (n + 0.5)).ln();
    assert!((score(9) - idf(1.0)).abs() < 1e-4, "{}", score(9));
    assert!((score(8) - idf(2.0)).abs() < 1e-4, "{}", score(8));
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut other = memory(2, &[7]);
    other.facts.tenant = hash(&["other"]);
    let mut ended = memory(3, &[7]);
    ended.facts.valid_to = Some(20);
    ended.facts.scope = hash(&["workspace:x"]);
    let mut fact = memory(4, &[7]);
    fact.facts.kind = MemoryKind::Fact;
    fact.facts.valid_from = 30;
    store.upsert(&[memory(1, &[7]), other, ended, fact]).unwrap();
    let find = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::all(&local());
        change(&mut filter);
        let by_words = store.sparse(&[(7, 1.0)], 10, &filter).unwrap();
        let by_meaning = store.dense(&axis(1), 10, &filter).unwrap();
        let sorted = |found: &[(MemoryId, f32)]| {
            let mut ids = ids(found);
            ids.sort();
            ids
        };
        assert_eq!(sorted(&by_words), sorted(&by_meaning));
        sorted(&by_words)
    };
    assert_eq!(find(&|_| ()), [id(1), id(3), id(4)]);
    assert_eq!(find(&|f| f.true_at = Some(15)), [id(1), id(3)]);
    assert_eq!(find(&|f| f.true_at = Some(20)), [id(1)]);
    assert_eq!(find(&|f| f.true_at = Some(30)), [id(1), id(4)]);
    assert_eq!(find(&|f| f.kinds = vec![MemoryKind::Fact, MemoryKind::Lesson]), [id(4)]);
    assert_eq!(find(&|f| f.scopes = vec![hash(&["workspace:x"])]), [id(3)]);
    assert_eq!(find(&|f| f.tenant = hash(&["nobody"])), []);
}

#[test]
fn a_filter_that_few_pass_still_fills_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    // The best forty belong to somebody else.
    let all = (1..=60).map(|n| {
        let mut memory = memory(4 * n + 1, &[7]);
        memory.terms[0].1 = 1.0 / n as f32;
        if n <= 40 {
            memory.facts.tenant = hash(&["other"]);
        }
        memory
    });
    store.upsert(&all.collect::<Vec<_>>()).unwrap();
    let filter = Filter::all(&local());
    let expected: Vec<_> = (41..=45).map(|n| id(4 * n + 1)).collect();
    assert_eq!(ids(&store.sparse(&[(7, 1.0)], 5, &filter).unwrap()), expected);
    let near = store.dense(&axis(1), 5, &filter).unwrap();
    assert_eq!(near.len(), 5);
    assert!(near.iter().all(|(id, _)| filter.passes(&store.facts(id).unwrap())));
}

#[test]
fn ending_a_memory_reaches_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.upsert(&[memory(1, &[7])]).unwrap();
    assert!(store.end(&id(1), Some(50)));
    assert!(!store.end(&id(9), Some(50)));
    let now = Filter { true_at: Some(60), ..Filter::all(&local()) };
    assert_eq!(store.sparse(&[(7, 1.0)], 10, &now).unwrap(), []);
    let then = Filter { true_at: Some(40), ..Filter::all(&local()) };
    assert_eq!(store.sparse(&[(7, 1.0)], 10, &then).unwrap().len(), 1);
    assert_eq!(store.facts(&id(1)).unwrap().valid_to, Some(50));
}

#[test]
fn what_was_flushed_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.upsert(&[memory(1, &[7]), memory(2, &[8])]).unwrap();
    store.mark(&local(), 17);
    store.flush().unwrap();
    drop(store);
    let (store, opened) = Store::open(settings(folder.path())).unwrap();
    assert_eq!((opened, store.len(), store.marks()["local"]), (Opened::Found, 2, 17));
    assert_eq!(ids(&store.sparse(&[(8, 1.0)], 9, &Filter::all(&local())).unwrap()), [id(2)]);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.flush().unwrap();
    let copy = Store::open(settings(folder.path()));
    // Whoever is second must not destroy what the first one works on.
    assert!(matches!(copy, Err(vectors::VectorError::InUse { .. })));
    store.upsert(&[memory(1, &[7])]).unwrap();
    store.flush().unwrap();
    assert_eq!(store.len(), 1);
}

#[test]
fn a_store_of_no_use_is_thrown_away() {
    for spoil in ["embedder", "state", "points", "segment"] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        store.upsert(&[memory(1, &[7])]).unwrap();
        store.mark(&local(), 17);
        store.flush().unwrap();
        drop(store);
        let mut settings = settings(folder.path());
        match spoil {
            "embedder" => settings.embedder = "test/2".into(),
            "state" => std::fs::write(settings.folder.join("state"), b"??").unwrap(),
            "points" => std::fs::remove_dir_all(settings.folder.join("points-a/segments")).unwrap(),
            _ => {
                let segments =
                    std::fs::read_dir(settings.folder.join("points-a/segments")).unwrap();
                for segment in segments {
                    let state = segment.unwrap().path().join("segment.json");
                    std::fs::write(state, b"not json").unwrap();
                }
            }
        }
        let (store, opened) = Store::open(settings).unwrap();
        assert!(matches!(opened, Opened::Discarded(_)), "{spoil}: {opened:?}");
        assert!(store.is_empty() && store.marks().is_empty(), "{spoil}");
    }
}

/// Every byte of every file.
fn bytes(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(bytes(&path));
        } else {
            all.extend(std::fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn nothing_of_a_deleted_memory_is_left_after_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut gone = memory(2, &[0x5eed_1234]);
    gone.dense = vec![0.123_456_7, 0.765_432_1, 0.5, 0.379_1];
    let marker: Vec<u8> = gone.dense[..2].iter().flat_map(|x| x.to_le_bytes()).collect();
    store.upsert(&[memory(1, &[7]), gone, memory(3, &[8])]).unwrap();
    store.flush().unwrap();
    let there = |what: &[u8]| bytes(folder.path()).windows(what.len()).any(|bytes| bytes == what);
    assert!(there(&marker));
    assert_eq!(store.delete(&[id(2), id(9)]).unwrap(), 1);
    store.compact().unwrap();
    assert!(!there(&marker));
    assert!(!there(&0x5eed_1234_u32.to_le_bytes()));
    assert!(!store.holds(&id(2)).unwrap());
    let all = Filter::all(&local());
    assert_eq!(ids(&store.sparse(&[(7, 1.0), (8, 1.0)], 9, &all).unwrap()).len(), 2);
    assert_eq!(store.vectors(&[id(1), id(2)]).unwrap(), [(id(1), memory(1, &[]).dense)]);
    drop(store);
    let (store, opened) = Store::open(settings(folder.path())).unwrap();
    assert_eq!((opened, store.len()), (Opened::Found, 2));
}

#[test]
fn what_was_not_flushed_is_written_again_and_nothing_is_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.upsert(&[memory(1, &[7])]).unwrap();
    store.mark(&local(), 1);
    store.flush().unwrap();
    store.upsert(&[memory(2, &[7])]).unwrap();
    store.mark(&local(), 2);
    // Dropped without a flush, as after a kill: the mark stays behind.
    drop(store);
    let mut store = open(folder.path());
    let all = Filter::all(&local());
    assert_eq!((store.marks()["local"], store.len()), (1, 1));
    assert_eq!(ids(&store.sparse(&[(7, 1.0)], 9, &all).unwrap()), [id(1)]);
    store.upsert(&[memory(2, &[7])]).unwrap();
    store.mark(&local(), 2);
    store.flush().unwrap();
    assert_eq!(store.sparse(&[(7, 1.0)], 9, &all).unwrap().len(), 2);
}

#[test]
fn a_vector_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut short = memory(1, &[]);
    short.dense.pop();
    let mut odd = memory(1, &[]);
    odd.dense[0] = f32::NAN;
    assert!(store.upsert(&[short]).is_err());
    assert!(store.upsert(&[odd]).is_err());
    assert!(store.dense(&[1.0], 3, &Filter::all(&local())).is_err());
    assert_eq!(store.dense(&[0.0; 4], 3, &Filter::all(&local())).unwrap(), []);
    assert!(store.is_empty());
}

const VICTIM: &str = "VECTORS_TEST_VICTIM";

/// Writes on and on; the test below starts this as a process of its own.
#[test]
#[ignore = "a part of the next test"]
fn victim() {
    let Some(folder) = std::env::var_os(VICTIM) else { return };
    let mut store = open(Path::new(&folder));
    for n in 1.. {
        store.upsert(&[memory(n, &[7])]).unwrap();
        store.mark(&local(), u64::from(n));
        if n == 40 {
            store.flush().unwrap();
        }
        if n == 60 {
            println!("written");
        }
    }
}

#[test]
fn a_killed_process_leaves_a_store_that_goes_on_from_its_mark() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env(VICTIM, folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("written")));
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut store, opened) = Store::open(settings(folder.path())).unwrap();
    assert_eq!((opened, store.marks()["local"], store.len()), (Opened::Found, 40, 40));
    let again: Vec<_> = (41..=100).map(|n| memory(n, &[7])).collect();
    store.upsert(&again).unwrap();
    store.mark(&local(), 100);
    store.flush().unwrap();
    let found = store.sparse(&[(7, 1.0)], 500, &Filter::all(&local())).unwrap();
    assert_eq!((found.len(), store.len()), (100, 100));
}
