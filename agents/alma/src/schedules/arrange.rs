//! Words of a conversation about set times: a schedule is made, or something is
//! asked of those that exist.

use super::keep::{self, Made, Wanted};
use super::manage::{self, Command, Named, Target};
use super::rhythm::describe;
use super::show::{self, Shown};
use super::when;
use crate::talk::tone::Say;
use crate::{Alma, Error};
use charter::conversation::TurnRow;
use charter::digest::Digest;
use charter::ids::{Principal, ScheduleId};
use charter::ports::Drawn;
use charter::schedule::{Missed, ScheduleRow, ScheduleState};
use policy::Verdict;
use std::path::Path;

/// Schedules that an answer names.
const SHOWN_MAX: usize = 12;
/// Effects that an answer names.
const EFFECTS_SHOWN_MAX: usize = 8;

/// What came of words about set times.
pub(crate) struct Arranged {
    /// What there is to say.
    pub(crate) say: Say,
    /// The schedule that is spoken of now.
    pub(crate) schedule: Option<ScheduleId>,
    /// The person has to answer.
    pub(crate) asks: bool,
}

impl Arranged {
    fn said(say: Say, schedule: Option<ScheduleId>) -> Self {
        Self { say, schedule, asks: false }
    }
}

/// Whether words ask something of a schedule that exists.
pub(crate) async fn managed(
    alma: &Alma,
    principal: &Principal,
    words: &str,
    spoken_of: Option<&ScheduleId>,
) -> Result<bool, Error> {
    let Some(request) = manage::read(words)? else { return Ok(false) };
    if request.command == Command::List || request.plainly {
        return Ok(true);
    }
    // "delete it" is about a schedule only right after one was spoken of.
    let only_then = request.about.is_empty() || request.command == Command::Delete;
    let rows = keep::schedules(alma, principal).await?;
    let implied = implied(&request, &rows);
    let spoken_of = spoken_of.or(implied.as_ref());
    if only_then && spoken_of.is_none() {
        return Ok(false);
    }
    let named = named(alma, principal, &rows).await?;
    Ok(match manage::target(&request, &named, spoken_of)? {
        Target::One(id) => !only_then || spoken_of == Some(&id),
        Target::Several(_) => request.command != Command::Delete,
        Target::None => false,
    })
}

/// The one schedule that "resume it" can mean where none was spoken of: the only
/// one that is paused.
fn implied(request: &manage::Request, rows: &[ScheduleRow]) -> Option<ScheduleId> {
    let mut paused = rows.iter().filter(|row| row.state == ScheduleState::Paused);
    let one = paused.next().filter(|_| paused.next().is_none())?;
    (request.command == Command::Resume && request.about.is_empty()).then(|| one.id.clone())
}

/// Does what the words ask about set times.
pub(crate) async fn arrange(
    alma: &Alma,
    principal: &Principal,
    words: &str,
    workspace: &Path,
    turn: &TurnRow,
    spoken_of: Option<&ScheduleId>,
) -> Result<Arranged, Error> {
    if let Some(request) = manage::read(words)? {
        return asked(alma, principal, &request, spoken_of).await;
    }
    // The turn names the schedule: whoever carries the turn on finds it.
    let digest = Digest::of(turn.id.as_str().as_bytes());
    let schedule = ScheduleId::new(turn.at, &Drawn(&digest.0));
    if let Ok(row) = keep::row(alma, principal, &schedule).await {
        let shown = show::shown(alma, principal, &row).await?;
        return Ok(made_before(shown));
    }
    let said = match when::read(words)? {
        Ok(said) => said,
        Err(unsaid) => {
            let options = vec![
                "say how often and what: “every weekday at eight list the new files”".to_owned(),
                "say it without the time, and I do it now".to_owned(),
                "“what is scheduled?” lists what there is".to_owned(),
            ];
            let say = Say { what: format!("{unsaid}."), options, ..Say::default() };
            return Ok(Arranged { say, schedule: None, asks: true });
        }
    };
    if said.wish.is_empty() {
        let what = "I understood when, but not what. Say both in one sentence.".to_owned();
        return Ok(Arranged { say: Say::plainly(what), schedule: None, asks: true });
    }
    let wanted = Wanted {
        wish: said.wish,
        workspace: workspace.to_owned(),
        cron: said.cron,
        zone: said.zone,
        missed: Missed::Once,
        schedule,
    };
    let mut made = keep::make(alma, principal, wanted).await?;
    made.notes.splice(0..0, said.notes);
    Ok(made_now(made))
}

fn made_now(made: Made) -> Arranged {
    let shown = &made.shown;
    let waits = shown.state == ScheduleState::Waiting;
    let mut facts = vec![("plan".to_owned(), plan_lines(&made.text))];
    facts.push(("next".to_owned(), format!("{} ({})", shown.next.join(", "), shown.zone)));
    let today = made.effects.iter().take(EFFECTS_SHOWN_MAX).map(|effect| {
        let word = if effect.verdict == Verdict::Ask { "would ask" } else { "today" };
        (word.to_owned(), format!("{}: {}", effect.class, effect.summary))
    });
    facts.extend(today);
    let more = made.effects.len().saturating_sub(EFFECTS_SHOWN_MAX);
    if more > 0 {
        facts.push(("today".to_owned(), format!("and {more} more like these")));
    }
    if made.effects.is_empty() && made.unforeseen.is_empty() {
        facts.push(("today".to_owned(), "it would only look; nothing would change".to_owned()));
    }
    facts.extend(made.unforeseen.iter().map(|why| ("not foreseen".to_owned(), why.clone())));
    facts.extend(made.notes.iter().map(|note| ("note".to_owned(), note.clone())));
    let what = match waits {
        true => format!(
            "I would do this {}: “{}”. It asks once, for every time: may it?",
            shown.when, shown.wish
        ),
        false => format!("Scheduled {}: “{}”.", shown.when, shown.wish),
    };
    let options = match waits {
        true => vec!["“yes”: it begins; “no”: it is dropped".to_owned()],
        false => vec![
            "“pause it”, “delete it”, “what is scheduled?”".to_owned(),
            "it runs while `alma serve`, `alma worker` or a conversation is open".to_owned(),
        ],
    };
    let say = Say { what, facts, options, ..Say::default() };
    Arranged { say, schedule: Some(shown.schedule.clone()), asks: waits }
}

fn made_before(shown: Shown) -> Arranged {
    let what = format!("“{}” is {}: {}.", shown.wish, shown.state.as_str(), shown.when);
    let facts = vec![("next".to_owned(), format!("{} ({})", shown.next.join(", "), shown.zone))];
    let say = Say { what, facts, ..Say::default() };
    let asks = shown.state == ScheduleState::Waiting;
    Arranged { say, schedule: Some(shown.schedule), asks }
}

/// The steps of a plan in one line; its title repeats the wish.
fn plan_lines(text: &str) -> String {
    text.trim()
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

async fn asked(
    alma: &Alma,
    principal: &Principal,
    request: &manage::Request,
    spoken_of: Option<&ScheduleId>,
) -> Result<Arranged, Error> {
    let rows = keep::schedules(alma, principal).await?;
    if rows.is_empty() {
        let say = Say {
            what: "Nothing is scheduled.".to_owned(),
            options: vec!["“every weekday at eight list the new files”".to_owned()],
            ..Say::default()
        };
        return Ok(Arranged::said(say, None));
    }
    if request.command == Command::List {
        return listed(alma, principal, rows).await;
    }
    let named = named(alma, principal, &rows).await?;
    let implied = implied(request, &rows);
    let spoken_of = spoken_of.or(implied.as_ref());
    let target = manage::target(request, &named, spoken_of)?;
    let id = match target {
        Target::One(id) => id,
        Target::Several(ids) => {
            let options = named.iter().filter(|named| ids.contains(named.id));
            let say = Say {
                what: "Which one do you mean?".to_owned(),
                options: options.take(SHOWN_MAX).map(|named| named.words.clone()).collect(),
                ..Say::default()
            };
            return Ok(Arranged { say, schedule: None, asks: true });
        }
        Target::None => {
            let mut list = listed(alma, principal, rows).await?;
            list.say.what = "I know no schedule like that. These there are:".to_owned();
            return Ok(Arranged { asks: true, ..list });
        }
    };
    let row = match request.command {
        Command::Pause => keep::pause(alma, principal, &id).await?,
        Command::Resume => keep::resume(alma, principal, &id).await?,
        Command::Delete | Command::List => keep::delete(alma, principal, &id).await?,
    };
    let shown = show::shown(alma, principal, &row).await?;
    let what = match row.state {
        ScheduleState::Paused => format!("Paused: “{}”. “resume it” lets it go on.", shown.wish),
        ScheduleState::Deleted => format!("Deleted: “{}” does not run any more.", shown.wish),
        _ => format!("“{}” goes on: {}.", shown.wish, shown.next.first().map_or("", |at| at)),
    };
    let gone = row.state == ScheduleState::Deleted;
    Ok(Arranged::said(Say::plainly(what), (!gone).then_some(id)))
}

/// All schedules, as an answer.
pub(crate) async fn listed(
    alma: &Alma,
    principal: &Principal,
    rows: Vec<ScheduleRow>,
) -> Result<Arranged, Error> {
    let (mut facts, count) = (Vec::new(), rows.len());
    let only = match rows.as_slice() {
        [only] => Some(only.id.clone()),
        _ => None,
    };
    for row in rows.iter().take(SHOWN_MAX) {
        let shown = show::shown(alma, principal, row).await?;
        let next = shown.next.first().map(|at| format!(", next {at}")).unwrap_or_default();
        let line = format!("“{}” {}{next} ({})", shown.wish, shown.when, shown.schedule);
        facts.push((shown.state.as_str().to_owned(), line));
        facts.extend(shown.alerts.into_iter().map(|alert| ("look".to_owned(), alert.text)));
    }
    let what = match count {
        1 => "One thing is scheduled.".to_owned(),
        count => format!("{count} things are scheduled."),
    };
    Ok(Arranged::said(Say { what, facts, ..Say::default() }, only))
}

async fn named<'r>(
    alma: &Alma,
    principal: &Principal,
    rows: &'r [ScheduleRow],
) -> Result<Vec<Named<'r>>, Error> {
    let mut named = Vec::with_capacity(rows.len());
    for row in rows {
        let wish = alma.spoken(principal, &row.wish).await?;
        named.push(Named { id: &row.id, words: format!("{wish}, {}", describe(&row.cron)) });
    }
    Ok(named)
}
