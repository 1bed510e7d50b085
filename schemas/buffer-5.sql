-- The buffer of passbridge, schema version 5.

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
