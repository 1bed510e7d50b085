//! Many workers on PostgreSQL: processes of the built program, and a collector of the bench that counts what reaches it.
//!
//! ```text
//! PASSBRIDGE_TEST_POSTGRES=postgres://... cargo bench --bench many_workers [-- PART..] [EVENTS]
//!
//!   workers   1, 2, 4 and 8 workers of 16 lanes, a collector that answers after 20 ms: the rate is 0.9 x N of one
//!   drain     one worker, a collector that answers at once: 40 % of the SQLite drain; with a snapshot of all events
//!             held open from before the first event to the end: 80 % of the rate without
//!   ingest    4 processes: half of the rate of one COPY of the same rows into a table of the same shape with its indexes
//!   waiting   EVENTS that wait (default 2,000,000): the first hit within 2 s, 200 MiB of a worker, `status` within 2 s
//! ```
//!
//! Without a part, the first three are measured. EVENTS (default 60,000) are those of each drain in `drain`, and of each
//! ingest; `workers` takes a tenth of them for each worker. `PASSBRIDGE_BENCH_ROUNDS` (default 3): what is compared is
//! interleaved, and the figures are medians. `PASSBRIDGE_BENCH_PROGRAM` names another build of the program. The server's user
//! must be a superuser. Every figure comes from a database of its own, and a rate is that between a tenth and nine tenths of
//! the hits, when all workers have their share. `docs/many-workers.md` names the settings of the server for these figures.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod plays;
#[expect(dead_code, reason = "the CPU time of processes is not that of this one")]
mod sink;

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use plays::line;
use rustix::process::{Pid, Signal, kill_process};
use sink::{Sink, median, sink};

const WORKERS: [u64; 4] = [1, 2, 4, 8];
const INGESTS: u64 = 4;
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// The settings that matter to the figures.
const SETTINGS: &str = "SELECT string_agg(name || ' = ' || current_setting(name), ', ') FROM pg_settings WHERE name IN
    ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size', 'wal_compression',
     'checkpoint_timeout', 'jit', 'autovacuum')";
/// What was written so far: bytes of the log, and rows of which an earlier version is dead.
const WRITTEN: &str = "SELECT pg_current_wal_insert_lsn() - '0/0', coalesce(sum(n_tup_upd + n_tup_del), 0),
        coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables WHERE schemaname = 'passbridge'";
const HELD: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM passbridge.event;";

fn main() {
    let Ok(server) = env::var("PASSBRIDGE_TEST_POSTGRES") else {
        println!(
            "PASSBRIDGE_TEST_POSTGRES is missing: the URL of a PostgreSQL server for tests, as a superuser"
        );
        return;
    };
    let numbers = |text: String| text.parse().ok();
    let events: Option<u64> = env::args().find_map(numbers);
    let rounds = env::var("PASSBRIDGE_BENCH_ROUNDS").ok().and_then(numbers).unwrap_or(3);
    let parts: Vec<String> =
        env::args().skip(1).filter(|part| part.starts_with(char::is_alphabetic)).collect();
    let is_asked = |part: &str| {
        if parts.is_empty() { part != "waiting" } else { parts.iter().any(|asked| asked == part) }
    };
    let bench = Bench {
        server,
        rounds,
        at_once: sink(None, Duration::ZERO),
        late: sink(None, Duration::from_millis(20)),
    };
    println!("{}", bench.psql(&bench.server, SETTINGS));
    if is_asked("workers") {
        bench.workers(events.unwrap_or(60_000) / 10);
    }
    if is_asked("drain") {
        bench.drain(events.unwrap_or(60_000));
    }
    if is_asked("ingest") {
        bench.ingest(events.unwrap_or(60_000));
    }
    if is_asked("waiting") {
        bench.waiting(events.unwrap_or(2_000_000));
    }
}

struct Bench {
    server: String,
    rounds: u64,
    at_once: Sink,
    late: Sink,
}

impl Bench {
    fn psql(&self, url: &str, sql: &str) -> String {
        let asked =
            Command::new("psql").args([url, "-qAt", "-F", " ", "-v", "ON_ERROR_STOP=1", "-c", sql]).output();
        let asked = asked.expect("psql starts");
        assert!(asked.status.success(), "{sql}: {}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8(asked.stdout).expect("UTF-8").trim().to_owned()
    }

    fn workers(&self, events_a_worker: u64) {
        let (mut rates, mut busy) = ([const { Vec::new() }; 4], [const { Vec::new() }; 4]);
        for _ in 0..self.rounds {
            for ((workers, rates), busy) in WORKERS.into_iter().zip(&mut rates).zip(&mut busy) {
                let house = House::new(self, &self.late, Some("lanes = 16\n"));
                let events = workers * events_a_worker;
                house.ingest(0..events, INGESTS);
                let before = cpu_micros();
                rates.push(house.drain(workers, events));
                busy.push((cpu_micros() - before) / events as f64);
            }
        }
        println!(
            "\ncollector after 20 ms, 16 lanes a worker, {events_a_worker} events a worker, {} rounds",
            self.rounds
        );
        let one = rates[0].clone();
        for ((workers, rates), busy) in WORKERS.into_iter().zip(rates).zip(busy) {
            let ratios = rates.iter().zip(&one).map(|(rate, one)| rate / one / workers as f64).collect();
            println!(
                "{workers} workers {:>7.0} hits/s   {:.2} x N of one (goal 0.9)   {:.0} us CPU of all processes an event",
                median(rates),
                median(ratios),
                median(busy)
            );
        }
    }

    fn drain(&self, events: u64) {
        let (mut sqlite, mut alone, mut held, mut written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let house = House::new(self, &self.at_once, None);
            house.ingest(0..events, 1);
            sqlite.push(house.drain(1, events));
            alone.push(self.drain_once(events, &mut written));
            held.push(self.drain_beside_snapshot(events));
        }
        let percent =
            |of: &[f64], to: &[f64]| median(of.iter().zip(to).map(|(of, to)| 100.0 * of / to).collect());
        println!("\ncollector at once, 64 lanes, {events} events, {} rounds", self.rounds);
        println!("SQLite              {:>7.0} hits/s", median(sqlite.clone()));
        println!(
            "PostgreSQL          {:>7.0} hits/s   {:.0} % of SQLite (goal 40 %)",
            median(alone.clone()),
            percent(&alone, &sqlite)
        );
        println!(
            "snapshot held open  {:>7.0} hits/s   {:.0} % of without (goal 80 %)",
            median(held.clone()),
            percent(&held, &alone)
        );
        println!("an event of a drain: {}", written.last().expect("a round"));
    }

    fn drain_once(&self, events: u64, written: &mut Vec<String>) -> f64 {
        let house = House::new(self, &self.at_once, Some(""));
        house.ingest(0..events, INGESTS);
        let before = house.written();
        let rate = house.drain(1, events);
        written.push(house.written_since(before, events));
        rate
    }

    fn drain_beside_snapshot(&self, events: u64) -> f64 {
        let house = House::new(self, &self.at_once, Some(""));
        let mut holder = house.hold();
        house.ingest(0..events, INGESTS);
        let rate = house.drain(1, events);
        assert!(holder.try_wait().expect("a child").is_none(), "the snapshot was held");
        drop(holder.stdin.take());
        holder.wait().expect("psql ends");
        rate
    }

    fn ingest(&self, events: u64) {
        let (mut ours, mut copied, mut ratios, mut written) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let house = House::new(self, &self.at_once, Some(""));
            let files = house.files(0..events, INGESTS);
            let before = house.written();
            let taken = house.ingest_files(&files);
            written.push(house.written_since(before, events));
            let copy = house.copy();
            ratios.push(100.0 * copy.as_secs_f64() / taken.as_secs_f64());
            ours.push(events as f64 / taken.as_secs_f64());
            copied.push(events as f64 / copy.as_secs_f64());
        }
        println!("\n{events} events, {} rounds", self.rounds);
        println!("COPY                {:>7.0} rows/s", median(copied));
        println!(
            "ingest, 4 processes {:>7.0} events/s   {:.0} % of COPY (goal 50 %)",
            median(ours),
            median(ratios)
        );
        println!("an event of an ingest: {}", written.last().expect("a round"));
    }

    fn waiting(&self, events: u64) {
        /// The events of the files of one turn: some gigabytes would not fit everywhere.
        const TURN: u64 = 1_000_000;
        let house = House::new(self, &self.late, Some(""));
        let mut taken = Duration::ZERO;
        for first in (0..events).step_by(TURN as usize) {
            let files = house.files(first..events.min(first + TURN), INGESTS);
            taken += house.ingest_files(&files);
        }
        println!("\n{events} events wait; {:.0} events/s went in", events as f64 / taken.as_secs_f64());
        let before = house.status();
        let began = (Instant::now(), self.late.requests());
        let mut worker = house.spawn(&["drain"]);
        let until = |requests: u64| {
            while self.late.requests() < began.1 + requests {
                assert!(began.0.elapsed() < PATIENCE, "hits arrive");
                sleep(Duration::from_millis(2));
            }
            began.0.elapsed()
        };
        let first = until(1);
        until((events / 2).min(20_000));
        let meanwhile = house.status();
        let status = fs::read_to_string(format!("/proc/{}/status", worker.id())).expect("Linux");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak").trim();
        println!(
            "first hit after {:.2} s (goal 2 s); a worker took {peak} at most (goal 204800 kB)",
            first.as_secs_f64()
        );
        println!(
            "status: {:.2} s before, {:.2} s during the drain (goal 2 s)",
            before.as_secs_f64(),
            meanwhile.as_secs_f64()
        );
        kill_process(Pid::from_child(&worker), Signal::TERM).expect("a signal");
        worker.wait().expect("it ends");
    }
}

/// A buffer, with the folder of its files.
struct House<'a> {
    bench: &'a Bench,
    dir: tempfile::TempDir,
    sink: &'a Sink,
    /// The URL and the name of its database; `None` for SQLite.
    database: Option<(String, String)>,
}

impl<'a> House<'a> {
    /// On PostgreSQL with some lines of `[delivery]`, else on SQLite.
    fn new(bench: &'a Bench, sink: &'a Sink, delivery: Option<&str>) -> House<'a> {
        let dir = match env::var_os("PASSBRIDGE_BENCH_DIR") {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        };
        let name = format!("bench_{}", std::process::id());
        let database = delivery.map(|_| {
            bench.psql(&bench.server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            bench.psql(&bench.server, &format!("CREATE DATABASE {name}"));
            bench.psql(&bench.server, "CHECKPOINT");
            let (bare, query) = bench.server.split_once('?').unwrap_or((&bench.server, ""));
            let (bare, _) = bare.rsplit_once('/').expect("a URL with a database");
            (format!("{bare}/{name}?{query}"), name)
        });
        let house = House { bench, dir: dir.expect("a folder"), sink, database };
        let buffer = match &house.database {
            Some((url, _)) => format!("url = \"{url}\""),
            None => "path = \"passbridge.db\"".to_owned(),
        };
        let config = format!(
            "[buffer]\n{buffer}\n[delivery]\n{}[log]\nlevel = \"warn\"\n",
            delivery.unwrap_or_default()
        );
        fs::write(house.path("c.toml"), config).expect("a file is written");
        house.run(&["init"]);
        house.run(&[
            "suite",
            "add",
            "--requestor",
            "REF30",
            "--rsid",
            "examplersid",
            "--collection-url",
            &sink.url,
        ]);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let other = env::var_os("PASSBRIDGE_BENCH_PROGRAM");
        let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_passbridge").into()));
        command.env_clear().current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.arg("--config").arg(self.path("c.toml")).args(args).spawn().expect("the program starts")
    }

    fn run(&self, args: &[&str]) {
        let status = self.spawn(args).wait().expect("it ends");
        assert!(status.success(), "{args:?}: {status}");
    }

    fn ask(&self, sql: &str) -> String {
        let (url, _) = self.database.as_ref().expect("a database");
        self.bench.psql(url, sql)
    }

    /// Writes these events into so many files.
    fn files(&self, numbers: std::ops::Range<u64>, files: u64) -> Vec<String> {
        let each = (numbers.end - numbers.start).div_ceil(files);
        let write = |file: u64| {
            let path = self.path(&format!("events{file}.ndjson"));
            let mut out = BufWriter::new(File::create(&path).expect("a file"));
            let first = numbers.start + file * each;
            for number in first..numbers.end.min(first + each) {
                out.write_all(line(number).as_bytes()).expect("it is written");
            }
            out.flush().expect("it is written");
            path.to_str().expect("UTF-8").to_owned()
        };
        (0..files).map(write).collect()
    }

    /// A process for each file, at the same time.
    fn ingest_files(&self, files: &[String]) -> Duration {
        let began = Instant::now();
        let all: Vec<Child> = files.iter().map(|file| self.spawn(&["ingest", file])).collect();
        for mut ingest in all {
            assert!(ingest.wait().expect("it ends").success(), "an ingest failed");
        }
        began.elapsed()
    }

    fn ingest(&self, numbers: std::ops::Range<u64>, files: u64) {
        self.ingest_files(&self.files(numbers, files));
        if self.database.is_some() {
            self.ask("ANALYZE");
        }
    }

    /// Sends all events: hits per second between a tenth and nine tenths of them.
    fn drain(&self, workers: u64, events: u64) -> f64 {
        let (began, before) = (Instant::now(), self.sink.requests());
        let all: Vec<Child> = (0..workers).map(|_| self.spawn(&["drain"])).collect();
        let at = |requests: u64| {
            while self.sink.requests() < before + requests {
                assert!(began.elapsed() < PATIENCE, "hits arrive");
                sleep(Duration::from_millis(1));
            }
            (Instant::now(), self.sink.requests() - before)
        };
        let (first, last) = (at(events / 10), at(events / 10 * 9));
        for mut worker in all {
            let status = worker.wait().expect("it ends");
            assert!(matches!(status.code(), Some(0 | 75)), "a worker ended by {status}");
        }
        assert_eq!(self.sink.requests() - before, events, "each event is one hit");
        (last.1 - first.1) as f64 / (last.0 - first.0).as_secs_f64()
    }

    /// How long `status` takes.
    fn status(&self) -> Duration {
        let began = Instant::now();
        self.run(&["status"]);
        began.elapsed()
    }

    /// A session with a snapshot, until its input ends.
    fn hold(&self) -> Child {
        let (url, name) = self.database.as_ref().expect("a database");
        let mut psql = Command::new("psql");
        psql.args([url, "-q"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = psql.spawn().expect("psql starts");
        writeln!(child.stdin.as_mut().expect("its input"), "{HELD}").expect("a statement");
        let held = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL AND datname = '{name}'"
        );
        let began = Instant::now();
        while self.bench.psql(&self.bench.server, &held) != "1" {
            assert!(began.elapsed() < Duration::from_secs(60), "the snapshot is held");
            sleep(Duration::from_millis(20));
        }
        child
    }

    fn written(&self) -> [f64; 3] {
        let text = self.ask(WRITTEN);
        let mut figures = text.split(' ').map(|figure| figure.parse().expect("a number"));
        std::array::from_fn(|_| figures.next().expect("three numbers"))
    }

    fn written_since(&self, before: [f64; 3], events: u64) -> String {
        let after = self.written();
        let [wal, made_dead, dead] =
            std::array::from_fn(|place| (after[place] - before[place]) / events as f64);
        format!("{wal:.0} bytes of WAL, {made_dead:.4} rows updated or deleted, {dead:.4} dead rows left")
    }

    /// Copies the rows of all events into a table of the same shape with its indexes.
    fn copy(&self) -> Duration {
        let (url, _) = self.database.as_ref().expect("a database");
        let rows = self.path("rows");
        self.ask("CREATE TABLE copied (LIKE passbridge.event INCLUDING ALL); CHECKPOINT");
        copy(url, &format!("\\copy passbridge.event TO '{}'", rows.display()));
        let began = Instant::now();
        copy(url, &format!("\\copy copied FROM '{}'", rows.display()));
        began.elapsed()
    }
}

impl Drop for House<'_> {
    fn drop(&mut self) {
        if let Some((_, name)) = self.database.as_ref().filter(|_| !std::thread::panicking()) {
            self.bench.psql(&self.bench.server, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

fn copy(url: &str, command: &str) {
    let status = Command::new("psql").args([url, "-q", "-v", "ON_ERROR_STOP=1", "-c", command]).status();
    assert!(status.expect("psql starts").success(), "{command}");
}

/// What all processes have had of all CPUs since the host started.
fn cpu_micros() -> f64 {
    /// The unit of `/proc/stat`.
    const MICROS_A_TICK: f64 = 10_000.0;
    let stat = fs::read_to_string(Path::new("/proc/stat")).expect("Linux");
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .expect("a line")
        .split_ascii_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // All but the times of idling and of waiting for disks.
    MICROS_A_TICK * (fields[..8].iter().sum::<f64>() - fields[3] - fields[4])
}
