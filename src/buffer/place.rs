//! Whether a file that is in use is still the one at its path: files are removed, replaced and overwritten while a process
//! goes on with what it opened.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::backup::COPIED_AT;
use super::{Buffer, BufferError, metrics, runs};

/// How often the database is read again where it does not look like ours, and after how long: another process may have
/// written half of its checkpoint.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A file that was opened.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    pub(super) fn new(path: &Path, opened: &Metadata) -> Place {
        Place { path: path.to_owned(), device: opened.dev(), inode: opened.ino() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn of(path: &Path) -> Result<Place, BufferError> {
        let opened = fs::metadata(path);
        Ok(Place::new(path, &opened.map_err(|source| BufferError::File { path: path.to_owned(), source })?))
    }

    /// Fails where the path names another file by now, or none.
    pub(super) fn check(&self) -> Result<(), BufferError> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(BufferError::Replaced(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BufferError::Replaced(self.path.clone()))
            }
            Err(source) => Err(BufferError::File { path: self.path.clone(), source }),
        }
    }
}

/// Looks whether the database file is still the same, inside too: a copy over it keeps its name and its inode.
#[derive(Debug, Clone)]
pub struct Watch {
    place: Place,
    /// `None`: nothing of it is in the file itself yet, so nothing can be compared.
    known: Option<Marks>,
}

/// What tells a database from every other one, and from an older copy of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marks {
    secret: [u8; 32],
    last_run: i64,
    copied_at: Option<i64>,
}

impl Buffer {
    /// Fails where the buffer's path names another file by now, or none.
    pub fn check_place(&self) -> Result<(), BufferError> {
        self.place.check()
    }

    /// Begins to watch the database file.
    pub fn watch(&self) -> Result<Watch, BufferError> {
        let path = self.path().to_owned();
        let known = self.call(move |connection| {
            let secret = metrics::secret_bytes(connection)?;
            let is_ours = |marks: &Marks| marks.secret == secret;
            let known = Marks::on_disk(&path).ok().flatten().filter(is_ours);
            if known.is_some() {
                return Ok(known);
            }
            // A process that was killed may have left everything in the write-ahead log.
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            Ok(Marks::on_disk(&path).ok().flatten().filter(is_ours))
        })?;
        Ok(Watch { place: self.place.clone(), known })
    }

    /// Fails where the file was overwritten. Then nothing more is copied into it from the write-ahead log.
    pub fn look(&self, watch: &mut Watch) -> Result<(), BufferError> {
        let looked = watch.look();
        if matches!(looked, Err(BufferError::Overwritten(_))) {
            self.call(|connection| {
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
                Ok(connection.pragma_update(None, "wal_autocheckpoint", 0)?)
            })?;
        }
        looked
    }
}

impl Watch {
    fn look(&mut self) -> Result<(), BufferError> {
        self.place.check()?;
        let Some(known) = &mut self.known else { return Ok(()) };
        for _ in 0..LOOKS {
            if let Ok(Some(found)) = Marks::on_disk(&self.place.path)
                && found.follows(known)
            {
                *known = found;
                return Ok(());
            }
            thread::sleep(LOOK_PAUSE);
        }
        Err(BufferError::Overwritten(self.place.path.clone()))
    }
}

impl Marks {
    /// Reads the file alone, without its write-ahead log and without locks; `None` where its name cannot be asked for so.
    fn on_disk(path: &Path) -> Result<Option<Marks>, BufferError> {
        let Some(connection) = open_immutable(path)? else { return Ok(None) };
        let last_run = connection.query_row("SELECT max(run) FROM runs", [], |row| row.get(0)).optional()?;
        Ok(Some(Marks {
            secret: metrics::secret_bytes(&connection)?,
            last_run: last_run.flatten().unwrap_or(0),
            copied_at: runs::fact(&connection, COPIED_AT)?,
        }))
    }

    /// Whether a file with these marks may have had those before. A mark of a copy is taken away, never added.
    fn follows(&self, earlier: &Marks) -> bool {
        self.secret == earlier.secret
            && self.last_run >= earlier.last_run
            && (self.copied_at.is_none() || self.copied_at == earlier.copied_at)
    }
}

/// Opens a file that nobody changes, or whose state on disk is asked for: no lock, no log, no file beside it. `None` where
/// its name is not UTF-8.
pub(super) fn open_immutable(path: &Path) -> Result<Option<Connection>, BufferError> {
    let Some(name) = path.to_str() else { return Ok(None) };
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Some(Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?))
}
