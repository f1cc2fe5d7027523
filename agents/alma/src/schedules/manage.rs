//! What words ask of schedules that exist: to list, pause, resume or delete them.
//! Pure.

use super::when::{self, ordered};
use super::words::Words;
use crate::Error;
use charter::ids::ScheduleId;
use moroni::words::sentence::Sentence;
use moroni::words::token::{Kind, Token};

/// Words before the verb of a request: "please pause …", "can you delete …".
const LEAD_MAX: usize = 3;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// What is there?
    List,
    /// Let it rest.
    Pause,
    /// Let it go on.
    Resume,
    /// End it.
    Delete,
}

/// A request about schedules that exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) command: Command,
    /// What the schedule is called, as stems; empty: "it".
    pub(super) about: Vec<String>,
    /// The words speak of schedules as such.
    pub(super) plainly: bool,
}

/// Reads words; `None` where they ask nothing of what exists.
pub(super) fn read(text: &str) -> Result<Option<Request>, Error> {
    let Some(sentence) = when::sentence(text)? else { return Ok(None) };
    let rhythm = when::read(text)?.is_ok();
    let mut languages = ordered(&sentence)?;
    Ok(languages.find_map(|words| in_language(words, &sentence, rhythm)))
}

fn in_language(words: &Words, sentence: &Sentence<'_>, rhythm: bool) -> Option<Request> {
    let said: Vec<usize> =
        (0..sentence.tokens.len()).filter(|i| sentence.tokens[*i].kind != Kind::Mark).collect();
    let folded: Vec<String> = said.iter().map(|i| sentence.folded[*i].clone()).collect();
    let plainly = words.schedule.anywhere(&folded);
    // "do not delete it" is no order to delete it.
    let language = sentence.language;
    let denied = |i: usize| {
        let deny = language.deny.longest(&sentence.folded, i);
        deny.or_else(|| language.none.longest(&sentence.folded, i)).is_some()
    };
    if (0..sentence.folded.len()).any(denied) {
        return None;
    }
    let verb = (0..folded.len().min(LEAD_MAX)).find_map(|i| {
        let pause = words.pause.at(&folded, i).map(|((), to)| (Command::Pause, to));
        let resume = || words.resume.at(&folded, i).map(|((), to)| (Command::Resume, to));
        let delete = || words.delete.at(&folded, i).map(|((), to)| (Command::Delete, to));
        pause.or_else(resume).or_else(delete).map(|(command, to)| (command, i, to))
    });
    let Some((command, from, to)) = verb else {
        let asks = words.list.anywhere(&folded) || folded.len() == 1;
        let list = plainly && asks && !rhythm;
        return list.then_some(Request { command: Command::List, about: Vec::new(), plainly });
    };
    // "delete the logs every night" and "delete old.log" are wishes; "delete the
    // daily schedule" and "delete it" are not.
    let values = sentence.tokens.iter().any(Token::is_value);
    if command == Command::Delete && (rhythm || values) && !plainly {
        return None;
    }
    let mut about = Vec::new();
    let mut i = 0;
    while i < said.len() {
        let skipped = [&words.it, &words.schedule, &words.edge, &words.per, &words.tail]
            .iter()
            .find_map(|phrases| phrases.at(&folded, i));
        match skipped {
            _ if i == from => i = to,
            Some(((), end)) if end > i => i = end,
            _ => {
                if sentence.is_content(said[i]) {
                    about.push(sentence.stems[said[i]].clone());
                }
                i += 1;
            }
        }
    }
    Some(Request { command, about, plainly })
}

/// A schedule, by what it is called.
pub(super) struct Named<'n> {
    pub(super) id: &'n ScheduleId,
    /// Its wish and its rhythm, in words.
    pub(super) words: String,
}

/// Which schedule is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// This one.
    One(ScheduleId),
    /// One of these.
    Several(Vec<ScheduleId>),
    /// None that is known.
    None,
}

/// The schedule that fits a request best; `spoken_of` is what "it" means.
pub(super) fn target(
    request: &Request,
    all: &[Named<'_>],
    spoken_of: Option<&ScheduleId>,
) -> Result<Target, Error> {
    let spoken_of = spoken_of.filter(|id| all.iter().any(|named| named.id == *id));
    let (mut most, mut best) = (0, Vec::new());
    for named in all {
        let Some(sentence) = when::sentence(&named.words)? else { continue };
        let fits = |stem: &&String| sentence.stems.contains(stem);
        let count = request.about.iter().filter(fits).count();
        if count > most {
            (most, best) = (count, Vec::new());
        }
        if count == most {
            best.push(named.id.clone());
        }
    }
    if request.about.is_empty() {
        return Ok(match (spoken_of, all) {
            (Some(id), _) => Target::One(id.clone()),
            (None, [only]) => Target::One(only.id.clone()),
            (None, []) => Target::None,
            (None, several) => {
                Target::Several(several.iter().map(|named| named.id.clone()).collect())
            }
        });
    }
    if most == 0 {
        return Ok(Target::None);
    }
    Ok(match (best.as_slice(), spoken_of) {
        ([only], _) => Target::One(only.clone()),
        (several, Some(id)) if several.contains(id) => Target::One(id.clone()),
        _ => Target::Several(best),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, command: Option<Command>, about: &[&str]) {
        let request = read(text).unwrap();
        let found = request.as_ref().map(|request| request.command);
        assert_eq!(found, command, "{text}");
        if let Some(request) = request {
            assert_eq!(request.about, about, "{text}");
        }
    }

    #[test]
    fn what_is_asked_of_schedules() {
        use Command::{Delete, List, Pause, Resume};
        check("what is scheduled?", Some(List), &[]);
        check("show my schedules", Some(List), &[]);
        check("which schedules do I have?", Some(List), &[]);
        check("pause the digest", Some(Pause), &["digest"]);
        check("please pause it", Some(Pause), &[]);
        check("pause the schedule", Some(Pause), &[]);
        check("stop the weekly report from running", Some(Pause), &["week", "report", "run"]);
        check("resume the morning digest", Some(Resume), &["morn", "digest"]);
        check("delete it", Some(Delete), &[]);
        check("delete the daily schedule", Some(Delete), &["daili"]);
        check("welche Pläne gibt es?", Some(List), &[]);
        check("lösche ihn", Some(Delete), &[]);
        check("every weekday at eight list the new files", None, &[]);
        check("delete the old logs every night at 2", None, &[]);
        check("list the new files", None, &[]);
        check("delete old.log", None, &[]);
        check("hello", None, &[]);
    }

    #[test]
    fn the_one_that_fits_is_meant() {
        let clock = |n: u8| ScheduleId::new(i64::from(n), &charter::ports::Drawn(&[n; 16]));
        let (a, b) = (clock(1), clock(2));
        let named = |id, words: &str| Named { id, words: words.to_owned() };
        let all = [named(&a, "list the files every day"), named(&b, "count the notes every week")];
        let tell = |text: &str, spoken_of: Option<&ScheduleId>| {
            target(&read(text).unwrap().unwrap(), &all, spoken_of).unwrap()
        };
        assert_eq!(tell("pause the notes", None), Target::One(b.clone()));
        assert_eq!(tell("pause the file list", Some(&b)), Target::One(a.clone()));
        assert_eq!(tell("pause it", Some(&b)), Target::One(b.clone()));
        assert_eq!(tell("pause it", None), Target::Several(vec![a.clone(), b.clone()]));
        assert_eq!(tell("pause the backup", Some(&a)), Target::None);
    }
}
