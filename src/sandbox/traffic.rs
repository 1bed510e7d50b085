//! What the bulk API remembers of groups, keys, files and visitors, and the rules that need this memory.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use super::rules::{Finding, Rule};
use super::settings::{BulkFault, BulkSettings};
use crate::event::Instant as Receipt;

/// A time between calls may be one twentieth too short, because clocks and sockets are not exact.
const TOLERANCE_PART: u32 = 20;
/// The least tolerance, for short times: a busy host needs this long to hand over a request.
const TOLERANCE_MIN: Duration = Duration::from_millis(2);
const RATE_TOLERANCE_PERCENT: u64 = 5;

/// A file that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BulkFile {
    /// The idempotency key; the file ID if none was sent.
    pub key: String,
    pub group: String,
    pub rows: u64,
    pub invalid_rows: u64,
    pub received_at: Receipt,
    #[serde(skip)]
    pub(super) file_id: String,
    #[serde(skip)]
    pub(super) size_bytes: usize,
    /// When the file was received, by a monotonic clock.
    #[serde(skip)]
    pub(super) at: Instant,
}

#[derive(Debug)]
struct Key {
    content: u64,
    is_received: bool,
    /// What a look-up said after the file was last sent: whether it was received; `None` without a look-up.
    told: Option<bool>,
}

#[derive(Debug, Default)]
struct Group {
    started_at: Option<Instant>,
    in_flight: u32,
    /// The key of the upload whose answer was lost; empty if that upload had no key.
    lost: Option<String>,
}

#[derive(Debug)]
pub(super) struct Admission {
    /// The number of the upload among all that were admitted, from 1.
    pub(super) upload: u64,
    pub(super) fault: Option<BulkFault>,
    /// How long ago the previous upload of the same group started.
    pub(super) since_previous: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Gate {
    Open(Admission),
    /// The upload came too soon, or a fault strikes it. The client should wait this many seconds.
    Busy(u32),
    TooLarge,
}

/// The parts of a row that are needed to check the order of its visitor's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) visitor: u64,
    pub(super) timestamp: i64,
    pub(super) upload: u64,
    /// A digest of the name of the file's group.
    pub(super) group: u64,
    /// Whether the file was sent before. Then newer rows of the visitor may have come since.
    pub(super) is_repeat: bool,
}

#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) settings: BulkSettings,
    rng: Rng,
    uploads: u64,
    called_at: Option<Instant>,
    groups: HashMap<String, Group>,
    keys: HashMap<String, Key>,
    /// The key under which each content came first.
    contents: HashMap<u64, String>,
    pub(super) received: Vec<BulkFile>,
    /// The newest row of each visitor.
    visitors: HashMap<u64, Step>,
    /// The formats that were validated, each known by its client ID and the beginning of its group's name.
    pub(super) validated: HashSet<(String, String)>,
}

impl Traffic {
    pub(super) fn new(settings: BulkSettings) -> Traffic {
        Traffic { rng: Rng::with_seed(settings.seed), settings, ..Traffic::default() }
    }

    pub(super) fn set(&mut self, settings: BulkSettings) {
        self.rng = Rng::with_seed(settings.seed);
        self.settings = settings;
    }

    /// Forgets what was received and restarts the random numbers; the settings stay.
    pub(super) fn reset(&mut self) {
        *self = Traffic::new(self.settings.clone());
    }

    /// Admits an upload or refuses it, and returns the rules that it breaks. `now` is when the request's head came.
    pub(super) fn admit(&mut self, group: &str, key: &str, now: Instant) -> (Gate, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut find = |rule, detail: String| findings.push(Finding::new(rule, detail));
        if key.is_empty() {
            find(Rule::BulkKey, "no x-adobe-idempotency-key".to_owned());
        }
        let group = self.groups.entry(group.to_owned()).or_default();
        if let Some(lost) = group.lost.take() {
            find(Rule::LookUpFirst, format!("the answer to {lost:?} was lost, but nobody looked it up"));
        }
        let spacing = Duration::from_millis(self.settings.call_spacing_ms);
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        if let Some(since) = since(self.called_at).filter(|since| falls_short(*since, spacing)) {
            find(Rule::CallSpacing, format!("only {} ms after the previous upload", since.as_millis()));
            return (Gate::Busy(retry_after_seconds(spacing, since)), findings);
        }
        let fault = self.settings.fault(self.rng.f64() * 100.0);
        let dice = self.rng.u32(..);
        // An upload that is refused here does not count as a call: the client may soon send it again.
        match fault {
            Some(BulkFault::Busy) => return (Gate::Busy(dice % 3), findings),
            Some(BulkFault::TooLarge) => return (Gate::TooLarge, findings),
            _ => {}
        }
        self.called_at = Some(now);
        let since_previous = since(group.started_at);
        let spacing = Duration::from_millis(self.settings.group_spacing_ms);
        if group.in_flight > 0 {
            find(Rule::GroupSpacing, "another upload of its group is under way".to_owned());
        } else if let Some(since) = since_previous.filter(|since| falls_short(*since, spacing)) {
            find(
                Rule::GroupSpacing,
                format!("{} ms after its group's previous upload started", since.as_millis()),
            );
        }
        group.started_at = Some(now);
        group.in_flight += 1;
        self.uploads += 1;
        (Gate::Open(Admission { upload: self.uploads, fault, since_previous }), findings)
    }

    /// Notes that an upload has its answer, or that its answer is lost.
    pub(super) fn ended(&mut self, group: &str, key: &str, is_answered: bool) {
        if let Some(group) = self.groups.get_mut(group) {
            group.in_flight = group.in_flight.saturating_sub(1);
            if !is_answered {
                group.lost = Some(key.to_owned());
            }
        }
    }

    /// Notes the content that comes under a key. Returns whether this content was received before, and broken rules.
    pub(super) fn identify(&mut self, key: &str, content: u64) -> (bool, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut find = |rule, detail: String| findings.push(Finding::new(rule, detail));
        let first_key = self.contents.entry(content).or_insert_with(|| key.to_owned());
        let is_renamed = first_key != key;
        if is_renamed {
            find(Rule::BulkKey, format!("the same bytes came under {first_key:?} before"));
        }
        let is_received_otherwise = is_renamed && self.keys.get(first_key).is_some_and(|key| key.is_received);
        if key.is_empty() {
            return (is_received_otherwise, findings);
        }
        let fresh = Key { content, is_received: false, told: None };
        let known = self.keys.entry(key.to_owned()).or_insert(fresh);
        let mut is_repeat = is_received_otherwise;
        if known.content != content {
            find(Rule::BulkKey, format!("{key:?} came with other bytes before"));
        } else if known.is_received {
            is_repeat = true;
            match known.told {
                Some(true) => find(Rule::SentOnce, format!("{key:?} was looked up, and had been received")),
                None => find(Rule::SentOnce, format!("{key:?} was received before")),
                // A look-up told the client that the file was not received, so it was right to send the file again.
                Some(false) => {}
            }
        }
        known.told = None;
        (is_repeat, findings)
    }

    /// The rules that a file breaks as a whole: a wrong group name, or too many rows for the time since the last one.
    pub(super) fn judge_file<'s>(
        &self,
        group: &str,
        since_previous: Option<Duration>,
        rows: u64,
        mut suites: impl Iterator<Item = &'s str>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(since) = since_previous {
            let allowed = self.settings.group_rows_per_second as f64 * since.as_secs_f64();
            if rows as f64 > allowed * (100 + RATE_TOLERANCE_PERCENT) as f64 / 100.0 {
                let detail =
                    format!("{rows} rows {} ms after its group's previous upload started", since.as_millis());
                findings.push(Finding::new(Rule::GroupRate, detail));
            }
        }
        let text = group.to_ascii_lowercase();
        let has = |name: &str| !name.is_empty() && text.contains(&name.to_ascii_lowercase());
        if !has(&self.settings.company) && !suites.any(has) {
            findings.push(Finding::new(Rule::GroupName, format!("the group is {group:?}")));
        }
        findings
    }

    /// Notes one row of a visitor; an error is the rule that the row breaks. Returns true if the suite may
    /// have a newer hit of the visitor already: the file is a repeat, or an earlier row of the file is newer.
    pub(super) fn follow(&mut self, step: Step) -> Result<bool, (Rule, String)> {
        let Step { visitor, timestamp, upload, group, is_repeat } = step;
        let Some(track) = self.visitors.get_mut(&visitor) else {
            self.visitors.insert(visitor, step);
            return Ok(is_repeat);
        };
        let (last, is_older) = (track.timestamp, timestamp < track.timestamp);
        let is_same_file = track.upload == upload;
        track.timestamp = timestamp.max(last);
        track.upload = upload;
        if track.group != group {
            return Err((Rule::OneGroup, "a visitor came in another group before".to_owned()));
        }
        if is_older && !is_same_file && !is_repeat {
            return Err((Rule::BulkFileOrder, format!("{timestamp} comes after {last} of its visitor")));
        }
        Ok(is_repeat || is_older)
    }

    pub(super) fn receive(&mut self, file: BulkFile) {
        if let Some(key) = self.keys.get_mut(&file.key) {
            key.is_received = true;
        }
        self.received.push(file);
    }

    /// Looks a key up, and remembers what the client is told.
    pub(super) fn look_up(&mut self, key: &str) -> Option<BulkFile> {
        self.groups
            .values_mut()
            .filter(|group| group.lost.as_deref() == Some(key))
            .for_each(|group| group.lost = None);
        let blind = Duration::from_millis(self.settings.lookup_blind_ms);
        let is_seen = |file: &&BulkFile| file.key == key && file.at.elapsed() >= blind;
        let found = self.received.iter().find(is_seen).cloned();
        if let Some(known) = self.keys.get_mut(key) {
            known.told = Some(found.is_some());
        }
        found
    }

    /// Notes that a client's file was found valid; true if its format was validated before. An invalid file is not
    /// noted, because the client may repair it and validate it again.
    pub(super) fn validates_again(&mut self, client_id: &str, group: &str) -> bool {
        let prefix =
            group.trim_end_matches(|sign: char| sign.is_ascii_digit()).trim_end_matches(['_', '-', '.']);
        !self.validated.insert((client_id.to_owned(), prefix.to_owned()))
    }
}

/// Whether the time between two calls is too short, even with the tolerance.
fn falls_short(distance: Duration, demanded: Duration) -> bool {
    distance + (demanded / TOLERANCE_PART).max(TOLERANCE_MIN) < demanded
}

/// How long a client that came too soon should wait, in whole seconds; 0 if the spacing is less than a second.
fn retry_after_seconds(spacing: Duration, since: Duration) -> u32 {
    if spacing < Duration::from_secs(1) { 0 } else { (spacing - since).as_secs_f64().ceil() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.rule.as_str()).collect()
    }

    /// Admits an upload `ms` milliseconds after `start`, ends it with an answer, and returns the broken rules.
    fn upload(state: &mut Traffic, start: Instant, ms: u64, (group, key): (&str, &str)) -> Vec<&'static str> {
        let (gate, findings) = state.admit(group, key, start + Duration::from_millis(ms));
        if matches!(gate, Gate::Open(_)) {
            state.ended(group, key, true);
        }
        codes(&findings)
    }

    #[test]
    fn calls_and_starts_keep_their_distances_within_a_tolerance() {
        let mut state = Traffic::new(BulkSettings::default());
        let start = Instant::now();
        let (one, two) = (("s_1", "a"), ("s_2", "b"));
        assert_eq!(upload(&mut state, start, 0, one), [""; 0]);
        assert_eq!(upload(&mut state, start, 940, two), ["BDIA-19"]);
        // The refused upload does not count: only the distance to the last admitted upload has to be right.
        assert_eq!(upload(&mut state, start, 950, two), [""; 0]);
        assert_eq!(upload(&mut state, start, 18_900, one), ["BDIA-20"]);
        assert_eq!(upload(&mut state, start, 19_951, two), [""; 0]);
        assert_eq!(upload(&mut state, start, 37_901, one), [""; 0]);
    }

    #[test]
    fn one_upload_of_a_group_is_under_way_at_a_time() {
        let mut state = Traffic::new(BulkSettings { group_spacing_ms: 0, ..BulkSettings::default() });
        let start = Instant::now();
        let one = ("s_1", "a");
        assert_eq!(codes(&state.admit("s_1", "a", start).1), [""; 0]);
        assert_eq!(upload(&mut state, start, 1000, one), ["BDIA-20"]);
        assert_eq!(upload(&mut state, start, 2000, ("s_2", "b")), [""; 0]);
        state.ended("s_1", "a", true);
        assert_eq!(upload(&mut state, start, 3000, one), [""; 0]);
    }

    #[test]
    fn a_lost_answer_is_looked_up_before_anything_else_of_its_group() {
        let mut state = Traffic::new(BulkSettings { group_spacing_ms: 0, ..BulkSettings::default() });
        let start = Instant::now();
        for (ms, is_looked_up, expected) in [(0, false, &["BDIA-30"][..]), (10_000, true, &[])] {
            let at = start + Duration::from_millis(ms);
            assert_eq!(codes(&state.admit("s_1", "a", at).1), [""; 0]);
            state.ended("s_1", "a", false);
            if is_looked_up {
                assert_eq!(state.look_up("a"), None);
            }
            assert_eq!(upload(&mut state, start, ms + 1000, ("s_2", "b")), [""; 0], "another group");
            assert_eq!(upload(&mut state, start, ms + 2000, ("s_1", "c")), expected);
        }
    }

    #[test]
    fn a_key_belongs_to_one_content_and_is_sent_until_it_is_received() {
        let mut state = Traffic::new(BulkSettings { lookup_blind_ms: 3_600_000, ..BulkSettings::default() });
        let file = |key: &str| BulkFile {
            key: key.to_owned(),
            group: "s_1".to_owned(),
            rows: 1,
            invalid_rows: 0,
            received_at: Receipt::from_nanos(0),
            file_id: "1".to_owned(),
            size_bytes: 1,
            at: Instant::now(),
        };
        let identified = |state: &mut Traffic, key: &str, content| {
            let (is_repeat, findings) = state.identify(key, content);
            (is_repeat, codes(&findings))
        };
        assert_eq!(identified(&mut state, "a", 1), (false, vec![]));
        assert_eq!(identified(&mut state, "a", 1), (false, vec![]), "it was not received");
        state.receive(file("a"));
        assert_eq!(identified(&mut state, "a", 1), (true, vec!["BDIA-31"]));
        assert_eq!(state.look_up("a"), None, "too soon");
        assert_eq!(identified(&mut state, "a", 1), (true, vec![]), "it was told so");
        state.settings.lookup_blind_ms = 0;
        assert!(state.look_up("a").is_some());
        assert_eq!(identified(&mut state, "a", 1), (true, vec!["BDIA-31"]));
        assert_eq!(identified(&mut state, "a", 2), (false, vec!["BDIA-18"]));
        assert_eq!(identified(&mut state, "b", 1), (true, vec!["BDIA-18"]));
    }

    #[test]
    fn rates_are_judged_by_the_start_before_and_names_by_suite_or_company() {
        let mut state = Traffic::new(BulkSettings::default());
        let judged = |state: &Traffic, group: &str, rows, since: Option<u64>| {
            let since_previous = since.map(Duration::from_millis);
            codes(&state.judge_file(group, since_previous, rows, ["examplersid"].into_iter()))
        };
        assert_eq!(judged(&state, "pb_ExampleRsid_1", 1_000_000, None), [""; 0]);
        assert_eq!(judged(&state, "examplersid_1", 42_000, Some(20_000)), [""; 0]);
        assert_eq!(judged(&state, "examplersid_1", 42_001, Some(20_000)), ["BDIA-21"]);
        assert_eq!(judged(&state, "refmedia_1", 1, None), ["BDIA-24"]);
        state.settings.company = "Refmedia".to_owned();
        assert_eq!(judged(&state, "refmedia_1", 1, None), [""; 0]);
    }

    #[test]
    fn a_visitor_stays_in_its_group_and_goes_up_in_time() {
        let mut state = Traffic::new(BulkSettings::default());
        let step = Step { visitor: 1, timestamp: 10, upload: 1, group: 0, is_repeat: false };
        let mut follow = |step| state.follow(step).map_err(|(rule, _)| rule.as_str());
        assert_eq!(follow(step), Ok(false));
        assert_eq!(follow(Step { timestamp: 9, ..step }), Ok(true), "judged within its file");
        assert_eq!(follow(Step { upload: 2, ..step }), Ok(false));
        assert_eq!(follow(Step { upload: 3, timestamp: 9, ..step }), Err("BDIA-09"));
        assert_eq!(follow(Step { upload: 4, timestamp: 9, is_repeat: true, ..step }), Ok(true));
        assert_eq!(follow(Step { upload: 5, group: 1, timestamp: 11, ..step }), Err("BDIA-22"));
    }

    #[test]
    fn one_validation_of_a_format_is_enough() {
        let mut state = Traffic::new(BulkSettings::default());
        assert!(!state.validates_again("one", "examplersid_1"));
        assert!(!state.validates_again("one", "other_1"));
        assert!(!state.validates_again("two", "examplersid_1"));
        assert!(state.validates_again("one", "examplersid_2"));
    }
}
