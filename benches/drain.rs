//! The drain against a bare client that posts ready-made bodies, and against what lanes and round trips allow.
//!
//! `cargo bench --bench drain [-- EVENTS]` (default 200,000) fills a buffer with events of 34 eVars, drains it through 32
//! lanes into a collector that answers at once, and lets a multi-thread reqwest client post bodies of the same size to the
//! same collector; plain and TLS, interleaved, medians of five. Then a collector that answers after 20 ms, with more lanes.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

mod sink;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use passbridge::buffer::{AfterRestore, Batch, Buffer, BufferOptions, Feed, JobKey, NewEvent};
use passbridge::clock::Clock;
use passbridge::collection::{Collection, CollectionOptions, Roots};
use passbridge::drain::{DrainOptions, Locked, RetryLimits, Stop, drain};
use passbridge::event::{
    Draft, Instant as EventInstant, PassEvent, Property, RawValue, RequestorId, TimeBounds,
};
use passbridge::suite::{HitForm, LiveRoute, OnAmbiguous, ReportSuite, Stage, SuiteState};
use passbridge::{encode, mapping};
use rcgen::generate_simple_self_signed;
use sink::{Sink, client_cpu, median, sink};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const ROUNDS: usize = 5;
const LANES: usize = 32;

fn main() {
    let events = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    let certificate = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let pem = certificate.cert.pem();
    println!("{events} events, {} bytes a body", body().len());
    for (name, sink) in
        [("plain", sink(None, Duration::ZERO)), ("TLS", sink(Some(&certificate), Duration::ZERO))]
    {
        compare(name, &sink, &pem, events);
    }
    let slow = sink(None, Duration::from_millis(20));
    for (lanes, goal) in [(64, 98), (256, 95), (512, 92), (1_024, 78)] {
        let drained = drained(&slow, &pem, lanes, lanes * 200);
        let ideal = lanes as f64 / 0.022;
        println!(
            "20 ms, {lanes} lanes: {:.0} events/s, {:.0} % of lanes / 22 ms (goal {goal} %), {:.1} us CPU an event",
            drained.per_second,
            100.0 * drained.per_second / ideal,
            drained.cpu_micros
        );
    }
}

fn compare(name: &str, sink: &Sink, pem: &str, events: usize) {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut our_cpu, mut their_cpu, mut bare_cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let drained = drained(sink, pem, LANES, events);
        let posted = posted(sink, pem, events);
        let bare = bare(sink, pem, events);
        ratios.push(drained.per_second / posted.per_second);
        ours.push(drained.per_second);
        theirs.push(posted.per_second);
        our_cpu.push(drained.cpu_micros);
        their_cpu.push(posted.cpu_micros);
        bare_cpu.push(bare.cpu_micros);
    }
    let (our_cpu, their_cpu, bare_cpu) = (median(our_cpu), median(their_cpu), median(bare_cpu));
    println!(
        "{name}: drain {:.0} events/s, reqwest {:.0} posts/s: {:.0} % (goal 100 %)",
        median(ours),
        median(theirs),
        100.0 * median(ratios)
    );
    println!(
        "{name}: {our_cpu:.1} us CPU an event, reqwest {their_cpu:.1} us: x {:.2} (goal 1.3); a bare post of our own {bare_cpu:.1} us",
        our_cpu / their_cpu
    );
}

struct Figures {
    per_second: f64,
    cpu_micros: f64,
}

fn timed(sink: &Sink, work: impl FnOnce()) -> Figures {
    let (began, cpu, requests) = (Instant::now(), client_cpu(), sink.requests());
    work();
    let seconds = began.elapsed().as_secs_f64();
    let requests = (sink.requests() - requests) as f64;
    Figures { per_second: requests / seconds, cpu_micros: (client_cpu() - cpu) as f64 / 1_000.0 / requests }
}

fn drained(sink: &Sink, pem: &str, lanes: usize, events: usize) -> Figures {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let path = dir.path().join("passbridge.db");
    let options = BufferOptions {
        path,
        allow_network_filesystem: false,
        clock: Clock::system(),
        measure: mapping::measure,
    };
    Buffer::create(&options).expect("a buffer");
    let buffer = Arc::new(Buffer::open(&options).expect("a buffer"));
    let requestor = RequestorId::new("REF30").expect("a requestor");
    buffer.add_suite(suite(&sink.url), vec![requestor]).expect("a suite");
    let input = buffer.open_input("bench").expect("an input");
    for start in (0..events).step_by(10_000) {
        let numbers = start..(start + 10_000).min(events);
        let events = numbers
            .map(|number| (number as u64, event(number)))
            .map(|(number, event)| NewEvent::new(number, &event, mapping::measure(&event)))
            .collect::<Vec<_>>()
            .into();
        buffer
            .store(Batch {
                input,
                feed: Feed::Events,
                job: JobKey::LIVE,
                events,
                memory: Vec::new(),
                stated: Vec::new(),
                rejected: 0,
            })
            .expect("a batch");
    }
    let out = collection(pem);
    let options = drain_options(lanes);
    let lock = buffer.lock().expect("the lock");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let figures = timed(sink, || {
        let summary = runtime
            .block_on(drain(&buffer, &out, &options, Stop::default(), Locked::Live(&lock)))
            .expect("a drain");
        assert_eq!(summary.delivered, events as u64);
    });
    runtime.shutdown_background();
    figures
}

fn drain_options(lanes: usize) -> DrainOptions {
    DrainOptions {
        lanes,
        retry: RetryLimits {
            max_attempts: 8,
            backoff_base: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
        },
        stop_grace: Duration::from_secs(30),
        limit: None,
        deadline: None,
        after_restore: AfterRestore::Ask,
        beside: None,
        clock: Clock::system(),
    }
}

fn collection(pem: &str) -> Collection {
    let roots = Roots::Extra(pem.to_owned().into_bytes());
    Collection::new(CollectionOptions { roots, ..CollectionOptions::default() }).expect("a collection")
}

/// The baseline of the throughput: a pooled client on all cores.
fn posted(sink: &Sink, pem: &str, posts: usize) -> Figures {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder()
        .tls_certs_only([certificate])
        .http1_only()
        .no_proxy()
        .build()
        .expect("a client");
    let url: Arc<str> = format!("{}/b/ss//6", sink.url).into();
    timed(sink, || {
        runtime.block_on(async {
            let mut lanes = JoinSet::new();
            for _ in 0..LANES {
                let (client, url, body) = (client.clone(), url.clone(), body());
                lanes.spawn(async move {
                    for _ in 0..posts / LANES {
                        let request =
                            client.post(&*url).header("content-type", "application/xml").body(body.clone());
                        let reply = request.send().await.expect("a reply");
                        assert!(reply.bytes().await.expect("a body").ends_with(b"<status>SUCCESS</status>"));
                    }
                });
            }
            lanes.join_all().await;
        });
    })
}

/// The baseline of the CPU: the same HTTP library, without buffer, mapping or records.
fn bare(sink: &Sink, pem: &str, posts: usize) -> Figures {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let host = collection(pem).host(&sink.url.parse().expect("a url")).expect("a way there");
    timed(sink, || {
        runtime.block_on(async {
            let mut lanes = JoinSet::new();
            for _ in 0..LANES {
                let (mut connection, body) = (host.connection(), body());
                lanes.spawn(async move {
                    for _ in 0..posts / LANES {
                        connection.send(body.clone()).await;
                    }
                });
            }
            lanes.join_all().await;
        });
    })
}

fn body() -> Bytes {
    let event = event(0);
    let form = suite("http://localhost").form;
    let mapped = mapping::map(&event, event.identity().id, &form).expect("a hit");
    let mut body = Vec::new();
    encode::dia(&mapped.hits[0], &mut body);
    body.into()
}

fn suite(url: &str) -> ReportSuite {
    ReportSuite {
        form: HitForm::with_defaults("examplersid".parse().expect("an rsid")),
        collection_url: url.parse().expect("a url"),
        on_ambiguous: OnAmbiguous::Retry,
        hits_per_second: None,
        state: SuiteState::Active,
        stage: Stage::Production,
        route: LiveRoute::Dia,
    }
}

/// A play request with a value in every property.
fn event(number: usize) -> PassEvent {
    let mut draft = Draft::default();
    let seconds = (1_793_491_200 + number / 50).to_string();
    draft.set("occurred_at", RawValue::Number(&seconds)).expect("an instant");
    draft.set("event", RawValue::Text("play_requested".into())).expect("a kind");
    draft.set("requestor_id", RawValue::Text("REF30".into())).expect("a requestor");
    for property in Property::ALL {
        let value = match property {
            Property::RequestorId => continue,
            Property::MvpdUserId => format!("dXNlcg{}==", number % 20_000),
            Property::ResourceId => number.to_string(),
            Property::IpAddress => "203.0.113.7".to_owned(),
            Property::UserAgent => {
                "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/94.0 Safari/537.36".to_owned()
            }
            _ => format!("{} {}", property.label(), number % 40),
        };
        draft.set(property.name(), RawValue::Text(value.into())).expect("a property");
    }
    let end_of_time = EventInstant::from_nanos(i64::MAX);
    draft.finish(TimeBounds { latest: end_of_time, now: end_of_time }).expect("an event")
}
