//! What the program's exit status means. Scripts, timers and monitors act on it, so no number ever changes its meaning.

use std::process::ExitCode;

/// An exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for is done. `run` also ends so on its first signal.
    Done = 0,
    /// It failed; the message says what holds now. For `ingest`: an input could not be read to its end, and the whole lines
    /// before the break are stored.
    Failed = 1,
    /// The arguments or the configuration are wrong, or there is no buffer yet. Nothing was changed.
    Usage = 2,
    /// Done, but this run left events dead or held, or lines were rejected or in conflict, or the inbox was left. For
    /// `suite check` and `suite probe`: something about the suite is wrong, or with `--strict` not confirmed.
    Unclean = 3,
    /// Stopped with events pending that could have gone; those parked or paused do not count. For `status --max-age`: the
    /// oldest of them, or the last completed run, is older than allowed. For `suite probe`: not everything was seen in time.
    Pending = 4,
    /// Another drain holds the lock of this buffer: the `EX_TEMPFAIL` of sysexits.h, worth a try later.
    LockHeld = 75,
    /// A second signal, and that was SIGHUP: ended at once, like [`Exit::Interrupted`].
    HungUp = 129,
    /// A second SIGINT: ended at once. What was in flight is in doubt, and on record as such.
    Interrupted = 130,
    /// A second SIGTERM: ended at once, like [`Exit::Interrupted`].
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
