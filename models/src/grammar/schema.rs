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

/// How schemas stand in the value of a keyword.
enum Holds {
    /// It is one.
    One,
    /// A list of them.
    List,
    /// One, or a list of them.
    OneOrList,
    /// By name.
    Map,
}

fn holds(key: &str) -> Option<Holds> {
    Some(match key {
        "additionalItems"
        | "additionalProperties"
        | "contains"
        | "not"
        | "if"
        | "then"
        | "else"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "propertyNames" => Holds::One,
        "anyOf" | "oneOf" | "allOf" | "prefixItems" => Holds::List,
        "items" => Holds::OneOrList,
        "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
            Holds::Map
        }
        _ => return None,
    })
}

/// Whether schemas stand in the value of a keyword.
pub(super) fn holds_schemas(key: &str) -> bool {
    holds(key).is_some()
}

/// The value of a keyword, with every schema that stands directly in it put through
/// `change`.
pub(super) fn child<E>(
    key: &str,
    value: &Value,
    change: &mut dyn FnMut(&Value) -> Result<Value, E>,
) -> Result<Value, E> {
    match (holds(key), value) {
        (Some(Holds::List | Holds::OneOrList), Value::Array(all)) => {
            all.iter().map(change).collect()
        }
        (Some(Holds::One | Holds::OneOrList), value) => change(value),
        (Some(Holds::Map), Value::Object(all)) => {
            let all = all.iter().map(|(name, value)| Ok((name.clone(), change(value)?)));
            all.collect::<Result<Map<_, _>, E>>().map(Value::Object)
        }
        (_, value) => Ok(value.clone()),
    }
}

/// What `#/a/b` points to.
pub(super) fn resolve<'v>(root: &'v Value, reference: &str) -> Option<&'v Value> {
    let pointer = reference.strip_prefix('#')?;
    root.pointer(pointer)
}
