//! The grammar of the command line.

use charter::budget::Budget;
use charter::digest::Digest;
use charter::flow::Priority;
use charter::ids::{
    ApprovalId, MemoryId, MissionId, NightId, ProposalId, ScheduleId, SessionId, StepKey, TurnId,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A private companion that plans, does and proves work on your own files.
#[derive(Debug, Parser)]
#[command(name = "alma", version, about, max_term_width = 100, subcommand_required = true)]
#[command(arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done · 1 failed or nothing found · 2 usage · 3 a person is \
    needed · 4 done, not all verified · 5 refused · 6 stopped by a budget · 130 cancelled")]
pub struct Cli {
    /// Write one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Change a setting for this command: --set worker.concurrency=4
    #[arg(long = "set", global = true, value_name = "SETTING=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line of this process. Without a command it is `chat`.
    pub fn of_process() -> Result<Self, clap::Error> {
        use clap::error::ErrorKind::{
            DisplayHelpOnMissingArgumentOrSubcommand as Alone, MissingSubcommand,
        };
        let arguments: Vec<_> = std::env::args_os().collect();
        Self::try_parse_from(&arguments).or_else(|error| match error.kind() {
            Alone | MissingSubcommand if arguments.len() < 2 || settings_only(&arguments[1..]) => {
                Self::try_parse_from(arguments.iter().cloned().chain(["chat".into()]))
            }
            _ => Err(error),
        })
    }
}

/// Whether there is nothing but options that go with every command.
fn settings_only(arguments: &[std::ffi::OsString]) -> bool {
    let mut value = false;
    arguments.iter().all(|argument| {
        let was_value = std::mem::replace(&mut value, argument == "--set");
        was_value
            || argument == "--set"
            || argument == "--json"
            || argument.to_str().is_some_and(|text| text.starts_with("--set="))
    })
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("expected SETTING=VALUE")?;
    Ok((field.to_owned(), value.to_owned()))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk with Alma; `alma` alone does the same.
    Chat {
        /// Go on with this conversation.
        #[arg(long)]
        session: Option<SessionId>,
        /// The folder to talk about; the current one unless given.
        #[arg(long, short, value_name = "DIR")]
        workspace: Option<PathBuf>,
        /// Show this turn, or carry it on, and leave.
        #[arg(long, value_name = "TURN")]
        attach: Option<TurnId>,
    },
    /// Say one thing and get one answer.
    Ask {
        /// The words; without any, or with `-`, standard input.
        words: Vec<String>,
        /// Go on with this conversation.
        #[arg(long)]
        session: Option<SessionId>,
        /// The folder to talk about; the current one unless given.
        #[arg(long, short, value_name = "DIR")]
        workspace: Option<PathBuf>,
    },
    /// Conversations.
    Sessions {
        /// What to do.
        #[command(subcommand)]
        command: SessionCommand,
    },
    /// Keep a fact.
    Remember {
        /// The fact, in your own words.
        #[arg(required = true)]
        words: Vec<String>,
        /// It belongs to this folder: it counts more there, and `recall --here` finds it.
        #[arg(long, short, value_name = "DIR")]
        workspace: Option<PathBuf>,
        /// The memory that it corrects.
        #[arg(long, value_name = "MEMORY")]
        instead_of: Option<MemoryId>,
    },
    /// Answer from memory, with sources.
    Recall {
        /// The question.
        #[arg(required_unless_present = "questions")]
        words: Vec<String>,
        /// Many questions instead: a file of JSON Lines with `id` and `words`; `-`
        /// reads standard input. A line of JSON answers each.
        #[arg(long, value_name = "FILE", conflicts_with = "words")]
        questions: Option<PathBuf>,
        /// Show why each memory was found.
        #[arg(long)]
        why: bool,
        /// What was true on this day (2026-03-01) or at this time.
        #[arg(long, value_name = "DAY")]
        as_of: Option<String>,
        /// Only what belongs to the folder.
        #[arg(long)]
        here: bool,
        /// The folder that is asked from; the current one unless given.
        #[arg(long, short, value_name = "DIR")]
        workspace: Option<PathBuf>,
        /// How many memories at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Remove for good what holds some words, with everything made from it.
    Forget {
        /// The words.
        #[arg(required_unless_present = "memory")]
        words: Vec<String>,
        /// This memory instead.
        #[arg(long, conflicts_with = "words")]
        memory: Option<MemoryId>,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// The memory itself.
    Memory {
        /// What to do.
        #[command(subcommand)]
        command: MemoryCommand,
    },
    /// Plan wishes and carry them out.
    Mission {
        /// What to do.
        #[command(subcommand)]
        command: MissionCommand,
    },
    /// Look at plans without carrying them out, and change them.
    Plan {
        /// What to do.
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// Look at what Alma asks you.
    Approvals {
        /// What to do.
        #[command(subcommand)]
        command: ApprovalCommand,
    },
    /// Say yes to what Alma asks; the mission goes on.
    Approve {
        /// Which question.
        approval: ApprovalId,
        /// The effect in doubt did happen.
        #[arg(long, conflicts_with = "not_happened")]
        happened: bool,
        /// The effect in doubt did not happen: do it now.
        #[arg(long)]
        not_happened: bool,
        /// Only if the question is still about this.
        #[arg(long)]
        digest: Option<Digest>,
        /// Do not wait for the mission.
        #[arg(long)]
        no_wait: bool,
    },
    /// Say no to what Alma asks.
    Deny {
        /// Which question.
        approval: ApprovalId,
        /// Do not wait for the mission.
        #[arg(long)]
        no_wait: bool,
    },
    /// What is done again and again, at set times.
    Schedules {
        /// What to do.
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// The desk of steps that ended without a result.
    DeadLetters {
        /// What to do.
        #[command(subcommand)]
        command: DeadLetterCommand,
    },
    /// What can be asked for in plain words.
    Playbooks {
        /// What to do.
        #[command(subcommand)]
        command: PlaybookCommand,
    },
    /// The look back on the day.
    Nightly {
        /// What to do.
        #[command(subcommand)]
        command: NightlyCommand,
    },
    /// What nights proposed.
    Proposals {
        /// What to do.
        #[command(subcommand)]
        command: ProposalCommand,
    },
    /// What Alma works with.
    Tools {
        /// What to do.
        #[command(subcommand)]
        command: ToolCommand,
    },
    /// Language models: what is there, and what is worth getting.
    Models {
        /// What to do.
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// The record and its proof.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Say whether work goes on, and what runs and waits.
    Status,
    /// Stop all work, let what runs end, or let work go on; it holds until it is said
    /// otherwise.
    #[command(group = clap::ArgGroup::new("how").required(true))]
    Stop {
        /// Interrupt everything now; it goes on where it was after `--resume`.
        #[arg(long, group = "how")]
        all: bool,
        /// Let work go on.
        #[arg(long, group = "how")]
        resume: bool,
        /// `on`: running steps end, no new one begins; `off`: work goes on.
        #[arg(long, group = "how", value_name = "on|off", value_parser = ["on", "off"])]
        maintenance: Option<String>,
    },
    /// Look whether everything is in order, and say what to do if not.
    Doctor,
    /// Move the record to a PostgreSQL database, or back into the data folder, while
    /// nothing works or serves there. Killed in the middle, it can be run again.
    Migrate {
        /// `file`, or postgres://USER@HOST/DATABASE.
        #[arg(long, value_name = "PLACE")]
        to: String,
    },
    /// The configuration.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Work on steps until stopped; attaches to the process that holds the data.
    Worker {
        /// Steps to work on at the same time.
        #[arg(long)]
        concurrency: Option<u32>,
    },
    /// Serve the HTTP interface, and work on steps, until stopped.
    Serve {
        /// The port; 0 takes a free one.
        #[arg(long)]
        port: Option<u16>,
        /// The address to listen on.
        #[arg(long, value_name = "ADDRESS")]
        bind: Option<std::net::IpAddr>,
    },
    /// Measure Alma on this machine.
    Bench {
        /// What to measure.
        #[command(subcommand)]
        command: BenchCommand,
    },
}

/// A wish in words or in a file.
#[derive(Debug, Clone, Args)]
pub struct Wish {
    /// What you want done, in your own words.
    #[arg(required_unless_present = "file")]
    pub words: Vec<String>,
    /// A mission file (YAML) instead of words; `-` reads it from standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "words")]
    pub file: Option<PathBuf>,
    /// The folder to work in; the current one unless given.
    #[arg(long, short, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Show what would happen, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How urgent it is: low, normal or high.
    #[arg(long)]
    pub priority: Option<Priority>,
    /// Start at most so many steps.
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
    /// Work at most so many seconds.
    #[arg(long, value_name = "N")]
    pub max_seconds: Option<u64>,
    /// Let programs use at most so many seconds of processor time.
    #[arg(long, value_name = "N")]
    pub max_cpu_seconds: Option<u64>,
    /// Write at most so many bytes.
    #[arg(long, value_name = "N")]
    pub max_bytes: Option<u64>,
}

impl Wish {
    /// The budget, where a bound was given.
    pub fn budget(&self, default: &Budget) -> Option<Budget> {
        let seconds = |given: Option<u64>, ms: u64| given.map_or(ms, |s| s.saturating_mul(1_000));
        let budget = Budget {
            steps: self.max_steps.unwrap_or(default.steps),
            wall_ms: seconds(self.max_seconds, default.wall_ms),
            cpu_ms: seconds(self.max_cpu_seconds, default.cpu_ms),
            bytes_written: self.max_bytes.unwrap_or(default.bytes_written),
        };
        (budget != *default).then_some(budget)
    }
}

/// `alma mission …`
#[derive(Debug, Subcommand)]
pub enum MissionCommand {
    /// Plan, show the plan, carry it out, prove the result.
    Run {
        /// The wish.
        #[command(flatten)]
        wish: Wish,
        /// Approve this digest; without one, approve what is planned, unseen.
        #[arg(long, value_name = "DIGEST", num_args = 0..=1, require_equals = true)]
        approve_plan: Option<Option<Digest>>,
        /// Start over although the same wish waits already.
        #[arg(long)]
        again: bool,
    },
    /// Plan and accept, without waiting for the result.
    Submit {
        /// The wish.
        #[command(flatten)]
        wish: Wish,
        /// Start over although the same wish waits already.
        #[arg(long)]
        again: bool,
    },
    /// List missions, newest first.
    List {
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show a mission with its steps.
    Show {
        /// Which.
        mission: MissionId,
    },
    /// Follow a mission to its end.
    Watch {
        /// Which.
        mission: MissionId,
    },
    /// Change the course of one that has not ended.
    Steer {
        /// Which.
        mission: MissionId,
        /// Where it is to go, in your own words.
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Stop a mission.
    Cancel {
        /// Which.
        mission: MissionId,
    },
    /// Show the report of a mission.
    Report {
        /// Which.
        mission: MissionId,
    },
    /// List what happened to a mission, step by step.
    Events {
        /// Which.
        mission: MissionId,
        /// Only events with a larger number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// List what a mission did to the world.
    Effects {
        /// Which.
        mission: MissionId,
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
}

/// `alma plan …`
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Plan a wish and show the plan.
    New {
        /// The wish.
        #[command(flatten)]
        wish: Wish,
    },
    /// Show the plan of a mission; with --file, as a mission file to edit.
    Show {
        /// Which.
        mission: MissionId,
        /// As a mission file.
        #[arg(long)]
        file: bool,
    },
    /// Replace the plan of a mission that has not ended; finished steps stay.
    Edit {
        /// Which.
        mission: MissionId,
        /// The mission file; `-` reads it from standard input.
        #[arg(long, short, value_name = "FILE")]
        file: PathBuf,
    },
    /// Compare the plans of two missions.
    Diff {
        /// One.
        left: MissionId,
        /// The other.
        right: MissionId,
    },
}

/// `alma sessions …`
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List conversations, newest first.
    List {
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show what was said in one.
    Show {
        /// Which.
        session: SessionId,
        /// How many of the last turns.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Go on with one.
    Resume {
        /// Which.
        session: SessionId,
    },
    /// Begin another one that goes on from a turn of this one.
    Fork {
        /// Which.
        session: SessionId,
        /// The last turn that both have; the newest unless given.
        #[arg(long)]
        turn: Option<TurnId>,
    },
    /// Find what was said.
    Search {
        /// The words; all of them must stand in a turn.
        #[arg(required = true)]
        words: Vec<String>,
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
}

/// `alma memory …`
#[derive(Debug, Subcommand)]
pub enum MemoryCommand {
    /// Tell how the memory stands.
    Report,
    /// Take documents, folders of documents or exported lines (*.jsonl) in.
    Import {
        /// Files and folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Only for this folder; otherwise they concern you wherever you are.
        #[arg(long, short, value_name = "DIR")]
        workspace: Option<PathBuf>,
        /// The lines are your own export: what were your own words there stays so.
        #[arg(long)]
        own: bool,
    },
    /// Write all memories as JSON Lines.
    Export,
    /// Build the index again from the record.
    Rebuild,
}

/// `alma approvals …`
#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// List open questions.
    List {
        /// Answered ones too.
        #[arg(long)]
        all: bool,
    },
    /// Show one question in full.
    Show {
        /// Which.
        approval: ApprovalId,
    },
}

/// `alma schedules …`
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Put a wish on a schedule: "every weekday at eight list the new files".
    New {
        /// What you want done, and when; only what, with --cron.
        #[arg(required = true)]
        words: Vec<String>,
        /// When, as five cron fields: minute, hour, day of month, month, day of week.
        #[arg(long, value_name = "FIELDS")]
        cron: Option<String>,
        /// The time zone, as in Europe/Berlin; this machine's unless given.
        #[arg(long)]
        zone: Option<String>,
        /// What is done about times that pass while nothing runs.
        #[arg(long, value_parser = ["once", "skip"])]
        missed: Option<String>,
        /// The folder to work in; the current one unless given.
        #[arg(long, short, value_name = "DIR")]
        workspace: Option<PathBuf>,
    },
    /// List schedules.
    List,
    /// Show one with its plan and the due times that came.
    Show {
        /// Which.
        schedule: ScheduleId,
        /// How many due times at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Say yes, once, to what its runs would ask; it begins.
    Approve {
        /// Which.
        schedule: ScheduleId,
        /// Only if it is still about this.
        #[arg(long)]
        digest: Option<Digest>,
    },
    /// Let one rest.
    Pause {
        /// Which.
        schedule: ScheduleId,
    },
    /// Let one go on.
    Resume {
        /// Which.
        schedule: ScheduleId,
    },
    /// End one.
    Delete {
        /// Which.
        schedule: ScheduleId,
    },
}

/// `alma dead-letters …`
#[derive(Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// List dead steps.
    List {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show one with its inputs and error.
    Show {
        /// Which.
        step: StepKey,
    },
    /// Give one other inputs; it and what depends on it run, nothing else.
    Edit {
        /// Which.
        step: StepKey,
        /// Put one value into the inputs: --arg rows.0.name=Ada, --arg limit=5. What
        /// is JSON is taken as JSON, else as text.
        #[arg(long = "arg", value_name = "PATH=VALUE", value_parser = input)]
        set: Vec<Input>,
        /// All inputs, as a JSON object.
        #[arg(long, value_name = "JSON", conflicts_with = "input")]
        args: Option<String>,
        /// All inputs, from a file that holds a JSON object; `-` reads standard input.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// Do not wait for the mission.
        #[arg(long)]
        no_wait: bool,
    },
    /// Send one round again, or many; their missions go on.
    Requeue {
        /// Which.
        #[arg(required_unless_present = "all")]
        step: Option<StepKey>,
        /// Many.
        #[command(flatten)]
        many: Many,
        /// Do not wait for the mission.
        #[arg(long)]
        no_wait: bool,
    },
    /// Take one off the desk for good, or many.
    Discard {
        /// Which.
        #[arg(required_unless_present = "all")]
        step: Option<StepKey>,
        /// Many.
        #[command(flatten)]
        many: Many,
    },
}

/// What a step may have died of.
const CAUSES: [&str; 6] = ["permanent", "exhausted", "poison", "refused", "denied", "unproven"];

/// Which dead steps.
#[derive(Debug, Args)]
pub struct Which {
    /// Only of this mission.
    #[arg(long)]
    pub mission: Option<MissionId>,
    /// Only those of this tool.
    #[arg(long)]
    pub tool: Option<String>,
    /// Only those that died of this.
    #[arg(long, value_parser = CAUSES)]
    pub cause: Option<String>,
}

/// Many dead steps at once.
#[derive(Debug, Args)]
pub struct Many {
    /// All of them, or all that the next options name.
    #[arg(long, conflicts_with = "step")]
    pub all: bool,
    /// Only of this mission.
    #[arg(long, requires = "all", conflicts_with = "step")]
    pub mission: Option<MissionId>,
    /// Only those of this tool.
    #[arg(long, requires = "all", conflicts_with = "step")]
    pub tool: Option<String>,
    /// Only those that died of this.
    #[arg(long, requires = "all", conflicts_with = "step", value_parser = CAUSES)]
    pub cause: Option<String>,
    /// Do not ask after counting.
    #[arg(long, requires = "all", conflicts_with = "step")]
    pub yes: bool,
}

/// One value of an input, and where it goes.
#[derive(Debug, Clone)]
pub struct Input {
    /// The place.
    pub path: String,
    /// The value.
    pub value: serde_json::Value,
}

fn input(text: &str) -> Result<Input, String> {
    let (path, value) = text.split_once('=').ok_or("expected PATH=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok(Input { path: path.to_owned(), value })
}

/// `alma playbooks …`
#[derive(Debug, Subcommand)]
pub enum PlaybookCommand {
    /// List playbooks.
    List,
    /// Show one.
    Show {
        /// Its name.
        name: String,
    },
}

/// `alma nightly …`
#[derive(Debug, Subcommand)]
pub enum NightlyCommand {
    /// Look back on the day now; one that was interrupted goes on.
    Run {
        /// As Markdown.
        #[arg(long)]
        markdown: bool,
    },
    /// List nights, newest first.
    List {
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show the report of a night.
    Report {
        /// Which; the newest unless given.
        night: Option<NightId>,
        /// As Markdown.
        #[arg(long)]
        markdown: bool,
    },
}

/// `alma proposals …`
#[derive(Debug, Subcommand)]
pub enum ProposalCommand {
    /// List proposals, newest first.
    List {
        /// How many at most.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show one: the change, and what speaks for it.
    Show {
        /// Which.
        proposal: ProposalId,
    },
    /// Put one into force.
    Accept {
        /// Which.
        proposal: ProposalId,
    },
    /// Say that one is not wanted.
    Reject {
        /// Which.
        proposal: ProposalId,
    },
    /// Take one out of force again.
    Undo {
        /// Which.
        proposal: ProposalId,
    },
}

/// `alma tools …`
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// List tools.
    List,
    /// Show one.
    Show {
        /// Its name.
        name: String,
    },
}

/// `alma models …`
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// List models.
    List,
    /// Show one: shape, template, limits, digest.
    Show {
        /// Its name; the configured one unless given.
        name: Option<String>,
    },
    /// Cut texts into tokens and put tokens together: JSON Lines of {"text"} or {"ids"}
    /// from standard input; each is answered with the other.
    Tokenize {
        /// A folder with the tokenizer.json.
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Let texts hold control tokens, such as <|im_end|>, and show those of ids.
        #[arg(long)]
        special: bool,
    },
    /// Write conversations as a model's chat template does: JSON Lines of {"messages",
    /// "tools", "add_generation_prompt"} from standard input; each is answered with
    /// {"rendered"}.
    Render {
        /// The template.
        #[arg(long, value_name = "FILE")]
        template: PathBuf,
    },
}

/// `alma audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check chains, checkpoints, texts and derived rows.
    Verify,
}

/// `alma config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the configuration in force.
    Show,
    /// Check the configuration.
    Check,
}

/// `alma bench …`
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// Start of the program; with --missions, on a folder that holds so much.
    Startup {
        /// Fill a temporary folder with so many missions first.
        #[arg(long, default_value_t = 0)]
        missions: u32,
        /// Fill it with at least so many events.
        #[arg(long, default_value_t = 0)]
        events: u32,
        /// Fill it with so many memories.
        #[arg(long, default_value_t = 0)]
        memories: u32,
        /// Times each thing is measured.
        #[arg(long, default_value_t = 20)]
        runs: u32,
    },
    /// What is found in memory, and how fast.
    Recall {
        /// A folder with conversations of LoCoMo.
        #[arg(long, value_name = "DIR")]
        locomo: Option<PathBuf>,
        /// So many made-up memories instead.
        #[arg(long, value_name = "N", conflicts_with = "locomo")]
        synthetic: Option<u32>,
    },
    /// A mission's own overhead.
    Mission {
        /// Steps per mission.
        #[arg(long, default_value_t = 3)]
        steps: u32,
        /// Missions.
        #[arg(long, default_value_t = 50)]
        runs: u32,
        /// Worker processes for a mission of more steps than a file can list.
        #[arg(long, default_value_t = 1)]
        workers: u32,
        /// Where record and queue are.
        #[command(flatten)]
        servers: Servers,
    },
    /// Throughput and wake-up time of the queue.
    Queue {
        /// Jobs.
        #[arg(long, default_value_t = 2_000)]
        jobs: u32,
        /// Worker processes.
        #[arg(long, default_value_t = 2)]
        workers: u32,
        /// Steps that each works on at the same time; as configured unless given.
        #[arg(long, value_name = "N")]
        concurrency: Option<u32>,
        /// Through the whole effect protocol instead of the bare queue.
        #[arg(long)]
        protocol: bool,
        /// Where record and queue are.
        #[command(flatten)]
        servers: Servers,
    },
    /// What is made of messages: JSON Lines of {"say", "expect": {"route"}}.
    Route {
        /// The phrases.
        #[arg(long, value_name = "FILE.jsonl")]
        data: PathBuf,
        /// Without the small model that ships inside the program.
        #[arg(long)]
        without_model: bool,
    },
    /// What is made of wishes: JSON Lines of {"say", "workspace", "expect": {"playbook",
    /// "slots", "tools"}}.
    Plan {
        /// The wishes.
        #[arg(long, value_name = "FILE.jsonl")]
        data: PathBuf,
        /// Without the small model that ships inside the program.
        #[arg(long)]
        without_model: bool,
    },
    /// What is answered from notes: JSON Lines of {"say", "notes", "expect": {"answer"} or
    /// {"abstain": true}}.
    Answer {
        /// The questions.
        #[arg(long, value_name = "FILE.jsonl")]
        data: PathBuf,
        /// Without the small model that ships inside the program.
        #[arg(long)]
        without_model: bool,
    },
    /// What vectors of texts hold, and how fast they are made.
    Embed {
        /// A folder of pairs that people scored: SICK*.txt, *.tsv.
        #[arg(long, value_name = "DIR")]
        sts: Option<PathBuf>,
        /// A folder with train.tsv of CLINC150, on which a probe is trained.
        #[arg(long, value_name = "DIR")]
        clinc: Option<PathBuf>,
        /// The folder whose test.tsv or val.tsv it is scored on, if that is another.
        #[arg(long, value_name = "DIR", requires = "clinc")]
        clinc_test: Option<PathBuf>,
    },
    /// Topics over points whose groups are known.
    Cluster {
        /// A folder of NAME.data.gz with NAME.labels0.gz and so on.
        #[arg(long, value_name = "DIR", conflicts_with = "titles")]
        points: Option<PathBuf>,
        /// Lines of a title, a tab and its label, below a heading.
        #[arg(long, value_name = "FILE")]
        titles: Option<PathBuf>,
        /// Try k-means, a mixture, DBSCAN and OPTICS on the same points.
        #[arg(long)]
        compare: bool,
    },
    /// How fast a language model reads and answers, on tokens without meaning.
    Generate {
        /// The model: a .gguf file, or a folder with *.safetensors.
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// What to measure.
        #[command(flatten)]
        load: crate::bench::Load,
    },
    /// What grammars accept over other people's JSON Schemas, and how long a mask takes.
    Grammar {
        /// Folder of *.jsonl with schemas and their instances (MaskBench).
        #[arg(long, value_name = "DIR")]
        maskbench: PathBuf,
        /// Folder with a tokenizer.json.
        #[arg(long, value_name = "DIR")]
        tokenizer: PathBuf,
    },
    /// How soon an event reaches a client that follows a mission.
    Stream {
        /// Steps of a mission, one after the other.
        #[arg(long, default_value_t = 10)]
        steps: u32,
        /// Missions.
        #[arg(long, default_value_t = 20)]
        runs: u32,
        /// Where record and queue are.
        #[command(flatten)]
        servers: Servers,
    },
    /// One worker process of `bench queue` without `--protocol`: says what it carried.
    #[command(hide = true)]
    Carry {
        /// The queue's file.
        #[arg(long, value_name = "FILE", required_unless_present = "redis")]
        file: Option<PathBuf>,
        /// The queue's Redis.
        #[arg(long, value_name = "URL", requires = "name")]
        redis: Option<String>,
        /// The queue's name there.
        #[arg(long)]
        name: Option<String>,
        /// Jobs that it has in hand at a time.
        #[arg(long)]
        concurrency: u32,
    },
    /// Kill workers and count what is lost or doubled.
    Kill {
        /// Kills.
        #[arg(long, default_value_t = 100)]
        kills: u32,
        /// Seed of the moments.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where record and queue are.
        #[command(flatten)]
        servers: Servers,
    },
}

/// Servers instead of files in the data folder.
#[derive(Debug, Clone, Args)]
pub struct Servers {
    /// A Redis for the queue.
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// An empty PostgreSQL database for the record; needs --redis.
    #[arg(long, value_name = "URL", requires = "redis")]
    pub postgres: Option<String>,
}
