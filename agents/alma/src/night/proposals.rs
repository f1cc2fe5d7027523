//! Proposals, and what a person decided about them. A playbook is accepted by
//! writing its file; never over a file that is there.

use crate::{Alma, Error};
use charter::event::Event;
use charter::ids::{Principal, ProposalId, StreamId};
use charter::night::{Nightly, ProposalRow, ProposalState};
use forty_two::playbook::Proposal;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A proposal with its change.
pub(crate) async fn read(
    alma: &Alma,
    principal: &Principal,
    id: &ProposalId,
) -> Result<(ProposalRow, Proposal), Error> {
    let row: ProposalRow = alma.record(principal, id.as_str()).await?;
    let proposal = alma.json_of(principal, &row.body, "a proposal").await?;
    Ok((row, proposal))
}

/// Where a playbook of the user lies.
pub(crate) fn file(alma: &Alma, name: &str) -> PathBuf {
    alma.home.join("playbooks").join(format!("{name}.yaml"))
}

/// Puts a playbook into force. Again after a crash it does the rest only.
pub(crate) async fn accept(
    alma: &Alma,
    principal: &Principal,
    id: &ProposalId,
) -> Result<PathBuf, Error> {
    let (row, proposal) = read(alma, principal, id).await?;
    stands(&row, ProposalState::Open, "accepted")?;
    let path = file(alma, &proposal.name);
    match existing(&path)? {
        Some(text) if text == proposal.text => {}
        Some(_) => {
            return Err(Error::Conflict(format!(
                "{} is a file of yours already; move it away, then accept again",
                path.display()
            )));
        }
        None if alma.installation.playbooks()?.get(&proposal.name).is_some() => {
            return Err(Error::Conflict(format!(
                "there is a playbook called {:?} by now, and a proposal replaces none",
                proposal.name
            )));
        }
        None => create(&path, &proposal.text)?,
    }
    decide(alma, principal, id, ProposalState::Accepted).await?;
    Ok(path)
}

/// Says that a proposal is not wanted; it is not made again.
pub(crate) async fn reject(
    alma: &Alma,
    principal: &Principal,
    id: &ProposalId,
) -> Result<(), Error> {
    let (row, _) = read(alma, principal, id).await?;
    stands(&row, ProposalState::Open, "rejected")?;
    decide(alma, principal, id, ProposalState::Rejected).await
}

/// Takes a playbook out of force again, if its file is as it was written.
pub(crate) async fn undo(
    alma: &Alma,
    principal: &Principal,
    id: &ProposalId,
) -> Result<PathBuf, Error> {
    let (row, proposal) = read(alma, principal, id).await?;
    stands(&row, ProposalState::Accepted, "undone")?;
    let path = file(alma, &proposal.name);
    match existing(&path)? {
        Some(text) if text == proposal.text => {
            std::fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        Some(_) => {
            return Err(Error::Conflict(format!(
                "{} was changed since it was accepted, so it is yours; remove it yourself if it \
                 shall go",
                path.display()
            )));
        }
        None => {}
    }
    decide(alma, principal, id, ProposalState::Undone).await?;
    Ok(path)
}

fn stands(row: &ProposalRow, state: ProposalState, what: &str) -> Result<(), Error> {
    if row.state == state {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "the proposal {} is {}, so it cannot be {what}; `alma proposals list` shows how they stand",
        row.id,
        row.state.as_str()
    )))
}

async fn decide(
    alma: &Alma,
    principal: &Principal,
    id: &ProposalId,
    state: ProposalState,
) -> Result<(), Error> {
    let mut draft = alma.draft(principal, StreamId::admin());
    let by = principal.subject.clone();
    draft.event(Event::Nightly(Nightly::Decided { proposal: id.clone(), state, by }));
    draft.commit().await?;
    Ok(())
}

fn existing(path: &Path) -> Result<Option<String>, Error> {
    match crate::config::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Writes a new file whole or not at all, and not over another.
fn create(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
    let part = path.with_extension("part");
    let written = (|| {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, because it fails where a file stands; a rename would replace it.
        std::fs::hard_link(&part, path)?;
        std::fs::File::open(folder)?.sync_all()
    })();
    let removed = std::fs::remove_file(&part);
    written.and(removed).map_err(|error| failed("write", path, &error))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::Machine { operation: format!("{what} {}", path.display()), cause: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_whole_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("playbooks").join("x.yaml");
        create(&path, "one").unwrap();
        assert!(create(&path, "two").is_err());
        assert_eq!(existing(&path).unwrap().as_deref(), Some("one"));
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no part of a file is left");
        assert_eq!(existing(&folder.path().join("none")).unwrap(), None);
    }
}
