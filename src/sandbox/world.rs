//! All that the sandbox remembers, under one lock: suites, hits, files, tokens, faults, and the settings of each API.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::credentials::{Quota, Tokens};
use super::faults::{FaultPlan, FaultSummary};
use super::hits::{AcceptedHit, Arrival, KeptHit};
use super::incoming::{IncomingHit, digest};
use super::makeup::{SuiteSettings, WrongSetting};
use super::rules::{Finding, Rule, Violation, Violations};
use super::settings::{AnalyticsSettings, EsmSettings};
use super::suites::{Suite, SuiteSummary};
use super::traffic::Traffic;
use crate::clock::Clock;

/// How long the server's thread may take to open or close its listening socket, which is called the door.
const DOOR_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of the listening socket: whether the server accepts connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Door {
    Open,
    /// The port refuses connections, because no socket listens.
    #[default]
    Refusing,
    Closed,
}

/// What the server's thread and the handle share: the world under its lock, and the door.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    /// Notified of every accepted hit and of every change of the door.
    changed: Condvar,
    /// The state that the door must take. The fault plan sets it, and so does shutting the sandbox down.
    pub(super) door: watch::Sender<Door>,
    pub(super) is_strict: bool,
    pub(super) clock: Clock,
}

impl Shared {
    pub(super) fn new(world: World, plan: FaultPlan, is_strict: bool, clock: Clock) -> Shared {
        let door = watch::Sender::new(Door::Open);
        let shared = Shared { world: Mutex::new(world), changed: Condvar::new(), door, is_strict, clock };
        shared.set_plan(plan);
        shared
    }

    /// The world. A lock that a panic has poisoned is still used, because the panic has been reported already.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for a hit to be accepted.
    pub(super) fn tell(&self) {
        self.changed.notify_all();
    }

    /// Waits until `is_so` is true; returns false if the timeout came first.
    pub(super) fn wait(&self, timeout: Duration, is_so: impl Fn(&World) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.world(), timeout, |world| !is_so(world));
        is_so(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Replaces the fault plan and restarts its random numbers. The server's thread then changes the door.
    pub(super) fn set_plan(&self, mut plan: FaultPlan) {
        let door = if plan.refuses_everything() { Door::Refusing } else { Door::Open };
        plan.begin();
        self.world().faults = plan;
        let is_new = |current: &Door| *current != door && *current != Door::Closed;
        self.door.send_if_modified(|current| is_new(current).then(|| *current = door).is_some());
    }

    /// Waits until the door is in the demanded state, or until `DOOR_TIMEOUT` is over.
    pub(super) fn wait_for_door(&self) {
        let wanted = *self.door.borrow();
        self.wait(DOOR_TIMEOUT, |world| world.door == wanted);
    }

    /// The server's thread calls this to note the new state of the door.
    pub(super) fn door_is(&self, door: Door) {
        self.world().door = door;
        self.changed.notify_all();
    }
}

/// The request that broke a rule: its number, and the number of its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) request: u64,
    pub(super) connection: u32,
}

#[derive(Debug, Default)]
pub(super) struct EsmState {
    pub(super) settings: EsmSettings,
    pub(super) clients: u32,
    pub(super) tokens: Tokens,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) keeps_digests_only: bool,
    pub(super) orders_by_evar6: bool,
    pub(super) forgets_unknown_suites: bool,
    /// The suites, in the order in which they were first named.
    pub(super) suites: Vec<Suite>,
    hits: Vec<KeptHit>,
    requests: u64,
    /// How many requests each connection has carried, by its number.
    pub(super) requests_per_connection: Vec<u32>,
    pub(super) violations: Violations,
    pub(super) faults: FaultPlan,
    /// The hits that wait for an answer. The key is a digest of suite and visitor; the value is the digest of
    /// the latest hit's content, and how many hits wait. If another hit of the visitor comes meanwhile, with
    /// other content, it breaks rule DIA-33.
    in_flight: HashMap<u64, (u64, u32)>,
    /// The state of the door, as the server's thread last noted it.
    door: Door,
    pub(super) tokens: Tokens,
    pub(super) bulk: Traffic,
    pub(super) esm: EsmState,
    pub(super) analytics: AnalyticsSettings,
    pub(super) quota: Quota,
}

impl World {
    pub(super) fn suite(&self, rsid: &str) -> Option<&Suite> {
        self.suites.iter().find(|suite| suite.summary.rsid == rsid)
    }

    /// A suite, which is added if it is new.
    fn suite_mut(&mut self, rsid: &str) -> &mut Suite {
        let known = self.suites.iter().position(|suite| suite.summary.rsid == rsid);
        let place = known.unwrap_or_else(|| {
            self.suites.push(Suite::new(rsid, !self.forgets_unknown_suites));
            self.suites.len() - 1
        });
        &mut self.suites[place]
    }

    pub(super) fn set_suite(&mut self, rsid: &str, settings: SuiteSettings) {
        let suite = self.suite_mut(rsid);
        suite.summary.is_known = true;
        suite.set(settings, suite.wrong.clone());
    }

    pub(super) fn set_wrong(&mut self, rsid: &str, wrong: Vec<WrongSetting>) {
        let suite = self.suite_mut(rsid);
        suite.set(suite.summary.settings, wrong);
    }

    pub(super) fn connected(&mut self) -> u32 {
        self.requests_per_connection.push(0);
        self.requests_per_connection.len() as u32 - 1
    }

    /// Counts a request, and returns its number.
    pub(super) fn requested(&mut self, connection: u32) -> Origin {
        self.requests += 1;
        self.requests_per_connection[connection as usize] += 1;
        Origin { request: self.requests, connection }
    }

    /// Counts a request, or a row of a file, for each suite that it names.
    pub(super) fn received(&mut self, rsid: &str) {
        for rsid in suites_of(rsid) {
            self.suite_mut(rsid).summary.received += 1;
        }
    }

    /// Counts a hit for each of its suites, and keeps it. Returns the rules that it breaks because of earlier hits.
    pub(super) fn accept(&mut self, hit: &IncomingHit<'_>, arrival: Arrival) -> Vec<Finding> {
        let (mut findings, orders_by_evar6) = (Vec::new(), self.orders_by_evar6);
        for rsid in suites_of(hit.rsid) {
            let is_reported = !self.keeps_digests_only;
            let suite = self.suite_mut(rsid);
            findings.extend(suite.count(hit, orders_by_evar6));
            if is_reported {
                suite.report(hit, arrival.received_at);
            }
        }
        self.hits.push(KeptHit::new(hit, self.accepted() + 1, arrival, self.keeps_digests_only));
        findings
    }

    /// Notes that a hit waits for its answer. Returns the key for [`World::landed`], and the broken rule, if any.
    pub(super) fn flies(&mut self, hit: &IncomingHit<'_>) -> (u64, Option<Finding>) {
        let key = digest((hit.rsid, hit.visitor_kind, hit.visitor.as_ref()));
        let (flying, count) = self.in_flight.entry(key).or_default();
        let is_overtaking = *count > 0 && *flying != hit.content_hash;
        (*flying, *count) = (hit.content_hash, *count + 1);
        let overlap = || Finding::new(Rule::VisitorOrder, "it overlaps with another hit of the same visitor");
        (key, is_overtaking.then(overlap))
    }

    /// Notes that a hit has its answer, or will never have one.
    pub(super) fn landed(&mut self, key: u64) {
        if let Some((_, count)) = self.in_flight.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&key);
            }
        }
    }

    pub(super) fn violate(&mut self, origin: Origin, rsid: &str, findings: Vec<Finding>) {
        let Origin { request, connection } = origin;
        for Finding { rule, detail } in findings {
            self.violations.add(Violation { rule, detail, rsid: rsid.to_owned(), request, connection });
        }
    }

    pub(super) fn accepted(&self) -> u64 {
        self.hits.len() as u64
    }

    pub(super) fn reset(&mut self) {
        self.suites.iter_mut().for_each(Suite::reset);
        self.hits.clear();
        self.requests = 0;
        self.requests_per_connection.fill(0);
        self.violations = Violations::default();
        self.faults.begin();
        self.bulk.reset();
        self.quota = Quota::default();
    }

    /// The kept hits of one suite, or of all, in the order of acceptance.
    pub(super) fn hits(&self, rsid: Option<&str>, offset: usize, limit: usize) -> Vec<AcceptedHit> {
        let hits = self.hits.iter().filter(|hit| rsid.is_none_or(|rsid| hit.shown.rsid == rsid));
        hits.skip(offset).take(limit).map(KeptHit::accepted).collect()
    }

    pub(super) fn summary(&self) -> Summary {
        let violations = self.violations.counts.iter();
        Summary {
            requests: self.requests,
            accepted: self.accepted(),
            inversions: self.suites.iter().map(|suite| suite.summary.inversions).sum(),
            connections: self.requests_per_connection.len() as u64,
            requests_per_connection_max: self.requests_per_connection.iter().copied().max().unwrap_or(0),
            violations: violations.map(|(rule, count)| (rule.as_str(), *count)).collect(),
            faults: self.faults.summary(),
            suites: self.suites.iter().map(|suite| suite.summary.clone()).collect(),
        }
    }
}

/// The suites that a hit names: one, or several with commas between.
fn suites_of(rsid: &str) -> impl Iterator<Item = &str> {
    rsid.split(',').filter(|rsid| !rsid.is_empty())
}

/// What the sandbox has received, and what Analytics would count of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Requests to the Data Insertion API and to the Bulk Data Insertion API, since start or reset.
    pub requests: u64,
    /// Accepted hits of all suites, including repeats.
    pub accepted: u64,
    /// Hits that were first delivered after a newer hit of the same visitor.
    pub inversions: u64,
    /// Connections since start, including those to the sandbox's own interface.
    pub connections: u64,
    /// The most requests that one connection has carried, since start or reset.
    pub requests_per_connection_max: u32,
    pub violations: BTreeMap<&'static str, u64>,
    pub faults: Vec<FaultSummary>,
    /// The suites, in the order in which they were first named.
    pub suites: Vec<SuiteSummary>,
}
