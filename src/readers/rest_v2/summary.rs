//! What became of the exchanges of a source: what was counted, what was passed over and why.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::rule::Rule;

/// What became of the exchanges of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExchangeSummary {
    /// Exchanges and the events they gave, by endpoint and rule.
    #[serde(serialize_with = "rows")]
    pub rules: BTreeMap<(&'static str, Rule), (u64, u64)>,
    #[serde(rename = "other_paths")]
    pub others: u64,
    /// Those of them whose path is one of the API's behind something else.
    #[serde(rename = "prefixed_paths")]
    pub prefixed: u64,
    /// Exchanges with the API without the configured `path_prefix`, which are used all the same.
    #[serde(skip)]
    pub unprefixed: u64,
    /// Exchanges that were taken before.
    #[serde(rename = "seen_before")]
    pub again: u64,
    /// Exchanges that an earlier release took for repeats of others, and that were taken now.
    pub recovered: u64,
    /// Exchanges whose events lack what a body says that cannot be read, and the first line with one, with why.
    pub unread_bodies: u64,
    #[serde(skip)]
    pub first_unread_body: Option<(u64, &'static str)>,
    /// Exchanges that came later than they may be out of order.
    pub late: u64,
    /// What looks at service tokens found; empty where no keys are configured.
    pub service_tokens: BTreeMap<&'static str, u64>,
    /// `X-Device-Info` headers that do not decode, and the first line with one.
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
    /// Exchanges with the API that were not taken before.
    pub fn used(&self) -> u64 {
        self.rules.values().map(|(count, _)| count).sum()
    }

    /// Exchanges that were refused before they were processed, or have no answer.
    pub fn unprocessed(&self) -> u64 {
        self.rules
            .iter()
            .filter(|((_, rule), _)| *rule == Rule::NOT_PROCESSED)
            .map(|(_, (count, _))| count)
            .sum()
    }

    /// What should be told, with the line where it was met first.
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
