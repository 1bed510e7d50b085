//! The HTTP collector: events and exchanges posted by other programs go into the buffer, and `/healthz` says that it lives.
//!
//! - In: `POST /v1/events` and `POST /v1/exchanges` with a bearer token, plain or gzip; the buffer. Out: 202 with what became
//!   of every line.
//! - Guarantees: 202 is sent only once the events are durable. Memory is bounded, however many senders there are and
//!   whatever they send; a sender that is slow, breaks off or sends rubbish costs nobody else anything but its connection. A
//!   request that is refused says why, and whether to come again.
//! - Does not know: when a drain runs, report suites, TLS: that is a reverse proxy's work.
//! - Rules: RFC 9110 for the status codes, RFC 6750 for the tokens.
//!
//! One thread speaks HTTP, one stores: requests that wait while a transaction is written share the next one.

mod body;
mod counter;
mod error;
mod health;
mod reply;
mod routes;
mod thread;
mod tokens;
mod write_timeout;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use crate::buffer::Buffer;
use crate::ingest::IngestOptions;
use counter::Counter;
use health::Health;
use routes::{Desk, Guest};
use thread::Thread;
use tokens::Tokens;
use write_timeout::TimedSocket;

pub use error::ServeError;
pub use tokens::TokensError;

/// Connections that are served at once. Some 20 KiB each.
const CONNECTIONS_MAX: usize = 2048;
/// Connections beyond those, so that a monitor is answered whatever the others do: they may ask for the health alone, and
/// who comes when there are so many takes the place of the oldest of them.
const STANDING_MAX: usize = 64;
/// How long such a connection lasts.
const STANDING_TIME: Duration = Duration::from_secs(5);
/// Files and sockets that the rest of the program may need: the lanes of a few hosts, the buffer, rejects.
const OTHER_FILES: u64 = 1536 + STANDING_MAX as u64;
/// How long to wait before the next connection after the host had no socket left.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The longest head of a request, in bytes; ours are a few hundred.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where to listen; port 0 takes any.
    pub listen: SocketAddr,
    /// How senders are taken in; `None`: only `/healthz` answers.
    pub intake: Option<IntakeOptions>,
    /// How long a request may take from its head to its last byte, to be stored, and its reply until a byte of it is read.
    pub request_timeout: Duration,
    /// How long a connection may be silent between requests, or within a head.
    pub idle_timeout: Duration,
    /// How long a stop waits for the requests under way.
    pub stop_grace: Duration,
}

/// How senders are taken in.
#[derive(Debug, Clone)]
pub struct IntakeOptions {
    pub ingest: IngestOptions,
    /// The file of the bearer tokens, one a line.
    pub tokens_file: PathBuf,
    /// How many events may wait in the buffer before no more are taken; 0 is no limit.
    pub backlog_max_events: u64,
}

/// A server that is up. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tokens: Option<Arc<Tokens>>,
    stop: watch::Sender<bool>,
    _thread: Thread,
}

impl Server {
    /// Starts to serve; requests are answered when it returns.
    pub fn start(buffer: &Arc<Buffer>, options: ServeOptions) -> Result<Server, ServeError> {
        let refuse = |source| ServeError::Listen { address: options.listen, source };
        let listener = std::net::TcpListener::bind(options.listen).map_err(refuse)?;
        listener.set_nonblocking(true).map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let intake = match options.intake {
            Some(intake) => {
                let tokens = Arc::new(Tokens::read(&intake.tokens_file)?);
                Some((tokens, Counter::open(buffer, intake.ingest, intake.backlog_max_events)?))
            }
            None => None,
        };
        let tokens = intake.as_ref().map(|(tokens, _)| Arc::clone(tokens));
        let (stop, stopped) = watch::channel(false);
        let serving = Arc::new(Serving {
            desk: Desk::new(Health::start(buffer)?, intake, options.request_timeout),
            stopped,
            idle_timeout: options.idle_timeout,
            write_timeout: options.request_timeout,
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Thread)?;
        let served = async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => serving.accept(listener, options.stop_grace).await,
                Err(error) => tracing::error!(%error, "cannot serve"),
            }
        };
        let thread = Thread::start("serve", move || runtime.block_on(served))?;
        Ok(Server { address, tokens, stop, _thread: thread })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the file of the tokens again at once, where it has changed.
    pub fn reread_tokens(&self) {
        self.tokens.iter().for_each(|tokens| tokens.look_now());
    }

    /// Lets nobody in any more; requests under way go on.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the connections share.
struct Serving {
    desk: Desk,
    stopped: watch::Receiver<bool>,
    /// How long a connection may wait for the head of a request.
    idle_timeout: Duration,
    /// How long a connection may wait for a byte of a reply to be read.
    write_timeout: Duration,
}

impl Serving {
    /// Lets connections in until the stop, then waits for the requests under way.
    async fn accept(self: Arc<Serving>, listener: TcpListener, stop_grace: Duration) {
        let mut standing = VecDeque::new();
        let places = Arc::new(Semaphore::new(connections_max()));
        let mut connections = JoinSet::new();
        loop {
            let (socket, peer) = tokio::select! {
                biased;
                () = self.stop() => break,
                Some(ended) = connections.join_next() => {
                    if let Some(error) = ended.err().filter(|error| !error.is_cancelled()) {
                        tracing::error!(%error, "a connection's task failed");
                    }
                    continue;
                }
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(RETRY_PAUSE).await;
                        continue;
                    }
                },
            };
            let serving = Arc::clone(&self);
            if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                connections.spawn(async move {
                    serving.converse(socket, Guest::Seated(peer.ip())).await;
                    drop(place);
                });
                continue;
            }
            standing.push_back(connections.spawn(async move {
                timeout(STANDING_TIME, serving.converse(socket, Guest::Standing)).await.unwrap_or(());
            }));
            if standing.len() > STANDING_MAX
                && let Some(oldest) = standing.pop_front()
            {
                oldest.abort();
                // It closes its socket when it is polled next. Until then no connection takes another file.
                yield_now().await;
            }
        }
        // New connections are refused at once, instead of waiting.
        drop(listener);
        let ended = timeout(stop_grace, async { while connections.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests are left unanswered: they took too long"
            );
        }
    }

    /// Answers the requests of one connection until either side ends it.
    async fn converse(&self, socket: TcpStream, guest: Guest) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot send small packets at once");
        }
        let service = service_fn(async |request| {
            Ok::<_, std::convert::Infallible>(self.desk.answer(request, guest).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // This limit also holds between two requests.
            .header_read_timeout(self.idle_timeout)
            .keep_alive(matches!(guest, Guest::Seated(_)))
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(TimedSocket::new(socket, self.write_timeout)), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.stop() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    /// Waits for the stop. Its sender is the server, which waits for the connections to end.
    async fn stop(&self) {
        drop(self.stopped.clone().wait_for(|is_stopped| *is_stopped).await);
    }
}

/// How many connections this process can have, once it has asked for as many files as it may.
fn connections_max() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS_MAX as u64 + OTHER_FILES;
    let allowed = maximum.unwrap_or(u64::MAX).min(wanted);
    let mut files = current.unwrap_or(u64::MAX);
    if files < allowed {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum }) {
            Ok(()) => files = allowed,
            Err(error) => tracing::debug!(%error, "cannot raise the limit on open files"),
        }
    }
    // Half of what there is, where that is not enough for both: the drain must not want for sockets.
    if files >= wanted { CONNECTIONS_MAX } else { (files / 2).max(1) as usize }
}
