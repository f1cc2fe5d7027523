//! Templates: `{{slot}}` inside the texts of a playbook.
//!
//! A text that is one slot becomes the slot's value; a slot in a longer text is
//! written into it. `{{source.stem}}` is a part of a path, `{{kind|all}}` has
//! words for the case that the slot is empty.

use charter::reference;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Values of the slots that are filled.
pub type Values = BTreeMap<String, Value>;

/// Parts of a path that a template may name.
const PARTS: [&str; 4] = ["stem", "name", "folder", "ext"];

/// A slot inside a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole<'a> {
    /// Name of the slot.
    pub slot: &'a str,
    /// A part of its path.
    pub part: Option<&'a str>,
    /// Words for the case that it is empty.
    pub otherwise: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Hole(Hole<'a>),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        if at > 0 {
            found.push(Piece::Text(&rest[..at]));
        }
        let after = &rest[at + 2..];
        let end = after.find("}}").ok_or_else(|| format!("\"{}\" has no }}}}", &rest[at..]))?;
        let (name, otherwise) = match after[..end].split_once('|') {
            Some((name, words)) => (name.trim(), Some(words)),
            None => (after[..end].trim(), None),
        };
        let (slot, part) = match name.split_once('.') {
            Some((slot, part)) if PARTS.contains(&part) => (slot, Some(part)),
            Some((_, part)) => return Err(format!("{part:?} is no part of a path: {PARTS:?}")),
            None => (name, None),
        };
        found.push(Piece::Hole(Hole { slot, part, otherwise }));
        rest = &after[end + 2..];
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    Ok(found)
}

/// The slots that a text names.
pub fn holes(text: &str) -> Result<Vec<Hole<'_>>, String> {
    Ok(pieces(text)?
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Text(_) => None,
        })
        .collect())
}

/// The folder (with its slash), name, stem and extension of a path.
pub fn part<'a>(path: &'a str, part: &str) -> &'a str {
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    let (folder, name) = path.split_at(name_at);
    let (stem, ext) = match name.rsplit_once('.') {
        Some((stem, ext)) if !stem.is_empty() => (stem, ext),
        _ => (name, ""),
    };
    match part {
        "folder" => folder,
        "stem" => stem,
        "ext" => ext,
        _ => name,
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(written).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            // A condition reads as people say it.
            let field = |name: &str| fields.get(name).map(written).unwrap_or_default();
            let value = match fields.get("value") {
                Some(Value::Array(any)) => any.iter().map(written).collect::<Vec<_>>().join(" or "),
                Some(one) => written(one),
                None => String::new(),
            };
            let is = field("is");
            let is = if is == "in" { "=" } else { is.as_str() };
            format!("{} {is} {value}", field("column"))
        }
        other => other.to_string(),
    }
}

fn value_of(hole: &Hole<'_>, values: &Values) -> Option<Value> {
    let value = values.get(hole.slot)?;
    match (hole.part, value) {
        (Some(wanted), Value::String(path)) => Some(Value::String(part(path, wanted).to_owned())),
        (Some(_), _) => None,
        (None, value) => Some(value.clone()),
    }
}

/// Whether the user's words in a text must hold no references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// The text is read again for references.
    References,
    /// It is only shown.
    No,
}

fn escaped(value: Value, escape: Escape) -> Value {
    match (value, escape) {
        (Value::String(text), Escape::References) => Value::String(reference::escape(&text)),
        (Value::Array(values), escape) => {
            Value::Array(values.into_iter().map(|value| escaped(value, escape)).collect())
        }
        (Value::Object(fields), escape) => Value::Object(
            fields.into_iter().map(|(key, value)| (key, escaped(value, escape))).collect(),
        ),
        (value, _) => value,
    }
}

/// Fills one text. `None`: it is one empty slot and nothing else.
pub fn fill_text(text: &str, values: &Values, escape: Escape) -> Result<Option<Value>, String> {
    let pieces = pieces(text)?;
    if let [Piece::Hole(hole)] = pieces.as_slice() {
        let otherwise = || hole.otherwise.map(|words| Value::String(words.to_owned()));
        return Ok(value_of(hole, values).map(|v| escaped(v, escape)).or_else(otherwise));
    }
    let mut filled = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Hole(hole) => match (value_of(&hole, values), hole.otherwise) {
                (Some(value), _) => filled.push_str(&written(&escaped(value, escape))),
                (None, Some(words)) => filled.push_str(words),
                (None, None) => return Err(format!("the slot {:?} is empty", hole.slot)),
            },
        }
    }
    Ok(Some(Value::String(filled)))
}

/// Fills every text in a value; fields and elements that are one empty slot are
/// left out.
pub fn fill(value: &Value, values: &Values) -> Result<Option<Value>, String> {
    Ok(Some(match value {
        Value::String(text) => return fill_text(text, values, Escape::References),
        Value::Array(list) => Value::Array(
            list.iter()
                .filter_map(|value| fill(value, values).transpose())
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(key, value)| match fill(value, values) {
                Ok(Some(value)) => Some(Ok((key.clone(), value))),
                Ok(None) => None,
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object)?,
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }))
}

/// All slots that the texts of a value name.
pub fn slots_named(value: &Value) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => {
                found.extend(holes(text)?.into_iter().map(|hole| hole.slot.to_owned()));
            }
            Value::Array(values) => open.extend(values),
            Value::Object(fields) => open.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(template: Value, expect: Result<Option<Value>, &str>) {
        let values: Values = [
            ("path".to_owned(), json!("a/b.c.md")),
            ("files".to_owned(), json!(["x", "${1}"])),
            ("n".to_owned(), json!(3)),
        ]
        .into();
        assert_eq!(
            fill(&template, &values).as_ref().map_err(String::as_str),
            expect.as_ref().map_err(|e| *e)
        );
    }

    #[test]
    fn a_lone_slot_is_its_value() {
        check(json!("{{n}}"), Ok(Some(json!(3))));
        check(json!({"f": "{{files}}"}), Ok(Some(json!({"f": ["x", "$${1}"]}))));
    }

    #[test]
    fn an_empty_slot_leaves_its_place() {
        check(json!({"a": "{{none}}", "b": ["{{none}}", 1]}), Ok(Some(json!({"b": [1]}))));
        check(json!("{{none|all}}"), Ok(Some(json!("all"))));
        check(json!("all {{none}}"), Err("the slot \"none\" is empty"));
    }

    #[test]
    fn slots_in_texts_are_written() {
        check(json!("{{n}} of {{files}}"), Ok(Some(json!("3 of x, $${1}"))));
        check(
            json!("{{path.folder}}{{path.stem}}.{{path.ext}} {{path.name}}"),
            Ok(Some(json!("a/b.c.md b.c.md"))),
        );
        check(
            json!("{{path.size}}"),
            Err("\"size\" is no part of a path: [\"stem\", \"name\", \"folder\", \"ext\"]"),
        );
    }
}
