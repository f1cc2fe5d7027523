//! `mailbox`: who wrote what, when; what they ask; what is attached; which threads
//! wait for an answer.

use super::list::with_skipped;
use crate::args::{Files, parse};
use crate::data::mail::{self, Kind, Mail};
use crate::data::quote::{self, counted, folded};
use crate::error::{arguments, too_large};
use crate::tool::{Tool, object, spec};
use crate::workspace::{TEXT_MAX, Workspace};
use charter::effect::EffectClass;
use charter::excerpt::Excerpts;
use charter::tool::{Call, ErrorCode, Prepared, ToolError, ToolSpec};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Most messages of one call.
const MAILS_MAX: usize = 20_000;
/// Sentences of a message that are shown.
const SENTENCES: usize = 2;
/// Letters of them.
const SHOWN: usize = 400;
/// Questions of one message that are shown.
const QUESTIONS: usize = 5;

/// What is said of mail in a form that nothing here reads.
const MSG: &str = "it is in Outlook's own form; save it as .eml and try again";

/// The tool.
pub(crate) struct Mailbox(pub(crate) Arc<dyn Excerpts>);

/// How messages stand together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    #[default]
    Day,
    Thread,
}

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    pub(crate) since: Option<String>,
    #[serde(default)]
    pub(crate) by: By,
    #[serde(default)]
    pub(crate) page: String,
}

impl Args {
    /// The files that are read: where all `.eml` of a place are meant, so is its
    /// Maildir, whose files have no such ending.
    pub(crate) fn files(&self) -> Files {
        let maildirs = self.files.patterns().iter().filter_map(|pattern| {
            let base = pattern.strip_suffix("*.eml")?;
            Some([format!("{base}cur/*"), format!("{base}new/*")])
        });
        let all = self.files.patterns().iter().cloned();
        Files::many(all.chain(maildirs.flatten()).collect())
    }

    /// The first day that counts.
    pub(crate) fn first_day(&self) -> Result<Option<Date>, ToolError> {
        let Some(since) = &self.since else { return Ok(None) };
        since.parse().map(Some).map_err(|_| {
            arguments(format!("since: {since:?} is no date")).hint("write it as 2025-01-31")
        })
    }
}

impl Tool for Mailbox {
    fn spec(&self) -> ToolSpec {
        spec(
            "mailbox",
            EffectClass::Read,
            "Makes a digest of mail (mbox, Maildir, .eml) by day or by thread.",
            object(
                &["files"],
                json!({
                    "files": Files::schema(),
                    "since": {"type": "string", "minLength": 1, "description": "only messages of this ISO date or later"},
                    "by": {"enum": ["day", "thread"], "default": "day"},
                    "page": {"type": "string", "description": "path of the file that the text is for; links are relative to it"},
                }),
            ),
            "rows: [{date, time, from, address, subject, thread, first, questions, dates, attachments, waiting, file, nth}] in order of time, count, threads, waiting (number of threads whose last message asks something), earlier (messages before since), messages (all that were found), unread: [{file, why}], others (files that are no mail), text (Markdown), skipped_secrets",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        Ok(Prepared::output(gather(&args, workspace, &*self.0)?, call.label))
    }
}

/// A message and where it stands.
struct Found {
    file: String,
    nth: usize,
    mail: Mail,
}

/// The whole output.
pub(crate) fn gather(
    args: &Args,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Result<Value, ToolError> {
    let since = args.first_day()?;
    let walked = workspace.walk(&args.files())?;
    let (mut all, mut unread, mut others) = (Vec::new(), Vec::new(), 0_u64);
    for file in &walked.files {
        let bytes = match workspace.read(&file.path, TEXT_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.code == ErrorCode::TooLarge => {
                unread.push(json!({"file": file.path, "why": error.message}));
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(kind) = mail::kind(&file.path, &bytes) else {
            match file.path.to_lowercase().ends_with(".msg") {
                true => unread.push(json!({"file": file.path, "why": MSG})),
                false => others += 1,
            }
            continue;
        };
        let messages = match kind {
            Kind::Mbox => mail::split(&bytes),
            Kind::Single => vec![bytes.as_slice().into()],
        };
        for (at, message) in messages.iter().enumerate() {
            workspace.still_wanted()?;
            match mail::read(message) {
                Ok(mail) => {
                    if let Some(why) = &mail.trouble {
                        let why = format!("message {}: {why}", at + 1);
                        unread.push(json!({"file": file.path, "why": why}));
                    }
                    all.push(Found { file: file.path.clone(), nth: at + 1, mail });
                }
                Err(why) => {
                    let why = format!("message {} is no mail: {why}", at + 1);
                    unread.push(json!({"file": file.path, "why": why}));
                }
            }
            if all.len() > MAILS_MAX {
                return Err(too_large(format!("there are more than {MAILS_MAX} messages"))
                    .hint("name fewer files"));
            }
        }
    }
    all.sort_by(|a, b| (a.mail.at, &a.file, a.nth).cmp(&(b.mail.at, &b.file, b.nth)));
    let messages = all.len();
    let threads = threads(&all);
    let me = owner(&all);
    let mut rows: Vec<Value> = Vec::new();
    for (at, found) in all.iter().enumerate() {
        let mail = &found.mail;
        if since.zip(mail.day).is_some_and(|(since, day)| day < since) {
            continue;
        }
        let thread = threads.get(at).copied().unwrap_or(at);
        let is_last = threads.iter().rposition(|other| *other == thread) == Some(at);
        let (first, questions) = said(&mail.text, excerpts);
        let waiting = is_last && !questions.is_empty() && me.as_deref() != Some(&mail.address);
        rows.push(json!({
            "date": mail.day.map(|day| day.to_string()).unwrap_or_default(), "time": mail.time,
            "from": mail.from, "address": mail.address, "subject": mail.subject,
            "thread": thread + 1, "first": first, "questions": questions,
            "dates": mail::coming(&mail.text, mail.day), "attachments": mail.attachments,
            "waiting": waiting, "file": found.file, "nth": found.nth,
        }));
    }
    let mut numbers: Vec<u64> = rows.iter().filter_map(|row| row["thread"].as_u64()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let waiting = rows.iter().filter(|row| row["waiting"] == true).count();
    let text = render(args, &rows, messages, &unread);
    let output = json!({
        "count": rows.len(), "rows": rows, "threads": numbers.len(), "waiting": waiting,
        "earlier": messages - rows.len(), "messages": messages, "unread": unread,
        "others": others, "text": text,
    });
    Ok(with_skipped(output, &walked))
}

/// The thread of each message, named by its first one: by what they refer to, or
/// else by the same subject.
fn threads(all: &[Found]) -> Vec<usize> {
    let mut root: Vec<usize> = (0..all.len()).collect();
    fn top(root: &[usize], mut at: usize) -> usize {
        while let Some(above) = root.get(at).copied().filter(|above| *above != at) {
            at = above;
        }
        at
    }
    let mut known: HashMap<String, usize> = HashMap::new();
    for (at, found) in all.iter().enumerate() {
        let ids = found.mail.ids.iter().map(|id| format!("<{id}>"));
        let topic = (!found.mail.topic.is_empty()).then(|| found.mail.topic.clone());
        for name in ids.chain(topic) {
            match known.get(&name) {
                Some(other) => {
                    let (a, b) = (top(&root, at), top(&root, *other));
                    let (low, high) = (a.min(b), a.max(b));
                    if let Some(slot) = root.get_mut(high) {
                        *slot = low;
                    }
                }
                None => {
                    known.insert(name, at);
                }
            }
        }
    }
    (0..all.len()).map(|at| top(&root, at)).collect()
}

/// Whose mailbox it is: the address that most messages went to.
fn owner(all: &[Found]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for address in all.iter().flat_map(|found| &found.mail.to) {
        *counts.entry(address).or_insert(0) += 1;
    }
    let most = counts.values().max()?;
    let mut best = counts.iter().filter(|(_, count)| *count == most);
    // Two that are named as often: nobody can tell.
    best.next().filter(|_| best.next().is_none()).map(|(address, _)| (*address).to_owned())
}

/// The first sentences of a text, and its questions.
fn said(text: &str, excerpts: &dyn Excerpts) -> (String, Vec<String>) {
    let slice = |span: &charter::memory::Span| {
        let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
        text.get(start..end).map(folded)
    };
    let all: Vec<String> = excerpts.sentences(text).iter().filter_map(slice).collect();
    let cut = |text: &str| match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    };
    // A greeting is no sentence.
    let greets = |line: &str| line.ends_with(',') && line.split(' ').count() <= 5;
    let telling: Vec<&str> =
        all.iter().map(String::as_str).filter(|line| !greets(line)).take(SENTENCES).collect();
    let asks = all.iter().filter(|line| line.ends_with('?')).take(QUESTIONS);
    (cut(&telling.join(" ")), asks.map(|line| cut(line)).collect())
}

fn text<'v>(row: &'v Value, name: &str) -> &'v str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn joined(row: &Value, name: &str) -> String {
    let all = row.get(name).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// A message as an entry of a list.
fn entry(row: &Value, by: By) -> String {
    let when = match (by, text(row, "date")) {
        (By::Day, _) | (_, "") => text(row, "time").to_owned(),
        (By::Thread, date) => format!("{date} {}", text(row, "time")),
    };
    let head = match by {
        By::Day => format!("**{}**: {}", text(row, "from"), text(row, "subject")),
        By::Thread => format!("**{}**", text(row, "from")),
    };
    let mut lines = vec![format!("- {} {head}", when.trim()).replace("-  ", "- ")];
    let mut more = |label: &str, words: &str| {
        if !words.is_empty() {
            lines.push(format!("  - {label}{words}"));
        }
    };
    more("", text(row, "first"));
    more("asks: ", &joined(row, "questions"));
    more("names: ", &joined(row, "dates"));
    more("attached: ", &joined(row, "attachments"));
    lines.join("\n")
}

/// The page.
fn render(args: &Args, rows: &[Value], messages: usize, unread: &[Value]) -> String {
    let mut blocks = vec!["# Mail".to_owned()];
    let since = args.since.as_deref().map(folded);
    blocks.push(match (&since, rows.len()) {
        (Some(since), 0) => format!("No message since {since}; {messages} are older."),
        (None, 0) => "There is no mail.".to_owned(),
        (Some(since), count) => format!("{} since {since}.", counted(count, "message")),
        (None, count) => format!("{}.", counted(count, "message")),
    });
    let waiting: Vec<String> = rows
        .iter()
        .filter(|row| row["waiting"] == true)
        .map(|row| {
            let (from, subject) = (text(row, "from"), text(row, "subject"));
            format!("- **{from}**: {subject} ({}): {}", text(row, "date"), joined(row, "questions"))
        })
        .collect();
    if !waiting.is_empty() {
        blocks.push(format!("## Waiting for an answer\n\n{}", waiting.join("\n")));
    }
    let mut groups: Vec<(String, Vec<&Value>)> = Vec::new();
    for row in rows {
        let key = match args.by {
            By::Day => text(row, "date").to_owned(),
            By::Thread => row["thread"].to_string(),
        };
        match groups.iter_mut().find(|(name, _)| *name == key) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    for (key, rows) in groups {
        let title = match (args.by, key.as_str(), rows.first()) {
            (By::Day, "", _) => "Without a date".to_owned(),
            (By::Day, day, _) => day.to_owned(),
            (By::Thread, _, Some(first)) => {
                format!("{} ({})", text(first, "subject"), counted(rows.len(), "message"))
            }
            (By::Thread, _, None) => continue,
        };
        let entries: Vec<String> = rows.iter().map(|row| entry(row, args.by)).collect();
        blocks.push(format!("## {title}\n\n{}", entries.join("\n")));
    }
    blocks.extend(quote::unread(unread, &args.page));
    quote::page(blocks, &args.page)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::json;

    const INBOX: &str = "From ada@x Mon Mar  2 09:00:00 2026\nFrom: Ada <ada@x.example>\nTo: me@y.example\nDate: Mon, 2 Mar 2026 09:00:00 +0100\nSubject: Offer\nMessage-ID: <1@x>\n\nHi,\n\nHere is the offer. Shall we start on 2026-04-01?\n\n-- \nAda\n\n\
        From me@y Mon Mar  2 10:00:00 2026\nFrom: Me <me@y.example>\nTo: ada@x.example\nDate: Mon, 2 Mar 2026 10:00:00 +0100\nSubject: Re: Offer\nMessage-ID: <2@y>\nIn-Reply-To: <1@x>\n\nYes.\n\nOn Mon, 2 Mar 2026 Ada wrote:\n> Shall we start?\n\n\
        From bob@z Tue Mar  3 08:00:00 2026\nFrom: Bob <bob@z.example>\nTo: me@y.example\nDate: Tue, 3 Mar 2026 08:00:00 +0100\nSubject: Party\n\nAre you coming?\n";

    fn desk() -> Desk {
        let desk =
            Desk::new(&[("inbox.mbox", INBOX), ("broken.eml", "no mail at all"), ("a.md", "# A")]);
        desk.put("Maildir/cur/1.x:2,S", b"From: =?ISO-8859-1?Q?J=FCrg?= <j@x.example>\nTo: me@y.example\nDate: Wed, 4 Mar 2026 08:00:00 +0000\nSubject: Hello\nContent-Type: text/plain; charset=ISO-8859-1\n\nGr\xFC\xDFe.\n");
        desk
    }

    #[test]
    fn a_mailbox_is_told_by_day() {
        let output = desk().verified("mailbox", json!({"files": "."})).output;
        let text = output["text"].as_str().unwrap();
        for wanted in [
            "4 messages.",
            "## Waiting for an answer\n\n- **Bob**: Party (2026-03-03): Are you coming?",
            "## 2026-03-02\n\n- 09:00 **Ada**: Offer\n  - Here is the offer. Shall we start on 2026-04-01?\n  - asks: Shall we start on 2026-04-01?\n  - names: 2026-04-01",
            "- 10:00 **Me**: Re: Offer\n  - Yes.",
            "**Jürg**: Hello\n  - Grüße.",
            "[broken.eml](broken.eml): message 1 is no mail",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in {text}");
        }
        assert_eq!((output["threads"].as_u64(), output["others"].as_u64()), (Some(3), Some(1)));
    }

    #[test]
    fn threads_stand_together_and_older_mail_is_left_out() {
        let args = json!({"files": "inbox.mbox", "by": "thread", "since": "2026-03-03"});
        let output = desk().verified("mailbox", args).output;
        assert_eq!((output["count"].as_u64(), output["earlier"].as_u64()), (Some(1), Some(2)));
        let output =
            desk().verified("mailbox", json!({"files": "inbox.mbox", "by": "thread"})).output;
        assert!(output["text"].as_str().unwrap().contains("## Offer (2 messages)"));
        let none = desk().verified("mailbox", json!({"files": "a.md"})).output;
        assert!(none["text"].as_str().unwrap().contains("There is no mail."));
    }

    #[test]
    fn all_mail_of_a_place_is_its_maildir_too() {
        let desk = desk();
        desk.put("old.msg", b"\xD0\xCF\x11\xE0");
        let args = json!({"files": ["**/*.eml", "**/*.mbox", "**/*.msg"]});
        let output = desk.verified("mailbox", args).output;
        assert_eq!(output["count"], 4);
        assert!(
            output["text"]
                .as_str()
                .unwrap()
                .contains("[old.msg](old.msg): it is in Outlook's own form")
        );
    }

    #[test]
    fn lies_are_found() {
        let desk = desk();
        let honest = desk.verified("mailbox", json!({"files": "."}));
        let lie = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut subject = honest.clone();
            edit(&mut subject.output);
            desk.failed(&subject);
        };
        lie(&|output| *output = json!({}));
        lie(&|output| {
            output["rows"].as_array_mut().unwrap().pop();
            output["count"] = 3.into();
            output["messages"] = 3.into();
        });
        lie(&|output| output["rows"][0]["subject"] = "Other".into());
        lie(&|output| output["unread"] = json!([]));
        lie(&|output| output["text"] = "# Mail\n".into());
        desk.put("inbox.mbox", INBOX.replace("Shall we start on", "Shall we end on").as_bytes());
        desk.failed(&honest);
    }
}
