//! Runs a backfill: loads its inputs, then sends in legs. A leg lasts until an interruption, such as a live drain.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::bulk::{BulkWay, FileRoute, withdraw_unsent};
use super::error::BackfillError;
use super::gate::{self, Ending, Gate, Leg, Passage};
use crate::buffer::{
    BackfillLock, Buffer, BufferError, JobCalls, JobCounts, JobInput, JobKey, JobObstacles, JobRecord,
    JobSource,
};
use crate::collection::Collection;
use crate::config::{MapConfig, Zone};
use crate::drain::{self, DrainOptions, Locked, RunSummary, Stop, StopReason};
use crate::event::{Instant, Slice};
use crate::ingest::{self, FormatChoice, IngestOptions, InputPath, Maps};
use crate::job::{JobName, JobRoute, JobState};

/// How long to wait before the next leg if a host did not answer or if events were left pending.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How often a job that waits for the drain lock tries again.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The options of backfills.
pub struct BackfillOptions {
    pub ingest: IngestOptions,
    pub drain: DrainOptions,
    /// The connections of the DIA route, limited to the rate of the job.
    pub collection: Collection,
    pub bulk: BulkWay,
    /// The time zone of the hours in which a job may send.
    pub zone: Zone,
}

/// The result of a run of a backfill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackfillReport {
    #[serde(flatten)]
    pub job: JobRecord,
    #[serde(flatten)]
    pub counts: JobCounts,
    #[serde(flatten)]
    pub calls: JobCalls,
    /// The counts of each input that is completely loaded into the buffer.
    pub inputs: Vec<serde_json::Value>,
    pub ending: Ending,
    /// What hindered the job when it last sent or loaded.
    #[serde(flatten)]
    pub obstacles: JobObstacles,
    /// Pending events whose requestor has no suite, or whose suite is paused or blocked.
    pub parked: u64,
}

/// Receives the progress of a backfill.
pub trait Observer: ingest::Observer {
    /// Called when all inputs are in the buffer and sending begins.
    fn sending(&mut self, counts: &JobCounts);
    /// Called when the job waits, with the reason.
    fn waiting(&mut self, why: &str);
}

/// Runs a job until it is done, paused, cancelled or stopped.
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
    buffer.begin_job_run(job.key)?;
    buffer.accept_restored(options.drain.after_restore)?;
    withdraw_unsent(buffer, &job, &options.bulk.config.dir)?;
    let gate = Gate {
        buffer: buffer.clone(),
        name: name.clone(),
        hours: job.settings.hours,
        zone: options.zone,
        clock: options.ingest.clock.clone(),
        stop,
    };
    let mut run = Run { buffer, key: job.key, lock, options, gate, observer };
    let ending = match run.load().await? {
        Some(ending) => ending,
        None => run.send().await?,
    };
    // Unsent files must not stay, whichever route the job used.
    withdraw_unsent(buffer, &job, &options.bulk.config.dir)?;
    if ending == Ending::Done {
        buffer.job_is_done(job.key)?;
    }
    buffer.end_job_run(job.key)?;
    let counts = buffer.job_counts(job.key)?;
    let job = buffer.job(name)?;
    // A job that is still `Running` counts as stopped, because no process runs it any more.
    let state = if job.state == JobState::Running { JobState::Stopped } else { job.state };
    Ok(BackfillReport {
        calls: buffer.job_calls(job.key)?,
        inputs: buffer.job_input_counts(job.key)?,
        obstacles: buffer.job_obstacles(job.key)?,
        job: JobRecord { state, ..job },
        ending,
        parked: counts.pending.saturating_sub(counts.in_files + buffer.job_sendable(job.key)?),
        counts,
    })
}

struct Run<'a> {
    buffer: &'a Arc<Buffer>,
    key: JobKey,
    lock: &'a BackfillLock,
    options: &'a BackfillOptions,
    gate: Gate,
    observer: &'a mut (dyn Observer + Send),
}

impl Run<'_> {
    /// Loads the missing inputs into the buffer. Returns `Some` if the run ended before all were loaded.
    async fn load(&mut self) -> Result<Option<Ending>, BackfillError> {
        for JobInput { number, source, is_loaded } in self.buffer.job_inputs(self.key)? {
            if let Passage::Ended(ending) = self.gate.loading()? {
                return Ok(Some(ending));
            }
            if is_loaded {
                continue;
            }
            let loaded = match source {
                JobSource::File { path, format, map, slice } => {
                    self.load_file(&path, format.as_deref(), map.as_deref(), slice)?
                }
                JobSource::Buffered { from, to } => self.adopt(from, to).await?,
            };
            match loaded {
                ControlFlow::Continue(counts) => self.buffer.job_input_loaded(self.key, number, &counts)?,
                ControlFlow::Break(ending) => return Ok(Some(ending)),
            }
        }
        Ok(None)
    }

    fn load_file(
        &mut self,
        path: &Path,
        format: Option<&str>,
        map: Option<&(String, MapConfig)>,
        slice: Slice,
    ) -> Result<ControlFlow<Ending, serde_json::Value>, BackfillError> {
        let format = format.and_then(|word| word.parse().ok()).map_or(FormatChoice::Auto, FormatChoice::Is);
        let maps = map.map_or(Ok(Maps::default()), |(name, config)| Maps::of(name, config));
        let maps = maps.map_err(BackfillError::Input)?;
        let ingest = IngestOptions { format, maps, slice, job: self.key, ..self.options.ingest.clone() };
        let mut yielding = Yielding { observer: self.observer, gate: &self.gate, ended: Ok(None) };
        // Storing blocks this thread, but nothing else needs the thread meanwhile.
        let summary = tokio::task::block_in_place(|| {
            ingest::load(&**self.buffer, &[InputPath::new(path)], &ingest, &mut yielding)
        })?;
        if let Some(ending) = yielding.ended? {
            return Ok(ControlFlow::Break(ending));
        }
        if let Some(failure) = summary.failures.first() {
            return Err(BackfillError::Input(failure.to_string()));
        }
        summary.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(ControlFlow::Continue(serde_json::json!({
            "path": path, "counts": summary.total, "rejects": summary.rejects_path,
            "rejects_not_kept": summary.rejects_not_kept, "unused": summary.inputs.first().and_then(|input| input.unused.as_ref()),
        })))
    }

    /// Moves live pending events of a window into the job, once no drain is running.
    async fn adopt(
        &mut self,
        from: Instant,
        to: Instant,
    ) -> Result<ControlFlow<Ending, serde_json::Value>, BackfillError> {
        let lock = loop {
            match self.buffer.lock() {
                Ok(lock) => break lock,
                Err(BufferError::Locked(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if let Passage::Ended(ending) = self.gate.loading()? {
                return Ok(ControlFlow::Break(ending));
            }
            self.observer.waiting(gate::LIVE_FIRST);
            sleep(LOCK_POLL).await;
        };
        let adopted = self.buffer.adopt(self.key, from, to, &lock)?;
        Ok(ControlFlow::Continue(serde_json::json!({ "from": from, "to": to, "adopted": adopted })))
    }

    /// Sends in legs until no event is left that can be sent.
    async fn send(&mut self) -> Result<Ending, BackfillError> {
        self.buffer.begin_sending(self.key)?;
        self.observer.sending(&self.buffer.job_counts(self.key)?);
        let files = FileRoute::new(self.buffer, &self.options.bulk, None);
        let mut left_before = None;
        loop {
            match self.gate.sending()? {
                Passage::Open => {}
                Passage::Ended(ending) => return Ok(ending),
                Passage::Waits(why) => {
                    self.pause(&why, gate::POLL).await;
                    continue;
                }
            }
            let job = self.buffer.job(&self.gate.name)?;
            let is_open = self.buffer.open_files()?.iter().any(|(file, _)| file.file.job == job.key);
            if !is_open && self.buffer.job_counts(job.key)?.pending == 0 {
                return Ok(Ending::Done);
            }
            let leg_stop = Stop::default();
            let watch = tokio::spawn(self.gate.clone().watch(leg_stop.clone()));
            let leg = self.leg(&job, &files, leg_stop).await;
            watch.abort();
            match leg? {
                Leg::Done => {
                    // Events may have been requeued meanwhile, so legs follow as long as this number changes.
                    let left = self.buffer.job_sendable(job.key)?;
                    if left == 0 || left_before == Some(left) {
                        return Ok(Ending::Done);
                    }
                    left_before = Some(left);
                }
                Leg::Suite => return Ok(Ending::Suite),
                Leg::Over => {}
                Leg::Later(why) => self.pause(&why, TRY_AGAIN_AFTER).await,
            }
        }
    }

    async fn leg(&self, job: &JobRecord, files: &FileRoute<'_>, stop: Stop) -> Result<Leg, BackfillError> {
        // Events in files wait for the answers to those files, whichever route sends the rest.
        if !files.settle_open(job, &stop).await? {
            return Ok(Leg::Over);
        }
        match job.settings.route {
            JobRoute::Bulk => files.leg(job, stop).await,
            JobRoute::Dia => self.dia_leg(job, stop).await,
        }
    }

    async fn dia_leg(&self, job: &JobRecord, stop: Stop) -> Result<Leg, BackfillError> {
        let BackfillOptions { collection, drain: options, .. } = self.options;
        let locked = Locked::Backfill(self.lock, job);
        let summary = drain::drain(self.buffer, collection, options, stop, locked).await?;
        Ok(match summary.stopped {
            None if !summary.left => Leg::Done,
            None | Some(StopReason::Host) => Leg::Later(why_later(&summary)),
            Some(StopReason::Suite) => Leg::Suite,
            Some(StopReason::Signal | StopReason::Deadline | StopReason::Limit | StopReason::GiveWay) => {
                Leg::Over
            }
        })
    }

    /// Waits and tells the observer why. A stop ends the wait.
    async fn pause(&mut self, why: &str, time: Duration) {
        self.observer.waiting(why);
        tokio::select! {
            () = sleep(time) => {}
            _ = self.gate.stop.wait() => {}
        }
    }
}

/// Why events are left for a later leg.
fn why_later(summary: &RunSummary) -> String {
    let trouble = summary.troubles.first().map(|trouble| format!("{}: {}", trouble.host, trouble.cause));
    format!("{}; tried again in a while", trouble.as_deref().unwrap_or("some events were not received"))
}

/// An observer that pauses the loading while a live drain runs: during a load, a drain has only a third of its rate,
/// because both write to the buffer. Ends the loading after a stop, or if a person pauses or cancels the job.
struct Yielding<'a> {
    observer: &'a mut (dyn Observer + Send),
    gate: &'a Gate,
    /// Why the loading ended before the end of the input.
    ended: Result<Option<Ending>, BufferError>,
}

impl ingest::Observer for Yielding<'_> {
    fn progress(&mut self, progress: &ingest::Progress<'_>) {
        self.observer.progress(progress);
    }

    fn goes_on(&mut self) -> bool {
        loop {
            match self.gate.loading() {
                Ok(Passage::Open) => return true,
                Ok(Passage::Waits(why)) => self.observer.waiting(&why),
                Ok(Passage::Ended(ending)) => self.ended = Ok(Some(ending)),
                Err(error) => self.ended = Err(error),
            }
            if !matches!(self.ended, Ok(None)) {
                return false;
            }
            std::thread::sleep(gate::POLL);
        }
    }
}
