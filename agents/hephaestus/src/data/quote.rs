//! Words taken from texts, and the pages on which they are shown: titles,
//! quotes, links to sources.

use super::markdown::{self, Markup};
use super::text::lines;
use charter::excerpt::Form;
use charter::memory::Span;
use serde_json::Value;

/// Stands at the end of pages that are written to files: what they quote stands
/// elsewhere, and they are no source for the next page.
const MADE: &str = "<!-- put together by Alma from the files it links to -->";

/// Whether a text is such a page.
pub(crate) fn is_made(text: &str) -> bool {
    text.trim_end().ends_with(MADE)
}

/// The blocks of a page as its text. Only one that goes to a file is marked.
pub(crate) fn page(mut blocks: Vec<String>, path: &str) -> String {
    if !path.is_empty() {
        blocks.push(MADE.to_owned());
    }
    format!("{}\n", blocks.join("\n\n"))
}

/// Longest title.
const TITLE_MAX: usize = 120;

/// What a text calls itself: the title of its front matter, its first heading, or
/// else the name of the file.
pub(crate) fn title(path: &str, text: &str, form: Form) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let found = match form {
        Form::Plain => front_title(text).or_else(|| {
            let heading = markdown::headings(text, Markup::of(path)).into_iter().next();
            heading.filter(|_| Markup::of(path) != Markup::Plain).map(|heading| heading.text)
        }),
        Form::Html => text.lines().find_map(|line| line.strip_prefix("# ").map(str::to_owned)),
        Form::Pdf => None,
    };
    let found = found.map(|title| folded(&title)).filter(|title| !title.is_empty());
    let title = found.unwrap_or_else(|| name.to_owned());
    title.chars().take(TITLE_MAX).collect()
}

/// `title: x` in the front matter.
fn front_title(text: &str) -> Option<String> {
    front_matter(text)
        .find_map(|line| line.strip_prefix("title:"))
        .map(|title| title.trim().trim_matches(['"', '\'']).to_owned())
}

/// The lines of the front matter.
pub(crate) fn front_matter(text: &str) -> impl Iterator<Item = &str> {
    let all = lines(text);
    let marked = all.first().is_some_and(|line| line.trim_end() == "---");
    let closed = all.iter().skip(1).take(200).position(|line| line.trim_end() == "---");
    let count = if marked { closed.unwrap_or(0) } else { 0 };
    all.into_iter().skip(1).take(count)
}

/// A text on one line, every run of blanks one blank.
pub(crate) fn folded(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(visible).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The words of a span without the marks of a list, a quote or a heading before
/// them, on one line; and where they begin.
pub(crate) fn words(text: &str, span: Span) -> Option<(usize, String)> {
    let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
    let raw = text.get(start..end)?;
    let mut rest = raw.trim_start();
    loop {
        let plain = rest.trim_start_matches(['#', '>']).trim_start();
        let plain = markdown::item_text(plain).unwrap_or(plain);
        let plain = ["[ ] ", "[x] ", "[X] "]
            .iter()
            .find_map(|mark| plain.strip_prefix(mark))
            .unwrap_or(plain)
            .trim_start();
        if plain.len() == rest.len() {
            break;
        }
        rest = plain;
    }
    let begin = end.checked_sub(rest.len())?;
    let words = folded(rest);
    words.chars().any(char::is_alphanumeric).then_some((begin, words))
}

/// Whether words stand in a text from a line on, blanks folded.
pub(crate) fn stands_at(text: &str, line: usize, words: &str) -> bool {
    /// Lines that one sentence may run over.
    const LINES: usize = 200;
    let Some(skipped) = line.checked_sub(1) else { return false };
    let all = lines(text);
    let here: Vec<String> = all.iter().skip(skipped).take(LINES).map(|line| folded(line)).collect();
    let Some(first) = here.first() else { return false };
    let together = folded(&here.join(" "));
    // It begins on this line and not further down.
    together.find(words).is_some_and(|at| at <= first.len())
}

/// Whether words stand anywhere in a text, blanks folded.
pub(crate) fn stands_in(text: &str, words: &str) -> bool {
    folded(text).contains(words)
}

/// A link from a page to a file; both are paths in the workspace.
pub(crate) fn link(page: &str, path: &str) -> String {
    let folders: Vec<&str> = page.split('/').collect();
    let folders = folders.get(..folders.len().saturating_sub(1)).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let shared = folders.iter().zip(&parts).take_while(|(a, b)| a == b).count();
    let shared = shared.min(parts.len().saturating_sub(1));
    let up = std::iter::repeat_n("..", folders.len() - shared);
    let whole: Vec<&str> = up.chain(parts.into_iter().skip(shared)).collect();
    let mut target = String::new();
    for c in whole.join("/").chars() {
        match c {
            ' ' | '(' | ')' | '<' | '>' | '%' | '#' | '?' | '\\' | '"' | '[' | ']' => {
                target.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c if c.is_control() => target.push_str(&format!("%{:02X}", u32::from(c))),
            c => target.push(c),
        }
    }
    // "mail:x.md" would be read as a scheme.
    if target.split('/').next().is_some_and(|first| first.contains(':')) {
        target.insert_str(0, "./");
    }
    target
}

/// A heading that links to a file.
pub(crate) fn linked(title: &str, page: &str, path: &str) -> String {
    let title = title.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]");
    format!("[{title}]({})", link(page, path))
}

/// Where a row stands, for people: `line 3`, `page 2`, or nothing.
pub(crate) fn place(row: &Value) -> String {
    for name in ["line", "page"] {
        if let Some(number) = row.get(name).and_then(Value::as_u64) {
            return format!("{name} {number}");
        }
    }
    String::new()
}

/// A row's words as a quoted paragraph.
pub(crate) fn quoted(row: &Value) -> String {
    let words = row.get("quote").and_then(Value::as_str).unwrap_or_default();
    match place(row) {
        place if place.is_empty() => format!("> {words}"),
        place => format!("> {words} ({place})"),
    }
}

/// `1 file`, `3 files`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// What could not be read, as lines of a list; nothing for nothing.
pub(crate) fn unread(rows: &[Value], page: &str) -> Option<String> {
    let lines: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let (file, why) = (row.get("file")?.as_str()?, row.get("why")?.as_str()?);
            Some(format!("- {}: {}", linked(file, page, file), folded(why)))
        })
        .collect();
    (!lines.is_empty()).then(|| format!("## Could not be read\n\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_what_it_is_called() {
        let check = |path: &str, text: &str, expect: &str| {
            assert_eq!(title(path, text, Form::Plain), expect, "{text:?}");
        };
        check("a/b.md", "---\ntitle: \"Big plan\"\n---\n# Other", "Big plan");
        check("a/b.md", "text\n\n## *Second*\n", "Second");
        check("a/b.md", "no heading", "b.md");
        check("a/b.csv", "# no\nx,y", "b.csv");
        assert_eq!(title("x.html", "# Head\n\ntext", Form::Html), "Head");
    }

    #[test]
    fn words_lose_their_marks_and_know_their_place() {
        let check = |text: &str, from: &str, expect: &str| {
            let span = Span { start: 0, end: text.len() as u64 };
            let (at, words) = words(text, span).unwrap();
            assert_eq!((&text[at..][..from.len()], words.as_str()), (from, expect));
        };
        check("- [x] done  with\n  it", "done", "done with it");
        check("> * # deep", "deep", "deep");
        check("plain", "plain", "plain");
        assert!(words("- --", Span { start: 0, end: 4 }).is_none());
    }

    #[test]
    fn words_stand_where_they_begin() {
        let text = "one two\nthree\n four";
        assert!(stands_at(text, 1, "two three four") && stands_at(text, 2, "three four"));
        assert!(
            !stands_at(text, 1, "four") && !stands_at(text, 9, "one") && !stands_at(text, 0, "one")
        );
        assert!(stands_in(text, "two three") && !stands_in(text, "two four"));
    }

    #[test]
    fn only_pages_for_files_are_marked() {
        assert!(is_made(&page(vec!["# A".to_owned()], "a.md")));
        assert_eq!(page(vec!["# A".to_owned(), "b".to_owned()], ""), "# A\n\nb\n");
    }

    #[test]
    fn links_lead_from_the_page_to_the_file() {
        let check = |page: &str, path: &str, expect: &str| assert_eq!(link(page, path), expect);
        check("summary.md", "notes/a b.md", "notes/a%20b.md");
        check("out/summary.md", "notes/a.md", "../notes/a.md");
        check("notes/summary.md", "notes/a.md", "a.md");
        check("summary.md", "x:y.md", "./x:y.md");
        assert_eq!(linked("a [b]", "s.md", "(1).md"), "[a \\[b\\]](%281%29.md)");
    }
}
