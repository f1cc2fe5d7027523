//! References inside arguments: `${2.rows}` is what step 2 gave under `rows`,
//! `${item.path}` is the element that an instance works on, `$${` is a literal
//! `${`. A text that is one reference becomes the value itself; a reference
//! inside a longer text is written into it.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a reference may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The output of step `n`.
    Step(u32),
    /// The element of a `for_each` instance.
    Item,
}

/// A reference that cannot be read or resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// `${` without `}`, or with something else than a step or `item`.
    #[error("\"{0}\" is no reference: expected ${{N}}, ${{N.field}} or ${{item.field}}")]
    Malformed(String),
    /// The output has no such field.
    #[error("\"${{{reference}}}\" names \"{field}\", which is not there")]
    Missing {
        /// The whole reference.
        reference: String,
        /// The field that is missing.
        field: String,
    },
    /// The step has no output, or there is no item here.
    #[error("\"${{{0}}}\" has no value here")]
    NoValue(String),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Dollar,
    Reference { inner: &'a str, root: Root, path: Vec<&'a str> },
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ReferenceError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        let before = if escaped { &rest[..at - 1] } else { &rest[..at] };
        if !before.is_empty() {
            found.push(Piece::Text(before));
        }
        let after = &rest[at + 2..];
        if escaped {
            found.push(Piece::Dollar);
            rest = after;
            continue;
        }
        let end =
            after.find('}').ok_or_else(|| ReferenceError::Malformed(rest[at..].to_owned()))?;
        let inner = &after[..end];
        let mut parts = inner.split('.');
        let head = parts.next().unwrap_or_default();
        let path: Vec<&str> = parts.collect();
        let root = match head {
            "item" => Some(Root::Item),
            number => number.parse().ok().filter(|n| *n > 0).map(Root::Step),
        };
        match root {
            Some(root) if path.iter().all(|part| !part.is_empty()) => {
                found.push(Piece::Reference { inner, root, path });
            }
            _ => return Err(ReferenceError::Malformed(format!("${{{inner}}}"))),
        }
        rest = &after[end + 1..];
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    Ok(found)
}

/// Writes a text so that it holds no references: for words of the user.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

fn each_text(value: &Value, visit: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(values) => values.iter().for_each(|value| each_text(value, visit)),
        Value::Object(fields) => fields.values().for_each(|value| each_text(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// All references in a value, or the first that cannot be read.
pub fn roots(value: &Value) -> Result<Vec<Root>, ReferenceError> {
    let mut found = Ok(Vec::new());
    each_text(value, &mut |text| match (&mut found, pieces(text)) {
        (Ok(roots), Ok(pieces)) => {
            roots.extend(pieces.into_iter().filter_map(|piece| match piece {
                Piece::Reference { root, .. } => Some(root),
                Piece::Text(_) | Piece::Dollar => None,
            }));
        }
        (Ok(_), Err(error)) => found = Err(error),
        (Err(_), _) => {}
    });
    found
}

/// The steps that a value names; malformed references name none (lint reports
/// them).
pub fn steps_named(value: &Value) -> BTreeSet<u32> {
    roots(value)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|root| match root {
            Root::Step(n) => Some(n),
            Root::Item => None,
        })
        .collect()
}

fn follow<'v>(
    value: &'v Value,
    path: &[&str],
    reference: &str,
) -> Result<&'v Value, ReferenceError> {
    path.iter().try_fold(value, |value, field| {
        let next = match value {
            Value::Object(fields) => fields.get(*field),
            Value::Array(values) => field.parse::<usize>().ok().and_then(|i| values.get(i)),
            _ => None,
        };
        next.ok_or_else(|| ReferenceError::Missing {
            reference: reference.to_owned(),
            field: (*field).to_owned(),
        })
    })
}

/// What a text that is one reference and nothing else names, without a copy of it.
pub fn find<'v>(
    text: &str,
    lookup: &dyn Fn(&Root) -> Option<&'v Value>,
) -> Result<&'v Value, ReferenceError> {
    match pieces(text)?.as_slice() {
        [Piece::Reference { inner, root, path }] => {
            let value = lookup(root).ok_or_else(|| ReferenceError::NoValue((*inner).to_owned()))?;
            follow(value, path, inner)
        }
        _ => Err(ReferenceError::Malformed(text.to_owned())),
    }
}

/// The value with every reference replaced. `lookup` gives the output of a step
/// or the item.
pub fn resolve<'v>(
    value: &Value,
    lookup: &dyn Fn(&Root) -> Option<&'v Value>,
) -> Result<Value, ReferenceError> {
    match value {
        Value::String(text) => resolve_text(text, lookup),
        Value::Array(values) => {
            values.iter().map(|value| resolve(value, lookup)).collect::<Result<_, _>>()
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| Ok((key.clone(), resolve(value, lookup)?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

fn resolve_text<'v>(
    text: &str,
    lookup: &dyn Fn(&Root) -> Option<&'v Value>,
) -> Result<Value, ReferenceError> {
    let pieces = pieces(text)?;
    let value_of = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => Ok(Value::String((*text).to_owned())),
        Piece::Dollar => Ok(Value::String("${".to_owned())),
        Piece::Reference { inner, root, path } => {
            let value = lookup(root).ok_or_else(|| ReferenceError::NoValue((*inner).to_owned()))?;
            follow(value, path, inner).cloned()
        }
    };
    if let [only] = pieces.as_slice() {
        return value_of(only);
    }
    let mut written = String::new();
    for piece in &pieces {
        match value_of(piece)? {
            Value::String(text) => written.push_str(&text),
            other => written.push_str(&other.to_string()),
        }
    }
    Ok(Value::String(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(text: &str) -> Result<Value, ReferenceError> {
        let one = json!({"files": ["a", "b"], "count": 2});
        let item = json!({"path": "x.md"});
        resolve(&json!(text), &|root| match root {
            Root::Step(1) => Some(&one),
            Root::Step(_) => None,
            Root::Item => Some(&item),
        })
    }

    #[test]
    fn a_lone_reference_is_the_value_itself() {
        assert_eq!(check("${1.files}").unwrap(), json!(["a", "b"]));
        assert_eq!(check("${1.files.1}").unwrap(), json!("b"));
    }

    #[test]
    fn a_lone_reference_is_found_without_a_copy() {
        let one = json!({"files": ["a", "b"]});
        let found = |text| find(text, &|root| (*root == Root::Step(1)).then_some(&one));
        assert!(std::ptr::eq(found("${1.files}").unwrap(), &one["files"]));
        assert!(matches!(found("all ${1.files}"), Err(ReferenceError::Malformed(_))));
        assert!(matches!(found("${2.files}"), Err(ReferenceError::NoValue(_))));
    }

    #[test]
    fn a_reference_in_a_text_is_written_into_it() {
        assert_eq!(check("${1.count} in ${item.path}").unwrap(), json!("2 in x.md"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(
            check("${1.rows}").unwrap_err().to_string(),
            "\"${1.rows}\" names \"rows\", which is not there"
        );
        assert!(matches!(check("${0}"), Err(ReferenceError::Malformed(_))));
        assert!(matches!(check("${2}"), Err(ReferenceError::NoValue(_))));
    }

    proptest! {
        #[test]
        fn escaped_words_come_back_as_they_were(text in ".*") {
            // A `$` directly before `${` would be read as part of the escape.
            prop_assume!(!text.contains("$${"));
            prop_assert_eq!(check(&escape(&text)).unwrap(), json!(text));
        }
    }
}
