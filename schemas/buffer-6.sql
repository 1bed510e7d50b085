-- Schema version 6 of the buffer: what was read, what stands in the way, and since when.

-- Exchanges and visitors: the versions of the rules by which they are told apart.

-- Before this sequence number, events of exchanges have identities of version 1, which are looked up and never written again. A
-- buffer that is new has none.
INSERT INTO facts (name, value) SELECT 'exchanges_1_before', value FROM facts WHERE name = 'next_seq';

-- By which rules a visitor is made of an event is part of what hits look like: what was sent under version 1 is repeated under it,
-- for ever. From here on every suite makes its visitors by version 2.
CREATE TABLE forms_6 (
    form          INTEGER PRIMARY KEY,
    rsid          TEXT NOT NULL,
    identity      TEXT NOT NULL CHECK (identity IN ('mvpd_user_id', 'ecid')),
    org_id        TEXT NOT NULL,                               -- '' where the suite has none
    event_ids     TEXT NOT NULL CHECK (event_ids IN ('on', 'off')),
    count_form    TEXT NOT NULL CHECK (count_form IN ('single_hits', 'count_with_id')),
    visitor_rules INTEGER NOT NULL CHECK (visitor_rules > 0),
    UNIQUE (rsid, identity, org_id, event_ids, count_form, visitor_rules)
) STRICT;

INSERT INTO forms_6 SELECT form, rsid, identity, org_id, event_ids, count_form, 1 FROM forms;

-- The only table that is replaced: foreign keys are off meanwhile, and checked at the end.
DROP TABLE forms;
ALTER TABLE forms_6 RENAME TO forms;

INSERT INTO forms (rsid, identity, org_id, event_ids, count_form, visitor_rules)
SELECT rsid, identity, org_id, event_ids, count_form, 2 FROM forms WHERE form IN (SELECT form FROM suites);

UPDATE suites SET form = (
    SELECT new.form FROM forms old
    JOIN forms new ON new.rsid = old.rsid AND new.identity = old.identity AND new.org_id = old.org_id
        AND new.event_ids = old.event_ids AND new.count_form = old.count_form AND new.visitor_rules = 2
    WHERE old.form = suites.form);

-- ESM: what it stated beside its counts.

-- The unique accounts of an hour (minute, day, month) as ESM stated them, the latest word on each. They name nobody, and are
-- kept for ever, as counts are. No two of them can be added up: the same viewer may be in both.
CREATE TABLE esm_accounts (
    starts_at  INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    requestor  INTEGER NOT NULL REFERENCES requestors,
    mvpd       TEXT NOT NULL,                                  -- '' where there is none
    dimensions TEXT NOT NULL,                                  -- what else the report groups by: lines of name=value
    accounts   INTEGER NOT NULL,
    PRIMARY KEY (starts_at, ends_at, requestor, mvpd, dimensions)
) WITHOUT ROWID, STRICT;

-- Suites: the verdict of the last check and probe.

-- Why nothing is sent to an active suite: its hits are known to be lost. NULL: no such thing is known, or a person overruled it.
ALTER TABLE suites ADD COLUMN blocked TEXT;

-- What the last check and probe of a suite came to. No row: nobody has checked it. A retired suite loses its own.
CREATE TABLE verdicts (
    suite      INTEGER PRIMARY KEY REFERENCES suites,
    checked_at INTEGER NOT NULL,
    open       INTEGER NOT NULL,                               -- items that are wrong, warned of or not known
    proved_at  INTEGER,                                        -- the oldest proof that an item rests on; NULL: none does
    void       TEXT,                                           -- why a proof does not count any more; NULL: none is void
    overruled  TEXT,                                           -- the reason that `suite resume --anyway` overruled
    seen       TEXT NOT NULL                                   -- JSON: what the API and the settings file showed, and when
) STRICT;

-- Runs: what stopped a host or a suite, and since when, stands in the summary of each run. What each visitor was sent last is no longer
-- kept beside `delivered`: telling late events cost more than sending them.
DROP TABLE sent_visitors;
DROP TABLE sent_chunks;

-- Arrivals: when events came in.

-- Events with a seq up to last_seq, behind the row before, came in within a minute from this instant on. NULL: before this
-- schema, and their inputs say when.
CREATE TABLE arrivals (
    last_seq INTEGER PRIMARY KEY,
    at       INTEGER
) STRICT;

INSERT INTO arrivals (last_seq, at) SELECT value - 1, NULL FROM facts WHERE name = 'next_seq' AND value > 1;

-- When a live event of a requestor came in last, and one was delivered last. NULL: never, or before this schema.
CREATE TABLE traffic (
    requestor    INTEGER PRIMARY KEY REFERENCES requestors,
    arrived_at   INTEGER,
    delivered_at INTEGER
) STRICT;

-- Before this schema an event came in after it had happened.
INSERT INTO traffic (requestor, arrived_at) SELECT requestor, max(hour) * 3600000000000 FROM ledger GROUP BY requestor;

CREATE INDEX dead_letters_by_time ON dead_letters (died_at);

-- Rejects: what was kept of rejected lines.

-- Rejected lines of files, by a keyed digest of path, line and text, and the file of rejects that has each: one that is read
-- again is not kept again while that file is there.
CREATE TABLE kept_rejects (
    digest BLOB PRIMARY KEY,
    file   TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE INDEX kept_rejects_of_files ON kept_rejects (file);
