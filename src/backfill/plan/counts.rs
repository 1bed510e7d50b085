//! What a plan counts: by suite, by requestor without a suite, and by day.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::AddAssign;

use chrono::DateTime;
use serde::{Serialize, Serializer};

use crate::event::{Instant, RequestorId};
use crate::suite::{EventIds, Rsid, SuiteState};

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

/// How far a plan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events read, duplicates among them.
    pub events_read: u64,
    /// The new ones among them.
    pub events_new: u64,
}

/// What becomes of events. An event is counted once: in `events`, or in one of the next three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// New events, which a backfill would store; the dead among them.
    pub events: u64,
    /// The sum of their counts: what the metrics of Analytics would grow by, the dead not among it.
    pub units: u64,
    /// Hits, the server calls of Adobe's bill. 0 without a suite.
    pub hits: u64,
    /// Distinct visitors of these hits. 0 without a suite; of several suites the sum, since they share none.
    pub visitors: u64,
    /// Events that the buffer knows.
    pub duplicates_in_buffer: u64,
    /// Events that stand in the inputs before.
    pub duplicates_in_inputs: u64,
    /// Events with the `event_id` of one before and other content.
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

/// A suite's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuitePlan {
    pub rsid: Rsid,
    /// Its requestors that have events, by name.
    pub requestors: Vec<RequestorId>,
    pub state: SuiteState,
    pub event_ids: EventIds,
    pub host: String,
    pub hits_per_second: Option<NonZeroU32>,
    /// All its days; `visitors` are distinct over them, so fewer than the sum of the days.
    pub total: Counts,
    /// The most hits of one visitor, which go one after the other.
    pub busiest_visitor_hits: u64,
    /// The XML documents of its hits.
    pub document_bytes: u64,
    /// The rows of its hits, without headers and before gzip.
    pub row_bytes: u64,
    /// Each day that has events, in order.
    pub days: Vec<DayPlan>,
}

/// What a requestor without a suite has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmappedPlan {
    pub requestor_id: RequestorId,
    pub total: Counts,
    /// Each day that has events, in order.
    pub days: Vec<DayPlan>,
}

/// A day's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DayPlan {
    pub day: Day,
    #[serde(flatten)]
    pub counts: Counts,
}

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// The day of this number, counted from the Unix epoch.
    pub fn from_number(number: i64) -> Day {
        Day(number)
    }

    pub fn of(instant: Instant) -> Day {
        Day(instant.unix_seconds().div_euclid(DAY_SECONDS))
    }

    /// Its number, counted from the Unix epoch.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Day {
    /// As in 2026-11-20.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An instant holds 64 bits of nanoseconds, so its day is within what a date holds.
        let at = DateTime::from_timestamp(self.0.saturating_mul(DAY_SECONDS), 0).unwrap_or_default();
        at.date_naive().fmt(out)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
