//! Recall on LoCoMo, measured on the index alone.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../models/src/embed/mod.rs"]
mod embed;

use charter::ids::{MemoryId, TenantId};
use charter::memory::{MemoryKind, Remembered, Source};
use librarian::index::{Index, Question};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let local = TenantId::local();
    let ks = [1usize, 5, 10, 20];
    let mut total = [0f64; 4];
    let mut n = 0f64;
    let mut by: HashMap<u64, ([f64; 4], f64)> = HashMap::new();
    let mut times = vec![];
    let (mut ingested, mut ingest) = (0usize, 0f64);
    let mut floors: Vec<(bool, bool)> = vec![];
    let mut indexes = vec![];
    let mut questions: Vec<(usize, String)> = vec![];
    for conv in ["conv-26", "conv-30", "conv-41", "conv-42", "conv-43"] {
        let data: Value = serde_json::from_str(&std::fs::read_to_string(format!("{dir}/{conv}.json")).unwrap()).unwrap();
        let audit: Value = serde_json::from_str(&std::fs::read_to_string(format!("{dir}/{conv}.audit.json")).unwrap()).unwrap();
        let fix: HashMap<String, Vec<String>> = audit.as_array().unwrap().iter().filter_map(|a| {
            Some((a["question"].as_str()?.to_owned(), a["correct_evidence"].as_array()?.iter().filter_map(|e| Some(e.as_str()?.to_owned())).collect()))
        }).collect();
        let folder = tempfile::tempdir().unwrap();
        let (mut index, _) = Index::open(folder.path(), Arc::new(embed::StaticEmbedder::new().unwrap())).unwrap();
        let mut ids: HashMap<MemoryId, String> = HashMap::new();
        let mut seq = 0u64;
        let began = Instant::now();
        for s in 1..200 {
            let Some(turns) = data["conversation"][format!("session_{s}")].as_array() else { continue };
            for turn in turns {
                seq += 1;
                let dia = turn["dia_id"].as_str().unwrap();
                let mut text = format!("{}: {}", turn["speaker"].as_str().unwrap(), turn["text"].as_str().unwrap());
                if let Some(caption) = turn["blip_caption"].as_str() { text += &format!(" [image: {caption}]"); }
                let id: MemoryId = format!("k-{seq:016}").parse().unwrap();
                ids.insert(id.clone(), dia.to_owned());
                let event = Remembered::Observed { memory: id, is: MemoryKind::Turn, source: Source::Import { name: format!("{conv}/{dia}") }, span: None,
                    text: charter::content::ContentRef { id: format!("c-{seq:016}").parse().unwrap(), sha256: charter::digest::Digest::of(b""), label: charter::label::Label::TRUSTED },
                    scope: "user".into(), embedder: "x".into(), valid_from: 0, derived_from: vec![] };
                index.apply(&local, seq, 0, &event, Some(&text)).unwrap();
            }
        }
        index.caught_up(&local, seq).unwrap();
        index.flush().unwrap();
        ingest += began.elapsed().as_secs_f64();
        ingested += seq as usize;
        let known: std::collections::HashSet<&String> = ids.values().collect();
        for qa in data["qa"].as_array().unwrap() {
            let category = qa["category"].as_u64().unwrap();
            let question = qa["question"].as_str().unwrap();
            questions.push((indexes.len(), question.to_owned()));
            if category > 4 { continue }
            let evidence: Vec<String> = fix.get(question).cloned().unwrap_or_else(|| qa["evidence"].as_array().unwrap().iter().filter_map(|e| Some(e.as_str()?.to_owned())).collect());
            let evidence: Vec<String> = evidence.into_iter().filter(|e| known.contains(e)).collect();
            if evidence.is_empty() { continue }
            let began = Instant::now();
            let hits = index.search(&Question { words: question, tenant: &local, scopes: vec![], kinds: vec![], from: None, now: 1, as_of: None, limit: 20 }).unwrap();
            times.push(began.elapsed().as_secs_f64() * 1e3);
            let found: Vec<&String> = hits.iter().map(|h| &ids[&h.id]).collect();
            n += 1.0;
            let entry = by.entry(category).or_default();
            entry.1 += 1.0;
            for (i, k) in ks.iter().enumerate() {
                let share = evidence.iter().filter(|e| found.iter().take(*k).any(|f| f == e)).count() as f64 / evidence.len() as f64;
                total[i] += share;
                entry.0[i] += share;
            }
        }
        indexes.push((index, folder));
    }
    // The floor: a conversation's own questions, and those about other people.
    for (n, (home, words)) in questions.iter().enumerate() {
        for (at, (index, _)) in indexes.iter().enumerate() {
            if at != *home && (n + at) % 4 != 0 { continue }
            let hits = index.search(&Question { words, tenant: &local, scopes: vec![], kinds: vec![], from: None, now: 1, as_of: None, limit: 1 }).unwrap();
            let ev = index.evidence(words, &local).unwrap();
            eprintln!("{} {} {}", at == *home, ev.cosine, ev.words);
            floors.push((at == *home, !hits.is_empty()));
        }
    }
    let share = |own: bool| { let all: Vec<_> = floors.iter().filter(|f| f.0 == own).collect(); all.iter().filter(|f| f.1).count() as f64 / all.len() as f64 };
    times.sort_by(f64::total_cmp);
    println!("n {n} recall@1/5/10/20 {:?}", total.map(|t| (t / n * 1000.0).round() / 1000.0));
    for (c, (t, n)) in &by { println!("category {c} n {n} {:?}", t.map(|t| (t / n * 1000.0).round() / 1000.0)); }
    println!("p50 {:.2} ms p99 {:.2} ms; ingest {:.0}/s; passes the floor: own {:.3}, others' {:.3}", times[times.len()/2], times[times.len()*99/100], ingested as f64 / ingest, share(true), share(false));
}
