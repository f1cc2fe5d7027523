//! Events, their chains and checkpoints, and the texts that they name.

use super::table::scan;
use super::{AuditReport, FindingKind};
use crate::chain::{Checkpoint, Head, Link};
use crate::projection::{self, RowSet};
use crate::sql::tables::{CHECKPOINTS, CONTENTS, EVENTS, STREAMS};
use crate::sql::work::CHECKPOINT_EVERY;
use crate::sql::{Cell, SCHEMA, Sql};
use crate::transition::{SALT_BYTES, content_refs};
use charter::digest::Digest;
use charter::event::Event;
use charter::ids::{ContentId, TenantId};
use charter::memory::Remembered;
use charter::ports::LedgerError;
use ed25519_dalek::VerifyingKey;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What checkpoints vouch for: heads by tenant, stream and number.
#[derive(Default)]
pub(super) struct Sealed {
    heads: BTreeMap<(String, String, i64), (Digest, i64)>,
    position: i64,
}

pub(super) async fn checkpoints(
    conn: &mut dyn Sql,
    key: &VerifyingKey,
    report: &mut AuditReport,
) -> Result<Sealed, LedgerError> {
    let mut sealed = Sealed::default();
    let (mut last, mut prev) = (0, Digest::default());
    scan(conn, (&CHECKPOINTS, SCHEMA), report, |cells, report| {
        report.checkpoints += 1;
        let place = |n: i64| format!("checkpoints {n}");
        let Some(checkpoint) = checkpoint(cells) else {
            report.find(FindingKind::Checkpoint, place(last + 1), "cannot be read");
            last += 1;
            return Ok(());
        };
        let mut fault =
            |what: &str| report.find(FindingKind::Checkpoint, place(checkpoint.n), what);
        if let Some(what) = checkpoint.fault(key) {
            fault(what);
        }
        if checkpoint.n != last + 1 || checkpoint.prev != prev {
            fault("does not follow the checkpoint before it");
        }
        if checkpoint.position <= sealed.position {
            fault("covers no more than the checkpoint before it");
        }
        match serde_json::from_str::<Vec<Head>>(&checkpoint.heads) {
            Err(_) => fault("its heads cannot be read"),
            Ok(heads) => {
                for head in heads {
                    let Head { tenant, stream, seq, hash } = head;
                    sealed.heads.insert((tenant, stream, seq), (hash, checkpoint.n));
                }
            }
        }
        last = checkpoint.n;
        prev = checkpoint.hash;
        sealed.position = checkpoint.position;
        Ok(())
    })
    .await?;
    report.sealed = sealed.position;
    Ok(sealed)
}

fn checkpoint(cells: &[Cell]) -> Option<Checkpoint> {
    let [n, at, position, prev, heads, key, hash, signature] = cells else { return None };
    Some(Checkpoint {
        n: n.int()?,
        at: at.int()?,
        position: position.int()?,
        prev: prev.digest()?,
        heads: heads.text()?.to_owned(),
        key: key.text()?.to_owned(),
        hash: hash.digest()?,
        signature: signature.blob()?.to_vec(),
    })
}

/// What the events say.
#[derive(Default)]
pub(super) struct Record {
    /// Newest event of each stream.
    heads: BTreeMap<(String, String), (i64, Digest)>,
    /// Texts that are named: whose, and with which hash.
    named: BTreeMap<String, (String, Digest)>,
    /// Rows, rebuilt.
    pub(super) rows: RowSet,
    /// Time for rebuilding.
    pub(super) applying: Duration,
    position: i64,
    /// Position of the newest event that calls for a checkpoint.
    seals: i64,
}

pub(super) async fn events(
    conn: &mut dyn Sql,
    mut sealed: Sealed,
    report: &mut AuditReport,
) -> Result<Record, LedgerError> {
    let mut record = Record::default();
    scan(conn, (&EVENTS, SCHEMA), report, |cells, report| {
        report.events += 1;
        match link(cells) {
            Some((link, hash)) => event(link, hash, &mut record, &mut sealed, report),
            None => {
                record.position += 1;
                let place = format!("events {}", record.position);
                report.find(FindingKind::Event, place, "cannot be read");
            }
        }
        Ok(())
    })
    .await?;
    let end = format!("events {}", record.position);
    if record.position < sealed.position {
        let what = format!("the events up to {} are missing", sealed.position);
        report.find(FindingKind::Event, &end, what);
    }
    for ((tenant, stream, seq), (_, n)) in &sealed.heads {
        let what = format!("event {seq} of {tenant} {stream} is missing");
        report.find(FindingKind::Checkpoint, format!("checkpoints {n}"), what);
    }
    let due =
        record.seals > sealed.position || record.position - sealed.position >= CHECKPOINT_EVERY;
    if due {
        report.find(FindingKind::Checkpoint, end, "a checkpoint is due here and missing");
    }
    report.streams = record.heads.len() as u64;
    Ok(record)
}

fn link(cells: &[Cell]) -> Option<(Link<'_>, Digest)> {
    let [pos, tenant, stream, seq, at, txn, body, prev, hash] = cells else { return None };
    let link = Link {
        pos: pos.int()?,
        tenant: tenant.text()?,
        stream: stream.text()?,
        seq: seq.int()?,
        at: at.int()?,
        txn: txn.text()?,
        body: body.text()?,
        prev: prev.digest()?,
    };
    Some((link, hash.digest()?))
}

fn event(
    link: Link<'_>,
    hash: Digest,
    record: &mut Record,
    sealed: &mut Sealed,
    report: &mut AuditReport,
) {
    let place = format!("events {}", link.pos);
    let mut fault = |kind, what: &str| report.find(kind, place.as_str(), what);
    if link.pos != record.position + 1 {
        fault(FindingKind::Event, "the event before it is missing");
    }
    record.position = link.pos;
    if link.hash() != hash {
        fault(FindingKind::Chain, "its hash does not fit what it says");
    }
    let stream = (link.tenant.to_owned(), link.stream.to_owned());
    let (seq, prev) = record.heads.get(&stream).copied().unwrap_or_default();
    if (link.seq, link.prev) != (seq + 1, prev) {
        fault(FindingKind::Chain, "does not follow the event before it in its stream");
    }
    let (tenant, name) = &stream;
    if let Some((signed, n)) = sealed.heads.remove(&(tenant.clone(), name.clone(), link.seq))
        && signed != hash
    {
        fault(FindingKind::Chain, &format!("checkpoint {n} has another hash for it"));
    }
    let tenant = TenantId(tenant.clone());
    record.heads.insert(stream, (link.seq, hash));
    let Ok(event) = serde_json::from_str::<Event>(link.body) else {
        return fault(FindingKind::Event, "its body cannot be read");
    };
    if link.stream != projection::stream_of(&event).0 {
        fault(FindingKind::Event, "stands in the stream of something else");
    }
    if let Event::Remembered(Remembered::Forgotten { contents, .. }) = &event {
        let named = |id: &ContentId| {
            record.named.get(id.as_str()).is_some_and(|(owner, _)| *owner == tenant.0)
        };
        if !contents.iter().all(named) {
            fault(FindingKind::Content, "forgets a text that no event has named");
        }
    }
    for reference in content_refs(&event) {
        if record.rows.forgotten.get(&reference.id).is_some() {
            fault(FindingKind::Content, "names a text that was forgotten before");
        }
        let named = (tenant.0.clone(), reference.sha256);
        let before = record.named.insert(reference.id.to_string(), named.clone());
        if before.is_some_and(|before| before != named) {
            fault(FindingKind::Content, "names a text as another event does not");
        }
    }
    if projection::seals(&event) {
        record.seals = link.pos;
    }
    let begun = Instant::now();
    let applied = projection::apply(&event, link.at, &tenant, &mut record.rows);
    record.applying += begun.elapsed();
    if let Err(error) = applied {
        fault(FindingKind::Event, &error.to_string());
    }
}

pub(super) async fn streams(
    conn: &mut dyn Sql,
    record: &Record,
    report: &mut AuditReport,
) -> Result<(), LedgerError> {
    let mut missing = record.heads.clone();
    scan(conn, (&STREAMS, SCHEMA), report, |cells, report| {
        let [tenant, stream, seq, hash] = cells else { return Ok(()) };
        let (Some(tenant), Some(stream)) = (tenant.text(), stream.text()) else {
            report.find(FindingKind::Stream, "streams", "a row cannot be read");
            return Ok(());
        };
        let head = missing.remove(&(tenant.to_owned(), stream.to_owned()));
        if head.is_none() || head != seq.int().zip(hash.digest()) {
            let place = format!("streams {tenant} {stream}");
            report.find(FindingKind::Stream, place, "is not the newest event of the stream");
        }
        Ok(())
    })
    .await?;
    for (tenant, stream) in missing.keys() {
        report.find(FindingKind::Stream, format!("streams {tenant} {stream}"), "is missing");
    }
    Ok(())
}

pub(super) async fn contents(
    conn: &mut dyn Sql,
    record: &mut Record,
    report: &mut AuditReport,
) -> Result<(), LedgerError> {
    let Record { named, rows, .. } = record;
    let forgotten =
        |id: &str| id.parse::<ContentId>().is_ok_and(|id| rows.forgotten.get(&id).is_some());
    scan(conn, (&CONTENTS, SCHEMA), report, |cells, report| {
        report.contents += 1;
        let [id, tenant, salt, bytes] = cells else { return Ok(()) };
        let id = id.text().unwrap_or("(unreadable)");
        let what = match (named.remove(id), tenant.text(), salt.blob(), bytes.blob()) {
            (None, ..) => Some("no event names it"),
            (Some((owner, _)), Some(tenant), ..) if tenant != owner => {
                Some("belongs to another tenant than its event")
            }
            (Some(_), Some(_), Some(salt), Some(bytes)) if forgotten(id) => {
                report.forgotten += 1;
                let wiped = salt.iter().chain(bytes).all(|byte| *byte == 0);
                (!wiped).then_some("is still there although it was forgotten")
            }
            (Some((_, sha256)), Some(_), Some(salt), Some(bytes)) => {
                let all = [salt, bytes].concat();
                let fits = salt.len() == SALT_BYTES && Digest::of(&all) == sha256;
                (!fits).then_some("does not have the hash that its event names")
            }
            _ => Some("cannot be read"),
        };
        if let Some(what) = what {
            report.find(FindingKind::Content, format!("contents {id}"), what);
        }
        Ok(())
    })
    .await?;
    for id in named.keys() {
        if forgotten(id) {
            report.forgotten += 1;
            continue;
        }
        report.find(FindingKind::Content, format!("contents {id}"), "is missing");
    }
    Ok(())
}
