//! Language models as text.

use super::show::{indent, table, text};
use serde_json::{Value, json};

/// Lines of a chat template that are shown.
const TEMPLATE_LINES: usize = 12;

/// The models that are there, and what is worth getting.
pub(super) fn list(response: &Value) -> String {
    let models = response["models"].as_array().map_or(&[][..], Vec::as_slice);
    let (good, bad): (Vec<_>, Vec<_>) = models.iter().partition(|one| one["problem"].is_null());
    let rows: Vec<Value> = good
        .into_iter()
        .map(|one| {
            json!({
                "": if one["used"] == json!(true) { "→" } else { "" },
                "name": one["name"],
                "kind": one["architecture"],
                "format": one["format"],
                "size": size(one["bytes"].as_u64()),
                "context": one["context"],
                "runs": one["runs"],
            })
        })
        .collect();
    let mut shown = if rows.is_empty() { String::new() } else { table(&rows) };
    for one in &bad {
        shown.push_str(&format!("✘ {}: {}\n", text(&one["name"]), text(&one["problem"])));
    }
    let used = models.iter().any(|one| one["used"] == json!(true));
    match (used, models.is_empty()) {
        (true, _) => shown.push_str("\n→ is the one that Alma uses\n"),
        (false, true) => shown.push_str(
            "There is no language model here. Missions, memory and schedules work without one;\n\
             free talk and plans that no playbook covers need one.\n",
        ),
        (false, false) => shown.push_str("\nnone of them is used\n"),
    }
    if !used {
        shown.push_str(&format!(
            "\nTo use one: put its file into {}\nand name it in config.toml in the folder above:\n\n  \
             [model]\n  path = \"NAME.gguf\"\n",
            text(&response["folder"])
        ));
    }
    shown.push_str("\nworth getting (Qwen2, Qwen2.5 and Qwen3 run here):\n");
    for one in response["recommended"].as_array().into_iter().flatten() {
        shown.push_str(&format!(
            "  {}  {}  {}\n      memory: {}\n      {}\n",
            text(&one["name"]),
            text(&one["format"]),
            size(one["bytes"].as_u64()),
            text(&one["memory"]),
            text(&one["why"]),
        ));
    }
    shown
}

/// One model.
pub(super) fn one(response: &Value) -> String {
    let number = |key: &str| text(&response[key]);
    let rows = [
        ("name", number("name")),
        ("path", number("path")),
        ("used", if response["used"] == json!(true) { "yes" } else { "no" }.to_owned()),
        ("kind", number("architecture")),
        ("format", format!("{}, {}", number("format"), size(response["bytes"].as_u64()))),
        ("runs", number("runs")),
        ("shape", number("shape")),
        ("context", format!("{} tokens, {} used here", number("context"), number("context_used"))),
        ("tokenizer", format!("{} tokens", number("tokens"))),
        ("digest", number("digest")),
    ];
    let mut shown: String =
        rows.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect();
    let template = number("template");
    let head: Vec<&str> = template.lines().take(TEMPLATE_LINES).collect();
    shown.push_str(&format!("template\n{}\n", indent(&head.join("\n"))));
    let more = template.lines().count().saturating_sub(TEMPLATE_LINES);
    if more > 0 {
        shown.push_str(&format!("  … {more} more lines\n"));
    }
    shown
}

fn size(bytes: Option<u64>) -> String {
    match bytes {
        None => String::new(),
        Some(bytes) if bytes >= 1_000_000_000 => format!("{:.1} GB", bytes as f64 / 1e9),
        Some(bytes) if bytes >= 1_000_000 => format!("{} MB", bytes / 1_000_000),
        Some(bytes) => format!("{} kB", bytes / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn an_empty_shelf_says_how_to_fill_it() {
        let response = json!({"models": [], "folder": "/h/models", "recommended": [{
            "name": "Q", "format": "GGUF Q8_0", "bytes": 529_000_000, "memory": "1 GB", "why": "small",
        }]});
        expect![[r#"
            There is no language model here. Missions, memory and schedules work without one;
            free talk and plans that no playbook covers need one.

            To use one: put its file into /h/models
            and name it in config.toml in the folder above:

              [model]
              path = "NAME.gguf"

            worth getting (Qwen2, Qwen2.5 and Qwen3 run here):
              Q  GGUF Q8_0  529 MB
                  memory: 1 GB
                  small
        "#]]
        .assert_eq(&list(&response));
    }

    #[test]
    fn good_ones_are_rows_and_bad_ones_say_why() {
        let response = json!({"folder": "/h/models", "recommended": [], "models": [
            {"name": "a.gguf", "used": true, "architecture": "qwen2", "format": "GGUF Q8_0",
             "bytes": 529_000_000, "context": 32_768, "runs": "well"},
            {"name": "b.gguf", "used": false, "problem": "it is damaged"},
        ]});
        expect![[r#"
               name    kind   format     size    context  runs
            →  a.gguf  qwen2  GGUF Q8_0  529 MB  32768    well
            ✘ b.gguf: it is damaged

            → is the one that Alma uses

            worth getting (Qwen2, Qwen2.5 and Qwen3 run here):
        "#]]
        .assert_eq(&list(&response));
    }
}
