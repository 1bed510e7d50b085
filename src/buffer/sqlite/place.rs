//! Checks that the file at a path is still the one that was opened.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::super::error::{BufferError, Result};

/// The endings of the names of the files that SQLite keeps beside a database.
pub(in super::super) const SIDE_FILES: &[&str] = &["-wal", "-shm", "-journal"];

/// The path and the identity of a file that was opened.
#[derive(Debug, Clone)]
pub(in super::super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    pub(in super::super) fn new(path: &Path, opened: &Metadata) -> Place {
        Place { path: path.to_owned(), device: opened.dev(), inode: opened.ino() }
    }

    pub(in super::super) fn of(path: &Path) -> Result<Place> {
        Ok(Place::new(path, &fs::metadata(path).map_err(BufferError::file(path))?))
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the path no longer names this file.
    pub(in super::super) fn check(&self) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Err(source) if source.kind() != ErrorKind::NotFound => Err(BufferError::file(&self.path)(source)),
            Ok(_) | Err(_) => Err(BufferError::Replaced(self.path.clone())),
        }
    }
}

/// Opens a database without locks, write-ahead log and side files, because nobody changes it or because only the
/// state of the file itself is wanted. `None` if its name is not UTF-8.
pub(in super::super) fn open_immutable(path: &Path) -> Result<Option<Connection>> {
    let Some(name) = path.to_str() else { return Ok(None) };
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Some(Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?))
}
