//! A draft as the file of a playbook. Texts are written as JSON writes them, which
//! is YAML too, so that nothing in them can be taken for its marks.

use super::draft::{Draft, Fill, Hole};
use serde_json::{Map, Value, json};

/// The file.
pub(super) fn playbook(draft: &Draft) -> String {
    let mut out = format!(
        "# Learned from {} missions; see `alma proposals list`.\nname: {}\nversion: 1\nsummary: {}\nexamples:\n",
        draft.missions,
        draft.name,
        text(&draft.summary())
    );
    for (language, examples) in &draft.examples {
        out.push_str(&format!("  {language}:\n"));
        for example in examples {
            out.push_str(&format!("    - {}\n", text(example)));
        }
    }
    if !draft.words.is_empty() {
        let words: Vec<String> = draft.words.iter().map(|word| text(word)).collect();
        out.push_str(&format!("rules:\n  all:\n    - [{}]\n", words.join(", ")));
    }
    if !draft.holes.is_empty() {
        out.push_str("slots:\n");
        for hole in &draft.holes {
            out.push_str(&format!("  {}: {}\n", hole.name, slot(hole)));
        }
    }
    out.push_str("steps:\n");
    for step in &draft.steps {
        out.push_str(&format!("  - title: {}\n    tool: {}\n", text(&step.title), step.tool));
        if let Some((items, max_items)) = &step.for_each {
            out.push_str(&format!(
                "    for_each: {}\n",
                json!({ "items": items, "max_items": max_items })
            ));
        }
        if !step.after.is_empty() {
            out.push_str(&format!("    after: {}\n", json!(step.after)));
        }
        out.push_str(&format!("    args: {}\n", step.args));
    }
    out.push_str(&format!("answer: {}\n", text(&draft.answer)));
    out
}

fn text(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn slot(hole: &Hole) -> Value {
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(hole.fill.as_str()));
    let mut list = |name: &str, values: &[String]| {
        if !values.is_empty() {
            fields.insert(name.to_owned(), json!(values));
        }
    };
    list("kinds", &hole.kinds);
    list("ext", &hole.ext);
    list("cues", &hole.cues);
    if hole.fill == Fill::Choice {
        let values = hole.choices.iter().map(|value| json!({ "value": value, "words": [value] }));
        fields.insert("values".to_owned(), values.collect());
    } else if hole.fill == Fill::Format {
        fields.insert("values".to_owned(), json!(hole.choices));
    }
    if let Some(of) = &hole.of {
        fields.insert("of".to_owned(), json!(of));
    }
    if hole.many {
        fields.insert("many".to_owned(), json!(true));
    }
    match &hole.default {
        _ if hole.optional => {
            fields.insert("optional".to_owned(), json!(true));
        }
        Some(value) => {
            fields.insert("default".to_owned(), value.clone());
        }
        None => {
            fields.insert("ask".to_owned(), json!(hole.fill.question()));
        }
    }
    Value::Object(fields)
}
