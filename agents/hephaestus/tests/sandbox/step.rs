//! The tool `run` behind the port, as a worker uses it.

use crate::bench::Bench;
use charter::check::{Outcome, Subject};
use charter::digest::Digest;
use charter::effect::{EffectClass, Repeat};
use charter::label::Label;
use charter::ports::Tools as _;
use charter::tool::{Call, Cancel, ErrorCode, Limits, Process, SandboxLevel, ToolError};
use hephaestus::Hephaestus;
use serde_json::json;
use std::fs;
use std::time::Duration;

#[derive(Default)]
struct Watched(std::sync::Mutex<Vec<(bool, Process)>>);

#[async_trait::async_trait]
impl charter::ports::ProgramWatch for Watched {
    async fn started(&self, program: &Process) -> Result<(), ToolError> {
        self.0.lock().unwrap().push((true, program.clone()));
        Ok(())
    }
    async fn ended(&self, program: &Process) {
        self.0.lock().unwrap().push((false, program.clone()));
    }
}

/// A bench as the port to tools, and a call to `run`.
fn tools(bench: Bench, args: serde_json::Value) -> (Hephaestus, Call, tempfile::TempDir) {
    let call = Call {
        tool: "run".to_owned(),
        version: 1,
        args,
        label: Label::TRUSTED,
        workspace: bench.work(),
        limits: Limits { wall_ms: 30_000, ..Limits::default() },
        secrets_allowed: false,
        now: 0,
        cancel: Cancel::default(),
    };
    let run = hephaestus::tools::run::Run::new(std::sync::Arc::new(bench.sandbox));
    (Hephaestus::with_tools(vec![Box::new(run)]), call, bench.root)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn the_run_tool_carries_out_a_step() {
    let bench = Bench::new();
    bench.put("in.txt", "b\na\n");
    bench.put("old.txt", "x");
    let (tools, call, _root) = tools(
        bench,
        json!({
            "program": ["sh", "-c", "sort in.txt > out.txt; rm old.txt; touch noise; exit 4"],
            "outputs": ["*.txt"], "ok_exits": [0, 4],
        }),
    );
    let prepared = wait(tools.prepare(&call)).unwrap();
    let act = prepared.act.unwrap();
    assert!(prepared.changes.is_empty() && !call.workspace.join("out.txt").exists());
    assert_eq!((act.class, act.repeat), (EffectClass::Exec, Repeat::Safe));
    assert_eq!(act.sandbox, Some(SandboxLevel::Full));
    let watched = Watched::default();
    let acted = wait(tools.act(&call, &act, &Digest::default(), &watched)).unwrap();
    let seen = watched.0.into_inner().unwrap();
    assert!(matches!(seen.as_slice(), [(true, a), (false, b)] if a == b && a.start > 0));
    assert_eq!(acted.output["exit"], 4);
    assert_eq!(acted.output["changed"], json!(["old.txt", "out.txt"]));
    assert_eq!(acted.output["dropped"], json!(["noise"]));
    assert_eq!(acted.label, Label::UNTRUSTED);
    assert!(!call.workspace.join("out.txt").exists(), "nothing changes before it is applied");
    let subject = Subject {
        tool: call.tool.clone(),
        args: call.args.clone(),
        output: acted.output,
        changes: acted.changes,
        workspace: call.workspace.clone(),
        label: acted.label,
        secrets_allowed: false,
    };
    let verified = |subject: &Subject| {
        let verdicts = wait(tools.check(subject));
        verdicts.iter().all(|verdict| verdict.outcome == Outcome::Verified)
    };
    assert!(!verified(&subject), "verified before anything was written");
    for proposed in &subject.changes {
        wait(tools.apply(&call, proposed)).unwrap();
    }
    assert_eq!(fs::read_to_string(call.workspace.join("out.txt")).unwrap(), "a\nb\n");
    assert!(!call.workspace.join("old.txt").exists());
    assert!(verified(&subject));
    fs::write(call.workspace.join("out.txt"), "").unwrap();
    assert!(!verified(&subject), "verified an empty file");
}

pub(crate) fn the_run_tool_refuses_and_stops() {
    let refused = |args| {
        let (tools, call, _root) = tools(Bench::new(), args);
        wait(tools.prepare(&call)).unwrap_err()
    };
    for args in [json!({"program": ["no-such-program"]}), json!({"program": ["./x"]})] {
        let error = refused(args);
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(error.hint.is_some());
    }
    assert_eq!(refused(json!({"program": ["true"], "cwd": "x"})).code, ErrorCode::NotFound);
    assert_eq!(refused(json!({"program": ["true"], "cwd": "../x"})).code, ErrorCode::Outside);
    assert_eq!(refused(json!({"program": ["true"], "outputs": ["/x"]})).code, ErrorCode::Outside);
    assert_eq!(refused(json!({"program": []})).code, ErrorCode::Arguments);
    let stopped = |set: fn(&mut Call)| {
        let script = "echo working; sleep 60";
        let (tools, mut call, _root) =
            tools(Bench::new(), json!({"program": ["sh", "-c", script]}));
        set(&mut call);
        let act = wait(tools.prepare(&call)).unwrap().act.unwrap();
        let cancel = call.cancel.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(700));
            cancel.cancel();
        });
        let watched = Watched::default();
        let error = wait(tools.act(&call, &act, &Digest::default(), &watched)).unwrap_err();
        assert_eq!(watched.0.into_inner().unwrap().len(), 2, "its end is told as well");
        thread.join().unwrap();
        error
    };
    let error = stopped(|call| call.limits.wall_ms = 300);
    assert_eq!(error.code, ErrorCode::Limit);
    assert!(error.message.contains("last words: working"), "{error}");
    assert_eq!(stopped(|_| {}).code, ErrorCode::Cancelled);
}
