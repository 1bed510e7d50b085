//! Sends hits over a connection to a collection host, one at a time.
//!
//! The request polls the HTTP connection itself, without a separate task. This needs one wake-up per reply instead of
//! three. Between requests nobody polls it, so each request first checks that the server has not closed it.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Host;
use super::reply::classify;
use super::socket::{Meter, Stream, Transport};
use crate::delivery::{Doubt, NotReceived, Outcome};
use crate::suite::CollectionUrl;

/// The path where DIA reads XML: response type 6, and the report suite only in the body ("Request" of the DIA guide).
const PATH: &str = "/b/ss//6";
/// How long a connection may be idle and still be used. Adobe closes it after about 15 s (`Keep-Alive: timeout=15` in
/// the sample reply of the DIA guide).
const IDLE_MAX: Duration = Duration::from_secs(10);
/// The longest reply body that is read, in bytes. Adobe's replies have about a hundred.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// The most that hyper buffers of a reply's head, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

type Driver = http1::Connection<TokioIo<Box<dyn Transport>>, Full<Bytes>>;

/// One keep-alive connection with at most one request in flight; replaced when the server or a fault has closed it.
pub struct Connection {
    host: Arc<Host>,
    live: Option<Live>,
    timer: Timer,
}

impl Connection {
    /// Sends one hit and returns its outcome. Connects if necessary; needs a tokio runtime with I/O and time.
    /// Dropping the future closes the connection; then nobody knows whether the hit was received.
    pub async fn send(&mut self, body: Bytes) -> Outcome {
        let started_at = Instant::now();
        self.timer.deadline = Some(started_at + self.host.request_timeout);
        if let Some(mut live) = self.live.take().filter(|live| live.is_fresh(started_at)) {
            step_back().await;
            let sent = live.exchange(self.host.request(body.clone()), &mut self.timer).await;
            if !matches!(sent, Err(Failure::Broken(_)) if live.meter.written_bytes() == 0) {
                return self.conclude(live, sent);
            }
            tracing::trace!(host = %self.host.address.url, "the server had closed the connection; opening a new one");
        }
        let deadline = started_at + self.host.connect_timeout.min(self.host.request_timeout);
        let connected = match self.host.address.connect(deadline).await {
            Ok(stream) => Live::start(stream).await,
            Err(cause) => Err(cause),
        };
        match connected {
            Ok(mut live) => {
                let sent = live.exchange(self.host.request(body), &mut self.timer).await;
                self.conclude(live, sent)
            }
            Err(cause) => Outcome::Retry { cause, retry_after: None },
        }
    }

    fn conclude(&mut self, mut live: Live, sent: Result<Reply, Failure>) -> Outcome {
        match sent {
            Ok(reply) => {
                let outcome =
                    classify(reply.status, &reply.headers, &reply.body, self.host.clock.system_time());
                if let Some(location) = reply.headers.get(LOCATION) {
                    let host = &self.host.address.url;
                    tracing::debug!(%host, status = reply.status, ?location, "a redirect was not followed");
                }
                if live.rest(&reply.headers) {
                    self.live = Some(live);
                }
                outcome
            }
            Err(failure) => failure.outcome(live.meter.written_bytes()),
        }
    }
}

impl Host {
    pub fn url(&self) -> &CollectionUrl {
        &self.address.url
    }

    /// A new connection for one lane. It connects with its first hit.
    pub fn connection(self: &Arc<Self>) -> Connection {
        Connection { host: Arc::clone(self), live: None, timer: Timer::default() }
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(PATH);
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// A complete reply. A body that is too long counts as empty, so that only the status matters.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

/// Why there is no complete reply.
enum Failure {
    Broken(String),
    TimedOut,
}

impl Failure {
    /// What a failure means depends on one thing: whether any byte of the request was written.
    fn outcome(self, written_bytes: usize) -> Outcome {
        let retry = |cause| Outcome::Retry { cause, retry_after: None };
        match self {
            Failure::Broken(_) if written_bytes == 0 => retry(NotReceived::BeforeFirstByte),
            Failure::TimedOut if written_bytes == 0 => {
                retry(NotReceived::Connect("timed out before the first byte was written".to_owned()))
            }
            Failure::Broken(why) => Outcome::Ambiguous(Doubt::Broken(why)),
            Failure::TimedOut => Outcome::Ambiguous(Doubt::TimedOut),
        }
    }

    fn of(error: &hyper::Error) -> Failure {
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        if error.is_incomplete_message() || io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return Failure::closed();
        }
        Failure::Broken(match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    }

    fn closed() -> Failure {
        Failure::Broken("the server closed it".to_owned())
    }
}

struct Live {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` after the connection has ended.
    driver: Option<Driver>,
    meter: Arc<Meter>,
    idle_since: Instant,
    idle_max: Duration,
}

impl Live {
    async fn start(Stream { io, meter }: Stream) -> Result<Live, NotReceived> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|_| NotReceived::BeforeFirstByte)?;
        Ok(Live { sender, driver: Some(driver), meter, idle_since: Instant::now(), idle_max: IDLE_MAX })
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) < self.idle_max
    }

    /// Prepares for the next request. Returns false if the connection cannot be used again.
    fn rest(&mut self, headers: &HeaderMap) -> bool {
        self.idle_since = Instant::now();
        self.idle_max = idle_max(headers);
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and reads its reply, as long as `timer` allows.
    async fn exchange(&mut self, request: Request<Full<Bytes>>, timer: &mut Timer) -> Result<Reply, Failure> {
        self.meter.begin_request();
        let sending = self.sender.send_request(request);
        let mut reply = pin!(async {
            let (head, body) = sending.await.map_err(|error| Failure::of(&error))?.into_parts();
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: whole(body).await? })
        });
        let driver = &mut self.driver;
        poll_fn(|cx| {
            let is_open = drive(driver, cx);
            // Only the driver can complete the reply, so the reply needs no waker of its own.
            match reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(reply) => Poll::Ready(reply),
                Poll::Pending if !is_open => Poll::Ready(Err(Failure::closed())),
                Poll::Pending => timer.poll(cx).map(|()| Err(Failure::TimedOut)),
            }
        })
        .await
    }
}

/// The whole body, or an empty one if it is longer than [`REPLY_BYTES_MAX`].
async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    match Limited::new(body, REPLY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => {
            error.downcast::<hyper::Error>().map_or(Ok(Bytes::new()), |error| Err(Failure::of(&error)))
        }
    }
}

/// Lets the connection read and write. Returns false after it has ended; then nothing more will be read.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) -> bool {
    if let Some(running) = driver {
        match Pin::new(running).poll(cx) {
            Poll::Pending => return true,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => tracing::trace!(%error, "the connection ended"),
        }
        *driver = None;
    }
    false
}

/// Lets other ready tasks run first. Lanes whose replies came together then read all of them before they write, so
/// the server is woken once for many requests. With 32 lanes this saves about a quarter of the CPU per hit.
async fn step_back() {
    let mut is_back = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_back, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// How long the connection may be idle: two thirds of the time that the server promises, at most [`IDLE_MAX`], which
/// is two thirds of Adobe's 15 s.
fn idle_max(headers: &HeaderMap) -> Duration {
    let promised = headers.get("keep-alive").and_then(|value| value.to_str().ok()).and_then(|text| {
        let seconds = |part: &str| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse::<u32>().ok())?
        };
        text.split(',').find_map(seconds)
    });
    promised.map_or(IDLE_MAX, |seconds| (Duration::from_secs(u64::from(seconds)) * 2 / 3).min(IDLE_MAX))
}

/// A deadline that moves with each request. The tokio timer is moved only when it fires, which happens rarely.
#[derive(Default)]
struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dia_56_one_written_byte_makes_the_difference() {
        let broken = || Failure::Broken("reset".to_owned());
        let retry = |cause| Outcome::Retry { cause, retry_after: None };
        assert_eq!(broken().outcome(0), retry(NotReceived::BeforeFirstByte));
        assert_eq!(broken().outcome(1), Outcome::Ambiguous(Doubt::Broken("reset".to_owned())));
        assert!(matches!(
            Failure::TimedOut.outcome(0),
            Outcome::Retry { cause: NotReceived::Connect(_), .. }
        ));
        assert_eq!(Failure::TimedOut.outcome(1), Outcome::Ambiguous(Doubt::TimedOut));
    }

    #[test]
    fn dia_59_a_shorter_keep_alive_of_the_server_is_honoured() {
        for (header, milliseconds) in [
            ("timeout=15", 10_000),
            ("timeout=15, max=100", 10_000),
            ("max=100, Timeout = 6", 4_000),
            ("timeout=1", 666),
            ("timeout=0", 0),
            ("timeout=soon", 10_000),
            ("max=5", 10_000),
            ("", 10_000),
        ] {
            let headers = HeaderMap::from_iter([(
                http::header::HeaderName::from_static("keep-alive"),
                header.parse().expect("a header"),
            )]);
            assert_eq!(idle_max(&headers).as_millis(), milliseconds, "{header}");
        }
        assert_eq!(idle_max(&HeaderMap::new()), IDLE_MAX);
    }
}
