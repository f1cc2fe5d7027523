//! Tasks in people's notes: checkboxes, lines marked as tasks, items under a
//! heading such as "Action items", rows of a table of tasks.

use super::date::{self, Order};
use super::markdown::{self, Line, Markup, indent, item_text, plain};
use super::owner;
use super::task_table::{TableColumns, table_header};
use super::words::{WORDS, alternatives, is_blank};
use jiff::civil::Date;
use regex::Regex;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// Where it stands.
    pub(crate) line: usize,
    /// What is to be done: a piece of its line.
    pub(crate) text: String,
    /// Who does it; empty when nobody is named.
    pub(crate) person: String,
    /// The last day for it.
    pub(crate) due: Option<Date>,
    /// Whether it is done.
    pub(crate) done: bool,
}

/// Items under a heading or a label.
struct Section {
    /// Level of the heading; `None` for a label, which ends sooner.
    level: Option<usize>,
    /// Whose tasks they are, by a heading below.
    person: String,
    /// Indent and name of an item that is nothing but a name.
    group: Option<(usize, String)>,
    /// Indent of the items themselves.
    depth: Option<usize>,
    /// Whether a label such as "Done:" stands above.
    done: bool,
    /// Whether a blank line was the last.
    blank: bool,
}

#[expect(clippy::expect_used, reason = "patterns of escaped words, used by tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("a sound pattern")
}

static CHECKBOX: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:\[([ xX✓✔/\-]?)\]|([☐☑☒✅]))\s+(\S.*)$"));

static MARKER: LazyLock<Regex> = LazyLock::new(|| {
    let words = alternatives(WORDS.task_markers.iter().map(String::as_str));
    pattern(&format!(
        r"^(?:\*\*|__|\*|_)?(?i:{words})(?:\s*[(\[]([^)\]]*)[)\]])?(?:\*\*|__|\*|_)?\s*[:：](?:\*\*|__|\*|_)?\s*(\S.*)$"
    ))
});

static BARE: LazyLock<Regex> = LazyLock::new(|| {
    let words = alternatives(WORDS.bare_markers.iter().map(String::as_str));
    // At the beginning of a line without a colon, or anywhere with one.
    pattern(&format!(
        r"^(?:{words})(?:\(([^)]*)\))?\s+[-–—]?\s*(\S.*)$|\b(?:{words})(?:\(([^)]*)\))?\s*:\s*(\S.*)$"
    ))
});

static DONE_LAST: LazyLock<Regex> = LazyLock::new(|| {
    // `yes` and `x` say so in a column of their own, not at the end of a text.
    let long = WORDS.done.iter().filter(|word| word.chars().count() >= 4);
    let words = alternatives(long.map(String::as_str));
    pattern(&format!(r"(?i)\s*(?:(?:\s[-–—]+|[(\[:✓✔✅])\s*(?:{words})\s*[)\].!]*|[✓✔✅☑])\s*$"))
});

/// All tasks of a text, by line.
pub(crate) fn find(source: &str, markup: Markup) -> Vec<Task> {
    let lines = markdown::lines(source, markup);
    let headings: HashMap<usize, (usize, String)> = markdown::headings(source, markup)
        .into_iter()
        .map(|heading| (heading.line, (heading.level, heading.text)))
        .collect();
    let order = date::order_of(lines.iter().filter(|line| !line.code).map(|line| line.text));
    let mut section: Option<Section> = None;
    let mut found = Vec::new();
    let mut table: Option<TableColumns> = None;
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| !line.code) {
        if let Some((level, text)) = headings.get(&line.number) {
            // `** TODO call the bank` in an outline is a task, and no section.
            if markup == Markup::Org
                && let Some(task) = org_task(line, text, order)
            {
                found.push(task);
                continue;
            }
            enter(&mut section, *level, text);
            continue;
        }
        let trimmed = unquoted(line.text);
        if let Some(columns) = &table {
            if trimmed.starts_with('|') || columns.bare && trimmed.contains('|') {
                found.extend(columns.task(line, trimmed, order));
                continue;
            }
            table = None;
        }
        if let Some(columns) = table_header(trimmed, lines.get(i + 1), section.is_some()) {
            table = Some(columns);
            continue;
        }
        let next = lines.get(i + 1).map(|next| next.text);
        found.extend(task_of_line(line, trimmed, next, order, &mut section));
    }
    found
}

/// The person and the task of a text that begins with the name of one of `people`,
/// without a mark behind it: "Jonas order the handles".
pub(crate) fn begun_by<'t>(text: &'t str, people: &HashSet<String>) -> Option<(&'t str, &'t str)> {
    let (name, rest) = text.split_once(' ')?;
    let rest = rest.trim_start();
    let known = people.contains(name) && name.starts_with(char::is_uppercase);
    (known && rest.starts_with(char::is_lowercase)).then_some((name, rest))
}

/// A line without the marks of quoted mail.
fn unquoted(line: &str) -> &str {
    let mut text = line.trim();
    while let Some(rest) = text.strip_prefix('>') {
        text = rest.trim_start();
    }
    text
}

/// Whether a heading or label announces tasks.
fn announces(text: &str) -> bool {
    let text = plain(text.trim_end_matches(':')).trim_end_matches(':').to_lowercase();
    let text = text.trim_matches(|c: char| !c.is_alphanumeric());
    let text =
        text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | ' '));
    let text = text.split(" (").next().unwrap_or(text).trim();
    if WORDS.task_headings.contains(text) {
        return true;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let over = words.iter().any(|word| word.chars().count() >= 4 && WORDS.done.contains(*word));
    !over
        && words.len() <= 8
        && (1..words.len()).any(|at| {
            let (before, after) = words.split_at(at);
            before.len() >= 2 && WORDS.task_headings.contains(&before.join(" "))
                || WORDS.task_headings.contains(&after.join(" "))
        })
}

fn enter(section: &mut Option<Section>, level: usize, text: &str) {
    if announces(text) {
        *section = Some(Section::new(Some(level)));
        return;
    }
    let inside =
        section.as_ref().is_some_and(|section| section.level.is_some_and(|own| level > own));
    match section {
        Some(section) if inside => {
            section.person = if owner::is_name(text) { owner::name(text) } else { String::new() };
            section.group = None;
            section.depth = None;
        }
        _ => *section = None,
    }
}

impl Section {
    fn new(level: Option<usize>) -> Self {
        Self { level, person: String::new(), group: None, depth: None, done: false, blank: false }
    }
}

fn org_task(line: &Line<'_>, heading: &str, order: Option<Order>) -> Option<Task> {
    let (done, rest) = match heading.split_once(' ')? {
        ("TODO", rest) => (false, rest),
        ("DONE", rest) => (true, rest),
        _ => return None,
    };
    Some(task(line, rest, done, order, ""))
}

/// Takes the text of a task apart.
pub(super) fn task(
    line: &Line<'_>,
    text: &str,
    done: bool,
    order: Option<Order>,
    person: &str,
) -> Task {
    let struck = text.trim().strip_prefix("~~").and_then(|rest| rest.strip_suffix("~~"));
    let text = struck.unwrap_or(text);
    let over = DONE_LAST.find(text).filter(|over| over.start() > 0);
    let owned = owner::split(over.map_or(text, |over| &text[..over.start()]), order);
    let person = if owned.person.is_empty() { person.to_owned() } else { owned.person };
    Task {
        line: line.number,
        text: owned.text.to_owned(),
        person,
        due: owned.due,
        done: done || struck.is_some() || over.is_some(),
    }
}

fn task_of_line(
    line: &Line<'_>,
    trimmed: &str,
    next: Option<&str>,
    order: Option<Order>,
    section: &mut Option<Section>,
) -> Vec<Task> {
    let item = item_text(trimmed);
    let body = item.unwrap_or(trimmed);
    let depth = indent(line.text);
    let whose = section.as_ref().map(|section| section.whose(depth)).unwrap_or_default();

    if let Some(found) = CHECKBOX.captures(body) {
        let mark = found.get(1).or_else(|| found.get(2)).map_or("", |mark| mark.as_str());
        let text = found.get(3).map_or("", |text| text.as_str());
        let done = !matches!(mark, "" | " " | "☐" | "/");
        if let Some(section) = section {
            section.blank = false;
        }
        return vec![task(line, text, done, order, &whose)];
    }
    if body.is_empty() {
        if let Some(section) = section {
            section.blank = true;
        }
        return Vec::new();
    }
    if let Some(tasks) = label(line, body, item.is_some(), order, section) {
        return tasks;
    }
    if let Some((who, text)) = marker(body) {
        let named = owner::is_name(who.trim_start_matches('@')) || who.starts_with('@');
        let person = if named { owner::name(who) } else { whose };
        return vec![task(line, text, false, order, &person)];
    }
    let Some(open) = section else { return Vec::new() };
    match item {
        Some(body) => open.item(line, body, depth, next, order),
        None => {
            // Text after a blank line ends what a label announced.
            if open.level.is_none() && open.blank {
                *section = None;
                return Vec::new();
            }
            open.blank = false;
            let listed = next.is_some_and(|next| item_text(next.trim()).is_some());
            if let Some(name) = only_name(body, listed) {
                (open.person, open.group, open.depth, open.done) = (name, None, None, false);
                return Vec::new();
            }
            // Another label: what follows is over and done, or no task of a label.
            if let Some(name) = plain(body).strip_suffix(':') {
                let over = WORDS.done.contains(&plain(name).to_lowercase());
                if open.level.is_none() && !over {
                    *section = None;
                } else {
                    (open.person, open.group, open.depth, open.done) =
                        (String::new(), None, None, over);
                }
                return Vec::new();
            }
            let found = task(line, body, false, order, "");
            // Prose between the items is no task unless somebody is named.
            let leads = !found.person.is_empty() && !body.starts_with(&found.text);
            if leads && depth < 4 { vec![found] } else { Vec::new() }
        }
    }
}

/// `Action items:` opens a section; `Action items: a; b` holds its tasks.
fn label(
    line: &Line<'_>,
    body: &str,
    is_item: bool,
    order: Option<Order>,
    section: &mut Option<Section>,
) -> Option<Vec<Task>> {
    let bold = plain(body) != body;
    let capitals = body.chars().any(char::is_alphabetic) && !body.chars().any(char::is_lowercase);
    let (head, rest) = match body.split_once(':') {
        Some((head, rest)) => (head, rest.trim_start_matches(['*', '_']).trim()),
        None => (body, ""),
    };
    if rest.is_empty() {
        let alone = body.ends_with(':') || body.ends_with(":**") || bold || capitals;
        if alone && announces(head.trim_matches(['*', '_'])) {
            *section = Some(Section::new(None));
            return Some(Vec::new());
        }
        return None;
    }
    let head = head.trim_matches(['*', '_', ' ']).to_lowercase();
    let plural = WORDS.task_headings.contains(&head) && !WORDS.task_markers.contains(&head);
    if is_item || !plural {
        return None;
    }
    let pieces = rest.split(';').map(str::trim).filter(|piece| !is_blank(piece));
    Some(pieces.map(|piece| task(line, piece, false, order, "")).collect())
}

/// What stands in brackets after the marker, and the task.
fn marker(body: &str) -> Option<(&str, &str)> {
    let (found, pairs) = match MARKER.captures(body) {
        Some(found) => (found, [(1, 2), (1, 2)]),
        None => (BARE.captures(body)?, [(1, 2), (3, 4)]),
    };
    pairs.into_iter().find_map(|(who, text)| {
        let text = found.get(text)?.as_str();
        Some((found.get(who).map_or("", |who| who.as_str()), text))
    })
}

/// `Anna:`, `**Anna**`, or `Anna` with a list below.
fn only_name(body: &str, listed: bool) -> Option<String> {
    let bare = plain(plain(body).trim_end_matches(':'));
    let marked = bare.len() < body.len();
    let name = bare.trim_start_matches('@');
    (owner::is_name(name) && (marked || listed)).then(|| owner::name(name))
}

impl Section {
    /// Whose items at this depth are.
    fn whose(&self, depth: usize) -> String {
        match &self.group {
            Some((own, name)) if depth > *own => name.clone(),
            _ => self.person.clone(),
        }
    }

    fn item(
        &mut self,
        line: &Line<'_>,
        body: &str,
        depth: usize,
        next: Option<&str>,
        order: Option<Order>,
    ) -> Vec<Task> {
        self.blank = false;
        if is_blank(plain(body).trim_end_matches('.')) {
            return Vec::new();
        }
        let deeper =
            next.is_some_and(|next| item_text(next.trim()).is_some() && indent(next) > depth);
        if deeper && let Some(name) = only_name(body, true) {
            self.group = Some((depth, name));
            self.depth = None;
            return Vec::new();
        }
        if self.group.as_ref().is_some_and(|(own, _)| depth <= *own) {
            self.group = None;
            self.depth = None;
        }
        let top = *self.depth.get_or_insert(depth);
        self.depth = Some(top.min(depth));
        let found = task(line, body, self.done, order, &self.whose(depth));
        // Below an item stand its details, unless they name somebody.
        let detail = depth > top + 1 && owner::split(body, order).person.is_empty();
        if detail { Vec::new() } else { vec![found] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(path: &str, source: &str, expect: Expect) {
        let shown: String = find(source, Markup::of(path))
            .iter()
            .map(|task| {
                let due = task.due.map(|due| due.to_string()).unwrap_or_default();
                let mark = if task.done { 'x' } else { ' ' };
                format!("{} [{mark}] {} | {} | {due}\n", task.line, task.text, task.person)
            })
            .collect();
        expect.assert_eq(&shown);
    }

    #[test]
    fn checkboxes() {
        check(
            "a.md",
            "# Notes\n- [ ] Anna: send report by 2025-03-01\n* [x] done\n1. [ ] third\n  - [X] nested\n> - [ ] quoted\n[ ] bare\n☐ boxed\n- [](link) no\n```\n- [ ] code\n```\n- [-] dropped\n",
            expect![[r#"
            2 [ ] send report | Anna | 2025-03-01
            3 [x] done |  | 
            4 [ ] third |  | 
            5 [x] nested |  | 
            6 [ ] quoted |  | 
            7 [ ] bare |  | 
            8 [ ] boxed |  | 
            13 [x] dropped |  | 
        "#]],
        );
    }

    #[test]
    fn marked_lines() {
        check(
            "a.txt",
            "TODO: call the bank\nTodo: (Anna) write\n- **Action item:** Bob to book a room\nACTION(Eve): ask\nsome text TODO: and this\nTODO buy milk\nAufgabe: Jürgen wird das Angebot schicken\nmy todo is long\n> ACTION: quoted\n",
            expect![[r#"
            1 [ ] call the bank |  | 
            2 [ ] write | Anna | 
            3 [ ] book a room | Bob | 
            4 [ ] ask | Eve | 
            5 [ ] and this |  | 
            6 [ ] buy milk |  | 
            7 [ ] das Angebot schicken | Jürgen | 
            9 [ ] quoted |  | 
        "#]],
        );
    }

    #[test]
    fn sections() {
        check(
            "a.md",
            "# Meeting\n- talked\n\n## Action items\n- Anna: send report\n  - with figures\n- Bob will call\n- none\n\nsome prose here\nEve: write minutes\n\n### Carl\n- paint\n\n## Decisions\n- go on\n",
            expect![[r#"
            5 [ ] send report | Anna | 
            7 [ ] call | Bob | 
            11 [ ] write minutes | Eve | 
            14 [ ] paint | Carl | 
        "#]],
        );
        check(
            "a.txt",
            "Nächste Schritte:\n- Anna:\n  - Bericht schreiben\n  - Bank anrufen\n- ~~Raum buchen~~\n\nSonst nichts.\n- kein Punkt\n",
            expect![[r#"
            3 [ ] Bericht schreiben | Anna | 
            4 [ ] Bank anrufen | Anna | 
            5 [x] Raum buchen |  | 
        "#]],
        );
        check(
            "a.txt",
            "ACTION ITEMS\n\n1. Anna to send it\n2. Bob: call\nAction items: Eve to ask; Max to answer\n",
            expect![[r#"
            3 [ ] send it | Anna | 
            4 [ ] call | Bob | 
            5 [ ] ask | Eve | 
            5 [ ] answer | Max | 
        "#]],
        );
    }

    #[test]
    fn what_is_over_is_done() {
        check(
            "a.md",
            "## Tasks\n- book a room - done\n- call (erledigt)\n- paint ✅\n- get it done\n\nDone:\n- nothing\n- clean\n\nAnna:\n- write\n\nTom\n- rest\n",
            expect![[r#"
            2 [x] book a room |  | 
            3 [x] call |  | 
            4 [x] paint |  | 
            5 [ ] get it done |  | 
            9 [x] clean |  | 
            12 [ ] write | Anna | 
            15 [ ] rest | Tom | 
        "#]],
        );
    }

    #[test]
    fn headings_that_announce_tasks() {
        for text in [
            "Action items",
            "**Next steps:**",
            "3. Aufgaben",
            "Open action items",
            "Next steps for March",
            "✅ To-Dos",
            "Prochaines étapes",
            "Action Items (2)",
        ] {
            assert!(announces(text), "{text}");
        }
        for text in ["Decisions", "Completed tasks", "Actions taken yesterday", "A step back"] {
            assert!(!announces(text), "{text}");
        }
    }

    #[test]
    fn tables_of_tasks() {
        check(
            "a.md",
            "| Task | Owner | Due | Done? |\n|---|---|---|---|\n| Send a \\| b | Anna | 2025-03-01 | open |\n| Call | @bob | | Done |\n\n| What | Price |\n|---|---|\n| Tea | 3 |\n",
            expect![[r#"
            3 [ ] Send a \| b | Anna | 2025-03-01
            4 [x] Call | bob | 
        "#]],
        );
    }

    #[test]
    fn outlines() {
        check(
            "a.org",
            "* Home\n** TODO call Anna\n** DONE paint\n- [ ] box\n",
            expect![[r#"
            2 [ ] call Anna |  | 
            3 [x] paint |  | 
            4 [ ] box |  | 
        "#]],
        );
    }

    proptest! {
        #[test]
        fn a_text_is_a_piece_of_its_line(
            body in "(TODO|- \\[ \\]|Anna:|\\* )? ?[A-Za-z@():~, ]{0,20}( by 2025-03-01| \\(Bob\\))?",
        ) {
            let source = format!("## Tasks\n{body}\n- {body}\n");
            let lines = super::super::text::lines(&source);
            for task in find(&source, Markup::Markdown) {
                prop_assert!(lines[task.line - 1].contains(&task.text), "{:?}", task);
            }
        }
    }
}
