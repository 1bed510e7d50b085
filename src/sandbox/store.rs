//! What the sandbox remembers: hits, suites, violations, connections.
//!
//! One lock holds it all. The server has one thread, so nobody waits for the lock but a test that asks a question.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use super::document::TagKind;
use super::events_variable::{Serial, event_uses, serial_text};
use super::faults::{FaultDice, FaultPlan};
use super::incoming::{IncomingHit, VisitorKind, timestamp_seconds};
use super::rules::{Finding, Rule, Violation, Violations};
use super::suites::{Counted, OrderBy, Suite, SuiteSettings, SuiteSummary, TimestampSetting};
use crate::event::Instant;

/// How much is kept of each accepted hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeepHits {
    #[default]
    Full,
    /// Suite, visitor (its digest only), event, timestamp and eVar6: some 100 bytes a hit.
    Digest,
    /// Nothing: hits are counted and forgotten.
    None,
}

/// What becomes of hits for suites that were not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UnknownSuites {
    /// They are counted: every suite exists.
    #[default]
    Counted,
    /// They are answered with SUCCESS and forgotten, as Adobe does: it looks at tags only.
    Forgotten,
}

/// A hit that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedHit {
    /// Its number in the order of acceptance, from 1.
    pub receipt: u64,
    /// When it was accepted.
    pub received_at: Instant,
    pub rsid: String,
    /// The kind of its identifier; `None` where only digests are kept.
    pub visitor_kind: Option<VisitorKind>,
    /// The identifier; empty where only digests are kept.
    pub visitor: String,
    /// A digest of whom it counts for.
    pub visitor_hash: u64,
    /// Unix seconds; `None` where it carries none that can be read.
    pub timestamp: Option<i64>,
    /// The first event's slot, where it is one of the eighteen.
    pub slot: Option<u8>,
    /// By how much it raises that event.
    pub count: u64,
    pub serial: Option<String>,
    /// Number and text of its eVars; only eVar6 where only digests are kept.
    pub evars: BTreeMap<u16, String>,
    /// The number of its connection since start, from 0.
    pub connection: u32,
    /// Whether the fault plan lets its reply out whole.
    pub is_answered: bool,
}

/// A hit that was accepted, with what only reports ask of it.
#[derive(Debug)]
pub(super) struct FullHit {
    pub(super) hit: AcceptedHit,
    pub(super) is_timestamped: bool,
    /// All of its events, as they were sent.
    pub(super) events: Box<str>,
    pub(super) agent: Box<str>,
    pub(super) address: Box<str>,
}

#[derive(Debug)]
struct HitDigest {
    received_at: Instant,
    visitor_hash: u64,
    timestamp: i64,
    count: u64,
    evar6: Option<Box<str>>,
    suite: u32,
    connection: u32,
    serial: Serial,
    slot: u8,
    is_answered: bool,
}

#[derive(Debug)]
enum Kept {
    Full(Vec<FullHit>),
    Digest(Vec<HitDigest>),
    None,
}

impl Kept {
    fn new(keep: KeepHits) -> Kept {
        match keep {
            KeepHits::Full => Kept::Full(Vec::new()),
            KeepHits::Digest => Kept::Digest(Vec::new()),
            KeepHits::None => Kept::None,
        }
    }
}

/// How an accepted hit came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) received_at: Instant,
    pub(super) connection: u32,
    pub(super) is_answered: bool,
    /// A digest of all but the timestamp; 0 where requests are not judged.
    pub(super) content_hash: u64,
}

#[derive(Debug)]
pub(super) struct Store {
    keep: KeepHits,
    pub(super) order_by: OrderBy,
    unknown: UnknownSuites,
    /// In the order in which they were first named.
    suites: Vec<Suite>,
    suite_numbers: HashMap<Box<str>, u32>,
    kept: Kept,
    accepted: u64,
    requests: u64,
    /// How many requests each connection has carried, by its number.
    requests_per_connection: Vec<u32>,
    violations: Violations,
    pub(super) dice: FaultDice,
    /// The hits under way, by suite and visitor: a second one of the same visitor breaks DIA-33.
    in_flight: HashMap<u64, (u64, u32)>,
    /// How many callers wait for an acceptance.
    pub(super) waiting: u32,
}

impl Store {
    pub(super) fn new(keep: KeepHits, order_by: OrderBy, unknown: UnknownSuites, plan: FaultPlan) -> Store {
        Store {
            keep,
            order_by,
            unknown,
            suites: Vec::new(),
            suite_numbers: HashMap::new(),
            kept: Kept::new(keep),
            accepted: 0,
            requests: 0,
            requests_per_connection: Vec::new(),
            violations: Violations::default(),
            dice: FaultDice::new(plan),
            in_flight: HashMap::new(),
            waiting: 0,
        }
    }

    /// Lists a suite, or sets one anew; what it has counted stays.
    pub(super) fn set_suite(&mut self, rsid: &str, settings: SuiteSettings) {
        let number = self.suite_number(rsid);
        let suite = &mut self.suites[number as usize];
        suite.settings = settings;
        suite.is_known = true;
    }

    /// Has a suite drop hits by another timestamp setting than its own, or collect none at all.
    pub(super) fn spoil_suite(&mut self, rsid: &str, timestamps: Option<TimestampSetting>, collects: bool) {
        let number = self.suite_number(rsid);
        let suite = &mut self.suites[number as usize];
        (suite.wrong_timestamps, suite.collects) = (timestamps, collects);
    }

    /// Whether Adobe has a suite.
    pub(super) fn knows_suite(&self, rsid: &str) -> bool {
        self.suite(rsid).map_or(self.takes_any_suite(), |suite| suite.is_known)
    }

    pub(super) fn takes_any_suite(&self) -> bool {
        self.unknown == UnknownSuites::Counted
    }

    /// The suites that Adobe has, as far as they were named.
    pub(super) fn known_suites(&self) -> impl Iterator<Item = &str> {
        self.suites.iter().filter(|suite| suite.is_known).map(|suite| &*suite.rsid)
    }

    /// The settings of a suite that was named, and whether it collects hits.
    pub(super) fn suite_settings(&self, rsid: &str) -> Option<(SuiteSettings, bool)> {
        self.suite(rsid).map(|suite| (suite.settings, suite.is_known && suite.collects))
    }

    /// Every accepted hit, in the order of acceptance; `None` where they are not kept in full.
    pub(super) fn full_hits(&self) -> Option<&[FullHit]> {
        match &self.kept {
            Kept::Full(hits) => Some(hits),
            Kept::Digest(_) | Kept::None => None,
        }
    }

    /// The number of a suite, which is met for the first time perhaps.
    fn suite_number(&mut self, rsid: &str) -> u32 {
        if let Some(number) = self.suite_numbers.get(rsid) {
            return *number;
        }
        let number = self.suites.len() as u32;
        let is_known = self.unknown == UnknownSuites::Counted;
        self.suites.push(Suite::new(rsid, SuiteSettings::default(), is_known));
        self.suite_numbers.insert(rsid.into(), number);
        number
    }

    /// Counts a connection, and gives its number.
    pub(super) fn connected(&mut self) -> u32 {
        self.requests_per_connection.push(0);
        self.requests_per_connection.len() as u32 - 1
    }

    /// Counts a request, and gives how many its connection has carried.
    pub(super) fn requested(&mut self, connection: u32) -> u32 {
        self.requests += 1;
        let carried = &mut self.requests_per_connection[connection as usize];
        *carried += 1;
        *carried
    }

    /// Counts a request for each suite that it names.
    pub(super) fn received(&mut self, rsid: &str) {
        for rsid in suites_of(rsid) {
            let number = self.suite_number(rsid);
            self.suites[number as usize].tally.received += 1;
        }
    }

    /// Accepts a hit: counts it for each suite that it names, and keeps what is to be kept.
    pub(super) fn accept(&mut self, hit: &IncomingHit<'_>, arrival: Arrival) -> Vec<Finding> {
        let counted = Counted {
            visitor_hash: hit.visitor_hash(),
            is_timestamped: hit.timestamp.is_some(),
            timestamp: hit.timestamp.and_then(timestamp_seconds),
            events: hit.events,
            is_link: hit.is_link,
            evar6: hit.evar(6),
            content_hash: arrival.content_hash,
        };
        let mut findings = Vec::new();
        let mut first_suite = None;
        for rsid in suites_of(hit.rsid) {
            let number = self.suite_number(rsid);
            first_suite.get_or_insert(number);
            self.suites[number as usize].count(&counted, self.order_by, &mut findings);
        }
        self.accepted += 1;
        self.keep(hit, &counted, first_suite.unwrap_or_default(), arrival);
        findings
    }

    fn keep(&mut self, hit: &IncomingHit<'_>, counted: &Counted<'_>, suite: u32, arrival: Arrival) {
        if matches!(self.kept, Kept::None) {
            return;
        }
        let event = event_uses(hit.events).next();
        let slot = event.and_then(|event| event.slot());
        let count = event.map_or(0, |event| event.units());
        let serial = event.and_then(|event| event.serial());
        let Arrival { received_at, connection, is_answered, content_hash: _ } = arrival;
        match &mut self.kept {
            Kept::Full(hits) => hits.push(FullHit {
                hit: AcceptedHit {
                    receipt: self.accepted,
                    received_at,
                    rsid: hit.rsid.to_owned(),
                    visitor_kind: Some(hit.visitor_kind),
                    visitor: hit.visitor.clone().into_owned(),
                    visitor_hash: counted.visitor_hash,
                    timestamp: counted.timestamp,
                    slot,
                    count,
                    serial: serial.as_ref().map(serial_text),
                    evars: hit.document.evars().map(|(number, value)| (number, value.to_owned())).collect(),
                    connection,
                    is_answered,
                },
                is_timestamped: counted.is_timestamped,
                events: hit.events.into(),
                agent: hit.document.value(TagKind::UserAgent).unwrap_or("").into(),
                address: hit.document.value(TagKind::IpAddress).unwrap_or("").into(),
            }),
            Kept::Digest(hits) => hits.push(HitDigest {
                received_at,
                visitor_hash: counted.visitor_hash,
                timestamp: counted.timestamp.unwrap_or(i64::MIN),
                count,
                evar6: counted.evar6.map(Box::from),
                suite,
                connection,
                serial: serial.unwrap_or_default(),
                slot: slot.unwrap_or_default(),
                is_answered,
            }),
            Kept::None => {}
        }
    }

    /// Notes that a hit is under way; gives what is wrong with that, and the key that [`Store::landed`] takes.
    pub(super) fn flies(&mut self, hit: &IncomingHit<'_>, content: u64) -> (u64, Option<Finding>) {
        let key = in_flight_key(hit);
        let (flying, count) = self.in_flight.entry(key).or_insert((content, 0));
        let is_overtaking = *count > 0 && *flying != content;
        *count += 1;
        *flying = content;
        let finding = is_overtaking
            .then(|| Finding::new(Rule::VisitorOrder, "it overlaps with another hit of the same visitor"));
        (key, finding)
    }

    /// Notes that a hit has its answer, or will never have one.
    pub(super) fn landed(&mut self, key: u64) {
        if let Some((_, count)) = self.in_flight.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.in_flight.remove(&key);
            }
        }
    }

    /// Records broken rules of the latest request.
    pub(super) fn violate(&mut self, findings: Vec<Finding>, rsid: &str, connection: u32) {
        self.violate_in(self.requests, findings, rsid, connection);
    }

    /// Records broken rules of an earlier request, by its number.
    pub(super) fn violate_in(&mut self, request: u64, findings: Vec<Finding>, rsid: &str, connection: u32) {
        for Finding { rule, detail } in findings {
            self.violations.add(Violation { rule, detail, rsid: rsid.to_owned(), request, connection });
        }
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// The number of the latest request.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn requests_per_connection(&self) -> &[u32] {
        &self.requests_per_connection
    }

    pub(super) fn violations(&self) -> &[Violation] {
        self.violations.kept()
    }

    pub(super) fn suite(&self, rsid: &str) -> Option<&Suite> {
        self.suite_numbers.get(rsid).map(|number| &self.suites[*number as usize])
    }

    pub(super) fn inversions(&self) -> u64 {
        self.suites.iter().map(|suite| suite.tally.inversions).sum()
    }

    /// Forgets hits, counts and violations, and begins the draws anew; settings and plan stay.
    pub(super) fn reset(&mut self) {
        self.suites.iter_mut().for_each(Suite::reset);
        self.kept = Kept::new(self.keep);
        self.accepted = 0;
        self.requests = 0;
        self.requests_per_connection.fill(0);
        self.violations = Violations::default();
        self.dice = FaultDice::new(self.dice.plan().clone());
    }

    /// The kept hits of one suite, or of all, in the order of acceptance.
    pub(super) fn hits(&self, rsid: Option<&str>, offset: usize, limit: usize) -> Vec<AcceptedHit> {
        let is_wanted = |hit: &str| rsid.is_none_or(|rsid| rsid == hit);
        match &self.kept {
            Kept::Full(hits) => {
                let hits = hits.iter().map(|full| &full.hit).filter(|hit| is_wanted(&hit.rsid));
                hits.skip(offset).take(limit).cloned().collect()
            }
            Kept::Digest(hits) => hits
                .iter()
                .zip(1..)
                .filter(|(hit, _)| is_wanted(&self.suites[hit.suite as usize].rsid))
                .skip(offset)
                .take(limit)
                .map(|(hit, receipt)| self.restore(hit, receipt))
                .collect(),
            Kept::None => Vec::new(),
        }
    }

    fn restore(&self, hit: &HitDigest, receipt: u64) -> AcceptedHit {
        let serial = serial_text(&hit.serial);
        AcceptedHit {
            receipt,
            received_at: hit.received_at,
            rsid: self.suites[hit.suite as usize].rsid.to_string(),
            visitor_kind: None,
            visitor: String::new(),
            visitor_hash: hit.visitor_hash,
            timestamp: Some(hit.timestamp).filter(|timestamp| *timestamp != i64::MIN),
            slot: Some(hit.slot).filter(|slot| *slot > 0),
            count: hit.count,
            serial: Some(serial).filter(|serial| !serial.is_empty()),
            evars: hit.evar6.iter().map(|value| (6, value.to_string())).collect(),
            connection: hit.connection,
            is_answered: hit.is_answered,
        }
    }

    /// What Analytics would show, and what the wire looked like.
    pub(super) fn summary(&self) -> Summary {
        Summary {
            requests: self.requests,
            accepted: self.accepted,
            inversions: self.inversions(),
            connections: self.requests_per_connection.len() as u64,
            requests_per_connection_max: self.requests_per_connection.iter().copied().max().unwrap_or(0),
            violations: self.violations.counts().iter().map(|(rule, count)| (rule.code(), *count)).collect(),
            faults: self.dice.struck().map(|(fault, struck)| FaultSummary { fault, struck }).collect(),
            suites: self.suites.iter().map(Suite::summary).collect(),
        }
    }
}

/// The suites that a hit names: one, or several with commas between.
fn suites_of(rsid: &str) -> impl Iterator<Item = &str> {
    rsid.split(',').filter(|rsid| !rsid.is_empty())
}

fn in_flight_key(hit: &IncomingHit<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (hit.rsid, hit.visitor_kind, hit.visitor.as_ref()).hash(&mut hasher);
    hasher.finish()
}

/// What the sandbox has received, and what Analytics would count of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Requests to the Data Insertion API and to its bulk sibling, since start or reset.
    pub requests: u64,
    /// Hits accepted, over all suites.
    pub accepted: u64,
    /// First deliveries that were older than the one before of the same visitor.
    pub inversions: u64,
    /// Connections since start, those of this interface too.
    pub connections: u64,
    /// The most requests that one connection has carried, since start or reset.
    pub requests_per_connection_max: u32,
    /// How often each rule was broken.
    pub violations: BTreeMap<&'static str, u64>,
    /// How often each fault of the plan struck.
    pub faults: Vec<FaultSummary>,
    /// In the order in which they were first named.
    pub suites: Vec<SuiteSummary>,
}

/// How often a fault struck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultSummary {
    pub fault: String,
    /// Requests, or connections, since the plan was set.
    pub struck: u64,
}
