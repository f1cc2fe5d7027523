//! The tools behind their port: arguments are checked against the schema, each
//! call runs on a thread of its own with bounded time, a panic is an error, and
//! checks are always this crate's own.

use crate::checks::{self, Means};
use crate::error::{arguments, too_large};
use crate::guard::{Guard, LOOK, Line, Notice, millis};
use crate::reach::reach;
use crate::sandbox::Sandbox;
use crate::tool::{PAYLOAD_MAX, Tool};
use crate::tools;
use crate::workspace::Workspace;
use async_trait::async_trait;
use charter::budget::Meter;
use charter::check::{Subject, Verdict};
use charter::content::CONTENT_BYTES_MAX;
use charter::digest::Digest;
use charter::effect::Target;
use charter::excerpt::Excerpts;
use charter::ports::{ProgramWatch, Reach, Tools};
use charter::survey::Survey;
use charter::tool::{
    Act, Acted, Call, Cancel, ErrorCode, Prepared, Probe, Process, Proposed, ToolError, ToolSpec,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;

/// An act bounds its program itself and knows more about it; this waits longer.
const ACT_EXTRA: Duration = Duration::from_secs(2);
/// How long a check may take.
const CHECK_TIME: Duration = Duration::from_secs(300);
/// How long a survey may take.
const SURVEY_TIME: Duration = Duration::from_secs(60);

struct Entry {
    spec: ToolSpec,
    /// Compiled when it is first needed: most commands call no tool.
    schema: OnceLock<Result<jsonschema::Validator, String>>,
    tool: Arc<dyn Tool>,
}

/// The tools of this installation.
pub struct Hephaestus {
    entries: BTreeMap<String, Entry>,
    /// What checks need beyond the disk.
    means: Means,
}

impl Default for Hephaestus {
    fn default() -> Self {
        Self::new()
    }
}

impl Hephaestus {
    /// With all tools.
    pub fn new() -> Self {
        Self::with_tools(tools::all())
    }

    /// With these tools. The checks stay ours.
    pub fn with_tools(tools: Vec<Box<dyn Tool>>) -> Self {
        let entries = tools.into_iter().map(|tool| {
            let spec = tool.spec();
            (spec.name.clone(), Entry { spec, schema: OnceLock::new(), tool: Arc::from(tool) })
        });
        Self { entries: entries.collect(), means: Means::default() }
    }

    /// With a sandbox for the checks: they run programs in it again. Without one
    /// nothing proves what a program printed.
    pub fn checking_in(self, sandbox: Arc<Sandbox>) -> Self {
        Self { means: Means { sandbox: Some(sandbox), ..self.means }, ..self }
    }

    /// With a reader for the checks of tools that quote: they read and choose again.
    /// Without one nothing proves what was left out.
    pub fn quoting_with(self, excerpts: Arc<dyn Excerpts>) -> Self {
        Self { means: Means { excerpts: Some(excerpts), ..self.means }, ..self }
    }

    fn entry(&self, call: &Call) -> Result<&Entry, ToolError> {
        let entry = self.entries.get(&call.tool).ok_or_else(|| {
            let names: Vec<&str> = self.entries.keys().map(String::as_str).collect();
            ToolError::new(ErrorCode::NoTool, format!("there is no tool {:?}", call.tool))
                .hint(format!("there are: {}", names.join(", ")))
        })?;
        if entry.spec.version != call.version {
            return Err(ToolError::new(
                ErrorCode::NoTool,
                format!(
                    "the plan wants version {} of {}, this is version {}",
                    call.version, call.tool, entry.spec.version
                ),
            )
            .hint("make the plan again"));
        }
        entry.fits(&call.args)?;
        Ok(entry)
    }
}

impl Entry {
    fn schema(&self) -> &Result<jsonschema::Validator, String> {
        self.schema.get_or_init(|| {
            jsonschema::validator_for(&self.spec.args).map_err(|error| error.to_string())
        })
    }

    /// Whether the arguments fit the schema; the error names the field.
    fn fits(&self, args: &Value) -> Result<(), ToolError> {
        let schema = self.schema().as_ref().map_err(|why| {
            ToolError::new(
                ErrorCode::Permanent,
                format!("the schema of {} cannot be used: {why}", self.spec.name),
            )
        })?;
        let Some(error) = schema.iter_errors(args).next() else { return Ok(()) };
        let field = error.instance_path().to_string();
        let field = field.trim_start_matches('/');
        let what: String = error.masked_with("the value").to_string().chars().take(300).collect();
        let what = if field.is_empty() { what } else { format!("{field}: {what}") };
        Err(arguments(format!("the arguments do not fit {}: {what}", self.spec.name)))
    }
}

/// Whether a prepared call can be recorded: its output within the call's bound,
/// and all of it, with the bytes of its changes as hexadecimal text, within what
/// one record may hold.
fn fits(call: &Call, prepared: &Prepared) -> Result<(), ToolError> {
    let mut output = Count(0);
    serde_json::to_writer(&mut output, &prepared.output).map_err(|error| {
        ToolError::new(
            ErrorCode::Permanent,
            format!("the output of {} cannot be recorded: {error}", call.tool),
        )
    })?;
    if output.0 > call.limits.output_bytes {
        return Err(too_large(format!(
            "the output of {} has {} bytes, more than the {} that are kept",
            call.tool, output.0, call.limits.output_bytes
        ))
        .hint("name fewer or smaller files"));
    }
    let paths = prepared.changes.iter().flat_map(|proposed| &proposed.before);
    let names: u64 = paths.map(|target| 3 * target.path.len() as u64 + 400).sum();
    let payload: u64 = prepared.changes.iter().map(|one| one.change.bytes_written()).sum();
    if output.0 + names + 2 * payload > (CONTENT_BYTES_MAX - (1 << 20)) as u64 {
        return Err(too_large(format!(
            "{} would write {payload} bytes in one step, more than can be recorded before it happens",
            call.tool
        ))
        .hint(format!("one step writes at most {PAYLOAD_MAX} bytes; name fewer files")));
    }
    Ok(())
}

/// Counts bytes.
struct Count(u64);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The call as its thread sees it.
fn inner_call(call: &Call, guard: &Guard<'_>) -> Call {
    Call { cancel: guard.inner.clone(), ..call.clone() }
}

#[async_trait]
impl Tools for Hephaestus {
    fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.entries.get(name).map(|entry| &entry.spec)
    }

    fn specs(&self) -> Vec<&ToolSpec> {
        self.entries.values().map(|entry| &entry.spec).collect()
    }

    async fn prepare(&self, call: &Call) -> Result<Prepared, ToolError> {
        let tool = Arc::clone(&self.entry(call)?.tool);
        let mut guard = Guard::of(call, millis(call.limits.wall_ms));
        let call = inner_call(call, &guard);
        let running = guard.start(move || {
            let workspace = Workspace::of_call(&call)?;
            let mut prepared = tool.prepare(&call, &workspace)?;
            let label = prepared.label.join(call.label);
            prepared.label =
                if tool.vouches_for(&prepared.output) { label } else { workspace.label(label) };
            fits(&call, &prepared)?;
            Ok(prepared)
        });
        guard.wait(running).await
    }

    async fn act(
        &self,
        call: &Call,
        act: &Act,
        key: &Digest,
        watch: &dyn ProgramWatch,
    ) -> Result<Acted, ToolError> {
        let tool = Arc::clone(&self.entry(call)?.tool);
        let limit = millis(call.limits.wall_ms) + ACT_EXTRA;
        let mut guard = Guard::of(call, limit);
        let (call, act, key) = (inner_call(call, &guard), act.clone(), *key);
        let (line, mut notices) = mpsc::channel(16);
        let mut running = guard.start(move || {
            let workspace = Workspace::of_call(&call)?;
            let mut acted = tool.act(&call, &workspace, &act, &key, &Line(line))?;
            acted.label = workspace.label(acted.label.join(call.label));
            Ok(acted)
        });
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                notice = notices.recv(), if open => match notice {
                    Some(Notice::Started(program, reply)) => {
                        let answer = watch.started(&program).await;
                        // The thread waits for exactly this answer.
                        let _ = reply.send(answer);
                    }
                    Some(Notice::Ended(program)) => watch.ended(&program).await,
                    None => open = false,
                },
                joined = &mut running => return guard.result(joined),
                () = tokio::time::sleep(LOOK) => guard.look()?,
            }
        }
    }

    async fn probe(&self, call: &Call, act: &Act, key: &Digest) -> Result<Probe, ToolError> {
        let tool = Arc::clone(&self.entry(call)?.tool);
        let mut guard = Guard::of(call, millis(call.limits.wall_ms));
        let (call, act, key) = (inner_call(call, &guard), act.clone(), *key);
        let running =
            guard.start(move || tool.probe(&call, &Workspace::of_call(&call)?, &act, &key));
        guard.wait(running).await
    }

    async fn apply(&self, call: &Call, proposed: &Proposed) -> Result<Vec<Target>, ToolError> {
        let (folder, proposed, meter) =
            (call.workspace.clone(), proposed.clone(), call.meter.clone());
        // Neither the clock nor a cancel stops this: once begun, its outcome
        // must be known.
        let (never, limit) = (Cancel::default(), millis(u64::MAX));
        let mut guard = Guard::new("the change", &never, limit, &call.meter);
        let running = guard.start(move || {
            crate::apply::apply(&Workspace::open(&folder)?.meter(&meter), &proposed)
        });
        guard.wait(running).await
    }

    async fn look(&self, call: &Call, paths: &[String]) -> Result<Vec<Target>, ToolError> {
        let (folder, paths, meter) = (call.workspace.clone(), paths.to_vec(), call.meter.clone());
        let limit = millis(call.limits.wall_ms);
        let mut guard = Guard::new("looking at the files", &call.cancel, limit, &call.meter);
        let cancel = guard.inner.clone();
        let running = guard.start(move || {
            let workspace = Workspace::open(&folder)?.cancel(&cancel).meter(&meter);
            paths.iter().map(|path| workspace.target(path)).collect()
        });
        guard.wait(running).await
    }

    async fn check(&self, subject: &Subject) -> Vec<Verdict> {
        let name = subject.tool.clone();
        let claim = format!("the result of {name} is right");
        let unsure = |why: String| vec![Verdict::not_verified(&name, claim.clone(), why)];
        let mut guard = Guard::new("the check", &subject.cancel, CHECK_TIME, &subject.meter);
        let (cancel, subject) = (guard.inner.clone(), subject.clone());
        let means = self.means.clone();
        let running = guard.start(move || {
            let workspace = Workspace::open(&subject.workspace)?
                .secrets(subject.secrets_allowed)
                .cancel(&cancel)
                .meter(&subject.meter);
            Ok(checks::all(&subject, &workspace, &means, &cancel))
        });
        match guard.wait(running).await {
            Ok(None) => unsure(format!("no check covers {name}")),
            Ok(Some(verdicts)) if verdicts.is_empty() => {
                unsure("the check found nothing to say".into())
            }
            Ok(Some(verdicts)) => verdicts,
            Err(error) => unsure(format!("the check could not be made: {error}")),
        }
    }

    async fn kill(&self, program: &Process) -> bool {
        let program = program.clone();
        // A panic there means that nothing is known.
        tokio::task::spawn_blocking(move || crate::process::kill(&program)).await.unwrap_or(false)
    }

    async fn survey(&self, workspace: &Path) -> Result<Survey, ToolError> {
        // It is made for a plan, or for a repair of one: no step's own work.
        let (never, folder, meter) = (Cancel::default(), workspace.to_owned(), Meter::default());
        let mut guard = Guard::new("the survey", &never, SURVEY_TIME, &meter);
        let cancel = guard.inner.clone();
        let running = guard.start(move || crate::survey::survey(&folder, &cancel));
        guard.wait(running).await
    }

    fn reach(&self, call: &Call) -> Reach {
        reach(&call.args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use crate::tool::Watch;
    use charter::check::Outcome;
    use charter::label::{Label, Sensitivity};
    use serde_json::json;
    use std::sync::Mutex;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(future);
        // A tool that never stops must not hold the test.
        runtime.shutdown_background();
        result
    }

    fn refused(call: &Call) -> ToolError {
        run(Hephaestus::new().prepare(call)).unwrap_err()
    }

    #[test]
    fn wrong_names_and_versions_are_told() {
        let desk = Desk::new(&[]);
        let error = refused(&desk.call("lsit", json!({})));
        assert_eq!(error.code, ErrorCode::NoTool);
        assert!(error.to_string().contains("list"), "{error}");
        let mut call = desk.call("list", json!({"files": "."}));
        call.version = 2;
        assert_eq!(refused(&call).code, ErrorCode::NoTool);
    }

    #[test]
    fn arguments_are_held_against_the_schema() {
        let desk = Desk::new(&[]);
        for (args, field) in [
            (json!({"files": 3}), "files"),
            (json!({"files": "a", "kind": "x"}), "kind"),
            (json!({}), "files"),
            (json!({"files": "a", "flies": 1}), "flies"),
        ] {
            let error = refused(&desk.call("list", args));
            assert_eq!(error.code, ErrorCode::Arguments);
            assert!(error.message.contains(field), "{error}");
        }
    }

    #[test]
    fn every_schema_is_sound_and_every_tool_has_a_check() {
        let all = Hephaestus::new();
        for entry in all.entries.values() {
            assert!(entry.schema().is_ok(), "{}", entry.spec.name);
            assert!(checks::of(&entry.spec.name).is_some(), "{}", entry.spec.name);
        }
        assert_eq!(all.specs().len(), tools::all().len(), "two tools share a name");
    }

    #[test]
    fn what_was_read_is_untrusted_and_secrets_stay_secret() {
        let desk = Desk::new(&[("a.md", "x"), (".env", "KEY=1")]);
        let tools = Hephaestus::new();
        let label = |call: &Call| run(tools.prepare(call)).unwrap().label;
        let write = desk.call("write", json!({"path": "b.md", "text": "x"}));
        assert_eq!(label(&write), Label::TRUSTED);
        assert_eq!(label(&desk.call("read", json!({"path": "a.md"}))), Label::UNTRUSTED);
        let mut secret = desk.call("read", json!({"path": ".env"}));
        assert_eq!(refused(&secret).code, ErrorCode::Permission);
        secret.secrets_allowed = true;
        assert_eq!(label(&secret).sensitivity, Sensitivity::Secret);
    }

    #[test]
    fn too_much_to_record_is_refused() {
        let desk = Desk::new(&[]);
        let text = "x".repeat(PAYLOAD_MAX + (2 << 20));
        let call = desk.call("write", json!({"path": "a", "text": text}));
        assert_eq!(refused(&call).code, ErrorCode::TooLarge);
    }

    struct Odd;

    impl Tool for Odd {
        fn spec(&self) -> ToolSpec {
            crate::tool::spec(
                "odd",
                charter::effect::EffectClass::Exec,
                "",
                crate::tool::object(&[], json!({"how": {"type": "string"}})),
                "",
                "",
            )
        }

        fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
            match call.args.get("how").and_then(Value::as_str) {
                Some("panic") => panic!("odd"),
                _ => loop {
                    workspace.still_wanted()?;
                    std::thread::sleep(Duration::from_millis(1));
                },
            }
        }

        fn act(
            &self,
            call: &Call,
            _workspace: &Workspace,
            _act: &Act,
            _key: &Digest,
            watch: &dyn Watch,
        ) -> Result<Acted, ToolError> {
            let program = crate::process::me();
            watch.started(&program)?;
            watch.ended(&program);
            Ok(Acted { output: json!(null), label: call.label, changes: Vec::new() })
        }
    }

    fn odd(desk: &Desk, how: &str) -> (Hephaestus, Call) {
        let call = desk.call("odd", json!({"how": how}));
        (Hephaestus::with_tools(vec![Box::new(Odd)]), call)
    }

    #[test]
    fn a_panic_is_an_error_and_time_is_bounded() {
        let desk = Desk::new(&[]);
        let (tools, call) = odd(&desk, "panic");
        let error = run(tools.prepare(&call)).unwrap_err();
        assert!(error.message.contains("broke off: odd"), "{error}");
        let (tools, mut call) = odd(&desk, "loop");
        call.limits.wall_ms = 30;
        assert_eq!(run(tools.prepare(&call)).unwrap_err().code, ErrorCode::Limit);
        let (tools, call) = odd(&desk, "loop");
        call.cancel.cancel();
        assert_eq!(run(tools.prepare(&call)).unwrap_err().code, ErrorCode::Cancelled);
    }

    #[derive(Default)]
    struct Notes(Mutex<Vec<&'static str>>, bool);

    #[async_trait]
    impl ProgramWatch for Notes {
        async fn started(&self, _: &Process) -> Result<(), ToolError> {
            self.0.lock().unwrap().push("started");
            if self.1 { Err(ToolError::new(ErrorCode::Transient, "lost")) } else { Ok(()) }
        }
        async fn ended(&self, _: &Process) {
            self.0.lock().unwrap().push("ended");
        }
    }

    #[test]
    fn an_act_tells_of_its_programs_first() {
        let desk = Desk::new(&[]);
        let (tools, call) = odd(&desk, "");
        let act = Act {
            class: charter::effect::EffectClass::Exec,
            repeat: charter::effect::Repeat::Safe,
            summary: String::new(),
            sandbox: None,
            detail: json!(null),
        };
        let notes = Notes::default();
        run(tools.act(&call, &act, &Digest::default(), &notes)).unwrap();
        assert_eq!(*notes.0.lock().unwrap(), ["started", "ended"]);
        let refuses = Notes(Mutex::default(), true);
        let error = run(tools.act(&call, &act, &Digest::default(), &refuses)).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::Transient, "lost"));
    }

    #[test]
    fn a_tool_without_a_check_is_not_verified() {
        let desk = Desk::new(&[]);
        let subject = desk.subject("odd", json!({}), json!({}), Vec::new());
        let verdicts = run(Hephaestus::new().check(&subject));
        assert_eq!(verdicts.first().unwrap().outcome, Outcome::NotVerified);
        assert!(verdicts.first().unwrap().evidence.contains("no check covers"));
    }
}
