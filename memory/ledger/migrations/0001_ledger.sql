-- The record. `hash` covers every other column; `prev` is the hash of the event
-- before in the same stream. Positions have no gaps.
CREATE TABLE events (
    pos    INTEGER PRIMARY KEY,
    tenant TEXT    NOT NULL,
    stream TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    txn    TEXT    NOT NULL,
    body   TEXT    NOT NULL,
    prev   BLOB    NOT NULL,
    hash   BLOB    NOT NULL,
    UNIQUE (tenant, stream, seq)
);
CREATE INDEX events_txn ON events (txn);

-- Newest event of each stream.
CREATE TABLE streams (
    tenant TEXT    NOT NULL,
    stream TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    hash   BLOB    NOT NULL,
    PRIMARY KEY (tenant, stream)
) WITHOUT ROWID;

-- Signed seals over the heads of all streams that moved since the last one.
CREATE TABLE checkpoints (
    n         INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    prev      BLOB    NOT NULL,
    heads     TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    hash      BLOB    NOT NULL,
    signature BLOB    NOT NULL
);

-- All human text. Events name it by id and SHA-256(salt, bytes).
CREATE TABLE contents (
    id     TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    salt   BLOB NOT NULL,
    bytes  BLOB NOT NULL
);

-- What is true now, derived from the events. `body` is the whole row as JSON;
-- the other columns are what is looked for.
CREATE TABLE missions (
    id     TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    state  TEXT NOT NULL,
    same   TEXT NOT NULL,
    body   TEXT NOT NULL
);
CREATE INDEX missions_tenant ON missions (tenant, id);
CREATE INDEX missions_state ON missions (tenant, state, id);
CREATE INDEX missions_same ON missions (tenant, same, id);

CREATE TABLE steps (
    mission  TEXT    NOT NULL,
    n        INTEGER NOT NULL,
    item     INTEGER NOT NULL,
    tenant   TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    ready_at INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    PRIMARY KEY (mission, n, item)
);
CREATE INDEX steps_ready ON steps (ready_at, mission, n, item) WHERE state = 'ready';
CREATE INDEX steps_dead ON steps (tenant, mission, n, item) WHERE state = 'dead';

CREATE TABLE effects (
    key         TEXT    PRIMARY KEY NOT NULL,
    tenant      TEXT    NOT NULL,
    mission     TEXT    NOT NULL,
    n           INTEGER NOT NULL,
    item        INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL,
    intended_at INTEGER NOT NULL,
    body        TEXT    NOT NULL
);
CREATE INDEX effects_step ON effects (mission, n, item, ordinal);

CREATE TABLE approvals (
    id         TEXT    PRIMARY KEY NOT NULL,
    tenant     TEXT    NOT NULL,
    mission    TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    body       TEXT    NOT NULL
);
CREATE INDEX approvals_mission ON approvals (mission, id);
CREATE INDEX approvals_state ON approvals (tenant, state, id);
CREATE INDEX approvals_open ON approvals (expires_at) WHERE state = 'open';

CREATE TABLE made (
    made   TEXT NOT NULL,
    tenant TEXT NOT NULL,
    effect TEXT NOT NULL,
    PRIMARY KEY (made, tenant)
) WITHOUT ROWID;

-- Who works on what right now. Not derived from events.
CREATE TABLE leases (
    mission    TEXT    NOT NULL,
    n          INTEGER NOT NULL,
    item       INTEGER NOT NULL,
    tenant     TEXT    NOT NULL,
    token      INTEGER NOT NULL,
    holder     TEXT    NOT NULL,
    programs   TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (mission, n, item)
) WITHOUT ROWID;

-- Steps that wait to be put on the queue.
CREATE TABLE outbox (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT    NOT NULL,
    mission TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    item    INTEGER NOT NULL,
    due_at  INTEGER NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at, id);
