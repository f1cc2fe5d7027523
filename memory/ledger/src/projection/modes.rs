//! Rules for the switch that says whether work goes on.

use super::{Cx, RowKey, conflict, records};
use charter::ids::TenantId;
use charter::mode::{Mode, ModeRow};
use charter::ports::LedgerError;
use charter::record::RecordKind;

pub(super) fn touches(tenant: &TenantId) -> Vec<RowKey> {
    vec![RowKey::record(RecordKind::Mode, tenant)]
}

pub(super) fn apply(
    tenant: &TenantId,
    mode: Mode,
    by: &str,
    cx: &mut Cx<'_>,
) -> Result<(), LedgerError> {
    if tenant != cx.tenant {
        return conflict(format!("the switch of {tenant} belongs to another tenant"));
    }
    let now = match records::get::<ModeRow>(tenant, cx) {
        Ok(row) => row.mode,
        Err(LedgerError::NotFound(_)) => Mode::Running,
        Err(error) => return Err(error),
    };
    if now == mode {
        return conflict(format!("work is {now} already"));
    }
    if !now.may_become(mode) {
        return conflict(format!("work is {now}, so it cannot become {mode}"));
    }
    let row = ModeRow { tenant: tenant.clone(), mode, by: by.to_owned(), at: cx.at };
    records::put(row, cx);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::{RowSet, apply as applied, touches as touched};
    use charter::event::Event;

    fn turned(modes: &[Mode], of: &str) -> Result<Option<ModeRow>, LedgerError> {
        let (tenant, mut rows) = (TenantId::local(), RowSet::default());
        for (mode, at) in modes.iter().zip(1..) {
            let event =
                Event::ModeChanged { tenant: TenantId(of.into()), mode: *mode, by: "me".into() };
            assert_eq!(touched(&event), [RowKey::record(RecordKind::Mode, of)]);
            applied(&event, at, &tenant, &mut rows)?;
        }
        let cx = Cx { at: 0, tenant: &tenant, rows: &mut rows };
        Ok(records::get::<ModeRow>(of, &cx).ok())
    }

    #[test]
    fn the_switch_stands_as_it_was_turned_last() {
        use Mode::{Maintenance, Running, Stopped};
        let row = turned(&[Maintenance, Stopped, Running, Stopped], "local").unwrap().unwrap();
        assert_eq!((row.mode, row.at, row.by.as_str()), (Stopped, 4, "me"));
    }

    #[test]
    fn a_turn_that_changes_nothing_or_means_less_is_refused() {
        use Mode::{Maintenance, Running, Stopped};
        let refused = |modes: &[Mode], of: &str, why: &str| {
            let error = turned(modes, of).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(&[Running], "local", "running already");
        refused(&[Stopped, Stopped], "local", "stopped already");
        refused(&[Stopped, Maintenance], "local", "cannot become maintenance");
        refused(&[Stopped], "other", "another tenant");
    }
}
