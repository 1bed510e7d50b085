//! Stores incoming events, each identity once, from any number of hosts at the same time.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::database::SharedBuffer;
use super::error::{PostgresError, Result};
use super::metrics::{Measured, count_in_metrics};
use super::suites::BUCKETS;
use crate::buffer::{Conflict, InputId, NewEvent, RejectDigest, StoreReport};
use crate::mapping;
use crate::suite::{HitForm, IdentityKind};

/// The forms by which visitors are spread over buckets. The suite of an event may change, and with it the kind of
/// identity, so the buckets of both kinds are stored. For each kind, equal visitors have equal buckets.
static FORMS: LazyLock<[HitForm; 2]> = LazyLock::new(|| {
    let rsid = "slices".parse().expect("letters are an ID");
    let form = HitForm::with_defaults(rsid);
    [IdentityKind::MvpdUserId, IdentityKind::Ecid].map(|identity| HitForm { identity, ..form.clone() })
});

/// Stores events, some of which may be stored already, or which are all new. Inserts the identities sorted, so that
/// ingests of overlapping files never wait for each other in a circle. The numbers follow the order of the lines, which
/// is the order of sending within the same instant.
macro_rules! store {
    ($known:literal, $fresh:literal, $order:literal, $done:literal) => {
        concat!(
            "WITH new AS MATERIALIZED (
                SELECT nextval('passbridge.event_seq') AS seq, n.* FROM (
                    SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int4[], $4::int2[], $5::int8[], $6::int4[], $7::int2[],
                            $8::int2[], $9::int8[], $10::text[], $12::int4[], $13::bytea[]) WITH ORDINALITY
                        AS u(id, content, requestor, slot, occurred_at, count, mvpd_bucket, ecid_bucket, line, body,
                            metric_group, entry, ord)
                    ORDER BY ord) n),
            fresh AS (
                INSERT INTO passbridge.identity (id, content, seq) SELECT id, content, seq FROM new ORDER BY id, seq ",
            $known,
            "),
            stored AS (
                INSERT INTO passbridge.event (seq, id, requestor, slot, occurred_at, count, mvpd_bucket, ecid_bucket, input, line,
                    body, metric_group)
                SELECT seq, id, requestor, slot, occurred_at, count, mvpd_bucket, ecid_bucket, $11, line, body, metric_group
                FROM ", $fresh, $order, "),
            posted AS (
                INSERT INTO passbridge.posting (requestor, slot, hour, ingested_events, pending_events, ingested_units, pending_units)
                SELECT requestor, slot, occurred_at / 3600000000000, count(*), count(*), sum(count), sum(count)
                FROM ", $fresh, " GROUP BY 1, 2, 3), ",
            count_in_metrics!($fresh),
            $done
        )
    };
}
const STORE: &str = store!(
    "ON CONFLICT DO NOTHING RETURNING seq",
    "new JOIN fresh USING (seq)",
    " ORDER BY seq",
    " SELECT ord FROM new JOIN fresh USING (seq)"
);
/// For a batch that is probably all new: to look for known identities would take a third of the time of an ingest.
const STORE_NEW: &str = store!("", "new", "", " SELECT 1");

/// The server passes a batch of at most 8 MiB from step to step. With its usual 4 MB, each step would write it to disk
/// and read it again.
const IN_MEMORY: &str = "SET LOCAL work_mem = '32MB'; SAVEPOINT before_store";

/// An erased event has no content. If a transaction of unknown end stored an event after all, its line is no duplicate.
const FIRST_OF: &str = "SELECT u.ord, coalesce(i.content NOT IN (u.content, u.former), FALSE), coalesce(p.path, ''), coalesce(e.line, 0),
        coalesce(e.xid::text = ANY($4) AND e.input = $5, FALSE)
     FROM unnest($1::bytea[], $2::int8[], $3::int8[], $6::int8[]) AS u(id, content, ord, former) JOIN passbridge.identity i ON i.id = u.id
     LEFT JOIN passbridge.event e ON e.seq = i.seq LEFT JOIN passbridge.input p ON p.input = e.input ORDER BY u.ord";

impl SharedBuffer {
    /// Stores the new events of an input. They are durable when this returns.
    pub async fn store(&mut self, input: InputId, events: &[NewEvent]) -> Result<StoreReport> {
        if events.is_empty() {
            return Ok(StoreReport::default());
        }
        let events = &*self.with_former_ids(events).await?;
        let measured = self.measured(events).await?;
        let buckets = events.iter().map(buckets).collect::<Result<Vec<_>>>()?;
        // If one batch had duplicates, the next one probably has some too.
        let are_new = !self.meets_duplicates;
        let stored = self
            .write(async |client| insert(client, input, events, &buckets, &measured, are_new).await)
            .await?;
        let Some(stored) = stored else {
            return Ok(StoreReport { stored: events.len() as u64, ..StoreReport::default() });
        };
        let mut is_stored = vec![false; events.len()];
        stored.iter().for_each(|row| is_stored[row.get::<_, i64>(0) as usize - 1] = true);
        let others: Vec<usize> = (0..events.len()).filter(|index| !is_stored[*index]).collect();
        let mut report = StoreReport { stored: stored.len() as u64, ..StoreReport::default() };
        self.meets_duplicates = !others.is_empty();
        if others.is_empty() {
            return Ok(report);
        }
        let ids: Vec<&[u8]> = others.iter().map(|index| &events[*index].id.bytes()[..]).collect();
        let contents: Vec<i64> = others.iter().map(|index| events[*index].content.0).collect();
        let indices: Vec<i64> = others.iter().map(|index| *index as i64).collect();
        let formers: Vec<i64> = others.iter().map(|index| events[*index].former_content().0).collect();
        let values = [
            (&ids as _, Type::BYTEA_ARRAY),
            (&contents as _, Type::INT8_ARRAY),
            (&indices as _, Type::INT8_ARRAY),
            (&std::mem::take(&mut self.lost_from_sight) as _, Type::TEXT_ARRAY),
            (&input.0 as _, Type::INT8),
            (&formers as _, Type::INT8_ARRAY),
        ];
        for row in self.rows(FIRST_OF, &values).await? {
            let index = row.get::<_, i64>(0) as usize;
            if row.get(4) {
                report.stored += 1;
            } else if row.get(1) {
                let (first_path, first_line) = (row.get(2), row.get::<_, i64>(3).cast_unsigned());
                let line = events[index].line;
                report.conflicts.push(Conflict { index, line, first_path, first_line });
            } else {
                report.duplicates += 1;
            }
        }
        Ok(report)
    }

    /// The events, where those that an earlier release stored have the identities of that release.
    async fn with_former_ids<'a>(&mut self, events: &'a [NewEvent]) -> Result<Cow<'a, [NewEvent]>> {
        let former: Vec<&[u8]> =
            events.iter().flat_map(|event| &event.former_ids).map(|id| &id.bytes()[..]).collect();
        let mut events = Cow::Borrowed(events);
        if former.is_empty() {
            return Ok(events);
        }
        let select = "SELECT id FROM passbridge.identity WHERE id = ANY($1)";
        let rows = self.rows(select, &[(&former as _, Type::BYTEA_ARRAY)]).await?;
        let known: HashSet<&[u8]> = rows.iter().map(|row| row.get(0)).collect();
        if !known.is_empty() {
            for event in events.to_mut() {
                let stored = event.former.filter(|(id, _)| known.contains(&id.bytes()[..]));
                (event.id, event.content) = stored.unwrap_or((event.id, event.content));
            }
        }
        Ok(events)
    }

    /// Records an input under the path that messages will name.
    pub async fn open_input(&mut self, path: &str) -> Result<InputId> {
        let insert = "INSERT INTO passbridge.input (path) VALUES ($1) RETURNING input";
        let values = [(&path as _, Type::TEXT)];
        let rows = self.write(async |client| client.query_typed(insert, &values).await).await?;
        rows.first().map(|row| InputId(row.get(0))).ok_or(PostgresError::Damaged("an input has no number"))
    }

    /// Records what came of an input, and whether it was read to its end.
    pub async fn end_input(&mut self, input: InputId, summary: &str, is_whole: bool) -> Result<()> {
        let update = "UPDATE passbridge.input SET summary = $2, ended_at = CASE WHEN $3 THEN now() END WHERE input = $1";
        let values = [(&input.0 as _, Type::INT8), (&summary as _, Type::TEXT), (&is_whole as _, Type::BOOL)];
        self.write(async |client| client.execute_typed(update, &values).await).await.map(drop)
    }

    /// The key of digests of rejected lines.
    pub async fn secret(&mut self) -> Result<Vec<u8>> {
        Ok(self.row("SELECT secret FROM passbridge.version", &[]).await?.get(0))
    }

    /// The names of the rejects files that hold these lines. A file may lie on another host.
    pub async fn kept_rejects(&mut self, digests: &[RejectDigest]) -> Result<HashMap<RejectDigest, String>> {
        let all: Vec<&[u8]> = digests.iter().map(|digest| &digest[..]).collect();
        let select = "SELECT digest, file FROM passbridge.kept_reject WHERE digest = ANY($1)";
        let rows = self.rows(select, &[(&all, Type::BYTEA_ARRAY)]).await?;
        let digest = |bytes: &[u8]| bytes.try_into().unwrap_or_default();
        Ok(rows.iter().map(|row| (digest(row.get(0)), row.get(1))).collect())
    }

    /// Records that a rejects file holds these lines.
    pub async fn remember_rejects(&mut self, digests: &[RejectDigest], file: &str) -> Result<()> {
        let all: Vec<&[u8]> = digests.iter().map(|digest| &digest[..]).collect();
        let insert = "INSERT INTO passbridge.kept_reject (digest, file) SELECT DISTINCT d, $2 FROM unnest($1) d ORDER BY 1
             ON CONFLICT (digest) DO UPDATE SET file = $2";
        let values = [(&all as _, Type::BYTEA_ARRAY), (&file as _, Type::TEXT)];
        self.write(async |client| client.execute_typed(insert, &values).await).await.map(drop)
    }
}

/// The buckets of an event's visitor, by each kind of identity.
fn buckets(event: &NewEvent) -> Result<[i16; 2]> {
    let pass = event.event().ok_or(PostgresError::Damaged("the body of an event cannot be read"))?;
    Ok(FORMS.each_ref().map(|form| (mapping::visitor(&pass, event.id, form).0 % BUCKETS) as i16))
}

/// Inserts the events whose identities are new, and counts them. Returns a row with the place of each in `events`, from
/// 1 on. Returns `None` if `are_new` was right: all of them are new.
async fn insert(
    client: &Client,
    input: InputId,
    events: &[NewEvent],
    buckets: &[[i16; 2]],
    Measured { requestors, groups, users }: &Measured,
    are_new: bool,
) -> std::result::Result<Option<Vec<Row>>, Error> {
    let ids: Vec<&[u8]> = events.iter().map(|event| &event.id.bytes()[..]).collect();
    let contents: Vec<i64> = events.iter().map(|event| event.content.0).collect();
    let slots: Vec<i16> = events.iter().map(|event| i16::from(event.kind.slot())).collect();
    let times: Vec<i64> = events.iter().map(|event| event.occurred_at.nanos()).collect();
    let counts: Vec<i32> = events.iter().map(|event| event.count.cast_signed()).collect();
    let [mvpd, ecid] = [0, 1].map(|kind| buckets.iter().map(|both| both[kind]).collect::<Vec<i16>>());
    let lines: Vec<i64> = events.iter().map(|event| event.line.cast_signed()).collect();
    let bodies: Vec<&str> = events.iter().map(|event| event.body.as_str()).collect();
    let values = [
        (&ids as _, Type::BYTEA_ARRAY),
        (&contents as _, Type::INT8_ARRAY),
        (requestors as _, Type::INT4_ARRAY),
        (&slots as _, Type::INT2_ARRAY),
        (&times as _, Type::INT8_ARRAY),
        (&counts as _, Type::INT4_ARRAY),
        (&mvpd as _, Type::INT2_ARRAY),
        (&ecid as _, Type::INT2_ARRAY),
        (&lines as _, Type::INT8_ARRAY),
        (&bodies as _, Type::TEXT_ARRAY),
        (&input.0 as _, Type::INT8),
        (groups as _, Type::INT4_ARRAY),
        (users as _, Type::BYTEA_ARRAY),
    ];
    client.batch_execute(IN_MEMORY).await?;
    if are_new {
        match client.execute_typed(STORE_NEW, &values).await {
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {}
            stored => return stored.map(|_| None),
        }
        client.batch_execute("ROLLBACK TO SAVEPOINT before_store").await?;
    }
    client.query_typed(STORE, &values).await.map(Some)
}
