//! `project`: which kind of project lies in a folder, and how its tests are run
//! without a network.

use crate::args::{Files, parse, path_schema};
use crate::error::arguments;
use crate::source::{self, Content};
use crate::tool::{Tool, object, spec};
use crate::workspace::{Kind, Workspace, paths};
use charter::effect::EffectClass;
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};

/// The tool.
pub(crate) struct Project;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    #[serde(default = "here")]
    pub(crate) path: String,
}

fn here() -> String {
    ".".to_owned()
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: &'static str,
    pub(crate) root: String,
    pub(crate) marker: String,
    pub(crate) command: Vec<String>,
}

impl Tool for Project {
    fn spec(&self) -> ToolSpec {
        spec(
            "project",
            EffectClass::Read,
            "Tells the kind of a software project and how its tests are run offline.",
            object(&[], json!({"path": path_schema("the folder; default: the workspace")})),
            "kind (cargo, npm, python, go, make, maven, gradle, dotnet, mix), root, marker (the file that tells), test_command: [program and arguments]",
            "Reads only; repeating is safe.",
        )
    }

    /// A command that stands in a project's own file was written by whoever
    /// wrote the file; all others stand here.
    fn vouches_for(&self, output: &Value) -> bool {
        let command: Vec<&str> = output["test_command"]
            .as_array()
            .map(|words| words.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        output["kind"] != "npm"
            || matches!(command.as_slice(), ["npm", "test"] | ["node", "--test"])
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let found = find(&args, workspace)?;
        let output = json!({
            "kind": found.kind, "root": found.root, "marker": found.marker,
            "test_command": found.command,
        });
        Ok(Prepared::output(output, call.label))
    }
}

/// The project in the folder, or the only one directly below it.
pub(crate) fn find(args: &Args, workspace: &Workspace) -> Result<Found, ToolError> {
    let root = paths::normal(&args.path)?;
    match workspace.meta(&root)?.map(|meta| meta.kind) {
        Some(Kind::Folder) => {}
        Some(_) => {
            return Err(
                arguments(format!("{root:?} is no folder")).hint("name the project's folder")
            );
        }
        None => {
            return Err(ToolError::new(
                ErrorCode::NotFound,
                format!("there is no folder {root:?}"),
            ));
        }
    }
    if let Some(found) = at(&root, workspace)? {
        return Ok(found);
    }
    let pattern =
        if root == "." { "*".to_owned() } else { format!("{}/*", globset::escape(&root)) };
    let folders = workspace.walk(&Files::one(pattern))?.folders;
    let mut below = Vec::new();
    for folder in folders.iter().filter(|folder| paths::split(&folder.path).0 == root) {
        below.extend(at(&folder.path, workspace)?);
    }
    match below.len() {
        1 => Ok(below.remove(0)),
        0 => Err(ToolError::new(ErrorCode::NotFound, format!("no project with tests was found in {root:?}"))
            .hint("name the folder that holds Cargo.toml, package.json, pyproject.toml, go.mod or a Makefile with a test rule")),
        _ => {
            let roots: Vec<&str> = below.iter().take(10).map(|found| found.root.as_str()).collect();
            Err(arguments(format!("there is more than one project: {}", roots.join(", "))).hint("name one of them"))
        }
    }
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

fn at(root: &str, workspace: &Workspace) -> Result<Option<Found>, ToolError> {
    let has = |name: &str| -> Result<bool, ToolError> {
        Ok(workspace.meta(&paths::join(root, name))?.is_some_and(|meta| meta.kind == Kind::File))
    };
    let found = |kind, marker: &str, command: Vec<String>| {
        Ok(Some(Found { kind, root: root.to_owned(), marker: marker.to_owned(), command }))
    };
    if has("Cargo.toml")? {
        return found("cargo", "Cargo.toml", words(&["cargo", "test", "--offline"]));
    }
    if has("package.json")?
        && let Some(command) =
            npm(&source::value(workspace, &paths::join(root, "package.json"))?, root, workspace)?
    {
        return found("npm", "package.json", command);
    }
    if has("go.mod")? {
        return found("go", "go.mod", words(&["go", "test", "./..."]));
    }
    if let Some((marker, command)) = python(root, workspace, &has)? {
        return found("python", &marker, command);
    }
    for (marker, kind, command) in [
        ("pom.xml", "maven", ["mvn", "--offline", "test"].as_slice()),
        ("build.gradle", "gradle", &["gradle", "--offline", "test"]),
        ("build.gradle.kts", "gradle", &["gradle", "--offline", "test"]),
        ("mix.exs", "mix", &["mix", "test"]),
    ] {
        if has(marker)? {
            return found(kind, marker, words(command));
        }
    }
    for marker in ["Makefile", "makefile", "GNUmakefile"] {
        if has(marker)? {
            let text = source::text(workspace, &paths::join(root, marker))?;
            let rule = |target: &str| {
                text.lines().any(|line| {
                    line.split_once(':').is_some_and(|(targets, rest)| {
                        !line.starts_with(['\t', '#'])
                            && !rest.starts_with('=')
                            && targets.split_whitespace().any(|name| name == target)
                    })
                })
            };
            if let Some(target) = ["test", "check"].into_iter().find(|target| rule(target)) {
                return found("make", marker, words(&["make", target]));
            }
        }
    }
    Ok(None)
}

/// The test script of a package, or node's own runner where tests need nothing
/// else.
fn npm(
    package: &Value,
    root: &str,
    workspace: &Workspace,
) -> Result<Option<Vec<String>>, ToolError> {
    let script =
        package.get("scripts").and_then(|scripts| scripts.get("test")).and_then(Value::as_str);
    // What `npm init` writes when there are no tests.
    let script = script.filter(|script| !script.contains("no test specified"));
    if let Some(script) = script {
        let words: Vec<String> = script.split_whitespace().map(str::to_owned).collect();
        let plain = words.first().is_some_and(|word| word == "node")
            && script.chars().all(|c| c.is_ascii_alphanumeric() || " -_./=:".contains(c));
        return Ok(Some(if plain { words } else { self::words(&["npm", "test"]) }));
    }
    let tests =
        workspace.walk(&Files::one(paths::join(&escape(root), "**/*.test.{js,mjs,cjs}")))?;
    Ok((!tests.files.is_empty()).then(|| self::words(&["node", "--test"])))
}

fn escape(root: &str) -> String {
    if root == "." { root.to_owned() } else { globset::escape(root) }
}

fn python(
    root: &str,
    workspace: &Workspace,
    has: &dyn Fn(&str) -> Result<bool, ToolError>,
) -> Result<Option<(String, Vec<String>)>, ToolError> {
    let mut marker = None;
    let mut pytest = false;
    for name in [
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "tox.ini",
        "requirements.txt",
        "requirements-dev.txt",
        "pytest.ini",
        "conftest.py",
    ] {
        if !has(name)? {
            continue;
        }
        if !matches!(name, "tox.ini" | "requirements-dev.txt") || marker.is_none() {
            marker.get_or_insert_with(|| name.to_owned());
        }
        let path = paths::join(root, name);
        if let Content::Text(text) | Content::Lossy(text) = source::content(workspace, &path)? {
            pytest |=
                name.starts_with("pytest") || name == "conftest.py" || text.contains("pytest");
        }
    }
    let tests =
        workspace.walk(&Files::one(paths::join(&escape(root), "**/{test_*,*_test}.py")))?.files;
    let inside = |path: &str| match root {
        "." => path.to_owned(),
        root => path
            .strip_prefix(root)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(path)
            .to_owned(),
    };
    let mut folder = None;
    for file in &tests {
        let path = inside(&file.path);
        marker.get_or_insert_with(|| path.clone());
        if let Content::Text(text) | Content::Lossy(text) = source::content(workspace, &file.path)?
        {
            pytest |= text.contains("import pytest") || !text.contains("unittest");
        }
        folder.get_or_insert_with(|| paths::split(&path).0.to_owned());
    }
    let Some(marker) = marker.filter(|_| !tests.is_empty()) else { return Ok(None) };
    if pytest {
        return Ok(Some((marker, words(&["python3", "-m", "pytest"]))));
    }
    let mut command = words(&["python3", "-m", "unittest", "discover", "-v"]);
    // A folder that is no package is not found from above.
    let folder = folder.unwrap_or_default();
    if folder != "." && !has(&format!("{folder}/__init__.py"))? {
        command.extend(words(&["-s", &folder]));
    }
    Ok(Some((marker, command)))
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use charter::tool::ErrorCode;
    use serde_json::{Value, json};

    fn check(files: &[(&str, &str)], args: Value, kind: &str, root: &str, command: &str) {
        let output = Desk::new(files).verified("project", args).output;
        let words: Vec<&str> =
            output["test_command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(
            (output["kind"].as_str(), output["root"].as_str(), words.join(" ").as_str()),
            (Some(kind), Some(root), command)
        );
    }

    #[test]
    fn kinds_are_told_by_their_files() {
        check(&[("Cargo.toml", "")], json!({}), "cargo", ".", "cargo test --offline");
        check(&[("app/go.mod", ""), ("notes/a.md", "")], json!({}), "go", "app", "go test ./...");
        check(
            &[("package.json", r#"{"scripts": {"test": "jest --ci"}}"#)],
            json!({}),
            "npm",
            ".",
            "npm test",
        );
        check(
            &[("package.json", r#"{"scripts": {"test": "node --test tests/"}}"#)],
            json!({}),
            "npm",
            ".",
            "node --test tests/",
        );
        check(
            &[("p/package.json", "{}"), ("p/a.test.js", "")],
            json!({"path": "p"}),
            "npm",
            "p",
            "node --test",
        );
        check(
            &[("Makefile", "CC := gcc\nall: x\n\ttrue\ntest: all\n\ttrue\n")],
            json!({}),
            "make",
            ".",
            "make test",
        );
        check(
            &[("pyproject.toml", "[tool.pytest.ini_options]\n"), ("tests/test_a.py", "")],
            json!({}),
            "python",
            ".",
            "python3 -m pytest",
        );
        check(
            &[("tests/test_a.py", "import unittest\n")],
            json!({}),
            "python",
            ".",
            "python3 -m unittest discover -v -s tests",
        );
        check(
            &[("test_a.py", "import unittest\n")],
            json!({}),
            "python",
            ".",
            "python3 -m unittest discover -v",
        );
    }

    #[test]
    fn nothing_or_too_much_is_an_error() {
        let code = |files: &[(&str, &str)], args: Value| {
            Desk::new(files).prepare("project", args).unwrap_err().code
        };
        assert_eq!(code(&[("a.md", "")], json!({})), ErrorCode::NotFound);
        assert_eq!(
            code(&[("a/go.mod", ""), ("b/Cargo.toml", "")], json!({})),
            ErrorCode::Arguments
        );
        assert_eq!(code(&[], json!({"path": "none"})), ErrorCode::NotFound);
    }
}
