//! Locks that outlast the removal of a lock file: each locks one byte of the write-ahead log. SQLite keeps the log for
//! as long as a process has the buffer open, and locks nothing of it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::whole_file::beside;

/// A locked byte of a buffer's log.
#[derive(Debug)]
pub(super) struct LogLock {
    log: File,
    byte: i64,
}

impl LogLock {
    pub(super) fn release(&self) {
        fcntl(&self.log, libc::F_OFD_SETLK, libc::F_UNLCK, self.byte).map(drop).unwrap_or_default();
    }
}

/// Locks a byte of a buffer's log; `None` if nobody has the buffer open, so that it has no log. Fails with
/// [`ErrorKind::WouldBlock`] if the byte is locked already.
pub(super) fn take(buffer: &Path, byte: i64) -> io::Result<Option<LogLock>> {
    let log = match OpenOptions::new().read(true).write(true).open(beside(buffer, "-wal")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    fcntl(&log, libc::F_OFD_SETLK, libc::F_WRLCK, byte)?;
    Ok(Some(LogLock { log, byte }))
}

/// Whether somebody holds the lock of a byte. Never takes the lock itself.
pub(super) fn is_taken(buffer: &Path, byte: i64) -> io::Result<bool> {
    match File::open(beside(buffer, "-wal")) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        log => Ok(i32::from(fcntl(&log?, libc::F_OFD_GETLK, libc::F_WRLCK, byte)?.l_type) != libc::F_UNLCK),
    }
}

#[expect(
    unsafe_code,
    reason = "neither the standard library nor rustix has locks that belong to an open file"
)]
fn fcntl(log: &File, command: libc::c_int, kind: libc::c_int, byte: i64) -> io::Result<libc::flock> {
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the kernel reads and writes nothing but this structure, during the call.
    match unsafe { libc::fcntl(log.as_raw_fd(), command, &raw mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(lock),
    }
}
