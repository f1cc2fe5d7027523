//! `run`: a program in the sandbox. It works on a private view of the folder;
//! what it changed under the declared outputs comes back as effects of their
//! own, the rest is listed and dropped.

use crate::args::{parse, path_schema};
use crate::error::arguments;
use crate::sandbox::{Bound, End, Job, Ran, Sandbox, Taken};
use crate::tool::{PAYLOAD_MAX, Tool, Watch, object, spec};
use crate::workspace::{Kind, Workspace, paths};
use charter::digest::Digest;
use charter::effect::{EffectClass, Repeat};
use charter::label::Label;
use charter::tool::{
    Act, Acted, Call, ErrorCode, Prepared, Process, SandboxLevel, ToolError, ToolSpec,
};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most words of a command.
const ARGV_MAX: usize = 1_000;
/// Most declared outputs.
const OUTPUTS_MAX: usize = 200;
/// How much of a stopped program's last words an error quotes, in characters.
const LAST_WORDS_MAX: usize = 1_000;

/// The tool.
pub struct Run {
    sandbox: Arc<Sandbox>,
}

impl Run {
    /// With the sandbox that it runs programs in.
    pub fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox }
    }
}

/// Its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) program: Vec<String>,
    #[serde(default = "here")]
    pub(crate) cwd: String,
    #[serde(default)]
    pub(crate) outputs: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default = "zero")]
    pub(crate) ok_exits: Vec<i32>,
}

fn here() -> String {
    ".".to_owned()
}

fn zero() -> Vec<i32> {
    vec![0]
}

/// What the act is bound to: the whole command and how it is contained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    args: Args,
    sandbox: SandboxLevel,
}

impl Tool for Run {
    fn spec(&self) -> ToolSpec {
        spec(
            "run",
            EffectClass::Exec,
            "Runs a program in the sandbox, without network.",
            object(
                &["program"],
                json!({
                    "program": {
                        "type": "array", "items": {"type": "string"},
                        "minItems": 1, "maxItems": ARGV_MAX,
                        "description": "the program and its arguments; no shell is involved",
                    },
                    "cwd": path_schema("the folder to start in"),
                    "outputs": {
                        "type": "array", "items": {"type": "string", "minLength": 1},
                        "maxItems": OUTPUTS_MAX,
                        "description": "paths or globs of the changed files to keep, relative to the workspace; all others are dropped",
                    },
                    "env": {
                        "type": "object", "additionalProperties": {"type": "string"},
                        "description": "variables to set",
                    },
                    "ok_exits": {
                        "type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255},
                        "minItems": 1,
                        "description": "exit codes that mean success",
                    },
                }),
            ),
            "exit, ok (whether the exit code is one of ok_exits), signal, stdout, stderr, truncated, sandbox, changed: [paths kept], dropped: [paths], dropped_count",
            "In the full sandbox the program reaches nothing but a private view, so repeating it is safe; kept files are changes of their own.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        outputs(&args.outputs)?;
        let cwd = paths::normal(&args.cwd)?;
        if cwd != "." && workspace.meta(&cwd)?.map(|meta| meta.kind) != Some(Kind::Folder) {
            return Err(ToolError::new(
                ErrorCode::NotFound,
                format!("there is no folder {cwd:?} to start in"),
            )
            .hint("check the name; names are relative to the workspace"));
        }
        let args = Args { cwd, ..args };
        self.find_program(&args, workspace)?;
        let level = self.sandbox.level();
        let summary = format!(
            "run {} in {} ({})",
            shown(&args.program),
            if args.cwd == "." { "the workspace" } else { &args.cwd },
            match level {
                SandboxLevel::Full => "fully contained, without network",
                SandboxLevel::Restricted => "contained by file rules on a copy, without network",
                SandboxLevel::None =>
                    "NOT contained: it can do whatever you can; only its changes in this folder are held back",
            }
        );
        let detail = Detail { args, sandbox: level };
        let act = Act {
            class: EffectClass::Exec,
            repeat: match level {
                SandboxLevel::Full => Repeat::Safe,
                SandboxLevel::Restricted | SandboxLevel::None => Repeat::Never,
            },
            summary,
            sandbox: Some(level),
            detail: value(&detail)?,
        };
        let output = json!({"program": detail.args.program, "sandbox": level.as_str()});
        Ok(Prepared { act: Some(act), ..Prepared::output(output, call.label) })
    }

    fn act(
        &self,
        call: &Call,
        workspace: &Workspace,
        act: &Act,
        _key: &Digest,
        watch: &dyn Watch,
    ) -> Result<Acted, ToolError> {
        let detail: Detail = serde_json::from_value(act.detail.clone())
            .map_err(|error| arguments(format!("the recorded command cannot be read: {error}")))?;
        let args = &detail.args;
        let outputs = outputs(&args.outputs)?;
        let job = Job {
            argv: &args.program,
            workspace: &call.workspace,
            cwd: &args.cwd,
            env: &args.env,
            limits: &call.limits,
            level: detail.sandbox,
            meter: &call.meter,
        };
        let mut program: Option<Process> = None;
        let ran = self.sandbox.run(&job, &call.cancel, &mut |process| {
            watch.started(process)?;
            program = Some(process.clone());
            Ok(())
        });
        if let Some(program) = &program {
            watch.ended(program);
        }
        let ran = ran?;
        match ran.end {
            End::Exited(_) | End::Signalled(_) => {}
            End::Stopped(bound) => return Err(stopped(call, args, &ran, bound)),
            End::Cancelled => {
                return Err(ToolError::new(
                    ErrorCode::Cancelled,
                    format!("{} was stopped because the call was", shown(&args.program)),
                ));
            }
        }
        let bytes_max = call.limits.output_bytes.min(PAYLOAD_MAX as u64);
        let taken = ran.changed.take(&outputs, workspace, bytes_max, &call.cancel)?;
        Ok(Acted {
            output: outcome(args, detail.sandbox, &ran, &taken),
            label: call.label.join(Label::UNTRUSTED),
            changes: taken.changes,
        })
    }
}

impl Run {
    /// Says early that a program is missing. A name with a slash is a file below
    /// the start folder.
    fn find_program(&self, args: &Args, workspace: &Workspace) -> Result<(), ToolError> {
        let name = args.program.first().map_or("", String::as_str);
        if name.is_empty() {
            return Err(arguments("the program has no name"));
        }
        let found = if name.starts_with('/') {
            std::path::Path::new(name).is_file()
        } else if name.contains('/') {
            workspace.exists(&paths::join(&args.cwd, name))
        } else {
            self.sandbox.host().find(name).is_some()
        };
        if found {
            return Ok(());
        }
        let error = ToolError::new(ErrorCode::NotFound, format!("there is no program {name:?}"));
        Err(error.hint(if name.contains('/') {
            "check the name; it is relative to the start folder"
        } else {
            "install it, or add its folder to PATH"
        }))
    }
}

/// What is told of a program that came to an end.
pub(crate) fn outcome(args: &Args, sandbox: SandboxLevel, ran: &Ran, taken: &Taken) -> Value {
    let (exit, signal) = match ran.end {
        End::Exited(code) => (Some(code), None),
        End::Signalled(signal) => (None, Some(signal)),
        End::Stopped(_) | End::Cancelled => (None, None),
    };
    json!({
        "program": args.program,
        "exit": exit,
        "ok": exit.is_some_and(|code| args.ok_exits.contains(&code)),
        "signal": signal,
        "stdout": ran.stdout.text(),
        "stderr": ran.stderr.text(),
        "truncated": ran.stdout.truncated() || ran.stderr.truncated(),
        "sandbox": sandbox.as_str(),
        "peak_memory": ran.peak_bytes,
        "changed": taken.kept,
        "dropped": taken.dropped,
        "dropped_count": taken.dropped_count,
    })
}

/// The declared outputs. A path without wildcards also means all below it.
pub(crate) fn outputs(globs: &[String]) -> Result<GlobSet, ToolError> {
    let bad = |glob: &str, why: String| {
        arguments(format!("{glob:?} is no pattern for outputs: {why}"))
            .hint("for instance report.txt or build/**")
    };
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let normal = paths::normal(glob)?;
        let normal = if normal == "." { "**".to_owned() } else { normal };
        for pattern in [normal.clone(), format!("{normal}/**")] {
            let compiled = GlobBuilder::new(&pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| bad(glob, error.kind().to_string()))?;
            set.add(compiled);
        }
    }
    set.build().map_err(|error| bad("", error.kind().to_string()))
}

fn stopped(call: &Call, args: &Args, ran: &Ran, bound: Bound) -> ToolError {
    let what = match bound {
        Bound::Wall => format!("after {} ms", call.limits.wall_ms),
        Bound::Cpu => format!("after {} ms of processor time", call.limits.cpu_ms),
        Bound::Memory => format!("beyond {} MiB of memory", call.limits.memory_mb),
        Bound::Disk => format!("after it wrote more than {} MiB", call.limits.memory_mb),
        Bound::Processes => "because it started too many processes".to_owned(),
    };
    let words = [&ran.stderr, &ran.stdout]
        .map(|stream| stream.ending(LAST_WORDS_MAX))
        .into_iter()
        .find(|words| !words.trim().is_empty());
    let words = words.map_or(String::new(), |words| format!("; its last words: {}", words.trim()));
    ToolError::new(ErrorCode::Limit, format!("{} was stopped {what}{words}", shown(&args.program)))
        .hint("allow more in the limits of the step, or give it less to do")
}

/// A command as one line of at most a few hundred characters.
fn shown(program: &[String]) -> String {
    let words: Vec<String> = program
        .iter()
        .map(|word| {
            let plain = !word.is_empty()
                && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@%".contains(c));
            if plain { word.clone() } else { format!("{word:?}") }
        })
        .collect();
    let line = words.join(" ");
    if line.chars().count() <= 300 {
        return line;
    }
    line.chars().take(300).chain(['…']).collect()
}

fn value(detail: &Detail) -> Result<Value, ToolError> {
    serde_json::to_value(detail)
        .map_err(|error| arguments(format!("the command cannot be recorded: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(globs: &[&str], path: &str, expect: bool) {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        assert_eq!(outputs(&globs).unwrap().is_match(path), expect, "{globs:?} on {path}");
    }

    #[test]
    fn outputs_are_paths_folders_or_globs() {
        check(&["out.txt"], "out.txt", true);
        check(&["out.txt"], "sub/out.txt", false);
        check(&["build"], "build/a/b", true);
        check(&["build/"], "build/a", true);
        check(&["*.txt"], "sub/x.txt", false);
        check(&["**/*.txt"], "sub/x.txt", true);
        check(&["."], "any/where", true);
        check(&[], "any", false);
    }

    #[test]
    fn outputs_cannot_leave_the_workspace() {
        for glob in ["../x", "/etc/**", "a[", "{"] {
            assert!(outputs(&[glob.to_owned()]).is_err(), "{glob}");
        }
    }

    #[test]
    fn a_command_is_shown_on_one_line() {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(shown(&words(&["sh", "-c", "a\nb"])), "sh -c \"a\\nb\"");
        assert!(shown(&words(&["x"; 999])).chars().count() <= 301);
    }
}
