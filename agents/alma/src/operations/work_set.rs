//! Stops all work, lets what runs end, or lets work go on. Durable: it holds for
//! every process and over every restart until it is said otherwise.

use super::work_status::{self, Response};
use crate::{Alma, Error};
use charter::event::Event;
use charter::ids::{Principal, StreamId};
use charter::mode::Mode;
use charter::ports::LedgerExt;
use serde::{Deserialize, Serialize};

/// How it shall be.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// How it shall be.
    pub mode: Mode,
    /// Only if it is so now.
    #[serde(default)]
    pub only_from: Option<Mode>,
}

/// Sets.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let now = alma.ledger().mode(&principal.tenant).await?;
    let wrong_now = request.only_from.is_some_and(|only| now != only && now != request.mode);
    if wrong_now || !now.may_become(request.mode) {
        let notice = now.notice().unwrap_or("work is running");
        return Err(Error::Conflict(format!("this cannot be done now: {notice}")));
    }
    if now != request.mode {
        let mut draft = alma.draft(principal, StreamId::admin());
        draft.event(Event::ModeChanged {
            tenant: principal.tenant.clone(),
            mode: request.mode,
            by: principal.subject.clone(),
        });
        match draft.commit().await.map_err(Error::from) {
            // Somebody said the same at the same time.
            Err(Error::Conflict(why)) => {
                if alma.ledger().mode(&principal.tenant).await? != request.mode {
                    return Err(Error::Conflict(why));
                }
            }
            done => {
                done?;
            }
        }
    }
    work_status::status(alma, principal).await
}
