//! The bulk route: reads the events suite by suite, each suite in time order, writes them into files of their visitor
//! groups, and uploads each file as soon as the pace allows it.
//!
//! ```text
//! queue ── walk (a thread) ──> rows ──> file of a group ──> on record ──> upload (a task a group) ──> settled, removed
//! ```
//!
//! A visitor belongs to one group of its suite for the life of a job. A group has at most one upload in flight, and
//! its files are uploaded in the order in which they were written.

mod files;
mod leg;
mod pace;
mod upload;
mod walk;
mod way;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::error::BackfillError;
use super::gate::Leg;
use crate::buffer::{
    Buffer, BufferError, BulkFile, BulkFileState, Change, Claims, JobKey, JobRecord, NewBulkFile,
};
use crate::drain::{Stop, StopReason, tell_blocked};
use files::{Files, Written, make_folder};
use pace::Pace;
use upload::{Group, State, Uploading, settle, unnamed_rows};
use walk::{Step, Walk};

pub(super) use files::LEVEL;
pub use files::forget_files;
pub(super) use leg::{LiveLeg, Tally};
pub(super) use pace::pace_of_calls;
pub use upload::withdraw_unsent;
pub use way::BulkWay;

/// How many files of a group may wait during an upload: enough that the next upload need not wait for rows.
const FILES_AHEAD: usize = 1;
/// How many dead events are recorded in one transaction.
const DEAD_TOGETHER: usize = 1_000;

/// The result of an export: files with the events of a job that wait to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    pub folder: PathBuf,
    pub files: Vec<PathBuf>,
    pub rows: u64,
    /// Events that cannot be sent at all.
    pub unsendable: u64,
    /// Events in files that were sent. They have no outcome yet, and are not exported.
    pub in_files: u64,
    /// Events whose requestor has no suite, or whose suite is paused or blocked. They are not exported.
    pub parked: u64,
}

/// Writes the events of a job that wait to be sent into files. Sends nothing; the events stay pending.
pub fn export(
    buffer: &Buffer,
    job: &JobRecord,
    way: &BulkWay,
    folder: &Path,
    goes_on: &dyn Fn() -> bool,
) -> Result<ExportReport, BackfillError> {
    let _lock = buffer.lock_backfill()?;
    let in_files = withdraw_unsent(buffer, job, &way.config.dir)?;
    let groups = job.groups.unwrap_or_else(|| way.groups(job));
    let folder = make_folder(folder, buffer)?;
    let waiting = buffer.job_counts(job.key)?.pending;
    let mut report = ExportReport {
        folder: folder.clone(),
        files: Vec::new(),
        rows: 0,
        unsendable: 0,
        in_files,
        parked: waiting.saturating_sub(in_files + buffer.job_sendable(job.key)?),
    };
    let mut files = Files::new(way, groups, &folder);
    let mut walk = Walk::new(buffer, job, &way.config.user_agent, None)?;
    let mut row = Vec::new();
    let mut written = Vec::new();
    while let Some(step) = walk.next(&mut row)? {
        if !goes_on() {
            return Err(BufferError::Stopped.into());
        }
        match step {
            Step::Dead { .. } => report.unsendable += 1,
            Step::Rows { rsid, event } => {
                let full = files.add(&rsid, event, &row, way.config.file_rows.into())?;
                written.extend(full.map(|file| (file.path, file.rows)));
            }
        }
    }
    written.extend(files.finish()?.into_iter().map(|file| (file.path, file.rows)));
    report.rows = written.iter().map(|(_, rows)| rows).sum();
    report.files = written.into_iter().map(|(path, _)| path).collect();
    Ok(report)
}

/// The bulk route, over all legs of a run.
pub(super) struct FileRoute<'a> {
    buffer: &'a Arc<Buffer>,
    way: &'a BulkWay,
    /// How many rows a file may have; halved if Adobe finds a file too large.
    file_rows: Arc<AtomicU64>,
    /// The suite whose live events are sent; `None` for a backfill.
    live: Option<LiveLeg>,
}

impl<'a> FileRoute<'a> {
    pub(super) fn new(buffer: &'a Arc<Buffer>, way: &'a BulkWay, live: Option<LiveLeg>) -> FileRoute<'a> {
        let file_rows = Arc::new(AtomicU64::new(way.config.file_rows.max(1).into()));
        FileRoute { buffer, way, file_rows, live }
    }

    /// Runs one leg until all its events are settled or the leg must end.
    pub(super) async fn leg(&self, job: &JobRecord, stop: Stop) -> Result<Leg, BackfillError> {
        let groups = self.buffer.fix_groups(job.key, self.way.groups(job))?;
        if self.live.is_none() {
            tell_blocked(self.buffer, job.key, &[]).await?;
        }
        let uploading = self.uploading(job, groups, &stop)?;
        let (senders, receivers) = mpsc::channel(1);
        let writing = Writing {
            shared: uploading.clone(),
            job: job.clone(),
            folder: make_folder(&self.way.config.dir.join(job.name.as_str()), self.buffer)?,
            groups,
            file_rows: self.way.file_rows(job, groups, self.file_rows.load(Ordering::Relaxed)),
            runtime: tokio::runtime::Handle::current(),
        };
        let writer = std::thread::Builder::new()
            .name("bulk files".to_owned())
            .spawn(move || writing.run(&senders))
            .map_err(BackfillError::Thread)?;
        let uploads = upload_all(&uploading, receivers).await;
        if uploads.is_err() {
            stop.request(StopReason::GiveWay);
        }
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        uploads?;
        Ok(if written? && stop.requested().is_none() { Leg::Done } else { Leg::Over })
    }

    /// Finishes files that earlier legs left open (of all backfills, or of this suite's live events): settles files
    /// with an answer, looks up sent files, withdraws unsent files. Returns false if the leg had to end before that.
    pub(super) async fn settle_open(&self, job: &JobRecord, stop: &Stop) -> Result<bool, BackfillError> {
        let mut open = self.buffer.open_files()?;
        // Drains and backfills run side by side, so neither touches the files of the other.
        let is_live = |of: JobKey| of.is_standing() || job.key.is_standing();
        open.retain(|(file, _)| file.file.job == job.key || !is_live(file.file.job));
        if open.is_empty() {
            return Ok(true);
        }
        let shared = self.uploading(job, job.groups.unwrap_or(1), stop)?;
        for (file, state) in open {
            match state {
                BulkFileState::Written => self.buffer.withdraw_file(&file)?,
                // A file of another job waits until that job is resumed.
                BulkFileState::Stuck { .. } if file.file.job != job.key => {}
                BulkFileState::Stuck { unnamed } if !self.way.accepts_unnamed => {
                    return Err(unnamed_rows(&file, unnamed, String::new()));
                }
                BulkFileState::Received | BulkFileState::Stuck { .. } => {
                    settle(&shared, &file)?;
                }
                BulkFileState::Sent => {
                    let why = "the process before ended without its answer".to_owned();
                    let mut group = Group::new(&shared, &file.file.visitor_group)?;
                    if group.file(&file, State::Unknown(why)).await?.is_break() {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Begins a run, unless a drain has begun it. Returns the state that the groups of the run share.
    fn uploading(&self, job: &JobRecord, groups: u32, stop: &Stop) -> Result<Arc<Uploading>, BackfillError> {
        let client = self.way.client()?.clone();
        let live = self.live.clone();
        let calls = live.as_ref().map_or_else(|| pace_of_calls(&self.way.config), |live| live.calls.clone());
        let share = f64::from(self.way.rate(job)) / f64::from(groups.max(1));
        let pace = Pace::new(calls, &self.way.config, share, job.is_valid);
        let run = match &live {
            Some(live) => live.start.run,
            None => self.buffer.begin_run(job.key)?.run,
        };
        Ok(Arc::new(Uploading {
            buffer: self.buffer.clone(),
            client,
            pace,
            way: self.way.clone(),
            job: job.key,
            run,
            file_rows: self.file_rows.clone(),
            stop: stop.clone(),
            live,
        }))
    }
}

/// Starts a task for each group, and gives it the files of the group in order.
async fn upload_all(
    uploading: &Arc<Uploading>,
    mut written: mpsc::Receiver<BulkFile>,
) -> Result<(), BackfillError> {
    let mut groups: HashMap<String, mpsc::Sender<BulkFile>> = HashMap::new();
    let mut tasks: JoinSet<Result<(), BackfillError>> = JoinSet::new();
    let mut failed = None;
    while let Some(file) = written.recv().await {
        let group = match groups.entry(file.file.visitor_group.clone()) {
            Entry::Occupied(group) => group.into_mut(),
            Entry::Vacant(place) => {
                let (sender, files) = mpsc::channel(FILES_AHEAD);
                tasks.spawn(Group::new(uploading, place.key())?.run(files));
                place.insert(sender)
            }
        };
        // The send fails only if the group has ended. If the group failed, the join below returns its error.
        if group.send(file).await.is_err() {
            break;
        }
    }
    written.close();
    drop(groups);
    while let Some(joined) = tasks.join_next().await {
        if let Err(error) = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            uploading.stop.request(StopReason::GiveWay);
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The thread that reads the events of the job and writes the files.
struct Writing {
    shared: Arc<Uploading>,
    job: JobRecord,
    folder: PathBuf,
    groups: u32,
    file_rows: u64,
    runtime: tokio::runtime::Handle,
}

impl Writing {
    /// Returns true if all pending events are written and handed to their groups.
    fn run(self, groups: &mpsc::Sender<BulkFile>) -> Result<bool, BackfillError> {
        let Uploading { buffer, way, stop, live, .. } = &*self.shared;
        let mut walk = Walk::new(buffer, &self.job, &way.config.user_agent, live.as_ref())?;
        let mut files = Files::new(way, self.groups, &self.folder);
        let (mut dead, mut row) = (Vec::new(), Vec::new());
        while let Some(step) = walk.next(&mut row)? {
            if stop.requested().is_some() {
                return Ok(false);
            }
            if live.as_ref().is_some_and(|live| !live.take_one()) {
                break;
            }
            match step {
                Step::Dead { event, form, reason } => {
                    dead.push(Change::Dead { event, form, reason, at: buffer.now() });
                    if dead.len() >= DEAD_TOGETHER {
                        self.bury(&mut dead)?;
                    }
                }
                Step::Rows { rsid, event } => {
                    // All files of a live leg are for its suite, even if an event was tried for another suite before.
                    let rsid = live.as_ref().map_or(rsid, |live| live.rsid.clone());
                    if let Some(written) = files.add(&rsid, event, &row, self.file_rows)?
                        && !self.hand_over(written, groups)?
                    {
                        return Ok(false);
                    }
                }
            }
        }
        self.bury(&mut dead)?;
        for written in files.finish()? {
            if !self.hand_over(written, groups)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn bury(&self, dead: &mut Vec<Change>) -> Result<(), BackfillError> {
        if !dead.is_empty() {
            self.shared.live.iter().for_each(|live| live.count(0, 0, dead.len() as u64));
            let Uploading { buffer, run, .. } = &*self.shared;
            self.runtime.block_on(buffer.record(*run, Claims::default(), std::mem::take(dead)))?;
        }
        Ok(())
    }

    /// Records a file in the buffer and gives it to its group. Returns false if the uploads have ended.
    fn hand_over(&self, written: Written, groups: &mpsc::Sender<BulkFile>) -> Result<bool, BackfillError> {
        let Written { group, path, key, rows, bytes, events } = written;
        let file = NewBulkFile { job: self.job.key, visitor_group: group, key, path, rows, bytes };
        let id = self.shared.buffer.file_written(file.clone(), events)?;
        Ok(groups.blocking_send(BulkFile { id, file }).is_ok())
    }
}
