//! The tool `run` behind the port, as a worker uses it.

use crate::bench::Bench;
use charter::budget::Meter;
use charter::check::{Outcome, Subject};
use charter::digest::Digest;
use charter::effect::{Change, EffectClass, Repeat};
use charter::label::Label;
use charter::ports::Tools as _;
use charter::tool::{Acted, Call, Cancel, ErrorCode, Limits, Process, SandboxLevel, ToolError};
use hephaestus::Hephaestus;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
        meter: Meter::default(),
    };
    let sandbox = Arc::new(bench.sandbox);
    let run = hephaestus::tools::run::Run::new(Arc::clone(&sandbox));
    let tools = Hephaestus::with_tools(vec![Box::new(run)]).checking_in(sandbox);
    (tools, call, bench.root)
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
            "program": ["sh", "-c", "sort in.txt > out.txt; rm -f old.txt; touch noise; exit 4"],
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
    let subject = subject(&call, acted);
    assert_eq!(worst(&tools, &subject), Outcome::Failed, "before anything was written");
    for proposed in &subject.changes {
        wait(tools.apply(&call, proposed)).unwrap();
    }
    assert_eq!(fs::read_to_string(call.workspace.join("out.txt")).unwrap(), "a\nb\n");
    assert!(!call.workspace.join("old.txt").exists());
    // What is gone cannot be taken away again.
    assert_eq!(worst(&tools, &subject), Outcome::NotVerified);
    fs::write(call.workspace.join("out.txt"), "").unwrap();
    assert_eq!(worst(&tools, &subject), Outcome::Failed);
}

fn subject(call: &Call, acted: Acted) -> Subject {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Subject {
        tool: call.tool.clone(),
        args: call.args.clone(),
        output: acted.output,
        changes: acted.changes,
        workspace: call.workspace.clone(),
        label: acted.label,
        secrets_allowed: false,
        since: i64::try_from(since).unwrap(),
        cancel: Cancel::default(),
        meter: Meter::default(),
    }
}

fn worst(tools: &Hephaestus, subject: &Subject) -> Outcome {
    let verdicts = wait(tools.check(subject));
    println!("{verdicts:#?}");
    let some = |outcome| verdicts.iter().any(|verdict| verdict.outcome == outcome);
    if some(Outcome::Failed) {
        Outcome::Failed
    } else if some(Outcome::NotVerified) {
        Outcome::NotVerified
    } else {
        Outcome::Verified
    }
}

/// Carried out; what the check of it says when it is told so.
fn checked(
    bench: Bench,
    program: &[&str],
    outputs: &[&str],
    tell: impl FnOnce(&mut Acted),
    then: impl FnOnce(&Path),
) -> Outcome {
    let (tools, call, _root) = tools(bench, json!({"program": program, "outputs": outputs}));
    let act = wait(tools.prepare(&call)).unwrap().act.unwrap();
    let mut acted = wait(tools.act(&call, &act, &Digest::default(), &Watched::default())).unwrap();
    tell(&mut acted);
    for proposed in &acted.changes {
        wait(tools.apply(&call, proposed)).unwrap();
    }
    let subject = subject(&call, acted);
    then(&call.workspace);
    worst(&tools, &subject)
}

pub(crate) fn what_a_program_printed_is_proven_by_running_it_again() {
    let bench = || {
        let bench = Bench::new();
        bench.put("in.txt", "3 passed\n");
        bench
    };
    let honest = |_: &mut Acted| {};
    let nothing = |_: &Path| {};
    let cat = ["cat", "in.txt"];
    assert_eq!(checked(bench(), &cat, &[], honest, nothing), Outcome::Verified);
    for (field, lie) in [
        ("stdout", json!("4 passed\n")),
        ("stdout", json!("")),
        ("stderr", json!("warning\n")),
        ("dropped", json!(["a.txt"])),
        ("sandbox", json!("none")),
        ("program", json!(["true"])),
        ("truncated", json!(true)),
        ("ok", json!(false)),
        ("signal", json!(9)),
    ] {
        let tell = |acted: &mut Acted| acted.output[field] = lie.clone();
        assert_eq!(checked(bench(), &cat, &[], tell, nothing), Outcome::Failed, "{field} {lie}");
    }
    // An exit code that was not, and one that is not told at all.
    let tell = |acted: &mut Acted| acted.output["exit"] = json!(0);
    assert_eq!(checked(bench(), &["false"], &[], tell, nothing), Outcome::Failed);
    let tell = |acted: &mut Acted| acted.output = json!({});
    assert_eq!(checked(bench(), &cat, &[], tell, nothing), Outcome::Failed);
    // Whoever varies is not called a liar, nor is what somebody else changed.
    let random = ["sh", "-c", "cat /proc/sys/kernel/random/uuid"];
    assert_eq!(checked(bench(), &random, &[], honest, nothing), Outcome::NotVerified);
    let change = |folder: &Path| fs::write(folder.join("in.txt"), "5 passed").unwrap();
    assert_eq!(checked(bench(), &cat, &[], honest, change), Outcome::NotVerified);
}

pub(crate) fn what_a_program_kept_is_proven_by_running_it_again() {
    let bench = || {
        let bench = Bench::new();
        bench.put("in.txt", "b\na\n");
        bench
    };
    let nothing = |_: &Path| {};
    let honest = |_: &mut Acted| {};
    let sort = ["sort", "-o", "out.txt", "in.txt"];
    assert_eq!(checked(bench(), &sort, &["out.txt"], honest, nothing), Outcome::Verified);
    // Another file than the program's: what was there before is gone, so nothing
    // proves it wrong, and nothing proves it right.
    let stale = |acted: &mut Acted| {
        if let Some(Change::Write { bytes, .. }) =
            acted.changes.first_mut().map(|proposed| &mut proposed.change)
        {
            *bytes = b"a\n".to_vec();
        }
    };
    assert_eq!(checked(bench(), &sort, &["out.txt"], stale, nothing), Outcome::NotVerified);
    let once = ["sh", "-c", "[ -e out.txt ] || sort -o out.txt in.txt"];
    assert_eq!(checked(bench(), &once, &["out.txt"], stale, nothing), Outcome::NotVerified);
    let hidden = |acted: &mut Acted| {
        acted.changes.clear();
        acted.output["changed"] = json!([]);
    };
    assert_eq!(checked(bench(), &sort, &["*.txt"], hidden, nothing), Outcome::Failed);
    let appends = ["sh", "-c", "echo x >> out.txt"];
    assert_eq!(checked(bench(), &appends, &["out.txt"], honest, nothing), Outcome::NotVerified);
}

pub(crate) fn without_full_containment_nothing_is_run_again() {
    let bench = Bench::new();
    let (_, call, _root) = tools(bench, json!({"program": ["true"]}));
    let none = Hephaestus::with_tools(Vec::new());
    let output = json!({"program": ["true"], "exit": 0, "ok": true, "changed": []});
    let acted = Acted { output, label: Label::UNTRUSTED, changes: Vec::new() };
    assert_eq!(worst(&none, &subject(&call, acted)), Outcome::NotVerified);
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
