//! The state that the lanes of a host share during a run: its suites, its troubles, and whether it is given up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::parcel::Parcel;
use super::suite_run::SuiteRun;
use super::summary::{LINES_MAX, Tally};
use super::verdict::Refusal;
use super::{Stop, StopReason};
use crate::buffer::Route;
use crate::collection::Host;
use crate::delivery::{Outcome, Trouble, TroubleKind};
use crate::event::Instant;
use crate::suite::{CollectionUrl, Rsid};

/// If at least so many suites of a host were tried and all refuse everything, the host is at fault.
const REFUSING_SUITES: usize = 2;

/// A collection host in a run.
pub(super) struct HostRun {
    /// Its breaker, pace and address.
    pub(super) host: Arc<Host>,
    pub(super) suites: Vec<SuiteRun>,
    url: CollectionUrl,
    pub(super) known: Arc<Known>,
    ended: Stop,
    changes: Arc<watch::Sender<u64>>,
    /// The troubles by kind and by the place of their suite, which is `None` for a trouble of the host.
    met: Mutex<BTreeMap<(Option<usize>, TroubleKind), Met>>,
    /// Whether a trouble was met and no complete reply came since.
    is_troubled: AtomicBool,
    refuses_all: AtomicBool,
    /// How many stopped suites were to be logged. Only the first `LINES_MAX` are.
    told: AtomicU64,
}

/// A trouble of the host, or of a suite there, in this run.
#[derive(Default)]
struct Met {
    cause: String,
    attempts: u64,
    /// Whether no complete reply came since the trouble was met.
    stands: bool,
    /// Whether events were left pending because of the trouble, even if others succeeded later.
    has_left: bool,
}

/// What the hosts of a run know about the run.
pub(super) struct Known {
    pub(super) lanes: usize,
    pub(super) started_at: Instant,
    /// The troubles that earlier runs recorded.
    pub(super) earlier: Vec<Trouble>,
    /// What sends the events that the run leaves pending.
    pub(super) then: String,
    pub(super) tally: Arc<Tally>,
}

impl HostRun {
    pub(super) fn new(host: Arc<Host>, routes: Vec<Route>, known: Arc<Known>) -> HostRun {
        let changes = Arc::new(watch::Sender::new(0));
        let suite = |route| SuiteRun::new(route, known.lanes, changes.clone(), &known.earlier);
        HostRun {
            url: host.url().clone(),
            host,
            suites: routes.into_iter().map(suite).collect(),
            known,
            ended: Stop::default(),
            changes,
            met: Mutex::default(),
            is_troubled: AtomicBool::new(false),
            refuses_all: AtomicBool::new(false),
            told: AtomicU64::new(0),
        }
    }

    pub(super) fn suite(&self, parcel: &Parcel) -> &SuiteRun {
        &self.suites[parcel.suite]
    }

    /// Reserves the next hit of an event in the paces of host and suite. Returns how long to wait before it is sent.
    pub(super) fn reserve(&self, parcel: &Parcel, now: tokio::time::Instant) -> Duration {
        self.host.limiter.reserve(now).max(self.suite(parcel).limiter.reserve(now))
    }

    /// Changes whenever a suite has events for a lane to take back, or needs events from the feed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn give_up(&self) {
        self.ended.request(StopReason::Host);
        self.met().values_mut().for_each(|met| met.has_left |= met.stands);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.ended.requested().is_some()
    }

    pub(super) async fn given_up(&self) {
        self.ended.wait().await;
    }

    /// Why the run ended early at this host, if it did.
    pub(super) fn stop_reasons(&self) -> impl Iterator<Item = StopReason> {
        let of_suites = self.suites.iter().any(SuiteRun::is_stopped).then_some(StopReason::Suite);
        self.ended.requested().into_iter().chain(of_suites)
    }

    /// Gives up the host if all tried suites refuse everything, because the server that answers is then no collector.
    pub(super) fn leave_where_all_refuse(&self) {
        let tried: Vec<bool> = self.suites.iter().filter_map(|suite| suite.refuses_all()).collect();
        let is_left = tried.len() >= REFUSING_SUITES && tried.iter().all(|refuses| *refuses);
        if is_left && !self.refuses_all.swap(true, Ordering::Relaxed) {
            let fault = self.suites.iter().find_map(SuiteRun::fault_to_tell);
            tracing::error!(
                host = %self.url,
                suites = tried.len(),
                fault = fault.map(|fault| fault.to_string()),
                advice = self.advice(None, TroubleKind::Refused, true),
                "the collection host refuses every event of every suite: it is left for this run, and its events wait"
            );
            self.give_up();
        }
    }

    /// Logs once why each suite was stopped. Until the end of the run, logs nothing while a suite is undecided: if
    /// the host is at fault, one line is enough for all suites.
    pub(super) fn tell_stopped(&self, is_last: bool) {
        let is_undecided = |suite: &SuiteRun| {
            suite.is_on_trial() || (suite.refuses_all() == Some(false) && !suite.has_succeeded())
        };
        let is_open = !is_last && self.suites.iter().any(is_undecided);
        if is_open || self.refuses_all.load(Ordering::Relaxed) {
            return;
        }
        for suite in &self.suites {
            let Some(fault) = suite.fault_to_tell() else { continue };
            let (rsid, host) = (suite.rsid(), &self.url);
            if self.told.fetch_add(1, Ordering::Relaxed) < LINES_MAX {
                let advice = self.advice(Some(rsid), TroubleKind::Refused, true);
                tracing::error!(%rsid, %host, %fault, advice, "report suite stopped for this run; its events wait");
            }
        }
        if let Some(suites @ 1..) = self.told.load(Ordering::Relaxed).checked_sub(LINES_MAX)
            && is_last
        {
            tracing::error!(host = %self.url, suites, "more report suites were stopped, not told one by one");
        }
    }

    /// Records the trouble of an outcome, if the outcome is about the host.
    pub(super) fn meet(&self, outcome: &Outcome) {
        match outcome.trouble() {
            Some((kind, cause)) => {
                self.is_troubled.store(true, Ordering::Relaxed);
                self.note(None, kind, cause, |met| met.stands = true);
            }
            None if self.is_troubled.swap(false, Ordering::Relaxed) => {
                self.met().values_mut().for_each(|met| met.stands = false);
            }
            None => {}
        }
    }

    fn note(&self, suite: Option<usize>, kind: TroubleKind, cause: String, how: impl FnOnce(&mut Met)) {
        let mut met = self.met();
        let met = met.entry((suite, kind)).or_default();
        (met.cause, met.attempts) = (cause, met.attempts + 1);
        how(met);
    }

    /// Records the trouble that leaves an event to the next run.
    pub(super) fn leave_behind(&self, parcel: &Parcel, outcome: &Outcome) {
        match (outcome.trouble(), Refusal::of(outcome)) {
            (Some((kind, _)), _) => {
                self.met().entry((None, kind)).and_modify(|met| met.has_left = true);
            }
            (None, Some(refusal)) => {
                self.note(Some(parcel.suite), TroubleKind::Refused, refusal.cause, |met| met.has_left = true);
            }
            (None, None) => {}
        }
    }

    /// The troubles that lasted until the run ended or left events pending, and throttling by the host.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let Known { earlier, started_at, .. } = &*self.known;
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
                since: earlier.iter().find(same).map_or(*started_at, |before| before.since),
                stopped,
                advice: Some(self.advice(rsid, kind, stopped)),
            }
        };
        let refuses_all = self.refuses_all.load(Ordering::Relaxed);
        let is_left = self.is_given_up() && !refuses_all;
        let mut troubles = Vec::new();
        for ((place, kind), met) in &*self.met() {
            if met.stands || met.has_left || *kind == TroubleKind::Throttled {
                let rsid = place.map(|place| self.suites[place].rsid());
                let stopped = is_left && rsid.is_none() && (met.stands || met.has_left);
                troubles.push(trouble(rsid, *kind, met.cause.clone(), met.attempts, stopped));
            }
        }
        for suite in &self.suites {
            if let Some((fault, events, stopped)) = suite.ward(|ward| ward.trouble()) {
                let rsid = (!refuses_all).then(|| suite.rsid());
                troubles.retain(|other| other.rsid.as_ref() != Some(suite.rsid()));
                troubles.push(trouble(rsid, TroubleKind::Refused, fault.to_string(), events, stopped));
            }
        }
        if refuses_all {
            // One trouble of the host stands for the troubles of all its suites.
            troubles.dedup_by_key(|trouble| trouble.kind);
        }
        troubles
    }

    /// How many troubles the host has met so far, including those that are over.
    pub(super) fn kinds_met(&self) -> usize {
        self.met().len() + self.suites.iter().filter(|suite| suite.is_stopped()).count()
    }

    /// What to do about a trouble and its pending, dead and held events, with the suite's name in the commands.
    fn advice(&self, rsid: Option<&Rsid>, kind: TroubleKind, stopped: bool) -> String {
        let is_own = |own: &&Rsid| rsid.is_none_or(|rsid| *own == rsid);
        let suites = self.suites.iter().map(SuiteRun::rsid).filter(is_own);
        let (waits, dead, held) = self.known.tally.counts().fates(suites);
        let is_dead = dead > 0 && kind == TroubleKind::Refused;
        let mut advice = kind.advice().replace("RSID", rsid.map_or("RSID", |rsid| rsid.as_str()));
        for (is_so, what) in [
            (stopped || waits, &*self.known.then),
            (
                is_dead,
                "dead events go once that is mended and they are requeued: passbridge dead-letter list",
            ),
            (held > 0, "held events want a decision: passbridge held list"),
        ] {
            if is_so {
                advice.push_str(&format!("; {what}"));
            }
        }
        advice
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<(Option<usize>, TroubleKind), Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
