//! Whether the buffer answers, for a monitor.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::rows::value;
use super::sqlite::open_reader;

/// A view that tells whether the buffer answers. Its connection stays open, so that a look needs no file: others may have used
/// them up.
#[derive(Debug)]
pub struct Pulse {
    connection: Connection,
    path: PathBuf,
}

impl Buffer {
    /// Opens a view that tells whether the buffer answers.
    pub fn pulse(&self) -> Result<Pulse> {
        let pulse = Pulse { connection: open_reader(self.path())?, path: self.path().to_owned() };
        // SQLite opens its side files at the first look.
        pulse.look()?;
        Ok(pulse)
    }
}

impl Pulse {
    /// Reads from the buffer, and fails where it is gone from its path or cannot be read.
    pub fn look(&self) -> Result<()> {
        fs::metadata(&self.path).map_err(BufferError::file(&self.path))?;
        value(&self.connection, "SELECT count(*) FROM ledger", []).map(|_: i64| ())
    }
}
