//! Reading YAML that a stranger may have written: strictly, within bounds, and
//! with the place of every mistake.

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, MergeKeyPolicy, Options};
use std::fmt;
use std::marker::PhantomData;

/// Largest YAML text that is read, in bytes.
pub const YAML_BYTES_MAX: usize = 1 << 20;

/// A mistake in a YAML text and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Place(self))]
pub struct YamlError {
    /// Line, from 1; 0 where the mistake has no place.
    pub line: u64,
    /// Column, from 1; 0 where the mistake has no place.
    pub column: u64,
    /// What is wrong and what was expected.
    pub message: String,
}

struct Place<'a>(&'a YamlError);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.line, self.0.column) {
            (0, _) => Ok(()),
            (line, column) => write!(f, "line {line}, column {column}: "),
        }
    }
}

impl YamlError {
    /// A mistake at a place.
    pub fn at(location: Location, message: impl Into<String>) -> Self {
        Self { line: location.line(), column: location.column(), message: message.into() }
    }

    /// A mistake of the whole text.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, message: message.into() }
    }
}

/// Bounds far above what a person writes and far below what hurts.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(YAML_BYTES_MAX),
            max_depth: 64,
            flow_nesting_limit: 64,
            max_documents: 1,
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 100,
            max_anchors: 100,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// Reads one value. Unknown fields, duplicate keys and everything beyond the
/// bounds are errors.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    if text.len() > YAML_BYTES_MAX {
        return Err(YamlError::whole(format!(
            "the file has {} bytes, more than the {YAML_BYTES_MAX} that are read: split it",
            text.len()
        )));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let location = error.location().unwrap_or(Location::UNKNOWN);
        let message = error.to_string();
        // The parser writes the place behind the message; it stands before it here.
        let message = match message.rfind(" at line ") {
            Some(at) if location != Location::UNKNOWN => message[..at].to_owned(),
            _ => message,
        };
        YamlError::at(location, message)
    })
}

/// A mapping whose order counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Ordered<T> {
    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        d.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::Value;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        name: String,
    }

    fn check(text: &str, expect: Expect) {
        let error = parse::<Sample>(text).map(|_| ()).unwrap_err();
        expect.assert_eq(&error.to_string());
    }

    #[test]
    fn mistakes_have_a_place() {
        check(
            "name: a\nnome: b\n",
            expect![[r#"line 2, column 1: unknown field `nome`, expected one of name"#]],
        );
        check("name: [a\n", expect!["line 1, column 7: expected string scalar"]);
        check(
            "name: a\nname: b\n",
            expect![
                "line 2, column 1: duplicate mapping key: name, set DuplicateKeyPolicy in Options if acceptable"
            ],
        );
    }

    #[test]
    fn bombs_end_in_an_error() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..30 {
            let before = format!("*a{}, ", i - 1).repeat(9);
            bomb.push_str(&format!("a{i}: &a{i} [{before}]\n"));
        }
        assert!(parse::<Value>(&bomb).is_err());
        assert!(parse::<Value>(&"[".repeat(5_000)).is_err());
        assert!(parse::<Value>(&"- ".repeat(50_000)).is_err());
        assert!(parse::<Value>(&"a".repeat(YAML_BYTES_MAX + 1)).is_err());
        assert!(parse::<Value>(&"- a\n".repeat(200_000)).is_err());
    }
}
