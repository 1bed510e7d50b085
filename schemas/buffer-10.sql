-- Schema version 10 of the buffer.

-- Claims by waves: those that became durable together and have one form are one row, which goes with the last of them. A row and its
-- removal for each attempt cost a tenth of a drain.
CREATE TABLE waves (
    run  INTEGER NOT NULL,
    wave INTEGER NOT NULL,
    form INTEGER NOT NULL REFERENCES forms,
    seqs TEXT NOT NULL,                                        -- JSON: a list of numbers
    PRIMARY KEY (run, wave)
) WITHOUT ROWID, STRICT;

INSERT INTO waves (run, wave, form, seqs) SELECT run, form, form, json_group_array(seq) FROM claims GROUP BY run, form;
DROP TABLE claims;

-- Attempts whose first byte may be on the wire and whose outcome is not recorded: at most eight a lane. A delivery leaves the row of
-- its wave as it is, because the event is in the queue no more; every other outcome takes it out.
CREATE VIEW claims (seq, form, run) AS
SELECT s.value, w.form, w.run
FROM waves w CROSS JOIN json_each(w.seqs) s CROSS JOIN events e ON e.seq = s.value
CROSS JOIN queue q ON q.job = e.job AND q.requestor = e.requestor AND q.occurred_at = e.occurred_at AND q.seq = e.seq;
