//! A whole Alma in one process, without queue and sockets: real planner, worker,
//! tools and checks over the in-memory ledger, on a real folder.

use crate::sim::fate::Dice;
use alma::config::{self, Config};
use alma::operations::doctor::Finding;
use alma::operations::{approval_answer, mission_report, mission_show, mission_submit, plan_new};
use alma::{Alma, Error, Installation};
use async_trait::async_trait;
use charter::approval::{Answer, Question};
use charter::digest::Digest;
use charter::embed::Embed;
use charter::ids::{ApprovalId, Millis, MissionId, Principal, TenantId};
use charter::ports::{Clock, Fence, Ledger, LedgerExt, Query};
use charter::report::Report;
use charter::rows::MissionState;
use charter::tool::Cancel;
use hephaestus::Hephaestus;
use ledger::MemoryLedger;
use ledger::audit::AuditReport;
use moroni::playbooks::Library;
use sons_of_helaman::lease::{Lease, LeaseKeeper, Until};
use sons_of_helaman::{Ports, Settings, Timer, Worker};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Steps that one mission may take in a rig.
const WORKED_MAX: usize = 5_000;

/// An Alma on a folder.
pub struct Rig {
    /// Her operations.
    pub alma: Alma,
    /// Its one worker.
    pub worker: Worker,
    workspace: PathBuf,
}

/// How a wish ended.
#[derive(Debug)]
pub enum Ended {
    /// With a report.
    Report(Box<Report>),
    /// Waiting for a person.
    Waiting(MissionId, Vec<String>),
    /// It could not be planned.
    Refused(String),
}

impl Ended {
    /// The report; any other end fails the test.
    #[track_caller]
    pub fn report(self) -> Report {
        match self {
            Self::Report(report) => *report,
            other => panic!("no report: {other:?}"),
        }
    }

    /// Whether the command line would exit with 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Report(report) if report.state == MissionState::Done)
    }
}

/// The machine's clock.
pub struct Now;

impl Clock for Now {
    fn now(&self) -> Millis {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as Millis)
    }
}

/// Waits by the runtime.
pub struct Rest;

#[async_trait]
impl Timer for Rest {
    async fn rest(&self, ms: u64) {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
}

struct Keeper;

impl LeaseKeeper for Keeper {
    fn hold(&self, _: &TenantId, _: &Fence, _: &Cancel, until: &Until) -> Lease {
        Lease::new(until, || {})
    }
}

struct Nowhere;

#[async_trait]
impl Installation for Nowhere {
    fn embedder(&self) -> Result<Arc<dyn Embed>, Error> {
        Ok(models::embed::StaticEmbedder::shared().expect("the shipped table is sound"))
    }

    fn playbooks(&self) -> Result<Arc<Library>, Error> {
        static SHIPPED: LazyLock<Arc<Library>> =
            LazyLock::new(|| Arc::new(Library::shipped().expect("shipped playbooks are sound")));
        Ok(Arc::clone(&SHIPPED))
    }

    async fn audit(&self) -> Result<AuditReport, Error> {
        Err(Error::Usage("a rig has no ledger on disk".into()))
    }

    fn diagnose(&self) -> Vec<Finding> {
        Vec::new()
    }
}

impl Rig {
    /// An Alma with these tools on this folder.
    pub fn new(workspace: &Path, tools: Hephaestus) -> Self {
        Self::with(workspace, tools, Arc::new(MemoryLedger::new()), Arc::new(Now))
    }

    /// An Alma with this ledger and this clock.
    pub fn with(
        workspace: &Path,
        tools: Hephaestus,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let seed = Now.now() as u64;
        let config: Config = config::load(Path::new("/nonexistent"), &[], &[]).expect("defaults");
        let ports = Ports {
            ledger,
            tools: Arc::new(tools),
            clock,
            entropy: Arc::new(Dice::new(seed)),
            timer: Arc::new(Rest),
        };
        let settings = Settings {
            tenant: TenantId::local(),
            process: hephaestus::process::me(),
            home: PathBuf::from("/nonexistent/alma"),
            policy: config.policy.rules.clone(),
        };
        let worker = Worker::new(ports.clone(), settings, Arc::new(Keeper));
        let alma = Alma {
            ports,
            config: Arc::new(config),
            home: PathBuf::from("/nonexistent/alma"),
            installation: Arc::new(Nowhere),
        };
        let workspace = workspace.canonicalize().expect("the workspace exists");
        Self { alma, worker, workspace }
    }

    /// Submits a wish that has a plan.
    pub async fn submit(&self, words: &str) -> MissionId {
        self.try_submit(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    async fn try_submit(&self, words: &str) -> Result<MissionId, Error> {
        let request = mission_submit::Request {
            wish: plan_new::Request {
                workspace: self.workspace.clone(),
                words: Some(words.to_owned()),
                file: None,
                budget: None,
                priority: None,
            },
            again: true,
            mission: None,
            once: None,
        };
        let submitted = mission_submit::run(&self.alma, &Principal::local(), request).await?;
        Ok(submitted.mission)
    }

    /// Plans, works and reports; questions are answered with yes when `approve`.
    pub async fn run(&self, words: &str, approve: bool) -> Ended {
        let principal = Principal::local();
        let mission = match self.try_submit(words).await {
            Ok(mission) => mission,
            Err(Error::Refused(refusal)) => return Ended::Refused(refusal.message),
            Err(error) => panic!("{words:?}: {error}: {:?}", std::error::Error::source(&error)),
        };
        loop {
            self.work().await;
            let request = mission_show::Request { mission: mission.clone() };
            let shown = mission_show::run(&self.alma, &principal, request).await.expect("there");
            if shown.state.is_end() {
                let request = mission_report::Request { mission };
                let response =
                    mission_report::run(&self.alma, &principal, request).await.expect("ended");
                return Ended::Report(Box::new(response.report));
            }
            assert_eq!(shown.state, MissionState::Waiting, "{words:?} is stuck: {shown:#?}");
            if !approve {
                return Ended::Waiting(mission, self.titles(&shown.approvals).await);
            }
            for approval in shown.approvals {
                self.answer(approval, Answer::Approve).await;
            }
        }
    }

    /// Answers a question.
    pub async fn answer(&self, approval: ApprovalId, answer: Answer) {
        let request = approval_answer::Request { approval, answer, digest: None, seen: true };
        approval_answer::run(&self.alma, &Principal::local(), request).await.expect("open");
    }

    async fn titles(&self, approvals: &[ApprovalId]) -> Vec<String> {
        let mut titles = Vec::new();
        for id in approvals {
            let row = self.alma.ports.ledger.approval(&TenantId::local(), id).await.expect("there");
            let card: charter::approval::Card = self
                .alma
                .ports
                .ledger
                .content(&TenantId::local(), &row.card.id)
                .await
                .expect("there")
                .json("a card")
                .expect("a card");
            titles.push(match row.question {
                Question::Part => format!("part: {}", card.notes.join("; ")),
                Question::Permission | Question::InDoubt | Question::Plan => card.title,
            });
        }
        titles
    }

    /// Works until nothing is ready, waiting for retries.
    pub async fn work(&self) {
        for _ in 0..WORKED_MAX {
            let now = self.alma.ports.clock.now();
            let far = now + 120_000;
            let query = Query::ReadySteps { now: far, limit: 1 };
            let ready = self.alma.ports.ledger.steps(&TenantId::local(), query).await;
            let Some(step) = ready.expect("readable").into_iter().next() else { return };
            let wait = step.ready_at - now;
            if wait > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(wait as u64 + 1)).await;
            }
            self.worker.work(&step.key).await.expect("a calm ledger");
        }
        panic!("more than {WORKED_MAX} steps in one mission");
    }
}

/// Every file below a folder with a digest of its content.
pub fn tree(folder: &Path) -> BTreeMap<String, Digest> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
                let bytes = std::fs::read(&path).unwrap_or_default();
                found.insert(name, Digest::of(&bytes));
            }
        }
    }
    found
}

/// Paths that differ between two looks.
pub fn changed(before: &BTreeMap<String, Digest>, after: &BTreeMap<String, Digest>) -> Vec<String> {
    let mut paths: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A copy of a fixture folder that a test may change.
pub fn fixture(name: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let to = tempfile::tempdir().expect("a temporary folder");
    copy(&from, to.path());
    to
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("the fixture exists") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("writable");
        }
    }
}
