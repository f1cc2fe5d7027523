//! What a mission says that it used is what the kernel says of the processes that
//! worked on it.

use alma_tests::shell::Shell;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

/// How far the receipts may be from the processes' own accounting, in percent.
const OFF_MAX: u64 = 5;
/// How long the mission may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that the program holds.
const HELD: u64 = 300 << 20;
/// Bytes of the file whose reading is counted.
const FILE: u64 = 48 << 20;

/// A worker that is killed with the test.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Worker {
    fn start(shell: &Shell) -> Self {
        let mut child = shell.command(&["worker", "--json", "--concurrency", "1"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("working"), "{line}");
        Self(child)
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    /// Milliseconds of processor time of it and of all its children that have ended.
    fn cpu_ms(&self) -> u64 {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(4).map(|n| n.parse::<u64>().unwrap());
        ticks.sum::<u64>() * 10
    }

    /// The most memory that it ever held, in bytes.
    fn peak(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
}

fn near(what: &str, found: u64, expected: u64) {
    let off = found.abs_diff(expected) * 100;
    println!("{what}: {found}, by the kernel {expected}");
    assert!(off <= OFF_MAX * expected, "{what}: {found} is not {expected}");
}

fn python(code: &str) -> Value {
    json!({ "program": ["python3", "-c", code] })
}

#[test]
fn receipts_add_up_to_what_the_processes_used() {
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    let mut table = String::from("city,amount,note\n");
    for n in 0..400_000_u64 {
        let (city, amount) = (n * 7_919 % 1_009, n * 31 % 10_007);
        table.push_str(&format!("city {city},{amount}.25,row {n}\n"));
    }
    shell.put("big.csv", table);
    shell.put("blob.bin", vec![b'x'; FILE as usize]);
    let burn = "import time\nwhile time.process_time() < 1.5: pass";
    let hold = format!("b = bytearray({HELD})\nb[::4096] = b'x' * len(b[::4096])");
    // What the worker does itself comes behind: its memory is not told apart by step.
    let mission = json!({
        "goal": "use what is known",
        "steps": [
            { "tool": "run", "title": "Burn in a program", "args": python(burn) },
            { "tool": "run", "title": "Hold memory", "args": python(&hold) },
            { "tool": "hash", "title": "Read", "after": [2], "args": { "files": "blob.bin" } },
            { "tool": "table", "title": "Burn here", "after": [3], "args": {
                "from": "big.csv", "group_by": ["city"], "total": ["amount"],
            } },
        ],
    });
    std::fs::write(shell.beside("mission.yaml"), mission.to_string()).unwrap();
    let file = shell.beside("mission.yaml");
    let worker = Worker::start(&shell);
    let before = worker.cpu_ms();
    // Submitted, not run: the command would work on it, too.
    let submit = ["--json", "mission", "submit", "--again", "--file", &file.to_string_lossy()];
    let submitted = shell.run(&submit).says(0, &[]).json();
    let mission = submitted["mission"].as_str().unwrap();
    let began = Instant::now();
    let report = loop {
        let out = shell.run(&["--json", "mission", "report", mission]);
        if out.code == 0 {
            break out.json()["report"].clone();
        }
        assert!(began.elapsed() < PATIENCE, "{out:?}");
        // Answers are the worker's work, too, and in no mission's receipt.
        std::thread::sleep(Duration::from_secs(2));
    };
    let used = worker.cpu_ms() - before;
    let of = |receipt: &Value, what: &str| receipt["usage"][what].as_u64().unwrap_or(0);
    assert!(used > 3_000, "{used}");
    near("processor time", of(&report, "cpu_ms"), used);

    let receipts = report["receipts"].as_array().unwrap();
    assert_eq!(receipts.len(), 5, "{receipts:#?}");
    let sum = |what| receipts.iter().map(|receipt| of(receipt, what)).sum::<u64>();
    for what in ["cpu_ms", "wall_ms", "bytes_read", "bytes_written"] {
        assert_eq!(sum(what), of(&report, what), "{what}: {report:#}");
    }
    // Each program ran twice, for the check runs it again; starting and containing it
    // costs something, too.
    let program = of(&receipts[0], "cpu_ms");
    assert!((3_000..4_000).contains(&program), "{program}");
    let held = of(&receipts[1], "peak_bytes");
    near("the program's memory", held, HELD + (10 << 20));
    near("bytes of the file", of(&receipts[2], "bytes_read"), 2 * FILE);
    near("the worker's memory", of(&receipts[3], "peak_bytes"), worker.peak());
    let most = receipts.iter().map(|receipt| of(receipt, "peak_bytes")).max();
    assert_eq!(Some(of(&report, "peak_bytes")), most);

    let text = shell.run(&["mission", "report", report["mission"].as_str().unwrap()]);
    text.says(0, &["used  ", " of processor time, ", " MiB of memory at most, "]);
}

#[test]
fn a_budget_of_processor_time_stops_what_burns_it_here() {
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    let rows: String = (0..200_000).map(|n| format!("{},{n}\n", n % 997)).collect();
    shell.put("big.csv", format!("group,amount\n{rows}"));
    let step = |n: u32| {
        json!({ "tool": "table", "title": format!("Burn {n}"), "args": {
            "from": "big.csv", "group_by": ["group"], "total": ["amount"],
        } })
    };
    let mission = json!({
        "goal": "burn",
        "budget": { "cpu_ms": 50 },
        "steps": (1..=12).map(step).collect::<Vec<_>>(),
    });
    let file = shell.beside("mission.yaml");
    std::fs::write(&file, mission.to_string()).unwrap();
    let out =
        shell.run(&["mission", "run", "--again", "--json", "--file", &file.to_string_lossy()]);
    out.says(6, &["the budget cpu_ms was spent"]);
    let report = out.json();
    let begun = report["usage"]["steps"].as_u64().unwrap();
    // Those that run at a time had begun before the first receipt.
    assert!((1..12).contains(&begun), "{report:#}");
}
