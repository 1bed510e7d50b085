//! Where events came from, and what became of one.

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::backlog::{stored_event, stored_id};
use super::database::SharedBuffer;
use super::error::Result;
use super::suites::read_form;
use crate::buffer::{AttemptRecord, InputId, InputRecord, Search, TracedEvent, identities};
use crate::delivery::Sequence;
use crate::event::{Instant, RequestorId};

/// Instants are nanoseconds since the Unix epoch.
const INPUTS: &str = "SELECT input, path, (extract(epoch FROM opened_at) * 1000000000)::int8,
        (extract(epoch FROM ended_at) * 1000000000)::int8, summary, taken_back
     FROM passbridge.input WHERE ($1::int8 IS NULL OR input = $1)
        AND ($2::text IS NULL OR path = $2 OR right(path, length($2) + 1) = '/' || $2)
     ORDER BY input DESC LIMIT $3";

const FIND: &str = "SELECT e.seq FROM unnest($1::bytea[]) u(id) JOIN passbridge.identity i ON i.id = u.id
     LEFT JOIN passbridge.event e ON e.seq = i.seq ORDER BY 1";

const SEARCH: &str = "SELECT seq, id, count FROM passbridge.event WHERE seq >= $1 AND seq < $2
        AND ($3::int8 IS NULL OR line = $3 AND input = ANY($4))
        AND ($5::text IS NULL OR strpos(body, $5) > 0 OR strpos(body, $6) > 0) ORDER BY seq";

const TRACED: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body, p.path, e.line,
        CASE WHEN f.seq IS NOT NULL THEN f.state WHEN t.is_live THEN 'in_flight' WHEN t.hits_sent > 0 THEN 'partly_sent'
             ELSE 'pending' END,
        (extract(epoch FROM f.at) * 1000000000)::int8, f.reason, t.in_doubt, t.form
     FROM passbridge.event e JOIN passbridge.requestor r USING (requestor) JOIN passbridge.input p USING (input)
     LEFT JOIN passbridge.final f ON f.seq = e.seq
     CROSS JOIN LATERAL (
        SELECT bool_or(a.is_live) AS is_live, count(*) FILTER (WHERE a.verdict = 'doubt' OR a.verdict IS NULL AND NOT a.is_live) AS in_doubt,
               max(a.hits_sent) AS hits_sent, (array_agg(a.form ORDER BY a.at DESC))[1] AS form
        FROM (SELECT a.form, a.at, o.verdict, o.hits_sent, o.seq IS NULL AND EXISTS (
                SELECT FROM passbridge.worker w WHERE w.worker = a.worker AND w.gone_at > clock_timestamp()) AS is_live
              FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
              WHERE a.seq = e.seq) a) t
     WHERE e.seq = $1";

const ATTEMPTS: &str = "SELECT (extract(epoch FROM a.at) * 1000000000)::int8, a.worker,
        CASE WHEN o.seq IS NULL THEN 'no reply is recorded' ELSE coalesce(o.reason, o.verdict) END
     FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
     WHERE a.seq = $1 AND o.verdict IS DISTINCT FROM 'delivered' ORDER BY a.at, a.attempt";

/// How many event numbers one statement of a search looks at.
const SEARCHED_AT_ONCE: usize = 20_000;

impl SharedBuffer {
    /// The numbers of all events, in parts for one statement each: the first number, and the first of the next part.
    pub(super) async fn spans_of_events(&mut self) -> Result<impl Iterator<Item = (i64, i64)> + use<>> {
        let select = "SELECT coalesce(min(seq), 0), coalesce(max(seq), -1) FROM passbridge.event";
        let row = self.row(select, &[]).await?;
        let firsts = (row.get(0)..=row.get::<_, i64>(1)).step_by(SEARCHED_AT_ONCE);
        Ok(firsts.map(|first| (first, first + SEARCHED_AT_ONCE as i64)))
    }

    /// Inputs, the latest first: the one with this number, those whose path ends with this file name or path, or all.
    pub async fn inputs(
        &mut self,
        number: Option<i64>,
        path: Option<&str>,
        limit: usize,
    ) -> Result<Vec<InputRecord>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [(&number as _, Type::INT8), (&path as _, Type::TEXT), (&limit as _, Type::INT8)];
        let rows = self.rows(INPUTS, &values).await?;
        let input = |row: &Row| {
            let summary = row.get::<_, Option<&str>>(4);
            let mut summary = summary.and_then(|text| serde_json::from_str::<Value>(text).ok());
            let taken_back: i64 = row.get(5);
            if taken_back > 0 {
                summary.get_or_insert_default()["taken_back"] = taken_back.into();
            }
            // An input has a summary from its end on.
            let count = |name: &str| summary.as_ref()?.get(name)?.as_u64();
            InputRecord {
                input: InputId(row.get(0)),
                path: row.get(1),
                opened_at: Instant::from_nanos(row.get(2)),
                ended_at: row.get::<_, Option<i64>>(3).map(Instant::from_nanos),
                stored: count("stored"),
                duplicates: count("duplicates"),
                conflicts: count("conflicts"),
                rejected: count("rejected"),
                summary,
                span: None,
            }
        };
        Ok(rows.iter().map(input).collect())
    }

    /// The events that have this identity (32 hexadecimal digits), or to which their source gave this ID. The number is
    /// `None` if an event has expired or was erased.
    pub async fn find_id(&mut self, text: &str) -> Result<Vec<Option<Sequence>>> {
        let rows = self.rows("SELECT requestor_id FROM passbridge.requestor", &[]).await?;
        let requestors: Vec<RequestorId> =
            rows.iter().filter_map(|row| RequestorId::new(row.get::<_, &str>(0)).ok()).collect();
        let ids: Vec<Vec<u8>> = identities(text, &requestors).iter().map(|id| id.bytes().to_vec()).collect();
        let found = self.rows(FIND, &[(&ids, Type::BYTEA_ARRAY)]).await?;
        Ok(found.iter().map(|row| row.get::<_, Option<i64>>(0).map(Sequence)).collect())
    }

    /// Searches events. Calls `tell` from time to time with how many numbers it has looked at, and how many there are.
    pub async fn search(
        &mut self,
        what: &Search<'_>,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Sequence>> {
        let (inputs, line) = what.line.unzip();
        let inputs: Option<Vec<i64>> =
            inputs.map(|inputs| inputs.iter().map(|input| input.input.0).collect());
        let (line, [user, visitor]) = (line.map(u64::cast_signed), what.needles());
        let (mut found, spans) = (Vec::new(), self.spans_of_events().await?.collect::<Vec<_>>());
        for (place, (first, end)) in spans.iter().enumerate() {
            let values = [
                (first as _, Type::INT8),
                (end as _, Type::INT8),
                (&line as _, Type::INT8),
                (&inputs as _, Type::INT8_ARRAY),
                (&user as _, Type::TEXT),
                (&visitor as _, Type::TEXT),
            ];
            for row in self.rows(SEARCH, &values).await? {
                let (id, count) = (stored_id(&row)?, row.get::<_, i32>(2).cast_unsigned());
                if what.is_it.is_none_or(|is_it| is_it(id, count)) {
                    found.push(Sequence(row.get(0)));
                }
            }
            tell(((place + 1) * SEARCHED_AT_ONCE) as u64, (spans.len() * SEARCHED_AT_ONCE) as u64);
        }
        Ok(found)
    }

    /// What is kept of an event; `None` if there is none with this number.
    pub async fn trace(&mut self, sequence: Sequence) -> Result<Option<TracedEvent>> {
        let number = [(&sequence.0 as _, Type::INT8)];
        let found = self.rows(TRACED, &number).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let event = stored_event(row)?;
        let form = match row.get::<_, Option<&str>>(13) {
            Some(form) => Some(read_form(form)?),
            None => self.suite_of(event.requestor_id()).await?.map(|suite| suite.form),
        };
        let attempts = self.rows(ATTEMPTS, &number).await?;
        let attempt = |row: &Row| AttemptRecord {
            at: Instant::from_nanos(row.get(0)),
            run: None,
            worker: Some(row.get(1)),
            reply: row.get(2),
        };
        Ok(Some(TracedEvent {
            seq: sequence,
            event_id: stored_id(row)?,
            event,
            path: row.get(7),
            line: row.get::<_, i64>(8).cast_unsigned(),
            stored_at: None,
            backfill: None,
            state: row.get(9),
            since: row.get::<_, Option<i64>>(10).map(Instant::from_nanos),
            run: None,
            reason: row.get(11),
            attempts: attempts.iter().map(attempt).collect(),
            in_doubt: u32::try_from(row.get::<_, i64>(12)).unwrap_or(u32::MAX),
            repeats: Vec::new(),
            form,
        }))
    }
}
