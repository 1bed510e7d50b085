//! Lets a monitor check that the buffer can be read.

use rusqlite::Connection;

use super::database::Buffer;
use super::error::Result;
use super::rows::value;
use super::sqlite::{Place, open_reader};

/// Checks that the buffer can be read. The connection stays open, so that it needs no free file descriptor later.
#[derive(Debug)]
pub struct Pulse {
    connection: Connection,
    place: Place,
}

impl Buffer {
    pub fn pulse(&self) -> Result<Pulse> {
        let pulse = Pulse { connection: open_reader(self.path())?, place: self.place.clone() };
        // SQLite opens its side files at the first read.
        pulse.look()?;
        Ok(pulse)
    }
}

impl Pulse {
    /// Fails if the buffer is gone from its path or cannot be read.
    pub fn look(&self) -> Result<()> {
        self.place.check()?;
        value(&self.connection, "SELECT count(*) FROM ledger", []).map(|_: i64| ())
    }
}
