//! The exit statuses. Scripts, timers and monitors depend on them, so the meaning of a number never changes.

use std::process::ExitCode;

/// An exit status. `docs/operating.md`, "Exit status", explains each status for each command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// The arguments or the configuration cannot be used. Nothing was changed.
    Usage = 2,
    /// The work is done, and a person has to look at something.
    Unclean = 3,
    /// Work is left that could have been done, or a limit of `status` is broken.
    Pending = 4,
    /// `EX_TEMPFAIL` of sysexits.h: try again later.
    LockHeld = 75,
    /// A second signal ended the program at once: SIGHUP (129), SIGINT (130) or SIGTERM (143).
    HungUp = 129,
    Interrupted = 130,
    Terminated = 143,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
