//! Online copies of a live buffer, and what a buffer knows that is one.

use std::io;
use std::path::Path;

use super::database::Buffer;
use super::error::{BufferError, Result};
use super::facts::{COPIED_AT, fact, forget_fact, set_fact};
use super::sqlite::{copy, finish, open_reader};
use crate::event::Instant;

impl Buffer {
    /// Copies the buffer to a new file while it is in use, for as long as `goes_on` says. The copy knows that it is one: what
    /// was delivered after it looks pending in it.
    pub fn backup(&self, to: &Path, goes_on: &dyn Fn() -> bool) -> Result<()> {
        if to.exists() {
            return Err(BufferError::Exists(to.to_owned()));
        }
        let copied_at = self.now();
        // Until it is whole and marked it has another name, so that a crash leaves no copy that passes for the original.
        let copy = copy(&open_reader(self.path())?, to, goes_on)?;
        finish(copy.partial(), |target| {
            set_fact(target, COPIED_AT, copied_at.nanos())?;
            Ok(target.pragma_update(None, "journal_mode", "DELETE")?)
        })?;
        copy.place_new().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BufferError::Exists(to.to_owned()),
            _ => BufferError::file(to)(source),
        })
    }

    /// When this buffer was copied from another, if no drain has accepted that yet.
    pub fn copied_at(&self) -> Result<Option<Instant>> {
        Ok(self.read(|connection| fact(connection, COPIED_AT))?.map(Instant::from_nanos))
    }

    /// Accepts that this buffer is a copy, and that what the original delivered since may be sent again.
    pub fn accept_copy(&self) -> Result<()> {
        self.write(|transaction| forget_fact(transaction, COPIED_AT))
    }
}
