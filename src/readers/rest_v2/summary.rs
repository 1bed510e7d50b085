//! What became of the exchanges of a source: what was counted, what was passed over and why.

use std::collections::BTreeMap;

use super::TokenCheck;

/// What became of the exchanges of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeSummary {
    /// Exchanges and the events they gave, by endpoint and rule.
    pub rules: BTreeMap<(&'static str, u8), (u64, u64)>,
    pub others: u64,
    /// Those of them whose path is one of the API's behind something else.
    pub prefixed: u64,
    /// Exchanges that were taken before.
    pub again: u64,
    /// Exchanges that an earlier release took for repeats of others, and that were taken now.
    pub recovered: u64,
    /// Exchanges that came later than they may be out of order.
    pub late: u64,
    /// Exchanges whose events lack what a body says that cannot be read, and the first line with one, with why.
    pub unread_bodies: u64,
    pub first_unread_body: Option<(u64, &'static str)>,
    /// What looks at service tokens found; empty where no keys are configured.
    pub service_tokens: BTreeMap<TokenCheck, u64>,
    /// `X-Device-Info` headers that do not decode, and the first line with one.
    pub broken_device_infos: u64,
    pub first_broken_device_info: Option<u64>,
}

impl serde::Serialize for ExchangeSummary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        #[derive(serde::Serialize)]
        struct Row {
            endpoint: &'static str,
            rule: u8,
            outcome: &'static str,
            exchanges: u64,
            events: u64,
        }
        let row = |(&(endpoint, rule), &(exchanges, events)): (&(&'static str, u8), &(u64, u64))| Row {
            endpoint,
            rule,
            outcome: rule_name(rule),
            exchanges,
            events,
        };
        let mut fields = serializer.serialize_struct("ExchangeSummary", 9)?;
        fields.serialize_field("rules", &self.rules.iter().map(row).collect::<Vec<_>>())?;
        fields.serialize_field("other_paths", &self.others)?;
        fields.serialize_field("prefixed_paths", &self.prefixed)?;
        fields.serialize_field("seen_before", &self.again)?;
        fields.serialize_field("recovered", &self.recovered)?;
        fields.serialize_field("unread_bodies", &self.unread_bodies)?;
        fields.serialize_field("late", &self.late)?;
        let tokens: BTreeMap<_, _> =
            self.service_tokens.iter().map(|(check, count)| (check.name(), count)).collect();
        fields.serialize_field("service_tokens", &tokens)?;
        fields.serialize_field("broken_device_infos", &self.broken_device_infos)?;
        fields.end()
    }
}

/// What a row of the derivation table is about, in a few words.
pub fn rule_name(rule: u8) -> &'static str {
    match rule {
        1 => "login begins",
        2 => "session waits for a choice",
        3 => "already authenticated",
        4 => "authentication degraded",
        5 => "temporary access",
        6 => "login begins after a choice",
        7 => "session retried or looked at",
        8 => "user agent sent to the MVPD",
        9 => "session failed",
        10 => "login completed",
        11 => "poll without news",
        12 => "login completed while degraded",
        13 => "profile of temporary access",
        14 => "code refused",
        15 => "profiles refreshed",
        16 => "profiles refused",
        17 => "profile found by single sign-on",
        18 => "partner login begins",
        19 => "partner session while degraded",
        20 => "partner falls back to a login",
        21 => "partner session waits for a choice",
        22 => "partner session failed",
        23 => "refused before processing, or not answered",
        24 => "partner login completed",
        25 => "partner profile while degraded",
        26 => "partner login failed",
        27 => "authorized by the MVPD",
        28 => "authorized from the cache",
        29 => "authorized by degradation",
        30 => "authorized by temporary access",
        31 => "authorized without a media token",
        32 => "denied by the MVPD",
        33 => "denied by degradation or temporary access",
        34 => "authorization failed",
        35 => "authorization failed without a code",
        36 => "preflight answered",
        37 => "preflight failed",
        38 => "logout completed",
        39 => "logout sent to the MVPD",
        40 => "logout left to the partner",
        41 => "logout without a profile",
        42 => "logout failed",
        _ => "nothing to count",
    }
}

impl ExchangeSummary {
    /// Adds those of another source.
    pub fn add(&mut self, other: &ExchangeSummary) {
        for (key, (exchanges, events)) in &other.rules {
            let sum = self.rules.entry(*key).or_default();
            sum.0 += exchanges;
            sum.1 += events;
        }
        self.others += other.others;
        self.prefixed += other.prefixed;
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
