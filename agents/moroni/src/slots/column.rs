//! Columns of a table.

use super::{Fill, Found, Missing};
use crate::likeness::Use;
use crate::playbook::Slot;
use crate::words::fold::{distance, fold};
use crate::words::sentence::Sentence;
use crate::words::token::tokens;
use charter::survey::{Column, Entry};
use serde_json::Value;

/// Concepts that name what stands in a column. A verb such as "total" is none.
const NOUNS: [&str; 19] = [
    "amount",
    "category",
    "customer",
    "country",
    "city",
    "price",
    "quantity",
    "name",
    "status",
    "project",
    "product",
    "department",
    "month",
    "year",
    "vendor",
    "payment",
    "region",
    "expense",
    "order",
];

impl Fill<'_, '_> {
    pub(super) fn column(&mut self, name: &str, slot: &Slot) -> Found {
        let Some(entry) = self.table(slot).cloned() else { return Ok(None) };
        if entry.columns.is_empty() {
            return self.unknown_column(name, slot);
        }
        let mut found = self.cued_columns(slot, &entry);
        if found.is_empty() && (slot.cues.is_empty() || slot.numeric) {
            found = self.free_columns(slot, &entry);
        }
        let mut columns: Vec<Value> = Vec::new();
        for (at, length, column) in found {
            if !columns.iter().any(|c| c.as_str() == Some(&column))
                && (slot.many || columns.is_empty())
            {
                self.mark(at..at + length, Use::Value);
                columns.push(Value::String(column));
            }
        }
        if columns.is_empty() && slot.only {
            columns.extend(self.only_column(slot, &entry)?.map(Value::String));
        }
        if columns.is_empty() && !slot.optional && slot.default.is_none() {
            let names = entry.columns.iter().filter(|c| !slot.numeric || c.numeric);
            let names = names.map(|c| c.name.clone()).collect();
            return Err(self.missing(slot, "Which column?", names));
        }
        Ok(match columns.len() {
            0 => None,
            _ if slot.many => Some(Value::Array(columns)),
            _ => columns.into_iter().next(),
        })
    }

    /// The table that a slot speaks of.
    pub(super) fn table(&self, slot: &Slot) -> Option<&Entry> {
        let path = self.values.get(slot.of.as_deref()?)?.as_str()?;
        self.reading.entry(path)
    }

    /// A table whose columns are not known: quoted words and words behind a cue are
    /// taken as they are.
    fn unknown_column(&mut self, name: &str, slot: &Slot) -> Found {
        let cue = self.places(&slot.cues).into_iter().find(|cue| {
            self.is_free(cue.end)
                && self.range.contains(&cue.end)
                && self.sentence().tokens[cue.end].is_word()
                && !self.sentence().is_stop(cue.end)
        });
        match cue {
            Some(cue) => {
                let text = self.sentence().tokens[cue.end].text.clone();
                self.mark(cue.end..cue.end + 1, Use::Value);
                let value = Value::String(text);
                Ok(Some(if slot.many { Value::Array(vec![value]) } else { value }))
            }
            None if slot.optional || slot.default.is_some() => Ok(None),
            None => Err(self.missing(slot, &format!("Which {name}?"), Vec::new())),
        }
    }

    /// Columns behind a cue, and behind "and" after those.
    fn cued_columns(&self, slot: &Slot, entry: &Entry) -> Vec<(usize, usize, String)> {
        let sentence = self.sentence();
        let mut places: Vec<usize> = self.places(&slot.cues).into_iter().map(|p| p.end).collect();
        places.sort_unstable();
        places.dedup();
        let mut found: Vec<(usize, usize, String)> = Vec::new();
        for place in places {
            let mut at = place;
            let mut passed = 0;
            while self.range.contains(&at) && passed < 3 {
                if let Some((column, length, direct)) = self.column_at(entry, at)
                    && self.suits(slot, column)
                    && (direct || self.is_free(at))
                    && self.used[at] < Use::Value
                {
                    found.push((at, length, column.name.clone()));
                    at += length;
                    passed = if slot.many { 1 } else { 3 };
                    continue;
                }
                let joins = sentence.language.join.longest(&sentence.folded, at).is_some()
                    || matches!(sentence.tokens[at].text.as_str(), "," | "&" | "+");
                let skipped = joins || sentence.is_stop(at) || sentence.means(at, "column");
                if !skipped {
                    passed += if found.is_empty() && slot.numeric { 1 } else { 3 };
                }
                at += 1;
            }
            if !found.is_empty() && !slot.many {
                break;
            }
        }
        found
    }

    fn free_columns(&self, slot: &Slot, entry: &Entry) -> Vec<(usize, usize, String)> {
        let mut found = Vec::new();
        let mut loose = Vec::new();
        let mut at = self.range.start;
        while at < self.range.end {
            let spoken = self
                .column_at(entry, at)
                .filter(|(column, _, _)| self.suits(slot, column) && self.used[at] < Use::Value);
            match spoken {
                Some((column, length, direct)) => {
                    let list = if direct { &mut found } else { &mut loose };
                    list.push((at, length, column.name.clone()));
                    at += length;
                }
                None => at += 1,
            }
        }
        if found.is_empty() { loose } else { found }
    }

    fn suits(&self, slot: &Slot, column: &Column) -> bool {
        !slot.numeric || column.numeric
    }

    /// The column that words at `at` name, how many words, and whether they spell
    /// its name (or only mean the same).
    pub(super) fn column_at<'e>(
        &self,
        entry: &'e Entry,
        at: usize,
    ) -> Option<(&'e Column, usize, bool)> {
        let sentence = self.sentence();
        if !sentence.tokens.get(at)?.is_word() {
            return None;
        }
        let mut best: Option<(&Column, usize, u8)> = None;
        for column in &entry.columns {
            let words: Vec<String> = tokens(&column.name, &|_| false)
                .iter()
                .filter(|t| t.is_word() || t.is_value())
                .map(|t| t.text.clone())
                .collect();
            let Some((nearness, length)) = self.spells(&words, at) else { continue };
            let better =
                best.is_none_or(|(_, longest, nearest)| (nearness, length) > (nearest, longest));
            if better {
                best = Some((column, length, nearness));
            }
        }
        if let Some((column, length, _)) = best {
            return Some((column, length, true));
        }
        if sentence.is_stop(at) {
            return None;
        }
        let meant: Vec<&str> =
            NOUNS.into_iter().filter(|concept| sentence.means(at, concept)).collect();
        let mut same = entry.columns.iter().filter(|column| {
            concepts(sentence, &column.name).iter().any(|c| meant.contains(&c.as_str()))
        });
        match (same.next(), same.next()) {
            (Some(only), None) => Some((only, 1, false)),
            _ => None,
        }
    }

    /// How well words of the wish at `at` spell these words: 3 exactly, 2 by stem,
    /// 1 with a typo.
    fn spells(&self, words: &[String], at: usize) -> Option<(u8, usize)> {
        let sentence = self.sentence();
        let mut nearness = 3;
        for (k, word) in words.iter().enumerate() {
            let i = at + k;
            if i >= self.range.end || self.used[i] == Use::Text {
                return None;
            }
            let folded = fold(word);
            let english = sentence.lexicon.languages.first()?;
            nearness = nearness.min(if folded == sentence.folded[i] {
                3
            } else if sentence.language.stem(word) == sentence.stems[i]
                || english.stem(word) == sentence.english[i]
            {
                2
            } else if folded.chars().count() >= 5
                && sentence.folded[i].chars().count() >= 5
                && distance(&folded, &sentence.folded[i], 1).is_some()
            {
                1
            } else {
                return None;
            });
        }
        (!words.is_empty()).then_some((nearness, words.len()))
    }

    /// Without a word for it: the sole column of numbers, or the sole one that
    /// means an amount.
    fn only_column(&mut self, slot: &Slot, entry: &Entry) -> Result<Option<String>, Missing> {
        let candidates: Vec<&Column> =
            entry.columns.iter().filter(|column| self.suits(slot, column)).collect();
        if let [one] = candidates.as_slice() {
            return Ok(Some(one.name.clone()));
        }
        let amounts: Vec<&&Column> = candidates
            .iter()
            .filter(|column| {
                let means = concepts(self.sentence(), &column.name);
                means.iter().any(|c| c == "amount" || c == "price")
            })
            .collect();
        if let [one] = amounts.as_slice() {
            let name = one.name.clone();
            self.notes.push(format!("The column {name} was taken."));
            return Ok(Some(name));
        }
        let names: Vec<String> = candidates.iter().map(|column| column.name.clone()).collect();
        if names.is_empty() {
            let mut missing = self.missing(slot, "", Vec::new());
            missing.question = format!("{} has no column of numbers.", entry.path);
            return Err(missing);
        }
        match slot.optional {
            true => Ok(None),
            false => Err(self.missing(slot, "Which column?", names)),
        }
    }
}

/// Concepts of a column's name in any language.
pub(super) fn concepts(sentence: &Sentence<'_>, name: &str) -> Vec<String> {
    let words: Vec<String> =
        tokens(name, &|_| false).iter().filter(|t| t.is_word()).map(|t| t.text.clone()).collect();
    let mut found = Vec::new();
    for language in &sentence.lexicon.languages {
        let stems: Vec<String> = words.iter().map(|word| language.stem(word)).collect();
        for i in 0..stems.len() {
            let named = language.concepts.all(&stems, i).map(|(concept, _)| concept);
            found.extend(named.filter(|c| NOUNS.contains(c)).map(str::to_owned));
        }
    }
    found
}
