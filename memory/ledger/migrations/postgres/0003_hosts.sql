-- Who leads: a lease with a term that only grows. Not derived from events.
CREATE TABLE leaders (
    office     text COLLATE "C" PRIMARY KEY,
    term       bigint NOT NULL,
    holder     text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL
);

-- The oldest schema whose programs may work here. A migration that only adds leaves
-- it alone; one that would lead older programs astray sets its own number.
CREATE TABLE compat (
    oldest bigint NOT NULL
);
INSERT INTO compat (oldest) VALUES (3);

-- The line that a step stands in: lane, priority and tenant. Steps of before take
-- the usual one. A process of the version before writes none, and need not.
ALTER TABLE steps ADD COLUMN flow text COLLATE "C" NOT NULL DEFAULT '';
UPDATE steps SET flow = 'light/normal/' || tenant;
CREATE INDEX steps_flow ON steps (flow, ready_at, mission, n, item) WHERE state = 'ready';

ALTER TABLE outbox ADD COLUMN flow text COLLATE "C" NOT NULL DEFAULT '';
UPDATE outbox SET flow = 'light/normal/' || tenant;
CREATE INDEX outbox_flow ON outbox (flow, due_at, mission, n, item);

-- The planned steps of a mission, among the ten thousand instances of one of them.
CREATE INDEX steps_heads ON steps (mission, n) WHERE item = 0;
