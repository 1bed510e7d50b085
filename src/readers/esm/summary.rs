use std::collections::BTreeMap;

use crate::event::{Instant, RequestorId};
use crate::harmless::{clip, few};

/// The most names of metrics that are kept, because a hostile report may have any number of them.
const METRICS_NAMED_MAX: usize = 100;
/// The most names of metrics in a message: more than ESM documents.
const METRICS_TOLD_MAX: usize = 25;

/// How many unique accounts ESM saw for a requestor in a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedAccounts {
    pub requestor_id: RequestorId,
    pub from: Instant,
    pub to: Instant,
    /// The MVPD; empty if the record has none.
    pub mvpd: String,
    /// The dimensions except `requestor-id`: a line `name=value` for each. For `mvpd`, the line has only the name.
    pub dimensions: String,
    pub accounts: u64,
}

impl StatedAccounts {
    /// The names of the dimensions of the report.
    pub fn grouping(&self) -> impl Iterator<Item = &str> {
        self.dimensions.lines().map(|line| line.split_once('=').map_or(line, |(name, _)| name))
    }

    pub fn has_mvpd(&self) -> bool {
        self.grouping().any(|name| name == "mvpd")
    }
}

/// What a report contained in addition to the counts that became events.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct EsmSummary {
    #[serde(skip)]
    pub records: u64,
    /// Records with a number, also 0, for a metric that becomes events, plus records with a number of unique accounts.
    #[serde(skip)]
    pub used: u64,
    /// What became no events, and in how many records: other metrics, those without a number, those by day or month.
    pub skipped_metrics: BTreeMap<String, u64>,
    /// Counts that ESM corrected downwards. The events that were made before stay counted.
    pub decreases: u64,
    /// The sum of these corrections.
    pub decreased_units: u64,
    /// The first record with such a correction.
    pub first_decrease: Option<u64>,
    /// How many MVPDs of requestors a later report lacks in an hour that was counted before, or has without some of the
    /// records that were counted. They stay counted.
    pub vanished: u64,
    /// The first of these MVPDs, as text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_vanished: Option<String>,
    /// Records that differ from others of the report in the spelling of a name alone. Each is counted.
    pub alike: u64,
    /// The first of these records, as text for people.
    #[serde(skip)]
    pub first_alike: Option<(u64, String)>,
    /// The first value that may sum up others, as text for people. Its records are counted.
    #[serde(skip)]
    pub likely_sum: Option<(u64, String)>,
    /// Records that repeat others of the report. Each is counted once.
    pub repeated: u64,
    /// Records whose unique accounts are stored as ESM stated them.
    pub stated_accounts: u64,
    /// The limit of rows, if the report has reached it. The report may then lack rows.
    pub truncated_at: Option<u64>,
    /// Whether the report names a next page, which is not a part of it.
    pub has_next: bool,
}

impl EsmSummary {
    /// Says why nothing of the report was used: no record has a number that is counted. `None` if a record has one.
    pub fn unused(&self) -> Option<String> {
        let (records, names) = (self.records, super::fields::METRICS.map(|(name, _)| name).join(", "));
        let why = "nothing of it was used: none of its";
        (records > 0 && self.used == 0)
            .then(|| format!("{why} {records} records has a number for one of the metrics {names}"))
    }

    /// The notes to report, each with the first record that it is about.
    pub fn notes(&self) -> Vec<(Option<u64>, String)> {
        let metrics = few(self.skipped_metrics.keys(), METRICS_TOLD_MAX).join(", ");
        let EsmSummary { decreases, decreased_units, repeated, .. } = self;
        let skipped = format!("no event stands for {metrics}; these were passed over");
        let lower = format!(
            "{decreases} counts are lower than when they were read before, by {decreased_units} units together; what was counted stays"
        );
        let vanished = format!(
            "{} MVPDs of hours that were counted before are no longer in the report, or not with all their records, first {}; what was counted stays, and under another name or \
             spelling it is counted again: take this input back then (pending take-back). Is it of some MVPDs only, or a part?",
            self.vanished,
            self.first_vanished.as_deref().unwrap_or_default()
        );
        let (first_alike, alike) = self.first_alike.clone().unzip();
        let alike = format!(
            "{} records differ from others of the same hour in nothing but capitals, white space, accents or the form of letters, first {}; each is counted: \
             if they are the same records, take this input back (pending take-back), and take one of the two out",
            self.alike,
            alike.unwrap_or_default()
        );
        let (first_sum, sum) = self.likely_sum.clone().unzip();
        let sum = format!(
            "{}; each is counted: if it sums up others, take this input back (pending take-back), and take its records out",
            sum.unwrap_or_default()
        );
        let next = "the report names a next page (its link next), which is not in it: get that page too";
        let again = format!("{repeated} records repeat others of the report: each is counted once");
        let all = [
            (!metrics.is_empty(), None, skipped),
            (*decreases > 0, self.first_decrease, lower),
            (self.vanished > 0, None, vanished),
            (self.alike > 0, first_alike, alike),
            (self.likely_sum.is_some(), first_sum, sum),
            (*repeated > 0, None, again),
            (self.has_next, None, next.to_owned()),
        ];
        all.into_iter().filter(|(is_so, ..)| *is_so).map(|(_, record, what)| (record, what)).collect()
    }

    pub(super) fn skipped(&mut self, metric: &str) {
        let metric = clip(metric);
        if self.skipped_metrics.contains_key(&metric) || self.skipped_metrics.len() < METRICS_NAMED_MAX {
            *self.skipped_metrics.entry(metric).or_default() += 1;
        }
    }

    pub(super) fn decreased(&mut self, record: u64, units: u64) {
        self.decreases += 1;
        self.decreased_units = self.decreased_units.saturating_add(units);
        self.first_decrease.get_or_insert(record);
    }

    pub(super) fn vanished(&mut self, what: String) {
        self.vanished += 1;
        self.first_vanished.get_or_insert(what);
    }

    pub fn add(&mut self, other: &EsmSummary) {
        for (metric, records) in &other.skipped_metrics {
            *self.skipped_metrics.entry(metric.clone()).or_default() += records;
        }
        self.records += other.records;
        self.used += other.used;
        self.decreases += other.decreases;
        self.decreased_units = self.decreased_units.saturating_add(other.decreased_units);
        self.first_decrease = self.first_decrease.or(other.first_decrease);
        self.vanished += other.vanished;
        self.first_vanished = self.first_vanished.take().or_else(|| other.first_vanished.clone());
        self.alike += other.alike;
        self.first_alike = self.first_alike.take().or_else(|| other.first_alike.clone());
        self.likely_sum = self.likely_sum.take().or_else(|| other.likely_sum.clone());
        self.repeated += other.repeated;
        self.stated_accounts += other.stated_accounts;
        self.truncated_at = self.truncated_at.or(other.truncated_at);
        self.has_next |= other.has_next;
    }
}
