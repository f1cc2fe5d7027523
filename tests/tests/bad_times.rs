//! Bad times for the real binary: full disks, damaged stores, interruptions,
//! nobody to talk to, a clock that goes back, company. Each ends with the exit
//! code that is promised and words that help, and nothing is lost.

use alma_tests::rig::{Ended, Now, Rig, changed, tree};
use alma_tests::shell::{Out, Shell, ended};
use async_trait::async_trait;
use charter::event::Event;
use charter::ids::{Millis, StreamId, TenantId, TransitionId};
use charter::leader::{Bid, LeaderRow};
use charter::ports::{
    Clock, Committed, Drawn, Fence, LeaseChange, LeaseStatus, Ledger, LedgerError, LedgerExt,
    Query, Rows, Transition,
};
use charter::rows::MissionState;
use charter::tool::Process;
use hephaestus::Hephaestus;
use ledger::{MemoryLedger, SqliteLedger, audit, keys};
use serde_json::json;
use sons_of_helaman::Worked;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const WORDS: &str = "count the words in a.md";
/// How long something that should happen at once may take.
const SOON: Duration = Duration::from_secs(30);

fn shell() -> Shell {
    let shell = Shell::new(env!("CARGO_BIN_EXE_alma-counting"));
    shell.put("a.md", "- [ ] Ann: x\n");
    shell
}

/// Runs a script that sees file systems of its own, and mounts a small disk with
/// `disk SIZE`.
#[track_caller]
fn on_a_small_disk(shell: &Shell, script: &str) -> Out {
    let disk = shell.beside("disk");
    std::fs::create_dir(&disk).unwrap();
    let mut command = Command::new("unshare");
    let set_up = "disk() { mount -t tmpfs -o size=$1 tmpfs \"$DISK\"; }; free() { rm \"$DISK/fill\"; }\n\
        fill() { dd if=/dev/zero of=\"$DISK/fill\" bs=4k 2>/dev/null; }\n\
        try() { name=$1; shift; \"$ALMA\" \"$@\" 2>&1 | sed \"s/^/$name: /\"; echo \"$name: exit=${PIPESTATUS[0]}\"; }\n";
    command
        .args(["-rm", "bash", "-c", &format!("{set_up}{script}")])
        .env("ALMA", env!("CARGO_BIN_EXE_alma-counting"))
        .env("ALMA_HOME", shell.home())
        .env("DISK", &disk)
        .current_dir(shell.work())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    ended(command.spawn().expect("unshare is installed"))
}

/// What a script said under one name must hold all these texts.
#[track_caller]
fn said(out: &Out, name: &str, texts: &[&str]) {
    let lines: Vec<&str> = out.out.lines().filter_map(|line| line.strip_prefix(name)).collect();
    let all = lines.join("\n");
    for text in texts {
        assert!(all.contains(text), "{name} does not say {text:?}: {out:#?}");
    }
}

#[test]
fn the_disk_of_the_data_folder_is_full() {
    let shell = shell();
    let out = on_a_small_disk(
        &shell,
        &format!(
            "disk 3m; export ALMA_HOME=$DISK/home\n\
             try little mission run '{WORDS}'\n\
             fill; try nothing mission run '{WORDS}'; try list mission list\n\
             free; try verify --json audit verify\n\
             mount -o remount,size=64m \"$DISK\"\n\
             try enough mission run --again '{WORDS}'; try all mission list; try again --json audit verify"
        ),
    );
    said(&out, "little", &["disk", "full", "free some space", "exit=1"]);
    said(&out, "nothing", &["disk", "full", "free some space", "exit=1"]);
    said(&out, "list", &["disk", "full", "free some space", "exit=1"]);
    said(&out, "verify", &["\"intact\": true", "exit=0"]);
    said(&out, "enough", &["5 words", "exit=0"]);
    said(&out, "all", &["done", "exit=0"]);
    assert!(!out.out.contains("failed"), "what found no room was not begun: {out:#?}");
    said(&out, "again", &["\"intact\": true", "exit=0"]);
}

#[test]
fn the_disk_of_the_workspace_is_full() {
    let shell = shell();
    let out = on_a_small_disk(
        &shell,
        "disk 1m; cd \"$DISK\"\n\
         { echo a,b,c; for i in $(seq 1 15000); do echo $i,$((i * 7)),number $i of them; done; } > t.csv\n\
         try convert mission run 'convert t.csv to json'\n\
         ls -A | sed 's/^/left: /'; try verify --json audit verify\n\
         mount -o remount,size=64m \"$DISK\"\n\
         try room mission run --again 'convert t.csv to json'",
    );
    said(&out, "convert", &["t.json", "No space left", "free some space", "exit=1"]);
    // It is known that the write did not happen.
    assert!(!out.out.contains("not known whether"), "{out:#?}");
    let left: Vec<&str> = out.out.lines().filter(|line| line.starts_with("left: ")).collect();
    assert_eq!(left, ["left: t.csv"], "{out:#?}");
    said(&out, "verify", &["\"intact\": true"]);
    said(&out, "room", &["created", "exit=0"]);
}

#[test]
fn a_damaged_ledger_is_told_and_left_alone() {
    let shell = shell();
    shell.wish(WORDS).says(0, &["5 words"]);
    let file = shell.home().join("ledger.db");
    let good = std::fs::read(&file).unwrap();
    let garbage: Vec<u8> = (0..good.len()).map(|i| (i * 31 % 251) as u8).collect();
    let half = good[..good.len() / 2].to_vec();
    for bytes in [garbage, half, Vec::new()] {
        std::fs::write(&file, &bytes).unwrap();
        for command in [
            &["mission", "list"][..],
            &["doctor"],
            &["audit", "verify"],
            &["mission", "run", WORDS],
        ] {
            shell.run(command).says(1, &["ledger", "restore a backup"]);
        }
        assert!(std::fs::read(&file).unwrap() == bytes, "the damaged file was changed");
    }
    std::fs::remove_file(&file).unwrap();
    shell.run(&["mission", "list"]).says(1, &["ledger.db", "gone", "restore a backup"]);
    std::fs::write(&file, &good).unwrap();
    shell.intact();
    shell.run(&["mission", "list"]).says(0, &["done"]);
}

#[test]
fn a_ledger_from_a_newer_version_is_left_alone() {
    let shell = shell();
    shell.wish(WORDS).says(0, &[]);
    let file = shell.home().join("ledger.db");
    let good = std::fs::read(&file).unwrap();
    let sql = "insert into _sqlx_migrations select version + 1000, 'future', installed_on, success, \
        checksum, execution_time from _sqlx_migrations";
    let script = format!(
        "import sqlite3; db = sqlite3.connect({file:?}); db.execute({sql:?}); \
         db.execute('update compat set oldest = 1000'); db.commit(); db.close()"
    );
    let done = Command::new("python3").args(["-c", &script]).status().unwrap();
    assert!(done.success());
    let newer = std::fs::read(&file).unwrap();
    shell.run(&["mission", "list"]).says(1, &["newer version of Alma", "update Alma"]);
    shell.wish(WORDS).says(1, &["newer version of Alma"]);
    assert!(std::fs::read(&file).unwrap() == newer);
    std::fs::write(&file, good).unwrap();
    shell.intact();
}

#[test]
fn a_queue_of_garbage_is_made_anew() {
    let shell = shell();
    shell.wish(WORDS).says(0, &[]);
    for file in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        shell.put_home(file, [0xa5; 5_000]);
    }
    shell.wish(WORDS).says(0, &["5 words"]);
    shell.intact();
}

#[test]
fn a_damaged_key_is_told() {
    let shell = shell();
    shell.wish(WORDS).says(0, &[]);
    shell.put_home("ledger.key", "short");
    shell.run(&["mission", "list"]).says(1, &["ledger.key", "5 bytes instead of 32", "backup"]);
}

fn interrupt(process: &Child) {
    let kill = format!("kill -INT {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// A mission that works for half a minute, once its program runs.
#[track_caller]
fn long_mission(shell: &Shell) -> Child {
    shell.put(
        "long.yaml",
        "goal: wait\nsteps:\n  - {tool: run, title: Wait, args: {program: [sleep, \"30\"]}}\n",
    );
    let child =
        shell.command(&["mission", "run", "--again", "--file", "long.yaml"]).spawn().unwrap();
    let began = Instant::now();
    while !sleeps(child.id()) {
        assert!(began.elapsed() < SOON, "its program never ran");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Whether a process has `sleep` among those it started.
fn sleeps(process: u32) -> bool {
    let rows: Vec<(u32, u32, bool)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            // Number, name in brackets, state, parent.
            let (pid, rest) = stat.split_once(" (")?;
            let (name, rest) = rest.rsplit_once(") ")?;
            let parent = rest.split(' ').nth(1)?.parse().ok()?;
            Some((pid.parse().ok()?, parent, name == "sleep"))
        })
        .collect();
    let parent = |pid| rows.iter().find(|row| row.0 == pid).map(|row| row.1);
    rows.iter().filter(|row| row.2).any(|row| {
        std::iter::successors(Some(row.0), |pid| parent(*pid)).take(20).any(|pid| pid == process)
    })
}

#[test]
fn ctrl_c_stops_the_mission_and_its_programs() {
    let shell = shell();
    let child = long_mission(&shell);
    let id = child.id();
    interrupt(&child);
    let began = Instant::now();
    ended(child).says(130, &["stopping", "cancelled"]);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(!sleeps(id));
    shell.run(&["mission", "list"]).says(0, &["cancelled"]);
    shell.intact();
}

#[test]
fn ctrl_c_twice_leaves_at_once() {
    let shell = shell();
    let child = long_mission(&shell);
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(30));
    interrupt(&child);
    let began = Instant::now();
    ended(child).says(130, &["press again"]);
    assert!(began.elapsed() < Duration::from_secs(5));
    shell.intact();
    // Whoever works next finds it cancelled.
    let worker = shell.command(&["worker"]).spawn().unwrap();
    let began = Instant::now();
    while !shell.run(&["mission", "list"]).out.contains("cancelled") {
        assert!(began.elapsed() < SOON, "the mission was never cancelled");
        std::thread::sleep(Duration::from_millis(100));
    }
    interrupt(&worker);
    ended(worker).says(0, &[]);
    shell.intact();
}

#[test]
fn nobody_reads_and_nobody_answers() {
    let shell = shell();
    let code = |script: &str| ended(shell.script(script).spawn().unwrap()).code;
    assert_eq!(code("\"$ALMA\" tools list | head -1; exit ${PIPESTATUS[0]}"), 0);
    assert_eq!(
        code(&format!("\"$ALMA\" mission run '{WORDS}' | head -1; exit ${{PIPESTATUS[0]}}")),
        0
    );
    assert_eq!(code(&format!("\"$ALMA\" mission run --again '{WORDS}' >&- 2>&-")), 0);
    assert_eq!(code(&format!("\"$ALMA\" mission run --again '{WORDS}' <&-")), 0);
    // Nobody to ask: it waits, and says how to answer.
    let asks = shell.wish("delete a.md");
    asks.says(3, &["alma approve a-", "alma deny a-", "nothing is lost"]);
    assert!(shell.work().join("a.md").exists());
    let out = shell.run(&["--json", "mission", "run", "--again", "delete a.md"]);
    assert_eq!((out.code, &out.json()["state"]), (3, &"waiting".into()));
    shell.intact();
}

#[test]
fn without_a_home() {
    let shell = shell();
    let mut command = shell.command(&["doctor"]);
    command.env_remove("ALMA_HOME").env_remove("HOME");
    ended(command.spawn().unwrap())
        .says(2, &["neither ALMA_HOME nor HOME is set", "set ALMA_HOME"]);
    let mut command = shell.command(&["mission", "run", WORDS]);
    command.env_remove("ALMA_HOME").env("HOME", shell.beside("person"));
    std::fs::create_dir(shell.beside("person")).unwrap();
    ended(command.spawn().unwrap()).says(0, &["5 words"]);
    assert!(shell.beside("person/.alma/ledger.db").exists());
}

/// A clock that loses an hour every few looks.
struct Backwards(AtomicI64);

impl Clock for Backwards {
    fn now(&self) -> Millis {
        let looks = self.0.fetch_add(1, Ordering::Relaxed);
        Now.now() - looks / 7 * 3_600_000
    }
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let folder = alma_tests::rig::fixture("household");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ledger.db");
    let key = keys::draw().unwrap();
    alma_tests::desk::block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(Backwards(AtomicI64::new(0)));
        let store = SqliteLedger::open(&file, Arc::clone(&clock), key.clone()).await.unwrap();
        let store = Arc::new(store);
        let ledger: Arc<dyn Ledger> = Arc::clone(&store) as _;
        let rig = Rig::with(folder.path(), Hephaestus::new(), ledger, clock);
        for words in [
            "collect the dates from notes and make a timeline",
            "delete all *.tmp",
            "find duplicate files",
        ] {
            match rig.run(words, true).await {
                Ended::Report(report) => {
                    assert_eq!(report.state, MissionState::Done, "{report:#?}")
                }
                other => panic!("{words:?}: {other:?}"),
            }
        }
        drop(rig);
        store.close().await.unwrap();
        let found = audit::verify(&file, &keys::public(&key)).await.unwrap();
        assert!(found.findings.is_empty(), "{found:#?}");
        assert!(found.events > 50, "{found:#?}");
    });
    assert!(!folder.path().join("documents/letter.tmp").exists());
    assert!(folder.path().join("timeline.md").exists());
}

/// A machine's clock, moved on.
struct Later(Arc<AtomicI64>);

impl Clock for Later {
    fn now(&self) -> Millis {
        Now.now() + self.0.load(Ordering::SeqCst)
    }
}

/// A ledger whose caller stands still for a while after its first intent to write, so
/// that its claim is taken back.
struct StandsStill {
    ledger: MemoryLedger,
    later: Arc<AtomicI64>,
}

#[async_trait]
impl Ledger for StandsStill {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        let committed = self.ledger.commit(transition.clone()).await?;
        let writes = |(_, event): &(_, Event)| matches!(event, Event::EffectIntended { bytes, .. } if *bytes > 0);
        let Some(fence) = transition.fence.filter(|_| transition.events.iter().any(writes)) else {
            return Ok(committed);
        };
        if self.later.swap(60_000, Ordering::SeqCst) > 0 {
            return Ok(committed);
        }
        let (step, token, at) = (fence.step.clone(), fence.token, transition.at + 60_000);
        let released = Event::StepReleased { step, token, dead: false, ready_at: at };
        let taken_back = Transition {
            id: TransitionId::new(at, &Drawn(&[7; 16])),
            at,
            fence: Some(fence.clone()),
            lease: LeaseChange::Release,
            term: None,
            events: vec![(StreamId::mission(&fence.step.mission), released)],
            contents: Vec::new(),
            tenant: transition.tenant,
        };
        self.ledger.commit(taken_back).await.expect("its claim is taken back");
        Ok(committed)
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        self.ledger.query(tenant, query).await
    }

    async fn renew(&self, fence: &Fence, expires_at: Millis) -> Result<LeaseStatus, LedgerError> {
        self.ledger.renew(fence, expires_at).await
    }

    async fn note_program(&self, _: &Fence, _: &Process, _: bool) -> Result<(), LedgerError> {
        unreachable!("nothing is started here")
    }

    async fn lead(&self, bid: &Bid) -> Result<LeaderRow, LedgerError> {
        self.ledger.lead(bid).await
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        self.ledger.outbox_done(ids).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        self.ledger.changed(after, wait_ms).await
    }
}

/// What its next owner works on is not to be touched, also where nobody got round to it.
#[tokio::test]
async fn who_stood_still_before_an_effect_leaves_it_to_others() {
    let folder = alma_tests::rig::fixture("household");
    let later = Arc::new(AtomicI64::new(0));
    let ledger = StandsStill { ledger: MemoryLedger::new(), later: Arc::clone(&later) };
    let clock = Arc::new(Later(later));
    let rig = Rig::with(folder.path(), Hephaestus::new(), Arc::new(ledger), clock);
    let words = "collect the dates from notes and make a timeline";
    let mission = rig.submit(words).await;
    let ready = async || {
        let query = Query::ReadySteps { now: Millis::MAX, limit: 1 };
        rig.alma.ports.ledger.steps(&TenantId::local(), query).await.unwrap().pop()
    };
    let mut lost = 0;
    while let Some(step) = ready().await {
        let before = tree(folder.path());
        if rig.worker.work(&step.key).await.unwrap() == Worked::Lost {
            let changed = changed(&before, &tree(folder.path()));
            assert_eq!(changed, [""; 0], "written under a claim that was lost");
            lost += 1;
        }
    }
    assert_eq!(lost, 1);
    assert!(folder.path().join("timeline.md").exists());
    let row = rig.alma.ports.ledger.mission(&TenantId::local(), &mission).await.unwrap();
    assert_eq!(row.state, MissionState::Done);
}

#[test]
fn two_terminals_and_a_worker_on_one_data_folder() {
    let shell = shell();
    for n in 0..8 {
        shell.put(format!("n{n}.csv"), format!("who,amount\nAnn,{n}\nBob,1\n"));
    }
    let worker = shell.command(&["worker"]).spawn().unwrap();
    let terminals: Vec<_> = (0..2)
        .map(|terminal| {
            let runs: String = (0..4)
                .map(|n| {
                    format!(
                        "\"$ALMA\" mission run 'convert n{}.csv to json' || exit 1\n",
                        4 * terminal + n
                    )
                })
                .collect();
            shell.script(&runs).spawn().unwrap()
        })
        .collect();
    for terminal in terminals {
        ended(terminal).says(0, &[]);
    }
    for n in 0..8 {
        let made: serde_json::Value = serde_json::from_slice(
            &std::fs::read(shell.work().join(format!("n{n}.json"))).unwrap(),
        )
        .unwrap();
        assert_eq!(made[0], serde_json::json!({"who": "Ann", "amount": n}));
    }
    let list = shell.run(&["--json", "mission", "list"]);
    let missions = list.json()["missions"].as_array().unwrap().clone();
    assert_eq!(missions.len(), 8);
    assert!(missions.iter().all(|mission| mission["state"] == "done"), "{missions:#?}");
    interrupt(&worker);
    ended(worker).says(0, &[]);
    shell.intact();
}

/// A text that a step needs is gone: the step ends on the desk, and does not come back
/// for ever.
#[test]
fn a_step_that_cannot_be_read_ends_on_the_desk() {
    let shell = shell();
    let file = shell.beside("mission.json");
    let step = json!({ "tool": "hash", "title": "Hash", "args": { "files": "a.md" } });
    std::fs::write(&file, json!({ "goal": "hash", "steps": [step] }).to_string()).unwrap();
    let submit = ["--json", "mission", "submit", "--file", &file.to_string_lossy()];
    let submitted = shell.run(&submit).says(0, &[]).json();
    let mission = submitted["mission"].as_str().unwrap();
    let lose = "import sqlite3, sys\n\
        with sqlite3.connect(sys.argv[1]) as db:\n    \
        db.execute(\"INSERT INTO forgotten SELECT json_extract(body, '$.workspace.id'), tenant, 0 \
        FROM missions\")";
    let done =
        Command::new("python3").args(["-c", lose]).arg(shell.home().join("ledger.db")).status();
    assert!(done.unwrap().success());
    let mut worker = shell.command(&["worker"]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let show = || shell.run(&["--json", "mission", "show", mission]).json();
    while show()["state"] != "failed" {
        assert!(Instant::now() < until, "{:#}", show());
        std::thread::sleep(Duration::from_millis(200));
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    shell.run(&["dead-letters", "list"]).says(0, &["ended 3 workers without a result"]);
}
