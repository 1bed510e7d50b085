//! One connection per lane against a pooled client: requests a second and CPU per request, in one run, interleaved.
//!
//! `cargo bench --bench wire [-- ROUNDS]` posts the same ready-made bodies to the same sink, which lives on a thread of its
//! own and answers at once. The median of the rounds is printed, and each figure relative to reqwest's.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use passbridge::collection::{Collection, CollectionOptions, Roots};
use passbridge::delivery::Outcome;
use passbridge::suite::CollectionUrl;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const LANES: usize = 32;
const BODY_BYTES: usize = 1600;
const WARM_UP: Duration = Duration::from_millis(300);
const WINDOW: Duration = Duration::from_millis(1500);
const SUCCESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 58\r\n\r\n\
<?xml version=1.0 encoding=UTF-8?><status>SUCCESS</status>";

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(3);
    rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    let certificate = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let pem = certificate.cert.pem();
    let sinks = [("plain", sink(None)), ("TLS", sink(Some(certificate)))];
    for (name, port) in sinks {
        let scheme = if name == "TLS" { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{port}");
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for _ in 0..rounds {
            ours.push(measure(|window| passbridge(&url, &pem, window)));
            theirs.push(measure(|window| reqwest(&url, &pem, window)));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{name}: passbridge, current_thread  {ours}");
        println!("{name}: reqwest, multi-thread       {theirs}");
        println!(
            "{name}: requests a second x {:.2}, CPU per request x {:.2}",
            ours.per_second / theirs.per_second,
            ours.cpu_micros / theirs.cpu_micros
        );
    }
}

/// What one round measured.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    cpu_micros: f64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:>8.0} requests/s, {:>5.1} us CPU a request", self.per_second, self.cpu_micros)
    }
}

fn median(mut rounds: Vec<Figures>) -> Figures {
    let middle = rounds.len() / 2;
    let mut of = |figure: fn(&Figures) -> f64| {
        rounds.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
        figure(&rounds[middle])
    };
    Figures { per_second: of(|f| f.per_second), cpu_micros: of(|f| f.cpu_micros) }
}

/// When a lane warms up, and when it counts.
#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
    requests: u64,
}

impl Window {
    /// Counts a request that was answered just now; false when it was the last.
    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        let goes_on = now < self.end;
        self.requests += u64::from(goes_on && now >= self.begin);
        goes_on
    }
}

/// Runs a client, on threads of its own, and takes its CPU from those: all but this one and the sinks'.
fn measure(client: impl FnOnce(Window) -> u64 + Send) -> Figures {
    let begin = Instant::now() + WARM_UP;
    let window = Window { begin, end: begin + WINDOW, requests: 0 };
    let (requests, cpu) = thread::scope(|scope| {
        let client = scope.spawn(move || client(window));
        thread::sleep(window.begin.saturating_duration_since(Instant::now()));
        let before = client_cpu();
        thread::sleep(window.end.saturating_duration_since(Instant::now()) - Duration::from_millis(5));
        let after = client_cpu();
        let cpu: u64 = after.iter().map(|(id, nanos)| nanos - before.get(id).unwrap_or(&0)).sum();
        (client.join().expect("a client"), cpu)
    });
    Figures {
        per_second: requests as f64 / WINDOW.as_secs_f64(),
        cpu_micros: cpu as f64 / 1000.0 / requests as f64,
    }
}

/// Nanoseconds on a CPU, by thread.
fn client_cpu() -> BTreeMap<u64, u64> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let on_cpu = fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()?;
            (name.trim() != "sink").then_some((path.file_name()?.to_str()?.parse().ok()?, on_cpu))
        })
        .collect()
}

fn passbridge(url: &str, pem: &str, window: Window) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = CollectionOptions {
        roots: Roots::Extra(pem.to_owned().into_bytes()),
        ..CollectionOptions::default()
    };
    let url: CollectionUrl = url.parse().expect("a url");
    let host = Collection::new(options).expect("a collection").host(&url);
    runtime.block_on(async {
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (mut connection, body, mut window) = (host.connection(), body(), window);
            lanes.spawn(async move {
                while window.goes_on() {
                    assert_eq!(connection.send(body.clone()).await, Outcome::Delivered);
                }
                window.requests
            });
        }
        lanes.join_all().await.iter().sum()
    })
}

fn reqwest(url: &str, pem: &str, window: Window) -> u64 {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate")])
        .http1_only()
        .no_proxy()
        .build()
        .expect("a client");
    let url: Arc<str> = format!("{url}/b/ss//6").into();
    runtime.block_on(async {
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (client, url, body, mut window) = (client.clone(), Arc::clone(&url), body(), window);
            lanes.spawn(async move {
                while window.goes_on() {
                    let request =
                        client.post(&*url).header("content-type", "application/xml").body(body.clone());
                    let reply = request.send().await.expect("a reply");
                    assert!(reply.bytes().await.expect("a body").ends_with(b"<status>SUCCESS</status>"));
                }
                window.requests
            });
        }
        lanes.join_all().await.iter().sum()
    })
}

fn body() -> Bytes {
    Bytes::from(vec![b'x'; BODY_BYTES])
}

/// A sink on a thread of its own; gives its port.
fn sink(certificate: Option<CertifiedKey<rcgen::KeyPair>>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = certificate.map(acceptor);
    let serve = move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a socket");
            loop {
                let (tcp, _) = listener.accept().await.expect("a client");
                tcp.set_nodelay(true).expect("a socket");
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => answer(tcp).await,
                        Some(acceptor) => answer(acceptor.accept(tcp).await?).await,
                    }
                });
            }
        });
    };
    thread::Builder::new().name("sink".to_owned()).spawn(serve).expect("a thread");
    port
}

fn acceptor(certificate: CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .expect("a configuration");
    TlsAcceptor::from(Arc::new(config))
}

/// Answers each request once its body is there. Every body is of the same length, so only the end of the head is looked for.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let Some(head) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
        if filled >= head + 4 + BODY_BYTES {
            filled = 0;
            stream.write_all(SUCCESS).await?;
        }
    }
}
