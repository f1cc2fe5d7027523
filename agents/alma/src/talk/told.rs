//! What somebody tells: facts to keep, corrections of what was told before, and
//! questions about what is known of the speaker. Pure.

use super::words::{self, Speech, behind, fact};
use librarian::claims::claim;
use librarian::gate::{self, Origin, Verdict};
use librarian::terms::stems;
use moroni::words::fold::fold;
use moroni::words::words_of;

/// Marks that are taken off the beginning of a message: "no, wait, actually …".
const MARKS_MAX: usize = 4;
/// Words of a message that tells one thing.
pub const TOLD_MAX: usize = 40;
/// Words before the verb of such a message.
const SUBJECT_MAX: usize = 9;
/// Words that may stand before what a mood is of: "I am so very tired".
const MOOD_WORDS: usize = 3;

/// What was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The fact, without the order to keep it and without "no, …".
    pub text: String,
    /// Whether it corrects what was told before.
    pub corrects: bool,
}

/// What a message tells, once orders and marks of correction are taken off.
pub fn told(message: &str, speeches: &[Speech]) -> Told {
    let mut text = message.trim();
    let mut corrects = false;
    for _ in 0..MARKS_MAX {
        let rest = fact(text, speeches);
        let after = unmarked(rest, speeches);
        corrects |= after.is_some();
        let next = after.unwrap_or(rest);
        if next == text {
            break;
        }
        text = next;
    }
    let (text, denied) = without_denial(text, speeches);
    Told { text: text.to_owned(), corrects: corrects || denied }
}

/// What follows a mark of correction at the beginning.
fn unmarked<'m>(text: &'m str, speeches: &[Speech]) -> Option<&'m str> {
    let words = words_of(text, &fold);
    let marks = speeches.iter().flat_map(|speech| &speech.corrects);
    let found = marks.filter_map(|mark| mark.find(&words).filter(|at| at.start == 0));
    let end = found.map(|at| at.end).max()?;
    let rest = behind(text, end);
    let head = text.get(..text.len() - rest.len())?;
    let paused = head.trim_end().ends_with([',', ':', ';', '.', '!', '-', '–', '—', '…']);
    // "No milk is left" corrects nothing; "no the milk is sour" does.
    let begins = claim(rest).is_some() && words.get(end).is_some_and(|word| opens(word));
    (!rest.is_empty() && (paused || begins || end > 1)).then_some(rest)
}

/// Words with which a sentence of its own begins.
#[rustfmt::skip]
fn opens(word: &str) -> bool {
    matches!(
        word,
        "the" | "it" | "its" | "my" | "our" | "i" | "we" | "he" | "she" | "they" | "that" | "his"
            | "her" | "their" | "der" | "die" | "das" | "es" | "er" | "sie" | "mein" | "meine"
            | "unser" | "unsere" | "ich" | "wir" | "le" | "la" | "les" | "il" | "elle" | "mon"
            | "ma" | "el" | "los" | "las" | "mi" | "lo" | "mio" | "mia"
    )
}

/// "… is pine, not oak": without what it is not.
fn without_denial<'m>(text: &'m str, speeches: &[Speech]) -> (&'m str, bool) {
    let Some((said, denied)) = text.rsplit_once([',', ';']) else { return (text, false) };
    let words = words_of(denied, &fold);
    let says_no = words.first().is_some_and(|first| {
        matches!(first.as_str(), "not" | "nicht" | "pas" | "non")
            || speeches.iter().any(|s| s.code == "es" && first == "no")
    });
    match says_no && (2..=4).contains(&words.len()) && claim(said).is_some() {
        true => (said.trim_end(), true),
        false => (text, false),
    }
}

/// Whether a text may be a value alone, or a sentence about what was named before:
/// no order, no yes, no no.
pub fn is_value(text: &str, speeches: &[Speech]) -> bool {
    let words = words_of(text, &fold);
    let said = |list: fn(&Speech) -> &[words::Pattern]| {
        speeches
            .iter()
            .any(|s| list(s).iter().any(|p| p.find(&words).is_some_and(|at| at.start == 0)))
    };
    let moody =
        speeches.iter().any(|s| s.moods.iter().any(|m| m.find(&words) == Some(0..words.len())));
    let pronoun = claim(text).is_some_and(|claim| claim.pronoun);
    !moody && (pronoun || !(said(|s| &s.yes) || said(|s| &s.no) || said(|s| &s.destroy)))
}

/// Why something that somebody wants kept is nothing to keep; `None`: it is a fact.
pub fn unkeepable(text: &str, speeches: &[Speech]) -> Option<&'static str> {
    if let Verdict::Refuse(reason) = gate::admit(text, Origin::Fresh) {
        return Some(reason);
    }
    let words = words_of(text, &fold);
    let asks = |word: &String| speeches.iter().any(|speech| speech.asks.contains(word));
    let explained = text.contains([':', ',', '=']) || claim(text).is_some_and(|c| !c.pronoun);
    if text.trim_end().ends_with('?') || (words.first().is_some_and(asks) && !explained) {
        return Some("it is a question");
    }
    if words.len() < 2 || stems(text).is_empty() {
        return Some("one word alone tells nothing later");
    }
    None
}

/// Whether a message tells something of the speaker's world that is worth keeping,
/// though nobody asked to keep it.
pub fn states(message: &str, speeches: &[Speech]) -> bool {
    let text = message.trim();
    let words = words_of(text, &fold);
    if text.contains('?') || !(2..=TOLD_MAX).contains(&words.len()) {
        return false;
    }
    let own = speeches.iter().find_map(|speech| {
        let (_, at) = words::any(&speech.states, &words)?;
        Some((speech, at.end))
    });
    let moody = |from: usize| {
        let rest = words.get(from..(from + MOOD_WORDS).min(words.len())).unwrap_or_default();
        speeches
            .iter()
            .any(|s| s.moods.iter().any(|mood| mood.find(rest).is_some_and(|at| at.start == 0)))
    };
    if let Some((_, end)) = own {
        return end < words.len() && !moody(end);
    }
    let Some(first) = words.first() else { return false };
    let asks = speeches.iter().any(|speech| speech.asks.contains(first));
    let Some(claim) = claim(text).filter(|_| !asks) else { return false };
    let vague = |word: &String| speeches.iter().any(|s| s.vague.contains(&fold(word)));
    // "The", "my", "I", or a name.
    let named = text.chars().next().is_some_and(char::is_uppercase);
    let begins = opens(first) || named;
    let short = claim.subject.len() < SUBJECT_MAX && (opens(first) || claim.subject.len() <= 3);
    let of = claim.value.iter().take(MOOD_WORDS).map(|word| fold(word)).collect::<Vec<_>>();
    let mood = speeches
        .iter()
        .any(|s| s.moods.iter().any(|mood| mood.find(&of).is_some_and(|at| at.start == 0)));
    let doing = of.first().is_some_and(|word| word.ends_with("ing"))
        && claim.subject.iter().all(|word| matches!(word.as_str(), "i" | "we" | "m" | "re"));
    begins && short && !claim.pronoun && !claim.subject.iter().any(vague) && !mood && !doing
}

/// What of the speaker is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// What is known about the speaker.
    OfMe,
    /// Everything that was told.
    Everything,
}

/// Whether a question asks what is known, rather than for one thing.
pub fn known(question: &str, speeches: &[Speech]) -> Option<Known> {
    let words = words_of(question, &fold);
    let has = |list: fn(&Speech) -> &[words::Pattern]| {
        speeches.iter().any(|speech| words::any(list(speech), &words).is_some())
    };
    if has(|speech| &speech.me) {
        return Some(Known::OfMe);
    }
    has(|speech| &speech.all).then_some(Known::Everything)
}

/// Whether a fact is about the one who said it.
pub fn of_the_speaker(text: &str) -> bool {
    #[rustfmt::skip]
    const OWN: &[&str] = &[
        "i", "me", "my", "mine", "we", "us", "our", "ours", "myself", "ich", "mich", "mir", "mein",
        "meine", "meinen", "meiner", "meinem", "wir", "uns", "unser", "unsere", "je", "j", "moi",
        "mon", "ma", "mes", "nous", "notre", "nos", "yo", "mi", "mis", "nosotros", "nuestro",
        "nuestra", "io", "mio", "mia", "miei", "mie", "noi", "nostro", "nostra", "soy", "sono",
        "vivo", "tengo", "ho", "abito",
    ];
    librarian::terms::words(text).iter().any(|word| OWN.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::words::shipped;
    use super::*;

    fn tells(message: &str, text: &str, corrects: bool) {
        let told = told(message, shipped().unwrap());
        assert_eq!((told.text.as_str(), told.corrects), (text, corrects), "{message}");
    }

    #[test]
    fn a_correction_is_told_from_its_mark() {
        tells("no, the floor is pine", "the floor is pine", true);
        tells("No, wait, actually it is pine.", "it is pine.", true);
        tells("actually it is pine", "it is pine", true);
        tells("I was wrong: the train leaves at 9:40", "the train leaves at 9:40", true);
        tells("remember that the floor is pine, not oak", "the floor is pine", true);
        tells("sorry, I meant Tuesday", "Tuesday", true);
        tells("nein, der Boden ist Kiefer", "der Boden ist Kiefer", true);
        tells("the floor is pine", "the floor is pine", false);
        tells("no milk is left", "no milk is left", false);
        tells("no", "no", false);
        tells("remember the rent is 900", "the rent is 900", false);
    }

    fn keeps(text: &str, expected: bool) {
        assert_eq!(unkeepable(text, shipped().unwrap()).is_none(), expected, "{text}");
    }

    #[test]
    fn what_is_no_fact_is_not_kept() {
        keeps("the rent is 900", true);
        keeps("milk and bread", true);
        keeps("where I parked: level 3", true);
        keeps("x", false);
        keeps("what we did?", false);
        keeps("what we did", false);
        keeps("when we met", false);
        keeps("this", false);
        keeps("?!", false);
    }

    fn states_(message: &str, expected: bool) {
        assert_eq!(states(message, shipped().unwrap()), expected, "{message} {:?}", claim(message));
    }

    #[test]
    fn what_is_said_of_ones_world_is_told() {
        for message in [
            "my sister's name is Clara",
            "I'm allergic to nuts",
            "our wifi password is sunflower77",
            "The floor of the shop is oak.",
            "ich heiße Jonas",
            "meine Schwester wohnt in Ulm",
            "je m'appelle Jeanne",
            "me llamo Ana",
            "mi chiamo Luca",
            "I have two cats",
            "I am a vegetarian",
            "my boss is Karl",
            "Clara lives in Ulm",
            "our dentist is Dr. Weiss in the Hafenstrasse",
            "the plumber's number is 555 0199",
            "we moved: the office is in Ulm now",
        ] {
            states_(message, true);
        }
    }

    #[test]
    fn talk_questions_and_orders_are_not() {
        for message in [
            "my boss is annoying",
            "the weather is awful",
            "I am so tired today",
            "I'm bored",
            "life is hard sometimes",
            "you are great",
            "that is wrong",
            "the result is not what I wanted",
            "find the rows where the city is Rome",
            "filter the rows where the city is Rome",
            "what is the gate code?",
            "is the rent 900",
            "I am looking for a file",
            "ich bin heute sehr müde",
            "das Wetter ist herrlich",
            "hello",
            "convert it to yaml",
        ] {
            states_(message, false);
        }
    }

    #[test]
    fn questions_about_the_speaker_are_known() {
        let check = |question: &str, expected| {
            assert_eq!(known(question, shipped().unwrap()), expected, "{question}");
        };
        check("what do you know about me?", Some(Known::OfMe));
        check("Who am I?", Some(Known::OfMe));
        check("was weißt du über mich?", Some(Known::OfMe));
        check("what do you remember?", Some(Known::Everything));
        check("what do you remember about the car?", None);
        check("what do you know about my diet", None);
        assert!(of_the_speaker("Our wifi password is x") && of_the_speaker("ich heiße Jonas"));
        assert!(!of_the_speaker("The floor of the shop is oak"));
    }
}
