//! `alma bench recall`: what is found in memory, and how fast.
//!
//! Memories are taken in with `alma memory import` and asked for with `alma recall
//! --questions`, so that what is measured is what a user has.

use super::Progress;
use super::child::{BenchError, Durability, Stage};
use super::measure::{Figures, Samples, rss_mb};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Numbers of results for which recall is counted.
const AT: [usize; 4] = [1, 5, 10, 20];
/// Categories of LoCoMo that have evidence; 5 asks for what was never said.
const CATEGORIES: std::ops::RangeInclusive<u64> = 1..=4;
/// Sessions that a conversation may have.
const SESSIONS_MAX: usize = 1_000;
/// Memories of one import: a command has a bound on its time.
const TOGETHER: usize = 5_000;
/// Questions over made-up memories.
const QUESTIONS: u32 = 1_000;

/// A question with what answers it.
struct Case {
    words: String,
    category: u64,
    /// Texts, any of which counts for one piece of evidence.
    evidence: Vec<BTreeSet<String>>,
}

/// Counts of what was found.
#[derive(Default)]
struct Count {
    n: u32,
    at: [f64; AT.len()],
}

impl Count {
    fn add(&mut self, found: &[String], evidence: &[BTreeSet<String>]) {
        self.n += 1;
        for (sum, k) in self.at.iter_mut().zip(AT) {
            let hit = |texts: &&BTreeSet<String>| found.iter().take(k).any(|t| texts.contains(t));
            *sum += evidence.iter().filter(hit).count() as f64 / evidence.len().max(1) as f64;
        }
    }

    fn document(&self) -> Value {
        let share = |sum: f64| (sum / f64::from(self.n.max(1)) * 10_000.0).round() / 10_000.0;
        let at = AT.iter().zip(self.at).map(|(k, sum)| (k.to_string(), json!(share(sum))));
        Value::Object(at.collect::<Map<_, _>>())
    }
}

/// Measures on LoCoMo, or on made-up memories.
pub(super) fn run(
    stage: &Stage,
    locomo: Option<&Path>,
    synthetic: Option<u32>,
    progress: &mut Progress<'_>,
) -> Result<(Figures, Durability), BenchError> {
    let mut figures = Figures::default();
    let (mut all, mut by): (Count, BTreeMap<u64, Count>) = Default::default();
    let mut took = Samples::default();
    let (mut memories, mut seconds, mut rss) = (0usize, 0.0, None::<f64>);
    let conversations = match (locomo, synthetic) {
        (Some(folder), None) => conversations(folder)?,
        (None, Some(n)) => vec![made_up(n)],
        _ => {
            return Err(BenchError::Usage(
                "name a folder with --locomo, or a number of memories with --synthetic".to_owned(),
            ));
        }
    };
    let durability = stage.worker(None)?.durability()?;
    for (n, talk) in conversations.iter().enumerate() {
        progress.say(&format!("conversation {} of {}", n + 1, conversations.len()));
        // An index of its own for each: another data folder.
        let place = stage.another()?;
        let began = Instant::now();
        import(&place, &talk.lines)?;
        seconds += began.elapsed().as_secs_f64();
        memories += talk.lines.len();
        let questions = place.root().join("questions.jsonl");
        let lines = talk
            .cases
            .iter()
            .enumerate()
            .map(|(n, case)| json!({ "id": n.to_string(), "words": case.words }).to_string());
        write(&questions, &lines.collect::<Vec<_>>().join("\n"))?;
        let mut owner = place.worker(None)?;
        owner.begun()?;
        let limit = AT.iter().max().copied().unwrap_or(1).to_string();
        let questions = questions.to_string_lossy().into_owned();
        let ran = place.run(&["recall", "--questions", &questions, "--limit", &limit])?;
        if !matches!(ran.status.code(), Some(0 | 1)) {
            return Err(BenchError::Child {
                command: "recall --questions".to_owned(),
                status: ran.status,
                said: ran.stderr,
            });
        }
        rss = [rss, rss_mb(owner.pid())].into_iter().flatten().reduce(f64::max);
        owner.kill()?;
        for line in String::from_utf8_lossy(&ran.stdout).lines() {
            let answer: Value = serde_json::from_str(line).map_err(|source| {
                BenchError::Document { command: "recall --questions".to_owned(), source }
            })?;
            let case = answer["id"].as_str().and_then(|id| id.parse::<usize>().ok());
            let Some(case) = case.and_then(|id| talk.cases.get(id)) else { continue };
            let texts = answer["memories"].as_array().into_iter().flatten();
            let found: Vec<String> =
                texts.filter_map(|text| Some(text.as_str()?.to_owned())).collect();
            all.add(&found, &case.evidence);
            by.entry(case.category).or_default().add(&found, &case.evidence);
            if let Some(ms) = answer["took_ms"].as_f64() {
                took.push(ms);
            }
        }
        place.close()?;
    }
    figures.set("n", all.n);
    figures.set("memories", memories);
    figures.set("recall_at", all.document());
    let by: Map<_, _> =
        by.iter().map(|(category, count)| (category.to_string(), count.document())).collect();
    figures.set("by_category", by);
    figures.number("p50_ms", took.percentile(50));
    figures.number("p99_ms", took.percentile(99));
    figures.number("ingest_per_second", Some(memories as f64 / f64::max(seconds, 1e-9)));
    figures.number("peak_rss_mb", rss);
    figures.note("p50_ms: one recall of an attached process, its owner has the index open");
    figures.note("ingest_per_second: `alma memory import`, the start of the program included");
    Ok((figures, durability))
}

/// Memories as lines, and questions.
struct Talk {
    lines: Vec<String>,
    cases: Vec<Case>,
}

fn line(name: &str, text: &str, at: u64) -> String {
    json!({ "name": name, "text": text, "at": at }).to_string()
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text)
        .map_err(|source| BenchError::Io { operation: format!("write {}", path.display()), source })
}

pub(super) fn import(stage: &Stage, lines: &[String]) -> Result<(), BenchError> {
    let file = stage.root().join("memories.jsonl");
    for some in lines.chunks(TOGETHER) {
        write(&file, &some.join("\n"))?;
        let report = stage.json(&["memory", "import", &file.to_string_lossy()])?;
        let taken = [&report["new"], &report["known"]].map(|n| n.as_u64().unwrap_or(0));
        if taken.iter().sum::<u64>() != some.len() as u64 {
            return Err(BenchError::Wrong(format!("not all were taken in: {report}")));
        }
    }
    Ok(())
}

/// Fills a data folder with made-up memories.
pub(super) fn fill(stage: &Stage, n: u32, progress: &mut Progress<'_>) -> Result<(), BenchError> {
    progress.say(&format!("taking {n} memories in"));
    import(stage, &made_up(n).lines)
}

const WHO: [&str; 12] = [
    "Ada", "Ben", "Chloe", "David", "Emre", "Fatima", "Greta", "Hugo", "Ines", "Jonas", "Keiko",
    "Luis",
];
const WHAT: [&str; 14] = [
    "lamp",
    "violin",
    "passport",
    "ladder",
    "telescope",
    "invoice",
    "bicycle",
    "contract",
    "camera",
    "jacket",
    "printer",
    "tent",
    "diary",
    "suitcase",
];
const WHERE: [&str; 11] = [
    "cellar",
    "attic",
    "garage",
    "office",
    "kitchen",
    "garden shed",
    "bank",
    "workshop",
    "locker",
    "studio",
    "archive",
];

fn parts(n: u32) -> (&'static str, &'static str, &'static str) {
    let at = |list: &[&'static str], n: u32| list[n as usize % list.len()];
    (at(&WHO, n), at(&WHAT, n / 12), at(&WHERE, n / 7))
}

/// The question that memory `n` answers.
pub(super) fn question(n: u32) -> String {
    let (who, what, _) = parts(n);
    format!("Where did {who} put {what} number {n}?")
}

fn made_up(n: u32) -> Talk {
    let lines = (0..n).map(|n| {
        let (who, what, place) = parts(n);
        let text = format!("{who} put {what} number {n} into the {place}.");
        line(&format!("made/{}:{n}", n / 40), &text, 1_700_000_000_000 + u64::from(n) * 60_000)
    });
    let step = (n / QUESTIONS.min(n).max(1)).max(1);
    let cases = (0..n).step_by(step as usize).take(QUESTIONS as usize).map(|n| {
        let (who, what, place) = parts(n);
        let text = format!("{who} put {what} number {n} into the {place}.");
        Case { words: question(n), category: 1, evidence: vec![BTreeSet::from([text])] }
    });
    Talk { lines: lines.collect(), cases: cases.collect() }
}

/// Conversations of LoCoMo with the corrections of its audit.
fn conversations(folder: &Path) -> Result<Vec<Talk>, BenchError> {
    let unread =
        |cause: String| BenchError::Usage(format!("{} cannot be read: {cause}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(|error| unread(error.to_string()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with(".json") && !name.ends_with(".audit.json")
    });
    files.sort();
    if files.is_empty() {
        return Err(unread("there is no conversation in it (*.json)".to_owned()));
    }
    files.iter().map(|file| conversation(file)).collect()
}

fn document(path: &Path) -> Result<Value, BenchError> {
    let unread =
        |cause: String| BenchError::Usage(format!("{} cannot be read: {cause}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| unread(error.to_string()))
}

fn conversation(path: &Path) -> Result<Talk, BenchError> {
    let data = document(path)?;
    let audit = path.with_extension("audit.json");
    let audit = if audit.exists() { document(&audit)? } else { Value::Null };
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    };
    let corrected: BTreeMap<&str, Vec<String>> = audit
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            Some((entry["question"].as_str()?, names(entry.get("correct_evidence")?)))
        })
        .collect();
    let (mut lines, mut texts) = (Vec::new(), BTreeMap::<String, String>::new());
    for session in 1..SESSIONS_MAX {
        let turns = data["conversation"][format!("session_{session}")].as_array();
        for turn in turns.into_iter().flatten() {
            let field = |name: &str| turn[name].as_str().unwrap_or_default();
            let mut text = format!("{}: {}", field("speaker"), field("text"));
            if let Some(caption) = turn["blip_caption"].as_str() {
                text.push_str(&format!(" [image: {caption}]"));
            }
            let at = 1_700_000_000_000 + lines.len() as u64;
            lines.push(line(&format!("talk/{session}:{}", field("dia_id")), &text, at));
            texts.insert(field("dia_id").to_owned(), text);
        }
    }
    let mut cases = Vec::new();
    for asked in data["qa"].as_array().into_iter().flatten() {
        let (Some(words), Some(category)) =
            (asked["question"].as_str(), asked["category"].as_u64())
        else {
            continue;
        };
        let evidence = corrected.get(words).cloned().unwrap_or_else(|| names(&asked["evidence"]));
        let evidence: Vec<BTreeSet<String>> = evidence
            .iter()
            .filter_map(|name| Some(BTreeSet::from([texts.get(name)?.clone()])))
            .collect();
        if CATEGORIES.contains(&category) && !evidence.is_empty() {
            cases.push(Case { words: words.to_owned(), category, evidence });
        }
    }
    Ok(Talk { lines, cases })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_the_share_of_the_evidence() {
        let evidence = ["a", "b"].map(|text| BTreeSet::from([text.to_owned()]));
        let found: Vec<String> = ["x", "a", "y", "y", "y", "y", "b"].map(str::to_owned).to_vec();
        let mut count = Count::default();
        count.add(&found, &evidence);
        assert_eq!(count.document(), json!({ "1": 0.0, "5": 0.5, "10": 1.0, "20": 1.0 }));
        count.add(&[], &evidence);
        assert_eq!(count.document(), json!({ "1": 0.0, "5": 0.25, "10": 0.5, "20": 0.5 }));
    }

    #[test]
    fn made_up_memories_differ_and_answer_their_question() {
        let talk = made_up(3_000);
        let texts: BTreeSet<_> = talk.lines.iter().collect();
        assert_eq!((texts.len(), talk.cases.len()), (3_000, 1_000));
        assert!(talk.cases[7].words.contains("number 21"));
    }
}
