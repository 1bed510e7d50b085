-- The buffer of passbridge, schema version 1. SQLite, WAL mode.
--
-- One table is open to other programs: inbox. Every other table is private and may change with a numbered migration.
-- Instants are nanoseconds since the Unix epoch in UTC; hours and days count from the same epoch. Sequence numbers (seq)
-- go up in the order of arrival and are never used twice.
--
--        inbox, files ──> events + identities + queue                    ingested
--                                    │
--        queue ── claims ──> delivered                                   a 2xx that said SUCCESS
--          │  ^     │
--          │  │     └──────> doubts (still in queue: in doubt)           a break after the first byte
--          │  │                 └──> held                                in doubt, and the policy says do not repeat
--          │  └── requeue ── dead_letters, held
--          └───────────────> dead_letters ──> discarded                  a reply about the event
--
-- An event is in exactly one of queue, delivered, dead_letters, held and discarded; `passbridge status --verify` recounts.

-- One canonical event as JSON per row. INSERT here from any program; `drain` and `run` move it on.
CREATE TABLE inbox (
    body TEXT
);

-- Small facts: the next sequence number, the clock as last seen, the over-count of events that have expired.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- Requestors by number, so that a million events do not each carry the name.
CREATE TABLE requestors (
    requestor    INTEGER PRIMARY KEY,
    requestor_id TEXT NOT NULL UNIQUE
) STRICT;

-- What hits looked like: one row per combination ever used, never changed, so that a repeat can be sent as its first attempt.
CREATE TABLE forms (
    form       INTEGER PRIMARY KEY,
    rsid       TEXT NOT NULL,
    identity   TEXT NOT NULL CHECK (identity IN ('mvpd_user_id', 'ecid')),
    org_id     TEXT NOT NULL,                                  -- '' where the suite has none
    event_ids  TEXT NOT NULL CHECK (event_ids IN ('on', 'off')),
    count_form TEXT NOT NULL CHECK (count_form IN ('single_hits', 'count_with_id')),
    UNIQUE (rsid, identity, org_id, event_ids, count_form)
) STRICT;

CREATE TABLE suites (
    suite           INTEGER PRIMARY KEY,
    rsid            TEXT NOT NULL UNIQUE,
    form            INTEGER NOT NULL REFERENCES forms,
    collection_url  TEXT NOT NULL,
    on_ambiguous    TEXT NOT NULL CHECK (on_ambiguous IN ('retry', 'hold')),
    hits_per_second INTEGER CHECK (hits_per_second > 0),       -- NULL: no limit
    state           TEXT NOT NULL CHECK (state IN ('active', 'paused', 'retired'))
) STRICT;

-- The primary key is the promise that one requestor maps to one suite.
CREATE TABLE mappings (
    requestor INTEGER PRIMARY KEY REFERENCES requestors,
    suite     INTEGER NOT NULL REFERENCES suites
) STRICT;

-- Where events came from, for messages that name both lines of a conflict.
CREATE TABLE inputs (
    input     INTEGER PRIMARY KEY,
    path      TEXT NOT NULL,
    opened_at INTEGER NOT NULL
) STRICT;

-- The events themselves: written once, never updated, deleted by retention or erasure.
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL,
    requestor   INTEGER NOT NULL,
    slot        INTEGER NOT NULL,                              -- 7 is event7
    occurred_at INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    job         INTEGER NOT NULL,                              -- 0: live, else the backfill that brought it
    input       INTEGER NOT NULL,
    line        INTEGER NOT NULL,
    body        TEXT NOT NULL                                  -- JSON: event_id and the other properties
) STRICT;

-- Every event ever seen within dedup_days, by its 16-byte identity. After retention or erasure the row stays as a tombstone.
CREATE TABLE identities (
    id        BLOB PRIMARY KEY,
    content   INTEGER,                                         -- digest: tells a duplicate from a conflict
    seq       INTEGER,                                         -- NULL: a tombstone
    buried_on INTEGER                                          -- the day since when it is one
) WITHOUT ROWID, STRICT;

CREATE INDEX tombstones ON identities (buried_on) WHERE buried_on IS NOT NULL;

-- What waits, in the order in which it goes: narrow, so that ten million rows cost little to walk.
CREATE TABLE queue (
    job         INTEGER NOT NULL,
    requestor   INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (job, requestor, occurred_at, seq)
) WITHOUT ROWID, STRICT;

-- Attempts whose first byte may be on the wire and whose outcome is not recorded: at most two a lane.
CREATE TABLE claims (
    seq  INTEGER PRIMARY KEY,
    form INTEGER NOT NULL REFERENCES forms,
    run  INTEGER NOT NULL
) STRICT;

-- Events with attempts of unknown outcome, and the form of those attempts. Kept after delivery: they are the over-count.
CREATE TABLE doubts (
    seq      INTEGER PRIMARY KEY,
    form     INTEGER NOT NULL REFERENCES forms,
    attempts INTEGER NOT NULL CHECK (attempts > 0),
    last_at  INTEGER NOT NULL,
    cause    TEXT NOT NULL,
    wanted   INTEGER NOT NULL DEFAULT 0                        -- 1: a person wants the repeat, whatever the policy says
) STRICT;

-- Append-only, in the order of recording.
CREATE TABLE delivered (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,            -- never used twice: sent_chunks remembers it
    seq          INTEGER NOT NULL,
    occurred_at  INTEGER NOT NULL,
    visitor      INTEGER,                                      -- digest of suite and visitor; NULL: settled by hand
    delivered_at INTEGER NOT NULL,
    run          INTEGER                                       -- NULL: settled by hand
) STRICT;

CREATE TABLE dead_letters (
    seq     INTEGER PRIMARY KEY,
    reason  TEXT NOT NULL,
    form    INTEGER REFERENCES forms,
    died_at INTEGER NOT NULL,
    run     INTEGER NOT NULL
) STRICT;

CREATE TABLE held (
    seq     INTEGER PRIMARY KEY REFERENCES doubts,
    held_at INTEGER NOT NULL
) STRICT;

-- Deliveries that a person vouched for, not a reply.
CREATE TABLE settled (
    seq INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE discarded (
    seq          INTEGER PRIMARY KEY,
    discarded_at INTEGER NOT NULL
) STRICT;

-- Counters per requestor, event and UTC hour of occurred_at, in events and in units (the sum of count), changed in the
-- transaction that moves the rows. The database itself refuses an account that does not balance.
CREATE TABLE ledger (
    requestor                INTEGER NOT NULL,
    slot                     INTEGER NOT NULL,
    hour                     INTEGER NOT NULL,
    ingested_events          INTEGER NOT NULL, ingested_units          INTEGER NOT NULL,
    pending_events           INTEGER NOT NULL, pending_units           INTEGER NOT NULL,
    delivered_events         INTEGER NOT NULL, delivered_units         INTEGER NOT NULL,
    dead_events              INTEGER NOT NULL, dead_units              INTEGER NOT NULL,
    held_events              INTEGER NOT NULL, held_units              INTEGER NOT NULL,
    discarded_events         INTEGER NOT NULL, discarded_units         INTEGER NOT NULL,
    expired_delivered_events INTEGER NOT NULL, expired_delivered_units INTEGER NOT NULL,
    expired_discarded_events INTEGER NOT NULL, expired_discarded_units INTEGER NOT NULL,
    erased_events            INTEGER NOT NULL, erased_units            INTEGER NOT NULL,
    PRIMARY KEY (requestor, slot, hour),
    CHECK (ingested_events = pending_events + delivered_events + dead_events + held_events + discarded_events
                             + expired_delivered_events + expired_discarded_events + erased_events),
    CHECK (ingested_units = pending_units + delivered_units + dead_units + held_units + discarded_units
                            + expired_delivered_units + expired_discarded_units + erased_units),
    CHECK (min(pending_events, delivered_events, dead_events, held_events, discarded_events) >= 0),
    CHECK (min(pending_units, delivered_units, dead_units, held_units, discarded_units) >= 0)
) WITHOUT ROWID, STRICT;

-- One row per drain.
CREATE TABLE runs (
    run         INTEGER PRIMARY KEY,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,                                       -- NULL: under way, or ended by a crash
    summary     TEXT                                           -- JSON, as `drain --json` prints it
) STRICT;

-- The latest event that each visitor was sent, folded from `delivered` in chunks: tells a late event from one in order.
CREATE TABLE sent_chunks (
    chunk              INTEGER PRIMARY KEY,
    last_n             INTEGER NOT NULL,
    latest_occurred_at INTEGER NOT NULL,
    folded_at          INTEGER NOT NULL
) STRICT;

CREATE TABLE sent_visitors (
    chunk       INTEGER NOT NULL REFERENCES sent_chunks,
    visitor     INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    PRIMARY KEY (chunk, visitor)
) WITHOUT ROWID, STRICT;
