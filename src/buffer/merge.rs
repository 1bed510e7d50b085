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
    ready: VecDeque<PendingEvent>,
    is_exhausted: bool,
}

impl Merge {
    /// A walk over these requestors that has read nothing yet.
    pub fn new(requestors: impl IntoIterator<Item = RequestorKey>) -> Merge {
        let source = |requestor| Source {
            requestor,
            cursor: Cursor::START,
            ready: VecDeque::new(),
            is_exhausted: false,
        };
        let sources: Vec<Source> = requestors.into_iter().map(source).collect();
        let rows = (READ_AHEAD / sources.len().max(1)).clamp(ROWS_MIN, ROWS_MAX);
        Merge { heads: BinaryHeap::with_capacity(sources.len()), sources, rows, has_begun: false }
    }

    /// The next event of all that were stored up to `cover`, with the place of its requestor among those given. A requestor
    /// that does not flow when its turn comes is not read any further.
    pub fn next(
        &mut self,
        backlog: &mut Backlog,
        cover: Sequence,
        flows: impl Fn(usize) -> bool,
    ) -> Result<Option<(usize, PendingEvent)>, BufferError> {
        if !self.has_begun {
            self.has_begun = true;
            for place in 0..self.sources.len() {
                self.refill(place, backlog, cover)?;
            }
        }
        while let Some(Reverse((_, _, place))) = self.heads.pop() {
            if !flows(place) {
                continue;
            }
            let Some(pending) = self.sources[place].ready.pop_front() else { continue };
            self.refill(place, backlog, cover)?;
            return Ok(Some((place, pending)));
        }
        Ok(None)
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
