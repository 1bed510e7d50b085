//! Takes pending events back, with the same result as a buffer on SQLite, while drains and ingests go on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::backlog::stored_event;
use super::database::{SharedBuffer, Value};
use super::erasure::LOCKS;
use super::error::Result;
use super::metrics::{self, FOLD_LOCK};
use super::suites::SLICES;
use crate::buffer::{
    MERGED_USERS_MAX, NewEvent, PendingGroup, PendingSelection, TakenBack, UserEntry, pack_users, users_of,
    without_groups,
};
use crate::event::{Instant, RequestorId};
use crate::mapping;

/// The most events that one transaction takes back. The drains of their suites wait until it ends.
const TAKEN_A_TRANSACTION: usize = 500;
/// Events whose users one statement reads.
const READ_AT_ONCE: i64 = 2_000;
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Whether an attempt of the event `e` may have been counted, or was.
macro_rules! tried {
    () => {
        "EXISTS (SELECT FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
            WHERE a.seq = e.seq AND (o.seq IS NULL OR o.verdict IN ('doubt', 'held', 'delivered') OR o.hits_sent > 0))"
    };
}

/// Pending events by input and requestor, with the numbers of those that can be taken back.
const FIND: &str = concat!(
    "SELECT e.input, r.requestor_id, p.path, (extract(epoch FROM p.opened_at) * 1000000000)::int8, count(*), sum(e.count)::int8,
        min(e.occurred_at), max(e.occurred_at), coalesce(array_agg(e.seq) FILTER (WHERE NOT e.is_tried), '{}')
     FROM (SELECT e.*, ",
    tried!(),
    " AS is_tried FROM passbridge.event e WHERE e.seq >= $1 AND e.seq < $2 AND ($3::int8 IS NULL OR e.input = $3)
              AND ($4::int8 IS NULL OR e.occurred_at >= $4) AND ($5::int8 IS NULL OR e.occurred_at < $5)
              AND NOT EXISTS (SELECT FROM passbridge.final f WHERE f.seq = e.seq)) e
     JOIN passbridge.requestor r USING (requestor) JOIN passbridge.input p USING (input)
     WHERE ($6::text IS NULL OR p.path = $6) AND ($7::text IS NULL OR r.requestor_id = $7) GROUP BY 1, 2, 3, 4"
);

/// Takes those events back that nobody has decided and that have no attempt that may have been counted. Returns them.
const TAKE: &str = concat!(
    "WITH closed AS (
        INSERT INTO passbridge.final (seq, state)
        SELECT e.seq, 'erased' FROM passbridge.event e WHERE e.seq = ANY($1) AND NOT ",
    tried!(),
    " ORDER BY e.seq ON CONFLICT DO NOTHING RETURNING seq),
    gone AS (DELETE FROM passbridge.event e USING closed WHERE e.seq = closed.seq RETURNING e.*),
    attempts AS (DELETE FROM passbridge.attempt a USING closed WHERE a.seq = closed.seq),
    outcomes AS (DELETE FROM passbridge.outcome o USING closed WHERE o.seq = closed.seq),
    asides AS (DELETE FROM passbridge.aside a USING closed WHERE a.seq = closed.seq),
    identities AS (DELETE FROM passbridge.identity i USING gone WHERE i.id = gone.id AND i.seq = gone.seq),
    inputs AS (
        UPDATE passbridge.input i SET taken_back = i.taken_back + g.events
        FROM (SELECT input, count(*) AS events FROM gone GROUP BY input) g WHERE i.input = g.input),
    counted AS (
        INSERT INTO passbridge.metric_delta (quarter, metric_group, slot, units)
        SELECT occurred_at / 900000000000, metric_group, slot, -sum(count) FROM gone GROUP BY 1, 2, 3),
    posted AS (
        INSERT INTO passbridge.posting (requestor, slot, hour, pending_events, pending_units, taken_back_events, taken_back_units)
        SELECT requestor, slot, occurred_at / 3600000000000, -count(*), -sum(count), count(*), sum(count) FROM gone GROUP BY 1, 2, 3)
    SELECT g.seq, g.id, r.requestor_id, g.slot, g.occurred_at, g.count, g.body, g.requestor
    FROM gone g JOIN passbridge.requestor r USING (requestor)"
);
const NOTE_STALE: &str = "INSERT INTO passbridge.metric_users_stale AS s (requestor, day)
     SELECT * FROM unnest($1::int4[], $2::int8[]) u(requestor, day) ORDER BY 1, 2
     ON CONFLICT (requestor, day) DO UPDATE SET noted = s.noted + 1";
/// A row without units would still extend the time span in which the buffer has counts.
const DELETE_EMPTY: &str = "DELETE FROM passbridge.metric_count
     WHERE hour BETWEEN $1 AND $2 AND (units_00, units_15, units_30, units_45) = (0, 0, 0, 0)";

const STALE: &str = "SELECT requestor, day, noted FROM passbridge.stale_day WHERE has_lost = $1";
const IS_COUNTED: &str = "DELETE FROM passbridge.metric_users_stale
     WHERE (requestor, day, noted) IN (SELECT requestor, day, noted FROM passbridge.stale_day WHERE NOT has_lost)
       AND (requestor, day, noted) = ($1, $2, $3)";
const OF_SLICE: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body
     FROM passbridge.event e JOIN passbridge.requestor r USING (requestor)
     WHERE e.requestor = $1 AND (e.mvpd_bucket & 15) = $2 AND (e.occurred_at, e.seq) > ($3, $4) AND e.occurred_at < $5
     ORDER BY e.occurred_at, e.seq LIMIT $6";
const PACKS_OF_DAY: &str =
    "SELECT coalesce(array_agg(pack ORDER BY pack), '{}') FROM passbridge.metric_users WHERE day = $1";

/// The pending events that a selection finds.
#[derive(Default)]
struct Found {
    groups: BTreeMap<(i64, String), PendingGroup>,
    /// The events without an attempt that may have been counted.
    free: Vec<i64>,
}

/// A day of a requestor whose users must be counted again.
#[derive(Clone, Copy)]
struct StaleDay {
    requestor: i32,
    day: i64,
    noted: i64,
}

impl SharedBuffer {
    /// The pending events of a selection, by input and requestor.
    pub async fn pending_by_input(&mut self, selection: &PendingSelection) -> Result<Vec<PendingGroup>> {
        Ok(self.find_pending(selection).await?.groups.into_values().collect())
    }

    /// Takes the pending events of a selection back. Drains and ingests may run: an event that a drain begins to send, or
    /// that is decided meanwhile, stays. Each transaction leaves the account balanced; a second call goes on after a crash.
    pub async fn take_back(&mut self, selection: &PendingSelection) -> Result<TakenBack> {
        // The metrics cannot lose what they have not counted yet.
        self.count_older_events().await?;
        let found = self.find_pending(selection).await?;
        let mut taken = TakenBack::default();
        for seqs in found.free.chunks(TAKEN_A_TRANSACTION) {
            let (events, units) = self.write(async |client| take_some(client, seqs).await).await?;
            taken.taken_back += events;
            taken.units += units;
        }
        let all: u64 = found.groups.values().map(|group| group.events).sum();
        taken.left_with_attempt = all - taken.taken_back;
        while self.write(metrics::fold).await? {}
        let first = found.groups.values().map(|group| group.first_occurred_at.unix_hour()).min();
        let last = found.groups.values().map(|group| group.last_occurred_at.unix_hour()).max();
        let hours = [(&first as _, Type::INT8), (&last as _, Type::INT8)];
        self.write(async |client| client.execute_typed(DELETE_EMPTY, &hours).await).await?;
        taken.days_with_old_users = self.recount().await?;
        Ok(taken)
    }

    async fn find_pending(&mut self, selection: &PendingSelection) -> Result<Found> {
        let PendingSelection { input, source, backfill, requestor_id, from, to } = selection;
        let mut found = Found::default();
        if backfill.is_some() {
            // There are no backfills on PostgreSQL.
            return Ok(found);
        }
        let requestor_id = requestor_id.as_ref().map(RequestorId::as_str);
        let [from, to] = [from, to].map(|at| at.map(Instant::nanos));
        for (first, end) in self.spans_of_events().await? {
            let values = [
                (&first as _, Type::INT8),
                (&end as _, Type::INT8),
                (input as _, Type::INT8),
                (&from as _, Type::INT8),
                (&to as _, Type::INT8),
                (source as _, Type::TEXT),
                (&requestor_id as _, Type::TEXT),
            ];
            for row in self.rows(FIND, &values).await? {
                let free: Vec<i64> = row.get(8);
                let [first, last] = [6, 7].map(|column| Instant::from_nanos(row.get(column)));
                let (input, requestor_id): (i64, String) = (row.get(0), row.get(1));
                let key = (input, requestor_id.clone());
                let group = found.groups.entry(key).or_insert_with(|| PendingGroup {
                    input,
                    source: row.get(2),
                    read_at: Some(Instant::from_nanos(row.get(3))),
                    requestor_id,
                    backfill: None,
                    events: 0,
                    units: 0,
                    first_occurred_at: first,
                    last_occurred_at: last,
                    with_attempt: 0,
                });
                let events = row.get::<_, i64>(4).cast_unsigned();
                group.events += events;
                group.units += row.get::<_, i64>(5).cast_unsigned();
                group.first_occurred_at = group.first_occurred_at.min(first);
                group.last_occurred_at = group.last_occurred_at.max(last);
                group.with_attempt += events - free.len() as u64;
                found.free.extend(free);
            }
        }
        Ok(found)
    }

    /// Counts the users of each stale day again, if the buffer has all events of it. Returns how many days stay stale.
    pub(super) async fn recount(&mut self) -> Result<u64> {
        loop {
            let open = self.rows(STALE, &[(&false, Type::BOOL)]).await?;
            if open.is_empty() {
                return Ok(self.rows(STALE, &[(&true, Type::BOOL)]).await?.len() as u64);
            }
            for row in open {
                self.recount_day(StaleDay { requestor: row.get(0), day: row.get(1), noted: row.get(2) })
                    .await?;
            }
        }
    }

    /// Counts the users of a day again. The day stays stale if the packs or the events of it changed meanwhile.
    async fn recount_day(&mut self, stale: StaleDay) -> Result<()> {
        // An ingest that is committed from here on has packs of its own, which stay as they are.
        let packs: Vec<i64> = self.row(PACKS_OF_DAY, &[(&stale.day, Type::INT8)]).await?.get(0);
        let users = self.users_of_day(stale).await?;
        let select = "SELECT coalesce(array_agg(metric_group), '{}') FROM passbridge.metric_group WHERE requestor = $1";
        let groups: Vec<i32> = self.row(select, &[(&stale.requestor, Type::INT4)]).await?.get(0);
        let groups: HashSet<u32> = groups.into_iter().map(i32::cast_unsigned).collect();
        self.write(async |client| replace_users(client, stale, &packs, &groups, &users).await).await
    }

    /// The users of a requestor's day, from the events that are stored now.
    async fn users_of_day(&mut self, StaleDay { requestor, day, .. }: StaleDay) -> Result<Vec<UserEntry>> {
        let [begin, end] = [day, day + 1].map(|day| day.saturating_mul(DAY_NANOS));
        let mut users: Vec<UserEntry> = Vec::new();
        for slice in 0..SLICES {
            let mut after = (begin - 1, i64::MAX);
            loop {
                let values: [Value<'_>; 6] = [
                    (&requestor, Type::INT4),
                    (&slice, Type::INT4),
                    (&after.0, Type::INT8),
                    (&after.1, Type::INT8),
                    (&end, Type::INT8),
                    (&READ_AT_ONCE, Type::INT8),
                ];
                let rows = self.rows(OF_SLICE, &values).await?;
                let Some(last) = rows.last() else { break };
                after = (last.get(4), last.get(0));
                let event =
                    |row| stored_event(row).map(|event| NewEvent::new(0, &event, mapping::measure(&event)));
                let measured = self.measured(&rows.iter().map(event).collect::<Result<Vec<_>>>()?).await?;
                users.extend(measured.users.iter().flatten().flat_map(|entry| users_of(entry)));
                users = users_of(&pack_users(users)).collect();
            }
        }
        Ok(users)
    }
}

async fn take_some(client: &Client, seqs: &[i64]) -> std::result::Result<(u64, u64), Error> {
    let own = || (&seqs as _, Type::INT8_ARRAY);
    for lock in LOCKS {
        client.query_typed(lock, &[own()]).await?;
    }
    let (rows, mut units, mut days) = (client.query_typed(TAKE, &[own()]).await?, 0, BTreeSet::new());
    for row in &rows {
        units += u64::from(row.get::<_, i32>(5).cast_unsigned());
        if !stored_event(row).is_ok_and(|event| mapping::measure(&event).user().is_none()) {
            days.insert((row.get::<_, i32>(7), row.get::<_, i64>(4).div_euclid(DAY_NANOS)));
        }
    }
    let (requestors, days): (Vec<i32>, Vec<i64>) = days.into_iter().unzip();
    let values = [(&requestors as _, Type::INT4_ARRAY), (&days as _, Type::INT8_ARRAY)];
    client.execute_typed(NOTE_STALE, &values).await?;
    Ok((rows.len() as u64, units))
}

/// Replaces the users of a requestor's day in these packs. Changes nothing if a pack is gone, or if events of the day
/// were taken back, expired or erased since its users were read.
async fn replace_users(
    client: &Client,
    StaleDay { requestor, day, noted }: StaleDay,
    packs: &[i64],
    groups: &HashSet<u32>,
    users: &[UserEntry],
) -> std::result::Result<(), Error> {
    client.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&FOLD_LOCK, Type::INT8)]).await?;
    let count = "SELECT count(*) FROM passbridge.metric_users WHERE pack = ANY($1)";
    let left = client.query_typed_one(count, &[(&packs, Type::INT8_ARRAY)]).await?.get::<_, i64>(0);
    if left != packs.len() as i64 {
        return Ok(());
    }
    let values = [(&requestor as _, Type::INT4), (&day as _, Type::INT8), (&noted as _, Type::INT8)];
    if client.execute_typed(IS_COUNTED, &values).await? == 0 {
        return Ok(());
    }
    for pack in packs {
        let number: Value<'_> = (pack, Type::INT8);
        let select = "SELECT packed FROM passbridge.metric_users WHERE pack = $1";
        let row = client.query_typed_one(select, std::slice::from_ref(&number)).await?;
        let packed: &[u8] = row.get(0);
        let others = without_groups(packed, groups);
        if others.is_empty() {
            client.execute_typed("DELETE FROM passbridge.metric_users WHERE pack = $1", &[number]).await?;
        } else if others.len() < packed.len() {
            client.execute_typed(metrics::REPACK, &[number, (&others, Type::BYTEA)]).await?;
        }
    }
    for some in users.chunks(MERGED_USERS_MAX) {
        let values = [(&day as _, Type::INT8), (&pack_users(some.to_vec()) as _, Type::BYTEA)];
        client.execute_typed(metrics::ADD_PACK, &values).await?;
    }
    Ok(())
}
