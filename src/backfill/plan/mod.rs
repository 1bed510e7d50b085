//! The plan of a backfill: the events that it would store and send, the time that each route takes, and warnings.
//!
//! A plan stores nothing. It counts each event with the identity, the mapping and the documents that an
//! ingest and a drain use. Memory is bounded for every input; `tally` gives the limit.

mod counts;
mod file_state;
mod routes;
mod tally;
mod warning;

use std::fmt;
use std::ops::ControlFlow;

use serde::{Serialize, Serializer};

use crate::buffer::{Buffer, BufferError, Flow, JobKey, Merge};
use crate::delivery::Sequence;
use crate::event::{Instant, LostKeys};
use crate::ingest::{self, IngestOptions, InputFailure, InputPath};
use routes::{by_bulk, by_dia};
use tally::{Tallied, Tally};

pub use counts::{Counts, Day, DayPlan, NewDays, Progress, SuitePlan, UnmappedPlan};
pub use file_state::FileState;
pub use routes::{BulkRoute, DiaRoute, HostRoute, Limit, Rates};
pub use warning::{REMEMBERED_MAX, Warning};

/// What a backfill would do. `--json` prints it in this form.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// When the plan was made. The age of events is measured from this time.
    pub planned_at: Instant,
    /// The inputs, in the given order; empty if events of the buffer are planned.
    pub inputs: Vec<InputPlan>,
    /// The window, if events of the buffer are planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Rejected lines of all inputs.
    pub rejected: u64,
    pub total: Counts,
    /// Each suite that has events, sorted by ID.
    pub suites: Vec<SuitePlan>,
    /// Each requestor that has events and no suite, sorted by name.
    pub unmapped: Vec<UnmappedPlan>,
    /// The days on which each requestor has new events.
    pub new_days: Vec<NewDays>,
    /// The route hit by hit. It includes paused suites.
    pub by_dia: DiaRoute,
    /// The route of bulk files. It includes paused suites.
    pub by_bulk: BulkRoute,
    #[serde(serialize_with = "with_texts")]
    pub warnings: Vec<Warning>,
    /// Warnings from reading the inputs: the first rejected lines with their reasons, and unknown keys.
    #[serde(serialize_with = "as_texts")]
    pub input_warnings: Vec<ingest::Warning>,
    /// The inputs that could not be read to their end. The plan includes the events before the failure.
    #[serde(serialize_with = "as_texts")]
    pub failures: Vec<InputFailure>,
}

/// The counts of one input: `read` is the sum of `events`, duplicates included, and of `rejected` lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputPlan {
    pub path: String,
    pub read: u64,
    pub events: u64,
    pub rejected: u64,
    /// The state of the file; `None` if it cannot be read, and for standard input.
    #[serde(flatten)]
    pub file: Option<FileState>,
    /// Why nothing of the input would be used, although the input is not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
    /// The keys that nearly all earlier events had, in the buffer or in earlier inputs, and no event of this input has.
    #[serde(skip_serializing_if = "LostKeys::is_empty")]
    pub lost_keys: LostKeys,
}

/// The time in which the planned events happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    pub from: Instant,
    /// The end of the window. An event at this instant is outside.
    pub to: Instant,
}

/// Plans the inputs. Reads every input once, as an ingest would, and stores nothing. An input that fails is listed in
/// the plan's failures. The plan ignores what the buffer remembers of earlier logs of exchanges, so an ingest may derive
/// other events from logs that begin in the middle of a session. `observe` is called after each few thousand events.
pub fn plan(
    buffer: &Buffer,
    inputs: &[InputPath],
    options: &IngestOptions,
    rates: &Rates,
    observe: &mut dyn FnMut(Progress),
) -> Result<Plan, BufferError> {
    // The states are taken before the files are read. So the run refuses a file that changed while the plan read it.
    let files: Vec<Option<FileState>> = inputs.iter().map(FileState::of_input).collect();
    let mut options = options.clone();
    if options.secret.is_none() {
        // The identity of an exchange depends on the secret.
        options.secret = Some(buffer.source_secret()?.to_vec());
    }
    let mut tally = Tally::new(buffer, options.clock.now(), false)?;
    let mut taken = Ok(false);
    let summary =
        ingest::preview_after(buffer.filled_keys()?, Some(buffer), inputs, &options, &mut |event, _| {
            taken = tally.take(event, None);
            match taken {
                Ok(is_settled) => {
                    if is_settled {
                        observe(tally.progress);
                    }
                    ControlFlow::Continue(())
                }
                Err(_) => ControlFlow::Break(()),
            }
        });
    taken?;
    tally.settle()?;
    observe(tally.progress);
    let inputs = summary.inputs.iter().zip(files).map(|(input, file)| InputPlan {
        file,
        path: input.path.clone(),
        read: input.counts.read,
        events: input.counts.read - input.counts.rejected,
        rejected: input.counts.rejected,
        unused: input.unused.clone(),
        lost_keys: input.lost_keys.clone(),
    });
    let inputs: Vec<InputPlan> = inputs.collect();
    let plan = assemble(tally, rates)?;
    let rejected = inputs.iter().filter(|input| input.rejected > 0);
    let rejected =
        rejected.map(|input| Warning::Rejected { path: input.path.clone(), lines: input.rejected });
    Ok(Plan {
        warnings: rejected.chain(plan.warnings).collect(),
        rejected: summary.total.rejected,
        input_warnings: summary.warnings,
        failures: summary.failures,
        inputs,
        ..plan
    })
}

/// Plans the live events that wait in the buffer and happened from `from` until before `to`. Their age is measured by
/// the buffer's clock. An event in doubt is counted in the form of its earlier attempts.
pub fn plan_buffered(
    buffer: &Buffer,
    from: Instant,
    to: Instant,
    rates: &Rates,
) -> Result<Plan, BufferError> {
    let reader = buffer.planning()?;
    let mut tally = Tally::new(buffer, reader.now(), true)?;
    let mut backlog = buffer.backlog(JobKey::LIVE)?;
    for requestor in reader.waiting(from, to)? {
        let mut waiting = Merge::since([requestor], from);
        while let Some((_, pending)) = waiting.next(&mut backlog, Sequence(i64::MAX), |_| Flow::Flows)?
            && pending.reference.occurred_at < to
        {
            if tally.take(&pending.event, pending.doubted.as_ref().map(|doubted| &*doubted.form))? {
                tally.settle()?;
            }
        }
    }
    tally.settle()?;
    Ok(Plan { window: Some(Window { from, to }), ..assemble(tally, rates)? })
}

fn assemble(tally: Tally, rates: &Rates) -> Result<Plan, BufferError> {
    let planned_at = tally.now;
    let Tallied { suites, unmapped, new_days, sample, warnings } = tally.finish()?;
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
        new_days,
        warnings,
        input_warnings: Vec::new(),
        failures: Vec::new(),
    })
}

/// Serialises each warning with its text for people.
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
