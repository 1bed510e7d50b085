//! The state that the lanes of a host share during a run: its suites, its breakers and its troubles.
//!
//! A failure to reach the host at all is the host's trouble. An error in a reply (429, 5xx), or no reply in time, may
//! be about one suite. So if a host has several suites, each has its own breaker: it rests, is probed and is given up
//! alone, and the others flow. If several suites were tried and none gets through, the trouble is told as the host's.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::collection::{Breaker, Host, Permit};
use crate::delivery::{Outcome, Sequence, Trouble, TroubleKind};
use crate::suite::Rsid;

/// The host is at fault if at least this many of its suites were tried and none of them got through.
const SUITES_OF_HOST: usize = 2;
/// How many refused events of a suite a run remembers for the next run.
const REFUSED_MAX: usize = 1_000;
/// How far ahead a hit may reserve its turn. A hit with a later turn is not claimed; its lane asks again. So
/// turns do not pile up when the host is slow, and few claimed events are unsent if the process crashes.
pub(super) const TURN_AHEAD_MAX: Duration = Duration::from_millis(100);

/// The place of a suite among those of the host; `None` stands for the host itself.
type Place = Option<usize>;

pub(super) struct HostRun {
    /// The host, with its pace and address.
    pub(super) host: Arc<Host>,
    breaker: Breaker,
    pub(super) suites: Vec<SuiteRun>,
    pub(super) bindings: Bindings,
    pub(super) known: Arc<Known>,
    ended: Stop,
    changes: Arc<watch::Sender<u64>>,
    met: Mutex<BTreeMap<(Place, TroubleKind), Met>>,
    told: Mutex<BTreeSet<TroubleKey>>,
    refuses_all: AtomicBool,
}

/// What distinguishes the troubles of a host: the suite, the kind, and whether the trouble stopped the sending.
pub(super) type TroubleKey = (Option<Rsid>, TroubleKind, bool);

pub(super) fn key(trouble: &Trouble) -> TroubleKey {
    (trouble.rsid.clone(), trouble.kind, trouble.stopped)
}

/// A trouble of the host, or of a suite there, in this run.
#[derive(Clone, Default)]
struct Met {
    cause: String,
    attempts: u64,
    /// Whether the trouble lasts: no attempt without a trouble came after it.
    stands: bool,
    /// Whether events were left pending because of the trouble. Other events may have succeeded later.
    has_left: bool,
    /// Whether the run sends nothing more because of the trouble.
    stopped: bool,
    /// The refused events that were left pending, up to `REFUSED_MAX`.
    refused: Vec<Sequence>,
}

impl HostRun {
    pub(super) fn new(host: Arc<Host>, routes: Vec<Route>, known: Arc<Known>) -> HostRun {
        let changes = Arc::new(watch::Sender::new(0));
        let suite = |route| SuiteRun::new(route, &host, known.clone(), changes.clone());
        let suites = routes.into_iter().map(suite).collect();
        HostRun {
            breaker: host.breaker(),
            host,
            suites,
            bindings: Bindings::new(known.lanes),
            known,
            ended: Stop::default(),
            changes,
            met: Mutex::default(),
            told: Mutex::default(),
            refuses_all: AtomicBool::new(false),
        }
    }

    pub(super) fn suite(&self, parcel: &Parcel) -> &SuiteRun {
        &self.suites[parcel.suite]
    }

    fn breaker(&self, place: Place) -> &Breaker {
        place.map_or(&self.breaker, |place| &self.suites[place].breaker)
    }

    /// The suite that a trouble is about, or `None` for the host. A single suite shares the breaker of its host.
    fn place(&self, suite: usize, outcome: &Outcome) -> Place {
        let is_reply = !matches!(outcome, Outcome::Retry { cause, .. } if cause.is_unreachable());
        (is_reply && self.suites.len() > 1).then_some(suite)
    }

    /// Reserves the turn of an event's next hit, unless a breaker is open or the turn is far away: then the error says
    /// when to ask again. An event that is to probe must be sent, or the probe returned.
    pub(super) fn admit(&self, parcel: &mut Parcel) -> Result<time::Instant, time::Instant> {
        let (now, was_probe) = (time::Instant::now(), parcel.is_probe);
        for place in [Some(parcel.suite), None].into_iter().filter(|_| !was_probe) {
            match self.breaker(place).permit(now) {
                Permit::Go => {}
                Permit::Probe => parcel.is_probe = true,
                Permit::Wait(wait) => {
                    self.return_probe(parcel);
                    self.suite(parcel).rests(true);
                    return Err(now + wait);
                }
                Permit::GivenUp => {
                    self.give_up(place);
                    return Err(now);
                }
            }
        }
        self.suite(parcel).rests(parcel.is_probe);
        self.reserve(parcel).inspect_err(|_| self.return_probe(parcel))
    }

    /// Lets another event probe in the place of this one.
    pub(super) fn return_probe(&self, parcel: &mut Parcel) {
        if std::mem::take(&mut parcel.is_probe) {
            let now = time::Instant::now();
            [Some(parcel.suite), None].into_iter().for_each(|place| self.breaker(place).return_probe(now));
        }
    }

    /// Reserves a turn as the paces of host and suite allow; if another lane is quicker, the turn after that lane's.
    pub(super) fn reserve(&self, parcel: &Parcel) -> Result<time::Instant, time::Instant> {
        let (host, suite, now) = (&self.host.limiter, &self.suite(parcel).limiter, time::Instant::now());
        match host.wait(now).max(suite.wait(now)).checked_sub(TURN_AHEAD_MAX) {
            None | Some(Duration::ZERO) => Ok(now + host.reserve(now).max(suite.reserve(now))),
            Some(beyond) => Err(now + beyond.max(TURN_AHEAD_MAX / 2)),
        }
    }

    /// A value that changes whenever a suite has events for a lane to take back, or needs events from the feed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ends the sending to the host or to one of its suites in this run.
    fn give_up(&self, place: Place) {
        for (_, met) in self.met().iter_mut().filter(|((at, _), met)| *at == place && met.stands) {
            (met.has_left, met.stopped) = (true, true);
        }
        match place {
            Some(place) => self.suites[place].ward(|ward| ward.end(Phase::GivenUp)),
            None => self.ended.request(StopReason::Host),
        }
    }

    /// Whether the run sends nothing more to the host.
    pub(super) fn is_stopped(&self) -> bool {
        self.known.stop.requested().is_some() || self.ended.requested().is_some()
    }

    /// Waits until the run sends nothing more to the host.
    pub(super) async fn stopped(&self) {
        tokio::select! {
            _ = self.known.stop.wait() => {}
            _ = self.ended.wait() => {}
        }
    }

    /// Gives up the host if all tried suites (two at least) refuse every event: what answers is then no collector.
    pub(super) fn leave_where_all_refuse(&self) {
        let tried: Vec<bool> = self.suites.iter().filter_map(|suite| suite.refuses_all()).collect();
        if tried.len() >= SUITES_OF_HOST && tried.iter().all(|refuses| *refuses) {
            self.refuses_all.store(true, Ordering::Relaxed);
            self.give_up(None);
        }
    }

    /// Logs each trouble once. Until the end of the run, logs only what stops or delays the sending, and nothing while
    /// a suite is undecided: if the host is at fault, one line is enough for all suites.
    pub(super) fn tell(&self, is_last: bool) {
        let is_open = self.breaker.is_closed() && self.suites.iter().any(SuiteRun::is_undecided);
        if !is_last && is_open && self.ended.requested().is_none() {
            return;
        }
        let is_down = |rsid: Option<&Rsid>| {
            let mut own = self.suites.iter().filter(|suite| rsid.is_none_or(|rsid| suite.rsid() == rsid));
            own.any(|suite| !suite.breaker.is_closed()) || (rsid.is_none() && !self.breaker.is_closed())
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for trouble in self.troubles() {
            let is_due = is_last || trouble.stopped || is_down(trouble.rsid.as_ref());
            if is_due && told.insert(key(&trouble)) {
                self.log(&trouble, is_last);
            }
        }
    }

    fn log(&self, trouble: &Trouble, is_last: bool) {
        let Trouble { host, rsid, kind, cause, advice, .. } = trouble;
        let (rsid, advice) = (rsid.as_ref().map(Rsid::as_str), advice.as_deref());
        let is_refused = *kind == TroubleKind::Refused && trouble.stopped;
        let lines = if is_refused { "report suites were stopped" } else { "troubles of this run" };
        if !self.known.tally.counts().has_line(lines, true) {
            return;
        }
        let of_suite = rsid.map_or_else(String::new, |rsid| format!(" for report suite {rsid}"));
        let plight = kind.plight().to_owned() + &of_suite;
        let refused = match rsid {
            Some(_) => "report suite stopped for this run; its events wait",
            None => {
                "the collection host refuses every event of every suite: this run sends nothing more to it, and its events wait"
            }
        };
        let then = "all the time: this run sends no more of these events, and they wait";
        match trouble.stopped {
            true if is_refused => tracing::error!(rsid, %host, fault = cause, advice, "{refused}"),
            true => tracing::warn!(%host, rsid, cause, advice, "{plight} {then}"),
            false if is_last => tracing::warn!("trouble in this run: {trouble}"),
            false => tracing::warn!(%host, rsid, cause, "{plight}: probing it"),
        }
    }

    /// Records what an outcome says about the host and the suite. Returns whether the host was up before, as far as
    /// anybody knows.
    pub(super) fn meet(&self, suite: usize, outcome: &Outcome) -> bool {
        let (now, was_up) = (time::Instant::now(), self.breaker.is_closed());
        if let Some((kind, cause)) = outcome.trouble() {
            let place = self.place(suite, outcome);
            self.breaker(place).record(now, outcome);
            self.note(place, kind, cause, |met| met.stands = true);
            return was_up;
        }
        for place in [None, Some(suite)] {
            if self.breaker(place).record(now, outcome) {
                let mut met = self.met();
                met.iter_mut().filter(|((at, _), _)| *at == place).for_each(|(_, met)| met.stands = false);
            }
        }
        was_up
    }

    fn note(&self, place: Place, kind: TroubleKind, cause: String, how: impl FnOnce(&mut Met)) {
        let mut met = self.met();
        let met = met.entry((place, kind)).or_default();
        (met.cause, met.attempts) = (cause, met.attempts + 1);
        how(met);
    }

    /// Records the trouble that makes an event wait for the next run.
    pub(super) fn leave_behind(&self, parcel: &Parcel, outcome: &Outcome) {
        match (outcome.trouble(), Refusal::of(outcome)) {
            (Some((kind, _)), _) => {
                let place = self.place(parcel.suite, outcome);
                self.met().entry((place, kind)).and_modify(|met| met.has_left = true);
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

    /// The troubles that last or that left events pending, any throttling, and the suites' faults.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let mut found: BTreeMap<(Place, TroubleKind), Met> = BTreeMap::new();
        let tried: Vec<_> = self.suites.iter().filter(|suite| suite.was_tried()).collect();
        let is_hosts = tried.len() >= SUITES_OF_HOST && tried.iter().all(|suite| suite.is_failing());
        for ((place, kind), met) in &*self.met() {
            if met.stands || met.has_left || *kind == TroubleKind::Throttled {
                let place = place.filter(|_| *kind == TroubleKind::Refused || !is_hosts);
                let same = found.entry((place, *kind)).or_insert_with(|| Met { attempts: 0, ..met.clone() });
                same.attempts += met.attempts;
                same.stopped &= met.stopped;
            }
        }
        let refuses_all = self.refuses_all.load(Ordering::Relaxed);
        for (place, suite) in self.suites.iter().enumerate() {
            let Some((fault, attempts, stopped)) = suite.ward(|ward| ward.trouble()) else { continue };
            let own = found.remove(&(Some(place), TroubleKind::Refused)).unwrap_or_default();
            let met = Met { cause: fault.to_string(), attempts, stopped, ..own };
            // One trouble of the host stands for those of all its suites.
            found.insert((Some(place).filter(|_| !refuses_all), TroubleKind::Refused), met);
        }
        found.into_iter().map(|((place, kind), met)| self.trouble(place, kind, met)).collect()
    }

    fn trouble(&self, place: Place, kind: TroubleKind, met: Met) -> Trouble {
        let Known { earlier, started_at, .. } = &*self.known;
        let rsid = place.map(|place| self.suites[place].rsid());
        // An earlier run may have recorded the same trouble for one suite only, or for the whole host.
        let is_same = |before: &&Trouble| {
            let is_own = before.rsid.as_ref().is_none_or(|own| rsid.is_none_or(|rsid| own == rsid));
            before.host == *self.host.url() && before.kind == kind && is_own
        };
        Trouble {
            host: self.host.url().clone(),
            rsid: rsid.cloned(),
            kind,
            cause: met.cause,
            attempts: met.attempts,
            since: earlier.iter().filter(is_same).map(|before| before.since).min().unwrap_or(*started_at),
            stopped: met.stopped,
            advice: Some(self.advice(rsid, kind, met.stopped)),
            refused: met.refused,
            has_succeeded_since: false,
        }
    }

    /// What to do about a trouble and its pending, dead and held events, with the suite's name in the commands.
    fn advice(&self, rsid: Option<&Rsid>, kind: TroubleKind, stopped: bool) -> String {
        let is_own = |own: &&Rsid| rsid.is_none_or(|rsid| *own == rsid);
        let suites = self.suites.iter().map(SuiteRun::rsid).filter(is_own);
        let (waits, dead, held) = self.known.tally.counts().fates(suites);
        let is_dead = dead > 0 && kind == TroubleKind::Refused;
        let mut advice = kind.advice().replace("RSID", rsid.map_or("RSID", |rsid| rsid.as_str()));
        let requeue = "dead events go once that is mended and they are requeued: passbridge dead-letter list";
        let decide = "held events want a decision: passbridge held list";
        for (_, what) in [(stopped || waits, &*self.known.then), (is_dead, requeue), (held > 0, decide)]
            .iter()
            .filter(|(is_so, _)| *is_so)
        {
            advice.push_str(&format!("; {what}"));
        }
        advice
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<(Place, TroubleKind), Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
