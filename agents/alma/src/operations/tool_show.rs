//! Shows one tool: arguments, output, limits, how it is undone.

use crate::{Alma, Error};
use charter::ids::Principal;
use charter::tool::ToolSpec;
use serde::{Deserialize, Serialize};

/// Which tool.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its name.
    pub name: String,
}

/// Shows.
pub async fn run(alma: &Alma, _: &Principal, request: Request) -> Result<ToolSpec, Error> {
    alma.tools().spec(&request.name).cloned().ok_or_else(|| {
        Error::NotFound(format!("the tool {:?} (`alma tools list` shows all)", request.name))
    })
}
