//! What belongs to another tenant is *not found*, whatever is asked: every operation
//! is called by a stranger with names that exist, and afterwards nothing of the owner
//! has changed and nothing of hers was told.

use alma::memory::Memory;
use alma::operations::{self, ALL};
use alma::{Alma, Error, Installation, config};
use alma_tests::desk::block_on;
use alma_tests::rig::{Now, Rest};
use alma_tests::shell::Shell;
use alma_tests::sim::fate::Dice;
use async_trait::async_trait;
use charter::embed::Embed;
use charter::ids::{Principal, TenantId};
use charter::ports::{Clock, Entropy, Ledger, Query, Rows};
use hephaestus::Hephaestus;
use ledger::audit::AuditReport;
use ledger::{SqliteLedger, keys};
use librarian::ask::{Refusal, Request, Response};
use librarian::{Ask, Librarian};
use moroni::playbooks::Library;
use serde_json::{Value, json};
use sons_of_helaman::Ports;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const ALMA: &str = env!("CARGO_BIN_EXE_alma-counting");
/// Stands in whatever the owner said and made, and in no answer to a stranger.
const SECRET: &str = "kingfisher";

/// What a stranger hears.
enum Heard {
    /// That there is no such thing.
    NotFound,
    /// Nothing, in a list of that name.
    Nothing(&'static str),
    /// That she may not, or cannot, for a reason that is hers.
    Refused,
    /// What is the same for all: it concerns the machine, or is her own.
    Own,
}

use Heard::{NotFound, Nothing, Own, Refused};

/// Every operation, asked with the owner's names.
fn asked(of: &Names) -> Vec<(&'static str, Value, Heard)> {
    let mission = json!({ "mission": of.mission });
    let dead = json!({ "step": of.dead });
    let proposal = json!({ "proposal": of.proposal });
    let schedule = json!({ "schedule": of.schedule });
    let session = json!({ "session": of.session });
    let turn = json!({ "turn": of.turn });
    let work = json!(of.work);
    let words = |words: &str| json!({ "words": words, "workspace": work });
    let with = |of: &Value, more: Value| {
        let mut all = of.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    vec![
        ("mission.list", json!({}), Nothing("missions")),
        ("mission.submit", words("list the files"), Own),
        ("mission.show", mission.clone(), NotFound),
        ("mission.report", mission.clone(), NotFound),
        ("mission.effects", mission.clone(), NotFound),
        ("mission.events", with(&mission, json!({ "after": 0 })), NotFound),
        ("mission.steer", with(&mission, json!({ "words": "also list the files" })), NotFound),
        ("mission.cancel", mission.clone(), NotFound),
        ("plan.new", words("list the files"), Own),
        ("plan.show", mission.clone(), NotFound),
        ("plan.edit", with(&mission, json!({ "file": of.file })), NotFound),
        ("plan.diff", json!({ "left": of.mission, "right": of.mission }), NotFound),
        ("plan.dry_run", words("list the files"), Own),
        ("approvals.list", json!({ "all": true }), Nothing("approvals")),
        ("approvals.show", json!({ "approval": of.approval }), NotFound),
        ("approvals.answer", json!({ "approval": of.approval, "answer": "approve" }), NotFound),
        ("dead_letters.list", json!({}), Nothing("dead_letters")),
        ("dead_letters.show", dead.clone(), NotFound),
        ("dead_letters.requeue", dead.clone(), NotFound),
        ("dead_letters.discard", dead.clone(), NotFound),
        ("dead_letters.edit", with(&dead, json!({ "set": [] })), NotFound),
        ("dead_letters.bulk", json!({ "what": "discard" }), Nothing("steps")),
        ("playbooks.list", json!({}), Own),
        ("playbooks.show", json!({ "name": "list-files" }), Own),
        ("tools.list", json!({}), Own),
        ("tools.show", json!({ "name": "list" }), Own),
        ("models.list", json!({}), Own),
        ("models.show", json!({}), Refused),
        ("chat.say", with(&words("hello"), json!({ "session": of.session })), NotFound),
        ("chat.attach", turn.clone(), NotFound),
        ("chat.cancel", turn.clone(), NotFound),
        ("sessions.list", json!({}), Nothing("sessions")),
        ("sessions.show", session.clone(), NotFound),
        ("sessions.fork", session.clone(), NotFound),
        ("sessions.search", json!({ "words": SECRET }), Nothing("found")),
        ("memory.recall", words(SECRET), Nothing("memories")),
        (
            "memory.remember",
            with(&words("The lamp is red."), json!({ "instead_of": of.memory })),
            NotFound,
        ),
        ("memory.forget", json!({ "memory": of.memory, "dry_run": false }), NotFound),
        ("memory.import", json!({ "paths": [] }), Own),
        ("memory.export", json!({}), Nothing("memories")),
        ("memory.report", json!({}), Own),
        ("memory.rebuild", json!({}), Own),
        ("nightly.list", json!({}), Nothing("nights")),
        ("nightly.run", json!({}), Own),
        ("nightly.report", json!({ "night": of.night }), NotFound),
        ("proposals.list", json!({}), Nothing("proposals")),
        ("proposals.show", proposal.clone(), NotFound),
        ("proposals.accept", proposal.clone(), NotFound),
        ("proposals.reject", proposal.clone(), NotFound),
        ("proposals.undo", proposal, NotFound),
        ("schedules.list", json!({}), Nothing("schedules")),
        ("schedules.new", words("every weekday at eight list the files"), Own),
        ("schedules.show", schedule.clone(), NotFound),
        ("schedules.approve", schedule.clone(), NotFound),
        ("schedules.pause", schedule.clone(), NotFound),
        ("schedules.resume", schedule.clone(), NotFound),
        ("schedules.delete", schedule, NotFound),
        ("audit.verify", json!({}), Own),
        ("work.status", json!({}), Own),
        ("work.set", json!({ "mode": "stopped" }), Own),
        ("doctor", json!({}), Own),
        ("migrate", json!({ "to": of.work }), Own),
        ("config.show", json!({}), Own),
    ]
}

/// Names of what the owner has.
struct Names {
    work: String,
    file: String,
    mission: String,
    dead: Value,
    approval: String,
    session: String,
    turn: String,
    memory: String,
    night: String,
    proposal: String,
    schedule: String,
}

/// Missions by hand: three of a shape become a proposal.
const BY_HAND: [(&str, &str, &str); 3] = [
    ("fingerprint the pictures in pics into pics.md", "pics/*.jpg", "pics.md"),
    ("write the checksums of all pdf files in docs to docs.md", "docs/*.pdf", "docs.md"),
    (
        "please give me the hashes of my songs in music, saved as songs.md",
        "music/*.mp3",
        "songs.md",
    ),
];

fn by_hand(shell: &Shell, (goal, files, output): (&str, &str, &str)) -> String {
    for k in 1..=3 {
        shell.put(files.replace('*', &format!("{SECRET}{k}")), goal);
    }
    let text = format!(
        "goal: {goal}\nsteps:\n  - {{name: sums, title: Hash them, tool: hash, args: {{files: \
         [\"{files}\"]}}}}\n  - {{name: text, title: Lay them out, tool: compose, args: {{rows: \
         \"${{sums.rows}}\", title: \"Sums of {output}\", style: table}}}}\n  - {{title: Write \
         {output}, tool: write, args: {{path: {output}, text: \"${{text.text}}\"}}}}\nanswer: \
         \"${{sums.count}} sums\"\n"
    );
    let file = shell.beside("hand.yaml");
    std::fs::write(&file, &text).unwrap();
    shell.run(&["mission", "run", "--file", &file.to_string_lossy()]).says(0, &["sums"]);
    text
}

/// The owner, with something of every kind.
fn lived_in(shell: &Shell) -> Names {
    let json = |args: &[&str]| {
        let out = shell.run(&[&["--json"], args].concat());
        assert!([0, 1, 3].contains(&out.code), "{out:#?}");
        out.json()
    };
    let name = |of: &Value| of.as_str().unwrap_or_else(|| panic!("{of:#}")).to_owned();
    let file = BY_HAND.map(|mission| by_hand(shell, mission))[0].clone();
    shell.put(format!("{SECRET}.txt"), "one\n");
    let waiting = json(&["mission", "run", &format!("delete {SECRET}.txt")]);
    assert_eq!(waiting["state"], "waiting", "{waiting:#}");
    let dead = json!({
        "goal": format!("read the {SECRET}"),
        "steps": [{ "tool": "read", "title": "Read", "args": { "path": "nowhere.txt" } }],
    });
    let dead_file = shell.beside("dead.json");
    std::fs::write(&dead_file, dead.to_string()).unwrap();
    shell.run(&["mission", "run", "--file", &dead_file.to_string_lossy()]).says(1, &[]);
    let remembered = json(&["remember", &format!("The {SECRET} nests by the mill.")]);
    let said = json(&["ask", &format!("where does the {SECRET} nest?")]);
    let schedule = json(&["schedules", "new", "every day at 7 list the files"]);
    let night = json(&["nightly", "run"]);
    let sessions = json(&["sessions", "list"]);
    let session = name(&sessions["sessions"][0]["session"]);
    let shown = json(&["sessions", "show", &session]);
    Names {
        work: shell.work().display().to_string(),
        file,
        mission: name(&waiting["mission"]),
        dead: json(&["dead-letters", "list"])["dead_letters"][0]["step"].clone(),
        approval: name(&json(&["approvals", "list"])["approvals"][0]["approval"]),
        turn: name(said.get("turn").unwrap_or(&shown["history"][0]["turn"])),
        session,
        memory: name(&remembered["memory"]),
        night: name(&night["night"]),
        proposal: name(&night["report"]["offers"]["made"][0]["id"]),
        schedule: name(&schedule["schedule"]),
    }
}

struct Desk(Arc<Librarian>);

#[async_trait]
impl Ask for Desk {
    async fn ask(&self, request: Request) -> Result<Response, Refusal> {
        self.0.answer(request).await
    }
}

struct House(Memory);

#[async_trait]
impl Installation for House {
    fn playbooks(&self) -> Result<Arc<Library>, Error> {
        Ok(Arc::new(Library::shipped().expect("shipped playbooks are sound")))
    }

    fn memory(&self) -> Option<Memory> {
        Some(Arc::clone(&self.0))
    }

    fn embedder(&self) -> Result<Arc<dyn Embed>, Error> {
        Ok(embedder())
    }

    async fn audit(&self) -> Result<AuditReport, Error> {
        Err(Error::Usage("it was not asked for".into()))
    }

    fn diagnose(&self) -> Vec<operations::doctor::Finding> {
        Vec::new()
    }
}

fn embedder() -> Arc<dyn Embed> {
    models::embed::StaticEmbedder::shared().expect("the shipped table is sound")
}

/// The same folder, opened by this process.
async fn open(home: &Path) -> (Arc<SqliteLedger>, Alma) {
    let key = keys::load(&home.join("ledger.key")).unwrap();
    let ledger = SqliteLedger::open(&home.join("ledger.db"), Arc::new(Now), key).await.unwrap();
    let ledger = Arc::new(ledger);
    let clock: Arc<dyn Clock> = Arc::new(Now);
    let entropy: Arc<dyn Entropy> = Arc::new(Dice::new(7));
    let librarian = Librarian::new(
        Arc::clone(&ledger) as _,
        Arc::clone(&clock),
        Arc::clone(&entropy),
        Box::new(|| Ok(embedder())),
        home.join("vectors"),
    );
    let ports = Ports {
        ledger: Arc::clone(&ledger) as _,
        tools: Arc::new(Hephaestus::with_tools(hephaestus::tools::all())),
        clock,
        entropy,
        timer: Arc::new(Rest),
    };
    let config = config::load(Path::new("/nonexistent"), &[], &[]).expect("defaults");
    let alma = Alma {
        ports,
        config: Arc::new(config),
        home: home.to_owned(),
        installation: Arc::new(House(Arc::new(Desk(Arc::new(librarian))))),
    };
    (ledger, alma)
}

/// All that happened to the owner.
async fn happened(ledger: &SqliteLedger) -> usize {
    let query = Query::Happened { after: 0, kinds: Vec::new(), limit: 100_000 };
    match ledger.query(&TenantId::local(), query).await.unwrap() {
        Rows::Events(events) => events.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stranger_finds_nothing_and_changes_nothing() {
    let shell = Shell::new(ALMA);
    let names = lived_in(&shell);
    let table = asked(&names);
    let covered: BTreeSet<&str> = table.iter().map(|(name, ..)| *name).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|operation| operation.name).collect();
    assert_eq!(covered, all, "each operation has one line here");

    block_on(async {
        let (ledger, alma) = open(&shell.home()).await;
        let owner = Principal::local();
        let stranger = Principal { tenant: TenantId("stranger".into()), ..owner.clone() };
        let before = happened(&ledger).await;
        let mut wrong = Vec::new();
        for (name, request, heard) in table {
            let operation = operations::find(name).unwrap();
            let answer = (operation.call)(&alma, &stranger, request).await;
            let told = match &answer {
                Ok(value) => value.to_string(),
                Err(error) => error.to_string(),
            };
            let is_right = match (&heard, &answer) {
                (NotFound, Err(Error::NotFound(_))) => true,
                (Nothing(list), Ok(value)) => value[*list].as_array().is_some_and(Vec::is_empty),
                (Refused, Err(_)) | (Own, _) => true,
                _ => false,
            };
            // A stranger knows the names that she asks with, not what they stand for.
            if !is_right || (told.contains(SECRET) && !told.contains("was not found")) {
                wrong.push(format!("{name}: {told}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(happened(&ledger).await, before, "something happened to the owner");
        let mode = (operations::find("work.status").unwrap().call)(&alma, &owner, json!({}));
        assert_eq!(mode.await.unwrap()["mode"], "running");
        // The owner still has it all: the test asks for what is there.
        for (name, request) in [
            ("mission.show", json!({ "mission": names.mission })),
            ("approvals.show", json!({ "approval": names.approval })),
            ("dead_letters.show", json!({ "step": names.dead })),
            ("sessions.show", json!({ "session": names.session })),
            ("nightly.report", json!({ "night": names.night })),
            ("proposals.show", json!({ "proposal": names.proposal })),
            ("schedules.show", json!({ "schedule": names.schedule })),
        ] {
            let answer = (operations::find(name).unwrap().call)(&alma, &owner, request).await;
            assert!(answer.is_ok(), "{name}: {answer:?}");
        }
        let asked = json!({ "words": SECRET, "workspace": names.work });
        let found = (operations::find("memory.recall").unwrap().call)(&alma, &owner, asked).await;
        assert!(found.unwrap().to_string().contains(SECRET));
        drop(alma);
        Arc::into_inner(ledger).expect("nobody else has it").close().await.unwrap();
    });
}
