//! Removes for good: texts that hold a phrase, or one memory, with everything that
//! was made from them.

use crate::memory::unexpected;
use crate::{Alma, Error};
use charter::ids::{MemoryId, Principal};
use librarian::ask::{Forgettable, Request as Ask, Response as Told};
use librarian::forget::Receipt;
use serde::{Deserialize, Serialize};

/// What is to be forgotten: words or a memory.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Everything that holds these words.
    pub words: Option<String>,
    /// This memory, and the words it was made from.
    pub memory: Option<MemoryId>,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What is gone.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether there was anything.
    pub found: bool,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// By kind and number.
    pub receipt: Receipt,
    /// Files of the user that hold it: they are the user's and were left.
    pub files: Vec<String>,
}

/// Forgets.
pub async fn run(alma: &Alma, principal: &Principal, request: Request) -> Result<Response, Error> {
    let what = match (request.words, request.memory) {
        (Some(words), None) => Forgettable::Phrase(words),
        (None, Some(memory)) => Forgettable::Memory(memory),
        _ => {
            return Err(Error::Usage(
                "say what to forget: words that stand in it, or the name of a memory".to_owned(),
            ));
        }
    };
    let dry_run = request.dry_run;
    let ask = Ask::Forget { tenant: principal.tenant.clone(), what, dry_run };
    match alma.librarian(ask).await? {
        Told::Forgotten { receipt, files } => {
            let found = receipt.contents > 0 || !receipt.memories.is_empty();
            if found
                && !dry_run
                && let Some(model) = alma.model(principal)
            {
                let tenant = principal.tenant.to_string();
                // It may be asked in another process, and that takes a thread.
                let dropped = tokio::task::spawn_blocking(move || model.forget(&tenant)).await;
                if let Err(error) = dropped {
                    tracing::warn!(%error, "what the language model has read stays in memory");
                }
            }
            Ok(Response { found, dry_run, receipt, files })
        }
        _ => Err(unexpected("forget")),
    }
}
