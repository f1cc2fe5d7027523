//! Upper bounds for what a JSON Schema leaves open, so that a model that has
//! lost its way stops soon. A value that fits the bounded schema fits the
//! original.

use super::schema::with_children;
use serde_json::{Value, json};
use std::convert::Infallible;

/// Characters of a text without a bound of its own.
const TEXT_MAX: u64 = 600;
/// Elements of a list without a bound of its own.
const ITEMS_MAX: u64 = 24;
/// Largest integer that every program reads exactly.
const INTEGER_MAX: i64 = (1 << 53) - 1;
/// Largest number without a bound of its own.
const NUMBER_MAX: f64 = 1e15;
/// Deepest nesting that is looked at; what lies deeper stays as it is.
const DEPTH_MAX: usize = 64;

/// The schema with bounds, and without white space between the parts of values.
pub fn bounded(schema: &Value) -> Value {
    let mut schema = visit(schema, 0);
    if let Value::Bool(_) = schema {
        schema = json!({"allOf": [schema]});
    }
    if let Value::Object(fields) = &mut schema {
        fields.insert("x-guidance".to_owned(), json!({"whitespace_flexible": false}));
    }
    schema
}

fn visit(schema: &Value, depth: usize) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    if depth > DEPTH_MAX {
        return schema.clone();
    }
    let mut deeper = |schema: &Value| Ok::<_, Infallible>(visit(schema, depth + 1));
    let mut own = match with_children(fields, &mut deeper) {
        Ok(own) => own,
        Err(never) => match never {},
    };
    let is = |kind: &str| match fields.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(many)) => many.iter().any(|one| one == kind),
        _ => false,
    };
    let has = |key: &str| fields.contains_key(key);
    let fixed = has("enum") || has("const");
    let open_text = !has("maxLength") && !has("pattern") && !has("format");
    if is("string") && !fixed && open_text {
        let least = fields.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        own.insert("maxLength".to_owned(), TEXT_MAX.max(least).into());
    }
    if is("array") && !fixed && !has("maxItems") {
        let least = fields.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        own.insert("maxItems".to_owned(), ITEMS_MAX.max(least).into());
    }
    // Beyond this no program reads a number exactly.
    let most = if is("integer") { json!(INTEGER_MAX) } else { json!(NUMBER_MAX) };
    let least = if is("integer") { json!(-INTEGER_MAX) } else { json!(-NUMBER_MAX) };
    if (is("integer") || is("number")) && !fixed {
        if !has("maximum") && !has("exclusiveMaximum") {
            own.insert("maximum".to_owned(), most);
        }
        if !has("minimum") && !has("exclusiveMinimum") {
            own.insert("minimum".to_owned(), least);
        }
    }
    Value::Object(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, expect: Value) {
        assert_eq!(visit(&schema, 0), expect);
    }

    #[test]
    fn what_is_open_is_bounded() {
        check(json!({"type": "string"}), json!({"type": "string", "maxLength": 600}));
        check(
            json!({"type": "integer", "minimum": 1}),
            json!({"type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_991_u64}),
        );
        check(
            json!({"type": ["array", "null"], "items": {"type": "string", "minLength": 900}}),
            json!({
                "type": ["array", "null"], "maxItems": 24,
                "items": {"type": "string", "minLength": 900, "maxLength": 900},
            }),
        );
        check(
            json!({"properties": {"a": {"type": "string"}}}),
            json!({"properties": {"a": {"type": "string", "maxLength": 600}}}),
        );
    }

    #[test]
    fn what_has_its_bound_is_left_alone() {
        for schema in [
            json!({"type": "string", "maxLength": 9000}),
            json!({"type": "string", "enum": ["a"]}),
            json!({"type": "string", "pattern": "^a+$"}),
            json!({"type": "integer", "exclusiveMinimum": 0, "maximum": 3}),
            json!({"const": {"type": "string"}}),
            json!(true),
        ] {
            check(schema.clone(), schema);
        }
    }

    #[test]
    fn as_deep_as_a_document_can_be_is_no_danger() {
        // Deeper ones are refused when they are read.
        let depth = 120;
        let text = format!("{}true{}", "{\"items\":".repeat(depth), "}".repeat(depth));
        let deep = bounded(&serde_json::from_str(&text).unwrap());
        let whole = deep.to_string();
        assert_eq!(whole.matches("\"items\"").count(), depth);
    }
}
