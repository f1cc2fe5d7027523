//! A copy of a fixture with a whole Alma on it, where every mission is held to
//! one rule: afterwards the folder differs only in the files that its report
//! names.

use crate::rig::{Ended, Rig, changed, fixture, tree};
use alma::operations::plan_new;
use charter::ids::Principal;
use charter::plan::PlanSource;
use charter::report::{FileFate, Report};
use charter::rows::MissionState;
use hephaestus::{Hephaestus, tools};
use std::path::Path;
use tempfile::TempDir;

/// All tools that need no sandbox, those that quote among them.
pub fn reading() -> Hephaestus {
    // No PDF is read here: that takes the product's own process.
    let excerpts = app::excerpts(Path::new("/bin/false"));
    let mut all = tools::all();
    all.extend(tools::that_quote(&excerpts, None));
    Hephaestus::with_tools(all).quoting_with(excerpts)
}

/// A folder and its Alma.
pub struct Desk {
    folder: TempDir,
    rig: Rig,
}

impl Desk {
    /// With all tools that need no sandbox.
    pub fn new(name: &str) -> Self {
        Self::with(name, reading(), &|_| {})
    }

    /// With these tools, after the folder was prepared.
    pub fn with(name: &str, tools: Hephaestus, prepare: &dyn Fn(&Path)) -> Self {
        let folder = fixture(name);
        prepare(folder.path());
        let rig = Rig::new(folder.path(), tools);
        Self { folder, rig }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file as text.
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let bytes = std::fs::read(self.path().join(path));
        String::from_utf8(bytes.unwrap_or_else(|error| panic!("{path}: {error}"))).expect("UTF-8")
    }

    /// The playbook that a wish is planned with.
    #[track_caller]
    pub fn playbook(&self, words: &str) -> String {
        let request = plan_new::Request {
            workspace: self.path().to_owned(),
            words: Some(words.to_owned()),
            file: None,
            budget: None,
            priority: None,
        };
        match block_on(plan_new::run(&self.rig.alma, &Principal::local(), request)) {
            Ok(planned) => match planned.plan.source {
                PlanSource::Playbook { name, .. } => name,
                other => panic!("{words:?} was planned from {other:?}"),
            },
            Err(error) => panic!("{words:?} was not planned: {error}"),
        }
    }

    /// Carries a wish out; questions are answered with yes when `approve`.
    #[track_caller]
    pub fn run(&self, words: &str, approve: bool) -> Ended {
        let before = tree(self.path());
        let ended = block_on(self.rig.run(words, approve));
        let named = match &ended {
            Ended::Report(report) => named(report),
            Ended::Waiting(..) | Ended::Refused(_) => Vec::new(),
        };
        assert_eq!(
            changed(&before, &tree(self.path())),
            named,
            "{words:?}: the folder differs in other files than the report names: {ended:#?}"
        );
        ended
    }

    /// The report of a wish that must end done, with every claim verified.
    #[track_caller]
    pub fn done(&self, words: &str) -> Report {
        let report = self.report(words);
        assert_eq!(report.state, MissionState::Done, "{words:?}: {report:#?}");
        report
    }

    /// The report of a wish that must come to an end, well or badly.
    #[track_caller]
    pub fn report(&self, words: &str) -> Report {
        match self.run(words, true) {
            Ended::Report(report) => *report,
            other => panic!("{words:?} gave no report: {other:?}"),
        }
    }
}

/// Each wish on a fresh copy of the folder, twice. The second run finds its own
/// results there, changes nothing and answers the same.
#[track_caller]
pub fn twice(folder: &str, wishes: &[&str], verify: &dyn Fn(&Desk, &Report)) {
    for words in wishes {
        // Shown when the rest fails.
        println!("wish: {words}");
        let desk = Desk::new(folder);
        let first = desk.done(words);
        verify(&desk, &first);
        println!("once more");
        let second = desk.done(words);
        verify(&desk, &second);
        assert_eq!(second.files, [], "{words:?} changed files once more");
        assert_eq!(second.answer, first.answer, "{words:?} answered otherwise");
    }
}

/// A file of the workspace as JSON.
#[track_caller]
pub fn json(desk: &Desk, path: &str) -> serde_json::Value {
    serde_json::from_str(&desk.text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every path that a report says something happened to.
pub fn named(report: &Report) -> Vec<String> {
    let both = |file: &charter::report::FileLine| {
        let to = (file.fate == FileFate::Moved).then(|| file.to.clone()).flatten();
        [Some(file.path.clone()), to].into_iter().flatten()
    };
    let mut paths: Vec<String> = report.files.iter().flat_map(both).collect();
    paths.sort();
    paths
}

/// Waits for a future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
