//! What Analytics would count of one report suite.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::events_variable::{EventUse, Serial, event_uses, serial_text};
use super::ledger::Ledger;
use super::makeup::{EventRecording, Makeup, WrongSetting};
use super::rules::{Finding, Rule};
use super::settings::{ExpectedIds, SuiteSettings};
use crate::event::EventKind;

/// By what the order of a visitor's hits is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OrderBy {
    /// Their timestamps; equal ones are in order.
    #[default]
    Timestamp,
    /// The number that a test has put into their eVar6, which also tells first deliveries from repeats.
    Evar6,
}

/// What was counted for one event slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct EventTally {
    pub hits: u64,
    /// By how much they raised the event: what the metric shows.
    pub units: u64,
    /// Hits that were not counted, as their event ID had been.
    pub duplicates: u64,
}

/// What Analytics would show of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSummary {
    /// `event1` to `event18`.
    pub event: String,
    /// The event's name in the canonical format.
    pub name: &'static str,
    /// Adobe's label.
    pub label: &'static str,
    #[serde(flatten)]
    pub tally: EventTally,
}

/// What Analytics would show of one suite.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SuiteSummary {
    pub rsid: String,
    /// Whether Adobe has it; else its hits are answered and forgotten.
    pub is_known: bool,
    pub settings: SuiteSettings,
    /// Requests that named it, whatever became of them, and valid rows of files.
    pub received: u64,
    /// Hits that were accepted, repeats and dropped ones too.
    pub accepted: u64,
    /// Accepted hits that the timestamp setting dropped without a word.
    pub dropped_by_timestamp: u64,
    /// Hits that were recorded, repeats too.
    pub occurrences: u64,
    /// Recorded hits that are no link hits.
    pub page_views: u64,
    /// Distinct identifiers over all recorded hits.
    pub unique_visitors: u64,
    /// Hits whose event was not counted, as its ID had been; over all events.
    pub duplicates: u64,
    /// First deliveries that were older than the one before of the same visitor.
    pub inversions: u64,
    /// The eighteen events, in order.
    pub events: Vec<EventSummary>,
}

/// A hit as far as counting goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    pub(super) visitor_hash: u64,
    /// Whether it carries a timestamp at all.
    pub(super) is_timestamped: bool,
    pub(super) timestamp: Option<i64>,
    pub(super) events: &'a str,
    pub(super) is_link: bool,
    pub(super) evar6: Option<&'a str>,
    /// A digest of all but the timestamp; 0 where nobody asks.
    pub(super) content_hash: u64,
}

/// Enough of a hit to see that a repeat is the same hit: the low half of its timestamp and of the digest of its content. A repeat
/// that differs goes unseen once in four thousand million.
type Fingerprint = (u32, u32);

/// One suite: its settings, and everything it remembers.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) rsid: Arc<str>,
    pub(super) summary: SuiteSummary,
    /// What is wrong with it, as it was told, and how that has it set.
    pub(super) wrong: Vec<WrongSetting>,
    pub(super) makeup: Makeup,
    /// What reports are made of.
    pub(super) ledger: Ledger,
    /// The event IDs that were counted, per event slot, over all visitors.
    seen: HashMap<(u8, Serial), Fingerprint>,
    /// Every visitor, with the order of the last first delivery.
    visitors: HashMap<u64, i64>,
    /// With [`OrderBy::Evar6`]: the numbers that were delivered.
    delivered: HashSet<i64>,
}

impl Suite {
    pub(super) fn new(rsid: &str, settings: SuiteSettings, is_known: bool) -> Suite {
        let events = EventKind::ALL.into_iter().map(|kind| EventSummary {
            event: format!("event{}", kind.slot()),
            name: kind.name(),
            label: kind.label(),
            tally: EventTally::default(),
        });
        let (rsid_text, events) = (rsid.to_owned(), events.collect());
        Suite {
            rsid: rsid.into(),
            summary: SuiteSummary { rsid: rsid_text, is_known, settings, events, ..SuiteSummary::default() },
            wrong: Vec::new(),
            makeup: Makeup::of(&[]),
            ledger: Ledger::default(),
            seen: HashMap::new(),
            visitors: HashMap::new(),
            delivered: HashSet::new(),
        }
    }

    pub(super) fn set_wrong(&mut self, wrong: Vec<WrongSetting>) {
        self.makeup = Makeup::of(&wrong);
        self.wrong = wrong;
    }

    /// Forgets what was received; the settings stay.
    pub(super) fn reset(&mut self) {
        let wrong = std::mem::take(&mut self.wrong);
        *self = Suite::new(&self.rsid, self.summary.settings, self.summary.is_known);
        self.set_wrong(wrong);
    }

    /// Whether hits are recorded: by no virtual suite, nor by one that Adobe does not have.
    pub(super) fn collects(&self) -> bool {
        self.summary.is_known && self.makeup.collects()
    }

    /// Counts an accepted hit, and says which rules it breaks together with those before it.
    pub(super) fn count(&mut self, hit: &Counted<'_>, order_by: OrderBy, findings: &mut Vec<Finding>) {
        self.summary.accepted += 1;
        if !self.collects() {
            return;
        }
        if self.makeup.timestamps.unwrap_or(self.summary.settings.timestamps).drops(hit.is_timestamped) {
            self.summary.dropped_by_timestamp += 1;
            return;
        }
        self.summary.occurrences += 1;
        self.summary.page_views += u64::from(!hit.is_link);
        // A hit is delivered for the first time where any of its events is.
        let mut is_first = hit.events.is_empty();
        for event in event_uses(hit.events) {
            is_first |= self.count_event(&event, hit, findings);
        }
        self.follow_visitor(hit, order_by, is_first, findings);
    }

    /// Counts one event of a hit; says whether it is delivered for the first time.
    fn count_event(&mut self, event: &EventUse<'_>, hit: &Counted<'_>, findings: &mut Vec<Finding>) -> bool {
        let Some(slot) = event.slot() else { return true };
        let serial = event.serial();
        let SuiteSettings { recording, expected_ids, .. } = self.summary.settings;
        let broken = match (expected_ids, serial) {
            (ExpectedIds::Always, None) => Some(Rule::EventIdPresent),
            (ExpectedIds::Never, Some(_)) => Some(Rule::EventIdAbsent),
            (ExpectedIds::Always | ExpectedIds::Never | ExpectedIds::Either, _) => None,
        };
        findings.extend(broken.map(|rule| Finding::new(rule, format!("events is {:?}", hit.events))));
        let is_new = serial.is_none_or(|serial| self.is_new(slot, serial, hit, findings));
        let tally = &mut self.summary.events[usize::from(slot - 1)].tally;
        if is_new || recording == EventRecording::AlwaysRecord {
            tally.hits += 1;
            tally.units = tally.units.saturating_add(event.units());
        } else {
            tally.duplicates += 1;
            self.summary.duplicates += 1;
        }
        is_new
    }

    fn is_new(&mut self, slot: u8, serial: Serial, hit: &Counted<'_>, findings: &mut Vec<Finding>) -> bool {
        let fingerprint = (hit.timestamp.unwrap_or(-1) as u32, hit.content_hash as u32);
        let Some(first) = self.seen.get(&(slot, serial)) else {
            self.seen.insert((slot, serial), fingerprint);
            return true;
        };
        if *first != fingerprint {
            let is_moved = first.1 == fingerprint.1;
            let rule = if is_moved { Rule::SameTimestamp } else { Rule::SameHit };
            let detail = format!("event{slot}:{} was another hit before", serial_text(&serial));
            findings.push(Finding::new(rule, detail));
        }
        false
    }

    /// Counts the visitor, and sees whether a first delivery is older than the one before it.
    fn follow_visitor(
        &mut self,
        hit: &Counted<'_>,
        order_by: OrderBy,
        is_first: bool,
        findings: &mut Vec<Finding>,
    ) {
        let last = self.visitors.entry(hit.visitor_hash).or_insert_with(|| {
            self.summary.unique_visitors += 1;
            i64::MIN
        });
        let order = match order_by {
            OrderBy::Timestamp => hit.timestamp.filter(|_| is_first),
            OrderBy::Evar6 => hit
                .evar6
                .and_then(|number| number.parse().ok())
                .filter(|number| self.delivered.insert(*number)),
        };
        let Some(order) = order else { return };
        if order < *last {
            self.summary.inversions += 1;
            let detail = format!("{order} comes after {last} of the same visitor");
            findings.push(Finding::new(Rule::VisitorOrder, detail));
        }
        *last = order.max(*last);
    }
}

#[cfg(test)]
mod tests {
    use super::super::makeup::TimestampSetting;
    use super::*;

    const HIT: Counted<'static> = Counted {
        visitor_hash: 1,
        is_timestamped: true,
        timestamp: Some(100),
        events: "event5=3:a",
        is_link: true,
        evar6: None,
        content_hash: 7,
    };

    fn suite(settings: SuiteSettings, hits: &[Counted<'_>]) -> (Suite, Vec<&'static str>) {
        let mut suite = Suite::new("s", settings, true);
        let mut findings = Vec::new();
        hits.iter().for_each(|hit| suite.count(hit, OrderBy::Timestamp, &mut findings));
        (suite, findings.iter().map(|finding| finding.rule.code()).collect())
    }

    #[test]
    fn an_event_id_counts_once_per_event_over_all_visitors() {
        let other_visitor = Counted { visitor_hash: 2, ..HIT };
        let other_event = Counted { events: "event6:a", ..HIT };
        let (suite, _) = suite(SuiteSettings::default(), &[HIT, HIT, other_visitor, other_event]);
        assert_eq!(suite.summary.events[4].tally, EventTally { hits: 1, units: 3, duplicates: 2 });
        assert_eq!(suite.summary.events[5].tally, EventTally { hits: 1, units: 1, duplicates: 0 });
        assert_eq!((suite.summary.occurrences, suite.summary.unique_visitors), (4, 2));
    }

    #[test]
    fn without_an_id_or_with_always_record_every_hit_counts() {
        let bare = Counted { events: "event5", ..HIT };
        let always = SuiteSettings { recording: EventRecording::AlwaysRecord, ..SuiteSettings::default() };
        assert_eq!(suite(SuiteSettings::default(), &[bare, bare]).0.summary.events[4].tally.units, 2);
        assert_eq!(
            suite(always, &[HIT, HIT]).0.summary.events[4].tally,
            EventTally { hits: 2, units: 6, duplicates: 0 }
        );
    }

    #[test]
    fn the_timestamp_setting_drops_without_a_word() {
        let bare = Counted { is_timestamped: false, timestamp: None, ..HIT };
        for (timestamps, dropped) in [
            (TimestampSetting::Optional, 0),
            (TimestampSetting::Required, 1),
            (TimestampSetting::NotAllowed, 2),
        ] {
            let settings = SuiteSettings { timestamps, ..SuiteSettings::default() };
            let (suite, _) = suite(settings, &[HIT, HIT, bare]);
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
        let later = Counted { timestamp: Some(200), events: "event5:b", ..HIT };
        let equal = Counted { events: "event5:c", ..later };
        let earlier = Counted { timestamp: Some(50), events: "event5:d", ..HIT };
        let other_visitor = Counted { visitor_hash: 2, events: "event5:e", ..earlier };
        let (suite, codes) =
            suite(SuiteSettings::default(), &[HIT, later, equal, HIT, other_visitor, earlier]);
        assert_eq!((suite.summary.inversions, codes), (1, vec!["DIA-33"]));
    }

    #[test]
    fn a_repeat_that_is_another_hit_is_found() {
        let moved = Counted { timestamp: Some(101), ..HIT };
        let changed = Counted { content_hash: 8, ..HIT };
        assert_eq!(suite(SuiteSettings::default(), &[HIT, HIT, moved, changed]).1, ["DIA-32", "DIA-41"]);
    }

    #[test]
    fn expected_ids_are_judged() {
        let bare = Counted { events: "event5", ..HIT };
        let expect = |expected_ids| SuiteSettings { expected_ids, ..SuiteSettings::default() };
        assert_eq!(suite(expect(ExpectedIds::Always), &[HIT, bare]).1, ["DIA-42"]);
        assert_eq!(suite(expect(ExpectedIds::Never), &[HIT, bare]).1, ["DIA-43"]);
    }
}
