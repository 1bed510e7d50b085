-- When the next hit of a suite or of a collection host with a rate may be sent. Private to passbridge.
--
-- A worker that drains for such a suite or host makes this table if there is none.

CREATE TABLE IF NOT EXISTS passbridge.pace (
    name text PRIMARY KEY,
    due  timestamptz NOT NULL
) WITH (fillfactor = 50);
