//! Keeps a fact in the user's own words. What it contradicts is ended, what says
//! the same is merged. A correction ("no, …") takes the place of what it corrects;
//! where that is not certain, nothing is kept and the choice is given.

use crate::memory::{scope_of, speeches, unexpected};
use crate::talk::told::{self, Told as Heard};
use crate::{Alma, Error};
use charter::ids::{MemoryId, Principal, SessionId, TurnId};
use charter::label::Label;
use charter::memory::{MemoryKind, MemoryRow, Source};
use charter::ports::LedgerExt;
use librarian::ask::{Correctable, Kept, Request as Ask, Response as Told};
use librarian::claims;
use librarian::keep::{self, Draft};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest fact, in bytes.
pub const FACT_BYTES_MAX: usize = librarian::gate::TEXT_BYTES_MAX;
/// How far ahead of the next the likeliest must be to be meant without asking.
const AHEAD: f32 = 0.1;
/// How likely it must be that a fact is meant that nobody said is corrected.
const LIKELY: f32 = 0.7;
/// Facts that are offered where it is not certain which is meant.
const OFFERED_MAX: usize = 4;

/// What is to be kept.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// The user's words.
    pub words: String,
    /// Only for this folder; otherwise it concerns the user wherever she is.
    pub workspace: Option<PathBuf>,
    /// The turn in which it was said.
    pub said: Option<Said>,
    /// The memory whose place it takes.
    pub instead_of: Option<MemoryId>,
    /// The memory that was spoken of last: "it is pine".
    pub about: Option<MemoryId>,
}

/// A turn of a conversation.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The memory that says it now; `None`: it is not certain what it corrects.
    pub memory: Option<MemoryId>,
    /// Whether it was known already.
    pub known: bool,
    /// The words as they are kept.
    pub text: String,
    /// What was held before and is true no more.
    pub ended: Vec<String>,
    /// Memories one of which it corrects, where it is not certain which.
    pub unsure: Vec<Choice>,
}

/// A memory that may be meant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Which.
    pub memory: MemoryId,
    /// What it says.
    pub text: String,
}

/// What a correction means.
#[derive(Debug, PartialEq)]
enum Meant {
    /// Nothing that is known: it is a fact like others.
    Nothing,
    /// This one.
    One(Choice),
    /// One of these.
    OneOf(Vec<Choice>),
}

/// Which of the memories that a text may correct it does.
fn meant(said: &Heard, about: Option<Choice>, likely: Vec<Correctable>) -> Meant {
    let choice = |one: &Correctable| Choice { memory: one.memory.clone(), text: one.text.clone() };
    let alone = claims::claim(&said.text).is_none_or(|claim| claim.pronoun);
    if let Some(about) = about {
        let named = likely.iter().any(|one| one.memory == about.memory);
        let left_out =
            said.corrects && alone && claims::restated(&said.text, &about.text).is_some();
        if (said.corrects && named) || left_out {
            return Meant::One(about);
        }
    }
    let Some(best) = likely.first() else { return Meant::Nothing };
    let near = likely.iter().filter(|one| best.likely - one.likely < AHEAD);
    let near: Vec<Choice> = near.take(OFFERED_MAX).map(choice).collect();
    match (near.as_slice(), said.corrects) {
        ([_], true) => Meant::One(choice(best)),
        ([_], false) if best.likely >= LIKELY => Meant::One(choice(best)),
        (_, true) => Meant::OneOf(near),
        (_, false) => Meant::Nothing,
    }
}

/// Keeps.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let speeches = speeches()?;
    let said = told::told(&request.words, speeches);
    if said.text.is_empty() {
        return Err(Error::Usage("there is nothing to keep: say what".to_owned()));
    }
    let scope = match &request.workspace {
        None => keep::USER.to_owned(),
        Some(folder) => scope_of(folder).ok_or_else(|| {
            Error::Usage(format!("the folder {} is not UTF-8 text", folder.display()))
        })?,
    };
    let mut text = said.text.clone();
    let mut replaces = Vec::new();
    match replaced(alma, principal, &said, &request).await? {
        Meant::Nothing => {}
        Meant::OneOf(unsure) => {
            let (memory, ended) = (None, Vec::new());
            return Ok(Response { memory, known: false, text, ended, unsure });
        }
        Meant::One(old) => {
            if let Some(whole) = claims::restated(&text, &old.text) {
                if claims::says_more(&old.text, &whole) {
                    return Err(Error::Usage(format!(
                        "“{}” says more than that: say the whole sentence as it is now, and it \
                         takes the place of the old one",
                        old.text
                    )));
                }
                text = whole;
            }
            replaces.push(old.memory);
        }
    }
    if replaces.is_empty()
        && let Some(reason) = told::unkeepable(&text, speeches)
    {
        return Err(Error::Usage(format!(
            "this is not kept: {reason}; say a whole sentence, like “the rent is 900 euros”"
        )));
    }
    let now = alma.now();
    let source = match request.said {
        Some(Said { session, turn }) => Source::Turn { session, turn },
        None => Source::Import { name: "alma remember".to_owned(), origin: None },
    };
    let drawn = MemoryId::new(now, alma.ports.entropy.as_ref());
    // The same turn again keeps nothing more.
    let memory = match &source {
        Source::Turn { turn, .. } => keep::name_of(&source, turn.made_at()).unwrap_or(drawn),
        _ => drawn,
    };
    let draft = Draft {
        label: Label::TRUSTED,
        scope,
        replaces,
        ..Draft::new(MemoryKind::Fact, source, text.clone(), now)
    };
    let ask = Ask::Keep { tenant: principal.tenant.clone(), drafts: vec![(memory, draft)] };
    let Told::Kept { kept } = alma.librarian(ask).await? else {
        return Err(unexpected("keep it"));
    };
    let (memory, known, ended) = match kept.into_iter().next() {
        Some(Kept::New { memory, ended }) => (memory, false, ended),
        Some(Kept::Known { memory, ended }) => (memory, true, ended),
        Some(Kept::Refused { reason }) => {
            return Err(Error::Usage(format!("this is not kept: {reason}")));
        }
        None => return Err(unexpected("keep it")),
    };
    let mut before = Vec::new();
    for old in ended {
        before.push(text_of(alma, principal, &old).await?);
    }
    if known {
        text = text_of(alma, principal, &memory).await?;
    }
    Ok(Response { memory: Some(memory), known, text, ended: before, unsure: Vec::new() })
}

/// What the words take the place of.
async fn replaced(
    alma: &Alma,
    principal: &Principal,
    said: &Heard,
    request: &Request,
) -> Result<Meant, Error> {
    if let Some(memory) = &request.instead_of {
        let text = text_of(alma, principal, memory).await?;
        return Ok(Meant::One(Choice { memory: memory.clone(), text }));
    }
    if !said.corrects && !claims::claim(&said.text).is_some_and(|claim| claim.changed) {
        return Ok(Meant::Nothing);
    }
    let about = match &request.about {
        None => None,
        Some(memory) => {
            let text = text_of(alma, principal, memory).await?;
            Some(Choice { memory: memory.clone(), text })
        }
    };
    Ok(meant(said, about, correctable(alma, principal, &said.text).await?))
}

/// What was said that a text may correct, likeliest first.
pub(crate) async fn correctable(
    alma: &Alma,
    principal: &Principal,
    text: &str,
) -> Result<Vec<Correctable>, Error> {
    let ask = Ask::Correctable { tenant: principal.tenant.clone(), text: text.to_owned() };
    match alma.librarian(ask).await? {
        Told::Correctable { said } => Ok(said),
        _ => Err(unexpected("look for what it corrects")),
    }
}

/// What a memory says.
pub(crate) async fn text_of(
    alma: &Alma,
    principal: &Principal,
    memory: &MemoryId,
) -> Result<String, Error> {
    let row: MemoryRow = alma.ledger().record(&principal.tenant, memory).await?;
    alma.spoken(principal, &row.text).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(n: u32, text: &str) -> Choice {
        Choice { memory: format!("k-{n:016}").parse().unwrap(), text: text.to_owned() }
    }

    fn check(text: &str, corrects: bool, about: Option<Choice>, held: &[&str]) -> Meant {
        let said = Heard { text: text.to_owned(), corrects };
        let mut likely: Vec<Correctable> = (1..)
            .zip(held)
            .map(|(n, held)| Correctable {
                memory: choice(n, held).memory,
                text: (*held).to_owned(),
                likely: claims::correction(text, held),
            })
            .filter(|one| one.likely >= claims::CORRECTS)
            .collect();
        likely.sort_by(|a, b| b.likely.total_cmp(&a.likely));
        meant(&said, about, likely)
    }

    #[test]
    fn what_is_corrected_is_found_or_asked_for() {
        let shop = "The floor of the shop is oak.";
        let flat = "The floor of the flat is oak.";
        let pine = "the floor is pine";
        assert_eq!(
            check(pine, true, None, &[shop, "the roof is flat"]),
            Meant::One(choice(1, shop))
        );
        let both = Meant::OneOf(vec![choice(1, shop), choice(2, flat)]);
        assert_eq!(check(pine, true, None, &[shop, flat]), both);
        let about = Some(choice(2, flat));
        assert_eq!(check(pine, true, about.clone(), &[shop, flat]), Meant::One(choice(2, flat)));
        assert_eq!(check("it is pine", true, about, &[]), Meant::One(choice(2, flat)));
        assert_eq!(check("it is pine", true, None, &[]), Meant::Nothing);
        assert_eq!(check("the roof is pine", true, None, &[shop]), Meant::Nothing);
        assert_eq!(check("pine", true, Some(choice(1, shop)), &[]), Meant::One(choice(1, shop)));
    }

    #[test]
    fn without_a_word_of_correction_only_the_likely_is_meant() {
        let shop = "The floor of the shop is oak.";
        let flat = "The floor of the flat is oak.";
        let now = "the floor is now pine";
        assert_eq!(check(now, false, None, &[shop]), Meant::One(choice(1, shop)));
        assert_eq!(check(now, false, None, &[shop, flat]), Meant::Nothing);
    }
}
