//! Conditions on the rows of a table.

use super::DataError;
use super::records::{Reading, Row, Table, cell_text};
use super::text::short;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;
use std::cmp::Ordering;

/// One condition.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    pub(crate) column: String,
    pub(crate) is: Is,
    pub(crate) value: Value,
}

/// How a cell is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Is {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "contains")]
    Contains,
    #[serde(rename = "starts")]
    Starts,
    #[serde(rename = "before")]
    Before,
    #[serde(rename = "after")]
    After,
    /// One of a list of values.
    #[serde(rename = "in")]
    In,
}

/// A date that nobody can tell would be compared wrongly in silence.
pub(crate) fn clear_dates(table: &Table, column: usize) -> Result<(), DataError> {
    let reading = table.reading(column);
    let unclear = table.rows.iter().find_map(|row| {
        let cell = row.cells.get(column)?;
        reading.is_unclear_date(cell).then(|| (row.at, cell_text(cell).into_owned()))
    });
    match unclear {
        None => Ok(()),
        Some((at, text)) => Err(DataError::line(
            at,
            format!(
                "day and month of {:?} in the column {:?} cannot be told apart",
                short(&text),
                short(&table.name(column))
            ),
        )),
    }
}

/// A condition, ready to be tested.
pub(crate) struct Test {
    at: usize,
    is: Is,
    reading: Reading,
    text: String,
    number: Option<Decimal>,
    date: Option<Date>,
    /// For [`Is::In`]: equal to any of these.
    any: Vec<Test>,
}

/// Most values that a cell is compared with.
const VALUES_MAX: usize = 1_000;

impl Test {
    /// The condition on a column of a table. What it compares must be clear in
    /// every row.
    pub(crate) fn new(condition: &Condition, table: &Table, at: usize) -> Result<Self, DataError> {
        if let (Is::In, Value::Array(values)) = (condition.is, &condition.value) {
            return Self::any(condition, values, table, at);
        }
        let reading = table.reading(at);
        let value = &condition.value;
        let text = cell_text(value).trim().to_lowercase();
        let number = Reading::ALONE.number(value);
        let date = Reading::ALONE.date(value);
        let refuse = |what: &str| {
            Err(DataError::whole(format!(
                "where: {:?} is compared with {:?}, which is no {what}",
                short(&condition.column),
                short(&text)
            )))
        };
        if condition.is == Is::In || value.is_array() || value.is_object() {
            return Err(DataError::whole(format!(
                "where: only `in` compares with a list, and only with one; {:?} does not",
                short(&condition.column)
            )));
        }
        if date.is_some() {
            clear_dates(table, at)?;
        }
        match condition.is {
            Is::Before | Is::After if date.is_none() => refuse("date; write it as 2025-01-31"),
            Is::Less | Is::AtMost | Is::Greater | Is::AtLeast
                if number.is_none() && date.is_none() =>
            {
                refuse("number and no date")
            }
            is => Ok(Self { at, is, reading, text, number, date, any: Vec::new() }),
        }
    }

    /// The condition that a cell equals one of several values.
    fn any(
        condition: &Condition,
        values: &[Value],
        table: &Table,
        at: usize,
    ) -> Result<Self, DataError> {
        if values.is_empty() || values.len() > VALUES_MAX {
            return Err(DataError::whole(format!(
                "where: {:?} is compared with {} values, not with 1 to {VALUES_MAX}",
                short(&condition.column),
                values.len()
            )));
        }
        let one = |value: &Value| {
            let column = condition.column.clone();
            Self::new(&Condition { column, is: Is::Equal, value: value.clone() }, table, at)
        };
        Ok(Self {
            at,
            is: Is::In,
            reading: table.reading(at),
            text: String::new(),
            number: None,
            date: None,
            any: values.iter().map(one).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a row fits. A blank cell is neither less nor more than anything.
    pub(crate) fn holds(&self, row: &Row) -> bool {
        let cell = row.cells.get(self.at).unwrap_or(&Value::Null);
        let order = || -> Option<Ordering> {
            if let (Some(date), Some(found)) = (self.date, self.reading.date(cell)) {
                return Some(found.cmp(&date));
            }
            Some(self.reading.number(cell)?.cmp(&self.number?))
        };
        let text = || cell_text(cell).trim().to_lowercase();
        let equal =
            || order().map_or_else(|| text() == self.text, |order| order == Ordering::Equal);
        match self.is {
            Is::Equal => equal(),
            Is::NotEqual => !equal(),
            Is::Less | Is::Before => order() == Some(Ordering::Less),
            Is::Greater | Is::After => order() == Some(Ordering::Greater),
            Is::AtMost => order().is_some_and(Ordering::is_le),
            Is::AtLeast => order().is_some_and(Ordering::is_ge),
            Is::Contains => text().contains(&self.text),
            Is::Starts => text().starts_with(&self.text),
            Is::In => self.any.iter().any(|test| test.holds(row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(is: &str, value: Value, expect: &[usize]) {
        let rows = ["10", "1,000.50", "", "n/a", "Ten", "3 March 2025"];
        let rows: Vec<Value> = rows.iter().map(|x| json!({"x": x})).collect();
        let table = Table::from_value(&Value::Array(rows)).unwrap();
        let condition: Condition =
            serde_json::from_value(json!({"column": "x", "is": is, "value": value})).unwrap();
        let test = Test::new(&condition, &table, 0).unwrap();
        let found: Vec<usize> =
            table.rows.iter().filter(|row| test.holds(row)).map(|row| row.at).collect();
        assert_eq!(found, expect, "{is} {value}");
    }

    #[test]
    fn cells_are_compared_as_what_they_are() {
        check("=", json!("10.0"), &[1]);
        check("=", json!("TEN"), &[5]);
        check("=", json!(""), &[3]);
        check("!=", json!("ten"), &[1, 2, 3, 4, 6]);
        check(">", json!(10), &[2]);
        check(">=", json!("10"), &[1, 2]);
        check("<", json!("1000.51"), &[1, 2]);
        check("after", json!("2025-03-02"), &[6]);
        check("<=", json!("2025-03-03"), &[6]);
        check("contains", json!("00"), &[2]);
        check("starts", json!("1"), &[1, 2]);
        check("in", json!(["ten", "10.0", 1000.5]), &[1, 2, 5]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let table = Table::from_value(&json!([{"x": "3/4/2025"}])).unwrap();
        let error = |is: &str, value: &str| {
            let condition =
                serde_json::from_value(json!({"column": "x", "is": is, "value": value})).unwrap();
            Test::new(&condition, &table, 0).map(|_| ()).unwrap_err().to_string()
        };
        assert!(error(">", "much").contains("no number and no date"));
        assert!(error("before", "12").contains("no date"));
        assert!(error("before", "2025-01-01").contains("cannot be told apart"));
        assert!(error("in", "much").contains("only `in` compares with a list"));
    }
}
