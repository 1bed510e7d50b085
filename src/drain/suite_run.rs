//! A report suite in a run: whether its events are sent, and the events that wait until its trial ends.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::parcel::Parcel;
use super::summary::{Known, TRIALS};
use super::ward::{Phase, Ward};
use crate::buffer::{Flow, FormKey, RequestorKey, Route};
use crate::collection::{Breaker, Host, Limiter};
use crate::delivery::{Trouble, TroubleKind};
use crate::suite::{OnAmbiguous, ReportSuite, Rsid};

/// How many events for each lane may be under way if the suite or its host has a pace, or rests: enough that no lane
/// idles, few enough to leave the lanes to the other suites.
const PACED_A_LANE: usize = 16;

/// A report suite in a run, shared by the lanes and the feed of its host.
pub(super) struct SuiteRun {
    pub(super) suite: ReportSuite,
    pub(super) form: FormKey,
    pub(super) requestors: Vec<RequestorKey>,
    pub(super) limiter: Limiter,
    /// Stops the sending to this suite alone while its replies are errors, if the host has other suites too.
    pub(super) breaker: Breaker,
    /// A copy of the ward's phase, which can be read without the lock. For nearly all events it is `Flows`.
    phase: AtomicU8,
    /// Events that the feed gave to lanes, without those that are settled or left pending.
    outstanding: AtomicUsize,
    /// The feed gives the lanes no more events while this many are under way, if the suite is paced or rests.
    under_way_max: usize,
    is_paced: bool,
    /// Whether the latest event had to wait, or became a probe, because a breaker was open.
    is_resting: AtomicBool,
    /// How many hits were sent, which is also the number of the latest hit.
    sent: AtomicU64,
    /// The highest number of a hit that succeeded.
    succeeded: AtomicU64,
    ward: Mutex<Ward>,
    known: Arc<Known>,
    /// Changes whenever the lanes or the feed have to look at the ward again.
    changes: Arc<watch::Sender<u64>>,
}

impl SuiteRun {
    pub(super) fn new(
        route: Route,
        host: &Host,
        known: Arc<Known>,
        changes: Arc<watch::Sender<u64>>,
    ) -> SuiteRun {
        let lanes = known.lanes;
        let is_refused = |trouble: &&Trouble| {
            trouble.kind == TroubleKind::Refused
                && trouble.host == route.suite.collection_url
                && trouble.rsid.as_ref().is_none_or(|rsid| *rsid == route.suite.form.rsid)
        };
        let before = known.earlier.iter().find(is_refused);
        let in_a_row = before.filter(|trouble| !trouble.has_succeeded_since);
        let in_a_row = in_a_row.map_or((0, false), |trouble| (trouble.attempts, trouble.stopped));
        let mut ward = Ward::new(lanes, in_a_row);
        ward.refused_before = before.iter().flat_map(|trouble| &trouble.refused).copied().collect();
        ward.has_succeeded_since = before.is_some_and(|trouble| trouble.has_succeeded_since);
        let limiter = Limiter::new(route.suite.hits_per_second, Instant::now());
        SuiteRun {
            is_paced: limiter.has_rate() || host.limiter.has_rate(),
            is_resting: AtomicBool::new(false),
            limiter,
            breaker: host.breaker(),
            under_way_max: PACED_A_LANE * lanes,
            suite: route.suite,
            form: route.form,
            requestors: route.requestors,
            phase: AtomicU8::new(ward.phase as u8),
            outstanding: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            ward: Mutex::new(ward),
            known,
            changes,
        }
    }

    pub(super) fn rsid(&self) -> &Rsid {
        &self.suite.form.rsid
    }

    /// Reads or changes the ward under its lock. Publishes and logs its phase. Wakes lanes and feed.
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
            Phase::OnTrial if self.known.tally.counts().has_line(TRIALS, true) => {
                tracing::info!(%rsid, "the latest events were all refused: events of other visitors are tried before the rest is sent");
            }
            Phase::Paused
                if self.known.tally.counts().has_line("report suites were paused or changed", true) =>
            {
                tracing::warn!(%rsid, "report suite paused or changed during the run; its events wait");
            }
            // The host logs why no more events are sent, because the host may be at fault.
            _ => {}
        }
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    pub(super) fn flows(&self) -> bool {
        self.is(Phase::Flows) || self.is(Phase::Watched)
    }

    /// Whether the run sends no more events of the suite.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped() || self.is(Phase::Paused)
    }

    /// Whether the run sends no more events of the suite because of refusals or errors.
    pub(super) fn is_stopped(&self) -> bool {
        self.is(Phase::Stopped) || self.is(Phase::GivenUp)
    }

    pub(super) fn rests(&self, is_resting: bool) {
        self.is_resting.store(is_resting, Ordering::Relaxed);
    }

    fn is_slowed(&self) -> bool {
        self.is_paced || self.is_resting.load(Ordering::Relaxed)
    }

    /// Whether this event may be sent now. During a trial, it must be a candidate or have been sent before.
    pub(super) fn lets_go(&self, parcel: &Parcel) -> bool {
        self.flows() || (self.is(Phase::OnTrial) && (parcel.is_candidate || parcel.attempts > 0))
    }

    /// Whether an event of this lane must wait for earlier ones of its visitor that the ward keeps.
    pub(super) fn blocks(&self, lane: usize, parcel: &Parcel) -> bool {
        let is_behind = |ward: &mut Ward| ward.blocks(parcel.visitor) || ward.holds_earlier(lane, parcel);
        !self.is(Phase::Flows) && self.ward(is_behind)
    }

    /// Whether a lane may claim an event of the suite while it has other claims. Not under a pace or a rest, because
    /// the event could wait long, and not under the policy `hold`, because a crash makes all claimed events held.
    pub(super) fn claims_ahead(&self) -> bool {
        !self.is_slowed() && self.suite.on_ambiguous == OnAmbiguous::Retry
    }

    /// Whether the feed reads more events of the suite now, later or never.
    pub(super) fn flow(&self) -> Flow {
        if self.is_over() {
            return Flow::Ends;
        }
        let flows = if self.flows() { !self.is_full() } else { self.ward(|ward| ward.is_feeding) };
        if flows { Flow::Flows } else { Flow::Waits }
    }

    /// Whether the suite or its host has a pace or rests, and enough events are under way: then the feed must wait.
    pub(super) fn is_full(&self) -> bool {
        let max = self.under_way_max;
        self.is_slowed()
            && self.outstanding.load(Ordering::Relaxed) >= max
            && self.ward(|ward| ward.under_way()) >= max
    }

    /// Returns the number of the next hit of the suite.
    pub(super) fn number_hit(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn succeed(&self, sent: u64) {
        self.succeeded.fetch_max(sent, Ordering::Relaxed);
        if !self.is(Phase::Flows) {
            self.ward(|ward| ward.succeed(sent));
        }
    }

    fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed) > 0
    }

    pub(super) fn was_tried(&self) -> bool {
        self.sent.load(Ordering::Relaxed) > 0
    }

    /// Whether the latest reply to the suite was an error, or errors ended the sending.
    pub(super) fn is_failing(&self) -> bool {
        self.breaker.is_failing() || self.is(Phase::GivenUp)
    }

    /// Whether events of the suite are under way and nobody knows yet whether it takes them.
    pub(super) fn is_undecided(&self) -> bool {
        let is_open = self.refuses_all() == Some(false) && !self.has_succeeded() && !self.is_stopped();
        self.is(Phase::OnTrial) || (is_open && !self.is_failing())
    }

    pub(super) fn deal(&self) {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn settle(&self, parcel: &Parcel) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.end_try(parcel.is_candidate);
    }

    /// Records that an event is settled, left pending or set aside, and is no candidate any more.
    pub(super) fn end_try(&self, was_candidate: bool) {
        if was_candidate || !self.is(Phase::Flows) {
            self.ward(|ward| ward.end_try(was_candidate));
        }
    }

    /// Whether the suite was stopped because it refuses all events; `None` if no event is under way and none succeeded.
    pub(super) fn refuses_all(&self) -> Option<bool> {
        let is_idle = self.outstanding.load(Ordering::Relaxed) == 0;
        self.ward(|ward| match &ward.fault {
            Some(_) => Some(true),
            None => (!is_idle || self.has_succeeded()).then_some(false),
        })
    }
}
