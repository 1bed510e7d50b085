//! Records which rejects file holds a rejected line, so that an input that is read daily adds the line only once; and how many
//! lines are in no file, for the monitor.

use std::collections::HashMap;

use super::database::Buffer;
use super::error::Result;
use super::rows::{first, only, run};
use crate::event::Instant;

/// A keyed digest of a rejected line: of its path, line number and text.
pub type RejectDigest = [u8; 16];

/// How long the count of each hour's lines that are in no file is kept, in hours: the monitor looks one day back.
const UNKEPT_HOURS: i64 = 48;

impl Buffer {
    /// The rejects file of each of these lines that was kept before.
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

    /// Records that a rejects file holds these lines, which are durable in it.
    pub fn remember_rejects(&self, digests: Vec<RejectDigest>, file: String) -> Result<()> {
        self.write(move |transaction| {
            for digest in digests {
                let insert = "INSERT OR REPLACE INTO kept_rejects (digest, file) VALUES (?1, ?2)";
                run(transaction, insert, (digest, &file))?;
            }
            Ok(())
        })
    }

    /// Adds to the count of this hour's rejected lines that are in no file, one fact per hour.
    pub fn count_unkept_rejects(&self, lines: u64) -> Result<()> {
        let hour = self.now().unix_hour();
        self.write(move |transaction| {
            let delete =
                "DELETE FROM facts WHERE name >= 'rejects_not_kept_' AND name < 'rejects_not_kept_' || ?1";
            run(transaction, delete, [hour - UNKEPT_HOURS])?;
            let insert = "INSERT INTO facts (name, value) VALUES ('rejects_not_kept_' || ?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = value + ?2";
            run(transaction, insert, (hour, lines.cast_signed()))
        })
    }

    /// How many rejected lines are in no file, from the hour of this instant on.
    pub fn unkept_rejects_since(&self, from: Instant) -> Result<u64> {
        let select = "SELECT ifnull(sum(value), 0) FROM facts
             WHERE name >= 'rejects_not_kept_' || ?1 AND name < 'rejects_not_kept_:'";
        self.value(select, [from.unix_hour()])
    }

    /// The rejects files that hold recorded lines.
    pub fn files_of_rejects(&self) -> Result<Vec<String>> {
        self.all("SELECT DISTINCT file FROM kept_rejects", [], only)
    }

    /// Forgets the lines of a rejects file that is gone, so that they are kept again when they are read again.
    pub fn forget_file_of_rejects(&self, file: String) -> Result<()> {
        self.change("DELETE FROM kept_rejects WHERE file = ?1", [file])
    }
}
