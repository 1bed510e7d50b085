//! Records which rejects file holds a rejected line, so that an input that is read daily adds the line only
//! once. Counts the rejected lines that no rejects file holds, for the monitor.

use std::collections::HashMap;

use super::database::Buffer;
use super::error::Result;
use super::rows::{first, only, run};
use crate::event::Instant;

/// A keyed digest of a rejected line: of its input, its text, and how often the input had that text before.
pub type RejectDigest = [u8; 16];

/// For how many hours an hourly count of rejected lines is kept. The monitor looks one day back.
const UNKEPT_HOURS: i64 = 48;

impl Buffer {
    /// The names of the rejects files that hold these lines. Lines that no rejects file holds have no entry.
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

    /// Records that a rejects file holds these lines. The caller has made them durable in that file.
    pub fn remember_rejects(&self, digests: Vec<RejectDigest>, file: String) -> Result<()> {
        self.write(move |transaction| {
            for digest in digests {
                let insert = "INSERT OR REPLACE INTO kept_rejects (digest, file) VALUES (?1, ?2)";
                run(transaction, insert, (digest, &file))?;
            }
            Ok(())
        })
    }

    /// Adds to this hour's count of rejected lines that no file holds. Each hour has a fact for its count.
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

    /// How many rejected lines no file holds, from the hour of this instant on.
    pub fn unkept_rejects_since(&self, from: Instant) -> Result<u64> {
        let select = "SELECT ifnull(sum(value), 0) FROM facts
             WHERE name >= 'rejects_not_kept_' || ?1 AND name < 'rejects_not_kept_:'";
        self.value(select, [from.unix_hour()])
    }

    /// The rejects files that hold recorded lines.
    pub fn files_of_rejects(&self) -> Result<Vec<String>> {
        self.all("SELECT DISTINCT file FROM kept_rejects", [], only)
    }

    /// Forgets the lines of a rejects file that is gone. If they are read again, they are written again.
    pub fn forget_file_of_rejects(&self, file: String) -> Result<()> {
        self.change("DELETE FROM kept_rejects WHERE file = ?1", [file])
    }
}
