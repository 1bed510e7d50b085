//! The listeners: the HTTP collector, which stores events and exchanges that other programs post, and the views for
//! monitors and people.
//!
//! - In: `POST` to `/v1/events` and `/v1/exchanges` with a bearer token, plain or gzip; `GET` of `/healthz`,
//!   `/version`, `/openapi.json` and views of the buffer. Out: 202 with a receipt; views as their maker wrote them.
//! - Guarantees: 202 is sent only after the events are durable. Memory is limited for any number of senders and any
//!   content. A sender that is slow, stops or sends rubbish uses one connection and does not disturb others. The
//!   answer to a refused request says why, and whether to retry.
//! - Does not know: when a drain runs, report suites, TLS (use a reverse proxy).
//! - Rules: RFC 9110 for the status codes, RFC 6750 and (as a password) RFC 7617 for the tokens.
//!
//! One thread handles HTTP, a second stores, a third checks the buffer for `/healthz`, a fourth makes the views.
//! Submissions that arrive during a transaction share the next transaction.

mod body;
mod counter;
mod door;
mod error;
mod looks;
mod reply;
mod routes;
mod thread;
mod tokens;
mod version;
mod views;
mod write_timeout;

use std::collections::VecDeque;
use std::net::SocketAddr;
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

use crate::clock::Clock;
use crate::config::ServeConfig;
use crate::ingest::{Door as Storing, IngestOptions};
use counter::Counter;
use door::Door;
use looks::Health;
use reply::Refusal;
use routes::{Desk, Guest};
use thread::Thread;
use tokens::Tokens;
use write_timeout::TimedSocket;

pub use error::ServeError;
pub use looks::Pulse;
pub use tokens::{TokensError, check as check_tokens};
pub use version::Version;
pub use views::{Show, Shown, View};

/// The most connections that are served at once; each needs about 20 KiB.
const CONNECTIONS_MAX: usize = 2048;
/// Further connections, which may not post or see views, so that `/healthz` answers even if all `CONNECTIONS_MAX` are
/// in use. If all of these are in use too, a new connection replaces the oldest.
const STANDING_MAX: usize = 64;
/// The longest time that such a further connection stays open.
const STANDING_TIME: Duration = Duration::from_secs(5);
/// Files and sockets that are not for senders: lanes of a few hosts, the buffer, rejects, `/healthz` connections.
const OTHER_FILES: u64 = 1536 + STANDING_MAX as u64;
/// The pause after a connection could not be accepted, for example because the host has no free socket.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The longest head of a request, in bytes. The heads of our senders have a few hundred.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The options of the server.
pub struct ServeOptions {
    /// The address to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// How submissions are read, and where they are stored; `None`: this listener takes none.
    pub ingest: Option<(IngestOptions, Arc<dyn Storing + Send + Sync>)>,
    pub pulse: Pulse,
    /// What makes the views of the buffer; `None`: this listener shows none.
    pub show: Option<Show>,
    /// Whether this listener shows more views than readiness.
    pub has_pages: bool,
    pub config: ServeConfig,
    /// The longest time that a stop waits for current requests.
    pub stop_grace: Duration,
    pub clock: Clock,
}

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The files of tokens that are in use.
    tokens: Vec<Arc<Tokens>>,
    stop: watch::Sender<bool>,
    _thread: Thread,
}

impl Server {
    /// Starts to serve. Once this function has returned, requests are answered.
    pub fn start(options: ServeOptions) -> Result<Server, ServeError> {
        let refuse = |source| ServeError::Listen { address: options.listen, source };
        let listener = std::net::TcpListener::bind(options.listen).map_err(refuse)?;
        listener.set_nonblocking(true).map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let config = options.config;
        let intake = match options.ingest {
            Some((ingest, buffer)) => {
                let maps = ingest.maps.named.clone();
                let tokens = Arc::new(Tokens::read(&config.tokens_file, "serve.tokens_file", maps)?);
                Some((tokens, Counter::open(buffer, ingest, config.backlog_max_events)?))
            }
            None => None,
        };
        // The limit for each of three steps: receiving a request after its head, storing it, and the client reading the
        // next byte of the reply.
        let request_timeout = Duration::from_secs(config.request_timeout_seconds);
        let senders = intake.as_ref().map(|(tokens, _)| Arc::clone(tokens));
        let door = options.show.map(|show| Door::open(show, options.has_pages, &config)).transpose()?;
        let tokens = senders.into_iter().chain(door.as_ref().and_then(Door::tokens)).collect();
        let (stop, stopped) = watch::channel(false);
        let serving = Arc::new(Serving {
            desk: Desk::new(Health::start(options.pulse)?, door, intake, request_timeout, options.clock),
            stopped,
            idle_timeout: Duration::from_secs(config.idle_timeout_seconds),
            write_timeout: request_timeout,
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Thread)?;
        let (ready, waiting) = std::sync::mpsc::channel();
        let served = async move {
            render_a_date().await;
            // Sending cannot fail, because the caller waits for this message.
            ready.send(()).unwrap_or_default();
            match TcpListener::from_std(listener) {
                Ok(listener) => serving.accept(listener, options.stop_grace).await,
                Err(error) => tracing::error!(%error, "cannot serve"),
            }
        };
        let thread = Thread::start("serve", move || runtime.block_on(served))?;
        // If the thread panicked, receiving fails, and the panic hook has printed the message already.
        waiting.recv().unwrap_or_default();
        Ok(Server { address, tokens, stop, _thread: thread })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the files of tokens again now, if they have changed.
    pub fn reread_tokens(&self) {
        self.tokens.iter().for_each(|tokens| tokens.look_now());
    }

    /// Stops accepting new connections. Current requests go on.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

/// The state that all connections share.
struct Serving {
    desk: Desk,
    stopped: watch::Receiver<bool>,
    /// The longest time from the accept or the previous request until the head of the next request is complete.
    idle_timeout: Duration,
    /// The longest wait until the client reads the next byte of a reply.
    write_timeout: Duration,
}

impl Serving {
    /// Accepts connections until the stop, then waits for current requests.
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
                // The aborted task closes its socket when it is next polled. Let that happen before the next accept.
                yield_now().await;
            }
        }
        // New connections are refused from now on, instead of waiting.
        drop(listener);
        let ended = timeout(stop_grace, async { while connections.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests are left unanswered: they took too long"
            );
        }
    }

    /// Answers the requests of one connection until the client or the server ends it.
    async fn converse(&self, socket: TcpStream, guest: Guest) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot send small packets at once");
        }
        let service = service_fn(async |request| {
            Ok::<_, std::convert::Infallible>(self.desk.answer(request, guest).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // hyper panics when it writes a date before 1970.
            .auto_date_header(false)
            // This limit also applies between two requests.
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

    /// Waits until the server is closed.
    async fn stop(&self) {
        drop(self.stopped.clone().wait_for(|is_stopped| *is_stopped).await);
    }
}

/// hyper renders a date when a thread serves its first connection, and panics if that date is before 1970. So an empty
/// connection is served first, soon after the program has checked the clock and before anybody can ask.
async fn render_a_date() {
    let nobody = service_fn(async |_| Ok::<_, std::convert::Infallible>(Refusal::failed("").reply()));
    drop(http1::Builder::new().serve_connection(TokioIo::new(tokio::io::empty()), nobody).await);
}

/// Raises the limit on open files if possible, and returns how many connections the limit allows.
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
    // If the limit is too low for connections and drain together, connections get half: the drain needs sockets too.
    if files >= wanted { CONNECTIONS_MAX } else { (files / 2).max(1) as usize }
}
