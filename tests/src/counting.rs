//! Three tools that count what they do, one line per act, in a folder of the
//! workspace. Only binaries of the tests have them.

use charter::digest::Digest;
use charter::effect::{EffectClass, Repeat};
use charter::label::Label;
use charter::tool::{Act, Acted, Call, ErrorCode, Prepared, Probe, ToolError, ToolSpec};
use hephaestus::tool::{Tool, Watch, object, spec};
use hephaestus::workspace::Workspace;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the acts are written down, below the workspace.
pub const FOLDER: &str = "acts";
/// How long each phase of a call lasts, so that a kill can hit it.
const PHASE: Duration = Duration::from_millis(12);

/// What a counting tool's target can tell after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It refuses a key it has seen.
    Keyed,
    /// It can be asked.
    Probed,
    /// Neither.
    Neither,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Keyed, Self::Probed, Self::Neither];

    /// The tool's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyed => "count_keyed",
            Self::Probed => "count_probed",
            Self::Neither => "count_neither",
        }
    }
}

/// A tool that writes one line per act.
pub struct Counting(pub Kind);

/// The counting tools.
pub fn tools() -> Vec<Box<dyn Tool>> {
    Kind::ALL.into_iter().map(|kind| Box::new(Counting(kind)) as Box<dyn Tool>).collect()
}

fn file(call: &Call, name: &str) -> PathBuf {
    call.workspace.join(FOLDER).join(name)
}

fn failed(error: &std::io::Error) -> ToolError {
    ToolError::new(ErrorCode::Permanent, format!("could not count: {error}"))
}

/// Keys of the acts that were carried out under a name.
pub fn acts(workspace: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace.join(FOLDER).join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

impl Tool for Counting {
    fn spec(&self) -> ToolSpec {
        spec(
            self.0.name(),
            EffectClass::Exec,
            "Counts.",
            object(
                &["name"],
                json!({
                    "name": { "type": "string" },
                    "rest": { "type": "integer" },
                }),
            ),
            "name",
            "it is not undone",
        )
    }

    fn prepare(&self, call: &Call, _: &Workspace) -> Result<Prepared, ToolError> {
        std::thread::sleep(PHASE);
        let name = call.args["name"].as_str().unwrap_or_default();
        Ok(Prepared {
            output: json!({ "name": name }),
            label: Label::TRUSTED,
            changes: Vec::new(),
            act: Some(Act {
                class: EffectClass::Exec,
                repeat: match self.0 {
                    Kind::Keyed => Repeat::Keyed,
                    Kind::Probed => Repeat::Probe,
                    Kind::Neither => Repeat::Never,
                },
                summary: format!("count {name}"),
                sandbox: Some(charter::tool::SandboxLevel::Full),
                detail: json!({ "name": name, "rest": call.args["rest"].as_u64() }),
            }),
        })
    }

    fn act(
        &self,
        call: &Call,
        _: &Workspace,
        act: &Act,
        key: &Digest,
        _: &dyn Watch,
    ) -> Result<Acted, ToolError> {
        // How long it takes before it counts, so that a test can be quicker.
        std::thread::sleep(act.detail["rest"].as_u64().map_or(PHASE, Duration::from_millis));
        let name = act.detail["name"].as_str().unwrap_or_default();
        let seen = acts(&call.workspace, name).contains(&key.to_string());
        if self.0 != Kind::Keyed || !seen {
            let path = file(call, name);
            let folder = path.parent().unwrap_or(&call.workspace);
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(|error| failed(&error))?;
            // One write call: a line is there whole or not at all.
            file.write_all(format!("{key}\n").as_bytes()).map_err(|error| failed(&error))?;
        }
        std::thread::sleep(PHASE);
        Ok(Acted { output: json!({ "name": name }), label: Label::TRUSTED, changes: Vec::new() })
    }

    fn probe(
        &self,
        call: &Call,
        _: &Workspace,
        act: &Act,
        key: &Digest,
    ) -> Result<Probe, ToolError> {
        let name = act.detail["name"].as_str().unwrap_or_default();
        Ok(match self.0 {
            Kind::Keyed | Kind::Neither => Probe::Unknown,
            Kind::Probed if acts(&call.workspace, name).contains(&key.to_string()) => Probe::Done {
                acted: Acted {
                    output: json!({ "name": name }),
                    label: Label::TRUSTED,
                    changes: Vec::new(),
                },
            },
            Kind::Probed => Probe::NotDone,
        })
    }
}
