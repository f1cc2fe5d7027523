//! Alma herself: what she can be asked. Each operation is one file under
//! [`operations`], from a request to a response, the principal first; every
//! surface is a table over [`operations::ALL`].

mod calendar;
pub mod config;
pub mod conversation;
pub mod degraded;
mod desk;
pub mod error;
pub mod memory;
mod model_plan;
pub mod night;
pub mod operations;
pub mod schedules;
pub mod talk;
mod thinking;
mod waking;

use async_trait::async_trait;
use charter::embed::Embed;
use charter::generate::Generate;
use charter::ids::{Millis, Principal, StreamId};
use charter::ports::{Ledger, Live, Tools};
use charter::reflex::Reflex;
use charter::tool::ToolSpec;
use config::Config;
use moroni::playbooks::Library;
use operations::{models_list, models_show};
use sons_of_helaman::{Draft, Ports};
use std::path::PathBuf;
use std::sync::Arc;

pub use error::Error;

/// Everything that an operation may use.
#[derive(Clone)]
pub struct Alma {
    /// The world.
    pub ports: Ports,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The data folder.
    pub home: PathBuf,
    /// Facts about this installation that only its wiring knows.
    pub installation: Arc<dyn Installation>,
}

/// What the wiring knows and an operation may ask.
#[async_trait]
pub trait Installation: Send + Sync {
    /// The playbooks as they stand now: a file that came or went counts at once.
    fn playbooks(&self) -> Result<Arc<Library>, Error>;
    /// Checks chains, checkpoints and derived rows of the ledger on disk.
    async fn audit(&self) -> Result<ledger::audit::AuditReport, Error>;
    /// What turns texts into vectors.
    fn embedder(&self) -> Result<Arc<dyn Embed>, Error>;
    /// The language model, if one is configured; it is loaded when it is first asked.
    fn generate(&self) -> Option<Arc<dyn Generate>> {
        None
    }
    /// What says at once what a text is, unless the configuration does without.
    fn reflex(&self) -> Option<Arc<dyn Reflex>> {
        None
    }
    /// Language models that lie here; reads their headers.
    fn models(&self) -> models_list::Response {
        models_list::Response::default()
    }
    /// One of them, or the configured one; reads the whole file.
    fn model(&self, name: Option<&str>) -> Result<models_show::Response, Error> {
        Err(Error::NotFound(format!("the language model {}", name.unwrap_or("to use"))))
    }
    /// The memory, if there is one.
    fn memory(&self) -> Option<memory::Memory> {
        None
    }
    /// What tells of events as they are committed, where there is more than the ledger.
    fn live(&self) -> Option<Arc<dyn Live>> {
        None
    }
    /// What works less well than it should at the moment.
    fn degraded(&self) -> Vec<degraded::Degraded> {
        Vec::new()
    }
    /// What is in order on this machine and what is not.
    fn diagnose(&self) -> Vec<operations::doctor::Finding>;

    /// What is found when the servers are asked that the installation rests on; none
    /// where it rests on none.
    async fn servers(&self) -> Vec<operations::doctor::Finding> {
        Vec::new()
    }
}

impl Alma {
    pub(crate) fn now(&self) -> Millis {
        self.ports.clock.now()
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        self.ports.ledger.as_ref()
    }

    /// Events of one stream, most of the time, that are committed together.
    pub(crate) fn draft(&self, principal: &Principal, stream: StreamId) -> Draft<'_> {
        Draft::on(&self.ports, &principal.tenant, stream)
    }

    pub(crate) fn tools(&self) -> &dyn Tools {
        self.ports.tools.as_ref()
    }

    pub(crate) fn specs(&self) -> Vec<ToolSpec> {
        self.tools().specs().into_iter().cloned().collect()
    }
}
