-- Schema version 9 of the buffer.

-- What became of inputs: whatever of a line is no event in `events`, and the numbers of those that are.

-- Its events have numbers from first_seq to last_seq, with those of other inputs among them. NULL: an earlier schema, which did not
-- count. An input that was not read to its end, or is still open, has no ended_at, bytes and digest (SHA-256, before unpacking).
ALTER TABLE inputs ADD COLUMN first_seq INTEGER;
ALTER TABLE inputs ADD COLUMN last_seq INTEGER;
ALTER TABLE inputs ADD COLUMN stored INTEGER;
ALTER TABLE inputs ADD COLUMN duplicates INTEGER;
ALTER TABLE inputs ADD COLUMN conflicts INTEGER;
ALTER TABLE inputs ADD COLUMN rejected INTEGER;
ALTER TABLE inputs ADD COLUMN bytes INTEGER;
ALTER TABLE inputs ADD COLUMN digest BLOB;
ALTER TABLE inputs ADD COLUMN ended_at INTEGER;
ALTER TABLE inputs ADD COLUMN summary TEXT;                    -- JSON, as `ingest --json` prints it; NULL: HTTP, and before the end

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

-- Taking back: pending events that go back to where they came from, as if they had never come in.

-- The account gets a term of its own for them. The ledger has a row per requestor, event and hour, so that replacing it is fast.
CREATE TABLE ledger_9 (
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
    taken_back_events        INTEGER NOT NULL, taken_back_units        INTEGER NOT NULL,
    PRIMARY KEY (requestor, slot, hour),
    CHECK (ingested_events = pending_events + delivered_events + dead_events + held_events + discarded_events
                             + expired_delivered_events + expired_discarded_events + erased_events + taken_back_events),
    CHECK (ingested_units = pending_units + delivered_units + dead_units + held_units + discarded_units
                            + expired_delivered_units + expired_discarded_units + erased_units + taken_back_units),
    CHECK (min(pending_events, delivered_events, dead_events, held_events, discarded_events, taken_back_events) >= 0),
    CHECK (min(pending_units, delivered_units, dead_units, held_units, discarded_units, taken_back_units) >= 0)
) WITHOUT ROWID, STRICT;

INSERT INTO ledger_9 SELECT *, 0, 0 FROM ledger;
DROP TABLE ledger;
ALTER TABLE ledger_9 RENAME TO ledger;

-- The UTC days of requestors whose users in metric_users are still to be counted without the events that were taken back. Of a
-- day of which retention or an erasure has deleted events, that is never possible: the row stays, and `report` says so.
CREATE TABLE metric_users_stale (
    requestor INTEGER NOT NULL REFERENCES requestors,
    day       INTEGER NOT NULL,
    PRIMARY KEY (requestor, day)
) WITHOUT ROWID, STRICT;

-- The part of metric_withdrawn that a person had discarded, from this schema on.
CREATE TABLE metric_discarded (
    hour         INTEGER NOT NULL,
    metric_group INTEGER NOT NULL,
    slot         INTEGER NOT NULL,
    units_00     INTEGER NOT NULL,
    units_15     INTEGER NOT NULL,
    units_30     INTEGER NOT NULL,
    units_45     INTEGER NOT NULL,
    PRIMARY KEY (hour, metric_group, slot)
) WITHOUT ROWID, STRICT;

-- Which input wrote a row of source_memory last. NULL: one before this schema.
ALTER TABLE source_memory ADD COLUMN input INTEGER;

-- The rows of source_memory as they were before the newest input of exchanges changed them: so that input can be taken back.
-- The fact 'newest_exchanges' is its number, and negative where it cannot be taken back.
CREATE TABLE source_memory_before (
    key      BLOB PRIMARY KEY,
    drops_at INTEGER NOT NULL,
    body     TEXT NOT NULL,
    input    INTEGER
) WITHOUT ROWID, STRICT;

-- Inputs up to this number may have had exchanges of which nothing says so.
INSERT INTO facts (name, value) SELECT 'inputs_before_9', max(input) FROM inputs WHERE true HAVING max(input) IS NOT NULL;

-- Partly sent: an event of several hits of which the first hits_sent were answered SUCCESS, in this form. It goes on at the next one. With
-- attempts 0 nothing of it is in doubt.
CREATE TABLE doubts_9 (
    seq       INTEGER PRIMARY KEY,
    form      INTEGER NOT NULL REFERENCES forms,
    attempts  INTEGER NOT NULL CHECK (attempts >= 0),          -- of unknown outcome
    last_at   INTEGER NOT NULL,
    cause     TEXT NOT NULL,
    wanted    INTEGER NOT NULL DEFAULT 0,                      -- 1: a person wants the repeat, whatever the policy says
    hits_sent INTEGER NOT NULL DEFAULT 0,
    CHECK (attempts + hits_sent > 0)
) STRICT;

INSERT INTO doubts_9 SELECT *, 0 FROM doubts;
DROP TABLE doubts;
ALTER TABLE doubts_9 RENAME TO doubts;
-- What a backfill was planned as, as `backfill plan --json` printed it. NULL: an earlier schema.
ALTER TABLE jobs ADD COLUMN plan TEXT;

-- Server calls of a backfill: those that the drains of its runs sent; and when its sending began last, how many were planned in all, and
-- how many were left. NULL: its sending never began in this schema.
ALTER TABLE jobs ADD COLUMN calls_sent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN calls_planned INTEGER;
ALTER TABLE jobs ADD COLUMN calls_left INTEGER;
ALTER TABLE jobs ADD COLUMN sending_at INTEGER;

-- Reading doors: the views that begin with v_ are open to every program that reads SQLite. Their columns keep their names and meanings;
-- later versions may add columns at the end. Instants in them are text in UTC with milliseconds, such as 2026-11-20T08:30:00.000Z.

-- The names of the kinds of events, for the views.
CREATE TABLE event_kinds (
    slot  INTEGER PRIMARY KEY,
    event TEXT NOT NULL UNIQUE
) STRICT;

INSERT INTO event_kinds (slot, event) VALUES
    (1, 'authn_requested'), (2, 'authn_pending'), (3, 'authn_ok'), (4, 'authz_requested'), (5, 'authz_ok'), (6, 'authz_failed'),
    (7, 'play_requested'), (8, 'authn_failed'), (9, 'clientless_token_ok'), (10, 'clientless_token_failed'), (11, 'play_failed'), (12, 'logout_requested'),
    (13, 'logout_completed'), (14, 'logout_failed'), (15, 'preflight_requested'), (16, 'preflight_failed'), (17, 'preflight_granted'), (18, 'preflight_denied');

-- What `export` gives beside `delivered`, in the order of recording: each time that an event became dead, held or discarded.
CREATE TABLE undelivered (
    n     INTEGER PRIMARY KEY AUTOINCREMENT,                   -- never used twice: cursors remember it
    seq   INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('dead', 'held', 'discarded')),
    at    INTEGER NOT NULL
) STRICT;

CREATE INDEX undelivered_of_events ON undelivered (seq);

INSERT INTO undelivered (seq, state, at)
SELECT seq, 'dead', died_at FROM dead_letters UNION ALL SELECT seq, 'held', held_at FROM held
UNION ALL SELECT seq, 'discarded', discarded_at FROM discarded;

CREATE TRIGGER undelivered_dead AFTER INSERT ON dead_letters BEGIN
    INSERT INTO undelivered (seq, state, at) VALUES (new.seq, 'dead', new.died_at);
END;

CREATE TRIGGER undelivered_held AFTER INSERT ON held BEGIN
    INSERT INTO undelivered (seq, state, at) VALUES (new.seq, 'held', new.held_at);
END;

CREATE TRIGGER undelivered_discarded AFTER INSERT ON discarded BEGIN
    INSERT INTO undelivered (seq, state, at) VALUES (new.seq, 'discarded', new.discarded_at);
END;

-- Whose cursors are taken: another number in each buffer, and a new one after each restore.
INSERT OR REPLACE INTO facts (name, value) VALUES ('cursor_series', random() >> 32 & 4294967295);

-- Each event that the buffer has.
CREATE VIEW v_events AS
SELECT
    e.seq AS sequence,
    CAST(lower(hex(e.id)) AS TEXT) AS event_key,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', e.occurred_at / 1000000000, 'unixepoch') || printf('.%03dZ', e.occurred_at / 1000000 % 1000) AS TEXT) AS occurred_at,
    k.event AS event,
    r.requestor_id AS requestor_id,
    e.count AS count,
    CAST(CASE
        WHEN EXISTS (SELECT 1 FROM queue q WHERE q.job = e.job AND q.requestor = e.requestor
                                             AND q.occurred_at = e.occurred_at AND q.seq = e.seq) THEN 'pending'
        WHEN EXISTS (SELECT 1 FROM dead_letters d WHERE d.seq = e.seq) THEN 'dead'
        WHEN EXISTS (SELECT 1 FROM held h WHERE h.seq = e.seq) THEN 'held'
        WHEN EXISTS (SELECT 1 FROM discarded d WHERE d.seq = e.seq) THEN 'discarded'
        ELSE 'delivered' END AS TEXT) AS state,
    e.input AS input,
    i.path AS path,
    e.line AS line,
    j.name AS backfill,
    CAST(e.body ->> 'event_id' AS TEXT) AS event_id,
    CAST(e.body ->> 'mvpd' AS TEXT) AS mvpd,
    CAST(e.body ->> 'proxy' AS TEXT) AS proxy,
    CAST(e.body ->> 'sdk_type' AS TEXT) AS sdk_type,
    CAST(e.body ->> 'sdk_version' AS TEXT) AS sdk_version,
    CAST(e.body ->> 'resource_id' AS TEXT) AS resource_id,
    CAST(e.body ->> 'authz_error_type' AS TEXT) AS authz_error_type,
    CAST(e.body ->> 'token_type' AS TEXT) AS token_type,
    CAST(e.body ->> 'clientless_device_type' AS TEXT) AS clientless_device_type,
    CAST(e.body ->> 'mvpd_user_id' AS TEXT) AS mvpd_user_id,
    CAST(e.body ->> 'device_type' AS TEXT) AS device_type,
    CAST(e.body ->> 'operating_system' AS TEXT) AS operating_system,
    CAST(e.body ->> 'primary_hardware_type' AS TEXT) AS primary_hardware_type,
    CAST(e.body ->> 'ttl' AS TEXT) AS ttl,
    CAST(e.body ->> 'authentication_type' AS TEXT) AS authentication_type,
    CAST(e.body ->> 'server_version' AS TEXT) AS server_version,
    CAST(e.body ->> 'external_auth_provider' AS TEXT) AS external_auth_provider,
    CAST(e.body ->> 'latency_ms' AS TEXT) AS latency_ms,
    CAST(e.body ->> 'visitor_id' AS TEXT) AS visitor_id,
    CAST(e.body ->> 'sso_mechanism' AS TEXT) AS sso_mechanism,
    CAST(e.body ->> 'device_model' AS TEXT) AS device_model,
    CAST(e.body ->> 'device_version' AS TEXT) AS device_version,
    CAST(e.body ->> 'device_hardware_model' AS TEXT) AS device_hardware_model,
    CAST(e.body ->> 'device_hardware_vendor' AS TEXT) AS device_hardware_vendor,
    CAST(e.body ->> 'device_hardware_manufacturer' AS TEXT) AS device_hardware_manufacturer,
    CAST(e.body ->> 'device_hardware_version' AS TEXT) AS device_hardware_version,
    CAST(e.body ->> 'device_os_name' AS TEXT) AS device_os_name,
    CAST(e.body ->> 'device_os_family' AS TEXT) AS device_os_family,
    CAST(e.body ->> 'device_os_vendor' AS TEXT) AS device_os_vendor,
    CAST(e.body ->> 'device_os_version' AS TEXT) AS device_os_version,
    CAST(e.body ->> 'device_browser_name' AS TEXT) AS device_browser_name,
    CAST(e.body ->> 'device_browser_vendor' AS TEXT) AS device_browser_vendor,
    CAST(e.body ->> 'device_browser_version' AS TEXT) AS device_browser_version,
    CAST(e.body ->> 'normalized_clientless_device_type' AS TEXT) AS normalized_clientless_device_type,
    CAST(e.body ->> 'ip_address' AS TEXT) AS ip_address,
    CAST(e.body ->> 'user_agent' AS TEXT) AS user_agent,
    CAST(e.body ->> 'device_id' AS TEXT) AS device_id,
    CAST(e.body ->> 'session_id' AS TEXT) AS session_id
FROM events e JOIN event_kinds k ON k.slot = e.slot JOIN requestors r ON r.requestor = e.requestor
LEFT JOIN inputs i ON i.input = e.input LEFT JOIN jobs j ON j.job = e.job;

-- The outcome of each event that has one, as it is now.
CREATE VIEW v_outcomes AS
SELECT
    e.seq AS sequence,
    CAST(lower(hex(e.id)) AS TEXT) AS event_key,
    CAST(e.body ->> 'event_id' AS TEXT) AS event_id,
    k.event AS event,
    r.requestor_id AS requestor_id,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', e.occurred_at / 1000000000, 'unixepoch') || printf('.%03dZ', e.occurred_at / 1000000 % 1000) AS TEXT) AS occurred_at,
    e.count AS count,
    CAST('delivered' AS TEXT) AS state,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', o.delivered_at / 1000000000, 'unixepoch') || printf('.%03dZ', o.delivered_at / 1000000 % 1000) AS TEXT) AS outcome_at,
    CAST(NULL AS TEXT) AS reason,
    CAST(o.run AS INTEGER) AS run
FROM delivered o JOIN events e ON e.seq = o.seq JOIN event_kinds k ON k.slot = e.slot JOIN requestors r ON r.requestor = e.requestor
UNION ALL
SELECT
    e.seq,
    CAST(lower(hex(e.id)) AS TEXT),
    CAST(e.body ->> 'event_id' AS TEXT),
    k.event,
    r.requestor_id,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', e.occurred_at / 1000000000, 'unixepoch') || printf('.%03dZ', e.occurred_at / 1000000 % 1000) AS TEXT),
    e.count,
    CAST('dead' AS TEXT),
    CAST(strftime('%Y-%m-%dT%H:%M:%S', o.died_at / 1000000000, 'unixepoch') || printf('.%03dZ', o.died_at / 1000000 % 1000) AS TEXT),
    CAST(o.reason AS TEXT),
    CAST(o.run AS INTEGER)
FROM dead_letters o JOIN events e ON e.seq = o.seq JOIN event_kinds k ON k.slot = e.slot JOIN requestors r ON r.requestor = e.requestor
UNION ALL
SELECT
    e.seq,
    CAST(lower(hex(e.id)) AS TEXT),
    CAST(e.body ->> 'event_id' AS TEXT),
    k.event,
    r.requestor_id,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', e.occurred_at / 1000000000, 'unixepoch') || printf('.%03dZ', e.occurred_at / 1000000 % 1000) AS TEXT),
    e.count,
    CAST('held' AS TEXT),
    CAST(strftime('%Y-%m-%dT%H:%M:%S', o.held_at / 1000000000, 'unixepoch') || printf('.%03dZ', o.held_at / 1000000 % 1000) AS TEXT),
    CAST(d.cause AS TEXT),
    CAST(NULL AS INTEGER)
FROM held o JOIN doubts d ON d.seq = o.seq JOIN events e ON e.seq = o.seq JOIN event_kinds k ON k.slot = e.slot JOIN requestors r ON r.requestor = e.requestor
UNION ALL
SELECT
    e.seq,
    CAST(lower(hex(e.id)) AS TEXT),
    CAST(e.body ->> 'event_id' AS TEXT),
    k.event,
    r.requestor_id,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', e.occurred_at / 1000000000, 'unixepoch') || printf('.%03dZ', e.occurred_at / 1000000 % 1000) AS TEXT),
    e.count,
    CAST('discarded' AS TEXT),
    CAST(strftime('%Y-%m-%dT%H:%M:%S', o.discarded_at / 1000000000, 'unixepoch') || printf('.%03dZ', o.discarded_at / 1000000 % 1000) AS TEXT),
    CAST(NULL AS TEXT),
    CAST(NULL AS INTEGER)
FROM discarded o JOIN events e ON e.seq = o.seq JOIN event_kinds k ON k.slot = e.slot JOIN requestors r ON r.requestor = e.requestor;

-- The drains; `summary` as `drain --json` prints it.
CREATE VIEW v_runs AS
SELECT
    r.run AS run,
    j.name AS backfill,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', r.started_at / 1000000000, 'unixepoch') || printf('.%03dZ', r.started_at / 1000000 % 1000) AS TEXT) AS started_at,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', r.finished_at / 1000000000, 'unixepoch') || printf('.%03dZ', r.finished_at / 1000000 % 1000) AS TEXT) AS finished_at,
    CAST(r.summary ->> 'read' AS INTEGER) AS read,
    CAST(r.summary ->> 'hits' AS INTEGER) AS hits,
    CAST(r.summary ->> 'delivered' AS INTEGER) AS delivered,
    CAST(r.summary ->> 'dead' AS INTEGER) AS dead,
    CAST(r.summary ->> 'held' AS INTEGER) AS held,
    CAST(r.summary ->> 'in_doubt' AS INTEGER) AS in_doubt,
    CAST(r.summary ->> 'retries' AS INTEGER) AS retries,
    CAST(r.summary ->> 'pending' AS INTEGER) AS pending,
    CAST(r.summary ->> 'stopped' AS TEXT) AS stopped,
    r.summary AS summary
FROM runs r LEFT JOIN jobs j ON j.job = r.job;

-- What was read: files, and the collector and the inbox by their names.
CREATE VIEW v_inputs AS
SELECT
    i.input AS input,
    i.path AS path,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', i.opened_at / 1000000000, 'unixepoch') || printf('.%03dZ', i.opened_at / 1000000 % 1000) AS TEXT) AS opened_at,
    CAST(strftime('%Y-%m-%dT%H:%M:%S', i.ended_at / 1000000000, 'unixepoch') || printf('.%03dZ', i.ended_at / 1000000 % 1000) AS TEXT) AS ended_at,
    i.bytes AS bytes,
    CAST(CASE WHEN i.digest IS NOT NULL THEN lower(hex(i.digest)) END AS TEXT) AS digest,
    i.stored AS stored,
    i.duplicates AS duplicates,
    i.conflicts AS conflicts,
    i.rejected AS rejected
FROM inputs i;

-- What `report` counts, by hour: units (the sum of count) of all events ever stored, and those of them that left undelivered.
CREATE VIEW v_metrics AS
SELECT
    CAST(strftime('%Y-%m-%dT%H:%M:%SZ', c.hour * 3600, 'unixepoch') AS TEXT) AS hour,
    r.requestor_id AS requestor_id,
    k.event AS event,
    g.mvpd AS mvpd,
    g.proxy AS proxy,
    g.sdk_type AS sdk_type,
    g.device_type AS device_type,
    g.reason AS reason,
    CAST(c.units_00 + c.units_15 + c.units_30 + c.units_45 AS INTEGER) AS units,
    CAST(coalesce(w.units_00 + w.units_15 + w.units_30 + w.units_45, 0) AS INTEGER) AS withdrawn_units
FROM metric_counts c JOIN metric_groups g ON g.metric_group = c.metric_group
JOIN requestors r ON r.requestor = g.requestor JOIN event_kinds k ON k.slot = c.slot
LEFT JOIN metric_withdrawn w ON w.hour = c.hour AND w.metric_group = c.metric_group AND w.slot = c.slot;

-- Version 4 of the rules by which a visitor is made of an event. What was sent under an earlier version is repeated under it, for
-- ever. From here on every suite makes its visitors by version 4.
INSERT OR IGNORE INTO forms (rsid, identity, org_id, event_ids, count_form, visitor_rules)
SELECT rsid, identity, org_id, event_ids, count_form, 4 FROM forms WHERE form IN (SELECT form FROM suites);

UPDATE suites SET form = (
    SELECT new.form FROM forms old
    JOIN forms new ON new.rsid = old.rsid AND new.identity = old.identity AND new.org_id = old.org_id
        AND new.event_ids = old.event_ids AND new.count_form = old.count_form AND new.visitor_rules = 4
    WHERE old.form = suites.form);
