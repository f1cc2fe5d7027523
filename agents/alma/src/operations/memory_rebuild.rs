//! Builds the index of the memory again from the ledger.

use super::memory_report::report;
use super::shared::Nothing;
use crate::{Alma, Error};
use charter::ids::Principal;
use librarian::ask::{Report, Request as Ask};

/// Rebuilds.
pub async fn run(alma: &Alma, principal: &Principal, _: Nothing) -> Result<Report, Error> {
    report(alma.librarian(Ask::Rebuild { tenant: principal.tenant.clone() }).await?)
}
