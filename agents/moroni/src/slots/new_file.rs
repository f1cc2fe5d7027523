//! A file to write.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::playbook::{Slot, SlotType};
use crate::reading::{Mention, What, extension};
use serde_json::Value;
use std::ops::Range;

impl Fill<'_, '_> {
    pub(super) fn new_file(&mut self, slot_name: &str, slot: &Slot) -> Found {
        let mentions = self.free_mentions();
        let files: Vec<(&Mention, &String, &Vec<usize>)> = mentions
            .iter()
            .filter_map(|m| match &m.what {
                What::Path { text, entries, folder: false } => Some((m, text, entries)),
                _ => None,
            })
            .collect();
        let allowed = |text: &str| {
            slot.ext.is_empty() || extension(text).is_some_and(|ext| slot.ext.contains(&ext))
        };
        // Another slot for a file to write may say that this one is not for it.
        let others_better = |text: &str| {
            let ext = extension(text);
            slot.ext.is_empty()
                && self.playbook.slots.iter().any(|(name, other)| {
                    name != slot_name
                        && other.kind == SlotType::NewFile
                        && ext.as_ref().is_some_and(|ext| other.ext.contains(ext))
                })
        };
        let mut best: Option<(u8, &Mention, &String)> = None;
        // "travel" may stand for travel.md, and for a travel: no file that is read.
        let read = self.paths_read();
        let behind = |nth: usize| {
            let named = files.iter().take(nth).filter(|(_, text, _)| extension(text).is_some());
            nth > 0 && (read == 0 || read <= named.count())
        };
        for (i, (mention, text, entries)) in files.iter().enumerate() {
            if !allowed(text) || others_better(text) || extension(text).is_none() {
                continue;
            }
            let sureness =
                self.is_written(slot_name, mention, (text, entries), (i, files.len(), behind(i)));
            if sureness > 0 && best.is_none_or(|(least, _, _)| sureness >= least) {
                best = Some((sureness, mention, text));
            }
        }
        let Some((_, mention, text)) = best else { return Ok(None) };
        let (mention, path) = (mention.clone(), text.clone());
        // "save it as out.md": the verb belongs to the file.
        for i in self.before(mention.from) {
            if self.sentence().means(i, "write") {
                self.mark(i..i + 1, Use::Lead);
            }
        }
        self.take(&mention);
        Ok(Some(Value::String(path)))
    }

    /// How sure it is that a file is to be written: 0 for not at all.
    fn is_written(
        &self,
        slot_name: &str,
        mention: &Mention,
        (text, entries): (&str, &[usize]),
        (nth, files, behind): (usize, usize, bool),
    ) -> u8 {
        let language = self.sentence().language;
        if self.cued(slot_name, mention.from).is_some() {
            return 5;
        }
        let into = self.reading.led_by(mention.from, &language.into);
        let at = self.reading.led_by(mention.from, &language.at);
        let writes = self.write_before(mention.from);
        // Files that the playbook must read are not written by it.
        if !entries.is_empty() && !writes && self.others_there(mention) < self.paths_read() {
            return 0;
        }
        let reads = self
            .playbook
            .slots
            .iter()
            .any(|(_, other)| matches!(other.kind, SlotType::Path | SlotType::Files));
        let earlier = nth > 0
            || self.reading.mentions.iter().any(|m| {
                m.to <= mention.from
                    && m.from >= self.range.start
                    && matches!(
                        m.what,
                        What::Folder(_) | What::Files(_) | What::Glob(_) | What::Path { .. }
                    )
            });
        match (entries.is_empty(), into, at) {
            (_, true, false) => 4,
            (true, true, true) if !self.may_be_read(mention, text) => 3,
            (true, _, _) if writes => 3,
            (false, _, _) if writes && (into || at) && (earlier || !reads) => 3,
            // "a.json en b.json" a second time: both exist, the later one is written.
            (false, true, true) if behind && nth + 1 == files => 2,
            // "b.json out of a.yaml": one exists, the other does not.
            (true, _, false)
                if self.paths_read() > 0 && self.others_there(mention) >= self.paths_read() =>
            {
                1
            }
            // "the headings of docs, toc.md": nothing here is called like it.
            (true, _, _)
                if self.others_read(mention) >= self.paths_read().max(1) && self.is_new(text) =>
            {
                1
            }
            _ => 0,
        }
    }

    /// Whether nothing in the workspace has a name like this one.
    fn is_new(&self, text: &str) -> bool {
        !self.reading.survey.truncated && self.reading.near(text).is_empty()
    }

    /// How many other files, folders and kinds of files are spoken of that exist.
    fn others_read(&self, mention: &Mention) -> usize {
        let others = self.free_mentions().into_iter().filter(|m| m.from != mention.from);
        others
            .filter(|m| match &m.what {
                What::Path { entries, .. } => !entries.is_empty(),
                What::Folder(_) | What::Files(_) | What::Glob(_) => true,
                _ => false,
            })
            .count()
    }

    /// Whether a file, by its extension, could be what the playbook reads, and no
    /// other that exists is spoken of: "total the prices in sales.csv" names no file
    /// to write.
    fn may_be_read(&self, mention: &Mention, text: &str) -> bool {
        let Some(extension) = extension(text) else { return false };
        let reads = |slot: &Slot| {
            slot.kind == SlotType::Path && self.extensions_of(&slot.kinds).contains(&extension)
        };
        self.others_there(mention) < self.paths_read()
            && self.playbook.slots.iter().any(|(_, slot)| reads(slot))
    }

    /// How many other files are spoken of that exist.
    fn others_there(&self, mention: &Mention) -> usize {
        let others = self.free_mentions().into_iter().filter(|m| m.from != mention.from);
        others
            .filter(|m| matches!(&m.what, What::Path { entries, .. } if !entries.is_empty()))
            .count()
    }

    /// How many single files the playbook reads.
    fn paths_read(&self) -> usize {
        self.playbook
            .slots
            .iter()
            .filter(|(_, slot)| slot.kind == SlotType::Path && !slot.optional)
            .count()
    }

    /// Whether a word for writing stands between the mention before and piece `at`.
    fn write_before(&self, at: usize) -> bool {
        self.before(at).any(|i| self.sentence().means(i, "write"))
    }

    /// The pieces between the mention before piece `at` and it.
    fn before(&self, at: usize) -> Range<usize> {
        let counted = |m: &&Mention| !matches!(m.what, What::Number(_) | What::Days(_));
        let earlier = self.reading.mentions.iter().filter(counted).map(|m| m.to);
        let from = earlier.filter(|to| *to <= at).max().unwrap_or(self.range.start);
        from.max(self.range.start)..at
    }
}
