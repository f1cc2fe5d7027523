//! The ports, simulated. Every call of one passes the gate of its process.

use super::case::{CPU_MS, act_class};
use super::fate::Port;
use super::gate::{Gate, Passed};
use super::target::{Service, World};
use async_trait::async_trait;
use charter::check::{Subject, Verdict};
use charter::digest::Digest;
use charter::effect::{Change, EffectClass, Repeat, Target};
use charter::ids::{Millis, TenantId};
use charter::label::Label;
use charter::ports::{
    Clock, Committed, Fence, LeaseStatus, Ledger, LedgerError, ProgramWatch, Query, Reach, Rows,
    Tools, Transition,
};
use charter::survey::{Entry, Survey};
use charter::tool::{
    Act, Acted, Call, ErrorCode, Limits, Prepared, Probe, Process, Proposed, SandboxLevel,
    ToolError, ToolSpec,
};
use serde_json::json;
use sons_of_helaman::Timer;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The ledger as one process reaches it.
pub struct FaultyLedger {
    /// The way there.
    pub gate: Gate,
}

fn lost(operation: &str) -> LedgerError {
    LedgerError::Store { operation: operation.to_owned(), cause: "simulated".to_owned() }
}

impl FaultyLedger {
    /// One call: before, the call itself, after.
    async fn call<T, F>(&self, port: Port, call: F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        match self.gate.pass(port).await {
            Passed::Whole => call.await,
            Passed::Failed => Err(lost("be reached")),
            Passed::Full => Err(LedgerError::DiskFull("simulated".into())),
            Passed::Unheard => {
                let _unheard = call.await;
                Err(lost("answer"))
            }
            Passed::Dying => {
                let answer = call.await;
                self.gate.die().await;
                answer
            }
        }
    }
}

#[async_trait]
impl Ledger for FaultyLedger {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        self.call(Port::Commit, self.gate.sky.witness.commit(transition)).await
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        self.call(Port::Query, self.gate.sky.witness.query(tenant, query)).await
    }

    async fn renew(&self, fence: &Fence, at: Millis) -> Result<LeaseStatus, LedgerError> {
        self.call(Port::Renew, self.gate.sky.witness.renew(fence, at)).await
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        self.gate.sky.witness.note_program(fence, program, running).await
    }

    async fn lead(
        &self,
        bid: &charter::leader::Bid,
    ) -> Result<charter::leader::LeaderRow, LedgerError> {
        self.gate.sky.witness.lead(bid).await
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        self.call(Port::OutboxDone, self.gate.sky.witness.outbox_done(ids)).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        self.gate.sky.witness.changed(after, wait_ms).await
    }
}

/// Waits in simulated time.
pub struct Nap {
    /// The way out of the process.
    pub gate: Gate,
    /// Who waits need not be polled until then.
    pub until: Arc<AtomicI64>,
}

#[async_trait]
impl Timer for Nap {
    async fn rest(&self, ms: u64) {
        let truth = &self.gate.sky.truth;
        let until = truth.now().saturating_add_unsigned(ms);
        self.until.store(until, Ordering::SeqCst);
        std::future::poll_fn(|_| {
            if truth.now() >= until { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// Names of the simulated tools.
pub const TOOLS: [&str; 16] = [
    "look",
    "write",
    "remove",
    "pair",
    "keyed",
    "probed",
    "neither",
    "keyed_late",
    "probed_late",
    "neither_late",
    "plain",
    "build",
    "seek",
    "place",
    "flaky",
    "poison",
];

/// How far a tool may reach.
pub(crate) fn class(tool: &str) -> EffectClass {
    match tool {
        "look" | "flaky" | "poison" | "seek" | "broken" => EffectClass::Read,
        "write" | "remove" | "pair" | "place" => EffectClass::Change,
        _ => EffectClass::External,
    }
}

/// What the simulated tools say of themselves.
pub fn specs() -> Vec<ToolSpec> {
    TOOLS
        .into_iter()
        .chain(["broken"])
        .map(|name| ToolSpec {
            name: name.to_owned(),
            version: 1,
            summary: "simulated".to_owned(),
            effect: class(name),
            args: json!({ "type": "object" }),
            output: String::new(),
            undo: String::new(),
            limits: Limits::default(),
            asks_model: false,
        })
        .collect()
}

/// What a tool's target can tell, and so whether its act may be repeated.
pub(crate) fn service(tool: &str) -> (Service, Repeat) {
    match tool.trim_end_matches("_late") {
        "keyed" => (Service::Keyed, Repeat::Keyed),
        "probed" => (Service::Probed, Repeat::Probe),
        "neither" => (Service::Neither, Repeat::Never),
        _ => (Service::Plain, Repeat::Safe),
    }
}

/// Simulated tools as one process reaches them.
pub struct FaultyTools {
    /// What they act on.
    pub world: Arc<World>,
    /// The way there.
    pub gate: Gate,
    specs: Vec<ToolSpec>,
}

fn transient() -> ToolError {
    ToolError::new(ErrorCode::Transient, "simulated")
}

fn argument<'c>(call: &'c Call, name: &str) -> &'c str {
    call.args[name].as_str().unwrap_or_default()
}

fn write(path: &str, call: &Call) -> Change {
    Change::Write {
        path: path.to_owned(),
        bytes: argument(call, "text").as_bytes().to_vec(),
        mode: None,
    }
}

impl FaultyTools {
    /// Tools for one process.
    pub fn new(world: Arc<World>, gate: Gate) -> Self {
        Self { world, gate, specs: specs() }
    }

    fn propose(&self, changes: Vec<Change>) -> Vec<Proposed> {
        let look = |change: &Change| {
            change.paths().into_iter().map(|path| self.world.look(path)).collect()
        };
        changes.into_iter().map(|change| Proposed { before: look(&change), change }).collect()
    }

    fn acted(&self, call: &Call) -> Acted {
        let changes = match call.tool.as_str() {
            "build" => self.propose(vec![write(argument(call, "path"), call)]),
            _ => Vec::new(),
        };
        Acted { output: json!({ "done": true }), label: Label::TRUSTED, changes }
    }

    /// What a tool finds and proposes.
    fn found(&self, call: &Call) -> Result<Prepared, ToolError> {
        let path = argument(call, "path");
        let output = json!({ "path": path, "items": [1, 2, 3] });
        let times = call.args["times"].as_u64().unwrap_or(0);
        let changes = match call.tool.as_str() {
            "look" | "poison" => Vec::new(),
            "flaky" if self.world.tries(path) <= times => return Err(transient()),
            "flaky" => Vec::new(),
            "broken" => return Err(ToolError::new(ErrorCode::Malformed, "simulated")),
            "seek" if self.world.file(path).is_none() => {
                return Err(ToolError::new(ErrorCode::NotFound, format!("{path} is not there")));
            }
            "seek" => Vec::new(),
            "place" => {
                let to = argument(call, "to");
                if self.world.file(to).is_some() {
                    return Err(ToolError::new(ErrorCode::Taken, format!("{to} is taken")));
                }
                self.propose(vec![write(to, call)])
            }
            "write" => self.propose(vec![write(path, call)]),
            "pair" => self.propose(vec![
                write(path, call),
                Change::Folder { path: format!("{path}-folder") },
                write(&format!("{path}-b"), call),
            ]),
            "remove" => self.propose(vec![Change::Delete { path: path.to_owned() }]),
            name => {
                let act = Act {
                    class: act_class(call.args["asks"] == json!(true)),
                    repeat: service(name).1,
                    summary: format!("count {path}"),
                    sandbox: Some(SandboxLevel::Full),
                    detail: json!({ "who": path }),
                };
                let (label, act) = (Label::TRUSTED, Some(act));
                return Ok(Prepared { output, label, changes: Vec::new(), act });
            }
        };
        Ok(Prepared { output, label: Label::TRUSTED, changes, act: None })
    }
}

#[async_trait]
impl Tools for FaultyTools {
    fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.specs.iter().find(|spec| spec.name == name)
    }

    fn specs(&self) -> Vec<&ToolSpec> {
        self.specs.iter().collect()
    }

    async fn prepare(&self, call: &Call) -> Result<Prepared, ToolError> {
        let passed = self.gate.pass(Port::Prepare).await;
        if matches!(passed, Passed::Failed | Passed::Full | Passed::Unheard) {
            return Err(transient());
        }
        let path = argument(call, "path");
        self.world.tried(path);
        call.meter.cpu(CPU_MS * 1_000);
        let times = call.args["times"].as_u64().unwrap_or(0);
        let kills = call.tool == "poison" && self.world.tries(path) <= times;
        if kills || passed == Passed::Dying {
            self.gate.die().await;
        }
        self.found(call)
    }

    async fn act(
        &self,
        call: &Call,
        act: &Act,
        key: &Digest,
        _: &dyn ProgramWatch,
    ) -> Result<Acted, ToolError> {
        let passed = self.gate.pass(Port::Act).await;
        if matches!(passed, Passed::Failed | Passed::Full) {
            return Err(ToolError::new(ErrorCode::Permanent, "simulated refusal"));
        }
        let who = act.detail["who"].as_str().unwrap_or_default();
        self.gate.sky.witness.sees_act(key, act);
        let first = self.world.act(service(&call.tool).0, who, key);
        self.gate
            .sky
            .witness
            .say(|| format!("{} {} to {who}", call.tool, if first { "happens" } else { "again" }));
        match passed {
            Passed::Dying => self.gate.die().await,
            Passed::Unheard => return Err(transient()),
            _ if call.tool.ends_with("_late") && first => {
                return Err(ToolError::new(ErrorCode::Limit, "simulated time-out"));
            }
            _ => {}
        }
        Ok(self.acted(call))
    }

    async fn probe(&self, call: &Call, _: &Act, key: &Digest) -> Result<Probe, ToolError> {
        let known = self.world.knows(key);
        match self.gate.pass(Port::Probe).await {
            Passed::Failed | Passed::Full | Passed::Unheard => return Ok(Probe::Unknown),
            Passed::Dying => self.gate.die().await,
            Passed::Whole => {}
        }
        Ok(if known { Probe::Done { acted: self.acted(call) } } else { Probe::NotDone })
    }

    async fn apply(&self, _: &Call, proposed: &Proposed) -> Result<Vec<Target>, ToolError> {
        let passed = self.gate.pass(Port::Apply).await;
        match passed {
            Passed::Failed => return Err(transient()),
            Passed::Full => return Err(ToolError::new(ErrorCode::DiskFull, "simulated")),
            _ => {}
        }
        let expected = proposed.expected();
        self.gate.sky.witness.sees_change(proposed);
        if !self.world.apply(&proposed.change, &proposed.before, &expected) {
            return Err(ToolError::new(ErrorCode::ChangedSince, "simulated"));
        }
        self.gate.sky.witness.say(|| format!("{} happens", proposed.change));
        match passed {
            Passed::Dying => self.gate.die().await,
            Passed::Unheard => return Err(transient()),
            _ => {}
        }
        Ok(expected)
    }

    async fn look(&self, _: &Call, paths: &[String]) -> Result<Vec<Target>, ToolError> {
        match self.gate.pass(Port::Look).await {
            Passed::Failed | Passed::Full | Passed::Unheard => return Err(transient()),
            Passed::Dying => self.gate.die().await,
            Passed::Whole => {}
        }
        Ok(paths.iter().map(|path| self.world.look(path)).collect())
    }

    async fn check(&self, subject: &Subject) -> Vec<Verdict> {
        if self.gate.pass(Port::Check).await == Passed::Dying {
            self.gate.die().await;
        }
        let wrong = subject.changes.iter().any(|proposed| {
            proposed.expected().iter().any(|target| self.world.look(&target.path) != *target)
        });
        vec![if wrong {
            Verdict::failed("sim", "the files are as they should be", "they are not")
        } else {
            Verdict::verified("sim", "the files are as they should be", "compared")
        }]
    }

    /// Kills a process of this host, also one that stands still. Of others nobody
    /// can make sure, nor does a process kill itself.
    async fn kill(&self, program: &Process) -> bool {
        if self.gate.pass(Port::Kill).await == Passed::Dying {
            self.gate.die().await;
        }
        let own = &self.gate.life.process;
        if program.host != own.host || program == own {
            return false;
        }
        for life in self.gate.sky.living().iter().filter(|life| life.process == *program) {
            self.gate.sky.witness.say(|| format!("process {} is killed", program.pid));
            life.dead.store(true, Ordering::SeqCst);
        }
        true
    }

    async fn survey(&self, workspace: &Path) -> Result<Survey, ToolError> {
        if self.gate.pass(Port::Survey).await == Passed::Dying {
            self.gate.die().await;
        }
        let folder = workspace.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let entries = self.world.files_in(&folder).into_iter().map(|path| Entry {
            path,
            folder: false,
            bytes: 1,
            modified: 0,
            columns: Vec::new(),
        });
        Ok(Survey { entries: entries.collect(), truncated: false })
    }

    fn reach(&self, _: &Call) -> Reach {
        Reach::default()
    }
}
