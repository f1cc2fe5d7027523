-- Who leads: a lease with a term that only grows. Not derived from events.
CREATE TABLE leaders (
    office     TEXT    NOT NULL PRIMARY KEY,
    term       INTEGER NOT NULL,
    holder     TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The oldest schema whose programs may work here. A migration that only adds leaves
-- it alone; one that would lead older programs astray sets its own number.
CREATE TABLE compat (
    oldest INTEGER NOT NULL
);
INSERT INTO compat (oldest) VALUES (3);

-- The line that a step stands in: lane, priority and tenant. Steps of before take
-- the usual one.
ALTER TABLE steps ADD COLUMN flow TEXT NOT NULL DEFAULT '';
UPDATE steps SET flow = 'light/normal/' || tenant;
CREATE INDEX steps_flow ON steps (flow, ready_at, mission, n, item) WHERE state = 'ready';

ALTER TABLE outbox ADD COLUMN flow TEXT NOT NULL DEFAULT '';
UPDATE outbox SET flow = 'light/normal/' || tenant;
CREATE INDEX outbox_flow ON outbox (flow, due_at, mission, n, item);

-- The planned steps of a mission, among the ten thousand instances of one of them.
CREATE INDEX steps_heads ON steps (mission, n) WHERE item = 0;
