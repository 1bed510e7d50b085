-- Schema version 6 of the buffer: what was read, what stands in the way, and since when.

-- Exchanges and visitors: the versions of the rules by which they are told apart.

-- Before this sequence number, events of exchanges have identities of version 1, which are looked up and never written again. A
-- buffer that is new has none.
INSERT INTO facts (name, value) SELECT 'exchanges_1_before', value FROM facts WHERE name = 'next_seq';

-- ESM: what it stated beside its counts.

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

-- Rejects: what was kept of rejected lines.
