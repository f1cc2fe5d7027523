//! A wish read against a workspace: which of its words name files, folders, kinds
//! of files, days and numbers. Playbooks are not known here.

use crate::names::Names;
use crate::tables::Table;
use crate::words::dates::{self, Span};
use crate::words::fold::{distance, fold, typos_allowed};
use crate::words::numbers;
use crate::words::sentence::Sentence;
use crate::words::token::{Kind, tokens_around};
use crate::words::{Lexicon, Phrases};
use charter::survey::{Entry, Survey};
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// What some words of a wish name.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A file by name or path: as written, and the entries that it may be.
    Path {
        /// As it was written, without `./` and a final `/`.
        text: String,
        /// Entries of that path, or of that name.
        entries: Vec<usize>,
        /// Whether it was written as a folder.
        folder: bool,
    },
    /// A pattern of paths.
    Glob(String),
    /// An existing folder by its name in words.
    Folder(String),
    /// A kind of files: extensions.
    Files(Vec<String>),
    /// Days.
    Days(Span),
    /// A number.
    Number(Decimal),
    /// A quoted text.
    Quoted(String),
    /// An address of the web.
    Url,
}

/// Some words and what they name.
#[derive(Debug, Clone, PartialEq)]
pub struct Mention {
    /// What they name.
    pub what: What,
    /// First piece of the wish.
    pub from: usize,
    /// Piece after the last.
    pub to: usize,
}

/// A wish read against a workspace.
pub struct Reading<'a> {
    /// The wish.
    pub sentence: Sentence<'a>,
    /// What lies in the workspace.
    pub survey: &'a Survey,
    /// The day it is.
    pub today: Date,
    /// What words name, in order.
    pub mentions: Vec<Mention>,
    /// The tables, with their words.
    pub tables: Vec<Table<'a>>,
    /// The names of files and folders.
    pub names: Names,
    /// Entries with nearly the name of a file that is not there.
    near: BTreeMap<String, Vec<usize>>,
    /// The first two letters of each word of the wish.
    beginnings: HashSet<[char; 2]>,
}

impl<'a> Reading<'a> {
    /// Reads a wish.
    pub fn new(lexicon: &'a Lexicon, wish: &str, survey: &'a Survey, today: Date) -> Option<Self> {
        // A bare word may be the name of a folder and a word; a file without an
        // extension ("Makefile") is spelled exactly.
        let known = |text: &str| {
            let path = plain(text);
            survey.entries.iter().any(|entry| match path.contains(['/', '.']) {
                _ if text.ends_with('/') => entry.folder && entry.path == path,
                true => entry.path == path || name(&entry.path) == path,
                false => !entry.folder && name(&entry.path) == text && text.len() > 3,
            })
        };
        let tokens = tokens_around(wish, &known, &spaced(wish, survey));
        let sentence = Sentence::read_tokens(lexicon, wish, tokens)?;
        let beginnings = sentence.folded.iter().filter_map(|word| two(word)).collect();
        let mut reading = Self {
            names: Names::new(survey),
            tables: Table::all(&sentence, survey, &beginnings),
            sentence,
            survey,
            today,
            mentions: Vec::new(),
            near: BTreeMap::new(),
            beginnings,
        };
        reading.mentions = reading.find();
        let lost = reading.mentions.iter().filter_map(|mention| match &mention.what {
            What::Path { text, entries, .. } if entries.is_empty() => Some(text.clone()),
            _ => None,
        });
        reading.near = lost.map(|text| (text.clone(), reading.find_near(&text))).collect();
        Some(reading)
    }

    /// Whether a word of the wish may be this one or a form of it.
    pub fn may_say(&self, folded: &str) -> bool {
        two(folded).is_none_or(|beginning| self.beginnings.contains(&beginning))
    }

    fn find(&self) -> Vec<Mention> {
        let mut found: Vec<Mention> = Vec::new();
        for span in dates::spans(&self.sentence, self.today) {
            found.push(Mention { from: span.from, to: span.to, what: What::Days(span) });
        }
        let dated: Vec<Range<usize>> = found.iter().map(|m| m.from..m.to).collect();
        for i in 0..self.sentence.tokens.len() {
            if dated.iter().any(|range| range.contains(&i)) {
                continue;
            }
            if let Some((what, length)) = self.value_at(i) {
                found.push(Mention { what, from: i, to: i + length });
            }
        }
        let mut i = 0;
        while i < self.sentence.tokens.len() {
            if !self.sentence.tokens[i].is_word() || dated.iter().any(|r| r.contains(&i)) {
                i += 1;
                continue;
            }
            match self.folder_at(i, &found) {
                Some((folder, length)) => {
                    found.push(Mention { what: What::Folder(folder), from: i, to: i + length });
                    i += length;
                }
                None => match self.files_at(i).or_else(|| self.file_at(i, &found)) {
                    Some((what, length)) => {
                        found.push(Mention { what, from: i, to: i + length });
                        i += length;
                    }
                    None => i += 1,
                },
            }
        }
        found.sort_by_key(|mention| mention.from);
        found
    }

    fn value_at(&self, i: usize) -> Option<(What, usize)> {
        let token = &self.sentence.tokens[i];
        let what = match token.kind {
            Kind::Url => What::Url,
            Kind::Path => self.path(&token.text),
            Kind::Quoted => {
                let path = self.path(&token.text);
                match &path {
                    What::Path { entries, .. } if !entries.is_empty() => path,
                    What::Glob(_) if !token.text.contains(' ') => path,
                    _ if looks_like_file(&token.text) => path,
                    _ => What::Quoted(token.text.clone()),
                }
            }
            Kind::Number => {
                let comma = self.sentence.language.code != "en";
                What::Number(numbers::decimal(&token.text, comma)?)
            }
            _ => return None,
        };
        Some((what, 1))
    }

    fn path(&self, written: &str) -> What {
        let text = plain(written);
        if let Some(extension) = text.strip_prefix('.').filter(|e| !e.contains(['.', '/']))
            && self.sentence.lexicon.named_extensions(extension).is_some()
            && !self.survey.entries.iter().any(|entry| entry.path == text)
        {
            return What::Glob(format!("**/*.{extension}"));
        }
        if text.contains('*') {
            // Without a folder a pattern means files wherever they are.
            return What::Glob(if text.contains('/') { text } else { format!("**/{text}") });
        }
        let exact = self.survey.entries.iter().position(|entry| entry.path == text);
        let named = |same: &dyn Fn(&str) -> bool| -> Vec<usize> {
            let entries = self.survey.entries.iter().enumerate();
            entries.filter(|(_, e)| same(&e.path) || same(name(&e.path))).map(|(i, _)| i).collect()
        };
        let entries = match exact {
            Some(i) => vec![i],
            None if text.contains('/') => {
                let tail = format!("/{text}");
                named(&|path: &str| path.ends_with(&tail) || fold(path) == fold(&text))
            }
            None => {
                let same = named(&|path: &str| path == text);
                if same.is_empty() { named(&|path: &str| fold(path) == fold(&text)) } else { same }
            }
        };
        let folder = written.ends_with('/')
            || matches!(entries.as_slice(), [i] if self.survey.entries[*i].folder);
        What::Path { text, entries, folder }
    }

    /// A folder of the workspace that words name: next to a word for "folder", or
    /// behind a preposition.
    fn folder_at(&self, i: usize, before: &[Mention]) -> Option<(String, usize)> {
        let sentence = &self.sentence;
        let beside = |i: usize| sentence.means(i, "folder") && sentence.tokens[i].is_word();
        let next_to = |length: usize| {
            i + length < sentence.tokens.len() && beside(i + length)
                || self.skip_back(i).is_some_and(beside)
        };
        let mut best: Option<(usize, &Entry)> = None;
        let mut offer = |length: usize, entry: &'a Entry| {
            let better = best.is_none_or(|(longest, other)| {
                length > longest || length == longest && entry.path.len() < other.path.len()
            });
            if better {
                best = Some((length, entry));
            }
        };
        for e in self.names.beginning(&sentence.folded[i]) {
            let (entry, words) = (&self.survey.entries[*e], &self.names.entries[*e].words);
            let length = words.len();
            let spelled = sentence.folded.get(i..i + length) == Some(words.as_slice());
            // A name that is no word of its own needs nothing beside it.
            let plainly = || length == 1 && words[0].len() > 3 && self.is_no_word(i);
            if entry.folder
                && spelled
                && (next_to(length)
                    || self.introduced(i)
                    || self.listed(i, before)
                    || plainly()
                    || self.is_object(i, length))
            {
                offer(length, entry);
            }
        }
        // "the notes folder" in another language.
        let kind = |code: &str, word: &str| {
            let language = sentence.lexicon.language(code)?;
            let stem = language.stem(word);
            language.kinds.longest(&[stem], 0).map(|(kind, _)| kind.to_owned())
        };
        if next_to(1)
            && let Some(meant) = kind(sentence.language.code, &sentence.tokens[i].text)
        {
            for (entry, named) in self.survey.entries.iter().zip(&self.names.entries) {
                if let [word] = named.words.as_slice()
                    && entry.folder
                    && kind("en", word).as_ref() == Some(&meant)
                {
                    offer(1, entry);
                }
            }
        }
        best.map(|(length, entry)| (entry.path.clone(), length))
    }

    /// Whether the name of a folder stands between a verb and the end or "into"
    /// ("pack notes into n.zip"): the folder, and not all files of that kind.
    fn is_object(&self, i: usize, length: usize) -> bool {
        let sentence = &self.sentence;
        let verb = i.checked_sub(1).is_some_and(|at| {
            sentence.is_content(at) && !sentence.tokens[at].is_value() && at == 0
        });
        let end = i + length;
        let ends = end == sentence.tokens.len()
            || sentence.tokens.get(end).is_some_and(|t| t.kind == Kind::Mark)
            || sentence.language.into.longest(&sentence.folded, end).is_some();
        verb && ends && length == 1
    }

    /// Whether piece `i` is a word that is known of no language.
    fn is_no_word(&self, i: usize) -> bool {
        let sentence = &self.sentence;
        !sentence.is_stop(i)
            && !sentence.is_filler(i)
            && sentence.concepts[i].is_empty()
            && self.extensions_at(i).is_none()
    }

    /// Whether "and" or a comma joins piece `i` to a place that was named before it.
    pub fn listed(&self, i: usize, before: &[Mention]) -> bool {
        let sentence = &self.sentence;
        let joins = |at: usize| {
            sentence.language.join.longest(&sentence.folded, at).is_some()
                || sentence.tokens[at].text == ","
        };
        let mut at = i;
        for _ in 0..4 {
            let Some(earlier) = at.checked_sub(1) else { return false };
            if joins(earlier) {
                return before.iter().any(|m| {
                    m.to == earlier
                        && matches!(m.what, What::Path { .. } | What::Folder(_) | What::Files(_))
                });
            }
            if !sentence.is_stop(earlier) && !sentence.means(earlier, "folder") {
                return false;
            }
            at = earlier;
        }
        false
    }

    /// The piece before `i`, function words skipped.
    fn skip_back(&self, i: usize) -> Option<usize> {
        let mut at = i.checked_sub(1)?;
        for _ in 0..3 {
            let skipped = self.sentence.is_stop(at)
                || self.sentence.is_filler(at)
                || self.sentence.language.all.contains(&self.sentence.folded[at]);
            if !skipped {
                return Some(at);
            }
            at = at.checked_sub(1)?;
        }
        Some(at)
    }

    /// Whether a preposition of place stands before piece `i`.
    pub fn introduced(&self, i: usize) -> bool {
        let language = self.sentence.language;
        self.led_by(i, &language.at) || self.led_by(i, &language.into)
    }

    /// Whether a phrase of `list` stands before piece `i`, articles between.
    pub fn led_by(&self, i: usize, list: &Phrases) -> bool {
        self.lead(i, list).is_some()
    }

    /// Where a phrase of `list` stands before piece `i`, articles between.
    pub fn lead(&self, i: usize, list: &Phrases) -> Option<Range<usize>> {
        let sentence = &self.sentence;
        let mut at = i;
        for _ in 0..4 {
            at = at.checked_sub(1)?;
            if !sentence.tokens[at].is_word() {
                return None;
            }
            for start in (at.saturating_sub(2)..=at).rev() {
                let ends = list.all(&sentence.folded, start).any(|(_, l)| start + l == at + 1);
                if ends {
                    return Some(start..at + 1);
                }
            }
            let between = sentence.language.all.contains(&sentence.folded[at])
                || sentence.is_stop(at)
                || sentence.is_filler(at)
                || sentence.means(at, "folder")
                || sentence.means(at, "file");
            if !between {
                return None;
            }
        }
        None
    }

    /// A file that its name without the extension names, behind a preposition or in
    /// a list of such.
    fn file_at(&self, i: usize, before: &[Mention]) -> Option<(What, usize)> {
        let sentence = &self.sentence;
        let plainly = sentence.folded[i].len() > 4 && self.is_no_word(i);
        if sentence.is_stop(i) || !(self.introduced(i) || self.listed(i, before) || plainly) {
            return None;
        }
        let mut best: Option<(usize, Vec<usize>)> = None;
        for e in self.names.beginning(&sentence.folded[i]) {
            let (entry, words) = (&self.survey.entries[*e], &self.names.entries[*e].words);
            let length = words.len();
            let letters: usize = words.iter().map(String::len).sum();
            let there = !entry.folder
                && letters >= 4
                && sentence.folded.get(i..i + length) == Some(words.as_slice());
            match &mut best {
                _ if !there => {}
                Some((longest, entries)) if *longest == length => entries.push(*e),
                Some((longest, _)) if *longest > length => {}
                _ => best = Some((length, vec![*e])),
            }
        }
        let (length, entries) = best?;
        let text = sentence.words(i, i + length).to_owned();
        Some((What::Path { text, entries, folder: false }, length))
    }

    /// A kind of files that words name.
    fn files_at(&self, i: usize) -> Option<(What, usize)> {
        self.extensions_at(i).map(|(extensions, length)| (What::Files(extensions), length))
    }

    fn extensions_at(&self, i: usize) -> Option<(Vec<String>, usize)> {
        let sentence = &self.sentence;
        let lexicon = sentence.lexicon;
        let named = |at: usize| {
            let word = sentence.folded.get(at)?;
            lexicon.named_extensions(word).filter(|_| sentence.tokens[at].is_word())
        };
        if let Some(extensions) = named(i) {
            let noun = |at: usize| {
                sentence.tokens.get(at).is_some_and(|t| t.is_word())
                    && (sentence.means(at, "file")
                        || sentence.means(at, "code")
                        || sentence.means(at, "document")
                        || sentence.means(at, "note"))
            };
            if noun(i + 1) {
                return Some((extensions, 2));
            }
            // "los archivos csv", "les fichiers Python", "files of type csv"
            let counted = |at: usize| {
                lexicon.is_programming(&sentence.folded[i]) && sentence.means(at, "line")
            };
            let before = self.skip_back(i).is_some_and(|at| noun(at) || counted(at));
            let quantified = i
                .checked_sub(1)
                .is_some_and(|at| sentence.language.all.contains(&sentence.folded[at]));
            let plural = sentence.folded[i].ends_with('s')
                && sentence.tokens[i].text.chars().next().is_some_and(char::is_uppercase);
            // "lines of python, sql and css"
            let language = lexicon.is_programming(&sentence.folded[i])
                && self.led_by(i, &sentence.language.at);
            let listed = i.checked_sub(2).is_some_and(|at| {
                let joins = sentence.tokens[i - 1].text == ","
                    || sentence.language.join.longest(&sentence.folded, i - 1).is_some();
                joins && named(at).is_some() && self.extensions_at(at).is_some()
            });
            let into = self.led_by(i, &sentence.language.into);
            // "my keys" are no presentations unless there are some.
            let there = self.names.any_extension(&extensions);
            if before || quantified && !into && there || plural || language || listed {
                return Some((extensions, 1));
            }
        }
        let english = lexicon.languages.first()?;
        let kinds = [
            sentence.language.kinds.longest(&sentence.stems, i),
            english.kinds.longest(&sentence.english, i),
        ];
        let (kind, length) = kinds.into_iter().flatten().max_by_key(|(_, length)| *length)?;
        Some((lexicon.extensions(kind)?, length))
    }

    /// The table of a path, if its columns are known.
    pub fn table(&self, path: &str) -> Option<&Table<'a>> {
        self.tables.iter().find(|table| table.path == path)
    }

    /// The entry of a path.
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        self.survey.entries.iter().find(|entry| entry.path == path)
    }

    /// Entries with nearly the name of a file that is not there; only the nearest.
    pub fn near(&self, text: &str) -> Vec<&'a Entry> {
        let found = self.near.get(text).map_or(&[] as &[usize], Vec::as_slice);
        found.iter().filter_map(|i| self.survey.entries.get(*i)).collect()
    }

    fn find_near(&self, text: &str) -> Vec<usize> {
        let (wanted, own) = (fold(text), fold(name(text)));
        let most = typos_allowed(own.chars().count()).max(1);
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (i, entry) in self.survey.entries.iter().enumerate() {
            let whole = distance(&wanted, &fold(&entry.path), most);
            let by_name = distance(&own, &fold(name(&entry.path)), most);
            if let Some(typos) = whole.into_iter().chain(by_name).min() {
                found.push((typos, i));
            }
        }
        let least = found.iter().map(|(typos, _)| *typos).min();
        found.into_iter().filter(|(typos, _)| Some(*typos) == least).map(|(_, i)| i).collect()
    }
}

/// The first two letters of a word.
pub(crate) fn two(folded: &str) -> Option<[char; 2]> {
    let mut letters = folded.chars();
    Some([letters.next()?, letters.next()?])
}

/// A path without `./` before and `/` behind.
pub fn plain(path: &str) -> String {
    let mut path = path.trim();
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path.to_owned() }
}

/// The last part of a path.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of a file without its extension, nor that of an archive within.
pub fn stem(path: &str) -> &str {
    let stem = crate::template::part(path, "stem");
    stem.strip_suffix(".tar").unwrap_or(stem)
}

/// Where names with spaces stand in a wish.
fn spaced(wish: &str, survey: &Survey) -> Vec<Range<usize>> {
    let lower = wish.to_lowercase();
    if lower.len() != wish.len() {
        return Vec::new();
    }
    let mut names: Vec<&str> = survey
        .entries
        .iter()
        .flat_map(|entry| [entry.path.as_str(), name(&entry.path)])
        .filter(|name| name.contains(' ') && name.contains('.'))
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let mut found: Vec<Range<usize>> = Vec::new();
    for name in names {
        for (at, _) in lower.match_indices(&name.to_lowercase()) {
            let range = at..at + name.len();
            let joined = |c: char| c.is_alphanumeric() || matches!(c, '/' | '"' | '\'' | '“' | '„');
            let apart = !lower[..at].ends_with(joined)
                && lower.get(range.end..).is_some_and(|rest| !rest.starts_with(joined));
            let free =
                found.iter().all(|other| range.end <= other.start || other.end <= range.start);
            if apart && free {
                found.push(range);
            }
        }
    }
    found
}

/// The extension of a path, in lower case.
pub fn extension(path: &str) -> Option<String> {
    let (stem, extension) = name(path).rsplit_once('.')?;
    (!stem.is_empty()).then(|| extension.to_lowercase())
}

fn looks_like_file(text: &str) -> bool {
    extension(text)
        .is_some_and(|e| (1..=5).contains(&e.len()) && e.chars().all(|c| c.is_ascii_alphanumeric()))
        && !text.contains(' ')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use charter::survey::Column;
    use expect_test::{Expect, expect};

    /// A workspace to read wishes against.
    pub(crate) fn survey() -> Survey {
        let entry = |path: &str| Entry {
            path: path.trim_end_matches('/').to_owned(),
            folder: path.ends_with('/'),
            bytes: 10,
            modified: 0,
            columns: Vec::new(),
        };
        let column = |name: &str, values: &[&str]| Column {
            name: name.to_owned(),
            numeric: values.is_empty(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let mut entries: Vec<Entry> = [
            "archive/",
            "docs/",
            "docs/guide.md",
            "downloads/",
            "downloads/a.jpg",
            "expenses.csv",
            "notes/",
            "notes/2025-11-03-standup.md",
            "notes/ideas.txt",
            "orders.csv",
            "settings.json",
            "settings.yaml",
            "team notes.md",
        ]
        .into_iter()
        .map(entry)
        .collect();
        entries[5].columns = vec![
            column("date", &["2025-01-03", "2025-03-05", "2026-02-02"]),
            column("category", &["travel", "food", "office supplies"]),
            column("city", &["Berlin", "Paris"]),
            column("amount", &[]),
            column("vat", &[]),
        ];
        entries[9].columns = vec![
            column("order id", &[]),
            column("customer", &["Acme", "Globex"]),
            column("status", &["open", "paid"]),
            column("price", &[]),
        ];
        Survey { entries, truncated: false }
    }

    fn check(wish: &str, expect: Expect) {
        let survey = survey();
        let lexicon = Lexicon::shipped().unwrap();
        let today = jiff::civil::date(2026, 3, 18);
        let reading = Reading::new(lexicon, wish, &survey, today).unwrap();
        let shown: Vec<String> = reading
            .mentions
            .iter()
            .map(|m| format!("{}: {:?}", reading.sentence.words(m.from, m.to), m.what))
            .collect();
        expect.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn files_and_folders_are_found() {
        check(
            "find links in docs and the notes folder",
            expect![[r#"
            docs: Folder("docs")
            notes: Folder("notes")"#]],
        );
        check(
            "compare settings.json with ./settings.yaml",
            expect![[r#"
            settings.json: Path { text: "settings.json", entries: [10], folder: false }
            ./settings.yaml: Path { text: "settings.yaml", entries: [11], folder: false }"#]],
        );
        check(
            "read \"team notes.md\" and guide.md",
            expect![[r#"
            "team notes.md": Path { text: "team notes.md", entries: [12], folder: false }
            guide.md: Path { text: "guide.md", entries: [2], folder: false }"#]],
        );
        check(
            "im Ordner docs und im Notizen-Ordner",
            expect![[r#"
            docs: Folder("docs")
            Notizen: Folder("notes")"#]],
        );
    }

    #[test]
    fn kinds_are_found() {
        check(
            "delete all photos, PDFs and .tmp files, python files and *.log",
            expect![[r#"
            photos: Files(["jpg", "jpeg", "png", "heic", "webp", "tiff", "raw"])
            PDFs: Files(["pdf"])
            .tmp: Glob("**/*.tmp")
            python files: Files(["py"])
            *.log: Glob("**/*.log")"#]],
        );
        check(
            "los archivos csv y las fotos",
            expect![[r#"
            csv: Files(["csv"])
            fotos: Files(["jpg", "jpeg", "png", "heic", "webp", "tiff", "raw"])"#]],
        );
        check("convert it to json", expect![[r#""#]]);
    }

    #[test]
    fn values_are_found() {
        check(
            "more than 1,000 since March 2025 about \"the budget\"",
            expect![[r#"
            1,000: Number(1000)
            March 2025: Days(Span { start: 2025-03-01, end: 2025-03-31, from: 4, to: 6 })
            "the budget": Quoted("the budget")"#]],
        );
    }
}
