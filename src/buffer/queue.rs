//! Reads pending events in sending order.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use rusqlite::Connection;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::forms::{form_of, requestor_id_of};
use super::keys::{FormKey, JobKey, RequestorKey};
use super::rows::{EventColumns, EventRef, event_of};
use super::sqlite::open_reader;
use crate::delivery::Sequence;
use crate::event::{EventId, Instant, PassEvent, RequestorId};
use crate::suite::HitForm;

/// Events that are read ahead for all requestors together. They take about 12 MiB.
const READ_AHEAD: usize = 8_192;
/// The most events of one requestor read at a time. With so many, the fixed cost of a query hardly matters, and the
/// events are still in the CPU's cache when they are mapped.
const ROWS_MAX: usize = 256;
/// The fewest events of one requestor read at a time, however many requestors there are.
const ROWS_MIN: usize = 8;

/// A pending event.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    pub reference: EventRef,
    pub id: EventId,
    pub event: PassEvent,
    /// The hit form of earlier attempts whose hits were counted, or may have been; `None` if there are none.
    pub doubted: Option<Doubted>,
}

/// The hit form of an event that is in doubt or partly sent. Every repeat keeps this form.
#[derive(Debug, Clone)]
pub struct Doubted {
    pub form: Arc<HitForm>,
    pub form_key: FormKey,
    /// Whether an attempt may have been counted; if not, the event is partly sent.
    pub is_in_doubt: bool,
    /// How many of the event's first hits were answered SUCCESS. These are not sent again.
    pub hits_sent: u32,
}

/// What to do with a requestor whose event would be the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Flows,
    /// Skip the requestor for now.
    Waits,
    /// Read no more events of the requestor.
    Ends,
}

/// Reads the pending events of a job, on its own connection.
#[derive(Debug)]
pub struct Backlog {
    connection: Connection,
    job: JobKey,
    forms: HashMap<FormKey, Arc<HitForm>>,
    requestors: HashMap<RequestorKey, RequestorId>,
}

impl Buffer {
    pub fn backlog(&self, job: JobKey) -> Result<Backlog> {
        let connection = open_reader(self.path())?;
        Ok(Backlog { connection, job, forms: HashMap::new(), requestors: HashMap::new() })
    }
}

impl Backlog {
    /// The next pending events of a requestor, at most `limit`. Skips events that were stored after `cover`
    /// or are in bulk files. If it returns fewer events than `limit`, there are no more.
    fn next(
        &mut self,
        requestor: RequestorKey,
        after: (Instant, Sequence),
        cover: Sequence,
        limit: usize,
    ) -> Result<VecDeque<PendingEvent>> {
        let connection = &self.connection;
        let requestor_id = kept(&mut self.requestors, requestor, || requestor_id_of(connection, requestor))?;
        let mut statement = connection.prepare_cached(
            "SELECT q.seq, e.id, q.job, q.requestor, e.slot, q.occurred_at, e.count, e.body, d.form,
                d.attempts > 0 AS is_in_doubt, d.hits_sent
             FROM queue q JOIN events e ON e.seq = q.seq LEFT JOIN doubts d ON d.seq = q.seq
             LEFT JOIN bulk_rows b ON b.seq = q.seq
             WHERE b.seq IS NULL AND q.job = ?1 AND q.requestor = ?2 AND (q.occurred_at, q.seq) > (?3, ?4) AND q.seq <= ?5
             ORDER BY q.occurred_at, q.seq LIMIT ?6",
        )?;
        let columns = EventColumns::of(&statement)?;
        let [id, body, form] = ["id", "body", "form"].map(|name| statement.column_index(name));
        let (id, body, form) = (id?, body?, form?);
        let mut rows = statement.query((self.job, requestor, after.0, after.1, cover, limit))?;
        let mut events = VecDeque::with_capacity(limit);
        while let Some(row) = rows.next()? {
            let reference = columns.reference(row)?;
            let event = event_of(row.get_ref(body)?, &reference, requestor_id.clone())?;
            let form_key: Option<FormKey> = row.get(form)?;
            let doubted = form_key.map(|form_key| {
                let form = kept(&mut self.forms, form_key, || form_of(connection, form_key).map(Arc::new))?;
                let (is_in_doubt, hits_sent) = (row.get("is_in_doubt")?, row.get("hits_sent")?);
                Ok::<_, BufferError>(Doubted { form, form_key, is_in_doubt, hits_sent })
            });
            let id = EventId::from_bytes(row.get(id)?);
            events.push_back(PendingEvent { reference, id, event, doubted: doubted.transpose()? });
        }
        Ok(events)
    }
}

/// Returns the value of a key. Reads the value only the first time.
fn kept<K: Eq + Hash, V: Clone>(
    known: &mut HashMap<K, V>,
    key: K,
    read: impl FnOnce() -> Result<V>,
) -> Result<V> {
    Ok(match known.entry(key) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(new) => new.insert(read()?).clone(),
    })
}

/// The pending events of several requestors, merged by (occurred_at, sequence), because a visitor may have events
/// under two requestors of a suite.
#[derive(Debug)]
pub struct Merge {
    sources: Vec<Source>,
    /// The first ready event of each source, with the index of the source.
    heads: BinaryHeap<Reverse<(Instant, Sequence, usize)>>,
    rows: usize,
    has_begun: bool,
}

#[derive(Debug)]
struct Source {
    requestor: RequestorKey,
    /// `read` is the last event read from the buffer, `handed_out` the last event that `next` returned.
    read: (Instant, Sequence),
    handed_out: (Instant, Sequence),
    ready: VecDeque<PendingEvent>,
    is_exhausted: bool,
}

impl Merge {
    /// A merge that starts with the first event of each requestor.
    pub fn new(requestors: impl IntoIterator<Item = RequestorKey>) -> Merge {
        Merge::since(requestors, Instant::from_nanos(i64::MIN))
    }

    /// A merge that starts with the events that happened at this instant or later.
    pub fn since(requestors: impl IntoIterator<Item = RequestorKey>, from: Instant) -> Merge {
        Merge::from(requestors.into_iter().map(|requestor| (requestor, (from, Sequence(i64::MIN)))))
    }

    /// A new merge of the requestors at these indices. It starts after the events that `next` has returned.
    pub fn rest_of(&self, places: impl IntoIterator<Item = usize>) -> Merge {
        let rest = |place: usize| (self.sources[place].requestor, self.sources[place].handed_out);
        Merge::from(places.into_iter().map(rest))
    }

    fn from(requestors: impl IntoIterator<Item = (RequestorKey, (Instant, Sequence))>) -> Merge {
        let source = |(requestor, after)| Source {
            requestor,
            read: after,
            handed_out: after,
            ready: VecDeque::new(),
            is_exhausted: false,
        };
        let sources: Vec<Source> = requestors.into_iter().map(source).collect();
        let rows = (READ_AHEAD / sources.len().max(1)).clamp(ROWS_MIN, ROWS_MAX);
        Merge { heads: BinaryHeap::with_capacity(sources.len()), sources, rows, has_begun: false }
    }

    /// The next event that was stored up to `cover`, with the index of its requestor. `flow` says what to do
    /// with a requestor whose event would be the next.
    pub fn next(
        &mut self,
        backlog: &mut Backlog,
        cover: Sequence,
        flow: impl Fn(usize) -> Flow,
    ) -> Result<Option<(usize, PendingEvent)>> {
        if !self.has_begun {
            self.has_begun = true;
            for place in 0..self.sources.len() {
                self.refill(place, backlog, cover)?;
            }
        }
        let mut waiting = Vec::new();
        let mut found = None;
        while let Some(head) = self.heads.pop() {
            let Reverse((occurred_at, sequence, place)) = head;
            match flow(place) {
                Flow::Ends => continue,
                Flow::Waits => {
                    waiting.push(head);
                    continue;
                }
                Flow::Flows => {}
            }
            let Some(pending) = self.sources[place].ready.pop_front() else { continue };
            self.sources[place].handed_out = (occurred_at, sequence);
            self.refill(place, backlog, cover)?;
            found = Some((place, pending));
            break;
        }
        self.heads.extend(waiting);
        Ok(found)
    }

    /// Whether a requestor has no more events.
    pub fn is_exhausted(&self, place: usize) -> bool {
        self.has_begun && self.sources[place].ready.is_empty()
    }

    /// Puts the next event of a source into `heads`; reads more events first if none is ready.
    fn refill(&mut self, place: usize, backlog: &mut Backlog, cover: Sequence) -> Result<()> {
        let at = |pending: &PendingEvent| (pending.reference.occurred_at, pending.reference.sequence);
        let source = &mut self.sources[place];
        if source.ready.is_empty() && !source.is_exhausted {
            source.ready = backlog.next(source.requestor, source.read, cover, self.rows)?;
            source.is_exhausted = source.ready.len() < self.rows;
            source.read = source.ready.back().map_or(source.read, at);
        }
        if let Some((occurred_at, sequence)) = source.ready.front().map(at) {
            self.heads.push(Reverse((occurred_at, sequence, place)));
        }
        Ok(())
    }
}
