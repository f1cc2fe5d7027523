//! `project`: the file that tells the kind is on disk, belongs to that kind, and
//! the command is one that runs tests of that kind.

use super::{Finding, equal, field, list, verdict, wrong};
use crate::args::parse;
use crate::tools::project::{Args, find};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use serde_json::Value;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict("project", "the folder holds a project of this kind", found(subject, workspace))]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let output = &subject.output;
    let text = |name| field(output, name).map(|value| value.as_str().unwrap_or_default());
    let (kind, root, marker) = (text("kind")?, text("root")?, text("marker")?);
    let (endings, programs): (&[&str], &[&str]) = match kind {
        "cargo" => (&["Cargo.toml"], &["cargo"]),
        "npm" => (&["package.json"], &["npm", "node"]),
        "go" => (&["go.mod"], &["go"]),
        "python" => (&[".py", ".toml", ".cfg", ".ini", ".txt"], &["python3"]),
        "maven" => (&["pom.xml"], &["mvn"]),
        "gradle" => (&["build.gradle", "build.gradle.kts"], &["gradle"]),
        "mix" => (&["mix.exs"], &["mix"]),
        "make" => (&["akefile"], &["make"]),
        other => return wrong(format!("{other:?} is no kind of project")),
    };
    if !endings.iter().any(|ending| marker.ends_with(ending)) {
        return wrong(format!("{marker:?} does not tell a project of the kind {kind}"));
    }
    let path = workspace.path().join(root).join(marker);
    if !path.is_file() {
        return wrong(format!("{root:?} holds no {marker:?}"));
    }
    let command: Vec<&str> =
        list(output, "test_command")?.iter().filter_map(Value::as_str).collect();
    if !command.first().is_some_and(|program| programs.contains(program)) {
        return wrong(format!("{command:?} runs no tests of the kind {kind}"));
    }
    let again = find(&args, workspace)?;
    equal(output, "root", again.root.as_str())?;
    equal(output, "kind", again.kind)?;
    equal(output, "test_command", again.command.clone())?;
    Ok(format!("{root:?} holds {marker:?}; its tests are run by: {}", command.join(" ")))
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::json;

    #[test]
    fn lies_are_found() {
        let desk = Desk::new(&[("Cargo.toml", ""), ("a/go.mod", "")]);
        let honest = desk.verified("project", json!({}));
        for lie in [
            json!({}),
            json!({"kind": "", "root": "", "marker": "", "test_command": []}),
            json!({"kind": "go", "root": "a", "marker": "go.mod", "test_command": ["go", "test", "./..."]}),
            json!({"kind": "cargo", "root": ".", "marker": "Cargo.toml", "test_command": ["cargo"]}),
            json!({"kind": "npm", "root": ".", "marker": "package.json", "test_command": ["npm", "test"]}),
        ] {
            let mut subject = honest.clone();
            subject.output = lie;
            desk.failed(&subject);
        }
    }
}
