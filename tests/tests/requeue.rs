//! A step on the dead-letter desk that is sent round again looks around afresh and
//! asks again; what it has done already it does not do again, it is checked again.

use alma::operations::{dead_letter_requeue, mission_report, mission_submit, plan_new};
use alma_tests::desk::block_on;
use alma_tests::rig::{Rig, fixture};
use async_trait::async_trait;
use charter::approval::Answer;
use charter::check::{Subject, Verdict};
use charter::digest::Digest;
use charter::effect::{EffectClass, Target};
use charter::event::{EffectOutcome, Event};
use charter::ids::{MissionId, Principal, StepKey, TenantId};
use charter::ports::{LedgerExt, ProgramWatch, Reach, Tools};
use charter::rows::{EffectState, MissionState, StepRow, StepState};
use charter::survey::Survey;
use charter::tool::{Act, Acted, Call, Prepared, Probe, Process, Proposed, ToolError, ToolSpec};
use hephaestus::Hephaestus;
use moroni::machine::ring::LOST_MAX;
use serde_json::{Value, json};
use sons_of_helaman::lease::LeaseThread;
use sons_of_helaman::{Ports, Settings, Worker, reconcile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use surfaces::bench::child::Stage;

#[test]
fn a_denied_step_that_is_requeued_asks_again() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
    let stage = Stage::new(program, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let folder = fixture("household");
    let mission = json!({
        "goal": "delete a file",
        "steps": [{ "tool": "delete", "args": { "path": "expenses.csv" } }],
    });
    let file = stage.mission_file("delete", &mission).unwrap();
    let (file, workspace) = (file.to_string_lossy(), folder.path().to_string_lossy());
    let run = ["mission", "run", "--file", &file, "--workspace", &workspace];
    let first = stage.json(&run).unwrap();
    let approval = first["approvals"][0]["approval"].as_str().unwrap().to_owned();
    assert_eq!(stage.json(&["deny", &approval]).unwrap()["state"], "refused");

    let step = format!("{}/1", first["mission"].as_str().unwrap());
    let again = stage.json(&["dead-letters", "requeue", &step]).unwrap();
    assert_eq!(again["state"], "waiting");
    let second = again["approvals"][0]["approval"].as_str().unwrap();
    assert_ne!(second, approval);
    assert!(folder.path().join("expenses.csv").exists());
    assert_eq!(stage.json(&["approve", second]).unwrap()["state"], "done");
    assert!(!folder.path().join("expenses.csv").exists());
}

#[test]
fn what_was_done_is_checked_again_and_not_done_again() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
    let stage = Stage::new(program, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let folder = fixture("household");
    let mission = json!({
        "goal": "make a report",
        "steps": [{
            "tool": "run",
            "args": { "program": ["sh", "-c", "echo made"], "outputs": ["report.txt"] },
        }],
    });
    let file = stage.mission_file("report", &mission).unwrap();
    let (file, workspace) = (file.to_string_lossy(), folder.path().to_string_lossy());
    let run = ["mission", "run", "--file", &file, "--workspace", &workspace];
    let first = stage.json(&run).unwrap();
    assert_eq!(first["state"], "failed", "{first:#}");
    let id = first["mission"].as_str().unwrap();
    let step = format!("{id}/1");
    let acts = || {
        let record = stage.record(&id.parse().unwrap()).unwrap();
        let is_act = |event: &&Event| {
            matches!(event, Event::EffectIntended { class: EffectClass::Exec, .. })
        };
        record.events().filter(is_act).count()
    };
    // Nothing is there still: the check fails once more.
    let again = stage.json(&["dead-letters", "requeue", &step]).unwrap();
    assert_eq!(again["state"], "failed", "{again:#}");
    assert!(again.to_string().contains("run-outputs"), "{again:#}");
    assert_eq!(acts(), 1);
    std::fs::write(folder.path().join("report.txt"), "by hand").unwrap();
    let last = stage.json(&["dead-letters", "requeue", &step]).unwrap();
    // That the program made it is not proven.
    assert_eq!(last["state"], "unverified", "{last:#}");
    assert_eq!(acts(), 1);
    assert_eq!(stage.json(&["dead-letters", "list"]).unwrap()["dead_letters"], json!([]));
}

/// Tools in the hands of a worker that dies as soon as it has changed a file, or
/// looks whether another had.
struct Doomed(Hephaestus, Arc<AtomicBool>);

#[async_trait]
impl Tools for Doomed {
    fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.0.spec(name)
    }

    fn specs(&self) -> Vec<&ToolSpec> {
        self.0.specs()
    }

    async fn prepare(&self, call: &Call) -> Result<Prepared, ToolError> {
        self.0.prepare(call).await
    }

    async fn act(
        &self,
        call: &Call,
        act: &Act,
        key: &Digest,
        watch: &dyn ProgramWatch,
    ) -> Result<Acted, ToolError> {
        self.0.act(call, act, key, watch).await
    }

    async fn probe(&self, call: &Call, act: &Act, key: &Digest) -> Result<Probe, ToolError> {
        self.0.probe(call, act, key).await
    }

    async fn apply(&self, call: &Call, proposed: &Proposed) -> Result<Vec<Target>, ToolError> {
        self.0.apply(call, proposed).await?;
        self.1.store(true, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn look(&self, call: &Call, paths: &[String]) -> Result<Vec<Target>, ToolError> {
        if self.1.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.look(call, paths).await
    }

    async fn check(&self, subject: &Subject) -> Vec<Verdict> {
        self.0.check(subject).await
    }

    async fn kill(&self, program: &Process) -> bool {
        self.0.kill(program).await
    }

    async fn survey(&self, workspace: &Path) -> Result<Survey, ToolError> {
        self.0.survey(workspace).await
    }

    fn reach(&self, call: &Call) -> Reach {
        self.0.reach(call)
    }
}

/// A process of this host that is no more.
fn dead(number: u32) -> Process {
    let me = hephaestus::process::me();
    Process { start: me.start + u64::from(number), ..me }
}

/// An Alma on a folder, and what kills her workers.
struct Scene {
    folder: tempfile::TempDir,
    rig: Rig,
    settings: Settings,
    principal: Principal,
    /// Whether a doomed worker has changed a file.
    acted: Arc<AtomicBool>,
}

impl Scene {
    fn new() -> Self {
        let folder = fixture("household");
        let rig = Rig::new(folder.path(), Hephaestus::with_tools(hephaestus::tools::all()));
        let settings = Settings {
            tenant: TenantId::local(),
            process: hephaestus::process::me(),
            home: PathBuf::from("/nonexistent/alma"),
            policy: rig.alma.config.policy.rules.clone(),
        };
        Self { folder, rig, settings, principal: Principal::local(), acted: Arc::default() }
    }

    async fn submit(&self, mission: &Value) -> MissionId {
        let request = mission_submit::Request {
            wish: plan_new::Request {
                workspace: self.folder.path().to_owned(),
                words: None,
                file: Some(mission.to_string()),
                budget: None,
                priority: None,
            },
            again: true,
            mission: None,
            once: None,
        };
        mission_submit::run(&self.rig.alma, &self.principal, request).await.unwrap().mission
    }

    async fn row(&self, step: &StepKey) -> StepRow {
        self.rig.alma.ports.ledger.step(&self.settings.tenant, step).await.unwrap()
    }

    fn worker(&self, ports: &Ports, process: Process) -> Worker {
        let (ledger, clock) = (Arc::clone(&ports.ledger), Arc::clone(&ports.clock));
        let keeper = LeaseThread::start(ledger, clock).unwrap();
        Worker::new(ports.clone(), Settings { process, ..self.settings.clone() }, Arc::new(keeper))
    }

    /// Works on one step as usual.
    async fn work(&self, step: &StepKey) {
        let worker = self.worker(&self.rig.alma.ports, self.settings.process.clone());
        worker.work(step).await.unwrap();
    }

    /// A worker dies at a step, right after it changed a file or before it looked
    /// whether another had.
    async fn kill(&self, step: &StepKey, lost: u32) {
        let tools = Hephaestus::with_tools(hephaestus::tools::all());
        let tools = Arc::new(Doomed(tools, Arc::clone(&self.acted)));
        let ports = Ports { tools, ..self.rig.alma.ports.clone() };
        let worker = self.worker(&ports, dead(lost));
        let died = tokio::time::timeout(Duration::from_millis(300), worker.work(step)).await;
        assert!(died.is_err(), "{died:?}");
        drop(worker);
        let reach = reconcile::Reach::Host;
        let taken = reconcile::reconcile(&ports, &self.settings, reach, &|_| Some(false));
        assert_eq!(taken.await.unwrap(), 1);
        let row = self.row(step).await;
        assert_eq!((row.lost, row.state), (lost, StepState::Ready));
    }

    /// Three workers die at a step, which then lies on the desk.
    async fn kill_at(&self, step: &StepKey) {
        for lost in 1..=LOST_MAX {
            self.kill(step, lost).await;
        }
        self.rig.work().await;
        assert_eq!(self.row(step).await.state, StepState::Dead);
    }

    /// Sends the step round again.
    async fn send(&self, step: &StepKey) {
        let request = dead_letter_requeue::Request { step: step.clone() };
        dead_letter_requeue::run(&self.rig.alma, &self.principal, request).await.unwrap();
        self.rig.work().await;
    }

    /// Sends the step round again; how its mission ends, and how many files its report
    /// names.
    async fn requeue(&self, step: &StepKey) -> (MissionState, usize) {
        let (alma, principal) = (&self.rig.alma, &self.principal);
        self.send(step).await;
        let request = mission_report::Request { mission: step.mission.clone() };
        let report = mission_report::run(alma, principal, request).await.unwrap().report;
        let effects = alma.ports.ledger.effects(&self.settings.tenant, step).await.unwrap();
        let acted: Vec<u32> =
            effects.iter().filter(|row| row.ordinal > 0).map(|row| row.intents).collect();
        assert_eq!(acted, [1], "{effects:#?}");
        (report.state, report.files.len())
    }
}

/// A mission of one step that changes one file.
fn moving() -> Value {
    json!({
        "goal": "move a file",
        "steps": [{ "tool": "move", "args": { "from": "expenses.csv", "to": "old.csv" } }],
    })
}

#[test]
fn what_may_have_been_done_is_settled_before_anything_else() {
    let scene = Scene::new();
    block_on(async {
        let step = StepKey::step(&scene.submit(&moving()).await, 1);
        scene.kill_at(&step).await;
        assert!(!scene.folder.path().join("expenses.csv").exists(), "it was moved");
        assert_eq!(scene.requeue(&step).await, (MissionState::Done, 1));
    });
    assert!(scene.folder.path().join("old.csv").exists());
}

#[test]
fn an_instance_that_may_have_acted_is_settled_too() {
    let scene = Scene::new();
    let path = scene.folder.path();
    for name in ["one", "two"] {
        std::fs::write(path.join(format!("{name}.old")), name).unwrap();
    }
    std::fs::write(path.join("names.csv"), "name\none\ntwo\n").unwrap();
    let mission = json!({
        "goal": "move files",
        "steps": [
            { "name": "names", "tool": "table", "args": { "from": "names.csv" } },
            {
                "tool": "move",
                "args": { "from": "${item.name}.old", "to": "${item.name}.new" },
                "for_each": { "items": "${names.rows}", "max_items": 5 },
            },
        ],
    });
    block_on(async {
        let mission = scene.submit(&mission).await;
        scene.work(&StepKey::step(&mission, 1)).await;
        let each = StepKey::step(&mission, 2);
        scene.work(&each).await;
        let step = each.instance(2);
        scene.kill_at(&step).await;
        assert!(path.join("two.new").exists(), "it was moved");
        assert_eq!(scene.requeue(&step).await, (MissionState::Done, 2));
    });
}

#[test]
fn a_question_of_doubt_that_was_refused_is_asked_again() {
    let scene = Scene::new();
    block_on(async {
        let step = StepKey::step(&scene.submit(&moving()).await, 1);
        scene.kill(&step, 1).await;
        std::fs::write(scene.folder.path().join("old.csv"), "somebody else's").unwrap();
        scene.rig.work().await;
        let row = scene.row(&step).await;
        assert_eq!(row.state, StepState::Parked);
        let first = row.approval.unwrap();
        scene.rig.answer(first.clone(), Answer::Deny).await;
        scene.rig.work().await;
        assert_eq!(scene.row(&step).await.state, StepState::Dead);

        scene.send(&step).await;
        let row = scene.row(&step).await;
        assert_eq!(row.state, StepState::Parked, "it is asked again");
        let second = row.approval.unwrap();
        assert_ne!(second, first);
        scene.rig.answer(second, Answer::Happened).await;
        scene.rig.work().await;
        let (ports, tenant) = (&scene.rig.alma.ports, &scene.settings.tenant);
        let effects = ports.ledger.effects(tenant, &step).await.unwrap();
        let last = effects.last().unwrap();
        assert_eq!(last.state, EffectState::Received(EffectOutcome::Done), "{effects:#?}");
        assert_eq!(last.intents, 1, "{effects:#?}");
    });
}

#[test]
fn a_step_beside_a_dead_one_is_still_repaired() {
    let scene = Scene::new();
    let mission = json!({
        "goal": "read two files",
        "steps": [
            { "name": "one", "tool": "read", "args": { "path": "quite-another-name.txt" } },
            { "name": "two", "tool": "read", "args": { "path": "expense.csv" } },
            { "tool": "compose", "args": { "text": "${one.text} ${two.text}" } },
        ],
    });
    block_on(async {
        let mission = scene.submit(&mission).await;
        scene.rig.work().await;
        let mut states = Vec::new();
        for n in 1..=3 {
            states.push(scene.row(&StepKey::step(&mission, n)).await.state);
        }
        assert_eq!(states, [StepState::Dead, StepState::Done, StepState::Skipped]);
    });
}

#[test]
fn a_part_that_was_refused_is_asked_about_again() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
    let stage = Stage::new(program, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let folder = fixture("household");
    let workspace = folder.path().to_string_lossy();
    let wish = "convert expenses.csv to json and send it to my bank";
    let first = stage.json(&["mission", "run", wish, "--workspace", &workspace]).unwrap();
    let approval = first["approvals"][0]["approval"].as_str().unwrap().to_owned();
    assert_eq!(stage.json(&["deny", &approval]).unwrap()["state"], "refused");
    let step = format!("{}/1", first["mission"].as_str().unwrap());
    let again = stage.json(&["dead-letters", "requeue", &step]).unwrap();
    assert_eq!(again["state"], "waiting", "{again:#}");
    assert_eq!(again["approvals"][0]["question"], first["approvals"][0]["question"]);
    assert!(!folder.path().join("expenses.json").exists());
}
