//! The backlogs of several requestors as one, in the order of time: a visitor may have events under two requestors of a suite.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Backlog, BufferError, Cursor, PendingEvent, RequestorKey};
use crate::delivery::Sequence;
use crate::event::Instant;

/// Events read ahead over all requestors: about 12 MiB of them.
const READ_AHEAD: usize = 8_192;
/// Events read at a time of one requestor: enough that a query's start costs nothing beside its rows.
const ROWS_MAX: usize = 1_024;
/// The same at least, however many requestors there are.
const ROWS_MIN: usize = 8;

/// What to do with a requestor whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Flows,
    /// Pass it over for now.
    Waits,
    /// Read no more of it.
    Ends,
}

/// A walk over the backlogs of requestors, merged by (occurred_at, sequence).
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
    cursor: Cursor,
    /// Behind the last event that was handed out.
    handed_out: Cursor,
    ready: VecDeque<PendingEvent>,
    is_exhausted: bool,
}

impl Merge {
    /// A walk over these requestors that has read nothing yet.
    pub fn new(requestors: impl IntoIterator<Item = RequestorKey>) -> Merge {
        Merge::from(requestors.into_iter().map(|requestor| (requestor, Cursor::START)))
    }

    /// A walk over what this one has not handed out of the requestors at these places.
    pub fn rest_of(&self, places: impl IntoIterator<Item = usize>) -> Merge {
        let rest = |place: usize| (self.sources[place].requestor, self.sources[place].handed_out);
        Merge::from(places.into_iter().map(rest))
    }

    fn from(requestors: impl IntoIterator<Item = (RequestorKey, Cursor)>) -> Merge {
        let source = |(requestor, cursor)| Source {
            requestor,
            cursor,
            handed_out: cursor,
            ready: VecDeque::new(),
            is_exhausted: false,
        };
        let sources: Vec<Source> = requestors.into_iter().map(source).collect();
        let rows = (READ_AHEAD / sources.len().max(1)).clamp(ROWS_MIN, ROWS_MAX);
        Merge { heads: BinaryHeap::with_capacity(sources.len()), sources, rows, has_begun: false }
    }

    /// The next event of all that were stored up to `cover`, with the place of its requestor among those given. A requestor
    /// that does not flow when its turn comes is not read any further, one that waits is passed over until it flows again.
    pub fn next(
        &mut self,
        backlog: &mut Backlog,
        cover: Sequence,
        flow: impl Fn(usize) -> Flow,
    ) -> Result<Option<(usize, PendingEvent)>, BufferError> {
        if !self.has_begun {
            self.has_begun = true;
            for place in 0..self.sources.len() {
                self.refill(place, backlog, cover)?;
            }
        }
        let mut waiting = Vec::new();
        let mut found = None;
        while let Some(head) = self.heads.pop() {
            let Reverse((_, _, place)) = head;
            match flow(place) {
                Flow::Ends => continue,
                Flow::Waits => {
                    waiting.push(head);
                    continue;
                }
                Flow::Flows => {}
            }
            let Some(pending) = self.sources[place].ready.pop_front() else { continue };
            self.sources[place].handed_out = Cursor::after(&pending.reference);
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
    fn refill(&mut self, place: usize, backlog: &mut Backlog, cover: Sequence) -> Result<(), BufferError> {
        let source = &mut self.sources[place];
        if source.ready.is_empty() && !source.is_exhausted {
            let events = backlog.next(source.requestor, source.cursor, cover, self.rows)?;
            source.is_exhausted = events.len() < self.rows;
            if let Some(last) = events.last() {
                source.cursor = Cursor::after(&last.reference);
            }
            source.ready = events.into();
        }
        if let Some(head) = source.ready.front() {
            self.heads.push(Reverse((head.reference.occurred_at, head.reference.sequence, place)));
        }
        Ok(())
    }
}
