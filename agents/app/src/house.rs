//! Wiring: the data folder, its ledger, the queue, the workers.

use crate::bell::Bell;
use crate::model::{self, LazyModel};
use crate::record::{self, InForce, Server as RecordServer};
use crate::shelf::Shelf;
use crate::system::{SystemClock, SystemEntropy, SystemTimer};
use crate::thinker::{self, Way};
use crate::{desk, diagnose, memory, night, schedules};
use alma::config::Config;
use alma::memory::Memory;
use alma::operations::doctor::Finding;
use alma::operations::{models_list, models_show};
use alma::{Alma, Error, Installation};
use anyhow::Context;
use charter::embed::Embed;
use charter::excerpt::Excerpts;
use charter::generate::Generate;
use charter::ids::TenantId;
use charter::ports::{Clock, Entropy, Ledger, LedgerError, Tools};
use hephaestus::sandbox::{Host, Sandbox};
use hephaestus::tool::Tool;
use hephaestus::{Hephaestus, tools};
use ledger::audit::{self, AuditReport};
use ledger::household::{Household, OpenLedger, OpenedLedger, Role};
use ledger::keys;
use librarian::Librarian;
use librarian::excerpts::Excerpter;
use librarian::extract::pdf::PdfProcess;
use models::embed::StaticEmbedder;
use moroni::playbooks::Library;
use queue::{Consumer, Relay};
use sons_of_helaman::lease::LeaseThread;
use sons_of_helaman::reconcile::reconcile;
use sons_of_helaman::{Ports, Settings, Worker};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use surfaces::cli::exit::Exit;
use surfaces::cli::{Needs, Screen};
use surfaces::http::{Dependency, Probe, Server};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// How often claims of dead workers are looked for.
const RECONCILE: Duration = Duration::from_millis(500);

/// Alma on this machine, as one process sees her.
pub(crate) struct House {
    pub(crate) alma: Alma,
    household: Arc<Household>,
    /// The record, where it is on a server.
    server: Option<RecordServer>,
    /// Of the record, once this process has opened it.
    durability: Arc<OnceLock<InForce>>,
    sandbox: Arc<Sandbox>,
    bell: Bell,
    stop: watch::Sender<bool>,
    office: JoinHandle<()>,
    workers: Option<JoinHandle<usize>>,
}

impl House {
    /// Opens the data folder, or attaches to the process that holds it, and
    /// starts what the command needs.
    pub(crate) async fn open(
        home: &Path,
        config: Config,
        needs: Needs,
        more: Vec<Box<dyn Tool>>,
    ) -> anyhow::Result<Self> {
        let sandbox = Arc::new(Sandbox::new(
            PathBuf::from("/proc/self/exe"),
            home.join("scratch"),
            vec![home.to_owned()],
            Host::of_process(),
        ));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let durability = Arc::new(OnceLock::new());
        let placed = config.model.place(home);
        let own = placed.map(|path| (path.clone(), Arc::new(LazyModel::new(path))));
        let server = match config.ledger.url.secret() {
            Some(url) => Some(record::open_server(home, url, Arc::clone(&clock)).await?),
            None => None,
        };
        let opening = Opening {
            home: home.to_owned(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            server: server.clone(),
            durability: Arc::clone(&durability),
            model: own.clone(),
        };
        let household = Household::open(home, opening.opener())
            .await
            .with_context(|| format!("could not open the data folder {}", home.display()))?;
        let model = own.map(|(path, own)| {
            let way = Way::new(Arc::clone(&household), &path, own);
            (path, Arc::new(way) as Arc<dyn Generate>)
        });
        let excerpts = excerpts(Path::new("/proc/self/exe"));
        let mut all = tools::with_sandbox(Arc::clone(&sandbox));
        all.extend(tools::that_quote(&excerpts, model.as_ref().map(|(_, way)| Arc::clone(way))));
        all.extend(more);
        let tools = Hephaestus::with_tools(all).checking_in(Arc::clone(&sandbox));
        let tools = Arc::new(tools.quoting_with(excerpts));
        let ports = Ports {
            ledger: match &server {
                Some(server) => Arc::clone(&server.ledger) as Arc<dyn Ledger>,
                None => Arc::clone(&household) as Arc<dyn Ledger>,
            },
            tools: Arc::clone(&tools) as Arc<dyn Tools>,
            clock,
            entropy,
            timer: Arc::new(SystemTimer),
        };
        let settings = Settings {
            tenant: TenantId::local(),
            process: hephaestus::process::me(),
            home: home.to_owned(),
            policy: config.policy.rules.clone(),
        };
        let bell = Bell::open(home, config.queue.url.secret(), || record::installation(home))?;
        let stop = watch::Sender::new(false);
        let installation = Here {
            home: home.to_owned(),
            durability: Arc::clone(&durability),
            server: server.clone(),
            bell: bell.clone(),
            sandbox: Arc::clone(&sandbox),
            tools,
            playbooks: Shelf::new(home),
            memory: Arc::new(memory::Way(Arc::clone(&household))),
            model,
        };
        let alma = Alma {
            ports: ports.clone(),
            config: Arc::new(config.clone()),
            home: home.to_owned(),
            installation: Arc::new(installation),
        };
        let office = tokio::spawn(hold_office(
            Arc::clone(&household),
            alma.clone(),
            needs,
            settings.clone(),
            bell.clone(),
            stop.subscribe(),
        ));
        let workers = match needs {
            Needs::Ledger => None,
            Needs::Workers => Some(start_workers(
                &household,
                &ports,
                &settings,
                &config,
                &bell,
                stop.subscribe(),
            )?),
        };
        Ok(Self { alma, household, server, durability, sandbox, bell, stop, office, workers })
    }

    /// Works until interrupted; the second interruption does not wait for what is
    /// running.
    pub(crate) async fn work_until(
        &self,
        interrupts: &mut mpsc::Receiver<()>,
        screen: &Screen,
    ) -> Exit {
        let role = match self.household.role() {
            Role::Owner => "holds the data folder",
            _ => "is attached to the process that holds the data folder",
        };
        screen.line(&if screen.json {
            let mut line = serde_json::json!({ "state": "working", "role": role });
            if let Some(found) = self.durability.get() {
                line["durability"] = found.json();
            }
            line.to_string()
        } else {
            format!("this worker {role} {}; stop it with Ctrl-C", self.alma.home.display())
        });
        interrupts.recv().await;
        screen.note("finishing the running steps (press again to leave at once)");
        self.stop.send_replace(true);
        let idle = async {
            while self.workers.as_ref().is_some_and(|workers| !workers.is_finished()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = idle => Exit::Done,
            _ = interrupts.recv() => Exit::Cancelled,
        }
    }

    /// Serves HTTP until interrupted; the second interruption waits for nobody.
    pub(crate) async fn serve(
        &self,
        interrupts: &mut mpsc::Receiver<()>,
        screen: &Screen,
    ) -> anyhow::Result<Exit> {
        diagnose::raise_open_files();
        let (stop, stopped) = watch::channel(false);
        let principal = charter::ids::Principal::local();
        let server = Server::open(&self.alma, &principal, self.probe(), stopped).await?;
        let (address, key) = (server.address(), server.key_file().display().to_string());
        screen.line(&if screen.json {
            let url = format!("http://{address}");
            serde_json::json!({ "state": "serving", "url": url, "key_file": key }).to_string()
        } else {
            format!("serving http://{address}; the key stands in {key}; stop it with Ctrl-C")
        });
        let mut serving = tokio::spawn(server.run());
        interrupts.recv().await;
        screen.note("finishing requests and running steps (press again to leave at once)");
        stop.send_replace(true);
        self.stop.send_replace(true);
        tokio::select! {
            ended = &mut serving => ended.context("the server ended badly")?,
            _ = interrupts.recv() => {
                serving.abort();
                return Ok(Exit::Cancelled);
            }
        }
        Ok(Exit::Done)
    }

    /// What `/ready` asks of this process.
    fn probe(&self) -> Probe {
        let (office, workers) = (self.office.abort_handle(), self.workers.as_ref());
        let workers = workers.map(JoinHandle::abort_handle);
        let (sandbox, household) = (Arc::clone(&self.sandbox), Arc::clone(&self.household));
        let (bell, server) = (self.bell.clone(), self.server.clone());
        let concurrency = self.alma.config.worker.concurrency;
        Arc::new(move || {
            let dependency = |name, ready, detail| Dependency { name, ready, detail };
            let at_work = workers.as_ref().is_some_and(|workers| !workers.is_finished());
            let mut all = vec![
                bell.dependency(household.role(), !office.is_finished()),
                dependency("sandbox", true, sandbox.containment().level.as_str().to_owned()),
                dependency("workers", at_work, format!("{concurrency} at the same time")),
            ];
            all.extend(server.as_ref().map(RecordServer::dependency));
            all
        })
    }

    /// Lets running steps end, gives the data folder back.
    pub(crate) async fn close(self) {
        self.stop.send_replace(true);
        if let Some(workers) = self.workers {
            match workers.await {
                Ok(0) => {}
                Ok(cut_off) => {
                    tracing::warn!(cut_off, "steps were still running; others take them")
                }
                Err(error) => tracing::error!(%error, "the workers ended badly"),
            }
        }
        if let Err(error) = self.office.await {
            tracing::error!(%error, "the relay ended badly");
        }
        self.household.close().await;
        if let Some(server) = self.server
            && let Err(error) = server.ledger.close().await
        {
            tracing::warn!(%error, "the record was not closed in order");
        }
    }
}

/// What reads and quotes texts: the shipped embedder, opened when it is first
/// needed, and `program`, which is this one, as the reader of PDF files.
pub fn excerpts(program: &Path) -> Arc<dyn Excerpts> {
    let pdf = PdfProcess { program: program.to_owned() };
    Arc::new(Excerpter::new(Box::new(embedder), Box::new(pdf)))
}

/// The shipped embedder: its table is read when it is first asked for.
pub(crate) fn embedder() -> Result<Arc<dyn Embed>, String> {
    let shared = StaticEmbedder::shared().map_err(|error| chain(&error))?;
    Ok(shared)
}

/// What is needed to open the data folder whenever this process becomes its holder.
#[derive(Clone)]
struct Opening {
    home: PathBuf,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    server: Option<RecordServer>,
    durability: Arc<OnceLock<InForce>>,
    model: Option<(PathBuf, Arc<LazyModel>)>,
}

impl Opening {
    fn opener(self) -> OpenLedger {
        Box::new(move || {
            let this = self.clone();
            Box::pin(async move { this.open().await })
        })
    }

    async fn open(self) -> Result<OpenedLedger, LedgerError> {
        let Self { home, clock, entropy, server, durability, model } = self;
        let folder = home.join("vectors");
        let (ledger, in_force, closing): (Arc<dyn Ledger>, _, _) = match &server {
            // It serves this process whether or not it holds the folder.
            Some(server) => {
                let in_force = InForce::Server(server.ledger.durability().clone());
                (Arc::clone(&server.ledger) as _, in_force, None)
            }
            None => {
                let file = Arc::new(record::open_file(&home, Arc::clone(&clock)).await?);
                let in_force = InForce::File(file.durability().clone());
                (Arc::clone(&file) as _, in_force, Some(file))
            }
        };
        durability.get_or_init(|| in_force);
        let of = Arc::clone(&ledger);
        let librarian = Arc::new(Librarian::new(of, clock, entropy, Box::new(embedder), folder));
        let desk = Arc::new(memory::Desk(Arc::clone(&librarian)));
        let mut opened = OpenedLedger::new(ledger).with_service(memory::SERVICE, desk);
        if let Some((path, model)) = model {
            let desk = thinker::Desk::new(&path, model);
            opened = opened.with_service(thinker::SERVICE, Arc::new(desk));
        }
        Ok(opened.on_close(async move {
            librarian.close().await;
            if let Some(file) = closing
                && let Err(error) = file.close().await
            {
                tracing::error!(%error, "the ledger was not closed in order");
            }
        }))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    surfaces::cli::exit::chain(error)
}

/// Does what only the owner does, whenever this process is it: relays ready
/// steps to the queue, and takes claims back from the dead.
async fn hold_office(
    household: Arc<Household>,
    alma: Alma,
    needs: Needs,
    settings: Settings,
    bell: Bell,
    mut stop: watch::Receiver<bool>,
) {
    let mut role = household.role_changes();
    loop {
        let is_owner = *role.borrow_and_update() == Role::Owner;
        if is_owner {
            tokio::select! {
                () = as_owner(&household, &alma, needs, &settings, &bell, stop.clone()) => {}
                _ = role.changed() => continue,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
        tokio::select! {
            changed = role.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn as_owner(
    household: &Arc<Household>,
    alma: &Alma,
    needs: Needs,
    settings: &Settings,
    bell: &Bell,
    stop: watch::Receiver<bool>,
) {
    let ports = &alma.ports;
    let queue = loop {
        match bell.for_relay().await {
            Ok(queue) => break queue,
            Err(error) => {
                tracing::error!(%error, "the queue cannot be opened; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let ringer = Arc::clone(household);
    let relay = Relay::new(
        Arc::clone(&ports.ledger),
        queue,
        Arc::clone(&ports.clock),
        Arc::clone(&ports.entropy),
        Arc::new(move || ringer.ring()),
    );
    let alive = |process: &charter::tool::Process| {
        (process.host == settings.process.host)
            .then(|| hephaestus::process::start_time(process.pid) == Some(process.start))
    };
    let reconciling = async {
        loop {
            if let Err(error) = reconcile(ports, settings, &alive).await {
                tracing::warn!(%error, "could not look for dead workers");
            }
            tokio::time::sleep(RECONCILE).await;
        }
    };
    // On a task of its own, for planning takes time; it goes with this office.
    let mut clerks = JoinSet::new();
    // A command that only looks is gone before what it submitted could run.
    if needs == Needs::Workers {
        let alma = alma.clone();
        clerks.spawn(night::keep(alma.clone(), Arc::clone(household), stop.clone()));
        clerks.spawn(memory::follow(Arc::clone(household)));
        let of = alma.clone();
        clerks.spawn(async move { desk::keep(&of).await });
        clerks.spawn(async move { schedules::keep(&alma).await });
    }
    tokio::select! {
        () = relay.run(stop) => {}
        () = reconciling => {}
    }
}

fn start_workers(
    household: &Arc<Household>,
    ports: &Ports,
    settings: &Settings,
    config: &Config,
    bell: &Bell,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<JoinHandle<usize>> {
    let (ledger, clock) = (Arc::clone(&ports.ledger), Arc::clone(&ports.clock));
    let keeper = LeaseThread::start(ledger, clock, settings.tenant.clone())
        .context("could not start the thread that renews leases")?;
    let worker = Arc::new(Worker::new(ports.clone(), settings.clone(), Arc::new(keeper)));
    let consumer = Consumer::new(bell.for_workers())
        .drain(Duration::from_secs(u64::from(config.worker.drain_seconds)));
    let concurrency =
        NonZeroUsize::new(config.worker.concurrency as usize).unwrap_or(NonZeroUsize::MIN);
    let rings = bell.wakes(household, &ports.entropy);
    Ok(tokio::spawn(async move {
        let handler = move |step: charter::ids::StepKey| {
            let worker = Arc::clone(&worker);
            async move {
                if let Err(error) = worker.work(&step).await {
                    tracing::warn!(%step, error = chain(&error), "a step was left to its lease");
                }
            }
        };
        consumer.run(handler, concurrency, rings, stop).await.cut_off
    }))
}

/// What operations may ask of this process.
struct Here {
    home: PathBuf,
    durability: Arc<OnceLock<InForce>>,
    server: Option<RecordServer>,
    bell: Bell,
    sandbox: Arc<Sandbox>,
    tools: Arc<Hephaestus>,
    playbooks: Shelf,
    memory: Memory,
    /// Where the language model lies, and the way to it.
    model: Option<(PathBuf, Arc<dyn Generate>)>,
}

#[async_trait::async_trait]
impl Installation for Here {
    fn playbooks(&self) -> Result<Arc<Library>, Error> {
        self.playbooks.library()
    }

    fn memory(&self) -> Option<Memory> {
        Some(Arc::clone(&self.memory))
    }

    fn embedder(&self) -> Result<Arc<dyn Embed>, Error> {
        embedder().map_err(|cause| Error::Machine {
            operation: "read the table of word vectors".to_owned(),
            cause,
        })
    }

    fn generate(&self) -> Option<Arc<dyn Generate>> {
        self.model.as_ref().map(|(_, model)| Arc::clone(model))
    }

    fn models(&self) -> models_list::Response {
        model::list(&self.home, self.model.as_ref().map(|(path, _)| path.as_path()))
    }

    fn model(&self, name: Option<&str>) -> Result<models_show::Response, Error> {
        model::show(&self.home, self.model.as_ref().map(|(path, _)| path.as_path()), name)
    }

    async fn audit(&self) -> Result<AuditReport, Error> {
        let key = keys::load(&record::key_file(&self.home)).map_err(|error| Error::Machine {
            operation: "read the key that signs checkpoints".to_owned(),
            cause: chain(&error),
        })?;
        let key = keys::public(&key);
        let report = match &self.server {
            Some(server) => audit::verify_postgres(&server.address, &key).await,
            None => audit::verify(&self.home.join(record::FILE), &key).await,
        };
        report.map_err(|source| Error::Ledger { operation: "check the ledger", source })
    }

    async fn servers(&self) -> Vec<Finding> {
        let mut found: Vec<Finding> =
            self.server.as_ref().map(RecordServer::finding).into_iter().collect();
        found.extend(self.bell.findings().await);
        found
    }

    fn diagnose(&self) -> Vec<Finding> {
        let mut found =
            diagnose::all(&self.home, self.durability.get(), &self.sandbox, &self.tools);
        let path = self.model.as_ref().map(|(path, _)| path.as_path());
        found.push(diagnose::model(&self.home, path));
        found
    }
}
