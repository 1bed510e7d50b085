//! What the lanes of one collection host share during a run: its suites, and whether they may still be sent to.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::{Stop, StopReason};
use crate::buffer::{FormKey, RequestorKey, Route};
use crate::collection::{Host, Limiter};
use crate::delivery::SuiteFault;
use crate::hit::VisitorKey;
use crate::suite::{ReportSuite, Rsid};

/// Visitors in a row whose hits get the same 4xx, without any success, until the refusal is taken to be about the suite.
const REFUSED_VISITORS: usize = 3;

/// A collection host in a run.
pub(super) struct HostRun {
    /// Its breaker, pace and address.
    pub(super) host: Arc<Host>,
    /// The suites that are collected there.
    pub(super) suites: Vec<Arc<SuiteRun>>,
    /// Lanes it is given.
    pub(super) lanes: usize,
    ended: Stop,
}

impl HostRun {
    pub(super) fn new(host: Arc<Host>, routes: Vec<Route>, lanes: usize) -> HostRun {
        let suites = routes.into_iter().map(|route| Arc::new(SuiteRun::new(route))).collect();
        HostRun { host, suites, lanes, ended: Stop::default() }
    }

    /// Leaves the host for this run.
    pub(super) fn give_up(&self) {
        self.ended.request(StopReason::Host);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.ended.requested().is_some()
    }

    /// Waits until the host is left.
    pub(super) async fn given_up(&self) {
        self.ended.wait().await;
    }

    /// Why the run ended early at this host, if it did.
    pub(super) fn stop_reasons(&self) -> impl Iterator<Item = StopReason> {
        self.ended.requested().into_iter().chain(self.suites.iter().filter_map(|suite| suite.stop_reason()))
    }
}

const FLOWS: u8 = 0;
const STOPPED: u8 = 1;
const PAUSED: u8 = 2;

/// A report suite in a run.
pub(super) struct SuiteRun {
    pub(super) suite: ReportSuite,
    pub(super) form: FormKey,
    pub(super) requestors: Vec<RequestorKey>,
    pub(super) limiter: Limiter,
    state: AtomicU8,
    succeeded: AtomicBool,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    status: u16,
    visitors: BTreeSet<VisitorKey>,
}

impl SuiteRun {
    fn new(route: Route) -> SuiteRun {
        SuiteRun {
            limiter: Limiter::new(route.suite.hits_per_second, Instant::now()),
            suite: route.suite,
            form: route.form,
            requestors: route.requestors,
            state: AtomicU8::new(FLOWS),
            succeeded: AtomicBool::new(false),
            refusals: Mutex::default(),
        }
    }

    pub(super) fn rsid(&self) -> &Rsid {
        &self.suite.form.rsid
    }

    pub(super) fn flows(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FLOWS
    }

    /// Sends nothing more to it in this run; its events could have gone.
    pub(super) fn stop(&self, fault: &SuiteFault) {
        if self.state.swap(STOPPED, Ordering::Relaxed) == FLOWS {
            tracing::error!(rsid = %self.rsid(), %fault, "report suite stopped for this run; its events wait");
        }
    }

    /// Sends nothing more to it in this run, because it was paused or removed meanwhile: its events are parked.
    pub(super) fn pause(&self) {
        if self.state.swap(PAUSED, Ordering::Relaxed) == FLOWS {
            tracing::warn!(rsid = %self.rsid(), "report suite paused or changed during the run; its events wait");
        }
    }

    /// Why the run ended early because of this suite, if it did.
    fn stop_reason(&self) -> Option<StopReason> {
        (self.state.load(Ordering::Relaxed) == STOPPED).then_some(StopReason::Suite)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PAUSED
    }

    pub(super) fn succeed(&self) {
        self.succeeded.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Notes a 4xx; the fault of the suite once enough visitors got the same and nobody succeeded.
    pub(super) fn refuse(&self, status: u16, visitor: VisitorKey) -> Option<SuiteFault> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.status != status {
            *refusals = Refusals { status, visitors: BTreeSet::new() };
        }
        refusals.visitors.insert(visitor);
        (!self.has_succeeded() && refusals.visitors.len() >= REFUSED_VISITORS)
            .then_some(SuiteFault::Refused(status))
    }
}
