//! Records: rows with named columns, from any format, exact as they stand in the
//! file until somebody asks for typed values.

use super::DataError;
use super::date::{self, Order};
use super::delimited::{self, Cells};
use super::number::{self, Point};
use super::text::short;
use super::words::is_blank;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// Digits that a double holds without loss.
const EXACT_DIGITS: usize = 15;

/// Rows with named columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    /// Names of the columns in order.
    pub(crate) columns: Vec<String>,
    /// One row per record, as many cells as columns.
    pub(crate) rows: Vec<Row>,
    /// The mark before fractions in columns that do not show it themselves.
    pub(crate) point: Option<Point>,
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Its line in the file, or its position from 1 where there are no lines.
    pub(crate) at: usize,
    /// Its cells; [`Value::Null`] where the record has no such field.
    pub(crate) cells: Vec<Value>,
}

/// The text of a cell.
pub(crate) fn cell_text(cell: &Value) -> Cow<'_, str> {
    match cell {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    }
}

impl Table {
    /// The cells of a text, untyped.
    pub(crate) fn from_cells(cells: Cells) -> Self {
        let rows = cells
            .rows
            .into_iter()
            .map(|(at, row)| Row { at, cells: row.into_iter().map(Value::String).collect() })
            .collect();
        let mut table = Self { columns: cells.columns, rows, point: None };
        // Who separates cells by semicolons needs the comma for fractions.
        let semicolon = (cells.delimiter == b';').then_some(Point::Comma);
        let shown = |column| number::point_of(table.cells(column).filter_map(Value::as_str));
        let mut seen = (0..table.columns.len()).filter_map(shown);
        let first = seen.next();
        let agreed = first.filter(|first| seen.all(|other| other == *first));
        table.point = if first.is_some() { agreed } else { semicolon };
        table
    }

    /// A list of records, or a value whose only list of records it is.
    pub(crate) fn from_value(value: &Value) -> Result<Self, DataError> {
        let is_list = |value: &Value| match value {
            Value::Array(rows) => !rows.is_empty() && rows.iter().all(Value::is_object),
            _ => false,
        };
        let rows = match value {
            Value::Array(rows) => rows,
            Value::Object(fields) => {
                let mut lists = fields.iter().filter(|(_, value)| is_list(value));
                match (lists.next(), lists.next()) {
                    (Some((_, Value::Array(rows))), None) => rows,
                    (Some((one, _)), Some((other, _))) => {
                        return Err(DataError::whole(format!(
                            "it holds more than one table, for instance {:?} and {:?}",
                            short(one),
                            short(other)
                        )));
                    }
                    _ => return Err(DataError::whole("it holds no list of records")),
                }
            }
            _ => return Err(DataError::whole("it is a single value, no list of records")),
        };
        let mut columns: Vec<String> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (i, row) in rows.iter().enumerate() {
            let Value::Object(fields) = row else {
                return Err(DataError::at(i.to_string(), "this is no record with named fields"));
            };
            for key in fields.keys() {
                if !places.contains_key(key.as_str()) {
                    places.insert(key, columns.len());
                    columns.push(key.clone());
                }
            }
        }
        let rows = rows
            .iter()
            .enumerate()
            .map(|(i, row)| Row {
                at: i + 1,
                cells: columns
                    .iter()
                    .map(|name| row.get(name.as_str()).cloned().unwrap_or(Value::Null))
                    .collect(),
            })
            .collect();
        Ok(Self { columns, rows, point: None })
    }

    /// The position of a column: by its exact name, else without regard to case.
    pub(crate) fn column(&self, name: &str) -> Result<usize, DataError> {
        if let Some(at) = self.columns.iter().position(|column| column == name) {
            return Ok(at);
        }
        let wanted = name.trim().to_lowercase();
        let mut alike = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.trim().to_lowercase() == wanted)
            .map(|(at, _)| at);
        match (alike.next(), alike.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => Err(DataError::whole(format!(
                "more than one column could be meant by {:?}; write it exactly as in the table",
                short(name)
            ))),
            (None, _) => {
                let known: Vec<String> =
                    self.columns.iter().take(30).map(|column| format!("{column:?}")).collect();
                Err(DataError::whole(format!(
                    "there is no column {:?}; the table has {}",
                    short(name),
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                )))
            }
        }
    }

    /// The name of a column.
    pub(crate) fn name(&self, column: usize) -> String {
        self.columns.get(column).cloned().unwrap_or_default()
    }

    /// The cells of a column.
    pub(crate) fn cells(&self, column: usize) -> impl Iterator<Item = &Value> {
        self.rows.iter().filter_map(move |row| row.cells.get(column))
    }

    /// How a column is to be read.
    pub(crate) fn reading(&self, column: usize) -> Reading {
        let texts: Vec<Cow<'_, str>> = self.cells(column).map(cell_text).collect();
        let plain = self.cells(column).any(Value::is_number);
        Reading {
            point: match number::point_of(texts.iter().map(AsRef::as_ref)) {
                _ if plain => Some(Point::Dot),
                None => self.point,
                shown => shown,
            },
            order: date::order_of(texts.iter().map(AsRef::as_ref)),
        }
    }

    /// The table with numbers for texts in every column that holds nothing but
    /// numbers that are the same number when they are written again: a leading
    /// zero keeps a whole column text.
    pub(crate) fn typed(mut self) -> Self {
        for column in 0..self.columns.len() {
            // `1.234` beside `1,5` is more than a thousand.
            let grouped = self.reading(column).point == Some(Point::Comma)
                && self.cells(column).any(|cell| cell_text(cell).contains('.'));
            if grouped || !is_plainly_numeric(self.cells(column)) {
                continue;
            }
            for row in &mut self.rows {
                let Some(cell) = row.cells.get_mut(column) else { continue };
                let Value::String(text) = &*cell else { continue };
                let text = text.trim();
                *cell = match (text.parse::<i64>(), text.parse::<f64>()) {
                    (Ok(whole), _) => Value::from(whole),
                    (Err(_), Ok(float)) => Value::from(float),
                    (Err(_), Err(_)) => Value::Null,
                };
            }
        }
        self
    }

    /// The rows as objects.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.rows.iter().map(|row| Value::Object(self.record(row))).collect()
    }

    /// One row as an object.
    pub(crate) fn record(&self, row: &Row) -> Map<String, Value> {
        self.columns.iter().cloned().zip(row.cells.iter().cloned()).collect()
    }

    /// The cells as texts for a format that has nothing else; structure inside a
    /// cell is refused.
    pub(crate) fn flat_cells(&self) -> Result<Vec<Vec<String>>, DataError> {
        let trimmed: Vec<String> = self.columns.iter().map(|name| name.trim().to_owned()).collect();
        delimited::unique(&trimmed)?;
        if self.columns.is_empty() {
            return Err(DataError::whole("there are no records, so no columns can be named"));
        }
        if trimmed.iter().any(String::is_empty) {
            return Err(DataError::whole("a field has no name, so its column would have none"));
        }
        let cell = |row: &Row, name: &String, cell: &Value| match cell {
            Value::Array(_) | Value::Object(_) => Err(DataError::at(
                super::dotted::join(&(row.at - 1).to_string(), name),
                "a cell of a table cannot hold a list or named values",
            )),
            other => Ok(cell_text(other).into_owned()),
        };
        self.rows
            .iter()
            .map(|row| {
                self.columns
                    .iter()
                    .zip(&row.cells)
                    .map(|(name, value)| cell(row, name, value))
                    .collect()
            })
            .collect()
    }
}

/// How the values of one column are to be read, from what they show together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    point: Option<Point>,
    order: Option<Order>,
}

impl Reading {
    /// For a value that stands alone.
    pub(crate) const ALONE: Self = Self { point: None, order: None };

    /// The cell as a number.
    pub(crate) fn number(&self, cell: &Value) -> Option<Decimal> {
        match cell {
            Value::Number(number) => number::parse(&number.to_string(), Some(Point::Dot)),
            Value::String(text) => number::parse(text, self.point),
            _ => None,
        }
    }

    /// Whether the cell is a date whose day and month cannot be told apart.
    pub(crate) fn is_unclear_date(&self, cell: &Value) -> bool {
        let text = cell_text(cell);
        date::find(&text, self.order).iter().any(|found| found.date.is_none())
    }

    /// The cell as a date.
    pub(crate) fn date(&self, cell: &Value) -> Option<Date> {
        match cell {
            Value::String(text) => date::parse(text, self.order),
            _ => None,
        }
    }
}

/// Whether a cell says that there is nothing.
pub(crate) fn is_blank_cell(cell: &Value) -> bool {
    match cell {
        Value::Null => true,
        Value::String(text) => is_blank(text),
        _ => false,
    }
}

/// A number that reads back as itself: digits, and the digits after its point.
fn plain_number(text: &str) -> Option<usize> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let sound = !whole.is_empty()
        && all_digits(whole)
        && all_digits(fraction)
        && (whole == "0" || !whole.starts_with('0'))
        && whole.len() + fraction.len() <= EXACT_DIGITS
        && !(text.starts_with('-') && digits.bytes().all(|byte| matches!(byte, b'0' | b'.')));
    sound.then_some(fraction.len())
}

fn is_plainly_numeric<'c>(cells: impl Iterator<Item = &'c Value>) -> bool {
    // Zeros at the end of a fraction are lost. That is right for money, which
    // has the same number of digits in every row, and wrong for versions, where
    // 1.10 is not 1.1.
    let (mut any, mut scale, mut mixed, mut trailing) = (false, None, false, false);
    for cell in cells {
        let Value::String(text) = cell else { return false };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let Some(digits) = plain_number(text) else { return false };
        any = true;
        if digits > 0 {
            mixed |= scale.is_some_and(|scale| scale != digits);
            scale = Some(digits);
            // `1.0` is how programs write a whole number with a point.
            trailing |= text.ends_with('0') && digits > 1;
        }
    }
    any && !(mixed && trailing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(cells: &[&str], expect: Value) {
        let table = Table {
            columns: vec!["x".to_owned()],
            rows: cells
                .iter()
                .enumerate()
                .map(|(i, cell)| Row { at: i + 2, cells: vec![json!(cell)] })
                .collect(),
            point: None,
        };
        let found: Vec<Value> = table.typed().rows.into_iter().flat_map(|row| row.cells).collect();
        assert_eq!(Value::Array(found), expect);
    }

    #[test]
    fn a_column_becomes_numbers_only_when_nothing_is_lost() {
        check(&["1", "-20", ""], json!([1, -20, null]));
        check(&["12.50", "3.00", "7"], json!([12.5, 3.0, 7]));
        check(&["1.5", "2.25"], json!([1.5, 2.25]));
        check(&["01234", "80331"], json!(["01234", "80331"]));
        check(&["1.9", "1.10"], json!(["1.9", "1.10"]));
        check(&["1", "x"], json!(["1", "x"]));
        check(&["1,234.50"], json!(["1,234.50"]));
        check(&["1234567890123456"], json!(["1234567890123456"]));
        check(&["+49", "1e5", "-0", "1."], json!(["+49", "1e5", "-0", "1."]));
        check(&["", ""], json!(["", ""]));
    }

    #[test]
    fn a_table_shows_what_its_marks_mean() {
        let number = |text: &str, column: usize| {
            let table = Table::from_cells(delimited::parse(text, None).unwrap());
            let cell = table.rows[0].cells[column].clone();
            (
                table.reading(column).number(&cell).unwrap().to_string(),
                table.typed().rows[0].cells[column].clone(),
            )
        };
        assert_eq!(number("a;b\n1.234;x\n", 0), ("1234".to_owned(), json!("1.234")));
        assert_eq!(number("a,b\n1.234,x\n", 0), ("1.234".to_owned(), json!(1.234)));
        assert_eq!(number("a,b\n1.234,\"2,5\"\n", 0), ("1234".to_owned(), json!("1.234")));
        assert_eq!(number("a;b\n1.234;2.5\n", 0), ("1.234".to_owned(), json!(1.234)));
    }

    #[test]
    fn columns_are_found_without_regard_to_case() {
        let table = Table::from_value(&json!([{"Name": 1, "name": 2, "Amount": 3}])).unwrap();
        assert_eq!(table.column("amount"), Ok(2));
        assert_eq!(table.column("name"), Ok(1));
        assert!(table.column("NAME").unwrap_err().to_string().contains("more than one"));
        let error = table.column("price").unwrap_err().to_string();
        assert_eq!(error, r#"there is no column "price"; the table has "Name", "name", "Amount""#);
    }

    #[test]
    fn records_stand_alone_or_under_one_key() {
        let under = json!({"title": "x", "rows": [{"a": 1}, {"b": 2}]});
        let table = Table::from_value(&under).unwrap();
        assert_eq!(table.columns, ["a", "b"]);
        assert_eq!(table.records(), [json!({"a": 1, "b": null}), json!({"a": null, "b": 2})]);
        assert!(Table::from_value(&json!({"a": [{"x": 1}], "b": [{"x": 1}]})).is_err());
        assert!(Table::from_value(&json!([1])).is_err());
        assert!(Table::from_value(&json!([])).unwrap().rows.is_empty());
    }
}
