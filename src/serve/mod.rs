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

mod answer;
mod body;
mod counter;
mod patience;
mod tokens;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::buffer::Buffer;
use crate::ingest::{IngestError, IngestOptions};
use answer::{Desk, Guest};
use counter::Counter;
use patience::PatientSocket;
use tokens::Tokens;

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
    /// How events are read and checked.
    pub ingest: IngestOptions,
    /// The file of the bearer tokens, one a line.
    pub tokens_file: PathBuf,
    /// How many events may wait in the buffer before no more are taken; 0 is no limit.
    pub backlog_max_events: u64,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// A server that is up. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tokens: Option<Arc<Tokens>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
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
        let desk = Arc::new(Desk::new(Arc::clone(buffer), intake, options.request_timeout));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let limits = Limits { idle: options.idle_timeout, write: options.request_timeout };
        let stop_grace = options.stop_grace;
        let serving = async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, &desk, stopped, limits, stop_grace).await,
                Err(error) => tracing::error!(%error, "cannot serve"),
            }
        };
        let thread = std::thread::Builder::new()
            .name("serve".to_owned())
            .spawn(move || runtime.block_on(serving))
            .map_err(ServeError::Thread)?;
        Ok(Server { address, tokens, stop, thread: Some(thread) })
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
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by its own hook; there is nothing to add while dropping.
            drop(thread.join());
        }
    }
}

/// How long a connection may wait.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For the head of a request.
    idle: Duration,
    /// For a byte of a reply to be read.
    write: Duration,
}

/// Lets connections in until the stop, then waits for the requests under way.
async fn accept(
    listener: TcpListener,
    desk: &Arc<Desk>,
    stopped: watch::Receiver<bool>,
    limits: Limits,
    stop_grace: Duration,
) {
    let mut standing = VecDeque::new();
    let places = Arc::new(Semaphore::new(connections_max()));
    let mut connections = JoinSet::new();
    let mut is_stopped = stopped.clone();
    loop {
        tokio::select! {
            biased;
            () = stop_asked(&mut is_stopped) => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended
                    && !error.is_cancelled()
                {
                    tracing::error!(%error, "a connection's task failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    let (desk, stopped) = (Arc::clone(desk), stopped.clone());
                    match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            let guest = Guest::Seated(peer.ip());
                            connections.spawn(async move {
                                converse(desk, socket, stopped, limits, guest).await;
                                drop(place);
                            });
                        }
                        Err(_) => {
                            let answered = converse(desk, socket, stopped, limits, Guest::Standing);
                            let answered = async move { timeout(STANDING_TIME, answered).await.unwrap_or(()) };
                            standing.push_back(connections.spawn(answered));
                        }
                    }
                    if standing.len() > STANDING_MAX
                        && let Some(oldest) = standing.pop_front()
                    {
                        oldest.abort();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(RETRY_PAUSE).await;
                }
            },
        }
    }
    // Who comes now is refused at once, not left waiting.
    drop(listener);
    let ended = timeout(stop_grace, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(connections = connections.len(), "requests are left unanswered: they took too long");
    }
}

/// Answers the requests of one connection until either side ends it.
async fn converse(
    desk: Arc<Desk>,
    socket: TcpStream,
    mut stopped: watch::Receiver<bool>,
    limits: Limits,
    guest: Guest,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot send small packets at once");
    }
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, std::convert::Infallible>(desk.answer(request, guest).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Between requests too: what is silent for so long is gone.
        .header_read_timeout(limits.idle)
        .keep_alive(matches!(guest, Guest::Seated(_)))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(PatientSocket::new(socket, limits.write)), service);
    let mut connection = std::pin::pin!(connection);
    let mut is_leaving = false;
    loop {
        tokio::select! {
            biased;
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = stop_asked(&mut stopped), if !is_leaving => {
                is_leaving = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Waits for the stop. The sender is the server, which waits for the connections to end.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|is_stopped| *is_stopped).await);
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
    let connections = if files >= wanted { CONNECTIONS_MAX as u64 } else { (files / 2).max(1) };
    usize::try_from(connections).unwrap_or(CONNECTIONS_MAX)
}
