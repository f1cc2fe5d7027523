//! What `alma doctor` looks at.

use crate::bell::Bell;
use crate::record::{self, InForce};
use alma::config::Config;
use alma::operations::doctor::{Finding, Level, Response};
use charter::ports::Tools;
use charter::tool::SandboxLevel;
use hephaestus::Hephaestus;
use hephaestus::sandbox::Sandbox;
use models::LoadError;
use models::qwen::describe::{describe, try_draft, try_talk};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use surfaces::cli::exit::chain;

/// Free space below which Alma begins nothing new, in bytes, with room to spare.
const FREE_LOW: u64 = 256 << 20;

/// Lets this process open as many files as the system allows: each connection is
/// one.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let found = getrlimit(Resource::Nofile);
    let all = Rlimit { current: found.maximum, maximum: found.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "few connections can be open at the same time");
    }
}

/// Everything that is looked at.
pub(crate) fn all(
    home: &Path,
    owned: Option<&InForce>,
    sandbox: &Sandbox,
    tools: &Hephaestus,
) -> Vec<Finding> {
    vec![folder(home), space(home), owner(owned), contained(sandbox), tool_count(tools)]
}

/// What can be looked at although nothing could be opened.
pub(crate) async fn without_a_record(
    home: &Path,
    config: &Config,
    error: &anyhow::Error,
) -> Response {
    let mut findings = vec![folder(home), space(home), bad("record", format!("{error:#}"))];
    // A new installation has no name before its record was opened once.
    let name = || Ok(record::installation(home).unwrap_or_else(|_| "0".repeat(16)));
    match Bell::open(home, config.queue.url.secret(), name) {
        Ok(bell) => findings.extend(bell.findings().await),
        Err(error) => findings.push(bad("queue", format!("{error:#}"))),
    }
    Response { healthy: false, findings }
}

fn bad(what: &str, detail: String) -> Finding {
    Finding { what: what.to_owned(), level: Level::Bad, detail, fix: None }
}

fn good(what: &str, detail: String) -> Finding {
    Finding { what: what.to_owned(), level: Level::Good, detail, fix: None }
}

fn folder(home: &Path) -> Finding {
    let what = "data folder";
    match std::fs::metadata(home) {
        Ok(found) if found.permissions().mode() & 0o077 == 0 => {
            good(what, format!("{} (yours alone)", home.display()))
        }
        Ok(found) => Finding {
            what: what.to_owned(),
            level: Level::Bad,
            detail: format!(
                "{} can be read by others (mode {:o})",
                home.display(),
                found.permissions().mode() & 0o777
            ),
            fix: Some(format!("chmod 700 {}", home.display())),
        },
        Err(error) => Finding {
            what: what.to_owned(),
            level: Level::Bad,
            detail: format!("{}: {error}", home.display()),
            fix: Some("set ALMA_HOME to a folder of your own".to_owned()),
        },
    }
}

fn space(home: &Path) -> Finding {
    let what = "free space";
    match rustix::fs::statvfs(home) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let detail = format!("{} MiB", free >> 20);
            if free >= FREE_LOW {
                good(what, detail)
            } else {
                Finding {
                    what: what.to_owned(),
                    level: Level::Bad,
                    detail,
                    fix: Some(format!("make room on the disk of {}", home.display())),
                }
            }
        }
        Err(error) => Finding {
            what: what.to_owned(),
            level: Level::Notice,
            detail: format!("cannot be told: {error}"),
            fix: None,
        },
    }
}

fn owner(owned: Option<&InForce>) -> Finding {
    good(
        "process",
        match owned {
            Some(in_force) => {
                format!("this process holds the data folder (ledger: {in_force})")
            }
            None => "attached to the process that holds the data folder".to_owned(),
        },
    )
}

fn contained(sandbox: &Sandbox) -> Finding {
    let found = sandbox.containment();
    let layers: Vec<&str> = found
        .layers
        .iter()
        .filter(|layer| layer.in_force)
        .map(|layer| layer.name.as_str())
        .collect();
    let detail = format!("{}: {}", found.level.as_str(), layers.join(", "));
    match found.level {
        SandboxLevel::Full => good("sandbox", detail),
        SandboxLevel::Restricted | SandboxLevel::None => Finding {
            what: "sandbox".to_owned(),
            level: Level::Notice,
            detail,
            fix: Some(format!(
                "programs ask before they run. The full sandbox needs user namespaces, Landlock \
                 and overlayfs: {}",
                found.refused.join("; ")
            )),
        },
    }
}

fn tool_count(tools: &Hephaestus) -> Finding {
    good("tools", format!("{} are ready", tools.specs().len()))
}

/// Whether the configured language model can be opened: its headers, its tokenizer
/// and its template; its weights are not read.
pub(crate) fn model(home: &Path, configured: Option<&Path>) -> Finding {
    let what = "language model";
    match configured {
        Some(path) => opened(what, home, path, try_talk(path)),
        None => good(what, "none is configured; all but free talk works without one".to_owned()),
    }
}

/// Whether the smaller model can be opened that guesses ahead of one.
pub(crate) fn draft(home: &Path, of: &Path, draft: &Path) -> Finding {
    opened("draft model", home, draft, try_draft(draft, of))
}

fn opened(what: &str, home: &Path, path: &Path, talks: Result<(), LoadError>) -> Finding {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    match describe(path).and_then(|found| talks.map(|()| found)) {
        Ok(found) => good(
            what,
            format!(
                "{name} ({}, {}, {} tokens of context)",
                found.architecture, found.format, found.context_used
            ),
        ),
        Err(error) => Finding {
            what: what.to_owned(),
            level: Level::Bad,
            detail: format!("{name} cannot be used: {}", chain(&error)),
            fix: Some(format!(
                "name another under [model] in {} (`alma models list` shows what is there), or \
                 set it to \"\" to work without one",
                home.join("config.toml").display()
            )),
        },
    }
}
