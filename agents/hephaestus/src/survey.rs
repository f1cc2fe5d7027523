//! A quick look at a workspace for planning: names, sizes, and the columns of
//! tables. Bounded in entries and in bytes; never looks into secrets.

use crate::data::format::{Format, parse_table};
use crate::data::records::{Table, cell_text, is_blank_cell};
use crate::data::text::{decode, is_binary};
use crate::error::os;
use crate::workspace::{Kind, Meta, Workspace, is_left_out, looks_secret, paths};
use charter::survey::{Column, Entry, SURVEY_ENTRIES_MAX, Survey};
use charter::tool::{Cancel, ToolError};
use rustix::fs::{self, AtFlags, Dir};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

/// Bytes of a delimited table that are looked at.
const HEAD: u64 = 256 << 10;
/// Largest structured file that is looked at; half of one says nothing.
const WHOLE: u64 = 1 << 20;
/// Records that are looked at.
const RECORDS: usize = 200;
/// Distinct values that are kept of a column.
const VALUES: usize = 50;
/// Longest value that is kept, in bytes.
const VALUE_BYTES: usize = 200;
/// Most columns that are kept of a table.
const COLUMNS: usize = 200;
/// Bytes that are looked at in all.
const BYTES: u64 = 32 << 20;

/// Looks at a workspace, nearest folders first. Hidden files and what programs
/// made are left out.
pub fn survey(root: &Path, cancel: &Cancel) -> Result<Survey, ToolError> {
    let workspace = Workspace::open(root)?.cancel(cancel);
    let mut survey = Survey::default();
    let mut folders = VecDeque::from([".".to_owned()]);
    while let Some(folder) = folders.pop_front() {
        workspace.still_wanted()?;
        if !list(&workspace, &folder, &mut survey, &mut folders)? {
            survey.truncated = true;
            break;
        }
    }
    survey.entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut room = BYTES;
    for entry in survey.entries.iter_mut().filter(|entry| !entry.folder) {
        workspace.still_wanted()?;
        let Some(format) = tabular(&entry.path) else { continue };
        let most = if format.is_delimited() { HEAD } else { WHOLE };
        let cost = entry.bytes.min(most);
        if looks_secret(&entry.path) || cost > room || (cost < entry.bytes && most == WHOLE) {
            continue;
        }
        room -= cost;
        // What cannot be read as a table has no columns; reading it in earnest
        // is the step's part, and so is the error.
        entry.columns = head(&workspace, &entry.path, most)
            .and_then(|(text, cut)| table(format, &text, cut))
            .map(|table| columns(&table))
            .unwrap_or_default();
    }
    Ok(survey)
}

/// The format of a file that may be a table.
fn tabular(path: &str) -> Option<Format> {
    Format::of(path).filter(|format| {
        format.is_delimited() || matches!(format, Format::Json | Format::JsonLines | Format::Yaml)
    })
}

/// The beginning of a file up to the end of a line, and whether there is more.
fn head(workspace: &Workspace, path: &str, most: u64) -> Option<(String, bool)> {
    let mut bytes = Vec::new();
    workspace.open_file(path).ok()?.take(most + 1).read_to_end(&mut bytes).ok()?;
    let cut = bytes.len() as u64 > most;
    if cut {
        let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
        bytes.truncate(end + 1);
    }
    if is_binary(&bytes) {
        return None;
    }
    Some((decode(&bytes).ok()?, cut))
}

/// The table in a text. A cut may have gone through a quoted cell of several
/// lines; then some lines less are tried.
fn table(format: Format, text: &str, cut: bool) -> Option<Table> {
    let mut text = text;
    for _ in 0..20 {
        match parse_table(format, text) {
            Ok(table) => return Some(table),
            Err(_) if cut => {
                let end = text.trim_end_matches('\n').rfind('\n')?;
                text = text.get(..=end)?;
            }
            Err(_) => return None,
        }
    }
    None
}

fn columns(table: &Table) -> Vec<Column> {
    let column = |(i, name): (usize, &String)| {
        let reading = table.reading(i);
        let (mut values, mut seen, mut numeric) = (Vec::new(), false, true);
        for cell in table.cells(i).take(RECORDS).filter(|cell| !is_blank_cell(cell)) {
            seen = true;
            numeric &= reading.number(cell).is_some();
            let text = cell_text(cell);
            if values.len() < VALUES
                && text.len() <= VALUE_BYTES
                && !values.iter().any(|value| *value == text)
            {
                values.push(text.into_owned());
            }
        }
        Column { name: name.clone(), numeric: numeric && seen, values }
    };
    table.columns.iter().enumerate().take(COLUMNS).map(column).collect()
}

/// Adds what lies directly in a folder; `false` when there is no more room.
fn list(
    workspace: &Workspace,
    folder: &str,
    survey: &mut Survey,
    folders: &mut VecDeque<String>,
) -> Result<bool, ToolError> {
    let opened = match workspace.folder(folder) {
        Ok(opened) => opened,
        // A folder that may not be read is still a folder; the plan meets it later.
        Err(_) if folder != "." => return Ok(true),
        Err(errno) => return Err(os("open the workspace", folder, errno)),
    };
    let entries = Dir::read_from(&opened).map_err(|errno| os("list the folder", folder, errno))?;
    for entry in entries {
        let entry = entry.map_err(|errno| os("list the folder", folder, errno))?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let meta = match fs::statat(opened.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Meta::of(&stat),
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(os("look at", &paths::join(folder, name), errno)),
        };
        let is_folder = meta.kind == Kind::Folder;
        if meta.kind == Kind::Other || is_left_out(name, is_folder) {
            continue;
        }
        if survey.entries.len() >= SURVEY_ENTRIES_MAX {
            return Ok(false);
        }
        let path = paths::join(folder, name);
        if is_folder {
            folders.push_back(path.clone());
        }
        survey.entries.push(Entry {
            path,
            folder: is_folder,
            bytes: if is_folder { 0 } else { meta.bytes },
            modified: meta.modified,
            columns: Vec::new(),
        });
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Desk;
    use expect_test::{Expect, expect};
    use std::fmt::Write;

    fn check(desk: &Desk, expect: Expect) {
        let survey = survey(desk.path(), &Cancel::default()).unwrap();
        let mut text = String::new();
        for entry in &survey.entries {
            let mark = if entry.folder { "/" } else { "" };
            write!(text, "{}{mark} {}", entry.path, entry.bytes).unwrap();
            for column in &entry.columns {
                let kind = if column.numeric { "#" } else { "" };
                write!(text, " | {kind}{}: {}", column.name, column.values.join(", ")).unwrap();
            }
            text.push('\n');
        }
        expect.assert_eq(&text);
    }

    #[test]
    fn tables_show_their_columns() {
        let desk = Desk::new(&[
            ("notes/a.md", "# A"),
            ("money/may.csv", "Group,Amount\nfood,\"1,200.50\"\ntravel,3\nfood,\n"),
            ("money/june.csv", "Name;Preis\nBrot;2,50\n"),
            ("list.json", "[{\"a\": 1, \"b\": \"x\"}, {\"a\": 2}]"),
            ("list.yaml", "- {id: 7}\n- {id: 8}\n"),
            ("broken.json", "[{"),
            ("credentials.csv", "user,password\nme,hunter2\n"),
            (".hidden/x.csv", "a\n1\n"),
            ("target/x.csv", "a\n1\n"),
        ]);
        check(
            &desk,
            expect![[r#"
                broken.json 2
                credentials.csv 25
                list.json 30 | #a: 1, 2 | b: x
                list.yaml 20 | #id: 7, 8
                money/ 0
                money/june.csv 21 | Name: Brot | #Preis: 2,50
                money/may.csv 44 | Group: food, travel | #Amount: 1,200.50, 3
                notes/ 0
                notes/a.md 3
            "#]],
        );
    }

    #[test]
    fn a_large_table_is_known_by_its_beginning() {
        let desk = Desk::new(&[]);
        let row = format!("\"two\nlines\",{}\n", "x".repeat(1_000));
        desk.put("big.csv", format!("Text,Code\n{}", row.repeat(1_000)).as_bytes());
        let survey = survey(desk.path(), &Cancel::default()).unwrap();
        let names: Vec<&str> =
            survey.entries[0].columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["Text", "Code"]);
    }

    #[test]
    fn a_survey_is_bounded() {
        let desk = Desk::new(&[]);
        for i in 0..SURVEY_ENTRIES_MAX + 5 {
            std::fs::File::create(desk.at(&format!("f{i}"))).unwrap();
        }
        let survey = survey(desk.path(), &Cancel::default()).unwrap();
        assert!(survey.truncated);
        assert_eq!(survey.entries.len(), SURVEY_ENTRIES_MAX);
    }
}
