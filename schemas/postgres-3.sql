-- Schema 3 of the buffer on PostgreSQL: events that were erased at a person's request.

ALTER TABLE passbridge.final
    DROP CONSTRAINT final_state_check,
    -- 'erased': the event is gone. The row stays as long as that of a delivered event, so that no worker which still has the
    -- event in memory sends it.
    ADD CONSTRAINT final_state_check CHECK (state IN ('delivered', 'discarded', 'dead', 'held', 'erased')) NOT VALID;

-- NULL: the event was erased. Even a digest would tell whether it said something that somebody guesses.
ALTER TABLE passbridge.identity ALTER COLUMN content DROP NOT NULL;

ALTER TABLE passbridge.posting
    DROP CONSTRAINT posting_check,
    DROP CONSTRAINT posting_check1,
    ADD COLUMN erased_events bigint NOT NULL DEFAULT 0,
    ADD COLUMN erased_units  bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT posting_of_events CHECK (ingested_events = pending_events + delivered_events + dead_events + held_events
        + discarded_events + expired_delivered_events + expired_discarded_events + erased_events) NOT VALID,
    ADD CONSTRAINT posting_of_units CHECK (ingested_units = pending_units + delivered_units + dead_units + held_units
        + discarded_units + expired_delivered_units + expired_discarded_units + erased_units) NOT VALID;
