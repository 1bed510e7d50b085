//! A report suite in a run: whether its events are sent, and the events that wait until its trial ends.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::parcel::Parcel;
use super::summary::LINES_MAX;
use super::ward::{Phase, Ward};
use crate::buffer::{Flow, FormKey, RequestorKey, Route};
use crate::collection::Limiter;
use crate::delivery::{SuiteFault, Trouble, TroubleKind};
use crate::hit::VisitorKey;
use crate::suite::{ReportSuite, Rsid};

/// A report suite in a run, shared by the lanes and the feed of its host.
pub(super) struct SuiteRun {
    pub(super) suite: ReportSuite,
    pub(super) form: FormKey,
    pub(super) requestors: Vec<RequestorKey>,
    pub(super) limiter: Limiter,
    /// A copy of the ward's phase, to read it without the lock: for nearly all events it is `Flows`.
    phase: AtomicU8,
    /// Events that were dealt to lanes and are not settled.
    outstanding: AtomicUsize,
    /// How many hits were sent: the number of the latest hit.
    sent: AtomicU64,
    /// The highest number of a hit that succeeded.
    succeeded: AtomicU64,
    ward: Mutex<Ward>,
    /// Whether it is logged why the suite was stopped.
    is_told: AtomicBool,
    trials: AtomicU64,
    /// Changes whenever lanes or feed have to look at the ward again.
    changes: Arc<watch::Sender<u64>>,
}

impl SuiteRun {
    /// `earlier` holds the troubles that earlier runs recorded.
    pub(super) fn new(
        route: Route,
        lanes: usize,
        changes: Arc<watch::Sender<u64>>,
        earlier: &[Trouble],
    ) -> SuiteRun {
        let is_refused = |trouble: &&Trouble| {
            trouble.kind == TroubleKind::Refused
                && trouble.host == route.suite.collection_url
                && trouble.rsid.as_ref().is_none_or(|rsid| *rsid == route.suite.form.rsid)
        };
        let before = earlier.iter().find(is_refused);
        let before = before.map_or((0, false), |trouble| (trouble.attempts, trouble.stopped));
        let ward = Ward::new(lanes, before);
        SuiteRun {
            limiter: Limiter::new(route.suite.hits_per_second, Instant::now()),
            suite: route.suite,
            form: route.form,
            requestors: route.requestors,
            phase: AtomicU8::new(ward.phase as u8),
            outstanding: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            ward: Mutex::new(ward),
            is_told: AtomicBool::new(false),
            trials: AtomicU64::new(0),
            changes,
        }
    }

    pub(super) fn rsid(&self) -> &Rsid {
        &self.suite.form.rsid
    }

    /// Reads or changes the ward under its lock, publishes its phase, and wakes lanes and feed if it has news.
    pub(super) fn ward<T>(&self, change: impl FnOnce(&mut Ward) -> T) -> T {
        let mut ward = self.ward.lock().unwrap_or_else(PoisonError::into_inner);
        ward.outstanding = self.outstanding.load(Ordering::Relaxed);
        ward.sent = self.sent.load(Ordering::Relaxed);
        ward.succeeded = self.succeeded.load(Ordering::Relaxed);
        let before = ward.phase;
        let result = change(&mut ward);
        self.phase.store(ward.phase as u8, Ordering::Relaxed);
        if ward.phase != before && !before.is_over() {
            self.log(ward.phase);
        }
        if std::mem::take(&mut ward.has_news) {
            self.changes.send_modify(|version| *version += 1);
        }
        result
    }

    fn log(&self, phase: Phase) {
        let rsid = self.rsid();
        match phase {
            Phase::OnTrial if self.trials.fetch_add(1, Ordering::Relaxed) < LINES_MAX => {
                tracing::info!(%rsid, "the latest events were all refused: trying other visitors before the rest goes on");
            }
            Phase::Paused => {
                tracing::warn!(%rsid, "report suite paused or changed during the run; its events wait");
            }
            // Its host logs why it was stopped, because the host may be at fault.
            Phase::OnTrial | Phase::Stopped | Phase::Watched | Phase::Flows => {}
        }
    }

    /// Logs at the end of the run how many trials had no line of their own.
    pub(super) fn tell_trials(&self) {
        if let Some(trials @ 1..) = self.trials.load(Ordering::Relaxed).checked_sub(LINES_MAX) {
            tracing::info!(rsid = %self.rsid(), trials, "other visitors were tried more often, not told one by one");
        }
    }

    /// Why the suite was stopped; only the first call returns the reason.
    pub(super) fn fault_to_tell(&self) -> Option<SuiteFault> {
        let fault = if self.is(Phase::Stopped) { self.ward(|ward| ward.fault.clone()) } else { None };
        fault.filter(|_| !self.is_told.swap(true, Ordering::Relaxed))
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    pub(super) fn flows(&self) -> bool {
        self.is(Phase::Flows) || self.is(Phase::Watched)
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.is(Phase::OnTrial)
    }

    /// Whether the run sends no more events of the suite.
    pub(super) fn is_over(&self) -> bool {
        self.is(Phase::Stopped) || self.is(Phase::Paused)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is(Phase::Paused)
    }

    /// Whether this event may be sent now: the suite flows, or the event is a candidate or was sent before.
    pub(super) fn lets_go(&self, parcel: &Parcel) -> bool {
        self.flows() || (self.is_on_trial() && (parcel.is_candidate || parcel.attempts > 0))
    }

    /// Whether the visitor's events must wait for the decision on a refused event.
    pub(super) fn blocks(&self, visitor: VisitorKey) -> bool {
        !self.is(Phase::Flows) && self.ward(|ward| ward.blocks(visitor))
    }

    /// What the feed does with the events of the suite.
    pub(super) fn flow(&self) -> Flow {
        if self.is_over() {
            return Flow::Ends;
        }
        let flows = self.flows() || self.ward(|ward| ward.is_feeding);
        if flows { Flow::Flows } else { Flow::Waits }
    }

    /// Whether the run sends no more events of the suite because of the suite's fault.
    pub(super) fn is_stopped(&self) -> bool {
        self.is(Phase::Stopped)
    }

    /// Returns the number of the next hit of the suite.
    pub(super) fn number_hit(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Records that the hit with this number succeeded.
    pub(super) fn succeed(&self, sent: u64) {
        self.succeeded.fetch_max(sent, Ordering::Relaxed);
        if !self.is(Phase::Flows) {
            self.ward(|ward| ward.succeed(sent));
        }
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed) > 0
    }

    pub(super) fn deal(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn settle(&self, parcel: &Parcel) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.end_try(parcel.is_candidate);
    }

    /// Records that an event is settled or waits for another attempt. If it was a candidate, it is no longer one.
    pub(super) fn end_try(&self, was_candidate: bool) {
        if was_candidate || !self.is(Phase::Flows) {
            self.ward(|ward| ward.end_try(was_candidate));
        }
    }

    /// Whether a scout may be sent; `is_known` is true if its lane has earlier events of its visitor. A scout that
    /// may not be sent is dealt again when its turn comes.
    pub(super) fn admits_scout(&self, parcel: &mut Parcel, is_known: bool) -> bool {
        let goes = self.ward(|ward| ward.admit_scout(parcel, is_known));
        if !goes {
            self.settle(parcel);
        }
        goes
    }

    /// Whether every event that was tried so far is refused; `None` if no event was tried.
    pub(super) fn refuses_all(&self) -> Option<bool> {
        let is_idle = self.outstanding.load(Ordering::Relaxed) == 0;
        self.ward(|ward| match &ward.fault {
            Some(fault) => Some(matches!(fault, SuiteFault::RefusesAll { .. })),
            None => (!is_idle || self.has_succeeded()).then_some(false),
        })
    }
}
