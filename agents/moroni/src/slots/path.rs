//! An existing file.

use super::{Fill, Found, Missing, fits};
use crate::likeness::Use;
use crate::playbook::Slot;
use crate::reading::{Mention, What, extension};
use crate::tables::Table;
use crate::template::Values;
use crate::words::fold::{distance, fold};
use serde_json::Value;

impl<'a> Fill<'_, 'a> {
    pub(super) fn path(&mut self, slot_name: &str, slot: &Slot, inherited: &Values) -> Found {
        let extensions = self.extensions_of(&slot.kinds);
        let fitting = |path: &str| slot.kinds.is_empty() || fits(path, &extensions);
        let mentions: Vec<(Mention, String, Vec<usize>)> = self
            .free_mentions()
            .into_iter()
            .filter_map(|m| match &m.what {
                What::Path { text, entries, folder: false } => {
                    Some((m.clone(), text.clone(), entries.clone()))
                }
                _ => None,
            })
            .filter(|(_, text, entries)| {
                let fits = |i: &usize| fitting(&self.reading.survey.entries[*i].path);
                match entries.as_slice() {
                    [] => extension(text).is_none() || fitting(text),
                    some => some.iter().any(fits),
                }
            })
            .collect();
        let cued = mentions.iter().position(|(m, _, _)| self.cued(slot_name, m.from).is_some());
        if let Some((mention, text, entries)) = mentions.get(cued.unwrap_or(0)) {
            let files = |i: &&usize| {
                let entry = &self.reading.survey.entries[**i];
                !entry.folder && fitting(&entry.path)
            };
            let files: Vec<usize> = entries.iter().filter(files).copied().collect();
            return self.spoken_path(slot, mention, text, &files).map(Some);
        }
        if let Some(found) = self.path_by_words(slot_name, slot, &fitting) {
            return found;
        }
        if let Some(value) = inherited.get(slot_name).or_else(|| inherited.get("source"))
            && value.as_str().is_some_and(&fitting)
        {
            return Ok(Some(value.clone()));
        }
        if slot.optional || slot.default.is_some() {
            return Ok(None);
        }
        self.only_path(slot, &fitting)
    }

    fn spoken_path(
        &mut self,
        slot: &Slot,
        mention: &Mention,
        text: &str,
        files: &[usize],
    ) -> Result<Value, Missing> {
        let entries = &self.reading.survey.entries;
        match files {
            [one] => {
                let path = entries[*one].path.clone();
                self.take(mention);
                Ok(Value::String(path))
            }
            [] => {
                let near = self.reading.near(text).into_iter().filter(|entry| !entry.folder);
                let alike: Vec<&'a str> = near.map(|entry| entry.path.as_str()).collect();
                match alike.as_slice() {
                    [one] => {
                        let path = (*one).to_owned();
                        self.notes.push(format!(
                            "There is no {text}; {path} was taken, whose name is almost the same."
                        ));
                        self.take(mention);
                        Ok(Value::String(path))
                    }
                    [] if self.reading.survey.truncated => {
                        self.take(mention);
                        Ok(Value::String(text.to_owned()))
                    }
                    [] => {
                        let candidates = self.files_of_kinds(&slot.kinds);
                        let mut missing = self.missing(slot, "", candidates);
                        missing.question = format!("There is no file called {text} here.");
                        Err(missing)
                    }
                    several => {
                        let mut missing = self.missing(slot, "", several.to_vec());
                        missing.question = format!("There is no {text}. Which one is meant?");
                        Err(missing)
                    }
                }
            }
            several => {
                let candidates = several.iter().map(|i| entries[*i].path.as_str()).collect();
                let mut missing = self.missing(slot, "", candidates);
                missing.question = format!("There are several files called {text}. Which one?");
                Err(missing)
            }
        }
    }

    /// A file named by words of its name, without the extension.
    fn path_by_words(
        &mut self,
        slot_name: &str,
        slot: &Slot,
        fitting: &dyn Fn(&str) -> bool,
    ) -> Option<Found> {
        let sentence = self.sentence();
        let mut best: Option<(usize, usize, Vec<String>)> = None;
        for (entry, named) in self.reading.survey.entries.iter().zip(&self.reading.names.entries) {
            let words = &named.lettered;
            let letters: usize = words.iter().map(|word| word.chars().count()).sum();
            let may_be = words.first().is_some_and(|first| self.reading.may_say(&fold(first)));
            if letters < 3 || !may_be || entry.folder || !fitting(&entry.path) {
                continue;
            }
            for at in self.range.clone() {
                let there = words.iter().enumerate().all(|(k, word)| {
                    let i = at + k;
                    i < self.range.end && self.is_free(i) && sentence.tokens[i].is_word() && {
                        let folded = fold(word);
                        let typo = || {
                            folded.chars().count() >= 6
                                && distance(&folded, &sentence.folded[i], 1).is_some()
                        };
                        folded == sentence.folded[i]
                            || sentence.language.stem(word) == sentence.stems[i]
                            || typo()
                    }
                });
                if !there || !self.names_a_file(at, at + words.len(), slot_name) {
                    continue;
                }
                match &mut best {
                    Some((length, place, paths)) if *length == words.len() && *place == at => {
                        paths.push(entry.path.clone());
                    }
                    Some((length, _, _)) if *length >= words.len() => {}
                    _ => best = Some((words.len(), at, vec![entry.path.clone()])),
                }
            }
        }
        let (length, at, paths) = best?;
        let taken: Vec<&Value> = self.values.values().collect();
        let paths: Vec<String> = paths
            .into_iter()
            .filter(|path| !taken.iter().any(|value| value.as_str() == Some(path)))
            .collect();
        match paths.as_slice() {
            [] => None,
            [one] => {
                let path = one.clone();
                self.take(&Mention { what: What::Url, from: at, to: at + length });
                self.notes.push(format!(
                    "\"{}\" was taken for {path}.",
                    self.sentence().words(at, at + length)
                ));
                Some(Ok(Some(Value::String(path))))
            }
            several => {
                let said = self.sentence().words(at, at + length).to_owned();
                let mut missing =
                    self.missing(slot, "", several.iter().map(String::as_str).collect());
                missing.question = format!("Which of the files called {said}?");
                Some(Err(missing))
            }
        }
    }

    /// Whether words stand where a file is named, and not where the playbook's own
    /// words or a column stand.
    fn names_a_file(&self, from: usize, to: usize, slot_name: &str) -> bool {
        let sentence = self.sentence();
        let noun = |i: usize| {
            self.range.contains(&i)
                && ["file", "table", "document", "note", "config"]
                    .iter()
                    .any(|c| sentence.means(i, c))
        };
        let beside = noun(to) || from.checked_sub(1).is_some_and(noun);
        beside
            || self.reading.introduced(from)
            || self.cued(slot_name, from).is_some()
            || !(from..to).all(|i| self.known_word(i))
    }

    fn known_word(&self, i: usize) -> bool {
        let own = self.index.knows(self.probe, i, self.p);
        own && !self.sentence().is_stop(i)
    }

    /// Without a word for it: the only file that it can be. Words for columns and
    /// their values tell tables apart.
    fn only_path(&mut self, slot: &Slot, fitting: &dyn Fn(&str) -> bool) -> Found {
        if slot.kinds.is_empty() {
            return Ok(None);
        }
        let taken: Vec<String> =
            self.values.values().filter_map(|v| v.as_str().map(str::to_owned)).collect();
        let has_columns = self.playbook.slots.iter().any(|(_, other)| other.of.is_some());
        let mut files: Vec<&str> = self.files_of_kinds(&slot.kinds);
        files.retain(|path| !taken.iter().any(|taken| taken == path));
        let is_table = |path: &&str| self.reading.table(path).is_some();
        if has_columns && files.iter().any(is_table) {
            files.retain(is_table);
        }
        if let [one] = files.as_slice() {
            self.notes.push(format!("{one} was taken: it is the only such file here."));
            return Ok(Some(Value::String((*one).to_owned())));
        }
        if has_columns {
            let mut scored: Vec<(usize, &str)> = self
                .reading
                .tables
                .iter()
                .filter(|table| fitting(table.path))
                .map(|table| (self.column_words(table), table.path))
                .filter(|(score, _)| *score > 0)
                .collect();
            scored.sort_by(|a, b| b.cmp(a));
            let best = match scored.as_slice() {
                [(_, path)] => Some(*path),
                [(first, path), (second, _), ..] if first > second => Some(*path),
                _ => None,
            };
            if let Some(path) = best {
                self.notes.push(format!("{path} was taken: its columns are spoken of."));
                return Ok(Some(Value::String(path.to_owned())));
            }
        }
        Err(self.missing(slot, "Which file?", files))
    }

    /// How much a part of a wish speaks of a table: of its name, columns and values.
    fn column_words(&self, table: &Table<'a>) -> usize {
        let sentence = self.sentence();
        let mut score = 0;
        for i in self.range.clone() {
            if self.used[i] >= Use::Value {
                continue;
            }
            score += match self.column_at(table, i) {
                Some((_, _, true)) => 3,
                Some((_, _, false)) => 1,
                None => 0,
            };
            score += self.value_at(table, i).map_or(0, |_| 3);
            if sentence.tokens[i].is_word() && !sentence.is_stop(i) {
                let same = table.concepts.iter().any(|concept| sentence.means(i, concept));
                score += if table.stem == sentence.stems[i] { 5 } else { 3 * usize::from(same) };
            }
        }
        score
    }
}
