//! Checks that the file at a path is still the file that was opened.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::error::{BufferError, Result};
use crate::whole_file::beside;

/// The endings of the names of the files that SQLite keeps beside a database.
pub(in super::super) const SIDE_FILES: &[&str] = &["-wal", "-shm", "-journal"];

/// The ending of the name of a write-ahead log.
const LOG: &str = "-wal";

/// The path and the identity of a file that was opened.
#[derive(Debug, Clone)]
pub(in super::super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// For a database: its write-ahead log and the index of this log (`-shm`).
    side_files: Vec<Place>,
}

impl Place {
    pub(in super::super) fn new(path: &Path, opened: &Metadata) -> Place {
        Place { path: path.to_owned(), device: opened.dev(), inode: opened.ino(), side_files: Vec::new() }
    }

    pub(in super::super) fn of(path: &Path) -> Result<Place> {
        Ok(Place::new(path, &fs::metadata(path).map_err(BufferError::file(path))?))
    }

    /// Adds the side files of a database, which SQLite keeps open from the first read to the end.
    pub(in super::super) fn with_side_files(mut self) -> Result<Place> {
        let found = [LOG, "-shm"].iter().map(|ending| Place::of(&beside(&self.path, ending)));
        self.side_files = found.collect::<Result<_>>()?;
        Ok(self)
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if a path no longer names its file, or became a link: a process that opens the link uses another log.
    pub(in super::super) fn check(&self) -> Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => {
                self.side_files.iter().try_for_each(Place::check)
            }
            Err(source) if source.kind() != ErrorKind::NotFound => Err(BufferError::file(&self.path)(source)),
            Ok(_) | Err(_) => Err(BufferError::Replaced(self.path.clone())),
        }
    }

    /// Checks the place. If this fails, the writing connection writes no more into the database.
    pub(in super::super) fn guard(&self, connection: &Connection) -> Result<()> {
        let checked = self.check().and_then(|()| self.check_log(connection));
        checked.or_else(|lost| self.leave(connection).and(Err(lost)))
    }

    /// Fails if the log has less than SQLite has written to it, because somebody emptied it. Opening the log frees no
    /// lock: SQLite locks the database and the index of the log.
    fn check_log(&self, connection: &Connection) -> Result<()> {
        let path = beside(&self.path, LOG);
        let is_whole = || -> Result<bool> {
            // This copies nothing into the database. It counts the frames: pages with 24 bytes before each.
            let frames: i64 =
                connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get("log"))?;
            let read = File::open(&path).and_then(|log| {
                let mut page = [0; 4];
                log.read_at(&mut page, 8)?;
                Ok((i64::from(u32::from_be_bytes(page)), log.metadata()?.len()))
            });
            let (page, bytes) = read.map_err(BufferError::file(&path))?;
            Ok(frames <= 0 || page > 0 && bytes as i64 >= 32 + frames * (24 + page))
        };
        // Between counting frames and reading the length, another process may rightly empty the log, but hardly twice.
        if is_whole()? || is_whole()? { Ok(()) } else { Err(BufferError::Overwritten(path)) }
    }

    /// Stops copying the log into the database, because others may use the database with another log. If there is no
    /// other log yet, copies everything first, unless our own log was emptied.
    pub(in super::super) fn leave(&self, connection: &Connection) -> Result<()> {
        let found = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let is_ours = |log: &Metadata| self.side_files.iter().any(|side| side.inode == log.ino());
        if fs::metadata(beside(&found, LOG)).map_or(true, |log| log.len() == 0 && !is_ours(&log)) {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(connection.pragma_update(None, "wal_autocheckpoint", 0)?)
    }
}

/// Opens a database without locks, write-ahead log and side files. Only for a database that nobody changes,
/// or to see the state of the file itself. `None` if the file's name is not UTF-8.
pub(in super::super) fn open_immutable(path: &Path) -> Result<Option<Connection>> {
    let Some(name) = path.to_str() else { return Ok(None) };
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Some(Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?))
}
