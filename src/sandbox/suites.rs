//! What Analytics would count of one report suite.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::events_variable::{EventUse, Serial, event_uses, serial_text};
use super::incoming::IncomingHit;
use super::makeup::{EventRecording, ExpectedIds, Makeup, SuiteSettings, WrongSetting};
use super::processing::Ledger;
use super::rules::{Finding, Rule};
use crate::event::{EventKind, Instant};

/// What Analytics would show of one event; `event` is its slot, such as `event7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSummary {
    pub event: String,
    /// The event's name in the canonical format.
    pub name: &'static str,
    pub label: &'static str,
    /// Hits that count, so without `duplicates`.
    pub hits: u64,
    /// What these hits add to the event: the value of the metric.
    pub units: u64,
    /// Hits that were not counted, because their event ID was counted before.
    pub duplicates: u64,
}

/// What Analytics would show of one suite.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SuiteSummary {
    pub rsid: String,
    /// Whether Adobe has the suite. If not, its hits are answered and forgotten.
    pub is_known: bool,
    pub settings: SuiteSettings,
    /// Requests that named the suite, accepted or not, and valid rows of files.
    pub received: u64,
    /// Hits that were accepted, including repeats and dropped hits.
    pub accepted: u64,
    /// Accepted hits that were silently dropped because of the timestamp setting.
    pub dropped_by_timestamp: u64,
    /// Hits that were recorded, including repeats.
    pub occurrences: u64,
    /// Recorded hits that are no link hits.
    pub page_views: u64,
    /// Distinct identifiers over all recorded hits.
    pub unique_visitors: u64,
    /// Hits of any event that were not counted, because their event ID was counted before.
    pub duplicates: u64,
    /// Hits that were first delivered after a newer hit of the same visitor.
    pub inversions: u64,
    pub events: Vec<EventSummary>,
}

/// Identifies a hit: the low 32 bits of its timestamp, and of the digest of its content. Of other hits with
/// the same timestamp, one in four thousand million has the same fingerprint.
type Fingerprint = (u32, u32);

#[derive(Debug, Default)]
pub(super) struct Suite {
    pub(super) summary: SuiteSummary,
    /// The wrong settings of the suite as they were set; `makeup` has all settings that result.
    pub(super) wrong: Vec<WrongSetting>,
    pub(super) makeup: Makeup,
    pub(super) ledger: Ledger,
    /// The event IDs that were counted, per event slot, over all visitors.
    seen: HashMap<(u8, Serial), Fingerprint>,
    /// For each visitor, the latest timestamp of a first delivery, or the highest number in eVar6.
    visitors: HashMap<u64, i64>,
    /// The numbers that were delivered in eVar6, if these define the order.
    delivered: HashSet<i64>,
    /// The rules that the present hit breaks.
    broken: Vec<Finding>,
}

impl Suite {
    pub(super) fn new(rsid: &str, is_known: bool) -> Suite {
        let events = EventKind::ALL.into_iter().map(|kind| EventSummary {
            event: format!("event{}", kind.slot()),
            name: kind.name(),
            label: kind.label(),
            hits: 0,
            units: 0,
            duplicates: 0,
        });
        let (rsid, events) = (rsid.to_owned(), events.collect());
        let summary = SuiteSummary { rsid, is_known, events, ..SuiteSummary::default() };
        Suite { summary, ..Suite::default() }
    }

    pub(super) fn set(&mut self, settings: SuiteSettings, wrong: Vec<WrongSetting>) {
        self.makeup = Makeup::of(&settings, &wrong);
        (self.summary.settings, self.wrong) = (settings, wrong);
    }

    /// Forgets what was received; the settings stay.
    pub(super) fn reset(&mut self) {
        let (settings, wrong) = (self.summary.settings, std::mem::take(&mut self.wrong));
        *self = Suite::new(&self.summary.rsid, self.summary.is_known);
        self.set(settings, wrong);
    }

    /// Whether hits are recorded. A virtual suite, and a suite that Adobe does not have, record no hits.
    pub(super) fn collects(&self) -> bool {
        self.summary.is_known && self.makeup.collects()
    }

    /// Takes an accepted hit into the rows of reports.
    pub(super) fn report(&mut self, hit: &IncomingHit<'_>, received_at: Instant) {
        if self.collects() {
            self.ledger.take(hit, received_at, &self.makeup);
        }
    }

    /// Counts an accepted hit, and returns the rules that it breaks together with earlier hits.
    pub(super) fn count(&mut self, hit: &IncomingHit<'_>, orders_by_evar6: bool) -> Vec<Finding> {
        self.summary.accepted += 1;
        if !self.collects() {
            return Vec::new();
        }
        if self.makeup.timestamps.drops(hit.timestamp.is_some()) {
            self.summary.dropped_by_timestamp += 1;
            return Vec::new();
        }
        self.summary.occurrences += 1;
        self.summary.page_views += u64::from(!hit.is_link);
        // A hit is a first delivery if one of its events is new.
        let mut is_first = hit.events.is_empty();
        for event in event_uses(hit.events) {
            is_first |= self.count_event(&event, hit);
        }
        self.follow_visitor(hit, orders_by_evar6, is_first);
        std::mem::take(&mut self.broken)
    }

    fn found(&mut self, rule: Rule, detail: String) {
        self.broken.push(Finding::new(rule, detail));
    }

    /// Counts one event of a hit. Returns false only if the event ID of one of the 18 events was seen before.
    fn count_event(&mut self, event: &EventUse<'_>, hit: &IncomingHit<'_>) -> bool {
        let Some(slot) = event.slot() else { return true };
        let serial = event.serial();
        let SuiteSettings { recording, expected_ids, .. } = self.summary.settings;
        match (expected_ids, serial) {
            (ExpectedIds::Always, None) => {
                self.found(Rule::EventIdPresent, format!("events is {:?}", hit.events))
            }
            (ExpectedIds::Never, Some(_)) => {
                self.found(Rule::EventIdAbsent, format!("events is {:?}", hit.events))
            }
            (ExpectedIds::Always | ExpectedIds::Never | ExpectedIds::Either, _) => {}
        }
        let is_new = serial.is_none_or(|serial| self.is_new(slot, serial, hit));
        let tally = &mut self.summary.events[usize::from(slot - 1)];
        if is_new || recording == EventRecording::AlwaysRecord {
            tally.hits += 1;
            tally.units = tally.units.saturating_add(event.units());
        } else {
            tally.duplicates += 1;
            self.summary.duplicates += 1;
        }
        is_new
    }

    fn is_new(&mut self, slot: u8, serial: Serial, hit: &IncomingHit<'_>) -> bool {
        let fingerprint = (hit.seconds().unwrap_or(-1) as u32, hit.content_hash as u32);
        let Some(first) = self.seen.get(&(slot, serial)) else {
            self.seen.insert((slot, serial), fingerprint);
            return true;
        };
        if *first != fingerprint {
            let is_moved = first.1 == fingerprint.1;
            let rule = if is_moved { Rule::SameTimestamp } else { Rule::SameHit };
            self.found(rule, format!("event{slot}:{} belonged to another hit before", serial_text(&serial)));
        }
        false
    }

    /// Counts the visitor, and notes the broken rule if a newer hit of the visitor was delivered before.
    fn follow_visitor(&mut self, hit: &IncomingHit<'_>, orders_by_evar6: bool, is_first: bool) {
        let last = self.visitors.entry(hit.visitor_hash()).or_insert_with(|| {
            self.summary.unique_visitors += 1;
            i64::MIN
        });
        let order = if orders_by_evar6 {
            let number = hit.evar(6).and_then(|number| number.parse().ok());
            number.filter(|number| self.delivered.insert(*number))
        } else {
            hit.seconds().filter(|_| is_first)
        };
        let Some(order) = order else { return };
        let before = std::mem::replace(last, order.max(*last));
        if order < before {
            self.summary.inversions += 1;
            self.found(Rule::VisitorOrder, format!("{order} comes after {before} of the same visitor"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::incoming::VisitorKind;
    use super::super::makeup::TimestampSetting;
    use super::super::tags::Document;
    use super::*;

    const HIT: IncomingHit<'static> = IncomingHit {
        rsid: "s",
        visitor_kind: VisitorKind::VisitorId,
        visitor: Cow::Borrowed("1"),
        timestamp: Some("100"),
        events: "event5=3:a",
        is_link: true,
        content_hash: 7,
        document: &Document { tags: Vec::new(), findings: Vec::new(), is_malformed: false },
    };

    fn suite(settings: SuiteSettings, hits: &[IncomingHit<'_>]) -> (Suite, Vec<&'static str>) {
        let mut suite = Suite::new("s", true);
        suite.set(settings, Vec::new());
        let mut findings = Vec::new();
        hits.iter().for_each(|hit| findings.extend(suite.count(hit, false)));
        (suite, findings.iter().map(|finding| finding.rule.as_str()).collect())
    }

    fn hits_units_and_duplicates(suite: &Suite, slot: usize) -> [u64; 3] {
        let event = &suite.summary.events[slot - 1];
        [event.hits, event.units, event.duplicates]
    }

    #[test]
    fn an_event_id_counts_once_per_event_over_all_visitors() {
        let other_visitor = IncomingHit { visitor: Cow::Borrowed("2"), ..HIT };
        let other_event = IncomingHit { events: "event6:a", ..HIT };
        let (suite, _) = suite(SuiteSettings::default(), &[HIT, HIT, other_visitor, other_event]);
        assert_eq!(hits_units_and_duplicates(&suite, 5), [1, 3, 2]);
        assert_eq!(hits_units_and_duplicates(&suite, 6), [1, 1, 0]);
        assert_eq!((suite.summary.occurrences, suite.summary.unique_visitors), (4, 2));
    }

    #[test]
    fn without_an_id_or_with_always_record_every_hit_counts() {
        let bare = IncomingHit { events: "event5", ..HIT };
        let always = SuiteSettings { recording: EventRecording::AlwaysRecord, ..SuiteSettings::default() };
        assert_eq!(suite(SuiteSettings::default(), &[bare.clone(), bare]).0.summary.events[4].units, 2);
        assert_eq!(hits_units_and_duplicates(&suite(always, &[HIT, HIT]).0, 5), [2, 6, 0]);
    }

    #[test]
    fn the_timestamp_setting_drops_without_a_word() {
        let bare = IncomingHit { timestamp: None, ..HIT };
        for (timestamps, dropped) in [
            (TimestampSetting::Optional, 0),
            (TimestampSetting::Required, 1),
            (TimestampSetting::NotAllowed, 2),
        ] {
            let settings = SuiteSettings { timestamps, ..SuiteSettings::default() };
            let (suite, _) = suite(settings, &[HIT, HIT, bare.clone()]);
            assert_eq!(
                (suite.summary.accepted, suite.summary.dropped_by_timestamp),
                (3, dropped),
                "{timestamps:?}"
            );
            assert_eq!(suite.summary.occurrences, 3 - dropped);
        }
    }

    #[test]
    fn only_first_deliveries_can_be_out_of_order() {
        let later = IncomingHit { timestamp: Some("200"), events: "event5:b", ..HIT };
        let equal = IncomingHit { events: "event5:c", ..later.clone() };
        let earlier = IncomingHit { timestamp: Some("50"), events: "event5:d", ..HIT };
        let other_visitor =
            IncomingHit { visitor: Cow::Borrowed("2"), events: "event5:e", ..earlier.clone() };
        let (suite, codes) =
            suite(SuiteSettings::default(), &[HIT, later, equal, HIT, other_visitor, earlier]);
        assert_eq!((suite.summary.inversions, codes), (1, vec!["DIA-33"]));
    }

    #[test]
    fn a_repeat_that_is_another_hit_is_found() {
        let moved = IncomingHit { timestamp: Some("101"), ..HIT };
        let changed = IncomingHit { content_hash: 8, ..HIT };
        assert_eq!(suite(SuiteSettings::default(), &[HIT, HIT, moved, changed]).1, ["DIA-32", "DIA-41"]);
    }

    #[test]
    fn expected_ids_are_judged() {
        let bare = IncomingHit { events: "event5", ..HIT };
        let expect = |expected_ids| SuiteSettings { expected_ids, ..SuiteSettings::default() };
        assert_eq!(suite(expect(ExpectedIds::Always), &[HIT, bare.clone()]).1, ["DIA-42"]);
        assert_eq!(suite(expect(ExpectedIds::Never), &[HIT, bare]).1, ["DIA-43"]);
    }
}
