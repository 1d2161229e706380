-- What was seen of each edge of the catalog, by day.

CREATE TABLE observations (
    day      INTEGER NOT NULL,               -- days since 1970
    event    TEXT    NOT NULL,               -- the type that was accepted, or delivered
    consumer TEXT    NOT NULL,               -- who got it; '' for what was accepted from outside
    emits    TEXT    NOT NULL,               -- the type that was emitted then; '' for the delivery itself
    count    INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    retried  INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    times    TEXT    NOT NULL,               -- durations counted by size, as JSON
    PRIMARY KEY (day, event, consumer, emits)
) STRICT, WITHOUT ROWID;
