//! Wording that people use in their files, kept as data in `words.yaml`: no
//! code knows a language.

use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// The whole list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    /// Names of the months, January first.
    pub(crate) months: Vec<Vec<String>>,
    /// What may stand between the parts of a written date.
    pub(crate) date_joins: Vec<String>,
    /// Headings under which tasks are listed.
    pub(crate) task_headings: HashSet<String>,
    /// What stands before a task on its own line.
    pub(crate) task_markers: Vec<String>,
    /// Markers that need no colon when written in capitals.
    pub(crate) bare_markers: Vec<String>,
    /// Labels before the name of an owner.
    pub(crate) owners: Vec<String>,
    /// What stands between a name and what the person does.
    pub(crate) promises: Vec<String>,
    /// What stands before a due date.
    pub(crate) due: Vec<String>,
    /// Columns of a table of tasks.
    pub(crate) columns: TaskColumns,
    /// What says that a task is done.
    pub(crate) done: HashSet<String>,
    /// Capitalised words that are no names.
    pub(crate) not_names: HashSet<String>,
    /// Marks of comments in source code.
    pub(crate) comment_kinds: Vec<String>,
    /// Cells that say that there is nothing.
    pub(crate) blanks: HashSet<String>,
    /// Joins between two names.
    pub(crate) and: HashSet<String>,
}

/// Names of columns in a table of tasks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskColumns {
    /// What is to be done.
    pub(crate) task: HashSet<String>,
    /// Who does it.
    pub(crate) person: HashSet<String>,
    /// Until when.
    pub(crate) due: HashSet<String>,
    /// Whether it is done.
    pub(crate) status: HashSet<String>,
}

/// The list, read once.
pub(crate) static WORDS: LazyLock<Words> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the file is compiled in and a test reads it")]
    serde_saphyr::from_str(include_str!("words.yaml")).expect("words.yaml fits its type")
});

/// Number of a month by its name in lower case.
pub(crate) static MONTHS: LazyLock<HashMap<&'static str, i8>> = LazyLock::new(|| {
    WORDS
        .months
        .iter()
        .zip(1i8..)
        .flat_map(|(names, month)| names.iter().map(move |name| (name.as_str(), month)))
        .collect()
});

/// Words as alternatives of a regular expression, longest first so that the
/// longer of two wins; blanks match any run of blanks.
pub(crate) fn alternatives<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let mut words: Vec<&str> = words.into_iter().collect();
    words.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    words.dedup();
    words
        .iter()
        .map(|word| word.split(' ').map(regex::escape).collect::<Vec<_>>().join(r"\s+"))
        .collect::<Vec<_>>()
        .join("|")
}

/// Whether a cell says that there is nothing.
pub(crate) fn is_blank(cell: &str) -> bool {
    let cell = cell.trim();
    cell.is_empty() || WORDS.blanks.contains(&cell.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read_and_no_month_is_two() {
        assert_eq!(WORDS.months.len(), 12);
        let names: usize = WORDS.months.iter().map(Vec::len).sum();
        assert_eq!(MONTHS.len(), names);
        assert_eq!(MONTHS.get("märz"), Some(&3));
    }

    #[test]
    fn words_are_lower_case() {
        let lists = [&WORDS.task_markers, &WORDS.owners, &WORDS.promises, &WORDS.due];
        for word in lists.into_iter().flatten().chain(&WORDS.task_headings).chain(&WORDS.not_names)
        {
            assert_eq!(*word, word.to_lowercase());
        }
    }

    #[test]
    fn longer_words_win() {
        assert_eq!(alternatives(["due", "due by", "a.b"]), r"due\s+by|a\.b|due");
        assert!(is_blank(" N/A ") && !is_blank("0"));
    }
}
