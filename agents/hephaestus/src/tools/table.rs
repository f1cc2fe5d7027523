//! `table`: filter, group, total, sort the rows of a table, with exact decimals.

use crate::args::{parse, path_schema, rows_schema};
use crate::data::DataError;
use crate::data::condition::{Condition, Test, clear_dates};
use crate::data::number;
use crate::data::records::{Reading, Row, Table, cell_text, is_blank_cell};
use crate::data::text::short;
use crate::error::{arguments, malformed};
use crate::source;
use crate::tool::{Tool, object, spec};
use crate::workspace::Workspace;
use charter::effect::EffectClass;
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::HashMap;

/// The tool.
pub(crate) struct TableTool;

/// Its arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Args {
    pub(crate) from: Option<String>,
    pub(crate) rows: Option<Vec<Value>>,
    #[serde(rename = "where")]
    pub(crate) conditions: Vec<Condition>,
    pub(crate) group_by: Vec<String>,
    pub(crate) total: Vec<String>,
    pub(crate) average: Vec<String>,
    pub(crate) count: bool,
    pub(crate) columns: Vec<String>,
    pub(crate) sort_by: Option<String>,
    pub(crate) descending: bool,
    pub(crate) limit: Option<usize>,
}

impl Tool for TableTool {
    fn spec(&self) -> ToolSpec {
        let columns = |description: &str| json!({"type": "array", "items": {"type": "string"}, "maxItems": 200, "description": description});
        spec(
            "table",
            EffectClass::Read,
            "Filters, groups, totals and sorts the rows of a table with exact decimals.",
            object(
                &[],
                json!({
                    "from": path_schema("a csv, tsv, json, yaml or toml file that holds a list of records"),
                    "rows": rows_schema(),
                    "where": {
                        "type": "array", "maxItems": 50, "description": "conditions that must all hold; texts are compared without regard to case",
                        "items": {
                            "type": "object", "additionalProperties": false, "required": ["column", "is", "value"],
                            "properties": {
                                "column": {"type": "string"},
                                "is": {"enum": ["=", "!=", "<", "<=", ">", ">=", "contains", "starts", "before", "after", "in"]},
                                "value": {"type": ["string", "number", "boolean", "null", "array"], "description": "for in: a list of values, of which the cell is one"},
                            },
                        },
                    },
                    "group_by": columns("one row per different values of these columns"),
                    "total": columns("columns to add up"),
                    "average": columns("columns to average"),
                    "count": {"type": "boolean", "default": false, "description": "one row per group with its count; groups always have it"},
                    "columns": columns("columns to keep, in this order"),
                    "sort_by": {"type": "string", "description": "a column, or count, total column or average column of groups"},
                    "descending": {"type": "boolean", "default": false},
                    "limit": {"type": "integer", "minimum": 0, "description": "most rows to return; totals are over all selected rows"},
                }),
            ),
            "rows, columns, count (number of rows returned), selected (number of source rows that fit), totals: {column: decimal text over the selected rows}, averages: {column: decimal text}, source_rows. A group row holds the group columns, count, the total columns summed, and \"average COLUMN\"",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let table = read(&args, workspace)?;
        Ok(Prepared::output(compute(&args, &table)?, call.label))
    }
}

/// The rows that the arguments name.
pub(crate) fn read(args: &Args, workspace: &Workspace) -> Result<Table, ToolError> {
    match (&args.from, &args.rows) {
        (Some(path), None) => source::table(workspace, path),
        (None, Some(rows)) => {
            let mut table = Table::from_value(&Value::Array(rows.clone()))
                .map_err(|error| arguments(format!("rows: {error}")))?;
            // Rows that an earlier step did not find have no columns, and asking
            // for some is no mistake.
            if table.rows.is_empty() && table.columns.is_empty() {
                table.columns = named(args);
            }
            Ok(table)
        }
        _ => Err(arguments("table needs either from or rows, and not both")),
    }
}

/// Every column that the arguments name, once.
fn named(args: &Args) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    let conditions = args.conditions.iter().map(|condition| &condition.column);
    let lists = [&args.columns, &args.group_by, &args.total, &args.average];
    for name in lists.into_iter().flatten().chain(conditions).chain(&args.sort_by) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

fn no_column(error: DataError) -> ToolError {
    ToolError::new(ErrorCode::NotFound, error.to_string()).hint("use one of the names in the table")
}

fn refused(error: DataError) -> ToolError {
    let error = match error {
        DataError::Line { .. } => malformed(error.to_string()),
        other => arguments(other.to_string()),
    };
    error.hint("write dates as 2025-01-31 and numbers as 1234.5")
}

/// The whole output.
pub(crate) fn compute(args: &Args, table: &Table) -> Result<Value, ToolError> {
    let column = |name: &String| table.column(name).map_err(no_column);
    let list = |names: &[String]| names.iter().map(column).collect::<Result<Vec<_>, _>>();
    let (groups, totals, averages) =
        (list(&args.group_by)?, list(&args.total)?, list(&args.average)?);
    let tests = args
        .conditions
        .iter()
        .map(|condition| {
            let at = column(&condition.column)?;
            Test::new(condition, table, at).map_err(refused)
        })
        .collect::<Result<Vec<_>, ToolError>>()?;
    let selected: Vec<&Row> =
        table.rows.iter().filter(|row| tests.iter().all(|test| test.holds(row))).collect();

    let sums = totals
        .iter()
        .map(|at| Ok((table.name(*at), sum(table, *at, table.reading(*at), &selected)?.sum)))
        .collect::<Result<Vec<_>, ToolError>>()?;
    let means = averages
        .iter()
        .map(|at| Ok((table.name(*at), sum(table, *at, table.reading(*at), &selected)?.mean())))
        .collect::<Result<Vec<_>, ToolError>>()?;

    let mut shown = if groups.is_empty() {
        Table { columns: table.columns.clone(), rows: kept(table, &selected), point: table.point }
    } else {
        grouped(table, &selected, &groups, &totals, &averages)?
    };
    if let Some(name) = &args.sort_by {
        sort(&mut shown, name, args.descending)?;
    }
    let source_rows = table.rows.len();
    let mut shown = keep(shown, &args.columns)?;
    if let Some(limit) = args.limit {
        shown.rows.truncate(limit);
    }
    let texts = |pairs: Vec<(String, Decimal)>| -> Map<String, Value> {
        pairs.into_iter().map(|(name, value)| (name, value.to_string().into())).collect()
    };
    let mut output = json!({
        "rows": shown.records(), "columns": shown.columns, "count": shown.rows.len(),
        "selected": selected.len(), "totals": texts(sums), "source_rows": source_rows,
    });
    if !args.average.is_empty() {
        let means = means.into_iter().filter_map(|(name, mean)| Some((name, mean?))).collect();
        output["averages"] = Value::Object(texts(means));
    }
    Ok(output)
}

/// The selected rows with numbers where the whole table allows them, and where
/// writing them again gives the text that was read: `1150.00` stays as it is.
fn kept(table: &Table, selected: &[&Row]) -> Vec<Row> {
    let mut rows = typed(table, selected);
    for column in 0..table.columns.len() {
        let changed = rows.iter().zip(selected).any(|(row, source)| {
            match (row.cells.get(column), source.cells.get(column)) {
                (Some(now), Some(was)) => cell_text(now) != cell_text(was) && !is_blank_cell(was),
                _ => false,
            }
        });
        for (row, source) in rows.iter_mut().zip(selected).filter(|_| changed) {
            if let (Some(now), Some(was)) = (row.cells.get_mut(column), source.cells.get(column)) {
                *now = was.clone();
            }
        }
    }
    rows
}

/// The selected rows with numbers where the whole table allows them.
fn typed(table: &Table, selected: &[&Row]) -> Vec<Row> {
    let mut of_row: HashMap<usize, Row> =
        table.clone().typed().rows.into_iter().map(|row| (row.at, row)).collect();
    selected.iter().filter_map(|row| of_row.remove(&row.at)).collect()
}

fn keep(table: Table, columns: &[String]) -> Result<Table, ToolError> {
    if columns.is_empty() {
        return Ok(table);
    }
    let places = columns
        .iter()
        .map(|name| table.column(name).map_err(no_column))
        .collect::<Result<Vec<_>, _>>()?;
    let pick = |cells: &[Value]| -> Vec<Value> {
        places.iter().map(|at| cells.get(*at).cloned().unwrap_or_default()).collect()
    };
    Ok(Table {
        columns: places.iter().map(|at| table.name(*at)).collect(),
        rows: table.rows.iter().map(|row| Row { at: row.at, cells: pick(&row.cells) }).collect(),
        point: table.point,
    })
}

/// A column added up.
struct Sum {
    sum: Decimal,
    cells: u64,
    scale: u32,
}

impl Sum {
    /// Rounded to the digits of the cells, at least two, half away from zero.
    fn mean(&self) -> Option<Decimal> {
        let mean = self.sum.checked_div(Decimal::from(self.cells))?;
        let digits = self.scale.max(2);
        Some(mean.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero))
    }
}

fn sum(table: &Table, column: usize, reading: Reading, rows: &[&Row]) -> Result<Sum, ToolError> {
    let name = || format!("{:?}", short(&table.name(column)));
    let mut total = Sum { sum: Decimal::ZERO, cells: 0, scale: 0 };
    for row in rows {
        let cell = row.cells.get(column).unwrap_or(&Value::Null);
        if is_blank_cell(cell) {
            continue;
        }
        let Some(value) = reading.number(cell) else {
            let found = short(&cell_text(cell));
            return Err(malformed(format!(
                "line {}: {found:?} in the column {} is no number",
                row.at,
                name()
            ))
            .hint("correct the cell, or leave such rows out with a condition"));
        };
        total.sum = total.sum.checked_add(value).ok_or_else(|| {
            malformed(format!(
                "the column {} adds up to more digits than can be kept exactly",
                name()
            ))
        })?;
        total.cells += 1;
        total.scale = total.scale.max(value.scale());
    }
    Ok(total)
}

/// One row per group, ordered by the values of the group.
fn grouped(
    table: &Table,
    selected: &[&Row],
    groups: &[usize],
    totals: &[usize],
    averages: &[usize],
) -> Result<Table, ToolError> {
    let typed = typed(table, selected);
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    let mut members: Vec<(Vec<Value>, Vec<&Row>)> = Vec::new();
    for (row, typed) in selected.iter().zip(&typed) {
        let cells = |row: &Row| -> Vec<Value> {
            groups.iter().map(|at| row.cells.get(*at).cloned().unwrap_or_default()).collect()
        };
        let key = cells(row).iter().map(|cell| cell_text(cell).trim().to_owned()).collect();
        let at = *places.entry(key).or_insert_with(|| {
            let shown = cells(typed).into_iter().map(|cell| match cell {
                Value::String(text) => Value::String(text.trim().to_owned()),
                other => other,
            });
            members.push((shown.collect(), Vec::new()));
            members.len() - 1
        });
        if let Some((_, rows)) = members.get_mut(at) {
            rows.push(row);
        }
    }
    let mut columns: Vec<String> = groups.iter().map(|at| table.name(*at)).collect();
    let taken = |columns: &[String], name: &str| columns.iter().any(|column| column == name);
    columns.push(if taken(&columns, "count") { "number of rows" } else { "count" }.to_owned());
    for at in totals {
        let name = table.name(*at);
        if taken(&columns, &name) {
            return Err(arguments(format!(
                "{:?} is totalled and grouped by, or named twice",
                short(&name)
            )));
        }
        columns.push(name);
    }
    columns.extend(averages.iter().map(|at| format!("average {}", table.name(*at))));
    let readings = |places: &[usize]| -> Vec<(usize, Reading)> {
        places.iter().map(|at| (*at, table.reading(*at))).collect()
    };
    let (totals, averages) = (readings(totals), readings(averages));
    let mut rows = Vec::new();
    for (i, (mut cells, of_group)) in members.into_iter().enumerate() {
        cells.push(of_group.len().into());
        for (at, reading) in &totals {
            cells.push(number::to_json(sum(table, *at, *reading, &of_group)?.sum));
        }
        for (at, reading) in &averages {
            cells.push(
                sum(table, *at, *reading, &of_group)?.mean().map_or(Value::Null, number::to_json),
            );
        }
        rows.push(Row { at: i + 1, cells });
    }
    let mut table = Table { columns, rows, point: table.point };
    for name in table.columns.clone().iter().take(groups.len()).rev() {
        sort(&mut table, name, false)?;
    }
    Ok(table)
}

/// Orders rows by a column: as numbers if all are, else as dates if all are,
/// else as texts. What is blank comes last. Rows that are alike keep their order.
pub(crate) fn sort(table: &mut Table, name: &str, descending: bool) -> Result<(), ToolError> {
    let at = table.column(name).map_err(no_column)?;
    let reading = table.reading(at);
    let cells: Vec<&Value> = table.cells(at).filter(|cell| !is_blank_cell(cell)).collect();
    let numbers = cells.iter().all(|cell| reading.number(cell).is_some());
    let is_date = |cell: &&Value| reading.date(cell).is_some();
    let dates = cells.iter().all(is_date);
    if !dates && cells.iter().all(|cell| is_date(cell) || reading.is_unclear_date(cell)) {
        clear_dates(table, at).map_err(refused)?;
    }
    let compare = |left: &Value, right: &Value| -> Ordering {
        let texts = || {
            let (left, right) = (cell_text(left), cell_text(right));
            left.to_lowercase().cmp(&right.to_lowercase()).then_with(|| left.cmp(&right))
        };
        if numbers {
            reading.number(left).cmp(&reading.number(right))
        } else if dates {
            reading.date(left).cmp(&reading.date(right))
        } else {
            texts()
        }
    };
    table.rows.sort_by(|left, right| {
        let (left, right) = (left.cells.get(at), right.cells.get(at));
        let (Some(left), Some(right)) = (left, right) else { return Ordering::Equal };
        match (is_blank_cell(left), is_blank_cell(right)) {
            (false, false) if descending => compare(right, left),
            (false, false) => compare(left, right),
            (left, right) => left.cmp(&right),
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use expect_test::{Expect, expect};

    const EXPENSES: &str = "Date;Category;Amount;Note\n01.03.2025;Food;1.234,50 €;\n14.03.2025;food ;12,00 €;x\n02.04.2025;Travel;;n\n03.04.2025;Food;(4,50);\n";

    fn check(file: (&str, &str), mut args: Value, expect: Expect) {
        let desk = Desk::new(&[file]);
        args["from"] = file.0.into();
        let subject = desk.verified("table", args);
        let mut shown: String = subject.output["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{row}\n"))
            .collect();
        shown.push_str(&format!(
            "{} {} {}",
            subject.output["count"], subject.output["selected"], subject.output["totals"]
        ));
        if let Some(means) = subject.output.get("averages") {
            shown.push_str(&format!(" {means}"));
        }
        expect.assert_eq(&shown);
    }

    #[test]
    fn what_is_not_computed_keeps_its_text() {
        check(
            ("a.csv", "city,amount,n\nBerlin,1150.00,1\nHamburg,2.50,2\nWien,3.00,3\n"),
            json!({"where": [{"column": "city", "is": "in", "value": ["berlin", "Hamburg"]}], "total": ["amount"]}),
            expect![[r#"
                {"city":"Berlin","amount":"1150.00","n":1}
                {"city":"Hamburg","amount":"2.50","n":2}
                2 2 {"amount":"1152.50"}"#]],
        );
    }

    #[test]
    fn rows_are_filtered_and_totalled() {
        let file = ("a.csv", EXPENSES);
        check(
            file,
            json!({"where": [{"column": "category", "is": "=", "value": "FOOD"}], "total": ["amount"]}),
            expect![[r#"
            {"Date":"01.03.2025","Category":"Food","Amount":"1.234,50 €","Note":""}
            {"Date":"14.03.2025","Category":"food ","Amount":"12,00 €","Note":"x"}
            {"Date":"03.04.2025","Category":"Food","Amount":"(4,50)","Note":""}
            3 3 {"Amount":"1242.00"}"#]],
        );
        check(
            file,
            json!({"where": [{"column": "Date", "is": "before", "value": "2025-04-01"}, {"column": "Amount", "is": ">", "value": 12}], "columns": ["Amount", "Date"]}),
            expect![[r#"
            {"Amount":"1.234,50 €","Date":"01.03.2025"}
            1 1 {}"#]],
        );
        check(
            file,
            json!({"where": [{"column": "Amount", "is": ">=", "value": "-5"}, {"column": "Note", "is": "!=", "value": "x"}], "columns": ["Amount"]}),
            expect![[r#"
            {"Amount":"1.234,50 €"}
            {"Amount":"(4,50)"}
            2 2 {}"#]],
        );
    }

    #[test]
    fn groups_are_totalled_and_sorted() {
        let file = ("a.csv", "who,what,amount\nBob,a,0.10\nAnna,b,0.20\nBob,c,1.00\n,d,5\n");
        check(
            file,
            json!({"group_by": ["who"], "total": ["amount"], "average": ["amount"]}),
            expect![[r#"
            {"who":"Anna","count":1,"amount":0.2,"average amount":0.2}
            {"who":"Bob","count":2,"amount":1.1,"average amount":0.55}
            {"who":"","count":1,"amount":5,"average amount":5}
            3 4 {"amount":"6.30"} {"amount":"1.58"}"#]],
        );
        check(
            file,
            json!({"group_by": ["who"], "total": ["amount"], "sort_by": "amount", "descending": true, "limit": 1}),
            expect![[r#"
            {"who":"","count":1,"amount":5}
            1 4 {"amount":"6.30"}"#]],
        );
        check(
            file,
            json!({"sort_by": "amount", "columns": ["what", "amount"]}),
            expect![[r#"
            {"what":"a","amount":"0.10"}
            {"what":"b","amount":"0.20"}
            {"what":"c","amount":"1.00"}
            {"what":"d","amount":"5"}
            4 4 {}"#]],
        );
    }

    #[test]
    fn other_formats_hold_tables_too() {
        check(
            ("a.json", r#"[{"n": 0.1, "d": "2025-03-02"}, {"n": 0.2, "d": "2024-01-01"}]"#),
            json!({"total": ["n"], "sort_by": "d"}),
            expect![[r#"
            {"n":0.2,"d":"2024-01-01"}
            {"n":0.1,"d":"2025-03-02"}
            2 2 {"n":"0.3"}"#]],
        );
        check(
            ("a.toml", "[[item]]\nn = 1\n[[item]]\nn = 2\n"),
            json!({"where": [{"column": "n", "is": "<=", "value": 1}]}),
            expect![[r#"
            {"n":1}
            1 1 {}"#]],
        );
        check(
            ("a.yaml", "- {n: a b}\n- {n: b}\n"),
            json!({"where": [{"column": "n", "is": "contains", "value": "B"}, {"column": "n", "is": "starts", "value": "a"}]}),
            expect![[r#"
            {"n":"a b"}
            1 1 {}"#]],
        );
    }

    #[test]
    fn rows_that_were_not_found_are_no_mistake() {
        let desk = Desk::new(&[]);
        let args = json!({
            "rows": [], "where": [{"column": "kind", "is": "=", "value": "x"}],
            "total": ["amount"], "sort_by": "line",
        });
        let subject = desk.verified("table", args);
        assert_eq!(subject.output["count"], 0);
        assert_eq!(subject.output["totals"]["amount"], "0");
    }

    #[test]
    fn errors_say_what_and_where() {
        let desk = Desk::new(&[
            ("a.csv", EXPENSES),
            ("b.csv", "a,b\n1,2\n3\n"),
            ("c.csv", "a\n1\nmany\n"),
        ]);
        let error = |args: Value| desk.prepare("table", args).unwrap_err();
        assert_eq!(error(json!({"from": "a.csv", "total": ["price"]})).code, ErrorCode::NotFound);
        assert_eq!(error(json!({"from": "b.csv"})).code, ErrorCode::Malformed);
        expect![[r#"line 3: "many" in the column "a" is no number (correct the cell, or leave such rows out with a condition)"#]]
            .assert_eq(&error(json!({"from": "c.csv", "total": ["a"]})).to_string());
        expect![[r#"could not read the data of "b.csv": line 3: this row has 1 cells, but the first row names 2 columns"#]]
            .assert_eq(&error(json!({"from": "b.csv"})).to_string());
        assert_eq!(error(json!({"from": "none.csv"})).code, ErrorCode::NotFound);
        assert_eq!(error(json!({"from": "a.csv", "where": [{"column": "Amount", "is": ">", "value": "much"}]})).code, ErrorCode::Arguments);
        assert_eq!(error(json!({})).code, ErrorCode::Arguments);
        let unclear = Desk::new(&[("d.csv", "d\n3/4/2025\n5/6/2025\n")]);
        for args in [
            json!({"sort_by": "d"}),
            json!({"where": [{"column": "d", "is": "before", "value": "2025-05-01"}]}),
        ] {
            let mut args = args;
            args["from"] = "d.csv".into();
            let error = unclear.prepare("table", args).unwrap_err().to_string();
            assert!(error.contains("cannot be told apart"), "{error}");
        }
    }
}
