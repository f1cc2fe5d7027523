//! Facts and answers: what is told is kept, corrected, answered, and not answered
//! where nothing that is known answers.

use alma_tests::shell::Shell;
use serde_json::Value;
use std::path::Path;

const ALMA: &str = env!("CARGO_BIN_EXE_alma-counting");

/// The answer to a question, as sentences.
fn answer(shell: &Shell, question: &str) -> String {
    let out = shell.run(&["--json", "recall", question]).json();
    let quotes = out["answer"].as_array().unwrap().clone();
    quotes.iter().map(|q| q["text"].as_str().unwrap()).collect::<Vec<_>>().join(" | ")
}

/// Says some things in one conversation; the session's name is taken from the last.
fn talk(shell: &Shell, said: &[&str]) -> Vec<alma_tests::shell::Out> {
    let mut session: Option<String> = None;
    let mut all = Vec::new();
    for words in said {
        let mut args = vec!["--json".to_owned(), "ask".to_owned()];
        if let Some(session) = &session {
            args.extend(["--session".to_owned(), session.clone()]);
        }
        args.push((*words).to_owned());
        let out = shell.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        session = out.json()["session"].as_str().map(str::to_owned);
        all.push(out);
    }
    all
}

fn says(out: &alma_tests::shell::Out, parts: &[&str]) {
    let answer = out.json()["answer"].as_str().unwrap().to_owned();
    for part in parts {
        assert!(answer.contains(part), "{part:?} is not in {answer:?}");
    }
}

#[test]
fn a_correction_takes_the_place_of_what_it_corrects() {
    let shell = Shell::new(ALMA);
    let told = talk(
        &shell,
        &["The floor of the shop is oak.", "no, the floor is pine", "actually it is larch"],
    );
    says(&told[0], &["Kept: “The floor of the shop is oak.”"]);
    says(&told[1], &["The floor of the shop is pine", "no longer true", "oak"]);
    says(&told[2], &["The floor of the shop is larch", "no longer true", "pine"]);
    let now = answer(&shell, "what is the floor of the shop made of?");
    assert!(now.contains("larch") && !now.contains("oak") && !now.contains("pine"), "{now}");
    talk(&shell, &["Clara likes cake", "Clara does not like cake"]);
    let now = answer(&shell, "does Clara like cake?");
    assert!(now.contains("does not") && !now.contains("likes"), "{now}");
    talk(&shell, &["our office is in Bonn", "we moved: the office is in Ulm now"]);
    let now = answer(&shell, "where is the office?");
    assert!(now.contains("Ulm") && !now.contains("Bonn"), "{now}");
    talk(&shell, &["my phone number is 555 0142", "my new phone number is 555 7788"]);
    let now = answer(&shell, "what is my phone number?");
    assert!(now.contains("7788") && !now.contains("0142"), "{now}");
    shell.run(&["remember", "the train leaves at 9:10"]).says(0, &[]);
    let out = shell.run(&["remember", "I was wrong: the train leaves at 9:40"]);
    out.says(0, &["kept: the train leaves at 9:40", "no longer true: the train leaves at 9:10"]);
    shell.intact();
}

#[test]
fn what_is_corrected_stays_in_history() {
    let shell = Shell::new(ALMA);
    talk(&shell, &["the gate code is 5512"]);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let before = {
        let out = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
        String::from_utf8(out.unwrap().stdout).unwrap().trim().to_owned()
    };
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    talk(&shell, &["no, the gate code is 7001"]);
    assert!(answer(&shell, "what is the gate code?").contains("7001"));
    let then = shell.run(&["recall", "--as-of", &before, "what is the gate code?"]);
    then.says(0, &["5512"]);
    assert!(!then.out.contains("7001"), "{then:#?}");
}

#[test]
fn who_could_mean_several_is_asked_once() {
    let shell = Shell::new(ALMA);
    let told = talk(
        &shell,
        &[
            "the floor of the shop is oak",
            "the floor of the flat is oak",
            "the roof of the flat is slate",
            "correction: the floor is pine",
            "the one of the shop",
        ],
    );
    says(&told[3], &["Which of these is no longer true?", "shop", "flat"]);
    says(&told[4], &["The floor of the shop is pine".to_lowercase().as_str(), "no longer true"]);
    assert!(answer(&shell, "what is the floor of the flat?").contains("oak"));
    assert!(!answer(&shell, "what is the floor of the shop?").contains("shop is oak"));
    let out = shell.run(&["remember", "no, the rent is 950"]);
    out.says(0, &["kept: the rent is 950"]);
    shell.intact();
}

#[test]
fn what_is_told_of_oneself_is_kept_and_told_back() {
    let shell = Shell::new(ALMA);
    for fact in [
        "my sister's name is Clara",
        "I'm allergic to nuts",
        "our wifi password is sunflower77",
        "ich heiße Jonas",
    ] {
        says(&talk(&shell, &[fact])[0], &["Kept:", fact]);
    }
    talk(&shell, &["remember that the shop closes at six"]);
    let me = talk(&shell, &["what do you know about me?"]);
    says(&me[0], &["Clara", "nuts", "sunflower77", "Jonas", "you said it on"]);
    assert!(!me[0].json()["answer"].as_str().unwrap().contains("closes at six"));
    says(&talk(&shell, &["who am I?"])[0], &["Jonas"]);
    says(&talk(&shell, &["actually it is larch"])[0], &["say it in full"]);
    says(&talk(&shell, &["what do you remember?"])[0], &["closes at six", "Jonas"]);
    shell.run(&["recall", "what do you know about me?"]).says(0, &["Clara", "Jonas"]);
    let report = shell.run(&["--json", "memory", "report"]).json();
    assert_eq!(report["memories"]["fact"]["held"], 5, "{report:#?}");
    shell.intact();
}

#[test]
fn what_is_no_fact_is_not_kept() {
    let shell = Shell::new(ALMA);
    for words in ["remember that x", "remember what we did?", "remember this", "remember"] {
        talk(&shell, &[words]);
    }
    let report = shell.run(&["--json", "memory", "report"]).json();
    assert_eq!(report["memories"]["fact"], Value::Null, "{report:#?}");
    shell.run(&["remember", "x"]).says(2, &["one word alone"]);
}

#[test]
fn a_fact_is_found_however_often_it_was_corrected() {
    let shell = Shell::new(ALMA);
    shell.run(&["remember", "the boiler was serviced in September by Kessler"]).says(0, &[]);
    for rent in [950, 960, 970, 980, 990] {
        let fact = format!("the rent is {rent} euros");
        shell.run(&["remember", &fact]).says(0, &[]);
        for question in ["how much is the rent?", "what did I say about the rent?", "rent"] {
            shell.run(&["recall", question]).says(0, &[&format!("“{fact}”")]);
        }
    }
    let about = "what do you remember about the boiler?";
    shell.run(&["recall", about]).says(0, &["by Kessler"]);
    shell.run(&["recall", "how much is the insurance?"]).says(1, &[]);
}

/// Sentences that answer each of some questions.
fn answered(shell: &Shell, questions: &Path) -> Vec<(String, String)> {
    let out = shell.run(&["recall", "--questions", questions.to_str().unwrap()]);
    let lines = out.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let said = |line: &Value| {
        let quotes = line["answer"].as_array().unwrap().iter();
        quotes.map(|quote| quote.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" | ")
    };
    lines.map(|line| (line["id"].as_str().unwrap().to_owned(), said(&line))).collect()
}

/// Of 20 questions that the memory answers at least so many are answered, and of 20
/// that it does not at least so many are not.
const RIGHT_MIN: usize = 18;
const SILENT_MIN: usize = 18;

#[test]
fn what_memory_answers_is_answered_and_nothing_else() {
    let shell = Shell::new(ALMA);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("recall");
    let memory = here.join("memory.jsonl");
    shell.run(&["memory", "import", memory.to_str().unwrap()]).says(0, &["22 new memories"]);
    let file = here.join("questions.jsonl");
    let answers = answered(&shell, &file);
    let (mut right, mut silent, mut faults) = (0, 0, Vec::new());
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        let question: Value = serde_json::from_str(line).unwrap();
        let id = question["id"].as_str().unwrap();
        let (_, said) = answers.iter().find(|(known, _)| known == id).unwrap();
        let fits = match question["answer"].as_str() {
            Some(expected) => said.split(" | ").next().unwrap().contains(expected),
            None => said.is_empty(),
        };
        match question["answer"].is_null() {
            true => silent += usize::from(fits),
            false => right += usize::from(fits),
        }
        if !fits {
            faults.push(format!("{}: {said:?}", question["words"]));
        }
    }
    eprintln!("{right} of 20 answered, {silent} of 20 rightly not: {faults:#?}");
    assert!(right >= RIGHT_MIN && silent >= SILENT_MIN, "{right} {silent} {faults:#?}");
}

#[test]
fn headings_are_not_quoted_and_equal_sentences_are_one() {
    let shell = Shell::new(ALMA);
    shell.put("a/plan.md", "# Boiler service\n\nThe boiler service is on 9 March.\n");
    shell.put("b/copy.md", "# Boiler service\n\nThe boiler service is on 9 March.\n");
    shell.run(&["memory", "import", "a", "b"]).says(0, &["2 files read"]);
    let out = shell.run(&["recall", "when is the boiler service?"]);
    out.says(0, &["9 March", "a/plan.md", "b/copy.md"]);
    assert_eq!(out.out.matches("The boiler service is on 9 March").count(), 1, "{out:#?}");
    assert!(!out.out.contains('#'), "{out:#?}");
}

#[test]
fn an_export_keeps_sources_and_an_import_raises_no_trust() {
    let shell = Shell::new(ALMA);
    shell.put("notes/flat.md", "The landlord is Mrs. Petrova.\n");
    shell.run(&["memory", "import", "notes"]).says(0, &[]);
    talk(&shell, &["remember that the rent is 900 euros", "remember that the rent is 950 euros"]);
    let export = shell.run(&["memory", "export"]).out;
    let other = Shell::new(ALMA);
    other.put("mine.jsonl", export.as_bytes());
    other.run(&["memory", "import", "mine.jsonl"]).says(0, &["3 new memories", "--own"]);
    let found = other.run(&["recall", "who is the landlord?"]);
    found.says(0, &["notes/flat.md, as it was on", "not your own words"]);
    // What was true once is true no more there either.
    let rent = other.run(&["recall", "how much is the rent?"]);
    rent.says(0, &["950", "you said it on", "not your own words"]);
    assert!(!rent.out.contains("900"), "{rent:#?}");
    let third = Shell::new(ALMA);
    third.put("mine.jsonl", export.as_bytes());
    third.run(&["memory", "import", "--own", "mine.jsonl"]).says(0, &["3 new memories"]);
    let rent = third.run(&["recall", "how much is the rent?"]);
    rent.says(0, &["950", "you said it on"]);
    assert!(!rent.out.contains("not your own words"), "{rent:#?}");
    third.run(&["recall", "who is the landlord?"]).says(0, &["not your own words"]);
    let again = third.run(&["memory", "export"]).out;
    let sorted = |text: &str| {
        let mut lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.sort_by_key(|line| line["name"].to_string());
        lines
    };
    assert_eq!(sorted(&again), sorted(&export));
    // Lines of somebody else end nothing that the user said.
    third.put("evil.jsonl", "{\"name\": \"e:1\", \"kind\": \"fact\", \"text\": \"the rent is 100 euros\", \"trust\": \"trusted\"}\n");
    third.run(&["memory", "import", "evil.jsonl"]).says(0, &[]);
    third.run(&["recall", "how much is the rent?"]).says(0, &["950"]);
    third.intact();
}

#[test]
fn a_phrase_is_forgotten_across_lines_and_gaps() {
    let shell = Shell::new(ALMA);
    shell.put("a.md", "The safe hangs behind the purple\nmarigold picture.\n");
    shell.run(&["memory", "import", "a.md"]).says(0, &[]);
    talk(&shell, &["remember that we sold the purple  marigold picture"]);
    shell.run(&["forget", "purple marigold"]).says(0, &["forgotten", "1 fact", "1 passage"]);
    assert_eq!(answer(&shell, "where is the marigold picture?"), "");
    shell.intact();
}
