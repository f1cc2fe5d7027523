//! What each type of slot takes from words.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{planned, specs, survey};
use moroni::plan_words::Planned;
use moroni::playbook::Playbook;
use moroni::playbooks::Library;
use moroni::words::Lexicon;
use serde_json::{Value, json};

/// A playbook with these slots whose only rule is "do".
fn library(slots: &str) -> Library {
    let text = format!(
        "name: p\nversion: 1\nsummary: Does it.\nexamples: {{en: [do it, do it with the photos or the table or the old stuff in the folder], de: [mach es], fr: [fais-le], es: [hazlo]}}\n\
         rules: {{all: [[do, tue, fais, haz]]}}\nslots:\n{slots}\n\
         steps:\n  - {{title: Do, tool: list, args: {{files: x}}}}\nanswer: done\n"
    );
    let playbook = Playbook::parse("p", &text, Lexicon::shipped().unwrap()).unwrap();
    Library::of(vec![playbook]).unwrap()
}

/// The values of the slots, or what is asked.
fn check(slots: &str, wish: &str, expect: Value) {
    let library = library(slots);
    let (specs, survey) = (specs(), survey("all"));
    let found = match planned(&library, &specs, &survey, wish) {
        Planned::Plan { parts, .. } => json!(parts[0].slots),
        Planned::Refused(refusal) => json!(refusal.message.rsplit(": ").next()),
    };
    assert_eq!(found, expect, "{wish}");
}

const PATH: &str = "  s: {type: path, kinds: [table], ask: Which table?}";

#[test]
fn paths() {
    check(PATH, "do it with expenses.csv", json!({"s": "expenses.csv"}));
    check(PATH, "do it with ./orders.csv, please", json!({"s": "orders.csv"}));
    check(PATH, "do it with the Expenses table", json!({"s": "expenses.csv"}));
    check(PATH, "do it with expneses.csv", json!({"s": "expenses.csv"}));
    check(PATH, "tue es mit orders", json!({"s": "orders.csv"}));
    check(PATH, "do it", json!("Which table? There are expenses.csv, orders.csv."));
    check(
        PATH,
        "do it with sales.csv",
        json!("There is no file called sales.csv here. There are expenses.csv, orders.csv."),
    );
    let two = "  a: {type: path}\n  b: {type: path, cues: [with]}";
    check(
        two,
        "do settings.json with settings.yaml",
        json!({"a": "settings.json", "b": "settings.yaml"}),
    );
}

#[test]
fn a_typo_in_a_name_is_told() {
    let library = library(PATH);
    let found = planned(&library, &specs(), &survey("all"), "do it with expneses.csv");
    let Planned::Plan { notes, .. } = found else { panic!("{found:?}") };
    assert!(notes.iter().any(|note| note.contains("no expneses.csv")), "{notes:?}");
}

const FILES: &str = "  s: {type: files, default: [\"**/*.md\"]}";

#[test]
fn files() {
    check(FILES, "do it", json!({"s": ["**/*.md"]}));
    check(FILES, "do it for docs/guide.md", json!({"s": ["docs/guide.md"]}));
    check(FILES, "do it in the notes folder", json!({"s": ["notes/**"]}));
    check(FILES, "do it in docs", json!({"s": ["docs/**"]}));
    check(FILES, "do it with all photos", json!({"s": ["**/*.jpg", "**/*.png"]}));
    check(FILES, "do it with the PDFs in docs", json!({"s": ["docs/**/*.pdf"]}));
    check(FILES, "do it with *.log", json!({"s": ["**/*.log"]}));
    check(FILES, "do it with logs/*.log", json!({"s": ["logs/*.log"]}));
    check(FILES, "do it with python files", json!({"s": ["**/*.py"]}));
    check(FILES, "do it with all .tmp files", json!({"s": ["**/*.tmp"]}));
    check(
        FILES,
        "tue es mit allen Fotos im Ordner downloads",
        json!({"s": ["downloads/**/*.jpg", "downloads/**/*.png"]}),
    );
    check(FILES, "fais-le pour le dossier docs", json!({"s": ["docs/**"]}));
    check(FILES, "do it with all pdfs except invoice-march.pdf", json!({"s": ["docs/plan.pdf"]}));
    check(FILES, "do it in nowhere/", json!("There is no file or folder called nowhere here."));
}

#[test]
fn files_that_are_written_are_not_read() {
    let slots = "  out: {type: new-file, default: README.md}\n  s: {type: files, default: [\"docs/*.md\", \"*.md\"]}";
    check(
        slots,
        "do it",
        json!({"out": "README.md", "s": ["docs/guide.md", "docs/handbook.md", "docs/links.md"]}),
    );
}

#[test]
fn new_files() {
    let slots = "  out: {type: new-file, optional: true}\n  s: {type: path, optional: true}";
    let both = json!({"out": "out.json", "s": "settings.json"});
    check(slots, "do settings.json into out.json", both.clone());
    check(slots, "do settings.json and save it as out.json", both.clone());
    check(slots, "tue settings.json nach out.json", both.clone());
    check(slots, "haz settings.json en out.json", both);
    check(slots, "do settings.json", json!({"s": "settings.json"}));
    let named =
        "  s: {type: path}\n  out: {type: new-file, default: \"{{s.folder}}{{s.stem}}.toml\"}";
    check(
        named,
        "do data/people.yaml",
        json!({"s": "data/people.yaml", "out": "data/people.toml"}),
    );
}

#[test]
fn folders() {
    let slots = "  to: {type: folder, ask: Into which folder?}\n  s: {type: files}";
    check(slots, "do *.log into archive/", json!({"to": "archive", "s": ["**/*.log"]}));
    check(
        slots,
        "do the photos to pictures",
        json!({"to": "pictures", "s": ["**/*.jpg", "**/*.png"]}),
    );
    check(
        slots,
        "do the photos from downloads into a folder called old-stuff",
        json!({"to": "old-stuff", "s": ["downloads/**/*.jpg", "downloads/**/*.png"]}),
    );
    check(slots, "do *.log", json!("Into which folder?"));
}

#[test]
fn texts() {
    let slots = "  s: {type: text, cues: [about, for], before: [is mentioned]}\n  f: {type: files, optional: true}";
    check(slots, "do \"the budget\"", json!({"s": "the budget"}));
    check(
        slots,
        "do it about the new budget in docs",
        json!({"s": "new budget", "f": ["docs/**"]}),
    );
    check(slots, "do where the budget is mentioned", json!({"s": "budget"}));
    check(slots, "do it for „große Pläne“", json!({"s": "große Pläne"}));
}

#[test]
fn numbers_and_days() {
    let slots = "  s: {type: number, cues: [top, first]}";
    check(slots, "do the top 5", json!({"s": 5}));
    check(slots, "do the first three", json!({"s": 3}));
    let slots = "  s: {type: date}";
    check(slots, "do it since yesterday", json!({"s": "2026-03-17"}));
    check(slots, "do it for March 2025", json!({"s": "2025-03-01"}));
    let slots = "  s: {type: date, bound: end}";
    check(slots, "do it until last week", json!({"s": "2026-03-15"}));
}

const TABLE: &str = "  t: {type: path, kinds: [table]}\n";

#[test]
fn columns() {
    let slots = &format!(
        "{TABLE}  g: {{type: column, of: t, many: true, optional: true, cues: [per, by, je, par, por]}}\n  c: {{type: column, of: t, numeric: true, only: true}}"
    );
    let found = |group: Value, column: &str| json!({"t": "expenses.csv", "g": group, "c": column});
    check(slots, "do vat per category in expenses.csv", found(json!(["category"]), "vat"));
    check(
        slots,
        "do the amounts by city and category in expenses.csv",
        found(json!(["city", "category"]), "amount"),
    );
    check(slots, "tue Beträge je Kategorie in expenses.csv", found(json!(["category"]), "amount"));
    check(slots, "fais par catégorie dans expenses.csv", found(json!(["category"]), "amount"));
    check(slots, "do it for expenses.csv", json!({"t": "expenses.csv", "c": "amount"}));
    check(
        slots,
        "do quantity by customer",
        json!({"t": "orders.csv", "g": ["customer"], "c": "quantity"}),
    );
}

#[test]
fn conditions() {
    let slots = &format!("{TABLE}  w: {{type: condition, of: t}}");
    let one = |column: &str, is: &str, value: Value| json!({"t": "expenses.csv", "w": [{"column": column, "is": is, "value": value}]});
    check(slots, "do expenses.csv where amount is over 100", one("amount", ">", json!(100)));
    check(slots, "do expenses.csv with amount >= 99.5", one("amount", ">=", json!(99.5)));
    check(slots, "do expenses.csv under 20", one("amount", "<", json!(20)));
    check(slots, "do expenses.csv where category is travel", one("category", "=", json!("travel")));
    check(slots, "do expenses.csv from Berlin", one("city", "=", json!("Berlin")));
    check(slots, "do expenses.csv except food", one("category", "!=", json!("food")));
    check(slots, "do expenses.csv after 2025-03-01", one("date", "after", json!("2025-03-01")));
    check(slots, "tue expenses.csv mit amount über 1.000", one("amount", ">", json!(1000)));
    check(slots, "haz expenses.csv con amount menor que 5", one("amount", "<", json!(5)));
    check(
        slots,
        "do expenses.csv in March 2025",
        json!({"t": "expenses.csv", "w": [
            {"column": "date", "is": ">=", "value": "2025-03-01"},
            {"column": "date", "is": "<=", "value": "2025-03-31"},
        ]}),
    );
    check(
        slots,
        "do expenses.csv where amount is between 10 and 20",
        json!({"t": "expenses.csv", "w": [
            {"column": "amount", "is": ">=", "value": 10},
            {"column": "amount", "is": "<=", "value": 20},
        ]}),
    );
}

#[test]
fn formats_and_choices() {
    let slots = "  f: {type: format, values: [json, yaml, toml]}";
    check(slots, "do it from json to yaml", json!({"f": "yaml"}));
    check(slots, "do it as TOML", json!({"f": "toml"}));
    check(slots, "do it as csv", json!("Which f?"));
    let slots = "  c: {type: choice, many: true, values: [{value: TODO, words: [todo, todos]}, {value: FIXME, words: [fixme*]}]}";
    check(slots, "do the TODOs and FIXMEs", json!({"c": ["TODO", "FIXME"]}));
    check(slots, "do the todos", json!({"c": ["TODO"]}));
}
