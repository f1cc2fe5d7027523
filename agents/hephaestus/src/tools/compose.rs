//! `compose`: rows as a Markdown document that a person likes to read.

use super::table::sort;
use crate::args::{parse, rows_schema};
use crate::data::DataError;
use crate::data::markdown;
use crate::data::quote;
use crate::data::records::{Row, Table, is_blank_cell};
use crate::data::template::{self, Piece};
use crate::data::text::short;
use crate::error::arguments;
use crate::tool::{Tool, object, spec};
use crate::workspace::Workspace;
use charter::effect::EffectClass;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Columns that say what a row is about, best first.
const SUBJECTS: [&str; 14] = [
    "text", "title", "name", "quote", "message", "test", "target", "address", "task", "summary",
    "at", "language", "path", "file",
];
/// Entries of a year beyond which a timeline has months too.
const MONTHS_FROM: usize = 12;

/// The tool.
pub(crate) struct Compose;

/// How rows are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Style {
    #[default]
    List,
    Table,
    Timeline,
    Tasks,
}

/// Its arguments.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Args {
    pub(crate) rows: Option<Vec<Value>>,
    pub(crate) text: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) intro: Option<String>,
    pub(crate) style: Style,
    pub(crate) group_by: Option<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) line: Option<String>,
    pub(crate) sort_by: Option<String>,
    pub(crate) descending: bool,
    pub(crate) empty: Option<String>,
    pub(crate) ungrouped: Option<String>,
    pub(crate) totals: Option<Map<String, Value>>,
    pub(crate) total_label: Option<String>,
    pub(crate) page: String,
}

impl Tool for Compose {
    fn spec(&self) -> ToolSpec {
        let text = |description: &str| json!({"type": "string", "description": description});
        spec(
            "compose",
            EffectClass::Think,
            "Makes a Markdown document of rows: a list, a table, a timeline or a list of tasks.",
            object(
                &[],
                json!({
                    "rows": rows_schema(),
                    "text": text("a text instead of rows"),
                    "title": text("the heading"),
                    "intro": text("a paragraph before the rows"),
                    "style": {"enum": ["list", "table", "timeline", "tasks"], "default": "list"},
                    "group_by": text("a column; one section per value. tasks: person unless said otherwise"),
                    "columns": {"type": "array", "items": {"type": "string"}, "maxItems": 200, "description": "columns to show, in this order; none means all"},
                    "line": text("how a row is written, for instance {text} ({file}:{line}); {{ is a bracket"),
                    "sort_by": text("a column"),
                    "descending": {"type": "boolean", "default": false},
                    "empty": text("what is said when there are no rows"),
                    "ungrouped": {"type": "string", "default": "Other", "description": "heading of rows without a group or date"},
                    "totals": {"type": "object", "description": "named values that stand at the end, usually ${N.totals}"},
                    "total_label": {"type": "string", "default": "Total", "description": "word before the totals"},
                    "page": text("path of the file that it is for; that file is then no source of the next one"),
                }),
            ),
            "text (Markdown), rows (number of rows)",
            "Computes from its arguments alone; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, _workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let text = render(&args)?;
        let rows = args.rows.as_ref().map_or(0, Vec::len);
        Ok(Prepared::output(json!({"text": text, "rows": rows}), call.label))
    }
}

/// A value as a person reads it, on one line.
pub(crate) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let one: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    one.trim().to_owned()
}

/// The whole document.
pub(crate) fn render(args: &Args) -> Result<String, ToolError> {
    let mut blocks: Vec<String> = Vec::new();
    let paragraph = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    if let Some(title) = &args.title {
        blocks.push(format!("# {}", shown(&title.as_str().into())));
    }
    blocks.extend(paragraph(&args.intro));
    match (&args.rows, &args.text) {
        (Some(rows), None) if rows.is_empty() => {
            let said = paragraph(&args.empty);
            blocks.push(said.unwrap_or_else(|| "Nothing was found.".to_owned()));
        }
        (Some(rows), None) => blocks.extend(Document::new(args, rows)?.blocks()?),
        (None, Some(text)) => blocks.extend(paragraph(&Some(text.clone()))),
        _ => return Err(arguments("compose needs either rows or text, and not both")),
    }
    blocks.extend(totals(args));
    Ok(quote::page(blocks, &args.page))
}

fn totals(args: &Args) -> Option<String> {
    let totals = args.totals.as_ref().filter(|totals| !totals.is_empty())?;
    let label = args.total_label.as_deref().unwrap_or("Total");
    let lines: Vec<String> = totals
        .iter()
        .map(|(name, value)| {
            format!("**{label} {}: {}**", shown(&name.as_str().into()), shown(value))
        })
        .collect();
    // Two blanks at the end of a line keep the next one apart.
    Some(lines.join("  \n"))
}

/// The rows in order, and what is shown of them.
struct Document<'a> {
    args: &'a Args,
    table: Table,
    group: Option<usize>,
    columns: Vec<usize>,
}

impl<'a> Document<'a> {
    fn new(args: &'a Args, rows: &[Value]) -> Result<Self, ToolError> {
        let mut table = Table::from_value(&Value::Array(rows.to_vec()))
            .map_err(|error| arguments(format!("rows: {error}")))?;
        let column = |table: &Table, what: &str, name: &str| {
            table.column(name).map_err(|error| arguments(format!("{what}: {error}")))
        };
        let date = table.column("date").ok().map(|_| "date");
        let by = args.sort_by.as_deref().or(date.filter(|_| args.style == Style::Timeline));
        if let Some(name) = by {
            column(&table, "sort_by", name)?;
            sort(&mut table, name, args.descending)?;
        }
        let person = (args.style == Style::Tasks).then_some("person");
        let group = match (&args.group_by, person) {
            (Some(name), _) => Some(column(&table, "group_by", name)?),
            (None, Some(name)) => table.column(name).ok(),
            (None, None) => None,
        };
        if let Some(name) = group.and_then(|at| table.columns.get(at).cloned()) {
            sort(&mut table, &name, false)?;
        }
        let columns = match args.columns.as_slice() {
            [] => (0..table.columns.len()).collect(),
            names => names
                .iter()
                .map(|name| column(&table, "columns", name))
                .collect::<Result<_, _>>()?,
        };
        for name in
            template::fields(args.line.as_deref().unwrap_or_default()).map_err(line_error)?
        {
            column(&table, "line", name)?;
        }
        Ok(Self { args, table, group, columns })
    }

    fn blocks(&self) -> Result<Vec<String>, ToolError> {
        let rows: Vec<&Row> = self.table.rows.iter().collect();
        if self.args.style == Style::Timeline && self.group.is_none() {
            return self.timeline(&rows);
        }
        let Some(group) = self.group else { return Ok(vec![self.body(&rows)?]) };
        let mut blocks = Vec::new();
        for (name, rows) in runs(&rows, |row| shown_group(row, group)) {
            blocks.push(format!("## {}", if name.is_empty() { self.ungrouped() } else { &name }));
            blocks.push(self.body(&rows)?);
        }
        Ok(blocks)
    }

    fn ungrouped(&self) -> &str {
        self.args.ungrouped.as_deref().unwrap_or("Other")
    }

    fn body(&self, rows: &[&Row]) -> Result<String, ToolError> {
        match self.args.style {
            Style::Table => Ok(self.markdown_table(rows)),
            _ => {
                Ok(rows.iter().map(|row| self.item(row)).collect::<Result<Vec<_>, _>>()?.join("\n"))
            }
        }
    }

    fn item(&self, row: &Row) -> Result<String, ToolError> {
        let date = self.table.column("date").ok().filter(|_| self.args.style == Style::Timeline);
        let mark = match self.args.style {
            Style::Tasks => {
                let done = self.field(row, "done").is_some_and(|done| *done == Value::Bool(true));
                if done { "[x] " } else { "[ ] " }.to_owned()
            }
            Style::Timeline => {
                let day = date.and_then(|at| row.cells.get(at)).map(shown).unwrap_or_default();
                if day.is_empty() { day } else { format!("**{day}** ") }
            }
            _ => String::new(),
        };
        let text = match &self.args.line {
            Some(template) => self.fill(template, row)?,
            None => self.sentence(row, date),
        };
        Ok(format!("- {mark}{text}").trim_end().to_owned())
    }

    fn field(&self, row: &'a Row, name: &str) -> Option<&'a Value> {
        self.table.column(name).ok().and_then(|at| row.cells.get(at))
    }

    fn fill(&self, template: &str, row: &Row) -> Result<String, ToolError> {
        let mut text = String::new();
        for piece in template::pieces(template).map_err(line_error)? {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Field(name) => {
                    let at = self
                        .table
                        .column(name)
                        .map_err(|error| arguments(format!("line: {error}")))?;
                    text.push_str(&row.cells.get(at).map(shown).unwrap_or_default());
                }
            }
        }
        // Brackets around a value that is blank say nothing.
        let text = text.replace(" ()", "").replace(" []", "").replace("()", "");
        Ok(shown(&text.into()))
    }

    /// What the row is about, then the rest with names, then where it stands.
    fn sentence(&self, row: &Row, date: Option<usize>) -> String {
        let is_tasks = self.args.style == Style::Tasks;
        let name = |at: usize| self.table.columns.get(at).map_or("", String::as_str);
        let has = |wanted: &str| self.columns.iter().copied().find(|at| name(*at) == wanted);
        let place = has("file").zip(has("line"));
        let is_place = |at: usize| place.is_some_and(|(file, line)| at == file || at == line);
        let rest: Vec<usize> = self
            .columns
            .iter()
            .copied()
            .filter(|at| Some(*at) != self.group && Some(*at) != date && !is_place(*at))
            .filter(|at| !(is_tasks && name(*at) == "done"))
            .collect();
        let filled = |at: usize| row.cells.get(at).map(shown).filter(|text| !text.is_empty());
        let subject = SUBJECTS
            .iter()
            .find_map(|wanted| {
                rest.iter().copied().find(|at| name(*at) == *wanted && filled(*at).is_some())
            })
            .or_else(|| rest.iter().copied().find(|at| filled(*at).is_some()));
        let mut text = subject.and_then(filled).unwrap_or_default();
        let details: Vec<String> = rest
            .iter()
            .filter(|at| Some(**at) != subject)
            .filter_map(|at| {
                filled(*at).map(|value| match (name(*at), is_tasks) {
                    ("due", _) => format!("due {value}"),
                    ("person", true) => value,
                    (name, _) => format!("{}: {value}", shown(&name.into())),
                })
            })
            .chain(place.and_then(|(file, line)| {
                let (file, line) = (filled(file), filled(line));
                let both =
                    file.as_ref().zip(line.as_ref()).map(|(file, line)| format!("{file}:{line}"));
                both.or(file).or(line)
            }))
            .collect();
        if !details.is_empty() {
            let details = details.join(", ");
            text = if text.is_empty() { details } else { format!("{text} ({details})") };
        }
        text
    }

    fn markdown_table(&self, rows: &[&Row]) -> String {
        let columns: Vec<usize> =
            self.columns.iter().copied().filter(|at| Some(*at) != self.group).collect();
        let columns = if columns.is_empty() { self.columns.clone() } else { columns };
        let header: Vec<String> = columns
            .iter()
            .map(|at| shown(&self.table.columns.get(*at).map_or("", String::as_str).into()))
            .collect();
        let body: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                columns.iter().map(|at| row.cells.get(*at).map(shown).unwrap_or_default()).collect()
            })
            .collect();
        let right: Vec<bool> = columns.iter().map(|at| self.is_numeric(*at)).collect();
        markdown::table(&header, &body, &right)
    }

    fn is_numeric(&self, column: usize) -> bool {
        let reading = self.table.reading(column);
        let mut filled = self.table.cells(column).filter(|cell| !is_blank_cell(cell)).peekable();
        filled.peek().is_some() && filled.all(|cell| reading.number(cell).is_some())
    }

    fn timeline(&self, rows: &[&Row]) -> Result<Vec<String>, ToolError> {
        let at = self.table.column("date").map_err(|error| {
            arguments(format!("a timeline needs rows with a date: {}", short(&error.to_string())))
        })?;
        let reading = self.table.reading(at);
        let day = |row: &Row| row.cells.get(at).and_then(|cell| reading.date(cell));
        let mut blocks = Vec::new();
        for (year, rows) in
            runs(rows, |row| day(row).map_or(String::new(), |day| format!("{:04}", day.year())))
        {
            blocks.push(format!("## {}", if year.is_empty() { self.ungrouped() } else { &year }));
            if year.is_empty() || rows.len() <= MONTHS_FROM {
                blocks.push(self.body(&rows)?);
                continue;
            }
            for (month, rows) in runs(&rows, |row| {
                day(row).map_or(String::new(), |day| format!("{year}-{:02}", day.month()))
            }) {
                blocks.push(format!("### {month}"));
                blocks.push(self.body(&rows)?);
            }
        }
        Ok(blocks)
    }
}

fn line_error(error: DataError) -> ToolError {
    arguments(format!("line: {error}"))
}

fn shown_group(row: &Row, group: usize) -> String {
    row.cells.get(group).filter(|cell| !is_blank_cell(cell)).map(shown).unwrap_or_default()
}

/// Rows with the same key, in order of first appearance; without key last.
fn runs<'r>(rows: &[&'r Row], key: impl Fn(&Row) -> String) -> Vec<(String, Vec<&'r Row>)> {
    let mut found: Vec<(String, Vec<&Row>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for row in rows {
        let key = key(row);
        let at = *places.entry(key.clone()).or_insert_with(|| {
            found.push((key, Vec::new()));
            found.len() - 1
        });
        if let Some((_, rows)) = found.get_mut(at) {
            rows.push(row);
        }
    }
    found.sort_by_key(|(key, _)| key.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    fn check(args: Value, expect: Expect) {
        let output = Desk::new(&[]).verified("compose", args).output;
        expect.assert_eq(output["text"].as_str().unwrap());
    }

    fn tasks() -> Value {
        json!([
            {"file": "b.md", "line": 3, "text": "call", "person": "", "due": "", "done": false},
            {"file": "a.md", "line": 1, "text": "send", "person": "bob", "due": "2025-03-01", "done": false},
            {"file": "a.md", "line": 2, "text": "paint", "person": "Anna", "due": "", "done": true},
        ])
    }

    #[test]
    fn lists() {
        check(
            json!({"rows": tasks(), "title": "Tasks", "intro": "All of them.", "style": "tasks"}),
            expect![[r#"
            # Tasks

            All of them.

            ## Anna

            - [x] paint (a.md:2)

            ## bob

            - [ ] send (due 2025-03-01, a.md:1)

            ## Other

            - [ ] call (b.md:3)
        "#]],
        );
        check(
            json!({"rows": tasks(), "line": "{text} ({due}) {{{file}:{line}", "sort_by": "text", "descending": true}),
            expect![[r#"
            - send (2025-03-01) {a.md:1
            - paint {a.md:2
            - call {b.md:3
        "#]],
        );
        check(
            json!({"rows": [{"quote": "a\nb", "n": 1, "ok": true, "none": null}]}),
            expect![[r#"
            - a b (n: 1, ok: yes)
        "#]],
        );
    }

    #[test]
    fn tables() {
        check(
            json!({"rows": [{"who": "a|b", "sum": 1.5}, {"who": "Jürgen", "sum": "1200"}], "style": "table", "totals": {"sum": "1201.50"}}),
            expect![[r#"
            | who    |  sum |
            | ------ | ---: |
            | a\|b   |  1.5 |
            | Jürgen | 1200 |

            **Total sum: 1201.50**
        "#]],
        );
        check(
            json!({"rows": [{"g": "x", "a": 1}, {"g": "", "a": 2}], "style": "table", "group_by": "g", "ungrouped": "Sonstiges"}),
            expect![[r#"
            ## x

            |   a |
            | --: |
            |   1 |

            ## Sonstiges

            |   a |
            | --: |
            |   2 |
        "#]],
        );
    }

    #[test]
    fn timelines() {
        check(
            json!({"rows": [
            {"file": "a.md", "line": 2, "date": "2025-03-01", "text": "later"},
            {"file": "a.md", "line": 1, "date": "2024-12-31", "text": "first"},
            {"file": "a.md", "line": 3, "date": "", "text": "undated"},
        ], "style": "timeline", "title": "Timeline"}),
            expect![[r#"
            # Timeline

            ## 2024

            - **2024-12-31** first (a.md:1)

            ## 2025

            - **2025-03-01** later (a.md:2)

            ## Other

            - undated (a.md:3)
        "#]],
        );
        let many: Vec<Value> = (1..=13)
            .map(|day| json!({"date": format!("2025-{:02}-01", 1 + day % 2), "text": day}))
            .collect();
        let text =
            Desk::new(&[]).verified("compose", json!({"rows": many, "style": "timeline"})).output;
        assert!(text["text"].as_str().unwrap().contains("### 2025-02\n\n- **2025-02-01** 1\n"));
    }

    #[test]
    fn nothing_and_texts() {
        check(
            json!({"rows": [], "title": "T"}),
            expect![[r#"
            # T

            Nothing was found.
        "#]],
        );
        check(
            json!({"rows": [], "empty": "Keine."}),
            expect![[r#"
            Keine.
        "#]],
        );
        check(
            json!({"text": "hello\n\n", "title": "T"}),
            expect![[r#"
            # T

            hello
        "#]],
        );
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let desk = Desk::new(&[]);
        let error = |args: Value| desk.prepare("compose", args).unwrap_err().to_string();
        assert!(error(json!({"rows": [{"a": 1}], "line": "{b}"})).contains("no column \"b\""));
        assert!(error(json!({"rows": [{"a": 1}], "line": "{a"})).contains("not closed"));
        assert!(error(json!({"rows": [{"a": 1}], "group_by": "b"})).contains("group_by"));
        assert!(error(json!({"rows": [{"a": 1}], "style": "timeline"})).contains("date"));
        assert!(error(json!({})).contains("either rows or text"));
    }
}
