//! Tables in text: CSV and its kin as spreadsheets write them. The delimiter is
//! found out; quotes, line ends and what stands between them are kept; a ragged
//! row is an error with its line, because guessing would shift values into other
//! columns.

use super::DataError;
use super::text::{lines, short};
use csv::{ByteRecord, ReaderBuilder};

/// Delimiters that are tried.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows that are looked at to find the delimiter.
const SAMPLE: usize = 50;

/// Cells as they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cells {
    /// What stands between the cells.
    pub(crate) delimiter: u8,
    /// Names of the columns, blanks around them taken off.
    pub(crate) columns: Vec<String>,
    /// Rows of as many cells as there are columns, each with its line.
    pub(crate) rows: Vec<(usize, Vec<String>)>,
}

/// Reads a table whose first row names the columns. `delimiter` is found out
/// when it is not given.
pub(crate) fn parse(text: &str, delimiter: Option<u8>) -> Result<Cells, DataError> {
    // `sep=;` is how a spreadsheet says which delimiter it wrote.
    let (text, told, skipped) = match sep_line(text) {
        Some((delimiter, rest)) => (rest, Some(delimiter), 1),
        None => (text, None, 0),
    };
    if text.trim().is_empty() {
        return Err(DataError::whole(
            "it is empty; a table needs a first row with the column names",
        ));
    }
    let delimiter = told.or(delimiter).unwrap_or_else(|| sniff(text));
    closed_quotes(text, delimiter).map_err(|line| {
        DataError::line(line + skipped, "a quote is opened here and never closed")
    })?;
    let mut rows = records(text, delimiter, usize::MAX)?.into_iter();
    let (_, header) = rows.next().ok_or_else(|| DataError::whole("it has no first row"))?;
    let width = header.len();
    let mut body: Vec<(usize, Vec<String>)> = Vec::new();
    for (line, cells) in rows {
        if cells.iter().all(String::is_empty) {
            continue;
        }
        if cells.len() != width {
            return Err(DataError::line(
                line + skipped,
                format!(
                    "this row has {} cells, but the first row names {width} columns",
                    cells.len()
                ),
            ));
        }
        body.push((line + skipped, cells));
    }
    let (columns, rows) = name_columns(header, body)?;
    Ok(Cells { delimiter, columns, rows })
}

fn sep_line(text: &str) -> Option<(u8, &str)> {
    let rest = text.strip_prefix("sep=").or_else(|| text.strip_prefix("SEP="))?;
    let delimiter = *rest.as_bytes().first()?;
    let rest = rest.get(1..)?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
    Some((delimiter, rest))
}

fn records(text: &str, delimiter: u8, most: usize) -> Result<Vec<(usize, Vec<String>)>, DataError> {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let bytes = text.as_bytes();
    // A record's position is where the one before it ended; blank lines and the
    // rest of a line end may follow.
    let (mut line, mut counted) = (1, 0);
    let mut found = Vec::new();
    let mut record = ByteRecord::new();
    while found.len() < most {
        let more = reader
            .read_byte_record(&mut record)
            .map_err(|error| DataError::whole(format!("it cannot be read as a table: {error}")))?;
        if !more {
            break;
        }
        let ended = record.position().and_then(|at| usize::try_from(at.byte()).ok());
        let mut start = ended.unwrap_or(counted);
        while matches!(bytes.get(start), Some(b'\n' | b'\r')) {
            start += 1;
        }
        line += line_ends(bytes, counted, start);
        counted = start;
        // Quotes and delimiters are ASCII, so cells of UTF-8 text are UTF-8.
        let cells = record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
        found.push((line, cells));
    }
    Ok(found)
}

/// Line ends between two places; CRLF is one.
fn line_ends(bytes: &[u8], from: usize, to: usize) -> usize {
    let between = bytes.get(from..to).unwrap_or_default().iter().zip(from + 1..);
    between
        .filter(|(byte, next)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(*next) != Some(&b'\n'),
            _ => false,
        })
        .count()
}

/// The delimiter under which the first rows agree best on more than one column.
fn sniff(text: &str) -> u8 {
    let head: usize = lines(text).iter().take(SAMPLE).map(|line| line.len() + 2).sum();
    let sample = text.get(..head).unwrap_or(text);
    let score = |delimiter: u8| {
        let rows = records(sample, delimiter, SAMPLE).unwrap_or_default();
        let width = rows.first().map_or(0, |(_, cells)| cells.len());
        let alike = rows.iter().filter(|(_, cells)| cells.len() == width).count();
        let agree = if rows.is_empty() { 0 } else { alike * 1_000 / rows.len() };
        if width < 2 { (0, 0) } else { (agree, width) }
    };
    let mut best = (b',', (0, 0));
    for delimiter in DELIMITERS {
        let score = score(delimiter);
        if score > best.1 {
            best = (delimiter, score);
        }
    }
    best.0
}

/// The line of a quote that is never closed. Quotes count only at the beginning
/// of a cell, so `5" pipe` is a text like any other.
fn closed_quotes(text: &str, delimiter: u8) -> Result<(), usize> {
    let (mut line, mut opened, mut at_start) = (1, None, true);
    let bytes = text.as_bytes();
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        if *byte == b'\n' {
            line += 1;
        }
        match (opened, byte) {
            (Some(_), b'"') if bytes.get(i + 1) == Some(&b'"') => i += 1,
            (Some(_), b'"') => opened = None,
            (Some(_), _) => {}
            (None, b'"') if at_start => opened = Some(line),
            (None, _) => {}
        }
        at_start = opened.is_none() && (*byte == delimiter || *byte == b'\n' || *byte == b'\r');
        i += 1;
    }
    opened.map_or(Ok(()), Err)
}

/// Names of columns, and rows with their lines.
type Named = (Vec<String>, Vec<(usize, Vec<String>)>);

/// Checks the names. A column without name and without values is an artefact of
/// a delimiter at the end of each row, and left out; one with values is named by
/// its position.
fn name_columns(
    header: Vec<String>,
    mut rows: Vec<(usize, Vec<String>)>,
) -> Result<Named, DataError> {
    let mut columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    for at in (0..columns.len()).rev() {
        let unnamed = columns.get(at).is_some_and(String::is_empty);
        let used = rows.iter().any(|(_, cells)| cells.get(at).is_some_and(|cell| !cell.is_empty()));
        if unnamed && !used && columns.len() > 1 {
            columns.remove(at);
            for (_, cells) in &mut rows {
                cells.remove(at);
            }
        } else if unnamed && let Some(name) = columns.get_mut(at) {
            *name = format!("column {}", at + 1);
        }
    }
    unique(&columns)?;
    Ok((columns, rows))
}

/// Refuses names that stand twice.
pub(crate) fn unique(columns: &[String]) -> Result<(), DataError> {
    let mut seen = std::collections::HashSet::new();
    match columns.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(DataError::line(
            1,
            format!("two columns have the same name {:?}; rename one of them", short(twice)),
        )),
        None => Ok(()),
    }
}

/// Writes a table. A cell that holds any of the delimiters is quoted, so that
/// nobody who has to find the delimiter out is misled.
pub(crate) fn write(columns: &[String], rows: &[Vec<String>], delimiter: u8) -> String {
    let mut text = String::new();
    for row in std::iter::once(columns).chain(rows.iter().map(Vec::as_slice)) {
        for (i, cell) in row.iter().enumerate() {
            if i > 0 {
                text.push(char::from(delimiter));
            }
            let special = |c: char| {
                matches!(c, '"' | '\n' | '\r')
                    || u8::try_from(c).is_ok_and(|c| DELIMITERS.contains(&c))
            };
            let alone = row.len() == 1 && cell.is_empty();
            if alone || cell.contains(special) || cell.trim() != cell {
                text.push('"');
                text.push_str(&cell.replace('"', "\"\""));
                text.push('"');
            } else {
                text.push_str(cell);
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(text: &str, expect: Expect) {
        let shown = match parse(text, None) {
            Ok(cells) => {
                let mut shown = format!("{:?}\n", cells.columns);
                for (line, row) in cells.rows {
                    shown.push_str(&format!("{line} {row:?}\n"));
                }
                shown
            }
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn delimiters_are_found_out() {
        check(
            "a;b\n1,5;2,5\n",
            expect![[r#"
            ["a", "b"]
            2 ["1,5", "2,5"]
        "#]],
        );
        check(
            "a\tb\n1\t2\n",
            expect![[r#"
            ["a", "b"]
            2 ["1", "2"]
        "#]],
        );
        check(
            "a|b\n1|2",
            expect![[r#"
            ["a", "b"]
            2 ["1", "2"]
        "#]],
        );
        check(
            "sep=;\r\na;b\r\n1;2\r\n",
            expect![[r#"
            ["a", "b"]
            3 ["1", "2"]
        "#]],
        );
        check(
            "a\n1\n2\n",
            expect![[r#"
            ["a"]
            2 ["1"]
            3 ["2"]
        "#]],
        );
    }

    #[test]
    fn quotes_and_line_ends_are_kept() {
        check(
            "a,b\r\n\"x, \"\"y\"\"\",\"two\nlines\"\r\n5\" pipe,z\r\n",
            expect![[r#"
            ["a", "b"]
            2 ["x, \"y\"", "two\nlines"]
            4 ["5\" pipe", "z"]
        "#]],
        );
    }

    #[test]
    fn artefacts_of_spreadsheets_are_left_out() {
        check(
            "a,b,\n1,2,\n,,\n\n3,4,\n",
            expect![[r#"
            ["a", "b"]
            2 ["1", "2"]
            5 ["3", "4"]
        "#]],
        );
        check(
            ",b\nx,2\n",
            expect![[r#"
            ["column 1", "b"]
            2 ["x", "2"]
        "#]],
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        check("", expect!["it is empty; a table needs a first row with the column names"]);
        check(
            "a,b\n1,2\n3\n",
            expect!["line 3: this row has 1 cells, but the first row names 2 columns"],
        );
        check(
            "a,b\n1,2,3\n",
            expect!["line 2: this row has 3 cells, but the first row names 2 columns"],
        );
        check("a,b\n1,\"2\n3,4\n", expect!["line 2: a quote is opened here and never closed"]);
        check(
            "a,a\n1,2\n",
            expect![[r#"line 1: two columns have the same name "a"; rename one of them"#]],
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec(prop::collection::vec("[a-z,;\"\n\r |\u{e4}]{0,6}", 3), 1..6),
            at in 0usize..4,
        ) {
            let columns: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
            let text = write(&columns, &rows, DELIMITERS[at]);
            let cells = parse(&text, Some(DELIMITERS[at])).unwrap();
            let kept: Vec<Vec<String>> =
                rows.into_iter().filter(|row| !row.iter().all(String::is_empty)).collect();
            let found: Vec<Vec<String>> = cells.rows.into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(found, kept);
        }
    }
}
