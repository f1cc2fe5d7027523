-- What is true now beside missions: sessions, turns, memories, schedules, due
-- times, nights, proposals. `body` is the whole row as JSON; `due_at` is when
-- something is to be done about it, if ever.
CREATE TABLE records (
    kind   TEXT NOT NULL,
    id     TEXT NOT NULL,
    tenant TEXT NOT NULL,
    parent TEXT NOT NULL,
    state  TEXT NOT NULL,
    due_at INTEGER,
    body   TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX records_tenant ON records (tenant, kind, id);
CREATE INDEX records_parent ON records (tenant, kind, parent, id);
CREATE INDEX records_state ON records (tenant, kind, state, id);
CREATE INDEX records_due ON records (due_at, kind, id) WHERE due_at IS NOT NULL;

-- Texts that were forgotten. Their rows in `contents` hold zeros.
CREATE TABLE forgotten (
    content TEXT    NOT NULL PRIMARY KEY,
    tenant  TEXT    NOT NULL,
    at      INTEGER NOT NULL
) WITHOUT ROWID;
