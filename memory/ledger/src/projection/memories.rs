//! Rules for memories and for forgetting.

use super::records::{get, make, put};
use super::rowset::ForgottenRow;
use super::{Cx, RowKey, conflict};
use charter::ids::{ContentId, MemoryId};
use charter::memory::{MemoryRow, MemoryState, NAMED_MAX, Remembered, SOURCES_MAX};
use charter::ports::LedgerError;
use charter::record::RecordKind::Memory;
use std::collections::BTreeSet;

pub(super) fn touches(event: &Remembered) -> Vec<RowKey> {
    let memory = |id: &MemoryId| RowKey::record(Memory, id);
    match event {
        Remembered::Observed { memory: id, derived_from, .. } => {
            std::iter::once(id).chain(derived_from).map(memory).collect()
        }
        Remembered::Merged { memory: id, .. } => vec![memory(id)],
        Remembered::Ended { memory: id, by, .. } => {
            std::iter::once(id).chain(by).map(memory).collect()
        }
        Remembered::Forgotten { memories, contents, .. } => {
            let texts = contents.iter().cloned().map(RowKey::Forgotten);
            memories.iter().map(memory).chain(texts).collect()
        }
    }
}

pub(super) fn apply(event: &Remembered, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Remembered::Observed {
            memory,
            is,
            source,
            span,
            text,
            scope,
            embedder,
            valid_from,
            derived_from,
        } => {
            if span.is_some_and(|span| span.start > span.end) {
                return conflict(format!("memory {memory} would be a part that ends too early"));
            }
            if derived_from.len() > NAMED_MAX {
                return conflict(format!("memory {memory} comes from more than {NAMED_MAX}"));
            }
            for origin in derived_from {
                // What was made from a text goes with it; this would stay.
                if get::<MemoryRow>(origin, cx)?.state == MemoryState::Forgotten {
                    return conflict(format!("memory {origin} was forgotten meanwhile"));
                }
            }
            let row = MemoryRow {
                id: memory.clone(),
                tenant: cx.tenant.clone(),
                is: *is,
                state: MemoryState::Held,
                sources: vec![source.clone()],
                span: *span,
                text: text.clone(),
                scope: scope.clone(),
                embedder: embedder.clone(),
                at: cx.at,
                valid_from: *valid_from,
                valid_to: None,
                replaced_by: None,
                derived_from: derived_from.clone(),
            };
            make(row, cx)
        }
        Remembered::Merged { memory, source } => {
            let mut row = held(memory, "merged", cx)?;
            if row.sources.contains(source) {
                return conflict(format!("memory {memory} has this source already"));
            }
            if row.sources.len() >= SOURCES_MAX {
                return conflict(format!("memory {memory} has {SOURCES_MAX} sources already"));
            }
            row.sources.push(source.clone());
            put(row, cx);
            Ok(())
        }
        Remembered::Ended { memory, valid_to, by } => {
            let row = held(memory, "ended", cx)?;
            if let Some(by) = by {
                if by == memory {
                    return conflict(format!("memory {memory} cannot replace itself"));
                }
                held(by, "a replacement", cx)?;
            }
            let (state, valid_to, replaced_by) = (MemoryState::Ended, Some(*valid_to), by.clone());
            put(MemoryRow { state, valid_to, replaced_by, ..row }, cx);
            Ok(())
        }
        Remembered::Forgotten { memories, contents, .. } => forget(memories, contents, cx),
    }
}

fn held(id: &MemoryId, what: &str, cx: &Cx<'_>) -> Result<MemoryRow, LedgerError> {
    let row: MemoryRow = get(id, cx)?;
    if row.state != MemoryState::Held {
        let state = row.state.as_str();
        return conflict(format!("memory {id} is {state}, so it cannot be {what}"));
    }
    Ok(row)
}

/// What is forgotten already is passed over: forgetting may be asked twice.
fn forget(
    memories: &[MemoryId],
    contents: &[ContentId],
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    if memories.len().max(contents.len()) > NAMED_MAX {
        return conflict(format!("more than {NAMED_MAX} are to be forgotten at a time"));
    }
    let texts: BTreeSet<_> = contents.iter().collect();
    for id in memories {
        let row: MemoryRow = get(id, cx)?;
        if !texts.contains(&row.text.id) {
            return conflict(format!("memory {id} cannot be forgotten without its text"));
        }
        put(MemoryRow { state: MemoryState::Forgotten, ..row }, cx);
    }
    for content in contents {
        match cx.rows.forgotten.get(content) {
            Some(row) if row.tenant == *cx.tenant => {}
            Some(_) => return Err(LedgerError::NotFound(format!("content {content}"))),
            None => {
                let row =
                    ForgottenRow { content: content.clone(), tenant: cx.tenant.clone(), at: cx.at };
                cx.rows.forgotten.put(content.clone(), row);
            }
        }
    }
    Ok(())
}
