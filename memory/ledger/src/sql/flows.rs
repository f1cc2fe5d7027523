//! The first steps of every flow. However many wait in one, the others are found as
//! soon: flows are stepped through along an index, and each is asked for its own.

use super::tables::named;
use super::{Arg, Line, Sql, fixed};
use crate::limits::of_each;
use charter::flow::Flow;
use charter::ids::{Millis, MissionId, StepKey, TenantId};
use charter::ports::{LedgerError, OutboxRow};

const DOING: &str = "read what waits";

/// Flows that are looked at. Those behind them in the order of their names wait for
/// one of these to run empty.
pub(crate) const FLOWS_MAX: u32 = 3_000;

/// A place where steps wait: which flows it has, and the first steps of one.
pub(super) struct Waiting {
    flows: &'static str,
    first: &'static str,
}

/// Steps that wait for the queue.
pub(super) const OUTBOX: Waiting = Waiting {
    flows: "WITH RECURSIVE flows (flow, n) AS (SELECT min(flow), 1 FROM outbox UNION ALL \
            SELECT (SELECT min(o.flow) FROM outbox o WHERE o.flow > f.flow), f.n + 1 \
            FROM flows f WHERE f.flow IS NOT NULL AND f.n < $1) \
            SELECT flow FROM flows WHERE flow IS NOT NULL",
    first: "SELECT id, tenant, mission, n, item, due_at FROM outbox \
            WHERE flow = $1 AND due_at <= $2 ORDER BY due_at, mission, n, item LIMIT $3",
};

/// Steps that are ready, whether on the queue or not.
pub(super) const READY: Waiting = Waiting {
    flows: "WITH RECURSIVE flows (flow, n) AS (\
            SELECT min(flow), 1 FROM steps WHERE state = 'ready' UNION ALL \
            SELECT (SELECT min(s.flow) FROM steps s WHERE s.state = 'ready' AND s.flow > f.flow), \
            f.n + 1 FROM flows f WHERE f.flow IS NOT NULL AND f.n < $1) \
            SELECT flow FROM flows WHERE flow IS NOT NULL",
    first: "SELECT 0, tenant, mission, n, item, ready_at FROM steps \
            WHERE state = 'ready' AND flow = $1 AND ready_at <= $2 \
            ORDER BY ready_at, mission, n, item LIMIT $3",
};

/// What is due, `limit` of each flow.
pub(super) async fn due(
    conn: &mut dyn Sql,
    waiting: &Waiting,
    now: Millis,
    limit: u32,
) -> Result<Vec<OutboxRow>, LedgerError> {
    let lines = conn.lines(DOING, fixed(waiting.flows), vec![FLOWS_MAX.into()]).await?;
    let texts: Vec<String> =
        lines.into_iter().map(|mut line| line.text(0)).collect::<Result<_, _>>()?;
    let limit = of_each(limit, texts.len());
    let mut rows = Vec::new();
    for text in texts {
        let args = vec![Arg::from(text.as_str()), now.into(), limit.into()];
        for line in conn.lines(DOING, fixed(waiting.first), args).await? {
            rows.push(row(&text, line)?);
        }
    }
    Ok(rows)
}

fn row(flow: &str, mut line: Line) -> Result<OutboxRow, LedgerError> {
    let mission: MissionId = named(&line.text(2)?)?;
    let Flow { lane, priority, tenant } = Flow::read(flow, TenantId(line.text(1)?));
    Ok(OutboxRow {
        id: line.int(0)?,
        tenant,
        step: StepKey { mission, n: line.count(3)?, item: line.count(4)? },
        lane,
        priority,
        due_at: line.int(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plans::plan;
    use crate::sqlite;

    fn by_index(plan: &str, index: &str) {
        for part in plan.lines().filter(|part| part.contains("SCAN") || part.contains("SEARCH")) {
            let own = part.contains("flows") || part.starts_with("SCAN f");
            assert!(
                own || part.contains(&format!("COVERING INDEX {index}"))
                    || part.contains(&format!("INDEX {index} (")),
                "{plan}"
            );
        }
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[tokio::test]
    async fn no_backlog_slows_the_question_down() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = sqlite::whole(&folder.path().join("ledger.db")).await.unwrap();
        for (waiting, index) in [(&OUTBOX, "outbox_flow"), (&READY, "steps_flow")] {
            by_index(&plan(&mut conn, waiting.flows).await, index);
            by_index(&plan(&mut conn, waiting.first).await, index);
        }
        let many = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
            WHERE n < 100000) INSERT INTO outbox (tenant, mission, n, item, due_at, flow) \
            SELECT 'local', 'm-0000000000000001', n, 0, 0, 'light/normal/local' FROM numbers";
        conn.run("fill", fixed(many), Vec::new()).await.unwrap();
        let one = "INSERT INTO outbox (tenant, mission, n, item, due_at, flow) \
            VALUES ('other', 'm-0000000000000002', 1, 0, 5, 'light/normal/other')";
        conn.run("fill", fixed(one), Vec::new()).await.unwrap();
        let began = std::time::Instant::now();
        let rows = due(&mut conn, &OUTBOX, 9, 256).await.unwrap();
        let took = began.elapsed();
        assert_eq!((rows.len(), rows[256].tenant.0.as_str()), (257, "other"));
        assert!(took < std::time::Duration::from_millis(500), "{took:?}");
    }
}
