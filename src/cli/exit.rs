//! What the program's exit status means. Scripts, timers and monitors act on it, so no number ever changes its meaning.

use std::process::ExitCode;

/// An exit status. What each means for which command stands in `docs/operating.md`, "Exit status".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// Nothing was changed.
    Usage = 2,
    /// Done, and a person has to look at something.
    Unclean = 3,
    /// Something is not done that could have been.
    Pending = 4,
    /// The `EX_TEMPFAIL` of sysexits.h, worth a try later.
    LockHeld = 75,
    /// Ended at once, by a second SIGHUP, SIGINT or SIGTERM.
    HungUp = 129,
    Interrupted = 130,
    Terminated = 143,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
