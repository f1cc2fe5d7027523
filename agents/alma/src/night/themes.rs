//! Topics of the day's memories, each with a summary in their own sentences; and what
//! of a night becomes memory itself.

use super::gather::Kept;
use crate::{Alma, Error};
use charter::embed::Embed;
use charter::event::Event;
use charter::ids::{MemoryId, StreamId};
use charter::label::Label;
use charter::memory::{MemoryKind, Source};
use charter::night::NightRow;
use forty_two::lessons::Lesson;
use forty_two::report::{Line, Theme, Themes};
use librarian::{keep, passages, summary, terms};
use sons_of_helaman::Draft;
use topics::{Settings, cluster, keywords};

/// Sentences of a summary.
const SENTENCES: usize = 3;
/// Words that name a topic.
const KEYWORDS: usize = 4;
/// Letters that a keyword has at least.
const KEYWORD_CHARS: usize = 3;
/// Topics that are told.
const TOPICS_MAX: usize = 40;

/// Finds the topics. Pure but for the embedder, which is a function too.
pub(super) fn themes(memories: &[Kept], embedder: &dyn Embed) -> Result<Themes, Error> {
    let original = |kept: &&Kept| !matches!(kept.is, MemoryKind::Summary | MemoryKind::Lesson);
    let memories: Vec<&Kept> = memories.iter().filter(original).collect();
    let points: Vec<Vec<f32>> = memories.iter().map(|kept| embedder.embed(&kept.text)).collect();
    let found = cluster(&points, Settings::of(points.len())).map_err(|error| Error::Machine {
        operation: "find topics".to_owned(),
        cause: error.to_string(),
    })?;
    let cut = |kept: &&Kept| -> Vec<String> {
        let words = terms::words(&kept.text).into_iter();
        let telling = |word: &String| {
            word.chars().count() >= KEYWORD_CHARS
                && !terms::is_stop_word(word)
                && word.chars().any(char::is_alphabetic)
        };
        words.filter(telling).collect()
    };
    let words: Vec<Vec<String>> = memories.iter().map(cut).collect();
    let groups: Vec<Vec<usize>> = found.topics.iter().map(|topic| topic.members.clone()).collect();
    let names = keywords::keywords(&words, &groups, KEYWORDS);
    let told = found.topics.iter().zip(names).take(TOPICS_MAX).map(|(topic, keywords)| {
        let members: Vec<&Kept> =
            topic.members.iter().filter_map(|i| memories.get(*i).copied()).collect();
        let texts: Vec<&str> = members.iter().map(|kept| kept.text.as_str()).collect();
        let chosen = summary::summarise(&texts, SENTENCES, embedder);
        let line = |chosen: &summary::Chosen| {
            let kept = members.get(chosen.text)?;
            let words = passages::slice(&kept.text, chosen.span)?;
            Some(Line::about(words.trim().to_owned(), kept.id.as_str()))
        };
        Theme {
            keywords,
            members: members.len() as u32,
            medoid: memories.get(topic.medoid).map_or_else(String::new, |kept| kept.id.to_string()),
            summary: chosen.iter().filter_map(line).collect(),
            kept: None,
            gist: None,
            why: None,
        }
    });
    Ok(Themes {
        topics: told.collect(),
        memories: memories.len() as u32,
        noise: found.noise.len() as u32,
    })
}

/// Makes a summary a memory: it goes when one of the memories goes that it quotes.
pub(super) fn summarised(
    theme: &mut Theme,
    memories: &[Kept],
    night: &NightRow,
    embedder: &str,
    alma: &Alma,
    draft: &mut Draft<'_>,
) -> Result<(), Error> {
    let sources = named(theme.summary.iter().flat_map(|line| &line.links), memories);
    if sources.len() < 2 {
        // One memory in its own words again would be the same memory twice.
        return Ok(());
    }
    let own: Vec<&str> = theme.summary.iter().map(|line| line.text.as_str()).collect();
    let text = theme.gist.as_ref().map_or_else(|| own.join(" "), |gist| gist.text.clone());
    let memory = remember(MemoryKind::Summary, &text, &sources, night, embedder, alma, draft)?;
    theme.kept = Some(memory.to_string());
    Ok(())
}

/// Makes a lesson a memory, if at least two of its sources are memories: else it
/// would outlive what it was learned from.
pub(super) fn learn(
    lesson: &Lesson,
    memories: &[Kept],
    night: &NightRow,
    embedder: &str,
    alma: &Alma,
    draft: &mut Draft<'_>,
) -> Result<(), Error> {
    let about = |cited: &&str| {
        memories.iter().find(|kept| kept.of.iter().any(|of| of == cited) && is_first(kept))
    };
    let ids = lesson.sources.iter().map(|source| source.id.as_str());
    let found: Vec<Option<&Kept>> = ids.map(|id| about(&id)).collect();
    if found.len() < 2 || found.iter().any(Option::is_none) {
        return Ok(());
    }
    let mut sources: Vec<&Kept> = found.into_iter().flatten().collect();
    sources.dedup_by(|a, b| a.id == b.id);
    if sources.len() >= 2 {
        remember(MemoryKind::Lesson, &lesson.text, &sources, night, embedder, alma, draft)?;
    }
    Ok(())
}

/// Whether a memory was made of the thing itself, and not of other memories.
fn is_first(kept: &Kept) -> bool {
    !matches!(kept.is, MemoryKind::Summary | MemoryKind::Lesson)
}

fn named<'k>(ids: impl Iterator<Item = &'k String>, memories: &'k [Kept]) -> Vec<&'k Kept> {
    let mut sources: Vec<&Kept> = Vec::new();
    for id in ids {
        let found = memories.iter().find(|kept| kept.id.as_str() == id);
        if let Some(kept) = found.filter(|kept| sources.iter().all(|other| other.id != kept.id)) {
            sources.push(kept);
        }
    }
    sources
}

fn remember(
    is: MemoryKind,
    text: &str,
    sources: &[&Kept],
    night: &NightRow,
    embedder: &str,
    alma: &Alma,
    draft: &mut Draft<'_>,
) -> Result<MemoryId, Error> {
    let (now, entropy) = (alma.now(), alma.ports.entropy.as_ref());
    let one = sources.first().map(|kept| kept.scope.as_str());
    let scope = one.filter(|one| sources.iter().all(|kept| kept.scope == *one));
    let source = Source::Night { night: night.id.clone() };
    let made = keep::Draft {
        label: sources.iter().fold(Label::TRUSTED, |label, kept| label.join(kept.label)),
        scope: scope.unwrap_or(keep::USER).to_owned(),
        derived_from: sources.iter().map(|kept| kept.id.clone()).collect(),
        ..keep::Draft::new(is, source, text.to_owned(), night.until)
    };
    let memory = MemoryId::new(now, entropy);
    let fresh = &keep::Decision::FRESH;
    let (events, contents) =
        keep::written(&memory, &made, fresh, &night.tenant, embedder, now, entropy)?;
    for event in events {
        draft.also(StreamId::memory(), Event::Remembered(event));
    }
    contents.into_iter().for_each(|content| draft.content(content));
    Ok(memory)
}
