//! The stable code word of each error, for scripts and monitors. Messages may change; these words never do.

use clap::ValueEnum;
use serde::Serialize;

/// Why a command failed. The table in `docs/operating.md` says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(super) enum Code {
    Arguments,
    Refused,
    ConfigMissing,
    ConfigUnreadable,
    ConfigInvalid,
    SecretUnusable,
    BufferMissing,
    BufferExists,
    BufferUnusable,
    BufferOnNetwork,
    BufferForeign,
    BufferNewer,
    BufferLost,
    BufferInUse,
    CopyDamaged,
    Stopped,
    Unbacked,
    Clock,
    Locked,
    BackfillRunning,
    Database,
    BufferDamaged,
    Restored,
    CountedMeanwhile,
    MixedFeeds,
    DiskFloor,
    InputUnreadable,
    RejectsUnwritable,
    TooManyRejects,
    SuiteUnknown,
    SuiteSetting,
    Mapping,
    SuiteUndecided,
    ProbeUnknown,
    ProbeNotSent,
    BackfillState,
    BackfillExists,
    BackfillUndecided,
    BackfillInput,
    BackfillFile,
    BackfillRejected,
    NotConfigured,
    ClientSetup,
    Unreachable,
    Busy,
    ServerRefused,
    AnswerUnreadable,
    AnswerTooLong,
    SourceFile,
    Company,
    NotComparable,
    Listen,
    File,
    Output,
    Host,
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
        let table = page.split("| code | means |\n|---|---|\n").nth(1).expect("the table of codes");
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let rows: Vec<Vec<&str>> =
            rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect()).collect();
        let codes: Vec<String> =
            Code::value_variants().iter().map(|code| format!("`{}`", code.word())).collect();
        assert_eq!(rows.iter().map(|row| row[0].to_owned()).collect::<Vec<_>>(), codes);
        assert!(rows.iter().all(|row| row.len() == 2 && row[1].len() > 10), "{rows:?}");
    }
}
