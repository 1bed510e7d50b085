use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::rule::Rule;

/// What happened to the exchanges of a source: how many were used, and how many were skipped and why.
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
    /// Exchanges with the API whose path lacks the configured `path_prefix`. They are used all the same.
    #[serde(skip)]
    pub unprefixed: u64,
    /// Exchanges that give no event because of their status, by status. Status 0: no answer came.
    #[serde(rename = "uncounted_by_status")]
    pub uncounted: BTreeMap<u16, u64>,
    /// Exchanges that were read before.
    #[serde(rename = "seen_before")]
    pub again: u64,
    /// Exchanges that differ from another one of the source only in a part of a millisecond of their duration.
    pub alike: u64,
    #[serde(skip)]
    pub first_alike: Option<u64>,
    /// Exchanges that an earlier release took for repeats of other exchanges, and that are used now.
    pub recovered: u64,
    /// Exchanges whose events lack facts, because the body of the request cannot be read.
    pub unread_bodies: u64,
    /// The first line with such a body, and why the body cannot be read.
    #[serde(skip)]
    pub first_unread_body: Option<(u64, &'static str)>,
    /// Exchanges that came too late for the window to bring them into order.
    pub late: u64,
    /// The results of the checks of service tokens; empty if no keys are configured.
    pub service_tokens: BTreeMap<&'static str, u64>,
    /// Exchanges whose events have no device, because `AP-Device-Identifier` is missing or names none.
    pub without_device: u64,
    #[serde(skip)]
    pub first_without_device: Option<u64>,
    /// Exchanges whose `X-Device-Info` does not decode. The line of the first is `first_broken_device_info`.
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
    /// Exchanges to which a rule applied. Repeats, rejects and exchanges with other servers are left out.
    pub fn used(&self) -> u64 {
        self.rules.values().map(|(count, _)| count).sum()
    }

    /// Exchanges that were refused before Adobe processed them, or that have no answer.
    pub fn unprocessed(&self) -> u64 {
        let is_it = |rule: &Rule| *rule == Rule::NOT_PROCESSED;
        self.rules.iter().filter(|((_, rule), _)| is_it(rule)).map(|(_, (count, _))| count).sum()
    }

    /// The notes to report, each with the first line that it is about.
    pub fn notes(&self) -> Vec<(Option<u64>, String)> {
        let (used, ExchangeSummary { prefixed, unprefixed, broken_device_infos, unread_bodies, .. }) =
            (self.used(), self);
        let passed = format!(
            "{prefixed} exchanges were passed over, because they have something before /api/v2/ that rest_v2.path_prefix does not name"
        );
        let unprefixed_all = format!(
            "none of its {used} exchanges with the API has rest_v2.path_prefix before /api/v2/; they are used all the same, so correct that key"
        );
        let broken = format!(
            "X-Device-Info does not decode as Base64 of a JSON object; so {broken_device_infos} exchanges have no device information"
        );
        let without_device = format!(
            "{} exchanges have no AP-Device-Identifier that names a device (it is missing, masked or a word for nobody); so their events have no device, and no user whom a profile of the device would give",
            self.without_device
        );
        let (unread_at, why) = self.first_unread_body.unzip();
        let unread = format!(
            "{}; so {unread_bodies} exchanges have events without what it says (a resource, an MVPD), and those of further resources are missing",
            why.unwrap_or_default()
        );
        let alike = format!(
            "{} exchanges differ from another one only in a part of a millisecond of their duration, and count once with it: if they are more than one, let the log have the microseconds of started_at",
            self.alike
        );
        let all = [
            (self.first_alike.is_some(), self.first_alike, alike),
            (used > 0 && *prefixed > 0, None, passed),
            (used > 0 && *unprefixed == used, None, unprefixed_all),
            (self.first_without_device.is_some(), self.first_without_device, without_device),
            (self.first_broken_device_info.is_some(), self.first_broken_device_info, broken),
            (unread_at.is_some(), unread_at, unread),
        ];
        all.into_iter().filter(|(is_so, ..)| *is_so).map(|(_, line, what)| (line, what)).collect()
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
        self.alike += other.alike;
        self.first_alike = self.first_alike.or(other.first_alike);
        self.recovered += other.recovered;
        self.unread_bodies += other.unread_bodies;
        self.first_unread_body = self.first_unread_body.or(other.first_unread_body);
        self.late += other.late;
        for (status, count) in &other.uncounted {
            *self.uncounted.entry(*status).or_default() += count;
        }
        for (check, count) in &other.service_tokens {
            *self.service_tokens.entry(*check).or_default() += count;
        }
        self.without_device += other.without_device;
        self.first_without_device = self.first_without_device.or(other.first_without_device);
        self.broken_device_infos += other.broken_device_infos;
        self.first_broken_device_info = self.first_broken_device_info.or(other.first_broken_device_info);
    }
}
