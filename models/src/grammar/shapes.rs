//! Shapes that are asked for often.

use crate::grammar::compile::literal;
use charter::generate::{Quotable, Shape};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Characters of a reason.
const REASON_MAX: u32 = 160;
/// Quotes that one answer may bring.
const QUOTES_MAX: usize = 4;
/// Words of all sources together that quotes are taken from.
const WORDS_MAX: usize = 20_000;

/// One of these texts.
pub fn choice<S: Into<String>>(choices: impl IntoIterator<Item = S>) -> Shape {
    Shape::Choice(choices.into_iter().map(Into::into).collect())
}

/// Where a message goes, then why: `{"route": …, "reason": …}`.
pub fn route(routes: &[&str]) -> Shape {
    Shape::Json(json!({
        "type": "object", "additionalProperties": false, "required": ["route", "reason"],
        "properties": {
            "route": {"enum": routes},
            "reason": {"type": "string", "maxLength": REASON_MAX},
        },
    }))
}

/// One call of one of these tools, given by name and JSON Schema of the
/// arguments: `{"name": …, "arguments": {…}}`.
pub fn tool_call<'t>(tools: impl IntoIterator<Item = (&'t str, &'t Value)>) -> Shape {
    let calls: Vec<Value> = tools
        .into_iter()
        .map(|(name, args)| {
            json!({
                "type": "object", "additionalProperties": false,
                "required": ["name", "arguments"],
                "properties": {"name": {"const": name}, "arguments": args},
            })
        })
        .collect();
    Shape::Json(json!({"anyOf": calls}))
}

/// An answer from sources: `{"quotes": [{"source", "quote"}], "answer": …}`.
///
/// A quote is word for word in its source: nothing else can be written. Without
/// a quote the answer can only be `null`.
pub fn answer_with_quotes(sources: &[Quotable], answer_max: u32) -> Shape {
    let none = r#"{"quotes":[],"answer":null}"#;
    let mut rules = String::new();
    let mut quotes = Vec::new();
    let mut room = WORDS_MAX;
    for (i, source) in sources.iter().enumerate() {
        let chunks: Vec<String> = words(&source.text).take(room).collect();
        room -= chunks.len();
        if chunks.is_empty() {
            continue;
        }
        let begin = format!(r#"{{"source":{},"quote":""#, Value::from(source.name.as_str()));
        let chunks = json!({"substring_chunks": chunks});
        let _ = write!(rules, "Q{i}: %regex {chunks}\nFULL{i}: Q{i} & /.+/\n");
        let _ = writeln!(rules, "q{i}: {} FULL{i} {}", literal(&begin), literal("\"}"));
        quotes.push(format!("q{i}"));
    }
    if quotes.is_empty() {
        return Shape::Choice(vec![none.to_owned()]);
    }
    let answer = format!(r#"ANSWER: /([^"\\\x00-\x1f\x7f]|\\["\\n]){{1,{answer_max}}}/"#);
    Shape::Lark(format!(
        "start: {none} | {open} quote (\",\" quote){{0,{more}}} {middle} ANSWER {close}\n\
         quote: {quote}\n{rules}{answer}\n",
        none = literal(none),
        open = literal(r#"{"quotes":["#),
        more = QUOTES_MAX - 1,
        middle = literal(r#"],"answer":""#),
        close = literal("\"}"),
        quote = quotes.join(" | "),
    ))
}

/// Words with the blank behind them, as they stand in a JSON text. A text ends
/// at the end of each paragraph, so that quotes do too.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(char::is_whitespace).filter_map(|word| {
        let word: String = word.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let written = Value::from(word).to_string();
        let inner = written.get(1..written.len() - 1)?.to_owned();
        (!inner.trim().is_empty()).then_some(inner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::Grammars;
    use crate::sampling::Sampling;
    use crate::testing::{Random, answer, tokenizer_json};
    use crate::tokens::Tokens;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    /// What comes out by chance, parsed.
    fn values(shape: &Shape, seeds: u64) -> Vec<Value> {
        let tokens = Arc::new(Tokens::new(tokenizer_json(), &[]).unwrap());
        let width = tokens.size();
        let grammars = Arc::new(Grammars::new(Arc::clone(&tokens), width).unwrap());
        (0..seeds)
            .map(|seed| {
                let sampling = Sampling { temperature: 1.5, ..Sampling::default() };
                let model = Random::new(width, seed);
                let produced = answer(model, &grammars, shape, 500, sampling, seed);
                serde_json::from_str(&produced.text)
                    .unwrap_or_else(|error| panic!("{error}: {}", produced.text))
            })
            .collect()
    }

    #[test]
    fn routes_have_a_reason() {
        let mut seen = BTreeSet::new();
        for value in values(&route(&["chat", "recall", "mission"]), 30) {
            seen.insert(value["route"].as_str().unwrap().to_owned());
            assert!(value["reason"].as_str().unwrap().chars().count() <= 160);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["chat", "mission", "recall"]);
    }

    #[test]
    fn calls_fit_their_tool() {
        let list = json!({
            "type": "object", "additionalProperties": false, "required": ["files"],
            "properties": {"files": {"type": "string"}},
        });
        let delete = json!({
            "type": "object", "additionalProperties": false, "required": ["path", "n"],
            "properties": {"path": {"type": "string"}, "n": {"type": "integer"}},
        });
        let shape = tool_call([("list", &list), ("delete", &delete)]);
        for call in values(&shape, 30) {
            let schema = if call["name"] == "list" { &list } else { &delete };
            assert!(jsonschema::is_valid(schema, &call["arguments"]), "{call}");
        }
    }

    #[test]
    fn quotes_are_word_for_word() {
        let text = "He said \"no\" to C:\\temp.\nOn Friday – at nine – we decided: blue.";
        let quotable = |name: &str, text: &str| Quotable { name: name.into(), text: text.into() };
        let sources = [
            quotable("a \"b\".md", text),
            quotable("empty.md", " \n"),
            quotable("c.md", "One word"),
        ];
        let flat = |text: &str| text.replace('\n', " ");
        let (mut quoted, mut abstained) = (0, 0);
        for value in values(&answer_with_quotes(&sources, 120), 80) {
            let quotes = value["quotes"].as_array().unwrap();
            assert_eq!(quotes.is_empty(), value["answer"].is_null(), "{value}");
            abstained += u32::from(quotes.is_empty());
            for quote in quotes {
                let source = sources.iter().find(|s| s.name == quote["source"]).unwrap();
                let words = quote["quote"].as_str().unwrap();
                assert!(!words.is_empty() && flat(&source.text).contains(words), "{value}");
                quoted += 1;
            }
        }
        assert!(quoted > 20 && abstained > 5, "{quoted} {abstained}");
    }

    #[test]
    fn without_sources_there_is_no_answer() {
        let found = values(&answer_with_quotes(&[], 100), 2);
        assert_eq!(found[0], json!({"quotes": [], "answer": null}));
    }
}
