//! The server: its listening socket, called the door, and its connections.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use http::request::Parts;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::reply::{self, Broken, Reply};
use super::request::{Call, read};
use super::wire::{Line, Wire, reset};
use super::world::{Door, Shared};
use super::{admin, analytics, bulk, dia, esm, ims};

/// How many connections may wait to be accepted: more than any drain has lanes.
const BACKLOG: u32 = 4096;
/// The pause before the port is tried again, or before the next connection is accepted after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The largest body of a request to a surface of `surface_of`, in bytes.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// The server, and what each of its connections needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Option<TlsAcceptor>,
    /// How long a connection may be idle; `None` is for ever.
    pub(super) idle_close: Option<Duration>,
}

/// Binds a socket to the port, without listening yet.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // This option lets the port be bound again at once while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Server {
    /// Accepts or refuses connections, as the door demands, until the door is closed.
    pub(super) async fn keep_door(self, address: SocketAddr, socket: TcpSocket) {
        let mut door = self.shared.door.subscribe();
        let (mut bound, mut listener) = (Some(socket), None);
        loop {
            let wanted = *door.borrow_and_update();
            match wanted {
                Door::Closed => return,
                Door::Refusing => listener = None,
                Door::Open if listener.is_none() => {
                    let socket = bound.take().map_or_else(|| bind(address), Ok);
                    match socket.and_then(|socket| socket.listen(BACKLOG)) {
                        Ok(again) => listener = Some(again),
                        Err(error) => {
                            tracing::warn!(%error, "the sandbox cannot listen");
                            sleep(RETRY_PAUSE).await;
                            door.mark_changed();
                            continue;
                        }
                    }
                }
                Door::Open => {}
            }
            self.shared.door_is(wanted);
            tokio::select! {
                biased;
                // This cannot fail: the door belongs to the shared state, which outlives this loop.
                _ = door.changed() => {}
                () = self.accept(listener.as_ref()) => {}
            }
        }
    }

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
        let number = {
            let mut world = self.shared.world();
            if world.faults.refuses_connection() {
                return reset(&socket);
            }
            world.connected()
        };
        let line = Line::new(number);
        let wire = Wire { socket, line: Arc::clone(&line) };
        match &self.tls {
            None => self.converse(&line, wire).await,
            Some(acceptor) => match acceptor.accept(wire).await {
                Ok(stream) => self.converse(&line, stream).await,
                Err(error) => tracing::debug!(%error, "the TLS handshake failed"),
            },
        }
    }

    /// Answers the requests of one connection until either side ends it.
    async fn converse(&self, line: &Arc<Line>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut door = self.shared.door.subscribe();
        // The door may have changed since the connection was accepted.
        door.mark_changed();
        let mut protocol = http1::Builder::new();
        // This limits the wait for the next request head, and so how long a connection may be idle.
        protocol.timer(TokioTimer::new()).header_read_timeout(self.idle_close);
        let service = service_fn(|request| answer(&self.shared, line, request));
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
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
            }
        }
    }
}

async fn answer(shared: &Arc<Shared>, line: &Arc<Line>, request: Request<Incoming>) -> Result<Reply, Broken> {
    line.begin();
    let (head, mut body) = request.into_parts();
    let path = head.uri.path();
    let response = if let Some(surface) = surface_of(path) {
        let (body, _) = read(&mut body, BODY_BYTES_MAX).await?;
        let too_large = || reply::bare(StatusCode::PAYLOAD_TOO_LARGE);
        Ok(body.map_or_else(too_large, |body| surface(shared, &head, &body)))
    } else {
        let (origin, is_bulk) = (shared.world().requested(line.number), path.starts_with(bulk::PREFIX));
        let (shared, line, at) = (Arc::clone(shared), Arc::clone(line), Instant::now());
        let call = Arc::new(Call { shared, line, origin, at, head });
        if is_bulk { bulk::answer(call, body).await } else { dia::answer(&call, body).await }
    };
    line.end();
    response
}

type Surface = fn(&Shared, &Parts, &[u8]) -> Reply;

/// The surface of a path, for surfaces whose requests are small and need nothing of their connection.
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
