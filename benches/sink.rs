//! What the benches share: a collector that answers at once or after a while, and the CPU time of everyone but it.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rcgen::CertifiedKey;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

/// The unit of `/proc/self/stat`.
const NANOS_A_TICK: u64 = 10_000_000;
/// A thousand lanes connect at once. Of a short backlog, Linux drops what is beyond, and a client tries again after a second.
const BACKLOG: u32 = 4_096;
const SUCCESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 58\r\n\r\n\
<?xml version=1.0 encoding=UTF-8?><status>SUCCESS</status>";

/// A collector on a thread of its own.
pub(crate) struct Sink {
    pub(crate) url: String,
    requests: Arc<AtomicU64>,
}

impl Sink {
    /// How many requests it has answered.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Starts a collector, with TLS where there is a certificate for `localhost`; each reply waits for `latency`.
pub(crate) fn sink(certificate: Option<&CertifiedKey<rcgen::KeyPair>>, latency: Duration) -> Sink {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(async { listen() }).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let acceptor = certificate.map(acceptor);
    let requests = Arc::new(AtomicU64::new(0));
    let counter = requests.clone();
    let serve = move || {
        runtime.block_on(async {
            loop {
                let (tcp, _) = listener.accept().await.expect("a client");
                tcp.set_nodelay(true).expect("a socket");
                let (acceptor, counter) = (acceptor.clone(), counter.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => answer(tcp, latency, &counter).await,
                        Some(acceptor) => answer(acceptor.accept(tcp).await?, latency, &counter).await,
                    }
                });
            }
        });
    };
    thread::Builder::new().name("sink".to_owned()).spawn(serve).expect("a thread");
    Sink { url: format!("{scheme}://localhost:{port}"), requests }
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(BACKLOG)
}

fn acceptor(certificate: &CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .expect("a configuration");
    TlsAcceptor::from(Arc::new(config))
}

/// Answers each request once its body is there.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    latency: Duration,
    requests: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let Some(head) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
        if filled >= head + 4 + content_length(&buffer[..head]) {
            filled = 0;
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            requests.fetch_add(1, Ordering::Relaxed);
            stream.write_all(SUCCESS).await?;
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length: ";
    let at = memchr::memmem::find(head, NAME).expect("a length") + NAME.len();
    head[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum, byte| sum * 10 + usize::from(byte - b'0'))
}

/// What the process has had of the CPUs, in nanoseconds, but for its sinks. Threads that have ended count too.
pub(crate) fn client_cpu() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(')').next().expect("fields behind the name").split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    let of_sink = |task: fs::DirEntry| -> Option<u64> {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let on_cpu =
            fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()?;
        (name.trim() == "sink").then_some(on_cpu)
    };
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let sinks: u64 = tasks.filter_map(|task| of_sink(task.ok()?)).sum();
    (ticks * NANOS_A_TICK).saturating_sub(sinks)
}

/// The middle one.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
