//! Shows one playbook as it was written.

use crate::{Alma, Error};
use charter::ids::Principal;
use serde::{Deserialize, Serialize};

/// Which playbook.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its name.
    pub name: String,
}

/// The playbook.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The file.
    pub text: String,
}

/// Shows.
pub async fn run(alma: &Alma, _: &Principal, request: Request) -> Result<Response, Error> {
    let found = alma.playbooks.iter().find(|playbook| playbook.name == request.name);
    let playbook = found.ok_or_else(|| {
        Error::NotFound(format!("the playbook {:?} (`alma playbooks list` shows all)", request.name))
    })?;
    Ok(Response {
        name: playbook.name.clone(),
        version: playbook.version,
        text: playbook.text.to_string(),
    })
}
