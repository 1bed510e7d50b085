//! Lets a monitor check that the buffer can be read.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::rows::value;
use super::sqlite::open_reader;

/// Checks that the buffer can be read. The connection stays open, so that a check needs no new file descriptor,
/// because other code may have used them all.
#[derive(Debug)]
pub struct Pulse {
    connection: Connection,
    path: PathBuf,
}

impl Buffer {
    pub fn pulse(&self) -> Result<Pulse> {
        let pulse = Pulse { connection: open_reader(self.path())?, path: self.path().to_owned() };
        // SQLite opens its side files at the first read.
        pulse.look()?;
        Ok(pulse)
    }
}

impl Pulse {
    /// Fails if the buffer is gone from its path or cannot be read.
    pub fn look(&self) -> Result<()> {
        fs::metadata(&self.path).map_err(BufferError::file(&self.path))?;
        value(&self.connection, "SELECT count(*) FROM ledger", []).map(|_: i64| ())
    }
}
