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
/// Longest pattern that is looked at, in bytes.
const PATTERN_MAX: usize = 4_096;

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
    if pattern.len() > PATTERN_MAX {
        return None;
    }
    written(&regex_syntax::parse(pattern).ok()?)
}

/// The text, no longer than [`LENGTH_MAX`].
fn written(hir: &Hir) -> Option<String> {
    let text = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => String::new(),
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok()?.to_owned(),
        HirKind::Class(class) => member(class)?.to_string(),
        HirKind::Repetition(own) if own.min == 0 => String::new(),
        HirKind::Repetition(own) => {
            let once = written(&own.sub)?;
            let times = if once.is_empty() { 0 } else { own.min as usize };
            if once.len().checked_mul(times)? > LENGTH_MAX {
                return None;
            }
            once.repeat(times)
        }
        HirKind::Capture(own) => written(&own.sub)?,
        HirKind::Concat(parts) => {
            let mut text = String::new();
            for part in parts {
                text.push_str(&written(part)?);
                if text.len() > LENGTH_MAX {
                    return None;
                }
            }
            text
        }
        HirKind::Alternation(ways) => ways.iter().filter_map(written).min_by_key(String::len)?,
    };
    (text.len() <= LENGTH_MAX).then_some(text)
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
        assert_eq!(fitting("(?:(?:a?){4000000000}){4000000000}").as_deref(), Some(""));
        let doubled = format!("{}a{}", "(?:".repeat(60), "{2}|b)".repeat(60));
        assert!(fitting(&doubled).is_some_and(|text| text.len() < 4));
        assert_eq!(fitting(&"a".repeat(9_000)), None);
    }
}
