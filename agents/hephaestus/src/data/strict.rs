//! JSON without silent loss: keys that stand twice and whole numbers that are
//! too long are errors.

use super::DataError;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads JSON. `lines_before` is added to the line of an error.
pub(crate) fn json(source: &str, lines_before: usize) -> Result<Value, DataError> {
    let value: Strict = serde_json::from_str(source).map_err(|error| {
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        DataError::line(error.line() + lines_before, format!("{what} (column {})", error.column()))
    })?;
    match long_integer(source) {
        Some((line, digits)) => Err(DataError::line(
            line + lines_before,
            format!(
                "the number {digits} is longer than a whole number can be without losing digits; \
                 write it in quotes"
            ),
        )),
        None => Ok(value.0),
    }
}

/// The first whole number of sound JSON that does not fit 64 bits, with its line.
fn long_integer(source: &str) -> Option<(usize, &str)> {
    let bytes = source.as_bytes();
    let (mut at, mut line) = (0, 1);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\n' => line += 1,
            b'"' => {
                at += 1;
                while let Some(inner) = bytes.get(at).filter(|inner| **inner != b'"') {
                    at += if *inner == b'\\' { 2 } else { 1 };
                }
            }
            b'-' | b'0'..=b'9' => {
                let rest = source.get(at..)?;
                let end = rest
                    .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
                    .unwrap_or(rest.len());
                let number = rest.get(..end)?;
                let whole = !number.contains(['.', 'e', 'E']);
                if whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    return Some((line, number));
                }
                at += end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A JSON value that refuses keys that stand twice: the last one would win
/// silently.
pub(crate) struct Strict(pub(crate) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("this number is too large"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {key:?} stands twice")));
            }
            let Strict(value) = map.next_value()?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: &str) {
        let found =
            json(source, 0).map_or_else(|error| error.to_string(), |value| value.to_string());
        assert_eq!(found, expect, "{source}");
    }

    #[test]
    fn nothing_is_lost_in_silence() {
        check(r#"{"b": [1, -2.5, true, null], "a": "x"}"#, r#"{"b":[1,-2.5,true,null],"a":"x"}"#);
        check(r#"{"a": {"b": 1, "b": 2}}"#, "line 1: the key \"b\" stands twice (column 18)");
        check("18446744073709551615", "18446744073709551615");
        check("1e400", "line 1: number out of range (column 5)");
        assert!(
            json("[1,\n-99999999999999999999]", 2)
                .unwrap_err()
                .to_string()
                .starts_with("line 4: the number -9")
        );
    }
}
