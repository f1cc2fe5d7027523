//! What does not fit a schema, as another schema.

use super::disjoint::{ANY, kind, kinds_of, of_kinds};
use super::{Rewriter, Unsaid, any, counts, unsaid};
use crate::grammar::schema::resolve;
use serde_json::{Value, json};

/// Longest text, in bytes, that is told from all others, and most such texts.
const OTHER_MAX: (usize, usize) = (200, 1_000);

impl Rewriter<'_> {
    /// What does not fit a schema, or a part of it. `false`: none of it can be said.
    pub(super) fn negation(&self, schema: &Value, depth: usize) -> Result<Value, Unsaid> {
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
