//! What people say, per language: tables that stand in `words/*.yaml`, compiled
//! once. Nothing here knows what to do about it.

use charter::conversation::Route;
use moroni::words::fold::fold;
use moroni::words::words_of;
use moroni::yaml::{self, YamlError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

/// Words that a `...` of a pattern may skip.
const GAP_MAX: usize = 4;

/// Words of a message that are looked at; the rest says the same or is a text.
pub const WORDS_MAX: usize = 160;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteFile {
    says: Vec<String>,
    hints: Vec<String>,
    examples: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TalkFile {
    says: Vec<String>,
    reply: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainFile {
    reply: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FocusFile {
    same: Vec<String>,
    again: Vec<String>,
    it: Vec<String>,
    other: Vec<String>,
    lead: Vec<String>,
    not: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemperFile {
    mild: Vec<String>,
    strong: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpeechFile {
    routes: BTreeMap<String, RouteFile>,
    talk: BTreeMap<String, TalkFile>,
    plain: PlainFile,
    once: String,
    focus: FocusFile,
    that: Vec<String>,
    please: Vec<String>,
    tells: Vec<String>,
    forget: Vec<String>,
    corrects: Vec<String>,
    states: Vec<String>,
    moods: Vec<String>,
    vague: Vec<String>,
    asks: Vec<String>,
    me: Vec<String>,
    all: Vec<String>,
    yes: Vec<String>,
    no: Vec<String>,
    ordinals: BTreeMap<u8, Vec<String>>,
    plan: Vec<String>,
    fix: Vec<String>,
    temper: TemperFile,
    destroy: Vec<String>,
}

/// Words in a row, possibly with gaps, possibly bound to an end of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As it is written in its file.
    pub text: String,
    start: bool,
    end: bool,
    parts: Vec<Vec<String>>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let start = text.starts_with('^');
        let end = text.ends_with('$');
        let bare = text.trim_start_matches('^').trim_end_matches('$');
        let parts: Vec<Vec<String>> = bare
            .split("...")
            .map(|part| words_of(part.trim(), &fold))
            .filter(|part| !part.is_empty())
            .collect();
        Self { text: bare.to_owned(), start, end, parts }
    }

    /// How many words it names.
    pub fn words(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Where it stands in a message, as folded words.
    pub fn find(&self, words: &[String]) -> Option<Range<usize>> {
        let first = self.parts.first()?;
        let last = if self.start { 1 } else { words.len() };
        (0..last.min(words.len())).find_map(|from| {
            let mut at = from;
            at = begins(words, at, first)?;
            for part in &self.parts[1..] {
                at = (at..=at + GAP_MAX).find_map(|next| begins(words, next, part))?;
            }
            (!self.end || at == words.len()).then_some(from..at)
        })
    }
}

/// The place behind `part`, where it stands at `at`.
fn begins(words: &[String], at: usize, part: &[String]) -> Option<usize> {
    let end = at + part.len();
    (words.get(at..end)? == part).then_some(end)
}

/// The first of the patterns that stands in a message.
pub fn any<'p>(patterns: &'p [Pattern], words: &[String]) -> Option<(&'p Pattern, Range<usize>)> {
    patterns.iter().find_map(|pattern| Some((pattern, pattern.find(words)?)))
}

/// What is said for one route.
#[derive(Debug)]
pub struct RouteWords {
    /// The route's name.
    pub route: String,
    /// Nearly always mean it.
    pub says: Vec<Pattern>,
    /// Speak for it.
    pub hints: Vec<Pattern>,
    /// Whole messages.
    pub examples: Vec<String>,
}

/// Small talk with its answer.
#[derive(Debug)]
pub struct Talk {
    /// What is said.
    pub says: Vec<Pattern>,
    /// What Alma answers.
    pub reply: String,
}

/// One language.
#[derive(Debug)]
pub struct Speech {
    /// Two letters.
    pub code: &'static str,
    /// Per route.
    pub routes: Vec<RouteWords>,
    /// Small talk, by name.
    pub talk: BTreeMap<String, Talk>,
    /// What Alma says to talk that she has no answer to.
    pub plain: String,
    /// What she says once when there is no language model.
    pub once: String,
    /// "the same for".
    pub same: Vec<Pattern>,
    /// "do it again".
    pub again: Vec<Pattern>,
    /// "it".
    pub it: Vec<Pattern>,
    /// "the other one".
    pub other: Vec<Pattern>,
    /// Words that lead to what takes a place: "for", "with".
    pub lead: Vec<Pattern>,
    /// "it is": not a reference.
    pub not: Vec<Pattern>,
    /// "that": joins an order and what it is about.
    pub that: Vec<String>,
    /// Courtesies beside a yes.
    pub please: Vec<String>,
    /// "did you", "should I", "what if I": no orders.
    pub tells: Vec<Pattern>,
    /// "forget that …".
    pub forget: Vec<Pattern>,
    /// "No, …", "I was wrong: …".
    pub corrects: Vec<Pattern>,
    /// "I live", "my name is".
    pub states: Vec<Pattern>,
    /// "Tired", "awful": said to be heard.
    pub moods: Vec<Pattern>,
    /// "You", "the weather": nothing of the speaker's own.
    pub vague: Vec<String>,
    /// "What", "is": begins a question.
    pub asks: Vec<String>,
    /// "What do you know about me?"
    pub me: Vec<Pattern>,
    /// "What do you remember?"
    pub all: Vec<Pattern>,
    /// Consent.
    pub yes: Vec<Pattern>,
    /// Refusal.
    pub no: Vec<Pattern>,
    /// The first, the second.
    pub ordinals: BTreeMap<u8, Vec<Pattern>>,
    /// Asks for a plan, not for the deed.
    pub plan: Vec<Pattern>,
    /// Asks for repair.
    pub fix: Vec<Pattern>,
    /// Impatience.
    pub mild: Vec<Pattern>,
    /// Anger.
    pub strong: Vec<Pattern>,
    /// Would destroy something.
    pub destroy: Vec<Pattern>,
}

const FILES: [(&str, &str); 5] = [
    ("en", include_str!("words/en.yaml")),
    ("de", include_str!("words/de.yaml")),
    ("fr", include_str!("words/fr.yaml")),
    ("es", include_str!("words/es.yaml")),
    ("it", include_str!("words/it.yaml")),
];

static SHIPPED: LazyLock<Result<Vec<Speech>, YamlError>> =
    LazyLock::new(|| FILES.iter().map(|(code, text)| Speech::read(code, text)).collect());

/// The languages that are shipped, English first.
pub fn shipped() -> Result<&'static [Speech], YamlError> {
    SHIPPED.as_deref().map_err(Clone::clone)
}

impl Speech {
    fn read(code: &'static str, text: &str) -> Result<Self, YamlError> {
        let file: SpeechFile = yaml::parse(text)?;
        let all = |list: &[String]| list.iter().map(|text| Pattern::new(text)).collect();
        Ok(Self {
            code,
            routes: file
                .routes
                .into_iter()
                .map(|(route, words)| RouteWords {
                    route,
                    says: all(&words.says),
                    hints: all(&words.hints),
                    examples: words.examples,
                })
                .collect(),
            talk: file
                .talk
                .into_iter()
                .map(|(name, talk)| (name, Talk { says: all(&talk.says), reply: talk.reply }))
                .collect(),
            plain: file.plain.reply,
            once: file.once,
            same: all(&file.focus.same),
            again: all(&file.focus.again),
            it: all(&file.focus.it),
            other: all(&file.focus.other),
            lead: all(&file.focus.lead),
            not: all(&file.focus.not),
            that: file.that.iter().map(|word| fold(word)).collect(),
            please: file.please.iter().map(|word| fold(word)).collect(),
            tells: all(&file.tells),
            forget: all(&file.forget),
            corrects: all(&file.corrects),
            states: all(&file.states),
            moods: all(&file.moods),
            vague: file.vague.iter().map(|word| fold(word)).collect(),
            asks: file.asks.iter().map(|word| fold(word)).collect(),
            me: all(&file.me),
            all: all(&file.all),
            yes: all(&file.yes),
            no: all(&file.no),
            ordinals: file.ordinals.iter().map(|(n, list)| (*n, all(list))).collect(),
            plan: all(&file.plan),
            fix: all(&file.fix),
            mild: all(&file.temper.mild),
            strong: all(&file.temper.strong),
            destroy: all(&file.destroy),
        })
    }
}

/// The language of a message among those that Alma speaks; English where she
/// cannot tell.
pub fn language<'s>(speeches: &'s [Speech], code: &str) -> Option<&'s Speech> {
    speeches.iter().find(|speech| speech.code == code).or_else(|| speeches.first())
}

/// Whether a message wants something gone from memory; "forget it" alone is said of
/// what was just spoken of.
pub fn wants_forgotten(words: &[String], speeches: &[Speech]) -> bool {
    let idle = |speech: &Speech| {
        let whole = |says: &Pattern| says.find(words) == Some(0..words.len());
        speech.talk.values().any(|talk| talk.says.iter().any(whole))
    };
    words.len() > 1
        && !speeches.iter().any(idle)
        && speeches.iter().any(|speech| any(&speech.forget, words).is_some())
}

/// What is to be kept of an order to remember: "remember that the rent is 900" keeps
/// "the rent is 900". What is no order is kept as it is.
pub fn fact<'m>(message: &'m str, speeches: &[Speech]) -> &'m str {
    let message = message.trim();
    let words = words_of(message, &fold);
    let orders = speeches.iter().flat_map(|speech| {
        let routes = speech.routes.iter().filter(|route| route.route == Route::Remember.as_str());
        routes.flat_map(|route| &route.says).map(move |says| (speech, says))
    });
    let ends = orders.filter_map(|(speech, says)| {
        let found = says.find(&words).filter(|found| found.start == 0)?;
        let joined = |at: usize| words.get(at).is_some_and(|word| speech.that.contains(word));
        match (joined(found.end), joined(found.end - 1)) {
            (true, _) => Some(found.end + 1),
            // "call me Ada" is a fact; "remember: …" is an order.
            (false, true) => Some(found.end),
            (false, false) => says.start.then_some(found.end),
        }
    });
    let Some(end) = ends.max() else { return message };
    let rest = behind(message, end);
    if rest.is_empty() { message } else { rest }
}

/// What stands behind the first words of a message.
pub(super) fn behind(message: &str, words: usize) -> &str {
    let rest = message.char_indices().map(|(at, c)| at + c.len_utf8()).find_map(|at| {
        let (before, rest) = message.split_at_checked(at)?;
        let whole = !rest.starts_with(char::is_alphanumeric);
        (whole && words_of(before, &fold).len() == words).then_some(rest)
    });
    let marks = |c: char| c.is_whitespace() || ":,;.!-–—…".contains(c);
    rest.unwrap_or(message).trim_start_matches(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, message: &str, expect: Option<Range<usize>>) {
        let words = words_of(message, &fold);
        assert_eq!(Pattern::new(pattern).find(&words), expect, "{pattern} in {message}");
    }

    #[test]
    fn a_pattern_is_found_where_it_stands() {
        check("do it", "please do it", Some(1..3));
        check("^do it", "please do it", None);
        check("^yes$", "yes", Some(0..1));
        check("^yes$", "yes but", None);
        check("what did i ... about", "what did I ever say about it", Some(0..6));
        check("fasse ... zusammen", "Fasse die Notizen zusammen", Some(0..4));
        check("a ... b", "a 1 2 3 4 5 b", None);
        check("größe", "Größe", Some(0..1));
    }

    #[test]
    fn an_order_to_remember_is_not_part_of_the_fact() {
        let check = |message: &str, expect: &str| {
            assert_eq!(fact(message, shipped().unwrap()), expect, "{message}");
        };
        check("Remember that the rent is 900 €.", "the rent is 900 €.");
        check("remember: my PIN hint is “dog”", "my PIN hint is “dog”");
        check("Please remember that I moved to Leipzig", "I moved to Leipzig");
        check("don't forget that Paula likes tulips", "Paula likes tulips");
        check("merk dir, dass ich in Leipzig wohne", "ich in Leipzig wohne");
        check("Merke dir: der Arzt heißt Weiss", "der Arzt heißt Weiss");
        check("recuerda que vivo en Sevilla", "vivo en Sevilla");
        check("from now on call me Ada", "from now on call me Ada");
        check("my brother's birthday is on 9 June", "my brother's birthday is on 9 June");
        check("remember", "remember");
    }

    #[test]
    fn every_language_speaks_for_every_route() {
        for speech in shipped().unwrap() {
            let mut names: Vec<&str> = speech.routes.iter().map(|r| r.route.as_str()).collect();
            names.sort_unstable();
            let mut all = charter::conversation::Route::ALL.map(|route| route.as_str());
            all.sort_unstable();
            assert_eq!(names, all, "{}", speech.code);
            for pattern in speech.routes.iter().flat_map(|r| r.says.iter().chain(&r.hints)) {
                assert!(pattern.words() > 0, "{}: {:?}", speech.code, pattern);
            }
        }
    }
}
