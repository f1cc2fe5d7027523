//! Who does a task and until when, from the wording of the task itself. What is
//! taken off stands at its beginning or end, so that the text that remains is a
//! piece of the line as it was written.

use super::date::{self, Order};
use super::words::{WORDS, alternatives};
use jiff::civil::Date;
use regex::Regex;
use std::sync::LazyLock;

/// A task taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned<'t> {
    /// What is to be done.
    pub(crate) text: &'t str,
    /// Who does it; empty when nobody is named.
    pub(crate) person: String,
    /// The last day for it.
    pub(crate) due: Option<Date>,
}

/// Times that the end of a task is looked at for something to take off.
const TURNS: usize = 6;

const WORD: &str = r"\p{Lu}[\p{L}\p{M}'’.-]*";

struct Patterns {
    names: Regex,
    handle_first: Regex,
    handle_last: Regex,
    handle: Regex,
    bracket_first: Regex,
    colon: Regex,
    promise: Regex,
    owner_first: Regex,
    owner_last: Regex,
    bracket_last: Regex,
    comma_last: Regex,
    dash_last: Regex,
    due: Regex,
}

#[expect(clippy::expect_used, reason = "patterns of escaped words, used by tests")]
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let particle = r"(?:\s+(?:von|van|de|der|den|da|di|del|la|le|du|zu))*";
    let name = format!(r"{WORD}(?:{particle}\s+{WORD}){{0,2}}");
    let and = alternatives(WORDS.and.iter().map(String::as_str));
    let names = format!(r"{name}(?:(?:\s*[,/&+]\s*|\s+(?:{and})\s+){name}){{0,5}}");
    let owner = alternatives(WORDS.owners.iter().map(String::as_str));
    let promise = alternatives(WORDS.promises.iter().map(String::as_str));
    let due = alternatives(WORDS.due.iter().map(String::as_str));
    let handle = r"@([\p{L}\p{N}_](?:[\p{L}\p{N}_.-]*[\p{L}\p{N}_])?)";
    let regex = |source: String| Regex::new(&source).expect("a sound pattern");
    Patterns {
        names: regex(format!(r"^{names}$")),
        handle_first: regex(format!(r"^{handle}(?:\s*[:,–—-])?\s+")),
        handle_last: regex(format!(r"(?:^|\s)[(\[]?{handle}[)\].]*$")),
        handle: regex(format!(r"(?:^|[\s(\[]){handle}")),
        bracket_first: regex(format!(r"^[(\[]\s*({names})\s*[)\]]\s*[:–—-]?\s+")),
        colon: regex(format!(
            r"^(?:\*\*|__|\*|_)?({names})(?:\*\*|__|\*|_)?(?:\s*:|\s+[–—-])(?:\*\*|__|\*|_)?\s+"
        )),
        promise: regex(format!(r"^(?:\*\*|__)?({names})(?:\*\*|__)?\s+((?i:{promise}))\s+")),
        owner_first: regex(format!(r"^(?i:{owner})\s*[:=]\s*@?({names})\s*[,;.:–—-]\s*")),
        owner_last: regex(format!(
            r"[\s(\[,;.|–—-]+(?i:{owner})\s*(?:[:=]\s*|\s)@?({names})\s*[)\].]*$"
        )),
        bracket_last: regex(format!(r"\s*[(\[]\s*({names})\s*[)\]]?\.?$")),
        comma_last: regex(format!(r"(?:,|;)\s*({names})\s*[)\]]$")),
        dash_last: regex(format!(r"\s+(?:--?|[–—])\s*({names})\.?$")),
        due: regex(format!(
            r"(?:^|[\s(\[,;:.|–—-])@?(?i:{due})(?:\s*:{{1,2}}|\()?\s*(?:\p{{L}}{{2,12}}\.?,?\s+)?$"
        )),
    }
});

/// Whether a text is a name of one or more people, and nothing else.
pub(crate) fn is_name(text: &str) -> bool {
    let text = text.trim();
    let lower = text.to_lowercase();
    let first = lower.split_whitespace().next().unwrap_or_default();
    PATTERNS.names.is_match(text)
        && !WORDS.not_names.contains(&lower)
        && !WORDS.not_names.contains(first)
        && !WORDS.not_names.contains(first.trim_end_matches(['.', ',']))
        && !WORDS.task_markers.contains(&lower)
        && !super::words::MONTHS.contains_key(first)
}

/// The name of a person as it is shown: without `@`, single blanks.
pub(crate) fn name(text: &str) -> String {
    let plain = super::markdown::plain(text.trim().trim_start_matches('@'));
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes a task apart. `order` says how `3/4/2025` is read in this file.
pub(crate) fn split(text: &str, order: Option<Order>) -> Owned<'_> {
    let mut owned = Owned { text: text.trim(), person: String::new(), due: None };
    first(&mut owned);
    for _ in 0..TURNS {
        if !(last_due(&mut owned, order) || last_person(&mut owned)) {
            break;
        }
    }
    if owned.due.is_none() {
        owned.due = inner_due(owned.text, order);
    }
    if owned.person.is_empty()
        && let Some(found) = PATTERNS.handle.captures(owned.text).and_then(|found| found.get(1))
    {
        owned.person = name(found.as_str());
    }
    // A task that is nothing but a name or a date is kept as it was written.
    if owned.text.is_empty() {
        owned.text = text.trim();
    }
    owned
}

fn first(owned: &mut Owned<'_>) {
    let patterns = &*PATTERNS;
    let text = owned.text;
    let found = |regex: &Regex| {
        let captures = regex.captures(text)?;
        let (whole, who) = (captures.get(0)?, captures.get(1)?);
        let rest = text.get(whole.end()..)?;
        Some((who.as_str(), rest, captures.get(2).map(|word| word.as_str().to_lowercase())))
    };
    if let Some((who, rest, _)) = found(&patterns.handle_first) {
        (owned.person, owned.text) = (name(who), rest);
        return;
    }
    for regex in
        [&patterns.owner_first, &patterns.bracket_first, &patterns.colon, &patterns.promise]
    {
        let Some((who, rest, promise)) = found(regex) else { continue };
        // "Talk to Bob" is no promise of somebody named Talk.
        let verb = promise.as_deref() != Some("to") || rest.starts_with(char::is_lowercase);
        // `[Anna](link)` is a link.
        let link = rest.starts_with('(') && text.starts_with('[');
        if is_name(who) && verb && !link && !rest.trim().is_empty() {
            (owned.person, owned.text) = (name(who), rest.trim_start());
            return;
        }
    }
}

/// Takes what names a person off the end. `true`: something was taken off.
fn last_person(owned: &mut Owned<'_>) -> bool {
    if !owned.person.is_empty() {
        return false;
    }
    let patterns = &*PATTERNS;
    let regexes = [
        &patterns.handle_last,
        &patterns.owner_last,
        &patterns.bracket_last,
        &patterns.comma_last,
        &patterns.dash_last,
    ];
    for (i, regex) in regexes.into_iter().enumerate() {
        let Some(found) = regex.captures(owned.text) else { continue };
        let (Some(whole), Some(who)) = (found.get(0), found.get(1)) else { continue };
        let rest = owned.text.get(..whole.start()).unwrap_or_default().trim_end();
        // In "book the room for Anna (Basel)" nobody can tell; a name it is.
        if !rest.is_empty() && (i == 0 || is_name(who.as_str())) {
            owned.person = name(who.as_str());
            owned.text = rest;
            return true;
        }
    }
    false
}

/// Takes a due date off the end. `true`: something was taken off.
fn last_due(owned: &mut Owned<'_>, order: Option<Order>) -> bool {
    let text = owned.text;
    let Some(found) = date::find(text, order).pop() else { return false };
    let tail = text.get(found.end..).unwrap_or_default();
    let (Some(day), true) =
        (found.date, tail.chars().all(|c| matches!(c, ' ' | ')' | ']' | '.' | '!' | ',')))
    else {
        return false;
    };
    let before = text.get(..found.start).unwrap_or_default();
    // `(Anna, by 2025-03-01)`: the bracket closes what was opened before.
    let cut = |end: usize| {
        before
            .get(..end)
            .unwrap_or_default()
            .trim_end_matches([' ', ',', ';', '(', '[', '–', '—', '-', ':', '|', '@'])
    };
    let is_clock = |c: char| matches!(c, '📅' | '🗓' | '⏰' | '⌛' | '⏳' | '\u{fe0f}' | ' ');
    let rest = if let Some(due) = PATTERNS.due.find(before) {
        cut(due.start())
    } else if before.trim_end().ends_with(['📅', '🗓', '⏰', '⌛', '⏳', '\u{fe0f}']) {
        before.trim_end_matches(is_clock)
    } else if before.trim_end().ends_with(['(', '[', '–', '—', ',', '|', '-', ':']) {
        cut(before.len())
    } else {
        return false;
    };
    if rest.is_empty() || owned.due.is_some() {
        return false;
    }
    owned.due = Some(day);
    owned.text = rest;
    true
}

/// A date inside the text that is announced as due.
fn inner_due(text: &str, order: Option<Order>) -> Option<Date> {
    date::find(text, order)
        .into_iter()
        .find(|found| text.get(..found.start).is_some_and(|before| PATTERNS.due.is_match(before)))?
        .date
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, task: &str, person: &str, due: &str) {
        let found = split(text, None);
        let day = found.due.map(|day| day.to_string()).unwrap_or_default();
        assert_eq!(
            (found.text, found.person.as_str(), day.as_str()),
            (task, person, due),
            "{text:?}"
        );
    }

    #[test]
    fn people_are_named_in_many_ways() {
        check("Anna: send the report", "send the report", "Anna", "");
        check("**Anna:** send the report", "send the report", "Anna", "");
        check("**Anna**: send", "send", "Anna", "");
        check("@anna send the report", "send the report", "anna", "");
        check("send the report @anna", "send the report", "anna", "");
        check("ask @bob.b about it", "ask @bob.b about it", "bob.b", "");
        check("Anna to send the report", "send the report", "Anna", "");
        check("Bob Miller will call the bank", "call the bank", "Bob Miller", "");
        check("Anna and Bob to plan the trip", "plan the trip", "Anna and Bob", "");
        check("Jürgen wird das Angebot schicken", "das Angebot schicken", "Jürgen", "");
        check("Marie doit appeler la banque", "appeler la banque", "Marie", "");
        check("send the report (Anna)", "send the report", "Anna", "");
        check("[Anna] send the report", "send the report", "Anna", "");
        check("send the report — Anna", "send the report", "Anna", "");
        check("send the report - Anna", "send the report", "Anna", "");
        check("send the report, owner: Anna", "send the report", "Anna", "");
        check(
            "send the report (assigned to Anna de Vries)",
            "send the report",
            "Anna de Vries",
            "",
        );
    }

    #[test]
    fn due_dates_come_off() {
        check("send it by 2025-03-01", "send it", "", "2025-03-01");
        check("Anna: send it by 3 March 2025.", "send it", "Anna", "2025-03-03");
        check("send it (Anna, due 2025-03-01)", "send it", "Anna", "2025-03-01");
        check("send it (due: 2025-03-01, Anna)", "send it", "Anna", "2025-03-01");
        check(
            "Angebot schicken bis zum 3. März 2025 (Anna)",
            "Angebot schicken",
            "Anna",
            "2025-03-03",
        );
        check("send it 📅 2025-03-01", "send it", "", "2025-03-01");
        check("send it due:2025-03-01", "send it", "", "2025-03-01");
        check("send it by Friday, 7 March 2025", "send it", "", "2025-03-07");
        check("send it @due(2025-03-01)", "send it", "", "2025-03-01");
        check("send it (2025-03-01)", "send it", "", "2025-03-01");
        check("by 2025-03-01 send it", "by 2025-03-01 send it", "", "2025-03-01");
        check("send it until Friday", "send it until Friday", "", "");
        check("send the minutes of 2025-03-01", "send the minutes of 2025-03-01", "", "");
    }

    #[test]
    fn not_everything_is_a_person() {
        check("Talk to Bob", "Talk to Bob", "", "");
        check("Need to buy milk", "Need to buy milk", "", "");
        check("Fix: the login", "Fix: the login", "", "");
        check("read [Anna](a.md)", "read [Anna](a.md)", "", "");
        check("call (optional)", "call (optional)", "", "");
        check("write to a@b.org", "write to a@b.org", "", "");
        check("Review the plan", "Review the plan", "", "");
        check("Anna", "Anna", "", "");
        check("meet at 10:30", "meet at 10:30", "", "");
    }
}
