//! Why an operation of the buffer failed.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::types::Type;
use rusqlite::{ErrorCode, ffi};

use super::sqlite::Holder;
use crate::delivery::Sequence;
use crate::event::Instant;
use crate::job::JobName;
use crate::suite::Rsid;

pub(super) type Result<T> = std::result::Result<T, BufferError>;

/// Why an operation of the buffer failed.
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
    /// The file has another path, under which a second drain could run.
    #[error("cannot use {path:?}")]
    SecondName {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path:?} lies on a network file system ({kind}), where SQLite's locks cannot be trusted")]
    NetworkFilesystem { path: PathBuf, kind: &'static str },
    #[error("{0:?} is no buffer of passbridge")]
    NotABuffer(PathBuf),
    #[error("cannot open buffer {path:?}: its schema is {found}, this program knows {known}")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path:?} is not as passbridge made it: {why}")]
    OtherSchema { path: PathBuf, why: String },
    #[error("another drain holds the lock {0}")]
    Locked(Holder),
    #[error("another drain took over the events that this one was sending")]
    ClaimsTaken,
    /// The file was removed, or another file has its name.
    #[error("{0:?} was removed or replaced while it was in use")]
    Replaced(PathBuf),
    #[error("{0:?} was overwritten while it was in use")]
    Overwritten(PathBuf),
    #[error("another process has {0:?} open")]
    InUse(PathBuf),
    #[error("the copy {path:?} is damaged: {why}")]
    DamagedCopy { path: PathBuf, why: String },
    #[error(
        "the buffer is a copy made at {}: events delivered since would be sent again, and report suite {rsid} has no event IDs, so they would count twice",
        copied_at.to_the_second()
    )]
    Restored { copied_at: Instant, rsid: String },
    /// The buffer was moved, and goes on elsewhere.
    #[error("the buffer {path:?} was moved at {}: it goes on in the file that `backup --move` wrote", at.to_the_second())]
    Moved { path: PathBuf, at: Instant },
    #[error("{path:?} is no copy to restore: {why}")]
    NoCopy { path: PathBuf, why: std::io::Error },
    #[error("{0:?} is no copy to restore: it is no buffer of passbridge")]
    ForeignCopy(PathBuf),
    /// The copying ended early because the process has to stop.
    #[error("stopped before the copy was complete; nothing of it was kept")]
    Stopped,
    #[error("a backfill is running; it holds the lock {0}")]
    Backfilling(Holder),
    /// Files of a backfill or of live events were sent, and the outcome of their events is not recorded.
    #[error("backfill {0} has files whose answers are not recorded")]
    FilesUnderWay(JobName),
    #[error("there is a backfill {0} already")]
    JobExists(JobName),
    #[error("there is no backfill {0}")]
    UnknownJob(JobName),
    /// SQLite failed, for example because of a full disk, a lock held too long, or damage.
    #[error("the buffer's database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored value cannot be read back, because of damage or because another program wrote to a private table.
    #[error("event {0:?} in the buffer cannot be read back: {1}")]
    Damaged(Sequence, String),
    #[error("requestor {requestor_id:?} is mapped to report suite {rsid} already")]
    MappedElsewhere { requestor_id: String, rsid: Rsid },
    #[error("there is no report suite {0}")]
    UnknownSuite(Rsid),
    #[error("report suite {rsid} is known with another {setting}; `suite add` only adds requestors to it")]
    OtherSettings { rsid: Rsid, setting: &'static str },
    #[error("report suite {rsid} is known as {known}: to Adobe upper and lower case may be the same")]
    OtherSpelling { rsid: Rsid, known: Rsid },
    #[error("there is no probe {0}")]
    UnknownProbe(String),
    #[error("requestor {requestor_id:?} is not mapped to report suite {rsid}")]
    NotMapped { requestor_id: String, rsid: Rsid },
    /// Another ingest stored counts of the same hours after this ingest had read the earlier counts.
    #[error("another ingest has stored counts of the same hours meanwhile")]
    CountedMeanwhile,
    /// A requestor would have both single events and counts from ESM.
    #[error("requestor {0:?} has both single events and ESM reports, which count the same things")]
    MixedFeeds(String),
    /// The suite may have counted these events. A change of the suite or of its requestors would leave them undecided.
    #[error("report suite {rsid} has {in_doubt} events in doubt, {partly_sent} partly sent and {held} held")]
    Undecided { rsid: Rsid, in_doubt: u64, partly_sent: u64, held: u64 },
    /// The writing thread is gone, after a panic that was reported already.
    #[error("the buffer's thread has ended")]
    ThreadEnded,
}

impl BufferError {
    fn sqlite_code(&self) -> Option<ErrorCode> {
        if let BufferError::Sqlite(error) = self { error.sqlite_error_code() } else { None }
    }

    pub fn is_disk_full(&self) -> bool {
        self.sqlite_code() == Some(ErrorCode::DiskFull)
    }

    /// Whether SQLite found the file damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self.sqlite_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    /// Whether SQLite could not open a file of the buffer, which it reports without a reason.
    pub fn cannot_open_file(&self) -> bool {
        self.sqlite_code() == Some(ErrorCode::CannotOpen)
    }

    /// Whether the `-shm` file could not be made or mapped: its disk is full, or this user may not write there.
    pub fn lacks_shared_memory(&self) -> bool {
        let BufferError::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        let of_shm = [ffi::SQLITE_IOERR_SHMOPEN, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMMAP];
        of_shm.contains(&error.extended_code)
    }

    /// Whether another process has written the same row, which locks prevent as long as nobody removes their files.
    pub fn is_written_twice(&self) -> bool {
        self.sqlite_code() == Some(ErrorCode::ConstraintViolation)
    }

    /// Adds the path of a file to an error of the operating system.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> BufferError + use<> {
        let path = path.to_owned();
        move |source| BufferError::File { path, source }
    }

    /// The error for values or references in rows that no release of passbridge writes.
    pub(super) fn damage(what: &str) -> BufferError {
        BufferError::Sqlite(rusqlite::Error::FromSqlConversionFailure(0, Type::Text, what.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_says_of_a_full_disk_beside_the_buffer_is_told_from_other_faults() {
        for (code, is_of_shm) in [(4874, true), (4618, true), (5386, true), (10, false), (13, false)] {
            let error = BufferError::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            assert_eq!(error.lacks_shared_memory(), is_of_shm, "{code}");
        }
    }
}
