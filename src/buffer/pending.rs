//! Takes pending events back. The buffer is then as if it had never read them, so a corrected file can be read again.
//!
//! ```text
//! queue + events + identities ──> rows are deleted; the ledger counts them as taken_back
//! metric_counts                    lose their units; users of a day are recounted, unless other events of it are gone
//! source_memory, esm_accounts      ESM totals are lowered; rows of exchanges are again as before the input
//! feeds                            a requestor with no event left loses its row: its next feed may be of either kind
//! ```

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::attempts;
use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{NEWEST_EXCHANGES, fact, set_fact};
use super::keys::{InputId, RequestorKey};
use super::ledger::{HOUR_NANOS, Postings, Term, count_in_job};
use super::memory;
use super::metrics::{self, RequestorDay, Withdrawals, day_of};
use super::rows::{StoredEvent, all, each, first, from_row, json_list, only, read_event, run, value};
use super::sqlite::WholeLock;
use super::states::take;
use crate::delivery::Sequence;
use crate::event::{Instant, MeasureOf, RequestorId};
use crate::readers::esm;

/// Events taken back in one transaction, so that an ingest never waits long.
const TAKEN_A_TRANSACTION: usize = 10_000;

/// The pending events to list or to take back. A field that is `None` limits nothing.
#[derive(Debug, Clone, Default)]
pub struct PendingSelection {
    pub input: Option<i64>,
    /// The path or name of a source; selects every input that has this path or name.
    pub source: Option<String>,
    /// The name of a backfill.
    pub backfill: Option<String>,
    pub requestor_id: Option<RequestorId>,
    pub from: Option<Instant>,
    /// The end of the span of `occurred_at`, exclusive.
    pub to: Option<Instant>,
}

/// The pending events of a requestor that came with an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingGroup {
    pub input: i64,
    pub source: String,
    /// When the input was opened; `None` if the buffer has no record of the input.
    pub read_at: Option<Instant>,
    pub requestor_id: String,
    /// The backfill to which the events belong; `None` for live events.
    pub backfill: Option<String>,
    pub events: u64,
    pub units: u64,
    pub first_occurred_at: Instant,
    pub last_occurred_at: Instant,
    /// Events that may have been counted, or that are in a file that was sent. They are not taken back.
    pub with_attempt: u64,
}

/// What was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TakenBack {
    pub taken_back: u64,
    pub units: u64,
    /// Events that stay, because they may have been counted or are in a file that was sent.
    pub left_with_attempt: u64,
    /// Events that stay, because ESM later raised the same count and the event of that increase is not taken back.
    pub left_below_later: u64,
    /// How many days of requestors still count users of taken-back events, because other events expired or were erased.
    pub days_with_old_users: u64,
}

/// Why nothing was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// Only a part of an input of exchanges was selected, but its logins and profiles can go back only as a whole.
    PartOfExchanges(i64),
    /// Other exchanges came in after this input, and their events may depend on it.
    LaterExchanges(i64),
}

/// The events that a selection finds.
#[derive(Default)]
struct Found {
    groups: BTreeMap<(i64, i64, RequestorKey), PendingGroup>,
    /// The events without an attempt.
    free: Vec<Sequence>,
    /// Inputs from before schema 9 with events whose IDs look like those of exchanges.
    former_exchanges: BTreeSet<i64>,
}

impl Buffer {
    /// The pending events of a selection, by input and requestor.
    pub fn pending_by_input(&self, selection: &PendingSelection) -> Result<Vec<PendingGroup>> {
        self.read(|connection| Ok(find(connection, selection)?.groups.into_values().collect()))
    }

    /// Takes the pending events of a selection back. Withdraws files that were never sent. The lock proves that no
    /// drain and no backfill runs. Each transaction leaves the account balanced; a second call goes on after a crash.
    pub fn take_back(
        &self,
        selection: &PendingSelection,
        _lock: &WholeLock,
    ) -> Result<std::result::Result<TakenBack, NotTaken>> {
        self.withdraw_unsent(|_| true)?;
        let (found, exchanges) = self.read(|connection| {
            let found = find(connection, selection)?;
            let exchanges = exchanges_of(connection, selection, &found)?;
            Ok((found, exchanges))
        })?;
        let exchanges = match exchanges {
            Ok(exchanges) => exchanges,
            Err(why) => return Ok(Err(why)),
        };
        let left_with_attempt = found.groups.values().map(|group| group.with_attempt).sum();
        let mut taken = TakenBack { left_with_attempt, ..TakenBack::default() };
        let (mut free, measure) = (found.free, self.measure);
        // An ESM count goes back from its latest total to the one before, so the latest event goes first.
        free.sort_unstable_by(|one, other| other.cmp(one));
        let chunks = free.len().div_ceil(TAKEN_A_TRANSACTION);
        for (number, chunk) in free.chunks(TAKEN_A_TRANSACTION).enumerate() {
            let chunk = chunk.to_vec();
            let last_of = exchanges.filter(|_| number + 1 == chunks);
            let (events, units) =
                self.write(move |transaction| take_some(transaction, &chunk, measure, last_of))?;
            taken.taken_back += events;
            taken.units += units;
        }
        taken.left_below_later = free.len() as u64 - taken.taken_back;
        taken.days_with_old_users = self.write(move |transaction| metrics::recount(transaction, measure))?;
        Ok(Ok(taken))
    }
}

fn find(connection: &Connection, selection: &PendingSelection) -> Result<Found> {
    let PendingSelection { input, source, backfill, requestor_id, from, to } = selection;
    let select = "SELECT e.seq, e.input, e.job, e.requestor, e.count, e.occurred_at,
            e.seq IN (SELECT seq FROM claims) OR EXISTS (SELECT 1 FROM doubts d WHERE d.seq = e.seq)
            OR EXISTS (SELECT 1 FROM bulk_rows b JOIN bulk_files f ON f.file = b.file
                       WHERE b.seq = e.seq AND f.state <> 'written') AS is_tried,
            e.input <= (SELECT value FROM facts WHERE name = 'inputs_before_9')
            AND length(e.body ->> 'event_id') = 32 AND NOT e.body ->> 'event_id' GLOB '*[^0-9a-f]*' AS may_be_exchange
         FROM queue q CROSS JOIN events e ON e.seq = q.seq
         WHERE (?1 IS NULL OR e.input = ?1) AND (?2 IS NULL OR e.input IN (SELECT input FROM inputs WHERE path = ?2))
           AND (?3 IS NULL OR q.requestor = (SELECT requestor FROM requestors WHERE requestor_id = ?3))
           AND (?4 IS NULL OR q.occurred_at >= ?4) AND (?5 IS NULL OR q.occurred_at < ?5)
           AND (?6 IS NULL OR q.job = (SELECT job FROM jobs WHERE name = ?6))";
    let mut found = Found::default();
    each(connection, select, (input, source, requestor_id, from, to, backfill), |row| {
        let key = (row.get("input")?, row.get("job")?, row.get("requestor")?);
        let occurred_at: Instant = row.get("occurred_at")?;
        let group = match found.groups.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(group_of(connection, key, occurred_at)?),
        };
        group.events += 1;
        group.units += row.get::<_, u64>("count")?;
        group.first_occurred_at = group.first_occurred_at.min(occurred_at);
        group.last_occurred_at = group.last_occurred_at.max(occurred_at);
        if row.get("is_tried")? {
            group.with_attempt += 1;
        } else {
            found.free.push(row.get("seq")?);
        }
        if row.get::<_, Option<bool>>("may_be_exchange")?.unwrap_or(false) {
            found.former_exchanges.insert(key.0);
        }
        Ok(())
    })?;
    Ok(found)
}

fn group_of(
    connection: &Connection,
    (input, job, requestor): (i64, i64, RequestorKey),
    occurred_at: Instant,
) -> Result<PendingGroup> {
    let select = "SELECT requestor_id, (SELECT path FROM inputs WHERE input = ?1) AS source,
            (SELECT opened_at FROM inputs WHERE input = ?1) AS read_at,
            (SELECT name FROM jobs WHERE job = ?2) AS backfill FROM requestors WHERE requestor = ?3";
    let group = first(connection, select, (input, job, requestor), |row| {
        let source = row.get::<_, Option<String>>("source")?.unwrap_or_default();
        Ok(from_row!(row, PendingGroup { read_at, requestor_id, backfill },
            input: input, source: source, events: 0, units: 0, with_attempt: 0,
            first_occurred_at: occurred_at, last_occurred_at: occurred_at))
    })?;
    group.ok_or_else(|| BufferError::damage("a requestor is gone"))
}

/// The input of exchanges among the inputs found, if it can be taken back. Only the newest input of exchanges can, and
/// only as a whole: the buffer keeps logins and profiles only as they were before that input.
fn exchanges_of(
    connection: &Connection,
    selection: &PendingSelection,
    found: &Found,
) -> Result<std::result::Result<Option<InputId>, NotTaken>> {
    let select =
        "SELECT DISTINCT coalesce(input, 0) FROM source_memory WHERE substr(body, 1, length(?1)) <> ?1";
    let with_exchanges: BTreeSet<i64> = all(connection, select, [esm::ROW_PREFIX], only)?;
    let is_former = |input: &i64| with_exchanges.contains(&0) && found.former_exchanges.contains(input);
    let inputs: BTreeSet<i64> = found.groups.keys().map(|(input, ..)| *input).collect();
    let newest = fact(connection, NEWEST_EXCHANGES)?;
    let mut of_exchanges = inputs.iter().filter(|input| with_exchanges.contains(input) || is_former(input));
    let Some(last) = of_exchanges.next_back() else { return Ok(Ok(None)) };
    if let Some(earlier) = of_exchanges.next().filter(|_| newest == Some(*last)) {
        return Ok(Err(NotTaken::LaterExchanges(*earlier)));
    }
    if newest != Some(*last) {
        return Ok(Err(NotTaken::LaterExchanges(*last)));
    }
    // A backfill of a span of time has only some of an input's events.
    let has_others = "SELECT EXISTS (SELECT 1 FROM queue q CROSS JOIN events e ON e.seq = q.seq
         WHERE e.input = ?1 AND e.job <> (SELECT job FROM jobs WHERE name = ?2))";
    let is_part = selection.requestor_id.is_some() || selection.from.is_some() || selection.to.is_some();
    let is_part = is_part || value(connection, has_others, (last, &selection.backfill))?;
    Ok(if is_part { Err(NotTaken::PartOfExchanges(*last)) } else { Ok(Some(InputId(*last))) })
}

/// What must be cleaned up after the events of one transaction were taken back.
#[derive(Default)]
struct Traces {
    gone: Vec<Sequence>,
    days: BTreeSet<RequestorDay>,
    /// The UTC hours of requestors whose counts of ESM were lowered, with the inputs that had raised them.
    esm_hours: BTreeSet<(RequestorKey, i64, i64)>,
    requestors: BTreeMap<RequestorKey, RequestorId>,
}

/// Takes some events back. Returns their number and units. `last_of`: the exchange input whose last events these are.
fn take_some(
    transaction: &Transaction<'_>,
    sequences: &[Sequence],
    measure: MeasureOf,
    last_of: Option<InputId>,
) -> Result<(u64, u64)> {
    let (mut postings, mut withdrawals) = (Postings::default(), Withdrawals::new(measure));
    let (mut traces, mut units) = (Traces::default(), 0);
    for sequence in sequences {
        let stored = read_event(transaction, *sequence)?;
        let growth = stored.event.event_id().and_then(esm::growth_of);
        if growth.map_or(Ok(true), |growth| memory::lower_total(transaction, growth))?
            && take(transaction, &stored.reference, Term::Pending)?
        {
            let StoredEvent { reference, event } = &stored;
            traces.gone.push(*sequence);
            traces.requestors.insert(reference.requestor, event.requestor_id().clone());
            if measure(event).user().is_some() {
                traces.days.insert((reference.requestor, day_of(reference.occurred_at)));
            }
            if growth.is_some() {
                let input = value(transaction, "SELECT input FROM events WHERE seq = ?1", [sequence])?;
                traces.esm_hours.insert((reference.requestor, reference.occurred_at.unix_hour(), input));
            }
            units += u64::from(reference.count);
            withdrawals.add(transaction, &stored)?;
            postings.shift(reference, Term::Pending, Term::TakenBack);
            count_in_job(transaction, reference.job, -1)?;
        }
    }
    let list = json_list(&traces.gone);
    let release = "DELETE FROM identities
         WHERE id IN (SELECT id FROM events WHERE seq IN (SELECT value FROM json_each(?1)))";
    run(transaction, release, [&list])?;
    attempts::forget(transaction, &traces.gone)?;
    let count = "UPDATE inputs SET summary = json_set(coalesce(summary, '{}'), '$.taken_back', coalesce(summary ->> 'taken_back', 0) + t.events)
         FROM (SELECT input, count(*) AS events FROM events WHERE seq IN (SELECT value FROM json_each(?1)) GROUP BY input) t
         WHERE inputs.input = t.input";
    run(transaction, count, [&list])?;
    run(transaction, "DELETE FROM undelivered WHERE seq IN (SELECT value FROM json_each(?1))", [&list])?;
    run(transaction, "DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?1))", [&list])?;
    postings.apply(transaction)?;
    withdrawals.subtract(transaction)?;
    for day in &traces.days {
        run(transaction, "INSERT OR IGNORE INTO metric_users_stale (requestor, day) VALUES (?1, ?2)", *day)?;
    }
    forget_empty(transaction, &traces)?;
    if let Some(input) = last_of {
        take_back_exchanges(transaction, input)?;
    }
    Ok((traces.gone.len() as u64, units))
}

/// Undoes what an input stated about missing columns and accounts, for each hour in which this input has no event left.
/// Deletes a requestor's ESM rows of an hour without any event, and its feed and accounts once it has no event at all.
fn forget_empty(connection: &Connection, traces: &Traces) -> Result<()> {
    let is_empty = |requestor: RequestorKey, from: i64, to: i64| {
        let select = "SELECT total(ingested_events - taken_back_events) = 0 FROM ledger
             WHERE requestor = ?1 AND hour BETWEEN ?2 AND ?3";
        value::<bool>(connection, select, (requestor, from, to))
    };
    for (requestor, hour, input) in &traces.esm_hours {
        let requestor_id = traces.requestors[requestor].as_str();
        let from = hour.saturating_mul(HOUR_NANOS);
        let to = from.saturating_add(HOUR_NANOS);
        let is_left = "SELECT EXISTS (SELECT 1 FROM events WHERE input = ?1 AND requestor = ?2 AND occurred_at >= ?3 AND occurred_at < ?4
             AND seq BETWEEN (SELECT first_seq FROM inputs WHERE input = ?1) AND (SELECT last_seq FROM inputs WHERE input = ?1))";
        if !value::<bool>(connection, is_left, (input, requestor, from, to))? {
            let lacking = esm::hour_key(esm::LACKING, requestor_id, *hour);
            memory::take_back_lacking(connection, lacking, InputId(*input))?;
            metrics::take_back_stated(connection, *requestor, [from, to], InputId(*input))?;
        }
    }
    for (requestor, hour, _) in &traces.esm_hours {
        if is_empty(*requestor, *hour, *hour)? {
            for about in [esm::GROUPING, esm::LACKING] {
                let key = esm::hour_key(about, traces.requestors[requestor].as_str(), *hour).0;
                run(connection, "DELETE FROM source_memory WHERE key = ?1", [key])?;
            }
            let delete =
                "DELETE FROM esm_accounts WHERE requestor = ?1 AND starts_at >= ?2 AND ends_at <= ?3";
            let from = hour.saturating_mul(HOUR_NANOS);
            run(connection, delete, (requestor, from, from.saturating_add(HOUR_NANOS)))?;
        }
    }
    for requestor in traces.requestors.keys() {
        if is_empty(*requestor, i64::MIN, i64::MAX)? {
            run(connection, "DELETE FROM feeds WHERE requestor = ?1", [requestor])?;
            run(connection, "DELETE FROM esm_accounts WHERE requestor = ?1", [requestor])?;
        }
    }
    Ok(())
}

/// Restores the rows of `source_memory` as they were before `input`, the newest input of exchanges.
pub(super) fn take_back_exchanges(transaction: &Transaction<'_>, input: InputId) -> Result<()> {
    let delete = "DELETE FROM source_memory WHERE input = ?1 AND substr(body, 1, length(?2)) <> ?2";
    run(transaction, delete, (input, esm::ROW_PREFIX))?;
    let restore = "INSERT OR REPLACE INTO source_memory (key, drops_at, body, input)
         SELECT key, drops_at, body, input FROM source_memory_before";
    run(transaction, restore, [])?;
    run(transaction, "DELETE FROM source_memory_before", [])?;
    set_fact(transaction, NEWEST_EXCHANGES, -input.0)
}
