//! The locks: one drain and one backfill at a time per buffer, and neither beside a migration or an erasure. The death of its
//! holder releases a lock.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use std::{io, thread};

use rustix::fs::OFlags;

use super::super::error::{BufferError, Result};
use super::holder::Holder;
use super::place::Place;
use crate::whole_file::{beside, share_owner};

/// What a lock of the drain ends with, and one of a backfill.
const DRAIN: &str = ".lock";
const BACKFILL: &str = ".backfill.lock";
/// How often a lock that is taken is tried again, and after how long: somebody may only have looked whether it is.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(10);

/// Held while a drain runs. The operating system releases it when the process dies, so it is never stale.
#[derive(Debug)]
pub struct DrainLock(Held);

/// Held while events of backfills are loaded or sent, in the same way.
#[derive(Debug)]
pub struct BackfillLock(Held);

#[derive(Debug)]
struct Held {
    _file: File,
    place: Place,
}

/// Tells whether a lock is still one: who removes or replaces its file lets a second holder in.
#[derive(Debug, Clone)]
pub struct LockWatch(Place);

impl DrainLock {
    /// What tells whether this lock still holds.
    pub fn watch(&self) -> LockWatch {
        LockWatch(self.0.place.clone())
    }
}

impl BackfillLock {
    /// What tells whether this lock still holds.
    pub fn watch(&self) -> LockWatch {
        LockWatch(self.0.place.clone())
    }
}

impl LockWatch {
    /// Fails where the file of the lock is no longer at its path.
    pub fn check(&self) -> std::result::Result<(), BufferError> {
        self.0.check()
    }
}

/// Both: nothing is in flight.
#[derive(Debug)]
pub struct WholeLock {
    _drain: DrainLock,
    _backfill: BackfillLock,
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

/// Both locks of a buffer, which need not be open.
pub(in super::super) fn whole(path: &Path) -> Result<WholeLock> {
    Ok(WholeLock { _drain: drain(path)?, _backfill: backfill(path)? })
}

/// Who drains live events, or does what excludes that.
pub(in super::super) fn drain_holder(path: &Path) -> Result<Option<Holder>> {
    let path = beside(path, DRAIN);
    match File::open(&path) {
        Ok(file) if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) => Ok(Some(Holder::of(path))),
        Ok(_) => Ok(None),
        // Nobody has drained yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BufferError::File { path, source }),
    }
}

/// Two configurations that reach one file by different names get one lock, because `path` is resolved.
fn take(path: &Path, which: &str) -> Result<Held> {
    let lock_path = beside(path, which);
    for attempt in 1.. {
        let file = open(&lock_path, path).map_err(BufferError::file(&lock_path))?;
        match file.try_lock() {
            Ok(()) => {
                let opened = file.metadata().map_err(BufferError::file(&lock_path))?;
                let place = Place::new(&lock_path, &opened);
                match place.check() {
                    // Its file was removed before it was locked, so another process may hold the one that is there now.
                    Err(BufferError::Replaced(_)) if attempt < TRIES => {}
                    checked => {
                        checked?;
                        // On a full disk nobody is named, and the lock holds all the same.
                        Holder::write(&file).unwrap_or_default();
                        return Ok(Held { _file: file, place });
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

/// Its owner's alone: whoever may read it could hold it.
fn open(lock_path: &Path, buffer: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(lock_path)?;
    if buffer.exists() {
        share_owner(&file, buffer)?;
    }
    // Earlier releases made it for everybody's eyes.
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
