//! Rules for sessions and their turns.

use super::records::{get, make, put};
use super::{Cx, RowKey, conflict, missions};
use charter::conversation::{Conversed, SessionRow, TurnRow, TurnState};
use charter::ids::{SessionId, TurnId};
use charter::ports::LedgerError;
use charter::record::RecordKind::{Session, Turn};

pub(super) fn touches(event: &Conversed) -> Vec<RowKey> {
    let mut keys = vec![RowKey::record(Session, event.session())];
    match event {
        Conversed::SessionOpened { forked, .. } => {
            keys.extend(forked.iter().map(|turn| RowKey::record(Turn, turn)));
        }
        Conversed::TurnBegun { turn, .. }
        | Conversed::TurnRouted { turn, .. }
        | Conversed::TurnEnded { turn, .. } => keys.push(RowKey::record(Turn, turn)),
        Conversed::TurnSubmitted { turn, mission, .. } => {
            keys.extend([RowKey::record(Turn, turn), RowKey::Mission(mission.clone())]);
        }
    }
    keys
}

pub(super) fn apply(event: &Conversed, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
    match event {
        Conversed::SessionOpened { session, subject, workspace, forked } => {
            if let Some(turn) = forked {
                get::<TurnRow>(turn, cx)?;
            }
            let row = SessionRow {
                id: session.clone(),
                tenant: cx.tenant.clone(),
                subject: subject.clone(),
                workspace: workspace.clone(),
                forked: forked.clone(),
                opened_at: cx.at,
                last_at: cx.at,
                turns: 0,
                title: None,
            };
            make(row, cx)
        }
        Conversed::TurnBegun { session, turn, said } => {
            let mut row: SessionRow = get(session, cx)?;
            row.turns += 1;
            row.last_at = cx.at;
            row.title.get_or_insert_with(|| said.clone());
            let turn = TurnRow {
                id: turn.clone(),
                tenant: cx.tenant.clone(),
                session: session.clone(),
                n: row.turns,
                state: TurnState::Open,
                at: cx.at,
                said: said.clone(),
                route: None,
                reason: None,
                tone: None,
                mission: None,
                answer: None,
                focus: None,
            };
            make(turn, cx)?;
            put(row, cx);
            Ok(())
        }
        Conversed::TurnRouted { session, turn, route, reason, tone } => {
            let row = open(session, turn, "routed", cx)?;
            let (route, reason, tone) = (Some(*route), Some(reason.clone()), Some(*tone));
            put(TurnRow { route, reason, tone, ..row }, cx);
            Ok(())
        }
        Conversed::TurnSubmitted { session, turn, mission } => {
            let mut row = open(session, turn, "given a mission", cx)?;
            missions::known(mission, cx)?;
            if let Some(other) = row.mission.replace(mission.clone()) {
                return conflict(format!("turn {turn} has mission {other} already"));
            }
            put(row, cx);
            Ok(())
        }
        Conversed::TurnEnded { session, turn, state, answer, focus } => {
            let row = open(session, turn, "ended", cx)?;
            if *state == TurnState::Open {
                return conflict(format!("turn {turn} cannot end as open"));
            }
            let talk: SessionRow = get(session, cx)?;
            put(SessionRow { last_at: cx.at, ..talk }, cx);
            let (answer, focus) = (Some(answer.clone()), focus.clone());
            put(TurnRow { state: *state, answer, focus, ..row }, cx);
            Ok(())
        }
    }
}

fn open(
    session: &SessionId,
    turn: &TurnId,
    what: &str,
    cx: &Cx<'_>,
) -> Result<TurnRow, LedgerError> {
    let row: TurnRow = get(turn, cx)?;
    if row.session != *session {
        return conflict(format!("turn {turn} belongs to another session"));
    }
    if row.state != TurnState::Open {
        let state = row.state.as_str();
        return conflict(format!("turn {turn} is {state}, so it cannot be {what}"));
    }
    Ok(row)
}
