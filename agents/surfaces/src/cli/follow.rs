//! Following a mission: the plan as a live tree, questions asked where a person
//! sits, the report in the end.

use super::exit::Exit;
use super::{Screen, route, show, tree};
use alma::operations::{approval_show, mission_report, mission_show, mission_submit};
use alma::{Alma, Error, operations};
use charter::approval::{Answer, ApprovalState, Question};
use charter::digest::Digest;
use charter::ids::{ApprovalId, MissionId, Principal};
use charter::rows::{MissionState, StepState};
use console::Term;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How long a mission may take to stop, and how long one look at it waits.
const CANCEL_TIME: std::time::Duration = std::time::Duration::from_secs(10);
const CANCEL_LOOK_MS: u64 = 200;

/// Longest time between two looks at a mission, in milliseconds.
const LOOK_MS: u64 = 200;

/// What `--approve-plan` said: nothing, anything, or one digest.
pub type ApprovePlan = Option<Option<Digest>>;

/// `alma mission run`.
pub async fn run(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
    mut request: Value,
    again: bool,
    approve: ApprovePlan,
) -> Result<Exit, Error> {
    request["again"] = json!(again);
    let request: mission_submit::Request = serde_json::from_value(request)
        .map_err(|error| Error::Usage(format!("the wish cannot be read: {error}")))?;
    let accepted = mission_submit::run(alma, principal, request).await?;
    if !screen.json {
        screen.line(accepted.text.trim_end());
        for note in &accepted.notes {
            screen.line(&format!("note: {note}"));
        }
        let verb = if accepted.resumed { "resuming" } else { "mission" };
        screen.line(&format!("{verb} {}  plan {}\n", accepted.mission, accepted.digest.short()));
    }
    // The digest of the plan stands for whatever its steps turn out to ask.
    let approve = match approve {
        Some(Some(digest)) if digest == accepted.digest => Some(None),
        other => other,
    };
    watch(alma, principal, screen, interrupts, &accepted.mission, approve).await
}

/// Asks for one thing, then follows the mission that goes on because of it.
pub async fn after(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
    name: &'static str,
    request: Value,
    no_wait: bool,
) -> Result<Exit, Error> {
    if no_wait {
        return route::ask(alma, principal, screen, name, request).await;
    }
    let response = route::call(alma, principal, name, request).await?;
    let mission: MissionId =
        serde_json::from_value(response["mission"].clone()).map_err(|error| Error::Machine {
            operation: "read the response".to_owned(),
            cause: error.to_string(),
        })?;
    watch(alma, principal, screen, interrupts, &mission, None).await
}

/// Stops a mission and waits until it has ended, as long as that should take.
pub async fn cancel(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    mission: &MissionId,
) -> Result<Exit, Error> {
    let request = json!({ "mission": mission });
    let exit = route::ask(alma, principal, screen, "mission.cancel", request).await?;
    let until = std::time::Instant::now() + CANCEL_TIME;
    let mut position = 0;
    while std::time::Instant::now() < until {
        let request = mission_show::Request { mission: mission.clone() };
        let now = mission_show::run(alma, principal, request).await?;
        if now.state.is_end() {
            return Ok(exit);
        }
        if let Some(notice) = &now.notice
            && !work_is_claimed(alma, principal).await?
        {
            screen.note(&format!("its report is written when work goes on: {notice}"));
            return Ok(exit);
        }
        position = alma.ports.ledger.changed(position, CANCEL_LOOK_MS).await.unwrap_or(position);
    }
    screen.note("it is being stopped; a step that is running ends first");
    Ok(exit)
}

/// Follows a mission until it ends or needs a person who is not there.
pub async fn watch(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    interrupts: &mut mpsc::Receiver<()>,
    mission: &MissionId,
    approve: ApprovePlan,
) -> Result<Exit, Error> {
    let mut drawing = Drawing::new(screen);
    let mut interrupted = false;
    let mut position = 0;
    let mut away = Vec::new();
    loop {
        for part in alma.installation.degraded() {
            if !away.contains(&part.what) {
                away.push(part.what);
                screen.note(&format!("note: {part}"));
            }
        }
        let request = mission_show::Request { mission: mission.clone() };
        let now = mission_show::run(alma, principal, request).await?;
        drawing.draw(&now);
        if now.state.is_end() {
            drawing.end();
            return finish(alma, principal, screen, mission).await;
        }
        if now.state == MissionState::Waiting && !interrupted {
            let mut answered = false;
            for approval in &now.approvals {
                drawing.end();
                answered |= question(alma, principal, screen, approval, approve).await?;
            }
            if !answered {
                return waiting(alma, principal, screen, &now).await;
            }
            continue;
        }
        if let Some(notice) = &now.notice
            && !work_is_claimed(alma, principal).await?
        {
            drawing.end();
            return rests(alma, principal, screen, mission, notice).await;
        }
        tokio::select! {
            next = alma.ports.ledger.changed(position, LOOK_MS) => position = next?,
            Some(()) = interrupts.recv() => {
                drawing.end();
                if interrupted {
                    screen.note("left; the mission stops by itself");
                    return Ok(Exit::Cancelled);
                }
                interrupted = true;
                screen.note("stopping the mission (press again to leave at once)");
                let request = operations::mission_cancel::Request { mission: mission.clone() };
                if let Err(error) = operations::mission_cancel::run(alma, principal, request).await
                    && !matches!(error, Error::Conflict(_))
                {
                    return Err(error);
                }
            }
        }
    }
}

/// Shows the report.
async fn finish(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    mission: &MissionId,
) -> Result<Exit, Error> {
    let request = mission_report::Request { mission: mission.clone() };
    let response = mission_report::run(alma, principal, request).await?;
    if screen.json {
        let mut document = serde_json::to_value(&response.report).unwrap_or_default();
        let request = operations::plan_show::Request { mission: mission.clone() };
        let plan = operations::plan_show::run(alma, principal, request).await?;
        document["plan"] = json!(plan.plan);
        document["digest"] = json!(plan.digest);
        screen.document(&document);
    } else {
        screen.line("");
        screen.line(response.text.trim_end());
    }
    Ok(Exit::of_mission(response.report.state))
}

/// Whether a worker still has a step, while all work rests.
async fn work_is_claimed(alma: &Alma, principal: &Principal) -> Result<bool, Error> {
    let status = operations::work_status::run(alma, principal, Default::default()).await?;
    Ok(status.claimed > 0)
}

/// Says that all work rests, and how it goes on.
async fn rests(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    mission: &MissionId,
    notice: &str,
) -> Result<Exit, Error> {
    if screen.json {
        let request = operations::plan_show::Request { mission: mission.clone() };
        let plan = operations::plan_show::run(alma, principal, request).await?;
        screen.document(&json!({
            "mission": mission,
            "state": Exit::Waiting.state(),
            "notice": notice,
            "plan": plan.plan,
            "digest": plan.digest,
            "answer": "",
            "claims": [],
            "files": [],
            "approvals": [],
        }));
    } else {
        screen.line(&format!("mission {mission} waits; nothing is lost: {notice}"));
    }
    Ok(Exit::Waiting)
}

/// Says what is asked, and how to answer.
async fn waiting(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    now: &mission_show::Response,
) -> Result<Exit, Error> {
    let mut cards = Vec::new();
    for approval in &now.approvals {
        let request = approval_show::Request { approval: approval.clone() };
        cards.push(approval_show::run(alma, principal, request).await?);
    }
    if screen.json {
        let request = operations::plan_show::Request { mission: now.mission.clone() };
        let plan = operations::plan_show::run(alma, principal, request).await?;
        screen.document(&json!({
            "mission": now.mission,
            "state": MissionState::Waiting,
            "plan": plan.plan,
            "digest": plan.digest,
            "answer": "",
            "claims": [],
            "files": [],
            "approvals": cards,
        }));
        return Ok(Exit::Waiting);
    }
    screen.line("");
    for card in &cards {
        screen.line(show::card(&serde_json::to_value(card).unwrap_or_default()).trim_end());
        screen.line(&match card.card.question {
            Question::InDoubt => format!(
                "answer: alma approve {id} --happened   or   alma approve {id} --not-happened",
                id = card.approval
            ),
            Question::Permission | Question::Part | Question::Plan => {
                format!("answer: alma approve {id}   or   alma deny {id}", id = card.approval)
            }
        });
    }
    screen.line(&format!("mission {} waits for you; nothing is lost", now.mission));
    Ok(Exit::Waiting)
}

/// Puts one question to whoever may answer it here. Returns whether it was
/// answered.
async fn question(
    alma: &Alma,
    principal: &Principal,
    screen: &Screen,
    approval: &ApprovalId,
    approve: ApprovePlan,
) -> Result<bool, Error> {
    let request = approval_show::Request { approval: approval.clone() };
    let shown = approval_show::run(alma, principal, request).await?;
    if shown.state != ApprovalState::Open {
        return Ok(false);
    }
    let beforehand = match approve {
        Some(None) => shown.card.question != Question::InDoubt,
        Some(Some(digest)) => digest == shown.digest,
        None => false,
    };
    let (answer, seen) = if beforehand {
        if !screen.json {
            let card = serde_json::to_value(&shown).unwrap_or_default();
            screen.line(show::card(&card).trim_end());
            screen.line("approved beforehand (--approve-plan)\n");
        }
        (Some(Answer::Approve), matches!(approve, Some(Some(_))))
    } else if screen.interactive && !screen.json {
        (prompt(screen, &shown).await?, true)
    } else {
        (None, false)
    };
    let Some(answer) = answer else { return Ok(false) };
    let request = operations::approval_answer::Request {
        approval: approval.clone(),
        answer,
        digest: Some(shown.digest),
        seen,
    };
    match operations::approval_answer::run(alma, principal, request).await {
        // Somebody in another terminal was quicker.
        Ok(_) | Err(Error::Conflict(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

async fn prompt(screen: &Screen, shown: &approval_show::Response) -> Result<Option<Answer>, Error> {
    let card = serde_json::to_value(shown).unwrap_or_default();
    screen.line(show::card(&card).trim_end());
    loop {
        let (hint, doubt) = match shown.card.question {
            Question::InDoubt => ("did it happen? [y]es / [n]o / [l]ater: ", true),
            Question::Permission | Question::Part | Question::Plan => {
                ("[y]es / [n]o / [d]etails / [l]ater: ", false)
            }
        };
        let line = tokio::task::spawn_blocking(move || {
            let term = Term::stdout();
            term.write_str(hint).and_then(|()| term.read_line())
        })
        .await
        .map_err(|error| Error::Machine {
            operation: "ask".to_owned(),
            cause: error.to_string(),
        })?;
        // The terminal is gone: the question stays open.
        let Ok(line) = line else { return Ok(None) };
        match line.trim().chars().next().map(|c| c.to_ascii_lowercase()) {
            Some('y') => return Ok(Some(if doubt { Answer::Happened } else { Answer::Approve })),
            Some('n') => return Ok(Some(if doubt { Answer::NotHappened } else { Answer::Deny })),
            Some('l') => return Ok(None),
            Some('d') => {
                screen.line(show::whole_card(&card).trim_end());
            }
            _ => screen.line("please answer with one of the letters"),
        }
    }
}

/// The live tree: redrawn in a terminal, written as it changes elsewhere.
pub(super) struct Drawing<'s> {
    screen: &'s Screen,
    term: Term,
    drawn: usize,
    tick: usize,
    told: Vec<(u32, StepState)>,
}

impl<'s> Drawing<'s> {
    pub(super) fn new(screen: &'s Screen) -> Self {
        Self { screen, term: Term::stdout(), drawn: 0, tick: 0, told: Vec::new() }
    }

    pub(super) fn draw(&mut self, mission: &mission_show::Response) {
        if self.screen.json {
            return;
        }
        self.tick += 1;
        let (_, width) = self.term.size();
        let lines = tree::lines(mission, self.tick, usize::from(width.max(20)) - 1);
        if self.screen.interactive {
            // A terminal that cannot be redrawn shows the lines again; no harm.
            let _shown = self.term.clear_last_lines(self.drawn);
            for line in &lines {
                self.screen.line(line);
            }
            self.drawn = lines.len();
            return;
        }
        for (step, line) in mission.steps.iter().zip(&lines) {
            let now = (step.step.n, step.state);
            let worth = step.state.is_end() || step.state == StepState::Parked;
            if worth && !self.told.contains(&now) {
                self.told.push(now);
                self.screen.line(line.trim_start_matches(['├', '└', '─', ' ']));
            }
        }
    }

    pub(super) fn end(&mut self) {
        self.drawn = 0;
    }
}
