//! What tests of tools and checks share: a real folder, and a call carried
//! through as a worker would.

use crate::apply::apply;
use crate::checks;
use crate::tool::Tool;
use crate::tools;
use crate::workspace::Workspace;
use charter::budget::Meter;
use charter::check::{Outcome, Subject, Verdict};
use charter::excerpt::{Excerpt, Excerpts, Form, Unexcerpted, Unreadable, Words};
use charter::generate::Generate;
use charter::label::Label;
use charter::memory::Span;
use charter::tool::{Call, Cancel, Limits, Prepared, Proposed, ToolError};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A workspace on disk that goes away with the test.
pub(crate) struct Desk {
    dir: tempfile::TempDir,
    model: Option<Arc<dyn Generate>>,
}

impl Desk {
    /// With these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap(), model: None };
        for (path, text) in files {
            desk.put(path, text.as_bytes());
        }
        desk
    }

    /// With a language model.
    pub(crate) fn thinking(self, model: Arc<dyn Generate>) -> Self {
        Self { model: Some(model), ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Absolute path of a file.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> String {
        String::from_utf8(std::fs::read(self.at(path)).unwrap()).unwrap()
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::open(self.dir.path()).unwrap()
    }

    pub(crate) fn call(&self, tool: &str, args: Value) -> Call {
        Call {
            tool: tool.to_owned(),
            version: 1,
            args,
            label: Label::TRUSTED,
            workspace: self.dir.path().to_owned(),
            limits: Limits::default(),
            secrets_allowed: false,
            now: 1_750_000_000_000,
            cancel: Cancel::default(),
            meter: Meter::default(),
        }
    }

    fn tool(&self, name: &str) -> Box<dyn Tool> {
        let excerpts: Arc<dyn Excerpts> = Arc::new(Plain);
        let quoting = tools::that_quote(&excerpts, self.model.clone());
        let mut all = tools::all().into_iter().chain(quoting);
        all.find(|tool| tool.spec().name == name).unwrap()
    }

    /// What a call finds and proposes.
    pub(crate) fn prepare(&self, tool: &str, args: Value) -> Result<Prepared, ToolError> {
        self.tool(tool).prepare(&self.call(tool, args), &self.workspace())
    }

    /// What the check of a result will look at.
    pub(crate) fn subject(
        &self,
        tool: &str,
        args: Value,
        output: Value,
        changes: Vec<Proposed>,
    ) -> Subject {
        Subject {
            tool: tool.to_owned(),
            args,
            output,
            changes,
            workspace: self.dir.path().to_owned(),
            label: Label::TRUSTED,
            secrets_allowed: false,
            since: 0,
            cancel: Cancel::default(),
            meter: Meter::default(),
        }
    }

    /// Prepares and carries out; what a check would look at.
    pub(crate) fn done(&self, tool: &str, args: Value) -> Subject {
        let prepared = self.prepare(tool, args.clone()).unwrap();
        for proposed in &prepared.changes {
            apply(&self.workspace(), proposed).unwrap();
        }
        self.subject(tool, args, prepared.output, prepared.changes)
    }

    /// The verdicts of the registered check.
    pub(crate) fn check(&self, subject: &Subject) -> Vec<Verdict> {
        match checks::of_quotes(&subject.tool) {
            Some(check) => check(subject, &self.workspace(), &Plain),
            None => checks::of(&subject.tool).unwrap()(subject, &self.workspace()),
        }
    }

    /// Carries a call out and expects that its check verifies it.
    pub(crate) fn verified(&self, tool: &str, args: Value) -> Subject {
        let subject = self.done(tool, args);
        let verdicts = self.check(&subject);
        assert!(
            verdicts.iter().all(|verdict| verdict.outcome == Outcome::Verified),
            "{verdicts:#?}"
        );
        assert!(!verdicts.is_empty());
        subject
    }

    /// Expects that the check fails a changed result.
    pub(crate) fn failed(&self, subject: &Subject) {
        let verdicts = self.check(subject);
        assert!(verdicts.iter().any(|verdict| verdict.outcome == Outcome::Failed), "{verdicts:#?}");
    }
}

/// A plain reader: a sentence ends at its full stop or with its line, the longest
/// say most, and those about a topic hold one of its words.
pub(crate) struct Plain;

fn sentence_words(text: &str, span: Span) -> Vec<String> {
    let words = &text[span.start as usize..span.end as usize];
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3);
    words.map(str::to_lowercase).collect()
}

impl Excerpts for Plain {
    fn words(&self, name: &str, bytes: &[u8]) -> Result<Words, Unreadable> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Unreadable::Empty);
        }
        if bytes.contains(&0) {
            return Err(Unreadable::NoText);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        };
        if !name.ends_with(".html") {
            return Ok(Words { text, form: Form::Plain });
        }
        let mut page = String::new();
        for part in text.replace("<h1>", "<># ").split('<') {
            page.push_str(part.split_once('>').map_or(part, |(_, words)| words));
            page.push('\n');
        }
        Ok(Words { text: page.trim_start().to_owned(), form: Form::Html })
    }

    fn sentences(&self, text: &str) -> Vec<Span> {
        let (mut spans, mut start) = (Vec::new(), 0);
        for (at, c) in text.char_indices() {
            let full_stop = c == '.' && text[at + 1..].starts_with([' ', '\n']);
            if c == '\n' || full_stop {
                spans.push(Span { start, end: (at + 1) as u64 });
                start = (at + 1) as u64;
            }
        }
        spans.push(Span { start, end: text.len() as u64 });
        spans.retain(|span| !text[span.start as usize..span.end as usize].trim().is_empty());
        for span in &mut spans {
            let words = &text[span.start as usize..span.end as usize];
            span.start += (words.len() - words.trim_start().len()) as u64;
            span.end -= (words.len() - words.trim_end().len()) as u64;
        }
        spans
    }

    fn share(&self, topic: &str, text: &str) -> f32 {
        let whole = |text: &str| Span { start: 0, end: text.len() as u64 };
        let topic = sentence_words(topic, whole(topic));
        let found = sentence_words(text, whole(text));
        let met = topic.iter().filter(|word| found.contains(word)).count();
        met as f32 / topic.len().max(1) as f32
    }

    fn summary(&self, text: &str, limit: usize) -> Result<Vec<Excerpt>, Unexcerpted> {
        let mut all = self.sentences(text);
        all.retain(|span| !text[span.start as usize..].starts_with('#'));
        all.sort_by_key(|span| std::cmp::Reverse(span.end - span.start));
        all.truncate(limit);
        all.sort_by_key(|span| span.start);
        Ok(all.into_iter().map(|span| Excerpt { text: 0, span }).collect())
    }

    fn about(
        &self,
        topic: &str,
        texts: &[&str],
        limit: usize,
    ) -> Result<Vec<Excerpt>, Unexcerpted> {
        let wanted = sentence_words(topic, Span { start: 0, end: topic.len() as u64 });
        let of = |(text, words): (usize, &&str)| {
            let all = self.sentences(words).into_iter();
            let said = all.filter(|span| !words[span.start as usize..].starts_with('#'));
            let said = said.filter(|span| {
                sentence_words(words, *span).iter().any(|word| wanted.contains(word))
            });
            said.take(limit).map(move |span| Excerpt { text, span }).collect::<Vec<_>>()
        };
        Ok(texts.iter().enumerate().flat_map(of).collect())
    }
}
