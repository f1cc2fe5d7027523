//! One turn, from wherever it stands to its end.

use super::answer::{Answer, open_of, recorded};
use super::log::{History, entry, exchange, turns};
use super::{Happening, MESSAGE_BYTES_MAX, Watcher};
use crate::operations::{mission_cancel, mission_list, mission_report, mission_show};
use crate::talk::focus::{self, Focus};
use crate::talk::route::{Asked, Context, Routed, Router, spoken};
use crate::talk::tone::{self, Moment, Say};
use crate::talk::{risk, words};
use crate::{Alma, Error};
use charter::conversation::{Conversed, Route, SessionRow, Tone, TurnRow, TurnState};
use charter::event::Event;
use charter::ids::{Principal, SessionId, TurnId};
use charter::label::Label;
use charter::ports::LedgerExt;
use charter::rows::MissionState;
use moroni::Playbooks;
use moroni::words::sentence::Sentence;
use sons_of_helaman::Draft;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Missions that a status names.
const MISSIONS_SHOWN_MAX: u32 = 8;
/// Examples that help shows.
const EXAMPLES_SHOWN_MAX: usize = 8;
/// Turns that are looked through for what is spoken of.
const FOCUS_TURNS: u32 = 6;

/// What came of a turn, before it is put into its shape.
pub(super) struct Outcome {
    state: TurnState,
    moment: Moment,
    pub(super) say: Say,
    /// Told already, piece by piece.
    streamed: bool,
}

impl Outcome {
    pub(super) fn of(state: TurnState, moment: Moment, say: Say) -> Self {
        Self { state, moment, say, streamed: false }
    }

    pub(super) fn said(say: Say) -> Self {
        Self::of(TurnState::Answered, Moment::Asked, say)
    }

    pub(super) fn asked(say: Say) -> Self {
        Self::of(TurnState::Asked, Moment::Asked, say)
    }
}

/// A turn that is being carried on.
pub(super) struct Turn<'a> {
    pub(super) alma: &'a Alma,
    pub(super) principal: &'a Principal,
    pub(super) row: TurnRow,
    pub(super) workspace: PathBuf,
    pub(super) focus: Focus,
    pub(super) watcher: &'a Watcher,
}

/// A session to talk in: the one that is named, or a new one in this folder.
pub async fn session_for(
    alma: &Alma,
    principal: &Principal,
    named: Option<&SessionId>,
    workspace: &Path,
    forked: Option<TurnId>,
) -> Result<SessionId, Error> {
    if let Some(session) = named {
        return Ok(alma.session(principal, session).await?.id);
    }
    let Some(folder) = workspace.to_str().filter(|_| workspace.is_absolute()) else {
        return Err(Error::Usage(format!(
            "the folder {} cannot be talked about: name one by its whole path, as UTF-8 text",
            workspace.display()
        )));
    };
    let session = SessionId::new(alma.now(), alma.ports.entropy.as_ref());
    let mut entry = entry(alma, principal, &session);
    let workspace = entry.text(folder, Label::TRUSTED)?;
    entry.event(Event::Conversed(Conversed::SessionOpened {
        session: session.clone(),
        subject: principal.subject.clone(),
        workspace,
        forked,
    }));
    entry.commit().await?;
    Ok(session)
}

/// Puts what was said on record; from here on the turn is never lost.
pub async fn begin(
    alma: &Alma,
    principal: &Principal,
    session: &SessionId,
    words: &str,
) -> Result<TurnId, Error> {
    if words.trim().is_empty() {
        return Err(Error::Usage(
            "the message is empty: say in a few words what you want".to_owned(),
        ));
    }
    if words.len() > MESSAGE_BYTES_MAX {
        return Err(Error::Usage(format!(
            "the message has {} bytes, more than the {MESSAGE_BYTES_MAX} that are taken: put the \
             text into a file in this folder and say what to do with it",
            words.len()
        )));
    }
    if words.contains('\0') {
        return Err(Error::Usage(
            "the message holds bytes that are no text: put them into a file and say what to do \
             with it"
                .to_owned(),
        ));
    }
    alma.session(principal, session).await?;
    let turn = TurnId::new(alma.now(), alma.ports.entropy.as_ref());
    let mut entry = entry(alma, principal, session);
    let said = entry.text(words, Label::TRUSTED)?;
    entry.event(Event::Conversed(Conversed::TurnBegun {
        session: session.clone(),
        turn: turn.clone(),
        said,
    }));
    entry.commit().await?;
    Ok(turn)
}

/// Stops a turn: its mission, or the answer in the making.
pub async fn cancel(alma: &Alma, principal: &Principal, turn: &TurnId) -> Result<(), Error> {
    let row = alma.turn(principal, turn).await?;
    if row.state != TurnState::Open {
        return Err(Error::Conflict(format!("turn {turn} is {} already", row.state.as_str())));
    }
    if let Some(mission) = row.mission {
        // Whoever follows the mission ends the turn with what came of it.
        return match mission_cancel::run(alma, principal, mission_cancel::Request { mission }).await
        {
            Ok(_) | Err(Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        };
    }
    let mut entry = entry(alma, principal, &row.session);
    let answer = entry.text("Stopped.", Label::TRUSTED)?;
    entry.event(Event::Conversed(Conversed::TurnEnded {
        session: row.session.clone(),
        turn: row.id,
        state: TurnState::Cancelled,
        answer,
        focus: None,
    }));
    match entry.commit().await.map_err(Error::from) {
        Ok(_) | Err(Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Carries a turn on to its end, or tells again how it ended.
pub async fn carry_on(
    alma: &Alma,
    principal: &Principal,
    turn: &TurnId,
    watcher: &Watcher,
) -> Result<Answer, Error> {
    let row = alma.turn(principal, turn).await?;
    let (session, turn) = (row.session.clone(), row.id.clone());
    watcher.tell(Happening::Begun { session: session.clone(), turn: turn.clone() }).await;
    if row.state == TurnState::Open {
        let words = alma.text_of(principal, &row.said).await?;
        let mut open = Turn::open(alma, principal, row, watcher).await?;
        let outcome = match open.answer(&words).await {
            Ok(outcome) => outcome,
            Err(error) => failed(error)?,
        };
        open.end(&words, outcome).await?;
    }
    let row = alma.turn(principal, &turn).await?;
    let answer = recorded(alma, principal, row).await?;
    watcher.tell(Happening::Complete(Box::new(answer.clone()))).await;
    Ok(answer)
}

/// An error as an answer; one of the record itself leaves the turn open, to be
/// carried on when the record can be written again.
fn failed(error: Error) -> Result<Outcome, Error> {
    let mut why = Vec::new();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        why.push(cause.to_string());
        source = cause.source();
    }
    match error {
        Error::Ledger { .. } => Err(error),
        error => {
            let say = Say {
                what: error.to_string(),
                why,
                options: vec!["say it differently, or look with `alma doctor`".to_owned()],
                facts: Vec::new(),
            };
            Ok(Outcome::of(TurnState::Failed, Moment::Failed, say))
        }
    }
}

impl<'a> Turn<'a> {
    async fn open(
        alma: &'a Alma,
        principal: &'a Principal,
        row: TurnRow,
        watcher: &'a Watcher,
    ) -> Result<Self, Error> {
        let session: SessionRow = alma.session(principal, &row.session).await?;
        let workspace = alma.text_of(principal, &session.workspace).await?;
        let before = turns(alma, principal, &row.session, Some(row.n), FOCUS_TURNS).await?;
        let mut focus = Focus::default();
        for past in before.iter().rev() {
            if let Some(kept) = &past.focus {
                // Forgotten, or from a newer version: then nothing is spoken of.
                focus =
                    alma.json_of(principal, kept, "what is spoken of").await.unwrap_or_default();
                break;
            }
        }
        Ok(Self { alma, principal, row, workspace: workspace.into(), focus, watcher })
    }

    pub(super) fn entry(&self) -> Draft<'a> {
        entry(self.alma, self.principal, &self.row.session)
    }

    pub(super) fn playbooks(&self) -> Result<Arc<Playbooks>, Error> {
        self.alma.installation.playbooks()
    }

    pub(super) fn router(&self) -> Result<&'static Router, Error> {
        router()
    }

    /// Files of the workspace.
    pub(super) async fn names(&self) -> Result<Vec<String>, Error> {
        let survey = self.alma.tools().survey(&self.workspace).await?;
        Ok(survey.entries.into_iter().filter(|e| !e.folder).map(|e| e.path).collect())
    }

    /// Exchanges before this one.
    pub(super) async fn past(&self, limit: u32) -> Result<Vec<History>, Error> {
        let mut all = Vec::new();
        let rows =
            turns(self.alma, self.principal, &self.row.session, Some(self.row.n), limit).await?;
        for row in rows {
            all.push(exchange(self.alma, self.principal, row).await?);
        }
        Ok(all)
    }

    async fn answer(&mut self, words: &str) -> Result<Outcome, Error> {
        let router = self.router()?;
        let speeches = router.speeches();
        self.focus.temper = risk::temper(words, self.focus.temper, &self.focus.said, speeches);
        self.focus.said = crate::talk::route::clip(words, 1_000).to_owned();
        if let Some(mission) = self.row.mission.clone() {
            // The one who began it is gone: the mission is not.
            return self.follow(&mission).await;
        }
        let sentence = Sentence::read(
            self.playbooks()?.lexicon,
            crate::talk::route::clip(words, 2_000),
            &|_| false,
        );
        let said = sentence.as_ref().map(spoken).unwrap_or_default();
        let mut instead_of = None;
        let (routed, opened) = match self.opened(&said)? {
            Opened::Mission(wish) => {
                let reason = "You said to go on with what was put aside.".to_owned();
                (chosen(Route::Mission, reason, wish), true)
            }
            Opened::NotYet(seconds) => {
                return Ok(Outcome::asked(Say::plainly(format!(
                    "Not yet: in {seconds} seconds it can be opened. Nothing is lost meanwhile."
                ))));
            }
            Opened::Nothing if let Some(reason) = self.about_schedule(words, &said).await? => {
                (chosen(Route::Schedule, reason.to_owned(), words.to_owned()), false)
            }
            Opened::Nothing if let Some(told) = self.corrects(words, &said).await? => {
                let reason = "You correct what you told me before.".to_owned();
                instead_of = told.instead_of;
                (chosen(Route::Remember, reason, told.words), false)
            }
            Opened::Nothing => {
                let (calm, _) = risk::without_anger(words, speeches);
                let calm = if calm.is_empty() { words } else { calm.as_str() };
                let reflex = self.alma.installation.reflex();
                let context = Context {
                    leaning: reflex.map(|reflex| reflex.route(calm)),
                    approvals: open_of(self.alma, self.principal, None).await?.len(),
                    asked: self.focus.asked.take(),
                    follows: focus::follows(
                        words,
                        &self.focus,
                        self.playbooks()?.lexicon,
                        speeches,
                    ),
                };
                (router.route(calm, self.playbooks()?.as_ref(), &context), false)
            }
        };
        let meant = routed.words.clone().unwrap_or_else(|| words.to_owned());
        self.routed(&routed, &meant, opened).await?;
        if let Some(question) = &routed.question {
            let options: Vec<Route> = routed.ranked.iter().take(2).map(|(r, _)| *r).collect();
            self.focus.asked = Some(Asked { words: meant, options });
            return Ok(Outcome::asked(Say::plainly(question.clone())));
        }
        match routed.route {
            Route::Mission => self.mission(&meant, opened).await,
            Route::Approval => self.approval(&said).await,
            Route::Status => self.status(&meant).await,
            Route::Help if words::wants_forgotten(&said, speeches) => Ok(Outcome::said(Say {
                what: "Forgetting is for good, so it is not done by a sentence that may be \
                       misunderstood; nothing of this message is kept as a memory."
                    .to_owned(),
                options: vec![
                    "`alma forget --dry-run WORDS` shows what would go".to_owned(),
                    "`alma forget WORDS` removes all that holds these words".to_owned(),
                ],
                ..Say::default()
            })),
            Route::Help => self.help(),
            Route::Recall => self.recall(&meant).await,
            Route::Remember => self.remember(&meant, instead_of).await,
            Route::Schedule => self.schedule(&meant, &said).await,
            Route::Chat => self.chat(&meant, &said, sentence.map(|s| s.language.code)).await,
        }
    }

    /// Whether the message opens what was put aside.
    fn opened(&mut self, said: &[String]) -> Result<Opened, Error> {
        let speeches = self.router()?.speeches();
        let short = said.len() <= 4;
        let yes = short
            && speeches
                .iter()
                .any(|s| s.yes.iter().any(|p| p.find(said).is_some_and(|at| at.start == 0)));
        if let Some(blocked) = self.focus.blocked.clone() {
            if !yes {
                // Anything else that is said lets it go.
                self.focus.blocked = None;
                return Ok(Opened::Nothing);
            }
            let left = blocked.opens_at - self.alma.now();
            if left > 0 {
                return Ok(Opened::NotYet((left + 999) / 1_000));
            }
            self.focus.blocked = None;
            return Ok(Opened::Mission(blocked.wish));
        }
        match self.focus.planned.take() {
            Some(wish) if yes => Ok(Opened::Mission(wish)),
            _ => Ok(Opened::Nothing),
        }
    }

    async fn routed(&mut self, routed: &Routed, meant: &str, opened: bool) -> Result<(), Error> {
        let speeches = self.router()?.speeches();
        let tone = match routed.question {
            Some(_) => Tone::Operator,
            // The plan was shown; now it is done.
            None if opened => Tone::Operator,
            None => tone::tone(meant, routed.route, Moment::Asked, speeches),
        };
        let mut entry = self.entry();
        let reason = entry.text(&routed.reason, Label::TRUSTED)?;
        entry.event(Event::Conversed(Conversed::TurnRouted {
            session: self.row.session.clone(),
            turn: self.row.id.clone(),
            route: routed.route,
            reason,
            tone,
        }));
        match entry.commit().await.map_err(Error::from) {
            Ok(_) | Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        self.row.route = Some(routed.route);
        self.row.tone = Some(tone);
        let reason = routed.reason.clone();
        self.watcher.tell(Happening::Routed { route: routed.route, reason, tone }).await;
        Ok(())
    }

    /// Records the end. Whoever was quicker has answered the same.
    async fn end(&mut self, words: &str, outcome: Outcome) -> Result<(), Error> {
        let speeches = self.router()?.speeches();
        let route = self.row.route.unwrap_or(Route::Chat);
        let tone = match outcome.moment {
            Moment::Asked => {
                self.row.tone.unwrap_or_else(|| tone::tone(words, route, Moment::Asked, speeches))
            }
            other => tone::tone(words, route, other, speeches),
        };
        let text = tone::shape(tone, &outcome.say);
        if !outcome.streamed {
            for line in text.split_inclusive('\n') {
                self.watcher.tell(Happening::Token { text: line.to_owned() }).await;
            }
        }
        let mut entry = self.entry();
        if self.row.tone != Some(tone)
            && let Some(route) = self.row.route
        {
            let reason = match &self.row.reason {
                Some(reason) => reason.clone(),
                None => self.alma.turn(self.principal, &self.row.id).await?.reason.map_or_else(
                    || entry.text("It went on from where it stood.", Label::TRUSTED),
                    Ok,
                )?,
            };
            entry.event(Event::Conversed(Conversed::TurnRouted {
                session: self.row.session.clone(),
                turn: self.row.id.clone(),
                route,
                reason,
                tone,
            }));
        }
        let answer = entry.text(&text, Label::TRUSTED)?;
        let focus = entry.json(&self.focus, Label::TRUSTED)?;
        entry.event(Event::Conversed(Conversed::TurnEnded {
            session: self.row.session.clone(),
            turn: self.row.id.clone(),
            state: outcome.state,
            answer,
            focus: Some(focus),
        }));
        match entry.commit().await.map_err(Error::from) {
            Ok(_) | Err(Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn chat(
        &mut self,
        words: &str,
        said: &[String],
        language: Option<&'static str>,
    ) -> Result<Outcome, Error> {
        let speeches = self.router()?.speeches();
        let mut trouble = None;
        if let Some(model) = self.alma.model(self.principal) {
            let recalled = match self.alma.installation.memory() {
                Some(_) => self.look_up(words).await?.memories,
                None => Vec::new(),
            };
            match self.generated(model, words, recalled).await {
                Ok(text) => {
                    let state = match self.watcher.stopped() {
                        true => TurnState::Cancelled,
                        false => TurnState::Answered,
                    };
                    let mut outcome = Outcome::of(state, Moment::Asked, Say::plainly(text));
                    outcome.streamed = true;
                    return Ok(outcome);
                }
                Err(error) => trouble = self.trouble(&error),
            }
            self.focus.told = true;
        }
        let own = words::language(speeches, language.unwrap_or("en"));
        let talked = own.into_iter().chain(speeches).find_map(|speech| {
            // The greeting comes last: "hello, who are you?" asks who.
            let order = ["who", "well", "thanks", "bye", "sorry", "greeting"];
            order
                .iter()
                .filter_map(|name| speech.talk.get(*name))
                .find_map(|talk| words::any(&talk.says, said).map(|_| (speech, talk.reply.clone())))
        });
        let (speech, reply) = match talked {
            Some((speech, reply)) => (Some(speech), reply),
            None => (own, own.map(|speech| speech.plain.clone()).unwrap_or_default()),
        };
        let mut say = Say::plainly(reply);
        say.why.extend(trouble);
        if !self.focus.told
            && let Some(speech) = speech
        {
            self.focus.told = true;
            say.why.push(speech.once.clone());
        }
        Ok(Outcome::said(say))
    }

    async fn status(&mut self, words: &str) -> Result<Outcome, Error> {
        let speeches = self.router()?.speeches();
        let medic = tone::tone(words, Route::Status, Moment::Asked, speeches) == Tone::Medic;
        let newest = mission_list::Request { limit: Some(1), ..Default::default() };
        let newest = mission_list::run(self.alma, self.principal, newest).await?.missions;
        let spoken_of = self.focus.mission.clone().or(newest.into_iter().next().map(|l| l.mission));
        if medic && let Some(mission) = spoken_of {
            let request = mission_show::Request { mission: mission.clone() };
            let now = mission_show::run(self.alma, self.principal, request).await?;
            if now.state == MissionState::Done {
                let what = format!("It did not fail: “{}” is done.", now.wish);
                let report = format!("`alma mission report {}`", now.mission);
                let facts = vec![("look".to_owned(), report)];
                return Ok(Outcome::said(Say { what, facts, ..Say::default() }));
            }
            if now.state.is_end() {
                let request = mission_report::Request { mission };
                let report = mission_report::run(self.alma, self.principal, request).await?.report;
                let errors = now.steps.iter().filter_map(|step| step.error.clone());
                let mut why = report.problems;
                why.extend(errors);
                why.dedup();
                let say = Say {
                    what: format!("“{}” is {}.", now.wish, now.state),
                    why,
                    options: vec![
                        format!("see each step: `alma mission show {}`", now.mission),
                        "mend the cause and say the wish again".to_owned(),
                    ],
                    facts: Vec::new(),
                };
                return Ok(Outcome::of(TurnState::Answered, Moment::Failed, say));
            }
        }
        let request =
            mission_list::Request { limit: Some(MISSIONS_SHOWN_MAX), ..Default::default() };
        let missions = mission_list::run(self.alma, self.principal, request).await?.missions;
        let open = missions.iter().filter(|line| !line.state.is_end()).count();
        let waiting = open_of(self.alma, self.principal, None).await?.len();
        let what = match (missions.is_empty(), open, waiting) {
            (true, ..) => "Nothing was asked of me yet.".to_owned(),
            (_, 0, _) => "Nothing is running; everything has ended.".to_owned(),
            (_, open, 0) => format!("{open} of the last missions are not finished."),
            (_, open, waiting) => {
                format!(
                    "{open} of the last missions are not finished; {waiting} questions wait for you."
                )
            }
        };
        let mut facts: Vec<(String, String)> = missions
            .iter()
            .map(|line| {
                let of = format!("{} of {} steps", line.ended, line.steps);
                (line.state.to_string(), format!("{} ({of}, {})", line.wish, line.mission))
            })
            .collect();
        let notice = self.alma.ledger().mode(&self.principal.tenant).await?.notice();
        facts.extend(notice.map(|notice| ("work".to_owned(), notice.to_owned())));
        let away = self.alma.installation.degraded();
        facts.extend(away.iter().map(|part| (part.what.to_owned(), part.to_string())));
        facts.extend(self.schedule_alerts().await?);
        Ok(Outcome::said(Say { what, facts, ..Say::default() }))
    }

    fn help(&mut self) -> Result<Outcome, Error> {
        let playbooks = self.playbooks()?;
        let playbooks = &playbooks.playbooks;
        let whole = |example: &&String| !example.contains('{');
        let examples =
            playbooks.iter().filter_map(|playbook| playbook.examples.get("en")?.iter().find(whole));
        let mut options: Vec<String> =
            examples.take(EXAMPLES_SHOWN_MAX).map(|words| format!("“{words}”")).collect();
        if self.alma.installation.memory().is_some() {
            options.push("“remember that …”, and later “what did I say about …?”".to_owned());
        }
        options.extend(
            [
                "“how far are you?”, “why did it fail?”",
                "“yes”, “no” or “details” when I ask you something",
                "/help lists the commands of this conversation",
            ]
            .map(str::to_owned),
        );
        let model = match self.alma.model(self.principal) {
            Some(model) => format!(
                "the language model {} is set up for free talk, and for plans that no playbook \
                 covers; `alma models list`",
                charter::generate::identity(model.name()).0
            ),
            None => "there is no language model here; all of this works without one \
                     (`alma models list` tells how to get one)"
                .to_owned(),
        };
        let say = Say {
            what: "Say in your own words what you want done with the files in this folder; I \
                   plan it, do it step by step, ask before anything is lost, and show what is \
                   proven."
                .to_owned(),
            why: vec![
                format!("I know {} kinds of missions; `alma playbooks list`", playbooks.len()),
                model,
            ],
            options,
            facts: Vec::new(),
        };
        Ok(Outcome::said(say))
    }
}

/// What a message opens.
enum Opened {
    Mission(String),
    NotYet(i64),
    Nothing,
}

fn chosen(route: Route, reason: String, words: String) -> Routed {
    Routed {
        route,
        reason,
        confidence: 1.0,
        question: None,
        ranked: vec![(route, 1.0)],
        words: Some(words),
    }
}

fn router() -> Result<&'static Router, Error> {
    Router::shipped().map_err(|error| Error::Machine {
        operation: "read the words of the conversation".to_owned(),
        cause: error.to_string(),
    })
}
