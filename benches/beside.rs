//! The rate of a live drain beside a running backfill, against its rate alone: the built program, its sandbox in a process of
//! its own answering after 20 ms, one buffer for all.
//!
//! ```text
//! cargo bench --bench beside [-- EVENTS]                  live events of each drain, default 20,000; the median of three
//! PASSBRIDGE_BENCH_ROUNDS=5 cargo bench --bench beside
//! PASSBRIDGE_BENCH_DIR=/var/tmp ...                       where its files go
//! ```
//!
//! The goal is 95 % of the rate alone, and 99 % beside `serve` that is asked for its metrics each second. In each round
//! the drain runs alone, beside `serve`, beside `backfill run --via dia` and beside `--via bulk` while their events go,
//! and beside a backfill that still loads its history. Live events are ingested before
//! each drain, and a rate is what `drain --json` says of itself: delivered events by the seconds from its start to its
//! finish. Files go at five times the rate that Adobe allows a group, and in small ones, so that one is always under way
//! when a drain begins. Other work on the machine shows: a round on a busy one differs from the next by several percent.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod plays;

use std::cell::Cell;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const EVENTS: u64 = 20_000;
const ROUNDS: u64 = 3;
/// Events of each backfill that sends: more than go between the drains of all rounds.
const HISTORY: u64 = 400_000;
/// Events of each backfill that loads: more than are loaded while a drain runs.
const LOADED: u64 = 500_000;
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of the rate alone is left: beside a backfill, and beside metrics.
const GOALS_PERCENT: [f64; 5] = [100.0, 95.0, 95.0, 95.0, 99.0];
/// The days of the events: each drain adds to what was delivered of them.
const DAYS: &str = "2026-05-28..2026-06-28";
/// Fifteen times as often as Prometheus usually asks.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// Everything is the default but for the pace and the size of files.
const CONFIG: &str = "
[log]
level = \"warn\"
[bulk]
client_id = \"client\"
client_secret_file = \"secret\"
call_spacing_ms = 100
group_spacing_ms = 500
group_rows_per_second = 10000
rate = 10000
file_rows = 5000
company = \"acme\"
";
const SANDBOX_LIMITS: &str =
    r#"{"call_spacing_ms":100,"group_spacing_ms":500,"group_rows_per_second":10000,"company":"acme"}"#;

fn main() {
    let numbers = |text: String| text.parse().ok();
    let events = std::env::args().find_map(numbers).unwrap_or(EVENTS);
    let rounds = std::env::var("PASSBRIDGE_BENCH_ROUNDS").ok().and_then(numbers).unwrap_or(ROUNDS);
    let house = House::new();
    for way in ["dia", "bulk"] {
        let file = house.file("history.ndjson", HISTORY);
        house.backfill(&["run", way, "--via", way, &file]).pause();
    }
    let mut rates: [Vec<f64>; 5] = Default::default();
    for round in 0..rounds {
        house.ingest(events);
        rates[0].push(house.drain(events));
        house.ingest(events);
        rates[4].push(house.drain_scraped(events));
        for (way, rates) in ["dia", "bulk"].into_iter().zip(&mut rates[1..]) {
            let backfill = house.backfill(&["resume", way]);
            house.ingest(events);
            rates.push(house.drain(events));
            backfill.pause();
        }
        let history = house.file("history.ndjson", LOADED);
        house.ingest(events);
        let loading = house.load(&format!("load{round}"), &history);
        rates[3].push(house.drain(events));
        loading.stop();
    }
    let alone = rates[0].clone();
    println!("{events} events a drain, {rounds} rounds");
    let names = ["alone", "beside --via dia", "beside --via bulk", "beside loading", "beside metrics"];
    for ((name, goal), rates) in names.iter().zip(GOALS_PERCENT).zip(rates) {
        let ratios = rates.iter().zip(&alone).map(|(rate, alone)| 100.0 * rate / alone).collect();
        println!(
            "{name:<18} {:6.0} events/s   {:5.1} % of alone (goal {goal} %)   {:?}",
            median(rates.clone()),
            median(ratios),
            rates.iter().map(|rate| rate.round()).collect::<Vec<_>>()
        );
    }
}

/// A folder with a buffer, and a sandbox of which it knows.
struct House {
    dir: tempfile::TempDir,
    sandbox: Child,
    /// Where `serve` listens.
    pages: String,
    /// The next event's number.
    next: Cell<u64>,
}

impl House {
    fn new() -> House {
        let dir = match std::env::var_os("PASSBRIDGE_BENCH_DIR") {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        };
        let dir = dir.expect("a folder");
        let mut sandbox = program(dir.path())
            .args(["sandbox", "--listen", "127.0.0.1:0", "--faults", "latency=20ms"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut line = String::new();
        let out = sandbox.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it says where it listens");
        let url = line.trim().strip_prefix("listening at ").expect("where it listens").to_owned();
        ask(url.strip_prefix("http://").expect("no TLS"), "PUT /sandbox/bulk", SANDBOX_LIMITS);
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let house = House { dir, sandbox, pages: free.to_string(), next: Cell::new(0) };
        house.write("secret", "secret-of-client\n");
        let urls = format!("url = \"{url}/aa/collect/v1/events\"\nims_url = \"{url}/ims/token/v3\"\n");
        house.write("c.toml", &format!("{CONFIG}{urls}[serve]\nlisten = \"{free}\"\n"));
        house.run(&["init"]);
        let suite =
            ["suite", "add", "--requestor", "REF30", "--rsid", "examplersid", "--collection-url", &url];
        house.run(&suite);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file is written");
    }

    /// A file of so many events that nobody has seen.
    fn file(&self, name: &str, events: u64) -> String {
        let path = self.path(name);
        let mut out = BufWriter::new(std::fs::File::create(&path).expect("a file"));
        let first = self.next.replace(self.next.get() + events);
        for number in first..first + events {
            out.write_all(plays::line(number).as_bytes()).expect("it is written");
        }
        out.flush().expect("it is written");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.dir.path());
        command.arg("--config").arg(self.path("c.toml")).args(args);
        command
    }

    fn run(&self, args: &[&str]) {
        let status = self.command(args).stdout(Stdio::null()).status().expect("it starts");
        assert!(status.success(), "{args:?}: {status}");
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.command(args).arg("--json").output().expect("it starts");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    /// Stores live events.
    fn ingest(&self, events: u64) {
        let file = self.file("live.ndjson", events);
        self.run(&["ingest", "--accept-days", DAYS, &file]);
    }

    /// Sends the live events that wait: how many a second.
    fn drain(&self, events: u64) -> f64 {
        let drained = self.json(&["drain"]);
        assert_eq!(drained["delivered"], events, "{drained}");
        let at = |key: &str| {
            let text = drained[key].as_str().expect("an instant");
            chrono::DateTime::parse_from_rfc3339(text).expect("an instant")
        };
        let taken = (at("finished_at") - at("started_at")).to_std().expect("it ends after it began");
        events as f64 / taken.as_secs_f64()
    }

    /// The same beside `serve`, which is asked for its metrics meanwhile.
    fn drain_scraped(&self, events: u64) -> f64 {
        let mut serve = self.command(&["serve"]).spawn().expect("it starts");
        let since = Instant::now();
        while TcpStream::connect(&self.pages).is_err() {
            assert!(since.elapsed() < PATIENCE, "serve listens");
            std::thread::sleep(Duration::from_millis(50));
        }
        let (pages, is_over) = (self.pages.as_str(), AtomicBool::new(false));
        let rate = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let metrics = ask(pages, "GET /metrics", "");
                    assert!(metrics.contains("passbridge_drain_running "), "{metrics}");
                    std::thread::sleep(SCRAPE_EVERY);
                }
            });
            let rate = self.drain(events);
            is_over.store(true, Ordering::Relaxed);
            rate
        });
        serve.kill().expect("it ends");
        serve.wait().expect("it ends");
        rate
    }

    /// Starts or resumes a backfill and waits until its events go.
    fn backfill(&self, args: &[&str]) -> Backfill<'_> {
        let child = self.command(&[&["backfill"], args].concat()).stdout(Stdio::null()).spawn();
        let backfill = Backfill { house: self, name: args[1].to_owned(), child: child.expect("it starts") };
        let before = backfill.count("delivered");
        backfill.wait_until(|backfill| backfill.count("delivered") > before);
        backfill
    }

    /// Starts a backfill and waits until it loads.
    fn load(&self, name: &str, file: &str) -> Backfill<'_> {
        let run = ["backfill", "run", name, "--accept-days", DAYS, file];
        let child = self.command(&run).stdout(Stdio::null()).spawn();
        let backfill = Backfill { house: self, name: name.to_owned(), child: child.expect("it starts") };
        backfill.wait_until(|backfill| backfill.count("events") > 0);
        backfill
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.sandbox.kill().expect("the sandbox ends");
        self.sandbox.wait().expect("the sandbox ends");
    }
}

/// A backfill under way.
struct Backfill<'a> {
    house: &'a House,
    name: String,
    child: Child,
}

impl Backfill<'_> {
    /// A number of its status; 0 before it has a name.
    fn count(&self, key: &str) -> u64 {
        let status = self.house.json(&["backfill", "status"]);
        let backfills = status["backfills"].as_array().expect("a list");
        let own = backfills.iter().find(|backfill| backfill["name"] == *self.name);
        own.map_or(0, |backfill| backfill[key].as_u64().expect("a number"))
    }

    fn wait_until(&self, is_so: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !is_so(self) {
            assert!(since.elapsed() < PATIENCE, "backfill {} gets under way", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Pauses it.
    fn pause(self) {
        self.house.run(&["backfill", "pause", &self.name]);
        self.ended();
    }

    /// Ends its process, as a person would.
    fn stop(mut self) {
        assert!(self.child.try_wait().expect("a status").is_none(), "{} is over too early", self.name);
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::TERM).expect("a signal");
        self.ended();
    }

    /// It must have been at work all the while.
    fn ended(mut self) {
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(4), "{} leaves events that wait", self.name);
    }
}

/// The program with an empty environment.
fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_passbridge"));
    command.env_clear().current_dir(dir).stdin(Stdio::null());
    command
}

/// Asks the sandbox or `serve`; the answer with its head.
fn ask(address: &str, what: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    answer
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
