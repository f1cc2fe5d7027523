//! Tables of tasks: which columns say what, and the task of each row.

use super::date::{self, Order};
use super::markdown::{Line, plain};
use super::owner;
use super::tasks::{Task, task};
use super::words::{WORDS, is_blank};

/// Which columns of a table hold what.
pub(super) struct TableColumns {
    task: usize,
    person: Option<usize>,
    due: Option<usize>,
    status: Option<usize>,
    /// The rows do not begin with `|`.
    pub(super) bare: bool,
}

/// The cells of a row; `\|` is no border.
fn cells(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').filter(|rest| !rest.ends_with('\\')).unwrap_or(row);
    let mut found = Vec::new();
    let mut start = 0;
    for (at, _) in row.match_indices('|') {
        if !row[..at].ends_with('\\') {
            found.push(row[start..at].trim());
            start = at + 1;
        }
    }
    found.push(row[start..].trim());
    found
}

/// The columns of a table of tasks, if this row and the next begin one.
pub(super) fn table_header(
    row: &str,
    next: Option<&Line<'_>>,
    in_section: bool,
) -> Option<TableColumns> {
    let rule = next.map(|next| next.text.trim()).filter(|next| {
        next.contains('-')
            && next.contains('|')
            && next.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
    });
    rule.filter(|_| row.contains('|'))?;
    let names: Vec<String> = cells(row)
        .iter()
        .map(|cell| plain(cell).trim_end_matches(['?', ':']).trim().to_lowercase())
        .collect();
    let at = |known: &std::collections::HashSet<String>| {
        names.iter().position(|name| known.contains(name))
    };
    let words = &WORDS.columns;
    let task = at(&words.task)?;
    let other = |found: Option<usize>| found.filter(|at| *at != task);
    let (person, due, status) =
        (other(at(&words.person)), other(at(&words.due)), other(at(&words.status)));
    (in_section || person.is_some() || due.is_some() && status.is_some()).then(|| TableColumns {
        task,
        person,
        due,
        status,
        bare: !row.starts_with('|'),
    })
}

impl TableColumns {
    /// The task of a row.
    pub(super) fn task(&self, line: &Line<'_>, row: &str, order: Option<Order>) -> Option<Task> {
        let cells = cells(row);
        let cell = |at: Option<usize>| at.and_then(|at| cells.get(at)).map_or("", |cell| *cell);
        let text = cells.get(self.task).copied().filter(|text| !is_blank(text))?;
        if row.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) {
            return None;
        }
        let whose = cell(self.person);
        let person = if is_blank(whose) { String::new() } else { owner::name(whose) };
        let status = plain(cell(self.status)).to_lowercase();
        let done = WORDS.done.contains(&status) || matches!(status.as_str(), "[x]");
        // A person in a column of its own leaves the text of the task alone.
        let mut found = task(line, text, done, order, "");
        if self.person.is_some() {
            let struck = text.strip_prefix("~~").and_then(|rest| rest.strip_suffix("~~"));
            found.text = struck.unwrap_or(text).to_owned();
            found.person = person;
        }
        if let Some(due) = date::find(cell(self.due), order).first().and_then(|found| found.date) {
            found.due = Some(due);
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_part_cells_unless_they_are_escaped() {
        assert_eq!(cells("| a \\| b |  | c |"), ["a \\| b", "", "c"]);
        assert_eq!(cells("a | b"), ["a", "b"]);
    }

    #[test]
    fn only_tables_of_tasks_are_read() {
        let rule = Line { number: 2, text: "|---|---|", code: false };
        let is_one = |row: &str, in_section| table_header(row, Some(&rule), in_section).is_some();
        assert!(is_one("| Aufgabe | Wer |", false));
        assert!(!is_one("| Task | Price |", false));
        assert!(is_one("| Task | Price |", true));
        assert!(!is_one("| Price | Who |", true));
        assert!(table_header("| Task | Who |", None, true).is_none());
    }
}
