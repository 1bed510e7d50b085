//! What a leg (one stretch of sending) of live events gets from its drain, and what the leg counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buffer::RunStart;
use crate::delivery::Trouble;
use crate::drain::{StopReason, SuiteSummary};
use crate::suite::Rsid;
use crate::web;

/// A suite's part in a run of live events.
#[derive(Clone)]
pub(in crate::backfill) struct LiveLeg {
    pub(in crate::backfill) rsid: Rsid,
    pub(in crate::backfill) start: RunStart,
    /// How many more events the run may take, over all suites.
    pub(in crate::backfill) allowance: Arc<AtomicU64>,
    pub(in crate::backfill) calls: Arc<web::Pace>,
    pub(in crate::backfill) tally: Arc<Mutex<Tally>>,
}

#[derive(Default)]
pub(in crate::backfill) struct Tally {
    pub(in crate::backfill) sent: SuiteSummary,
    /// Whether events that could have been sent were left pending.
    pub(in crate::backfill) left: bool,
    pub(in crate::backfill) stopped: Option<StopReason>,
    pub(in crate::backfill) trouble: Option<Trouble>,
}

impl LiveLeg {
    pub(in crate::backfill) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one event towards the limit of the run. Returns false if the limit was already reached.
    pub(super) fn take_one(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        let is_taken = self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if !is_taken {
            self.tally().stopped = Some(StopReason::Limit);
        }
        is_taken
    }

    pub(super) fn count(&self, files: u64, delivered: u64, dead: u64) {
        let mut tally = self.tally();
        tally.sent.files += files;
        tally.sent.delivered += delivered;
        tally.sent.dead += dead;
    }
}
