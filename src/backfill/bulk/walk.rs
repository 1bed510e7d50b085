//! Reads the events of a job in the order of sending: suite after suite, the requestors of a suite merged by time.

use super::leg::LiveLeg;
use crate::backfill::error::BackfillError;
use crate::buffer::{
    Backlog, Buffer, EventRef, FiledEvent, Flow, FormKey, JobKey, JobRecord, Merge, PendingEvent, Route,
};
use crate::delivery::{DeadReason, Sequence};
use crate::suite::{HitForm, Rsid};
use crate::{encode, mapping};

pub(super) enum Step {
    /// The rows of an event, and their suite and visitor.
    Rows {
        rsid: Rsid,
        event: FiledEvent,
    },
    Dead {
        event: EventRef,
        form: FormKey,
        reason: DeadReason,
    },
}

pub(super) struct Walk {
    backlog: Backlog,
    /// The last event to read.
    cover: Sequence,
    user_agent: String,
    /// The remaining suites, in reverse order.
    routes: Vec<Route>,
    suite: Option<SuiteWalk>,
}

struct SuiteWalk {
    form: HitForm,
    form_key: FormKey,
    merge: Merge,
}

impl Walk {
    /// Walks over the events of a job, or over those live events of one suite that the drain's run covers.
    pub(super) fn new(
        buffer: &Buffer,
        job: &JobRecord,
        user_agent: &str,
        live: Option<&LiveLeg>,
    ) -> Result<Walk, BackfillError> {
        let mut routes = buffer.routes()?;
        routes.retain(|route| live.is_none_or(|live| live.rsid == route.suite.form.rsid));
        routes.reverse();
        let (job, cover) =
            live.map_or((job.key, Sequence(i64::MAX)), |live| (JobKey::LIVE, live.start.cover));
        let (backlog, user_agent) = (buffer.backlog(job)?, user_agent.to_owned());
        Ok(Walk { backlog, cover, user_agent, routes, suite: None })
    }

    /// The next event, with its rows in `rows`; `None` after the last event.
    pub(super) fn next(&mut self, rows: &mut Vec<u8>) -> Result<Option<Step>, BackfillError> {
        loop {
            if let Some(suite) = &mut self.suite
                && let Some((_, pending)) =
                    suite.merge.next(&mut self.backlog, self.cover, |_| Flow::Flows)?
            {
                return Ok(Some(step(&pending, &suite.form, suite.form_key, &self.user_agent, rows)));
            }
            let Some(route) = self.routes.pop() else { return Ok(None) };
            self.suite = Some(SuiteWalk {
                form: route.suite.form,
                form_key: route.form,
                merge: Merge::new(route.requestors),
            });
        }
    }
}

/// Maps an event and writes the rows of its hits, without hits that were already answered SUCCESS. An event that was
/// tried keeps the form of its earlier attempts.
fn step(
    pending: &PendingEvent,
    form: &HitForm,
    form_key: FormKey,
    user_agent: &str,
    rows: &mut Vec<u8>,
) -> Step {
    let (form, form_key, hits_sent) = match &pending.doubted {
        Some(doubted) => (&*doubted.form, doubted.form_key, doubted.hits_sent as usize),
        None => (form, form_key, 0),
    };
    rows.clear();
    match mapping::map(&pending.event, pending.id, form) {
        Ok(mapped) => {
            let left = &mapped.hits[hits_sent.min(mapped.hits.len() - 1)..];
            left.iter().for_each(|hit| encode::bulk_row(hit, user_agent, rows));
            let event = FiledEvent {
                sequence: pending.reference.sequence,
                rows: left.len() as u32,
                form: form_key,
                visitor: mapped.visitor,
            };
            Step::Rows { rsid: form.rsid.clone(), event }
        }
        Err(reason) => Step::Dead { event: pending.reference, form: form_key, reason },
    }
}
