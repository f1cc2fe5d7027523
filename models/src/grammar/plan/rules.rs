//! The rules of the grammar: how a JSON Schema of arguments becomes rules that
//! let references in, and where references may point.

use super::MARKS_MAX;
use crate::grammar::bounds::bounded;
use crate::grammar::compile::literal;
use charter::generate::PLAN_STEPS_MAX as STEPS_MAX;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Most elements of a list in an argument.
const ITEMS_MAX: u64 = 6;
/// Most fields of an object without named properties.
const FIELDS_MAX: usize = 4;
/// Deepest nesting of an argument's schema.
const DEPTH_MAX: usize = 12;
/// Longest piece of a text.
const TEXT_MAX: u64 = 240;

/// Keyword of a schema: a reference may stand in the place of the listed values.
pub(super) const OR_REFERENCE: &str = "x-or-reference";

/// Something that stands in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    text: String,
    /// Whether it is a rule that takes the parameter.
    takes: bool,
}

impl Part {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), takes: false }
    }

    pub(super) fn call(&self) -> String {
        if self.takes { format!("{}::_", self.text) } else { self.text.clone() }
    }
}

#[derive(Default)]
pub(super) struct Rules {
    pub(super) text: String,
    known: HashMap<String, Part>,
    count: usize,
}

impl Rules {
    pub(super) fn add(&mut self, name: &str, body: &str) {
        self.text.push_str(&format!("{name} : {body}\n"));
    }

    /// A rule of its own for these alternatives, or the one that exists. Each
    /// says whether it takes the parameter.
    fn rule(&mut self, alternatives: &[(String, bool)]) -> Part {
        let takes = alternatives.iter().any(|(_, takes)| *takes);
        let body =
            alternatives.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" | ");
        if let Some(part) = self.known.get(&body) {
            return part.clone();
        }
        self.count += 1;
        let part = Part { text: format!("v{}", self.count), takes };
        let head = part.call();
        self.add(&head, &body);
        self.known.insert(body, part.clone());
        part
    }

    fn json(schema: &Value) -> String {
        format!("%json {schema}")
    }

    /// What references and the texts around them look like.
    pub(super) fn references(&mut self, kinds: &[&[String]], width: usize) {
        let bits = |n: usize| format!("[{}:{}]", (n - 1) * width, n * width);
        for (kind, fields) in kinds.iter().enumerate() {
            let ends: Vec<String> = if fields.is_empty() {
                vec![literal("}")]
            } else {
                fields.iter().map(|field| literal(&format!(".{field}}}"))).collect()
            };
            self.add(&format!("field{kind}"), &ends.join(" | "));
        }
        let mut heads = Vec::new();
        for n in 1..=STEPS_MAX {
            let head = literal(&format!("${{s{n}"));
            heads.push(format!("{head} of{n}::_ %if ge({}, 1)", bits(n)));
            let ends: Vec<String> = (0..kinds.len())
                .map(|kind| format!("field{kind} %if eq({}, {})", bits(n), kind + 1))
                .collect();
            self.add(&format!("of{n}::_"), &ends.join(" | "));
        }
        self.add("ref::_", &heads.join(" | "));
        // A `$` is a piece of its own, with what makes it no reference: a lexer
        // does not go back.
        self.add("CHUNK", &format!(r#"/([^"\\$\x00-\x1f\x7f]|\\["\\n]){{1,{TEXT_MAX}}}/"#));
        self.add("DOLLAR", r#"/\$[^{$"\\\x00-\x1f\x7f]/"#);
        self.add("TITLE", r#"/[\p{L}\p{N}][^"\\$\x00-\x1f\x7f]{1,59}/"#);
        self.add("KEY", r#"/[A-Za-z_][A-Za-z0-9_ -]{0,30}/"#);
        self.add("NUMBER", r"/-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?/");
        self.add("text::_", "CHUNK | CHUNK marks1::_ | marks1::_");
        self.add("mark::_", "DOLLAR | ref::_ %if ne(_, 0)");
        for n in 1..=MARKS_MAX {
            let more = if n < MARKS_MAX {
                format!(" | mark::_ marks{m}::_ | mark::_ CHUNK marks{m}::_", m = n + 1)
            } else {
                String::new()
            };
            self.add(&format!("marks{n}::_"), &format!("mark::_ | mark::_ CHUNK{more}"));
        }
    }

    fn lone_reference() -> (String, bool) {
        (r#""\"" ref::_ "\"" %if ne(_, 0)"#.to_owned(), true)
    }

    /// A value of an argument. `root` is the schema that local definitions stand
    /// in.
    fn value(&mut self, schema: &Value, root: &Value, depth: usize) -> Part {
        let Some(fields) = schema.as_object() else {
            return self.anything();
        };
        if let Some(only) = fields.get("const") {
            return Part::plain(literal(&only.to_string()));
        }
        if let Some(all) = fields.get("enum").and_then(Value::as_array) {
            if fields.get(OR_REFERENCE) == Some(&Value::Bool(true)) {
                return self.text_or_reference(all);
            }
            let all: Vec<(String, bool)> =
                all.iter().map(|value| (literal(&value.to_string()), false)).collect();
            return self.rule(&all);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(either) = fields.get(key).and_then(Value::as_array)
                && depth < DEPTH_MAX
            {
                let parts: Vec<(String, bool)> = either
                    .iter()
                    .map(|one| self.value(one, root, depth + 1))
                    .map(|part| (part.call(), part.takes))
                    .collect();
                return self.rule(&parts);
            }
        }
        let odd = ["allOf", "$ref", "not", "if", "patternProperties", "prefixItems", "contains"];
        if depth >= DEPTH_MAX || odd.iter().any(|key| fields.contains_key(*key)) {
            return self.as_it_is(schema, root);
        }
        let types: Vec<&str> = match fields.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ if fields.contains_key("properties") => vec!["object"],
            _ if fields.contains_key("items") => vec!["array"],
            _ => return self.anything(),
        };
        let parts: Vec<Part> = types
            .iter()
            .map(|kind| match *kind {
                "string" => self.string(fields),
                "integer" | "number" => self.number(kind, fields),
                "boolean" => self.rule(&[("\"true\"".into(), false), ("\"false\"".into(), false)]),
                "null" => Part::plain("\"null\""),
                "array" => self.list(fields, root, depth),
                "object" => self.object(schema, root, depth),
                _ => self.anything(),
            })
            .collect();
        match parts.as_slice() {
            [one] => one.clone(),
            many => {
                let many: Vec<(String, bool)> =
                    many.iter().map(|part| (part.call(), part.takes)).collect();
                self.rule(&many)
            }
        }
    }

    /// One of these texts, or a reference. The quote that both begin with is a word
    /// of its own: a lexer does not go back.
    fn text_or_reference(&mut self, texts: &[Value]) -> Part {
        let mut all: Vec<(String, bool)> = texts
            .iter()
            .filter_map(Value::as_str)
            .filter(|text| !text.starts_with('$'))
            .filter_map(|text| Some(Value::from(text).to_string().get(1..)?.to_owned()))
            .map(|rest| (literal(&rest), false))
            .collect();
        all.push((r#"ref::_ "\"" %if ne(_, 0)"#.to_owned(), true));
        let inner = self.rule(&all);
        self.rule(&[(format!(r#""\"" {}"#, inner.call()), true)])
    }

    /// Left to llguidance, without references; [`super::read`] escapes what looks like
    /// one.
    fn as_it_is(&mut self, schema: &Value, root: &Value) -> Part {
        let mut own = schema.clone();
        if let Value::Object(own) = &mut own {
            for key in ["$defs", "definitions"] {
                if let Some(all) = root.get(key) {
                    own.entry(key).or_insert_with(|| all.clone());
                }
            }
        }
        let own = bounded(&own);
        self.rule(&[(Self::json(&own), false)])
    }

    fn anything(&mut self) -> Part {
        self.rule(&[
            (r#""\"" text::_ "\"""#.to_owned(), true),
            ("NUMBER".to_owned(), false),
            ("\"true\" | \"false\"".to_owned(), false),
        ])
    }

    fn string(&mut self, fields: &Map<String, Value>) -> Part {
        let bound = |key: &str| fields.get(key).and_then(Value::as_u64);
        let least = bound("minLength").unwrap_or(0);
        let most = bound("maxLength").unwrap_or(u64::MAX);
        let special = ["pattern", "format"].iter().any(|key| fields.contains_key(*key));
        if special || least > 1 || most < TEXT_MAX * (MARKS_MAX as u64 + 1) {
            let schema = bounded(&Value::Object(fields.clone()));
            return self.rule(&[(Self::json(&schema), false), Self::lone_reference()]);
        }
        let mut forms = vec![(r#""\"" text::_ "\"""#.to_owned(), true)];
        if least == 0 {
            forms.push((r#""\"\"""#.to_owned(), false));
        }
        self.rule(&forms)
    }

    fn number(&mut self, kind: &str, fields: &Map<String, Value>) -> Part {
        let mut own = Map::new();
        own.insert("type".to_owned(), kind.into());
        for key in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"] {
            own.extend(fields.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        let has = |keys: [&str; 2]| keys.iter().any(|key| own.contains_key(*key));
        let (from, to) =
            (has(["minimum", "exclusiveMinimum"]), has(["maximum", "exclusiveMaximum"]));
        if !to && !own.get("minimum").is_some_and(|least| least.as_f64() > Some(1e9)) {
            own.insert("maximum".to_owned(), json!(1_000_000_000));
        }
        if !from && !own.get("maximum").is_some_and(|most| most.as_f64() < Some(-1e9)) {
            own.insert("minimum".to_owned(), json!(-1_000_000_000));
        }
        let form = if kind == "number" && !from && !to && own.len() == 3 {
            "NUMBER".to_owned()
        } else {
            Self::json(&Value::Object(own))
        };
        self.rule(&[(form, false), Self::lone_reference()])
    }

    fn list(&mut self, fields: &Map<String, Value>, root: &Value, depth: usize) -> Part {
        let bound = |key: &str| fields.get(key).and_then(Value::as_u64);
        let least = bound("minItems").unwrap_or(0).min(ITEMS_MAX * 10);
        let most = bound("maxItems").unwrap_or(ITEMS_MAX).min(ITEMS_MAX).max(least);
        let item = match fields.get("items") {
            Some(items) => self.value(items, root, depth + 1),
            None => self.anything(),
        };
        let mut tail = Part::plain(literal("]"));
        for n in (1..most).rev() {
            let more = format!("\",\" {} {}", item.call(), tail.call());
            let mut forms = vec![(more, item.takes || tail.takes)];
            if n >= least {
                forms.push((literal("]"), false));
            }
            tail = self.rule(&forms);
        }
        let mut forms = vec![Self::lone_reference()];
        if most > 0 {
            let some = format!("\"[\" {} {}", item.call(), tail.call());
            forms.push((some, item.takes || tail.takes));
        }
        if least == 0 {
            forms.push((literal("[]"), false));
        }
        self.rule(&forms)
    }

    /// An object; at the top the arguments of a tool, which are no reference.
    pub(super) fn object(&mut self, schema: &Value, root: &Value, depth: usize) -> Part {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut named: Vec<(&str, Part, bool)> = properties
            .iter()
            .map(|(name, own)| {
                let part = self.value(own, root, depth + 1);
                (name.as_str(), part, required.contains(&name.as_str()))
            })
            .collect();
        for name in &required {
            if !properties.contains_key(*name) {
                named.push((name, self.anything(), true));
            }
        }
        let form = if named.is_empty() {
            self.open_object(schema, root, depth)
        } else {
            self.fields_in_order(&named)
        };
        if depth == 0 {
            return form;
        }
        self.rule(&[(form.call(), form.takes), Self::lone_reference()])
    }

    /// Properties in the order of the schema, the optional ones or not.
    fn fields_in_order(&mut self, named: &[(&str, Part, bool)]) -> Part {
        // `first`: no property was written yet; `rest`: one was.
        let (mut first, mut rest) = (Part::plain(literal("}")), Part::plain(literal("}")));
        for (name, value, required) in named.iter().rev() {
            let key = Value::from(*name).to_string();
            let mut forms = |comma: &str, skip: &Part| {
                let own = format!(
                    "{} {} {}",
                    literal(&format!("{comma}{key}:")),
                    value.call(),
                    rest.call()
                );
                let mut forms = vec![(own, value.takes || rest.takes)];
                if !required {
                    forms.push((skip.call(), skip.takes));
                }
                self.rule(&forms)
            };
            let next_first = forms("", &first);
            let next_rest = forms(",", &rest);
            (first, rest) = (next_first, next_rest);
        }
        self.rule(&[(format!("\"{{\" {}", first.call()), first.takes)])
    }

    fn open_object(&mut self, schema: &Value, root: &Value, depth: usize) -> Part {
        let value = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => return Part::plain(literal("{}")),
            None | Some(Value::Bool(true)) if depth == 0 => return Part::plain(literal("{}")),
            Some(own @ Value::Object(_)) => self.value(own, root, depth + 1),
            _ => self.anything(),
        };
        let pair = format!(r#""\"" KEY "\":" {}"#, value.call());
        let mut tail = Part::plain(literal("}"));
        for _ in 1..FIELDS_MAX {
            let more = format!("\",\" {pair} {}", tail.call());
            tail = self.rule(&[(more, value.takes || tail.takes), (literal("}"), false)]);
        }
        self.rule(&[
            (literal("{}"), false),
            (format!("\"{{\" {pair} {}", tail.call()), value.takes || tail.takes),
        ])
    }
}
