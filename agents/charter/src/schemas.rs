//! The JSON Schemas of events and of their envelope, in `schemas/`. They are made
//! from the types, so they cannot drift: `UPDATE_EXPECT=1 cargo test -p charter
//! schemas` writes them anew. What was released stands in `schemas/released`; against
//! it, changes may only add.

use crate::envelope::{Envelope, SCHEMA_VERSION};
use crate::event::Event;
use expect_test::{ExpectFile, expect_file};
use schemars::JsonSchema;
use schemars::r#gen::SchemaSettings;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Types that are written as a text of this pattern.
macro_rules! text {
    ($name:ident, $pattern:expr) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> String {
                stringify!($name).to_owned()
            }

            fn json_schema(_: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
                let pattern = Some($pattern.to_owned());
                schemars::schema::SchemaObject {
                    instance_type: Some(schemars::schema::InstanceType::String.into()),
                    string: Some(Box::new(schemars::schema::StringValidation {
                        pattern,
                        ..Default::default()
                    })),
                    ..Default::default()
                }
                .into()
            }
        }
    };
}
pub(crate) use text;

fn generated<T: JsonSchema>(name: &str) -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    let mut schema = serde_json::to_value(schema).unwrap();
    schema["$id"] = json!(format!("urn:alma:{name}:{SCHEMA_VERSION}"));
    schema
}

/// The same with its fields by name: which crates are built beside this one decides
/// whether JSON keeps their order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            fields.into_iter().map(|(name, field)| (name.clone(), sorted(field))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn check(schema: &Value, committed: ExpectFile) {
    committed.assert_eq(&format!("{}\n", serde_json::to_string_pretty(&sorted(schema)).unwrap()));
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    check(&generated::<Event>("event"), expect_file!["../schemas/event.schema.json"]);
    check(&generated::<Envelope>("envelope"), expect_file!["../schemas/envelope.schema.json"]);
}

#[test]
fn since_the_last_release_fields_and_kinds_were_only_added() {
    let released = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let event = released(include_str!("../schemas/released/event.schema.json"));
    let envelope = released(include_str!("../schemas/released/envelope.schema.json"));
    assert_eq!(broken(&event, &generated::<Event>("event")), [""; 0]);
    assert_eq!(broken(&envelope, &generated::<Envelope>("envelope")), [""; 0]);
}

/// What a reader or a writer of the old schema would stumble over.
fn broken(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(old, new, "", &mut found);
    found
}

fn compare(old: &Value, new: &Value, at: &str, found: &mut Vec<String>) {
    let (Some(was), Some(is)) = (old.as_object(), new.as_object()) else {
        if old != new {
            found.push(format!("{at}: {old} became {new}"));
        }
        return;
    };
    let list = |of: &serde_json::Map<String, Value>, key: &str| {
        of.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    for field in list(is, "required") {
        if !list(was, "required").contains(&field) {
            found.push(format!("{at}: {field} must be there now, and older records lack it"));
        }
    }
    for (key, was) in was {
        let at = format!("{at}/{key}");
        if ["description", "title", "default"].contains(&key.as_str()) {
            continue;
        }
        let Some(is) = is.get(key) else {
            found.push(format!("{at} is gone"));
            continue;
        };
        match (key.as_str(), was, is) {
            ("properties" | "definitions", Value::Object(was), Value::Object(is)) => {
                for (name, was) in was {
                    match is.get(name) {
                        Some(is) => compare(was, is, &format!("{at}/{name}"), found),
                        None => found.push(format!("{at}/{name} is gone")),
                    }
                }
            }
            ("required" | "enum", Value::Array(was), Value::Array(is)) => {
                let gone = was.iter().filter(|value| !is.contains(value));
                found.extend(gone.map(|value| format!("{at}: {value} is gone")));
            }
            ("oneOf" | "anyOf", Value::Array(was), Value::Array(is)) => {
                for variant in was {
                    let name = name(variant);
                    match is.iter().find(|other| self::name(other) == name) {
                        Some(other) => compare(variant, other, &format!("{at}/{name}"), found),
                        None => found.push(format!("{at}/{name} is gone")),
                    }
                }
            }
            ("allOf", Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
                for (was, is) in was.iter().zip(is) {
                    compare(was, is, &at, found);
                }
            }
            _ => compare(was, is, &at, found),
        }
    }
}

/// What tells a variant from its siblings: its text, its tags, or where it stands.
fn name(variant: &Value) -> String {
    let only = |schema: &Value| match schema["enum"].as_array().map(Vec::as_slice) {
        Some([one]) => one.as_str().map(str::to_owned),
        _ => None,
    };
    let tags = variant["properties"].as_object().into_iter().flatten();
    let tags: Vec<String> =
        tags.filter_map(|(field, schema)| Some(format!("{field}={}", only(schema)?))).collect();
    match (only(variant), tags.is_empty()) {
        (Some(text), _) => text,
        (None, false) => tags.join(","),
        (None, true) => variant["$ref"].as_str().map_or(variant.to_string(), str::to_owned),
    }
}

#[test]
fn what_is_taken_away_or_changed_is_noticed_and_what_is_added_is_not() {
    let old = json!({
        "definitions": { "Id": { "type": "string", "pattern": "^m-" } },
        "oneOf": [{
            "properties": {
                "kind": { "type": "string", "enum": ["a"] },
                "id": { "$ref": "#/definitions/Id" },
                "n": { "type": "integer" },
            },
            "required": ["kind", "id"],
        }],
    });
    let check = |change: fn(&mut Value), expect: &[&str]| {
        let mut new = old.clone();
        change(&mut new);
        let found = broken(&old, &new);
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "{found:?}");
        }
    };
    check(|_| {}, &[]);
    check(
        |new| {
            let other =
                json!({ "properties": { "kind": { "enum": ["b"] } }, "required": ["kind"] });
            new["oneOf"].as_array_mut().unwrap().insert(0, other);
            new["oneOf"][1]["properties"]["more"] = json!({ "type": "string" });
            new["oneOf"][1]["description"] = json!("told better");
        },
        &[],
    );
    check(|new| new["oneOf"] = json!([]), &["kind=a is gone"]);
    check(|new| new["oneOf"][0]["properties"]["n"] = json!({ "type": "string" }), &["n/type"]);
    check(
        |new| {
            new["oneOf"][0]["properties"].as_object_mut().unwrap().remove("n");
        },
        &["n is gone"],
    );
    check(|new| new["oneOf"][0]["required"] = json!(["kind"]), &["\"id\" is gone"]);
    check(|new| new["oneOf"][0]["required"] = json!(["kind", "id", "n"]), &["must be there now"]);
    check(|new| new["definitions"]["Id"]["pattern"] = json!("^x-"), &["pattern"]);
}
