-- Version 3: which kind of source each requestor has, because events one by one and the sums of ESM count the same things.

CREATE TABLE feeds (
    requestor INTEGER PRIMARY KEY REFERENCES requestors,
    feed      TEXT NOT NULL CHECK (feed IN ('events', 'esm'))
) STRICT;

INSERT INTO feeds (requestor, feed) SELECT DISTINCT requestor, 'events' FROM ledger;
