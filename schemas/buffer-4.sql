-- The buffer of passbridge, schema version 4: backfills. Events of a backfill carry its number in `events.job` and wait under it in `queue`.
--
--        queue (job) ── bulk_rows ──> file on disk ── upload ──> received ──> delivered, dead_letters
--            ^                                           └─ nothing went in: the rows are let go
--            └───────────────────────────────────────────────────┘

-- Whose drain a run was: 0 is live, anything else a backfill's.
ALTER TABLE runs ADD COLUMN job INTEGER NOT NULL DEFAULT 0;

-- 1: with the rest of its backfill, which may bring it back.
ALTER TABLE discarded ADD COLUMN by_cancel INTEGER NOT NULL DEFAULT 0;

CREATE TABLE jobs (
    job         INTEGER PRIMARY KEY AUTOINCREMENT,             -- never used twice: events remember it
    name        TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL CHECK (state IN ('planned', 'running', 'paused', 'done', 'cancelled')),
    route       TEXT NOT NULL CHECK (route IN ('dia', 'bulk')),
    rate        INTEGER CHECK (rate > 0),                      -- hits, or rows, a second; NULL: what the configuration says
    hours       TEXT,                                          -- such as 22:00-06:00; NULL: always
    groups      INTEGER CHECK (groups > 0),                    -- visitor groups of a suite; NULL before the first file
    is_valid    INTEGER NOT NULL DEFAULT 0,                    -- 1: a file of it was found valid
    events      INTEGER NOT NULL DEFAULT 0,                    -- events that it has brought
    created_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE TABLE job_inputs (
    job    INTEGER NOT NULL REFERENCES jobs,
    number INTEGER NOT NULL,
    source TEXT NOT NULL,                                      -- JSON: a file and its format, or a span of events in the buffer
    counts TEXT,                                               -- JSON, once all of it is loaded
    PRIMARY KEY (job, number)
) WITHOUT ROWID, STRICT;

-- Files of the Bulk Data Insertion API. 'written': never sent; 'sent': the answer is not recorded; 'received': its rows are
-- being settled; 'done': they are. 'stuck': it is in, but Adobe refused rows that it does not name.
CREATE TABLE bulk_files (
    file          INTEGER PRIMARY KEY AUTOINCREMENT,
    job           INTEGER NOT NULL REFERENCES jobs,
    visitor_group TEXT NOT NULL,
    key           TEXT NOT NULL,                               -- the digest of its rows
    path          TEXT NOT NULL,
    rows          INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('written', 'sent', 'stuck', 'received', 'done')),
    sent_at       INTEGER,                                     -- when its upload last began
    invalid_rows  INTEGER NOT NULL DEFAULT 0,                  -- rows that Adobe refused
    unnamed_rows  INTEGER NOT NULL DEFAULT 0,                  -- those of them that nobody can name
    is_looked_up  INTEGER NOT NULL DEFAULT 0                   -- 1: only a look-up says that it is in, and nobody which rows are
) STRICT;

-- When each visitor group was last sent a file, and of how many rows: outlives the files.
CREATE TABLE bulk_groups (
    visitor_group TEXT PRIMARY KEY,
    sent_at       INTEGER NOT NULL,
    rows          INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- The events of the files that are not done: where in its file each begins, and how many rows it has there.
CREATE TABLE bulk_rows (
    seq     INTEGER PRIMARY KEY,
    file    INTEGER NOT NULL REFERENCES bulk_files,
    row     INTEGER NOT NULL,
    rows    INTEGER NOT NULL,
    form    INTEGER NOT NULL REFERENCES forms,
    visitor INTEGER NOT NULL,
    refused INTEGER NOT NULL DEFAULT 0,                        -- how many of its rows Adobe refused
    reason  TEXT                                               -- and why
) STRICT;

CREATE INDEX bulk_rows_of_files ON bulk_rows (file, row);
