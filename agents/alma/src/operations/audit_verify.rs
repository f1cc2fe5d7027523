//! Checks the whole record: chains, checkpoints, texts, derived rows.

use super::shared::Nothing;
use crate::{Alma, Error};
use charter::ids::Principal;
use ledger::audit::AuditReport;

/// Checks. Takes time in proportion to the record.
pub async fn run(alma: &Alma, _: &Principal, _: Nothing) -> Result<AuditReport, Error> {
    let installation = std::sync::Arc::clone(&alma.installation);
    tokio::task::spawn_blocking(move || installation.audit()).await.map_err(|error| {
        Error::Machine { operation: "run the audit".to_owned(), cause: error.to_string() }
    })?
}
