//! Ringing steps that wait for room in their mission's budget. However many instances of
//! a mission have ended, the next one that is ready is found as soon: along the index of
//! ready steps.

use super::{Sql, fixed};
use crate::transition::{WAKES, Wake};
use charter::ids::{Millis, MissionId, StepKey};
use charter::ports::LedgerError;
use std::collections::BTreeMap;

const DOING: &str = "wake steps that wait for room";

/// The next ones behind a step, then the first; those that never failed.
const NEXT: &str = "INSERT INTO outbox (tenant, mission, n, item, due_at, flow) \
    SELECT tenant, mission, n, item, ready_at, flow FROM (\
    SELECT * FROM (SELECT 1 AS turn, tenant, mission, n, item, ready_at, flow FROM steps \
    WHERE state = 'ready' AND ready_at = 0 AND mission = $1 AND (n, item) > ($2, $3) \
    ORDER BY n, item LIMIT $4) AS later UNION ALL \
    SELECT * FROM (SELECT 2 AS turn, tenant, mission, n, item, ready_at, flow FROM steps \
    WHERE state = 'ready' AND ready_at = 0 AND mission = $1 AND n > 0 \
    AND (n, item) <= ($2, $3) ORDER BY n, item LIMIT $4) AS earlier) AS line \
    ORDER BY turn, n, item LIMIT $4";

/// The one that is due for the longest time after it failed. Few steps are, of all missions
/// together; a mission has many that are not: hence no index by mission.
const FAILED: &str = "INSERT INTO outbox (tenant, mission, n, item, due_at, flow) \
    SELECT tenant, mission, n, item, ready_at, flow FROM steps \
    WHERE state = 'ready' AND ready_at > 0 AND ready_at <= $2 AND mission || '' = $1 \
    AND +n > 0 ORDER BY ready_at, mission, n, item LIMIT 1";

/// Rings for all of these, mission by mission. Comes behind what they follow from: it
/// looks at the rows as they were written.
pub(super) async fn wake(conn: &mut dyn Sql, wakes: &[Wake]) -> Result<(), LedgerError> {
    let mut missions: BTreeMap<&MissionId, (&StepKey, Millis, usize)> = BTreeMap::new();
    for Wake { behind, at } in wakes {
        let (last, due, count) = missions.entry(&behind.mission).or_insert((behind, *at, 0));
        *last = (*last).max(behind);
        *due = (*due).max(*at);
        *count += WAKES;
    }
    for (mission, (last, due, count)) in missions {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let args = vec![mission.as_str().into(), last.n.into(), last.item.into(), count.into()];
        if conn.run(DOING, fixed(NEXT), args).await? == 0 {
            let args = vec![mission.as_str().into(), due.into()];
            conn.run(DOING, fixed(FAILED), args).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plans::plan;
    use crate::sqlite;

    #[tokio::test]
    async fn what_has_ended_slows_nothing_down() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = sqlite::whole(&folder.path().join("ledger.db")).await.unwrap();
        for sql in [NEXT, FAILED] {
            let plan = plan(&mut conn, sql).await;
            assert!(plan.contains("steps_ready"), "{plan}");
            let steps = plan.lines().filter(|part| part.contains(" steps "));
            assert!(steps.clone().count() > 0, "{plan}");
            for part in steps {
                assert!(part.contains("INDEX steps_ready (ready_at"), "{plan}");
            }
        }
    }
}
