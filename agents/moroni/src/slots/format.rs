//! A file format.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::playbook::{Allowed, Slot};
use serde_json::Value;

const FORMATS: [&str; 6] = ["json", "yaml", "yml", "toml", "csv", "tsv"];

impl Fill<'_, '_> {
    pub(super) fn format(&mut self, name: &str, slot: &Slot) -> Found {
        let allowed: Vec<&str> = slot
            .values
            .iter()
            .filter_map(|allowed| match allowed {
                Allowed::Name(name) => Some(name.as_str()),
                Allowed::Choice(_) => None,
            })
            .collect();
        let named = |i: usize| {
            let word = self.sentence().folded[i].as_str();
            let name = FORMATS.iter().find(|format| **format == word)?;
            let name = if *name == "yml" { "yaml" } else { name };
            (allowed.is_empty() || allowed.contains(&name)).then_some(name)
        };
        let language = self.sentence().language;
        let places: Vec<(usize, &str)> = self
            .range
            .clone()
            .filter(|i| self.is_free(*i) && self.sentence().tokens[*i].is_word())
            .filter_map(|i| named(i).map(|name| (i, name)))
            .collect();
        let cued =
            |i: usize| self.cued(name, i).is_some() || self.reading.led_by(i, &language.into);
        // Of two formats the one behind "to" is the wanted one, else the last.
        let chosen = places.iter().rev().find(|(i, _)| cued(*i)).or(places.last());
        let Some((at, name)) = chosen.copied() else { return Ok(None) };
        let name = name.to_owned();
        for (i, _) in places {
            self.mark(i..i + 1, Use::Lead);
        }
        self.mark(at..at + 1, Use::Value);
        Ok(Some(Value::String(name)))
    }
}
