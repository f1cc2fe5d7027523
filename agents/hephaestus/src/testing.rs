//! What tests of tools and checks share: a real folder, and a call carried
//! through as a worker would.

use crate::apply::apply;
use crate::checks;
use crate::tool::Tool;
use crate::tools;
use crate::workspace::Workspace;
use charter::check::{Outcome, Subject, Verdict};
use charter::label::Label;
use charter::tool::{Call, Cancel, Limits, Prepared, Proposed, ToolError};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A workspace on disk that goes away with the test.
pub(crate) struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// With these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        for (path, text) in files {
            desk.put(path, text.as_bytes());
        }
        desk
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Absolute path of a file.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> String {
        String::from_utf8(std::fs::read(self.at(path)).unwrap()).unwrap()
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::open(self.dir.path()).unwrap()
    }

    pub(crate) fn call(&self, tool: &str, args: Value) -> Call {
        Call {
            tool: tool.to_owned(),
            version: 1,
            args,
            label: Label::TRUSTED,
            workspace: self.dir.path().to_owned(),
            limits: Limits::default(),
            secrets_allowed: false,
            now: 1_750_000_000_000,
            cancel: Cancel::default(),
        }
    }

    fn tool(name: &str) -> Box<dyn Tool> {
        tools::all().into_iter().find(|tool| tool.spec().name == name).unwrap()
    }

    /// What a call finds and proposes.
    pub(crate) fn prepare(&self, tool: &str, args: Value) -> Result<Prepared, ToolError> {
        Self::tool(tool).prepare(&self.call(tool, args), &self.workspace())
    }

    /// What the check of a result will look at.
    pub(crate) fn subject(
        &self,
        tool: &str,
        args: Value,
        output: Value,
        changes: Vec<Proposed>,
    ) -> Subject {
        Subject {
            tool: tool.to_owned(),
            args,
            output,
            changes,
            workspace: self.dir.path().to_owned(),
            label: Label::TRUSTED,
            secrets_allowed: false,
            since: 0,
            cancel: Cancel::default(),
        }
    }

    /// Prepares and carries out; what a check would look at.
    pub(crate) fn done(&self, tool: &str, args: Value) -> Subject {
        let prepared = self.prepare(tool, args.clone()).unwrap();
        for proposed in &prepared.changes {
            apply(&self.workspace(), proposed).unwrap();
        }
        self.subject(tool, args, prepared.output, prepared.changes)
    }

    /// The verdicts of the registered check.
    pub(crate) fn check(&self, subject: &Subject) -> Vec<Verdict> {
        checks::of(&subject.tool).unwrap()(subject, &self.workspace())
    }

    /// Carries a call out and expects that its check verifies it.
    pub(crate) fn verified(&self, tool: &str, args: Value) -> Subject {
        let subject = self.done(tool, args);
        let verdicts = self.check(&subject);
        assert!(
            verdicts.iter().all(|verdict| verdict.outcome == Outcome::Verified),
            "{verdicts:#?}"
        );
        assert!(!verdicts.is_empty());
        subject
    }

    /// Expects that the check fails a changed result.
    pub(crate) fn failed(&self, subject: &Subject) {
        let verdicts = self.check(subject);
        assert!(verdicts.iter().any(|verdict| verdict.outcome == Outcome::Failed), "{verdicts:#?}");
    }
}
