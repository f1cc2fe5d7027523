//! Says something to Alma and gives her answer when the turn has ended. Who wants
//! to see it happen uses [`crate::conversation`] and watches.

use crate::conversation::{Answer, Watcher, begin, carry_on, session_for};
use crate::{Alma, Error};
use charter::ids::{Principal, SessionId};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is said.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The session; a new one unless given.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// The folder to talk about, for a new session. Absolute.
    #[serde(default)]
    pub workspace: PathBuf,
    /// The words.
    pub words: String,
}

/// Says.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Answer, Error> {
    let named = request.session.as_ref();
    let session = session_for(alma, principal, named, &request.workspace, None).await?;
    let turn = begin(alma, principal, &session, &request.words).await?;
    carry_on(alma, principal, &turn, &Watcher::nobody()).await
}
