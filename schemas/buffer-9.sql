-- Schema version 9 of the buffer.

-- What became of inputs: whatever of a line is no event in `events`, and the numbers of those that are.

-- Its events have numbers from first_seq to last_seq, with those of other inputs among them. NULL: an earlier schema, which did not
-- count. The digest (SHA-256) and the bytes are those of a file or of standard input that was read to its end, before unpacking.
ALTER TABLE inputs ADD COLUMN first_seq INTEGER;
ALTER TABLE inputs ADD COLUMN last_seq INTEGER;
ALTER TABLE inputs ADD COLUMN stored INTEGER;
ALTER TABLE inputs ADD COLUMN duplicates INTEGER;
ALTER TABLE inputs ADD COLUMN conflicts INTEGER;
ALTER TABLE inputs ADD COLUMN rejected INTEGER;
ALTER TABLE inputs ADD COLUMN bytes INTEGER;
ALTER TABLE inputs ADD COLUMN digest BLOB;
ALTER TABLE inputs ADD COLUMN ended_at INTEGER;

-- Events that came again and were not stored: `events` lines of an input from `line` on, each with the event whose number is as far
-- behind `seq`. Many of one batch are not all kept.
CREATE TABLE repeats (
    seq         INTEGER NOT NULL,
    input       INTEGER NOT NULL REFERENCES inputs,
    line        INTEGER NOT NULL,
    events      INTEGER NOT NULL CHECK (events > 0),
    is_conflict INTEGER NOT NULL,                              -- 1: its content was another one
    PRIMARY KEY (seq, input, line)
) WITHOUT ROWID, STRICT;

-- Attempts that no SUCCESS answered, in the order of recording; a delivery stands in `delivered`. Kept for retention_days.
CREATE TABLE attempts (
    attempt INTEGER PRIMARY KEY,
    seq     INTEGER NOT NULL,
    run     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    reply   TEXT NOT NULL                                      -- or why there is none
) STRICT;

CREATE INDEX attempts_of_events ON attempts (seq);
