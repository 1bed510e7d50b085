//! Events in: stored once by their identity. Pending events out: in the order in which they go.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Transaction, TransactionBehavior};

use super::ledger::Postings;
use super::memory;
use super::metrics::{self, Measure, Tally};
use super::suites::{FormKey, RequestorKey, form_of};
use super::{Buffer, BufferError, arrivals, connection, jobs, runs, suites};
use crate::delivery::Sequence;
use crate::event::{ContentDigest, EventId, EventKind, Instant, PassEvent, RequestorId, StoredColumns};
use crate::readers::esm::StatedAccounts;
use crate::readers::memory::{Feed, MemoryRow};
use crate::suite::HitForm;

/// The fact that holds the next sequence number.
const NEXT_SEQ: &str = "next_seq";
/// The fact that says where events end whose exchanges had identities of version 1; absent in a buffer that never had any.
const FORMER_BEFORE: &str = "exchanges_1_before";

/// What brought an event: nothing for live events, else the backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobKey(pub(super) i64);

impl JobKey {
    /// The job of live events.
    pub const LIVE: JobKey = JobKey(0);
}

impl Default for JobKey {
    fn default() -> JobKey {
        JobKey::LIVE
    }
}

/// One input, as the buffer remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputId(i64);

/// A validated event on its way in.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its line in the input.
    pub line: u64,
    pub id: EventId,
    /// The identity that a release before schema 6 gave it, where it follows from an exchange.
    pub former_id: Option<EventId>,
    /// The digest of all it says.
    pub content: ContentDigest,
    pub requestor_id: RequestorId,
    pub kind: EventKind,
    /// When it happened.
    pub occurred_at: Instant,
    pub count: u32,
    /// [`PassEvent::stored_body`].
    pub body: String,
    /// What it adds to the metrics.
    pub measure: Measure,
}

impl NewEvent {
    /// An event with its identity and its stored form.
    pub fn new(line: u64, event: &PassEvent) -> NewEvent {
        let (id, content) = event.identity();
        NewEvent {
            line,
            id,
            former_id: None,
            content,
            requestor_id: event.requestor_id().clone(),
            kind: event.kind(),
            occurred_at: event.occurred_at(),
            count: event.count(),
            body: event.stored_body(),
            measure: Measure::of(event),
        }
    }

    fn reference(&self, sequence: Sequence, job: JobKey, requestor: RequestorKey) -> EventRef {
        let NewEvent { kind, occurred_at, count, .. } = *self;
        EventRef { sequence, job, requestor, kind, occurred_at, count }
    }
}

/// The words that stand for it in SQL.
impl Feed {
    fn name(self) -> &'static str {
        match self {
            Feed::Events => "events",
            Feed::Esm => "esm",
        }
    }

    pub(super) fn of_name(name: &str) -> Feed {
        if name == "esm" { Feed::Esm } else { Feed::Events }
    }
}

/// Events of one input, stored in one transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    pub input: InputId,
    pub feed: Feed,
    pub job: JobKey,
    /// The events, in the order of their lines.
    pub events: Vec<NewEvent>,
    /// What its reader remembers of them.
    pub memory: Vec<MemoryRow>,
    /// What ESM stated beside them.
    pub stated: Vec<StatedAccounts>,
}

/// An event whose identity is known with other content: the first stays, this one is kept out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Which event of its batch was kept out: one line may have several.
    pub index: usize,
    /// The line that was kept out.
    pub line: u64,
    /// The input of the event that is stored; empty where it has expired.
    pub first_path: String,
    /// Its line there; 0 where it has expired.
    pub first_line: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreReport {
    pub stored: u64,
    /// Events known already, conflicts not among them.
    pub duplicates: u64,
    /// Events known already with other content.
    pub conflicts: Vec<Conflict>,
    /// Events left out because their requestor has the other kind of feed, by their place in the batch.
    pub mixed: Vec<usize>,
}

/// A row of the open inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    pub rowid: i64,
    /// Whatever was inserted, as bytes; NULL is empty.
    pub body: Vec<u8>,
}

/// What the account needs to know of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRef {
    pub sequence: Sequence,
    pub job: JobKey,
    pub requestor: RequestorKey,
    pub kind: EventKind,
    /// When it happened.
    pub occurred_at: Instant,
    pub count: u32,
}

/// An event that waits.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    /// Its place in the account.
    pub reference: EventRef,
    pub id: EventId,
    pub event: PassEvent,
    /// Attempts that may have been counted, and the form in which they were sent.
    pub doubted: Option<Doubted>,
}

/// The frozen side of an event in doubt.
#[derive(Debug, Clone)]
pub struct Doubted {
    /// The form of its attempts.
    pub form: Arc<HitForm>,
    /// The same, as the buffer names it.
    pub form_key: FormKey,
}

impl Buffer {
    /// Remembers an input by the path that messages will name.
    pub fn open_input(&self, path: &str) -> Result<InputId, BufferError> {
        let (path, opened_at) = (path.to_owned(), self.clock.now().nanos());
        self.call(move |connection| {
            connection.execute("INSERT INTO inputs (path, opened_at) VALUES (?1, ?2)", (path, opened_at))?;
            Ok(InputId(connection.last_insert_rowid()))
        })
    }

    /// Stores what is new in a batch; durable when it returns.
    pub fn store(&self, batch: Batch) -> Result<StoreReport, BufferError> {
        let mut reports = self.store_together(vec![batch])?;
        Ok(reports.pop().expect("a report for each batch"))
    }

    /// Stores what is new in batches of several inputs in one transaction, with a report for each, in their order. All of
    /// it is durable when it returns, or none.
    pub fn store_together(&self, batches: Vec<Batch>) -> Result<Vec<StoreReport>, BufferError> {
        let now = self.clock.now();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut reports = Vec::with_capacity(batches.len());
            for batch in &batches {
                reports.push(store(&transaction, batch, now)?);
                memory::store(&transaction, &batch.memory, now)?;
                metrics::store_stated(&transaction, &batch.stated)?;
            }
            transaction.commit()?;
            Ok(reports)
        })
    }

    /// The oldest rows of the inbox.
    pub fn inbox(&self, limit: usize) -> Result<Vec<InboxRow>, BufferError> {
        self.call(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT rowid, CAST(body AS BLOB) FROM inbox ORDER BY rowid LIMIT ?1")?;
            let rows = statement.query_map([limit as i64], |row| {
                Ok(InboxRow {
                    rowid: row.get(0)?,
                    body: row.get::<_, Option<Vec<u8>>>(1)?.unwrap_or_default(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Stores the events of inbox rows and deletes those rows, in one transaction.
    pub fn store_inbox(&self, rowids: &[i64], batch: Batch) -> Result<StoreReport, BufferError> {
        let rowids = rowids.to_vec();
        let now = self.clock.now();
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let report = store(&transaction, &batch, now)?;
            let mut delete = transaction.prepare_cached("DELETE FROM inbox WHERE rowid = ?1")?;
            for rowid in &rowids {
                delete.execute([rowid])?;
            }
            drop(delete);
            transaction.commit()?;
            Ok(report)
        })
    }

    /// Whether a release before schema 6 may have read exchanges into it.
    pub fn knows_former_exchanges(&self) -> Result<bool, BufferError> {
        self.call(|connection| Ok(runs::fact(connection, FORMER_BEFORE)?.is_some()))
    }

    /// Opens a walk over the events of a job that wait, on a connection of its own.
    pub fn backlog(&self, job: JobKey) -> Result<Backlog, BufferError> {
        Ok(Backlog {
            connection: connection::open_reader(self.path())?,
            job,
            forms: HashMap::new(),
            requestors: HashMap::new(),
        })
    }
}

fn store(transaction: &Transaction<'_>, batch: &Batch, now: Instant) -> Result<StoreReport, BufferError> {
    let mut report = StoreReport::default();
    let mut arrived = Vec::new();
    let mut postings = Postings::default();
    let mut tally = Tally::new(transaction)?;
    let mut requestors: HashMap<RequestorId, (RequestorKey, bool)> = HashMap::new();
    let first_seq = runs::fact(transaction, NEXT_SEQ)?.unwrap_or(1);
    let mut seq = first_seq;
    {
        let mut insert = Inserts::prepare(transaction)?;
        for (index, event) in batch.events.iter().enumerate() {
            let (requestor, is_mixed) = match requestors.get(&event.requestor_id) {
                Some(known) => *known,
                None => {
                    let requestor = suites::intern_requestor(transaction, &event.requestor_id)?;
                    let known = (requestor, feed_of(transaction, requestor, batch.feed)? != batch.feed);
                    requestors.insert(event.requestor_id.clone(), known);
                    known
                }
            };
            if is_mixed && !batch.memory.is_empty() {
                // What its reader remembers of these events must not be kept without them.
                return Err(BufferError::MixedFeeds(event.requestor_id.as_str().to_owned()));
            }
            if is_mixed {
                report.mixed.push(index);
                continue;
            }
            if insert.has_former(event.former_id)? {
                report.duplicates += 1;
                continue;
            }
            if insert.identity.execute((event.id.bytes(), event.content.0, seq))? == 0 {
                match first_of_conflict(transaction, index, event)? {
                    Some(conflict) => report.conflicts.push(conflict),
                    None => report.duplicates += 1,
                }
                continue;
            }
            insert.event(seq, requestor, batch, event)?;
            if batch.job == JobKey::LIVE && !arrived.contains(&requestor) {
                arrived.push(requestor);
            }
            let reference = event.reference(Sequence(seq), batch.job, requestor);
            postings.ingest(&reference);
            tally.add(transaction, &reference, &event.measure)?;
            seq += 1;
        }
    }
    report.stored = (seq - first_seq) as u64;
    runs::set_fact(transaction, NEXT_SEQ, seq)?;
    if report.stored > 0 {
        arrivals::note(transaction, Sequence(seq - 1), &arrived, now)?;
    }
    if batch.job != JobKey::LIVE {
        jobs::add_events(transaction, batch.job, report.stored)?;
    }
    postings.apply(transaction)?;
    tally.apply(transaction)?;
    Ok(report)
}

/// How a requestor's events come in: as they did first.
fn feed_of(transaction: &Transaction<'_>, requestor: RequestorKey, first: Feed) -> Result<Feed, BufferError> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO feeds (requestor, feed) VALUES (?1, ?2)")?
        .execute((requestor.0, first.name()))?;
    let mut known = transaction.prepare_cached("SELECT feed FROM feeds WHERE requestor = ?1")?;
    Ok(known.query_row([requestor.0], |row| Ok(Feed::of_name(&row.get::<_, String>(0)?)))?)
}

struct Inserts<'a> {
    former: CachedStatement<'a>,
    /// Where events with identities of version 1 end; `None` where there are none.
    former_before: Option<i64>,
    identity: CachedStatement<'a>,
    event: CachedStatement<'a>,
    queue: CachedStatement<'a>,
}

impl<'a> Inserts<'a> {
    fn prepare(transaction: &'a Transaction<'_>) -> Result<Inserts<'a>, BufferError> {
        Ok(Inserts {
            // An event without a number has expired or was erased: its identity stays all the same.
            former: transaction.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM identities WHERE id = ?1 AND ifnull(seq, 0) < ?2)",
            )?,
            former_before: runs::fact(transaction, FORMER_BEFORE)?,
            identity: transaction
                .prepare_cached("INSERT OR IGNORE INTO identities (id, content, seq) VALUES (?1, ?2, ?3)")?,
            event: transaction.prepare_cached(
                "INSERT INTO events (seq, id, requestor, slot, occurred_at, count, job, input, line, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?,
            queue: transaction.prepare_cached(
                "INSERT INTO queue (job, requestor, occurred_at, seq) VALUES (?1, ?2, ?3, ?4)",
            )?,
        })
    }

    /// Whether an earlier release stored this event, under the identity that it had then.
    fn has_former(&mut self, former_id: Option<EventId>) -> Result<bool, BufferError> {
        Ok(match (former_id, self.former_before) {
            (Some(id), Some(before)) => self.former.query_row((id.bytes(), before), |row| row.get(0))?,
            _ => false,
        })
    }

    fn event(
        &mut self,
        seq: i64,
        requestor: RequestorKey,
        batch: &Batch,
        event: &NewEvent,
    ) -> Result<(), BufferError> {
        let occurred_at = event.occurred_at.nanos();
        self.event.execute(rusqlite::params![
            seq,
            event.id.bytes(),
            requestor.0,
            event.kind.slot(),
            occurred_at,
            event.count,
            batch.job.0,
            batch.input.0,
            event.line as i64,
            event.body
        ])?;
        self.queue.execute((batch.job.0, requestor.0, occurred_at, seq))?;
        Ok(())
    }
}

/// The stored event that this one contradicts; `None` where both say the same, or what was said is erased.
fn first_of_conflict(
    transaction: &Transaction<'_>,
    index: usize,
    event: &NewEvent,
) -> Result<Option<Conflict>, BufferError> {
    let mut statement = transaction.prepare_cached(
        "SELECT i.content, p.path, e.line FROM identities i
         LEFT JOIN events e ON e.seq = i.seq LEFT JOIN inputs p ON p.input = e.input WHERE i.id = ?1",
    )?;
    let (content, path, line): (Option<i64>, Option<String>, Option<i64>) =
        statement.query_row([event.id.bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(content.filter(|content| *content != event.content.0).map(|_| Conflict {
        index,
        line: event.line,
        first_path: path.unwrap_or_default(),
        first_line: line.unwrap_or(0) as u64,
    }))
}

impl JobKey {
    pub(super) fn number(self) -> i64 {
        self.0
    }
}

/// Where a walk over a requestor's backlog stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    occurred_at: i64,
    seq: i64,
}

impl Cursor {
    /// Before the first event.
    pub const START: Cursor = Cursor { occurred_at: i64::MIN, seq: i64::MIN };

    pub fn after(event: &EventRef) -> Cursor {
        Cursor { occurred_at: event.occurred_at.nanos(), seq: event.sequence.0 }
    }
}

/// A walk over the events of a job that wait, in the order of (occurred_at, sequence) of each requestor. Those that are in a
/// bulk file already are passed over.
#[derive(Debug)]
pub struct Backlog {
    connection: Connection,
    job: JobKey,
    forms: HashMap<FormKey, Arc<HitForm>>,
    requestors: HashMap<RequestorKey, RequestorId>,
}

impl Backlog {
    /// The next events of a requestor that were stored up to `cover`; fewer than `limit` means that there are no more.
    /// Events stored later are passed over and do not count against `limit`.
    pub fn next(
        &mut self,
        requestor: RequestorKey,
        after: Cursor,
        cover: Sequence,
        limit: usize,
    ) -> Result<Vec<PendingEvent>, BufferError> {
        let requestor_id = self.requestor_id(requestor)?;
        let mut statement = self.connection.prepare_cached(
            "SELECT q.seq, e.id, e.slot, q.occurred_at, e.count, e.body, q.job, d.form
             FROM queue q JOIN events e ON e.seq = q.seq LEFT JOIN doubts d ON d.seq = q.seq
             LEFT JOIN bulk_rows b ON b.seq = q.seq
             WHERE b.seq IS NULL AND q.job = ?1 AND q.requestor = ?2 AND (q.occurred_at, q.seq) > (?3, ?4) AND q.seq <= ?5
             ORDER BY q.occurred_at, q.seq LIMIT ?6",
        )?;
        let mut rows = statement.query((
            self.job.0,
            requestor.0,
            after.occurred_at,
            after.seq,
            cover.0,
            limit as i64,
        ))?;
        let mut events = Vec::with_capacity(limit.min(4096));
        while let Some(row) = rows.next()? {
            let mut event = read_pending(row, requestor, &requestor_id)?;
            if let Some(form_key) = row.get::<_, Option<i64>>(7)?.map(FormKey) {
                let form = match self.forms.get(&form_key) {
                    Some(form) => form.clone(),
                    None => {
                        let form = Arc::new(form_of(&self.connection, form_key)?);
                        self.forms.insert(form_key, form.clone());
                        form
                    }
                };
                event.doubted = Some(Doubted { form, form_key });
            }
            events.push(event);
        }
        Ok(events)
    }

    fn requestor_id(&mut self, requestor: RequestorKey) -> Result<RequestorId, BufferError> {
        if let Some(requestor_id) = self.requestors.get(&requestor) {
            return Ok(requestor_id.clone());
        }
        let requestor_id = suites::requestor_id_of(&self.connection, requestor)?;
        self.requestors.insert(requestor, requestor_id.clone());
        Ok(requestor_id)
    }
}

fn read_pending(
    row: &Row<'_>,
    requestor: RequestorKey,
    requestor_id: &RequestorId,
) -> Result<PendingEvent, BufferError> {
    let sequence = Sequence(row.get(0)?);
    let damaged = |what: &str| BufferError::Damaged(sequence, what.to_owned());
    let slot: u8 = row.get(2)?;
    let kind = EventKind::from_slot(slot).ok_or_else(|| damaged("its event slot is unknown"))?;
    let occurred_at = Instant::from_nanos(row.get(3)?);
    let count = row.get(4)?;
    let columns = StoredColumns { occurred_at, kind, requestor_id: requestor_id.clone(), count };
    let body = row.get_ref(5)?.as_str().map_err(|_| damaged("its body is no text"))?;
    let event = PassEvent::from_stored(columns, body).map_err(|error| damaged(&error.to_string()))?;
    Ok(PendingEvent {
        reference: EventRef { sequence, job: JobKey(row.get(6)?), requestor, kind, occurred_at, count },
        id: EventId::from_bytes(row.get(1)?),
        event,
        doubted: None,
    })
}

/// The place of an event in the account; `None` where it was erased.
pub(super) fn reference(
    connection: &Connection,
    sequence: Sequence,
) -> Result<Option<EventRef>, BufferError> {
    let mut statement = connection
        .prepare_cached("SELECT requestor, slot, occurred_at, count, job FROM events WHERE seq = ?1")?;
    let Some(row) = statement
        .query_row([sequence.0], |row| {
            Ok((row.get(0)?, row.get::<_, u8>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?
    else {
        return Ok(None);
    };
    let (requestor, slot, occurred_at, count, job) = row;
    let unknown = || BufferError::Damaged(sequence, "its event slot is unknown".to_owned());
    Ok(Some(EventRef {
        sequence,
        job: JobKey(job),
        requestor: RequestorKey(requestor),
        kind: EventKind::from_slot(slot).ok_or_else(unknown)?,
        occurred_at: Instant::from_nanos(occurred_at),
        count,
    }))
}

/// One stored event of any state, for those who look at dead letters and held events.
pub(super) fn read_event(
    connection: &Connection,
    sequence: Sequence,
) -> Result<(EventRef, EventId, PassEvent), BufferError> {
    let requestor = connection
        .prepare_cached("SELECT requestor FROM events WHERE seq = ?1")?
        .query_row([sequence.0], |row| row.get(0).map(RequestorKey))?;
    let requestor_id = suites::requestor_id_of(connection, requestor)?;
    let mut statement = connection
        .prepare_cached("SELECT seq, id, slot, occurred_at, count, body, job FROM events WHERE seq = ?1")?;
    let mut rows = statement.query([sequence.0])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let pending = read_pending(row, requestor, &requestor_id)?;
    Ok((pending.reference, pending.id, pending.event))
}
