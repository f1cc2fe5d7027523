//! Walking over a JSON Schema: which keywords hold schemas.

use serde_json::{Map, Value};

/// The same fields, with every schema that stands directly in them put through `change`.
pub(super) fn with_children<E>(
    fields: &Map<String, Value>,
    change: &mut dyn FnMut(&Value) -> Result<Value, E>,
) -> Result<Map<String, Value>, E> {
    let mut own = Map::new();
    for (key, value) in fields {
        own.insert(key.clone(), child(key, value, change)?);
    }
    Ok(own)
}

/// The value of a keyword, with every schema that stands directly in it put through
/// `change`.
pub(super) fn child<E>(
    key: &str,
    value: &Value,
    change: &mut dyn FnMut(&Value) -> Result<Value, E>,
) -> Result<Value, E> {
    match (key, value) {
        ("items" | "anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(all)) => {
            all.iter().map(change).collect()
        }
        (
            "items"
            | "additionalItems"
            | "additionalProperties"
            | "contains"
            | "not"
            | "if"
            | "then"
            | "else"
            | "unevaluatedItems"
            | "unevaluatedProperties"
            | "propertyNames",
            value,
        ) => change(value),
        (
            "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas",
            Value::Object(all),
        ) => {
            let all = all.iter().map(|(name, value)| Ok((name.clone(), change(value)?)));
            all.collect::<Result<Map<_, _>, E>>().map(Value::Object)
        }
        (_, value) => Ok(value.clone()),
    }
}

/// Whether schemas stand in the value of a keyword.
pub(super) fn holds_schemas(key: &str) -> bool {
    let mut holds = false;
    let mut found = |_: &Value| {
        holds = true;
        Ok::<_, std::convert::Infallible>(Value::Null)
    };
    for probe in [Value::Null, serde_json::json!([null]), serde_json::json!({ "": null })] {
        let _ = child(key, &probe, &mut found);
    }
    holds
}

/// What `#/a/b` points to.
pub(super) fn resolve<'v>(root: &'v Value, reference: &str) -> Option<&'v Value> {
    let pointer = reference.strip_prefix('#')?;
    root.pointer(pointer)
}
