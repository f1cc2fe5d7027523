//! References as people write them, by name or by place, made into the numbered
//! references of a plan.

use serde_json::{Map, Value};

/// A piece of a text with references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text to be kept as it is, `$${` included.
    Text(&'a str),
    /// A reference: the step, name or `item`, and what follows the first dot.
    Reference {
        /// What it names.
        head: &'a str,
        /// The fields, without the leading dot.
        path: Option<&'a str>,
    },
}

/// Cuts a text at its references; the error is the reference that has no end.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut found = Vec::new();
    let mut text_from = 0;
    let mut at = 0;
    while let Some(offset) = text[at..].find("${") {
        let open = at + offset;
        if text[..open].ends_with('$') {
            at = open + 2;
            continue;
        }
        if open > text_from {
            found.push(Piece::Text(&text[text_from..open]));
        }
        let inner_from = open + 2;
        let length = text[inner_from..].find('}').ok_or_else(|| text[open..].to_owned())?;
        let inner = &text[inner_from..inner_from + length];
        let (head, path) = match inner.split_once('.') {
            Some((head, path)) => (head.trim(), Some(path)),
            None => (inner.trim(), None),
        };
        found.push(Piece::Reference { head, path });
        at = inner_from + length + 1;
        text_from = at;
    }
    if text_from < text.len() {
        found.push(Piece::Text(&text[text_from..]));
    }
    Ok(found)
}

/// Writes every reference of a text anew: `rename` gives the head it shall have,
/// or says what is wrong with it.
pub fn rename(
    text: &str,
    rename: &dyn Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let pieces = pieces(text).map_err(|open| format!("\"{open}\" has no closing brace"))?;
    let mut written = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) => written.push_str(text),
            Piece::Reference { head, path } => {
                let dot = if path.is_some() { "." } else { "" };
                written.push_str(&format!("${{{}{dot}{}}}", rename(head)?, path.unwrap_or("")));
            }
        }
    }
    Ok(written)
}

/// The same for every text in a value.
pub fn rename_all(
    value: &Value,
    how: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(rename(text, how)?),
        Value::Array(values) => {
            values.iter().map(|value| rename_all(value, how)).collect::<Result<_, _>>()?
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| Ok((key.clone(), rename_all(value, how)?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object)?,
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// Whether a text is one reference and nothing else.
pub fn is_lone(text: &str) -> bool {
    matches!(pieces(text).as_deref(), Ok([Piece::Reference { .. }]))
}

/// Whether a text holds a reference.
pub fn has_any(text: &str) -> bool {
    pieces(text).is_ok_and(|p| p.iter().any(|p| matches!(p, Piece::Reference { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, &str>) {
        let numbers = |head: &str| match head {
            "find" => Ok("1".to_owned()),
            "item" => Ok("item".to_owned()),
            other => Err(format!("no step {other}")),
        };
        let found = rename(text, &numbers);
        assert_eq!(found.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn names_become_numbers() {
        check("${find.rows}", Ok("${1.rows}"));
        check("all of ${find} and ${item.path}!", Ok("all of ${1} and ${item.path}!"));
        check("costs $${find} ${find.a.b}", Ok("costs $${find} ${1.a.b}"));
        check("${lost.rows}", Err("no step lost"));
        check("${find.rows", Err("\"${find.rows\" has no closing brace"));
    }

    #[test]
    fn lone_references_are_told_from_texts() {
        assert!(is_lone("${1.rows}") && !is_lone("x ${1.rows}") && !is_lone("$${1}"));
    }
}
