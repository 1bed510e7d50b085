//! What a worker did in a drain.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::drain::{StopReason, SuiteSummary};
use crate::postgres::{Decision, Verdict};
use crate::suite::Rsid;

/// What a worker did in a drain. Only `pending` and `parked` count events of the whole buffer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WorkSummary {
    pub worker: String,
    /// The slices that this worker covered.
    pub slices: u64,
    /// The slices that another worker took over, because the lease had ended.
    pub lost_slices: u64,
    pub read: u64,
    pub hits: u64,
    pub delivered: u64,
    pub dead: u64,
    pub held: u64,
    /// Events that are left with an attempt of unknown outcome.
    pub in_doubt: u64,
    /// Attempts that the stop left without an outcome.
    pub cut_off: u64,
    pub retries: u64,
    pub pending: i64,
    pub parked: i64,
    pub stopped: Option<StopReason>,
    /// Whether events were left that could have been sent.
    pub left: bool,
    /// Whether the drain ended although this worker covered no slice.
    pub by_others: bool,
    /// What kept events from being sent, or slowed the sending down.
    pub troubles: Vec<String>,
    pub suites: BTreeMap<Rsid, SuiteSummary>,
}

impl WorkSummary {
    pub(super) fn new(worker: String) -> WorkSummary {
        WorkSummary { worker, ..WorkSummary::default() }
    }

    /// Counts an event of a suite that this worker has decided.
    pub(super) fn count(&mut self, rsid: &Rsid, decision: &Decision) {
        let suite = self.suites.entry(rsid.clone()).or_default();
        let (all, own) = match decision.state {
            Verdict::Delivered => (&mut self.delivered, &mut suite.delivered),
            Verdict::Dead => (&mut self.dead, &mut suite.dead),
            Verdict::Held
            | Verdict::Doubt
            | Verdict::Retry
            | Verdict::Refused
            | Verdict::Unsent
            | Verdict::Discarded
            | Verdict::Erased => (&mut self.held, &mut suite.held),
        };
        (*all, *own) = (*all + 1, *own + 1);
    }

    /// Adds what was done for another host.
    pub(super) fn add(&mut self, other: WorkSummary) {
        for (own, more) in [
            (&mut self.slices, other.slices),
            (&mut self.lost_slices, other.lost_slices),
            (&mut self.read, other.read),
            (&mut self.hits, other.hits),
            (&mut self.delivered, other.delivered),
            (&mut self.dead, other.dead),
            (&mut self.held, other.held),
            (&mut self.in_doubt, other.in_doubt),
            (&mut self.cut_off, other.cut_off),
            (&mut self.retries, other.retries),
        ] {
            *own += more;
        }
        self.left |= other.left;
        self.by_others = self.slices == 0 && (self.by_others || other.by_others);
        self.stopped = self.stopped.or(other.stopped);
        self.troubles.extend(other.troubles);
        self.suites.extend(other.suites);
    }
}
