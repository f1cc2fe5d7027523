//! The port behind which a small model says at once what a text is.
//!
//! It advises: rules and bounds decide, with it and without it.

use crate::conversation::Route;
use std::collections::BTreeMap;

/// Says what texts are, in milliseconds and without a network.
pub trait Reflex: Send + Sync {
    /// How likely a message takes each route, in the order of [`Route::ALL`]; the
    /// sum is 1.
    fn route(&self, message: &str) -> [f32; Route::ALL.len()];

    /// Which playbooks a wish may be for.
    fn playbook(&self, wish: &str) -> Leaning;

    /// What a note, given as its sentences, says to a question.
    fn answer(&self, question: &str, note: &[&str]) -> Reply;
}

/// How likely a wish is for each of the playbooks that a model knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Leaning {
    /// By name, without hyphens.
    known: BTreeMap<String, f32>,
    /// For none of these.
    none: f32,
}

impl Leaning {
    /// From the shares of labels: names of playbooks, hyphens or not, and `none`.
    pub fn new<'l>(labels: impl IntoIterator<Item = (&'l str, f32)>) -> Self {
        let mut leaning = Self::default();
        for (label, share) in labels {
            if label == "none" {
                leaning.none = share;
            } else {
                leaning.known.insert(label.replace('-', ""), share);
            }
        }
        leaning
    }

    /// How likely it is for a playbook; `None`: the model does not know this one.
    pub fn of(&self, playbook: &str) -> Option<f32> {
        self.known.get(&playbook.replace('-', "")).copied()
    }

    /// How likely it is for none that the model knows.
    pub fn none(&self) -> f32 {
        self.none
    }
}

/// What a note says to a question.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reply {
    /// How likely it answers, from 0 to 1.
    pub sure: f32,
    /// Which of its sentences does, if any.
    pub sentence: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playbook_is_found_with_hyphens_and_without() {
        let leaning = Leaning::new([("tabletotal", 0.7), ("brief", 0.1), ("none", 0.2)]);
        assert_eq!(leaning.of("table-total"), Some(0.7));
        assert_eq!(leaning.of("my-own"), None);
        assert_eq!(leaning.none(), 0.2);
    }
}
