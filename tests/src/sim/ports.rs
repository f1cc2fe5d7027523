//! The ports, simulated. Every call of one is a place where its worker may die,
//! stall, or never hear the answer.

use super::fate::{Fate, Fault};
use super::target::{Service, World};
use async_trait::async_trait;
use charter::budget::Usage;
use charter::check::{Subject, Verdict};
use charter::digest::Digest;
use charter::effect::{Change, EffectClass, Repeat, Target};
use charter::ids::{Millis, TenantId};
use charter::label::Label;
use charter::ports::{
    Committed, Fence, LeaseStatus, Ledger, LedgerError, ProgramWatch, Query, Reach, Rows, Tools,
    Transition,
};
use charter::survey::Survey;
use charter::tool::{
    Act, Acted, Call, ErrorCode, Limits, Prepared, Probe, Process, Proposed, SandboxLevel,
    ToolError, ToolSpec,
};
use ledger::MemoryLedger;
use serde_json::json;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// What one worker's calls may do to it.
#[derive(Default)]
pub struct Doom {
    /// It is dead: its future must be dropped.
    pub dead: AtomicBool,
    /// It is cut off: it must not be polled for a while.
    pub stalled: AtomicBool,
}

/// Gives the other workers a turn.
struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

async fn gate(fate: &Fate, doom: &Doom) -> Fault {
    Yield(false).await;
    let fault = fate.draw();
    match fault {
        Fault::DieBefore => die(doom).await,
        Fault::Stall => {
            doom.stalled.store(true, Ordering::SeqCst);
            Yield(false).await;
        }
        _ => {}
    }
    fault
}

async fn die(doom: &Doom) {
    doom.dead.store(true, Ordering::SeqCst);
    std::future::pending::<()>().await;
}

/// The ledger as one worker reaches it.
pub struct FaultyLedger {
    /// The real twin behind it.
    pub inner: Arc<MemoryLedger>,
    /// Draws faults.
    pub fate: Arc<Fate>,
    /// The worker's own.
    pub doom: Arc<Doom>,
}

impl FaultyLedger {
    async fn after<T>(
        &self,
        fault: Fault,
        answer: Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        match fault {
            Fault::DieAfter => {
                die(&self.doom).await;
                answer
            }
            Fault::LoseAnswer => Err(lost("hear the answer")),
            _ => answer,
        }
    }
}

fn lost(operation: &str) -> LedgerError {
    LedgerError::Store { operation: operation.to_owned(), cause: "simulated".to_owned() }
}

#[async_trait]
impl Ledger for FaultyLedger {
    async fn commit(&self, transition: Transition) -> Result<Committed, LedgerError> {
        let fault = gate(&self.fate, &self.doom).await;
        if fault == Fault::Fail {
            return Err(lost("commit"));
        }
        let answer = self.inner.commit(transition).await;
        self.after(fault, answer).await
    }

    async fn query(&self, tenant: &TenantId, query: Query) -> Result<Rows, LedgerError> {
        let fault = gate(&self.fate, &self.doom).await;
        if fault == Fault::Fail {
            return Err(lost("answer"));
        }
        let answer = self.inner.query(tenant, query).await;
        self.after(fault, answer).await
    }

    async fn renew(&self, fence: &Fence, at: Millis) -> Result<LeaseStatus, LedgerError> {
        self.inner.renew(fence, at).await
    }

    async fn note_program(
        &self,
        fence: &Fence,
        program: &Process,
        running: bool,
    ) -> Result<(), LedgerError> {
        self.inner.note_program(fence, program, running).await
    }

    async fn outbox_done(&self, ids: &[i64]) -> Result<(), LedgerError> {
        self.inner.outbox_done(ids).await
    }

    async fn changed(&self, after: i64, wait_ms: u64) -> Result<i64, LedgerError> {
        self.inner.changed(after, wait_ms).await
    }
}

/// Simulated tools as one worker reaches them.
pub struct FaultyTools {
    /// What they act on.
    pub world: Arc<World>,
    /// The ledger, to see whether an intent stands there when a tool acts.
    pub ledger: Arc<MemoryLedger>,
    /// Draws faults.
    pub fate: Arc<Fate>,
    /// The worker's own.
    pub doom: Arc<Doom>,
    /// Effects that were carried out without an intent on record.
    pub unintended: Arc<AtomicBool>,
    specs: Vec<ToolSpec>,
}

/// Names of the simulated tools.
pub const TOOLS: [&str; 7] = ["look", "write", "remove", "keyed", "probed", "neither", "flaky"];

impl FaultyTools {
    /// Tools for one worker.
    pub fn new(
        world: Arc<World>,
        ledger: Arc<MemoryLedger>,
        fate: Arc<Fate>,
        doom: Arc<Doom>,
        unintended: Arc<AtomicBool>,
    ) -> Self {
        Self { world, ledger, fate, doom, unintended, specs: specs() }
    }

    /// A tool is about to act: the intent must be on record by now.
    async fn witness(&self, intended: impl Fn(&charter::rows::EffectRow) -> bool) {
        let query = Query::Missions { state: None, same: None, before: None, limit: 100 };
        let tenant = TenantId::local();
        let Ok(Rows::Missions(missions)) = self.ledger.query(&tenant, query).await else { return };
        let mut found = false;
        for mission in missions {
            let query = Query::EffectsOfMission { mission: mission.id, limit: 10_000 };
            if let Ok(Rows::Effects(rows)) = self.ledger.query(&tenant, query).await {
                found |= rows.iter().any(&intended);
            }
        }
        if !found {
            self.unintended.store(true, Ordering::SeqCst);
        }
    }
}

/// What the simulated tools say of themselves.
pub fn specs() -> Vec<ToolSpec> {
    TOOLS
        .iter()
        .map(|name| ToolSpec {
            name: (*name).to_owned(),
            version: 1,
            summary: "simulated".to_owned(),
            effect: match *name {
                "look" | "flaky" => EffectClass::Read,
                "write" | "remove" => EffectClass::Change,
                _ => EffectClass::External,
            },
            args: json!({ "type": "object" }),
            output: String::new(),
            undo: String::new(),
            limits: Limits::default(),
        })
        .collect()
}

fn service(tool: &str) -> (Service, Repeat) {
    match tool {
        "keyed" => (Service::Keyed, Repeat::Keyed),
        "probed" => (Service::Probed, Repeat::Probe),
        _ => (Service::Neither, Repeat::Never),
    }
}

fn argument(call: &Call, name: &str) -> String {
    call.args[name].as_str().unwrap_or_default().to_owned()
}

fn acted() -> Acted {
    Acted {
        output: json!({ "done": true }),
        label: Label::TRUSTED,
        changes: Vec::new(),
        usage: Usage::default(),
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
        let fault = gate(&self.fate, &self.doom).await;
        if matches!(fault, Fault::Fail | Fault::LoseAnswer) {
            return Err(ToolError::new(ErrorCode::Transient, "simulated"));
        }
        if fault == Fault::DieAfter {
            die(&self.doom).await;
        }
        let path = argument(call, "path");
        let label = Label::TRUSTED;
        let output = json!({ "path": path, "items": [1, 2, 3] });
        let change = match call.tool.as_str() {
            "look" | "flaky" => return Ok(Prepared::output(output, label)),
            "write" => Change::Write {
                path: path.clone(),
                bytes: argument(call, "text").into_bytes(),
                mode: None,
            },
            "remove" => Change::Delete { path: path.clone() },
            name => {
                let act = Act {
                    class: EffectClass::External,
                    repeat: service(name).1,
                    summary: format!("count {path}"),
                    sandbox: Some(SandboxLevel::Full),
                    detail: json!({ "who": path }),
                };
                let act = Some(act);
                return Ok(Prepared { output, label, changes: Vec::new(), act });
            }
        };
        let before = change.paths().into_iter().map(|path| self.world.look(path)).collect();
        let changes = vec![Proposed { change, before }];
        Ok(Prepared { output, label, changes, act: None })
    }

    async fn act(
        &self,
        call: &Call,
        act: &Act,
        key: &Digest,
        _: &dyn ProgramWatch,
    ) -> Result<Acted, ToolError> {
        let fault = gate(&self.fate, &self.doom).await;
        if fault == Fault::Fail {
            return Err(ToolError::new(ErrorCode::Permanent, "simulated refusal"));
        }
        self.witness(|row| row.key == *key).await;
        let who = act.detail["who"].as_str().unwrap_or_default();
        self.world.act(service(&call.tool).0, who, key);
        match fault {
            Fault::DieAfter => die(&self.doom).await,
            Fault::LoseAnswer => {
                return Err(ToolError::new(ErrorCode::Transient, "simulated time-out"));
            }
            _ => {}
        }
        Ok(acted())
    }

    async fn probe(&self, call: &Call, _: &Act, key: &Digest) -> Result<Probe, ToolError> {
        let _ = gate(&self.fate, &self.doom).await;
        debug_assert_eq!(service(&call.tool).0, Service::Probed);
        Ok(if self.world.knows(key) { Probe::Done { acted: acted() } } else { Probe::NotDone })
    }

    async fn apply(&self, _: &Call, proposed: &Proposed) -> Result<Vec<Target>, ToolError> {
        let fault = gate(&self.fate, &self.doom).await;
        if fault == Fault::Fail {
            return Err(ToolError::new(ErrorCode::Transient, "simulated"));
        }
        let after = charter::effect::targets_digest(&proposed.expected()).ok();
        self.witness(|row| row.after.is_some() && row.after == after).await;
        let expected = proposed.expected();
        if !self.world.apply(&proposed.change, &proposed.before, &expected) {
            return Err(ToolError::new(ErrorCode::ChangedSince, "simulated"));
        }
        match fault {
            Fault::DieAfter => die(&self.doom).await,
            Fault::LoseAnswer => return Err(ToolError::new(ErrorCode::Transient, "simulated")),
            _ => {}
        }
        Ok(expected)
    }

    async fn look(&self, _: &Call, paths: &[String]) -> Result<Vec<Target>, ToolError> {
        let _ = gate(&self.fate, &self.doom).await;
        Ok(paths.iter().map(|path| self.world.look(path)).collect())
    }

    async fn check(&self, subject: &Subject) -> Vec<Verdict> {
        let wrong = subject.changes.iter().any(|proposed| {
            proposed.expected().iter().any(|target| self.world.look(&target.path) != *target)
        });
        vec![if wrong {
            Verdict::failed("sim", "the files are as they should be", "they are not")
        } else {
            Verdict::verified("sim", "the files are as they should be", "compared")
        }]
    }

    /// Workers of a simulation are on other hosts: nobody can make sure that one
    /// is dead.
    async fn kill(&self, _: &Process) -> bool {
        false
    }

    async fn survey(&self, _: &Path) -> Result<Survey, ToolError> {
        Ok(Survey::default())
    }

    fn reach(&self, _: &Call) -> Reach {
        Reach::default()
    }
}
