//! A number.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::playbook::Slot;
use crate::reading::What;
use crate::words::numbers;
use rust_decimal::Decimal;

impl Fill<'_, '_> {
    pub(super) fn number(&mut self, name: &str, slot: &Slot) -> Found {
        let digits = self.free_mentions().into_iter().find_map(|m| match m.what {
            What::Number(number) => {
                let cue = self.cued(name, m.from);
                (slot.cues.is_empty() || cue.is_some()).then_some((number, m.from, m.to, cue))
            }
            _ => None,
        });
        if let Some((number, from, to, cue)) = digits {
            self.mark(from..to, Use::Value);
            self.mark(cue.unwrap_or(from..from), Use::Lead);
            return Ok(Some(numbers::json(number)));
        }
        // Number words are words too ("one"), so they count only behind a cue.
        for cue in self.cue_places(name) {
            let spelled = self.sentence().folded.get(cue.end);
            let number = spelled.and_then(|word| self.sentence().language.numbers.get(word));
            if let Some(number) = number.copied().filter(|_| self.is_free(cue.end)) {
                self.mark(cue.end..cue.end + 1, Use::Value);
                return Ok(Some(numbers::json(Decimal::from(number))));
            }
        }
        Ok(None)
    }
}
