//! What grammars accept, and how long a mask takes, over JSON Schemas of other people's
//! (`alma bench grammar`). The data is that of MaskBench: schemas, each with instances
//! that fit it and instances that do not.
//!
//! Every schema is compiled twice: as answers are asked for here, and by llguidance alone.
//! Instances are cut into tokens and given to the [`Guide`] that steers answers: one is
//! accepted if every token of it is allowed and taken, and the end is allowed behind the
//! last.

use super::{Grammars, Guide};
use crate::tokens::Tokens;
use charter::generate::{GenerateError, Shape};
use llguidance::api::TopLevelGrammar;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tokens of the longest instance.
const TOKENS_MAX: u32 = 32_768;

/// A schema with its instances.
#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    schema: Value,
    #[serde(default)]
    tests: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
struct Instance {
    valid: bool,
    data: Value,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Schemas.
    pub schemas: u32,
    /// Compiled here.
    pub compiled: u32,
    /// Compiled by llguidance alone.
    pub compiled_alone: u32,
    /// Refused here, by the keyword that is named.
    pub refused: BTreeMap<String, u32>,
    /// Instances of compiled schemas.
    pub instances: u32,
    /// Instances that were accepted only with their properties in the schema's order.
    pub reordered: u32,
    /// Invalid ones that were accepted: the schema's name and which of its instances.
    pub wrong_accepts: Vec<String>,
    /// Valid ones that were rejected.
    pub wrong_rejects: Vec<String>,
    /// How long each mask took, ascending.
    pub masks: Vec<Duration>,
    /// How long each schema took to compile, ascending.
    pub compiles: Vec<Duration>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
#[error("could not use {path}: {why}", path = path.display())]
pub struct MaskBenchError {
    path: PathBuf,
    why: String,
}

/// Tries all `*.jsonl` of a folder with the `tokenizer.json` of another, for a model whose
/// logits have at least `width` numbers. `tell` hears how many schemas are done.
pub fn run(
    data: &Path,
    tokenizer: &Path,
    width: usize,
    tell: &mut dyn FnMut(u32),
) -> Result<Found, MaskBenchError> {
    let wrong = |path: &Path, why: String| MaskBenchError { path: path.to_owned(), why };
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()));
    let path = tokenizer.join("tokenizer.json");
    let json = serde_json::from_str(&read(&path)?).map_err(|e| wrong(&path, e.to_string()))?;
    let tokens = Tokens::new(json, &[]).map_err(|error| wrong(&path, error.to_string()))?;
    let width = width.max(tokens.size());
    let grammars = Grammars::new(Arc::new(tokens), width).map_err(|why| wrong(&path, why))?;
    let grammars = Arc::new(grammars);
    let files = crate::qwen::files::with_ending(data, "jsonl")
        .map_err(|error| wrong(data, error.to_string()))?;
    let mut found = Found::default();
    for file in files {
        for (line, number) in read(&file)?.lines().zip(1..) {
            let case: Case = serde_json::from_str(line)
                .map_err(|error| wrong(&file, format!("line {number}: {error}")))?;
            try_case(&grammars, &case, &mut found);
            tell(found.schemas);
        }
    }
    found.masks.sort_unstable();
    found.compiles.sort_unstable();
    Ok(found)
}

/// The keyword that a refusal names.
fn keyword(why: &GenerateError) -> String {
    match why {
        GenerateError::Shape(why) => why.split(": ").next().unwrap_or(why).to_owned(),
        GenerateError::NoRoom { .. } => "no ending was found".to_owned(),
        other => other.to_string(),
    }
}

fn try_case(grammars: &Arc<Grammars>, case: &Case, found: &mut Found) {
    found.schemas += 1;
    let alone = TopLevelGrammar::from_json_schema(case.schema.clone());
    found.compiled_alone += u32::from(grammars.parser(alone).is_ok());
    let shape = Shape::Json(case.schema.clone());
    let compile = || grammars.guide(&shape, TOKENS_MAX);
    let began = Instant::now();
    match compile() {
        Err(why) => *found.refused.entry(keyword(&why)).or_default() += 1,
        Ok(guide) => {
            found.compiles.push(began.elapsed());
            found.compiled += 1;
            let mut first = guide;
            for (instance, number) in case.tests.iter().zip(0..) {
                found.instances += 1;
                let mut accepted = |value: &Value, first: &mut Option<Guide>| {
                    let guide = first.take().map_or_else(&compile, |guide| Ok(Some(guide)));
                    match guide {
                        Ok(Some(mut guide)) => {
                            accepts(grammars, &mut guide, value, &mut found.masks)
                        }
                        _ => Ok(false),
                    }
                    .unwrap_or(false)
                };
                let mut fits = accepted(&instance.data, &mut first);
                if !fits {
                    let ordered = in_order(&instance.data, &[&case.schema], &case.schema, 0);
                    // As values they are equal: what counts is how they are written.
                    let (written, given) = (ordered.to_string(), instance.data.to_string());
                    if written != given {
                        fits = accepted(&ordered, &mut None);
                        found.reordered += u32::from(fits);
                    }
                }
                let name = || format!("{}#{number}", case.id);
                match (fits, instance.valid) {
                    (true, false) => found.wrong_accepts.push(name()),
                    (false, true) => found.wrong_rejects.push(name()),
                    _ => {}
                }
            }
        }
    }
}

/// A value with the properties of its objects in the order in which its schemas name
/// them: answers are written in that order, and to JSON they are the same.
fn in_order(value: &Value, schemas: &[&Value], root: &Value, depth: usize) -> Value {
    let mut parts = Vec::new();
    for schema in schemas {
        applying(schema, root, depth, &mut parts);
    }
    let inner = |value: &Value, schemas: &[&Value]| in_order(value, schemas, root, depth + 1);
    match value {
        Value::Array(items) => {
            let of = |at: usize| -> Vec<&Value> {
                let prefix = parts.iter().filter_map(|part| part.get("prefixItems")?.get(at));
                let items = parts.iter().filter_map(|part| part.get("items"));
                let items =
                    items.filter_map(|own| if own.is_array() { own.get(at) } else { Some(own) });
                prefix.chain(items).collect()
            };
            items.iter().enumerate().map(|(at, item)| inner(item, &of(at))).collect()
        }
        Value::Object(fields) => {
            let named = |key: &'static str| parts.iter().filter_map(move |part| part.get(key));
            let known = named("properties").filter_map(Value::as_object).flat_map(|own| own.keys());
            let required = named("required").filter_map(Value::as_array).flatten();
            let known = known.map(String::as_str).chain(required.filter_map(Value::as_str));
            let mut ordered = serde_json::Map::new();
            for name in known.chain(fields.keys().map(String::as_str)) {
                if let Some(own) = fields.get(name).filter(|_| !ordered.contains_key(name)) {
                    let properties = named("properties").filter_map(|all| all.get(name));
                    let patterns = named("patternProperties").filter_map(Value::as_object);
                    let patterns = patterns.flat_map(|all| all.values());
                    let others = named("additionalProperties");
                    let schemas: Vec<&Value> = properties.chain(patterns).chain(others).collect();
                    ordered.insert(name.to_owned(), inner(own, &schemas));
                }
            }
            Value::Object(ordered)
        }
        _ => value.clone(),
    }
}

/// The schemas that say something of a value that this one is for.
fn applying<'v>(schema: &'v Value, root: &'v Value, depth: usize, into: &mut Vec<&'v Value>) {
    if depth > 32 || into.len() > 500 || !schema.is_object() {
        return;
    }
    into.push(schema);
    for key in ["$ref", "allOf", "anyOf", "oneOf", "if", "then", "else"] {
        match schema.get(key) {
            Some(Value::String(reference)) => {
                if let Some(target) = super::schema::resolve(root, reference) {
                    applying(target, root, depth + 1, into);
                }
            }
            Some(Value::Array(all)) => {
                all.iter().for_each(|one| applying(one, root, depth + 1, into));
            }
            Some(one) => applying(one, root, depth + 1, into),
            None => {}
        }
    }
}

/// Whether an answer may be this value.
fn accepts(
    grammars: &Grammars,
    guide: &mut Guide,
    value: &Value,
    masks: &mut Vec<Duration>,
) -> Result<bool, GenerateError> {
    let tokens = grammars.tokens();
    let text = tokens
        .encode(&value.to_string())
        .map_err(|error| GenerateError::Shape(error.to_string()))?;
    for token in text {
        if guide.is_done() {
            return Ok(false);
        }
        let began = Instant::now();
        let allowed = guide.allowed()?;
        masks.push(began.elapsed());
        if !allowed.is_allowed(token) || guide.take_one(token)? != Some(token) {
            return Ok(false);
        }
    }
    let allowed = guide.allowed()?;
    Ok(guide.is_done() || tokens.ends().iter().any(|end| allowed.is_allowed(*end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tokenizer_json;
    use serde_json::json;

    #[test]
    fn what_is_accepted_and_what_is_not_is_counted() {
        let (data, tokenizer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(tokenizer.path().join("tokenizer.json"), tokenizer_json().to_string())
            .unwrap();
        let object = json!({
            "properties": {"a": {"type": "integer"}, "b": {"not": {"enum": ["x"]}}},
            "required": ["a"], "type": "object",
        });
        let lines = [
            json!({"id": "one", "schema": object, "tests": [
                {"valid": true, "data": {"b": "y", "a": 1}},
                {"valid": false, "data": {"a": 1, "b": "x"}},
                {"valid": false, "data": {"a": "1"}},
                // These say of themselves what is not so.
                {"valid": true, "data": {"b": "y"}},
                {"valid": false, "data": {"a": 1}},
            ]}),
            json!({"id": "two", "schema": {"type": "array", "uniqueItems": true}}),
        ];
        let lines = lines.map(|line| line.to_string()).join("\n");
        std::fs::write(data.path().join("some.jsonl"), lines).unwrap();
        let mut told = 0;
        let found = run(data.path(), tokenizer.path(), 0, &mut |done| told = done).unwrap();
        assert_eq!((told, found.schemas, found.compiled, found.compiled_alone), (2, 2, 1, 0));
        assert_eq!(found.refused, BTreeMap::from([("uniqueItems".to_owned(), 1)]));
        assert_eq!((found.instances, found.reordered), (5, 1));
        assert_eq!(found.wrong_rejects, ["one#3"]);
        assert_eq!(found.wrong_accepts, ["one#4"]);
        assert!(found.masks.len() > 10 && found.masks.is_sorted() && found.compiles.len() == 1);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let (data, tokenizer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let run = || run(data.path(), tokenizer.path(), 0, &mut |_| ()).unwrap_err().to_string();
        assert!(run().contains("tokenizer.json"), "{}", run());
        std::fs::write(tokenizer.path().join("tokenizer.json"), tokenizer_json().to_string())
            .unwrap();
        std::fs::write(data.path().join("bad.jsonl"), "{\"id\": \"a\"}").unwrap();
        assert!(run().contains("bad.jsonl: line 1"), "{}", run());
    }
}
