//! `table`: reads the source again, counts its records by another reader, adds
//! up what the output holds, and computes the whole table a second time.

use super::{Finding, equal, field, list, short, verdict, wrong};
use crate::args::parse;
use crate::data::format::Format;
use crate::data::records::cell_text;
use crate::source;
use crate::tools::table::{Args, compute, read};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use rust_decimal::Decimal;
use serde_json::Value;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict(
        "table",
        "the rows, counts and totals are those of the source",
        found(subject, workspace),
    )]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let output = &subject.output;
    let rows = list(output, "rows")?;
    equal(output, "count", rows.len())?;
    let again = compute(&args, &read(&args, workspace)?)?;
    for name in ["source_rows", "selected", "columns", "totals"] {
        equal(output, name, again.get(name).cloned().unwrap_or_default())?;
    }
    if let Some(means) = again.get("averages") {
        equal(output, "averages", means.clone())?;
    }
    let wanted = list(&again, "rows")?;
    if let Some((i, (told, wanted))) =
        rows.iter().zip(wanted).enumerate().find(|(_, (told, wanted))| told != wanted)
    {
        return wrong(format!("row {} is {}, found is {}", i + 1, short(told), short(wanted)));
    }
    if rows.len() != wanted.len() {
        return wrong(format!("{} rows are told, {} are found", rows.len(), wanted.len()));
    }
    let added = add_up(&args, output, rows)?;
    if let Some(path) = args.from.as_deref().filter(|path| Format::of(path) == Some(Format::Csv)) {
        let plain = records(&source::text(workspace, path)?);
        if field(output, "source_rows")?.as_u64() != Some(plain as u64) {
            // Both computations agree, a plain count does not: quotes inside of
            // cells can mislead it.
            return Err(Finding::Unsure(format!(
                "a plain count finds {plain} records in {path:?}"
            )));
        }
    }
    Ok(format!(
        "{} of {} source rows computed again: {} rows are the same{added}",
        short(output.get("selected").unwrap_or(&Value::Null)),
        short(output.get("source_rows").unwrap_or(&Value::Null)),
        rows.len()
    ))
}

/// Records of a CSV text after the first, counted by its quotes and line ends
/// alone.
fn records(text: &str) -> usize {
    let (mut quoted, mut filled, mut count, mut last) = (false, false, 0usize, '\n');
    for c in text.chars() {
        // A quote opens a cell at its beginning, or goes on after one (`""`).
        let may_open = matches!(last, '\n' | '\r' | ',' | ';' | '\t' | '|' | '"');
        last = c;
        match c {
            '"' if quoted || may_open => quoted = !quoted,
            '\n' | '\r' if !quoted => {
                count += usize::from(filled);
                filled = false;
                continue;
            }
            _ => {}
        }
        filled |= !matches!(c, ',' | ';' | '\t' | '|');
    }
    count += usize::from(filled);
    let told = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sep="));
    count.saturating_sub(1 + usize::from(told))
}

/// Adds up the rows of the output: where nothing was cut off they must give the
/// totals, and groups must give the number of selected rows.
fn add_up(args: &Args, output: &Value, rows: &[Value]) -> Result<String, Finding> {
    let whole = args.limit.is_none() && args.columns.is_empty();
    if !whole || args.group_by.is_empty() {
        return Ok(String::new());
    }
    let count: u64 = rows.iter().filter_map(|row| row.get("count")?.as_u64()).sum();
    if rows.iter().all(|row| row.get("count").is_some_and(Value::is_u64)) {
        equal(output, "selected", count)?;
    }
    let mut said = format!(", groups hold {count} rows");
    for (name, total) in output.get("totals").and_then(Value::as_object).into_iter().flatten() {
        let cells = rows.iter().map(|row| row.get(name).map(cell_text));
        let sum: Option<Decimal> = cells.map(|cell| Decimal::from_str_exact(&cell?).ok()).sum();
        let told = total.as_str().and_then(|text| Decimal::from_str_exact(text).ok());
        match (sum, told) {
            (Some(sum), Some(told)) if sum == told => {
                said.push_str(&format!(", {name} adds up to {sum}"))
            }
            (Some(sum), Some(told)) => {
                return wrong(format!("the groups' {name:?} add up to {sum}, told is {told}"));
            }
            _ => return Err(Finding::Unsure(format!("{name:?} cannot be added up again"))),
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use serde_json::json;

    const NOW: &str = "who,amount\nAnna,1.50\nBob,2.25\nAnna,3.00\n";

    fn lies(args: Value) {
        let desk = Desk::new(&[("a.csv", NOW)]);
        let honest = desk.verified("table", args.clone());
        let lie = |change: &dyn Fn(&mut Value)| {
            let mut subject = honest.clone();
            change(&mut subject.output);
            desk.failed(&subject);
        };
        lie(&|output| *output = json!({}));
        lie(&|output| (output["rows"], output["count"]) = (json!([]), 0.into()));
        lie(&|output| {
            let rows = output["rows"].as_array_mut().unwrap();
            rows.remove(0);
            let left = rows.len();
            output["count"] = left.into();
        });
        let old = Desk::new(&[("a.csv", "who,amount\nAnna,1.50\nBob,2.00\nAnna,3.00\n")]);
        let stale = old.done("table", args.clone());
        lie(&|output| *output = stale.output.clone());
        lie(&|output| output["totals"]["amount"] = "6.74".into());
    }

    #[test]
    fn lies_are_found() {
        lies(json!({"from": "a.csv", "total": ["amount"]}));
        lies(json!({"from": "a.csv", "total": ["amount"], "group_by": ["who"]}));
    }

    #[test]
    fn records_are_counted_by_quotes_and_line_ends() {
        assert_eq!(records("a,b\r\n\"x\ny\",2\r\n\r\n,\r\n3,\"4\"\"5\""), 2);
        assert_eq!(records("sep=;\na;b\n1;2\n"), 1);
        assert_eq!(records("a,b\n"), 0);
        assert_eq!(records("a,b\n5\" pipe,1\n\"x \"\"y\"\"\",2\n"), 2);
    }
}
