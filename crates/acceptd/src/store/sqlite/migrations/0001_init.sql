-- The store's first schema. docs/storage.md says what each table and index is for.
-- `ordinal` is the dense part of an id (48 bits milliseconds, 15 bits counter): unique, ascending with age.
-- Instants are microseconds since 1970 in UTC.

CREATE TABLE consumers (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    last_served INTEGER,
    policy      TEXT                         -- how its deliveries wait, as JSON
) STRICT;

CREATE TABLE nodes (
    id        INTEGER PRIMARY KEY,
    node      BLOB    NOT NULL UNIQUE,
    heartbeat INTEGER NOT NULL
) STRICT;

CREATE TABLE serving (
    node     INTEGER NOT NULL,
    consumer INTEGER NOT NULL,
    PRIMARY KEY (node, consumer)
) STRICT, WITHOUT ROWID;

CREATE TABLE closures (
    id       INTEGER PRIMARY KEY,
    consumer INTEGER NOT NULL,
    gate     INTEGER NOT NULL,               -- 0 pause, 1 no consumer
    since    INTEGER NOT NULL,
    until    INTEGER,
    by       TEXT    NOT NULL,
    reason   TEXT    NOT NULL
) STRICT;
CREATE INDEX closures_consumer ON closures (consumer, since);

CREATE TABLE limits (
    name     TEXT PRIMARY KEY,
    declared TEXT NOT NULL,                  -- as JSON
    change   TEXT,                           -- what was changed at run time, as JSON
    pause    TEXT                            -- of all of it, as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE limit_keys (
    name  TEXT    NOT NULL,
    key   TEXT    NOT NULL,
    tat   INTEGER NOT NULL,                  -- the theoretical arrival time of its rate, in nanoseconds
    pause TEXT,
    adapt TEXT,                              -- the rate it has found, as JSON
    ramp  INTEGER,                           -- after a pause without a rate: how many may run
    PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;

-- Slots beside those of running deliveries: permits within attempts, and attempts whose end nobody will hear of.
CREATE TABLE holds (
    name     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    delivery BLOB    NOT NULL,
    fence    INTEGER NOT NULL,
    permit   INTEGER NOT NULL,
    operation BLOB   NOT NULL,
    consumer TEXT    NOT NULL,
    since    INTEGER NOT NULL,
    until    INTEGER,
    PRIMARY KEY (delivery, fence, permit, name, key)
) STRICT, WITHOUT ROWID;

-- When the store's time and the machine's uptime were last read together: tells whether the clock was set since.
CREATE TABLE uptime (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    boot   TEXT    NOT NULL,
    micros INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE TABLE operations (
    ordinal            INTEGER PRIMARY KEY,
    id                 BLOB    NOT NULL,
    span               INTEGER NOT NULL,     -- its root events and deliveries have the next so many ordinals
    kind               TEXT    NOT NULL,
    owner              TEXT,
    priority           INTEGER NOT NULL,
    created            INTEGER NOT NULL,
    started            INTEGER,
    updated            INTEGER NOT NULL,
    ended              INTEGER,
    ending             INTEGER,              -- 2 succeeded, 3 failed, 4 canceled
    closed             INTEGER,              -- = ended, once nothing of it is live or dead
    tracked_total      INTEGER NOT NULL,
    tracked_done       INTEGER NOT NULL,
    tracked_dead       INTEGER NOT NULL,
    tracked_canceled   INTEGER NOT NULL,
    untracked_total    INTEGER NOT NULL,
    untracked_done     INTEGER NOT NULL,
    untracked_dead     INTEGER NOT NULL,
    untracked_canceled INTEGER NOT NULL,
    unrouted           INTEGER NOT NULL,
    inbox_live         INTEGER NOT NULL,
    told               INTEGER NOT NULL,
    failure            TEXT
) STRICT;
CREATE INDEX operations_owner ON operations (owner) WHERE owner IS NOT NULL;
CREATE INDEX operations_started ON operations (ended) WHERE ended IS NULL AND started IS NOT NULL;
CREATE INDEX operations_unwell ON operations (ending) WHERE ending IN (3, 4);
CREATE INDEX operations_closed ON operations (closed) WHERE closed IS NOT NULL;

CREATE TABLE events (
    ordinal      INTEGER PRIMARY KEY,
    id           BLOB    NOT NULL,
    operation    BLOB    NOT NULL,
    later        INTEGER,                    -- its operation's ordinal, unless it is a root event
    unrouted     INTEGER,                    -- due time of its deliveries to come, while no consumer takes it
    cause        TEXT,
    depth        INTEGER NOT NULL,
    accepted     INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    given_id     TEXT,
    subject      TEXT,
    time         INTEGER,
    dataschema   TEXT,
    extensions   TEXT,
    content_type TEXT,
    data         BLOB
) STRICT;
CREATE UNIQUE INDEX events_given ON events (given_id, source) WHERE given_id IS NOT NULL AND depth = 0;
CREATE INDEX events_later ON events (later) WHERE later IS NOT NULL;
CREATE INDEX events_unrouted ON events (kind) WHERE unrouted IS NOT NULL;

CREATE TABLE deliveries (
    ordinal         INTEGER PRIMARY KEY,
    id              BLOB    NOT NULL,
    operation       BLOB    NOT NULL,
    event           BLOB    NOT NULL,
    later           INTEGER,                 -- its operation's ordinal, unless it was made by the accept
    consumer        INTEGER NOT NULL,
    weight          INTEGER NOT NULL,        -- 0 tracked, 1 untracked, 2 inbox
    priority        INTEGER NOT NULL,
    state           INTEGER NOT NULL,        -- 0 waiting, 1 running, 2 done, 3 dead, 4 canceled
    attempts        INTEGER NOT NULL,
    max_attempts    INTEGER NOT NULL,
    fence           INTEGER NOT NULL,
    since           INTEGER NOT NULL,
    due             INTEGER NOT NULL,
    waiting_since   INTEGER NOT NULL,
    node            INTEGER,
    lease           INTEGER,
    throttled_since INTEGER,
    progress        TEXT,
    grp             TEXT    NOT NULL,        -- the keys of its limits
    turn            TEXT    NOT NULL,        -- who takes turns in the group
    ordered         INTEGER NOT NULL,
    ready           INTEGER NOT NULL,        -- whether it was due when it was last looked at
    deadline        INTEGER,
    held_by         TEXT
) STRICT;
CREATE INDEX deliveries_ready ON deliveries (consumer, grp, turn, priority DESC, due) WHERE state = 0 AND ready = 1;
CREATE INDEX deliveries_due ON deliveries (consumer, due) WHERE state = 0 AND ready = 0;
CREATE INDEX deliveries_ordered ON deliveries (consumer, grp, state DESC) WHERE ordered = 1 AND state < 2;
CREATE INDEX deliveries_running ON deliveries (node, lease, consumer) WHERE state = 1;
CREATE INDEX deliveries_dead ON deliveries (state) WHERE state = 3;
CREATE INDEX deliveries_later ON deliveries (later) WHERE later IS NOT NULL;

CREATE TABLE attempts (
    delivery      INTEGER NOT NULL,          -- the delivery's ordinal
    fence         INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    node          INTEGER,
    waiting_since INTEGER NOT NULL,
    due           INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    ended         INTEGER NOT NULL,
    ending        INTEGER NOT NULL,          -- 0 done, 1 retry, 2 snoozed, 3 throttled, 4 released, 5 dead, 6 canceled, 7 lost
    failure       TEXT,
    held_by       TEXT,
    PRIMARY KEY (delivery, fence)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
    delivery     INTEGER PRIMARY KEY,
    content_type TEXT NOT NULL,
    data         BLOB NOT NULL
) STRICT;

CREATE TABLE steps (
    delivery INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    value    BLOB    NOT NULL,
    PRIMARY KEY (delivery, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
    ordinal   INTEGER PRIMARY KEY,
    id        BLOB    NOT NULL,
    owner     TEXT,
    operation BLOB    NOT NULL,
    title     TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    level     INTEGER NOT NULL,              -- 0 info, 1 success, 2 warning, 3 error
    created   INTEGER NOT NULL,
    read      INTEGER
) STRICT;
CREATE INDEX notifications_owner ON notifications (owner) WHERE owner IS NOT NULL;
CREATE INDEX notifications_operation ON notifications (operation);

CREATE TABLE idempotency (
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    operation   BLOB    NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires);
