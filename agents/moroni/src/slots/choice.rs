//! One or more of the values that a playbook lists, each with its words.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::playbook::{Allowed, Slot};
use serde_json::Value;
use std::ops::Range;

impl Fill<'_, '_> {
    pub(super) fn choice(&mut self, name: &str, slot: &Slot) -> Found {
        let mut found: Vec<(Range<usize>, Value)> = Vec::new();
        for (allowed, phrases) in slot.values.iter().zip(self.index.choices(self.p, name)) {
            let Allowed::Choice(choice) = allowed else { continue };
            let place = phrases.iter().filter_map(|phrase| self.find_phrase(phrase));
            if let Some(place) = place.max_by_key(Range::len) {
                found.push((place, choice.value.clone()));
            }
        }
        // Words that are part of longer words of another value do not count.
        let longest = found.clone();
        found.retain(|(place, _)| {
            !longest.iter().any(|(other, _)| {
                other.len() > place.len() && other.start <= place.start && place.end <= other.end
            })
        });
        for (place, _) in &found {
            self.mark(place.clone(), Use::Lead);
        }
        if !slot.many {
            return Ok(found.into_iter().min_by_key(|(p, _)| p.start).map(|(_, value)| value));
        }
        let mut values = Vec::new();
        for (_, value) in found {
            let several = match value {
                Value::Array(several) => several,
                one => vec![one],
            };
            for value in several {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        Ok((!values.is_empty()).then_some(Value::Array(values)))
    }
}
