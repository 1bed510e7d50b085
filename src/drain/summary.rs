//! What a drain did, in the numbers that `drain --json` prints.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Serialize, Serializer};

use super::StopReason;
use crate::buffer::{RunId, RunStart, Status};
use crate::delivery::Trouble;
use crate::event::Instant;
use crate::suite::Rsid;

/// Lines of the log that a run spends on one kind of event-level trouble: enough to see a pattern, few enough to read.
const LINES_MAX: u64 = 20;

/// One drain. `read` to `in_doubt` are events of this run, `pending` and `parked` what waits in the buffer after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    pub run_id: RunId,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub finished_at: Instant,
    /// Events taken from the buffer.
    pub read: u64,
    pub hits: u64,
    /// Events that Analytics has now.
    pub delivered: u64,
    /// Events that a reply condemned.
    pub dead: u64,
    /// Events that may have been counted, and are not repeated.
    pub held: u64,
    /// Events that wait with an attempt of unknown outcome.
    pub in_doubt: u64,
    /// Attempts of this run that its stop left without an outcome; their events are in doubt.
    pub cut_off: u64,
    /// Attempts beyond the first of each event.
    pub retries: u64,
    /// Events that wait in the buffer, the parked among them.
    pub pending: u64,
    /// Pending events whose requestor has no suite, or whose suite is paused.
    pub parked: u64,
    /// Why it ended early; `None` where it ended with its backlog.
    pub stopped: Option<StopReason>,
    /// Events left that could have gone: attempts used up, or the run ended early.
    pub left: bool,
    /// What stood in the way, of which host and suite, and since when.
    pub troubles: Vec<Trouble>,
    #[serde(serialize_with = "by_rsid")]
    pub suites: BTreeMap<Rsid, SuiteSummary>,
}

impl RunSummary {
    /// Adds up a run. `cut_off` are attempts that a stop left without an outcome.
    pub(super) fn new(
        start: &RunStart,
        (started_at, finished_at): (Instant, Instant),
        counts: Counts,
        status: &Status,
        cut_off: u64,
        stopped: Option<StopReason>,
        troubles: Vec<Trouble>,
    ) -> RunSummary {
        let sum = |part: fn(&SuiteSummary) -> u64| counts.suites.values().map(part).sum::<u64>();
        RunSummary {
            run_id: start.run,
            started_at,
            finished_at,
            read: counts.read + cut_off,
            hits: counts.hits,
            delivered: sum(|suite| suite.delivered),
            dead: sum(|suite| suite.dead),
            held: sum(|suite| suite.held) + start.held,
            in_doubt: counts.in_doubt + cut_off,
            cut_off,
            retries: counts.retries,
            pending: status.pending as u64,
            parked: status.parked as u64,
            stopped,
            left: counts.left || cut_off > 0,
            troubles,
            suites: counts.suites,
        }
    }
}

/// One suite's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SuiteSummary {
    /// Events that Analytics has now.
    pub delivered: u64,
    /// Events that a reply condemned.
    pub dead: u64,
    /// Events that may have been counted, and are not repeated.
    pub held: u64,
}

fn by_rsid<S: Serializer>(suites: &BTreeMap<Rsid, SuiteSummary>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(suites.iter().map(|(rsid, summary)| (rsid.as_str(), summary)))
}

/// What the lanes of a run have counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

/// The counts behind a [`Tally`].
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) read: u64,
    pub(super) hits: u64,
    pub(super) in_doubt: u64,
    pub(super) retries: u64,
    /// Events taken and left pending, or not taken though they could have gone.
    pub(super) left: bool,
    /// The run's number of events was reached, and there are more.
    pub(super) is_limited: bool,
    pub(super) dead: Told,
    pub(super) held: Told,
    pub(super) suites: BTreeMap<Rsid, SuiteSummary>,
}

/// Events of one kind of trouble, the first of which are told one by one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    events: u64,
}

impl Told {
    /// Counts one more, and says whether the log may have a line of it.
    pub(super) fn may_tell(&mut self) -> bool {
        self.events += 1;
        self.events <= LINES_MAX
    }

    /// Tells at the end how many had no line.
    pub(super) fn tell_rest(self, what: &str) {
        if let Some(events @ 1..) = self.events.checked_sub(LINES_MAX) {
            tracing::warn!(events, "more events are {what}, not told one by one");
        }
    }
}

impl Tally {
    /// The counts; every lane shares one thread, so the lock is never waited for.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    pub(super) fn suite(&mut self, rsid: &Rsid) -> &mut SuiteSummary {
        if !self.suites.contains_key(rsid) {
            self.suites.insert(rsid.clone(), SuiteSummary::default());
        }
        self.suites.get_mut(rsid).expect("it was inserted above where it was absent")
    }
}
