-- Schema 2 of the buffer on PostgreSQL: the metrics, which `report` reads. They are kept for ever, and mean what they do in a
-- file (schemas/buffer-5.sql).
--
--   metric_delta       insert-only, so that no two ingests wait for a row: what a transaction added, by quarter hour
--   metric_count       what retention made of older deltas; the units of an hour are the sum of both
--   metric_users       packs of users, as in a file: retention makes one of the small ones of a day

-- The group in which its units count. NULL: stored before this schema, and not counted yet. A program of schema 1 that still runs
-- fails, where it would store an event without counting it, or delete one that is not counted yet.
ALTER TABLE passbridge.event
    ADD COLUMN metric_group integer,
    ADD CONSTRAINT event_is_counted CHECK (metric_group IS NOT NULL) NOT VALID;
CREATE FUNCTION passbridge.refuse_uncounted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'event % is not counted in the metrics yet, so it stays', OLD.seq;
END $$;
CREATE TRIGGER event_is_counted BEFORE DELETE ON passbridge.event
    FOR EACH ROW WHEN (OLD.metric_group IS NULL) EXECUTE FUNCTION passbridge.refuse_uncounted();

ALTER TABLE passbridge.version
    -- The key of the digests of users.
    ADD COLUMN metrics_secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
    -- Events with higher numbers were counted when they were stored. The others have no `metric_group` until they are counted;
    -- those up to `measured_to` are.
    ADD COLUMN measure_until bigint NOT NULL DEFAULT 0,
    ADD COLUMN measured_to   bigint NOT NULL DEFAULT 0,
    -- The UTC hour from which on every event ever stored is counted; NULL: all are.
    ADD COLUMN whole_from_hour bigint;
UPDATE passbridge.version SET
    measure_until = (SELECT coalesce(max(seq), 0) FROM passbridge.event),
    whole_from_hour = (SELECT max(hour) + 1 FROM passbridge.posting WHERE expired_delivered_events + expired_discarded_events > 0);

-- What counts are grouped by, as Analytics shows it; '' where an event has no value and there is no documented default.
CREATE TABLE passbridge.metric_group (
    metric_group integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requestor    integer NOT NULL REFERENCES passbridge.requestor,
    mvpd         text NOT NULL,
    proxy        text NOT NULL,
    sdk_type     text NOT NULL,
    device_type  text NOT NULL,
    -- authz_error_type
    reason       text NOT NULL,
    UNIQUE (requestor, mvpd, proxy, sdk_type, device_type, reason)
);

CREATE TABLE passbridge.metric_delta (
    -- Quarter hours since the Unix epoch.
    quarter      bigint NOT NULL,
    metric_group integer NOT NULL,
    slot         smallint NOT NULL,
    units        bigint NOT NULL
);

CREATE TABLE passbridge.metric_count (
    hour         bigint NOT NULL,
    metric_group integer NOT NULL,
    slot         smallint NOT NULL,
    units_00     bigint NOT NULL,
    units_15     bigint NOT NULL,
    units_30     bigint NOT NULL,
    units_45     bigint NOT NULL,
    PRIMARY KEY (hour, metric_group, slot)
);

-- Of these units, those whose events a person had discarded before retention deleted them.
CREATE TABLE passbridge.metric_discarded (
    quarter      bigint NOT NULL,
    metric_group integer NOT NULL,
    slot         smallint NOT NULL,
    units        bigint NOT NULL
);
CREATE INDEX final_discarded ON passbridge.final (seq) WHERE state = 'discarded';

-- Units by hour, group and event, of all events ever stored.
CREATE VIEW passbridge.counted_hour AS
SELECT hour, metric_group, slot, sum(units_00)::bigint AS units_00, sum(units_15)::bigint AS units_15,
       sum(units_30)::bigint AS units_30, sum(units_45)::bigint AS units_45
FROM (SELECT * FROM passbridge.metric_count
      UNION ALL SELECT quarter / 4, metric_group, slot,
          CASE quarter % 4 WHEN 0 THEN units ELSE 0 END, CASE quarter % 4 WHEN 1 THEN units ELSE 0 END,
          CASE quarter % 4 WHEN 2 THEN units ELSE 0 END, CASE quarter % 4 WHEN 3 THEN units ELSE 0 END
      FROM passbridge.metric_delta) m
GROUP BY hour, metric_group, slot;

-- Those of them that a person discarded.
CREATE VIEW passbridge.discarded_hour AS
SELECT quarter / 4 AS hour, metric_group, slot,
       coalesce(sum(units) FILTER (WHERE quarter % 4 = 0), 0)::bigint AS units_00,
       coalesce(sum(units) FILTER (WHERE quarter % 4 = 1), 0)::bigint AS units_15,
       coalesce(sum(units) FILTER (WHERE quarter % 4 = 2), 0)::bigint AS units_30,
       coalesce(sum(units) FILTER (WHERE quarter % 4 = 3), 0)::bigint AS units_45
FROM (SELECT * FROM passbridge.metric_discarded
      UNION ALL SELECT e.occurred_at / 900000000000, e.metric_group, e.slot, e.count
      FROM passbridge.final f JOIN passbridge.event e USING (seq) WHERE f.state = 'discarded') d
GROUP BY quarter / 4, metric_group, slot;

CREATE TABLE passbridge.metric_users (
    pack   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Days since the Unix epoch.
    day    bigint NOT NULL,
    users  integer NOT NULL,
    packed bytea NOT NULL
);
CREATE INDEX metric_users_of_days ON passbridge.metric_users (day, users);
