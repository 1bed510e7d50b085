//! Pending events out: in the order in which they go.

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

/// Events read ahead over all requestors: about 12 MiB of them.
const READ_AHEAD: usize = 8_192;
/// Events read at a time of one requestor: enough that a query's start costs nothing beside its rows.
const ROWS_MAX: usize = 1_024;
/// The same at least, however many requestors there are.
const ROWS_MIN: usize = 8;

/// An event that waits.
#[derive(Debug, Clone)]
pub struct PendingEvent {
    pub reference: EventRef,
    pub id: EventId,
    pub event: PassEvent,
    /// Attempts that may have been counted, and the form in which they were sent.
    pub doubted: Option<Doubted>,
}

/// The frozen side of an event in doubt.
#[derive(Debug, Clone)]
pub struct Doubted {
    pub form: Arc<HitForm>,
    pub form_key: FormKey,
}

/// What to do with a requestor whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Flows,
    /// Pass it over for now.
    Waits,
    /// Read no more of it.
    Ends,
}

/// The events of a job that wait, on a connection of its own.
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
    /// The next events of a requestor that were stored up to `cover`; fewer than `limit` means that there are no more.
    /// Events stored later are passed over and do not count against `limit`, and so are those that are in a bulk file.
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
            "SELECT q.seq, e.id, q.job, q.requestor, e.slot, q.occurred_at, e.count, e.body, d.form
             FROM queue q JOIN events e ON e.seq = q.seq LEFT JOIN doubts d ON d.seq = q.seq
             LEFT JOIN bulk_rows b ON b.seq = q.seq
             WHERE b.seq IS NULL AND q.job = ?1 AND q.requestor = ?2 AND (q.occurred_at, q.seq) > (?3, ?4) AND q.seq <= ?5
             ORDER BY q.occurred_at, q.seq LIMIT ?6",
        )?;
        let columns = EventColumns::of(&statement)?;
        let (id, form) = (statement.column_index("id")?, statement.column_index("form")?);
        let mut rows = statement.query((self.job, requestor, after.0, after.1, cover, limit))?;
        let mut events = VecDeque::with_capacity(limit);
        while let Some(row) = rows.next()? {
            let reference = columns.reference(row)?;
            let event = event_of(row, &reference, requestor_id.clone())?;
            let form_key: Option<FormKey> = row.get(form)?;
            let doubted = form_key.map(|form_key| {
                let form = kept(&mut self.forms, form_key, || form_of(connection, form_key).map(Arc::new))?;
                Ok::<_, BufferError>(Doubted { form, form_key })
            });
            let id = EventId::from_bytes(row.get(id)?);
            events.push_back(PendingEvent { reference, id, event, doubted: doubted.transpose()? });
        }
        Ok(events)
    }
}

/// The value of a key, read once.
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

/// A walk over the backlogs of requestors, merged by (occurred_at, sequence): a visitor may have events under two requestors
/// of a suite.
#[derive(Debug)]
pub struct Merge {
    sources: Vec<Source>,
    /// The head of each source that has one.
    heads: BinaryHeap<Reverse<(Instant, Sequence, usize)>>,
    rows: usize,
    has_begun: bool,
}

#[derive(Debug)]
struct Source {
    requestor: RequestorKey,
    /// The last event that was read, and the last that was handed out.
    read: (Instant, Sequence),
    handed_out: (Instant, Sequence),
    ready: VecDeque<PendingEvent>,
    is_exhausted: bool,
}

impl Merge {
    /// A walk over these requestors that has read nothing yet.
    pub fn new(requestors: impl IntoIterator<Item = RequestorKey>) -> Merge {
        Merge::since(requestors, Instant::from_nanos(i64::MIN))
    }

    /// A walk over the events of these requestors that happened at this instant or later.
    pub fn since(requestors: impl IntoIterator<Item = RequestorKey>, from: Instant) -> Merge {
        Merge::from(requestors.into_iter().map(|requestor| (requestor, (from, Sequence(i64::MIN)))))
    }

    /// A walk over what this one has not handed out of the requestors at these places.
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

    pub fn next_of_all(&mut self, backlog: &mut Backlog) -> Result<Option<PendingEvent>> {
        Ok(self.next(backlog, Sequence(i64::MAX), |_| Flow::Flows)?.map(|(_, pending)| pending))
    }

    /// The next event of all that were stored up to `cover`, with the place of its requestor among those given. A requestor
    /// that does not flow when its turn comes is not read any further, one that waits is passed over until it flows again.
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

    /// Whether a requestor has nothing more.
    pub fn is_exhausted(&self, place: usize) -> bool {
        self.has_begun && self.sources[place].ready.is_empty()
    }

    /// Makes sure that a source has a head, where it has anything left.
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
