//! A day.

use super::{Fill, Found};
use crate::playbook::{Bound, Slot};
use crate::reading::What;
use serde_json::Value;

impl Fill<'_, '_> {
    pub(super) fn date(&mut self, name: &str, slot: &Slot) -> Found {
        let days: Vec<_> = self
            .free_mentions()
            .into_iter()
            .filter_map(|m| match m.what {
                What::Days(span) => Some((span, m)),
                _ => None,
            })
            .collect();
        let cued = days.iter().find(|(_, m)| self.cued(name, m.from).is_some());
        let first = days.first().filter(|_| slot.cues.is_empty());
        let Some((span, mention)) = cued.or(first) else { return Ok(None) };
        let day = match slot.bound {
            Bound::Start => span.start,
            Bound::End => span.end,
        };
        let mention = mention.clone();
        self.take(&mention);
        Ok(Some(Value::String(day.to_string())))
    }
}
