//! From words to a rhythm and a wish: "every weekday at eight list the new files"
//! is `0 8 * * 1-5` and "list the new files". Pure; the words are data.

use super::rhythm::{Piece, Unsaid, fields};
use super::words::{Unit, Words};
use super::zone::{self, Taken};
use crate::Error;
use moroni::words::Lexicon;
use moroni::words::sentence::Sentence;
use moroni::words::token::{Kind, Token};

/// Longest text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 8_000;
/// Words that are named where they are not understood.
const UNREAD_WORDS: usize = 3;

/// A rhythm and what is to be done in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Five cron fields.
    pub cron: String,
    /// The rest of the words.
    pub wish: String,
    /// The name of the time zone, where one is said.
    pub zone: Option<String>,
    /// What was put in for what was not said.
    pub notes: Vec<String>,
}

/// A part of a rhythm and the words that say it.
#[derive(Debug, Clone)]
struct Found {
    piece: Piece,
    from: usize,
    to: usize,
    /// Said by one word that may also describe a thing: "the daily report".
    weak: bool,
}

/// Reads words. Gives what the language says that fits best.
pub fn read(text: &str) -> Result<Result<Said, Unsaid>, Error> {
    let (zone, text) = match zone::taken(text) {
        Ok(Taken { zone, text }) => (zone, text),
        Err(place) => {
            return Ok(Err(Unsaid::Odd(format!(
                "I know no time zone of “{place}”; name a large city near it or a zone, as in \
                 “Tokyo time” or “Europe/Berlin”"
            ))));
        }
    };
    let Some(sentence) = sentence(&text)? else { return Ok(Err(Unsaid::Nothing)) };
    let mut best: Option<(usize, Result<Said, Unsaid>)> = None;
    let mut unread = None;
    for words in ordered(&sentence)? {
        let reader = Reader { words, folded: &sentence.folded, tokens: &sentence.tokens };
        let found = reader.all();
        let length: usize = found.iter().map(|found| found.to - found.from).sum();
        let odd = reader.unread(&found);
        if length == 0 {
            unread = unread.or(odd);
            continue;
        }
        if length > best.as_ref().map_or(0, |(most, _)| *most) {
            let (used, cron) = compose(found);
            let zone = zone.clone();
            let said =
                cron.map(|(cron, notes)| Said { cron, wish: reader.rest(&used), zone, notes });
            if said != Err(Unsaid::Nothing) {
                best = Some((length, odd.map_or(said, Err)));
            }
        }
    }
    // What is not understood is said, not guessed.
    Ok(best.map_or_else(|| Err(unread.unwrap_or(Unsaid::Nothing)), |(_, said)| said))
}

/// The text cut into words; a long one is cut short, for it is no rhythm.
pub(super) fn sentence(text: &str) -> Result<Option<Sentence<'static>>, Error> {
    let lexicon = Lexicon::shipped().map_err(|error| Error::Machine {
        operation: "read the words of languages".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(Sentence::read(lexicon, crate::talk::route::clip(text, TEXT_BYTES_MAX), &|_| false))
}

/// All languages, that of the sentence first.
pub(super) fn ordered(
    sentence: &Sentence<'_>,
) -> Result<impl Iterator<Item = &'static Words>, Error> {
    let all = Words::shipped()?;
    let code = sentence.language.code;
    let own = all.iter().filter(move |words| words.code == code);
    Ok(own.chain(all.iter().filter(move |words| words.code != code)))
}

struct Reader<'s> {
    words: &'static Words,
    folded: &'s [String],
    tokens: &'s [Token],
}

/// From an hour of twelve to one of the day.
type OfHalf = fn(u8) -> Option<u8>;

/// Cron fields, and what the user should know of them.
type Fields = (String, Vec<String>);

impl Reader<'_> {
    fn all(&self) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let mut i = 0;
        while i < self.folded.len() {
            match self.piece(i) {
                Some((pieces, weak, to)) => {
                    let grouped = self.words.per.before(self.folded, i).is_some();
                    let rhythm = |piece: &Piece| !matches!(piece, Piece::At(_) | Piece::Window(..));
                    // "for each month" says how, not how often.
                    if !(grouped && pieces.iter().any(rhythm)) {
                        let make = |piece| Found { piece, from: i, to, weak };
                        found.extend(pieces.into_iter().map(make));
                    }
                    i = to;
                }
                None => i += 1,
            }
        }
        found
    }

    /// Words that begin like a rhythm or a time and are none: "every blue moon",
    /// "every day at teatime", "every day at 25:00".
    fn unread(&self, found: &[Found]) -> Option<Unsaid> {
        let w = self.words;
        let taken = |i: usize| found.iter().any(|found| (found.from..found.to).contains(&i));
        let quote = |from: usize, words: usize| {
            let said = self.tokens.iter().skip(from).take(words);
            let said = said.take_while(|token| token.kind != Kind::Mark);
            said.map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        for i in (0..self.folded.len()).filter(|i| !taken(*i)) {
            let grouped = w.per.before(self.folded, i).is_some();
            let begins = found.is_empty() && !grouped && w.every.at(self.folded, i).is_some();
            if begins && self.tokens.get(i).is_some_and(Token::is_word) {
                return Some(Unsaid::Unread(quote(i, UNREAD_WORDS)));
            }
            let behind =
                found.iter().any(|found| found.to == i && !matches!(found.piece, Piece::At(_)));
            if let (Some(((), to)), true) = (w.at.at(self.folded, i), behind)
                && self.tokens.get(to).is_some_and(|t| t.is_word() || t.kind == Kind::Number)
            {
                return Some(Unsaid::Unread(quote(i, to + 1 - i)));
            }
        }
        None
    }

    /// What is said from word `i` on, whether weakly, and the word behind it.
    fn piece(&self, i: usize) -> Option<(Vec<Piece>, bool, usize)> {
        // Inside quotation marks and names of files nothing is said.
        if self.tokens.get(i).is_some_and(|t| matches!(t.kind, Kind::Quoted | Kind::Path)) {
            return None;
        }
        let strong = |(pieces, to)| (pieces, false, to);
        self.month_days(i)
            .or_else(|| self.every(i))
            .map(strong)
            .or_else(|| self.adverb(i))
            .or_else(|| self.recurring(i).map(strong))
            .or_else(|| self.window(i).map(strong))
            .or_else(|| self.at(i).map(strong))
    }

    /// "every 15 minutes", "every weekday", "every Monday and Thursday morning".
    fn every(&self, i: usize) -> Option<(Vec<Piece>, usize)> {
        let w = self.words;
        let ((), behind) = w.every.at(self.folded, i)?;
        if let Some(((), next)) = w.other.at(self.folded, behind)
            && let Some((unit, to)) = w.units.at(self.folded, next)
        {
            return Some((vec![Piece::Every(unit, 2)], to));
        }
        if let Some((n, next)) = self.number(behind)
            && let Some((unit, to)) = w.units.at(self.folded, next)
        {
            return Some((vec![Piece::Every(unit, n)], to));
        }
        if let Some((days, to)) = self.days(behind) {
            return Some(self.with_part(vec![Piece::Days(days)], to));
        }
        if let Some((hour, to)) = w.parts.at(self.folded, behind) {
            return Some((vec![Piece::Every(Unit::Day, 1), Piece::Part(hour)], to));
        }
        let (unit, to) = w.units.at(self.folded, behind)?;
        Some(self.with_part(vec![Piece::Every(unit, 1)], to))
    }

    fn with_part(&self, mut pieces: Vec<Piece>, to: usize) -> (Vec<Piece>, usize) {
        match self.words.parts.at(self.folded, to) {
            Some((hour, behind)) => {
                pieces.push(Piece::Part(hour));
                (pieces, behind)
            }
            None => (pieces, to),
        }
    }

    /// "Monday to Friday", "Monday, Wednesday and every Friday".
    fn days(&self, i: usize) -> Option<(u8, usize)> {
        let w = self.words;
        let (mut days, mut to) = w.days.at(self.folded, i)?;
        if let Some(((), behind)) = w.to.at(self.folded, to)
            && let Some((last, end)) = w.days.at(self.folded, behind)
        {
            return Some((span(days, last), end));
        }
        loop {
            let mut next = to;
            let mut joined = false;
            while let Some(behind) = self.join(next) {
                (next, joined) = (behind, true);
            }
            if let Some(((), behind)) = w.every.at(self.folded, next) {
                next = behind;
            }
            match w.days.at(self.folded, next).filter(|_| joined) {
                Some((more, end)) => (days, to) = (days | more, end),
                None => return Some((days, to)),
            }
        }
    }

    /// The word behind a comma or an "and".
    fn join(&self, i: usize) -> Option<usize> {
        if self.folded.get(i).is_some_and(|word| word == ",") {
            return Some(i + 1);
        }
        self.words.and.at(self.folded, i).map(|((), to)| to)
    }

    /// "daily", "once a week".
    fn adverb(&self, i: usize) -> Option<(Vec<Piece>, bool, usize)> {
        let ((unit, part), to) = self.words.adverbs.at(self.folded, i)?;
        let pieces = std::iter::once(Piece::Every(unit, 1)).chain(part.map(Piece::Part));
        Some((pieces.collect(), true, to))
    }

    /// "on Mondays and Fridays", "werktags".
    fn recurring(&self, i: usize) -> Option<(Vec<Piece>, usize)> {
        let w = self.words;
        let ((), behind) = w.on.at(self.folded, i)?;
        let (mut days, mut to) = w.recurring.at(self.folded, behind)?;
        while let Some(next) = self.join(to) {
            let next = self.join(next).unwrap_or(next);
            match w.recurring.at(self.folded, next) {
                Some((more, end)) => (days, to) = (days | more, end),
                None => break,
            }
        }
        Some(self.with_part(vec![Piece::Days(days)], to))
    }

    /// "on the 1st and 15th of every month".
    fn month_days(&self, i: usize) -> Option<(Vec<Piece>, usize)> {
        let w = self.words;
        let start = w.monthday.at(self.folded, i).map_or(i, |((), to)| to);
        if let Some(((), to)) = w.last.at(self.folded, start)
            && let Some(((), to)) = w.of_month.at(self.folded, to)
        {
            return Some((vec![Piece::MonthDays(Vec::new())], to));
        }
        let (first, mut to) = self.ordinal(start)?;
        let mut days = vec![first];
        while let Some(next) = self.join(to) {
            let next = w.monthday.at(self.folded, next).map_or(next, |((), to)| to);
            match self.ordinal(next) {
                Some((day, end)) => {
                    days.push(day);
                    to = end;
                }
                None => break,
            }
        }
        let ((), to) = w.of_month.at(self.folded, to)?;
        Some((vec![Piece::MonthDays(days)], to))
    }

    fn ordinal(&self, i: usize) -> Option<(u8, usize)> {
        if let Some(found) = self.words.ordinals.at(self.folded, i) {
            return Some(found);
        }
        let word = self.folded.get(i)?;
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        let ending = word.get(digits.len()..)?;
        let fits = ending.is_empty() || self.words.nth.iter().any(|nth| nth == ending);
        let day = digits.parse::<u8>().ok().filter(|day| fits && (1..=31).contains(day))?;
        let dot = self.folded.get(i + 1).is_some_and(|word| word == ".");
        Some((day, if dot { i + 2 } else { i + 1 }))
    }

    fn number(&self, i: usize) -> Option<(u8, usize)> {
        let word = self.folded.get(i)?;
        let named = || {
            let language = Lexicon::shipped().ok()?.language(self.words.code)?;
            language.numbers.get(word).and_then(|n| u8::try_from(*n).ok())
        };
        word.parse::<u8>().ok().or_else(named).map(|n| (n, i + 1))
    }

    /// "between 9 and 17".
    fn window(&self, i: usize) -> Option<(Vec<Piece>, usize)> {
        let w = self.words;
        let ((), start) = w.between.at(self.folded, i)?;
        let start = w.at.at(self.folded, start).map_or(start, |((), to)| to);
        let (from, to) = self.time(start, true)?;
        let (until, to) = match self.folded.get(to).and_then(|word| word.strip_prefix('-')) {
            Some(hour) => ((hour.parse().ok()?, 0), to + 1),
            None => {
                let ((), next) = w.until.at(self.folded, to)?;
                let next = w.at.at(self.folded, next).map_or(next, |((), to)| to);
                self.time(next, true)?
            }
        };
        (from.1 == 0 && until.1 == 0 && from.0 < 24 && until.0 <= 24)
            .then_some((vec![Piece::Window(from.0, until.0)], to))
    }

    /// "at eight", "18:30", "at 9 and 17 o'clock", "7 in the evening".
    fn at(&self, i: usize) -> Option<(Vec<Piece>, usize)> {
        let w = self.words;
        let led = w.at.at(self.folded, i);
        let start = led.map_or(i, |((), to)| to);
        let (time, mut to) = self.time(start, led.is_some())?;
        let mut times = vec![time];
        while let Some(next) = self.join(to) {
            let again = w.at.at(self.folded, next);
            let next = again.map_or(next, |((), to)| to);
            let Some((more, end)) = self.time(next, led.is_some()) else { break };
            // "at 8 and 3 files": the number counts what follows.
            let counts = again.is_none() && self.is_bare(next, end) && self.is_word(end);
            if counts {
                break;
            }
            times.push(more);
            to = end;
        }
        if let Some((part, end)) = w.parts.at(self.folded, to) {
            for (hour, _) in &mut times {
                if (12..24).contains(&part) && *hour < 12 {
                    *hour += 12;
                }
            }
            to = end;
        }
        Some((vec![Piece::At(times)], to))
    }

    fn is_bare(&self, from: usize, to: usize) -> bool {
        to == from + 1 && self.tokens.get(from).is_some_and(|token| token.kind == Kind::Number)
    }

    fn is_word(&self, i: usize) -> bool {
        self.tokens.get(i).is_some_and(Token::is_word)
    }

    /// A time of the day. `led`: a word before it says that a time follows, so a
    /// number alone is one.
    fn time(&self, i: usize, led: bool) -> Option<((u8, u8), usize)> {
        let w = self.words;
        if let Some((hour, to)) = w.clock.at(self.folded, i) {
            return Some(((hour, 0), to));
        }
        if let Some((shift, next)) = w.shifts.at(self.folded, i) {
            let ((hour, 0), to) = self.time(next, true)? else { return None };
            let minutes = (i16::from(hour) * 60 + shift).rem_euclid(24 * 60);
            let (hour, minute) = (minutes / 60, minutes % 60);
            return Some(((u8::try_from(hour).ok()?, u8::try_from(minute).ok()?), to));
        }
        let word = self.folded.get(i)?;
        let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, glued) = word.split_at(digits);
        let mut hour: u8;
        let (mut minute, mut sure, mut to) = (0, false, i + 1);
        if number.is_empty() {
            hour = self.number(i)?.0;
        } else if glued.is_empty() {
            hour = number.parse().ok()?;
            let colon = self.folded.get(to).is_some_and(|word| word == ":");
            if colon && let Some(text) = self.folded.get(to + 1) {
                let end = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let (digits, glued) = text.split_at(end);
                minute = digits.parse().ok().filter(|_| digits.len() == 2)?;
                hour = self.half(hour, glued)?;
                (sure, to) = (true, to + 2);
            }
        } else if let Some(behind) = glued.strip_prefix('.') {
            // 8.30
            hour = number.parse().ok()?;
            minute = behind.parse().ok().filter(|_| behind.len() == 2)?;
        } else {
            // 7am, 8h, 8h30, 18uhr
            let letters = glued.trim_end_matches(|c: char| c.is_ascii_digit());
            let behind = glued.get(letters.len()..)?;
            hour = self.half(number.parse().ok()?, letters)?;
            minute = if behind.is_empty() { 0 } else { behind.parse().ok()? };
            sure = true;
        }
        if let Some((suffix, end)) = self.suffix(to) {
            hour = suffix(hour)?;
            (sure, to) = (true, end);
            // 8 Uhr 30, 8 h 30
            if minute == 0
                && let Some(more) = self.folded.get(to).and_then(|word| word.parse::<u8>().ok())
                && more < 60
                && !self.is_word(to + 1)
            {
                (minute, to) = (more, to + 1);
            }
        }
        let valid = hour < 24 && minute < 60 && (sure || led);
        valid.then_some(((hour, minute), to))
    }

    /// What "am", "pm" or "o'clock" does to an hour.
    fn suffix(&self, i: usize) -> Option<(OfHalf, usize)> {
        let w = self.words;
        if let Some(((), to)) = w.am.at(self.folded, i) {
            return Some((am, to));
        }
        if let Some(((), to)) = w.pm.at(self.folded, i) {
            return Some((pm, to));
        }
        w.oclock.at(self.folded, i).map(|((), to)| (Some as fn(u8) -> Option<u8>, to))
    }

    /// An hour with letters glued to it.
    fn half(&self, hour: u8, letters: &str) -> Option<u8> {
        if letters.is_empty() {
            return Some(hour);
        }
        let word = [letters.to_owned()];
        let w = self.words;
        if w.am.at(&word, 0).is_some() {
            am(hour)
        } else if w.pm.at(&word, 0).is_some() {
            pm(hour)
        } else {
            w.oclock.at(&word, 0).map(|_| hour)
        }
    }

    /// The words without the rhythm, and without what only led to it.
    fn rest(&self, used: &[(usize, usize)]) -> String {
        let taken = |i: usize| used.iter().any(|(from, to)| (*from..*to).contains(&i));
        let mark = |i: usize| self.tokens.get(i).is_some_and(|t| t.kind == Kind::Mark);
        let mut left: Vec<usize> = (0..self.tokens.len()).filter(|i| !taken(*i)).collect();
        let spoken = |left: &[usize]| -> Vec<String> {
            left.iter().filter_map(|i| self.folded.get(*i).cloned()).collect()
        };
        loop {
            let words = spoken(&left);
            let cut = match left.first() {
                Some(first) if mark(*first) => 1,
                Some(_) => self.words.edge.at(&words, 0).map_or(0, |((), to)| to),
                None => 0,
            };
            if cut == 0 {
                break;
            }
            left.drain(..cut);
        }
        loop {
            let words = spoken(&left);
            let keep = match left.last() {
                Some(last) if mark(*last) => words.len() - 1,
                Some(_) => self.words.tail.before(&words, words.len()).unwrap_or(words.len()),
                None => 0,
            };
            if keep == words.len() {
                break;
            }
            left.truncate(keep);
        }
        self.text_of(&left)
    }

    fn text_of(&self, left: &[usize]) -> String {
        let mut text = String::new();
        let mut before: Option<&Token> = None;
        for token in left.iter().filter_map(|i| self.tokens.get(*i)) {
            if before.is_some_and(|before| before.end < token.start) {
                text.push(' ');
            }
            // Quotation marks belong to their token, by its bytes.
            match token.kind {
                Kind::Quoted => text.push_str(&format!("\"{}\"", token.text)),
                _ => text.push_str(&token.text),
            }
            before = Some(token);
        }
        text
    }
}

fn am(hour: u8) -> Option<u8> {
    (1..=12).contains(&hour).then_some(hour % 12)
}

fn pm(hour: u8) -> Option<u8> {
    match hour {
        1..=12 => Some(hour % 12 + 12),
        13..=23 => Some(hour),
        _ => None,
    }
}

/// Days from the first to the last, over the end of the week if need be.
fn span(first: u8, last: u8) -> u8 {
    let (from, to) = (first.trailing_zeros(), last.trailing_zeros());
    let length = (to + 7 - from) % 7;
    (0..=length).fold(0, |days, i| days | 1 << ((from + i) % 7))
}

/// One rhythm from its parts: the words used, the cron fields and notes.
fn compose(found: Vec<Found>) -> (Vec<(usize, usize)>, Result<Fields, Unsaid>) {
    let rhythm = |found: &Found| !matches!(found.piece, Piece::At(_) | Piece::Window(..));
    let strong = found.iter().any(|found| rhythm(found) && !found.weak);
    let found: Vec<Found> = found.into_iter().filter(|found| !(strong && found.weak)).collect();
    let used = found.iter().map(|found| (found.from, found.to)).collect();
    if !found.iter().any(rhythm) {
        return (used, Err(Unsaid::Nothing));
    }
    (used, fields(found.into_iter().map(|found| found.piece)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::cron::Cron;

    fn check(text: &str, cron: &str, wish: &str) {
        let said = read(text).unwrap().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((said.cron.as_str(), said.wish.as_str()), (cron, wish), "{text}");
        assert!(Cron::read(&said.cron).is_ok(), "{text}");
    }

    fn refused(text: &str, why: &str) {
        let error = read(text).unwrap().expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }

    #[test]
    fn english() {
        check("every weekday at eight list the new files", "0 8 * * 1-5", "list the new files");
        check("every weekday at 8, list files", "0 8 * * 1-5", "list files");
        check(
            "List all files every Monday and Thursday at 18:30",
            "30 18 * * 1,4",
            "List all files",
        );
        check("daily at 7 am total sales.csv", "0 7 * * *", "total sales.csv");
        check("daily at 7pm total sales.csv", "0 19 * * *", "total sales.csv");
        check("on the 1st of every month count the notes", "0 8 1 * *", "count the notes");
        check(
            "on the 1st and 15th of each month at 9:05 count notes",
            "5 9 1,15 * *",
            "count notes",
        );
        check("every 15 minutes list files", "*/15 * * * *", "list files");
        check("every hour between 9 and 17 list files", "0 9-17 * * *", "list files");
        check("every 5 minutes from 9 to 17 on weekdays count x", "*/5 9-16 * * 1-5", "count x");
        check("every 2 hours count files", "0 */2 * * *", "count files");
        check("every minute count the files", "* * * * *", "count the files");
        check("list the files each Friday afternoon", "0 15 * * 5", "list the files");
        check("every Sunday at 6 in the evening zip docs", "0 18 * * 0", "zip docs");
        check("every Monday morning list files", "0 8 * * 1", "list files");
        check("every night at 2 back up notes", "0 2 * * *", "back up notes");
        check("on Mondays and Fridays at noon list files", "0 12 * * 1,5", "list files");
        check("every monday to friday at 9 list files", "0 9 * * 1-5", "list files");
        check("every day at 8 and at 20 list files", "0 8,20 * * *", "list files");
        check("at 6pm every day total sales.csv", "0 18 * * *", "total sales.csv");
        check("every day at half past nine list files", "30 9 * * *", "list files");
        check("monthly list the largest files", "0 8 1 * *", "list the largest files");
        check(
            "once a week, list files larger than 10 MB",
            "0 8 * * 1",
            "list files larger than 10 MB",
        );
        check(
            "every day at 8 total sales for each month",
            "0 8 * * *",
            "total sales for each month",
        );
        check(
            "every friday at 5 pm, write the weekly total",
            "0 17 * * 5",
            "write the weekly total",
        );
        check("schedule the link check daily", "0 8 * * *", "the link check");
        check(
            "please count lines in \"every day.md\" each day at 10",
            "0 10 * * *",
            "count lines in \"every day.md\"",
        );
    }

    #[test]
    fn zones_are_read() {
        let check = |text: &str, cron: &str, zone: &str, wish: &str| {
            let said = read(text).unwrap().unwrap_or_else(|error| panic!("{text}: {error}"));
            let found = (said.cron.as_str(), said.zone.as_deref(), said.wish.as_str());
            assert_eq!(found, (cron, Some(zone), wish), "{text}");
        };
        check("every day at eight Tokyo time list files", "0 8 * * *", "Asia/Tokyo", "list files");
        check("list files every weekday at 9am UTC", "0 9 * * 1-5", "UTC", "list files");
        check(
            "jeden Tag um acht Wiener Zeit zähle die Dateien",
            "0 8 * * *",
            "Europe/Vienna",
            "zähle die Dateien",
        );
    }

    #[test]
    fn other_languages() {
        check(
            "jeden Werktag um acht liste die neuen Dateien auf",
            "0 8 * * 1-5",
            "liste die neuen Dateien auf",
        );
        check("prüfe täglich um 7 Uhr die Links", "0 7 * * *", "prüfe die Links");
        check(
            "jeden Montag und Donnerstag um 18:30 Uhr zähle die Dateien",
            "30 18 * * 1,4",
            "zähle die Dateien",
        );
        check("zähle jeden Tag um halb neun die Dateien", "30 8 * * *", "zähle die Dateien");
        check("alle 15 Minuten zähle die Dateien", "*/15 * * * *", "zähle die Dateien");
        check(
            "stündlich zwischen 9 und 17 Uhr zähle die Dateien",
            "0 9-17 * * *",
            "zähle die Dateien",
        );
        check("am 1. jedes Monats zähle die Rechnungen", "0 8 1 * *", "zähle die Rechnungen");
        check("werktags um 8 zähle die Dateien", "0 8 * * 1-5", "zähle die Dateien");
        check("jeden Abend um sieben zähle die Dateien", "0 19 * * *", "zähle die Dateien");
        check("tous les jours à 8h, résume les notes", "0 8 * * *", "résume les notes");
        check("chaque lundi à 8h30 liste les fichiers", "30 8 * * 1", "liste les fichiers");
        check("cada viernes a las 17:00 suma gastos.csv", "0 17 * * 5", "suma gastos.csv");
        check("ogni mattina alle otto elenca i nuovi file", "0 8 * * *", "elenca i nuovi file");
    }

    #[test]
    fn what_has_no_rhythm() {
        refused("list the new files", "no rhythm");
        refused("every blue moon list the files", "“every blue moon”");
        refused("every day at teatime list the files", "“at teatime”");
        refused("every day at eight Atlantis time list files", "no time zone of “Atlantis”");
        refused("", "no rhythm");
        refused("tomorrow at nine run the tests", "no rhythm");
        refused("total sales per month", "no rhythm");
        refused("total the sales for each month", "no rhythm");
        refused("every 45 minutes list files", "do not fit evenly");
        refused("every 0 minutes list files", "do not fit evenly");
        refused("every other day list files", "every second day");
        refused("every 5 months list files", "do not fit into a year");
        refused("on the last day of every month list files", "the last day");
        refused("every day at 8:00 and 9:30 list files", "different minutes");
    }

    #[test]
    fn what_was_put_in_is_said() {
        let said = read("weekly count the files").unwrap().unwrap();
        assert_eq!(
            said.notes,
            ["no day was said, so I take Monday", "no time was said, so I take 08:00"]
        );
    }
}
