//! How Alma is reached over HTTP.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// `alma serve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Names beside `localhost` under which Alma is reached.
    pub hosts: Vec<String>,
    /// Connections at the same time, 1 to 65,536.
    pub connections: u32,
    /// Event streams at the same time, at most as many as connections.
    pub streams: u32,
    /// Most bytes of a request's body, at most 64 MiB.
    pub body_bytes: u64,
    /// Seconds that a request may take to arrive, and to be answered, 1 to 3,600.
    pub request_seconds: u32,
    /// Folders that missions may name.
    pub workspaces: BTreeMap<String, PathBuf>,
}

impl Http {
    /// What is wrong with a field, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(format!("http.{name}: expected {least} to {most}"))
            }
        };
        within("connections", self.connections.into(), 1, 65_536)?;
        within("streams", self.streams.into(), 1, self.connections.into())?;
        within("body_bytes", self.body_bytes, 1_024, 64 << 20)?;
        within("request_seconds", self.request_seconds.into(), 1, 3_600)?;
        for (name, folder) in &self.workspaces {
            if !folder.is_absolute() {
                return Err(format!(
                    "http.workspaces.{name}: {} is not absolute; write the whole path",
                    folder.display()
                ));
            }
        }
        Ok(())
    }
}
