//! Words: what follows a cue, up to the end of the clause or the next value.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::playbook::SlotType;
use crate::reading::What;
use crate::words::token::Kind;
use serde_json::Value;
use std::ops::Range;

impl Fill<'_, '_> {
    pub(super) fn text(&mut self, name: &str) -> Found {
        // Words between a cue and a phrase behind them are surest.
        let region = self
            .before_cue(name, true)
            .or_else(|| self.behind_cue(name))
            .or_else(|| self.before_cue(name, false));
        let Some((lead, region)) = region else { return Ok(None) };
        let text = self.sentence().words(region.start, region.end).to_owned();
        self.mark(lead, Use::Lead);
        self.mark(region, Use::Text);
        Ok(Some(Value::String(text)))
    }

    /// "where X is mentioned": the words before a phrase.
    fn before_cue(&self, name: &str, led: bool) -> Option<(Range<usize>, Range<usize>)> {
        for end in self.places(self.index.tails(self.p, name)) {
            let leads = self.cue_places(name);
            let lead = leads.iter().filter(|c| c.end < end.start).max_by_key(|c| c.end);
            if led && lead.is_none() {
                continue;
            }
            let mut start = lead.map_or(self.range.start, |c| c.end);
            // Nothing that names a place, and no mark, is part of the words.
            let ends =
                |i: &usize| !self.is_free(*i) || self.sentence().tokens[*i].kind == Kind::Mark;
            start = (start..end.start).rev().find(ends).map_or(start, |i| i + 1);
            for mention in &self.reading.mentions {
                let place = mention.to <= end.start
                    && mention.from >= start
                    && self.is_place(mention.from, &mention.what)
                    && (self.is_named(mention.from) || self.is_led_behind(start, mention.from));
                if place {
                    start = mention.to;
                }
            }
            if let Some(region) = self.trim(start..end.start) {
                return Some((end, region));
            }
        }
        None
    }

    fn behind_cue(&self, name: &str) -> Option<(Range<usize>, Range<usize>)> {
        let sentence = self.sentence();
        // "replace X with Y": the other text begins where its cue stands.
        let others: Vec<usize> = self
            .playbook
            .slots
            .iter()
            .filter(|(other, slot)| slot.kind == SlotType::Text && *other != name)
            .flat_map(|(other, _)| self.cue_places(other))
            .map(|cue| cue.start)
            .collect();
        for cue in self.cue_places(name) {
            let mut end = cue.end;
            while end < self.range.end && self.is_free(end) {
                let token = &sentence.tokens[end];
                let place =
                    self.reading.mentions.iter().any(|m| self.leads_to_place(end, m.from, &m.what))
                        || self.everywhere(end);
                let inside = end > cue.end;
                let next = inside && self.next_clause(end);
                if token.kind == Kind::Mark && token.text != "&"
                    || inside && (place || others.contains(&end))
                    || next
                {
                    break;
                }
                end += 1;
            }
            if let Some(region) = self.trim(cue.end..end) {
                return Some((cue, region));
            }
        }
        None
    }

    /// Whether "in all files" or the like begins at piece `i`.
    fn everywhere(&self, i: usize) -> bool {
        let sentence = self.sentence();
        let Some((_, length)) = sentence.language.at.longest(&sentence.folded, i) else {
            return false;
        };
        let noun = |at: usize| {
            sentence.tokens[at].is_word()
                && (sentence.means(at, "file") || sentence.means(at, "folder"))
        };
        (i + length..self.range.end)
            .take(3)
            .take_while(|at| noun(*at) || sentence.is_stop(*at))
            .any(noun)
    }

    /// Whether piece `i` is the preposition before a place, or the place itself.
    fn leads_to_place(&self, i: usize, from: usize, what: &What) -> bool {
        if !self.is_place(from, what) {
            return false;
        }
        let language = self.sentence().language;
        from == i && self.is_named(from)
            || self.reading.lead(from, &language.at).is_some_and(|lead| lead.start == i)
    }

    /// Whether a place is told by its form, as `garden.md` is: "about the garden" is
    /// none, though there be such a file.
    fn is_named(&self, from: usize) -> bool {
        self.sentence().tokens.get(from).is_some_and(|token| token.is_value())
    }

    /// Whether a preposition behind piece `start` leads to a place.
    fn is_led_behind(&self, start: usize, from: usize) -> bool {
        let lead = self.reading.lead(from, &self.sentence().language.at);
        lead.is_some_and(|lead| lead.start >= start)
    }

    fn is_place(&self, from: usize, what: &What) -> bool {
        match what {
            What::Path { .. } | What::Glob(_) | What::Folder(_) => true,
            What::Files(_) => self.reading.led_by(from, &self.sentence().language.at),
            _ => false,
        }
    }

    /// Whether "and" with a verb behind it begins at piece `i`.
    fn next_clause(&self, i: usize) -> bool {
        let sentence = self.sentence();
        let Some((_, length)) = sentence.language.join.longest(&sentence.folded, i) else {
            return false;
        };
        const VERBS: [&str; 8] =
            ["find", "show", "collect", "write", "convert", "count", "move", "delete"];
        let verb = |at: usize| VERBS.iter().any(|verb| sentence.means(at, verb));
        let quoting = |at: usize| {
            sentence
                .folded
                .get(at)
                .is_some_and(|_| self.index.knows(self.probe, at, self.p) && !sentence.is_stop(at))
        };
        (i + length..self.range.end).take(2).any(|at| verb(at) || quoting(at))
    }

    /// A region without function words at its ends; `None` when nothing is left.
    fn trim(&self, region: Range<usize>) -> Option<Range<usize>> {
        let sentence = self.sentence();
        let (mut start, mut end) = (region.start, region.end);
        let idle = |i: usize| {
            let token = &sentence.tokens[i];
            token.kind == Kind::Mark
                || token.is_word()
                    && (sentence.is_stop(i) || sentence.is_filler(i) || sentence.means(i, "word"))
        };
        while start < end && idle(start) {
            start += 1;
        }
        while end > start && idle(end - 1) {
            end -= 1;
        }
        (start < end && end - start <= 12).then_some(start..end)
    }
}
