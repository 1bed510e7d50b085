//! Ingest against the `sqlite3` shell: the same events as NDJSON (plain and gzip) into a buffer, and as CSV with `.import`
//! into a table of the buffer's columns with a unique index.
//!
//! ```text
//! cargo bench --bench ingest                              1,000,000 events, the median of three
//! PASSBRIDGE_BENCH_EVENTS=100000 cargo bench --bench ingest
//! PASSBRIDGE_BENCH_DIR=/var/tmp ...                       where its files go (some 5 GB per million events)
//! ```
//!
//! The goal is 1.2 times the shell (section 10 of the design). The three are interleaved, so that a slow minute of the
//! machine meets them alike. The shell only parses CSV and keeps what it reads; ingest also validates, gives each event
//! its identity, queues it and keeps the account.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use passbridge::buffer::{Buffer, BufferOptions, NewEvent};
use passbridge::clock::Clock;
use passbridge::config::{IngestConfig, RestV2Config};
use passbridge::event::{EventKind, TimeBounds};
use passbridge::ingest::{FormatChoice, IngestOptions, InputPath, load};
use passbridge::mapping;
use passbridge::readers::ReaderOptions;
use passbridge::readers::memory::Recollection;
use passbridge::readers::{Format, Reader};

const EVENTS: u64 = 1_000_000;
const REPETITIONS: usize = 3;
/// The columns of the buffer's `events`; the identity as text, because `.import` makes no blobs.
const TABLE: &str = "CREATE TABLE events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, requestor TEXT NOT NULL,
    slot INTEGER NOT NULL, occurred_at INTEGER NOT NULL, count INTEGER NOT NULL, job INTEGER NOT NULL,
    input INTEGER NOT NULL, line INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX events_id ON events (id);";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let events = match std::env::var("PASSBRIDGE_BENCH_EVENTS") {
        Ok(count) => count.parse()?,
        Err(_) => EVENTS,
    };
    let dir = match std::env::var_os("PASSBRIDGE_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let inputs = Inputs::write(dir.path(), events)?;
    let has_shell = Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_shell {
        println!("NOT COMPARED: there is no sqlite3 shell on this machine; only ingest itself is measured");
    }

    let mut taken = [const { Vec::new() }; 3];
    for _ in 0..REPETITIONS {
        if has_shell {
            taken[0].push(import(dir.path(), &inputs.csv, events)?);
        }
        taken[1].push(ingest(dir.path(), &inputs.ndjson, events)?);
        taken[2].push(ingest(dir.path(), &inputs.gzip, events)?);
    }
    let shell = median(&mut taken[0]);
    for (name, taken) in
        ["sqlite3 .import", "ingest NDJSON", "ingest NDJSON, gzip"].into_iter().zip(&mut taken)
    {
        let Some(median) = median(taken) else { continue };
        let rate = events as f64 / median.as_secs_f64();
        let ratio = shell.map_or(String::new(), |shell| {
            format!("   {:.2} times the shell", shell.as_secs_f64() / median.as_secs_f64())
        });
        println!("{name:<20} {rate:>9.0} events/s   {:>7.2} s{ratio}", median.as_secs_f64());
    }
    Ok(())
}

fn median(taken: &mut [Duration]) -> Option<Duration> {
    taken.sort_unstable();
    taken.get(taken.len() / 2).copied()
}

/// Stores a file in a new buffer, which is closed within the time measured.
fn ingest(dir: &Path, input: &Path, events: u64) -> Outcome<Duration> {
    let path = dir.join("passbridge.db");
    let clock = Clock::system();
    let buffer = BufferOptions {
        path: path.clone(),
        allow_network_filesystem: true,
        clock: clock.clone(),
        measure: mapping::measure,
    };
    Buffer::create(&buffer)?;
    let config = IngestConfig { rejects_dir: dir.join("rejects"), ..IngestConfig::default() };
    let options = IngestOptions {
        job: Default::default(),
        format: FormatChoice::Auto,
        config,
        rest_v2: RestV2Config::default(),
        secret: None,
        service_keys: Default::default(),
        maps: Default::default(),
        contracts: Vec::new(),
        slice: Default::default(),
        accept_days: None,
        accept_missing: Vec::new(),
        esm: Default::default(),
        clock,
    };
    let start = Instant::now();
    let buffer = Buffer::open(&buffer)?;
    let summary = load(&buffer, &[InputPath::new(input)], &options, &mut ())?;
    drop(buffer);
    let taken = start.elapsed();
    if summary.total.stored != events {
        return Err(format!("stored {} of {events} events", summary.total.stored).into());
    }
    remove_database(&path)?;
    Ok(taken)
}

/// Imports the CSV as the shell does it, with the buffer's journal, durability and cache.
fn import(dir: &Path, csv: &Path, events: u64) -> Outcome<Duration> {
    let path = dir.join("import.db");
    let script = format!(
        "PRAGMA journal_mode = WAL;\nPRAGMA synchronous = FULL;\nPRAGMA cache_size = -65536;\n{TABLE}\n.import --csv {} events\nSELECT count(*) FROM events;\n",
        csv.display()
    );
    let start = Instant::now();
    let mut shell =
        Command::new("sqlite3").arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = shell.stdin.take() {
        stdin.write_all(script.as_bytes())?;
    }
    let output = shell.wait_with_output()?;
    let taken = start.elapsed();
    let printed = String::from_utf8(output.stdout)?;
    if !printed.lines().any(|line| line == events.to_string()) {
        return Err(format!("the shell imported something else: {printed}").into());
    }
    remove_database(&path)?;
    Ok(taken)
}

fn remove_database(path: &Path) -> Outcome<()> {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        if let Err(error) = std::fs::remove_file(&name)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
    }
    Ok(())
}

/// The same events in three files.
struct Inputs {
    ndjson: PathBuf,
    gzip: PathBuf,
    csv: PathBuf,
}

impl Inputs {
    fn write(dir: &Path, events: u64) -> Outcome<Inputs> {
        let inputs = Inputs {
            ndjson: dir.join("events.ndjson"),
            gzip: dir.join("events.ndjson.gz"),
            csv: dir.join("events.csv"),
        };
        let mut plain = BufWriter::new(File::create(&inputs.ndjson)?);
        let fast = flate2::Compression::fast();
        let mut packed = flate2::write::GzEncoder::new(BufWriter::new(File::create(&inputs.gzip)?), fast);
        for number in 0..events {
            let line = line(number);
            plain.write_all(line.as_bytes())?;
            packed.write_all(line.as_bytes())?;
        }
        plain.flush()?;
        packed.finish()?.flush()?;
        inputs.write_csv()?;
        Ok(inputs)
    }

    fn write_csv(&self) -> Outcome<()> {
        let now = Clock::system().now();
        let bounds = TimeBounds { latest: now, now };
        let mut csv = BufWriter::new(File::create(&self.csv)?);
        let mut memory = Recollection::new(None);
        let mut reader: Box<dyn Reader> =
            Format::Ndjson.open(BufReader::new(File::open(&self.ndjson)?), &ReaderOptions::unused())?;
        while let Some(line) = reader.next_line(bounds, &mut memory)? {
            let event = line.result?;
            let event = NewEvent::new(line.number, &event, mapping::measure(&event));
            writeln!(
                csv,
                "{number},{},{},{},{},{},0,1,{number},\"{}\"",
                event.id,
                event.requestor_id,
                event.kind.slot(),
                event.occurred_at.nanos(),
                event.count,
                event.body.replace('"', "\"\""),
                number = event.line,
            )?;
        }
        csv.flush()?;
        Ok(())
    }
}

/// An event of about a thousand bytes, a second after the one before, its identifiers hardly compressible.
fn line(number: u64) -> String {
    let kind = EventKind::ALL[(number * 7 % 18) as usize].name();
    let requestor = ["HarborNews", "SummitSports", "LanternMovies"][(number % 3) as usize];
    let noise = |salt: u64| {
        let mut bits = number.wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits ^ (bits >> 27)
    };
    let (viewer, device, session) = (noise(1) % 200_000, noise(noise(1) % 200_000), noise(2));
    format!(
        "{{\"occurred_at\":{at},\"event\":\"{kind}\",\"requestor_id\":\"{requestor}\",\"mvpd\":\"Brightline\",\
         \"proxy\":\"Clearbrook\",\"sdk_type\":\"JavaScript\",\"sdk_version\":\"4.7.0\",\"resource_id\":\"{requestor}\",\
         \"mvpd_user_id\":\"{viewer:032x}\",\"device_type\":\"PC\",\"operating_system\":\"Windows 11\",\
         \"primary_hardware_type\":\"Desktop\",\"ttl\":2592000,\"authentication_type\":\"SAML\",\
         \"server_version\":\"AccessEnabler\",\"latency_ms\":{latency},\"device_model\":\"Generic PC\",\
         \"device_hardware_vendor\":\"Dell\",\"device_hardware_manufacturer\":\"Dell\",\"device_os_name\":\"Windows\",\
         \"device_os_family\":\"Windows\",\"device_os_vendor\":\"Microsoft\",\"device_os_version\":\"11\",\
         \"device_browser_name\":\"Edge\",\"device_browser_vendor\":\"Microsoft\",\"device_browser_version\":\"130.0\",\
         \"ip_address\":\"203.0.113.{host}\",\"user_agent\":\"Mozilla/5.0 (Windows NT 10.0; Win64; x64) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0\",\
         \"device_id\":\"{device:040x}\",\"session_id\":\"{session:016x}\"}}\n",
        at = 1_790_000_000 + number,
        latency = session % 900,
        host = viewer % 254 + 1,
    )
}
