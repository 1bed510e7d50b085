//! The stable word for each error: what scripts and monitors compare. Messages may change from release to release, a word never
//! changes its meaning.

use clap::ValueEnum;
use serde::Serialize;

/// Why a command failed. The first line of each comment is its row of the table in `docs/operating.md`; a test compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(super) enum Code {
    /// the arguments cannot be read
    Arguments,
    /// the arguments or the configuration ask for what cannot be, or needs a word more
    Refused,
    /// no configuration file was found
    ConfigMissing,
    /// the configuration file cannot be read
    ConfigUnreadable,
    /// a section, key or value of the configuration is wrong
    ConfigInvalid,
    /// the file of a secret, a key or tokens cannot be used
    SecretUnusable,
    /// there is no buffer yet
    BufferMissing,
    /// there is a buffer already
    BufferExists,
    /// the buffer's file, its folder or its lock cannot be used
    BufferUnusable,
    /// the buffer lies on a network file system
    BufferOnNetwork,
    /// the file is another program's
    BufferForeign,
    /// a later release wrote the buffer
    BufferNewer,
    /// the buffer or its lock was removed, replaced or overwritten while it was in use
    BufferLost,
    /// another process has the buffer open
    BufferInUse,
    /// the copy that was to be restored is damaged
    CopyDamaged,
    /// a signal ended an ingest, a backup or a restore
    Stopped,
    /// the -shm file beside the buffer has no room, or was truncated
    Unbacked,
    /// the clock of this host shows what no event can have
    Clock,
    /// another drain, or what excludes one, holds the lock
    Locked,
    /// another process runs a backfill
    BackfillRunning,
    /// SQLite refused: a full disk, a lock held too long, damage
    Database,
    /// a stored value cannot be read back
    BufferDamaged,
    /// the buffer is a restored copy, and what its original delivered would be sent again
    Restored,
    /// another ingest stored counts of the same hours meanwhile
    CountedMeanwhile,
    /// a requestor has both single events and ESM reports
    MixedFeeds,
    /// too little disk is free to ingest
    DiskFloor,
    /// an input cannot be read to its end
    InputUnreadable,
    /// rejected lines cannot be kept
    RejectsUnwritable,
    /// there is no such report suite
    SuiteUnknown,
    /// a setting of a report suite cannot be, or is another one already
    SuiteSetting,
    /// the requestor is mapped to another suite, or to none
    Mapping,
    /// events of the suite are in doubt or held
    SuiteUndecided,
    /// there is no such probe
    ProbeUnknown,
    /// the hits of a probe could not be sent
    ProbeNotSent,
    /// there is no such backfill, or it is in another state
    BackfillState,
    /// there is a backfill of that name already
    BackfillExists,
    /// files of a backfill hold events without a recorded answer
    BackfillUndecided,
    /// an input of a backfill cannot be read
    BackfillInput,
    /// a file of a backfill cannot be written or read, or is too large
    BackfillFile,
    /// Adobe rejected rows or a file of a backfill
    BackfillRejected,
    /// credentials that the command needs are not configured
    NotConfigured,
    /// a URL or another setting of a client cannot be used
    ClientSetup,
    /// a server did not answer
    Unreachable,
    /// a server is busy, or asks for fewer calls
    Busy,
    /// a server refused, by its status
    ServerRefused,
    /// the answer of a server cannot be understood
    AnswerUnreadable,
    /// a report has more rows or bytes than may be
    AnswerTooLong,
    /// a file of a report, of credentials or of a statement cannot be used
    SourceFile,
    /// the credential sees no company, or several
    Company,
    /// the report suite cannot be compared
    NotComparable,
    /// the address to listen at cannot be used
    Listen,
    /// a file cannot be read or written
    File,
    /// standard output cannot be written
    Output,
    /// the operating system gives no thread, signal or certificates
    Host,
    /// the program's own thread of the buffer ended
    Internal,
}

impl Code {
    pub(super) fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_code_in_words() {
        let page = include_str!("../../docs/operating.md");
        let rows = Code::value_variants().iter().filter_map(Code::to_possible_value);
        let table: String = rows
            .map(|row| {
                format!("| `{}` | {} |\n", row.get_name(), row.get_help().cloned().unwrap_or_default())
            })
            .collect();
        assert!(page.contains(&table), "docs/operating.md must have:\n{table}");
    }
}
