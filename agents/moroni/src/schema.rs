//! Arguments against a tool's JSON Schema, as far as they are known: a reference
//! may become anything, so it fits everywhere.
//!
//! Tools check their arguments fully when they are called; this finds mistakes
//! before anything runs. It covers the keywords that tools use: `type`, `enum`,
//! `const`, `properties`, `required`, `additionalProperties`, `items`, `minItems`,
//! `maxItems`, `minLength`, `minimum`, `maximum`, `anyOf`, `oneOf`, `allOf`.

use crate::refs;
use serde_json::Value;

/// A mistake in an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where, as `where.0.column`; empty for the whole.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

/// Deepest nesting that is looked at.
const DEPTH_MAX: usize = 32;

/// Everything about `value` that does not fit `schema`.
pub fn misfits(value: &Value, schema: &Value) -> Vec<Misfit> {
    let mut found = Vec::new();
    visit(value, schema, "", 0, &mut found);
    found
}

fn visit(value: &Value, schema: &Value, at: &str, depth: usize, found: &mut Vec<Misfit>) {
    let wrong = |message: String| Misfit { at: at.to_owned(), message };
    if depth > DEPTH_MAX {
        found.push(wrong(format!("it is nested deeper than {DEPTH_MAX} levels")));
        return;
    }
    let text = value.as_str();
    if text.is_some_and(refs::is_lone) {
        return;
    }
    let Some(schema) = schema.as_object() else {
        if schema == &Value::Bool(false) {
            found.push(wrong("nothing is allowed here".to_owned()));
        }
        return;
    };
    for every in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        visit(value, every, at, depth + 1, found);
    }
    for key in ["anyOf", "oneOf"] {
        let Some(either) = schema.get(key).and_then(Value::as_array) else { continue };
        let mut best: Option<Vec<Misfit>> = None;
        for one in either {
            let mut own = Vec::new();
            visit(value, one, at, depth + 1, &mut own);
            if best.as_ref().is_none_or(|best| own.len() < best.len()) {
                best = Some(own);
            }
        }
        found.extend(best.into_iter().flatten());
    }
    if let Some(types) = schema.get("type") {
        let allowed: Vec<&str> = match types {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !allowed.iter().any(|kind| is_of(value, kind)) {
            found.push(wrong(format!("expected {}, found {}", allowed.join(" or "), kind(value))));
            return;
        }
    }
    let known = !text.is_some_and(refs::has_any);
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && known
        && !allowed.contains(value)
    {
        let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
        found.push(wrong(format!("{value} is none of {}", names.join(", "))));
    }
    if let Some(only) = schema.get("const")
        && known
        && only != value
    {
        found.push(wrong(format!("{value} is not {only}")));
    }
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            if bound("minimum").is_some_and(|least| number < least)
                || bound("maximum").is_some_and(|most| number > most)
            {
                found.push(wrong(format!("{value} is out of bounds")));
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as f64;
            if known && bound("minLength").is_some_and(|least| length < least) {
                found.push(wrong("the text is too short".to_owned()));
            }
        }
        Value::Array(items) => {
            let length = items.len() as f64;
            if bound("minItems").is_some_and(|least| length < least) {
                found.push(wrong("the list has too few elements".to_owned()));
            }
            if bound("maxItems").is_some_and(|most| length > most) {
                found.push(wrong("the list has too many elements".to_owned()));
            }
            if let Some(each) = schema.get("items") {
                for (i, item) in items.iter().enumerate() {
                    visit(item, each, &join(at, &i.to_string()), depth + 1, found);
                }
            }
        }
        Value::Object(fields) => object(fields, schema, at, depth, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(
    fields: &serde_json::Map<String, Value>,
    schema: &serde_json::Map<String, Value>,
    at: &str,
    depth: usize,
    found: &mut Vec<Misfit>,
) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let property = |key: &str| properties.and_then(|properties| properties.get(key));
    for (key, value) in fields {
        let place = join(at, key);
        match (property(key), schema.get("additionalProperties")) {
            (Some(own), _) => visit(value, own, &place, depth + 1, found),
            (None, Some(Value::Bool(false))) => {
                let mut names: Vec<&str> =
                    properties.into_iter().flat_map(|p| p.keys()).map(String::as_str).collect();
                names.sort_unstable();
                let message = format!("{key:?} is not known here; there are {}", names.join(", "));
                found.push(Misfit { at: place, message });
            }
            (None, Some(other)) => visit(value, other, &place, depth + 1, found),
            (None, None) => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            let message = format!("{name:?} is missing");
            found.push(Misfit { at: at.to_owned(), message });
        }
    }
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["files"], "additionalProperties": false,
            "properties": {
                "files": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
                "what": {"enum": ["tasks", "links"]},
                "limit": {"type": "integer", "minimum": 1, "maximum": 10},
            },
        })
    }

    fn check(value: Value, expect: &[&str]) {
        let found: Vec<String> = misfits(&value, &schema())
            .into_iter()
            .map(|m| format!("{}: {}", m.at, m.message))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn what_fits_is_left_alone() {
        check(json!({"files": "*.md"}), &[]);
        check(json!({"files": ["a", "b"], "what": "tasks", "limit": 3}), &[]);
    }

    #[test]
    fn references_fit_everywhere() {
        check(json!({"files": "${1.files}", "what": "${1.what}", "limit": "${1.count}"}), &[]);
        check(json!({"files": ["${item.path}"]}), &[]);
    }

    #[test]
    fn mistakes_are_placed() {
        check(json!({}), &[": \"files\" is missing"]);
        check(json!({"files": 3}), &["files: expected string, found number"]);
        check(
            json!({"files": "a", "what": "todo"}),
            &["what: \"todo\" is none of \"tasks\", \"links\""],
        );
        check(json!({"files": "a", "limit": 11}), &["limit: 11 is out of bounds"]);
        check(json!({"files": "a", "limit": "x ${1}"}), &["limit: expected integer, found string"]);
        check(
            json!({"files": "a", "file": "b"}),
            &["file: \"file\" is not known here; there are files, limit, what"],
        );
    }

    proptest! {
        /// Where there are no references, a full validator says the same.
        #[test]
        fn a_validator_agrees(
            files in prop_oneof![
                Just(json!("a")), Just(json!(["a"])), Just(json!([])), Just(json!(1)), Just(json!([1]))
            ],
            what in prop_oneof![Just(json!("tasks")), Just(json!("x")), Just(json!(null))],
            limit in prop_oneof![Just(json!(0)), Just(json!(5)), Just(json!(2.5)), Just(json!("5"))],
            extra: bool,
        ) {
            let mut value = json!({"files": files, "what": what, "limit": limit});
            if extra {
                value["more"] = json!(1);
            }
            let full = jsonschema::is_valid(&schema(), &value);
            prop_assert_eq!(misfits(&value, &schema()).is_empty(), full, "{}", value);
        }
    }
}
