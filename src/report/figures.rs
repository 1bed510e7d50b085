//! The content of a report: plain data, the same for text, CSV, JSON and the page.

use std::collections::BTreeSet;

use serde::Serialize;

use super::name::cut_apart;
use crate::event::{EventKind, KindSet};

/// The server-side metrics of a period.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// The beginning of the period, RFC 3339 with the offset of the time zone.
    pub from: String,
    /// The first instant after the period, in the same form.
    pub to: String,
    pub timezone: String,
    /// Whether the period is not over yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The requestors that the report is limited to; empty: all.
    pub requestors: Vec<String>,
    /// What `rows` are grouped by; empty without `--by`.
    pub by: Vec<String>,
    /// Units of the period that a person discarded. `without_discarded` says whether the figures leave them out.
    pub discarded: u64,
    pub without_discarded: bool,
    /// The figures of all events together. A user counts once per ID.
    pub total: Figures,
    /// One column for each MVPD, the largest by units of all events first. A user counts once per MVPD and ID. Events
    /// without an MVPD are under the empty name. Spellings that differ only in case are one MVPD, as in Analytics.
    pub mvpds: Vec<Column>,
    /// The sum of the MVPDs that text and page do not show one by one; `None` if they show each MVPD.
    pub others: Option<Others>,
    /// One row for each combination of the values of `by`, in the order of the values.
    pub rows: Vec<Row>,
    /// Which events `rows` are counted from; empty if they come from the metrics.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rows_note: String,
    /// The rows of the trend, in order: every day of the period, or every hour if the period is at most two
    /// days. A future day or hour has a row only if something was counted in it.
    pub trend: Vec<Row>,
    /// Failures by event and reason (eVar7), the most frequent first.
    pub failures: Vec<Failure>,
    pub notes: Vec<Note>,
    /// Sentences that a reader needs, for example that some events were deleted before they were counted.
    pub remarks: Vec<String>,
}

/// The figures of an MVPD.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    pub mvpd: String,
    #[serde(flatten)]
    pub figures: Figures,
}

/// The sum of the MVPDs that are not shown one by one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Others {
    pub mvpds: usize,
    /// A user counts once per ID, even with several of these MVPDs.
    #[serde(flatten)]
    pub figures: Figures,
}

/// How many MVPDs text and page show one by one. The others are added up, unless there is only one other.
const MVPDS_SHOWN: usize = 12;

impl Report {
    /// The MVPDs that are shown one by one: the largest `MVPDS_SHOWN`, or all if there is at most one more.
    pub fn shown(&self) -> &[Column] {
        if self.others.is_some() { &self.mvpds[..MVPDS_SHOWN] } else { &self.mvpds }
    }

    /// The headings of the shown MVPDs: their names, cut to `chars_max` characters if they then still differ.
    pub fn short_names(&self, chars_max: usize, blank: &str) -> Vec<String> {
        let shown = self.shown().iter().map(|column| column.mvpd.as_str());
        let names: Vec<&str> = shown.map(|mvpd| if mvpd.is_empty() { blank } else { mvpd }).collect();
        cut_apart(&names, chars_max)
    }

    /// Whether the trend is by `hour` or by `day`.
    pub(super) fn trend_unit(&self) -> &'static str {
        let first = self.trend.first().and_then(|row| row.key.first());
        if first.is_some_and(|key| key.contains('T')) { "hour" } else { "day" }
    }
}

/// How many of `mvpds` MVPDs are shown.
pub(super) fn shown_of(mvpds: usize) -> usize {
    if mvpds > MVPDS_SHOWN + 1 { MVPDS_SHOWN } else { mvpds }
}

/// The figures of a combination of values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The values, in the order of `by`; in the trend only the day or hour.
    pub key: Vec<String>,
    /// Whether the day or hour of the row is not over yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    #[serde(flatten)]
    pub figures: Figures,
}

/// The counts of a column, a row or the total. The metrics follow from them (see `metric`), and JSON has both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Units of event1 to event18, in their order. `None` if no source here counts such events: ESM has no such
    /// count, or its reports lack the column.
    pub events: [Option<u64>; EventKind::COUNT],
    /// The sets of kinds of events that sources here do not count. Sources that lack the same kinds share a set.
    pub lacking: BTreeSet<KindSet>,
    /// Distinct MVPD User IDs in all events except AuthN requested, without synthetic IDs. `None` if a requestor with
    /// units or accounts here gets its events from ESM, which names no users.
    pub unique_users: Option<u64>,
    /// Distinct synthetic IDs, which stand for degraded and temporary access. `None` as in `unique_users`.
    pub synthetic_users: Option<u64>,
    /// The unique accounts that ESM stated for exactly this requestor, MVPD and time; `None` if ESM stated none.
    /// These numbers can be neither added up nor divided.
    pub stated_unique_accounts: Option<u64>,
}

impl Figures {
    pub fn units(&self, kind: EventKind) -> Option<u64> {
        self.events[usize::from(kind.slot() - 1)]
    }

    /// The units of two kinds of events, for comparing them; `None` if one is unknown, or a source counts only one.
    pub(super) fn pair(&self, one: EventKind, other: EventKind) -> Option<(u64, u64)> {
        let is_even = self.lacking.iter().all(|lacking| lacking.has(one) == lacking.has(other));
        self.units(one).zip(self.units(other)).filter(|_| is_even)
    }

    /// Units divided by other units; `None` if that would divide by 0, or if the two cannot be compared.
    pub fn ratio(&self, of: EventKind, to: EventKind) -> Option<f64> {
        let (of, to) = self.pair(of, to)?;
        (to > 0).then(|| of as f64 / to as f64)
    }

    /// Attempts minus successes, `None` if the two cannot be compared. Negative if successes are more, for example
    /// because logins began before the period.
    pub fn unsuccessful_authentications(&self) -> Option<i64> {
        let (tried, granted) = self.pair(EventKind::AuthnRequested, EventKind::AuthnOk)?;
        Some(tried.cast_signed().saturating_sub(granted.cast_signed()))
    }

    pub(super) fn units_of_all(&self) -> u64 {
        self.events.iter().flatten().sum()
    }
}

/// The failures of one event with one reason; `event` is its name, such as `authz_failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub event: String,
    pub label: String,
    /// The reason (eVar7); empty if the events name none.
    pub reason: String,
    pub meaning: String,
    /// In units.
    pub count: u64,
}

/// Something unusual in the figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The MVPDs with the unusual figures, the largest first; empty: the total.
    pub mvpds: Vec<String>,
    /// The name of the unusual thing in a few words, such as `transient user IDs`.
    pub mark: String,
    /// What is usual, such as `attempted authentications >= successful authentications`.
    pub expected: String,
    /// What the figures show instead, and the most likely cause.
    pub found: String,
}

/// What Adobe says about a common reason of failures; empty for other reasons.
pub(super) fn reason_meaning(reason: &str) -> &'static str {
    const MEANINGS: [(&str, &str); 7] = [
        ("noAuthZ", "The MVPD says that the subscription does not include it."),
        ("network", "The MVPD could not be reached, or did not answer."),
        (
            "norefreshtoken",
            "The login cannot be renewed, for example after a new password; the viewer logs in again.",
        ),
        ("mismatch", "The request came from another device than the login did."),
        ("invalid", "The request was not valid: a parameter was missing or wrong."),
        ("authzNone", "The programmer has denied this channel with this MVPD."),
        ("fraud", "Asked again within seconds of a denial, many times: often a fault of the application."),
    ];
    MEANINGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(reason)).map_or("", |(_, meaning)| meaning)
}
