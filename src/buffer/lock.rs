//! The locks: one drain and one backfill at a time per buffer, and neither beside a migration or an erasure. The death of its
//! holder releases a lock.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use std::{fmt, io, thread};

use chrono::{DateTime, Utc};
use rustix::fs::OFlags;
use serde::Serialize;

use super::place::Place;
use super::{Buffer, BufferError};
use crate::event::Instant;
use crate::whole_file;

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
    pub fn check(&self) -> Result<(), BufferError> {
        self.0.check()
    }
}

/// Both: nothing is in flight.
#[derive(Debug)]
pub struct WholeLock {
    _drain: DrainLock,
    _backfill: BackfillLock,
}

impl Buffer {
    /// Takes the drain lock of this buffer, or fails with [`BufferError::Locked`] at once.
    pub fn lock(&self) -> Result<DrainLock, BufferError> {
        Ok(DrainLock(take(self.path(), DRAIN)?))
    }

    /// Takes the lock of backfills, or fails with [`BufferError::Backfilling`] at once.
    pub fn lock_backfill(&self) -> Result<BackfillLock, BufferError> {
        lock_backfill(self.path())
    }

    pub fn lock_whole(&self) -> Result<WholeLock, BufferError> {
        whole(self.path())
    }

    /// Whether somebody drains live events, or does what excludes that.
    pub fn is_draining(&self) -> Result<bool, BufferError> {
        Ok(self.drain_holder()?.is_some())
    }

    /// Who drains live events, or does what excludes that.
    pub fn drain_holder(&self) -> Result<Option<Holder>, BufferError> {
        let path = lock_path(self.path(), DRAIN);
        match File::open(&path) {
            Ok(file) if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) => {
                Ok(Some(Holder::of(path)))
            }
            Ok(_) => Ok(None),
            // Nobody has drained yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BufferError::File { path, source }),
        }
    }
}

/// What this process does, for those who find its lock.
static COMMAND: OnceLock<String> = OnceLock::new();

/// Says what this process does. A second call changes nothing.
pub fn name_command(command: &str) {
    COMMAND.get_or_init(|| command.to_owned());
}

/// Who holds a lock, by what it wrote into the file. A holder of an earlier release wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub lock: PathBuf,
    pub pid: Option<u32>,
    /// What it does, as the command line names it.
    pub command: Option<String>,
    /// When it took the lock.
    pub since: Option<Instant>,
}

impl Holder {
    fn of(lock: PathBuf) -> Holder {
        let text = fs::read_to_string(&lock).unwrap_or_default();
        let (pid, command) = text.trim_end().split_once(' ').unwrap_or_default();
        let written_at = fs::metadata(&lock).and_then(|metadata| metadata.modified());
        Holder {
            pid: pid.parse().ok(),
            command: Some(command.to_owned()).filter(|command| !command.is_empty()),
            since: written_at
                .ok()
                .filter(|_| !text.is_empty())
                .map(|at| Instant::from(DateTime::<Utc>::from(at))),
            lock,
        }
    }

    /// Names this process in the file that it has locked.
    fn write(file: &File) -> io::Result<()> {
        let command = COMMAND.get().map_or("passbridge", String::as_str);
        file.set_len(0)?;
        file.write_all_at(format!("{} {command}\n", std::process::id()).as_bytes(), 0)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.lock)?;
        if let (Some(pid), Some(command)) = (self.pid, &self.command) {
            write!(out, ": process {pid} ({command})")?;
        }
        self.since.map_or(Ok(()), |since| write!(out, ", since {}", since.to_the_second()))
    }
}

fn lock_backfill(path: &Path) -> Result<BackfillLock, BufferError> {
    match take(path, BACKFILL) {
        Ok(held) => Ok(BackfillLock(held)),
        Err(BufferError::Locked(holder)) => Err(BufferError::Backfilling(holder)),
        Err(error) => Err(error),
    }
}

/// Both locks of a buffer, before it is open.
pub(super) fn whole(path: &Path) -> Result<WholeLock, BufferError> {
    Ok(WholeLock { _drain: DrainLock(take(path, DRAIN)?), _backfill: lock_backfill(path)? })
}

/// Two configurations that reach one file by different names get one lock, because `path` is resolved.
fn take(path: &Path, which: &str) -> Result<Held, BufferError> {
    let lock_path = lock_path(path, which);
    let failed = |source| BufferError::File { path: lock_path.clone(), source };
    for attempt in 1.. {
        let file = open(&lock_path, path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                let place = Place::new(&lock_path, &file.metadata().map_err(failed)?);
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
            Err(TryLockError::Error(source)) => return Err(failed(source)),
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
        whole_file::share_owner(&file, buffer)?;
    }
    // Earlier releases made it for everybody's eyes.
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn lock_path(path: &Path, which: &str) -> PathBuf {
    whole_file::beside(path, which)
}
