//! How SQLite carries the statements out: along indexes, whatever there is already.

use super::script::Trip;
use super::{Arg, Line, Sql, built};
use async_trait::async_trait;
use charter::approval::ApprovalState;
use charter::digest::Digest;
use charter::ids::{MissionId, StepKey, StreamId, TenantId};
use charter::ports::{LedgerError, Query};
use charter::record::{RecordKey, RecordKind};
use charter::rows::{MissionState, StepState};
use expect_test::expect;
use futures::stream::BoxStream;
use sqlx::{SqlStr, SqliteConnection};

/// How SQLite would carry out a statement, one line for each part.
pub(super) async fn plan(conn: &mut SqliteConnection, sql: &str) -> String {
    let explain = built(format!("EXPLAIN QUERY PLAN {sql}"));
    let lines = conn.lines("explain", explain, Vec::new()).await.unwrap();
    let parts = lines.into_iter().map(|mut line| line.text(3).unwrap());
    parts.collect::<Vec<_>>().join("\n")
}

/// Notes how each question is carried out.
struct Explained<'c> {
    conn: &'c mut SqliteConnection,
    plans: Vec<String>,
}

#[async_trait]
impl Sql for Explained<'_> {
    async fn run(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<u64, LedgerError> {
        self.conn.run(doing, sql, args).await
    }

    async fn run_all(&mut self, doing: &'static str, trip: Trip) -> Result<(), LedgerError> {
        self.conn.run_all(doing, trip).await
    }

    async fn lines(
        &mut self,
        doing: &'static str,
        sql: SqlStr,
        args: Vec<Arg>,
    ) -> Result<Vec<Line>, LedgerError> {
        let plan = plan(self.conn, sql.as_str()).await;
        self.plans.push(plan);
        self.conn.lines(doing, sql, args).await
    }

    fn stream<'c>(
        &'c mut self,
        doing: &'static str,
        sql: SqlStr,
    ) -> BoxStream<'c, Result<Line, LedgerError>> {
        self.conn.stream(doing, sql)
    }

    async fn columns(&mut self, table: &'static str) -> Result<Vec<String>, LedgerError> {
        self.conn.columns(table).await
    }
}

/// One question of each kind, with everything that can be asked for.
fn questions() -> Vec<Query> {
    let mission: MissionId = "m-0000000000000001".parse().unwrap();
    let step = StepKey { mission: mission.clone(), n: 1, item: 0 };
    let stream = StreamId::mission(&mission);
    let (now, limit) = (9, 10);
    let records = |parent: Option<&str>, state: Option<&str>, after: Option<&str>, newest| {
        let [parent, state, after] = [parent, state, after].map(|word| word.map(str::to_owned));
        Query::Records { kind: RecordKind::Turn, parent, state, after, newest, limit }
    };
    vec![
        Query::Mission { id: mission.clone() },
        Query::Missions { state: None, same: None, before: None, limit },
        Query::Missions { state: Some(MissionState::Running), same: None, before: None, limit },
        Query::Missions { state: None, same: Some(Digest::of(b"")), before: None, limit },
        Query::Missions { state: None, same: None, before: Some(mission.clone()), limit },
        Query::Step { key: step.clone() },
        Query::Around { step: step.clone() },
        Query::Steps { mission: mission.clone(), state: None, items_of: None, after: None, limit },
        Query::Steps {
            mission: mission.clone(),
            state: Some(StepState::Ready),
            items_of: Some(1),
            after: Some(step.clone()),
            limit,
        },
        Query::DeadSteps { limit },
        Query::EffectsOfStep { step },
        Query::EffectsOfMission { mission: mission.clone(), limit },
        Query::Approval { id: "a-0000000000000001".parse().unwrap() },
        Query::Approvals { mission: None, state: None, limit },
        Query::Approvals { mission: None, state: Some(ApprovalState::Open), limit },
        Query::Approvals { mission: Some(mission), state: Some(ApprovalState::Open), limit },
        Query::Content { id: "c-0000000000000001".parse().unwrap() },
        Query::Events { stream, after: 1, limit },
        Query::Happened { after: 1, kinds: Vec::new(), limit },
        Query::Happened { after: 1, kinds: vec!["remembered".into()], limit },
        Query::Made { made: Digest::of(b"") },
        Query::Outbox { now, limit },
        Query::OutboxNext { now },
        Query::Leases,
        Query::ReadySteps { now, limit },
        Query::ReadyByFlow { now, limit },
        Query::ExpiredApprovals { now, limit },
        Query::Size,
        Query::Record { key: RecordKey::new(RecordKind::Turn, "t-1") },
        records(None, None, None, false),
        records(Some("s-1"), None, None, false),
        records(Some("s-1"), None, Some("t-1"), true),
        records(None, Some("open"), Some("t-1"), true),
        Query::DueRecords { now, limit },
        Query::DueNext,
        Query::ContentsWith { needle: "word".into(), limit },
    ]
}

/// The name of a question.
fn name(question: &Query) -> String {
    let text = format!("{question:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// A `SCAN` of a table, or a search by the tenant alone that is sorted afterwards, grows
/// with the history. Counts, leases (as many as workers), the search of all texts and the
/// list of all approvals do that.
#[tokio::test]
async fn questions_go_along_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = crate::sqlite::whole(&folder.path().join("ledger.db")).await.unwrap();
    let mut found = String::new();
    for question in questions() {
        let mut explained = Explained { conn: &mut conn, plans: Vec::new() };
        let tenant = TenantId::local();
        super::read::query(&mut explained, &tenant, question.clone()).await.unwrap();
        for part in explained.plans.iter().flat_map(|plan| plan.lines()) {
            if ["SEARCH", "SCAN", "USE TEMP"].iter().any(|what| part.starts_with(what)) {
                found.push_str(&format!("{}: {part}\n", name(&question)));
            }
        }
    }
    expect![[r#"
        Mission: SEARCH missions USING INDEX sqlite_autoindex_missions_1 (id=?)
        Missions: SEARCH missions USING INDEX missions_tenant (tenant=?)
        Missions: SEARCH missions USING INDEX missions_state (tenant=? AND state=?)
        Missions: SEARCH missions USING INDEX missions_same (tenant=? AND same=?)
        Missions: SEARCH missions USING INDEX missions_tenant (tenant=? AND id<?)
        Step: SEARCH steps USING INDEX sqlite_autoindex_steps_1 (mission=? AND n=? AND item=?)
        Around: SEARCH steps USING INDEX sqlite_autoindex_steps_1 (mission=? AND n=? AND item=?)
        Around: SEARCH missions USING INDEX sqlite_autoindex_missions_1 (id=?)
        Around: SEARCH records USING PRIMARY KEY (kind=? AND id=?)
        Around: SEARCH effects USING INDEX effects_step (mission=? AND n=? AND item=?)
        Around: USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY
        Around: SCAN first
        Steps: SEARCH steps USING INDEX steps_heads (mission=? AND n>?)
        Steps: SEARCH steps USING INDEX sqlite_autoindex_steps_1 (mission=? AND n=? AND item>?)
        DeadSteps: SEARCH steps USING INDEX steps_dead (tenant=?)
        EffectsOfStep: SEARCH effects USING INDEX effects_step (mission=? AND n=? AND item=?)
        EffectsOfStep: USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY
        EffectsOfMission: SEARCH effects USING INDEX effects_step (mission=?)
        EffectsOfMission: USE TEMP B-TREE FOR LAST 2 TERMS OF ORDER BY
        Approval: SEARCH approvals USING INDEX sqlite_autoindex_approvals_1 (id=?)
        Approvals: SEARCH approvals USING INDEX approvals_state (tenant=?)
        Approvals: USE TEMP B-TREE FOR ORDER BY
        Approvals: SEARCH approvals USING INDEX approvals_state (tenant=? AND state=?)
        Approvals: SEARCH approvals USING INDEX approvals_mission (mission=?)
        Content: SEARCH contents USING INDEX sqlite_autoindex_contents_1 (id=?)
        Content: SEARCH forgotten USING PRIMARY KEY (content=?)
        Events: SEARCH events USING INDEX sqlite_autoindex_events_1 (tenant=? AND stream=? AND seq>?)
        Happened: SEARCH events USING INTEGER PRIMARY KEY (rowid>?)
        Happened: SCAN k VIRTUAL TABLE INDEX 1:
        Happened: SEARCH events USING INTEGER PRIMARY KEY (rowid>?)
        Happened: SCAN k VIRTUAL TABLE INDEX 1:
        Made: SEARCH made USING PRIMARY KEY (made=? AND tenant=?)
        Outbox: SEARCH outbox USING COVERING INDEX outbox_flow
        Outbox: SCAN f
        Outbox: SEARCH o USING COVERING INDEX outbox_flow (flow>?)
        Outbox: SCAN flows
        OutboxNext: SEARCH outbox USING COVERING INDEX outbox_due (due_at>?)
        Leases: SCAN leases
        ReadySteps: SEARCH steps USING INDEX steps_ready (ready_at<?)
        ReadyByFlow: SEARCH steps USING COVERING INDEX steps_flow
        ReadyByFlow: SCAN f
        ReadyByFlow: SEARCH s USING COVERING INDEX steps_flow (flow>?)
        ReadyByFlow: SCAN flows
        ExpiredApprovals: SEARCH approvals USING INDEX approvals_open (expires_at<?)
        ExpiredApprovals: USE TEMP B-TREE FOR LAST TERM OF ORDER BY
        Size: SCAN CONSTANT ROW
        Size: SEARCH events
        Size: SCAN missions USING COVERING INDEX sqlite_autoindex_missions_1
        Record: SEARCH records USING PRIMARY KEY (kind=? AND id=?)
        Records: SEARCH records USING PRIMARY KEY (kind=? AND id=?)
        Records: SEARCH records USING COVERING INDEX records_tenant (tenant=? AND kind=?)
        Records: SEARCH records USING PRIMARY KEY (kind=? AND id=?)
        Records: SEARCH records USING COVERING INDEX records_parent (tenant=? AND kind=? AND parent=?)
        Records: SEARCH records USING PRIMARY KEY (kind=? AND id=?)
        Records: SEARCH records USING COVERING INDEX records_parent (tenant=? AND kind=? AND parent=? AND id<?)
        Records: SEARCH records USING PRIMARY KEY (kind=? AND id=?)
        Records: SEARCH records USING COVERING INDEX records_state (tenant=? AND kind=? AND state=? AND id<?)
        DueRecords: SEARCH records USING INDEX records_due (due_at<?)
        DueNext: SEARCH records USING COVERING INDEX records_due (due_at>?)
        ContentsWith: SCAN contents USING INDEX sqlite_autoindex_contents_1
    "#]].assert_eq(&found);
}
