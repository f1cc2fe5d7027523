//! Moves the record between a file in the data folder and a PostgreSQL database. It
//! must be at rest for that, so a process that has it open refuses; `alma migrate`
//! carries it out while nobody has.

use crate::config::Config;
use crate::config::stores::Address;
use crate::{Alma, Error};
use charter::ids::Principal;
use ledger::transfer::Moved;
use serde::{Deserialize, Serialize};

/// Where to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `file`, or the address of a PostgreSQL database.
    pub to: String,
}

/// What was moved.
#[derive(Debug, Serialize)]
pub struct Response {
    /// `done`.
    pub state: &'static str,
    /// Rows that were copied and compared; absent where it had been moved before.
    pub rows: Option<u64>,
    /// Position of the newest event; absent where it had been moved before.
    pub position: Option<i64>,
    /// Where the record is now.
    pub to: String,
    /// Where the former record is kept, which cannot be opened any more.
    pub kept: String,
    /// What to write into `config.toml`, line by line.
    pub config: Vec<String>,
    /// All of it in words.
    pub text: String,
}

/// Refuses, for the record is open here.
pub async fn run(_: &Alma, _: &Principal, request: Request) -> Result<Response, Error> {
    destination(&request.to)?;
    Err(Error::Conflict(format!(
        "the record is open here, and it must be at rest to be moved: stop whatever works or \
         serves, then run `alma migrate --to {}`",
        Address::new(&request.to)
    )))
}

/// Where a record can go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The data folder.
    File,
    /// A database.
    Postgres(String),
}

/// Reads where to.
pub fn destination(to: &str) -> Result<Destination, Error> {
    match to.trim() {
        "file" => Ok(Destination::File),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Ok(Destination::Postgres(url.to_owned()))
        }
        other => Err(Error::Usage(format!(
            "the record can be moved to `file` or to postgres://USER@HOST/DATABASE, not to {}",
            Address::new(other)
        ))),
    }
}

/// Tells what came of it. `moved`: `None` where it had been moved there before.
pub fn told(
    config: &Config,
    destination: &Destination,
    moved: Option<&Moved>,
    kept: String,
) -> Response {
    let config = lines(config, destination);
    let to = match destination {
        Destination::File => "ledger.db in the data folder".to_owned(),
        Destination::Postgres(url) => Address::new(url).to_string(),
    };
    let rows = moved.map(|moved| moved.rows.iter().map(|(_, rows)| rows).sum::<u64>());
    let done = match (moved, rows) {
        (Some(moved), Some(rows)) => format!(
            "The record is at {to} now: {rows} rows, {} events; every cell was compared and both \
             sides were audited.",
            moved.audit.events
        ),
        _ => format!("The record had been moved to {to} before."),
    };
    let text = format!(
        "{done}\nThe former one is kept as it was at {kept} and cannot be opened any more.\nPut \
         this into config.toml of every data folder that uses it:\n\n{}",
        config.join("\n")
    );
    let position = moved.map(|moved| moved.position);
    Response { state: "done", rows, position, to, kept, config, text }
}

fn lines(config: &Config, destination: &Destination) -> Vec<String> {
    let line = |text: &str| text.to_owned();
    match destination {
        Destination::File => vec![line("[ledger]"), line("url = \"\"")],
        Destination::Postgres(url) => {
            let mut lines = vec![
                line("[ledger]"),
                line("# A password is best given as ALMA_LEDGER__URL."),
                format!("url = \"{}\"", Address::new(url)),
            ];
            if config.queue.url.secret().is_none() {
                lines.extend([
                    String::new(),
                    line("# A record on PostgreSQL needs a queue on Redis."),
                    line("[queue]"),
                    line("url = \"redis://HOST:PORT\""),
                ]);
            }
            lines
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_a_database() {
        let check = |to: &str, expect: Option<Destination>| {
            assert_eq!(destination(to).ok(), expect, "{to}");
        };
        check(" file", Some(Destination::File));
        let url = "postgres://alma@db/alma";
        check(url, Some(Destination::Postgres(url.to_owned())));
        check("mysql://x", None);
        check("", None);
        let error = destination("redis://:secret@x").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_is_to_be_configured_is_told_without_the_password() {
        let config = crate::config::load(std::path::Path::new("/nowhere"), &[], &[]).unwrap();
        let to = Destination::Postgres("postgres://alma:secret@db/alma".to_owned());
        let told = told(&config, &to, None, "there".to_owned());
        assert!(told.text.contains("url = \"postgres://alma:***@db/alma\""), "{}", told.text);
        assert!(told.text.contains("redis://HOST:PORT") && !told.text.contains("secret"));
        assert_eq!(lines(&config, &Destination::File), ["[ledger]", "url = \"\""]);
    }
}
