//! SIGTERM and SIGINT: the first asks for a stop, the second ends the process at once.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::failure::CliError;
use crate::drain::{Stop, StopReason};

/// Listens for the rest of the process's life. Must be called inside a runtime.
pub(super) fn listen(stop: Stop) -> Result<(), CliError> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate()).map_err(CliError::Start)?,
        interrupt: signal(SignalKind::interrupt()).map_err(CliError::Start)?,
    };
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!(
            "stopping: requests in flight are finished and recorded; a second signal ends at once"
        );
        stop.request(StopReason::Signal);
        let exit = signals.next().await;
        // Nothing is lost: every attempt in flight is on disk as one, and the next drain finds it in doubt.
        process::exit(i32::from(exit.code()));
    });
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Waits for the next signal; gives the status that it means when it is the second.
    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.interrupt.recv() => Exit::Interrupted,
        }
    }
}
