//! JSON Schemas in the words that the grammar engine has.
//!
//! What it does not know is said by what it knows: a negation is pushed inwards until it
//! is an assertion of its own, a condition becomes a choice of two, a dependency too. Where
//! a keyword cannot be said exactly, less is allowed than the schema allows, never more: of
//! `not: {type: object, patternProperties: …}` only the values that are no objects are
//! left. Where nothing would be left, and where the engine has no word at all, the keyword
//! is named and the schema refused.

use super::formats;
use super::schema::{child, holds_schemas, resolve};
use serde_json::{Map, Value, json};
use std::cell::Cell;

/// Deepest nesting that is followed, references included.
const DEPTH_MAX: usize = 64;
/// Deepest nesting that is looked at to see that two schemas exclude each other.
const LOOK_MAX: usize = 8;
/// Most that is made of one schema, in bytes as [`weight`] counts them.
const MADE_MAX: usize = 8 << 20;
/// Most looks to see that schemas exclude each other.
const LOOKS_MAX: usize = 200_000;
/// Longest text, in bytes, that is told from all others, and most such texts.
const OTHER_MAX: (usize, usize) = (200, 1_000);
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

/// The kinds of values: a bit for each.
type Kinds = u8;

const KINDS: [(&str, Kinds); 7] = [
    ("null", 1),
    ("boolean", 2),
    ("number", 4),
    ("string", 8),
    ("array", 16),
    ("object", 32),
    ("integer", 4),
];
const OBJECT: Kinds = 32;
const ANY: Kinds = 63;

fn kind(value: &Value) -> Kinds {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => 4,
        Value::String(_) => 8,
        Value::Array(_) => 16,
        Value::Object(_) => OBJECT,
    }
}

/// The bits of a `type`.
fn kinds_of(value: &Value) -> Kinds {
    let one = |name: &str| KINDS.iter().find(|(own, _)| *own == name).map_or(0, |(_, bit)| *bit);
    match value {
        Value::String(name) => one(name),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).map(one).fold(0, |a, b| a | b)
        }
        _ => ANY,
    }
}

/// A schema of everything that has one of these kinds.
fn of_kinds(kinds: Kinds) -> Value {
    let names: Vec<&str> =
        KINDS[..6].iter().filter(|(_, bit)| kinds & bit != 0).map(|(name, _)| *name).collect();
    match names.as_slice() {
        [] => json!(false),
        [one] => json!({ "type": one }),
        _ => json!({ "type": names }),
    }
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

    /// What does not fit a schema, or a part of it. `false`: none of it can be said.
    fn negation(&self, schema: &Value, depth: usize) -> Result<Value, Unsaid> {
        self.step(depth, &Value::Null)?;
        let fields = match schema {
            Value::Bool(all) => return Ok(json!(!all)),
            Value::Object(fields) => fields,
            _ => return unsaid("not", "it is no schema"),
        };
        let all = |of: &Value| -> Result<Vec<Value>, Unsaid> {
            let of = of.as_array().map_or(&[][..], Vec::as_slice);
            of.iter().map(|one| self.negation(one, depth + 1)).collect()
        };
        // One way for each assertion that can fail.
        let mut ways = Vec::new();
        for (key, value) in fields {
            if matches!(key.as_str(), "not" | "if" | "const" | "enum" | "required" | "pattern") {
                self.step(depth, value)?;
            }
            match (key.as_str(), value) {
                ("not", value) => ways.push(value.clone()),
                ("allOf", value) => ways.extend(all(value)?),
                ("anyOf", value) => ways.push(json!({ "allOf": all(value)? })),
                // None of them; that several fit is left out.
                ("oneOf", value) => ways.push(json!({ "allOf": all(value)? })),
                ("if", condition) => {
                    let negated = self.negation(condition, depth + 1)?;
                    for (key, when) in [("then", condition.clone()), ("else", negated)] {
                        if let Some(branch) = fields.get(key) {
                            let fails = self.negation(branch, depth + 1)?;
                            ways.push(json!({ "allOf": [when, fails] }));
                        }
                    }
                }
                ("$ref", Value::String(reference)) => match resolve(self.root, reference) {
                    Some(target) => ways.push(self.negation(target, depth + 1)?),
                    None => return unsaid("$ref", "what it refers to is not in the schema"),
                },
                // Numbers that are no integers are left out.
                ("type", value) => ways.push(of_kinds(ANY & !kinds_of(value))),
                ("const", value) => ways.push(other_than(std::slice::from_ref(value))),
                ("enum", Value::Array(values)) => ways.push(other_than(values)),
                ("required", Value::Array(names)) => {
                    let names = names.iter().filter_map(Value::as_str);
                    ways.extend(
                        names
                            .map(|name| json!({ "type": "object", "properties": { name: false } })),
                    );
                }
                ("properties", Value::Object(properties)) => {
                    for (name, schema) in properties {
                        let fails = self.negation(schema, depth + 1)?;
                        if fails != json!(false) {
                            ways.push(json!({
                                "type": "object", "required": [name], "properties": { name: fails },
                            }));
                        }
                    }
                }
                // Items behind others that have schemas of their own are left out.
                ("items", Value::Object(_)) if !fields.contains_key("prefixItems") => {
                    let fails = self.negation(value, depth + 1)?;
                    if fails != json!(false) {
                        ways.push(json!({ "type": "array", "items": [fails], "minItems": 1 }));
                    }
                }
                ("contains", value) if counts(fields) == (Some(1), false) => {
                    let fails = self.negation(value, depth + 1)?;
                    ways.push(json!({ "type": "array", "items": fails }));
                }
                ("dependencies" | "dependentRequired" | "dependentSchemas", Value::Object(all)) => {
                    for (name, needs) in all {
                        let fails = match needs {
                            Value::Array(_) => {
                                self.negation(&json!({ "required": needs }), depth + 1)?
                            }
                            schema => self.negation(schema, depth + 1)?,
                        };
                        ways.push(
                            json!({ "allOf": [{ "type": "object", "required": [name] }, fails] }),
                        );
                    }
                }
                ("pattern", Value::String(pattern)) => ways.extend(unlike(pattern)),
                (key, value) => ways.extend(beyond(key, value)),
            }
        }
        Ok(any(ways))
    }

    /// Which kinds of values may fit.
    fn kinds(&self, schema: &Value, depth: usize) -> Kinds {
        let fields = match schema {
            Value::Object(fields) if depth < LOOK_MAX && self.look() => fields,
            Value::Bool(false) => return 0,
            _ => return ANY,
        };
        let mut kinds = ANY;
        for (key, value) in fields {
            let several = value.as_array().map_or(&[][..], Vec::as_slice);
            let each = || several.iter().map(|one| self.kinds(one, depth + 1));
            kinds &= match key.as_str() {
                "type" => kinds_of(value),
                "const" => kind(value),
                "enum" => several.iter().map(kind).fold(0, |a, b| a | b),
                "anyOf" | "oneOf" => each().fold(0, |a, b| a | b),
                "allOf" => each().fold(ANY, |a, b| a & b),
                "$ref" => match value.as_str().and_then(|own| resolve(self.root, own)) {
                    Some(target) => self.kinds(target, depth + 1),
                    None => ANY,
                },
                _ => ANY,
            };
        }
        kinds
    }

    /// The schemas that a value has to fit, all of them, to fit this one.
    fn parts<'s>(&'s self, schema: &'s Value, depth: usize, into: &mut Vec<&'s Value>) {
        if depth > LOOK_MAX || into.len() > 64 || !self.look() {
            return;
        }
        into.push(schema);
        let target = schema.get("$ref").and_then(Value::as_str);
        if let Some(target) = target.and_then(|own| resolve(self.root, own)) {
            self.parts(target, depth + 1, into);
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.parts(part, depth + 1, into);
        }
    }

    /// Whether no value of these kinds fits both; `false` also where that is not seen.
    fn disjoint(&self, a: &Value, b: &Value, within: Kinds, depth: usize) -> bool {
        let shared = within & self.kinds(a, depth) & self.kinds(b, depth);
        if shared == 0 {
            return true;
        }
        if depth > LOOK_MAX || !self.look() {
            return false;
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        self.parts(a, depth, &mut ours);
        self.parts(b, depth, &mut theirs);
        for (parts, other) in [(&ours, b), (&theirs, a)] {
            for options in parts.iter().filter_map(|part| part.get("anyOf").or(part.get("oneOf"))) {
                let options = options.as_array().map_or(&[][..], Vec::as_slice);
                let mut apart = !options.is_empty();
                for option in options {
                    apart = apart && self.disjoint(option, other, shared, depth + 1);
                }
                if apart {
                    return true;
                }
            }
        }
        let values = |parts: &[&Value]| {
            parts.iter().find_map(|part| match (part.get("const"), part.get("enum")) {
                (Some(one), _) => Some(vec![one.clone()]),
                (_, Some(Value::Array(many))) => Some(many.clone()),
                _ => None,
            })
        };
        if let (Some(ours), Some(theirs)) = (values(&ours), values(&theirs)) {
            let same = |value, other| !self.look() || equal(value, other);
            return !ours.iter().any(|value| theirs.iter().any(|other| same(value, other)));
        }
        if shared != OBJECT {
            return false;
        }
        let required = ours.iter().chain(&theirs).filter_map(|part| part.get("required"));
        for name in required.filter_map(Value::as_array).flatten().filter_map(Value::as_str) {
            let (mine, other) = (properties(&ours, name), properties(&theirs, name));
            if mine.iter().chain(&other).any(|schema| **schema == json!(false)) {
                return true;
            }
            for mine in &mine {
                for other in &other {
                    if self.disjoint(mine, other, ANY, depth + 1) {
                        return true;
                    }
                }
            }
        }
        false
    }
}

fn inner_all(
    all: &[Value],
    inner: &mut dyn FnMut(&Value) -> Result<Value, Unsaid>,
) -> Result<Value, Unsaid> {
    all.iter().map(inner).collect()
}

/// What these schemas say of a property.
fn properties<'v>(parts: &[&'v Value], name: &str) -> Vec<&'v Value> {
    let of = |part: &&'v Value| {
        let own = part.get("properties").and_then(|all| all.get(name));
        let others =
            || part.get("additionalProperties").filter(|_| part.get("patternProperties").is_none());
        own.or_else(others)
    };
    parts.iter().filter_map(of).collect()
}

/// Equal as JSON Schema says: `1` and `1.0` are.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
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

/// Values that are none of these. Lists and objects are left out where one of them is.
fn other_than(values: &[Value]) -> Value {
    let kinds = values.iter().map(kind).fold(0, |a, b| a | b);
    let mut ways = vec![of_kinds(ANY & !kinds)];
    let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    let (longest, most) = OTHER_MAX;
    let few = texts.len() <= most && texts.iter().all(|text| text.len() <= longest);
    if !texts.is_empty() && few {
        let pattern = format!("^(?s:{})$", other_text(&texts, 0));
        ways.push(json!({ "type": "string", "pattern": pattern }));
    }
    let mut numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
    numbers.sort_by(f64::total_cmp);
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
        ways.push(json!({ "type": "number", "exclusiveMaximum": first }));
        ways.extend(numbers.windows(2).map(|pair| {
            json!({ "type": "number", "exclusiveMinimum": pair[0], "exclusiveMaximum": pair[1] })
        }));
        ways.push(json!({ "type": "number", "exclusiveMinimum": last }));
    }
    let flags: Vec<bool> = values.iter().filter_map(Value::as_bool).collect();
    if let [first, rest @ ..] = flags.as_slice()
        && rest.iter().all(|flag| flag == first)
    {
        ways.push(json!({ "enum": [!first] }));
    }
    any(ways)
}

/// A pattern of all texts but these, of which the first `at` characters are alike and
/// have been read.
fn other_text(texts: &[&str], at: usize) -> String {
    let next = |text: &&str| text.chars().nth(at);
    let mut ahead: Vec<char> = texts.iter().filter_map(next).collect();
    ahead.sort_unstable();
    ahead.dedup();
    let mut ways = Vec::new();
    if texts.iter().all(|text| next(text).is_some()) {
        ways.push(String::new());
    }
    if ahead.is_empty() {
        ways.push(".+".to_owned());
    } else {
        let class: String =
            ahead.iter().map(|own| format!("\\x{{{:x}}}", u32::from(*own))).collect();
        ways.push(format!("[^{class}].*"));
        for own in ahead {
            let such: Vec<&str> =
                texts.iter().copied().filter(|text| next(text) == Some(own)).collect();
            let rest = other_text(&such, at + 1);
            ways.push(format!("\\x{{{:x}}}(?:{rest})", u32::from(own)));
        }
    }
    ways.join("|")
}

/// Texts that a pattern does not find, for patterns of one class of characters.
fn unlike(pattern: &str) -> Option<Value> {
    use regex_syntax::hir::{Class, Hir, HirKind, Look};
    // As the engine reads it: `\\d` and `\\w` are ASCII.
    let hir = regex_syntax::parse(&llguidance::regex_to_lark(pattern, "dw")).ok()?;
    let class = |hir: &Hir| match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.negate();
            Some(Hir::class(Class::Unicode(class)).to_string())
        }
        _ => None,
    };
    let whole = |hir: &Hir| match hir.kind() {
        HirKind::Repetition(own) if own.max.is_none() && own.min < 2 => {
            Some((class(&own.sub)?, own.min))
        }
        _ => None,
    };
    let pattern = match hir.kind() {
        // `[^a-z]`: it has one such character.
        HirKind::Class(_) => format!("^{}*$", class(&hir)?),
        // `^[a-z]+$`: it has nothing else.
        HirKind::Concat(parts) => match parts.as_slice() {
            [start, middle, end]
                if *start.kind() == HirKind::Look(Look::Start)
                    && *end.kind() == HirKind::Look(Look::End) =>
            {
                match whole(middle)? {
                    (other, 0) => other,
                    (other, _) => format!("^$|{other}"),
                }
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(json!({ "type": "string", "pattern": pattern }))
}

/// Values on the other side of a limit.
fn beyond(key: &str, value: &Value) -> Option<Value> {
    let count = value.as_u64();
    let less = |kind: &str, key: &str| Some(json!({ "type": kind, key: count?.checked_sub(1)? }));
    let more = |kind: &str, key: &str| Some(json!({ "type": kind, key: count?.checked_add(1)? }));
    match key {
        "minLength" => less("string", "maxLength"),
        "maxLength" => more("string", "minLength"),
        "minItems" => less("array", "maxItems"),
        "maxItems" => more("array", "minItems"),
        "minProperties" => less("object", "maxProperties"),
        "maxProperties" => more("object", "minProperties"),
        "minimum" if value.is_number() => {
            Some(json!({ "type": "number", "exclusiveMaximum": value }))
        }
        "maximum" if value.is_number() => {
            Some(json!({ "type": "number", "exclusiveMinimum": value }))
        }
        "exclusiveMinimum" if value.is_number() => {
            Some(json!({ "type": "number", "maximum": value }))
        }
        "exclusiveMaximum" if value.is_number() => {
            Some(json!({ "type": "number", "minimum": value }))
        }
        _ => None,
    }
}

/// Whether a keyword says nothing about values.
fn is_annotation(key: &str) -> bool {
    matches!(key, "title" | "description" | "$comment" | "default" | "examples" | "$id" | "$schema")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(schema: &Value, expect: &Expect) {
        let said = rewritten(schema).map_or_else(|why| why.to_string(), |new| new.to_string());
        expect.assert_eq(&said);
    }

    #[test]
    fn negations_are_pushed_inwards() {
        check(
            &json!({"type": "object", "not": {"required": ["a"]}}),
            &expect![[r#"{"type":"object","allOf":[{"type":"object","properties":{"a":false}}]}"#]],
        );
        check(
            &json!({"not": {"type": ["string", "null"]}}),
            &expect![[r#"{"allOf":[{"type":["boolean","number","array","object"]}]}"#]],
        );
        check(
            &json!({"not": {"anyOf": [{"minimum": 3}, {"maxLength": 2}]}}),
            &expect![[
                r#"{"allOf":[{"allOf":[{"type":"number","exclusiveMaximum":3},{"type":"string","minLength":3}]}]}"#
            ]],
        );
        check(
            &json!({"not": {"not": {"enum": [1, "a"]}}}),
            &expect![[r#"{"allOf":[{"enum":[1,"a"]}]}"#]],
        );
        check(
            &json!({"not": {"enum": [3, 1, true, "ab", "ac", ""]}}),
            &expect![[
                r#"{"allOf":[{"anyOf":[{"type":["null","array","object"]},{"type":"string","pattern":"^(?s:[^\\x{61}].*|\\x{61}(?:|[^\\x{62}\\x{63}].*|\\x{62}(?:.+)|\\x{63}(?:.+)))$"},{"type":"number","exclusiveMaximum":1.0},{"type":"number","exclusiveMinimum":1.0,"exclusiveMaximum":3.0},{"type":"number","exclusiveMinimum":3.0},{"enum":[false]}]}]}"#
            ]],
        );
        check(
            &json!({"not": {"pattern": "^[a-z]+$"}}),
            &expect![[r#"{"allOf":[{"type":"string","pattern":"^$|[\u0000-`\\{-􏿿]"}]}"#]],
        );
        check(
            &json!({"not": {"$ref": "#/$defs/a"}, "$defs": {"a": {"properties": {"b": {"const": 1}}}}}),
            &expect![[
                r#"{"$defs":{"a":{"properties":{"b":{"const":1}}}},"allOf":[{"type":"object","required":["b"],"properties":{"b":{"anyOf":[{"type":["null","boolean","string","array","object"]},{"type":"number","exclusiveMaximum":1.0},{"type":"number","exclusiveMinimum":1.0}]}}}]}"#
            ]],
        );
        check(&json!({"not": {}}), &expect![[r#"{"allOf":[false]}"#]]);
        check(
            &json!({"not": {"multipleOf": 3}}),
            &expect!["not: what it forbids cannot be said in a grammar"],
        );
    }

    #[test]
    fn conditions_and_dependencies_are_choices() {
        check(
            &json!({"if": {"properties": {"a": {"const": "x"}}}, "then": {"required": ["b"]}}),
            &expect![[
                r#"{"allOf":[{"anyOf":[{"allOf":[{"properties":{"a":{"const":"x"}}},{"required":["b"]}]},{"allOf":[{"type":"object","required":["a"],"properties":{"a":{"anyOf":[{"type":["null","boolean","number","array","object"]},{"type":"string","pattern":"^(?s:|[^\\x{78}].*|\\x{78}(?:.+))$"}]}}},true]}]}]}"#
            ]],
        );
        check(
            &json!({"dependencies": {"a": ["b"], "c": {"minProperties": 2}}}),
            &expect![[
                r#"{"allOf":[{"anyOf":[{"properties":{"a":false}},{"allOf":[{"required":["a"]},{"required":["b"]}]}]},{"anyOf":[{"properties":{"c":false}},{"allOf":[{"required":["c"]},{"minProperties":2}]}]}]}"#
            ]],
        );
        check(
            &json!({"propertyNames": {"pattern": "^a"}}),
            &expect![[
                r#"{"allOf":[{"patternProperties":{"^a":true},"additionalProperties":false}]}"#
            ]],
        );
        check(
            &json!({"propertyNames": {"enum": ["a.b", "c"]}, "allOf": [true]}),
            &expect![[
                r#"{"allOf":[true],"anyOf":[{"allOf":[{"patternProperties":{"^(?:a\\.b|c)$":true},"additionalProperties":false}]}]}"#
            ]],
        );
        check(&json!({"uniqueItems": true, "maxItems": 1}), &expect![[r#"{"maxItems":1}"#]]);
        check(
            &json!({"uniqueItems": true}),
            &expect!["uniqueItems: a grammar does not remember what was written"],
        );
        check(&json!({"format": "no-such"}), &expect!["{}"]);
        check(&json!({"format": "date"}), &expect![[r#"{"format":"date"}"#]]);
    }

    #[test]
    fn one_of_is_any_of_where_the_options_exclude_each_other() {
        let tagged = |tag: &str| json!({"properties": {"t": {"const": tag}}, "required": ["t"]});
        check(
            &json!({"type": "object", "oneOf": [tagged("a"), tagged("b")]}),
            &expect![[
                r#"{"type":"object","allOf":[{"anyOf":[{"properties":{"t":{"const":"a"}},"required":["t"]},{"properties":{"t":{"const":"b"}},"required":["t"]}]}]}"#
            ]],
        );
        check(
            &json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}),
            &expect![[r#"{"allOf":[{"anyOf":[{"type":"integer"},{"type":"string"}]}]}"#]],
        );
        check(
            &json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            &expect![[
                r#"{"type":"object","allOf":[{"anyOf":[{"allOf":[{"required":["a"]},{"type":"object","properties":{"b":false}}]},{"allOf":[{"required":["b"]},{"type":"object","properties":{"a":false}}]}]}]}"#
            ]],
        );
        check(
            &json!({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}),
            &expect![[r#"{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}"#]],
        );
    }

    /// Each was once allowed to be more than it says.
    #[test]
    fn what_was_allowed_by_mistake_is_not() {
        let forbidden = [
            (json!({"type": "string", "not": {"pattern": "\\W"}}), json!("\u{e9}")),
            (json!({"not": {"pattern": "^\\D+$"}}), json!("\u{663}")),
            (json!({"contains": {"const": 1}, "minContains": 0, "maxContains": 0}), json!([1])),
            (json!({"not": {"contains": {"const": 1}, "minContains": 0}}), json!([2])),
            (json!({"not": {"prefixItems": [true], "items": {"type": "string"}}}), json!([1])),
            (json!({"propertyNames": {"enum": []}}), json!({"": 1})),
            (
                json!({"propertyNames": {"$ref": "#/$defs/n", "pattern": "^b"}, "$defs": {"n": {"pattern": "^a"}}}),
                json!({"a": 1}),
            ),
            (json!({"not": {"maxLength": u64::MAX}}), json!("a")),
            (json!({"oneOf": [{"const": [1]}, {"const": [1.0]}]}), json!([1])),
        ];
        for (schema, value) in forbidden {
            assert!(!jsonschema::is_valid(&schema, &value), "{schema} allows {value}");
            let allowed = rewritten(&schema).is_ok_and(|new| jsonschema::is_valid(&new, &value));
            assert!(!allowed, "{value}: {:?}", rewritten(&schema).map(|new| new.to_string()));
        }
        let loose = json!({"oneOf": [
            {"not": {"type": "object", "patternProperties": {"^x": {"type": "string"}}}},
            {"type": "object", "properties": {"c": {"$ref": "#/oneOf/1"}}},
        ]});
        assert_eq!(rewritten(&loose).unwrap_err().keyword, "oneOf");
        assert_eq!(
            rewritten(&json!({"propertyNames": {"type": "string"}})),
            Ok(json!({"allOf": [true]}))
        );
    }

    /// Schemas that were made to take for ever, or all memory.
    #[test]
    fn what_explodes_is_refused_soon() {
        let many =
            |count: usize, of: &dyn Fn(usize) -> Value| -> Value { (0..count).map(of).collect() };
        let itself = |_| json!({"$ref": "#/$defs/a"});
        let schemas = [
            json!({"oneOf": [itself(0), itself(0)], "$defs": {"a": {"anyOf": many(1_000, &itself)}}}),
            json!({"oneOf": many(20_000, &|n| json!({"const": n}))}),
            json!({"oneOf": many(300, &|n| json!({"required": [n.to_string()]}))}),
            json!({"not": {"const": "a".repeat(100_000)}}),
            json!({"not": {"enum": many(100_000, &|n| json!(n.to_string()))}}),
            json!({
                "not": {"anyOf": many(9_000, &|_| json!({"$ref": "#/$defs/d"}))},
                "$defs": {"d": {"enum": many(100_000, &|n| json!(n.to_string()))}},
            }),
            json!({
                "oneOf": [itself(0), {"$ref": "#/$defs/b"}],
                "$defs": {
                    "a": {"type": "object", "required": ["0", "1", "2", "3", "4", "5", "6", "7"],
                        "properties": (0..8).map(|n| (n.to_string(), itself(0))).collect::<Map<_, _>>()},
                    "b": {"$ref": "#/$defs/a"},
                },
            }),
        ];
        for schema in schemas {
            let _ = rewritten(&schema);
        }
    }

    /// Values of all kinds, made from a few that the schemas below speak of.
    fn values() -> Vec<Value> {
        let mut all = vec![json!(null), json!(true), json!(false)];
        all.extend([0.0, 1.0, 2.5, 3.0, 7.0].map(|number| json!(number)));
        all.extend([0, 1, 3, 6].map(|number| json!(number)));
        all.extend(["", "a", "ab", "b", "abc", "z9"].map(|text| json!(text)));
        let inner = all.clone();
        all.push(json!([]));
        all.push(json!({}));
        for value in inner {
            all.push(json!([value]));
            all.push(json!([1, value]));
            all.push(json!({"a": value}));
            all.push(json!({"b": value}));
            all.push(json!({"a": "ab", "b": value}));
        }
        all
    }

    proptest::proptest! {
        /// Whatever the rewritten schema allows, the schema itself does.
        #[test]
        fn nothing_becomes_allowed(schema in schemas()) {
            let Ok(new) = rewritten(&schema) else { return Ok(()) };
            let validator = |schema: &Value| jsonschema::draft201909::new(schema).unwrap();
            let (old, valid) = (validator(&schema), validator(&new));
            for value in values() {
                proptest::prop_assert!(
                    !valid.is_valid(&value) || old.is_valid(&value),
                    "{value} fits {new}, and not {schema}"
                );
            }
        }
    }

    fn schemas() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop::sample::select(vec![
            json!(true),
            json!(false),
            json!({}),
            json!({"type": "integer"}),
            json!({"type": ["string", "null"]}),
            json!({"const": 1}),
            json!({"enum": ["a", "ab", 3]}),
            json!({"enum": [true]}),
            json!({"minimum": 1}),
            json!({"exclusiveMaximum": 3}),
            json!({"minLength": 2}),
            json!({"maxLength": 1}),
            json!({"pattern": "^[a-b]+$"}),
            json!({"pattern": "b"}),
            json!({"required": ["a"]}),
            json!({"required": ["a", "b"]}),
            json!({"minItems": 1}),
            json!({"maxItems": 1}),
            json!({"minProperties": 1}),
            json!({"maxProperties": 1}),
            json!({"multipleOf": 3}),
            json!({"type": "object"}),
            json!({"additionalProperties": false, "properties": {"a": true}}),
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"propertyNames": {"enum": ["a"]}}),
        ]);
        leaf.prop_recursive(4, 24, 3, |inner| {
            let pair = || (inner.clone(), inner.clone());
            prop_oneof![
                inner.clone().prop_map(|a| json!({"not": a})),
                pair().prop_map(|(a, b)| json!({"anyOf": [a, b]})),
                pair().prop_map(|(a, b)| json!({"allOf": [a, b]})),
                pair().prop_map(|(a, b)| json!({"oneOf": [a, b]})),
                pair().prop_map(|(a, b)| json!({"properties": {"a": a, "b": b}})),
                pair().prop_map(
                    |(a, b)| json!({"properties": {"a": a}, "required": ["a"], "not": b})
                ),
                inner.clone().prop_map(|a| json!({"items": a})),
                inner.clone().prop_map(|a| json!({"contains": a})),
                inner.clone().prop_map(|a| json!({"dependentSchemas": {"a": a}})),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
            ]
        })
    }
}
