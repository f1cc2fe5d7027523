//! Contradictions and corrections: when a new fact takes the place of an older one.
//!
//! By itself a fact ends another only where both cannot be true: the same
//! attribute of the same thing in different values ("the rent is 900", "the rent
//! is 950"), or a sentence and its contrary. What merely sounds alike stands side
//! by side. Who says that it is a correction ("no, …") means one of the older
//! facts: [`correction`] tells how likely which, and [`restated`] carries what was
//! left out over from it.

mod tongue;

use crate::passages::sentences;
use crate::terms::{is_stop_word, stems};
use std::collections::BTreeSet;
use std::ops::Range;
use tongue::{
    CARRIERS, DISLIKES, JOINTS, KINDS, LIKES, PERFECT, SHORTENED, TONGUES, TURNS, Tongue, WAYS,
};

/// Words of a value.
const VALUE_MAX: usize = 12;
/// Words of what stands before a colon and leads to the statement.
const LEAD_MAX: usize = 6;
/// Words of an answer that is a value alone: "no, pine".
const FRAGMENT_MAX: usize = 5;
/// Share of stems that a correction has in common with what it corrects, where no
/// value can be told from its thing.
const SHARED: f32 = 0.5;
/// From here on something may be what is corrected.
pub const CORRECTS: f32 = 0.5;

/// How a thing and its value belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Is,
    Place,
    Live,
    Work,
}

/// What a fact says of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The thing and its attribute, as words: `rent`, `shop`, `floor`.
    pub subject: BTreeSet<String>,
    /// What it is.
    pub value: Vec<String>,
    /// Whether it stands for a thing that was named before: "it is pine".
    pub pronoun: bool,
    owner: Option<&'static str>,
    relation: Relation,
    negated: bool,
    past: bool,
    /// Whether it says that it has changed: "the rent is now 950".
    pub changed: bool,
    single: bool,
    /// The bytes of what joins the two.
    link: Range<usize>,
}

struct Word {
    text: String,
    at: Range<usize>,
}

fn tokens(text: &str) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    for (at, c) in text.char_indices() {
        if !(c.is_alphanumeric() || c == '_') {
            continue;
        }
        match found.last_mut().filter(|word| word.at.end == at) {
            Some(word) => {
                word.text.extend(c.to_lowercase());
                word.at.end = at + c.len_utf8();
            }
            None => {
                found.push(Word { text: c.to_lowercase().collect(), at: at..at + c.len_utf8() })
            }
        }
    }
    found
}

/// The language whose small words stand most often in a text; English where none
/// does.
fn tongue(words: &[Word]) -> &'static Tongue {
    let count = |tongue: &Tongue| {
        let lists = [tongue.links, tongue.small, tongue.mine, tongue.negations, tongue.calls];
        let known = |word: &&Word| {
            let all = lists.iter().chain([&tongue.live, &tongue.work]);
            all.flat_map(|list| list.iter()).any(|known| *known == word.text)
        };
        words.iter().filter(known).count()
    };
    let [english, ..] = &TONGUES;
    TONGUES.iter().fold(english, |best, next| if count(next) > count(best) { next } else { best })
}

fn is(list: &[&str], word: &str) -> bool {
    list.contains(&word)
}

/// The one sentence of a text, without what leads to it ("we moved: …"); `None`:
/// there are several, or it asks.
fn statement(text: &str) -> Option<usize> {
    let [span] = sentences(text)[..] else { return None };
    let whole = text.get(span.start as usize..span.end as usize)?;
    if whole.ends_with('?') {
        return None;
    }
    let lead = whole.split_once(": ").filter(|(lead, rest)| {
        let words = tokens(lead).len();
        (1..=LEAD_MAX).contains(&words) && tokens(rest).len() >= 3
    });
    Some(span.start as usize + lead.map_or(0, |(lead, _)| lead.len() + 1))
}

/// Where `'s`, `'m` and `'re` are verbs.
fn contracted(before: &str, word: &str) -> bool {
    match word {
        "s" => matches!(before, "it" | "that" | "he" | "she" | "there"),
        "m" => before == "i",
        "re" => matches!(before, "we" | "they"),
        _ => false,
    }
}

/// The word behind "rose to", "has gone up to", if word `n` begins one.
fn turned(words: &[Word], n: usize) -> Option<usize> {
    let word = |n: usize| words.get(n).map_or("", |word| word.text.as_str());
    let way = usize::from(is(WAYS, word(n + 1)));
    let turns = is(TURNS, word(n)) || (way == 1 && matches!(word(n), "went" | "gone"));
    (turns && word(n + 1 + way) == "to").then_some(n + 2 + way)
}

/// The claim of a sentence; `None`: it says nothing of a thing that could be told
/// from its value.
pub fn claim(text: &str) -> Option<Claim> {
    let from = statement(text)?;
    let mut words = tokens(text.get(from..)?);
    words.iter_mut().for_each(|word| word.at = word.at.start + from..word.at.end + from);
    let tongue = tongue(&words);
    let verb = |n: usize, word: &Word| {
        let before = n.checked_sub(1).and_then(|n| words.get(n));
        is(tongue.links, &word.text)
            || before.is_some_and(|before| contracted(&before.text, &word.text))
    };
    let place = |n: usize| {
        let mut behind = words.iter().skip(n + 1).map(|word| word.text.as_str());
        let next = behind.find(|word| !is(tongue.asides, word)).unwrap_or("");
        is(tongue.places, next) || matches!(next, "to" | "for" | "nach" | "für")
    };
    let mut found = None;
    for (n, word) in words.iter().enumerate().skip(1) {
        let turns = turned(&words, n).is_some();
        let relation = if turns || verb(n, word) || is(tongue.calls, &word.text) {
            Relation::Is
        } else if is(tongue.live, &word.text) && place(n) {
            Relation::Live
        } else if is(tongue.work, &word.text) && place(n) {
            Relation::Work
        } else {
            continue;
        };
        found = Some((n, relation));
        break;
    }
    let (at, mut relation) = found?;
    let link = words.get(at)?;
    let turned = turned(&words, at);
    let mut called = is(tongue.calls, &link.text);
    let behind = turned.unwrap_or(at + 1);
    let mut end = words.get(behind - 1)?.at.end;
    let (before, after) = (words.get(..at)?, words.get(behind..)?);
    let aside = |word: &&Word| is(tongue.asides, &word.text) || is(tongue.small, &word.text);
    let mut owner = None;
    let mut subject = BTreeSet::new();
    let perfect = |word: &&Word| turned.is_some() && is(PERFECT, &word.text);
    let before_it = before.iter().filter(|word| !perfect(word));
    for word in before_it.filter(|word| !aside(word) || before.len() == 1) {
        match word.text.as_str() {
            mine if is(tongue.mine, mine) => owner = Some("mine"),
            "your" => owner = Some("yours"),
            "his" => owner = Some("his"),
            "her" => owner = Some("hers"),
            "their" => owner = Some("theirs"),
            other => _ = subject.insert(other.to_owned()),
        }
    }
    // "phone" and "phone number" are one.
    if subject.contains("phone") || subject.contains("mobile") {
        subject.remove("number");
    }
    let mut value = Vec::new();
    let mut negated = false;
    for word in after {
        // "isn't" is two words here.
        let cut_off = value.is_empty() && word.text == "t";
        if is(tongue.negations, &word.text) || cut_off && SHORTENED.contains(&link.text.as_str()) {
            negated = true;
        } else if value.is_empty() && is(tongue.calls, &word.text) {
            called = true;
            end = word.at.end;
        } else if value.is_empty() && relation == Relation::Is && is(tongue.places, &word.text) {
            relation = Relation::Place;
        } else if !aside(&word) && !matches!(word.text.as_str(), "to" | "nach" | "für") {
            value.push(word.text.clone());
        }
    }
    if called {
        relation = Relation::Is;
        subject.insert("name".to_owned());
    }
    let tells = value.iter().any(|word| !is_stop_word(word)) && value.len() <= VALUE_MAX;
    let either = after.iter().any(|word| matches!(word.text.as_str(), "or" | "oder" | "ou"));
    if subject.is_empty() || !tells || either {
        return None;
    }
    let single = |word: &String| {
        is(tongue.single, word)
            || (tongue.compounds && tongue.single.iter().any(|one| word.ends_with(one)))
    };
    Some(Claim {
        pronoun: owner.is_none() && subject.iter().all(|word| is(tongue.pronouns, word)),
        single: called || subject.iter().any(single),
        past: is(tongue.past, &link.text),
        changed: words.iter().any(|word| is(tongue.changes, &word.text))
            || (turned.is_some() && kind(&value) == Some(KINDS.len())),
        link: link.at.start..end,
        subject,
        value,
        owner,
        relation,
        negated,
    })
}

/// What kind of value it is, if of one of which a thing has one.
fn kind(value: &[String]) -> Option<usize> {
    if value.iter().any(|word| word.contains(|c: char| c.is_ascii_digit())) {
        return Some(KINDS.len());
    }
    KINDS.iter().position(|kind| value.iter().any(|word| kind.contains(&word.as_str())))
}

/// Whether one of two values says no more than the other.
fn within(a: &Claim, b: &Claim) -> bool {
    let all = |a: &Claim, b: &Claim| a.value.iter().all(|word| b.value.contains(word));
    all(a, b) || all(b, a)
}

fn same_owner(a: &Claim, b: &Claim) -> bool {
    a.owner.is_none() || b.owner.is_none() || a.owner == b.owner
}

/// Whether `new`, said later, ends what `old` says.
pub fn replaces(new: &str, old: &str) -> bool {
    if contrary(new, old) {
        return true;
    }
    let (Some(new), Some(old)) = (claim(new), claim(old)) else { return false };
    let apart = new.relation != old.relation || new.subject != old.subject || new.pronoun;
    if apart || !same_owner(&new, &old) || within(&new, &old) || new.negated || old.negated {
        return false;
    }
    let (was, now) = (kind(&old.value), kind(&new.value));
    if new.single {
        // A value with figures is not replaced by one without.
        return (was == Some(KINDS.len())) == (now == Some(KINDS.len()));
    }
    if new.past || old.past {
        return false;
    }
    match new.relation {
        Relation::Is => new.changed || (was == now && was.is_some_and(|was| was < KINDS.len())),
        Relation::Place | Relation::Live | Relation::Work => was == now,
    }
}

/// Whether two sentences say the same of the same, one of them the other way
/// round: "Clara likes cake", "Clara does not like cake".
fn contrary(new: &str, old: &str) -> bool {
    let (Some(new), Some(old)) = (polar(new), polar(old)) else { return false };
    new.0 == old.0 && new.1 != old.1
}

/// What a sentence says, and whether it says so.
fn polar(text: &str) -> Option<(Vec<String>, bool)> {
    let words = tokens(text.get(statement(text)?..)?);
    let tongue = tongue(&words);
    let (mut says, mut holds) = (Vec::new(), true);
    for (n, word) in words.iter().enumerate() {
        let text = word.text.as_str();
        let before = n.checked_sub(1).and_then(|n| words.get(n)).map_or("", |word| &word.text);
        let next = words.get(n + 1).map_or("", |word| &word.text);
        let shortened = |word: &str, t: &str| t == "t" && SHORTENED.contains(&word);
        if is(tongue.negations, text) || shortened(before, text) {
            holds = !holds;
        } else if DISLIKES.contains(&text) {
            holds = !holds;
            says.push("like".to_owned());
        } else if LIKES.contains(&text) {
            says.push("like".to_owned());
        } else if shortened(text, next) && matches!(text, "isn" | "aren" | "wasn" | "weren") {
            says.push("be".to_owned());
        } else if shortened(text, next)
            || CARRIERS.contains(&text)
            || is(tongue.asides, text)
            || is(tongue.small, text)
        {
        } else if is(tongue.links, text) || contracted(before, text) {
            says.push("be".to_owned());
        } else {
            says.extend(stems(text).into_iter().next().or(Some(text.to_owned())));
        }
    }
    // "Any cake" and "cake" are the same here.
    says.retain(|word| word != "any");
    (says.len() >= 2).then_some((says, holds))
}

/// How likely `old` is what somebody means who says `new` and calls it a
/// correction; 0: not at all.
pub fn correction(new: &str, old: &str) -> f32 {
    if replaces(new, old) {
        return 1.0;
    }
    if let (Some(new), Some(old)) = (claim(new), claim(old)) {
        let places = |claim: &Claim| matches!(claim.relation, Relation::Is | Relation::Place);
        let related = new.relation == old.relation || (places(&new) && places(&old));
        let other = !within(&new, &old) || new.negated != old.negated;
        if new.pronoun || !related || !other || !same_owner(&new, &old) {
            return 0.0;
        }
        let inside = new.subject.is_subset(&old.subject) || old.subject.is_subset(&new.subject);
        let (few, many) = match new.subject.len() <= old.subject.len() {
            true => (new.subject.len(), old.subject.len()),
            false => (old.subject.len(), new.subject.len()),
        };
        let fits = if inside { 0.5 + 0.5 * few as f32 / many as f32 } else { 0.0 };
        let alike = match (kind(&new.value), kind(&old.value)) {
            (Some(new), Some(old)) if new != old => 0.6,
            _ => 1.0,
        };
        return fits * alike;
    }
    let (Some(_), Some(_)) = (statement(new), statement(old)) else { return 0.0 };
    let (new, old) = (stems(new), stems(old));
    let begins = new.first().is_some_and(|first| old.first() == Some(first));
    let shared = new.iter().filter(|stem| old.contains(stem)).count() as f32;
    let share = shared / new.len().max(old.len()).max(1) as f32;
    if begins && new != old && share >= SHARED { share } else { 0.0 }
}

/// A correction as a whole sentence, where it names its thing not at all or less
/// exactly than what it corrects: "no, the floor is pine" of the floor of the shop.
pub fn restated(new: &str, old: &str) -> Option<String> {
    let was = claim(old)?;
    let head = old.get(..was.link.end)?;
    let value = match claim(new) {
        Some(now) => {
            let less = now.subject.len() < was.subject.len() && now.subject.is_subset(&was.subject);
            if !now.pronoun && !less {
                return None;
            }
            new.get(now.link.end..)?.trim()
        }
        None if (1..=FRAGMENT_MAX).contains(&tokens(new).len()) && !new.contains('?') => new.trim(),
        None => return None,
    };
    Some(format!("{head} {value}"))
}

/// Whether a fact holds more than what is put in its place: "on Monday at nine in
/// room 12" more than "on Thursday".
pub fn says_more(old: &str, new: &str) -> bool {
    let joints = |text: &str| {
        let value = claim(text).and_then(|claim| text.get(claim.link.end..));
        let words = tokens(value.unwrap_or_default());
        words.iter().filter(|word| is(JOINTS, &word.text)).count()
    };
    joints(old) > joints(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: bool) {
        assert_eq!(
            replaces(new, old),
            expected,
            "{old:?} → {new:?} {:?} {:?}",
            claim(old),
            claim(new)
        );
    }

    #[test]
    fn a_newer_value_ends_the_older() {
        check("The rent is 900 euros", "the rent is now 950 euros", true);
        check("my favourite colour is blue", "My favourite colour is green.", true);
        check("Remember that Ada's birthday is March 3", "Ada's birthday is March 4", true);
        check("Ada lives in Berlin", "Ada lives in Paris now", true);
        check("Ada lives in Berlin", "Ada moved to Paris", true);
        check("the door code is 1234", "The new door code is 9999", true);
        check("my phone number is 555 0142", "my new phone number is 555 7788", true);
        check("my phone is 5550142", "my new phone number is 5557788", true);
        check("The floor of the shop is oak.", "the shop floor is pine", true);
        check("the office is in Bonn", "we moved: the office is in Ulm now", true);
        check("our office is in Bonn", "the office is now in Ulm", true);
        check("my keys are in the drawer", "my keys are on the table", true);
        check("the meeting is on Tuesday", "the meeting is on Friday", true);
        check("the shop is open", "the shop is now closed", true);
        check("my sister's name is Clara", "my sister is called Klara", true);
        check("the rent is 900 euros", "the rent has gone up to 950 euros", true);
        check("the wifi channel is 6", "the wifi channel has changed to 11", true);
        check("the rent has gone up to 950", "the rent is 980", true);
        check("the fence is green", "the fence fell over", false);
        check("Ada is a doctor", "Ada changed to the new team", false);
    }

    #[test]
    fn a_contrary_ends_what_it_is_contrary_to() {
        check("Clara likes cake", "Clara does not like cake", true);
        check("Clara likes cake", "Clara doesn't like cake anymore", true);
        check("Clara does not like cake", "Clara likes cake", true);
        check("I love opera", "I hate opera", true);
        check("the deadline is Friday", "the deadline is not Friday", true);
        check("the gate is locked", "the gate isn't locked", true);
        check("Clara mag Kuchen", "Clara mag keinen Kuchen", true);
        check("Clara likes cake", "Clara does not like pie", false);
        check("I like tea", "you do not like tea", false);
        check("I like tea", "I love tea", false);
    }

    #[test]
    fn other_languages_claim_too() {
        check("Mein Passwort ist Sonne", "mein neues Passwort ist Mond", true);
        check("die Miete beträgt 900 Euro", "die Miete beträgt jetzt 950 Euro", true);
        check("ich wohne in Bonn", "ich wohne jetzt in Ulm", true);
        check("mon adresse est rue Verte", "ma nouvelle adresse est rue Bleue", true);
        check("mi número es 5550142", "mi nuevo número es 5557788", true);
        check("il mio dentista è Rossi", "il mio dentista è Bianchi", true);
        check("meine Schwester heißt Clara", "meine Schwester wohnt in Ulm", false);
        check("my son is called Tom", "my son is tall", false);
    }

    #[test]
    fn what_only_sounds_alike_stands() {
        check("my car is red", "my car is fast", false);
        check("my car is red", "my car is blue", true);
        check("I like tea", "I like coffee", false);
        check("Ada's birthday is March 3", "Bob's birthday is March 4", false);
        check("The rent is 900 euros", "The rent is too high", false);
        check("The rent is 900", "The rent is 900 euros", false);
        check("I was in Rome", "I was in Paris", false);
        check("my name is Ada. I like tea", "my name is Eve. I like tea", false);
        check("the meeting is at 9", "the meeting is on Friday", false);
        check("my office is in Bonn", "your office is in Ulm", false);
        check("the rent is 900", "is the rent 950?", false);
    }

    fn corrects(old: &str, new: &str, expected: bool) {
        assert_eq!(correction(new, old) >= CORRECTS, expected, "{old:?} → {new:?}");
    }

    #[test]
    fn a_correction_means_what_it_names() {
        corrects("The floor of the shop is oak.", "the floor is pine", true);
        corrects("The shop is closed on Sunday", "the shop is closed on Monday", true);
        corrects("the train leaves at 9:10", "the train leaves at 9:40", true);
        corrects("my car is fast", "my car is slow", true);
        corrects("The floor of the shop is oak.", "the wall is pine", false);
        corrects("The floor of the shop is oak.", "the floor of the flat is pine", false);
        corrects("The floor is oak", "the floor is oak", false);
        corrects("Clara likes cake", "Bob likes pie", false);
        let exact = correction("the floor is pine", "the floor is oak");
        assert!(exact > correction("the floor is pine", "the floor of the shop is oak"));
    }

    #[test]
    fn a_fact_of_several_parts_says_more_than_one_of_them() {
        let check = |old: &str, new: &str, expected: bool| {
            assert_eq!(says_more(old, new), expected, "{old:?} {new:?}");
        };
        check("the evening is on Monday at 19:30 in room B12", "the evening is on Thursday", true);
        check("Lena is allergic to walnuts", "Lena is hazelnuts", true);
        check("the loan is 1200 euros and due in March", "the loan is 1500 euros", true);
        check("the office is in Bonn", "the office is in Ulm", false);
        check("The floor of the shop is oak.", "The floor of the shop is pine", false);
        check("the rent is 980 euros", "the rent is 990", false);
    }

    #[test]
    fn what_a_correction_leaves_out_is_carried_over() {
        let check = |old: &str, new: &str, expected: Option<&str>| {
            assert_eq!(restated(new, old).as_deref(), expected, "{old:?} → {new:?}");
        };
        let old = "The floor of the shop is oak.";
        check(old, "the floor is pine", Some("The floor of the shop is pine"));
        check(old, "it is pine", Some("The floor of the shop is pine"));
        check(old, "it's pine.", Some("The floor of the shop is pine."));
        check(old, "pine", Some("The floor of the shop is pine"));
        check(old, "the floor of the shop is pine", None);
        check("my sister is called Clara", "Klara", Some("my sister is called Klara"));
        check("the office is in Bonn", "it is in Ulm", Some("the office is in Ulm"));
        check("we bought a car", "pine", None);
    }
}
