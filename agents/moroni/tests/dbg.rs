mod common;
use moroni::likeness::Use;
use moroni::playbooks::Library;
use moroni::reading::{Reading, What};
#[test]
fn dbg() {
    let t = std::time::Instant::now();
    let _ = moroni::words::Lexicon::shipped();
    println!("lexicon {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let library = Library::shipped().unwrap();
    println!("library {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let lex = moroni::words::Lexicon::shipped().unwrap();
    let ps: Vec<_> = moroni::playbooks::SHIPPED
        .iter()
        .map(|(n, t)| moroni::playbook::Playbook::parse(n, t, lex).unwrap())
        .collect();
    println!("parse {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let _ = moroni::likeness::Index::new(&ps, lex);
    println!("library index {:?}", t.elapsed());
    let specs = common::specs();
    let input = std::fs::read_to_string("/tmp/say.txt").unwrap();
    for line in input.lines() {
        let (ws, say) = line.split_once('|').unwrap();
        let survey = common::survey(ws);
        let t = std::time::Instant::now();
        let _ = common::planned(&library, &specs, &survey, say);
        println!("### {say}   {:?}", t.elapsed());
        let r = Reading::new(library.lexicon, say, &survey, common::today()).unwrap();
        let n = r.sentence.tokens.len();
        println!(
            "lang {} mentions {:?}",
            r.sentence.language.code,
            r.mentions
                .iter()
                .map(|m| format!("{}={:?}", r.sentence.words(m.from, m.to), m.what))
                .collect::<Vec<_>>()
        );
        println!(
            "content {:?}",
            (0..n)
                .filter(|i| r.sentence.is_content(*i))
                .map(|i| format!("{}:{:?}", r.sentence.tokens[i].text, r.sentence.concepts[i]))
                .collect::<Vec<_>>()
        );
        let values: Vec<bool> = (0..n)
            .map(|i| {
                r.mentions.iter().any(|m| {
                    (m.from..m.to).contains(&i)
                        && !matches!(m.what, What::Folder(_) | What::Files(_))
                })
            })
            .collect();
        let probe = library.index.probe(&r.sentence, &values, &|w| r.is_name(w));
        let _ = Use::No;
        let mut all = Vec::new();
        for p in 0..library.playbooks.len() {
            let f =
                moroni::slots::fill(&r, &probe, &library, p, 0..n, &Default::default()).unwrap();
            let l = library.index.likeness(
                moroni::likeness::View {
                    sentence: &r.sentence,
                    probe: &probe,
                    from: 0,
                    to: n,
                    used: &f.used,
                },
                p,
                Some(&f.spoken),
            );
            all.push((l, library.playbooks[p].name.clone(), f.values.clone(), f.missing.clone()));
        }
        all.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
        for (l, name, v, m) in all.iter().take(4) {
            println!(
                "  {name} {:.2} r{:.2} c{:.2} e{:.2} hits{:?} unc{:?}\n      {}\n      missing {:?}",
                l.score,
                l.rules,
                l.coverage,
                l.example,
                l.hits.iter().map(|i| r.sentence.tokens[*i].text.clone()).collect::<Vec<_>>(),
                l.uncovered.iter().map(|i| r.sentence.tokens[*i].text.clone()).collect::<Vec<_>>(),
                serde_json::to_string(v).unwrap(),
                m.iter().map(|m| (&m.slot, &m.candidates)).collect::<Vec<_>>()
            );
        }
        println!(
            "  => {}",
            match common::planned(&library, &specs, &survey, say) {
                moroni::plan_words::Planned::Plan { parts, plan, .. } => format!(
                    "{:?} unmet {:?}",
                    parts.iter().map(|p| &p.playbook).collect::<Vec<_>>(),
                    plan.unmet
                ),
                moroni::plan_words::Planned::Refused(r) => r.message,
            }
        );
    }
}
