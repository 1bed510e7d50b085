//! SIGTERM, SIGINT and SIGHUP: the first signal asks for a stop, the second ends the process at once. For `run`
//! and `serve`, SIGHUP reads the configuration or the tokens again instead. Other commands ignore SIGHUP if it was
//! ignored at the start, as with `nohup`.

use std::process;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::exit::Exit;
use super::failure::Failure;
use super::notify;
use crate::drain::{Stop, StopReason};

pub(super) enum Hangup {
    Stops,
    Reloads(Arc<Notify>),
}

/// Handles signals until the process ends. Must be called inside a runtime.
pub(super) fn listen(stop: Stop, on_hangup: Hangup) -> Result<(), Failure> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate()).map_err(Failure::starting)?,
        interrupt: signal(SignalKind::interrupt()).map_err(Failure::starting)?,
        hangup: match on_hangup {
            Hangup::Stops if ignores_hangup() => None,
            Hangup::Stops | Hangup::Reloads(_) => {
                Some(signal(SignalKind::hangup()).map_err(Failure::starting)?)
            }
        },
        on_hangup,
    };
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping: what is under way is finished and recorded; a second signal ends at once");
        notify::tell(notify::STOPPING);
        stop.request(StopReason::Signal);
        let exit = signals.next().await;
        // Nothing is lost: attempts in flight are recorded on disk, and the next drain treats them as in doubt.
        process::exit(i32::from(exit.code()));
    });
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
    on_hangup: Hangup,
}

impl Signals {
    /// Waits for the next signal that asks for a stop. Returns the exit status of a process that this signal ends.
    async fn next(&mut self) -> Exit {
        loop {
            let hangup = async {
                match &mut self.hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            let exit = tokio::select! {
                _ = hangup => Exit::HungUp,
                _ = self.terminate.recv() => Exit::Terminated,
                _ = self.interrupt.recv() => Exit::Interrupted,
            };
            match &self.on_hangup {
                Hangup::Reloads(reload) if exit == Exit::HungUp => reload.notify_one(),
                Hangup::Stops | Hangup::Reloads(_) => return exit,
            }
        }
    }
}

/// Tells if SIGHUP was ignored when the process started (`nohup`); false if the kernel does not say.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|signals| signals & 1 != 0)
}

/// The set of ignored signals; the lowest bit is signal 1 (proc_pid_status(5)).
fn ignored(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ignored_signals_are_read_as_the_kernel_writes_them() {
        assert_eq!(ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored("Name:\tpassbridge\n"), None);
    }
}
