//! The stream under a connection: plain or TLS over a socket that counts what it was given to send.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How much is read at most when the socket itself is asked: an idle peer has nothing to say but a TLS record or two.
const LOOK_BYTES: usize = 256;
/// The most that is read for one request, in bytes: more than the longest head and body that are kept. What hyper passes over by
/// itself, such as 1xx replies without end, would outrun every timer.
const READ_BYTES_MAX: usize = 256 << 10;

/// What a socket and its connection share.
#[derive(Debug, Default)]
pub(super) struct Meter {
    written_bytes: AtomicUsize,
    read_bytes: AtomicUsize,
    must_look: AtomicBool,
}

impl Meter {
    /// Begins a request: counts from zero, and has the next read ask the kernel, whatever the runtime believes. The runtime
    /// learns that a server has closed only when it next polls for events, which a busy lane may outrun.
    pub(super) fn begin_request(&self) {
        self.written_bytes.store(0, Relaxed);
        self.read_bytes.store(0, Relaxed);
        self.must_look.store(true, Relaxed);
    }

    /// Bytes given to the socket since the request began.
    pub(super) fn written_bytes(&self) -> usize {
        self.written_bytes.load(Relaxed)
    }
}

/// A TCP stream that counts. It lies below TLS: what the TLS layer has only buffered is not yet written, and what it wrote
/// before it failed is.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    meter: Arc<Meter>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Socket {
        Socket { tcp, meter: Arc::default() }
    }

    /// Reads what the peer said or did while nobody listened; `None` if that is nothing. It polls before it reads, because a
    /// read that finds nothing makes Linux send the acknowledgement which would otherwise ride on the next request: a packet
    /// more for every hit.
    fn look(&self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let mut sockets = [PollFd::new(&self.tcp, PollFlags::IN)];
        match poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(0) | Err(Errno::INTR) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(error.into())),
        }
        let space = buf.initialize_unfilled_to(LOOK_BYTES.min(buf.remaining()));
        match rustix::io::read(&self.tcp, space) {
            Ok(bytes) => {
                buf.advance(bytes);
                Some(Ok(()))
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    fn counted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.meter.written_bytes.fetch_add(bytes, Relaxed);
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.read_bytes.load(Relaxed) > READ_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other("the server sends without end")));
        }
        let before = buf.filled().len();
        let looked = self.meter.must_look.swap(false, Relaxed).then(|| self.look(buf)).flatten();
        let read = match looked {
            Some(read) => Poll::Ready(read),
            None => Pin::new(&mut self.tcp).poll_read(cx, buf),
        };
        self.meter.read_bytes.fetch_add(buf.filled().len() - before, Relaxed);
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.counted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.counted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// What HTTP is spoken over: a socket, or TLS over one.
pub(super) struct Stream {
    pub(super) io: Box<dyn Transport>,
    pub(super) meter: Arc<Meter>,
}

/// Bytes both ways.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

impl Stream {
    pub(super) fn plain(socket: Socket) -> Stream {
        let meter = Arc::clone(&socket.meter);
        Stream { io: Box::new(socket), meter }
    }

    pub(super) fn tls(tls: TlsStream<Socket>) -> Stream {
        let meter = Arc::clone(&tls.get_ref().0.meter);
        Stream { io: Box::new(tls), meter }
    }
}
