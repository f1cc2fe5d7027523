//! What was configured, read once: default file, the user's file, environment,
//! flags; checked, and refused by the name of the field.

pub mod http;
pub mod model;
pub mod night;
pub mod stores;

use charter::budget::Budget;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The documented default, as it stands in the root of the project.
pub const DEFAULT: &str = include_str!("../../../config.toml");

/// Most bytes that a configuration file may have.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the name of a variable ends with that names a file with the value.
const FILE_SUFFIX: &str = "_FILE";

/// Name of the environment variable for the data folder.
pub const HOME_VARIABLE: &str = "ALMA_HOME";

/// The configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Workers.
    pub worker: Worker,
    /// What a mission may spend.
    pub budget: Budget,
    /// The user's rules.
    pub policy: Policy,
    /// The language model.
    pub model: model::Model,
    /// `alma serve`.
    pub http: http::Http,
    /// The night.
    pub night: night::Night,
    /// Where the record is kept.
    pub ledger: stores::Ledger,
    /// Where the queue is kept.
    pub queue: stores::Queue,
    /// The dead-letter desk.
    pub dead_letters: DeadLetters,
}

impl Config {
    /// How this installation is spread.
    pub fn mode(&self) -> Result<stores::Mode, ConfigError> {
        stores::mode(&self.ledger, &self.queue)
            .map_err(|message| ConfigError::Field { place: "in force".to_owned(), message })
    }
}

/// The dead-letter desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    /// Days after which a dead step is discarded whose mission did not change since,
    /// at most 36,500; 0: never.
    pub keep_days: u32,
}

/// Workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Light steps that one process works on at the same time, 1 to 64.
    pub concurrency: u32,
    /// Steps that run programs, at most 64; 0: by processors and memory.
    pub exec: u32,
    /// Steps that ask the language model, at most 64; 0: two.
    pub model: u32,
    /// Free memory, in MiB, below which no step that runs a program begins.
    pub memory_floor_mb: u64,
    /// Seconds that a stopping worker gives its running steps, at most 3,600.
    pub drain_seconds: u32,
    /// Shares of tenants, 1 to 100; who is not named has 1.
    pub weights: BTreeMap<String, u32>,
}

/// The user's rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// They can only narrow.
    pub rules: policy::Settings,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("could not read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is no TOML, or a field has a wrong name or type.
    #[error("the configuration {place} cannot be used: {message}")]
    Field {
        /// File or variable.
        place: String,
        /// The field, and what is wrong with it.
        message: String,
    },
    /// No place for the data folder.
    #[error(
        "there is no place for Alma's data: neither {HOME_VARIABLE} nor HOME is set; \
         set {HOME_VARIABLE} to a folder of your own"
    )]
    NoHome,
}

/// The data folder: `$ALMA_HOME`, else `~/.alma`.
pub fn home(variable: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(HOME_VARIABLE).or_else(|| Some(set("HOME")?.join(".alma"))).ok_or(ConfigError::NoHome)
}

/// Reads and joins all sources. `environment` lists the process's variables.
pub fn load(
    home: &Path,
    environment: &[(String, String)],
    flags: &[(String, String)],
) -> Result<Config, ConfigError> {
    let path = home.join("config.toml");
    let own = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(ConfigError::Read { path, source }),
    };
    let environment =
        environment.iter().map(from_file).collect::<Result<Vec<(String, String)>, _>>()?;
    resolve(&own, &path.display().to_string(), &environment, flags)
}

/// A setting whose variable names a file, as `ALMA_LEDGER__URL_FILE` does: it stands
/// there, so that a secret stands in no list of variables.
fn from_file((name, value): &(String, String)) -> Result<(String, String), ConfigError> {
    let named = name
        .strip_suffix(FILE_SUFFIX)
        .filter(|name| name.strip_prefix("ALMA_").is_some_and(|name| name.contains("__")));
    let Some(setting) = named else { return Ok((name.clone(), value.clone())) };
    let path = PathBuf::from(value);
    let text = read(&path).map_err(|source| ConfigError::Read { path, source })?;
    Ok((setting.to_owned(), text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A file of the user's settings as text; its size has a bound.
pub fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("it has more than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(text)
}

/// Joins the default, the user's text, the environment and the flags.
fn resolve(
    own: &str,
    place: &str,
    environment: &[(String, String)],
    flags: &[(String, String)],
) -> Result<Config, ConfigError> {
    let mut all = table(DEFAULT, "config.toml")?;
    let own = table(own, place)?;
    merge(&mut all, own);
    check(&all, place)?;
    let variables = environment.iter().filter_map(|(name, value)| {
        let (section, key) = name.strip_prefix("ALMA_")?.split_once("__")?;
        Some((name.clone(), format!("{}.{}", section.to_lowercase(), key.to_lowercase()), value))
    });
    for (source, field, value) in variables {
        set(&mut all, &field, value, &source)?;
    }
    for (field, value) in flags {
        set(&mut all, field, value, &format!("--set {field}"))?;
    }
    let config = check(&all, "in force")?;
    // Known only now: one of the two may be set by a variable.
    config.mode()?;
    Ok(config)
}

fn table(text: &str, place: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| ConfigError::Field {
        place: place.to_owned(),
        message: error.to_string(),
    })
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn check(all: &Table, place: &str) -> Result<Config, ConfigError> {
    let wrong = |message: String| ConfigError::Field { place: place.to_owned(), message };
    let config: Config =
        serde_path_to_error::deserialize(Value::Table(all.clone())).map_err(|error| {
            let field = error.path().to_string();
            wrong(format!("{field}: {}", error.into_inner().message()))
        })?;
    if !(1..=64).contains(&config.worker.concurrency) {
        return Err(wrong("worker.concurrency: expected 1 to 64".to_owned()));
    }
    for (name, steps) in [("exec", config.worker.exec), ("model", config.worker.model)] {
        if steps > 64 {
            return Err(wrong(format!("worker.{name}: expected at most 64")));
        }
    }
    for (tenant, weight) in &config.worker.weights {
        if !(1..=100).contains(weight) {
            return Err(wrong(format!("worker.weights.{tenant}: expected 1 to 100")));
        }
    }
    if config.worker.drain_seconds > 3_600 {
        return Err(wrong("worker.drain_seconds: expected at most 3600".to_owned()));
    }
    if config.dead_letters.keep_days > 36_500 {
        return Err(wrong("dead_letters.keep_days: expected at most 36500".to_owned()));
    }
    if config.budget.steps == 0 {
        return Err(wrong("budget.steps: expected at least 1".to_owned()));
    }
    config.http.check().map_err(wrong)?;
    config.night.check().map_err(wrong)?;
    Ok(config)
}

/// Sets `section.key` from a text, typed as the default is.
fn set(all: &mut Table, field: &str, text: &str, source: &str) -> Result<(), ConfigError> {
    let wrong = |message: String| ConfigError::Field { place: source.to_owned(), message };
    let slot = field
        .split_once('.')
        .and_then(|(section, key)| all.get_mut(section)?.as_table_mut()?.get_mut(key));
    let Some(slot) = slot else {
        return Err(wrong(format!("there is no setting {field}; `alma config show` lists them")));
    };
    *slot = match slot {
        Value::Integer(_) => Value::Integer(
            text.trim()
                .parse()
                .map_err(|_| wrong(format!("{field}: expected a whole number, found {text:?}")))?,
        ),
        Value::Boolean(_) => Value::Boolean(
            text.trim()
                .parse()
                .map_err(|_| wrong(format!("{field}: expected true or false, found {text:?}")))?,
        ),
        Value::String(_) => Value::String(text.to_owned()),
        _ => return Err(wrong(format!("{field}: set this in the configuration file"))),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(own: &str, environment: &[(&str, &str)], expected: Expect) {
        let environment: Vec<_> =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = match resolve(own, "config.toml of the user", &environment, &[]) {
            Ok(config) => format!("{:?} {}", config.worker, config.budget.steps),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&found);
    }

    #[test]
    fn the_default_file_is_the_default_in_the_code() {
        let config = resolve("", "", &[], &[]).unwrap();
        assert_eq!(config.budget, Budget::default());
        assert_eq!(config.policy.rules, policy::Settings::default());
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        check(
            "[worker]\nconcurrency = 3\n",
            &[("ALMA_WORKER__CONCURRENCY", "5"), ("ALMA_HOME", "/x")],
            expect![
                "Worker { concurrency: 5, exec: 0, model: 0, memory_floor_mb: 512, drain_seconds: 30, weights: {} } 20000"
            ],
        );
    }

    #[test]
    fn a_variable_may_name_a_file_with_the_value() {
        let home = tempfile::tempdir().unwrap();
        let secret = home.path().join("secret");
        std::fs::write(&secret, "7\n").unwrap();
        let variable = |name: &str, value: &Path| {
            load(home.path(), &[(name.to_owned(), value.display().to_string())], &[])
        };
        let config = variable("ALMA_WORKER__CONCURRENCY_FILE", &secret).unwrap();
        assert_eq!(config.worker.concurrency, 7);
        let error = variable("ALMA_LEDGER__URL_FILE", &home.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[test]
    fn a_wrong_field_is_named() {
        check(
            "[worker]\nconcurency = 3\n",
            &[],
            expect![[
                r#"the configuration config.toml of the user cannot be used: worker.concurency: unknown field `concurency`, expected one of `concurrency`, `exec`, `model`, `memory_floor_mb`, `drain_seconds`, `weights`"#
            ]],
        );
        check(
            "[budget]\nsteps = \"many\"\n",
            &[],
            expect![[
                r#"the configuration config.toml of the user cannot be used: budget.steps: invalid type: string "many", expected u64"#
            ]],
        );
        check(
            "",
            &[("ALMA_WORKER__CONCURRENCY", "lots")],
            expect![[
                r#"the configuration ALMA_WORKER__CONCURRENCY cannot be used: worker.concurrency: expected a whole number, found "lots""#
            ]],
        );
    }

    #[test]
    fn without_any_home_the_error_says_what_to_set() {
        assert!(home(&|_| None).unwrap_err().to_string().contains("set ALMA_HOME"));
        assert_eq!(home(&|n| (n == "HOME").then(|| "/h".into())).unwrap(), Path::new("/h/.alma"));
    }
}
