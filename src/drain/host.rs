//! What the lanes of one collection host share during a run: its suites, whether they may still be sent to, and its troubles.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::parcel::Parcel;
use super::suite_run::SuiteRun;
use super::{Stop, StopReason};
use crate::buffer::Route;
use crate::collection::Host;
use crate::delivery::{Outcome, Trouble, TroubleKind};
use crate::event::Instant;
use crate::suite::{CollectionUrl, Rsid};

/// Suites of a host that must refuse everything until that is taken to be the host's matter.
const REFUSING_SUITES: usize = 2;

/// A collection host in a run.
pub(super) struct HostRun {
    /// Its breaker, pace and address.
    pub(super) host: Arc<Host>,
    pub(super) suites: Vec<SuiteRun>,
    pub(super) lanes: usize,
    url: CollectionUrl,
    ended: Stop,
    changes: Arc<watch::Sender<u64>>,
    met: Mutex<BTreeMap<TroubleKind, Met>>,
    /// Whether some trouble was met that no reply disproved since.
    is_troubled: AtomicBool,
    refuses_all: AtomicBool,
}

/// A trouble of the host in this run.
struct Met {
    cause: String,
    attempts: u64,
    /// Whether no complete reply came since.
    stands: bool,
}

impl HostRun {
    /// `earlier` are the troubles that the runs before recorded.
    pub(super) fn new(
        host: Arc<Host>,
        url: CollectionUrl,
        routes: Vec<Route>,
        lanes: usize,
        earlier: &[Trouble],
    ) -> HostRun {
        let changes = Arc::new(watch::Sender::new(0));
        let suite = |route| SuiteRun::new(route, lanes, changes.clone(), earlier);
        HostRun {
            host,
            suites: routes.into_iter().map(suite).collect(),
            lanes,
            url,
            ended: Stop::default(),
            changes,
            met: Mutex::default(),
            is_troubled: AtomicBool::new(false),
            refuses_all: AtomicBool::new(false),
        }
    }

    pub(super) fn suite(&self, parcel: &Parcel) -> &SuiteRun {
        &self.suites[parcel.suite]
    }

    /// Reserves the next hit of an event in the paces of host and suite, and tells how long to wait for it.
    pub(super) fn reserve(&self, parcel: &Parcel, now: tokio::time::Instant) -> Duration {
        self.host.limiter.reserve(now).max(self.suite(parcel).limiter.reserve(now))
    }

    /// Changes whenever a suite gives something back to a lane, or wants something of its feed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn give_up(&self) {
        self.ended.request(StopReason::Host);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.ended.requested().is_some()
    }

    pub(super) async fn given_up(&self) {
        self.ended.wait().await;
    }

    /// Why the run ended early at this host, if it did.
    pub(super) fn stop_reasons(&self) -> impl Iterator<Item = StopReason> {
        self.ended.requested().into_iter().chain(self.suites.iter().filter_map(|suite| suite.stop_reason()))
    }

    /// Leaves the host where all of its suites that were tried refuse everything: whatever answers there is no collector.
    pub(super) fn leave_where_all_refuse(&self) {
        let tried: Vec<bool> = self.suites.iter().filter_map(|suite| suite.refuses_all()).collect();
        let is_left = tried.len() >= REFUSING_SUITES && tried.iter().all(|refuses| *refuses);
        if is_left && !self.refuses_all.swap(true, Ordering::Relaxed) {
            tracing::error!(
                host = %self.url,
                suites = tried.len(),
                "the collection host refuses every event of every suite: it is left for this run, and its events wait"
            );
            self.give_up();
        }
    }

    /// Takes note of what an outcome says about the host.
    pub(super) fn meet(&self, outcome: &Outcome) {
        match outcome.trouble() {
            Some((kind, cause)) => {
                self.is_troubled.store(true, Ordering::Relaxed);
                let mut met = self.met();
                let met = met.entry(kind).or_insert(Met { cause: String::new(), attempts: 0, stands: true });
                (met.cause, met.attempts, met.stands) = (cause, met.attempts + 1, true);
            }
            None if self.is_troubled.swap(false, Ordering::Relaxed) => {
                self.met().values_mut().for_each(|met| met.stands = false);
            }
            None => {}
        }
    }

    /// What stood in the way of the host and its suites when the run ended, and whether the host throttled it.
    pub(super) fn troubles(&self, earlier: &[Trouble], started_at: Instant) -> Vec<Trouble> {
        let trouble = |rsid: Option<&Rsid>, kind: TroubleKind, cause: String, attempts, stopped| {
            let same = |before: &&Trouble| {
                before.host == self.url && before.rsid.as_ref() == rsid && before.kind == kind
            };
            Trouble {
                host: self.url.clone(),
                rsid: rsid.cloned(),
                kind,
                cause,
                attempts,
                since: earlier.iter().find(same).map_or(started_at, |before| before.since),
                stopped,
                advice: Some(kind.advice().to_owned()),
            }
        };
        let refuses_all = self.refuses_all.load(Ordering::Relaxed);
        let is_left = self.is_given_up() && !refuses_all;
        let mut troubles: Vec<Trouble> = self
            .met()
            .iter()
            .filter(|(kind, met)| met.stands || **kind == TroubleKind::Throttled)
            .map(|(kind, met)| trouble(None, *kind, met.cause.clone(), met.attempts, is_left && met.stands))
            .collect();
        for suite in &self.suites {
            if let Some((fault, events, stopped)) = suite.ward(|ward| ward.trouble()) {
                let rsid = (!refuses_all).then(|| suite.rsid());
                troubles.push(trouble(rsid, TroubleKind::Refused, fault.to_string(), events, stopped));
            }
        }
        if refuses_all {
            // One for all of them.
            troubles.dedup_by_key(|trouble| trouble.kind);
        }
        troubles
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<TroubleKind, Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
