//! What is spoken of, and what "it", "the same", "again" and "the other file"
//! therefore mean.
//!
//! A message that refers to what was done before becomes a whole wish, and what
//! was put in for what is said aloud. Where nothing fits, or more than one thing
//! does, Alma asks.

use super::route::{Asked, clip, spoken};
use super::words::{self, Pattern, Speech, WORDS_MAX};
use charter::ids::{MemoryId, Millis, MissionId};
use moroni::words::Lexicon;
use moroni::words::fold::fold;
use moroni::words::sentence::Sentence;
use moroni::words::token::{Kind, Token};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Files that are kept in mind.
const FILES_MAX: usize = 12;
/// Longest wish that is kept in mind, in bytes.
const WISH_MAX: usize = 4_000;
/// Longest message that is looked at for references: longer ones are texts.
const MESSAGE_MAX: usize = 2_000;
/// Files that a question offers.
const OFFERED_MAX: usize = 4;

/// What is spoken of at the end of a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Focus {
    /// The last mission.
    pub mission: Option<MissionId>,
    /// The last wish, whole.
    pub wish: Option<String>,
    /// Files that were made or named, newest first.
    pub files: Vec<String>,
    /// What the last question was about.
    pub topic: Option<String>,
    /// When.
    pub at: Millis,
    /// What Alma asked back.
    pub asked: Option<Asked>,
    /// The last schedule.
    pub schedule: Option<charter::ids::ScheduleId>,
    /// It waits for a yes or no.
    pub schedule_asks: bool,
    /// A wish of which only the plan was shown.
    pub planned: Option<String>,
    /// A wish that waits until heads are cooler.
    pub blocked: Option<Blocked>,
    /// How impatient the person was.
    pub temper: u8,
    /// The last words, to notice that they are repeated.
    pub said: String,
    /// It was said that there is no language model.
    pub told: bool,
    /// The memory that was told or quoted last.
    pub fact: Option<MemoryId>,
    /// A correction of which it was asked what it corrects.
    pub correcting: Option<Correcting>,
}

/// A correction of which it is not certain what it corrects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correcting {
    /// The message.
    pub words: String,
    /// The memories that it may correct.
    pub options: Vec<MemoryId>,
}

/// A wish that waits until heads are cooler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The wish.
    pub wish: String,
    /// From when on it may be opened.
    pub opens_at: Millis,
}

/// A message, with references resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The whole wish.
    pub words: String,
    /// What was put in for what, and whether the subject changed.
    pub notes: Vec<String>,
    /// What to ask instead of doing anything.
    pub question: Option<String>,
}

impl Focus {
    /// After a mission: its wish, the files that it made and those it named.
    pub fn after(&mut self, mission: MissionId, wish: &str, files: Vec<String>, at: Millis) {
        self.mission = Some(mission);
        self.wish = Some(clip(wish, WISH_MAX).to_owned());
        let before = std::mem::take(&mut self.files);
        for file in files.into_iter().chain(before) {
            if self.files.len() < FILES_MAX && !self.files.contains(&file) {
                self.files.push(file);
            }
        }
        self.at = at;
    }
}

/// A message cut into pieces, with the language that it is in.
struct Message<'m> {
    sentence: Sentence<'m>,
    /// Folded words without marks, and the piece that each is.
    words: Vec<String>,
    pieces: Vec<usize>,
    speeches: Vec<&'m Speech>,
    names: &'m [String],
}

impl<'m> Message<'m> {
    fn new(
        text: &str,
        names: &'m [String],
        lexicon: &'m Lexicon,
        speeches: &'m [Speech],
    ) -> Option<Self> {
        let known = |name: &str| names.iter().any(|known| known == name);
        let sentence = Sentence::read(lexicon, text, &known)?;
        let words = spoken(&sentence);
        let said = |i: &usize| sentence.tokens[*i].kind != Kind::Mark;
        let pieces = (0..sentence.tokens.len()).filter(said).take(WORDS_MAX).collect();
        let mut known = vec![words::language(speeches, sentence.language.code)?];
        if known[0].code != "en" {
            known.extend(speeches.first());
        }
        Some(Self { sentence, words, pieces, speeches: known, names })
    }

    fn find(&self, patterns: fn(&Speech) -> &[Pattern]) -> Option<Range<usize>> {
        let found = |speech: &&Speech| {
            patterns(speech)
                .iter()
                .filter_map(|pattern| pattern.find(&self.words))
                .max_by_key(|range| range.len())
        };
        self.speeches.iter().find_map(found)
    }

    /// The bytes of a range of words.
    fn bytes(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let first = self.sentence.tokens.get(*self.pieces.get(range.start)?)?;
        let last = self.sentence.tokens.get(*self.pieces.get(range.end.checked_sub(1)?)?)?;
        Some(first.start..last.end)
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.bytes(range).and_then(|bytes| self.sentence.text.get(bytes)).unwrap_or("")
    }

    fn token(&self, word: usize) -> Option<&Token> {
        self.sentence.tokens.get(*self.pieces.get(word)?)
    }

    /// Files that the message names itself, as words.
    fn files(&self) -> Vec<(usize, String)> {
        let file = |(w, piece): (usize, &usize)| {
            let token = self.sentence.tokens.get(*piece)?;
            let named = token.kind == Kind::Path || self.names.contains(&token.text);
            named.then(|| (w, token.text.clone()))
        };
        self.pieces.iter().enumerate().filter_map(file).collect()
    }

    fn is_lead(&self, word: usize) -> bool {
        let here = |pattern: &Pattern| {
            self.words.get(word).is_some_and(|w| pattern.find(std::slice::from_ref(w)).is_some())
        };
        self.speeches.iter().any(|speech| speech.lead.iter().any(here))
    }

    /// A pronoun is one only where no noun follows it: "convert it to", "lösche sie",
    /// but not "this folder", "la tabla".
    fn stands_alone(&self, range: &Range<usize>) -> bool {
        if range.len() > 1 {
            return true;
        }
        let Some(piece) = self.pieces.get(range.start) else { return false };
        match self.sentence.tokens.get(piece + 1) {
            None => true,
            Some(next) if next.kind == Kind::Mark => true,
            Some(_) => {
                self.sentence.is_stop(piece + 1)
                    || self.sentence.is_filler(piece + 1)
                    || self.is_lead(range.start + 1)
            }
        }
    }
}

/// Whether a message goes on with what was done before.
pub fn follows(text: &str, focus: &Focus, lexicon: &Lexicon, speeches: &[Speech]) -> bool {
    if focus.wish.is_none() || text.len() > MESSAGE_MAX {
        return false;
    }
    Message::new(text, &focus.files, lexicon, speeches).is_some_and(|message| {
        message.find(|s| &s.same).is_some()
            || message.find(|s| &s.again).is_some()
            || message.find(|s| &s.other).is_some()
            || keeps_result(&message, focus, lexicon, speeches).is_some()
    })
}

/// Puts in what the message refers to. `names` are the files of the workspace.
pub fn resolve(
    text: &str,
    focus: &Focus,
    names: &[String],
    lexicon: &Lexicon,
    speeches: &[Speech],
) -> Resolved {
    let as_it_is = Resolved { words: text.to_owned(), ..Resolved::default() };
    if text.len() > MESSAGE_MAX {
        return as_it_is;
    }
    let Some(message) = Message::new(text, names, lexicon, speeches) else { return as_it_is };
    let same = message.find(|s| &s.same);
    let again = message.find(|s| &s.again);
    if let Some(cue) = same.clone().or(again.clone()) {
        match &focus.wish {
            Some(wish) => {
                if let Some(resolved) =
                    repeat(&message, cue, wish, focus, lexicon, speeches, same.is_some())
                {
                    return resolved;
                }
            }
            None if again.is_some() && message.files().is_empty() => {
                return ask(
                    "Nothing was done yet in this conversation: say the whole wish, please.",
                );
            }
            None => {}
        }
    }
    if let Some(words) = keeps_result(&message, focus, lexicon, speeches) {
        let notes = vec![format!("I take “{}” as: {words}", text.trim())];
        return Resolved { words, notes, question: None };
    }
    if let Some(resolved) = point(&message, focus) {
        return resolved;
    }
    switched(&message, focus, as_it_is)
}

fn ask(question: impl Into<String>) -> Resolved {
    Resolved { question: Some(question.into()), ..Resolved::default() }
}

/// "The same for 2025", "do it again": the last wish, with one thing changed.
fn repeat(
    message: &Message<'_>,
    cue: Range<usize>,
    wish: &str,
    focus: &Focus,
    lexicon: &Lexicon,
    speeches: &[Speech],
    same: bool,
) -> Option<Resolved> {
    let mut from = cue.end;
    while message.is_lead(from) {
        from += 1;
    }
    let rest = from..message.words.len();
    let per = cue.end..message.words.len();
    let said = |words: String, what: &str| Resolved {
        notes: vec![format!("I take “{}” as: {words}", what.trim())],
        words,
        question: None,
    };
    let heard = message.text(&(0..message.words.len()));
    if message.find(|s| &s.other).is_some() {
        return match other_file(message, focus) {
            Ok(file) => {
                let words = swap_file(message, wish, &file, focus, lexicon, speeches)?;
                Some(said(words, heard))
            }
            Err(question) => Some(ask(question)),
        };
    }
    if rest.is_empty() {
        return Some(said(wish.to_owned(), heard));
    }
    if let Some((format, at)) = format_in(message, &rest) {
        let base = if at == rest.start {
            Resolved { words: wish.to_owned(), ..Resolved::default() }
        } else {
            // What stands before it changes the wish too.
            let end = message.bytes(&(at - 1..at))?.end;
            let text = message.sentence.text.get(..end)?;
            let shorter = Message::new(text, message.names, lexicon, speeches)?;
            repeat(&shorter, cue, wish, focus, lexicon, speeches, same)?
        };
        if base.question.is_some() {
            return Some(base);
        }
        let words = in_format(&base.words, &format, message.names, lexicon, speeches)?;
        return Some(said(words, heard));
    }
    let old = Message::new(wish, message.names, lexicon, speeches)?;
    let value = message.text(&rest).trim_end_matches(['?', '!', '.']).to_owned();
    let words = if let Some((_, file)) = message.files().first() {
        swap_file(message, wish, file, focus, lexicon, speeches)
    } else if let Some((at, year)) = rest.clone().find_map(|w| Some((w, year(message.token(w)?)?)))
    {
        let swapped =
            swap_year(&old, wish, &year).or_else(|| swap_alike(message, &old, wish, &year));
        // What is said beside the year changes something too, or is not understood.
        let more = at + 1..message.words.len();
        let content = |w: usize| {
            message.pieces.get(w).is_some_and(|piece| message.sentence.is_content(*piece))
        };
        match swapped {
            Some(words) if more.clone().any(content) => {
                let new = Message::new(&words, message.names, lexicon, speeches)?;
                let grouped = swap_group(message, &new, &words, &more);
                if grouped.is_none() {
                    return Some(ask(format!(
                        "I take it as: {words}. But I cannot tell what “{}” changes in it: say \
                         the whole wish, please.",
                        message.text(&more)
                    )));
                }
                grouped
            }
            swapped => swapped,
        }
    } else {
        swap_alike(message, &old, wish, &value)
            .or_else(|| swap_group(message, &old, wish, &per))
            .or_else(|| swap_value(&old, wish, &value))
    };
    match words {
        Some(words) => Some(
            missing(message, &old, &words, lexicon, speeches).unwrap_or_else(|| said(words, heard)),
        ),
        None if same => Some(ask(format!(
            "I cannot tell what “{value}” changes in “{}”: say the whole wish, please.",
            clip(wish, 200)
        ))),
        None => None,
    }
}

/// Formats that a wish may name.
const FORMATS: [&str; 9] = ["json", "yaml", "yml", "toml", "csv", "tsv", "markdown", "md", "txt"];

/// "… as yaml": the format, and the word from which on it is said.
fn format_in(message: &Message<'_>, rest: &Range<usize>) -> Option<(String, usize)> {
    let at = rest.clone().find(|w| {
        let path = message.token(*w).is_some_and(|token| token.kind == Kind::Path);
        !path && message.words.get(*w).is_some_and(|word| FORMATS.contains(&word.as_str()))
    })?;
    let format = message.words.get(at)?.clone();
    let as_ = at.checked_sub(1).filter(|before| *before >= rest.start)?;
    let leads = matches!(
        message.words.get(as_)?.as_str(),
        "as" | "in" | "to" | "into" | "als" | "nach" | "en" | "como" | "come" | "a"
    );
    leads.then_some((format, as_)).or(Some((message.words.get(at)?.clone(), at)))
}

/// A wish, in another format.
fn in_format(
    wish: &str,
    format: &str,
    names: &[String],
    lexicon: &Lexicon,
    speeches: &[Speech],
) -> Option<String> {
    let old = Message::new(wish, names, lexicon, speeches)?;
    let swap = |w: usize, by: &str| {
        let bytes = old.bytes(&(w..w + 1))?;
        Some(format!("{}{by}{}", wish.get(..bytes.start)?, wish.get(bytes.end..)?))
    };
    let named = (0..old.words.len()).rev().find(|w| {
        let path = old.token(*w).is_some_and(|token| token.kind == Kind::Path);
        !path && FORMATS.contains(&old.words[*w].as_str())
    });
    if let Some(w) = named {
        return swap(w, format);
    }
    // "… into out.json": the name of what is written tells the format.
    let written = old.files().into_iter().rev().find(|(w, name)| {
        FORMATS.contains(&ending(name)) && *w > 0 && old.is_lead(w - 1) && !names.contains(name)
    });
    if let Some((w, name)) = written {
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        return swap(w, &format!("{stem}.{format}"));
    }
    Some(format!("{} as {format}", wish.trim_end_matches(['.', '!', ' '])))
}

/// A file that the new wish names and that is not here, though the old one was.
fn missing(
    message: &Message<'_>,
    old: &Message<'_>,
    words: &str,
    lexicon: &Lexicon,
    speeches: &[Speech],
) -> Option<Resolved> {
    let new = Message::new(words, message.names, lexicon, speeches)?;
    let here = |name: &String| message.names.contains(name);
    let was: Vec<String> = old.files().into_iter().map(|(_, name)| name).collect();
    let gone = new
        .files()
        .into_iter()
        .map(|(_, name)| name)
        .find(|name| !here(name) && !was.contains(name) && was.iter().any(here))?;
    let near: Vec<&str> = near(&gone, message.names);
    Some(ask(match near.is_empty() {
        true => format!("There is no {gone} here. Which file do you mean?"),
        false => format!("There is no {gone} here. Do you mean {}?", near.join(" or ")),
    }))
}

/// Files with the same ending whose names are most alike.
fn near<'n>(name: &str, names: &'n [String]) -> Vec<&'n str> {
    let stem =
        |name: &str| -> String { fold(name).chars().filter(|c| c.is_alphabetic()).collect() };
    let mut found: Vec<&str> = names
        .iter()
        .filter(|known| ending(known) == ending(name) && stem(known) == stem(name))
        .map(String::as_str)
        .collect();
    found.truncate(OFFERED_MAX);
    found
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

fn year(token: &Token) -> Option<String> {
    let four = token.text.len() == 4 && token.text.chars().all(|c| c.is_ascii_digit());
    (four && (token.text.starts_with("19") || token.text.starts_with("20")))
        .then(|| token.text.clone())
}

/// Every year of the wish becomes the new one, inside names of files too.
fn swap_year(old: &Message<'_>, wish: &str, year: &str) -> Option<String> {
    let digits = |c: char| c.is_ascii_digit();
    let mut words = String::with_capacity(wish.len());
    let mut swapped = false;
    let mut rest = old.sentence.text.as_str();
    while let Some(at) = rest.find(digits) {
        let length = rest[at..].find(|c| !digits(c)).unwrap_or(rest.len() - at);
        let run = &rest[at..at + length];
        let is_year = length == 4 && (run.starts_with("19") || run.starts_with("20"));
        words.push_str(&rest[..at]);
        words.push_str(if is_year { year } else { run });
        swapped |= is_year;
        rest = &rest[at + length..];
    }
    words.push_str(rest);
    swapped.then_some(words)
}

/// A file of the workspace that differs from the wish's by containing the value.
fn swap_alike(message: &Message<'_>, old: &Message<'_>, wish: &str, value: &str) -> Option<String> {
    let (_, file) = old.files().into_iter().next()?;
    let value = fold(value);
    if value.len() < 2 {
        return None;
    }
    let fits = |name: &&String| {
        **name != file && ending(name) == ending(&file) && fold(name).contains(&value)
    };
    let alike = |name: &String| common(&fold(name), &fold(&file));
    let found = message.names.iter().filter(fits).max_by_key(|name| alike(name))?;
    (alike(found) >= 3).then(|| wish.replacen(file.as_str(), found, 1))
}

/// Letters that two names begin and end with in common.
fn common(a: &str, b: &str) -> usize {
    let front = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let back = a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).count();
    let dot = a.rsplit_once('.').map_or(0, |(_, ending)| ending.chars().count() + 1);
    front + back.saturating_sub(dot)
}

/// "The same per month": another grouping.
fn swap_group(
    message: &Message<'_>,
    old: &Message<'_>,
    wish: &str,
    per: &Range<usize>,
) -> Option<String> {
    let is_per = |m: &Message<'_>, w: usize| {
        m.sentence.language.per.longest(&m.words, w).map(|(_, length)| length)
    };
    let new = per.clone().find(|w| is_per(message, *w).is_some())?;
    let at = (0..old.words.len()).find(|w| is_per(old, *w).is_some())?;
    let end = (at + is_per(old, at)? + 1).min(old.words.len());
    let bytes = old.bytes(&(at..end))?;
    let value = message.text(&(new..message.words.len())).trim_end_matches(['?', '!', '.']);
    Some(format!("{}{}{}", wish.get(..bytes.start)?, value, wish.get(bytes.end..)?))
}

/// The last value of the wish, quoted or a proper name, becomes the new one.
fn swap_value(old: &Message<'_>, wish: &str, value: &str) -> Option<String> {
    let piece = (0..old.sentence.tokens.len())
        .rev()
        .find(|i| old.sentence.tokens[*i].kind == Kind::Quoted || old.sentence.is_proper(*i))?;
    let token = &old.sentence.tokens[piece];
    let quoted = token.kind == Kind::Quoted;
    let value = if quoted { format!("\"{}\"", value.trim_matches('"')) } else { value.to_owned() };
    Some(format!("{}{}{}", wish.get(..token.start)?, value, wish.get(token.end..)?))
}

/// The wish, over another file.
fn swap_file(
    message: &Message<'_>,
    wish: &str,
    file: &str,
    focus: &Focus,
    lexicon: &Lexicon,
    speeches: &[Speech],
) -> Option<String> {
    let old = Message::new(wish, message.names, lexicon, speeches)?;
    let files = old.files();
    let alike = |name: &str| (ending(name) == ending(file), common(&fold(name), &fold(file)));
    match files.iter().filter(|(_, name)| name != file).max_by_key(|(_, name)| alike(name)) {
        Some((_, name)) => Some(wish.replacen(name.as_str(), file, 1)),
        None if files.is_empty() => {
            let first = focus.files.first()?;
            wish.contains(first.as_str()).then(|| wish.replacen(first.as_str(), file, 1))
        }
        None => None,
    }
}

/// The one file that "the other file" can mean.
fn other_file(message: &Message<'_>, focus: &Focus) -> Result<String, String> {
    let Some(current) = focus.files.first() else {
        return Err("No file was spoken of yet: which one do you mean?".to_owned());
    };
    let fits = |name: &&String| *name != current && ending(name) == ending(current);
    let spoken: Vec<&String> =
        focus.files.iter().filter(fits).filter(|name| message.names.contains(name)).collect();
    if let [only] = spoken.as_slice() {
        return Ok((*only).clone());
    }
    let here: Vec<&String> = message.names.iter().filter(fits).collect();
    match here.as_slice() {
        [only] => Ok((*only).clone()),
        [] => {
            Err(format!("Beside {current} there is no other file like it. Which one do you mean?"))
        }
        several => {
            let shown: Vec<&str> =
                several.iter().take(OFFERED_MAX).map(|name| name.as_str()).collect();
            Err(format!("Which other file do you mean: {}?", shown.join(", ")))
        }
    }
}

/// "Save that as totals.csv" after an answer that stands in no file: the last wish
/// once more, into that file.
fn keeps_result(
    message: &Message<'_>,
    focus: &Focus,
    lexicon: &Lexicon,
    speeches: &[Speech],
) -> Option<String> {
    let wish = focus.wish.as_deref()?;
    let [(at, _)] = message.files()[..] else { return None };
    let it = message.find(|s| &s.it).filter(|it| it.start == 1)?;
    let writes = message.sentence.means(*message.pieces.first()?, "write");
    if !writes || at + 1 != message.words.len() || at < it.end {
        return None;
    }
    let old = Message::new(wish, message.names, lexicon, speeches)?;
    let named = old.files();
    // What was made has a name of its own, and is "that" itself.
    let shown = focus.files.iter().take(1).all(|file| named.iter().any(|(_, name)| name == file))
        && !old.pieces.iter().any(|piece| old.sentence.means(*piece, "write"));
    shown.then(|| format!("{wish}, {}", message.sentence.text.trim()))
}

/// "Convert it to json", "send it to the other file".
fn point(message: &Message<'_>, focus: &Focus) -> Option<Resolved> {
    let mut swaps: Vec<(Range<usize>, String, String)> = Vec::new();
    if let Some(other) = message.find(|s| &s.other) {
        match other_file(message, focus) {
            Ok(file) => {
                let said = message.text(&other).to_owned();
                swaps.push((message.bytes(&other)?, said, file));
            }
            Err(question) => return Some(ask(question)),
        }
    }
    let not = message.find(|s| &s.not);
    let own = message.files();
    let it = message.speeches.iter().find_map(|speech| {
        let ranges = speech.it.iter().filter_map(|pattern| pattern.find(&message.words));
        ranges.filter(|range| message.stands_alone(range)).max_by_key(Range::len)
    });
    if let Some(it) = it
        && !not.is_some_and(|not| not.start < it.end && it.start < not.end)
        && own.iter().all(|(w, _)| *w > it.start)
        && swaps.iter().all(|(bytes, ..)| {
            message.bytes(&it).is_some_and(|b| b.end <= bytes.start || b.start >= bytes.end)
        })
        && begins_as_wish(message, it.start)
    {
        match focus.files.first() {
            Some(file) => {
                swaps.push((message.bytes(&it)?, message.text(&it).to_owned(), file.clone()));
            }
            None if focus.wish.is_none() && swaps.is_empty() && message.words.len() <= 6 => {
                return Some(ask(format!(
                    "What do you mean by “{}”? No file was spoken of yet.",
                    message.text(&it)
                )));
            }
            None => {}
        }
    }
    if swaps.is_empty() {
        return None;
    }
    swaps.sort_by_key(|(bytes, ..)| std::cmp::Reverse(bytes.start));
    let mut words = message.sentence.text.clone();
    let mut notes = Vec::new();
    for (bytes, said, file) in swaps {
        let quoted = if file.contains(' ') { format!("\"{file}\"") } else { file.clone() };
        words.replace_range(bytes, &quoted);
        notes.insert(0, format!("“{said}” is {file}"));
    }
    Some(Resolved { words, notes, question: None })
}

/// Before a pronoun that refers to a file stands a verb, near the beginning.
fn begins_as_wish(message: &Message<'_>, at: usize) -> bool {
    at > 0
        && at <= 6
        && (0..at).any(|w| {
            message.pieces.get(w).is_some_and(|piece| {
                message.sentence.is_content(*piece)
                    || message.sentence.concepts.get(*piece).is_some_and(|c| !c.is_empty())
            })
        })
}

/// A message with files of its own, none of which was spoken of.
fn switched(message: &Message<'_>, focus: &Focus, mut resolved: Resolved) -> Resolved {
    let own = message.files();
    let (Some(before), Some((_, now))) = (focus.files.first(), own.first()) else {
        return resolved;
    };
    if focus.wish.is_some() && own.iter().all(|(_, name)| !focus.files.contains(name)) {
        resolved.notes.push(format!("another subject now: {now} (until now: {before})"));
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn focus(wish: &str, files: &[&str]) -> Focus {
        Focus {
            wish: (!wish.is_empty()).then(|| wish.to_owned()),
            files: files.iter().map(|f| (*f).to_owned()).collect(),
            ..Focus::default()
        }
    }

    fn check(before: &Focus, names: &[&str], message: &str, expected: Expect) {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let lexicon = Lexicon::shipped().unwrap();
        let found = resolve(message, before, &names, lexicon, words::shipped().unwrap());
        expected.assert_eq(&match found.question {
            Some(question) => format!("? {question}"),
            None => format!("{} [{}]", found.words, found.notes.join("; ")),
        });
    }

    const TABLES: &[&str] = &["expenses-2024.csv", "expenses-2025.csv", "notes.md", "people.csv"];

    #[test]
    fn the_same_for_another_year() {
        let total = focus("total expenses-2024.csv per category", &["expenses-2024.csv"]);
        check(
            &total,
            TABLES,
            "do the same for 2025",
            expect![
                "total expenses-2025.csv per category [I take “do the same for 2025” as: total expenses-2025.csv per category]"
            ],
        );
        check(
            &total,
            TABLES,
            "and for 2025?",
            expect![
                "total expenses-2025.csv per category [I take “and for 2025” as: total expenses-2025.csv per category]"
            ],
        );
        check(
            &total,
            TABLES,
            "mach das gleiche für 2025",
            expect![
                "total expenses-2025.csv per category [I take “mach das gleiche für 2025” as: total expenses-2025.csv per category]"
            ],
        );
        check(
            &total,
            TABLES,
            "fais la même chose pour 2025",
            expect![
                "total expenses-2025.csv per category [I take “fais la même chose pour 2025” as: total expenses-2025.csv per category]"
            ],
        );
        check(
            &total,
            TABLES,
            "the same for 2023 please",
            expect![
                "? There is no expenses-2023.csv here. Do you mean expenses-2024.csv or expenses-2025.csv?"
            ],
        );
    }

    #[test]
    fn what_is_said_beside_the_year_counts_too() {
        let convert = focus("convert expenses-2024.csv to json", &["expenses-2024.csv"]);
        check(
            &convert,
            TABLES,
            "and for 2025 as yaml",
            expect![
                "convert expenses-2025.csv to yaml [I take “and for 2025 as yaml” as: convert expenses-2025.csv to yaml]"
            ],
        );
        check(
            &convert,
            TABLES,
            "the same as toml",
            expect![
                "convert expenses-2024.csv to toml [I take “the same as toml” as: convert expenses-2024.csv to toml]"
            ],
        );
        let total = focus("total expenses-2024.csv per category", &["expenses-2024.csv"]);
        check(
            &total,
            TABLES,
            "and for 2025 per month",
            expect![
                "total expenses-2025.csv per month [I take “and for 2025 per month” as: total expenses-2025.csv per month]"
            ],
        );
        check(
            &total,
            TABLES,
            "and for 2025 without the travel costs",
            expect![
                "? I take it as: total expenses-2025.csv per category. But I cannot tell what “without the travel costs” changes in it: say the whole wish, please."
            ],
        );
    }

    #[test]
    fn the_same_with_something_else_changed() {
        let names = &["sales-berlin.csv", "sales-hamburg.csv", "readme.md"];
        let total = focus("total sales-hamburg.csv per category", &["sales-hamburg.csv"]);
        check(
            &total,
            names,
            "now for Berlin",
            expect![
                "total sales-berlin.csv per category [I take “now for Berlin” as: total sales-berlin.csv per category]"
            ],
        );
        check(
            &total,
            names,
            "the same for sales-berlin.csv",
            expect![
                "total sales-berlin.csv per category [I take “the same for sales-berlin.csv” as: total sales-berlin.csv per category]"
            ],
        );
        check(
            &total,
            names,
            "the same per month",
            expect![
                "total sales-hamburg.csv per month [I take “the same per month” as: total sales-hamburg.csv per month]"
            ],
        );
        check(
            &total,
            names,
            "do the same for the moon",
            expect![
                "? I cannot tell what “the moon” changes in “total sales-hamburg.csv per category”: say the whole wish, please."
            ],
        );
        check(
            &total,
            names,
            "do it again",
            expect![
                "total sales-hamburg.csv per category [I take “do it again” as: total sales-hamburg.csv per category]"
            ],
        );
    }

    #[test]
    fn a_result_is_kept_in_a_file() {
        let total = focus("total expenses-2024.csv per category", &["expenses-2024.csv"]);
        let check = |message: &str, expected| check(&total, TABLES, message, expected);
        check(
            "save that as totals.csv",
            expect![
                "total expenses-2024.csv per category, save that as totals.csv [I take “save that as totals.csv” as: total expenses-2024.csv per category, save that as totals.csv]"
            ],
        );
        check(
            "write it to totals.md",
            expect![
                "total expenses-2024.csv per category, write it to totals.md [I take “write it to totals.md” as: total expenses-2024.csv per category, write it to totals.md]"
            ],
        );
        check(
            "convert it to json",
            expect!["convert expenses-2024.csv to json [“it” is expenses-2024.csv]"],
        );
    }

    #[test]
    fn it_is_what_was_spoken_of() {
        let total = focus("total expenses-2024.csv per category", &["expenses-2024.csv"]);
        check(
            &total,
            TABLES,
            "convert it to json",
            expect!["convert expenses-2024.csv to json [“it” is expenses-2024.csv]"],
        );
        check(
            &total,
            TABLES,
            "sort that by date",
            expect!["sort expenses-2024.csv by date [“that” is expenses-2024.csv]"],
        );
        check(
            &total,
            TABLES,
            "delete this file",
            expect!["delete expenses-2024.csv [“this file” is expenses-2024.csv]"],
        );
        check(
            &total,
            TABLES,
            "lösche die Datei",
            expect!["lösche expenses-2024.csv [“die Datei” is expenses-2024.csv]"],
        );
        check(
            &focus("", &[]),
            TABLES,
            "convert it to json",
            expect!["? What do you mean by “it”? No file was spoken of yet."],
        );
    }

    #[test]
    fn the_other_file() {
        let pair = &["a.csv", "b.csv", "x.md"];
        let total = focus("sort a.csv by date", &["a.csv"]);
        check(
            &total,
            pair,
            "do the same with the other file",
            expect![
                "sort b.csv by date [I take “do the same with the other file” as: sort b.csv by date]"
            ],
        );
        check(
            &total,
            pair,
            "send it to the other file",
            expect!["send a.csv to b.csv [“it” is a.csv; “the other file” is b.csv]"],
        );
        check(
            &total,
            &["a.csv", "b.csv", "c.csv"],
            "use the other file",
            expect!["? Which other file do you mean: b.csv, c.csv?"],
        );
        check(
            &total,
            &["a.csv"],
            "use the other file",
            expect!["? Beside a.csv there is no other file like it. Which one do you mean?"],
        );
    }

    #[test]
    fn what_is_no_reference_stays() {
        let total = focus("total expenses-2024.csv per category", &["expenses-2024.csv"]);
        check(
            &total,
            TABLES,
            "count the words in notes.md and put it into out.md",
            expect![
                "count the words in notes.md and put it into out.md [another subject now: notes.md (until now: expenses-2024.csv)]"
            ],
        );
        check(
            &total,
            TABLES,
            "list the files in this folder",
            expect!["list the files in this folder []"],
        );
        check(&total, TABLES, "busca la tabla de gastos", expect!["busca la tabla de gastos []"]);
        check(
            &total,
            TABLES,
            "it is nice that you are here",
            expect!["it is nice that you are here []"],
        );
    }

    #[test]
    fn a_change_of_subject_is_noticed() {
        let total = focus("total expenses-2024.csv per category", &["expenses-2024.csv"]);
        check(
            &total,
            TABLES,
            "convert people.csv to json",
            expect![
                "convert people.csv to json [another subject now: people.csv (until now: expenses-2024.csv)]"
            ],
        );
        check(
            &total,
            TABLES,
            "convert expenses-2024.csv to json",
            expect!["convert expenses-2024.csv to json []"],
        );
    }

    #[test]
    fn newer_files_come_first_and_old_ones_go() {
        let mut kept = focus("x", &["old.csv"]);
        let mission: MissionId = "m-0000000000000000".parse().unwrap();
        kept.after(mission, "convert old.csv", vec!["new.json".into(), "old.csv".into()], 5);
        assert_eq!(kept.files, ["new.json", "old.csv"]);
    }
}
