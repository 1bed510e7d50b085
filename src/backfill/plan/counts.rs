//! The counts of a plan: by suite, by requestor without a suite, and by day.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::AddAssign;

use chrono::DateTime;
use serde::{Deserialize, Serialize, Serializer};

use crate::event::{Instant, RequestorId};
use crate::suite::{EventIds, Rsid, SuiteState};

const DAY_SECONDS: i64 = 86_400;

/// How far a plan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events read, including duplicates.
    pub events_read: u64,
    /// The new events among the events read.
    pub events_new: u64,
}

/// What becomes of events. Each event is counted in one of `events`, `duplicates_in_…` and `conflicts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// New events, which a backfill would store, including dead events.
    pub events: u64,
    /// The sum of these events' counts, without dead events: the metrics of Analytics would grow by this.
    pub units: u64,
    /// Hits, which Adobe bills as server calls. 0 without a suite.
    pub hits: u64,
    /// Distinct visitors of these hits. 0 without a suite. A total sums the suites, which share no visitors.
    pub visitors: u64,
    /// Events that are already in the buffer.
    pub duplicates_in_buffer: u64,
    /// Events that came earlier in the inputs already.
    pub duplicates_in_inputs: u64,
    /// Events with the `event_id` of an earlier event but other content.
    pub conflicts: u64,
    /// New events that would be dead before they are sent.
    pub dead: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.events += other.events;
        self.units += other.units;
        self.hits += other.hits;
        self.visitors += other.visitors;
        self.duplicates_in_buffer += other.duplicates_in_buffer;
        self.duplicates_in_inputs += other.duplicates_in_inputs;
        self.conflicts += other.conflicts;
        self.dead += other.dead;
    }
}

/// The part of a plan for one suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuitePlan {
    pub rsid: Rsid,
    /// The requestors of the suite that have events, sorted by name.
    pub requestors: Vec<RequestorId>,
    pub state: SuiteState,
    pub event_ids: EventIds,
    /// The collection host, with its port if it is not 443.
    pub host: String,
    /// The suite's own limit, if it has one.
    pub hits_per_second: Option<NonZeroU32>,
    /// The total over all days. `visitors` are distinct over all days, so their total is not the sum of the days.
    pub total: Counts,
    /// The hits of the busiest visitor, which are sent one after the other.
    pub busiest_visitor_hits: u64,
    /// The size of the XML documents of its hits.
    pub document_bytes: u64,
    /// The size of the rows of its hits, without headers and before gzip.
    pub row_bytes: u64,
    /// Each day that has events, in order.
    pub days: Vec<DayPlan>,
}

/// The part of a plan for a requestor without a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmappedPlan {
    pub requestor_id: RequestorId,
    pub total: Counts,
    pub days: Vec<DayPlan>,
}

/// The counts of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DayPlan {
    pub day: Day,
    #[serde(flatten)]
    pub counts: Counts,
}

/// The days on which a requestor has new events, as days since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDays {
    pub requestor_id: String,
    pub days: Vec<i64>,
}

impl NewDays {
    pub(super) fn of(requestor_id: &RequestorId, days: &BTreeMap<Day, Counts>) -> NewDays {
        let days = days.iter().filter(|(_, counts)| counts.events > 0).map(|(day, _)| day.number());
        NewDays { requestor_id: requestor_id.as_str().to_owned(), days: days.collect() }
    }
}

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// Makes a day from its number of days since the Unix epoch.
    pub fn from_number(number: i64) -> Day {
        Day(number)
    }

    pub fn of(instant: Instant) -> Day {
        Day(instant.unix_seconds().div_euclid(DAY_SECONDS))
    }

    /// Days since the Unix epoch.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Day {
    /// Writes the day as `2026-11-20`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every instant fits in 64 bits of nanoseconds, so its day is a valid date.
        let at = DateTime::from_timestamp(self.0.saturating_mul(DAY_SECONDS), 0).unwrap_or_default();
        at.date_naive().fmt(out)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
