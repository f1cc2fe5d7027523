//! `convert`: data from one format into another.

use crate::args::{parse, path_schema};
use crate::data::dotted;
use crate::data::format::{self, Format};
use crate::data::records::Table;
use crate::error::{arguments, malformed};
use crate::source;
use crate::tool::{Tool, object, spec};
use crate::workspace::{Workspace, paths};
use charter::content::CONTENT_BYTES_MAX;
use charter::effect::{Change, EffectClass, TargetState};
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// The tool.
pub(crate) struct Convert;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) from: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(crate) value: Option<Value>,
    pub(crate) to: String,
}

/// `null` is a value like any other.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Tool for Convert {
    fn spec(&self) -> ToolSpec {
        spec(
            "convert",
            EffectClass::Change,
            "Writes data in another format: csv, tsv, json, yaml or toml.",
            object(
                &["to"],
                json!({
                    "from": path_schema("the file to convert; its name says the format"),
                    "value": {"description": "a value instead of a file, usually ${N.rows}"},
                    "to": path_schema("the file to write; its name says the format"),
                }),
            ),
            "path, format, rows (number of records, null if the data is no table), bytes",
            "The file holds exactly this data afterwards, so repeating is safe. A new file is undone by deleting it.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let path = paths::normal(&args.to)?;
        let format = source::format_of(&path)?;
        if args.from.as_deref().map(paths::normal).transpose()?.as_deref() == Some(path.as_str()) {
            return Err(arguments(format!("{path:?} would be written over itself"))
                .hint("give the new file another name"));
        }
        let value = wanted(&args, format, workspace)?;
        let text = format::write(format, &value).map_err(|error| {
            malformed(format!("the data cannot be written as {}: {error}", format.as_str()))
        })?;
        // What cannot be read back as it was is not written at all.
        let back = format::parse(format, &text).map_err(|error| {
            malformed(format!("the data would not survive as {}: {error}", format.as_str()))
        })?;
        survives(format, &value, &back)?;
        if text.len() > CONTENT_BYTES_MAX {
            return Err(crate::error::too_large(format!(
                "{path:?} would have {} bytes, more than the {CONTENT_BYTES_MAX} that are written at once",
                text.len()
            )));
        }
        let output = json!({
            "path": path, "format": format.as_str(), "rows": records(&value), "bytes": text.len(),
        });
        let change = Change::Write { path: path.clone(), bytes: text.into_bytes(), mode: None };
        let proposed = workspace.propose(change)?;
        if proposed.before.iter().any(|target| target.state == TargetState::Folder) {
            return Err(ToolError::new(
                ErrorCode::Taken,
                format!("{path:?} is a folder, so no file can be written there"),
            )
            .hint("name a file in it"));
        }
        Ok(Prepared { changes: vec![proposed], ..Prepared::output(output, call.label) })
    }
}

/// The value that shall stand in the file.
pub(crate) fn wanted(args: &Args, to: Format, workspace: &Workspace) -> Result<Value, ToolError> {
    let value = match (&args.from, &args.value) {
        (Some(path), None) => source::value(workspace, path)?,
        (None, Some(value)) => value.clone(),
        _ => return Err(arguments("convert needs either from or value, and not both")),
    };
    let delimited = args.from.as_deref().and_then(Format::of).is_some_and(Format::is_delimited);
    // An empty cell is no value; TOML says that by leaving the key out.
    let value = if to == Format::Toml && delimited { without_nulls(value) } else { value };
    Ok(if to == Format::Toml { format::toml_root(&value) } else { value })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Array(rows) => rows.into_iter().map(without_nulls).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

/// Number of records, if the data is a table.
pub(crate) fn records(value: &Value) -> Value {
    Table::from_value(value).map_or(Value::Null, |table| table.rows.len().into())
}

/// Whether what is read back says the same as what was meant.
fn survives(format: Format, value: &Value, back: &Value) -> Result<(), ToolError> {
    if format.is_delimited() {
        // Cells are texts; the check of the result compares them one by one.
        return Ok(());
    }
    let (wanted, found) = (dotted::flatten(value), dotted::flatten(back));
    let differ = wanted
        .iter()
        .zip(&found)
        .find(|((at, left), (place, right))| at != place || !dotted::same(left, right, false));
    // TOML writes plain values before tables, so only the set of places counts.
    let sorted = |mut list: Vec<(String, Value)>| {
        list.sort_by(|left, right| left.0.cmp(&right.0));
        list
    };
    if differ.is_none() && wanted.len() == found.len() {
        return Ok(());
    }
    let (wanted, found) = (sorted(wanted), sorted(found));
    let differ = wanted
        .iter()
        .zip(&found)
        .find(|((at, left), (place, right))| at != place || !dotted::same(left, right, false));
    match differ {
        None if wanted.len() == found.len() => Ok(()),
        _ => {
            let at = differ.map_or("the end", |((at, _), _)| at.as_str());
            Err(malformed(format!(
                "the data cannot be said in {} without loss: {at}",
                format.as_str()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use charter::tool::ErrorCode;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    fn check(from: (&str, &str), to: &str, expect: Expect) {
        let desk = Desk::new(&[from]);
        let subject = desk.verified("convert", json!({"from": from.0, "to": to}));
        expect.assert_eq(&format!("{}\n{}", subject.output, desk.get(to)));
    }

    #[test]
    fn tables() {
        check(
            ("a.csv", "\u{feff}Name;Betrag;PLZ\r\nJürgen;1,50;01234\r\n\"a;b\";;80331\r\n"),
            "out/a.json",
            expect![[r#"
            {"path":"out/a.json","format":"json","rows":2,"bytes":141}
            [
              {
                "Name": "Jürgen",
                "Betrag": "1,50",
                "PLZ": "01234"
              },
              {
                "Name": "a;b",
                "Betrag": "",
                "PLZ": "80331"
              }
            ]
        "#]],
        );
        check(
            ("a.csv", "name,n\nx,1\ny,\n"),
            "a.toml",
            expect![[r#"
            {"path":"a.toml","format":"toml","rows":2,"bytes":47}
            [[rows]]
            name = "x"
            n = 1

            [[rows]]
            name = "y"
        "#]],
        );
        check(
            ("a.toml", "[[rows]]\nname = \"x\"\nn = 1.5\n"),
            "a.tsv",
            expect![[r#"
            {"path":"a.tsv","format":"tsv","rows":1,"bytes":13}
            name	n
            x	1.5
        "#]],
        );
    }

    #[test]
    fn structures() {
        check(
            ("a.yaml", "# c\nserver:\n  port: 8080\n  tags: [a, b]\nname: x\n"),
            "a.toml",
            expect![[r#"
            {"path":"a.toml","format":"toml","rows":null,"bytes":51}
            name = "x"

            [server]
            port = 8080
            tags = ["a", "b"]
        "#]],
        );
    }

    #[test]
    fn a_value_is_written_too() {
        let desk = Desk::new(&[]);
        desk.verified("convert", json!({"value": [{"a": 1, "b": "x"}], "to": "a.csv"}));
        assert_eq!(desk.get("a.csv"), "a,b\n1,x\n");
        desk.verified("convert", json!({"value": null, "to": "a.json"}));
        assert_eq!(desk.get("a.json"), "null\n");
    }

    #[test]
    fn errors_say_what_and_where() {
        let desk = Desk::new(&[
            ("a.json", r#"{"a": [1, null]}"#),
            ("b.json", r#"[{"a": [1]}]"#),
            ("c.csv", ""),
        ]);
        let check = |args: Value, code: ErrorCode, text: &str| {
            let error = desk.prepare("convert", args).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.to_string().contains(text), "{error}");
        };
        check(
            json!({"from": "a.json", "to": "a.toml"}),
            ErrorCode::Malformed,
            "at a.1: TOML has no way to say null",
        );
        check(json!({"from": "b.json", "to": "b.csv"}), ErrorCode::Malformed, "at 0.a: a cell");
        check(json!({"from": "c.csv", "to": "c.json"}), ErrorCode::Malformed, "it is empty");
        check(json!({"from": "a.json", "to": "a.txt"}), ErrorCode::Arguments, "a.txt");
        check(json!({"from": "a.json", "to": "./a.json"}), ErrorCode::Arguments, "over itself");
        check(
            json!({"from": "a.json", "to": "a.ini"}),
            ErrorCode::Malformed,
            "are read, not written",
        );
    }
}
