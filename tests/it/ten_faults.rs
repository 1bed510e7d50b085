//! Ten faults, each under a `run` that drains every second: within a minute `status --check`, `/check` and the status page name
//! it with its cause and what to do, and the metric that an alert reads shows it: at once, for an alert that waits for nothing.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use passbridge::clock::Clock;
use rusqlite::Connection;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;

use crate::keeping::clock_shim;
use crate::program::{Program, lines};
use crate::serve::Listening;
use crate::support::{sandbox, sandbox_with};

/// From the first event or attempt that a fault strikes until all name it.
const NAMED_WITHIN: Duration = Duration::from_secs(60);
const HOST: &str = "Host: localhost\r\n";
const DAY: i64 = 24 * 60 * 60;

/// What must be said of a fault.
struct Named<'a> {
    check: &'a str,
    cause: &'a str,
    cure: &'a str,
    /// The alert of `deploy/prometheus`, and the beginning of the sample that its expression reads, with its value if it is known.
    alert: (&'a str, &'a str, Option<f64>),
}

fn program(more: &str) -> Program {
    Program::with(&format!(
        "[schedule]\ncron = \"* * * * * *\"\n[serve]\nlisten = \"127.0.0.1:0\"\n\
         [delivery]\nlanes = 2\nbackoff_base_ms = 5\nbackoff_max_seconds = 1\nstop_grace_seconds = 1\n{more}"
    ))
}

fn with_trouble(url: &str) -> Program {
    let program = program("[ingest]\nmin_free_bytes = 0\n[monitor]\nmax_trouble = \"1s\"\n");
    program.suite(url);
    program
}

fn assert_named(program: &Program, server: &Listening, named: &Named<'_>) {
    let Named { check, cause, cure, alert: (alert, sample, value) } = named;
    let rules =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/passbridge.rules.yml"))
            .expect("the rules");
    let rule =
        rules.split("- alert: ").find(|rule| rule.starts_with(&format!("{alert}\n"))).expect("an alert");
    let metric = sample.split('{').next().expect("a name");
    assert!(rule.contains(metric), "{alert} does not read {metric}");
    let started = Instant::now();
    loop {
        let told = program.run(&["status", "--check"]);
        let (status, _, checks) = server.look("/check", HOST);
        let (_, _, page) = server.look("/", HOST);
        let (_, _, metrics) = server.look("/metrics", HOST);
        let is_named = |text: &str| text.contains(cause) && text.contains(cure);
        let line = told.err.lines().find(|line| line.starts_with(check) && is_named(line));
        let document: Value = serde_json::from_str(&checks).unwrap_or_default();
        let is_broken = document["checks"].as_array().is_some_and(|all| {
            let says = |one: &Value| one["says"].as_str().is_some_and(is_named);
            all.iter().any(|one| one["check"] == *check && one["broken"] == true && says(one))
        });
        // Text of a page is escaped.
        let page = page.replace("&quot;", "\"").replace("&gt;", ">");
        let is_shown = page.contains(&format!("<b>{check}")) && is_named(&page);
        let is_measured = metrics.lines().any(|line| {
            let found = line.rsplit_once(' ').filter(|(name, _)| name.starts_with(sample));
            found.is_some_and(|(_, found)| value.is_none_or(|value| found.parse() == Ok(value)))
        });
        if told.code == 4 && line.is_some() && status == 503 && is_broken && is_shown && is_measured {
            return;
        }
        assert!(
            started.elapsed() < NAMED_WITHIN,
            "{check}: {is_broken} {is_shown} {is_measured}\n{told:?}\n{status} {checks}\n{metrics}"
        );
        thread::sleep(Duration::from_millis(200));
    }
}

/// A host or a suite that keeps events waiting.
fn assert_trouble(url: &str, kind: &str, cause: &str, cure: &str) {
    let program = with_trouble(url);
    program.ingest(8);
    let server = Listening::start(&program);
    let suite = if kind == "refused" { "examplersid" } else { "" };
    let sample = format!("passbridge_trouble{{host=\"{url}\",suite=\"{suite}\",kind=\"{kind}\"}}");
    // Long before the drain gives the host up.
    let alert = ("PassbridgeHostStopped", &*sample, Some(1.0));
    assert_named(&program, &server, &Named { check: "max_trouble", cause, cure, alert });
    server.kill();
}

#[test]
fn a_collector_that_is_down_is_named_everywhere() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    assert_trouble(
        &format!("http://{closed}"),
        "connect",
        "cannot connect",
        "check the suite's collection URL",
    );
}

#[test]
fn throttling_is_named_everywhere() {
    let sandbox = sandbox("429");
    assert_trouble(&sandbox.url(), "throttled", "HTTP 429", "lower delivery.rate_per_host");
}

#[test]
fn a_suite_that_is_refused_is_named_everywhere() {
    let sandbox = sandbox("403");
    assert_trouble(
        &sandbox.url(),
        "refused",
        "HTTP 403",
        "check the suite (passbridge suite check examplersid)",
    );
}

#[test]
fn a_wrong_certificate_is_named_everywhere() {
    // A second test in this process may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)
        .expect("a TLS configuration");
    let sandbox = sandbox_with("", |options| options.tls = Some(Arc::new(tls)));
    assert_trouble(&sandbox.url(), "tls", "TLS failed", "root certificates and clock");
}

#[test]
fn a_name_that_is_not_resolved_is_named_everywhere() {
    assert_trouble("https://no-such-host.invalid", "resolve", "cannot resolve the name", "this host's DNS");
}

#[test]
fn a_silent_source_is_named_everywhere() {
    let sandbox = sandbox("");
    let program = program("[ingest]\nmin_free_bytes = 0\n[monitor]\nmax_silence = \"1s\"\n");
    program.suite(&sandbox.url());
    program.ingest(1);
    let server = Listening::start(&program);
    let sample = "passbridge_last_event_timestamp_seconds{suite=\"examplersid\"}";
    let alert = ("PassbridgeSourceSilent", sample, None);
    let (cause, cure) = ("the last live event came in", "see whether its source still delivers");
    assert_named(&program, &server, &Named { check: "max_silence", cause, cure, alert });
    server.stop();
}

#[test]
fn a_disk_that_fills_is_named_everywhere() {
    let program = program("[ingest]\nmin_free_bytes = 9000000000000000000\n");
    let server = Listening::start(&program);
    let alert = ("PassbridgeDiskFills", "passbridge_disk_free_bytes", None);
    let (cause, cure) = ("ingest.min_free_bytes keeps 9000000000000000000", "free some disk");
    assert_named(&program, &server, &Named { check: "disk", cause, cure, alert });
    server.stop();
}

#[test]
fn dead_letters_that_rise_are_named_everywhere() {
    let sandbox = sandbox("failure=\"eVar2 is bad\" only-evar2=BAD");
    let program = program("[ingest]\nmin_free_bytes = 0\n[monitor]\nmax_dead = 2\n");
    program.suite(&sandbox.url());
    // Others of the suite succeed in between, so the events are at fault.
    let line = |(number, line): (usize, &str)| {
        if [2, 6, 10].contains(&number) { line.replace("\"M\"", "\"BAD\"") } else { line.to_owned() }
    };
    program
        .write("events.ndjson", &lines(16).split_inclusive('\n').enumerate().map(line).collect::<String>());
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let server = Listening::start(&program);
    let alert = ("PassbridgeEventsDie", "passbridge_events{suite=\"examplersid\",state=\"dead\"}", Some(3.0));
    let (cause, cure) = ("3 events died within 24 hours", "dead-letter list");
    assert_named(&program, &server, &Named { check: "max_dead", cause, cure, alert });
    assert!(server.look("/", HOST).2.contains("eVar2 is bad"));
    server.stop();
}

#[test]
fn a_clock_that_is_off_is_named_everywhere() {
    let program = with_trouble("http://127.0.0.1:9");
    program.write(
        "c.toml",
        &(fs::read_to_string(program.path("c.toml")).expect("a file") + "max_age = \"off\"\n"),
    );
    let month_ahead = Clock::system().now().nanos() / 1_000_000_000 + 30 * DAY;
    let mut command = program.command(&["run"]);
    command.env("LD_PRELOAD", clock_shim(&program.path(""), month_ahead));
    let server = Listening::of(command);
    let started = Instant::now();
    while program.json(&["status"]).1["last_completed_at"].is_null() {
        assert!(started.elapsed() < NAMED_WITHIN, "no drain with the right clock");
    }
    program.write("turned", "");
    let alert = ("PassbridgeLimitBroken", "passbridge_checks_broken{check=\"clock\"}", Some(1.0));
    let (cause, cure) = ("it has jumped, so nothing is deleted", "retention --trust-clock");
    assert_named(&program, &server, &Named { check: "clock", cause, cure, alert });
    server.stop();
}

#[test]
fn a_damaged_buffer_is_named_everywhere() {
    let sandbox = sandbox("");
    let program = with_trouble(&sandbox.url());
    program.ingest(200);
    assert_eq!(program.run(&["drain"]).code, 0);
    // No drain between the damage and the looks, so that what is written meanwhile hides nothing.
    let config = fs::read_to_string(program.path("c.toml")).expect("a configuration");
    program.write("c.toml", &config.replace("* * * * * *", "0 0 1 1 *"));
    let server = Listening::start(&program);
    let path = program.path("passbridge.db");
    let buffer = Connection::open(&path).expect("the buffer");
    buffer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("all is in the file");
    let number = |sql| buffer.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    let page_bytes = number("SELECT page_size FROM pragma_page_size");
    let page = number("SELECT rootpage FROM sqlite_master WHERE name = 'ledger'");
    // One page, as a dying disk loses it. Where it loses those by which `run` knows its file, `run` ends.
    let mut file = OpenOptions::new().write(true).open(&path).expect("the buffer");
    file.seek(SeekFrom::Start(u64::try_from((page - 1) * page_bytes).expect("a place"))).expect("a page");
    file.write_all(&vec![0xA5; usize::try_from(page_bytes).expect("a page")]).expect("damage");
    let started = Instant::now();
    loop {
        let told = program.run(&["status", "--check"]);
        let pages = ["/check", "/"].map(|path| server.look(path, HOST));
        let is_named = |text: &str| text.contains("malformed") && text.contains("restore");
        let is_shown = pages.iter().all(|(status, _, text)| *status == 503 && is_named(text));
        // PassbridgeStatusFails.
        let (status, _, metrics) = server.look("/metrics", HOST);
        let is_failed = |text: &str| text.contains("passbridge_status_failed{code=\"buffer_damaged\"} 1");
        let file = program.run(&["status", "--prometheus"]);
        let is_measured = is_failed(&metrics) && file.code == 1 && is_failed(&file.out);
        if told.code == 1 && is_named(&told.err) && is_shown && status == 200 && is_measured {
            break;
        }
        assert!(started.elapsed() < NAMED_WITHIN, "{told:?} {pages:?} {metrics}");
        thread::sleep(Duration::from_millis(200));
    }
    server.kill();
}
