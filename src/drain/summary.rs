//! What a drain did: the numbers that `drain --json` prints, and how many lines it logs of each trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::{Stop, StopReason};
use crate::buffer::RunId;
use crate::delivery::{DeadReason, Doubt, Sequence, Trouble};
use crate::event::Instant;
use crate::suite::Rsid;

/// How many lines a run logs for one kind of trouble with events: enough to see a pattern, few enough to read.
pub(super) const LINES_MAX: u64 = 20;
/// The kind of line that tells of a trial of a suite (see `ward`).
pub(super) const TRIALS: &str = "searches for other visitors";

/// The summary of a drain. `pending` and `parked` count events of the buffer, the other numbers are those of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    pub run_id: RunId,
    pub started_at: Instant,
    pub finished_at: Instant,
    /// Events taken from the buffer.
    pub read: u64,
    /// Requests that got SUCCESS.
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
    /// Whether the run left pending events that could have been sent.
    pub left: bool,
    pub troubles: Vec<Trouble>,
    /// The error that ended the run. It is in the record of the run, and in no document of `drain --json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    pub suites: BTreeMap<Rsid, SuiteSummary>,
}

/// The counts of one suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SuiteSummary {
    pub delivered: u64,
    pub dead: u64,
    /// Events that may have been counted, and are not repeated.
    pub held: u64,
    /// Files that Adobe took; 0 if the events went as single hits.
    pub files: u64,
}

/// What the hosts of a run know about the run.
pub(super) struct Known {
    pub(super) lanes: usize,
    /// How many more events the run may take, over all hosts. A refused event does not count.
    pub(super) allowance: Arc<AtomicU64>,
    pub(super) started_at: Instant,
    /// The last event that the run covers.
    pub(super) cover: Sequence,
    pub(super) stop: Stop,
    /// The troubles that the previous run recorded.
    pub(super) earlier: Vec<Trouble>,
    /// Says when the events that the run leaves pending are sent.
    pub(super) then: String,
    pub(super) tally: Arc<Tally>,
}

/// What the lanes of a run have counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) read: u64,
    pub(super) hits: u64,
    pub(super) in_doubt: u64,
    pub(super) retries: u64,
    /// Whether events that could have been sent were left pending.
    pub(super) left: bool,
    /// Whether the run reached its limit of events, and more events are pending.
    pub(super) is_limited: bool,
    /// For each kind of line: how many lines were logged, and how many were only counted.
    lines: BTreeMap<&'static str, (u64, u64)>,
    /// The suites with events that were left pending and could have been sent.
    leaving: BTreeSet<Rsid>,
    /// The suites with a refused event.
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
    /// The counts, under their lock. No task holds the lock across an `.await`.
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
        let suite = counts.suites.get_mut(rsid).expect("it was inserted above where it was absent");
        match fate {
            Fate::Delivered => suite.delivered += 1,
            Fate::Dead(reason) => {
                suite.dead += 1;
                if counts.has_line("events are dead", true) {
                    tracing::warn!(seq = sequence.0, %rsid, %reason, "event is dead");
                }
            }
            Fate::Held(doubt) => {
                suite.held += 1;
                if counts.has_line("events are held", true) {
                    tracing::warn!(seq = sequence.0, %rsid, %doubt, "event is held");
                }
            }
        }
    }

    /// Counts a refused event. Logs the first of a suite now, although its final state is known only later.
    pub(super) fn refuse(&self, rsid: &Rsid, sequence: Sequence, cause: &str) {
        let mut counts = self.counts();
        let is_first = counts.refusing.insert(rsid.clone());
        if counts.has_line("events are refused", is_first) {
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
    /// Whether the run logs one more line of this kind. If it does not, the line is counted for `tell_rest`.
    pub(super) fn has_line(&mut self, what: &'static str, is_wanted: bool) -> bool {
        let (logged, counted) = self.lines.entry(what).or_default();
        let has_line = is_wanted && *logged < LINES_MAX;
        *(if has_line { logged } else { counted }) += 1;
        has_line
    }

    /// Whether any events of these suites wait, how many are dead and how many are held.
    pub(super) fn fates<'a>(&self, suites: impl Iterator<Item = &'a Rsid>) -> (bool, u64, u64) {
        suites.fold((false, 0, 0), |(waits, dead, held), rsid| {
            let suite = self.suites.get(rsid).copied().unwrap_or_default();
            (waits || self.leaving.contains(rsid), dead + suite.dead, held + suite.held)
        })
    }

    /// Logs at the end how many lines were only counted.
    pub(super) fn tell_rest(&self) {
        for (what, (_, count)) in self.lines.iter().filter(|(_, (_, counted))| *counted > 0) {
            match *what {
                TRIALS => tracing::info!(count, "more {what}; they are not logged one by one"),
                _ => tracing::warn!(count, "more {what}; they are not logged one by one"),
            }
        }
    }
}
