use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::json;

use super::rule::Rule;
use crate::word::words;

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
    /// Entries of a browser's archive whose answer the browser had kept, so that no request was sent.
    #[serde(rename = "answers_from_cache")]
    pub kept_answers: u64,
    /// Exchanges with the API whose path lacks the configured `path_prefix`. They are used all the same.
    #[serde(skip)]
    pub unprefixed: u64,
    /// Exchanges that give no event because of their status, by status. Status 0: no answer came.
    #[serde(rename = "uncounted_by_status")]
    pub uncounted: BTreeMap<u16, u64>,
    /// Exchanges that were read before.
    #[serde(rename = "seen_before")]
    pub again: u64,
    /// Exchanges that an earlier release took for repeats of other exchanges, and that are used now.
    pub recovered: u64,
    /// Exchanges that came too late for the window to bring them into order.
    pub late: u64,
    /// The results of the checks of service tokens; empty if no keys are configured.
    pub service_tokens: BTreeMap<&'static str, u64>,
    /// The rule that applied to the line that the configuration asks for (`asked_line`).
    #[serde(skip)]
    pub asked: Option<Rule>,
    /// What exchanges lack, in the order of [`Gap::ALL`].
    #[serde(flatten, serialize_with = "counts")]
    pub gaps: [Lacking; Gap::ALL.len()],
}

/// How many exchanges lack something; of the first of them, its line and, for a request body, why it cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lacking {
    pub exchanges: u64,
    pub first: Option<(u64, &'static str)>,
}

fn counts<S: Serializer>(gaps: &[Lacking], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Gap::ALL.into_iter().zip(gaps).map(|(gap, lacking)| (gap, lacking.exchanges)))
}

fn rows<S: Serializer>(
    rules: &BTreeMap<(&'static str, Rule), (u64, u64)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rules.iter().map(|((endpoint, rule), (exchanges, events))| {
        let outcome = rule.about;
        json!({"endpoint": endpoint, "rule": rule, "outcome": outcome, "exchanges": exchanges, "events": events})
    }))
}

words! {
    /// What an exchange lacks. Each word is the key under which JSON has the number of such exchanges.
    pub enum Gap {
        /// The exchange differs from another one only in a part of a millisecond of its duration.
        Distinction = "alike",
        Token = "tokens_seen_before",
        /// A call that looks the same and counts too starts at nearly the same time, perhaps in an earlier input.
        Twin = "twins",
        /// The exchange starts before an earlier input ends.
        Order = "before_earlier_inputs",
        DeviceIdentifier = "without_device",
        /// Each counts a device identifier that several devices seem to share, not an exchange.
        SharedDevice = "shared_devices",
        Code = "without_code",
        DeviceInfo = "broken_device_infos",
        UserId = "missing_user_ids",
        UserIdFraction = "user_ids_with_zeros",
        Action = "unknown_actions",
        Decision = "missing_decisions",
        Asked = "unasked_decisions",
        Instant = "unread_instants",
        RequestBody = "unread_bodies",
        MvpdName = "nameless_mvpds",
        LostLetters = "lost_letters",
    }
}

/// What the notes tell, in the order of [`Gap::ALL`]. `#` stands for the number of exchanges.
const NOTES: [&str; Gap::ALL.len()] = [
    "# exchanges differ from another one only in a part of a millisecond of their duration, and count once with it: if they are more than one, let the log have the microseconds of started_at",
    "# exchanges have the media token of an earlier one, and Adobe makes each for one answer: these alone are passed over as repeats; if this is the log of a second hop, its calls without a token (denials, preflights, logouts) may count once more",
    "# calls were counted though a call of the same device with the same path, resources and status, which starts at nearly the same time, was counted before, in this input or an earlier one: if both are logs of the same calls (of two hops, or two exports), ingest only one of them, and take back what the other gave with passbridge pending take-back",
    "# exchanges start before an earlier input ends, so a login that stands in both may lose its viewer or its device: merge the inputs by time first",
    "# exchanges have no AP-Device-Identifier that names a device (it is missing, masked or a word for nobody); so their events have no device, and no user whom a profile of the device would give",
    "# device identifiers have three or more users of one MVPD who log in, or most of the exchanges: each is most likely a mask or a shared address, so that its viewers count as one and may get each other's user; have AP-Device-Identifier logged as the device sends it",
    "# exchanges have no code that tells their login from others (it is masked, a placeholder or a word for nobody); so a login has no device until a profile of the device is read, and refused codes are not counted",
    "X-Device-Info does not decode as Base64 of a JSON object whose members stand there once; so # exchanges have no device information",
    "# exchanges have a profile whose attributes.userID is missing, encrypted, a list of several or a word for nobody; so the events of its viewer have no user",
    "# exchanges have a profile whose attributes.userID is a whole number with a fraction of zeros: that is another user than the number without it; let the log have what the MVPD sent, as text",
    "# exchanges have an answer without an actionName, or with one that is not known; so they count nothing but a request to log out",
    "# exchanges ask for resources on which their answer has no decision; these count nothing",
    "# exchanges have an answer about a resource, an MVPD or a requestor that the request does not name (if only capitals differ, these are two spellings of one): resources, and MVPDs of authorizations and logins, count as the answer says, and all else as the request says; the log may have joined a request with the answer to another one",
    "# exchanges have an answer with a notBefore or notAfter that is no Unix time in milliseconds (it may be in seconds); so a time to live may be missing, and an authorization from the cache may count as a new one",
    "; so # exchanges have events without what it says (a resource, an MVPD), and those of further resources are missing",
    "# exchanges have events of an MVPD whose name says that there is none (`undefined`, `NULL`); it is sent as one of that name",
    "# exchanges have events with U+FFFD in an identifier, which a program writes where it cannot read a letter, so that several users, devices or MVPDs become one; let that program read and write UTF-8",
];

impl Gap {
    /// The note that tells of these exchanges. `why` says why the body of the first request cannot be read.
    pub(super) fn note(self, exchanges: u64, why: &str) -> String {
        format!("{why}{}", NOTES[self as usize].replace('#', &exchanges.to_string()))
    }
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

    pub(super) fn lacks(&mut self, gap: Gap, line: u64, why: &'static str) {
        let lacking = &mut self.gaps[gap as usize];
        lacking.exchanges += 1;
        lacking.first.get_or_insert((line, why));
    }

    /// The notes to report, each with the first line that it is about.
    pub fn notes(&self) -> Vec<(Option<u64>, String)> {
        let (used, ExchangeSummary { prefixed, unprefixed, .. }) = (self.used(), self);
        let mut notes = Vec::new();
        if used > 0 && *prefixed > 0 {
            notes.push((None, format!(
                "{prefixed} exchanges were passed over, because they have something before /api/v2/ that rest_v2.path_prefix does not name, or capitals where Adobe has none"
            )));
        }
        if used > 0 && *unprefixed == used {
            notes.push((None, format!(
                "none of its {used} exchanges with the API has rest_v2.path_prefix before /api/v2/; they are used all the same, so correct that key"
            )));
        }
        for (gap, lacking) in Gap::ALL.into_iter().zip(&self.gaps) {
            notes.extend(lacking.first.map(|(line, why)| (Some(line), gap.note(lacking.exchanges, why))));
        }
        notes
    }

    pub fn add(&mut self, other: &ExchangeSummary) {
        for (key, (exchanges, events)) in &other.rules {
            let sum = self.rules.entry(*key).or_default();
            sum.0 += exchanges;
            sum.1 += events;
        }
        self.asked = self.asked.or(other.asked);
        self.others += other.others;
        self.prefixed += other.prefixed;
        self.unprefixed += other.unprefixed;
        self.kept_answers += other.kept_answers;
        self.again += other.again;
        self.recovered += other.recovered;
        self.late += other.late;
        for (status, count) in &other.uncounted {
            *self.uncounted.entry(*status).or_default() += count;
        }
        for (check, count) in &other.service_tokens {
            *self.service_tokens.entry(*check).or_default() += count;
        }
        for (sum, lacking) in self.gaps.iter_mut().zip(&other.gaps) {
            sum.exchanges += lacking.exchanges;
            sum.first = sum.first.or(lacking.first);
        }
    }
}
