//! Wiring: the data folder, its ledger, the queue, the workers.

use crate::bell::Bell;
use crate::lanes::{self, Lanes};
use crate::model::{self, LazyModel};
use crate::office::{self, Candidate};
use crate::record::{self, InForce, Server as RecordServer};
use crate::shelf::Shelf;
use crate::system::{SystemClock, SystemEntropy, SystemTimer};
use crate::thinker::{self, Way};
use crate::{desk, diagnose, memory, night, schedules};
use alma::config::Config;
use alma::config::stores::Mode;
use alma::degraded::Degraded;
use alma::memory::Memory;
use alma::operations::doctor::Finding;
use alma::operations::{models_list, models_show};
use alma::{Alma, Error, Installation};
use anyhow::Context;
use charter::embed::Embed;
use charter::excerpt::Excerpts;
use charter::generate::Generate;
use charter::ids::TenantId;
use charter::leader::LeaderRow;
use charter::ports::{Clock, Entropy, Ledger, LedgerError, Live, Tools};
use charter::reflex::Reflex;
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
use models::pocket::Pocket;
use moroni::playbooks::Library;
use queue::{Publisher, Relay};
use sons_of_helaman::lease::LeaseThread;
use sons_of_helaman::reconcile::Reach;
use sons_of_helaman::{Crew, Ports, Settings};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use surfaces::cli::exit::Exit;
use surfaces::cli::{Needs, Screen};
use surfaces::http::{Dependency, Probe, Server, State};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Rest before a clerk of the leader that ended is begun again.
const CLERK_REST: Duration = Duration::from_secs(1);

/// Alma on this machine, as one process sees her.
pub(crate) struct House {
    pub(crate) alma: Alma,
    household: Arc<Household>,
    /// The record, where it is on a server.
    server: Option<RecordServer>,
    /// Of the record, once this process has opened it.
    durability: Arc<OnceLock<InForce>>,
    sandbox: Arc<Sandbox>,
    /// The language model, for the time that this process holds the data folder.
    model: Option<Arc<LazyModel>>,
    bell: Bell,
    stop: watch::Sender<bool>,
    office: JoinHandle<()>,
    /// Who leads, where the record is on a server.
    leader: watch::Receiver<Option<LeaderRow>>,
    /// Why this process may work here no more.
    unfit: watch::Receiver<Option<String>>,
    workers: Option<JoinHandle<usize>>,
    lanes: Arc<OnceLock<Lanes>>,
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
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let durability = Arc::new(OnceLock::new());
        let placed = config.model.place(home);
        let draft = config.model.draft_place(home);
        let own = placed.map(|path| (path.clone(), Arc::new(LazyModel::new(path, draft.clone()))));
        let server = match config.ledger.url.secret() {
            Some(url) => Some(record::open_server(home, url).await?),
            None => None,
        };
        let clock: Arc<dyn Clock> = match &server {
            Some(server) => Arc::clone(&server.clock) as Arc<dyn Clock>,
            None => Arc::new(SystemClock),
        };
        let opening = Opening {
            home: home.to_owned(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            server: server.clone(),
            durability: Arc::clone(&durability),
            model: own.clone(),
        };
        let loaded = own.as_ref().map(|(_, model)| Arc::clone(model));
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
        let lanes: Arc<OnceLock<Lanes>> = Arc::default();
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
            draft,
            pocket: config.model.pocket,
            lanes: Arc::clone(&lanes),
        };
        let alma = Alma {
            ports: ports.clone(),
            config: Arc::new(config.clone()),
            home: home.to_owned(),
            installation: Arc::new(installation),
        };
        let (unfit, leader) = (watch::Sender::new(None), watch::Sender::new(None));
        let (is_unfit, leads) = (unfit.subscribe(), leader.subscribe());
        let candidate = server.as_ref().map(|server| Candidate {
            ledger: Arc::clone(&server.ledger) as Arc<dyn Ledger>,
            clock: Arc::clone(&ports.clock),
            holder: settings.process.clone(),
            leader,
        });
        let office = tokio::spawn(hold_office(
            Arc::clone(&household),
            alma.clone(),
            needs,
            settings.clone(),
            bell.clone(),
            (candidate, unfit),
            stop.subscribe(),
        ));
        let workers = match needs {
            Needs::Ledger => None,
            Needs::Workers => {
                let (ledger, clock) = (Arc::clone(&ports.ledger), Arc::clone(&ports.clock));
                let keeper = LeaseThread::start(ledger, clock)
                    .context("could not start the thread that renews leases")?;
                let crew = Crew::new(ports.clone(), settings, Arc::new(keeper));
                let around = (&*household, &bell, &ports);
                let (open, workers) = Lanes::start(&config.worker, around, crew, stop.subscribe());
                lanes.get_or_init(|| open);
                Some(workers)
            }
        };
        let (leader, unfit) = (leads, is_unfit);
        Ok(Self {
            alma,
            household,
            server,
            durability,
            sandbox,
            model: loaded,
            bell,
            stop,
            office,
            leader,
            unfit,
            workers,
            lanes,
        })
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
        let unfit = self.interrupted(interrupts, screen).await;
        screen.note("finishing the running steps (press again to leave at once)");
        self.stop.send_replace(true);
        let idle = async {
            while self.workers.as_ref().is_some_and(|workers| !workers.is_finished()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = idle => if unfit { Exit::Failed } else { Exit::Done },
            _ = interrupts.recv() => {
                self.leave_steps();
                Exit::Cancelled
            }
        }
    }

    /// Waits for an interruption, or until this process may work here no more, which it
    /// says (`true`).
    async fn interrupted(&self, interrupts: &mut mpsc::Receiver<()>, screen: &Screen) -> bool {
        let mut unfit = self.unfit.clone();
        let why = tokio::select! {
            _ = interrupts.recv() => return false,
            Ok(why) = unfit.wait_for(Option::is_some) => why.clone(),
        };
        screen.note(&format!("alma: {}", why.unwrap_or_default()));
        true
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
        let unfit = self.interrupted(interrupts, screen).await;
        screen.note("finishing requests and running steps (press again to leave at once)");
        stop.send_replace(true);
        self.stop.send_replace(true);
        tokio::select! {
            ended = &mut serving => ended.context("the server ended badly")?,
            _ = interrupts.recv() => {
                serving.abort();
                self.leave_steps();
                return Ok(Exit::Cancelled);
            }
        }
        Ok(if unfit { Exit::Failed } else { Exit::Done })
    }

    /// What `/ready` asks of this process.
    fn probe(&self) -> Probe {
        let (office, workers) = (self.office.abort_handle(), self.workers.as_ref());
        let workers = workers.map(JoinHandle::abort_handle);
        let (sandbox, household) = (Arc::clone(&self.sandbox), Arc::clone(&self.household));
        let (bell, server) = (self.bell.clone(), self.server.clone());
        let (leader, own) = (self.leader.clone(), hephaestus::process::me());
        let (lanes, model) = (Arc::clone(&self.lanes), self.model.clone());
        Arc::new(move || {
            let dependency = |name, ready, detail| Dependency { name, ready, detail };
            let at_work = workers.as_ref().is_some_and(|workers| !workers.is_finished());
            let mut all = vec![
                bell.dependency(household.role(), !office.is_finished()),
                dependency("sandbox", true, sandbox.containment().level.as_str().to_owned()),
                dependency("workers", at_work, lanes.get().map(Lanes::words).unwrap_or_default()),
            ];
            if let Some(server) = &server {
                all.extend([
                    server.dependency(),
                    office::dependency(leader.borrow().as_ref(), &own),
                ]);
            }
            let mut gauges = bell.gauges();
            gauges.extend(server.as_ref().map(RecordServer::gauge));
            gauges.extend(lanes.get().map(Lanes::gauges).unwrap_or_default());
            gauges.extend(model.as_ref().map(|model| model.gauges()).unwrap_or_default());
            State { dependencies: all, gauges }
        })
    }

    /// Waits for running steps no longer; whoever comes next takes them.
    fn leave_steps(&self) {
        if let Some(workers) = &self.workers {
            workers.abort();
        }
    }

    /// Lets running steps end, gives the data folder back; leaves all of it where it
    /// stands when it is interrupted.
    pub(crate) async fn close(self, interrupts: &mut mpsc::Receiver<()>) {
        tokio::select! {
            () = self.close_in_order() => {}
            Some(()) = interrupts.recv() => {
                tracing::warn!("left at once; what was open is found by whoever comes next");
            }
        }
    }

    async fn close_in_order(self) {
        self.stop.send_replace(true);
        if let Some(workers) = self.workers {
            match workers.await {
                Ok(0) => {}
                Ok(cut_off) => {
                    tracing::warn!(cut_off, "steps were still running; others take them")
                }
                Err(error) if error.is_cancelled() => {
                    tracing::warn!("running steps were left; others take them");
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

/// The shipped small model: it is read when it is first asked.
pub(crate) fn reflex() -> Result<Arc<dyn Reflex>, String> {
    let shared = Pocket::shared().map_err(|error| chain(&error))?;
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

/// Does what only the leader does while this process leads, and what belongs to the
/// data folder while it holds that. Where the record is a file, this is the same.
async fn hold_office(
    household: Arc<Household>,
    alma: Alma,
    needs: Needs,
    settings: Settings,
    bell: Bell,
    (candidate, unfit): (Option<Candidate>, watch::Sender<Option<String>>),
    stop: watch::Receiver<bool>,
) {
    let follow = || async {
        match needs {
            Needs::Workers => memory::follow(Arc::clone(&household)).await,
            Needs::Ledger => std::future::pending().await,
        }
    };
    let roles = household.role_changes();
    let Some(candidate) = candidate else {
        let both = || async {
            tokio::select! {
                () = as_leader(&household, &alma, needs, &settings, &bell, stop.clone()) => {}
                () = follow() => {}
            }
        };
        return office::while_owner(roles, stop.clone(), both).await;
    };
    // A command that only looks leaves the office to those who stay.
    if needs == Needs::Ledger {
        return;
    }
    let lead = |ledger: Arc<dyn Ledger>| {
        let alma = Alma { ports: Ports { ledger, ..alma.ports.clone() }, ..alma.clone() };
        let (household, settings) = (Arc::clone(&household), settings.clone());
        let (bell, stop) = (bell.clone(), stop.clone());
        async move { as_leader(&household, &alma, needs, &settings, &bell, stop).await }
    };
    let of_folder = || async {
        tokio::select! {
            () = office::take_back(&alma.ports, &settings, Reach::Host, false) => {}
            () = follow() => {}
        }
    };
    let stands = async {
        if let Err(error) = candidate.stand(stop.clone(), lead).await {
            unfit.send_replace(Some(chain(&error)));
        }
    };
    tokio::join!(stands, office::while_owner(roles, stop.clone(), of_folder));
}

/// Relays ready steps to the queue, takes claims back from the dead, and what else
/// exactly one process does.
async fn as_leader(
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
    )
    .weights(lanes::weights(&alma.config.worker));
    bell.is_relayed(relay.status());
    let one_machine = matches!(alma.config.mode(), Ok(Mode::Embedded | Mode::OneHost));
    let reconciling = office::take_back(ports, settings, Reach::Everywhere, one_machine);
    let clerks = async {
        // A command that only looks is gone before what it submitted could run.
        if needs != Needs::Workers {
            return std::future::pending().await;
        }
        let nights = || night::keep(alma.clone(), stop.clone());
        let desks = || {
            let alma = alma.clone();
            async move { desk::keep(&alma).await }
        };
        let schedules = || {
            let alma = alma.clone();
            async move { schedules::keep(&alma).await }
        };
        tokio::join!(
            employ("nights", &stop, nights),
            employ("dead letters", &stop, desks),
            employ("schedules", &stop, schedules),
        );
    };
    let publishing = async {
        // With a file for a queue every process hears of commits from the holder.
        let Some(events) = bell.events() else { return std::future::pending().await };
        let (ledger, entropy) = (Arc::clone(&ports.ledger), Arc::clone(&ports.entropy));
        Publisher::new(ledger, events, entropy, settings.tenant.clone()).run(stop.clone()).await;
    };
    tokio::select! {
        () = relay.run(stop.clone()) => {}
        () = reconciling => {}
        () = publishing => {}
        () = clerks => {}
    }
}

/// Keeps a clerk of the leader at work, on a task of its own, for planning takes time; it
/// goes with this office. One that ends before `stop` is begun again.
async fn employ<F>(clerk: &'static str, stop: &watch::Receiver<bool>, work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut task = JoinSet::new();
        task.spawn(work());
        let ended = task.join_next().await;
        let stopping = *stop.borrow();
        if stopping {
            return;
        }
        tracing::error!(clerk, ?ended, "a clerk of the leader ended; it begins again");
        tokio::time::sleep(CLERK_REST).await;
    }
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
    /// Where the one lies that guesses ahead of it.
    draft: Option<PathBuf>,
    /// Whether the small model advises.
    pocket: bool,
    lanes: Arc<OnceLock<Lanes>>,
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

    fn reflex(&self) -> Option<Arc<dyn Reflex>> {
        if !self.pocket {
            return None;
        }
        let read = reflex();
        // Without it words and rules decide.
        read.inspect_err(|cause| tracing::warn!(cause, "the small model cannot be read")).ok()
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

    fn degraded(&self) -> Vec<Degraded> {
        let now = SystemClock.now();
        let record = self.server.as_ref().and_then(|server| server.degraded(now));
        let lanes = self.lanes.get().and_then(Lanes::degraded);
        record.into_iter().chain(self.bell.degraded(now)).chain(lanes).collect()
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

    fn live(&self) -> Option<Arc<dyn Live>> {
        self.bell.events().map(|events| Arc::new(events) as Arc<dyn Live>)
    }

    async fn servers(&self) -> Vec<Finding> {
        let mut found: Vec<Finding> = self
            .server
            .iter()
            .flat_map(|server| [server.finding(), server.clock.finding()])
            .collect();
        found.extend(self.bell.findings().await);
        found
    }

    fn diagnose(&self) -> Vec<Finding> {
        let mut found =
            diagnose::all(&self.home, self.durability.get(), &self.sandbox, &self.tools);
        let path = self.model.as_ref().map(|(path, _)| path.as_path());
        found.push(diagnose::model(&self.home, path));
        let both = path.zip(self.draft.as_deref());
        found.extend(both.map(|(path, draft)| diagnose::draft(&self.home, path, draft)));
        found
    }
}
