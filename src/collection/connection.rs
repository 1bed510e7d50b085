//! Sends hits over a connection to a collection host, one at a time.
//!
//! A connection is read only while it carries a request. So before each request, the code checks that the connection
//! is still open and that the server has sent nothing without a request.

use std::future::poll_fn;
use std::io::{self, Cursor, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::{Buf, Bytes};
use http::header::LOCATION;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::reply::classify;
use super::reply_reader::{Reply, ReplyReader};
use super::socket::Stream;
use super::{Breaker, Host};
use crate::delivery::{Doubt, NotReceived, Outcome};
use crate::meter::UnderWay;
use crate::suite::CollectionUrl;

/// The most bytes that are read at a time. Adobe's replies have a few hundred.
const READ_BYTES: usize = 1 << 10;

/// One keep-alive connection with at most one request in flight. It is replaced if the server or a fault closed it.
pub struct Connection {
    host: Arc<Host>,
    /// A stream without a request in flight, and until when it may be used.
    idle: Option<(Stream, Instant)>,
}

impl Connection {
    /// Sends one hit and returns its outcome. Connects if necessary; needs a tokio runtime with I/O and time.
    /// Dropping the future closes the connection; then nobody knows whether the hit was received.
    pub async fn send(&mut self, body: Bytes) -> Outcome {
        let (started_at, _busy) = (Instant::now(), UnderWay::begin(&self.host.busy));
        let outcome = self.attempt(body, started_at).await;
        self.host.count(&outcome, started_at.elapsed());
        outcome
    }

    async fn attempt(&mut self, body: Bytes, started_at: Instant) -> Outcome {
        let deadline = started_at + self.host.request_timeout;
        if let Some((mut stream, _)) = self.idle.take().filter(|(_, until)| started_at < *until) {
            // Lanes whose replies came together read all of them before they write, so the server is woken once for
            // many requests. With 32 lanes this saves about a quarter of the CPU per hit.
            yield_now().await;
            if stream.socket().is_quiet() {
                let sent = exchange(&mut stream, self.host.request(body.clone()), deadline).await;
                if !matches!(sent, Err(Doubt::Broken(_)) if stream.socket().written_bytes == 0) {
                    return self.conclude(stream, sent);
                }
            }
            tracing::trace!(host = %self.host.address.url, "the server had closed the connection; opening a new one");
        }
        let connected = self.host.address.connect(deadline.min(started_at + self.host.connect_timeout)).await;
        match connected {
            Ok(mut stream) => {
                let sent = exchange(&mut stream, self.host.request(body), deadline).await;
                self.conclude(stream, sent)
            }
            Err(cause) => Outcome::Retry { cause, retry_after: None },
        }
    }

    fn conclude(&mut self, mut stream: Stream, sent: Result<Reply, Doubt>) -> Outcome {
        let reply = match sent {
            Ok(reply) => reply,
            Err(doubt) => return failed(doubt, stream.socket().written_bytes),
        };
        if let Some(location) = reply.headers.get(LOCATION) {
            let host = &self.host.address.url;
            tracing::debug!(%host, status = reply.status, ?location, "a redirect was not followed");
        }
        self.idle = reply.idle_max.map(|idle_max| (stream, Instant::now() + idle_max));
        classify(reply.status, &reply.headers, &reply.body, self.host.clock.system_time())
    }
}

impl Host {
    pub fn url(&self) -> &CollectionUrl {
        &self.address.url
    }

    /// A closed breaker with the options of the host.
    pub fn breaker(&self) -> Breaker {
        Breaker::new(self.breaker.clone(), self.request_timeout)
    }

    /// A new connection for one lane. It connects with its first hit.
    pub fn connection(self: &Arc<Self>) -> Connection {
        Connection { host: Arc::clone(self), idle: None }
    }

    /// The whole request that carries `body`.
    fn request(&self, body: Bytes) -> impl Buf {
        Buf::chain(Cursor::new(format!("{}{}\r\n\r\n", self.request_head, body.len())), body)
    }
}

/// What a failure means depends on one thing: whether any byte of the request was written.
fn failed(doubt: Doubt, written_bytes: usize) -> Outcome {
    let cause = match doubt {
        doubt if written_bytes > 0 => return Outcome::Ambiguous(doubt),
        Doubt::TimedOut => NotReceived::Connect("timed out before the first byte was written".to_owned()),
        _ => NotReceived::BeforeFirstByte,
    };
    Outcome::Retry { cause, retry_after: None }
}

/// Sends a request and reads its reply, by `deadline`. If bytes or the end of the connection come before the first byte
/// of the request was written, the exchange fails: they are no reply to it.
async fn exchange(
    stream: &mut Stream,
    mut request: impl Buf + Unpin,
    deadline: Instant,
) -> Result<Reply, Doubt> {
    stream.socket().written_bytes = 0;
    let mut reader = ReplyReader::default();
    let reply = poll_fn(|cx| -> Poll<io::Result<Reply>> {
        let mut space = [0; READ_BYTES];
        while let Poll::Ready(bytes) = pin!(stream.read(&mut space)).poll(cx)? {
            if stream.socket().written_bytes == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            if let Some(reply) = reader.feed(&space[..bytes])? {
                return Poll::Ready(Ok(reply));
            }
        }
        ready!(pin!(stream.write_all_buf(&mut request)).poll(cx))?;
        ready!(pin!(stream.flush()).poll(cx))?;
        Poll::Pending
    });
    match timeout_at(deadline, reply).await {
        // A part of the request is unsent. The server would read the next request as that part.
        Ok(Ok(reply)) if request.has_remaining() => Ok(Reply { idle_max: None, ..reply }),
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(Doubt::Broken("the server closed it".to_owned()))
        }
        Ok(Err(error)) => Err(Doubt::Broken(error.to_string())),
        Err(_) => Err(Doubt::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dia_56_one_written_byte_makes_the_difference() {
        let broken = || Doubt::Broken("reset".to_owned());
        let retry = |cause| Outcome::Retry { cause, retry_after: None };
        assert_eq!(failed(broken(), 0), retry(NotReceived::BeforeFirstByte));
        assert_eq!(failed(broken(), 1), Outcome::Ambiguous(broken()));
        assert!(matches!(failed(Doubt::TimedOut, 0), Outcome::Retry { cause: NotReceived::Connect(_), .. }));
        assert_eq!(failed(Doubt::TimedOut, 1), Outcome::Ambiguous(Doubt::TimedOut));
    }
}
