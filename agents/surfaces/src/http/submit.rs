//! Missions and plans over HTTP: the workspace is a name of the configuration, or
//! a folder that is made for the mission; a submit under a key is accepted once.

use super::problem::Problem;
use alma::Alma;
use alma::operations::mission_submit::Once;
use axum::http::HeaderMap;
use charter::digest::Digest;
use charter::ids::MissionId;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Longest `Idempotency-Key`, in bytes.
pub(super) const KEY_BYTES_MAX: usize = 255;

/// The folder of missions that name none, below the data folder.
const FOLDER: &str = "workspaces";
/// The empty folder that plans without a workspace are made in.
const EMPTY: &str = ".empty";

/// A folder that was made for a mission; goes again if nothing came of it.
pub(super) struct Made(Option<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        // Only an empty folder goes; one that a mission has worked in stays.
        let _kept = self.0.take().map(std::fs::remove_dir);
    }
}

impl Made {
    /// The mission was accepted: the folder is its own.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

/// Puts the folder of a plan in the place of its name.
pub(super) fn plan(alma: &Alma, fields: &mut Map<String, Value>) -> Result<(), Problem> {
    let folder = match named(alma, fields)? {
        Some(folder) => folder,
        None => made(alma, EMPTY)?,
    };
    place(fields, &folder)
}

/// Puts the folder of a mission in the place of its name, and names the mission
/// where the folder is its own.
pub(super) fn mission(
    alma: &Alma,
    fields: &mut Map<String, Value>,
) -> Result<Option<Made>, Problem> {
    if let Some(folder) = named(alma, fields)? {
        place(fields, &folder)?;
        return Ok(None);
    }
    let mission = MissionId::new(alma.ports.clock.now(), alma.ports.entropy.as_ref());
    let folder = made(alma, mission.as_str())?;
    let made = Made(Some(folder.clone()));
    fields.insert("mission".to_owned(), json!(mission));
    place(fields, &folder)?;
    Ok(Some(made))
}

/// What makes a submit happen once: its key and the body as it came.
pub(super) fn once(
    headers: &HeaderMap,
    body: &Map<String, Value>,
) -> Result<Option<Once>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().unwrap_or_default();
    let good = (1..=KEY_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !good || keys.next().is_some() {
        return Err(Problem::invalid(format!(
            "Idempotency-Key: expected one key of 1 to {KEY_BYTES_MAX} visible ASCII characters"
        )));
    }
    let request = Digest::of_json(body)
        .map_err(|_| Problem::invalid("the body has numbers that cannot be told apart"))?;
    Ok(Some(Once { key: text.to_owned(), request }))
}

fn named(alma: &Alma, fields: &mut Map<String, Value>) -> Result<Option<PathBuf>, Problem> {
    let Some(Value::String(name)) = fields.remove("workspace") else { return Ok(None) };
    let known = &alma.config.http.workspaces;
    let folder = known.get(&name).ok_or_else(|| {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        Problem::invalid(format!(
            "workspace: there is none of this name in [http.workspaces]; known are: {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        ))
    })?;
    let folder = folder.canonicalize().map_err(|error| {
        Problem::invalid(format!("workspace: the folder of {name} cannot be used: {error}"))
    })?;
    Ok(Some(folder))
}

fn made(alma: &Alma, name: &str) -> Result<PathBuf, Problem> {
    let folder = alma.home.join(FOLDER).join(name);
    std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize()).map_err(|error| {
        Problem::internal(format!("a folder for the mission could not be made: {error}"))
    })
}

fn place(fields: &mut Map<String, Value>, folder: &std::path::Path) -> Result<(), Problem> {
    let folder = folder.to_str().ok_or_else(|| {
        Problem::invalid("workspace: the folder has a name that is no UTF-8 text")
    })?;
    fields.insert("workspace".to_owned(), json!(folder));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(keys: &[&str]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append("idempotency-key", key.parse().unwrap());
        }
        Ok(once(&headers, &Map::new())?.map(|once| once.key))
    }

    #[test]
    fn a_key_is_one_short_visible_text() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["a-1"]), Ok(Some("a-1".to_owned())));
        for bad in [&["a", "b"][..], &[""], &["a b"], &[&"x".repeat(256)]] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_order_of_fields_makes_no_other_request() {
        let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", "a".parse().unwrap());
        let digest = |text| once(&headers, &read(text)).unwrap().unwrap().request;
        assert_eq!(digest(r#"{"a":1,"b":2}"#), digest(r#"{"b":2,"a":1}"#));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
    }
}
