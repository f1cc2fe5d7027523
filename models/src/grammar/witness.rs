//! Short texts that fit the patterns of a schema: what an answer that has to end soon can
//! end a text with.

use super::formats;
use super::schema::child;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;
use std::collections::BTreeSet;

/// Most texts of a schema.
const TEXTS_MAX: usize = 64;
/// Longest text, in bytes.
const LENGTH_MAX: usize = 256;

/// A text for each pattern and format of a schema, where one is found.
pub(super) fn witnesses(schema: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    visit(schema, &mut found);
    found.into_iter().filter(|text| !text.is_empty()).take(TEXTS_MAX).collect()
}

fn visit(schema: &Value, found: &mut BTreeSet<String>) {
    let Value::Object(fields) = schema else { return };
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("pattern", Value::String(pattern)) => found.extend(fitting(pattern)),
            ("format", Value::String(name)) => {
                found.extend(formats::of(name).map(|own| own.example.to_owned()));
            }
            ("patternProperties", Value::Object(all)) => {
                found.extend(all.keys().filter_map(|pattern| fitting(pattern)));
            }
            _ => {}
        }
        let mut deeper = |schema: &Value| {
            visit(schema, found);
            Ok::<_, std::convert::Infallible>(Value::Null)
        };
        let _ = child(key, value, &mut deeper);
    }
}

/// A short text in which a pattern is found.
fn fitting(pattern: &str) -> Option<String> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let mut text = String::new();
    write(&hir, &mut text)?;
    Some(text)
}

fn write(hir: &Hir, text: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(member(class)?),
        HirKind::Repetition(own) => {
            for _ in 0..own.min {
                write(&own.sub, text)?;
                if text.len() > LENGTH_MAX {
                    return None;
                }
            }
        }
        HirKind::Capture(own) => write(&own.sub, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, text))?,
        HirKind::Alternation(ways) => {
            let each = ways.iter().filter_map(|way| {
                let mut text = String::new();
                write(way, &mut text)?;
                Some(text)
            });
            text.push_str(&each.min_by_key(String::len)?);
        }
    }
    Some(())
}

/// A character of a class, a plain one where there is one.
fn member(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(own) => own.iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(own) => {
            own.iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
    };
    let has = |wanted: &char| ranges.iter().any(|(from, to)| (from..=to).contains(&wanted));
    let plain = ['a', '0', 'A', '1'].into_iter().chain(' '..='~').find(has);
    plain.or_else(|| ranges.first().map(|(from, _)| *from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_found_for_each_pattern() {
        let schema = json!({
            "properties": {
                "a": {"pattern": "^[a-f0-9]{24}$"},
                "b": {"anyOf": [{"pattern": "^[^:\\s]+:[^:\\s]+$"}, {"format": "date"}]},
                "c": {"items": {"pattern": "(LATEX|MATH)"}, "enum": [{"pattern": "z"}]},
            },
            "patternProperties": {"^x_\\d{2,}": {"pattern": "[a-"}},
        });
        let expect = ["2000-01-01", "MATH", "a:a", "aaaaaaaaaaaaaaaaaaaaaaaa", "x_00"];
        assert_eq!(witnesses(&schema), expect);
    }

    #[test]
    fn endless_patterns_give_nothing() {
        assert_eq!(fitting("(a{1000}){1000}"), None);
        assert_eq!(fitting("a{300}"), None);
    }
}
