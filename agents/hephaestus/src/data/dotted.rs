//! Structures as flat lists of dotted places, and the configuration formats that
//! are such lists: ini, env, properties.

use super::DataError;
use super::text::{numbered, short};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// The place of a key below another; a key that holds a dot is quoted.
pub(crate) fn join(at: &str, key: &str) -> String {
    let plain = !key.is_empty() && !key.contains(['.', '"']) && !key.contains(char::is_control);
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if at.is_empty() { key } else { format!("{at}.{key}") }
}

/// Every place that holds a value, in order. An empty list or object is a value.
pub(crate) fn flatten(value: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut stack = vec![(String::new(), value)];
    while let Some((at, value)) = stack.pop() {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                stack.extend(fields.iter().rev().map(|(key, value)| (join(&at, key), value)));
            }
            Value::Array(values) if !values.is_empty() => {
                let inner = values.iter().enumerate().rev();
                stack.extend(inner.map(|(i, value)| (join(&at, &i.to_string()), value)));
            }
            leaf => found.push((at, leaf.clone())),
        }
    }
    found
}

/// Whether two values say the same: numbers by value, and as texts when one side
/// knows nothing but texts.
pub(crate) fn same(left: &Value, right: &Value, as_text: bool) -> bool {
    if left == right {
        return true;
    }
    let decimal = |value: &Value| match value {
        Value::Number(number) => {
            let text = number.to_string();
            Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
        }
        _ => None,
    };
    match (decimal(left), decimal(right)) {
        (Some(left), Some(right)) => left == right,
        _ if as_text => super::records::cell_text(left) == super::records::cell_text(right),
        _ => false,
    }
}

/// `[section]`, `key = value`, comments with `;` or `#` at the beginning.
pub(crate) fn parse_ini(source: &str) -> Result<Value, DataError> {
    let mut root = Map::new();
    let mut section: Option<String> = None;
    for (number, line) in numbered(source) {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let Some(name) = rest.strip_suffix(']') else {
                return Err(DataError::line(number, "a section is opened here and not closed"));
            };
            let name = name.trim().to_owned();
            root.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            section = Some(name);
            continue;
        }
        let (key, value) = match line.find(['=', ':']) {
            Some(at) => (line[..at].trim(), unquote(line[at + 1..].trim())),
            None => (line, ""),
        };
        let fields = match &section {
            None => &mut root,
            Some(name) => match root.get_mut(name) {
                Some(Value::Object(fields)) => fields,
                _ => return Err(DataError::line(number, "a key and a section have one name")),
            },
        };
        insert(fields, key, value, number)?;
    }
    Ok(Value::Object(root))
}

/// `KEY=value`, perhaps after `export`; quotes come off.
pub(crate) fn parse_env(source: &str) -> Result<Value, DataError> {
    let mut root = Map::new();
    for (number, line) in numbered(source) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once('=') else {
            return Err(DataError::line(number, format!("{:?} is no KEY=value", short(line))));
        };
        let value = value.trim();
        let value = match value.starts_with(['"', '\'']) {
            true => unquote(value),
            false => value.split(" #").next().unwrap_or_default().trim_end(),
        };
        insert(&mut root, key.trim(), value, number)?;
    }
    Ok(Value::Object(root))
}

/// `key = value`, `key: value` or `key value`; a backslash at the end goes on in
/// the next line.
pub(crate) fn parse_properties(source: &str) -> Result<Value, DataError> {
    let mut root = Map::new();
    let mut pending: Option<(usize, String)> = None;
    for (number, line) in numbered(source) {
        let line = line.trim_start();
        if pending.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let (first, mut whole) = pending.take().unwrap_or((number, String::new()));
        let slashes = line.len() - line.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            whole.push_str(&line[..line.len() - 1]);
            pending = Some((first, whole));
            continue;
        }
        whole.push_str(line);
        property(&mut root, &whole, first)?;
    }
    if let Some((first, whole)) = pending {
        property(&mut root, &whole, first)?;
    }
    Ok(Value::Object(root))
}

fn property(root: &mut Map<String, Value>, line: &str, number: usize) -> Result<(), DataError> {
    let line = line.trim_end();
    let at = line.find(['=', ':']).or_else(|| line.find(char::is_whitespace));
    let (key, value) = match at {
        Some(at) => (line[..at].trim(), line[at + 1..].trim_start()),
        None => (line, ""),
    };
    insert(root, key, value, number)
}

fn insert(
    fields: &mut Map<String, Value>,
    key: &str,
    value: &str,
    number: usize,
) -> Result<(), DataError> {
    if fields.contains_key(key) {
        return Err(DataError::line(number, format!("the key {:?} stands twice", short(key))));
    }
    fields.insert(key.to_owned(), Value::String(value.to_owned()));
    Ok(())
}

fn unquote(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|mark| text.strip_prefix(mark)?.strip_suffix(mark))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_dotted_in_order() {
        let value = json!({"b": {"y": 1, "x.z": [true, {}]}, "a": []});
        let places: Vec<String> =
            flatten(&value).into_iter().map(|(at, leaf)| format!("{at}={leaf}")).collect();
        assert_eq!(places, ["b.y=1", "b.\"x.z\".0=true", "b.\"x.z\".1={}", "a=[]"]);
    }

    #[test]
    fn numbers_are_the_same_by_value() {
        assert!(same(&json!(1), &json!(1.0), false));
        assert!(!same(&json!(1), &json!("1"), false));
        assert!(same(&json!(1), &json!("1"), true));
        assert!(same(&json!(true), &json!("true"), true));
        assert!(!same(&json!("a"), &json!("A"), true));
    }

    #[test]
    fn configuration_formats_are_read() {
        assert_eq!(
            parse_ini("top = 1\n; note\n[db]\nhost = 'a b'\nport: 5\nflag\n").unwrap(),
            json!({"top": "1", "db": {"host": "a b", "port": "5", "flag": ""}})
        );
        assert_eq!(
            parse_env("export A=1\nB=\"x # y\" \nC=z # note\n#D=1\n").unwrap(),
            json!({"A": "1", "B": "x # y", "C": "z"})
        );
        assert_eq!(
            parse_properties("a=1\nb : two\\\n   parts\n! note\nc d\n").unwrap(),
            json!({"a": "1", "b": "twoparts", "c": "d"})
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let line = |found: Result<Value, DataError>| found.unwrap_err().to_string();
        assert_eq!(line(parse_ini("a=1\na=2")), "line 2: the key \"a\" stands twice");
        assert_eq!(line(parse_ini("[a")), "line 1: a section is opened here and not closed");
        assert_eq!(line(parse_env("what")), "line 1: \"what\" is no KEY=value");
    }
}
