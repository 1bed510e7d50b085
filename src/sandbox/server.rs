//! The server: one thread with its own runtime, the door, and the connections.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::admin;
use super::analytics;
use super::bulk;
use super::dia;
use super::esm;
use super::ims;
use super::reply::{self, Broken, ReplyBody};
use super::request::read;
use super::wire::{Line, Wire, WireControl};
use super::world::{Door, Shared};

/// How many connections may wait to be accepted: more than any drain has lanes.
const BACKLOG: u32 = 4096;
/// How long to wait before the port is tried again, or a connection after the host ran out of sockets.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The largest request of the small surfaces, in bytes.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// The server, and what each of its connections needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Option<TlsAcceptor>,
    /// How long a connection may be idle; `None` is for ever.
    pub(super) idle_close: Option<Duration>,
}

/// Serves until the door is closed; says on `ready` where it listens, or why it does not. For a thread of its own.
pub(super) fn serve(server: &Server, address: SocketAddr, ready: &mpsc::Sender<io::Result<SocketAddr>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let listener = listen(address)?;
            let address = listener.local_addr()?;
            // The one who started it has gone only if it panicked; then there is nobody to serve.
            if ready.send(Ok(address)).is_ok() {
                server.keep_door(address, listener).await;
            }
            Ok(())
        })
    });
    if let Err(error) = outcome
        && let Err(unheard) = ready.send(Err(error))
    {
        tracing::error!(error = ?unheard.0, "the sandbox has stopped");
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that the port can be taken again at once while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Lets connections in, or not, as the door says.
    async fn keep_door(&self, address: SocketAddr, listener: TcpListener) {
        let mut door = self.shared.door.subscribe();
        let mut listener = Some(listener);
        loop {
            let wanted = *door.borrow_and_update();
            match wanted {
                Door::Closed => return,
                Door::Refusing => listener = None,
                Door::Open if listener.is_none() => match listen(address) {
                    Ok(again) => listener = Some(again),
                    Err(error) => {
                        tracing::warn!(%error, "cannot listen again");
                        sleep(RETRY_PAUSE).await;
                        door.mark_changed();
                        continue;
                    }
                },
                Door::Open => {}
            }
            self.shared.door_is(wanted);
            tokio::select! {
                biased;
                // The door's owner is the shared state, which outlives this.
                _ = door.changed() => {}
                () = self.accept(listener.as_ref()) => {}
            }
        }
    }

    /// Accepts connections for ever.
    async fn accept(&self, listener: Option<&TcpListener>) {
        let Some(listener) = listener else { return std::future::pending().await };
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    tokio::spawn(self.clone().connection(socket));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, socket: TcpStream) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot send small packets at once");
        }
        let control = WireControl::new();
        let wire = Wire::new(socket, Arc::clone(&control));
        let number = {
            let mut world = self.shared.world();
            if world.dice.refuses_connection() {
                control.reset();
                return;
            }
            world.connected()
        };
        let line = Line::new(number, control);
        match &self.tls {
            None => self.converse(&line, wire).await,
            Some(acceptor) => match acceptor.accept(wire).await {
                Ok(stream) => self.converse(&line, stream).await,
                Err(error) => tracing::debug!(%error, "no TLS"),
            },
        }
    }

    /// Answers the requests of one connection until either side ends it.
    async fn converse(&self, line: &Line, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut door = self.shared.door.subscribe();
        // It may have changed since the connection was accepted.
        door.mark_changed();
        let service = service_fn(|request| answer(&self.shared, line, request));
        let connection =
            http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut idle_check = pin!(sleep(self.idle_close.unwrap_or_default()));
        loop {
            tokio::select! {
                biased;
                outcome = connection.as_mut() => {
                    if let Err(error) = outcome {
                        tracing::debug!(connection = line.number, %error, "a connection broke");
                    }
                    return;
                }
                changed = door.changed() => {
                    if changed.is_err() || *door.borrow() != Door::Open {
                        connection.as_mut().graceful_shutdown();
                    }
                }
                () = idle_check.as_mut(), if self.idle_close.is_some() => {
                    let left = self.idle_close.unwrap_or_default().saturating_sub(line.idle());
                    if left.is_zero() {
                        connection.as_mut().graceful_shutdown();
                    }
                    idle_check.as_mut().reset(tokio::time::Instant::now() + left.max(RETRY_PAUSE));
                }
            }
        }
    }
}

/// Hands a request to its surface.
async fn answer(
    shared: &Arc<Shared>,
    line: &Line,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Broken> {
    line.begin();
    let path = request.uri().path();
    let response = if path.starts_with(bulk::PREFIX) {
        bulk::answer(shared, line, request).await
    } else if let Some(surface) = surface_of(path) {
        let (head, body) = request.into_parts();
        let (body, _) = read(body, BODY_BYTES_MAX).await?;
        Ok(body
            .map_or_else(|| reply::bare(StatusCode::PAYLOAD_TOO_LARGE), |body| surface(shared, &head, &body)))
    } else {
        dia::answer(shared, line, request).await
    };
    line.end();
    response
}

/// Answers a request whose body is read.
type Surface = fn(&Shared, &Parts, &[u8]) -> Response<ReplyBody>;

/// The surface whose requests are small, and see nothing of their connection.
fn surface_of(path: &str) -> Option<Surface> {
    let surfaces: [(&str, Surface); 6] = [
        (admin::PREFIX, admin::answer),
        (ims::PREFIX, ims::answer),
        ("/discovery/", analytics::answer),
        ("/api/", analytics::answer),
        (esm::REPORTS, esm::answer),
        (esm::CLIENTS, esm::answer),
    ];
    surfaces.into_iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, surface)| surface)
}
