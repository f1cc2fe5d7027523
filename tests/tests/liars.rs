//! Liars: for every shipped playbook and every tool of its plan, that tool
//! reports success and writes nothing, an empty file, last week's file, or leaves
//! out one row. No such mission may end done, and its report names the check
//! that failed.

use alma_tests::desk::Desk;
use alma_tests::liar::{self, Lie, Taken, Tape};
use charter::check::Outcome;
use charter::rows::MissionState;
use hephaestus::sandbox::{Host, Sandbox};
use hephaestus::tools;
use moroni::playbooks::SHIPPED;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A mission of a playbook.
struct Case {
    playbook: &'static str,
    folder: &'static str,
    words: &'static str,
    /// In which file last week's folder held which text instead of which.
    older: (&'static str, &'static str, &'static str),
}

const fn case(
    playbook: &'static str,
    folder: &'static str,
    words: &'static str,
    older: (&'static str, &'static str, &'static str),
) -> Case {
    Case { playbook, folder, words, older }
}

const EXPENSES: (&str, &str, &str) =
    ("expenses.csv", "groceries,Weekly Market,41.90", "travel,Ferry,40.90");

/// One case at least for every playbook.
const CASES: &[Case] = &[
    case(
        "action-items",
        "household",
        "collect the open action items from notes grouped by person and save it to todo.md",
        ("notes/travel.md", "arrival", "departure"),
    ),
    case(
        "addresses",
        "household",
        "collect the addresses in notes/travel.md and save them to mail.md",
        ("notes/travel.md", "office@", "desk@"),
    ),
    case(
        "broken-links",
        "webshop",
        "list the broken relative links and save them to broken.md",
        ("README.md", "docs/api.md", "docs/interface.md"),
    ),
    case(
        "brief",
        "study",
        "write a brief on the kitchen renovation from my notes into brief.md",
        ("notes/kitchen.md", "Grandma painted them", "Grandpa painted them"),
    ),
    case(
        "brief",
        "study",
        "what do my notes say about the garden?",
        ("notes/garden.md", "# Garden\n", "# The garden\n"),
    ),
    case(
        "decisions",
        "study",
        "what did we decide about the oven?",
        ("meetings/2026-02-02 budget.md", "The oven is a plain one", "The oven is a fine one"),
    ),
    case(
        "decisions",
        "study",
        "collect the decisions from the minutes into decisions.md",
        ("meetings/2026-02-02 budget.md", "The oven is a plain one", "The oven is a fine one"),
    ),
    case(
        "mail-digest",
        "study",
        "digest of the mails in mail/ into mail.md",
        ("mail/inbox.mbox", "Ask him what they cost", "Ask her what they cost"),
    ),
    case(
        "new-files",
        "study",
        "digest of new files into new.md",
        ("notes/garden.md", "# Garden\n", "# The garden\n"),
    ),
    case(
        "summary-page",
        "study",
        "summarise my notes into summary.md",
        ("notes/garden.md", "# Garden\n", "# The garden\n"),
    ),
    case(
        "code-comments",
        "webshop",
        "collect all TODO comments and write them to comments.md",
        ("shop/schema.sql", "index on customer", "index on cents"),
    ),
    case(
        "code-lines",
        "webshop",
        "count the lines of code per language and save it to code.md",
        ("shop/schema.sql", "  cents INTEGER NOT NULL\n", ""),
    ),
    case(
        "compare",
        "webshop",
        "compare config/dev.yaml with config/prod.yaml and write the differences to diff.md",
        ("config/prod.yaml", "port: 443", "port: 80"),
    ),
    case("convert", "household", "convert budget.yaml to json", ("budget.yaml", "320", "310")),
    case("convert", "household", "convert expenses.csv to yaml", EXPENSES),
    case(
        "convert-and-total",
        "household",
        "convert expenses.csv to json and total amount per category",
        EXPENSES,
    ),
    case("delete-files", "household", "delete all *.tmp", ("documents/letter.tmp", "Osei", "O")),
    case(
        "duplicates",
        "household",
        "find duplicate files and write the list to dup.md",
        ("documents/insurance.txt", "77-2041", "77-2042"),
    ),
    case(
        "headings",
        "household",
        "list the headings of notes/travel.md and save them to contents.md",
        ("notes/travel.md", "## Flat", "## Rooms"),
    ),
    case(
        "links",
        "household",
        "list all links in notes and save them to links.md",
        ("notes/travel.md", "packing.md", "bags.md"),
    ),
    case("list-files", "household", "list the 3 largest files and save it to files.md", EXPENSES),
    case(
        "list-files",
        "household",
        "list all files in documents",
        ("documents/lease.txt", "2019", "201"),
    ),
    case(
        "mentions",
        "household",
        "find where dishwasher is mentioned, quote it and write it to quotes.md",
        ("shopping list.md", "dishwasher tabs", "washing powder"),
    ),
    case(
        "move-files",
        "webshop",
        "move all log files to old",
        ("logs/2026-03-02.log", "started", "began"),
    ),
    case(
        "pack",
        "household",
        "pack the folder notes into out.zip",
        ("notes/ideas.txt", "A swing", "A slide"),
    ),
    case(
        "replace-text",
        "household",
        "replace \"Brandts\" with \"Brands\" in notes",
        ("notes/ideas.txt", "The Brandts", "Brandts, they"),
    ),
    case(
        "run-tests",
        "webshop",
        "run the tests and write down the failures",
        (
            "shop/prices.py",
            "return round(cents * (100 - percent) / 100)",
            "return (cents * (100 - percent) * 2 + 100) // 200",
        ),
    ),
    case(
        "table-average",
        "household",
        "average amount per category in expenses.csv, save it to means.md",
        EXPENSES,
    ),
    case("table-average", "household", "what is the average amount in expenses.csv", EXPENSES),
    case(
        "table-count",
        "household",
        "count the rows of expenses.csv per category and save them to counts.md",
        EXPENSES,
    ),
    case(
        "table-count",
        "webshop",
        "how many rows does data/orders.csv have",
        ("data/orders.csv", "0009,2026-03-09,Émile Roux,FR,shipped,2,49.00\n", ""),
    ),
    case("table-filter", "household", "export the expenses over 40 to big.csv", EXPENSES),
    case(
        "table-filter",
        "household",
        "show all rows of expenses.csv with amount over 40",
        EXPENSES,
    ),
    case(
        "table-sort",
        "household",
        "sort expenses.csv by amount and save it as sorted.csv",
        EXPENSES,
    ),
    case(
        "table-total",
        "household",
        "total amount per category in expenses.csv, save it to totals.md",
        EXPENSES,
    ),
    case(
        "table-total",
        "household",
        "total the amount in expenses.csv where category is travel",
        EXPENSES,
    ),
    case("table-total", "household", "add up amount in expenses.csv", EXPENSES),
    case(
        "timeline",
        "household",
        "collect the dates from notes and make a timeline",
        ("notes/travel.md", "2026-04-11", "2026-04-12"),
    ),
    case(
        "unpack",
        "household",
        "unpack notes.tar.gz into back",
        ("notes/ideas.txt", "A swing", "A slide"),
    ),
    case(
        "word-count",
        "household",
        "count the words in notes and write them to words.md",
        ("notes/ideas.txt", "A swing", "One more swing"),
    ),
];

/// Lies that are none in these missions: what is told is what an honest tool
/// tells. A tool that deletes or moves tells names alone, last week's names are
/// this week's, and of one number no row can be dropped.
const SAME: [(&str, &str, Lie); 11] = [
    ("delete-files", "delete", Lie::Empty),
    ("delete-files", "delete", Lie::Stale),
    ("delete-files", "delete", Lie::Dropped),
    ("move-files", "move", Lie::Empty),
    ("move-files", "move", Lie::Stale),
    ("move-files", "move", Lie::Dropped),
    ("replace-text", "table", Lie::Stale),
    ("run-tests", "project", Lie::Stale),
    ("table-average", "table", Lie::Dropped),
    ("table-count", "table", Lie::Dropped),
    ("table-total", "table", Lie::Dropped),
];

impl Case {
    /// The folder, as it is or as it was last week, with these tools.
    fn desk(
        &self,
        tape: &Arc<Tape>,
        last_week: bool,
        liar: Option<(&str, Lie)>,
        old: &[Taken],
    ) -> Desk {
        let helper = PathBuf::from(env!("CARGO_BIN_EXE_alma-counting"));
        let scratch = std::env::temp_dir().join(format!("alma-liars-{}", std::process::id()));
        let sandbox = Sandbox::new(helper.clone(), scratch, Vec::new(), Host::of_process());
        let sandbox = Arc::new(sandbox);
        let excerpts = app::excerpts(&helper);
        let mut real = tools::with_sandbox(Arc::clone(&sandbox));
        real.extend(tools::that_quote(&excerpts, None));
        let tools = liar::tools(real, tape, liar, old).checking_in(sandbox).quoting_with(excerpts);
        Desk::with(self.folder, tools, &|folder| {
            if last_week {
                let (path, now, then) = self.older;
                let path = folder.join(path);
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(text.contains(now), "{now:?} is not in {path:?}");
                std::fs::write(&path, text.replace(now, then)).unwrap();
            }
            if self.playbook == "unpack" {
                archive(folder);
            }
        })
    }

    /// Every tool of the plan lies in every way; what got through is returned.
    fn liars(&self) -> Vec<String> {
        let (honest, old) = (Arc::new(Tape::default()), Arc::new(Tape::default()));
        let desk = self.desk(&honest, false, None, &[]);
        assert_eq!(desk.playbook(self.words), self.playbook, "{:?}", self.words);
        desk.done(self.words);
        self.desk(&old, true, None, &[]).report(self.words);
        let mut through = Vec::new();
        for tool in honest.tools() {
            let mut effective = Vec::new();
            for lie in Lie::ALL {
                let tape = Arc::new(Tape::default());
                let report =
                    self.desk(&tape, false, Some((&tool, lie)), &old.calls()).report(self.words);
                if !tape.lied() {
                    // What was told is what an honest tool tells: no lie.
                    assert_eq!(report.state, MissionState::Done, "{tool} {lie:?}: {report:#?}");
                    continue;
                }
                effective.push(lie);
                let failed =
                    report.claims.iter().any(|claim| claim.verdict.outcome == Outcome::Failed);
                let caught = failed && report.state == MissionState::Failed;
                if !caught {
                    let answer = report.answer.lines().next().unwrap_or_default();
                    through.push(format!(
                        "{} ({:?}): {tool} {lie:?}: {} {answer:?} {:?}",
                        self.playbook, self.words, report.state, report.problems
                    ));
                }
            }
            for lie in Lie::ALL {
                let same = SAME.contains(&(self.playbook, &tool, lie));
                assert!(
                    same || effective.contains(&lie),
                    "{} ({:?}): {tool} was to lie ({lie:?}) and told the truth",
                    self.playbook,
                    self.words
                );
            }
        }
        through
    }
}

fn archive(folder: &Path) {
    let packed =
        Command::new("tar").args(["czf", "notes.tar.gz", "notes"]).current_dir(folder).status();
    assert!(packed.unwrap().success());
}

/// Every fourth case, so that they run beside each other.
#[track_caller]
fn quarter(n: usize) {
    let through: Vec<String> = CASES.iter().skip(n).step_by(4).flat_map(Case::liars).collect();
    assert!(through.is_empty(), "liars got through:\n{}", through.join("\n"));
}

#[test]
fn no_liar_gets_through_first() {
    quarter(0);
}

#[test]
fn no_liar_gets_through_second() {
    quarter(1);
}

#[test]
fn no_liar_gets_through_third() {
    quarter(2);
}

#[test]
fn no_liar_gets_through_fourth() {
    quarter(3);
}

#[test]
fn every_shipped_playbook_has_its_liars() {
    let forgotten: Vec<&str> = SHIPPED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| CASES.iter().all(|case| case.playbook != *name))
        .collect();
    assert!(forgotten.is_empty(), "no case for {forgotten:?}");
}
