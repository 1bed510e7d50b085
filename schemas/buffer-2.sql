-- Schema version 2 of the buffer: what the readers of sources remember between runs.

-- Rows under keyed digests: exchanges seen, logins under way, profiles and decisions of the Pass REST API V2. Codes, devices
-- and sessions stand in them only as digests.
CREATE TABLE source_memory (
    key      BLOB PRIMARY KEY,
    drops_at INTEGER NOT NULL,                                 -- from when on nobody asks for it
    body     TEXT NOT NULL                                     -- JSON; '' where being there says everything
) WITHOUT ROWID, STRICT;

CREATE INDEX source_memory_drops ON source_memory (drops_at);

-- What digests are keyed with: of no use to anybody without this file.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID, STRICT;
