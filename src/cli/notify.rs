//! What a service manager is told of `run` and `serve`: that they are ready, what they do, that they still work, and
//! that they stop. This is the protocol of `sd_notify(3)`. Without `NOTIFY_SOCKET` nobody is told anything.

use std::convert::Infallible;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use std::{env, future, io};

use tokio::time::sleep;

pub(super) const READY: &str = "READY=1";
/// Sent before the buffer is opened: asks for an hour more for a migration. The watchdog counts only after READY.
pub(super) const OPENING: &str =
    "EXTEND_TIMEOUT_USEC=3600000000\nSTATUS=opening the buffer; an older one is migrated";
pub(super) const STOPPING: &str = "STOPPING=1\nSTATUS=stopping: what is under way is finished and recorded";

/// Tells the service manager a state. If that fails, it is logged, and the work goes on.
pub(super) fn tell(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    let sent = || -> io::Result<usize> {
        let from = UnixDatagram::unbound()?;
        // A manager that does not read must not keep a drain waiting.
        from.set_nonblocking(true)?;
        from.send_to(state.as_bytes(), &socket)
    };
    if let Err(error) = sent() {
        tracing::warn!(%error, "cannot tell the service manager: {}", state.lines().next().unwrap_or_default());
    }
}

/// Tells the watchdog, twice within its time, that this runtime still works. Never ends.
pub(super) async fn keep_watchdog() -> Infallible {
    let micros = env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
    let Some(every) =
        micros.filter(|micros| *micros > 1).map(|micros: u64| Duration::from_micros(micros / 2))
    else {
        return future::pending().await;
    };
    loop {
        tell("WATCHDOG=1");
        sleep(every).await;
    }
}
