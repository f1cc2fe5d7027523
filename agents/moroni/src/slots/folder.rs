//! A folder, existing or new.

use super::{Fill, Found};
use crate::likeness::Use;
use crate::reading::{Mention, What, extension, plain};
use crate::words::token::Kind;
use serde_json::Value;

impl Fill<'_, '_> {
    pub(super) fn folder(&mut self, name: &str) -> Found {
        let language = self.sentence().language;
        let led = |fill: &Self, at: usize| {
            fill.cued(name, at).is_some() || fill.reading.led_by(at, &language.into)
        };
        let mentions = self.free_mentions();
        let spoken: Vec<(&Mention, String, bool)> = mentions
            .iter()
            .filter_map(|m| {
                let (path, sure) = match &m.what {
                    What::Path { text, folder, .. } if *folder => (text.clone(), true),
                    What::Path { text, entries, .. }
                        if entries.is_empty() && extension(text).is_none() =>
                    {
                        (text.clone(), true)
                    }
                    What::Folder(path) => (path.clone(), false),
                    _ => return None,
                };
                let leads = led(self, m.from);
                let strictly = leads && !self.reading.led_by(m.from, &language.at);
                (leads || sure && mentions.len() > 1).then_some((m, path, strictly))
            })
            .collect();
        let chosen = spoken.iter().rev().find(|(_, _, strictly)| *strictly).or(spoken.last());
        // Words behind "into" may name a folder that does not exist yet.
        let new = self.new_folder(name);
        if let Some((mention, path, strictly)) = chosen {
            let later = new.as_ref().is_some_and(|(from, _, _)| *from > mention.to && !strictly);
            if !later {
                let (mention, path) = ((*mention).clone(), plain(path));
                self.take(&mention);
                return Ok(Some(Value::String(path)));
            }
        }
        let Some((from, to, folder)) = new else { return Ok(None) };
        self.take(&Mention { what: What::Url, from, to });
        // A made-up name says nothing about what is wished.
        self.mark(from..to, Use::Text);
        Ok(Some(Value::String(folder)))
    }

    /// The last words behind a cue or "into" that can be a name.
    fn new_folder(&self, slot: &str) -> Option<(usize, usize, String)> {
        let sentence = self.sentence();
        let mut places = self.cue_places(slot);
        for i in self.range.clone() {
            if let Some((_, length)) = sentence.language.into.longest(&sentence.folded, i) {
                places.push(i..i + length);
            }
        }
        let mut found: Option<(usize, usize, String)> = None;
        for place in places {
            let mut at = place.end;
            let skipped = |i: usize| {
                sentence.is_stop(i) || sentence.is_filler(i) || sentence.means(i, "folder")
            };
            while at < self.range.end
                && self.is_free(at)
                && sentence.tokens[at].is_word()
                && skipped(at)
            {
                at += 1;
            }
            let ends = at >= self.range.end || !self.is_free(at);
            // "to the folder out": behind a word for "folder" any word is a name.
            let named = at.checked_sub(2).is_some_and(|noun| {
                noun >= place.start && sentence.means(noun, "folder") && at > place.end
            });
            match (ends, named) {
                (true, true) => at -= 1,
                (true, false) => continue,
                (false, _) => {}
            }
            let token = &sentence.tokens[at];
            let start = at;
            match token.kind {
                Kind::Quoted | Kind::Path => at += 1,
                Kind::Word | Kind::Number => {
                    // Pieces that were written as one word stay one.
                    at += 1;
                    while at < self.range.end
                        && sentence
                            .text
                            .get(sentence.tokens[at - 1].end..sentence.tokens[at].start)
                            .is_some_and(|gap| {
                                !gap.is_empty() && gap.chars().all(|c| matches!(c, '-' | '_' | '/'))
                            })
                    {
                        at += 1;
                    }
                }
                _ => continue,
            }
            let name = match token.kind {
                Kind::Quoted | Kind::Path => plain(&token.text),
                _ => sentence.words(start, at).to_owned(),
            };
            let names_files = self.reading.mentions.iter().any(|m| {
                m.from <= start
                    && start < m.to
                    && match &m.what {
                        What::Path { entries, .. } => {
                            !entries.is_empty() || extension(&name).is_some()
                        }
                        What::Glob(_) | What::Days(_) => true,
                        _ => false,
                    }
            });
            if !names_files && found.as_ref().is_none_or(|(from, _, _)| *from < start) {
                found = Some((start, at, name));
            }
        }
        found.filter(|(from, to, _)| (*from..*to).all(|i| self.used.get(i) == Some(&Use::No)))
    }
}
