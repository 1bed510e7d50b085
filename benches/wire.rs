//! One connection per lane against a pooled client: requests a second and CPU per request, in one run, interleaved.
//!
//! `cargo bench --bench wire [-- ROUNDS]` posts the same ready-made bodies to the same sink, which lives on a thread of its
//! own and answers at once. The median of the rounds is printed, and each figure relative to reqwest's.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

mod sink;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use passbridge::collection::{Collection, CollectionOptions, Roots};
use passbridge::delivery::Outcome;
use passbridge::suite::CollectionUrl;
use rcgen::generate_simple_self_signed;
use sink::{client_cpu, median, sink};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const LANES: usize = 32;
const BODY_BYTES: usize = 1600;
const WARM_UP: Duration = Duration::from_millis(300);
const WINDOW: Duration = Duration::from_millis(1500);

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(3);
    rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    let certificate = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let pem = certificate.cert.pem();
    let sinks = [("plain", sink(None, Duration::ZERO)), ("TLS", sink(Some(&certificate), Duration::ZERO))];
    for (name, sink) in sinks {
        let url = &sink.url;
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for _ in 0..rounds {
            ours.push(measure(|window| passbridge(url, &pem, window)));
            theirs.push(measure(|window| reqwest(url, &pem, window)));
        }
        let (ours, theirs) = (medians(&ours), medians(&theirs));
        println!("{name}: passbridge, current_thread  {ours}");
        println!("{name}: reqwest, multi-thread       {theirs}");
        println!(
            "{name}: requests a second x {:.2}, CPU per request x {:.2}; {} requests in all",
            ours.per_second / theirs.per_second,
            ours.cpu_micros / theirs.cpu_micros,
            sink.requests()
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

fn medians(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
    Figures { per_second: of(|figures| figures.per_second), cpu_micros: of(|figures| figures.cpu_micros) }
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
        (client.join().expect("a client"), after - before)
    });
    Figures {
        per_second: requests as f64 / WINDOW.as_secs_f64(),
        cpu_micros: cpu as f64 / 1000.0 / requests as f64,
    }
}

fn passbridge(url: &str, pem: &str, window: Window) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = CollectionOptions {
        roots: Roots::Extra(pem.to_owned().into_bytes()),
        ..CollectionOptions::default()
    };
    let url: CollectionUrl = url.parse().expect("a url");
    let host = Collection::new(options).expect("a collection").host(&url).expect("a way there");
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
