//! Columns of a table.

use super::{Fill, Found, Missing};
use crate::likeness::Use;
use crate::playbook::Slot;
use crate::tables::{ColumnWords, Spelled, Table};
use charter::survey::Column;
use serde_json::Value;

impl<'a> Fill<'_, 'a> {
    pub(super) fn column(&mut self, name: &str, slot: &Slot) -> Found {
        let Some(path) = self.table_path(slot) else { return Ok(None) };
        let Some(table) = self.reading.table(&path) else { return self.unknown_column(name, slot) };
        let mut found = self.cued_columns(name, slot, table);
        if found.is_empty() && (slot.cues.is_empty() || slot.numeric) {
            found = self.free_columns(slot, table);
        }
        let mut columns: Vec<Value> = Vec::new();
        for (at, length, column) in found {
            let new = !columns.iter().any(|c| c.as_str() == Some(&column));
            if new && (slot.many || columns.is_empty()) {
                self.mark(at..at + length, Use::Value);
                columns.push(Value::String(column));
            }
        }
        if columns.is_empty() && slot.only {
            columns.extend(self.only_column(slot, table)?.map(Value::String));
        }
        if columns.is_empty() && !slot.optional && slot.default.is_none() {
            let names = table.columns.iter().filter(|c| suits(slot, c.column));
            let names = names.map(|c| c.column.name.as_str()).collect();
            return Err(self.missing(slot, "Which column?", names));
        }
        Ok(match columns.len() {
            0 => None,
            _ if slot.many => Some(Value::Array(columns)),
            _ => columns.into_iter().next(),
        })
    }

    /// The path of the table that a slot speaks of.
    pub(super) fn table_path(&self, slot: &Slot) -> Option<String> {
        Some(self.values.get(slot.of.as_deref()?)?.as_str()?.to_owned())
    }

    /// A table whose columns are not known: a word behind a cue is taken as it is.
    fn unknown_column(&mut self, name: &str, slot: &Slot) -> Found {
        let cue = self.cue_places(name).into_iter().find(|cue| {
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
    fn cued_columns(
        &self,
        name: &str,
        slot: &Slot,
        table: &Table<'a>,
    ) -> Vec<(usize, usize, String)> {
        let sentence = self.sentence();
        let mut places: Vec<usize> = self.cue_places(name).into_iter().map(|p| p.end).collect();
        places.sort_unstable();
        places.dedup();
        let mut found: Vec<(usize, usize, String)> = Vec::new();
        for place in places {
            let mut at = place;
            let mut passed = 0;
            while self.range.contains(&at) && passed < 3 {
                if let Some((column, length, direct)) = self.column_at(table, at)
                    && suits(slot, column)
                    && (direct || self.is_free(at))
                    && self.used[at] < Use::Value
                {
                    found.push((at, length, column.name.clone()));
                    at += length;
                    passed = if slot.many { 1 } else { 3 };
                    continue;
                }
                // "by town where paid is yes": no group behind "where".
                let condition = sentence.language.where_.longest(&sentence.folded, at).is_some();
                if condition && !found.is_empty() {
                    break;
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

    /// Columns that are named anywhere; spelled ones before meant ones.
    fn free_columns(&self, slot: &Slot, table: &Table<'a>) -> Vec<(usize, usize, String)> {
        let (mut found, mut loose) = (Vec::new(), Vec::new());
        let mut at = self.range.start;
        while at < self.range.end {
            let spoken = self
                .column_at(table, at)
                .filter(|(column, _, _)| suits(slot, column) && self.used[at] < Use::Value);
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

    /// The column that words at `at` name, how many words, and whether they spell
    /// its name (or only mean the same).
    pub(super) fn column_at(
        &self,
        table: &Table<'a>,
        at: usize,
    ) -> Option<(&'a Column, usize, bool)> {
        let sentence = self.sentence();
        if !sentence.tokens.get(at)?.is_word() {
            return None;
        }
        let spelled = table.columns.iter().filter_map(|column| {
            Some((self.spells(column, at)?, column.words.len(), column.column))
        });
        if let Some((_, length, column)) = spelled.max_by_key(|(how, length, _)| (*how, *length)) {
            return Some((column, length, true));
        }
        if sentence.is_stop(at) {
            return None;
        }
        let mut same = table
            .columns
            .iter()
            .filter(|column| column.concepts.iter().any(|concept| sentence.means(at, concept)));
        match (same.next(), same.next()) {
            (Some(only), None) => Some((only.column, 1, false)),
            _ => None,
        }
    }

    /// How well words of the wish at `at` spell the name of a column.
    fn spells(&self, column: &ColumnWords<'a>, at: usize) -> Option<Spelled> {
        let mut worst = None;
        for (k, word) in column.words.iter().enumerate() {
            let i = at + k;
            if i >= self.range.end || self.used[i] == Use::Text {
                return None;
            }
            let how = word.spelled(self.sentence(), i, 5)?;
            worst = Some(worst.map_or(how, |worst: Spelled| worst.min(how)));
        }
        worst
    }

    /// Without a word for it: the sole column of numbers, or the sole one that
    /// means an amount.
    fn only_column(&mut self, slot: &Slot, table: &Table<'a>) -> Result<Option<String>, Missing> {
        let candidates: Vec<&ColumnWords<'a>> =
            table.columns.iter().filter(|column| suits(slot, column.column)).collect();
        if let [one] = candidates.as_slice() {
            return Ok(Some(one.column.name.clone()));
        }
        let mut amounts = candidates.iter().filter(|column| column.is_amount());
        if let (Some(one), None) = (amounts.next(), amounts.next()) {
            let name = one.column.name.clone();
            self.notes.push(format!("The column {name} was taken."));
            return Ok(Some(name));
        }
        let names: Vec<&str> = candidates.iter().map(|c| c.column.name.as_str()).collect();
        if names.is_empty() {
            let mut missing = self.missing(slot, "", Vec::new());
            missing.question = format!("{} has no column of numbers.", table.path);
            return Err(missing);
        }
        match slot.optional {
            true => Ok(None),
            false => Err(self.missing(slot, "Which column?", names)),
        }
    }
}

fn suits(slot: &Slot, column: &Column) -> bool {
    !slot.numeric || column.numeric
}
