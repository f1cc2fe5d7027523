//! File formats that hold data, read into and written from one value whose keys
//! keep their order.

use super::DataError;
use super::delimited;
use super::dotted;
use super::records::Table;
use super::strict::{Strict, json};
use super::text;
use serde_json::{Map, Number, Value};

/// A format, told by the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Tsv,
    Json,
    JsonLines,
    Yaml,
    Toml,
    Ini,
    Env,
    Properties,
}

impl Format {
    /// The format of a file of this name.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
        if name == ".env" || name.starts_with(".env.") {
            return Some(Self::Env);
        }
        Some(match name.rsplit_once('.')?.1 {
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "json" | "geojson" => Self::Json,
            "jsonl" | "ndjson" => Self::JsonLines,
            "yaml" | "yml" => Self::Yaml,
            "toml" => Self::Toml,
            "ini" | "cfg" | "conf" => Self::Ini,
            "env" => Self::Env,
            "properties" => Self::Properties,
            _ => return None,
        })
    }

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Yaml => "yaml",
            Self::Toml => "toml",
            Self::Ini => "ini",
            Self::Env => "env",
            Self::Properties => "properties",
        }
    }

    /// Whether it holds rows of cells.
    pub(crate) fn is_delimited(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv)
    }

    /// Whether every value in it is text.
    pub(crate) fn is_untyped(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Ini | Self::Env | Self::Properties)
    }

    fn delimiter(self) -> Option<u8> {
        (self == Self::Tsv).then_some(b'\t')
    }
}

/// Reads a text of a format.
pub(crate) fn parse(format: Format, source: &str) -> Result<Value, DataError> {
    let some = |what: &str| {
        if source.trim().is_empty() {
            Err(DataError::whole(format!("it is empty; {what} needs a value")))
        } else {
            Ok(())
        }
    };
    match format {
        Format::Csv | Format::Tsv => {
            let cells = delimited::parse(source, format.delimiter())?;
            Ok(Value::Array(Table::from_cells(cells).typed().records()))
        }
        Format::Json => some("JSON").and_then(|()| json(source, 0)),
        Format::JsonLines => text::numbered(source)
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| json(line, number - 1))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Format::Yaml => some("YAML").and_then(|()| yaml(source)),
        Format::Toml => toml_text(source),
        Format::Ini => dotted::parse_ini(source),
        Format::Env => dotted::parse_env(source),
        Format::Properties => dotted::parse_properties(source),
    }
}

/// Reads the rows of a text of a format.
pub(crate) fn parse_table(format: Format, source: &str) -> Result<Table, DataError> {
    if format.is_delimited() {
        delimited::parse(source, format.delimiter()).map(Table::from_cells)
    } else {
        Table::from_value(&parse(format, source)?)
    }
}

/// Writes a value in a format, with a newline at the end.
pub(crate) fn write(format: Format, value: &Value) -> Result<String, DataError> {
    let mut text = match format {
        Format::Csv | Format::Tsv => {
            let table = Table::from_value(value)?;
            let delimiter = format.delimiter().unwrap_or(b',');
            delimited::write(&table.columns, &table.flat_cells()?, delimiter)
        }
        Format::Json => serde_json::to_string_pretty(value).map_err(|error| {
            DataError::whole(format!("the value could not be written as JSON: {error}"))
        })?,
        Format::JsonLines => match value {
            Value::Array(values) => {
                values.iter().map(|value| format!("{value}\n")).collect::<String>()
            }
            other => format!("{other}\n"),
        },
        Format::Yaml => serde_saphyr::to_string_with_options(
            value,
            // Folding a long line would be safe to read back, but hard to compare.
            serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX },
        )
        .map_err(|error| {
            DataError::whole(format!("the value could not be written as YAML: {error}"))
        })?,
        Format::Toml => {
            let toml::Value::Table(table) = toml_value(&toml_root(value), "")? else {
                return Err(DataError::whole(
                    "TOML needs named values at the top, and this is a single value",
                ));
            };
            toml::to_string(&table).map_err(|error| {
                DataError::whole(format!("the value could not be written as TOML: {error}"))
            })?
        }
        Format::Ini | Format::Env | Format::Properties => {
            return Err(DataError::whole(format!(
                "files of the kind {} are read, not written; choose csv, tsv, json, yaml or toml",
                format.as_str()
            )));
        }
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// What TOML can hold at the top: a list of records becomes `[[rows]]`.
pub(crate) fn toml_root(value: &Value) -> Value {
    match value {
        Value::Array(_) => Value::Object(Map::from_iter([("rows".to_owned(), value.clone())])),
        other => other.clone(),
    }
}

fn yaml(source: &str) -> Result<Value, DataError> {
    // `no` is a country before it is a truth value; keys that stand twice, more
    // than one document and aliases that multiply are errors by default.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<Strict>(source, options)
        .map(|Strict(value)| value)
        .map_err(|error| {
            let what = error.without_snippet().to_string();
            match error.location().and_then(|at| usize::try_from(at.line()).ok()) {
                Some(line) if line > 0 => DataError::line(line, what),
                _ => DataError::whole(what),
            }
        })
}

fn toml_text(source: &str) -> Result<Value, DataError> {
    let table: toml::Table = toml::from_str(source).map_err(|error| {
        let before = error.span().and_then(|span| source.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        DataError::line(line, error.message().to_owned())
    })?;
    json_of_toml(toml::Value::Table(table), "")
}

fn json_of_toml(value: toml::Value, at: &str) -> Result<Value, DataError> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => {
            Number::from_f64(number).map(Value::Number).ok_or_else(|| {
                DataError::at(at, format!("{number} cannot be said in other formats"))
            })?
        }
        toml::Value::Boolean(value) => Value::Bool(value),
        toml::Value::Datetime(when) => Value::String(when.to_string()),
        toml::Value::Array(values) => values
            .into_iter()
            .enumerate()
            .map(|(i, value)| json_of_toml(value, &dotted::join(at, &i.to_string())))
            .collect::<Result<_, _>>()
            .map(Value::Array)?,
        toml::Value::Table(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let value = json_of_toml(value, &dotted::join(at, &key))?;
                Ok((key, value))
            })
            .collect::<Result<_, DataError>>()
            .map(Value::Object)?,
    })
}

fn toml_value(value: &Value, at: &str) -> Result<toml::Value, DataError> {
    let refuse = |what: &str| Err(DataError::at(if at.is_empty() { "the top" } else { at }, what));
    Ok(match value {
        Value::Null => {
            return refuse("TOML has no way to say null; remove the key or give a value");
        }
        Value::Bool(value) => toml::Value::Boolean(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => toml::Value::Integer(whole),
            (None, Some(float)) if number.is_f64() => toml::Value::Float(float),
            _ => return refuse("this whole number is too large for TOML"),
        },
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(i, value)| toml_value(value, &dotted::join(at, &i.to_string())))
            .collect::<Result<_, _>>()
            .map(toml::Value::Array)?,
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| Ok((key.clone(), toml_value(value, &dotted::join(at, key))?)))
            .collect::<Result<_, DataError>>()
            .map(toml::Value::Table)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(from: Format, source: &str, to: Format, expect: Expect) {
        let shown = parse(from, source)
            .and_then(|value| write(to, &value))
            .unwrap_or_else(|error| format!("error: {error}"));
        expect.assert_eq(&shown);
    }

    #[test]
    fn structures_keep_order_and_types() {
        check(
            Format::Yaml,
            "zeta: 1\nalpha: {on: yes, no: false}\nlist: [1.5, 'x', null]\n",
            Format::Json,
            expect![[r#"
                {
                  "zeta": 1,
                  "alpha": {
                    "on": "yes",
                    "no": false
                  },
                  "list": [
                    1.5,
                    "x",
                    null
                  ]
                }
            "#]],
        );
        check(
            Format::Json,
            r#"{"b": 1, "a": {"y": "no", "x": 2.0}, "list": [{"n": 1}, {"n": 2}]}"#,
            Format::Toml,
            expect![[r#"
                b = 1

                [a]
                y = "no"
                x = 2.0

                [[list]]
                n = 1

                [[list]]
                n = 2
            "#]],
        );
        check(
            Format::Toml,
            "b = 1979-05-27T07:32:00Z\n[a]\nx = [1, 2]\n",
            Format::Yaml,
            expect![[r#"
                b: "1979-05-27T07:32:00Z"
                a:
                  x:
                  - 1
                  - 2
            "#]],
        );
    }

    #[test]
    fn tables_become_records() {
        check(
            Format::Csv,
            "name,zip,amount\nAnna,01234,12.50\nBob,80331,3.00\n",
            Format::JsonLines,
            expect![[r#"
                {"name":"Anna","zip":"01234","amount":12.5}
                {"name":"Bob","zip":"80331","amount":3.0}
            "#]],
        );
        check(
            Format::Json,
            r#"[{"a": 1, "b": "x,y"}, {"b": null, "c": true}]"#,
            Format::Csv,
            expect![[r#"
                a,b,c
                1,"x,y",
                ,,true
            "#]],
        );
        check(
            Format::Json,
            r#"[{"a": 1}, {"a": 2}]"#,
            Format::Toml,
            expect![[r#"
                [[rows]]
                a = 1

                [[rows]]
                a = 2
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_said_is_an_error_with_its_place() {
        let toml = r#"{"a": {"b": [1, null]}}"#;
        check(
            Format::Json,
            toml,
            Format::Toml,
            expect!["error: at a.b.1: TOML has no way to say null; remove the key or give a value"],
        );
        check(
            Format::Json,
            r#"[{"a": {"b": 1}}]"#,
            Format::Csv,
            expect!["error: at 0.a: a cell of a table cannot hold a list or named values"],
        );
        check(
            Format::Json,
            "3",
            Format::Toml,
            expect!["error: TOML needs named values at the top, and this is a single value"],
        );
        check(
            Format::Toml,
            "a = inf",
            Format::Json,
            expect!["error: at a: inf cannot be said in other formats"],
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        check(
            Format::Json,
            "{\n\"a\": 1,\n}",
            Format::Json,
            expect!["error: line 3: trailing comma (column 1)"],
        );
        check(
            Format::Json,
            "{\"a\": 1,\n\"a\": 2}",
            Format::Json,
            expect![[r#"error: line 2: the key "a" stands twice (column 3)"#]],
        );
        check(
            Format::Json,
            "{\"a\": \"9\\\"9\",\n\"id\": 123456789012345678901}",
            Format::Json,
            expect![
                "error: line 2: the number 123456789012345678901 is longer than a whole number can be without losing digits; write it in quotes"
            ],
        );
        check(Format::Json, " ", Format::Json, expect!["error: it is empty; JSON needs a value"]);
        check(Format::Toml, "a = 1\na = 2", Format::Json, expect!["error: line 2: duplicate key"]);
        check(
            Format::JsonLines,
            "{\"a\": 1}\n\n{",
            Format::Json,
            expect!["error: line 3: EOF while parsing an object (column 1)"],
        );
    }

    #[test]
    fn hostile_yaml_is_refused() {
        let line = |source: &str| parse(Format::Yaml, source).unwrap_err();
        assert!(matches!(line("a: 1\na: 2\n"), DataError::Line { line: 2, .. }));
        assert!(matches!(line("a: 1\n---\nb: 2\n"), DataError::Line { .. }));
        assert!(matches!(line("a: [1\nb: 2\n"), DataError::Line { .. }));
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        line(&bomb);
    }

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            (-1_000_000i32..1_000_000).prop_map(|n| Value::from(f64::from(n) / 100.0)),
            "[a-zA-Z0-9 :#'\"\\-\n,{}\\[\\]äß&*!|>%@.~]{0,12}".prop_map(Value::from),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn structured_formats_give_back_what_they_got(
            fields in prop::collection::btree_map(
                "[a-z][a-z0-9 .-]{0,6}",
                prop_oneof![leaf(), prop::collection::vec(leaf(), 0..3).prop_map(Value::from)],
                1..5,
            ),
        ) {
            let value = Value::Object(fields.into_iter().collect());
            for format in [Format::Json, Format::Yaml, Format::Toml] {
                let text = write(format, &value).unwrap();
                let back = parse(format, &text);
                prop_assert_eq!(back.as_ref(), Ok(&value), "{:?}\n{}", format, text);
            }
        }

        #[test]
        fn a_table_survives_json(
            rows in prop::collection::vec(("[a-z\",\n]{1,5}", -9999i64..9999, 0u32..100), 1..6),
        ) {
            let mut csv = "name,whole,money\n".to_owned();
            for (name, whole, cents) in &rows {
                csv.push_str(&format!("\"{}\",{whole},1.{cents:02}\n", name.replace('"', "\"\"")));
            }
            let first = parse(Format::Csv, &csv).unwrap();
            prop_assert!(first.as_array().unwrap().iter().all(|row| row["money"].is_number()));
            let json = write(Format::Json, &first).unwrap();
            let again = write(Format::Csv, &parse(Format::Json, &json).unwrap()).unwrap();
            prop_assert_eq!(parse(Format::Csv, &again).unwrap(), first);
        }
    }
}
