-- Schema 5 of the buffer on PostgreSQL: pending events that were taken back, as if they had never come in, and outcomes that an
-- export finds again.
--
-- The rows and identities of events that were taken back are deleted. A `final` with the state 'erased' stays, so that no worker
-- which still has such an event in memory sends it.

ALTER TABLE passbridge.posting
    DROP CONSTRAINT posting_of_events,
    DROP CONSTRAINT posting_of_units,
    ADD COLUMN taken_back_events bigint NOT NULL DEFAULT 0,
    ADD COLUMN taken_back_units  bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT posting_of_events CHECK (ingested_events = pending_events + delivered_events + dead_events + held_events
        + discarded_events + expired_delivered_events + expired_discarded_events + erased_events + taken_back_events) NOT VALID,
    ADD CONSTRAINT posting_of_units CHECK (ingested_units = pending_units + delivered_units + dead_units + held_units
        + discarded_units + expired_delivered_units + expired_discarded_units + erased_units + taken_back_units) NOT VALID;

-- How many of its events were taken back.
ALTER TABLE passbridge.input ADD COLUMN taken_back bigint NOT NULL DEFAULT 0;

-- Days whose users must be counted again, because events with users were taken back.
CREATE TABLE passbridge.metric_users_stale (
    requestor integer NOT NULL,
    -- Days since the Unix epoch.
    day       bigint NOT NULL,
    -- Rises with each take-back, so that a count which began before it is not taken for complete.
    noted     bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (requestor, day)
);
-- If events of a day were deleted, their users cannot be counted again.
CREATE VIEW passbridge.stale_day AS
SELECT s.*, EXISTS (SELECT FROM passbridge.posting p
    WHERE p.requestor = s.requestor AND p.hour BETWEEN s.day * 24 AND s.day * 24 + 23
      AND p.expired_delivered_events + p.expired_discarded_events + p.erased_events > 0) AS has_lost
FROM passbridge.metric_users_stale s;

-- Rises with each change of a state, so that an export finds what changed since the export before. 0: decided before this schema.
CREATE SEQUENCE passbridge.final_number;
ALTER TABLE passbridge.final ADD COLUMN number bigint NOT NULL DEFAULT 0;
ALTER TABLE passbridge.final ALTER COLUMN number SET DEFAULT nextval('passbridge.final_number');
