//! Bulk files: how many rows a second one core writes, from a buffer to files and of that in memory alone.
//!
//! ```text
//! cargo bench --bench bulk                                100,000, 300,000 and 1,000,000 events, the median of three
//! PASSBRIDGE_BENCH_EVENTS=300000 cargo bench --bench bulk
//! PASSBRIDGE_BENCH_DIR=/var/tmp ...                       where its files go (some 2 GB per million events)
//! ```
//!
//! The goal is 80,000 rows a second of CPU for the whole way, `backfill::export` of a job of a buffer: reading, mapping,
//! writing, compressing, on disk. It runs in a process of its own, whose peak of memory is printed: it must not grow with
//! the history. Below that, 200,000 events of the same shapes mapped, written and compressed in memory by each level of
//! compression.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use passbridge::backfill::{BulkWay, export};
use passbridge::buffer::{Batch, Buffer, BufferOptions, Feed, JobSettings, NewEvent};
use passbridge::clock::Clock;
use passbridge::config::BulkConfig;
use passbridge::encode::{bulk_header, bulk_row};
use passbridge::event::{Draft, Instant as At, PassEvent, RawValue, RequestorId, TimeBounds};
use passbridge::job::JobName;
use passbridge::mapping;
use passbridge::suite::{HitForm, LiveRoute, OnAmbiguous, ReportSuite, Stage, SuiteState};

const EVENTS: u32 = 200_000;
const ROWS_A_FILE: usize = 50_000;
const RUNS: usize = 3;
const GOAL: u32 = 80_000;
/// Events of the jobs that are exported.
const JOBS: &str = "100000,300000,1000000";
const JOB: &str = "bench";
/// The folder of the job that a process exports: the same program, started for nothing else.
const EXPORT: &str = "PASSBRIDGE_BENCH_EXPORT";
/// Ticks of the kernel's account of CPU time, on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

fn main() {
    if let Some(folder) = std::env::var_os(EXPORT) {
        return export_job(Path::new(&folder));
    }
    let jobs = std::env::var("PASSBRIDGE_BENCH_EVENTS").unwrap_or(JOBS.to_owned());
    for events in jobs.split(',') {
        whole_way(events.trim().parse().expect("a number of events"));
    }
    in_memory();
}

/// Stores a job and has it exported.
fn whole_way(events: u32) {
    let folder = match std::env::var_os("PASSBRIDGE_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    store(folder.path(), events);
    let program = std::env::current_exe().expect("this program");
    let mut figures: [Vec<f64>; 3] = Default::default();
    for _ in 0..RUNS {
        let done = Command::new(&program).env(EXPORT, folder.path()).output().expect("it starts");
        let printed = String::from_utf8(done.stdout).expect("UTF-8");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        for (figure, figures) in printed.split_whitespace().zip(&mut figures) {
            figures.push(figure.parse().expect("a number"));
        }
    }
    let [cpu, wall, peak] = figures.map(median);
    println!(
        "buffer to files, {events:>7} events: {:6.0} rows/s of CPU (goal {GOAL}), {:6.0} rows/s of the clock, peak {:.1} MiB",
        f64::from(events) / cpu,
        f64::from(events) / wall,
        peak / 1024.0
    );
}

fn options(folder: &Path) -> BufferOptions {
    let path = folder.join("passbridge.db");
    BufferOptions { path, allow_network_filesystem: true, clock: Clock::system(), measure: mapping::measure }
}

fn store(folder: &Path, events: u32) {
    let options = options(folder);
    Buffer::create(&options).expect("a buffer");
    let buffer = Buffer::open(&options).expect("a buffer");
    let suite = ReportSuite {
        form: form(),
        collection_url: "https://example.com".parse().expect("a url"),
        on_ambiguous: OnAmbiguous::Retry,
        hits_per_second: None,
        state: SuiteState::Active,
        stage: Stage::Production,
        route: LiveRoute::Dia,
    };
    let requestor = RequestorId::new("REF30").expect("a requestor");
    buffer.add_suite(suite, vec![requestor]).expect("a suite");
    let name: JobName = JOB.parse().expect("a name");
    buffer.create_job(&name, JobSettings::default(), Vec::new(), &()).expect("a job");
    let job = buffer.job(&name).expect("a job").key;
    let input = buffer.open_input("bench").expect("an input");
    for first in (0..events).step_by(10_000) {
        let numbers = first..(first + 10_000).min(events);
        let events = numbers
            .map(|number| (number.into(), event(number)))
            .map(|(number, event)| NewEvent::new(number, &event, mapping::measure(&event)))
            .collect::<Vec<_>>();
        let batch = Batch {
            input,
            feed: Feed::Events,
            job,
            events: events.into(),
            memory: Vec::new(),
            stated: Vec::new(),
            rejected: 0,
        };
        buffer.store(batch).expect("a batch");
    }
}

/// Exports the job and prints the seconds of CPU and of the clock, and the peak of memory in KiB.
fn export_job(folder: &Path) {
    let buffer = Buffer::open(&options(folder)).expect("a buffer");
    let job = buffer.job(&JOB.parse().expect("a name")).expect("a job");
    let config = BulkConfig { dir: folder.join("bulk"), ..BulkConfig::default() };
    let way = BulkWay { client: None, config, keeps_files: false, accepts_unnamed: false };
    let out = tempfile::tempdir_in(folder).expect("a folder");
    let started = Instant::now();
    let report = export(&buffer, &job, &way, out.path(), &|| true).expect("files");
    let wall = started.elapsed().as_secs_f64();
    assert_eq!((report.rows, report.unsendable), (buffer.job_counts(job.key).expect("counts").pending, 0));
    println!("{} {wall} {}", cpu_seconds(), peak_kib());
}

/// Seconds on a CPU of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name, which may hold anything: the state, ten numbers, then user and system time.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / TICKS_A_SECOND
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("KiB")
}

fn form() -> HitForm {
    HitForm::with_defaults("examplersid".parse().expect("a suite"))
}

/// Maps, writes and compresses without buffer and disk.
fn in_memory() {
    let events: Vec<PassEvent> = (0..EVENTS).map(event).collect();
    let form = form();
    for level in [1, 3, 6] {
        let mut rates = Vec::new();
        let mut bytes = (0, 0);
        for _ in 0..RUNS {
            let started = Instant::now();
            bytes = write(&events, &form, level);
            rates.push(f64::from(EVENTS) / started.elapsed().as_secs_f64());
        }
        println!(
            "in memory, gzip {level}: {:9.0} rows/s, {} bytes a row, {} compressed",
            median(rates),
            bytes.0 / EVENTS as usize,
            bytes.1 / EVENTS as usize
        );
    }
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Writes all events; the bytes before and after compression.
fn write(events: &[PassEvent], form: &HitForm, level: u32) -> (usize, usize) {
    let (mut plain, mut packed) = (0, 0);
    for file in events.chunks(ROWS_A_FILE) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        let mut rows = Vec::new();
        bulk_header(&mut rows);
        for event in file {
            let id = event.identity().id;
            let mapped = mapping::map(event, id, form).expect("hits");
            mapped.hits.iter().for_each(|hit| bulk_row(hit, "passbridge", &mut rows));
            if rows.len() > 64 << 10 {
                plain += rows.len();
                encoder.write_all(&rows).expect("memory");
                rows.clear();
            }
        }
        plain += rows.len();
        encoder.write_all(&rows).expect("memory");
        packed += encoder.finish().expect("memory").len();
    }
    (plain, packed)
}

fn event(number: u32) -> PassEvent {
    let mut draft = Draft::default();
    let mut set = |key: &str, value: String| {
        draft.set(key, RawValue::Text(value.into())).expect("a value");
    };
    set("occurred_at", format!("2026-11-{:02}T{:02}:{:02}:00Z", 1 + number % 20, number % 24, number % 60));
    set(
        "event",
        ["authz_requested", "authz_ok", "play_requested", "authn_ok"][number as usize % 4].to_owned(),
    );
    set("requestor_id", "REF30".to_owned());
    set("event_id", format!("bench-{number}"));
    set("mvpd", ["Cableco", "Northline", "Southline"][number as usize % 3].to_owned());
    set("mvpd_user_id", format!("dXNlci0{}", number % 20_000));
    set("resource_id", format!("channel-{}", number % 40));
    set("sdk_type", "Clientless".to_owned());
    set("device_model", "AppleTV11,1".to_owned());
    set("device_os_name", "tvOS".to_owned());
    set("device_os_version", "17.4".to_owned());
    set("user_agent", "Mozilla/5.0 (Apple TV; CPU OS 17_4 like Mac OS X)".to_owned());
    set("latency_ms", (number % 900).to_string());
    let now = At::from_nanos(1_800_000_000_000_000_000);
    draft.finish(TimeBounds { latest: now, now }).expect("an event")
}
