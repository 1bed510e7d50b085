//! Checks that an open database is still the same file: it can be removed, replaced or overwritten while it is in
//! use.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{COPIED_AT, fact, metrics_secret};
use super::rows::value;
use super::sqlite::{Place, open_immutable};

/// How often the database is read again if it does not look like ours, and the pause between two reads. Another
/// process may be in the middle of a checkpoint.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Checks that the database file is still the same, also its content: a copy over it keeps its name and its inode.
#[derive(Debug, Clone)]
pub struct Watch {
    place: Place,
    /// `None` while all content is still in the write-ahead log, so that nothing can be compared.
    known: Option<Marks>,
}

/// Values that tell a database from every other one, and from an older copy of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marks {
    secret: [u8; 32],
    last_run: i64,
    copied_at: Option<i64>,
}

impl Buffer {
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

    /// Fails if the file was overwritten. Then nothing more is copied into it from the write-ahead log.
    pub fn look(&self, watch: &mut Watch) -> Result<()> {
        let looked = watch.look();
        if matches!(looked, Err(BufferError::Overwritten(_))) {
            self.on_thread(|connection| {
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
                Ok(connection.pragma_update(None, "wal_autocheckpoint", 0)?)
            })?;
        }
        looked
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
            copied_at: fact(&connection, COPIED_AT)?,
        }))
    }

    /// Whether a file with the marks `earlier` may now have these. The mark of a copy is only ever removed.
    fn follows(&self, earlier: &Marks) -> bool {
        self.secret == earlier.secret
            && self.last_run >= earlier.last_run
            && (self.copied_at.is_none() || self.copied_at == earlier.copied_at)
    }
}
