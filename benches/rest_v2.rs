//! Exchange logs: how fast lines become events, as a ratio to merely parsing the same lines into a `serde_json::Value`.
//!
//! ```text
//! cargo bench --bench rest_v2                  a million exchanges
//! EXCHANGES=200000 cargo bench --bench rest_v2
//! ```
//!
//! Goal: 40 % of the baseline, memory flat. Both read the same file, three times in turn, in one process; the median counts.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use passbridge::clock::Clock;
use passbridge::config::{IngestConfig, RestV2Config};
use passbridge::ingest::{FormatChoice, IngestOptions, InputPath, preview};
use passbridge::readers::Format;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Flows that are repeated, each time by another device: logins, polls, decisions, preflights, errors, logouts.
const FLOWS: [&str; 4] =
    ["login-authorize-logout", "resume-then-authenticate", "preflight", "authorize-denied-and-errors"];
const RUNS: usize = 3;

fn main() -> Result<()> {
    let exchanges: u64 = std::env::var("EXCHANGES").ok().map_or(Ok(1_000_000), |text| text.parse())?;
    let dir = tempfile::TempDir::new()?;
    let path = dir.path().join("log.ndjson");
    write_log(&path, exchanges)?;
    println!("{exchanges} exchanges, {} bytes", fs::metadata(&path)?.len());
    let (mut parse, mut derive) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        parse.push(timed(|| parse_only(&path))?);
        derive.push(timed(|| derive_events(&path, dir.path()))?);
    }
    parse.sort();
    derive.sort();
    let rate = |took: Duration| exchanges as f64 / took.as_secs_f64();
    let (parse, derive) = (rate(parse[RUNS / 2]), rate(derive[RUNS / 2]));
    println!("parse to Value    {parse:9.0} lines/s");
    println!("derive events     {derive:9.0} lines/s   {:.0} % (goal 40 %)", 100.0 * derive / parse);
    println!("peak memory       {} MiB, all of this process", peak_kib()? / 1024);
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<u64>) -> Result<Duration> {
    let started = Instant::now();
    let done = work()?;
    let took = started.elapsed();
    assert!(done > 0, "nothing was done");
    Ok(took)
}

fn parse_only(path: &Path) -> Result<u64> {
    let mut lines = 0;
    let mut line = String::new();
    let mut source = BufReader::with_capacity(256 << 10, File::open(path)?);
    while source.read_line(&mut line)? > 0 {
        std::hint::black_box(serde_json::from_str::<Value>(&line)?);
        line.clear();
        lines += 1;
    }
    Ok(lines)
}

fn derive_events(path: &Path, dir: &Path) -> Result<u64> {
    let options = IngestOptions {
        maps: Default::default(),
        contracts: Vec::new(),
        slice: Default::default(),
        accept_days: None,
        accept_missing: Vec::new(),
        job: Default::default(),
        format: FormatChoice::Is(Format::RestV2),
        config: IngestConfig { rejects_dir: dir.join("rejects"), ..IngestConfig::default() },
        rest_v2: RestV2Config::default(),
        secret: None,
        service_keys: Default::default(),
        esm: Default::default(),
        clock: Clock::fixed(passbridge::event::Instant::from_nanos(1_900_000_000_000_000_000)),
    };
    let mut events = 0;
    let summary = preview(&[InputPath::new(path)], &options, &mut |event, _| {
        std::hint::black_box(event);
        events += 1;
        ControlFlow::Continue(())
    });
    assert!(summary.failures.is_empty() && summary.total.rejected == 0, "{summary:?}");
    Ok(events)
}

/// The flows again and again: every round another device, other codes, a little later.
fn write_log(path: &Path, exchanges: u64) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rest-v2");
    let mut lines = Vec::new();
    for flow in FLOWS {
        let text = fs::read_to_string(folder.join(format!("{flow}.ndjson")))?;
        lines.extend(text.lines().map(str::to_owned));
    }
    let mut out = BufWriter::new(File::create(path)?);
    let start = 1_794_297_600_000_i64;
    for number in 0..exchanges {
        let round = number / lines.len() as u64;
        let line = &lines[(number % lines.len() as u64) as usize];
        let at = chrono_text(start + number as i64 * 100);
        let from = line.find("2026-11-10T").ok_or("a start")?;
        let line = format!("{}{at}{}", &line[..from], &line[from + at.len()..]);
        let line = line.replace("fingerprint ", &format!("fingerprint {round:08}"));
        let line = line.replace("K7Q2ZP", &format!("K{round}")).replace("1CODE", &format!("A{round}"));
        writeln!(out, "{}", line.replace("2CODE", &format!("B{round}")))?;
    }
    Ok(out.flush()?)
}

/// RFC 3339 with three digits of the second, as the fixtures have it.
fn chrono_text(unix_ms: i64) -> String {
    let whole = passbridge::event::Instant::from_nanos(unix_ms / 1000 * 1_000_000_000).to_string();
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), unix_ms % 1000)
}

fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
