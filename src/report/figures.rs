//! What a report says: plain data, the same for text, CSV, JSON and the page.

use serde::Serialize;

use crate::event::Property;

/// What a report may group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// The calendar day of the report's time zone, as `2026-03-01`.
    Day,
    /// The hour of the report's time zone, as `2026-03-01T14:00-08:00`.
    Hour,
    /// A property of the fixed table. Requestor, MVPD, proxy, SDK type and device type come from the rollups and outlive
    /// retention; any other is read from the events that the buffer still has.
    Property(Property),
}

/// The server-side metrics of a period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Its beginning, RFC 3339 with the offset of its time zone.
    pub from: String,
    /// Its end, exclusive, in the same form.
    pub to: String,
    /// The IANA name of its time zone.
    pub timezone: String,
    /// The only requestors that it covers; empty: all.
    pub requestors: Vec<String>,
    /// By what `rows` are grouped; empty without `--by`.
    pub by: Vec<String>,
    /// Everything together; unique users by ID.
    pub total: Figures,
    /// One column for each MVPD, in the order of their names; unique users by MVPD and ID. An event without an MVPD counts
    /// under the empty name.
    pub mvpds: Vec<Column>,
    /// One row for each combination of the values of `by`, in their order.
    pub rows: Vec<Row>,
    /// Every day of the period in its order (every hour, where the period is of two days at most), for the trend.
    pub trend: Vec<Row>,
    /// Failures by event and reason (eVar7), the most frequent first.
    pub failures: Vec<Failure>,
    /// Where one of the four inequalities that Adobe's page calls usual does not hold.
    pub notes: Vec<Note>,
    /// What is known to be missing or otherwise than one would think, in sentences: for example that a dimension was read from
    /// the events that are left.
    pub remarks: Vec<String>,
}

/// An MVPD's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// The MVPD.
    pub mvpd: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The figures of a combination of values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The values, in the order of `by`; for the trend the day or hour alone.
    pub key: Vec<String>,
    /// Their figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The figures of anything: what Adobe Pass counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Figures {
    /// AuthN OK.
    pub successful_authentications: u64,
    /// AuthZ OK.
    pub successful_authorizations: u64,
    /// Play requests.
    pub successful_play_requests: u64,
    /// Distinct MVPD User IDs over all events but AuthN requested, without synthetic ones.
    pub unique_users: u64,
    /// AuthN requested.
    pub attempted_authentications: u64,
    /// AuthZ requested.
    pub attempted_authorizations: u64,
    /// Attempts less successes; negative where more succeeded than were tried, which logins across the edge of a period do.
    pub unsuccessful_authentications: i64,
    /// Successful authentications over attempted ones, 0 to 1 and above; `None` without an attempt.
    pub authentication_conversion: Option<f64>,
    /// Attempted authentications over successful ones, the ratio that Adobe's page prints; `None` without a success.
    pub authentication_ratio: Option<f64>,
    /// The same two of authorizations.
    pub authorization_conversion: Option<f64>,
    /// The ratio that Adobe's page prints.
    pub authorization_ratio: Option<f64>,
    /// Distinct synthetic IDs: degraded and temporary access.
    pub synthetic_users: u64,
    /// Units of event1 to event18, in their order.
    pub events: [u64; 18],
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which event failed, by its name.
    pub event: String,
    /// Its label.
    pub label: String,
    /// Why (eVar7); empty where no event said why.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// An inequality that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Of which MVPD; empty: of the total.
    pub mvpd: String,
    /// What one expects, such as `attempted authentications >= successful authentications`.
    pub expected: String,
    /// What is there, and the most likely cause, in a sentence.
    pub found: String,
}
