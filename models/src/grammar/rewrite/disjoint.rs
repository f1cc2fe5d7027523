//! Which values two schemas may share: seen, not computed.

use super::Rewriter;
use crate::grammar::schema::resolve;
use serde_json::{Value, json};

/// Deepest nesting that is looked at to see that two schemas exclude each other.
const LOOK_MAX: usize = 8;

/// The kinds of values: a bit for each.
pub(super) type Kinds = u8;

const KINDS: [(&str, Kinds); 7] = [
    ("null", 1),
    ("boolean", 2),
    ("number", 4),
    ("string", 8),
    ("array", 16),
    ("object", 32),
    ("integer", 4),
];
pub(super) const OBJECT: Kinds = 32;
pub(super) const ANY: Kinds = 63;

pub(super) fn kind(value: &Value) -> Kinds {
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
pub(super) fn kinds_of(value: &Value) -> Kinds {
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
pub(super) fn of_kinds(kinds: Kinds) -> Value {
    let names: Vec<&str> =
        KINDS[..6].iter().filter(|(_, bit)| kinds & bit != 0).map(|(name, _)| *name).collect();
    match names.as_slice() {
        [] => json!(false),
        [one] => json!({ "type": one }),
        _ => json!({ "type": names }),
    }
}

impl Rewriter<'_> {
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
    pub(super) fn disjoint(&self, a: &Value, b: &Value, within: Kinds, depth: usize) -> bool {
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
