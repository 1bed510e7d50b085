//! A report of one month out of 10 million events, warm cache: seconds, and the peak memory of the process that makes it.
//!
//! ```text
//! cargo bench --bench report                              10,000,000 events, twice: over nine months, and all in one
//! PASSBRIDGE_BENCH_EVENTS=1000000 cargo bench --bench report
//! PASSBRIDGE_BENCH_DIR=/var/tmp ...                       where its buffers go (some 0.4 GB per million events)
//! ```
//!
//! The goal is under 10 s and at most 500 MiB, on two cores. 40 MVPDs of very different sizes, 5 requestors and 1.5 million
//! users, of whom a few are seen daily and most rarely; each has a home device and another one. Events are stored through the
//! buffer's own door, in the order of their time. Each report is made twice by a process of its own, and the second is told:
//! the first reads the file into the cache.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use passbridge::buffer::Discarded;
use passbridge::buffer::{Batch, Buffer, BufferOptions, Feed, JobKey, NewEvent};
use passbridge::clock::Clock;
use passbridge::event::{Draft, EventKind, PassEvent, Property, RequestorId, TimeBounds};
use passbridge::mapping;
use passbridge::report::{Dimension, Metrics, Period, ReportOptions, report};

const EVENTS: u64 = 10_000_000;
const EVENTS_A_BATCH: u64 = 50_000;
const MVPDS: u64 = 40;
const REQUESTORS: u64 = 5;
const USERS: u64 = 1_500_000;
/// 2026-03-01T08:00:00Z, midnight in US Pacific time: when the month begins that is asked for.
const MONTH_UNIX: i64 = 1_772_352_000;
const DAY_SECONDS: i64 = 86_400;
const GOAL_SECONDS: f64 = 10.0;
const GOAL_MIB: f64 = 500.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [path, by @ ..] = args.as_slice() {
        return make_report(Path::new(path), by);
    }
    let events = match std::env::var("PASSBRIDGE_BENCH_EVENTS") {
        Ok(count) => count.parse()?,
        Err(_) => EVENTS,
    };
    let dir = match std::env::var_os("PASSBRIDGE_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    for (name, first_day, days) in [("over nine months", -120, 270), ("all in one month", 0, 31)] {
        let path = dir.path().join("passbridge.db");
        let start = Instant::now();
        fill(&path, events, MONTH_UNIX + first_day * DAY_SECONDS, days)?;
        let taken = start.elapsed().as_secs_f64();
        let bytes = std::fs::metadata(&path)?.len();
        println!("{events} events {name}: stored in {taken:.0} s, {:.2} GB", bytes as f64 / 1e9);
        for by in [&[][..], &["day", "mvpd"], &["hour", "requestor", "mvpd"]] {
            let mut told = String::new();
            for _ in 0..2 {
                let output = Command::new(std::env::current_exe()?).arg(&path).args(by).output()?;
                if !output.status.success() {
                    return Err(String::from_utf8_lossy(&output.stderr).into());
                }
                told = String::from_utf8(output.stdout)?;
            }
            let by = if by.is_empty() { "no rows".to_owned() } else { format!("by {}", by.join(", ")) };
            print!("  {by:<28} {told}");
        }
        std::fs::remove_file(&path)?;
    }
    println!("goal: under {GOAL_SECONDS} s and at most {GOAL_MIB} MiB");
    Ok(())
}

fn options(path: PathBuf) -> BufferOptions {
    BufferOptions { path, allow_network_filesystem: true, clock: Clock::system(), measure: mapping::measure }
}

/// The report of the month, and what it took, on one line.
fn make_report(path: &Path, by: &[String]) -> Outcome<()> {
    let start = Instant::now();
    let buffer = Buffer::open(&options(path.to_owned()))?;
    let now = buffer.now();
    let period = Period::named("2026-03", chrono_tz::America::Los_Angeles, now)?;
    let by =
        by.iter().map(|name| Dimension::from_name(name).ok_or("no dimension")).collect::<Result<_, _>>()?;
    let metrics = Metrics::File(buffer.metrics()?);
    let report = report(
        &metrics,
        buffer.now(),
        &ReportOptions { period, requestors: Vec::new(), by, discarded: Discarded::Counted },
    )?;
    let taken = start.elapsed().as_secs_f64();
    let peak_mib = peak_kib()? as f64 / 1024.0;
    println!(
        "{taken:>6.2} s   {peak_mib:>6.1} MiB   {} units, {:?} unique users, {} rows",
        report.total.events.iter().flatten().sum::<u64>(),
        report.total.unique_users,
        report.rows.len()
    );
    Ok(())
}

/// The most memory that this process ever had, as Linux tells it.
fn peak_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
}

fn fill(path: &Path, events: u64, from: i64, days: i64) -> Outcome<()> {
    let options = options(path.to_owned());
    Buffer::create(&options)?;
    let buffer = Buffer::open(&options)?;
    let input = buffer.open_input("bench")?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut number = 0;
    while number < events {
        let end = events.min(number + EVENTS_A_BATCH);
        let batch: Outcome<Vec<NewEvent>> = (number..end)
            .map(|number| {
                let at =
                    from + (i128::from(number) * i128::from(days * DAY_SECONDS) / i128::from(events)) as i64;
                let event = event(&mut random, number, at)?;
                Ok(NewEvent::new(number, &event, mapping::measure(&event)))
            })
            .collect();
        buffer.store(Batch {
            input,
            feed: Feed::Events,
            job: JobKey::LIVE,
            events: batch?.into(),
            memory: Vec::new(),
            stated: Vec::new(),
            rejected: 0,
        })?;
        number = end;
    }
    Ok(())
}

/// Of 100 events.
const KINDS: [(EventKind, u64); 12] = [
    (EventKind::PlayRequested, 46),
    (EventKind::AuthzRequested, 14),
    (EventKind::AuthzOk, 12),
    (EventKind::AuthzFailed, 2),
    (EventKind::AuthnRequested, 7),
    (EventKind::AuthnPending, 5),
    (EventKind::AuthnOk, 5),
    (EventKind::PreflightRequested, 4),
    (EventKind::PreflightGranted, 2),
    (EventKind::PreflightDenied, 1),
    (EventKind::LogoutRequested, 1),
    (EventKind::LogoutCompleted, 1),
];
const SDKS: [&str; 6] = ["JavaScript", "iOS", "Android", "Clientless", "tvOS", "FireTV"];
const DEVICES: [&str; 8] = ["PC", "Mobile", "Tablet", "Roku", "AppleTV", "FireTV", "Xbox", "SmartTV"];
const REASONS: [&str; 5] = ["noAuthZ", "network", "norefreshtoken", "mismatch", "invalid"];

fn event(random: &mut fastrand::Rng, number: u64, at: i64) -> Outcome<PassEvent> {
    let mut share = random.u64(0..100);
    let kind = KINDS.iter().find(|(_, of)| {
        let is_this = share < *of;
        share = share.saturating_sub(*of);
        is_this
    });
    let kind = kind.map_or(EventKind::PlayRequested, |(kind, _)| *kind);
    // The cube has a few users come often and most rarely.
    let user = (random.f64().powi(3) * USERS as f64) as u64;
    // Every user has one MVPD, and half of all users are with three of them.
    let mvpd = (noise(user) as f64 / u64::MAX as f64).powi(3) * MVPDS as f64;
    let home = (noise(user + 1) >> 1) + u64::from(random.u8(0..5) == 0);
    let requestor = ((noise(user + 2) >> 1) + u64::from(random.u8(0..3) == 0)) % REQUESTORS;
    let requestor = RequestorId::new(&format!("REF{requestor}"))?;
    let at = format!(
        "{}Z",
        chrono::DateTime::from_timestamp(at, 0).ok_or("no instant")?.naive_utc().format("%FT%T")
    );
    let mut draft = Draft::derived(kind, at.parse()?, requestor, number.to_string().into());
    draft.put(Property::Mvpd, &format!("Mvpd{mvpd:02.0}"));
    draft.put(Property::Proxy, ["", "Synacor", "Clearleap"][(mvpd as usize) % 3]);
    draft.put(Property::SdkType, SDKS[home as usize % 6]);
    draft.put(Property::DeviceType, DEVICES[home as usize % 8]);
    draft.put(Property::DeviceId, &format!("{:032x}", u128::from(noise(home))));
    draft.put(Property::ResourceId, &format!("channel{}", number % 12));
    if kind == EventKind::AuthzFailed {
        draft.put(Property::AuthzErrorType, REASONS[random.usize(0..5)]);
    }
    if kind != EventKind::AuthnRequested {
        draft.put(Property::MvpdUserId, &format!("{:032x}", u128::from(noise(user + 3))));
    }
    let now = passbridge::event::Instant::from_nanos(i64::MAX);
    Ok(draft.finish(TimeBounds { latest: now, now })?)
}

/// An even spread of bits for a number.
fn noise(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits ^ (bits >> 27)
}
