//! Mail: files taken apart into messages, messages into what a person wants to
//! know. The one place that knows the parser. What is broken is told and never
//! dropped.

use super::date;
use super::quote::folded;
use jiff::civil::Date;
use mail_parser::{Address, HeaderValue, Message, MessageParser, MimeHeaders};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Messages that one message refers to.
const REFERENCES_MAX: usize = 100;
/// Bytes of a body that are read.
const BODY_MAX: usize = 200_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Marks {
    quote_intros: Vec<String>,
    signatures: Vec<String>,
}

#[expect(clippy::expect_used, reason = "the file is compiled in and a test uses every pattern")]
static MARKS: LazyLock<(Regex, Regex)> = LazyLock::new(|| {
    let marks: Marks =
        serde_saphyr::from_str(include_str!("mail.yaml")).expect("mail.yaml fits its type");
    let any = |patterns: &[String]| {
        let all = patterns.iter().map(|one| format!("(?:{one})")).collect::<Vec<_>>().join("|");
        RegexBuilder::new(&all).case_insensitive(true).build().expect("sound patterns")
    };
    (any(&marks.quote_intros), any(&marks.signatures))
});

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Many messages, each behind a line that begins with `From `.
    Mbox,
    /// One message.
    Single,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mail {
    /// The day it was written, in the writer's time zone.
    pub(crate) day: Option<Date>,
    /// The time there, such as `09:30`.
    pub(crate) time: String,
    /// Seconds since 1970.
    pub(crate) at: i64,
    /// Name of the writer, or the address.
    pub(crate) from: String,
    /// Address of the writer, lower case.
    pub(crate) address: String,
    /// Addresses it went to, lower case.
    pub(crate) to: Vec<String>,
    /// The subject.
    pub(crate) subject: String,
    /// The subject without `Re:` and the like, lower case.
    pub(crate) topic: String,
    /// Its own name, and the messages it refers to.
    pub(crate) ids: Vec<String>,
    /// What is new in it: without quoted messages and the signature.
    pub(crate) text: String,
    /// Names of what is attached.
    pub(crate) attachments: Vec<String>,
    /// What could not be read of it.
    pub(crate) trouble: Option<String>,
}

/// Whether a file holds mail, by its name or its beginning.
pub(crate) fn kind(path: &str, bytes: &[u8]) -> Option<Kind> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    if bytes.starts_with(b"From ") {
        return Some(Kind::Mbox);
    }
    let in_maildir =
        path.rsplit('/').nth(1).is_some_and(|folder| folder == "cur" || folder == "new");
    if name.ends_with(".eml") || in_maildir {
        return Some(Kind::Single);
    }
    if name.ends_with(".mbox") {
        return Some(Kind::Mbox);
    }
    None
}

/// The messages of an mbox, with `>From ` as it was before.
pub(crate) fn split(bytes: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let (mut found, mut start, mut at, mut blank) = (Vec::new(), None, 0, true);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if blank && line.starts_with(b"From ") {
            if let Some(start) = start {
                found.extend(bytes.get(start..at));
            }
            start = Some(at + line.len());
        }
        blank = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        at += line.len();
    }
    found.extend(bytes.get(start.unwrap_or(0)..));
    found.retain(|message: &&[u8]| message.iter().any(|byte| !byte.is_ascii_whitespace()));
    found.into_iter().map(unquoted).collect()
}

fn unquoted(message: &[u8]) -> Cow<'_, [u8]> {
    let is_quoted = |line: &[u8]| {
        let marks = line.iter().take_while(|byte| **byte == b'>').count();
        marks > 0 && line.get(marks..).is_some_and(|rest| rest.starts_with(b"From "))
    };
    let lines = || message.split_inclusive(|byte| *byte == b'\n');
    if !lines().any(is_quoted) {
        return Cow::Borrowed(message);
    }
    let plain = lines().flat_map(|line| if is_quoted(line) { &line[1..] } else { line });
    Cow::Owned(plain.copied().collect())
}

/// A message; `Err` says why it is none.
pub(crate) fn read(bytes: &[u8]) -> Result<Mail, String> {
    let bytes = readable(bytes);
    let parsed = MessageParser::default().parse(&*bytes).ok_or("it has no header")?;
    if parsed.from().is_none() && parsed.date().is_none() && parsed.subject().is_none() {
        return Err("it has neither sender nor date nor subject".to_owned());
    }
    let date = parsed.date().filter(|date| date.is_valid());
    let day = date.and_then(|date| {
        let year = i16::try_from(date.year).ok()?;
        Date::new(year, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()
    });
    let (from, address) = writer(&parsed);
    let subject = folded(parsed.subject().unwrap_or_default());
    let (text, trouble) = body(&parsed);
    Ok(Mail {
        day,
        time: date.map(|d| format!("{:02}:{:02}", d.hour, d.minute)).unwrap_or_default(),
        at: date.map_or(i64::MIN, mail_parser::DateTime::to_timestamp),
        from,
        address,
        to: addresses(parsed.to()).chain(addresses(parsed.cc())).collect(),
        topic: folded(parsed.thread_name().unwrap_or_default()).to_lowercase(),
        subject: if subject.is_empty() { "(no subject)".to_owned() } else { subject },
        ids: ids(&parsed),
        text: new_text(&text),
        attachments: attachments(&parsed),
        trouble,
    })
}

/// The message with a header that is UTF-8: old programs wrote Latin-1 there
/// without saying so.
fn readable(bytes: &[u8]) -> Cow<'_, [u8]> {
    let end = [&b"\n\n"[..], b"\r\n\r\n"]
        .iter()
        .filter_map(|gap| bytes.windows(gap.len()).position(|window| window == *gap))
        .min()
        .unwrap_or(bytes.len());
    let (header, rest) = bytes.split_at(end);
    if std::str::from_utf8(header).is_ok() {
        return Cow::Borrowed(bytes);
    }
    let header: String = header.iter().map(|byte| char::from(*byte)).collect();
    Cow::Owned([header.as_bytes(), rest].concat())
}

fn writer(message: &Message<'_>) -> (String, String) {
    let first = message.from().and_then(Address::first);
    let address = first.and_then(|one| one.address.as_deref()).unwrap_or_default();
    let name = folded(first.and_then(|one| one.name.as_deref()).unwrap_or_default());
    let shown = match (name.is_empty(), address.is_empty()) {
        (false, _) => name,
        (true, false) => folded(address),
        (true, true) => "(unknown sender)".to_owned(),
    };
    (shown, folded(address).to_lowercase())
}

fn addresses<'m>(list: Option<&'m Address<'_>>) -> impl Iterator<Item = String> + 'm {
    let all = list.into_iter().flat_map(|list| list.iter());
    all.filter_map(|one| one.address.as_deref()).map(|one| folded(one).to_lowercase())
}

fn ids(message: &Message<'_>) -> Vec<String> {
    let own = message.message_id().map(str::to_owned);
    let texts = |value: &HeaderValue<'_>| -> Vec<String> {
        match value {
            HeaderValue::Text(one) => vec![one.to_string()],
            HeaderValue::TextList(all) => {
                all.iter().take(REFERENCES_MAX).map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    };
    let mut ids: Vec<String> = own.into_iter().collect();
    ids.extend(texts(message.in_reply_to()));
    ids.extend(texts(message.references()));
    ids
}

/// All bodies that are for reading, and what is wrong with them.
fn body(message: &Message<'_>) -> (String, Option<String>) {
    let mut text = String::new();
    for at in 0..message.text_body_count().min(100) {
        if let Some(part) = message.body_text(at) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&part);
        }
        if text.len() > BODY_MAX {
            text.truncate(text.floor_char_boundary(BODY_MAX));
            return (text, Some("it is very long; its beginning was read".to_owned()));
        }
    }
    let broken = message.parts.iter().any(|part| part.is_encoding_problem);
    (text, broken.then(|| "a part of it cannot be decoded".to_owned()))
}

fn attachments(message: &Message<'_>) -> Vec<String> {
    message
        .attachments()
        .take(100)
        .map(|part| match part.attachment_name() {
            Some(name) => folded(name),
            None => part.content_type().map_or("without a name".to_owned(), |kind| {
                folded(&format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("?")))
            }),
        })
        .collect()
}

/// What is new in a body: quoted lines, quoted messages and the signature left out.
pub(crate) fn new_text(body: &str) -> String {
    let (intro, signature) = &*MARKS;
    let mut kept: Vec<&str> = Vec::new();
    let lines: Vec<&str> = body.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let plain = line.trim();
        // "On Monday, 2 March 2026, Ada\nLovelace wrote:"
        let next = lines.get(at + 1).map_or("", |next| next.trim());
        let broken = format!("{plain} {next}");
        let intros = intro.is_match(plain)
            || plain.len() > 20 && !next.is_empty() && intro.is_match(&broken);
        let quoted_below =
            lines.iter().skip(at + 1).take(4).any(|line| line.trim_start().starts_with('>'));
        let ends = signature.is_match(plain)
            || intros && (quoted_below || plain.starts_with(['-', '_']) || at > 0);
        if ends && !(intros && quoted_below) {
            break;
        }
        if plain.starts_with('>') || intros && quoted_below {
            continue;
        }
        kept.push(line);
    }
    kept.join("\n").trim().to_owned()
}

/// Days from the day of a message on that its text names, each once.
pub(crate) fn coming(text: &str, day: Option<Date>) -> Vec<String> {
    let order = date::order_of([text]);
    let mut days: Vec<Date> = date::find(text, order)
        .into_iter()
        .filter_map(|found| found.date)
        .filter(|named| day.is_none_or(|day| *named >= day))
        .collect();
    days.sort_unstable();
    days.dedup();
    days.iter().take(10).map(Date::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "From: =?ISO-8859-1?Q?J=FCrgen_M=FCller?= <J@x.example>\r\n\
        To: me@y.example\r\nDate: Mon, 9 Mar 2026 09:30:00 +0100\r\n\
        Subject: Re: =?UTF-8?B?S8O8Y2hl?=\r\nMessage-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\n";

    #[test]
    fn a_message_is_taken_apart() {
        let text = format!(
            "{BASE}Content-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nS/xjaGUgaXN0IGRhLg==\r\n"
        );
        let mail = read(text.as_bytes()).unwrap();
        assert_eq!(mail.from, "Jürgen Müller");
        assert_eq!((mail.address.as_str(), mail.time.as_str()), ("j@x.example", "09:30"));
        assert_eq!(mail.day.unwrap().to_string(), "2026-03-09");
        assert_eq!((mail.subject.as_str(), mail.topic.as_str()), ("Re: Küche", "küche"));
        assert_eq!(mail.ids, ["b@x", "a@x"]);
        assert_eq!(mail.text, "Küche ist da.");
    }

    #[test]
    fn attachments_are_named() {
        let text = format!(
            "{BASE}Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\nSee there.\r\n--q\r\n\
             Content-Type: application/pdf; name=\"offer.pdf\"\r\nContent-Disposition: attachment; filename=\"offer.pdf\"\r\n\r\nx\r\n--q--\r\n"
        );
        let mail = read(text.as_bytes()).unwrap();
        assert_eq!(
            (mail.attachments, mail.text.as_str()),
            (vec!["offer.pdf".to_owned()], "See there.")
        );
    }

    #[test]
    fn what_is_no_message_says_so() {
        assert!(read(b"").is_err() && read(b"just words, no header\n\nmore").is_err());
        let old = read(b"Subject: Gr\xFC\xDFe\nFrom: a@x\n\nHello.").unwrap();
        assert_eq!(old.subject, "Grüße");
        let mail = read(b"Subject: only this\n\nHello.").unwrap();
        assert_eq!((mail.from.as_str(), mail.day), ("(unknown sender)", None));
    }

    #[test]
    fn an_mbox_is_split_where_messages_begin() {
        let mbox = b"From a@x Mon\nSubject: 1\n\nHi\n>From here on\nFrom the middle\n\nFrom b@x Tue\nSubject: 2\n\nHo\n";
        let all = split(mbox);
        assert_eq!(all.len(), 2);
        assert!(String::from_utf8_lossy(&all[0]).contains("\nFrom here on\nFrom the middle"));
        assert_eq!(split(b"\n\n").len(), 0);
    }

    #[test]
    fn kinds_are_told_by_name_and_beginning() {
        assert_eq!(kind("a/b.eml", b""), Some(Kind::Single));
        assert_eq!(kind("Maildir/cur/1.x:2,S", b"Subject"), Some(Kind::Single));
        assert_eq!(kind("inbox", b"From a@x Mon"), Some(Kind::Mbox));
        assert_eq!(kind("notes.md", b"# From"), None);
    }

    #[test]
    fn only_what_is_new_is_kept() {
        let check = |body: &str, expect: &str| assert_eq!(new_text(body), expect, "{body:?}");
        check("Yes, fine.\n\nOn Mon, Ada wrote:\n> Shall we?\n> Yes?\n", "Yes, fine.");
        check("Ja.\n\nAm 9. März 2026 schrieb Ada <a@x>:\n\n> Wollen wir?\n", "Ja.");
        check("Top.\n-- \nAda\nTel. 1", "Top.");
        check("> Shall we?\nYes.\n> And then?\nNo.", "Yes.\nNo.");
        check("See below.\n-----Original Message-----\nFrom: x\nOld", "See below.");
        check(
            "On Monday, 2 March 2026 at 10:00,\nAda Lovelace wrote:\n> Hm\nNew below.",
            "New below.",
        );
    }

    #[test]
    fn days_to_come_are_named_once() {
        let text = "Until 2026-03-12, latest 12 March 2026; not 2026-01-01.";
        assert_eq!(coming(text, Some(jiff::civil::date(2026, 3, 9))), ["2026-03-12"]);
    }
}
