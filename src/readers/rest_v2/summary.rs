//! What happened to the exchanges of a source: how many were counted, and how many were skipped and why.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::rule::Rule;

/// What happened to the exchanges of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExchangeSummary {
    /// The number of exchanges and of their events, by endpoint and rule.
    #[serde(serialize_with = "rows")]
    pub rules: BTreeMap<(&'static str, Rule), (u64, u64)>,
    #[serde(rename = "other_paths")]
    pub others: u64,
    /// Exchanges with other servers whose path ends in a path of the API.
    #[serde(rename = "prefixed_paths")]
    pub prefixed: u64,
    /// Exchanges with the API whose path lacks the configured `path_prefix`. They are used nevertheless.
    #[serde(skip)]
    pub unprefixed: u64,
    /// Exchanges that were read before.
    #[serde(rename = "seen_before")]
    pub again: u64,
    /// Exchanges that an earlier release took for repeats of others, and that are used now.
    pub recovered: u64,
    /// Exchanges whose events lack facts because a body cannot be read; then the first line with such a body, and
    /// why.
    pub unread_bodies: u64,
    #[serde(skip)]
    pub first_unread_body: Option<(u64, &'static str)>,
    /// Exchanges that are out of order by more than the window allows.
    pub late: u64,
    /// The results of the checks of service tokens; empty if no keys are configured.
    pub service_tokens: BTreeMap<&'static str, u64>,
    /// `X-Device-Info` headers that do not decode, and the first line with such a header.
    pub broken_device_infos: u64,
    #[serde(skip)]
    pub first_broken_device_info: Option<u64>,
}

fn rows<S: Serializer>(
    rules: &BTreeMap<(&'static str, Rule), (u64, u64)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row {
        endpoint: &'static str,
        rule: Rule,
        outcome: &'static str,
        exchanges: u64,
        events: u64,
    }
    serializer.collect_seq(rules.iter().map(|(&(endpoint, rule), &(exchanges, events))| Row {
        endpoint,
        rule,
        outcome: rule.about,
        exchanges,
        events,
    }))
}

impl ExchangeSummary {
    /// Exchanges with the API that were not read before.
    pub fn used(&self) -> u64 {
        self.rules.values().map(|(count, _)| count).sum()
    }

    /// Exchanges that were refused before Adobe processed them, or that have no answer.
    pub fn unprocessed(&self) -> u64 {
        self.rules
            .iter()
            .filter(|((_, rule), _)| *rule == Rule::NOT_PROCESSED)
            .map(|(_, (count, _))| count)
            .sum()
    }

    /// The notes to report, each with the first line that it is about.
    pub fn notes(&self) -> Vec<(Option<u64>, String)> {
        let (used, ExchangeSummary { prefixed, unprefixed, .. }) = (self.used(), self);
        let mut notes = Vec::new();
        if used > 0 && *prefixed > 0 {
            notes.push((None, format!(
                "{prefixed} exchanges were passed over, because they have something before /api/v2/ that rest_v2.path_prefix does not name"
            )));
        }
        if used > 0 && *unprefixed == used {
            notes.push((None, format!(
                "none of its {used} exchanges with the API has rest_v2.path_prefix before /api/v2/; they are used all the same, so correct that key"
            )));
        }
        if let Some(line) = self.first_broken_device_info {
            let count = self.broken_device_infos;
            notes.push((Some(line), format!(
                "X-Device-Info does not decode as Base64 of a JSON object; so {count} exchanges have no device information"
            )));
        }
        if let Some((line, why)) = self.first_unread_body {
            let count = self.unread_bodies;
            notes.push((Some(line), format!(
                "{why}; so {count} exchanges have events without what it says (a resource, an MVPD), and those of further resources are missing"
            )));
        }
        notes
    }

    pub fn add(&mut self, other: &ExchangeSummary) {
        for (key, (exchanges, events)) in &other.rules {
            let sum = self.rules.entry(*key).or_default();
            sum.0 += exchanges;
            sum.1 += events;
        }
        self.others += other.others;
        self.prefixed += other.prefixed;
        self.unprefixed += other.unprefixed;
        self.again += other.again;
        self.recovered += other.recovered;
        self.unread_bodies += other.unread_bodies;
        self.first_unread_body = self.first_unread_body.or(other.first_unread_body);
        self.late += other.late;
        for (check, count) in &other.service_tokens {
            *self.service_tokens.entry(*check).or_default() += count;
        }
        self.broken_device_infos += other.broken_device_infos;
        self.first_broken_device_info = self.first_broken_device_info.or(other.first_broken_device_info);
    }
}
