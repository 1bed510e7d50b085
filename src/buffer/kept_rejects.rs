//! Which rejected lines are in which file of rejects, so that a file that is read daily leaves them there once.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, TransactionBehavior};

use super::{Buffer, BufferError};

/// The digest of a rejected line, keyed: path, line and text.
pub type RejectDigest = [u8; 16];

impl Buffer {
    /// The files of rejects that have these lines, as far as they were kept.
    pub fn kept_rejects(
        &self,
        digests: Vec<RejectDigest>,
    ) -> Result<HashMap<RejectDigest, String>, BufferError> {
        self.call(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT file FROM kept_rejects WHERE digest = ?1")?;
            let mut kept = HashMap::new();
            for digest in digests {
                if let Some(file) = statement.query_row([digest], |row| row.get(0)).optional()? {
                    kept.insert(digest, file);
                }
            }
            Ok(kept)
        })
    }

    /// Remembers that these lines are in a file of rejects; they are durable there.
    pub fn remember_rejects(&self, digests: Vec<RejectDigest>, file: String) -> Result<(), BufferError> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for digest in digests {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO kept_rejects (digest, file) VALUES (?1, ?2)")?
                    .execute((digest, &file))?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// The files of rejects that lines are remembered of.
    pub fn files_of_rejects(&self) -> Result<Vec<String>, BufferError> {
        self.call(|connection| {
            let mut statement = connection.prepare_cached("SELECT DISTINCT file FROM kept_rejects")?;
            let files = statement.query_map([], |row| row.get(0))?;
            Ok(files.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets the lines of a file of rejects that is gone: they are kept again when they are read again.
    pub fn forget_file_of_rejects(&self, file: String) -> Result<(), BufferError> {
        self.call(move |connection| {
            connection.execute("DELETE FROM kept_rejects WHERE file = ?1", [file])?;
            Ok(())
        })
    }
}
