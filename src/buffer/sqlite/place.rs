//! Whether the file at a path is still the one that was opened.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::super::error::{BufferError, Result};

/// What SQLite keeps beside a database, by the ends of their names.
pub(in super::super) const SIDE_FILES: &[&str] = &["-wal", "-shm", "-journal"];

/// A file that was opened.
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

    /// Fails where the path names another file by now, or none.
    pub(in super::super) fn check(&self) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Err(source) if source.kind() != ErrorKind::NotFound => Err(BufferError::file(&self.path)(source)),
            Ok(_) | Err(_) => Err(BufferError::Replaced(self.path.clone())),
        }
    }
}

/// Opens a file that nobody changes, or whose state on disk is asked for: no lock, no log, no file beside it. `None` where
/// its name is not UTF-8.
pub(in super::super) fn open_immutable(path: &Path) -> Result<Option<Connection>> {
    let Some(name) = path.to_str() else { return Ok(None) };
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Some(Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?))
}
