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
    let playbooks = alma.installation.playbooks()?;
    let playbook = playbooks.get(&request.name).ok_or_else(|| {
        Error::NotFound(format!(
            "the playbook {:?} (`alma playbooks list` shows all)",
            request.name
        ))
    })?;
    Ok(Response {
        name: playbook.name.clone(),
        version: playbook.version,
        text: text(alma, &playbook.name)?,
    })
}

/// The user's own file goes before the shipped one of the same name.
fn text(alma: &Alma, name: &str) -> Result<String, Error> {
    let own = alma.home.join("playbooks").join(format!("{name}.yaml"));
    match std::fs::read_to_string(&own) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let shipped = moroni::playbooks::SHIPPED.iter().find(|(shipped, _)| *shipped == name);
            shipped
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| Error::NotFound(format!("the file of the playbook {name:?}")))
        }
        Err(error) => Err(Error::Machine {
            operation: format!("read {}", own.display()),
            cause: error.to_string(),
        }),
    }
}
