//! From what happened to what is kept: drafts, and the events that keep them. Pure.

use crate::claims;
use crate::gate::{self, Origin, Verdict};
use crate::passages::{passages, slice};
use charter::content::{Content, ContentError, ContentRef};
use charter::conversation::{Route, TurnRow, TurnState};
use charter::digest::Digest;
use charter::ids::{MemoryId, Millis, TenantId};
use charter::label::Label;
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
    /// Memories that it was made from.
    pub derived_from: Vec<MemoryId>,
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
    (says && ended && kept).then(|| Draft {
        is: MemoryKind::Turn,
        source: Source::Turn { session: turn.session.clone(), turn: turn.id.clone() },
        span: None,
        text: said.trim().to_owned(),
        label: Label::TRUSTED,
        scope: scope.to_owned(),
        valid_from: turn.at,
        derived_from: Vec::new(),
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
    (kept && !came.is_empty()).then(|| Draft {
        is: MemoryKind::Result,
        source: Source::Mission { mission: report.mission.clone() },
        span: None,
        text,
        // Answers quote files.
        label: Label::UNTRUSTED,
        scope: scope.to_owned(),
        valid_from: at,
        derived_from: Vec::new(),
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
            is: MemoryKind::Passage,
            source: source.clone(),
            span: Some(span),
            text: words.to_owned(),
            label: Label::UNTRUSTED,
            scope: scope.to_owned(),
            valid_from: at,
            derived_from: Vec::new(),
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
}

/// What is done with a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is new; these are true no more.
    New {
        /// Facts that it takes the place of.
        ends: Vec<MemoryId>,
    },
    /// It is known: the memory gets one more source.
    Merge(MemoryId),
}

/// Whether a draft is known, and what it ends. Only a fact ends facts, and only
/// older ones.
pub fn decide(draft: &Draft, known: &[Known]) -> Decision {
    // A fact is never swallowed by what somebody said in passing.
    let rank = |kind: MemoryKind| matches!(kind, MemoryKind::Fact);
    let same = known.iter().find(|known| {
        (!rank(draft.is) || rank(known.is)) && gate::same(&draft.text, &known.text, known.cosine)
    });
    if let Some(same) = same {
        return Decision::Merge(same.id.clone());
    }
    let ends = known.iter().filter(|known| {
        rank(draft.is)
            && rank(known.is)
            && known.valid_from <= draft.valid_from
            && claims::replaces(&draft.text, &known.text)
    });
    Decision::New { ends: ends.map(|known| known.id.clone()).collect() }
}

/// The name of the memory of something that has a name itself: the same each time,
/// so that what is observed twice is kept once.
pub fn name_of(source: &Source, at: Millis) -> Option<MemoryId> {
    let (kind, name) = match source {
        Source::Turn { turn, .. } => ("turn", turn.as_str()),
        Source::Mission { mission } => ("mission", mission.as_str()),
        Source::Import { name } => ("import", name.as_str()),
        Source::Document { .. } | Source::Night { .. } => return None,
    };
    let digest = Digest::of_parts(&[kind.as_bytes(), name.as_bytes()]);
    Some(MemoryId::new(at, &Drawn(&digest.0)))
}

/// The events that carry a decision out, and the text that they name.
pub fn written(
    memory: &MemoryId,
    draft: &Draft,
    decision: &Decision,
    tenant: &TenantId,
    embedder: &str,
    now: Millis,
    entropy: &dyn Entropy,
) -> Result<(MemoryId, Vec<Remembered>, Option<Content>), ContentError> {
    let ends = match decision {
        Decision::Merge(memory) => {
            let source = draft.source.clone();
            let event = Remembered::Merged { memory: memory.clone(), source };
            return Ok((memory.clone(), vec![event], None));
        }
        Decision::New { ends } => ends,
    };
    let bytes = draft.text.clone().into_bytes();
    let (content, text): (_, ContentRef) = Content::new(tenant, bytes, draft.label, now, entropy)?;
    let memory = memory.clone();
    let mut events = vec![Remembered::Observed {
        memory: memory.clone(),
        is: draft.is,
        source: draft.source.clone(),
        span: draft.span,
        text,
        scope: draft.scope.clone(),
        embedder: embedder.to_owned(),
        valid_from: draft.valid_from,
        derived_from: draft.derived_from.clone(),
    }];
    events.extend(ends.iter().map(|old| Remembered::Ended {
        memory: old.clone(),
        valid_to: draft.valid_from.max(1),
        by: Some(memory.clone()),
    }));
    Ok((memory, events, Some(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> MemoryId {
        format!("k-{n:016}").parse().unwrap()
    }

    fn draft(is: MemoryKind, text: &str) -> Draft {
        Draft {
            is,
            source: Source::Import { name: "x:1".into() },
            span: None,
            text: text.into(),
            label: Label::TRUSTED,
            scope: USER.into(),
            valid_from: 10,
            derived_from: vec![],
        }
    }

    fn known(n: u32, is: MemoryKind, text: &str) -> Known {
        Known { id: id(n), is, text: text.into(), cosine: 0.95, valid_from: 5 }
    }

    #[test]
    fn the_known_is_merged_and_the_contrary_ends() {
        use MemoryKind::{Fact, Turn};
        let held = [known(1, Fact, "The rent is 900"), known(2, Turn, "the rent is 950")];
        assert_eq!(decide(&draft(Fact, "the rent is 900"), &held), Decision::Merge(id(1)));
        let new = decide(&draft(Fact, "the rent is 950"), &held);
        assert_eq!(new, Decision::New { ends: vec![id(1)] });
        // What was said in passing ends nothing, and is merged with what was said.
        assert_eq!(decide(&draft(Turn, "The rent is 950!"), &held), Decision::Merge(id(2)));
        assert_eq!(decide(&draft(Turn, "the rent is 990"), &held), Decision::New { ends: vec![] });
    }

    #[test]
    fn an_older_fact_does_not_end_a_newer_one() {
        let mut held = known(1, MemoryKind::Fact, "The rent is 900");
        held.valid_from = 99;
        let new = decide(&draft(MemoryKind::Fact, "the rent is 950"), &[held]);
        assert_eq!(new, Decision::New { ends: vec![] });
    }

    #[test]
    fn passages_name_their_place() {
        let text = "First sentence of the note. ".repeat(60);
        let source = Source::Import { name: "x:1".into() };
        let (drafts, whole) = of_document(&text, &source, USER, 1);
        assert!(whole && drafts.len() > 1);
        for draft in drafts {
            assert_eq!(slice(&text, draft.span.unwrap()), Some(draft.text.as_str()));
            assert_eq!(draft.label, Label::UNTRUSTED);
        }
    }
}
