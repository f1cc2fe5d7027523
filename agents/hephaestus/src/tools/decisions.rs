//! `decisions`: what was decided, when, and where it stands; what was replaced
//! later is marked.

use crate::args::{Files, parse};
use crate::data::date;
use crate::data::decisions::{self, Days};
use crate::data::quote::{self, counted};
use crate::error::arguments;
use crate::sources::{self, Source, Sources, with_unread};
use crate::tool::{Tool, object, spec};
use crate::workspace::Workspace;
use charter::effect::EffectClass;
use charter::excerpt::Excerpts;
use charter::memory::Span;
use charter::tool::{Call, Prepared, ToolError, ToolSpec};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Share of a topic's words that a decision needs, its headings included.
const TOPIC: f32 = 0.6;
/// The same for one that speaks of the topic only together with its headings.
const WHOLE: f32 = 0.9;
/// Share of their words from which two decisions are about one thing.
const SAME: f32 = 0.6;
/// The same where the later one says that it replaces something.
const REPLACED: f32 = 0.15;

/// The tool.
pub(crate) struct Decisions(pub(crate) Arc<dyn Excerpts>);

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    pub(crate) topic: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    #[serde(default)]
    pub(crate) page: String,
}

/// The time of which decisions are wanted.
#[derive(Debug, Clone, Copy)]
struct Time {
    since: Option<Date>,
    until: Option<Date>,
}

impl Time {
    fn of(args: &Args) -> Result<Self, ToolError> {
        let day = |name: &str, said: &Option<String>| match said {
            None => Ok(None),
            Some(said) => said.parse::<Date>().map(Some).map_err(|_| {
                arguments(format!("{name}: {said:?} is no date")).hint("write it like 2026-11-05")
            }),
        };
        Ok(Self { since: day("since", &args.since)?, until: day("until", &args.until)? })
    }

    fn is_bounded(self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// Whether a decision of this day is wanted; one without a day is not, where
    /// only those of some time are.
    fn holds(self, day: &str) -> bool {
        match day.parse::<Date>() {
            Ok(day) => {
                self.since.is_none_or(|since| day >= since)
                    && self.until.is_none_or(|until| day <= until)
            }
            Err(_) => !self.is_bounded(),
        }
    }
}

impl Tool for Decisions {
    fn spec(&self) -> ToolSpec {
        spec(
            "decisions",
            EffectClass::Read,
            "Lists decisions with their dates and sources, the newest last.",
            object(
                &["files"],
                json!({
                    "files": Files::schema(),
                    "topic": {"type": "string", "minLength": 1, "maxLength": 500, "description": "only those about it"},
                    "since": {"type": "string", "format": "date", "description": "only those of this day or later"},
                    "until": {"type": "string", "format": "date", "description": "only those of this day or earlier"},
                    "page": {"type": "string", "description": "path of the file that the text is for; links are relative to it"},
                }),
            ),
            "rows: [{date or empty, file, title, quote, line or page, heading above it, replaced_by: place or empty}] the newest last, count, sources (number of files quoted), text (Markdown), searched, empty, unread: [{file, why}], made: [pages put together from other files, which are no source], binary, skipped_secrets",
            "Reads only; repeating is safe.",
        )
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        Ok(Prepared::output(gather(&args, workspace, &*self.0)?, call.label))
    }
}

/// The whole output.
pub(crate) fn gather(
    args: &Args,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
) -> Result<Value, ToolError> {
    let time = Time::of(args)?;
    let found = sources::read(workspace, excerpts, &args.files)?;
    let mut all: Vec<Decision> = Vec::new();
    for source in &found.read {
        workspace.still_wanted()?;
        all.extend(of(source, args.topic.as_deref(), excerpts));
    }
    // Those without a date come first: nobody can tell whether they still hold.
    all.sort_by(|a, b| text(&a.row, "date").cmp(text(&b.row, "date")));
    mark(&mut all, args.topic.as_deref(), excerpts);
    // What replaces another is known from all of them.
    all.retain(|one| one.wanted && time.holds(text(&one.row, "date")));
    let rows: Vec<Value> = all.into_iter().map(|one| one.row).collect();
    let mut files: Vec<&str> = rows.iter().map(|row| text(row, "file")).collect();
    files.sort_unstable();
    files.dedup();
    let text = render(args, time, &rows, &found);
    let output = json!({"count": rows.len(), "sources": files.len(), "rows": rows, "text": text});
    Ok(with_unread(output, &found))
}

fn text<'v>(row: &'v Value, name: &str) -> &'v str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A decision that was found.
struct Decision {
    row: Value,
    /// Whether it is about the topic, or replaces one that is.
    wanted: bool,
}

/// The decisions of one text.
fn of(source: &Source, topic: Option<&str>, excerpts: &dyn Excerpts) -> Vec<Decision> {
    let prose = source.prose();
    let order = date::order_of([source.text.as_str()]);
    let front = decisions::head(&source.text);
    let mut headings: Vec<(usize, String)> = Vec::new();
    let mut found = Vec::new();
    for span in excerpts.sentences(&prose) {
        let Some(words) = slice(&prose, span) else { continue };
        let level = words.len() - words.trim_start_matches('#').len();
        if level > 0 {
            headings.retain(|(above, _)| *above < level);
            let heading = words.trim_start_matches('#').trim();
            headings.push((level, heading.to_owned()));
            continue;
        }
        let under: Vec<&str> = headings.iter().rev().map(|(_, text)| text.as_str()).collect();
        let Some(mut row) = source.quote(span) else { continue };
        let sentence = text(&row, "quote").to_owned();
        if !decisions::states(&sentence, under.first().copied().unwrap_or_default()) {
            continue;
        }
        let wanted = topic.is_none_or(|topic| {
            // "Decisions" is no topic; "Kitchen" above it is.
            let above = under.iter().filter(|heading| !decisions::is_heading(heading));
            let context = above.fold(format!("{sentence} {}", source.title), |all, heading| {
                format!("{all} {heading}")
            });
            excerpts.share(topic, &sentence) >= TOPIC || excerpts.share(topic, &context) >= WHOLE
        });
        let days = Days { headings: &under, front: &front, path: &source.path };
        let day = decisions::day(&sentence, days, order);
        row["date"] = day.map(|day| day.to_string()).unwrap_or_default().into();
        row["file"] = source.path.as_str().into();
        row["title"] = source.title.as_str().into();
        let heading = under.iter().find(|heading| !decisions::is_heading(heading));
        row["heading"] = heading.copied().unwrap_or_default().into();
        row["replaced_by"] = "".into();
        found.push(Decision { row, wanted });
    }
    found
}

fn slice(text: &str, span: Span) -> Option<&str> {
    text.get(usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?)
}

/// Marks what a later decision on the same thing replaces. The later one need not
/// name the topic: "we take tiles instead of the oak floor".
fn mark(all: &mut [Decision], topic: Option<&str>, excerpts: &dyn Excerpts) {
    /// Decisions that are compared with each other.
    const COMPARED: usize = 500;
    for later in 0..all.len().min(COMPARED) {
        let row = &all[later].row;
        let (sentence, day) = (text(row, "quote"), text(row, "date"));
        let says = decisions::says_it_replaces(sentence);
        let earlier = (0..later).rev().filter(|at| all[*at].wanted).find(|at| {
            let other = &all[*at].row;
            let words = text(other, "quote");
            let is_before = !text(other, "date").is_empty() && text(other, "date") < day;
            let open = text(other, "replaced_by").is_empty();
            if !is_before || !open || words == sentence {
                return false;
            }
            let there = excerpts.share(words, sentence);
            let back = excerpts.share(sentence, words);
            let heading = text(other, "heading");
            let together = !heading.is_empty() && heading == text(row, "heading");
            let about = together
                || topic.is_some_and(|topic| {
                    excerpts.share(topic, words) >= TOPIC
                        && excerpts.share(topic, sentence) >= TOPIC
                });
            match says {
                true if about => there.max(back) >= REPLACED,
                true => there.max(back) >= 2.0 * REPLACED,
                false => there.min(back) >= SAME,
            }
        });
        if let Some(at) = earlier {
            let place = quote::place(row);
            let by = match place.is_empty() {
                true => text(row, "file").to_owned(),
                false => format!("{}, {place}", text(row, "file")),
            };
            all[at].row["replaced_by"] = by.into();
            all[later].wanted = true;
        }
    }
}

/// The page.
fn render(args: &Args, time: Time, rows: &[Value], found: &Sources) -> String {
    let topic = args.topic.as_deref().map(quote::folded);
    let title = match &topic {
        Some(topic) => format!("# Decisions: {topic}"),
        None => "# Decisions".to_owned(),
    };
    let files = counted(found.read.len(), "file");
    let mut blocks = vec![title];
    let when = match (time.since, time.until) {
        (Some(since), Some(until)) => format!(" of {since} to {until}"),
        (Some(since), None) => format!(" since {since}"),
        (None, Some(until)) => format!(" until {until}"),
        (None, None) => String::new(),
    };
    let undated = if time.is_bounded() { "; those without a date are left out" } else { "" };
    blocks.push(match (rows.len(), &topic) {
        (0, Some(topic)) => {
            format!("No decision{when} on \"{topic}\" stands in {files}{undated}.")
        }
        (0, None) => format!("No decision{when} stands in {files}{undated}."),
        (count, _) => {
            let count = counted(count, "decision");
            format!("{count}{when} from {files}, the newest last{undated}.")
        }
    });
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let day = match text(row, "date") {
                "" => "no date",
                day => day,
            };
            let file = quote::linked(text(row, "file"), &args.page, text(row, "file"));
            let place = match quote::place(row) {
                place if place.is_empty() => file,
                place => format!("{file}, {place}"),
            };
            let replaced = match text(row, "replaced_by") {
                "" => String::new(),
                by => format!(" *Replaced later: {by}.*"),
            };
            format!("- **{day}** {} ({place}){replaced}", text(row, "quote"))
        })
        .collect();
    if !lines.is_empty() {
        blocks.push(lines.join("\n"));
    }
    blocks.extend(quote::unread(&found.unread, &args.page));
    quote::page(blocks, &args.page)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use serde_json::json;

    fn desk() -> Desk {
        Desk::new(&[
            (
                "meetings/2026-01-12.md",
                "# Kitchen\n\nWe decided to lay an oak floor in the kitchen.\nThe cat was here.\n\n# Garden\n\n## Decisions\n\n- The fence stays green\n",
            ),
            (
                "meetings/2026-03-09.md",
                "# Kitchen\n\nWe decided to lay tiles instead of the oak floor in the kitchen.\nWhat did we decide about the oven?\n",
            ),
            ("ideas.txt", "The kitchen is dark.\n"),
        ])
    }

    #[test]
    fn decisions_have_dates_and_the_replaced_are_marked() {
        let args = json!({"files": ".", "topic": "kitchen floor"});
        let output = desk().verified("decisions", args).output;
        let text = output["text"].as_str().unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("- ")).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].contains("2026-01-12")
                && lines[0].contains("oak floor in the kitchen. ([meetings"),
            "{text}"
        );
        assert!(lines[0].contains("*Replaced later: meetings/2026-03-09.md, line 3.*"), "{text}");
        assert!(lines[1].contains("2026-03-09") && !lines[1].contains("Replaced"), "{text}");
    }

    #[test]
    fn what_replaces_one_on_the_topic_is_listed_without_naming_it() {
        let desk = Desk::new(&[
            ("2026-01-12.md", "# Kitchen\n\nWe decided to lay an oak floor.\n"),
            ("2026-03-09.md", "# Site\n\nWe decided to lay tiles instead of the oak floor.\n"),
            ("2026-04-01.md", "# Site\n\nWe decided to order a new roof.\n"),
        ]);
        let args = json!({"files": ".", "topic": "kitchen"});
        let output = desk.verified("decisions", args).output;
        let rows = output["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 2, "{output:#}");
        assert_eq!(rows[0]["replaced_by"], "2026-03-09.md, line 3");
        assert_eq!(rows[1]["file"], "2026-03-09.md");
    }

    #[test]
    fn without_a_topic_all_are_listed_and_nothing_is_said_plainly() {
        let output = desk().verified("decisions", json!({"files": "."})).output;
        assert_eq!((output["count"].as_u64(), output["sources"].as_u64()), (Some(3), Some(2)));
        let output = desk().verified("decisions", json!({"files": ".", "topic": "trumpet"})).output;
        assert!(
            output["text"]
                .as_str()
                .unwrap()
                .contains("No decision on \"trumpet\" stands in 3 files.")
        );
    }

    #[test]
    fn only_those_of_some_time_are_listed_and_what_replaced_them_is_known() {
        let check = |args: serde_json::Value, count: u64, says: &str| {
            let output = desk().verified("decisions", args).output;
            assert_eq!(output["count"].as_u64(), Some(count), "{output:#}");
            assert!(output["text"].as_str().unwrap().contains(says), "{output:#}");
        };
        check(
            json!({"files": ".", "since": "2026-02-01"}),
            1,
            "1 decision since 2026-02-01 from 3",
        );
        check(
            json!({"files": ".", "until": "2026-02-01"}),
            2,
            "*Replaced later: meetings/2026-03-09",
        );
        check(json!({"files": ".", "since": "2026-04-01"}), 0, "No decision since 2026-04-01");
    }

    #[test]
    fn lies_are_found() {
        let desk = desk();
        let honest = desk.verified("decisions", json!({"files": "."}));
        let lie = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut subject = honest.clone();
            edit(&mut subject.output);
            desk.failed(&subject);
        };
        lie(&|output| *output = json!({}));
        lie(&|output| {
            output["rows"].as_array_mut().unwrap().pop();
            output["count"] = 2.into();
        });
        lie(&|output| output["rows"][0]["date"] = "2026-01-13".into());
        lie(&|output| output["rows"][0]["quote"] = "We decided nothing.".into());
        lie(&|output| output["rows"][0]["replaced_by"] = "".into());
        lie(&|output| output["text"] = "# Decisions\n".into());
        desk.put("meetings/2026-04-01.md", b"We agreed to buy an oven.\n");
        desk.failed(&honest);
    }
}
