//! The events of a job in the order in which they go: suite after suite, its requestors merged by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::backfill::BackfillError;
use crate::buffer::{
    Backlog, Buffer, Cursor, EventRef, FiledEvent, FormKey, JobRecord, PendingEvent, RequestorKey, Route,
};
use crate::delivery::{DeadReason, Sequence};
use crate::event::Instant;
use crate::suite::{HitForm, Rsid};
use crate::{encode, mapping};

/// Events read at a time of one requestor.
const ROWS_MAX: usize = 1_024;
/// Behind every event.
const COVER: Sequence = Sequence(i64::MAX);

/// What comes next.
pub(super) enum Step {
    /// The rows of an event, and where they go.
    Rows { rsid: Rsid, event: FiledEvent },
    /// Nothing of it can be sent.
    Dead { event: EventRef, form: FormKey, reason: DeadReason },
}

/// The walk.
pub(super) struct Walk {
    backlog: Backlog,
    user_agent: String,
    /// Suites still to come, the next one last.
    routes: Vec<Route>,
    suite: Option<SuiteWalk>,
}

struct SuiteWalk {
    form: Arc<HitForm>,
    form_key: FormKey,
    sources: Vec<Source>,
    /// The head of each source that has one.
    heads: BinaryHeap<Reverse<(Instant, Sequence, usize)>>,
}

struct Source {
    requestor: RequestorKey,
    cursor: Cursor,
    ready: VecDeque<PendingEvent>,
    is_exhausted: bool,
}

impl Walk {
    pub(super) fn new(buffer: &Buffer, job: &JobRecord, user_agent: &str) -> Result<Walk, BackfillError> {
        let mut routes = buffer.routes()?;
        routes.reverse();
        Ok(Walk { backlog: buffer.backlog(job.key)?, user_agent: user_agent.to_owned(), routes, suite: None })
    }

    /// The next event, its rows in `rows`; `None` behind the last.
    pub(super) fn next(&mut self, rows: &mut Vec<u8>) -> Result<Option<Step>, BackfillError> {
        loop {
            if let Some(suite) = &mut self.suite
                && let Some(pending) = suite.pop(&mut self.backlog)?
            {
                return Ok(Some(step(&pending, &suite.form, suite.form_key, &self.user_agent, rows)));
            }
            let Some(route) = self.routes.pop() else { return Ok(None) };
            self.suite = Some(SuiteWalk::new(route, &mut self.backlog)?);
        }
    }
}

/// Maps an event and writes its rows. One that was tried before keeps the form of its first attempt.
fn step(
    pending: &PendingEvent,
    form: &HitForm,
    form_key: FormKey,
    user_agent: &str,
    rows: &mut Vec<u8>,
) -> Step {
    let (form, form_key) = match &pending.doubted {
        Some(doubted) => (&*doubted.form, doubted.form_key),
        None => (form, form_key),
    };
    rows.clear();
    match mapping::map(&pending.event, pending.id, form) {
        Ok(mapped) => {
            mapped.hits.iter().for_each(|hit| encode::bulk_row(hit, user_agent, rows));
            let event = FiledEvent {
                sequence: pending.reference.sequence,
                rows: mapped.hits.len() as u32,
                form: form_key,
                visitor: mapped.visitor,
            };
            Step::Rows { rsid: form.rsid.clone(), event }
        }
        Err(reason) => Step::Dead { event: pending.reference, form: form_key, reason },
    }
}

impl SuiteWalk {
    fn new(route: Route, backlog: &mut Backlog) -> Result<SuiteWalk, BackfillError> {
        let source = |requestor| Source {
            requestor,
            cursor: Cursor::START,
            ready: VecDeque::new(),
            is_exhausted: false,
        };
        let sources: Vec<Source> = route.requestors.into_iter().map(source).collect();
        let heads = BinaryHeap::with_capacity(sources.len());
        let mut walk = SuiteWalk { form: Arc::new(route.suite.form), form_key: route.form, sources, heads };
        for index in 0..walk.sources.len() {
            walk.refill(index, backlog)?;
        }
        Ok(walk)
    }

    fn pop(&mut self, backlog: &mut Backlog) -> Result<Option<PendingEvent>, BackfillError> {
        let Some(Reverse((_, _, index))) = self.heads.pop() else { return Ok(None) };
        let pending = self.sources[index].ready.pop_front();
        self.refill(index, backlog)?;
        Ok(pending)
    }

    /// Makes sure that a source has a head, where it has anything left.
    fn refill(&mut self, index: usize, backlog: &mut Backlog) -> Result<(), BackfillError> {
        let source = &mut self.sources[index];
        if source.ready.is_empty() && !source.is_exhausted {
            let events = backlog.next(source.requestor, source.cursor, COVER, ROWS_MAX)?;
            source.is_exhausted = events.len() < ROWS_MAX;
            if let Some(last) = events.last() {
                source.cursor = Cursor::after(&last.reference);
            }
            source.ready = events.into();
        }
        if let Some(head) = source.ready.front() {
            self.heads.push(Reverse((head.reference.occurred_at, head.reference.sequence, index)));
        }
        Ok(())
    }
}
