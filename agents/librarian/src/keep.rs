//! From what happened to what is kept: drafts, and the events that keep them. Pure.

use crate::claims;
use crate::gate::{self, Origin, Verdict};
use crate::passages::{passages, slice};
use charter::content::{Content, ContentError, ContentRef};
use charter::conversation::{Route, TurnRow, TurnState};
use charter::digest::Digest;
use charter::ids::{MemoryId, Millis, TenantId};
use charter::label::{Label, Trust};
use charter::memory::{MemoryKind, Remembered, Source, Span};
use charter::ports::{Drawn, Entropy};
use charter::report::Report;
use charter::rows::MissionState;
use serde::{Deserialize, Serialize};

/// The scope of what concerns the user wherever she is.
pub const USER: &str = "user";
/// Bytes of a mission's answer that are kept as its result.
const RESULT_BYTES: usize = 2_000;

/// The scope of a folder.
pub fn workspace_scope(path: &str) -> String {
    format!("workspace:{}", Digest::of(path.as_bytes()))
}

/// A memory that is not written yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What it is.
    pub is: MemoryKind,
    /// Where it comes from.
    pub source: Source,
    /// The part of the source.
    pub span: Option<Span>,
    /// The text.
    pub text: String,
    /// Trust of the text.
    pub label: Label,
    /// Whom it concerns.
    pub scope: String,
    /// From when it is true.
    pub valid_from: Millis,
    /// Until when it was true; `None`: it still is.
    #[serde(default)]
    pub valid_to: Option<Millis>,
    /// Memories that it was made from.
    pub derived_from: Vec<MemoryId>,
    /// Memories of which it is known that it takes their place.
    #[serde(default)]
    pub replaces: Vec<MemoryId>,
    /// Where an imported memory came from before, for people.
    #[serde(default)]
    pub origin: Option<String>,
}

impl Draft {
    /// A memory that concerns the user and that nobody vouches for.
    pub fn new(is: MemoryKind, source: Source, text: String, valid_from: Millis) -> Self {
        Self {
            is,
            source,
            span: None,
            text,
            label: Label::UNTRUSTED,
            scope: USER.to_owned(),
            valid_from,
            valid_to: None,
            derived_from: Vec::new(),
            replaces: Vec::new(),
            origin: None,
        }
    }
}

/// What a turn leaves: what the user said, if it says something. What Alma
/// answered is not kept: it came from memory, or is in the record of a mission.
pub fn of_turn(turn: &TurnRow, said: &str, scope: &str) -> Option<Draft> {
    let says = match turn.route {
        // The fact itself is kept, once.
        Some(Route::Remember) => false,
        // Questions and orders about Alma are not about the user.
        Some(Route::Recall | Route::Approval | Route::Status | Route::Help) => false,
        Some(Route::Chat | Route::Mission | Route::Schedule) | None => true,
    };
    let ended = !matches!(turn.state, TurnState::Open | TurnState::Cancelled);
    let kept = gate::admit(said, Origin::Fresh) == Verdict::Keep;
    let source = || Source::Turn { session: turn.session.clone(), turn: turn.id.clone() };
    (says && ended && kept).then(|| Draft {
        label: Label::TRUSTED,
        scope: scope.to_owned(),
        ..Draft::new(MemoryKind::Turn, source(), said.trim().to_owned(), turn.at)
    })
}

/// What a mission leaves: what was asked for and what came of it.
pub fn of_mission(wish: &str, report: &Report, scope: &str, at: Millis) -> Option<Draft> {
    let came = match report.state {
        MissionState::Done | MissionState::Unverified => report.answer.trim(),
        _ => return None,
    };
    let wish = wish.trim().trim_end_matches(['.', ':', '!']);
    // A question to files is answered by the files again; kept, it would come back
    // as its own best answer.
    if wish.ends_with('?') {
        return None;
    }
    let text = format!("{wish}: {}", on_one_line(came));
    let text = text.get(..text.floor_char_boundary(RESULT_BYTES))?.to_owned();
    let kept = gate::admit(&text, Origin::Fresh) == Verdict::Keep;
    let source = Source::Mission { mission: report.mission.clone() };
    // Answers quote files: nobody vouches for them.
    (kept && !came.is_empty()).then(|| Draft {
        scope: scope.to_owned(),
        ..Draft::new(MemoryKind::Result, source, text, at)
    })
}

/// An answer as one statement: headings and tables are for the eye.
fn on_one_line(answer: &str) -> String {
    let lines = answer.lines().map(|line| {
        let plain = line.trim().trim_start_matches(['#', '>', '-']);
        let plain = unlinked(plain).replace('|', " ").replace(['*', '`'], "");
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    let says = |line: &String| line.contains(char::is_alphanumeric);
    lines.filter(says).collect::<Vec<_>>().join("; ")
}

/// Links of Markdown as their words.
fn unlinked(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        let link = after.split_once("](").and_then(|(words, after)| {
            let (_, after) = after.split_once(')')?;
            Some((words, after))
        });
        rest = match link {
            Some((words, after)) => {
                plain.push_str(words);
                after
            }
            None => {
                plain.push('[');
                after
            }
        };
    }
    plain.push_str(rest);
    plain
}

/// What a document leaves: its passages. The second value says whether all of it
/// is covered.
pub fn of_document(text: &str, source: &Source, scope: &str, at: Millis) -> (Vec<Draft>, bool) {
    let (spans, whole) = passages(text);
    let drafts = spans.into_iter().filter_map(|span| {
        let words = slice(text, span)?;
        (gate::admit(words, Origin::Fresh) == Verdict::Keep).then(|| Draft {
            span: Some(span),
            scope: scope.to_owned(),
            ..Draft::new(MemoryKind::Passage, source.clone(), words.to_owned(), at)
        })
    });
    (drafts.collect(), whole)
}

/// A memory that is held already, next to one that wants in.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Which.
    pub id: MemoryId,
    /// What it is.
    pub is: MemoryKind,
    /// Its text.
    pub text: String,
    /// Cosine with the text that wants in.
    pub cosine: f32,
    /// From when it is true.
    pub valid_from: Millis,
    /// Whether these are the user's own words.
    pub trust: Trust,
}

/// What is done with a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The memory that says the same already; it gets one more source.
    pub merges: Option<MemoryId>,
    /// Memories that it takes the place of: they are true no more.
    pub ends: Vec<MemoryId>,
}

impl Decision {
    /// It is new and ends nothing.
    pub const FRESH: Self = Self { merges: None, ends: Vec::new() };
}

/// Whether a draft is known, and what it ends. Only a fact ends what the user
/// said, only what is older, and never what is trusted more.
pub fn decide(draft: &Draft, known: &[Known]) -> Decision {
    // What is true no more is kept as it was.
    if draft.valid_to.is_some() {
        return Decision::FRESH;
    }
    let is_fact = |kind: MemoryKind| matches!(kind, MemoryKind::Fact);
    let said = |kind: MemoryKind| matches!(kind, MemoryKind::Fact | MemoryKind::Turn);
    // A fact is never swallowed by what somebody said in passing.
    let same = known.iter().find(|known| {
        (!is_fact(draft.is) || is_fact(known.is))
            && gate::same(&draft.text, &known.text, known.cosine)
    });
    let may_end = |known: &&Known| {
        is_fact(draft.is)
            && said(known.is)
            && known.valid_from <= draft.valid_from
            && (draft.label.trust == Trust::Trusted || known.trust == Trust::Untrusted)
    };
    let ends = known.iter().filter(may_end).filter(|known| {
        let contradicts = same.is_none() && claims::replaces(&draft.text, &known.text);
        contradicts || draft.replaces.contains(&known.id)
    });
    let merges = same.map(|same| same.id.clone());
    let ends = ends.map(|known| known.id.clone()).filter(|id| merges.as_ref() != Some(id));
    Decision { ends: ends.collect(), merges }
}

/// The name of the memory of something that has a name itself: the same each time,
/// so that what is observed twice is kept once.
pub fn name_of(source: &Source, at: Millis) -> Option<MemoryId> {
    let (kind, name) = match source {
        Source::Turn { turn, .. } => ("turn", turn.as_str()),
        Source::Mission { mission } => ("mission", mission.as_str()),
        Source::Import { name, .. } => ("import", name.as_str()),
        Source::Document { .. } | Source::Night { .. } => return None,
    };
    let digest = Digest::of_parts(&[kind.as_bytes(), name.as_bytes()]);
    Some(MemoryId::new(at, &Drawn(&digest.0)))
}

/// The events that carry a decision out, and the texts that they name.
pub fn written(
    memory: &MemoryId,
    draft: &Draft,
    decision: &Decision,
    tenant: &TenantId,
    embedder: &str,
    now: Millis,
    entropy: &dyn Entropy,
) -> Result<(Vec<Remembered>, Vec<Content>), ContentError> {
    let mut contents = Vec::new();
    let mut source = draft.source.clone();
    if let (Source::Import { origin, .. }, Some(from)) = (&mut source, &draft.origin) {
        let bytes = from.clone().into_bytes();
        let (content, named) = Content::new(tenant, bytes, Label::UNTRUSTED, now, entropy)?;
        contents.push(content);
        *origin = Some(named);
    }
    let mut events = Vec::new();
    let stands = decision.merges.as_ref().unwrap_or(memory);
    if decision.merges.is_some() {
        events.push(Remembered::Merged { memory: stands.clone(), source });
    } else {
        let bytes = draft.text.clone().into_bytes();
        let (content, text): (_, ContentRef) =
            Content::new(tenant, bytes, draft.label, now, entropy)?;
        contents.push(content);
        events.push(Remembered::Observed {
            memory: memory.clone(),
            is: draft.is,
            source,
            span: draft.span,
            text,
            scope: draft.scope.clone(),
            embedder: embedder.to_owned(),
            valid_from: draft.valid_from,
            derived_from: draft.derived_from.clone(),
        });
        events.extend(draft.valid_to.map(|to| Remembered::Ended {
            memory: memory.clone(),
            valid_to: to.max(draft.valid_from).max(1),
            by: None,
        }));
    }
    events.extend(decision.ends.iter().map(|old| Remembered::Ended {
        memory: old.clone(),
        valid_to: draft.valid_from.max(1),
        by: Some(stands.clone()),
    }));
    Ok((events, contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> MemoryId {
        format!("k-{n:016}").parse().unwrap()
    }

    fn draft(is: MemoryKind, text: &str) -> Draft {
        let source = Source::Import { name: "x:1".into(), origin: None };
        Draft { label: Label::TRUSTED, ..Draft::new(is, source, text.into(), 10) }
    }

    fn new(ends: &[u32]) -> Decision {
        Decision { merges: None, ends: ends.iter().map(|n| id(*n)).collect() }
    }

    fn merged(with: u32, ends: &[u32]) -> Decision {
        Decision { merges: Some(id(with)), ..new(ends) }
    }

    fn known(n: u32, is: MemoryKind, text: &str) -> Known {
        Known {
            id: id(n),
            is,
            text: text.into(),
            cosine: 0.95,
            valid_from: 5,
            trust: Trust::Trusted,
        }
    }

    #[test]
    fn the_known_is_merged_and_the_contrary_ends() {
        use MemoryKind::{Fact, Turn};
        let held = [known(1, Fact, "The rent is 900"), known(2, Turn, "the rent is 950")];
        assert_eq!(decide(&draft(Fact, "the rent is 900"), &held), merged(1, &[]));
        assert_eq!(decide(&draft(Fact, "the rent is 950"), &held), new(&[1]));
        assert_eq!(decide(&draft(Fact, "the rent is 990"), &held), new(&[1, 2]));
        // What was said in passing ends nothing, and is merged with what was said.
        assert_eq!(decide(&draft(Turn, "The rent is 950!"), &held), merged(2, &[]));
        assert_eq!(decide(&draft(Turn, "the rent is 990"), &held), new(&[]));
    }

    #[test]
    fn what_is_known_to_be_replaced_ends_whatever_it_says() {
        let held =
            [known(1, MemoryKind::Fact, "the sky is high"), known(2, MemoryKind::Fact, "it rains")];
        let mut said = draft(MemoryKind::Fact, "the sun shines");
        said.replaces = vec![id(1), id(9)];
        assert_eq!(decide(&said, &held), new(&[1]));
        said.text = "it rains".into();
        assert_eq!(decide(&said, &held), merged(2, &[1]));
    }

    #[test]
    fn what_nobody_vouches_for_ends_nothing_that_the_user_said() {
        let mut held = known(1, MemoryKind::Fact, "The rent is 900");
        let mut came = draft(MemoryKind::Fact, "the rent is 950");
        came.label = Label::UNTRUSTED;
        assert_eq!(decide(&came, std::slice::from_ref(&held)), new(&[]));
        held.trust = Trust::Untrusted;
        assert_eq!(decide(&came, &[held]), new(&[1]));
    }

    #[test]
    fn what_was_true_once_stays_what_it_was() {
        let mut came = draft(MemoryKind::Fact, "the rent is 950");
        came.valid_to = Some(20);
        let held = [
            known(1, MemoryKind::Fact, "The rent is 900"),
            known(2, MemoryKind::Fact, "the rent is 950"),
        ];
        assert_eq!(decide(&came, &held), Decision::FRESH);
    }

    #[test]
    fn an_older_fact_does_not_end_a_newer_one() {
        let mut held = known(1, MemoryKind::Fact, "The rent is 900");
        held.valid_from = 99;
        assert_eq!(decide(&draft(MemoryKind::Fact, "the rent is 950"), &[held]), new(&[]));
    }

    #[test]
    fn passages_name_their_place() {
        let text = "First sentence of the note. ".repeat(60);
        let source = Source::Import { name: "x:1".into(), origin: None };
        let (drafts, whole) = of_document(&text, &source, USER, 1);
        assert!(whole && drafts.len() > 1);
        for draft in drafts {
            assert_eq!(slice(&text, draft.span.unwrap()), Some(draft.text.as_str()));
            assert_eq!(draft.label, Label::UNTRUSTED);
        }
    }
}
