//! What Analytics would count of one report suite.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::events_variable::{SLOTS, Serial, event_uses, serial_text};
use super::rules::{Finding, Rule};
use crate::event::EventKind;

/// What a suite does with timestamps (Adobe Analytics guide, "Timestamps optional").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampSetting {
    /// Hits with and without are recorded.
    #[default]
    Optional,
    /// Hits without are dropped, though they are answered with SUCCESS.
    Required,
    /// Hits with are dropped, though they are answered with SUCCESS.
    NotAllowed,
}

impl TimestampSetting {
    /// The word that it is set by.
    pub(super) fn word(self) -> &'static str {
        match self {
            TimestampSetting::Optional => "optional",
            TimestampSetting::Required => "required",
            TimestampSetting::NotAllowed => "not_allowed",
        }
    }

    /// What the admin pages call it.
    pub(super) fn label(self) -> &'static str {
        match self {
            TimestampSetting::Optional => "Optional",
            TimestampSetting::Required => "Required",
            TimestampSetting::NotAllowed => "Not Allowed",
        }
    }
}

/// What a suite does with event IDs (Adobe Analytics guide, "Event serialization").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventRecording {
    /// Each ID counts once per event.
    #[default]
    UseEventId,
    /// IDs are ignored, every hit counts.
    AlwaysRecord,
}

/// Whether the client is expected to send event IDs to a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedIds {
    #[default]
    Either,
    /// A hit without is a violation.
    Always,
    /// A hit with one is a violation.
    Never,
}

/// The settings of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuiteSettings {
    /// Timestamps optional, required or not allowed. Default optional.
    pub timestamps: TimestampSetting,
    /// Unique event recording, of all events alike. Default by event ID.
    pub recording: EventRecording,
    /// What is expected of the client. Default either.
    pub expected_ids: ExpectedIds,
}

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

/// What one suite has received and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) dropped_by_timestamp: u64,
    pub(super) occurrences: u64,
    pub(super) page_views: u64,
    pub(super) inversions: u64,
    pub(super) events: [EventTally; SLOTS],
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

/// Enough of a hit to see that a repeat is the same hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    /// The low half of each digest: a repeat that differs goes unseen once in four thousand million.
    timestamp: u32,
    content: u32,
}

impl Fingerprint {
    fn of(hit: &Counted<'_>) -> Fingerprint {
        Fingerprint { timestamp: hit.timestamp.unwrap_or(-1) as u32, content: hit.content_hash as u32 }
    }
}

/// One suite: its settings, and everything it remembers.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) rsid: Box<str>,
    pub(super) settings: SuiteSettings,
    /// A timestamp setting that is wrong on purpose, and holds instead.
    pub(super) wrong_timestamps: Option<TimestampSetting>,
    /// Whether Adobe has it; hits of other suites are answered and forgotten.
    pub(super) is_known: bool,
    /// Whether it collects hits: no virtual suite does, nor one that is missing on purpose.
    pub(super) collects: bool,
    pub(super) tally: Tally,
    /// The event IDs that were counted, per event slot, over all visitors.
    seen: HashMap<(u8, Serial), Fingerprint>,
    /// Every visitor, with the order of the last first delivery.
    visitors: HashMap<u64, i64>,
    /// With [`OrderBy::Evar6`]: the numbers that were delivered.
    delivered: HashSet<i64>,
}

impl Suite {
    pub(super) fn new(rsid: &str, settings: SuiteSettings, is_known: bool) -> Suite {
        Suite {
            rsid: rsid.into(),
            settings,
            wrong_timestamps: None,
            is_known,
            collects: true,
            tally: Tally::default(),
            seen: HashMap::new(),
            visitors: HashMap::new(),
            delivered: HashSet::new(),
        }
    }

    /// How many visitors were counted.
    pub(super) fn unique_visitors(&self) -> u64 {
        self.visitors.len() as u64
    }

    /// Forgets what was received; the settings stay.
    pub(super) fn reset(&mut self) {
        let Suite { wrong_timestamps, collects, .. } = *self;
        *self = Suite { wrong_timestamps, collects, ..Suite::new(&self.rsid, self.settings, self.is_known) };
    }

    /// Counts an accepted hit, and says which rules it breaks together with those before it.
    pub(super) fn count(&mut self, hit: &Counted<'_>, order_by: OrderBy, findings: &mut Vec<Finding>) {
        self.tally.accepted += 1;
        if !self.is_known || !self.collects {
            return;
        }
        let is_dropped = match self.wrong_timestamps.unwrap_or(self.settings.timestamps) {
            TimestampSetting::Optional => false,
            TimestampSetting::Required => !hit.is_timestamped,
            TimestampSetting::NotAllowed => hit.is_timestamped,
        };
        if is_dropped {
            self.tally.dropped_by_timestamp += 1;
            return;
        }
        self.tally.occurrences += 1;
        self.tally.page_views += u64::from(!hit.is_link);
        let is_first = self.count_events(hit, findings);
        self.follow_visitor(hit, order_by, is_first, findings);
    }

    /// Whether any of its events is delivered for the first time.
    fn count_events(&mut self, hit: &Counted<'_>, findings: &mut Vec<Finding>) -> bool {
        let mut is_first = hit.events.is_empty();
        for event in event_uses(hit.events) {
            let Some(slot) = event.slot() else {
                is_first = true;
                continue;
            };
            let serial = event.serial();
            match (self.settings.expected_ids, serial) {
                (ExpectedIds::Always, None) => {
                    findings.push(Finding::new(Rule::EventIdPresent, format!("events is {:?}", hit.events)));
                }
                (ExpectedIds::Never, Some(_)) => {
                    findings.push(Finding::new(Rule::EventIdAbsent, format!("events is {:?}", hit.events)));
                }
                _ => {}
            }
            let is_new = serial.is_none_or(|serial| self.is_new(slot, serial, hit, findings));
            is_first |= is_new;
            let tally = &mut self.tally.events[usize::from(slot - 1)];
            if is_new || self.settings.recording == EventRecording::AlwaysRecord {
                tally.hits += 1;
                tally.units = tally.units.saturating_add(event.units());
            } else {
                tally.duplicates += 1;
            }
        }
        is_first
    }

    fn is_new(&mut self, slot: u8, serial: Serial, hit: &Counted<'_>, findings: &mut Vec<Finding>) -> bool {
        let fingerprint = Fingerprint::of(hit);
        match self.seen.entry((slot, serial)) {
            Entry::Vacant(entry) => {
                entry.insert(fingerprint);
                true
            }
            Entry::Occupied(entry) => {
                let first = *entry.get();
                if first != fingerprint {
                    let is_moved = first.content == fingerprint.content;
                    let rule = if is_moved { Rule::SameTimestamp } else { Rule::SameHit };
                    let detail = format!("event{slot}:{} was another hit before", serial_text(&serial));
                    findings.push(Finding::new(rule, detail));
                }
                false
            }
        }
    }

    /// Counts the visitor, and sees whether a first delivery is older than the one before it.
    fn follow_visitor(
        &mut self,
        hit: &Counted<'_>,
        order_by: OrderBy,
        is_first: bool,
        findings: &mut Vec<Finding>,
    ) {
        let last = self.visitors.entry(hit.visitor_hash).or_insert(i64::MIN);
        let order = match order_by {
            OrderBy::Timestamp => hit.timestamp.filter(|_| is_first),
            OrderBy::Evar6 => hit
                .evar6
                .and_then(|number| number.parse().ok())
                .filter(|number| self.delivered.insert(*number)),
        };
        let Some(order) = order else { return };
        if order < *last {
            self.tally.inversions += 1;
            let detail = format!("{order} comes after {last} of the same visitor");
            findings.push(Finding::new(Rule::VisitorOrder, detail));
        }
        *last = order.max(*last);
    }

    /// What it has counted, for people and programs.
    pub(super) fn summary(&self) -> SuiteSummary {
        let events = EventKind::ALL.into_iter().zip(self.tally.events);
        SuiteSummary {
            rsid: self.rsid.to_string(),
            is_known: self.is_known,
            settings: self.settings,
            received: self.tally.received,
            accepted: self.tally.accepted,
            dropped_by_timestamp: self.tally.dropped_by_timestamp,
            occurrences: self.tally.occurrences,
            page_views: self.tally.page_views,
            unique_visitors: self.unique_visitors(),
            duplicates: self.tally.events.iter().map(|tally| tally.duplicates).sum(),
            inversions: self.tally.inversions,
            events: events
                .map(|(kind, tally)| EventSummary {
                    event: format!("event{}", kind.slot()),
                    name: kind.name(),
                    label: kind.label(),
                    tally,
                })
                .collect(),
        }
    }
}

/// What Analytics would show of one suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

#[cfg(test)]
mod tests {
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
        assert_eq!(suite.tally.events[4], EventTally { hits: 1, units: 3, duplicates: 2 });
        assert_eq!(suite.tally.events[5], EventTally { hits: 1, units: 1, duplicates: 0 });
        assert_eq!((suite.tally.occurrences, suite.unique_visitors()), (4, 2));
    }

    #[test]
    fn without_an_id_or_with_always_record_every_hit_counts() {
        let bare = Counted { events: "event5", ..HIT };
        let always = SuiteSettings { recording: EventRecording::AlwaysRecord, ..SuiteSettings::default() };
        assert_eq!(suite(SuiteSettings::default(), &[bare, bare]).0.tally.events[4].units, 2);
        assert_eq!(
            suite(always, &[HIT, HIT]).0.tally.events[4],
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
                (suite.tally.accepted, suite.tally.dropped_by_timestamp),
                (3, dropped),
                "{timestamps:?}"
            );
            assert_eq!(suite.tally.occurrences, 3 - dropped);
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
        assert_eq!((suite.tally.inversions, codes), (1, vec!["DIA-33"]));
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
