//! Whether this is a moment to destroy something: how impatient somebody is,
//! against what is about to be done. Nobody should lose files in anger.

use super::words::{self, Speech};
use charter::effect::EffectClass;
use moroni::words::sentence::Sentence;
use moroni::words::token::{Kind, Token};
use serde::{Deserialize, Serialize};

/// From this score on somebody is angry.
pub const HIGH: u8 = 50;
/// How long a blocked wish waits, in milliseconds.
pub const PAUSE_MS: i64 = 60_000;

/// How much one word of anger counts, and how many are counted.
const STRONG: (u8, usize) = (35, 2);
/// How much one impatient word counts, and how many are counted.
const MILD: (u8, usize) = (12, 3);
/// SHOUTING.
const CAPS: u8 = 30;
/// Marks in a row: "!!!", "?!?!".
const MARKS: u8 = 25;
/// The same words again.
const REPEATED: u8 = 20;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Look, think, remember.
    Read,
    /// Make something new.
    Create,
    /// Something would be lost, or cannot be undone.
    Destroy,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Nothing.
    Allow,
    /// Ask before anything is lost.
    Confirm,
    /// Not now: a card that can be opened after a pause.
    Block,
}

/// The matrix.
pub fn guard(temper: u8, intent: Intent) -> Guard {
    match (intent, temper >= HIGH) {
        (Intent::Read | Intent::Create, _) => Guard::Allow,
        (Intent::Destroy, false) => Guard::Confirm,
        (Intent::Destroy, true) => Guard::Block,
    }
}

/// How impatient somebody is, from 0 to 100: by this message, and half of what
/// was there before.
pub fn temper(message: &str, before: u8, said_before: &str, speeches: &[Speech]) -> u8 {
    let folded =
        moroni::words::words_of(super::route::clip(message, 2_000), &moroni::words::fold::fold);
    let counted = |patterns: fn(&Speech) -> &[words::Pattern], (worth, most): (u8, usize)| {
        // The same word may stand in two languages.
        let found = speeches
            .iter()
            .map(|speech| patterns(speech).iter().filter(|p| p.find(&folded).is_some()).count());
        found.max().unwrap_or(0).min(most) as u8 * worth
    };
    let mut score = counted(|s| &s.strong, STRONG);
    // "again" alone is no impatience; it colours what else is there.
    let mild = counted(|s| &s.mild, MILD);
    score += mild;
    if shouts(message) {
        score += CAPS;
    }
    if marks(message) {
        score += MARKS;
    }
    let same = |text: &str| text.split_whitespace().collect::<String>().to_lowercase();
    if !said_before.is_empty() && message.len() > 3 && same(message) == same(said_before) {
        score += REPEATED;
    }
    (score.saturating_add(before / 2)).min(100)
}

/// The message without words of anger, which say nothing about what is wished,
/// and those words. Quoted texts and names of files stay as they are.
pub fn without_anger(message: &str, speeches: &[Speech]) -> (String, Vec<String>) {
    let as_it_is = || (message.to_owned(), Vec::new());
    if message.len() > 2_000 {
        return as_it_is();
    }
    let sentence = moroni::words::Lexicon::shipped()
        .ok()
        .and_then(|lexicon| Sentence::read(lexicon, message, &|_| false));
    let Some(sentence) = sentence else { return as_it_is() };
    let Some(speech) = words::language(speeches, sentence.language.code) else {
        return as_it_is();
    };
    let angry = |token: &Token| {
        let word = std::slice::from_ref(&token.folded);
        token.kind == Kind::Word && speech.strong.iter().any(|p| p.find(word).is_some())
    };
    let (mut calm, mut said) = (message.to_owned(), Vec::new());
    for token in sentence.tokens.iter().rev().filter(|token| angry(token)) {
        calm.replace_range(token.start..token.end, "");
        said.insert(0, token.text.clone());
    }
    let trim = |c: char| c.is_whitespace() || matches!(c, ',' | '!' | '.' | '¡');
    match said.is_empty() {
        true => as_it_is(),
        false => (
            calm.split_whitespace().collect::<Vec<_>>().join(" ").trim_matches(trim).to_owned(),
            said,
        ),
    }
}

/// At least two words, most of the letters, are capitals.
fn shouts(message: &str) -> bool {
    let words = message.split_whitespace().filter(|word| {
        // A file name and a constant are written so without any anger.
        let plain = word.trim_matches(|c: char| !c.is_alphanumeric());
        plain.chars().count() >= 3
            && plain.chars().all(char::is_alphabetic)
            && plain.chars().any(char::is_lowercase) != plain.chars().all(char::is_uppercase)
    });
    let (mut loud, mut all) = (0, 0);
    for word in words {
        all += 1;
        let letters = word.trim_matches(|c: char| !c.is_alphanumeric());
        loud += usize::from(letters.chars().all(char::is_uppercase));
    }
    loud >= 2 && loud * 2 > all
}

fn marks(message: &str) -> bool {
    let mut run = 0;
    message.chars().any(|c| {
        run = if matches!(c, '!' | '?') { run + 1 } else { 0 };
        run >= 3
    })
}

/// What a plan's furthest effect means.
pub fn intent_of(class: EffectClass) -> Intent {
    match class {
        EffectClass::Think | EffectClass::Read | EffectClass::Memory => Intent::Read,
        EffectClass::Create | EffectClass::Exec | EffectClass::Network => Intent::Create,
        EffectClass::Change | EffectClass::Remote | EffectClass::External => Intent::Destroy,
    }
}

/// What the words alone say, where there is no plan to ask.
pub fn intent_in(message: &str, speeches: &[Speech]) -> Intent {
    let folded =
        moroni::words::words_of(super::route::clip(message, 2_000), &moroni::words::fold::fold);
    let destroys = |speech: &Speech| words::any(&speech.destroy, &folded).is_some();
    if speeches.iter().any(destroys) { Intent::Destroy } else { Intent::Read }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;
    use std::fmt::Write;

    /// Messages of every mood; the table shows what each would be let do.
    const MESSAGES: [&str; 20] = [
        "delete the old logs please",
        "please remove the duplicates",
        "Delete ALL_CAPS.TXT and README.MD",
        "delete everything",
        "DELETE EVERYTHING NOW",
        "DELETE EVERYTHING NOW!!!",
        "delete that damn file",
        "damn it, delete this useless garbage!!!",
        "I told you already, still wrong, delete it again!!!",
        "this is fucking useless, wipe it all",
        "lösche den verdammten Mist!!!",
        "supprime tout, j'en ai marre, putain",
        "¡BORRA TODO AHORA! joder",
        "cancella tutto, che schifo, sono stufo",
        "why is this damn thing so slow???",
        "show me the stupid list",
        "list the files",
        "make a fucking table of contents!!!",
        "do it again",
        "WHAT IS THIS???",
    ];

    #[test]
    fn the_table_is_the_one_that_was_read() {
        let speeches = words::shipped().unwrap();
        let mut table = String::from(
            "What impatience and intent make of a message. Anger is a score of 50 or more.\n\n\
             score  mood   looks   makes   destroys  message\n",
        );
        for message in MESSAGES {
            let score = temper(message, 0, "", speeches);
            let mood = if score >= HIGH { "angry" } else { "calm" };
            let [read, create, destroy] = [Intent::Read, Intent::Create, Intent::Destroy]
                .map(|intent| format!("{:?}", guard(score, intent)).to_lowercase());
            writeln!(
                table,
                "{score:>5}  {mood:<5}  {read:<6}  {create:<6}  {destroy:<8}  {message}"
            )
            .unwrap();
        }
        expect_file!["golden/risk.txt"].assert_eq(&table);
    }

    #[test]
    fn a_wish_is_read_without_its_anger() {
        let check = |message: &str, expect: &str| {
            let (calm, said) = without_anger(message, words::shipped().unwrap());
            assert_eq!(calm, expect);
            assert_eq!(said.is_empty(), calm == message, "{message}");
        };
        check("delete that damn useless old.log!!!", "delete that old.log");
        check("delete \"damn notes.txt\" now", "delete \"damn notes.txt\" now");
        check("list the files", "list the files");
        check("lösche die verdammt alten Dateien", "lösche die alten Dateien");
    }

    #[test]
    fn anger_lasts_and_fades() {
        let speeches = words::shipped().unwrap();
        let first = temper("this is damn useless", 0, "", speeches);
        assert!(first >= HIGH);
        let second = temper("delete the logs", first, "", speeches);
        let third = temper("delete the logs", second, "delete the logs", speeches);
        assert!(second < first && second > 0, "{first} {second}");
        assert!(third > second / 2 + 10, "saying it again counts: {third}");
        assert!(temper("hello", 3, "", speeches) <= 1);
    }

    #[test]
    fn reading_is_always_allowed_and_destruction_never_silently() {
        for temper in 0..=100 {
            assert_eq!(guard(temper, Intent::Read), Guard::Allow);
            assert_ne!(guard(temper, Intent::Destroy), Guard::Allow);
        }
    }
}
