//! scratch
mod common;
use common::{planned, specs, survey, today};
use moroni::playbooks::Library;
use moroni::reading::{Reading, What};
#[test]
fn debug() {
    let library = Library::shipped().unwrap();
    let specs = specs();
    for line in std::fs::read_to_string("/tmp/debug.txt").unwrap().lines() {
        let (ws, words) = line.split_once('|').unwrap();
        let survey = survey(ws);
        let r = Reading::new(library.lexicon, words, &survey, today()).unwrap();
        println!("== {words} [{}] {:?}", r.sentence.language.code, r.mentions);
        let values: Vec<bool> = (0..r.sentence.tokens.len()).map(|i| r.mentions.iter().any(|m| (m.from..m.to).contains(&i) && !matches!(m.what, What::Folder(_) | What::Files(_)))).collect();
        let probe = library.index.probe(&r.sentence, &values, &|w| r.is_name(w));
        let none = vec![Default::default(); values.len()];
        let mut all: Vec<_> = (0..library.playbooks.len()).map(|p| (library.index.likeness(&r.sentence, &probe, p, 0..values.len(), &none, None), &library.playbooks[p].name)).collect();
        all.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
        for (l, n) in all.iter().take(6) { println!("   {n}: {l:?}"); }
        println!("{:?}", planned(&library, &specs, &survey, words));
    }
}
