//! Arguments as typed values. The JSON Schema of a tool is checked before; this
//! is the second look, and the one that code relies on.

use crate::error::arguments;
use charter::tool::ToolError;
use serde::de::value::StringDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Value, json};

/// The arguments as `T`, which should refuse unknown fields. The error names
/// the field.
pub fn parse<T: DeserializeOwned>(args: &Value) -> Result<T, ToolError> {
    let Value::Object(fields) = args else {
        return Err(arguments("the arguments are not an object of named fields"));
    };
    let mut field = String::new();
    T::deserialize(Fields { rest: fields.clone().into_iter(), value: None, field: &mut field })
        .map_err(|error| {
            let error = error.to_string();
            if field.is_empty() || error.contains(&format!("`{field}`")) {
                arguments(format!("the arguments do not fit: {error}"))
            } else {
                arguments(format!("the argument {field:?} does not fit: {error}"))
            }
        })
}

/// An object that remembers which field was read last.
struct Fields<'a> {
    rest: serde_json::map::IntoIter,
    value: Option<Value>,
    field: &'a mut String,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        let Some((key, value)) = self.rest.next() else {
            self.field.clear();
            return Ok(None);
        };
        self.field.clone_from(&key);
        self.value = Some(value);
        seed.deserialize(StringDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        seed.deserialize(self.value.take().unwrap_or(Value::Null))
    }
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes
        byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}

/// Most entries of one `files` argument.
pub const FILES_MAX: usize = 10_000;

/// The `files` argument: a path, a glob, or a list of either. A folder means
/// everything below it. [`crate::workspace::Workspace::walk`] resolves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files(Vec<String>);

impl Files {
    /// One path or glob.
    pub fn one(pattern: impl Into<String>) -> Self {
        Self(vec![pattern.into()])
    }

    /// Several paths and globs.
    pub fn many(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// The paths and globs as they were given.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Its JSON Schema.
    pub fn schema() -> Value {
        json!({
            "description": "a path, a glob such as notes/**/*.md, or a list of them; a folder means everything below it",
            "oneOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": FILES_MAX}
            ]
        })
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a path, a glob, or a list of them")]
        enum Shape {
            One(String),
            Many(Vec<String>),
        }
        let patterns = match Shape::deserialize(deserializer)? {
            Shape::One(pattern) => vec![pattern],
            Shape::Many(patterns) => patterns,
        };
        if patterns.len() > FILES_MAX {
            return Err(de::Error::custom(format!(
                "{} entries are more than the {FILES_MAX} that one list may have",
                patterns.len()
            )));
        }
        Ok(Self(patterns))
    }
}

/// The schema of a path.
pub fn path_schema(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "description": description})
}

/// The schema of a list of rows.
pub fn rows_schema() -> Value {
    json!({"type": "array", "items": {"type": "object"}, "description": "a list of rows, usually ${N.rows}"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Args {
        #[allow(dead_code)]
        files: Files,
        #[serde(default)]
        #[allow(dead_code)]
        limit: Option<u32>,
    }

    fn check(args: Value, expect: &str) {
        let error = parse::<Args>(&args).unwrap_err().to_string();
        assert!(error.contains(expect), "{error:?} does not contain {expect:?}");
    }

    #[test]
    fn errors_name_the_field() {
        check(json!({"files": "a", "limit": "x"}), "\"limit\"");
        check(json!({"files": 3}), "\"files\"");
        check(json!({"files": "a", "lmit": 1}), "`lmit`");
        check(json!({}), "`files`");
        check(json!([]), "not an object");
    }

    #[test]
    fn files_are_one_or_many() {
        let one: Args = parse(&json!({"files": "a"})).unwrap();
        assert_eq!(one.files.patterns(), ["a"]);
        let many: Args = parse(&json!({"files": ["a", "b/*.md"]})).unwrap();
        assert_eq!(many.files.patterns(), ["a", "b/*.md"]);
    }
}
