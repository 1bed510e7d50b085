//! The plan of a backfill: what it would store and send, by suite and day, by which way and how long, and what to know before.
//!
//! It stores nothing. It counts each event as an ingest and a drain would: with the identity, the mapping and the documents that
//! they use. Memory is bounded whatever an input holds; `tally` says by how much. Rules: BDIA-19 to BDIA-23 and BDIA-39.

mod digest;
mod routes;
mod sample;
mod tally;
mod warning;

use std::fmt;
use std::num::NonZeroU32;
use std::ops::{AddAssign, ControlFlow};

use chrono::DateTime;
use serde::{Serialize, Serializer};

use crate::buffer::{Buffer, BufferError, Cursor, JobKey};
use crate::delivery::Sequence;
use crate::event::{Instant, RequestorId};
use crate::ingest::{self, IngestOptions, IngestSummary, InputFailure, InputPath};
use crate::suite::{EventIds, Rsid, SuiteState};
use routes::{by_bulk, by_dia};
use tally::{Tallied, Tally};

pub use routes::{BulkRoute, DiaRoute, HostRoute, Limit, Rates};
pub use tally::REMEMBERED_MAX;
pub use warning::Warning;

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;
/// Waiting events read at a time.
const WAITING_ROWS: usize = 1_024;

/// What a backfill would do. Serialises as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// When it was made; what is old or ahead is so by this.
    pub planned_at: Instant,
    /// The inputs, in the order given; none where events of the buffer are planned.
    pub inputs: Vec<InputPlan>,
    /// The window, where events of the buffer are planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Rejected lines of all inputs.
    pub rejected: u64,
    /// Everything, with a suite and without.
    pub total: Counts,
    /// Each suite that has events, by its ID.
    pub suites: Vec<SuitePlan>,
    /// Each requestor that has events and no suite, by its name.
    pub unmapped: Vec<UnmappedPlan>,
    /// What it takes hit by hit, the paused suites included.
    pub by_dia: DiaRoute,
    /// What it takes as bulk files, the paused suites included.
    pub by_bulk: BulkRoute,
    #[serde(serialize_with = "with_texts")]
    pub warnings: Vec<Warning>,
    /// What reading the inputs has to say: the first rejected lines with their reasons, unknown keys.
    #[serde(serialize_with = "as_texts")]
    pub input_warnings: Vec<ingest::Warning>,
    /// The inputs that could not be read to their end; what stands before the break is in the plan.
    #[serde(serialize_with = "as_texts")]
    pub failures: Vec<InputFailure>,
}

/// What an input holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputPlan {
    pub path: String,
    pub read: u64,
    pub events: u64,
    /// Lines that are no event.
    pub rejected: u64,
}

/// Events that happened from an instant until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The first instant within.
    pub from: Instant,
    /// The first instant behind.
    pub to: Instant,
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
    /// Whether its hits carry event IDs.
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
    /// All its days.
    pub total: Counts,
    /// Each day that has events, in order.
    pub days: Vec<DayPlan>,
}

/// A day's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DayPlan {
    /// The day.
    pub day: Day,
    /// What becomes of its events.
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

    /// The day of an instant.
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

/// How far a plan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events read, duplicates among them.
    pub events_read: u64,
    /// The new ones among them.
    pub events_new: u64,
}

/// Watches a plan being made.
pub trait Observer {
    /// Some thousand events more were counted.
    fn progress(&mut self, progress: Progress);
}

impl Observer for () {
    fn progress(&mut self, _: Progress) {}
}

/// Why no plan could be made. An input that fails is in the plan's failures instead.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
}

/// Plans the inputs as an ingest would read them: every input once, from the first line to the last, and nothing is stored.
/// What readers of exchanges and of ESM reports remember of earlier inputs in the buffer is not consulted, so of those an
/// ingest may derive other events where logs begin in the middle of a session.
pub fn plan(
    buffer: &Buffer,
    inputs: &[InputPath],
    options: &IngestOptions,
    rates: &Rates,
    observer: &mut dyn Observer,
) -> Result<Plan, PlanError> {
    let mut options = options.clone();
    if options.secret.is_none() {
        // The identity of an exchange depends on it.
        options.secret = Some(buffer.source_secret()?.to_vec());
    }
    let mut tally = Tally::new(buffer, options.clock.now())?;
    let mut broken = None;
    let summary = ingest::preview(inputs, &options, &mut |event, _| match tally
        .take(event, None)
        .and_then(|is_full| if is_full { tally.settle() } else { Ok(None) })
    {
        Ok(progress) => {
            progress.into_iter().for_each(|progress| observer.progress(progress));
            ControlFlow::Continue(())
        }
        Err(error) => {
            broken = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    tally.settle()?.into_iter().for_each(|progress| observer.progress(progress));
    let inputs = summary.inputs.iter().map(|input| InputPlan {
        path: input.path.clone(),
        read: input.counts.read,
        events: input.counts.read - input.counts.rejected,
        rejected: input.counts.rejected,
    });
    let inputs: Vec<InputPlan> = inputs.collect();
    let rejected = inputs.iter().filter(|input| input.rejected > 0);
    let warnings =
        rejected.map(|input| Warning::Rejected { path: input.path.clone(), lines: input.rejected }).collect();
    let mut plan = assemble(tally, warnings, rates)?;
    let IngestSummary { total, warnings, failures, .. } = summary;
    plan.inputs = inputs;
    plan.rejected = total.rejected;
    plan.input_warnings = warnings;
    plan.failures = failures;
    Ok(plan)
}

/// Plans the live events that wait in the buffer and happened from `from` until before `to`, by the buffer's clock. An event in
/// doubt counts in the form of its attempts.
pub fn plan_buffered(buffer: &Buffer, from: Instant, to: Instant, rates: &Rates) -> Result<Plan, PlanError> {
    let reader = buffer.planning()?;
    let mut tally = Tally::of_stored(buffer, reader.now())?;
    let mut backlog = buffer.backlog(JobKey::LIVE)?;
    for requestor in reader.waiting(from, to)? {
        let mut cursor = Cursor::at(from);
        loop {
            let events = backlog.next(requestor, cursor, Sequence(i64::MAX), WAITING_ROWS)?;
            let Some(last) = events.last() else { break };
            cursor = Cursor::after(&last.reference);
            let is_past = last.reference.occurred_at >= to;
            for pending in events.iter().take_while(|pending| pending.reference.occurred_at < to) {
                tally.take(&pending.event, pending.doubted.as_ref().map(|doubted| &*doubted.form))?;
            }
            tally.settle()?;
            if is_past {
                break;
            }
        }
    }
    let mut plan = assemble(tally, Vec::new(), rates)?;
    plan.window = Some(Window { from, to });
    Ok(plan)
}

fn assemble(tally: Tally, mut warnings: Vec<Warning>, rates: &Rates) -> Result<Plan, PlanError> {
    let planned_at = tally.now();
    let Tallied { suites, unmapped, sample, warnings: mut found } = tally.finish()?;
    warnings.append(&mut found);
    let mut total = Counts::default();
    suites.iter().for_each(|suite| total += suite.total);
    unmapped.iter().for_each(|requestor| total += requestor.total);
    Ok(Plan {
        planned_at,
        inputs: Vec::new(),
        window: None,
        rejected: 0,
        total,
        by_dia: by_dia(&suites, rates),
        by_bulk: by_bulk(&suites, sample, rates),
        suites,
        unmapped,
        warnings,
        input_warnings: Vec::new(),
        failures: Vec::new(),
    })
}

/// Each warning with the sentence that people read.
fn with_texts<S: Serializer>(warnings: &[Warning], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Told<'a> {
        #[serde(flatten)]
        warning: &'a Warning,
        text: String,
    }
    serializer.collect_seq(warnings.iter().map(|warning| Told { warning, text: warning.to_string() }))
}

fn as_texts<S: Serializer>(texts: &[impl fmt::Display], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts.iter().map(ToString::to_string))
}
