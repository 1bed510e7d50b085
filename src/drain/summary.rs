//! What a drain did, in the numbers that `drain --json` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::StopReason;
use crate::buffer::{RunId, RunStart, Status};
use crate::delivery::{DeadReason, Doubt, Sequence, Trouble};
use crate::event::Instant;
use crate::suite::Rsid;

/// How many lines a run logs for one kind of trouble with events: enough to see a pattern, few enough to read.
pub(super) const LINES_MAX: u64 = 20;

/// The summary of a drain. `read` to `in_doubt` count events of the run, `pending` and `parked` those in the buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    pub run_id: RunId,
    pub started_at: Instant,
    pub finished_at: Instant,
    /// Events taken from the buffer.
    pub read: u64,
    pub hits: u64,
    pub delivered: u64,
    pub dead: u64,
    /// Events that may have been counted and are not repeated.
    pub held: u64,
    /// Pending events with an attempt of unknown outcome.
    pub in_doubt: u64,
    /// Attempts that the stop of this run left without an outcome. Their events are in doubt.
    pub cut_off: u64,
    /// Attempts beyond the first of each event.
    pub retries: u64,
    /// Events that wait in the buffer, including the parked events.
    pub pending: u64,
    /// Pending events whose requestor has no suite, or whose suite is paused or blocked.
    pub parked: u64,
    /// Why the run ended early; `None` if it reached the end of the backlog.
    pub stopped: Option<StopReason>,
    /// Whether events were left that could have been sent: their attempts were used up, or the run ended early.
    pub left: bool,
    /// The troubles with hosts and suites.
    pub troubles: Vec<Trouble>,
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

/// The counts of one suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SuiteSummary {
    pub delivered: u64,
    pub dead: u64,
    /// Events that may have been counted, and are not repeated.
    pub held: u64,
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
    /// Whether events were left pending that could have been sent.
    pub(super) left: bool,
    /// Whether the run reached its limit of events and left more.
    pub(super) is_limited: bool,
    dead: u64,
    held: u64,
    refused: u64,
    /// The suites with pending events that could have been sent.
    leaving: BTreeSet<Rsid>,
    /// The suites whose first refused event is logged.
    refusing: BTreeSet<Rsid>,
    pub(super) suites: BTreeMap<Rsid, SuiteSummary>,
}

/// The final state of an event.
#[derive(Debug)]
pub(super) enum Fate {
    Delivered,
    Dead(DeadReason),
    /// The event may have been counted, and the policy of its suite is not to repeat it.
    Held(Doubt),
}

impl Tally {
    /// The counts. All lanes run on one thread, so none ever waits for this lock.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a settled event. Logs a line for each of the first dead or held events.
    pub(super) fn settle(&self, rsid: &Rsid, sequence: Sequence, fate: &Fate) {
        let mut counts = self.counts();
        counts.read += 1;
        if !counts.suites.contains_key(rsid) {
            counts.suites.insert(rsid.clone(), SuiteSummary::default());
        }
        let Counts { suites, dead, held, .. } = &mut *counts;
        let suite = suites.get_mut(rsid).expect("it was inserted above where it was absent");
        match fate {
            Fate::Delivered => suite.delivered += 1,
            Fate::Dead(reason) => {
                (suite.dead, *dead) = (suite.dead + 1, *dead + 1);
                if *dead <= LINES_MAX {
                    tracing::warn!(seq = sequence.0, %rsid, %reason, "event is dead");
                }
            }
            Fate::Held(doubt) => {
                (suite.held, *held) = (suite.held + 1, *held + 1);
                if *held <= LINES_MAX {
                    tracing::warn!(seq = sequence.0, %rsid, %doubt, "event is held");
                }
            }
        }
    }

    /// Counts a refused event. Logs the first one of a suite at once, because its final state is known only later.
    pub(super) fn refuse(&self, rsid: &Rsid, sequence: Sequence, cause: &str) {
        let mut counts = self.counts();
        counts.refused += 1;
        if counts.refusing.len() < LINES_MAX as usize && counts.refusing.insert(rsid.clone()) {
            tracing::warn!(seq = sequence.0, %rsid, cause, "event is refused; others will show whether it or its suite is at fault");
        }
    }

    /// Counts an event that the run leaves pending; `is_left` is true if it could have been sent.
    pub(super) fn leave(&self, rsid: &Rsid, is_doubted: bool, is_left: bool) {
        let mut counts = self.counts();
        counts.read += 1;
        counts.in_doubt += u64::from(is_doubted);
        if is_left && (!counts.left || !counts.leaving.contains(rsid)) {
            counts.left = true;
            counts.leaving.insert(rsid.clone());
        }
    }
}

impl Counts {
    /// Whether any events of these suites wait, how many are dead and how many are held.
    pub(super) fn fates<'a>(&self, suites: impl Iterator<Item = &'a Rsid>) -> (bool, u64, u64) {
        suites.fold((false, 0, 0), |(waits, dead, held), rsid| {
            let suite = self.suites.get(rsid).copied().unwrap_or_default();
            (waits || self.leaving.contains(rsid), dead + suite.dead, held + suite.held)
        })
    }

    /// Logs at the end how many events had no line of their own.
    pub(super) fn tell_rest(&self) {
        for (events, told, what) in [
            (self.dead, LINES_MAX, "dead"),
            (self.held, LINES_MAX, "held"),
            (self.refused, self.refusing.len() as u64, "refused"),
        ] {
            if let Some(events @ 1..) = events.checked_sub(told) {
                tracing::warn!(events, "more events are {what}, not told one by one");
            }
        }
    }
}
