//! The locks of a buffer: one drain and one backfill at a time, and neither during a migration, a restore or other work
//! on the whole buffer. A lock is released when its holder dies.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use std::{io, thread};

use rustix::fs::OFlags;

use super::super::error::{BufferError, Result};
use super::holder::{Holder, user_of_removed_log};
use super::log_lock::{self, LogLock};
use super::place::Place;
use crate::whole_file::{beside, share_owner};

/// The endings of the lock files' names, for drains and for backfills.
pub(in super::super) const DRAIN: &str = ".lock";
pub(in super::super) const BACKFILL: &str = ".backfill.lock";
pub(in super::super) const LOCKS: &[&str] = &[DRAIN, BACKFILL];
/// How often a taken lock is tried, and the pause between tries, because `holder` takes a lock for a moment.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(10);

/// Held while a drain runs. The operating system releases it when the process dies, so it is never stale.
#[derive(Debug)]
pub struct DrainLock(Held);

/// Held while events of backfills are loaded or sent.
#[derive(Debug)]
pub struct BackfillLock(Held);

#[derive(Debug)]
struct Held {
    file: File,
    /// A lock in the write-ahead log, which still holds if the lock file is removed.
    log: Option<LogLock>,
    place: Place,
}

/// A lock belongs to the open file, and a process that another thread starts has a copy of each open file until it
/// executes its program. So the locks are released before the files are closed.
impl Drop for Held {
    fn drop(&mut self) {
        // If this fails, closing the file releases the lock a moment later.
        self.file.unlock().unwrap_or_default();
        if let Some(log) = &self.log {
            log.release();
        }
    }
}

/// Checks that a lock still protects. If its file was removed or replaced, a second process can take the lock.
#[derive(Debug, Clone)]
pub struct LockWatch(Place);

impl DrainLock {
    pub fn watch(&self) -> LockWatch {
        LockWatch(self.0.place.clone())
    }
}

impl BackfillLock {
    pub fn watch(&self) -> LockWatch {
        LockWatch(self.0.place.clone())
    }
}

impl LockWatch {
    /// Fails if the lock file is no longer at its path.
    pub fn check(&self) -> std::result::Result<(), BufferError> {
        self.0.check()
    }
}

/// Both locks: no drain and no backfill runs.
#[derive(Debug)]
pub struct WholeLock {
    pub(in super::super) _drain: DrainLock,
    pub(in super::super) _backfill: BackfillLock,
}

pub(in super::super) fn drain(path: &Path) -> Result<DrainLock> {
    Ok(DrainLock(take(path, DRAIN)?))
}

pub(in super::super) fn backfill(path: &Path) -> Result<BackfillLock> {
    match take(path, BACKFILL) {
        Ok(held) => Ok(BackfillLock(held)),
        Err(BufferError::Locked(holder)) => Err(BufferError::Backfilling(holder)),
        Err(error) => Err(error),
    }
}

/// Takes both locks of a buffer. The buffer need not be open.
pub(in super::super) fn whole(path: &Path) -> Result<WholeLock> {
    Ok(WholeLock { _drain: drain(path)?, _backfill: backfill(path)? })
}

/// The process that holds one of the locks of a buffer.
pub(in super::super) fn holder(buffer: &Path, which: &str) -> Result<Option<Holder>> {
    let path = beside(buffer, which);
    match File::open(&path) {
        Ok(file) if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) => {
            return Ok(Some(Holder::of(path)));
        }
        Ok(_) => {}
        // Nobody has taken this lock yet, or somebody removed the file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(BufferError::File { path, source }),
    }
    let is_held = log_lock::is_taken(buffer, byte_of(which)).map_err(BufferError::file(buffer))?;
    Ok(is_held.then(|| Holder::without_file(path, None)))
}

/// The byte of the write-ahead log that is locked together with a lock file.
fn byte_of(which: &str) -> i64 {
    i64::from(which == BACKFILL)
}

/// Takes a lock of the buffer at `path`. The path is resolved, so that all names of the file lead to the same lock.
fn take(path: &Path, which: &str) -> Result<Held> {
    let lock_path = beside(path, which);
    for attempt in 1.. {
        let file = open(&lock_path, path).map_err(BufferError::file(&lock_path))?;
        match file.try_lock() {
            Ok(()) => {
                let opened = file.metadata().map_err(BufferError::file(&lock_path))?;
                let place = Place::new(&lock_path, &opened);
                match place.check() {
                    // The file was replaced before it was locked, so another process may have locked the new file.
                    Err(BufferError::Replaced(_)) if attempt < TRIES => {}
                    checked => {
                        checked?;
                        let log = match log_lock::take(path, byte_of(which)) {
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                return Err(BufferError::Locked(Holder::without_file(lock_path, None)));
                            }
                            taken => taken.map_err(BufferError::file(path))?,
                        };
                        // The lock file may be new because that of a working process was removed. If the log of that
                        // process was removed too, the process goes on for a second, until it notices the removal.
                        let is_new = opened.len() == 0;
                        if let Some(pid) = is_new.then(|| user_of_removed_log(path)).flatten() {
                            return Err(BufferError::Locked(Holder::without_file(lock_path, Some(pid))));
                        }
                        // A full disk prevents this text, but not the lock.
                        Holder::write(&file).unwrap_or_default();
                        return Ok(Held { file, log, place });
                    }
                }
            }
            Err(TryLockError::WouldBlock) if attempt < TRIES => thread::sleep(TRY_PAUSE),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(source)) => return Err(BufferError::File { path: lock_path, source }),
        }
    }
    Err(BufferError::Locked(Holder::of(lock_path)))
}

/// Opens a lock file that only its owner may read, because whoever can read it can lock it.
fn open(lock_path: &Path, buffer: &Path) -> io::Result<File> {
    // Opening a FIFO for reading and writing does not block.
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(lock_path)
        .map_err(|error| match lock_path.is_symlink() {
            true => io::Error::other("it is a symbolic link: remove the link"),
            false => error,
        })?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file: remove it"));
    }
    if buffer.exists() {
        share_owner(&file, buffer)?;
    }
    // Earlier releases let everybody read the file.
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
