//! `summarise`: the sentences of each file that say most, word for word, on one
//! page with a link to every file. With a language model a file's sentences may
//! stand there in its words, where each fact of them holds; the sentences stay in
//! the record, and the page names their places.

use crate::args::{Files, parse};
use crate::data::format::{self, Format};
use crate::data::quote::{self, counted};
use crate::data::text::numbered;
use crate::data::{code, language, mail};
use crate::sources::{self, Source, Sources, unexcerpted, with_unread};
use crate::tool::{Tool, object, spec};
use crate::workspace::Workspace;
use crate::writer::{Writer, Written};
use charter::effect::EffectClass;
use charter::excerpt::{Excerpts, Form};
use charter::generate::Generate;
use charter::tool::{Call, Limits, Prepared, ToolError, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The tool.
pub(crate) struct Summarise {
    pub(crate) excerpts: Arc<dyn Excerpts>,
    pub(crate) model: Option<Arc<dyn Generate>>,
}

/// How long a call may take: a model thinks for seconds about each file.
const WALL_MS: u64 = 600_000;

/// Its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    pub(crate) files: Files,
    #[serde(default = "three")]
    pub(crate) sentences: usize,
    #[serde(default)]
    pub(crate) page: String,
    #[serde(default = "summaries")]
    pub(crate) title: String,
}

fn three() -> usize {
    3
}

fn summaries() -> String {
    "Summaries".to_owned()
}

impl Tool for Summarise {
    fn spec(&self) -> ToolSpec {
        let plain = spec(
            "summarise",
            EffectClass::Read,
            "Sums up each file in the sentences that say most, on one page with links.",
            object(
                &["files"],
                json!({
                    "files": Files::schema(),
                    "sentences": {"type": "integer", "minimum": 1, "maximum": 5, "default": 3, "description": "most sentences per file"},
                    "page": {"type": "string", "description": "path of the file that the text is for; links are relative to it"},
                    "title": {"type": "string", "minLength": 1, "default": "Summaries"},
                }),
            ),
            "rows: [{file, title, about, quotes: [{quote, line or page}]}] one per file with words and, by a language model, {gist: {text, model}} or {why} not, count, how (in whose words), text (Markdown), searched, empty: [files without words], unread: [{file, why}], made: [pages put together from other files, which are no source], binary, skipped_secrets",
            "Reads only; repeating is safe.",
        );
        ToolSpec {
            version: 2,
            limits: Limits { wall_ms: WALL_MS, ..plain.limits },
            asks_model: self.model.is_some(),
            ..plain
        }
    }

    fn prepare(&self, call: &Call, workspace: &Workspace) -> Result<Prepared, ToolError> {
        let args: Args = parse(&call.args)?;
        let mut writer = Writer::new(self.model.as_deref(), workspace, call);
        let mut write = |source: &Source, quotes: &[Value]| writer.write(&source.title, quotes);
        let output = gather(&args, workspace, &*self.excerpts, &mut write)?;
        Ok(Prepared::output(output, call.label))
    }
}

/// Puts the quotes of a file into other words.
pub(crate) type Write<'w> =
    &'w mut dyn FnMut(&Source, &[Value]) -> Result<Option<Written>, ToolError>;

/// The whole output.
pub(crate) fn gather(
    args: &Args,
    workspace: &Workspace,
    excerpts: &dyn Excerpts,
    write: Write<'_>,
) -> Result<Value, ToolError> {
    let found = sources::read(workspace, excerpts, &args.files)?;
    let mut rows = Vec::with_capacity(found.read.len());
    for source in &found.read {
        workspace.still_wanted()?;
        let (about, quotes) = of(source, args.sentences, excerpts)?;
        let mut row = json!({
            "file": source.path, "title": source.title, "about": about, "quotes": quotes,
        });
        // A table, a mailbox or code is told by what it is.
        let written = if about.is_empty() { write(source, &quotes)? } else { None };
        match written {
            Some(Ok(gist)) => row["gist"] = json!(gist),
            Some(Err(why)) => row["why"] = why.into(),
            None => {}
        }
        rows.push(row);
    }
    let text = render(args, &rows, &found);
    let output = json!({"count": rows.len(), "rows": rows, "text": text, "how": how(&rows)});
    Ok(with_unread(output, &found))
}

/// What a file is, and the sentences that say most of it.
pub(crate) fn of(
    source: &Source,
    limit: usize,
    excerpts: &dyn Excerpts,
) -> Result<(String, Vec<Value>), ToolError> {
    if source.form == Form::Plain {
        if let Some(mail) = mail(source) {
            return Ok((mail, Vec::new()));
        }
        if let Some(table) = table(source) {
            return Ok((table, Vec::new()));
        }
        let language = language::of(&source.path, &source.text);
        if let Some(language) = language.filter(|language| !language.style.prose) {
            let lines = source.text.lines().count();
            let about = format!("{}, {}", language.name, counted(lines, "line"));
            return Ok((about, comments(source, language, limit)));
        }
    }
    let prose = source.prose();
    let chosen = excerpts.summary(&prose, limit).map_err(|error| unexcerpted(&error))?;
    let mut quotes: Vec<Value> = chosen.iter().filter_map(|one| source.quote(one.span)).collect();
    if quotes.is_empty() {
        // Too short for a choice: what stands there, headings left out.
        let all = excerpts.sentences(&prose).into_iter();
        let plain = all.filter(|span| {
            let start = usize::try_from(span.start).unwrap_or(usize::MAX);
            !prose.get(start..).is_some_and(|rest| rest.starts_with('#'))
        });
        quotes = plain.filter_map(|span| source.quote(span)).take(limit).collect();
    }
    Ok((String::new(), quotes))
}

/// What a file with mail holds, in words.
fn mail(source: &Source) -> Option<String> {
    let bytes = source.text.as_bytes();
    Some(match mail::kind(&source.path, bytes)? {
        mail::Kind::Mbox => {
            format!("mailbox with {}", counted(mail::split(bytes).len(), "message"))
        }
        mail::Kind::Single => match mail::read(bytes) {
            Ok(mail) => format!("mail from {}: {}", mail.from, mail.subject),
            Err(why) => format!("mail that cannot be read: {why}"),
        },
    })
}

/// Rows and columns of a table, in words.
fn table(source: &Source) -> Option<String> {
    let format = Format::of(&source.path).filter(|f| matches!(f, Format::Csv | Format::Tsv))?;
    let table = format::parse_table(format, &source.text).ok()?;
    let columns: Vec<String> = (0..table.columns.len()).map(|at| table.name(at)).collect();
    let rows = counted(table.rows.len(), "row");
    Some(quote::folded(&format!("table of {rows}: {}", columns.join(", "))))
}

/// The first comments of a source file that are sentences.
fn comments(source: &Source, language: &language::Language, limit: usize) -> Vec<Value> {
    /// Words of a comment that tells something.
    const WORDS_MIN: usize = 3;
    let lines = code::scan(&source.text, &language.style);
    let said = lines.iter().zip(numbered(&source.text)).filter(|(line, _)| !line.code);
    said.flat_map(|(line, (number, _))| {
        line.comments.iter().map(move |comment| {
            let marks = ['/', '!', '*', '#', '-', ' ', '\t'];
            (number, quote::folded(comment.trim_matches(marks)))
        })
    })
    .filter(|(_, words)| {
        words.split(' ').filter(|w| w.chars().any(char::is_alphabetic)).count() >= WORDS_MIN
    })
    .map(|(line, quote)| json!({"quote": quote, "line": line}))
    .take(limit)
    .collect()
}

/// The text of a row's gist, and whose words it is in.
fn gist(row: &Value) -> Option<(&str, &str)> {
    let gist = row.get("gist")?;
    Some((gist.get("text")?.as_str()?, gist.get("model")?.as_str()?))
}

/// In whose words the files are summed up, for people.
fn how(rows: &[Value]) -> String {
    let own = "in their own sentences";
    let written: Vec<(&str, &str)> = rows.iter().filter_map(gist).collect();
    match (written.first(), rows.len() - written.len()) {
        (None, _) => own.to_owned(),
        (Some((_, model)), 0) => format!("in the words of the language model {model}"),
        (Some((_, model)), rest) => {
            let count = written.len();
            format!("in the words of the language model {model} ({count}) and {own} ({rest})")
        }
    }
}

/// Where quotes stand: `Lines 1, 6 and 9.`; nothing where places have no numbers.
fn places(quotes: &[Value]) -> Option<String> {
    let name = if quotes.iter().any(|row| row.get("page").is_some()) { "page" } else { "line" };
    let mut numbers: Vec<u64> = quotes.iter().filter_map(|row| row.get(name)?.as_u64()).collect();
    numbers.dedup();
    let (last, before) = numbers.split_last()?;
    let before: Vec<String> = before.iter().map(u64::to_string).collect();
    let name = if name == "page" { "Page" } else { "Line" };
    Some(match before.as_slice() {
        [] => format!("{name} {last}."),
        all => format!("{name}s {} and {last}.", all.join(", ")),
    })
}

/// The page.
pub(crate) fn render(args: &Args, rows: &[Value], found: &Sources) -> String {
    let mut blocks = vec![format!("# {}", quote::folded(&args.title))];
    let left = found.empty.len() + found.unread.len();
    blocks.push(match left {
        0 => format!("{}.", counted(rows.len(), "file")),
        _ => format!("{} of {}.", counted(rows.len(), "file"), rows.len() + left),
    });
    if rows.iter().any(|row| gist(row).is_some()) {
        blocks.push(format!(
            "Summed up {}. Each figure, name, date and quotation of the model stands in the lines \
             that are named; whether they mean what it says was not checked.",
            how(rows)
        ));
    }
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        blocks.push(format!("## {}", quote::linked(text("title"), &args.page, text("file"))));
        if !text("about").is_empty() {
            blocks.push(text("about").to_owned());
        }
        let quotes = row.get("quotes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if let Some((words, _)) = gist(row) {
            blocks.push(words.to_owned());
            blocks.extend(places(quotes));
            continue;
        }
        let lines: Vec<String> = quotes.iter().map(quote::quoted).collect();
        if !lines.is_empty() {
            blocks.push(lines.join("\n>\n"));
        }
    }
    if !found.empty.is_empty() {
        let links = found.empty.iter().map(|file| quote::linked(file, &args.page, file));
        blocks.push(format!("Without words: {}", links.collect::<Vec<_>>().join(", ")));
    }
    blocks.extend(quote::unread(&found.unread, &args.page));
    quote::page(blocks, &args.page)
}

#[cfg(test)]
mod tests {
    use crate::testing::Desk;
    use charter::generate::{Ask, Ended, Generate, GenerateError, Generated, Shape};
    use serde_json::json;
    use std::ops::ControlFlow;
    use std::sync::{Arc, Mutex};

    fn desk() -> Desk {
        let desk = Desk::new(&[
            (
                "notes/kick off.md",
                "---\ntitle: Kick-off\n---\n# Start\n\nWe begin with the kitchen floor. The oak floor costs 2,300 euros. Ada calls the fitter.\n\n- The fitter comes on Monday at eight.\n",
            ),
            ("notes/empty.md", "\n"),
            (
                "notes/page.html",
                "<h1>Prices</h1><p>The oven costs 900 euros today. The sink costs 120 euros.</p>",
            ),
            ("notes/costs.csv", "item,euros\noven,900\nsink,120\n"),
            ("notes/tool.py", "# Adds up what the kitchen costs.\ntotal = 1\n"),
        ]);
        desk.put("notes/latin.txt", b"Der M\xFCller baut die K\xFCche am Montag ein.\n");
        desk.put("notes/photo.png", b"\x89PNG\0\0");
        desk
    }

    #[test]
    fn each_file_has_its_section() {
        let output =
            desk().verified("summarise", json!({"files": "notes", "page": "out/s.md"})).output;
        let text = output["text"].as_str().unwrap();
        for wanted in [
            "## [Kick-off](../notes/kick%20off.md)",
            "> The oak floor costs 2,300 euros. (line 6)",
            "## [Prices](../notes/page.html)",
            "table of 2 rows: item, euros",
            "> Adds up what the kitchen costs. (line 1)",
            "> Der Müller baut die Küche am Montag ein. (line 1)",
            "Without words: [notes/empty.md](../notes/empty.md)",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in {text}");
        }
        assert_eq!(output["count"], 5);
        assert_eq!(output["binary"], 1);
    }

    /// Says these texts, one after the other; then it is broken.
    struct Saying(Mutex<Vec<&'static str>>);

    impl Saying {
        fn new(says: &[&'static str]) -> Arc<Self> {
            Arc::new(Self(Mutex::new(says.iter().rev().copied().collect())))
        }
    }

    impl Generate for Saying {
        fn name(&self) -> &str {
            "saying.gguf"
        }

        fn context(&self) -> u32 {
            4_096
        }

        fn generate(
            &self,
            ask: &Ask,
            _: &mut dyn FnMut(&str) -> ControlFlow<()>,
        ) -> Result<Generated, GenerateError> {
            assert!(matches!(ask.shape, Shape::Json(_)));
            let says = self.0.lock().unwrap().pop();
            let model = "saying.gguf".to_owned();
            let text = says.ok_or(GenerateError::NotANumber { model })?;
            let text = json!({ "summary": text }).to_string();
            Ok(Generated {
                text,
                prompt_tokens: 1,
                tokens: 1,
                ended: Ended::Whole,
                logprobs: Vec::new(),
            })
        }
    }

    const TRUE: &str = "The floor is oak for 2,300 euros, and the fitter comes on Monday.";
    const FALSE: &str = "The floor is oak for 2,500 euros, and the fitter comes on Monday.";

    #[test]
    fn a_model_writes_and_its_facts_hold() {
        let args = json!({"files": "notes/kick off.md", "page": "out/s.md"});
        let desk = desk().thinking(Saying::new(&[TRUE]));
        let honest = desk.verified("summarise", args);
        let row = &honest.output["rows"][0];
        assert_eq!(row["gist"], json!({"text": TRUE, "model": "saying.gguf"}));
        assert_eq!(honest.output["how"], "in the words of the language model saying.gguf");
        let text = honest.output["text"].as_str().unwrap();
        assert!(text.contains(&format!("{TRUE}\n\nLines 6 and 8.")), "{text}");
        assert!(!text.contains("> ") && text.contains("(../notes/kick%20off.md)"), "{text}");
        let lie = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut subject = honest.clone();
            edit(&mut subject.output);
            desk.failed(&subject);
        };
        let both = |output: &mut serde_json::Value, words: &str| {
            output["rows"][0]["gist"]["text"] = words.into();
            output["text"] = output["text"].as_str().unwrap().replace(TRUE, words).into();
        };
        lie(&|output| both(output, FALSE));
        lie(&|output| both(output, "The fitter comes for the floor [here](http://evil)."));
        lie(&|output| output["rows"][0]["gist"]["text"] = "".into());
        lie(&|output| output["rows"][0]["quotes"] = json!([]));
        lie(&|output| output["how"] = "in their own sentences".into());
        lie(&|output| output["rows"][0]["gist"] = "words".into());
        desk.put("notes/kick off.md", b"We begin with the floor. It costs 100 euros. Bob comes.\n");
        desk.failed(&honest);
    }

    #[test]
    fn where_a_model_errs_the_sentences_stand() {
        let desk = desk().thinking(Saying::new(&[FALSE, "The oven and the sink cost euros."]));
        let output = desk.verified("summarise", json!({"files": "notes"})).output;
        assert_eq!(output["rows"][1]["why"], "\"2,500\" stands in none of the sentences");
        assert_eq!(output["rows"][3]["gist"]["text"], "The oven and the sink cost euros.");
        let how =
            "in the words of the language model saying.gguf (1) and in their own sentences (4)";
        assert_eq!(output["how"], how);
        let broken = self::desk().thinking(Saying::new(&[]));
        let output = broken.verified("summarise", json!({"files": "notes"})).output;
        let why = output["rows"][3]["why"].as_str().unwrap();
        assert!(why.contains("no number") && output["rows"][0]["why"].is_null(), "{output:#}");
        assert_eq!(output["how"], "in their own sentences");
        let without = self::desk().verified("summarise", json!({"files": "notes"})).output;
        assert_eq!(output["text"], without["text"]);
    }

    #[test]
    fn lies_are_found() {
        let desk = desk();
        let honest = desk.verified("summarise", json!({"files": "notes"}));
        let lie = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut subject = honest.clone();
            edit(&mut subject.output);
            desk.failed(&subject);
        };
        lie(&|output| *output = json!({}));
        lie(&|output| output["text"] = "".into());
        lie(&|output| {
            output["rows"].as_array_mut().unwrap().pop();
            output["count"] = 4.into();
        });
        lie(&|output| output["rows"][1]["quotes"][0]["quote"] = "The floor is free.".into());
        lie(&|output| output["rows"][1]["quotes"] = json!([]));
        lie(&|output| output["empty"] = json!([]));
        lie(&|output| {
            output["text"] = output["text"].as_str().unwrap().replace("2,300", "300").into()
        });
        desk.put("notes/costs.csv", b"item,euros\noven,900\n");
        desk.failed(&honest);
    }
}
