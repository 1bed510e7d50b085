//! What the lanes of one collection host share during a run: its suites, whether they may still be sent to, and its troubles.

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

/// Suites of a host that must refuse everything until that is taken to be the host's matter.
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
    /// By the place of the suite, where it is not the host's, and by kind.
    met: Mutex<BTreeMap<(Option<usize>, TroubleKind), Met>>,
    /// Whether some trouble was met that no reply disproved since.
    is_troubled: AtomicBool,
    refuses_all: AtomicBool,
    /// Suites of which the log was to say why they were stopped.
    told: AtomicU64,
}

/// A trouble of the host, or of a suite there, in this run.
#[derive(Default)]
struct Met {
    cause: String,
    attempts: u64,
    /// Whether no complete reply came since.
    stands: bool,
    /// Whether events were left behind because of it, whatever succeeded since.
    has_left: bool,
}

/// What the hosts of a run know of it.
pub(super) struct Known {
    pub(super) lanes: usize,
    pub(super) started_at: Instant,
    /// The troubles that the runs before recorded.
    pub(super) earlier: Vec<Trouble>,
    /// What makes events go that wait.
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

    /// Leaves the host where all of its suites that were tried refuse everything: whatever answers there is no collector.
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

    /// Says of each suite that was stopped why, once. While others are undecided it may be the whole host's matter, of which one
    /// line tells: that waits for them, but for the end of the run.
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

    /// Takes note of what an outcome says about the host.
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

    /// Takes note that an event is left to the next run, because no attempt of it came to an end.
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

    /// What stood in the way of the host and its suites when the run ended or left events behind, and whether the host throttled it.
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
            // One for all of them.
            troubles.dedup_by_key(|trouble| trouble.kind);
        }
        troubles
    }

    /// How many troubles it has met so far, those that are over among them.
    pub(super) fn kinds_met(&self) -> usize {
        self.met().len() + self.suites.iter().filter(|suite| suite.is_stopped()).count()
    }

    /// What to do about a trouble, with the name of the suite in the commands, and then about its events: by what became of them.
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
