//! Memory in the terminal.

use super::args::Command;
use super::exit::Exit;
use super::show::{steers, text};
use super::{Screen, route};
use alma::{Alma, Error};
use charter::budget::Budget;
use charter::ids::Principal;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

/// Memories that are read at a time.
const PAGE: usize = 500;
/// Questions of one file.
const QUESTIONS_MAX: usize = 1_000_000;
/// Memories that are shown beside an answer.
const NEAR: usize = 3;
/// Longest line of a memory.
const LINE: usize = 200;
/// Components of a score, as they are shown.
const SHARES: [&str; 7] = ["words", "meaning", "neighbours", "speaker", "scope", "own", "recency"];

/// Recalls, and says why each memory was found.
pub(super) async fn why(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    command: &Command,
    budget: &Budget,
) -> Result<Exit, Error> {
    let Some((name, request)) = route::route(command, budget)? else { return Ok(Exit::Done) };
    let response = route::call(alma, principal, name, request).await?;
    screen.line(&recalled(&response));
    for (n, memory) in list(&response["memories"]).iter().enumerate() {
        let why = &memory["why"];
        let number = |value: &Value| format!("{:.2}", value.as_f64().unwrap_or(0.0));
        let shares: Vec<String> = SHARES
            .iter()
            .filter(|share| why[**share].as_f64().is_some_and(|share| share >= 0.005))
            .map(|share| format!("{share} {}", number(&why[*share])))
            .collect();
        screen.line(&format!(
            "\n{}. {}\n   {} = {}   (cosine {}, BM25 {})\n   {}, {}",
            n + 1,
            clipped(&text(&memory["text"])),
            number(&why["score"]),
            shares.join(" + "),
            number(&why["cosine"]),
            number(&why["bm25"]),
            text(&memory["kind"]),
            text(&memory["source"]),
        ));
    }
    Ok(if response["found"] == json!(true) { Exit::Done } else { Exit::Empty })
}

/// A question of many.
#[derive(Deserialize)]
struct Question {
    id: String,
    words: String,
}

/// Answers many questions, a line each, with the time that each took.
pub(super) async fn batch(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    file: &Path,
    limit: Option<u32>,
) -> Result<Exit, Error> {
    let unread = |cause: String| {
        Error::Usage(format!("the questions {} cannot be read: {cause}", file.display()))
    };
    let lines: Box<dyn BufRead + Send> = match file == Path::new("-") {
        true => Box::new(std::io::BufReader::new(std::io::stdin())),
        false => {
            let open = std::fs::File::open(file).map_err(|error| unread(error.to_string()))?;
            Box::new(std::io::BufReader::new(open))
        }
    };
    let mut any = false;
    for (n, line) in lines.lines().take(QUESTIONS_MAX).enumerate() {
        let line = line.map_err(|error| unread(error.to_string()))?;
        let Question { id, words } = serde_json::from_str(&line)
            .map_err(|error| unread(format!("line {}: {error}", n + 1)))?;
        let began = Instant::now();
        let request = json!({ "words": words, "limit": limit });
        let response = route::call(alma, principal, "memory.recall", request).await?;
        let took_ms = began.elapsed().as_secs_f64() * 1_000.0;
        any |= response["found"] == json!(true);
        let memories: Vec<&Value> =
            list(&response["memories"]).iter().map(|memory| &memory["text"]).collect();
        let answer: Vec<&Value> =
            list(&response["answer"]).iter().map(|quote| &quote["text"]).collect();
        let line = json!({ "id": id, "took_ms": took_ms, "memories": memories, "answer": answer });
        screen.line(&line.to_string());
    }
    Ok(if any { Exit::Done } else { Exit::Empty })
}

/// Writes all memories, a line each.
pub(super) async fn export(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
) -> Result<Exit, Error> {
    let mut after = Value::Null;
    let mut any = false;
    loop {
        let request = json!({ "after": after, "limit": PAGE });
        let response = route::call(alma, principal, "memory.export", request).await?;
        let page = list(&response["memories"]);
        for line in page {
            any = true;
            screen.line(&line.to_string());
        }
        match response.get("last") {
            Some(Value::String(last)) => after = json!(last),
            _ => return Ok(if any { Exit::Done } else { Exit::Empty }),
        }
    }
}

pub(super) fn recalled(response: &Value) -> String {
    let answer = list(&response["answer"]);
    let memories = list(&response["memories"]);
    if memories.is_empty() || response["found"] == json!(false) {
        return "I remember nothing about that.\nTell me with: alma remember …, or take \
                documents in with: alma memory import …"
            .to_owned();
    }
    let mut shown = String::new();
    for quote in answer {
        shown.push_str(&format!("“{}”\n", clipped(&text(&quote["text"]))));
        shown.push_str(&format!("    {}{}\n", text(&quote["source"]), trust(quote)));
    }
    if answer.is_empty() {
        shown.push_str("I remember nothing that answers this; nearest to it is:\n");
        for memory in memories.iter().take(NEAR) {
            shown.push_str(&format!("  {}\n", clipped(&text(&memory["text"]))));
            shown.push_str(&format!("    {}{}\n", text(&memory["source"]), trust(memory)));
        }
    }
    shown.trim_end().to_owned()
}

fn trust(memory: &Value) -> &'static str {
    if memory["trust"] == json!("untrusted") { " (not your own words)" } else { "" }
}

pub(super) fn kept(response: &Value) -> String {
    let unsure = list(&response["unsure"]);
    if !unsure.is_empty() {
        let mut shown = "nothing is kept yet: which of these is no longer true?".to_owned();
        for one in unsure {
            let (text, memory) = (clipped(&text(&one["text"])), text(&one["memory"]));
            shown.push_str(&format!("\n  “{text}”\n    alma remember --instead-of {memory} …"));
        }
        return shown;
    }
    let mut shown = match response["known"] == json!(true) {
        true => format!("known already: {}", text(&response["text"])),
        false => format!("kept: {}", text(&response["text"])),
    };
    for old in list(&response["ended"]) {
        shown.push_str(&format!("\nno longer true: {}", text(old)));
    }
    shown
        .push_str(&format!("\nforget it with: alma forget --memory {}", text(&response["memory"])));
    shown
}

pub(super) fn forgotten(response: &Value) -> String {
    if response["found"] != json!(true) {
        return "nothing that is kept holds these words".to_owned();
    }
    let receipt = &response["receipt"];
    let kinds = receipt["memories"].as_object();
    let kinds: Vec<String> = kinds
        .into_iter()
        .flatten()
        .map(|(kind, n)| format!("{n} {kind}{}", if n == &json!(1) { "" } else { "s" }))
        .collect();
    let kinds = if kinds.is_empty() { "no memory".to_owned() } else { kinds.join(", ") };
    let would = if response["dry_run"] == json!(true) { "would forget" } else { "forgotten" };
    let mut shown = format!("{would}: {kinds}; {} stored texts", text(&receipt["contents"]));
    let files = list(&response["files"]);
    if !files.is_empty() {
        shown.push_str("\nyour own files hold it and were left:");
        for file in files {
            shown.push_str(&format!("\n  {}", text(file)));
        }
    }
    shown
}

pub(super) fn imported(response: &Value) -> String {
    let mut shown = format!(
        "{} files read: {} new memories, {} known, {} ended",
        text(&response["files"]),
        text(&response["new"]),
        text(&response["known"]),
        text(&response["ended"]),
    );
    for note in list(&response["notes"]) {
        shown.push_str(&format!("\n  {}: {}", text(&note["path"]), text(&note["reason"])));
    }
    shown
}

pub(super) fn report(response: &Value) -> String {
    let mut shown = String::new();
    for (kind, states) in response["memories"].as_object().into_iter().flatten() {
        let states: Vec<String> = states
            .as_object()
            .into_iter()
            .flatten()
            .map(|(state, n)| format!("{n} {state}"))
            .collect();
        shown.push_str(&format!("{kind:<10}{}\n", states.join(", ")));
    }
    if shown.is_empty() {
        shown.push_str("nothing is remembered yet; begin with: alma remember …\n");
    }
    shown.push_str(&format!(
        "index     {} memories by {}, up to event {}",
        text(&response["indexed"]),
        text(&response["embedder"]),
        text(&response["position"]),
    ));
    shown
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text on one line, without what would steer a terminal.
fn clipped(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line: String = line.join(" ").chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    console::truncate_str(&line, LINE, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn an_answer_names_its_source_and_what_nobody_said() {
        let memory = json!({ "text": "The rent\u{1b}[2J is\n900.", "source": "flat.md", "trust": "untrusted" });
        let answered = json!({ "found": true, "answer": [memory], "memories": [memory] });
        expect![[r#"
            “The rent [2J is 900.”
                flat.md (not your own words)"#]]
        .assert_eq(&recalled(&answered));
        let near = json!({ "found": true, "answer": [], "memories": [memory] });
        assert!(recalled(&near).starts_with("I remember nothing that answers this"));
        let nothing = json!({ "found": false, "answer": [], "memories": [] });
        assert!(recalled(&nothing).contains("alma remember"));
    }

    #[test]
    fn a_receipt_counts() {
        let receipt = json!({ "found": true, "dry_run": false, "files": ["/n/a.md"],
            "receipt": { "memories": { "fact": 1, "turn": 2 }, "contents": 7, "files_left": 1 } });
        expect![[r#"
            forgotten: 1 fact, 2 turns; 7 stored texts
            your own files hold it and were left:
              /n/a.md"#]]
        .assert_eq(&forgotten(&receipt));
    }
}
