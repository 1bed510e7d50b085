//! How many durable events a second the HTTP collector takes from 32 connections.
//!
//! Goal: 5,000 (issue "Sources", item 6). Senders and collector share the machine's cores.
//!
//! `cargo bench --bench collector`

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use passbridge::buffer::{Buffer, BufferOptions};
use passbridge::clock::Clock;
use passbridge::config::{IngestConfig, RestV2Config, ServeConfig};
use passbridge::ingest::{FormatChoice, IngestOptions};
use passbridge::mapping;
use passbridge::serve::{ServeOptions, Server};

const CONNECTIONS: usize = 32;
const TOKEN: &str = "a-token-of-the-bench";
/// How long each measurement takes: hundreds of transactions.
const LASTS: Duration = Duration::from_secs(8);

fn main() {
    println!("{:>18} {:>12} {:>14} {:>12}", "events a request", "events/s", "requests/s", "ms a reply");
    for events_a_request in [1, 10, 100] {
        let mut rates: Vec<(f64, f64)> = (0..3).map(|_| measure(events_a_request)).collect();
        rates.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (events, requests) = rates[1];
        println!(
            "{events_a_request:>18} {events:>12.0} {requests:>14.0} {:>12.2}",
            CONNECTIONS as f64 * 1000.0 / requests
        );
    }
}

/// Events and requests a second, acknowledged and counted in the buffer.
fn measure(events_a_request: usize) -> (f64, f64) {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let tokens_file = dir.path().join("tokens");
    std::fs::write(&tokens_file, TOKEN).expect("a file");
    let options = BufferOptions {
        path: dir.path().join("passbridge.db"),
        allow_network_filesystem: false,
        clock: Clock::system(),
        measure: mapping::measure,
    };
    Buffer::create(&options).expect("a new buffer");
    let buffer = Arc::new(Buffer::open(&options).expect("the buffer opens"));
    let ingest = IngestOptions {
        maps: Default::default(),
        contracts: Vec::new(),
        slice: Default::default(),
        accept_days: None,
        accept_missing: Vec::new(),
        job: Default::default(),
        format: FormatChoice::Auto,
        config: IngestConfig { rejects_dir: dir.path().join("rejects"), ..IngestConfig::default() },
        rest_v2: RestV2Config::default(),
        secret: None,
        service_keys: Default::default(),
        esm: Default::default(),
        clock: Clock::system(),
    };
    let pulse = buffer.pulse().expect("a pulse");
    let server = Server::start(ServeOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ingest: Some((ingest, buffer.clone())),
        pulse: Box::new(move || pulse.look().map_err(|error| error.to_string())),
        show: None,
        has_pages: false,
        config: ServeConfig { tokens_file, ..ServeConfig::default() },
        stop_grace: Duration::from_secs(5),
        clock: Clock::system(),
    })
    .expect("a server");
    let (next, requests) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut socket = TcpStream::connect(server.address()).expect("a connection");
                socket.set_nodelay(true).expect("an option");
                while started.elapsed() < LASTS {
                    post(&mut socket, next.fetch_add(events_a_request, Ordering::Relaxed), events_a_request);
                    requests.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let (events, requests) = (next.into_inner(), requests.into_inner());
    assert_eq!(buffer.pending().expect("a count"), events as u64, "every acknowledged event is stored");
    (events as f64 / seconds, requests as f64 / seconds)
}

fn post(socket: &mut TcpStream, first: usize, count: usize) {
    let mut body = String::new();
    for number in first..first + count {
        body.push_str(&format!(
            "{{\"occurred_at\":\"2026-11-01T00:00:00Z\",\"event\":\"authz_ok\",\"requestor_id\":\"REF30\",\"event_id\":\"c-{number}\",\
             \"mvpd\":\"Cableco\",\"mvpd_user_id\":\"user-{}\",\"resource_id\":\"channel-{}\",\"sdk_type\":\"Clientless\",\
             \"latency_ms\":\"{}\",\"device_os_name\":\"tvOS\",\"device_model\":\"AppleTV11,1\"}}\n",
            number % 5000,
            number % 40,
            number % 900
        ));
    }
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).expect("a request");
    let mut reply = Vec::new();
    let mut chunk = [0; 2048];
    // The receipt ends with the list of lines that were not stored.
    while !reply.ends_with(b"\"errors\":[]}") {
        let read = socket.read(&mut chunk).expect("a reply");
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&reply));
        reply.extend_from_slice(&chunk[..read]);
    }
    assert!(reply.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&reply));
}
