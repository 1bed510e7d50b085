//! The drain lock: one drain, migration or erasure at a time per buffer, released by the death of its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Buffer, BufferError};

/// Held while a drain runs. The operating system releases it when the process dies, so it is never stale.
#[derive(Debug)]
pub struct DrainLock {
    _file: File,
}

impl Buffer {
    /// Takes the drain lock of this buffer, or fails with [`BufferError::Locked`] at once.
    pub fn lock(&self) -> Result<DrainLock, BufferError> {
        take(&self.path)
    }
}

/// Two configurations that reach one file by different names get one lock, because `path` is resolved.
pub(super) fn take(path: &Path) -> Result<DrainLock, BufferError> {
    let lock_path = lock_path(path);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|source| BufferError::File { path: lock_path.clone(), source })?;
    share_owner(path, &file);
    match file.try_lock() {
        Ok(()) => Ok(DrainLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(BufferError::Locked(lock_path)),
        Err(TryLockError::Error(source)) => Err(BufferError::File { path: lock_path, source }),
    }
}

/// Gives the lock the buffer's owner, where root made it: one command run as root must not lock out the service.
fn share_owner(path: &Path, lock: &File) {
    let (Ok(buffer), Ok(own)) = (std::fs::metadata(path), lock.metadata()) else { return };
    if (buffer.uid(), buffer.gid()) != (own.uid(), own.gid()) {
        // Only root may, and only root needs to; for everyone else the lock works as it is.
        std::os::unix::fs::fchown(lock, Some(buffer.uid()), Some(buffer.gid())).unwrap_or(());
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
