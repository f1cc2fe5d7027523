//! Slots are filled from the words of a wish: one file per type.
//!
//! Filling is a pure function of the wish, the workspace and the playbook. A slot
//! takes pieces of the wish; what one has taken no other takes. What cannot be
//! told is asked, never guessed.

mod choice;
mod column;
mod condition;
mod date;
mod files;
mod folder;
mod format;
mod new_file;
mod number;
mod path;
mod text;

use crate::likeness::{Index, Probe, RulePhrase, Use, View, quoted};
use crate::playbook::{Bound, Playbook, Slot, SlotType};
use crate::playbooks::Library;
use crate::reading::{Mention, Reading, What};
use crate::template::{self, Escape, Values};
use crate::words::dates;
use serde_json::Value;
use std::ops::Range;

/// What is asked about a slot that could not be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The slot.
    pub slot: String,
    /// What is asked.
    pub question: String,
    /// What it could be.
    pub candidates: Vec<String>,
}

/// Most candidates that a question lists.
const CANDIDATES_MAX: usize = 8;

/// Slots of a playbook, being filled.
pub struct Fill<'r, 'a> {
    /// The wish.
    pub reading: &'r Reading<'a>,
    /// The playbook.
    pub playbook: &'r Playbook,
    /// The part of the wish that is looked at.
    pub range: Range<usize>,
    /// How each piece was used.
    pub used: Vec<Use>,
    /// Values found.
    pub values: Values,
    /// What the user should know about how words were taken.
    pub notes: Vec<String>,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Slots that words of this part filled, defaults and inheritance excluded.
    pub spoken: Vec<String>,
    p: usize,
    index: &'r Index,
    probe: &'r Probe,
}

/// The order in which types look for their words: those whose words are plainest
/// first.
const ORDER: [SlotType; 11] = [
    SlotType::NewFile,
    SlotType::Folder,
    SlotType::Path,
    SlotType::Text,
    SlotType::Files,
    SlotType::Condition,
    SlotType::Column,
    SlotType::Date,
    SlotType::Number,
    SlotType::Format,
    SlotType::Choice,
];

type Found = Result<Option<Value>, Missing>;

/// Fills the slots of playbook `p` from the pieces in `range`. `inherited` has the
/// values of an earlier part of the same wish.
pub fn fill<'r, 'a>(
    reading: &'r Reading<'a>,
    probe: &'r Probe,
    library: &'r Library,
    p: usize,
    range: Range<usize>,
    inherited: &Values,
) -> Option<Fill<'r, 'a>> {
    let playbook = library.playbooks.get(p)?;
    let mut fill = Fill {
        reading,
        playbook,
        range,
        used: vec![Use::No; reading.sentence.tokens.len()],
        values: Values::new(),
        notes: Vec::new(),
        missing: Vec::new(),
        spoken: Vec::new(),
        p,
        index: &library.index,
        probe,
    };
    fill.take_quoted_text();
    for kind in ORDER {
        for (name, slot) in playbook.slots.iter() {
            if slot.kind != kind || fill.values.contains_key(name) {
                continue;
            }
            let found = match kind {
                SlotType::NewFile => fill.new_file(name, slot),
                SlotType::Folder => fill.folder(name),
                SlotType::Path => fill.path(name, slot, inherited),
                SlotType::Text => fill.text(name),
                SlotType::Files => fill.files(name, slot, inherited),
                SlotType::Condition => fill.condition(slot),
                SlotType::Column => fill.column(name, slot),
                SlotType::Date => fill.date(name, slot),
                SlotType::Number => fill.number(name, slot),
                SlotType::Format => fill.format(name, slot),
                SlotType::Choice => fill.choice(name, slot),
            };
            match found {
                Ok(Some(value)) => {
                    fill.values.insert(name.to_owned(), value);
                    fill.spoken.push(name.to_owned());
                }
                Ok(None) => {}
                Err(missing) => {
                    fill.missing.push(Missing { slot: name.to_owned(), ..missing });
                }
            }
        }
    }
    fill.defaults();
    fill.leave_out_written();
    Some(fill)
}

impl<'a> Fill<'_, 'a> {
    fn sentence(&self) -> &crate::words::sentence::Sentence<'a> {
        &self.reading.sentence
    }

    fn is_free(&self, i: usize) -> bool {
        self.used.get(i).is_some_and(|used| *used == Use::No)
    }

    fn mark(&mut self, range: Range<usize>, how: Use) {
        for i in range {
            if let Some(used) = self.used.get_mut(i) {
                *used = (*used).max(how);
            }
        }
    }

    /// Mentions in the range of which no piece is taken.
    fn free_mentions(&self) -> Vec<Mention> {
        let inside = |m: &&Mention| m.from >= self.range.start && m.to <= self.range.end;
        let free = |m: &&Mention| (m.from..m.to).all(|i| self.is_free(i));
        self.reading.mentions.iter().filter(inside).filter(free).cloned().collect()
    }

    /// Marks a mention as taken, with the preposition before it.
    fn take(&mut self, mention: &Mention) {
        let language = self.sentence().language;
        for list in [&language.at, &language.into] {
            if let Some(lead) = self.reading.lead(mention.from, list) {
                let start = lead.start.max(self.range.start);
                self.mark(start..mention.from, Use::Lead);
            }
        }
        // A word for "file" or "folder" beside it is part of it.
        for beside in [mention.from.checked_sub(1), Some(mention.to)].into_iter().flatten() {
            let is_noun = self.range.contains(&beside)
                && (self.sentence().means(beside, "file")
                    || self.sentence().means(beside, "folder"));
            if is_noun && self.is_free(beside) {
                self.mark(beside..beside + 1, Use::Lead);
            }
        }
        self.mark(mention.from..mention.to, Use::Value);
    }

    /// Where the cues of a slot stand in the range, in their own order.
    fn cue_places(&self, slot: &str) -> Vec<Range<usize>> {
        self.places(self.index.cues(self.p, slot))
    }

    /// Where phrases stand in the range, in order of the list.
    fn places(&self, phrases: &[Vec<String>]) -> Vec<Range<usize>> {
        let folded = &self.sentence().folded;
        let mut found = Vec::new();
        for words in phrases.iter().filter(|words| !words.is_empty()) {
            for start in self.range.clone() {
                let end = start + words.len();
                if end <= self.range.end && folded[start..end] == **words {
                    found.push(start..end);
                }
            }
        }
        found
    }

    /// The cue of a slot that stands directly before piece `i`, articles between.
    fn cued(&self, slot: &str, i: usize) -> Option<Range<usize>> {
        let sentence = self.sentence();
        let places = self.cue_places(slot);
        let mut at = i;
        for _ in 0..4 {
            if let Some(place) = places.iter().filter(|p| p.end == at).max_by_key(|p| p.len()) {
                return Some(place.clone());
            }
            at = at.checked_sub(1)?;
            let between = sentence.is_stop(at)
                || sentence.is_filler(at)
                || sentence.means(at, "file")
                || sentence.means(at, "folder");
            if !between {
                return None;
            }
        }
        None
    }

    fn missing(&self, slot: &Slot, otherwise: &str, candidates: Vec<&str>) -> Missing {
        let mut candidates: Vec<String> =
            candidates.into_iter().take(CANDIDATES_MAX).map(str::to_owned).collect();
        candidates.dedup();
        Missing {
            slot: String::new(),
            question: slot.ask.clone().unwrap_or_else(|| otherwise.to_owned()),
            candidates,
        }
    }

    /// Files of the workspace of certain kinds; all files for no kinds.
    fn files_of_kinds(&self, kinds: &[String]) -> Vec<&'a str> {
        let extensions = self.extensions_of(kinds);
        let names = &self.reading.names;
        let entries = self.reading.survey.entries.iter().enumerate();
        entries
            .filter(|(_, entry)| !entry.folder)
            .filter(|(i, _)| kinds.is_empty() || names.has_extension(*i, &extensions))
            .map(|(_, entry)| entry.path.as_str())
            .collect()
    }

    fn extensions_of(&self, kinds: &[String]) -> Vec<String> {
        let lexicon = self.sentence().lexicon;
        kinds.iter().filter_map(|kind| lexicon.extensions(kind)).flatten().collect()
    }

    /// Values for slots that words did not fill.
    fn defaults(&mut self) {
        let playbook = self.playbook;
        // A default may name slots that stand below it.
        for _ in 0..3 {
            for (name, slot) in playbook.slots.iter() {
                let Some(default) = &slot.default else { continue };
                if self.values.contains_key(name) || self.missing.iter().any(|m| m.slot == name) {
                    continue;
                }
                let filled = match default {
                    Value::String(text) => template::fill_text(text, &self.values, Escape::No),
                    other => Ok(Some(other.clone())),
                };
                if let Ok(Some(value)) = filled {
                    let value = match (slot.kind, value) {
                        (SlotType::Files, Value::String(one)) => Value::from(vec![one]),
                        (SlotType::Date, Value::String(name)) => self.day(slot, name),
                        (_, value) => value,
                    };
                    self.values.insert(name.to_owned(), value);
                }
            }
        }
        for (name, slot) in playbook.slots.iter() {
            let known =
                self.values.contains_key(name) || self.missing.iter().any(|m| m.slot == name);
            if !known && !slot.optional {
                let candidates = match slot.kind {
                    SlotType::Path => self.files_of_kinds(&slot.kinds),
                    _ => Vec::new(),
                };
                let missing = self.missing(slot, &format!("Which {name}?"), candidates);
                self.missing.push(Missing { slot: name.to_owned(), ..missing });
            }
        }
        let values = &self.values;
        self.missing.retain(|missing| !values.contains_key(&missing.slot));
    }

    /// The day that a default such as `yesterday` means; any other text as it is.
    fn day(&self, slot: &Slot, name: String) -> Value {
        let span = dates::named(&name, self.reading.today);
        Value::String(span.map_or(name, |(start, end)| match slot.bound {
            Bound::Start => start.to_string(),
            Bound::End => end.to_string(),
        }))
    }

    fn view(&self) -> View<'_> {
        View {
            sentence: &self.reading.sentence,
            probe: self.probe,
            from: self.range.start,
            to: self.range.end,
            used: &self.used,
        }
    }

    /// Where a phrase of a rule stands.
    fn find_phrase(&self, phrase: &RulePhrase) -> Option<Range<usize>> {
        phrase.find(self.view())
    }

    /// Quoted words fill text slots before anything else looks at them.
    fn take_quoted_text(&mut self) {
        let playbook = self.playbook;
        let mut quoted = self
            .free_mentions()
            .into_iter()
            .filter_map(|m| match &m.what {
                What::Quoted(text) => Some((text.clone(), m)),
                _ => None,
            })
            .collect::<Vec<_>>();
        let mut slots: Vec<(&str, &Slot)> =
            playbook.slots.iter().filter(|(_, slot)| slot.kind == SlotType::Text).collect();
        // A cue tells which text is whose; the rest go in order of speaking.
        for (name, _) in slots.clone() {
            let at = quoted.iter().position(|(_, m)| self.cued(name, m.from).is_some());
            if let Some(at) = at.filter(|_| slots.len() > 1) {
                let (text, mention) = quoted.remove(at);
                self.give_text(name, text, &mention);
                slots.retain(|(other, _)| *other != name);
            }
        }
        for ((name, _), (text, mention)) in slots.into_iter().zip(quoted) {
            self.give_text(name, text, &mention);
        }
    }

    fn give_text(&mut self, name: &str, text: String, mention: &Mention) {
        self.mark(mention.from..mention.to, Use::Text);
        self.values.insert(name.to_owned(), Value::String(text));
        self.spoken.push(name.to_owned());
        self.spoken.push(quoted(name));
    }
}

/// Whether a path has one of the extensions.
fn fits(path: &str, extensions: &[String]) -> bool {
    crate::reading::extension(path).is_some_and(|own| extensions.contains(&own))
        || extensions
            .iter()
            .any(|ext| crate::reading::name(path).strip_prefix('.').is_some_and(|rest| rest == ext))
}
