//! The state that the lanes of a host share during a run: its suites, its troubles, and whether it is given up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time;

use super::bindings::Bindings;
use super::parcel::Parcel;
use super::suite_run::SuiteRun;
use super::summary::Known;
use super::verdict::Refusal;
use super::ward::Phase;
use super::{Stop, StopReason};
use crate::buffer::Route;
use crate::collection::Host;
use crate::delivery::{Outcome, Sequence, Trouble, TroubleKind};
use crate::suite::{CollectionUrl, Rsid};

/// The host is at fault if at least this many of its suites were tried and all of them refuse every event.
const REFUSING_SUITES: usize = 2;
/// How many refused events of a suite a run remembers for the next one.
const REFUSED_MAX: usize = 1_000;
/// How far ahead a hit may reserve its turn. A hit with a later turn is not claimed; its lane asks again. So
/// turns do not pile up when the host is slow, and few claimed events are unsent if the process crashes.
pub(super) const TURN_AHEAD_MAX: Duration = Duration::from_millis(100);

/// A collection host in a run.
pub(super) struct HostRun {
    /// Its breaker, pace and address.
    pub(super) host: Arc<Host>,
    pub(super) suites: Vec<SuiteRun>,
    pub(super) bindings: Bindings,
    url: CollectionUrl,
    pub(super) known: Arc<Known>,
    ended: Stop,
    changes: Arc<watch::Sender<u64>>,
    /// The troubles by kind and by the place of their suite, which is `None` for a trouble of the host.
    met: Mutex<BTreeMap<(Option<usize>, TroubleKind), Met>>,
    /// Whether a trouble was met and no complete reply came after it.
    is_troubled: AtomicBool,
    refuses_all: AtomicBool,
}

/// A trouble of the host, or of a suite there, in this run.
#[derive(Default)]
struct Met {
    cause: String,
    attempts: u64,
    /// Whether no complete reply came after the trouble was met.
    stands: bool,
    /// Whether events were left pending because of the trouble. Other events may have succeeded later.
    has_left: bool,
    /// The refused events among them, up to `REFUSED_MAX`.
    refused: Vec<Sequence>,
}

impl HostRun {
    pub(super) fn new(host: Arc<Host>, routes: Vec<Route>, known: Arc<Known>) -> HostRun {
        let changes = Arc::new(watch::Sender::new(0));
        let suite = |route| SuiteRun::new(route, &host, known.clone(), changes.clone());
        let suites = routes.into_iter().map(suite).collect();
        HostRun {
            url: host.url().clone(),
            host,
            suites,
            bindings: Bindings::new(known.lanes),
            known,
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

    /// Reserves the turn of an event's next hit, as the paces of host and suite allow, unless it is far away: then the
    /// error says when to ask again. If another lane reserves one meanwhile, this turn is the next.
    pub(super) fn reserve(&self, parcel: &Parcel) -> Result<time::Instant, time::Instant> {
        let (host, suite, now) = (&self.host.limiter, &self.suite(parcel).limiter, time::Instant::now());
        match host.wait(now).max(suite.wait(now)).checked_sub(TURN_AHEAD_MAX) {
            None | Some(Duration::ZERO) => Ok(now + host.reserve(now).max(suite.reserve(now))),
            Some(beyond) => Err(now + beyond.max(TURN_AHEAD_MAX / 2)),
        }
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
        let of_suites = self.suites.iter().any(|suite| suite.is(Phase::Stopped)).then_some(StopReason::Suite);
        self.ended.requested().into_iter().chain(of_suites)
    }

    /// Gives up the host if all tried suites refuse every event: the server that answers is then no collector.
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
                "the collection host refuses every event of every suite: this run sends nothing more to it, and its events wait"
            );
            self.give_up();
        }
    }

    /// Logs once why each suite was stopped. Until the end of the run, logs nothing while a suite is undecided: if
    /// the host is at fault, one line is enough for all suites.
    pub(super) fn tell_stopped(&self, is_last: bool) {
        let is_undecided = |suite: &SuiteRun| {
            suite.is(Phase::OnTrial) || (suite.refuses_all() == Some(false) && !suite.has_succeeded())
        };
        let is_open = !is_last && self.suites.iter().any(is_undecided);
        if is_open || self.refuses_all.load(Ordering::Relaxed) {
            return;
        }
        for suite in &self.suites {
            let Some(fault) = suite.fault_to_tell() else { continue };
            let (rsid, host) = (suite.rsid(), &self.url);
            if self.known.tally.counts().has_line("report suites were stopped", true) {
                let advice = self.advice(Some(rsid), TroubleKind::Refused, true);
                tracing::error!(%rsid, %host, %fault, advice, "report suite stopped for this run; its events wait");
            }
        }
    }

    /// Records the trouble of an outcome that is about the host. Any other outcome ends the troubles of the host.
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

    /// Records the trouble because of which an event waits for the next run.
    pub(super) fn leave_behind(&self, parcel: &Parcel, outcome: &Outcome) {
        match (outcome.trouble(), Refusal::of(outcome)) {
            (Some((kind, _)), _) => {
                self.met().entry((None, kind)).and_modify(|met| met.has_left = true);
            }
            (None, Some(refusal)) => {
                self.note(Some(parcel.suite), TroubleKind::Refused, refusal.cause, |met| {
                    met.has_left = true;
                    met.refused.push(parcel.event.sequence);
                    met.refused.truncate(REFUSED_MAX);
                });
            }
            (None, None) => {}
        }
    }

    /// The troubles that lasted until the run ended or left events pending, any throttling, and the suites' faults.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let Known { earlier, started_at, .. } = &*self.known;
        let trouble = |rsid: Option<&Rsid>, kind: TroubleKind, cause: String, attempts, stopped, refused| {
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
                refused,
                has_succeeded_since: false,
            }
        };
        let refuses_all = self.refuses_all.load(Ordering::Relaxed);
        let is_left = self.is_given_up() && !refuses_all;
        let mut troubles = Vec::new();
        for ((place, kind), met) in &*self.met() {
            if met.stands || met.has_left || *kind == TroubleKind::Throttled {
                let rsid = place.map(|place| self.suites[place].rsid());
                let stopped = is_left && rsid.is_none() && (met.stands || met.has_left);
                let (cause, refused) = (met.cause.clone(), met.refused.clone());
                troubles.push(trouble(rsid, *kind, cause, met.attempts, stopped, refused));
            }
        }
        for suite in &self.suites {
            if let Some((fault, events, stopped)) = suite.ward(|ward| ward.trouble()) {
                let rsid = (!refuses_all).then(|| suite.rsid());
                let own = troubles.extract_if(.., |other| other.rsid.as_ref() == Some(suite.rsid()));
                let refused = own.flat_map(|own| own.refused).collect();
                troubles.push(trouble(
                    rsid,
                    TroubleKind::Refused,
                    fault.to_string(),
                    events,
                    stopped,
                    refused,
                ));
            }
        }
        if refuses_all {
            // One trouble of the host stands for the troubles of all its suites.
            troubles.dedup_by_key(|trouble| trouble.kind);
        }
        troubles
    }

    /// How many kinds of trouble the host has met so far and how many suites were stopped, in one number.
    pub(super) fn kinds_met(&self) -> usize {
        self.met().len() + self.suites.iter().filter(|suite| suite.is(Phase::Stopped)).count()
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
