-- Schema 4 of the buffer on PostgreSQL: what workers ask most often is asked by functions, because the server keeps the plans of
-- a function in each of its sessions. Statements without names, which a pooler in transaction mode needs, are planned anew each
-- time, which took as long as running them. An upgrade to a release with other functions replaces them.
--
-- The functions do not let the planner scan a table or sort a slice. Without statistics, as soon after a large ingest, the
-- planner believes that a slice is small: it then read and sorted the whole slice for each page. A plan is kept although its
-- tables grow, and may have been made while one was empty: so rows of large tables are looked up in subqueries, by their keys,
-- and never joined.

-- A worker reads the requestor and the input before it stores an event, and nobody deletes either. Checking that again for
-- each event took a tenth of an ingest.
ALTER TABLE passbridge.event DROP CONSTRAINT event_requestor_fkey, DROP CONSTRAINT event_input_fkey;

-- The next events of a slice in the order of their time, by one kind of bucket: those visible in `cut` and not in the snapshot
-- that is next to their requestor, and those aside. Whoever asks leaves out those that are decided.
DO $kinds$ DECLARE kind text; BEGIN FOREACH kind IN ARRAY ARRAY['mvpd', 'ecid'] LOOP EXECUTE format($make$
CREATE FUNCTION passbridge.page_by_%1$s(
    of_suite text, slice integer, requestors integer[], since pg_snapshot[], cut pg_snapshot, after_time bigint, after_seq bigint,
    most bigint)
RETURNS TABLE (seq bigint, id bytea, requestor_id text, slot smallint, occurred_at bigint, count integer, body text,
    is_decided boolean, is_twice boolean, form text, hits_sent integer, is_in_doubt boolean)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_sort = off
AS $page$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body,
        (SELECT f.seq FROM passbridge.final f WHERE f.seq = e.seq) IS NOT NULL,
        e.is_aside IS FALSE
            AND (SELECT a.seq FROM passbridge.aside a WHERE a.rsid = of_suite AND a.n = slice AND a.seq = e.seq) IS NOT NULL,
        t.form, t.hits_sent, t.is_in_doubt
    FROM (
        (SELECT x.*, FALSE AS is_aside, NULL::timestamptz AS accepted_at
         FROM unnest(requestors, since) AS q(requestor, since)
         CROSS JOIN LATERAL (
            SELECT e.* FROM passbridge.event e
            WHERE e.requestor = q.requestor AND (e.%1$s_bucket & 15) = slice AND (e.occurred_at, e.seq) > (after_time, after_seq)
              AND pg_visible_in_snapshot(e.xid, cut) AND NOT pg_visible_in_snapshot(e.xid, q.since)
            ORDER BY e.occurred_at, e.seq LIMIT most) x
         ORDER BY x.occurred_at, x.seq LIMIT most)
        UNION ALL
        (SELECT e.*, TRUE, a.accepted_at FROM passbridge.aside a
         CROSS JOIN LATERAL (SELECT * FROM passbridge.event e WHERE e.seq = a.seq OFFSET 0) e
         WHERE a.rsid = of_suite AND a.n = slice AND e.requestor = ANY(requestors)
           AND (e.occurred_at, e.seq) > (after_time, after_seq)
         ORDER BY e.occurred_at, e.seq LIMIT most)) e
    JOIN passbridge.requestor r ON r.requestor = e.requestor
    CROSS JOIN LATERAL (
        SELECT min(a.form) FILTER (WHERE o.seq IS NULL OR o.verdict = 'doubt' OR o.hits_sent > 0) AS form,
               max(o.hits_sent) AS hits_sent,
               bool_or((o.seq IS NULL OR o.verdict = 'doubt') AND a.at > coalesce(e.accepted_at, '-infinity')) AS is_in_doubt
        FROM passbridge.attempt a LEFT JOIN LATERAL (
            SELECT * FROM passbridge.outcome o WHERE o.seq = a.seq AND o.attempt = a.attempt OFFSET 0) o ON TRUE
        WHERE a.seq = e.seq) t
    ORDER BY e.occurred_at, e.seq LIMIT most;
END $page$ $make$, kind); END LOOP; END $kinds$;

-- Records what became of attempts, and begins new ones, for a worker that owns the claimed slices. Returns the places, in the
-- arrays, of the claims that it still owns; the attempts that it may make; and the events that this call decided.
--
-- `record_new` takes for granted that nothing of this is stored yet: looking for it took half of the time of an insert. Where
-- something is, `record` takes back what it did, and calls `record_known`.
DO $both$ DECLARE word text; begun text; other text;
BEGIN FOR word, begun, other IN VALUES
    ('new', '', ''),
    ('known', 'ON CONFLICT (seq, attempt) DO UPDATE SET at = EXCLUDED.at', 'ON CONFLICT DO NOTHING')
LOOP EXECUTE format($make$
CREATE FUNCTION passbridge.record_%1$s(
    as_worker text, claim_suites text[], claim_slices integer[], claim_epochs bigint[],
    begun_claims integer[], begun_seqs bigint[], begun_attempts bigint[], forms text[], begun_forms integer[], first_hits integer[],
    ended_seqs bigint[], ended_attempts bigint[], verdicts text[], hits_sent integer[], ended_reasons text[],
    decided_seqs bigint[], states text[], reasons text[],
    OUT owned integer[], OUT granted bigint[], OUT decided bigint[])
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
AS $record$
#variable_conflict use_column
BEGIN
    -- Locks the owned slices, in a statement before the one for the attempts, whose snapshot is then younger than the locks.
    SELECT array_agg(c.place) INTO owned FROM (
        SELECT u.place::integer FROM unnest(claim_suites, claim_slices, claim_epochs) WITH ORDINALITY AS u(rsid, n, epoch, place)
        JOIN passbridge.slice s ON s.rsid = u.rsid AND s.n = u.n
        WHERE s.epoch = u.epoch AND s.owner = as_worker ORDER BY s.rsid, s.n FOR SHARE OF s) c;
    WITH made AS (
        INSERT INTO passbridge.attempt (seq, attempt, rsid, n, epoch, worker, form, first_hit)
        SELECT u.seq, u.attempt, claim_suites[u.claim], claim_slices[u.claim], claim_epochs[u.claim], as_worker, forms[u.form], u.first_hit
        FROM unnest(begun_claims, begun_seqs, begun_attempts, begun_forms, first_hits) AS u(claim, seq, attempt, form, first_hit)
        WHERE u.claim = ANY(owned) AND (SELECT f.seq FROM passbridge.final f WHERE f.seq = u.seq) IS NULL
        %2$s RETURNING attempt)
    SELECT array_agg(attempt) INTO granted FROM made;
    INSERT INTO passbridge.outcome (seq, attempt, verdict, hits_sent, reason)
    SELECT * FROM unnest(ended_seqs, ended_attempts, verdicts, hits_sent, ended_reasons) %3$s;
    -- Each row of the account sums to zero.
    WITH new AS (
        INSERT INTO passbridge.final (seq, state, reason)
        SELECT * FROM unnest(decided_seqs, states, reasons) AS u(seq, state, reason) ORDER BY seq
        %3$s RETURNING seq, state),
    posted AS (
        INSERT INTO passbridge.posting (requestor, slot, hour, pending_events, pending_units,
            delivered_events, delivered_units, dead_events, dead_units, held_events, held_units)
        SELECT e.requestor, e.slot, e.occurred_at / 3600000000000, -count(*), -sum(e.count),
            count(*) FILTER (WHERE state = 'delivered'), coalesce(sum(e.count) FILTER (WHERE state = 'delivered'), 0),
            count(*) FILTER (WHERE state = 'dead'), coalesce(sum(e.count) FILTER (WHERE state = 'dead'), 0),
            count(*) FILTER (WHERE state = 'held'), coalesce(sum(e.count) FILTER (WHERE state = 'held'), 0)
        FROM new CROSS JOIN LATERAL (SELECT * FROM passbridge.event e WHERE e.seq = new.seq OFFSET 0) e GROUP BY 1, 2, 3)
    SELECT array_agg(seq) INTO decided FROM new;
END $record$ $make$, word, begun, other); END LOOP; END $both$;

CREATE FUNCTION passbridge.record(
    text, text[], integer[], bigint[], integer[], bigint[], bigint[], text[], integer[], integer[],
    bigint[], bigint[], text[], integer[], text[], bigint[], text[], text[],
    OUT owned integer[], OUT granted bigint[], OUT decided bigint[])
LANGUAGE plpgsql AS $$ BEGIN
    SELECT * INTO owned, granted, decided
    FROM passbridge.record_new($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);
EXCEPTION WHEN unique_violation THEN
    SELECT * INTO owned, granted, decided
    FROM passbridge.record_known($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);
END $$;
