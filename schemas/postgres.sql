-- The buffer on PostgreSQL, schema 1; postgres-2.sql and the files after it are the steps to later schemas. Private to passbridge, but for
-- what docs/many-workers.md says.
--
--   event + identity      insert-only; an event's identity is stored once, whoever ingests it
--   attempt, outcome      insert-only; an attempt without an outcome may have been counted
--   final                 one row an event that is decided: delivered > discarded > dead > held, changed by compare-and-set
--   slice                 who sends the visitors of a part of a suite; the epoch rises with each owner
--   progress, aside       what a slice has covered, and what it left undecided there
--   posting               moves of the account; each row sums to zero

CREATE SCHEMA passbridge;

CREATE TABLE passbridge.version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    schema  integer NOT NULL,
    -- The key of digests of rejected lines.
    secret  bytea NOT NULL
);

CREATE TABLE passbridge.suite (
    rsid          text PRIMARY KEY,
    -- As `suite export` writes it.
    settings      text NOT NULL,
    visitor_rules bigint NOT NULL,
    is_paused     boolean NOT NULL
);
-- Adobe does not say whether case matters, so two spellings are never two suites.
CREATE UNIQUE INDEX suite_spelling ON passbridge.suite (lower(rsid));

CREATE TABLE passbridge.requestor (
    requestor    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requestor_id text NOT NULL UNIQUE,
    -- NULL: its events are parked.
    rsid         text REFERENCES passbridge.suite
);

CREATE TABLE passbridge.input (
    input     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path      text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    ended_at  timestamptz,
    summary   text
);

CREATE TABLE passbridge.kept_reject (
    digest bytea PRIMARY KEY,
    file   text NOT NULL
);

CREATE TABLE passbridge.identity (
    id      bytea NOT NULL PRIMARY KEY,
    content bigint NOT NULL,
    seq     bigint NOT NULL,
    -- When retention deleted its event. What comes again is a duplicate all the same, for `buffer.dedup_days`.
    gone_on date
) PARTITION BY HASH (id);
CREATE INDEX identity_gone ON passbridge.identity (gone_on) WHERE gone_on IS NOT NULL;
DO $$ BEGIN
    FOR n IN 0..15 LOOP
        EXECUTE format('CREATE TABLE passbridge.identity_%s PARTITION OF passbridge.identity FOR VALUES WITH (MODULUS 16, REMAINDER %s)', n, n);
    END LOOP;
END $$;

CREATE SEQUENCE passbridge.event_seq;
CREATE TABLE passbridge.event (
    seq         bigint PRIMARY KEY,
    -- Numbers of a sequence commit out of order. What a drain covers is decided by the transaction that stored the event.
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id          bytea NOT NULL,
    requestor   integer NOT NULL REFERENCES passbridge.requestor,
    slot        smallint NOT NULL,
    -- Nanoseconds since the Unix epoch.
    occurred_at bigint NOT NULL,
    count       integer NOT NULL,
    -- The hash of its visitor, 0 to 1023, by each kind of identity. The slice of an event is this modulo 16.
    mvpd_bucket smallint NOT NULL,
    ecid_bucket smallint NOT NULL,
    input       bigint NOT NULL REFERENCES passbridge.input,
    line        bigint NOT NULL,
    body        text NOT NULL
);
CREATE INDEX event_of_mvpd_slice ON passbridge.event (requestor, (mvpd_bucket & 15), occurred_at, seq);
CREATE INDEX event_of_ecid_slice ON passbridge.event (requestor, (ecid_bucket & 15), occurred_at, seq);

CREATE TABLE passbridge.worker (
    -- Random per process start: process IDs repeat in containers, and an epoch may repeat after a failover.
    worker  text PRIMARY KEY,
    host    text NOT NULL,
    pid     integer NOT NULL,
    until   timestamptz NOT NULL,
    -- From then on, no request of this worker is under way any more, and its slices may be claimed.
    gone_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE passbridge.slice (
    rsid       text NOT NULL REFERENCES passbridge.suite,
    n          integer NOT NULL,
    owner      text,
    epoch      bigint NOT NULL DEFAULT 0,
    -- The start of the latest drain that covered the slice.
    covered_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (rsid, n)
) WITH (fillfactor = 50);

CREATE TABLE passbridge.progress (
    rsid      text NOT NULL,
    n         integer NOT NULL,
    requestor integer NOT NULL,
    -- What was visible in it is decided, or aside.
    cut       pg_snapshot NOT NULL,
    PRIMARY KEY (rsid, n, requestor)
);

CREATE TABLE passbridge.aside (
    rsid text NOT NULL,
    n    integer NOT NULL,
    seq  bigint NOT NULL,
    -- When a person said that it may be repeated, whatever became of the attempts before.
    accepted_at timestamptz,
    PRIMARY KEY (rsid, n, seq)
);

CREATE TABLE passbridge.attempt (
    seq       bigint NOT NULL,
    -- Random.
    attempt   bigint NOT NULL,
    rsid      text NOT NULL,
    n         integer NOT NULL,
    epoch     bigint NOT NULL,
    worker    text NOT NULL,
    -- The form of its hits, and of every repeat while it may have been counted.
    form      text NOT NULL,
    -- The hits before this one were counted by earlier attempts.
    first_hit integer NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (seq, attempt)
);

CREATE TABLE passbridge.outcome (
    seq       bigint NOT NULL,
    attempt   bigint NOT NULL,
    verdict   text NOT NULL CHECK (verdict IN ('delivered', 'dead', 'held', 'doubt', 'retry', 'refused', 'unsent')),
    -- How many hits of the event were counted, those of earlier attempts included.
    hits_sent integer NOT NULL,
    reason    text,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (seq, attempt)
);

CREATE TABLE passbridge.final (
    seq    bigint PRIMARY KEY,
    state  text NOT NULL CHECK (state IN ('delivered', 'discarded', 'dead', 'held')),
    reason text,
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Rows come in the order of their time.
CREATE INDEX final_by_age ON passbridge.final USING brin (at);
CREATE INDEX final_to_decide ON passbridge.final (state, at) WHERE state IN ('dead', 'held');

CREATE TABLE passbridge.posting (
    requestor        integer NOT NULL,
    slot             smallint NOT NULL,
    -- Hours since the Unix epoch, of the event's own time.
    hour             bigint NOT NULL,
    ingested_events  bigint NOT NULL DEFAULT 0,
    ingested_units   bigint NOT NULL DEFAULT 0,
    pending_events   bigint NOT NULL DEFAULT 0,
    pending_units    bigint NOT NULL DEFAULT 0,
    delivered_events bigint NOT NULL DEFAULT 0,
    delivered_units  bigint NOT NULL DEFAULT 0,
    dead_events      bigint NOT NULL DEFAULT 0,
    dead_units       bigint NOT NULL DEFAULT 0,
    held_events      bigint NOT NULL DEFAULT 0,
    held_units       bigint NOT NULL DEFAULT 0,
    discarded_events bigint NOT NULL DEFAULT 0,
    discarded_units  bigint NOT NULL DEFAULT 0,
    -- Deleted by retention, by the state that they left.
    expired_delivered_events bigint NOT NULL DEFAULT 0,
    expired_delivered_units  bigint NOT NULL DEFAULT 0,
    expired_discarded_events bigint NOT NULL DEFAULT 0,
    expired_discarded_units  bigint NOT NULL DEFAULT 0,
    -- The units of deleted events that Analytics may have counted too often.
    over_units       bigint NOT NULL DEFAULT 0,
    CHECK (ingested_events = pending_events + delivered_events + dead_events + held_events + discarded_events
           + expired_delivered_events + expired_discarded_events),
    CHECK (ingested_units = pending_units + delivered_units + dead_units + held_units + discarded_units
           + expired_delivered_units + expired_discarded_units)
);

-- The units that Analytics may have counted too often, by event: each attempt beyond the first that may have been counted.
CREATE VIEW passbridge.repeated AS
SELECT n.seq, (n.counted - 1) * e.count AS extra
FROM (SELECT a.seq, count(*) AS counted
      FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
      WHERE (o.seq IS NULL OR o.verdict IN ('doubt', 'held', 'delivered')) AND a.form::jsonb ->> 'event_ids' = 'off'
      GROUP BY a.seq HAVING count(*) > 1) n
JOIN passbridge.event e ON e.seq = n.seq;
