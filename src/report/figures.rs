//! What a report says: plain data, the same for text, CSV, JSON and the page.

use serde::Serialize;

use super::name::cut_apart;
use crate::event::EventKind;

/// The server-side metrics of a period.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// Its beginning, RFC 3339 with the offset of its time zone.
    pub from: String,
    pub to: String,
    pub timezone: String,
    /// Whether the period is not over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The only requestors that it covers; empty: all.
    pub requestors: Vec<String>,
    /// What `rows` are grouped by; empty without `--by`.
    pub by: Vec<String>,
    /// Everything together; unique users by ID.
    pub total: Figures,
    /// One column for each MVPD, the largest by units of all events first; unique users by MVPD and ID. An event without an
    /// MVPD counts under the empty name. Spellings that differ in case are one MVPD, as in Analytics.
    pub mvpds: Vec<Column>,
    /// The MVPDs beyond those that text and page show, together; `None` where they show all.
    pub others: Option<Others>,
    /// One row for each combination of the values of `by`, in their order.
    pub rows: Vec<Row>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rows_note: String,
    /// Every day of the period in its order (every hour, where the period is of two days at most), for the trend. What is still
    /// to come is not there: it is no data, not 0.
    pub trend: Vec<Row>,
    /// Failures by event and reason (eVar7), the most frequent first.
    pub failures: Vec<Failure>,
    pub notes: Vec<Note>,
    /// What a reader must know of the figures, in sentences: for example that some events were deleted before they were counted.
    pub remarks: Vec<String>,
}

/// An MVPD's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    pub mvpd: String,
    #[serde(flatten)]
    pub figures: Figures,
}

/// The figures of the MVPDs that are too many to be shown, together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Others {
    pub mvpds: usize,
    /// Their figures; a user counts once by ID.
    #[serde(flatten)]
    pub figures: Figures,
}

/// How many MVPDs text and page show at the most; they show the others together.
const MVPDS_SHOWN: usize = 12;

impl Report {
    /// The largest MVPDs: all, where only one would be left out.
    pub fn shown(&self) -> &[Column] {
        if self.others.is_some() { &self.mvpds[..MVPDS_SHOWN] } else { &self.mvpds }
    }

    /// What heads the columns of those MVPDs: their names, cut to so many characters where they stay different.
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

/// How many MVPDs are shown, of this number.
pub(super) fn shown_of(mvpds: usize) -> usize {
    if mvpds > MVPDS_SHOWN + 1 { MVPDS_SHOWN } else { mvpds }
}

/// The figures of a combination of values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The values, in the order of `by`; for the trend the day or hour alone.
    pub key: Vec<String>,
    /// Whether its day or hour is still going on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    #[serde(flatten)]
    pub figures: Figures,
}

/// What Adobe Pass counts, of a column, a row or the total.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Figures {
    pub successful_authentications: u64,
    pub successful_authorizations: u64,
    pub successful_play_requests: u64,
    /// Distinct MVPD User IDs over all events but AuthN requested, without synthetic ones. `None`: nobody knows, because some of
    /// the events come from ESM, which counts without naming anybody.
    pub unique_users: Option<u64>,
    pub attempted_authentications: u64,
    pub attempted_authorizations: u64,
    /// Attempts less successes; negative where more succeeded than were tried, as when logins began before the period.
    pub unsuccessful_authentications: i64,
    /// Successful authentications over attempted ones, 0 to 1 and above; `None` without an attempt.
    pub authentication_conversion: Option<f64>,
    /// Attempted authentications over successful ones, the ratio that Adobe's page prints; `None` without a success.
    pub authentication_ratio: Option<f64>,
    pub authorization_conversion: Option<f64>,
    pub authorization_ratio: Option<f64>,
    /// Distinct synthetic IDs: degraded and temporary access. `None` as with the unique users.
    pub synthetic_users: Option<u64>,
    /// The unique accounts that ESM stated for exactly this requestor, MVPD and time; `None` where it stated none. It can be
    /// neither added up nor divided.
    pub stated_unique_accounts: Option<u64>,
    /// Units of event1 to event18, in their order.
    pub events: [u64; EventKind::COUNT],
}

impl Figures {
    pub fn units(&self, kind: EventKind) -> u64 {
        self.events[usize::from(kind.slot() - 1)]
    }

    pub(super) fn units_of_all(&self) -> u64 {
        self.events.iter().sum()
    }
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub event: String,
    pub label: String,
    /// Why (eVar7); empty where no event said why.
    pub reason: String,
    pub meaning: String,
    pub count: u64,
}

/// Something that is not as usual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The MVPDs that it is said of, the largest first; none: the total.
    pub mvpds: Vec<String>,
    /// What is not as usual, in a few words, such as `transient user IDs`.
    pub mark: String,
    /// What one expects, such as `attempted authentications >= successful authentications`.
    pub expected: String,
    /// What is there, and the most likely cause, in a sentence.
    pub found: String,
}

/// What Adobe says about a common reason of a failure; empty for others.
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
