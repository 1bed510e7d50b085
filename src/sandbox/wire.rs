//! A connection: a socket that can break, on request, at a chosen byte; and how long it has been idle.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Nothing more is written; dropping the socket resets the connection.
    Reset,
    /// The reply that is being written is the last one.
    LastReply,
    /// The last reply is written. Every further read reports the end of the stream.
    Finished,
}

/// The state of a connection, shared by its socket and its requests.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    end: End,
    /// How many bytes may still be written.
    budget_bytes: usize,
    /// Since when the connection is idle; `None` while a request is answered.
    idle_since: Option<Instant>,
    /// How long the connection was idle before the present request.
    idle_before: Duration,
}

impl Line {
    pub(super) fn new(number: u32) -> Arc<Line> {
        let idle_since = Some(Instant::now());
        let unused =
            State { end: End::Open, budget_bytes: usize::MAX, idle_since, idle_before: Duration::ZERO };
        Arc::new(Line { number, state: Mutex::new(unused) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the connection end with a reset (RST) as soon as it is dropped.
    pub(super) fn reset(&self) {
        self.state().end = End::Reset;
    }

    /// Resets the connection once this many more bytes are written.
    pub(super) fn reset_after_bytes(&self, count: usize) {
        self.state().budget_bytes = count;
    }

    /// Closes the connection (FIN) once the next reply is written, without a header that announces it.
    pub(super) fn close_after_reply(&self) {
        self.state().end = End::LastReply;
    }

    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.idle_before = state.idle_since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    /// Notes that the request is answered.
    pub(super) fn end(&self) {
        self.state().idle_since = Some(Instant::now());
    }

    pub(super) fn idle_before_request(&self) -> Duration {
        self.state().idle_before
    }
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) socket: TcpStream,
    pub(super) line: Arc<Line>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.state().end == End::Reset {
            reset(&self.socket);
        }
    }
}

/// Makes a socket end with a reset when it is dropped. If this fails, FIN ends the connection instead.
pub(super) fn reset(socket: &TcpStream) {
    if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "cannot reset a connection");
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.line.state().end == End::Finished {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Wire { socket, line } = self.get_mut();
        let mut state = line.state();
        if state.end == End::Reset || state.budget_bytes == 0 {
            state.end = End::Reset;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let allowed = &bytes[..bytes.len().min(state.budget_bytes)];
        let written = std::task::ready!(Pin::new(socket).poll_write(cx, allowed))?;
        if state.budget_bytes != usize::MAX {
            state.budget_bytes -= written;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Wire { socket, line } = self.get_mut();
        std::task::ready!(Pin::new(socket).poll_flush(cx))?;
        let mut state = line.state();
        if state.end == End::LastReply {
            state.end = End::Finished;
            // The reader sleeps until the client sends something, so it has to be woken to see the end.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Wire { socket, line } = self.get_mut();
        if line.state().end == End::Reset {
            return Poll::Ready(Ok(()));
        }
        Pin::new(socket).poll_shutdown(cx)
    }
}
