//! JSON Schemas in the words that the grammar engine has.
//!
//! What it does not know is said by what it knows: a negation is pushed inwards until it
//! is an assertion of its own, a condition becomes a choice of two, a dependency too. Where
//! a keyword cannot be said exactly, less is allowed than the schema allows, never more: of
//! `not: {type: object, patternProperties: …}` only the values that are no objects are
//! left. Where nothing would be left, and where the engine has no word at all, the keyword
//! is named and the schema refused.

mod disjoint;
mod negation;

use super::formats;
use super::schema::{child, holds_schemas, resolve};
use disjoint::{ANY, OBJECT, kind, kinds_of, of_kinds};
use serde_json::{Map, Value, json};
use std::cell::Cell;

/// Deepest nesting that is followed, references included.
const DEPTH_MAX: usize = 64;
/// Most that is made of one schema, in bytes as [`weight`] counts them.
const MADE_MAX: usize = 8 << 20;
/// Most looks to see that schemas exclude each other.
const LOOKS_MAX: usize = 200_000;
/// Items of a list among which one is looked for that `contains` asks for.
const CONTAINS_MAX: u64 = 8;

/// A keyword that cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{keyword}: {why}")]
pub(super) struct Unsaid {
    /// Which.
    pub(super) keyword: &'static str,
    /// Why.
    pub(super) why: &'static str,
}

fn unsaid<T>(keyword: &'static str, why: &'static str) -> Result<T, Unsaid> {
    Err(Unsaid { keyword, why })
}

/// The schema in words that the grammar engine has.
pub(super) fn rewritten(schema: &Value) -> Result<Value, Unsaid> {
    Rewriter { root: schema, made: Cell::new(0), looks: Cell::new(0) }.schema(schema, 0)
}

/// What the grammar engine says of a schema that it refuses, behind the keyword that it is
/// about.
pub(super) fn named(why: &str) -> String {
    /// What it says, and of which keyword.
    const SAYINGS: [(&str, &str); 12] = [
        ("oneOf", "oneOf"),
        ("min/maxProperties", "minProperties"),
        ("patternProperty", "patternProperties"),
        ("Schema intersection", "allOf"),
        ("$ref", "$ref"),
        ("circular references", "$ref"),
        ("Definition not found", "$ref"),
        ("Unknown format", "format"),
        ("regex", "pattern"),
        ("Unsatisfiable", "no value fits"),
        ("too large", "size"),
        ("too big", "size"),
    ];
    let line: String = why.lines().next().unwrap_or_default().chars().take(400).collect();
    let unknown =
        why.strip_prefix("Unimplemented keys: [\"").and_then(|keys| keys.split('"').next());
    let said = SAYINGS.iter().find(|(saying, _)| why.contains(saying)).map(|(_, keyword)| *keyword);
    match unknown.or(said) {
        Some(keyword) => format!("{keyword}: {line}"),
        None => line,
    }
}

/// About how many bytes a value takes, counted up to a most.
fn weight(value: &Value, most: usize) -> usize {
    let mut sum = 16;
    match value {
        Value::String(text) => sum += text.len(),
        Value::Array(all) => {
            for value in all {
                if sum > most {
                    break;
                }
                sum += weight(value, most - sum);
            }
        }
        Value::Object(all) => {
            for (name, value) in all {
                if sum > most {
                    break;
                }
                sum += name.len() + weight(value, most - sum);
            }
        }
        _ => {}
    }
    sum
}

/// One of several.
fn any(mut of: Vec<Value>) -> Value {
    of.retain(|schema| *schema != json!(false));
    match of.len() {
        0 => json!(false),
        1 => of.remove(0),
        _ => json!({ "anyOf": of }),
    }
}

struct Rewriter<'v> {
    root: &'v Value,
    made: Cell<usize>,
    looks: Cell<usize>,
}

impl Rewriter<'_> {
    /// One more schema, so deep, with a value of this weight in it.
    fn step(&self, depth: usize, made: &Value) -> Result<(), Unsaid> {
        if depth > DEPTH_MAX {
            return unsaid("$ref", "schemas are nested too deep");
        }
        // What is looked through is no more than what may still be made.
        let left = MADE_MAX.saturating_sub(self.made.get());
        self.made.set(self.made.get() + 64 + weight(made, left));
        if self.made.get() > MADE_MAX {
            return unsaid("size", "what it says is too large for a grammar");
        }
        Ok(())
    }

    /// One more look; `false`: there were too many.
    fn look(&self) -> bool {
        self.looks.set(self.looks.get() + 1);
        self.looks.get() <= LOOKS_MAX
    }

    fn schema(&self, schema: &Value, depth: usize) -> Result<Value, Unsaid> {
        self.step(depth, &Value::Null)?;
        let Value::Object(fields) = schema else { return Ok(schema.clone()) };
        let mut inner = |schema: &Value| self.schema(schema, depth + 1);
        let (mut own, mut also) = (Map::new(), Vec::new());
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("not", value) => {
                    let negated = self.negation(value, depth + 1)?;
                    if negated == json!(false) && *value != json!(true) && *value != json!({}) {
                        return unsaid("not", "what it forbids cannot be said in a grammar");
                    }
                    also.push(inner(&negated)?);
                }
                ("if", condition) => {
                    let branch = |key: &str| fields.get(key).cloned().unwrap_or(json!(true));
                    let negated = self.negation(condition, depth + 1)?;
                    let then = json!({ "allOf": [condition, branch("then")] });
                    let other = json!({ "allOf": [negated, branch("else")] });
                    also.push(inner(&any(vec![then, other]))?);
                }
                ("then" | "else" | "minContains" | "maxContains", _) => {}
                ("dependencies" | "dependentRequired" | "dependentSchemas", Value::Object(all)) => {
                    for (name, needs) in all {
                        also.push(inner(&dependency(name, needs))?);
                    }
                }
                ("oneOf", Value::Array(options)) => {
                    match self.one_of(fields, options, depth)? {
                        Some(exact) => {
                            also.push(json!({ "anyOf": inner_all(&exact, &mut inner)? }))
                        }
                        None => {
                            // The engine may still see that they exclude each other. What is
                            // allowed less in one of them would be allowed more here.
                            let said = inner_all(options, &mut inner)?;
                            if said != *value {
                                return unsaid("oneOf", "its options cannot be told apart");
                            }
                            own.insert(key.clone(), said);
                        }
                    }
                }
                ("propertyNames", names) => also.push(inner(&self.names(names)?)?),
                ("contains", wanted) => also.push(inner(&contains(fields, wanted)?)?),
                ("uniqueItems", Value::Bool(unique)) => {
                    let at_most = fields.get("maxItems").and_then(Value::as_u64);
                    if *unique && at_most.is_none_or(|most| most > 1) {
                        return unsaid(
                            "uniqueItems",
                            "a grammar does not remember what was written",
                        );
                    }
                }
                ("format", Value::String(name)) => match formats::of(name) {
                    None => {}
                    Some(format) => match format.pattern {
                        None => drop(own.insert(key.clone(), value.clone())),
                        Some(pattern) => also.push(json!({ "pattern": pattern })),
                    },
                },
                (key, value) => {
                    if !holds_schemas(key) {
                        self.step(depth, value)?;
                    }
                    own.insert(key.to_owned(), child(key, value, &mut inner)?);
                }
            }
        }
        add(&mut own, also);
        Ok(Value::Object(own))
    }

    /// Of which options `oneOf` allows any, where that can be said: each without those that
    /// it may share values with.
    fn one_of(
        &self,
        fields: &Map<String, Value>,
        options: &[Value],
        depth: usize,
    ) -> Result<Option<Vec<Value>>, Unsaid> {
        let within = fields.get("type").map_or(ANY, kinds_of);
        let mut exact = Vec::new();
        for (at, option) in options.iter().enumerate() {
            self.step(depth, option)?;
            let mut parts = vec![option.clone()];
            for (_, other) in options.iter().enumerate().filter(|(other, _)| *other != at) {
                if !self.disjoint(option, other, within, 0) {
                    match self.negation(other, depth + 1) {
                        Ok(negated) if negated != json!(false) => parts.push(negated),
                        _ => return Ok(None),
                    }
                }
            }
            exact.push(if parts.len() == 1 { parts.remove(0) } else { json!({ "allOf": parts }) });
        }
        Ok(Some(exact))
    }

    /// An object whose names are like this.
    fn names(&self, names: &Value) -> Result<Value, Unsaid> {
        let names = match (names.get("$ref").and_then(Value::as_str), names.as_object()) {
            (Some(reference), Some(fields)) if fields.len() == 1 => {
                resolve(self.root, reference).unwrap_or(names)
            }
            _ => names,
        };
        let none = || json!({ "type": "object", "maxProperties": 0 });
        let mut pattern = None;
        match names {
            Value::Bool(true) => return Ok(json!(true)),
            Value::Object(fields) => {
                for (key, value) in fields.iter().filter(|(key, _)| !is_annotation(key)) {
                    pattern = match (key.as_str(), value) {
                        ("type", Value::String(kind)) if kind == "string" => continue,
                        ("pattern", Value::String(own)) if pattern.is_none() => Some(own.clone()),
                        ("enum", Value::Array(all)) if pattern.is_none() => {
                            let names: Vec<String> = all
                                .iter()
                                .filter_map(Value::as_str)
                                .map(regex_syntax::escape)
                                .collect();
                            match names.as_slice() {
                                [] => return Ok(any(vec![none(), of_kinds(ANY & !OBJECT)])),
                                names => Some(format!("^(?:{})$", names.join("|"))),
                            }
                        }
                        _ => {
                            let why = "only a pattern or a list of names can be said";
                            return unsaid("propertyNames", why);
                        }
                    };
                }
            }
            _ => return Ok(any(vec![none(), of_kinds(ANY & !OBJECT)])),
        }
        let Some(pattern) = pattern else { return Ok(json!(true)) };
        Ok(json!({ "patternProperties": { pattern: true }, "additionalProperties": false }))
    }
}

fn inner_all(
    all: &[Value],
    inner: &mut dyn FnMut(&Value) -> Result<Value, Unsaid>,
) -> Result<Value, Unsaid> {
    all.iter().map(inner).collect()
}

/// Says more, behind what is said already, so that properties keep their order.
fn add(own: &mut Map<String, Value>, mut also: Vec<Value>) {
    if also.is_empty() {
        return;
    }
    let free = ["allOf", "anyOf"].into_iter().find(|key| !own.contains_key(*key));
    match (free, own.get_mut("allOf")) {
        (Some("allOf"), _) => drop(own.insert("allOf".to_owned(), Value::Array(also))),
        (Some(key), _) => drop(own.insert(key.to_owned(), json!([{ "allOf": also }]))),
        (None, Some(Value::Array(all))) => all.append(&mut also),
        (None, _) => {}
    }
}

/// Where there is a property of this name, that too.
fn dependency(name: &str, needs: &Value) -> Value {
    let needs = match needs {
        Value::Array(_) => json!({ "required": needs }),
        Value::String(_) => json!({ "required": [needs] }),
        schema => schema.clone(),
    };
    let with = json!({ "allOf": [{ "required": [name] }, needs] });
    json!({ "anyOf": [{ "properties": { name: false } }, with] })
}

/// How often `contains` asks at least, where that is a number, and whether it has a most.
fn counts(fields: &Map<String, Value>) -> (Option<u64>, bool) {
    let least = fields.get("minContains").map_or(Some(1), Value::as_u64);
    (least, fields.contains_key("maxContains"))
}

/// A list with such an item among the first.
fn contains(fields: &Map<String, Value>, wanted: &Value) -> Result<Value, Unsaid> {
    match counts(fields) {
        (Some(0), false) => return Ok(json!(true)),
        (Some(1), false) => {}
        _ => return unsaid("contains", "how often cannot be said in a grammar"),
    }
    let at = |place: u64| {
        let items: Vec<Value> =
            (0..=place).map(|at| if at == place { wanted.clone() } else { json!(true) }).collect();
        json!({ "type": "array", "items": items, "minItems": place + 1 })
    };
    let mut ways: Vec<Value> = (0..CONTAINS_MAX).map(at).collect();
    ways.push(of_kinds(ANY & !kind(&json!([]))));
    Ok(any(ways))
}

/// Whether a keyword says nothing about values.
fn is_annotation(key: &str) -> bool {
    matches!(key, "title" | "description" | "$comment" | "default" | "examples" | "$id" | "$schema")
}

#[cfg(test)]
mod tests;
