//! Twenty-four hours of serving, at sixty times the speed of a wall clock: schedules
//! come due each minute, missions and questions arrive, a night is looked back on,
//! and in the end the process is as big as it was in the morning. The clock is made
//! fast from outside (libfaketime, from Debian's package `faketime`); the program
//! does not know. Run by `tests/soak/run`; fewer hours with ALMA_DAY_HOURS, another speed
//! with ALMA_DAY_RATE.

use alma_tests::desk::block_on;
use alma_tests::rig::Now;
use alma_tests::shell::{Shell, other_clock};
use alma_tests::web::Server;
use charter::event::Event;
use charter::ids::{Millis, TenantId};
use charter::ports::{Ledger, Query, Rows};
use charter::schedule::{Outcome, Scheduled};
use ledger::{SqliteLedger, keys};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOURS: u64 = 24;
const RATE: u64 = 60;
const MINUTE: Millis = 60_000;
/// Hours until every cache is warm and every pool is full.
const WARM_UP: u64 = 6;
/// Missions per hour beside those of the schedules.
const MISSIONS: u32 = 12;
/// Facts, questions, and bad requests per hour.
const FACTS: u32 = 6;
/// Growth from the first hours after the warm-up to the last: memories of a day are
/// kept in memory too, so it is not nothing.
const MEMORY_GROWTH_PERCENT: u64 = 10;
/// Of so many due times one may pass before anybody looks.
const MISSED_AT_MOST: usize = 50;
/// What a pool or a timer may add for a moment.
const SLACK: u64 = 4;
/// Events that are read at a time.
const PAGE: u32 = 1_000;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What a process holds.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    resident_kb: u64,
    descriptors: u64,
    threads: u64,
    /// In the data folder.
    files: u64,
    /// Of these.
    bytes: u64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} MB resident, {} descriptors, {} threads, {} files with {} MB",
            self.resident_kb / 1024,
            self.descriptors,
            self.threads,
            self.files,
            self.bytes >> 20
        )
    }
}

impl Size {
    fn of(pid: u32, home: &Path) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux");
            line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
        };
        let (files, bytes) = below(home);
        Self {
            resident_kb: field("VmRSS"),
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64,
            threads: field("Threads"),
            files,
            bytes,
        }
    }

    /// Of several, the middle of each figure.
    fn middle(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> u64| {
            let mut figures: Vec<u64> = all.iter().map(figure).collect();
            figures.sort_unstable();
            figures[figures.len() / 2]
        };
        Self {
            resident_kb: of(|size| size.resident_kb),
            descriptors: of(|size| size.descriptors),
            threads: of(|size| size.threads),
            files: of(|size| size.files),
            bytes: of(|size| size.bytes),
        }
    }
}

/// Files below a folder, and their bytes. What goes away meanwhile does not count.
fn below(folder: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        let (more, size) = if found.is_dir() { below(&entry.path()) } else { (1, found.len()) };
        (files, bytes) = (files + more, bytes + size);
    }
    (files, bytes)
}

/// One hour of a busy day.
fn hour(server: &Server, n: u64) {
    for k in 0..MISSIONS {
        let words = if k % 2 == 0 { "list the files" } else { "total sales.csv per region" };
        let wish = json!({ "words": words, "workspace": "work", "again": true });
        let mission = server.submit(&wish);
        // Some of them are followed, and some of those are left in the middle.
        let mut stream = (k % 3 == 0).then(|| server.stream(&mission, None));
        if let Some(stream) = &mut stream {
            stream.event().expect("an event");
        }
        if k % 6 == 0 {
            let _ = stream.take().map(|stream| stream.all());
        }
        assert_eq!(server.ended(&mission), "done");
    }
    for k in 0..FACTS {
        let words = format!("The locker {n}-{k} belongs to person {}.", n * 7 + u64::from(k));
        server.post("/api/v1/memory/remember", &json!({ "words": words })).is(200, "");
        let asked = json!({ "words": format!("whose is the locker {n}-{k}") });
        server.post("/api/v1/memory/recall", &asked).is(200, "");
        server.post("/api/v1/missions", &json!({ "wrods": "x" })).is(422, "invalid_request");
    }
}

/// How often each schedule ran, and by how many due times that were not one minute
/// after the one before.
fn taken(home: &Path) -> BTreeMap<String, (Vec<Millis>, usize)> {
    block_on(async {
        let key = keys::load(&home.join("ledger.key")).unwrap();
        let file = home.join("ledger.db");
        let ledger = SqliteLedger::open(&file, Arc::new(Now), key).await.unwrap();
        let (mut after, mut found) = (0, BTreeMap::new());
        loop {
            let kinds = vec!["scheduled".to_owned()];
            let query = Query::Happened { after, kinds, limit: PAGE };
            let Rows::Events(page) = ledger.query(&TenantId::local(), query).await.unwrap() else {
                panic!("another answer")
            };
            let Some(last) = page.last() else { break };
            after = last.position;
            for event in page {
                if let Event::Scheduled(Scheduled::Due { schedule, due_at, outcome, .. }) =
                    event.event
                {
                    let (times, missed): &mut (Vec<Millis>, usize) =
                        found.entry(schedule.to_string()).or_default();
                    times.push(due_at);
                    *missed += usize::from(!matches!(outcome, Outcome::Ran { .. }));
                }
            }
        }
        ledger.close().await.unwrap();
        found
    })
}

#[test]
fn a_day_leaves_the_process_as_big_as_it_was() {
    let (hours, rate) = (number("ALMA_DAY_HOURS", HOURS), number("ALMA_DAY_RATE", RATE));
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    shell.put("sales.csv", "region,amount\nnorth,3\nsouth,4\nnorth,5\n");
    shell.put("notes.md", "The floor of the shop is oak.\n");
    let work = shell.work().display().to_string();
    shell.put_home("config.toml", format!("[http.workspaces]\nwork = {work:?}\n"));
    let mut command = shell.command(&[]);
    command.env("LD_PRELOAD", other_clock()).env("FAKETIME", format!("+0 x{rate}"));
    let server = Server::start(command);
    let schedule = |cron: &str, words: &str| {
        let body = json!({ "words": words, "workspace": "work", "cron": cron, "zone": "UTC" });
        let made = server.post("/api/v1/schedules", &body).is(200, "");
        (made["schedule"].as_str().unwrap().to_owned(), made["state"].clone())
    };
    let each_minute = schedule("* * * * *", "list the files");
    let each_hour = schedule("5 * * * *", "total sales.csv per region");
    assert_eq!((&each_minute.1, &each_hour.1), (&json!("active"), &json!("active")));

    let mut sizes = Vec::new();
    let began = Instant::now();
    for n in 0..hours {
        hour(&server, n);
        let next = Duration::from_secs(3_600 * (n + 1)) / u32::try_from(rate).unwrap();
        std::thread::sleep(next.saturating_sub(began.elapsed()));
        let size = Size::of(server.pid(), &shell.home());
        println!("hour {:2}: {size}", n + 1);
        sizes.push(size);
    }
    let minutes = began.elapsed().as_secs() * rate / 60;
    assert_eq!(server.stop(), Some(0));
    shell.intact();

    let taken = taken(&shell.home());
    let (times, missed) = &taken[&each_minute.0];
    println!("{minutes} minutes went by: {} due times taken, {missed} missed", times.len());
    for pair in times.windows(2) {
        assert_eq!(pair[1] - pair[0], MINUTE, "a due time was left out or taken twice");
    }
    assert!(times.len() as u64 + 2 >= minutes, "the schedule fell behind");
    // A second in which this machine does something else is a minute of that day.
    assert!(missed * MISSED_AT_MOST <= times.len(), "{missed} of {}", times.len());
    assert!(taken[&each_hour.0].0.len() as u64 + 1 >= hours);

    let warm = usize::try_from(WARM_UP.min(hours / 3)).unwrap();
    let span = ((sizes.len() - warm) / 2).max(1);
    let first = Size::middle(&sizes[warm..warm + span]);
    let last = Size::middle(&sizes[sizes.len() - span..]);
    println!("after the warm-up: {first}\nin the end:        {last}");
    let most = first.resident_kb * (100 + MEMORY_GROWTH_PERCENT) / 100;
    assert!(last.resident_kb <= most, "memory grew: {first}; {last}");
    for (what, before, after) in [
        ("descriptors", first.descriptors, last.descriptors),
        ("threads", first.threads, last.threads),
        ("files", first.files, last.files),
    ] {
        assert!(after <= before + SLACK, "{what} grew from {before} to {after}");
    }
}
