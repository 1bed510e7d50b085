-- Schema version 5 of the buffer.

-- Metrics: what `report` counts. Written in the transaction that stores an event; they outlive it, whatever becomes of it.
--
--        events ──> metric_counts (hour, group, event)            units in each quarter of the hour
--               └─> metric_users  (day)  digests of users         and the quarters of the day in which each was seen
--
-- Hours and days are UTC. Every time zone's hours begin on a quarter of one, so that any period of any zone is exact.

-- What counts are grouped by, as Analytics shows it; '' where an event has no value and there is no documented default.
CREATE TABLE metric_groups (
    metric_group INTEGER PRIMARY KEY,
    requestor    INTEGER NOT NULL REFERENCES requestors,
    mvpd         TEXT NOT NULL,
    proxy        TEXT NOT NULL,
    sdk_type     TEXT NOT NULL,
    device_type  TEXT NOT NULL,
    reason       TEXT NOT NULL,                                -- authz_error_type
    UNIQUE (requestor, mvpd, proxy, sdk_type, device_type, reason)
) STRICT;

-- Units (the sum of count) of every event ever stored, by quarter of the hour.
CREATE TABLE metric_counts (
    hour         INTEGER NOT NULL,
    metric_group INTEGER NOT NULL,
    slot         INTEGER NOT NULL,
    units_00     INTEGER NOT NULL,
    units_15     INTEGER NOT NULL,
    units_30     INTEGER NOT NULL,
    units_45     INTEGER NOT NULL,
    PRIMARY KEY (hour, metric_group, slot)
) WITHOUT ROWID, STRICT;

-- The part of them that left the buffer without having been delivered: erased before, or discarded and expired.
CREATE TABLE metric_withdrawn (
    hour         INTEGER NOT NULL,
    metric_group INTEGER NOT NULL,
    slot         INTEGER NOT NULL,
    units_00     INTEGER NOT NULL,
    units_15     INTEGER NOT NULL,
    units_30     INTEGER NOT NULL,
    units_45     INTEGER NOT NULL,
    PRIMARY KEY (hour, metric_group, slot)
) WITHOUT ROWID, STRICT;

-- The users of a day, in a few sorted packs that are merged as they grow: 24 bytes for each user and group of the day.
-- A digest (8 bytes) is keyed with the secret 'metrics' and made of the MVPD User ID alone; then the group without its reason
-- (4 bytes, the highest bit set where the ID is a synthetic one); then a bit for each quarter hour of the day (12 bytes, the
-- lowest is the first). All big endian.
CREATE TABLE metric_users (
    pack   INTEGER PRIMARY KEY,
    day    INTEGER NOT NULL,
    users  INTEGER NOT NULL,
    packed BLOB NOT NULL
) STRICT;

CREATE INDEX metric_users_of_days ON metric_users (day, pack, users);

-- Onboarding: what a suite is for, what a person vouched for, and what its probes saw.

ALTER TABLE suites ADD COLUMN stage TEXT NOT NULL DEFAULT 'production' CHECK (stage IN ('development', 'production'));

-- A person's word on what no interface shows. It holds while the suite's own settings are what they were (basis); a retired
-- suite loses its own.
CREATE TABLE confirmations (
    suite        INTEGER NOT NULL REFERENCES suites,
    item         TEXT NOT NULL,
    confirmed_by TEXT NOT NULL,
    confirmed_at INTEGER NOT NULL,
    note         TEXT NOT NULL,                                -- '' where there is none
    basis        TEXT NOT NULL,
    PRIMARY KEY (suite, item)
) WITHOUT ROWID, STRICT;

-- Canary hits are no events: nothing of them stands anywhere but here.
CREATE TABLE probes (
    probe        INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,                         -- what every value of its hits carries
    suite        INTEGER NOT NULL REFERENCES suites,
    requestor_id TEXT NOT NULL,
    form         INTEGER NOT NULL REFERENCES forms,            -- how its hits were made
    started_at   INTEGER NOT NULL,                             -- written before the first hit goes
    sent_at      INTEGER,                                      -- NULL: sending, or interrupted while sending
    read_at      INTEGER,                                      -- NULL: never read back
    report       TEXT                                          -- JSON, as `suite probe --json` prints it
) STRICT;

CREATE INDEX probes_of_suites ON probes (suite, started_at);
