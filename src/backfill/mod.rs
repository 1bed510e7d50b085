//! Plans history, takes it in and sends it, below live traffic: jobs that have a name, a rate and hours, and go on where they
//! were.
//!
//! - In: a job of the buffer, its files, a stop. Out: a [`BackfillReport`].
//! - Guarantees: nothing is sent before all inputs are in the buffer, so that each visitor's events go in the order of time;
//!   a live drain goes first; whatever ends the process, the next one goes on, and no event goes twice by the route of files
//!   or, with event IDs, counts twice by any.
//! - Does not know: SQL, sockets, what a person wants to read.
//! - Rules: the bulk route keeps section 7 of `reference/adobe-analytics.md`; the DIA route is the drain's.

mod bulk;
mod gate;
mod plan;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

pub use plan::{
    BulkRoute, Counts, Day, DayPlan, DiaRoute, HostRoute, InputPlan, Limit, Observer as PlanObserver, Plan,
    PlanError, Progress, REMEMBERED_MAX, Rates, SuitePlan, UnmappedPlan, Warning, Window, plan,
    plan_buffered,
};

pub use bulk::{BulkLimits, BulkWay, ExportReport, export, forget_files, withdraw_unsent};

use crate::buffer::{BackfillLock, Buffer, BufferError, JobCounts, JobInput, JobRecord, JobSource};
use crate::collection::Collection;
use crate::config::Zone;
use crate::drain::{self, DrainError, DrainOptions, Locked, RunSummary, Stop, StopReason};
use crate::ingest::{self, FormatChoice, IngestError, IngestOptions, InputPath};
use crate::job::{JobName, JobRoute, JobState};
use crate::readers::Format;
use crate::web::ApiError;
use gate::{Gate, Passage};

/// The pause before a host that did not answer, or events that were refused for the moment, are tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How often a job that waits for the drain lock looks again.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// How backfills go about it.
pub struct BackfillOptions {
    pub ingest: IngestOptions,
    /// How the DIA route drains.
    pub drain: DrainOptions,
    /// The connections of the DIA route, at the rate of the job.
    pub collection: Collection,
    pub bulk: BulkWay,
    /// The clock of a job's hours.
    pub zone: Zone,
}

/// Why a backfill stopped. It goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error("{0}")]
    Input(String),
    #[error(transparent)]
    Drain(#[from] DrainError),
    /// Adobe takes no uploads from us, or does not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("cannot use {path:?}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The bulk route is wanted, and nothing says whose credentials it has.
    #[error("the bulk route needs an OAuth server-to-server credential")]
    NotConfigured,
    /// Nothing of a file is in, and Adobe will not take it as it is.
    #[error("Adobe rejects the file {path:?}: {why}")]
    Rejected {
        path: PathBuf,
        /// In Adobe's words.
        why: String,
    },
    #[error("Adobe does not find the first file valid: {0}")]
    NotValid(String),
    /// Each upload of a file was left without an answer, and each look-up knew nothing of it.
    #[error("no upload of the file {path:?} was answered: {why}")]
    Unanswered {
        path: PathBuf,
        /// What the last one came to.
        why: String,
    },
    #[error("Adobe finds the file {0:?} of one event too large")]
    TooLarge(PathBuf),
    /// A file is in, and it is not known which of its rows are not.
    #[error("Adobe has taken the file {path:?} but for {rows} rows that it does not name{}", said(log))]
    Unnamed {
        path: PathBuf,
        rows: u64,
        /// In Adobe's words.
        log: String,
    },
    #[error("backfill {name} is {}", state.name())]
    State { name: JobName, state: JobState },
    #[error("cannot start a thread to write files")]
    Thread(#[source] std::io::Error),
}

fn said(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(" ({log})") }
}

/// Why a run of a backfill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Everything that can go is gone.
    Done,
    Paused,
    Cancelled,
    Stopped,
    /// A collection host refuses a suite.
    Suite,
}

/// What a run of a backfill has come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackfillReport {
    #[serde(flatten)]
    pub job: JobRecord,
    #[serde(flatten)]
    pub counts: JobCounts,
    /// What its inputs held, those that are in the buffer.
    pub inputs: Vec<serde_json::Value>,
    pub ending: Ending,
    /// Pending events whose requestor has no suite, or whose suite is paused.
    pub parked: u64,
}

/// Watches a backfill.
pub trait Observer: ingest::Observer {
    /// All inputs are in; sending begins.
    fn sending(&mut self, counts: &JobCounts);
    /// Nothing is sent for now, and why.
    fn waiting(&mut self, why: &str);
}

/// Runs a job until it is done, paused or stopped.
pub async fn run(
    buffer: &Arc<Buffer>,
    name: &JobName,
    lock: &BackfillLock,
    options: &BackfillOptions,
    stop: Stop,
    observer: &mut (dyn Observer + Send),
) -> Result<BackfillReport, BackfillError> {
    let job = buffer.job(name)?;
    if job.state != JobState::Running {
        return Err(BackfillError::State { name: name.clone(), state: job.state });
    }
    if job.settings.route == JobRoute::Bulk {
        // Before hours of loading, not behind them.
        options.bulk.client()?;
    }
    drain::accept_restored(buffer, options.drain.after_restore)?;
    withdraw_unsent(buffer, &job, &options.bulk.dir)?;
    let ending = match load(buffer, &job, options, &stop, observer).await? {
        Some(ending) => ending,
        None => {
            observer.sending(&buffer.job_counts(job.key)?);
            send(buffer, name, options, lock, &stop, observer).await?
        }
    };
    // By whatever route it went, nothing of it is left that nobody knows.
    withdraw_unsent(buffer, &job, &options.bulk.dir)?;
    if ending == Ending::Done {
        buffer.job_is_done(job.key)?;
    }
    let counts = buffer.job_counts(job.key)?;
    Ok(BackfillReport {
        inputs: buffer.job_input_counts(job.key)?,
        job: buffer.job(name)?,
        ending,
        parked: counts.pending.saturating_sub(counts.in_files + buffer.job_sendable(job.key)?),
        counts,
    })
}

/// Brings the inputs that are not in yet into the buffer; `Some` where it ended before that.
async fn load(
    buffer: &Arc<Buffer>,
    job: &JobRecord,
    options: &BackfillOptions,
    stop: &Stop,
    observer: &mut (dyn Observer + Send),
) -> Result<Option<Ending>, BackfillError> {
    for input in buffer.job_inputs(job.key)? {
        if stop.requested().is_some() {
            return Ok(Some(Ending::Stopped));
        }
        match buffer.job(&job.name)?.state {
            JobState::Paused => return Ok(Some(Ending::Paused)),
            JobState::Cancelled => return Ok(Some(Ending::Cancelled)),
            _ if input.is_loaded => {}
            _ => {
                if let Some(ending) = load_one(buffer, job, input, options, stop, observer).await? {
                    return Ok(Some(ending));
                }
            }
        }
    }
    Ok(None)
}

async fn load_one(
    buffer: &Arc<Buffer>,
    job: &JobRecord,
    input: JobInput,
    options: &BackfillOptions,
    stop: &Stop,
    observer: &mut (dyn Observer + Send),
) -> Result<Option<Ending>, BackfillError> {
    match input.source {
        JobSource::File { path, format } => {
            let format =
                format.as_deref().and_then(Format::of_name).map_or(FormatChoice::Auto, FormatChoice::Is);
            let ingest = IngestOptions { format, job: job.key, ..options.ingest.clone() };
            let mut yielding = Yielding { observer, buffer, name: &job.name, stop, ended: Ok(None) };
            // Storing blocks, and nothing else is to be done meanwhile.
            let summary = tokio::task::block_in_place(|| {
                ingest::load(buffer, &[InputPath::new(&path)], &ingest, &mut yielding)
            })?;
            if let Some(ending) = yielding.ended? {
                return Ok(Some(ending));
            }
            if let Some(failure) = summary.failures.first() {
                return Err(BackfillError::Input(failure.to_string()));
            }
            for warning in &summary.warnings {
                tracing::warn!("{warning}");
            }
            let counts = serde_json::json!({
                "path": path, "counts": summary.total, "rejects": summary.rejects_path,
            });
            buffer.job_input_loaded(job.key, input.number, &counts)?;
        }
        JobSource::Buffered { from, to } => {
            let lock = loop {
                match buffer.lock() {
                    Ok(lock) => break lock,
                    Err(BufferError::Locked(_)) if stop.requested().is_none() => {
                        observer.waiting(gate::LIVE_FIRST);
                        sleep(LOCK_POLL).await;
                    }
                    Err(BufferError::Locked(_)) => return Ok(Some(Ending::Stopped)),
                    Err(error) => return Err(error.into()),
                }
            };
            let adopted = buffer.adopt(job.key, from, to, &lock)?;
            let counts = serde_json::json!({ "from": from, "to": to, "adopted": adopted });
            buffer.job_input_loaded(job.key, input.number, &counts)?;
        }
    }
    Ok(None)
}

/// An observer that holds the loading while a live drain runs, and ends it for a stop or a person. Both would write to the
/// buffer all the time: beside a load that goes on, a drain has a third of its rate.
struct Yielding<'a> {
    observer: &'a mut (dyn Observer + Send),
    buffer: &'a Buffer,
    name: &'a JobName,
    stop: &'a Stop,
    /// Why it ended before the input did.
    ended: Result<Option<Ending>, BufferError>,
}

impl Yielding<'_> {
    fn ending(&mut self) -> Result<Option<Ending>, BufferError> {
        loop {
            if self.stop.requested().is_some() {
                return Ok(Some(Ending::Stopped));
            }
            match self.buffer.job(self.name)?.state {
                JobState::Paused => return Ok(Some(Ending::Paused)),
                JobState::Cancelled => return Ok(Some(Ending::Cancelled)),
                _ if !self.buffer.is_draining()? => return Ok(None),
                _ => {}
            }
            self.observer.waiting(gate::LIVE_FIRST);
            std::thread::sleep(gate::POLL);
        }
    }
}

impl ingest::Observer for Yielding<'_> {
    fn progress(&mut self, progress: &ingest::Progress<'_>) {
        self.observer.progress(progress);
    }

    fn goes_on(&mut self) -> bool {
        self.ended = self.ending();
        matches!(self.ended, Ok(None))
    }
}

/// Sends in legs, each as long as nothing goes first.
async fn send(
    buffer: &Arc<Buffer>,
    name: &JobName,
    options: &BackfillOptions,
    lock: &BackfillLock,
    stop: &Stop,
    observer: &mut (dyn Observer + Send),
) -> Result<Ending, BackfillError> {
    let gate = Gate {
        buffer: buffer.clone(),
        name: name.clone(),
        zone: options.zone,
        clock: options.ingest.clock.clone(),
    };
    let mut files = bulk::Sizes::new(&options.bulk.limits);
    let mut left_before = None;
    loop {
        match gate.passage()? {
            Passage::Open => {}
            Passage::Ended(ending) => return Ok(ending),
            Passage::Waits(why) => {
                observer.waiting(&why);
                if pause(gate::POLL, stop).await {
                    return Ok(Ending::Stopped);
                }
                continue;
            }
        }
        let job = buffer.job(name)?;
        let is_open = buffer.open_files()?.iter().any(|(file, _)| file.file.job == job.key);
        if !is_open && buffer.job_counts(job.key)?.pending == 0 {
            return Ok(Ending::Done);
        }
        let leg_stop = Stop::default();
        let watch = tokio::spawn(gate.clone().watch(leg_stop.clone(), stop.clone()));
        // What was in files stays the files' until their answers are known, by whatever route the rest goes.
        let leg = match bulk::settle_open(buffer, &job, &options.bulk, &files, &leg_stop).await {
            Ok(true) if job.settings.route == JobRoute::Dia => {
                dia_leg(buffer, &job, options, leg_stop, lock).await
            }
            Ok(true) => bulk::leg(buffer, &job, &options.bulk, &mut files, leg_stop).await,
            Ok(false) => Ok(Leg::Over),
            Err(error) => Err(error),
        };
        watch.abort();
        match leg? {
            Leg::Done => {
                // What was requeued behind the leg goes in another one, as long as legs get anywhere.
                let left = buffer.job_sendable(job.key)?;
                if left == 0 || left_before == Some(left) {
                    return Ok(Ending::Done);
                }
                left_before = Some(left);
            }
            Leg::Suite => return Ok(Ending::Suite),
            Leg::Over => {}
            Leg::Later(why) => {
                observer.waiting(&why);
                if pause(TRY_AGAIN_AFTER, stop).await {
                    return Ok(Ending::Stopped);
                }
            }
        }
        if stop.requested().is_some() {
            return Ok(Ending::Stopped);
        }
    }
}

enum Leg {
    /// Nothing is left that could go.
    Done,
    /// It gave way or was stopped.
    Over,
    /// The rest may go in a while.
    Later(String),
    /// A collection host refuses a suite.
    Suite,
}

async fn dia_leg(
    buffer: &Arc<Buffer>,
    job: &JobRecord,
    options: &BackfillOptions,
    stop: Stop,
    lock: &BackfillLock,
) -> Result<Leg, BackfillError> {
    let locked = Locked::Backfill(lock, job.key);
    let summary: RunSummary = drain::drain(buffer, &options.collection, &options.drain, stop, locked).await?;
    Ok(match summary.stopped {
        None if !summary.left => Leg::Done,
        None => Leg::Later("some events were not received; they are tried again".to_owned()),
        Some(StopReason::Host) => {
            Leg::Later("a collection host does not answer; it is tried again".to_owned())
        }
        Some(StopReason::Suite) => Leg::Suite,
        Some(_) => Leg::Over,
    })
}

/// Sleeps; true where a stop was asked for meanwhile.
async fn pause(time: Duration, stop: &Stop) -> bool {
    tokio::select! {
        () = sleep(time) => stop.requested().is_some(),
        _ = stop.wait() => true,
    }
}
