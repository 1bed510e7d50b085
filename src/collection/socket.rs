//! The stream of a connection: plain or TLS, over a socket that counts the bytes it was given to send.

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

/// The most bytes that `look` reads. An idle peer has sent no more than a TLS record or two.
const LOOK_BYTES: usize = 256;
/// The most bytes that are read for one request: more than the longest head and body that are kept. Without a limit,
/// hyper would skip endless 1xx replies by itself, and no timer would fire.
const READ_BYTES_MAX: usize = 256 << 10;

/// Counters that a socket and its connection share.
#[derive(Debug, Default)]
pub(super) struct Meter {
    written_bytes: AtomicUsize,
    read_bytes: AtomicUsize,
    must_look: AtomicBool,
}

impl Meter {
    /// Begins a request: sets the counts to zero, and makes the next read ask the kernel. The runtime only learns at
    /// its next poll for events that the server has closed, and a busy lane may be faster.
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

/// A TCP stream that counts bytes. It lies below TLS, so bytes that TLS has only buffered do not count, and bytes
/// that TLS wrote before it failed do.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    meter: Arc<Meter>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Socket {
        Socket { tcp, meter: Arc::default() }
    }

    /// Reads what the peer sent, or that it closed, while nobody read; `None` if there is nothing. Polls before it
    /// reads: a read that finds nothing makes Linux send an acknowledgement at once, instead of with the next
    /// request. That would be one more packet for every hit.
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

/// The stream that HTTP uses: a socket, or TLS over a socket.
pub(super) struct Stream {
    pub(super) io: Box<dyn Transport>,
    pub(super) meter: Arc<Meter>,
}

/// A stream of bytes in both directions.
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
