//! A connection: a socket that can break, on request, at a chosen byte; and how long it has been idle.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const OPEN: u8 = 0;
/// Nothing more is written; dropping the socket resets the connection.
const RESET: u8 = 1;
/// What is being written is the last reply.
const LAST_REPLY: u8 = 2;
/// The last reply is out: the peer's silence is taken for the end.
const FINISHED: u8 = 3;

/// The state of one wire, shared with whoever answers its requests.
#[derive(Debug)]
pub(super) struct WireControl {
    state: AtomicU8,
    /// How many bytes may still be written.
    budget_bytes: AtomicUsize,
}

impl WireControl {
    pub(super) fn new() -> Arc<WireControl> {
        Arc::new(WireControl { state: AtomicU8::new(OPEN), budget_bytes: AtomicUsize::new(usize::MAX) })
    }

    /// Has the connection reset (RST) as soon as it is dropped.
    pub(super) fn reset(&self) {
        self.state.store(RESET, Ordering::Relaxed);
    }

    /// Lets this many more bytes out, then resets the connection.
    pub(super) fn reset_after_bytes(&self, count: usize) {
        self.budget_bytes.store(count, Ordering::Relaxed);
    }

    /// Closes the connection (FIN) once the next reply is written, without a header that says so.
    pub(super) fn close_after_reply(&self) {
        self.state.store(LAST_REPLY, Ordering::Relaxed);
    }
}

/// A socket under such a control.
#[derive(Debug)]
pub(super) struct Wire {
    socket: TcpStream,
    control: Arc<WireControl>,
}

impl Wire {
    pub(super) fn new(socket: TcpStream, control: Arc<WireControl>) -> Wire {
        Wire { socket, control }
    }

    fn state(&self) -> u8 {
        self.control.state.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.state() == RESET {
            // If it cannot be set the connection ends with FIN: still broken, only more politely.
            if let Err(error) = self.socket.set_zero_linger() {
                tracing::debug!(%error, "cannot reset a connection");
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state() == FINISHED {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let budget_bytes = self.control.budget_bytes.load(Ordering::Relaxed);
        if self.state() == RESET || budget_bytes == 0 {
            self.control.reset();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let allowed = &bytes[..bytes.len().min(budget_bytes)];
        let written = std::task::ready!(Pin::new(&mut self.socket).poll_write(cx, allowed))?;
        if budget_bytes != usize::MAX {
            self.control.budget_bytes.store(budget_bytes - written, Ordering::Relaxed);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        if self.state() == LAST_REPLY {
            self.control.state.store(FINISHED, Ordering::Relaxed);
            // The reader sleeps until the peer speaks; it has to look again.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state() == RESET {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A connection as its requests see it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) wire: Arc<WireControl>,
    use_of: Mutex<Use>,
}

#[derive(Debug)]
struct Use {
    /// Since when nothing is asked; `None` while a request is answered.
    idle_since: Option<Instant>,
    /// How long it had been idle when the request under way came.
    idle_before: Duration,
    /// Requests under the limit of the plan.
    carried: u32,
}

impl Line {
    pub(super) fn new(number: u32, wire: Arc<WireControl>) -> Line {
        let unused = Use { idle_since: Some(Instant::now()), idle_before: Duration::ZERO, carried: 0 };
        Line { number, wire, use_of: Mutex::new(unused) }
    }

    fn usage(&self) -> MutexGuard<'_, Use> {
        self.use_of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) {
        let idle = self.idle();
        let mut usage = self.usage();
        (usage.idle_since, usage.idle_before) = (None, idle);
    }

    pub(super) fn end(&self) {
        self.usage().idle_since = Some(Instant::now());
    }

    /// How long the connection has been idle; nothing while a request is answered.
    pub(super) fn idle(&self) -> Duration {
        self.usage().idle_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn idle_before_request(&self) -> Duration {
        self.usage().idle_before
    }

    /// Counts a request, and gives how many there were.
    pub(super) fn carried_one(&self) -> u32 {
        let mut usage = self.usage();
        usage.carried += 1;
        usage.carried
    }
}
