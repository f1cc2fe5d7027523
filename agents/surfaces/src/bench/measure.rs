//! Numbers, the machine they come from, and the document they go into.

use super::child::{BenchError, Durability};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Version of the shape of the document.
const SCHEMA: u32 = 1;
/// Writes by which the disk is measured.
const SYNCS: u32 = 50;

/// Samples of one quantity.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// One more duration, in milliseconds.
    pub fn push_ms(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1_000.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest sample that at least `percent` of a hundred do not exceed
    /// (nearest rank); `None` without samples.
    pub fn percentile(&self, percent: u32) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent.min(100) as usize).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a small generator whose whole state is
/// its seed.
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// A generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }
}

/// What a bench found, in the order of its keys.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    fields: Map<String, Value>,
    notes: Vec<String>,
}

impl Figures {
    /// Adds a key.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.fields.insert(key.to_owned(), value.into());
    }

    /// Adds a number with two decimals, if there is one. A figure that was not
    /// measured has no key.
    pub fn number(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.set(key, (value * 100.0).round() / 100.0);
        }
    }

    /// Adds a sentence on how to read the figures.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The document. Figures that were not taken at full durability are void.
    pub fn document(mut self, bench: &str, folder: &str, durability: &Durability) -> Value {
        if !durability.is_full() {
            self.note("void: the ledger did not run at full durability");
        }
        let mut document = Map::new();
        let mut set = |key: &str, value: Value| document.insert(key.to_owned(), value);
        set("schema", json!(SCHEMA));
        set("bench", json!(bench));
        set("state", json!(if durability.is_full() { "done" } else { "failed" }));
        set("version", json!(env!("CARGO_PKG_VERSION")));
        set("commit", json!(commit()));
        set("cpu", json!(cpu()));
        set("threads", json!(std::thread::available_parallelism().ok().map(usize::from)));
        set("folder", json!(folder));
        set("durability", json!(durability));
        document.extend(self.fields);
        document.insert("notes".to_owned(), json!(self.notes));
        Value::Object(document)
    }
}

/// A document as a text for people.
pub fn table(document: &Value) -> String {
    let Some(fields) = document.as_object() else { return document.to_string() };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (key, value) in fields {
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Null => "unknown".to_owned(),
            Value::Object(rows) if rows.values().any(Value::is_object) => {
                let widest = rows.keys().map(String::len).max().unwrap_or(0);
                let row = |(k, v): (&String, &Value)| format!("{k:<widest$}  {}", fields_of(v));
                rows.iter().map(row).collect::<Vec<_>>().join(&format!("\n{:width$}  ", ""))
            }
            Value::Object(_) => fields_of(value),
            Value::Array(lines) => {
                let lines: Vec<String> = lines.iter().map(plain).collect();
                lines.join(&format!("\n{:width$}  ", ""))
            }
            other => other.to_string(),
        };
        if !shown.is_empty() {
            text.push_str(&format!("{key:<width$}  {shown}\n"));
        }
    }
    text
}

fn fields_of(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(" ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Name of the processor.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The commit that the running binary lies in a working tree of: only where that
/// tree is Alma's. `-dirty` when tracked files differ from it.
fn commit() -> Option<String> {
    if let Some(built) = option_env!("ALMA_COMMIT") {
        return Some(built.to_owned());
    }
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        let output = command.arg("-C").arg(folder).args(arguments).stderr(Stdio::null()).output();
        output.ok().filter(|output| output.status.success()).and_then(|output| {
            String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
        })
    };
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if !Path::new(&top).join("agents/surfaces/src/bench").is_dir() {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Resident memory of a process, in MiB.
pub fn rss_mb(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1_024.0)
}

/// What the disk takes to make 4 KiB durable: the floor under every commit.
pub fn sync_ms(folder: &Path) -> Result<Samples, BenchError> {
    let failed = |source| BenchError::Io { operation: "measure the disk".to_owned(), source };
    let path = folder.join("sync");
    let mut file = File::create(&path).map_err(failed)?;
    let mut samples = Samples::default();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[7; 4_096]).and_then(|()| file.sync_data()).map_err(failed)?;
        samples.push_ms(began.elapsed());
    }
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(samples)
}

/// The most memory that this process has had, in MiB.
pub fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kb| kb / 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples: &[f64], percent: u32, expected: Option<f64>) {
        assert_eq!(Samples(samples.to_vec()).percentile(percent), expected);
    }

    #[test]
    fn a_percentile_is_a_sample_of_its_rank() {
        check(&[], 50, None);
        check(&[3.0], 99, Some(3.0));
        check(&[4.0, 1.0, 3.0, 2.0], 50, Some(2.0));
        check(&[4.0, 1.0, 3.0, 2.0], 51, Some(3.0));
        check(&[4.0, 1.0, 3.0, 2.0], 99, Some(4.0));
        check(&[4.0, 1.0], 0, Some(1.0));
    }

    #[test]
    fn one_seed_is_one_sequence() {
        let draw = |seed| {
            let mut seed = Seed::new(seed);
            (0..4).map(|_| seed.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(Seed::new(1).below(0), 0);
    }

    #[test]
    fn a_figure_that_was_not_measured_has_no_key() {
        let mut figures = Figures::default();
        figures.number("there", Some(1.234));
        figures.number("missing", None);
        let full = Durability::File { journal_mode: "wal".into(), synchronous: "full".into() };
        let document = figures.document("startup", "/tmp", &full);
        assert_eq!(document["there"], json!(1.23));
        assert!(document.get("missing").is_none());
        assert_eq!(document["notes"], json!([]));
    }

    #[test]
    fn figures_without_durability_are_void() {
        let weak = Durability::File { journal_mode: "wal".into(), synchronous: "normal".into() };
        let document = Figures::default().document("startup", "/tmp", &weak);
        assert_eq!(document["state"], "failed");
        assert!(document["notes"][0].as_str().is_some_and(|note| note.starts_with("void")));
    }
}
