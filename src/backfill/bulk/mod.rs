//! The route of files: events in the order of time, into one open file per visitor group, each file up as soon as it may go.
//!
//! ```text
//! queue ── walk (a thread) ──> rows ──> file of a group ──> on record ──> upload (a task a group) ──> settled, removed
//! ```
//!
//! A visitor belongs to one group of its suite for the life of a job; a group has one upload in flight, and its files go in the
//! order in which they were written.

mod files;
mod pace;
mod upload;
mod walk;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{BackfillError, Leg};
use crate::buffer::{Buffer, BulkFile, Change, FiledEvent, JobRecord, NewBulkFile, RunId};
use crate::config::BulkConfig;
use crate::drain::{Stop, StopReason, tell_blocked};
use crate::suite::Rsid;
use crate::web::BulkClient;
use files::{Folder, OpenFile, Written};
use pace::Pace;
use upload::{Group, Uploading};
use walk::{Step, Walk};

pub use files::forget_files;
pub(super) use upload::settle_open;
pub use upload::withdraw_unsent;

/// Files of a group that wait while one of it goes up: enough that no upload waits for its rows.
const FILES_AHEAD: usize = 1;
/// A slow job sends a file at least as often as this.
const STEADY: Duration = Duration::from_secs(60);
/// Dead events that are recorded together.
const DEAD_TOGETHER: usize = 1_000;

/// Adobe's limits, or those of a contract.
#[derive(Debug, Clone)]
pub struct BulkLimits {
    pub file_rows: u64,
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Bytes of a file before it is compressed.
    pub file_bytes_unpacked: u64,
    pub call_spacing: Duration,
    /// Between two uploads of a group.
    pub group_spacing: Duration,
    /// Rows a second of a group.
    pub group_rows_per_second: NonZeroU32,
    /// How long a key must stay unknown until its file goes again.
    pub lookup: Duration,
    /// The first pause before an upload is tried again.
    pub backoff_base: Duration,
    pub backoff_max: Duration,
}

impl BulkLimits {
    pub fn of(config: &BulkConfig) -> BulkLimits {
        BulkLimits {
            file_rows: u64::from(config.file_rows),
            file_bytes: config.file_bytes,
            file_bytes_unpacked: config.file_bytes_unpacked,
            call_spacing: Duration::from_millis(config.call_spacing_ms),
            group_spacing: Duration::from_millis(config.group_spacing_ms),
            group_rows_per_second: NonZeroU32::new(config.group_rows_per_second).unwrap_or(NonZeroU32::MIN),
            lookup: Duration::from_millis(config.lookup_ms),
            backoff_base: Duration::from_millis(config.backoff_base_ms),
            backoff_max: Duration::from_millis(config.backoff_max_ms),
        }
    }
}

/// How files go.
pub struct BulkWay {
    /// Whom they are sent to; `None` where nothing is configured, for jobs of the other route.
    pub client: Option<Arc<BulkClient>>,
    /// What must not be exceeded.
    pub limits: BulkLimits,
    /// Rows a second where a job says nothing else.
    pub rate: NonZeroU32,
    pub dir: PathBuf,
    /// What names of groups begin with.
    pub company: String,
    /// What stands for an agent that is not known.
    pub user_agent: String,
    /// Whether files are kept once their answers are recorded.
    pub keeps_files: bool,
    /// Whether rows that Adobe refused without naming them are left at that.
    pub accepts_unnamed: bool,
}

impl BulkWay {
    pub(super) fn client(&self) -> Result<&Arc<BulkClient>, BackfillError> {
        self.client.as_ref().ok_or(BackfillError::NotConfigured)
    }

    fn rate(&self, job: &JobRecord) -> u32 {
        job.settings.rate.unwrap_or(self.rate.get())
    }

    /// Rows of a file: no more than the rate allows in a minute or three spacings, so that a slow job is slow all the time.
    fn file_rows(&self, job: &JobRecord, groups: u32, sizes: &Sizes) -> u64 {
        let seconds = (self.limits.group_spacing * 3).max(STEADY).as_secs_f64();
        let share = f64::from(self.rate(job)) / f64::from(groups.max(1));
        sizes.rows.load(Ordering::Relaxed).min((share * seconds).ceil() as u64).max(1)
    }

    /// As few groups as take the job's rate.
    pub fn groups(&self, job: &JobRecord) -> u32 {
        self.rate(job).div_ceil(self.limits.group_rows_per_second.get()).max(1)
    }
}

/// How many rows a file may have: fewer once Adobe found one too large.
pub(super) struct Sizes {
    rows: Arc<AtomicU64>,
}

impl Sizes {
    pub(super) fn new(limits: &BulkLimits) -> Sizes {
        Sizes { rows: Arc::new(AtomicU64::new(limits.file_rows.max(1))) }
    }
}

/// Files in which what is left of a job would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    pub folder: PathBuf,
    /// Its files, each by its path.
    pub files: Vec<PathBuf>,
    pub rows: u64,
    /// Events of which nothing can be sent.
    pub unsendable: u64,
    /// Events in files that were sent, and whose answers are not recorded: they are not exported.
    pub in_files: u64,
    /// Events whose requestor has no active suite: they are not exported.
    pub parked: u64,
}

/// Writes files of what is left of a job, and sends nothing; its events wait as before.
pub fn export(
    buffer: &Buffer,
    job: &JobRecord,
    way: &BulkWay,
    folder: &Path,
) -> Result<ExportReport, BackfillError> {
    let _lock = buffer.lock_backfill()?;
    let in_files = upload::withdraw_unsent(buffer, job, &way.dir)?;
    let groups = job.groups.unwrap_or_else(|| way.groups(job));
    let folder = Folder::make(folder)?;
    let mut report = ExportReport {
        folder: folder.path().to_owned(),
        files: Vec::new(),
        rows: 0,
        unsendable: 0,
        in_files,
        parked: buffer.job_counts(job.key)?.pending.saturating_sub(in_files + buffer.job_sendable(job.key)?),
    };
    let mut files = Rows::new(way.for_rows(), groups, &folder);
    let mut walk = Walk::new(buffer, job, &way.user_agent)?;
    let mut row = Vec::new();
    let mut add = |written: Written| {
        report.rows += written.rows;
        report.files.push(written.path);
    };
    let mut unsendable = 0;
    while let Some(step) = walk.next(&mut row)? {
        match step {
            Step::Dead { .. } => unsendable += 1,
            Step::Rows { rsid, event } => {
                if let Some((_, written)) = files.add(&rsid, event, &row, way.limits.file_rows)? {
                    add(written);
                }
            }
        }
    }
    files.finish()?.into_iter().for_each(|(_, written)| add(written));
    Ok(ExportReport { unsendable, ..report })
}

/// One leg: until everything is settled, or it has to end.
pub(super) async fn leg(
    buffer: &Arc<Buffer>,
    job: &JobRecord,
    way: &BulkWay,
    sizes: &mut Sizes,
    stop: Stop,
) -> Result<Leg, BackfillError> {
    let client = way.client()?.clone();
    let groups = buffer.fix_groups(job.key, way.groups(job))?;
    tell_blocked(buffer, job.key).await?;
    let run = buffer.begin_run(job.key)?;
    let uploading = Arc::new(Uploading {
        buffer: buffer.clone(),
        client,
        pace: Pace::new(&way.limits, way.rate(job), groups),
        limits: way.limits.clone(),
        job: job.key,
        run: run.run,
        sizes: sizes.rows.clone(),
        stop: stop.clone(),
        keeps_files: way.keeps_files,
        accepts_unnamed: way.accepts_unnamed,
    });
    if job.is_valid {
        uploading.pace.set_valid();
    }
    let (senders, receivers) = mpsc::channel(1);
    let writing = Writing {
        buffer: buffer.clone(),
        job: job.clone(),
        folder: Folder::make(&way.dir.join(job.name.as_str()))?,
        groups,
        file_rows: way.file_rows(job, groups, sizes),
        stop: stop.clone(),
        runtime: tokio::runtime::Handle::current(),
        run: run.run,
    };
    let for_rows = way.for_rows();
    let writer = std::thread::Builder::new()
        .name("bulk files".to_owned())
        .spawn(move || writing.run(for_rows, senders))
        .map_err(BackfillError::Thread)?;
    let uploads = upload_all(&uploading, receivers).await;
    if uploads.is_err() {
        stop.request(StopReason::GiveWay);
    }
    let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let tally = uploads?;
    let is_whole = written?;
    buffer.finish_run(run.run, &tally)?;
    Ok(if is_whole && stop.requested().is_none() { Leg::Done } else { Leg::Over })
}

/// What a leg has done.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Tally {
    pub(super) files: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.files += other.files;
        self.delivered += other.delivered;
        self.dead += other.dead;
    }
}

type Handed = (String, BulkFile);

/// Gives each group a task of its own, and its files in their order.
async fn upload_all(
    uploading: &Arc<Uploading>,
    mut written: mpsc::Receiver<Handed>,
) -> Result<Tally, BackfillError> {
    let mut groups: HashMap<String, mpsc::Sender<BulkFile>> = HashMap::new();
    let mut tasks: JoinSet<Result<Tally, BackfillError>> = JoinSet::new();
    let mut failed = None;
    while let Some((name, file)) = written.recv().await {
        let group = match groups.entry(name) {
            Entry::Occupied(group) => group.into_mut(),
            Entry::Vacant(place) => {
                let (sender, files) = mpsc::channel(FILES_AHEAD);
                tasks.spawn(Group::new(uploading.clone(), place.key())?.run(files));
                place.insert(sender)
            }
        };
        // A group that has ended says why when it is joined.
        if group.send(file).await.is_err() {
            break;
        }
    }
    written.close();
    drop(groups);
    let mut sum = Tally::default();
    while let Some(joined) = tasks.join_next().await {
        match joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            Ok(tally) => sum.add(tally),
            Err(error) => {
                uploading.stop.request(StopReason::GiveWay);
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(sum), Err)
}

/// The thread that walks and writes.
struct Writing {
    buffer: Arc<Buffer>,
    job: JobRecord,
    folder: Folder,
    groups: u32,
    file_rows: u64,
    stop: Stop,
    runtime: tokio::runtime::Handle,
    run: RunId,
}

impl Writing {
    /// True where everything that waited is written.
    fn run(self, way: RowsWay, groups: mpsc::Sender<Handed>) -> Result<bool, BackfillError> {
        let mut walk = Walk::new(&self.buffer, &self.job, &way.user_agent)?;
        let mut files = Rows::new(way, self.groups, &self.folder);
        let (mut dead, mut row) = (Vec::new(), Vec::new());
        while let Some(step) = walk.next(&mut row)? {
            if self.stop.requested().is_some() {
                return Ok(false);
            }
            match step {
                Step::Dead { event, form, reason } => {
                    dead.push(Change::Dead { event, form, reason, at: self.buffer.now() });
                    if dead.len() >= DEAD_TOGETHER {
                        self.bury(&mut dead)?;
                    }
                }
                Step::Rows { rsid, event } => {
                    if let Some(written) = files.add(&rsid, event, &row, self.file_rows)?
                        && !self.hand_over(written, &groups)?
                    {
                        return Ok(false);
                    }
                }
            }
        }
        self.bury(&mut dead)?;
        for written in files.finish()? {
            if !self.hand_over(written, &groups)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn bury(&self, dead: &mut Vec<Change>) -> Result<(), BackfillError> {
        if !dead.is_empty() {
            self.runtime.block_on(self.buffer.record(self.run, std::mem::take(dead)))?;
        }
        Ok(())
    }

    /// Puts a file on record and gives it to its group; false where the group has ended.
    fn hand_over(
        &self,
        (group, written): (String, Written),
        groups: &mpsc::Sender<Handed>,
    ) -> Result<bool, BackfillError> {
        let file = NewBulkFile {
            job: self.job.key,
            visitor_group: group.clone(),
            key: written.key,
            path: written.path,
            rows: written.rows,
            bytes: written.bytes,
        };
        let id = self.buffer.file_written(file.clone(), written.events)?;
        Ok(groups.blocking_send((group, BulkFile { id, file })).is_ok())
    }
}

/// What rows are made by.
pub(super) struct RowsWay {
    company: String,
    user_agent: String,
    file_bytes: u64,
    file_bytes_unpacked: u64,
}

impl BulkWay {
    fn for_rows(&self) -> RowsWay {
        RowsWay {
            company: self.company.clone(),
            user_agent: self.user_agent.clone(),
            file_bytes: self.limits.file_bytes,
            file_bytes_unpacked: self.limits.file_bytes_unpacked,
        }
    }
}

/// The open file of each group.
struct Rows<'a> {
    way: RowsWay,
    groups: u32,
    folder: &'a Folder,
    open: HashMap<(Rsid, u32), OpenFile>,
}

/// A file and the name of its group.
type Named = (String, Written);

impl<'a> Rows<'a> {
    fn new(way: RowsWay, groups: u32, folder: &'a Folder) -> Rows<'a> {
        Rows { way, groups, folder, open: HashMap::new() }
    }

    /// Adds the rows of an event to the file of its group; gives the file before where that is full.
    fn add(
        &mut self,
        rsid: &Rsid,
        event: FiledEvent,
        rows: &[u8],
        file_rows: u64,
    ) -> Result<Option<Named>, BackfillError> {
        let index = (event.visitor.0 % u64::from(self.groups)) as u32;
        let key = (rsid.clone(), index);
        let (bytes, way) = (rows.len() as u64, &self.way);
        let is_full = self.open.get_mut(&key).map_or(Ok(false), |open| {
            open.is_full(event.rows, bytes, file_rows, way.file_bytes, way.file_bytes_unpacked)
        })?;
        let full = if is_full { self.open.remove(&key) } else { None };
        let name = self.name(rsid, index);
        let written =
            full.map(|open| open.close(self.folder)).transpose()?.map(|written| (name.clone(), written));
        let open = match self.open.entry(key) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => place.insert(OpenFile::create(self.folder, &name)?),
        };
        open.add(rows, event)?;
        Ok(written)
    }

    fn finish(mut self) -> Result<Vec<Named>, BackfillError> {
        let mut open: Vec<_> = self.open.drain().collect();
        open.sort_by(|(one, _), (other, _)| one.cmp(other));
        open.into_iter()
            .map(|((rsid, index), open)| Ok((self.name(&rsid, index), open.close(self.folder)?)))
            .collect()
    }

    /// The same for every job with as many groups: a visitor stays in its group.
    fn name(&self, rsid: &Rsid, index: u32) -> String {
        format!("{}_{rsid}_{}of{}", self.way.company, index + 1, self.groups)
    }
}
