//! Contradictions: when a new fact takes the place of an older one.
//!
//! The rule is narrow on purpose. Two facts contradict when they say the same
//! attribute of the same thing and end in different values of the same kind:
//! "the rent is 900", "the rent is 950". What merely sounds alike stands side by
//! side.

use crate::terms::{is_stop_word, words};

/// Words that join a thing and its value.
const LINKS: &[&str] = &["is", "are", "was", "equals", "became", "becomes"];
/// Words that may stand between, or around, and change nothing.
const ASIDES: &[&str] = &[
    "now",
    "currently",
    "actually",
    "today",
    "since",
    "again",
    "the",
    "a",
    "an",
    "please",
    "remember",
    "that",
    "new",
    "longer",
    "meanwhile",
];
/// Attributes that a thing has one of.
#[rustfmt::skip]
const SINGLE: &[&str] = &[
    "address", "age", "anniversary", "birthday", "boss", "budget", "capital", "city", "code",
    "color", "colour", "cost", "date", "dentist", "deadline", "doctor", "email", "employer", "fax",
    "favorite", "favourite", "fee", "height", "hometown", "husband", "job", "language", "landlord",
    "limit", "manager", "mobile", "name", "nickname", "number", "owner", "partner", "password",
    "phone", "pin", "plate", "position", "postcode", "price", "rate", "rent", "room", "salary",
    "size", "status", "surname", "time", "title", "username", "version", "weight", "wife", "zip",
];
/// Verbs of which one place or person is true at a time.
const VERBS: &[&str] = &["lives", "live", "works", "work", "moved", "studies", "study", "resides"];
/// Words of a value.
const VALUE_MAX: usize = 8;

/// What a fact says of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The attribute, as words: `my`, `rent`.
    pub subject: Vec<String>,
    /// What it is.
    pub value: Vec<String>,
}

fn plain(words: &[String]) -> Vec<String> {
    words.iter().filter(|word| !ASIDES.contains(&word.as_str())).cloned().collect()
}

/// The claim of a fact; `None`: it makes none that another fact could end.
pub fn claim(text: &str) -> Option<Claim> {
    if crate::passages::sentences(text).len() != 1 {
        return None;
    }
    let words = words(text);
    let negated = words.iter().any(|word| matches!(word.as_str(), "not" | "never" | "no" | "or"));
    if negated {
        return None;
    }
    let link = words.iter().position(|word| LINKS.contains(&word.as_str()));
    let verb = words.iter().position(|word| VERBS.contains(&word.as_str()));
    let (subject, value) = match (link, verb) {
        (Some(at), _) => {
            let subject = plain(words.get(..at)?);
            let single = subject.iter().any(|word| SINGLE.contains(&word.as_str()));
            if !single {
                return None;
            }
            (subject, plain(words.get(at + 1..)?))
        }
        // "Ada lives in Berlin": the preposition belongs to what is said.
        (None, Some(at)) if at > 0 => {
            let link = words.get(at + 1)?;
            if !matches!(link.as_str(), "in" | "at" | "for" | "to") {
                return None;
            }
            (plain(words.get(..at + 2)?), plain(words.get(at + 2..)?))
        }
        _ => return None,
    };
    let tells = value.iter().any(|word| !is_stop_word(word));
    let good = !subject.is_empty() && tells && value.len() <= VALUE_MAX;
    good.then_some(Claim { subject, value })
}

/// Whether `new`, said later, ends what `old` says.
pub fn replaces(new: &str, old: &str) -> bool {
    let (Some(new), Some(old)) = (claim(new), claim(old)) else { return false };
    let within = |a: &[String], b: &[String]| a.iter().all(|word| b.contains(word));
    new.subject == old.subject
        && !within(&new.value, &old.value)
        && !within(&old.value, &new.value)
        && digits(&new.value) == digits(&old.value)
}

/// A value with figures is not replaced by one without.
fn digits(value: &[String]) -> bool {
    value.iter().any(|word| word.contains(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: bool) {
        assert_eq!(replaces(new, old), expected, "{old:?} → {new:?}");
    }

    #[test]
    fn a_newer_value_ends_the_older() {
        check("The rent is 900 euros", "the rent is now 950 euros", true);
        check("my favourite colour is blue", "My favourite colour is green.", true);
        check("Remember that Ada's birthday is March 3", "Ada's birthday is March 4", true);
        check("Ada lives in Berlin", "Ada lives in Paris now", true);
        check("the door code is 1234", "The new door code is 9999", true);
    }

    #[test]
    fn what_only_sounds_alike_stands() {
        check("my car is red", "my car is fast", false);
        check("I like tea", "I like coffee", false);
        check("Ada's birthday is March 3", "Bob's birthday is March 4", false);
        check("The rent is 900 euros", "The rent is too high", false);
        check("The rent is 900", "The rent is 900 euros", false);
        check("the deadline is Friday", "the deadline is not Friday", false);
        check("I was in Rome", "I was in Paris", false);
        check("my name is Ada. I like tea", "my name is Eve. I like tea", false);
    }
}
