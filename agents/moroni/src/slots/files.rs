//! Files: globs, paths, folders, kinds.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::playbook::{Slot, SlotType};
use crate::reading::{Mention, What};
use crate::template::Values;
use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;
use std::ops::Range;

/// Most paths that are named one by one where a pattern would name too many.
const LISTED_MAX: usize = 1_000;

/// What words of a wish say about files.
#[derive(Debug, Default)]
struct Said {
    paths: Vec<String>,
    folders: Vec<String>,
    extensions: Vec<String>,
}

impl Said {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.folders.is_empty() && self.extensions.is_empty()
    }

    /// The globs that say the same; a folder alone means the files of `kinds` in it.
    fn globs(&self, kinds: &[String]) -> Vec<String> {
        let extensions = if self.extensions.is_empty() { kinds } else { &self.extensions };
        let mut globs = self.paths.clone();
        for folder in &self.folders {
            let folder = escape(folder);
            match extensions {
                [] => globs.push(format!("{folder}/**")),
                some => globs.extend(some.iter().map(|ext| format!("{folder}/**/*.{ext}"))),
            }
        }
        if self.folders.is_empty() && !self.extensions.is_empty() {
            globs.extend(self.extensions.iter().map(|ext| format!("**/*.{ext}")));
        }
        let mut seen = Vec::new();
        globs.retain(|glob| {
            let new = !seen.contains(glob);
            if new {
                seen.push(glob.clone());
            }
            new
        });
        globs
    }
}

impl Fill<'_, '_> {
    /// "write a brief": a word of this playbook's rules, though a brief.md is there.
    fn is_own_word(&self, mention: &Mention) -> bool {
        let sentence = self.sentence();
        let word = sentence.tokens.get(mention.from).is_some_and(|token| token.is_word());
        matches!(mention.what, What::Path { folder: false, .. })
            && mention.to == mention.from + 1
            && word
            && !self.reading.led_by(mention.from, &sentence.language.at)
            && self.index.rules_know(self.view(), mention.from, self.p)
    }

    pub(super) fn files(&mut self, slot_name: &str, slot: &Slot, inherited: &Values) -> Found {
        let mut mentions = self.free_mentions();
        mentions.retain(|mention| !self.is_own_word(mention));
        let cues_given = !slot.cues.is_empty()
            && mentions.iter().any(|m| self.cued(slot_name, m.from).is_some());
        let except = self.exception();
        let compounds = self.index.compounds(self.view(), self.p);
        let by_path = mentions.iter().any(|m| {
            let named =
                matches!(&m.what, What::Path { entries, folder: false, .. } if !entries.is_empty());
            named && except.as_ref().is_none_or(|except| m.from < except.end)
        });
        let (mut said, mut left_out) = (Said::default(), Said::default());
        for mention in &mentions {
            let into = match &except {
                Some(except) if mention.from >= except.end => &mut left_out,
                _ if cues_given && self.cued(slot_name, mention.from).is_none() => continue,
                _ => &mut said,
            };
            let taken = match &mention.what {
                What::Path { text, entries, folder } => {
                    match self.existing(slot, mention, text, entries, *folder)? {
                        Some((path, true)) => into.folders.push(path),
                        Some((path, false)) => into.paths.push(escape(&path)),
                        None => continue,
                    }
                    true
                }
                What::Glob(glob) => {
                    into.paths.push(glob.clone());
                    true
                }
                What::Folder(folder) => {
                    into.folders.push(folder.clone());
                    true
                }
                // "e-mail addresses": a kind of which nothing is here, where something
                // else can be meant.
                What::Files(extensions)
                    if slot.default.is_some() && !self.reading.names.any_extension(extensions) =>
                {
                    continue;
                }
                What::Files(_) if compounds.iter().any(|c| c.contains(&mention.from)) => continue,
                // "the addresses from contacts.csv": that file, and no other.
                What::Files(_) if by_path && !self.is_listed(mention, &mentions) => continue,
                What::Files(_) if !into.is_empty() && self.is_verb(mention.from) => continue,
                What::Files(extensions) => {
                    into.extensions.extend(extensions.iter().cloned());
                    true
                }
                _ => false,
            };
            if taken {
                self.take(mention);
            }
        }
        let kinds = self.extensions_of(&slot.kinds);
        let kinds = self.present(&kinds, &said.folders);
        said.extensions = self.present(&said.extensions, &said.folders);
        let mut globs = said.globs(&kinds);
        if globs.is_empty() {
            match inherited.get(slot_name) {
                Some(value) => return Ok(Some(value.clone())),
                None if slot.default.is_none() && !slot.kinds.is_empty() && !slot.optional => {
                    globs = kinds.iter().map(|ext| format!("**/*.{ext}")).collect();
                }
                None if left_out.is_empty() => return Ok(None),
                None => globs = default_globs(slot),
            }
        }
        // An exception that cannot be made leaves its words untaken, so the plan
        // says that they are not met.
        if let Some(except) = except.filter(|_| !left_out.is_empty())
            && let Some(kept) = self.without(&globs, &left_out.globs(&[]))
        {
            globs = kept;
            self.mark(except, Use::Lead);
        }
        Ok(Some(Value::from(globs)))
    }

    /// "and email them to Jonas": a word that also names files is a verb there.
    fn is_verb(&self, i: usize) -> bool {
        let sentence = self.sentence();
        let joined = i
            .checked_sub(1)
            .is_some_and(|at| sentence.language.join.longest(&sentence.folded, at).is_some());
        let language = sentence.language;
        let stop = |word: &String| language.stop.contains(word);
        // "videos and music into media": a place follows, and no object.
        let places = [&language.at, &language.into];
        let place = places.iter().any(|list| list.longest(&sentence.folded, i + 1).is_some());
        joined
            && !place
            && sentence.folded.get(i + 1).is_some_and(stop)
            && sentence.folded.get(i).is_some_and(|word| !word.ends_with('s'))
    }

    /// Whether "and" or a comma joins a kind of files to another place.
    fn is_listed(&self, kind: &Mention, mentions: &[Mention]) -> bool {
        let places = |m: &&Mention| matches!(m.what, What::Path { .. } | What::Folder(_));
        self.reading.listed(kind.from, mentions)
            || mentions.iter().filter(places).any(|place| {
                place.from > kind.from
                    && self.reading.listed(place.from, std::slice::from_ref(kind))
            })
    }

    /// A word for "except".
    fn exception(&self) -> Option<Range<usize>> {
        let sentence = self.sentence();
        self.range.clone().find_map(|i| {
            let (_, length) = sentence.language.except.longest(&sentence.folded, i)?;
            self.is_free(i).then_some(i..i + length)
        })
    }

    /// The path of an existing file or folder, and whether it is a folder.
    fn existing(
        &mut self,
        slot: &Slot,
        mention: &Mention,
        text: &str,
        entries: &[usize],
        folder: bool,
    ) -> Result<Option<(String, bool)>, super::Missing> {
        let survey = self.reading.survey;
        match entries {
            [one] => {
                let entry = &survey.entries[*one];
                Ok(Some((entry.path.clone(), entry.folder)))
            }
            [] if survey.truncated => Ok(Some((text.to_owned(), folder))),
            [] => {
                let alike = self.reading.near(text);
                if let [only] = alike.as_slice() {
                    self.notes.push(format!(
                        "There is no {text}; {} was taken, whose name is almost the same.",
                        only.path
                    ));
                    return Ok(Some((only.path.clone(), only.folder)));
                }
                let written = self.reading.led_by(mention.from, &self.sentence().language.into)
                    && !self.reading.led_by(mention.from, &self.sentence().language.at);
                if written {
                    return Ok(None);
                }
                let candidates = alike.iter().map(|entry| entry.path.as_str()).collect();
                let mut missing = self.missing(slot, "", candidates);
                missing.question = format!("There is no file or folder called {text} here.");
                Err(missing)
            }
            several => {
                // The same name in several folders: all of them are meant.
                let paths = several.iter().map(|i| survey.entries[*i].path.as_str()).collect();
                let mut missing = self.missing(slot, "", paths);
                missing.question = format!("There are several called {text}. Which one?");
                Err(missing)
            }
        }
    }

    /// Extensions that occur in the workspace (below the folders, if any), so that
    /// a plan names no more than it needs; all of them where none occurs.
    fn present(&self, extensions: &[String], folders: &[String]) -> Vec<String> {
        let inside = |path: &str| {
            folders.is_empty()
                || folders.iter().any(|folder| {
                    path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
                })
        };
        let mut found: Vec<String> = Vec::new();
        for extension in extensions {
            let own = std::slice::from_ref(extension);
            let names = &self.reading.names;
            let occurs = names.any_extension(own)
                && (folders.is_empty()
                    || self
                        .reading
                        .survey
                        .entries
                        .iter()
                        .enumerate()
                        .any(|(i, entry)| names.has_extension(i, own) && inside(&entry.path)));
            if (occurs || self.reading.survey.truncated) && !found.contains(extension) {
                found.push(extension.clone());
            }
        }
        if found.is_empty() { extensions.to_vec() } else { found }
    }

    /// The globs without what others match. Tools know no exceptions, so the files
    /// that remain are named; `None` when they are too many for that.
    fn without(&self, globs: &[String], left_out: &[String]) -> Option<Vec<String>> {
        let (wanted, unwanted) = (matchers(globs), matchers(left_out));
        let files = self.reading.survey.entries.iter().filter(|entry| !entry.folder);
        let (mut kept, mut dropped) = (Vec::new(), false);
        for entry in files.filter(|entry| wanted.iter().any(|m| m.is_match(&entry.path))) {
            match unwanted.iter().any(|m| m.is_match(&entry.path)) {
                true => dropped = true,
                false => kept.push(escape(&entry.path)),
            }
        }
        if self.reading.survey.truncated || dropped && kept.len() > LISTED_MAX {
            return None;
        }
        Some(if dropped { kept } else { globs.to_vec() })
    }

    /// Files that the playbook writes are not read by it, and files that lie where
    /// they shall go are not moved.
    pub(super) fn leave_out_written(&mut self) {
        let playbook = self.playbook;
        let mut written: Vec<String> = Vec::new();
        let mut made: Vec<String> = Vec::new();
        for (name, slot) in playbook.slots.iter() {
            let Some(path) = self.values.get(name).and_then(Value::as_str) else { continue };
            match slot.kind {
                SlotType::NewFile => {
                    made.push(escape(path));
                    written.push(escape(path));
                }
                SlotType::Folder => written.push(format!("{}/**", escape(path))),
                _ => {}
            }
        }
        // What is not there yet can be read by nobody.
        let there = |glob: &String| {
            let path = glob.strip_suffix("/**").unwrap_or(glob);
            self.reading.survey.entries.iter().any(|entry| escape(&entry.path) == path)
        };
        written.retain(there);
        if written.is_empty() {
            return;
        }
        let moves = playbook.slots.iter().any(|(_, slot)| slot.kind == SlotType::Folder);
        for (name, _) in playbook.slots.iter().filter(|(_, s)| s.kind == SlotType::Files) {
            let Some(Value::Array(list)) = self.values.get(name) else { continue };
            let mut globs: Vec<String> =
                list.iter().filter_map(|glob| glob.as_str().map(str::to_owned)).collect();
            // "make a timeline" does not mean the timeline.md of the last time.
            let others = |glob: &String| !made.contains(glob);
            if globs.iter().any(others) {
                globs.retain(others);
                self.values.insert(name.to_owned(), Value::from(globs.clone()));
            }
            // A folder that is read from on purpose stays.
            let named =
                written.iter().filter(|path| !globs.contains(path)).cloned().collect::<Vec<_>>();
            let Some(kept) = self.without(&globs, &named) else {
                self.notes.push(format!("Files in {} are looked at too.", named.join(", ")));
                continue;
            };
            // Where all files lie in the folder already, none is left to be moved; what
            // is only read may be what was written before.
            if kept != globs && (moves || !kept.is_empty()) {
                self.values.insert(name.to_owned(), Value::from(kept));
            }
        }
    }
}

fn default_globs(slot: &Slot) -> Vec<String> {
    match &slot.default {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => {
            many.iter().filter_map(|glob| glob.as_str().map(str::to_owned)).collect()
        }
        _ => vec!["**/*".to_owned()],
    }
}

fn matchers(globs: &[String]) -> Vec<GlobMatcher> {
    globs
        .iter()
        .filter_map(|glob| {
            let built = GlobBuilder::new(glob)
                .literal_separator(true)
                .backslash_escape(true)
                .case_insensitive(true)
                .build();
            built.ok().map(|glob| glob.compile_matcher())
        })
        .collect()
}

/// A path written so that a glob means exactly it.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
