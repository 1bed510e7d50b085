//! Checks that an open database can be read, and is still the same file: somebody may remove, replace or overwrite it.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{COPIED_AT, NEXT_SEQ, fact, metrics_secret};
use super::rows::value;
use super::sqlite::{Place, open_immutable, open_reader};

/// How often the marks are read if they do not follow from the known marks, and the pause between two reads. Another
/// process may be in the middle of a checkpoint.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Checks that the database file and its content are still the same. Overwriting a file keeps its inode.
#[derive(Debug, Clone)]
pub struct Watch {
    place: Place,
    /// `None` if the file cannot be read without its write-ahead log. Then only its place is checked.
    known: Option<Marks>,
}

/// Values that distinguish a database from every other database, and from an older copy of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marks {
    secret: [u8; 32],
    last_run: i64,
    next_seq: Option<i64>,
    copied_at: Option<i64>,
}

/// Checks that the buffer can be read. The connection stays open, so that it needs no free file descriptor later.
#[derive(Debug)]
pub struct Pulse {
    connection: Connection,
    place: Place,
}

impl Pulse {
    /// Fails if the buffer is gone from its path or cannot be read.
    pub fn look(&self) -> Result<()> {
        self.place.check()?;
        value(&self.connection, "SELECT count(*) FROM ledger", []).map(|_: i64| ())
    }
}

impl Buffer {
    pub fn pulse(&self) -> Result<Pulse> {
        let pulse = Pulse { connection: open_reader(self.path())?, place: self.place.clone() };
        // SQLite opens its side files at the first read.
        pulse.look()?;
        Ok(pulse)
    }

    pub fn watch(&self) -> Result<Watch> {
        let path = self.path().to_owned();
        let known = self.on_thread(move |connection| {
            let secret = metrics_secret(connection)?;
            let on_disk = || Marks::on_disk(&path).ok().flatten().filter(|marks| marks.secret == secret);
            let known = on_disk();
            if known.is_some() {
                return Ok(known);
            }
            // A process that was killed may have left everything in the write-ahead log.
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            Ok(on_disk())
        })?;
        Ok(Watch { place: self.place.clone(), known })
    }

    /// Fails if the file was removed, replaced or overwritten, and stops copying the log into the file. Fails too if
    /// the log was emptied, because the writing thread checks its log before each task.
    pub fn look(&self, watch: &mut Watch) -> Result<()> {
        let (looked, place) = (watch.look(), self.place.clone());
        self.on_thread(move |connection| looked.or_else(|lost| place.leave(connection).and(Err(lost))))
    }
}

impl Watch {
    fn look(&mut self) -> Result<()> {
        self.place.check()?;
        let Some(known) = &mut self.known else { return Ok(()) };
        for _ in 0..LOOKS {
            if let Ok(Some(found)) = Marks::on_disk(self.place.path())
                && found.follows(known)
            {
                *known = found;
                return Ok(());
            }
            thread::sleep(LOOK_PAUSE);
        }
        Err(BufferError::Overwritten(self.place.path().to_owned()))
    }
}

impl Marks {
    /// Reads the file alone, without its write-ahead log and without locks; `None` if its name is not UTF-8.
    fn on_disk(path: &Path) -> Result<Option<Marks>> {
        let Some(connection) = open_immutable(path)? else { return Ok(None) };
        Ok(Some(Marks {
            secret: metrics_secret(&connection)?,
            last_run: value(&connection, "SELECT coalesce(max(run), 0) FROM runs", [])?,
            next_seq: fact(&connection, NEXT_SEQ)?,
            copied_at: fact(&connection, COPIED_AT)?,
        }))
    }

    /// Whether a file with the marks `earlier` may now have these marks. The mark of a copy may vanish, but not appear.
    fn follows(&self, earlier: &Marks) -> bool {
        self.secret == earlier.secret
            && self.last_run >= earlier.last_run
            && self.next_seq >= earlier.next_seq
            && (self.copied_at.is_none() || self.copied_at == earlier.copied_at)
    }
}
