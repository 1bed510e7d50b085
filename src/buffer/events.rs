//! Stores incoming events, each identity once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, Transaction, params};

use super::arrivals;
use super::database::{Buffer, refuse_moved};
use super::error::{BufferError, Result};
use super::facts::{FORMER_BEFORE, INBOX_LEFT_SINCE, NEXT_SEQ, fact, forget_fact, set_fact};
use super::forms::intern_requestor;
use super::inputs;
use super::keys::{InputId, JobKey, RequestorKey};
use super::ledger::{Postings, count_in_job};
use super::memory;
use super::metrics::{Tally, store_stated};
use super::repeats::Repeats;
use super::rows::{EventRef, first, from_row, run, value};
use crate::delivery::Sequence;
use crate::event::{
    ContentDigest, EventId, EventKind, Identity, Instant, Measure, PassEvent, RequestorId, StoredColumns,
};
use crate::readers::esm::StatedAccounts;
use crate::readers::memory::{Feed, MemoryRow};

/// A validated event that is to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The number of its line or record, from 1; for a row of the inbox, its `rowid`.
    pub line: u64,
    pub id: EventId,
    /// The identities that earlier releases gave the event. They are looked up, never written.
    pub former_ids: Vec<EventId>,
    pub content: ContentDigest,
    /// The identity and the content of the event in earlier releases, if they differ. They are never written.
    pub former: Option<(EventId, ContentDigest)>,
    pub requestor_id: RequestorId,
    pub kind: EventKind,
    pub occurred_at: Instant,
    pub count: u32,
    pub body: String,
    pub measure: Measure,
}

impl NewEvent {
    /// The event; `None` if its stored form cannot be read.
    pub fn event(&self) -> Option<PassEvent> {
        let NewEvent { occurred_at, kind, count, .. } = *self;
        let columns = StoredColumns { occurred_at, kind, requestor_id: self.requestor_id.clone(), count };
        PassEvent::from_stored(columns, &self.body)
    }

    /// An event with its identity, its stored form and what it adds to the metrics.
    pub fn new(line: u64, event: &PassEvent, measure: Measure) -> NewEvent {
        let Identity { id, content, former } = event.identity();
        NewEvent {
            line,
            id,
            former_ids: former
                .filter(|(former, _)| *former != id)
                .map(|(former, _)| former)
                .into_iter()
                .collect(),
            content,
            former,
            requestor_id: event.requestor_id().clone(),
            kind: event.kind(),
            occurred_at: event.occurred_at(),
            count: event.count(),
            body: event.stored_body(),
            measure,
        }
    }

    /// The identity by which the event is recognised.
    pub fn identity(&self) -> Identity {
        Identity { id: self.id, content: self.content, former: self.former }
    }

    /// The content that an earlier release stored for the event.
    pub fn former_content(&self) -> ContentDigest {
        self.former.map_or(self.content, |(_, content)| content)
    }

    fn reference(&self, sequence: Sequence, job: JobKey, requestor: RequestorKey) -> EventRef {
        let NewEvent { kind, occurred_at, count, .. } = *self;
        EventRef { sequence, job, requestor, kind, occurred_at, count }
    }
}

/// Events of one input, stored in one transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    pub input: InputId,
    pub feed: Feed,
    pub job: JobKey,
    /// The events, in the order of their lines. The caller may keep them, too.
    pub events: Arc<Vec<NewEvent>>,
    pub memory: Vec<MemoryRow>,
    /// The unique accounts that ESM stated in the same reports.
    pub stated: Vec<StatedAccounts>,
    /// How many lines of the same portion were rejected.
    pub rejected: u64,
}

/// An event whose identity is already stored with other content. The stored event stays; this one is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The index of the event in its batch, because one line may have several events.
    pub index: usize,
    pub line: u64,
    /// The path of the stored event's input; empty if the stored event has expired.
    pub first_path: String,
    /// The line of the stored event in its input; 0 if the stored event has expired.
    pub first_line: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreReport {
    pub stored: u64,
    /// Events that were already stored, except those with other content. A repeat of an erased event counts here.
    pub duplicates: u64,
    /// Events that were already stored with other content.
    pub conflicts: Vec<Conflict>,
    /// The indices in the batch of events that were not stored, because their requestor has the other kind of feed, each
    /// with the spelling of the requestor's ID there.
    pub mixed: Vec<(usize, String)>,
}

/// A row of the inbox, the table into which other programs may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    pub rowid: i64,
    /// The inserted value as bytes; empty for NULL.
    pub body: Vec<u8>,
}

impl Buffer {
    /// Stores the new events of a batch. They are durable when this returns. Fails with `MixedFeeds`, and stores
    /// nothing, if a requestor has the other kind of feed and the batch has rows of a reader's memory.
    pub fn store(&self, batch: Batch) -> Result<StoreReport> {
        let now = self.now();
        self.write(move |transaction| store(transaction, &batch, now))
    }

    /// Stores the new events of several batches in one transaction, all or none. They are durable when this returns.
    /// Returns a report for each batch, in the order of the batches.
    pub fn store_together(&self, batches: Vec<Batch>) -> Result<Vec<StoreReport>> {
        let now = self.now();
        self.write(move |transaction| batches.iter().map(|batch| store(transaction, batch, now)).collect())
    }

    /// The oldest rows of the inbox, at most `limit`.
    pub fn inbox(&self, limit: usize) -> Result<Vec<InboxRow>> {
        let select =
            "SELECT rowid, CAST(coalesce(body, '') AS BLOB) AS body FROM inbox ORDER BY rowid LIMIT ?1";
        self.all(select, [limit], |row| Ok(from_row!(row, InboxRow { rowid, body })))
    }

    /// Stores the events of inbox rows and deletes the rows, in one transaction. Returns the rows that stay because of
    /// a conflict or the other kind of feed, by their rowid: the caller keeps these as rejects and then deletes them.
    pub fn store_inbox(&self, rowids: &[i64], batch: Batch) -> Result<(StoreReport, Vec<i64>)> {
        let (rowids, now) = (rowids.to_vec(), self.now());
        self.write(move |transaction| {
            let report = store(transaction, &batch, now)?;
            let mixed = report.mixed.iter().map(|(index, _)| *index);
            let left_out = mixed.chain(report.conflicts.iter().map(|conflict| conflict.index));
            let left_out: BTreeSet<i64> =
                left_out.map(|index| batch.events[index].line.cast_signed()).collect();
            delete_from_inbox(transaction, rowids.iter().filter(|rowid| !left_out.contains(rowid)))?;
            Ok((report, left_out.into_iter().collect()))
        })
    }

    /// Records whether rows stay in the inbox because drains cannot move them, and since when.
    pub fn note_inbox_left(&self, is_left: bool) -> Result<()> {
        let now = self.now().nanos();
        self.write(move |transaction| match (is_left, fact(transaction, INBOX_LEFT_SINCE)?) {
            (true, None) => set_fact(transaction, INBOX_LEFT_SINCE, now),
            (false, Some(_)) => forget_fact(transaction, INBOX_LEFT_SINCE),
            (true, Some(_)) | (false, None) => Ok(()),
        })
    }

    pub fn delete_from_inbox(&self, rowids: Vec<i64>) -> Result<()> {
        self.write(move |transaction| delete_from_inbox(transaction, rowids.iter()))
    }

    /// Whether a release before schema 6 may have read exchanges into this buffer.
    pub fn knows_former_exchanges(&self) -> Result<bool> {
        // Reads on the writing thread, because the caller's thread may lack rights that the opener of the buffer had.
        self.on_thread(|connection| Ok(fact(connection, FORMER_BEFORE)?.is_some()))
    }
}

fn delete_from_inbox<'a>(transaction: &Transaction<'_>, rowids: impl Iterator<Item = &'a i64>) -> Result<()> {
    // Rows may contain tokens, which passbridge must not keep. So deleted rows are overwritten with zeros.
    // Otherwise they would stay in free pages of the file and of each backup.
    transaction.execute_batch("PRAGMA secure_delete = ON")?;
    for rowid in rowids {
        run(transaction, "DELETE FROM inbox WHERE rowid = ?1", [rowid])?;
    }
    let last: Option<i64> = value(transaction, "SELECT max(rowid) FROM inbox", [])?;
    if last.is_none() {
        // Splitting pages leaves copies of moved rows behind. Only emptying the table clears its first page.
        run(transaction, "DELETE FROM inbox", [])?;
    }
    Ok(transaction.execute_batch("PRAGMA secure_delete = OFF")?)
}

fn store(transaction: &Transaction<'_>, batch: &Batch, now: Instant) -> Result<StoreReport> {
    // A collector may have opened the buffer before it was moved.
    refuse_moved(transaction, Path::new(transaction.path().unwrap_or_default()))?;
    let mut report = StoreReport::default();
    let mut postings = Postings::default();
    let mut tally = Tally::new(transaction)?;
    // The requestors of the batch; the spelling of its ID for a requestor whose events come from the other kind of feed.
    let mut sources: HashMap<&RequestorId, std::result::Result<RequestorKey, String>> = HashMap::new();
    let mut arrived = BTreeSet::new();
    let first_seq = fact(transaction, NEXT_SEQ)?.unwrap_or(1);
    let mut sequence = Sequence(first_seq);
    let mut insert = Inserts::prepare(transaction)?;
    let mut repeats = Repeats::default();
    for (index, event) in batch.events.iter().enumerate() {
        let source = match sources.entry(&event.requestor_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(source(transaction, &event.requestor_id, batch)?),
        };
        let requestor = match source {
            Ok(requestor) => *requestor,
            Err(there) => {
                report.mixed.push((index, there.clone()));
                continue;
            }
        };
        if insert.has_former(&event.former_ids)? {
            report.duplicates += 1;
            continue;
        }
        if insert.identity.execute((event.id.bytes(), event.content, sequence))? == 0 {
            let (first, conflict) = first_of(transaction, index, event)?;
            repeats.add(first, event.line, conflict.is_some());
            match conflict {
                Some(conflict) => report.conflicts.push(conflict),
                None => report.duplicates += 1,
            }
            continue;
        }
        let reference = event.reference(sequence, batch.job, requestor);
        insert.event(&reference, batch.input, event)?;
        if batch.job == JobKey::LIVE {
            arrived.insert(requestor);
        }
        postings.ingest(&reference);
        tally.add(transaction, &reference, &event.measure)?;
        sequence.0 += 1;
    }
    report.stored = (sequence.0 - first_seq) as u64;
    set_fact(transaction, NEXT_SEQ, sequence.0)?;
    if report.stored > 0 {
        arrivals::note(transaction, Sequence(sequence.0 - 1), arrived, now)?;
    }
    let rejected = batch.rejected + report.mixed.len() as u64;
    let counts = [report.stored, report.duplicates, report.conflicts.len() as u64, rejected];
    inputs::count(transaction, batch.input, Sequence(first_seq), counts)?;
    repeats.store(transaction, batch.input)?;
    count_in_job(transaction, batch.job, report.stored as i64)?;
    postings.apply(transaction)?;
    tally.apply(transaction)?;
    memory::store(transaction, &batch.memory, batch.input, now)?;
    store_stated(transaction, &batch.stated, batch.input, now)?;
    Ok(report)
}

/// The number of a requestor; the spelling of its ID there if its first event decided for the other kind of feed.
fn source(
    connection: &Connection,
    id: &RequestorId,
    batch: &Batch,
) -> Result<std::result::Result<RequestorKey, String>> {
    match memory::feed_of(connection, id.as_str())? {
        // The reader's memory of these events must not be stored without the events, so nothing is stored.
        Some((feed, _)) if feed != batch.feed && !batch.memory.is_empty() => {
            return Err(BufferError::MixedFeeds(id.to_string()));
        }
        Some((feed, there)) if feed != batch.feed => return Ok(Err(there)),
        Some(_) | None => {}
    }
    let requestor = intern_requestor(connection, id)?;
    let insert = "INSERT OR IGNORE INTO feeds (requestor, feed) VALUES (?1, ?2)";
    run(connection, insert, (requestor, batch.feed))?;
    Ok(Ok(requestor))
}

/// The statements for each event, prepared once per batch.
struct Inserts<'a> {
    former: CachedStatement<'a>,
    identity: CachedStatement<'a>,
    event: CachedStatement<'a>,
    queue: CachedStatement<'a>,
}

impl<'a> Inserts<'a> {
    fn prepare(transaction: &'a Transaction<'_>) -> Result<Inserts<'a>> {
        Ok(Inserts {
            // The table `identities` also has the identities of events that have expired or were erased.
            former: transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM identities WHERE id = ?1)")?,
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

    /// Whether an earlier release stored this event under one of its former identities.
    fn has_former(&mut self, former_ids: &[EventId]) -> Result<bool> {
        for id in former_ids {
            if self.former.query_row([id.bytes()], |row| row.get(0))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn event(&mut self, reference: &EventRef, input: InputId, event: &NewEvent) -> Result<()> {
        let EventRef { sequence: seq, job, requestor, kind, occurred_at, count } = reference;
        let (id, slot, NewEvent { line, body, .. }) = (event.id.bytes(), kind.slot(), event);
        self.event.execute(params![seq, id, requestor, slot, occurred_at, count, job, input, line, body])?;
        self.queue.execute((job, requestor, occurred_at, seq))?;
        Ok(())
    }
}

/// The number of the stored event with the same identity, and the conflict if its content differs. The number is `None`
/// if that event has expired or was erased.
fn first_of(
    connection: &Connection,
    index: usize,
    event: &NewEvent,
) -> Result<(Option<Sequence>, Option<Conflict>)> {
    let select = "SELECT i.seq, i.content NOT IN (?2, ?3) AS differs, p.path, e.line FROM identities i
         LEFT JOIN events e ON e.seq = i.seq AND i.content NOT IN (?2, ?3) LEFT JOIN inputs p ON p.input = e.input WHERE i.id = ?1";
    let found =
        first(connection, select, (event.id.bytes(), event.content, event.former_content()), |row| {
            // The content of an erased event is not known.
            let differs = row.get::<_, Option<bool>>("differs")?.unwrap_or(false);
            let (path, line): (Option<String>, Option<u64>) = (row.get("path")?, row.get("line")?);
            let (first_path, first_line) = (path.unwrap_or_default(), line.unwrap_or(0));
            let conflict = differs.then_some(Conflict { index, line: event.line, first_path, first_line });
            Ok((row.get("seq")?, conflict))
        })?;
    Ok(found.unwrap_or_default())
}
