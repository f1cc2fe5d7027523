//! How the memory stands.

use super::shared::Nothing;
use crate::memory::unexpected;
use crate::{Alma, Error};
use charter::ids::Principal;
use librarian::ask::{Report, Request as Ask, Response as Told};

/// Reports.
pub async fn run(alma: &Alma, principal: &Principal, _: Nothing) -> Result<Report, Error> {
    report(alma.librarian(Ask::Report { tenant: principal.tenant.clone() }).await?)
}

/// The report in an answer.
pub(super) fn report(told: Told) -> Result<Report, Error> {
    match told {
        Told::Report(report) => Ok(report),
        _ => Err(unexpected("look at the memory")),
    }
}
