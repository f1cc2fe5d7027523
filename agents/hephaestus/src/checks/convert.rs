//! `convert`: reads source and file again from disk and compares them value by
//! value; adds up the numeric columns on both sides.

use super::landed::{bytes, only, path, same};
use super::{Finding, equal, short, verdict, wrong};
use crate::args::parse;
use crate::data::dotted;
use crate::data::format::{self, Format};
use crate::data::records::{Table, cell_text};
use crate::data::text;
use crate::source;
use crate::tools::convert::{Args, records, wanted};
use crate::workspace::Workspace;
use charter::check::{Subject, Verdict};
use charter::effect::Change;
use rust_decimal::Decimal;
use serde_json::Value;

pub(super) fn check(subject: &Subject, workspace: &Workspace) -> Vec<Verdict> {
    vec![verdict(
        "convert",
        "the file on disk reads back as the same data as the source",
        found(subject, workspace),
    )]
}

fn found(subject: &Subject, workspace: &Workspace) -> Result<String, Finding> {
    let args: Args = parse(&subject.args)?;
    let path = path(subject, "to")?;
    let to = source::format_of(&path)?;
    let on_disk = bytes(workspace, &path)?;
    match &only(subject)?.change {
        Change::Write { path: written, bytes, .. } if *written == path => {
            same(&on_disk, bytes)
                .or_else(|why| wrong(format!("{path:?} is not what was written: {why}")))?;
        }
        other => return wrong(format!("instead of writing {path:?} it did: {other}")),
    }
    equal(&subject.output, "path", path.as_str())?;
    equal(&subject.output, "format", to.as_str())?;
    equal(&subject.output, "bytes", on_disk.len())?;
    let told = text::decode(&on_disk)
        .and_then(|text| Ok((format::parse(to, &text)?, text)))
        .or_else(|error| wrong(format!("{path:?} cannot be read back: {error}")))?;
    let (back, written) = told;
    let source = wanted(&args, to, workspace)?;
    equal(&subject.output, "rows", records(&source))?;
    if to.is_delimited() {
        let source =
            Table::from_value(&source).map_err(|error| Finding::Unsure(error.to_string()))?;
        let table = format::parse_table(to, &written)
            .or_else(|error| wrong(format!("{path:?} is no table: {error}")))?;
        return tables(&source, &table);
    }
    let values = leaves(&source, &back)?;
    let sums = source_sums(&args, workspace, &back)?;
    Ok(format!("{path:?} read back from disk: all {values} values are equal{sums}"))
}

/// Compares cell by cell; returns what was compared.
fn tables(source: &Table, table: &Table) -> Result<String, Finding> {
    if source.columns.iter().map(|name| name.trim()).ne(table.columns.iter().map(String::as_str)) {
        return wrong(format!(
            "the columns are {:?} instead of {:?}",
            table.columns, source.columns
        ));
    }
    // A record without any value leaves no row behind.
    let filled =
        |row: &&crate::data::records::Row| row.cells.iter().any(|cell| !cell_text(cell).is_empty());
    let wanted: Vec<_> = source.rows.iter().filter(filled).collect();
    if wanted.len() != table.rows.len() {
        return wrong(format!(
            "{} rows stand in the file instead of {}",
            table.rows.len(),
            wanted.len()
        ));
    }
    for (i, (wanted, found)) in wanted.iter().zip(&table.rows).enumerate() {
        for (name, (left, right)) in table.columns.iter().zip(wanted.cells.iter().zip(&found.cells))
        {
            if cell_text(left) != cell_text(right) {
                return wrong(format!(
                    "row {}, {name:?} is {} instead of {}",
                    i + 1,
                    short(right),
                    short(left)
                ));
            }
        }
    }
    let mut sums = String::new();
    for (at, name) in table.columns.iter().enumerate() {
        let sum = |table: &Table| -> Option<Decimal> { numbers(table.cells(at)) };
        match (sum(source), sum(table)) {
            (Some(left), Some(right)) if left == right => {
                sums.push_str(&format!(", {name} adds up to {left}"))
            }
            (None, None) => {}
            (left, right) => {
                return wrong(format!("{name:?} adds up to {right:?} instead of {left:?}"));
            }
        }
    }
    Ok(format!("{} rows read back from disk are equal, cell by cell{sums}", table.rows.len()))
}

/// The sum of cells that are all plain numbers or empty.
fn numbers<'c>(cells: impl Iterator<Item = &'c Value>) -> Option<Decimal> {
    let (mut sum, mut any) = (Decimal::ZERO, false);
    for cell in cells {
        let text = cell_text(cell);
        if text.is_empty() {
            continue;
        }
        any = true;
        sum = sum.checked_add(text.trim().parse().ok()?)?;
    }
    any.then_some(sum)
}

/// Compares every place of both values, in any order; returns how many.
fn leaves(source: &Value, back: &Value) -> Result<usize, Finding> {
    let sorted = |value: &Value| {
        let mut leaves = dotted::flatten(value);
        leaves.sort_by(|left, right| left.0.cmp(&right.0));
        leaves
    };
    let (wanted, found) = (sorted(source), sorted(back));
    let differ = wanted
        .iter()
        .zip(&found)
        .find(|((at, left), (place, right))| at != place || !dotted::same(left, right, false));
    if let Some(((at, left), (place, right))) = differ {
        return wrong(format!(
            "expected {at:?}: {}, found {place:?}: {}",
            short(left),
            short(right)
        ));
    }
    if wanted.len() != found.len() {
        return wrong(format!(
            "{} values stand in the file instead of {}",
            found.len(),
            wanted.len()
        ));
    }
    Ok(wanted.len())
}

/// The numeric columns of a CSV source, added up from its untyped text, against
/// the numbers in the file.
fn source_sums(args: &Args, workspace: &Workspace, back: &Value) -> Result<String, Finding> {
    let Some(path) = args.from.as_deref() else { return Ok(String::new()) };
    let Some(format) = Format::of(path).filter(|format| format.is_delimited()) else {
        return Ok(String::new());
    };
    let text = source::text(workspace, path)?;
    let raw =
        format::parse_table(format, &text).map_err(|error| Finding::Unsure(error.to_string()))?;
    let table = Table::from_value(back)
        .or_else(|error| wrong(format!("the file holds no table: {error}")))?;
    if raw.rows.len() != table.rows.len() {
        return wrong(format!(
            "{} rows stand in the file instead of {}",
            table.rows.len(),
            raw.rows.len()
        ));
    }
    let mut sums = format!(", {} rows", raw.rows.len());
    for (at, name) in raw.columns.iter().enumerate() {
        let Some(left) = numbers(raw.cells(at)) else { continue };
        let right = table.columns.iter().position(|column| column == name);
        match right.and_then(|at| numbers(table.cells(at))) {
            Some(right) if right == left => sums.push_str(&format!(", {name} adds up to {left}")),
            other => return wrong(format!("{name:?} adds up to {other:?} instead of {left}")),
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use charter::effect::Change;
    use serde_json::json;

    const SOURCE: &str = "name,n\nx,1.50\ny,2.25\n";

    fn lies(to: &str, empty: &str, dropped: &str, stale: &str) {
        let args = json!({"from": "a.csv", "to": to});
        let desk = Desk::new(&[("a.csv", SOURCE)]);
        let honest = desk.verified("convert", args);
        std::fs::remove_file(desk.at(to)).unwrap();
        desk.failed(&honest);
        for text in [empty, dropped, stale] {
            // The disk alone is wrong; then the record of the change agrees with it.
            desk.put(to, text.as_bytes());
            desk.failed(&honest);
            let mut lie = honest.clone();
            lie.output["bytes"] = text.len().into();
            if let Some(Change::Write { bytes, .. }) =
                lie.changes.first_mut().map(|one| &mut one.change)
            {
                *bytes = text.as_bytes().to_vec();
            }
            desk.failed(&lie);
        }
        let mut nothing = honest.clone();
        nothing.changes.clear();
        desk.failed(&nothing);
    }

    #[test]
    fn lies_are_found() {
        lies(
            "b.json",
            "",
            r#"[{"name":"x","n":1.5}]"#,
            r#"[{"name":"x","n":1.5},{"name":"y","n":2}]"#,
        );
        lies("b.yaml", "", "- {name: x, n: 1.5}\n", "- {name: x, n: 1.5}\n- {name: z, n: 2.25}\n");
        lies("b.toml", "", "[[rows]]\nname = \"x\"\nn = 1.5\n", "rows = []\n");
        lies("b.tsv", "", "name\tn\nx\t1.5\n", "name\tn\nx\t1.5\ny\t2.5\n");
    }
}
