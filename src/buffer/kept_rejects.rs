//! Which rejected lines are in which file of rejects, so that a file that is read daily leaves them there once.

use std::collections::HashMap;

use super::database::Buffer;
use super::error::Result;
use super::rows::{first, only, run};

/// The digest of a rejected line, keyed: path, line and text.
pub type RejectDigest = [u8; 16];

impl Buffer {
    /// The files of rejects that have these lines, as far as they were kept.
    pub fn kept_rejects(&self, digests: Vec<RejectDigest>) -> Result<HashMap<RejectDigest, String>> {
        self.read(|connection| {
            let mut kept = HashMap::new();
            for digest in digests {
                let select = "SELECT file FROM kept_rejects WHERE digest = ?1";
                kept.extend(first(connection, select, [digest], only)?.map(|file| (digest, file)));
            }
            Ok(kept)
        })
    }

    /// Remembers that these lines are in a file of rejects; they are durable there.
    pub fn remember_rejects(&self, digests: Vec<RejectDigest>, file: String) -> Result<()> {
        self.write(move |transaction| {
            for digest in digests {
                let insert = "INSERT OR REPLACE INTO kept_rejects (digest, file) VALUES (?1, ?2)";
                run(transaction, insert, (digest, &file))?;
            }
            Ok(())
        })
    }

    /// The files of rejects that lines are remembered of.
    pub fn files_of_rejects(&self) -> Result<Vec<String>> {
        self.all("SELECT DISTINCT file FROM kept_rejects", [], only)
    }

    /// Forgets the lines of a file of rejects that is gone: they are kept again when they are read again.
    pub fn forget_file_of_rejects(&self, file: String) -> Result<()> {
        self.change("DELETE FROM kept_rejects WHERE file = ?1", [file])
    }
}
