//! What a report held beside the events that follow from it.

use std::collections::BTreeMap;

use crate::event::{Instant, RequestorId};

/// Names of metrics that are told; a hostile report has no end of them.
const METRICS_NAMED_MAX: usize = 100;

/// How many accounts ESM saw in a time, of a requestor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedAccounts {
    pub requestor_id: RequestorId,
    pub from: Instant,
    pub to: Instant,
    /// At which MVPD; empty where there is none.
    pub mvpd: String,
    /// What else the report groups by: a line for each dimension, `name=value`, and `mvpd` alone.
    pub dimensions: String,
    pub accounts: u64,
}

impl StatedAccounts {
    /// The names of what its report groups by.
    pub fn grouping(&self) -> impl Iterator<Item = &str> {
        self.dimensions.lines().map(|line| line.split_once('=').map_or(line, |(name, _)| name))
    }

    /// Whether its report tells MVPDs apart.
    pub fn has_mvpd(&self) -> bool {
        self.grouping().any(|name| name == "mvpd")
    }
}

/// What a report held beside the events that follow from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct EsmSummary {
    /// The records of the report, whatever came of them.
    #[serde(skip)]
    pub records: u64,
    /// Metrics that no event stands for, and in how many records they were.
    pub skipped_metrics: BTreeMap<String, u64>,
    /// Counts that were corrected downwards: what is counted stays counted.
    pub decreases: u64,
    /// By how many units, all together.
    pub decreased_units: u64,
    /// The first record with one.
    pub first_decrease: Option<u64>,
    /// Records whose unique accounts are kept as ESM stated them.
    pub stated_accounts: u64,
    /// The limit of rows that the report has reached: there may be more that it does not show.
    pub truncated_at: Option<u64>,
}

impl EsmSummary {
    pub(super) fn skipped(&mut self, metric: &str) {
        if let Some(records) = self.skipped_metrics.get_mut(metric) {
            *records += 1;
        } else if self.skipped_metrics.len() < METRICS_NAMED_MAX {
            self.skipped_metrics.insert(metric.to_owned(), 1);
        }
    }

    pub(super) fn decreased(&mut self, record: u64, units: u64) {
        self.decreases += 1;
        self.decreased_units = self.decreased_units.saturating_add(units);
        self.first_decrease.get_or_insert(record);
    }

    /// Adds those of another report.
    pub fn add(&mut self, other: &EsmSummary) {
        for (metric, records) in &other.skipped_metrics {
            *self.skipped_metrics.entry(metric.clone()).or_default() += records;
        }
        self.records += other.records;
        self.decreases += other.decreases;
        self.decreased_units = self.decreased_units.saturating_add(other.decreased_units);
        self.first_decrease = self.first_decrease.or(other.first_decrease);
        self.stated_accounts += other.stated_accounts;
        self.truncated_at = self.truncated_at.or(other.truncated_at);
    }
}
