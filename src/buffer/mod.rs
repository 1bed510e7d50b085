//! The buffer: a SQLite file that holds every event exactly once, from ingest until Analytics has it.
//!
//! - In: events with their identity, and what became of each attempt. Out: pending events in the order in which they go,
//!   and counts.
//! - Guarantees: what a verb reports is durable when it returns; an event is in exactly one state; the accounting identity
//!   holds at every commit, because the database refuses one that does not; an attempt is on disk before its first byte.
//! - Does not know: what a hit is, how it is sent, when a drain runs.
//! - Rules: section 5 of the design. `schemas/buffer.sql` draws the states and publishes every table; the price of each
//!   choice stands in the comments of the verbs.
//!
//! One thread owns the writing connection; verbs hand it closures through a bounded channel. No transaction is ever open
//! across an `.await`.

mod arrivals;
mod backup;
mod bulk_files;
mod connection;
mod dead_letters;
mod erasure;
mod events;
mod jobs;
mod kept_rejects;
mod ledger;
mod lock;
mod memory;
mod merge;
mod metrics;
mod onboarding;
mod outcomes;
mod place;
mod planning;
mod pulse;
mod reconciling;
mod restore;
mod retention;
mod runs;
mod status;
mod suites;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::delivery::Sequence;
use crate::event::Instant;
use crate::job::JobName;
use crate::suite::Rsid;
use place::Place;

pub use crate::readers::memory::{Feed, MemoryRow};
pub use bulk_files::{BulkFile, BulkFileId, BulkFileState, FiledEvent, NewBulkFile, Received, RefusedRow};
pub use dead_letters::{DeadLetter, HeldEvent, Requeue, Requeued, Selection, Settlement};
pub use erasure::{Forget, Forgotten};
pub use events::{
    Backlog, Batch, Conflict, Cursor, Doubted, EventRef, InboxRow, InputId, JobKey, NewEvent, PendingEvent,
    StoreReport,
};
pub use jobs::{JobCounts, JobInput, JobRecord, JobSettings, JobSource};
pub use kept_rejects::RejectDigest;
pub use ledger::{Accounting, Amount, Discrepancy};
pub use lock::{BackfillLock, DrainLock, Holder, LockWatch, WholeLock, name_command};
pub use memory::MemoryReader;
pub use merge::{Flow, Merge};
pub use metrics::{
    CountedHour, Measure, MetricGroup, MetricsReader, SeenUser, TRANSIENT_IDS, TransientIds, UserMark,
    looks_transient,
};
pub use onboarding::{BlockedSuite, NewProbe, NewVerdict, ProbeRecord};
pub use outcomes::{Change, Delivered};
pub use place::Watch;
pub use planning::{DeliveredDay, PlanningReader, Recognition};
pub use pulse::Pulse;
pub use reconciling::{RoutedRequestor, Standing, StandingFacts, StandingQuestion, StandingUnits};
pub use restore::Restored;
pub use retention::{RetentionPolicy, RetentionReport};
pub use runs::{RunId, RunRecord, RunStart};
pub use status::{DoubtedEvent, OverCount, ReasonCount, RequestorStatus, Status};
pub use suites::{FormKey, RequestorKey, Route, SuiteListing};

/// How many closures may wait for the writing thread: one per caller that could be waiting, and no more.
const WAITING_VERBS_MAX: usize = 64;

/// Why a verb of the buffer could not be done.
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    #[error("there is no buffer at {0:?}")]
    Missing(PathBuf),
    #[error("there is a buffer at {0:?} already")]
    Exists(PathBuf),
    #[error("cannot use {path:?}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path:?} lies on a network file system ({kind}), where SQLite's locks cannot be trusted")]
    NetworkFilesystem { path: PathBuf, kind: &'static str },
    #[error("{0:?} is no buffer of passbridge")]
    NotABuffer(PathBuf),
    #[error("cannot open buffer {path:?}: its schema is {found}, this program knows {known}")]
    Newer {
        path: PathBuf,
        found: i64,
        /// The latest this program knows.
        known: i64,
    },
    #[error("another drain holds the lock {0}")]
    Locked(Holder),
    /// The file was removed, or another one has its name.
    #[error("{0:?} was removed or replaced while it was in use")]
    Replaced(PathBuf),
    #[error("{0:?} was overwritten while it was in use")]
    Overwritten(PathBuf),
    #[error("another process has {0:?} open")]
    InUse(PathBuf),
    #[error("the copy {path:?} is damaged: {why}")]
    DamagedCopy {
        path: PathBuf,
        /// What is found first.
        why: String,
    },
    /// A copy was given up because the process was told to stop.
    #[error("stopped before the copy was whole, and nothing of it is left")]
    Stopped,
    #[error("a backfill is running; it holds the lock {0}")]
    Backfilling(Holder),
    /// Files of a backfill hold events, and nobody knows whether Adobe has them.
    #[error("backfill {0} has files whose answers are not recorded")]
    FilesUnderWay(String),
    #[error("there is a backfill {0} already")]
    JobExists(JobName),
    #[error("there is no backfill {0}")]
    UnknownJob(JobName),
    /// SQLite refused: a full disk, a lock held too long, damage.
    #[error("the buffer's database refused")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored value cannot be read back: damage, or another program wrote to a private table.
    #[error("event {0:?} in the buffer cannot be read back: {1}")]
    Damaged(Sequence, String),
    #[error("requestor {requestor_id:?} is mapped to report suite {rsid} already")]
    MappedElsewhere { requestor_id: String, rsid: Rsid },
    #[error("there is no report suite {0}")]
    UnknownSuite(Rsid),
    #[error("report suite {rsid} is known with another {setting}; `suite add` only adds requestors to it")]
    OtherSettings {
        rsid: Rsid,
        /// The first setting that differs.
        setting: &'static str,
    },
    #[error("there is no probe {0}")]
    UnknownProbe(String),
    #[error("requestor {requestor_id:?} is not mapped to report suite {rsid}")]
    NotMapped { requestor_id: String, rsid: Rsid },
    /// Another ingest stored counts of the same hours after this one had read what they were.
    #[error("another ingest has stored counts of the same hours meanwhile")]
    CountedMeanwhile,
    /// Events one by one of a requestor whose counts come from ESM, or the other way round.
    #[error("requestor {0:?} has both events one by one and ESM reports, which count the same things")]
    MixedFeeds(String),
    /// Events of the suite may have been counted; retiring it would leave them undecided.
    #[error("report suite {rsid} has {in_doubt} events in doubt and {held} held")]
    Undecided { rsid: Rsid, in_doubt: u64, held: u64 },
    /// The writing thread is gone, after a panic that was reported already.
    #[error("the buffer's thread has ended")]
    ThreadEnded,
}

impl BufferError {
    /// Whether the disk has no room for what was to be written.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, BufferError::Sqlite(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

/// How a buffer is opened.
#[derive(Debug, Clone)]
pub struct BufferOptions {
    pub path: PathBuf,
    /// Whether it may lie on a network file system.
    pub allow_network_filesystem: bool,
    pub clock: Clock,
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// An open buffer. Dropping it waits for the verbs under way.
#[derive(Debug)]
pub struct Buffer {
    place: Place,
    clock: Clock,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Buffer {
    /// Creates an empty buffer; refuses where a file exists.
    pub fn create(options: &BufferOptions) -> Result<(), BufferError> {
        connection::create(options)
    }

    /// Opens a buffer, and brings its schema up to date where no drain runs.
    pub fn open(options: &BufferOptions) -> Result<Buffer, BufferError> {
        let (place, mut connection) = connection::open(options)?;
        let (jobs, waiting) = mpsc::sync_channel::<Job>(WAITING_VERBS_MAX);
        let thread = std::thread::Builder::new()
            .name("buffer".to_owned())
            .spawn(move || waiting.into_iter().for_each(|job| job(&mut connection)))
            .map_err(|source| BufferError::File { path: place.path().to_owned(), source })?;
        Ok(Buffer { place, clock: options.clock.clone(), jobs: Some(jobs), thread: Some(thread) })
    }

    /// What time it is for what the buffer records.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The resolved path of the SQLite file.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Runs a verb on the writing thread and waits for it.
    fn call<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Connection) -> Result<T, BufferError> + Send + 'static,
    ) -> Result<T, BufferError> {
        let (reply, answer) = mpsc::sync_channel(1);
        // A caller that went away needs no answer; the verb itself was done.
        let place = self.place.clone();
        self.submit(Box::new(move |connection| {
            drop(reply.send(place.check().and_then(|()| verb(connection))));
        }))?;
        answer.recv().map_err(|_| BufferError::ThreadEnded)?
    }

    /// Runs a verb on the writing thread without blocking the runtime. Once submitted it is done, awaited or not.
    async fn call_async<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Connection) -> Result<T, BufferError> + Send + 'static,
    ) -> Result<T, BufferError> {
        let (reply, answer) = oneshot::channel();
        let place = self.place.clone();
        self.submit(Box::new(move |connection| {
            drop(reply.send(place.check().and_then(|()| verb(connection))));
        }))?;
        answer.await.map_err(|_| BufferError::ThreadEnded)?
    }

    fn submit(&self, job: Job) -> Result<(), BufferError> {
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or(BufferError::ThreadEnded)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by its own hook; there is nothing to add while dropping.
            drop(thread.join());
        }
    }
}
