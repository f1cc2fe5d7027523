//! Where the words say what varies, and what it follows from where they do not.

use super::super::Sample;
use super::super::same::{names_only, selected};
use super::{Fill, Flaw, Hole, Maker, parts, texts};
use crate::planner::{Names, Piece};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;

impl Maker<'_, '_> {
    /// Finds where the words say each value; what no word says must follow from
    /// something else.
    pub(super) fn say(&mut self) -> Result<(), Flaw> {
        let mut taken: Vec<Vec<Range<usize>>> = vec![Vec::new(); self.samples.len()];
        // What is named literally goes before what is meant by "the photos".
        let mut order: Vec<usize> = (0..self.holes.len()).collect();
        order.sort_by_key(|i| (self.holes[*i].fill == Fill::Files, self.holes[*i].fill));
        for i in order {
            let said: Vec<_> = (0..self.samples.len())
                .map(|nth| {
                    let found = say(&self.holes[i], nth, &self.samples[nth], &taken[nth]);
                    taken[nth].extend(found.clone());
                    found
                })
                .collect();
            self.holes[i].said = said;
        }
        // Texts that differ: part of another slot's value, or words of the wish.
        for ((i, pointer), values) in std::mem::take(&mut self.open) {
            let all: Option<Vec<String>> =
                values.iter().map(|v| v.as_str().map(str::to_owned)).collect();
            if names_only(&pointer) || all.as_ref().is_some_and(|all| self.template(all).is_some())
            {
                self.open.push(((i, pointer), values));
                continue;
            }
            let mut hole = Hole::new(Fill::Text, &values, (i, pointer.clone()));
            let text = |value: &Value| value.is_string() || value.is_null();
            if values.iter().all(text) {
                for (nth, (sample, taken)) in self.samples.iter().zip(&mut taken).enumerate() {
                    let found = say(&hole, nth, sample, taken);
                    taken.extend(found.clone());
                    hole.said.push(found);
                }
            }
            if !hole.unsaid().is_empty() {
                return Err(differs(&hole));
            }
            self.holes.push(hole);
        }
        for i in 0..self.holes.len() {
            self.complete(i)?;
        }
        Ok(())
    }

    /// Cues, defaults and owners of a slot.
    pub(super) fn complete(&mut self, i: usize) -> Result<(), Flaw> {
        let hole = &self.holes[i];
        let mut cues = BTreeSet::new();
        if matches!(hole.fill, Fill::Text | Fill::Number | Fill::Column) {
            for (said, sample) in hole.said.iter().zip(self.samples) {
                let Some(range) = said else { continue };
                let before = sample.reading.pieces.iter().rfind(|p| p.end <= range.start);
                let word = before.filter(|p| p.folded.chars().all(char::is_alphabetic));
                cues.extend(word.map(|p| p.folded.clone()));
            }
        }
        let of = (hole.fill == Fill::Column)
            .then(|| self.holes.iter().find(|other| other.fill == Fill::Path))
            .flatten()
            .map(|path| path.values.clone());
        if hole.fill == Fill::Column && of.is_none() {
            return Err(Flaw::new("a column differs between them, but no table does".to_owned()));
        }
        let unsaid = hole.unsaid();
        let default = match unsaid.is_empty() {
            true => None,
            // What some do without is had only by a word for it.
            false if hole.optional => return Err(differs(hole)),
            false => Some(self.default(i, &unsaid)?),
        };
        let hole = &mut self.holes[i];
        hole.cues = cues.into_iter().collect();
        // Replaced by the name of that slot as soon as slots have names.
        hole.of = of.map(|values| json!(values).to_string());
        hole.default = default;
        Ok(())
    }

    /// The value where no word says it.
    pub(super) fn default(&self, i: usize, unsaid: &[usize]) -> Result<Value, Flaw> {
        let hole = &self.holes[i];
        if hole.fill == Fill::NewFile {
            let derived = self.follows(hole);
            return Ok(derived.unwrap_or_else(|| Value::String(file_name(hole))));
        }
        if hole.fill == Fill::Path && unsaid.len() < self.samples.len() {
            // The only file of its kind is taken without a word.
            return Ok(Value::Null);
        }
        let everything = |nth: &usize| {
            let survey = &self.samples[*nth].mission.survey;
            let all = selected(&["**/*"], survey);
            !all.is_empty() && selected(&texts(&hole.values[*nth]), survey) == all
        };
        if hole.fill == Fill::Files && unsaid.iter().all(everything) {
            return Ok(json!(["**/*"]));
        }
        let one = &hole.values[unsaid[0]];
        if unsaid.len() < self.samples.len() && unsaid.iter().all(|nth| hole.values[*nth] == *one) {
            return Ok(one.clone());
        }
        Err(differs(hole))
    }

    /// The name of a new file, where it follows from the name of a file that is read.
    pub(super) fn follows(&self, hole: &Hole) -> Option<Value> {
        for (at, path) in self.holes.iter().enumerate().filter(|(_, h)| h.fill == Fill::Path) {
            let forms: Option<BTreeSet<String>> = hole
                .values
                .iter()
                .zip(&path.values)
                .map(|(value, source)| {
                    let (folder, stem) = parts(source.as_str()?);
                    let whole = format!("{folder}{stem}");
                    let found = value.as_str()?.strip_prefix(&whole);
                    let text = match found {
                        Some(rest) => format!("{{{{#{at}.folder}}}}{{{{#{at}.stem}}}}{rest}"),
                        None => value.as_str()?.replacen(stem, &format!("{{{{#{at}.stem}}}}"), 1),
                    };
                    text.contains("{{").then_some(text)
                })
                .collect();
            if let Some(forms) = forms.filter(|forms| forms.len() == 1) {
                return forms.into_iter().next().map(Value::String);
            }
        }
        None
    }
}

/// No word says a value: those with the same one may make a playbook together.
fn differs(hole: &Hole) -> Flaw {
    let key = hole.spots.first().and_then(|(_, pointer)| pointer.rsplit('/').next());
    Flaw {
        why: format!("\"{}\" differs between them and no word says how", key.unwrap_or_default()),
        divide: Some(hole.values.iter().map(ToString::to_string).collect()),
    }
}

/// Where a sample says the value of a slot.
pub(super) fn say(
    hole: &Hole,
    nth: usize,
    sample: &Sample<'_>,
    taken: &[Range<usize>],
) -> Option<Range<usize>> {
    let wish = &sample.mission.wish;
    let trimmed = wish.len() - wish.trim_start().len();
    let wish = wish.trim();
    let free = |range: &Range<usize>| {
        taken.iter().all(|other| range.end <= other.start || range.start >= other.end)
    };
    let shift = |p: &Piece| p.start.saturating_sub(trimmed)..p.end.saturating_sub(trimmed);
    let pieces: Vec<(&Piece, Range<usize>)> =
        sample.reading.pieces.iter().map(|p| (p, shift(p))).filter(|(_, r)| free(r)).collect();
    let value = hole.values.get(nth)?;
    match hole.fill {
        Fill::Files => {
            let named: Vec<&Range<usize>> =
                pieces.iter().filter(|(p, _)| p.names == Names::Files).map(|(_, r)| r).collect();
            let (first, last) = (named.first()?, named.last()?);
            let whole = first.start..last.end;
            Some(if free(&whole) { whole } else { (*first).clone() })
        }
        Fill::Number => pieces
            .iter()
            .find(|(p, r)| {
                p.names == Names::Number
                    && wish.get(r.clone()).and_then(|t| t.parse::<f64>().ok()) == value.as_f64()
            })
            .map(|(_, r)| r.clone()),
        Fill::Date => pieces.iter().find(|(p, _)| p.names == Names::Days).map(|(_, r)| r.clone()),
        Fill::Path | Fill::NewFile | Fill::Folder => {
            let text = value.as_str()?.trim_end_matches('/');
            let (folder, stem) = parts(text);
            let name = text.strip_prefix(folder).unwrap_or(text);
            let mut ways = vec![text, name];
            if hole.fill == Fill::Path && stem.len() > 2 {
                ways.push(stem);
            }
            ways.into_iter().find_map(|way| find(wish, way, &free))
        }
        Fill::Column | Fill::Choice | Fill::Format | Fill::Text => {
            let all = texts(value);
            let one = all.first()?;
            let literal = find(wish, one, &free);
            let by_form = || {
                let like = |p: &&(&Piece, Range<usize>)| is_form(&p.0.folded, one);
                pieces.iter().find(like).map(|(_, r)| r.clone())
            };
            literal.or_else(|| if hole.fill == Fill::Text { None } else { by_form() })
        }
    }
}

/// Where a text stands as a word of its own, quotation marks included.
pub(super) fn find(
    wish: &str,
    text: &str,
    free: &dyn Fn(&Range<usize>) -> bool,
) -> Option<Range<usize>> {
    if text.is_empty() {
        return None;
    }
    let (wish_low, low) = (wish.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut from = 0;
    while let Some(at) = wish_low.get(from..).and_then(|rest| rest.find(&low)) {
        let (start, end) = (from + at, from + at + low.len());
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let before = wish[..start].chars().next_back();
        let after = wish[end..].chars().next();
        let mut range = start..end;
        if before == after && matches!(before, Some('"' | '\'')) {
            range = start - 1..end + 1;
        }
        // "notes/a.md" does not say "a.md" of another folder.
        let alone = before.is_none_or(|c| !word(c) && !matches!(c, '/' | '.' | '-'))
            && after.is_none_or(|c| !word(c) && c != '/');
        if alone && free(&range) {
            return Some(range);
        }
        from = end;
    }
    None
}

/// Whether a word is a form of another: "expenses" of "expense".
pub(super) fn is_form(word: &str, value: &str) -> bool {
    let value = value.to_lowercase();
    let common = word.chars().zip(value.chars()).take_while(|(a, b)| a == b).count();
    let longest = word.chars().count().max(value.chars().count());
    common >= 3 && common + 3 >= longest && common * 10 >= longest * 6
}

/// A name for a new file: what the names in the samples have in common.
pub(super) fn file_name(hole: &Hole) -> String {
    let names: Vec<&str> = hole.values.iter().filter_map(Value::as_str).collect();
    let stems: Vec<Vec<char>> = names.iter().map(|name| parts(name).1.chars().collect()).collect();
    let common = |turned: bool| -> String {
        let at = |stem: &Vec<char>, i: usize| {
            let i = if turned { stem.len().checked_sub(i + 1) } else { Some(i) };
            i.and_then(|i| stem.get(i)).copied()
        };
        let Some(first) = stems.first() else { return String::new() };
        let same = |i: &usize| {
            stems.iter().all(|stem| at(stem, *i).is_some() && at(stem, *i) == at(first, *i))
        };
        let mut found: Vec<char> =
            (0..first.len()).take_while(same).filter_map(|i| at(first, i)).collect();
        if turned {
            found.reverse();
        }
        let text: String = found.into_iter().collect();
        text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
    };
    let stem = [common(true), common(false)].into_iter().find(|stem| stem.chars().count() > 2);
    let extension = hole.ext.first().map_or("md", String::as_str);
    format!("{}.{extension}", stem.unwrap_or_else(|| "result".to_owned()))
}
