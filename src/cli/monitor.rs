//! `status --check`: which limit of `[monitor]` is broken, one line each.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::failure::CliError;
use super::hint;
use super::status::{StatusReport, age, ago};
use crate::buffer::Buffer;
use crate::config::{MonitorConfig, Span};
use crate::event::Instant;

/// What became dead, or was rejected, within this time counts: a day has everybody's working hours in it.
const COUNTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// One limit and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The key of `[monitor]`, or `blocked` and `balanced`, which always count.
    pub(super) check: &'static str,
    /// Whose: a requestor, a report suite; `None` where it is about the whole buffer.
    pub(super) of: Option<String>,
    /// Whether the limit is broken.
    pub(super) broken: bool,
    /// What was found, in seconds or events.
    pub(super) found: Option<u64>,
    /// The most that is allowed, in seconds or events.
    pub(super) limit: Option<u64>,
    pub(super) says: String,
}

/// Every check of these limits.
pub(super) fn checks(
    report: &StatusReport,
    buffer: &Buffer,
    limits: &MonitorConfig,
    rejects_dir: &Path,
) -> Result<Vec<Check>, CliError> {
    let mut checks = ages(report, limits.max_age);
    checks.extend(silences(report, limits));
    let status = &report.status;
    let from = Instant::from_nanos(report.at.nanos().saturating_sub(nanos(COUNTED_FOR)));
    for (check, found, limit, what) in [
        (
            "max_dead",
            buffer.dead_since(from)?,
            limits.max_dead,
            "events died within 24 hours: passbridge dead-letter list",
        ),
        ("max_held", status.held.unsigned_abs(), limits.max_held, "events are held: passbridge held list"),
        (
            "max_parked",
            status.parked.unsigned_abs(),
            limits.max_parked,
            "events are parked: passbridge suite list",
        ),
        (
            "max_rejects",
            rejects(rejects_dir, report.at)?,
            limits.max_rejects,
            "lines were rejected within 24 hours: see ingest.rejects_dir",
        ),
    ] {
        let says = format!("{found} {}; {limit} are allowed", hint::complete(what));
        checks.push(Check {
            check,
            of: None,
            broken: found > limit,
            found: Some(found),
            limit: Some(limit),
            says,
        });
    }
    checks.extend(blocked(report));
    let broken = !status.accounting.balanced;
    let says = if broken { "the account is off: passbridge status --verify" } else { "the account balances" };
    let says = hint::complete(says).into_owned();
    checks.push(Check { check: "balanced", of: None, broken, found: None, limit: None, says });
    Ok(checks)
}

/// How long events wait that could go, and how long ago the last drain was completed. A drain that never was is older than any.
pub(super) fn ages(report: &StatusReport, limit: Span) -> Vec<Check> {
    let Some(limit) = limit.0 else { return Vec::new() };
    let waits = report.status.oldest_stored_at.map(|at| {
        let happened = report
            .status
            .oldest_sendable_at
            .map_or_else(String::new, |at| format!("; the oldest happened {}", ago(at, report.at)));
        let stopped = report.troubles.iter().find(|trouble| trouble.stopped);
        let why = stopped
            .map_or_else(String::new, |trouble| format!("; {} is stopped: {}", trouble.host, trouble.cause));
        (at, format!("events wait since {}{happened}{why}", ago(at, report.at)))
    });
    let (since, says) = waits.unzip();
    let waits = aged(
        "max_age",
        None,
        since,
        limit,
        report.at,
        says.unwrap_or_else(|| "nothing waits that could go".to_owned()),
    );
    let last = report.last_completed_at;
    let says = match last {
        Some(at) => format!("the last drain was completed {}", ago(at, report.at)),
        None => "no drain was ever completed".to_owned(),
    };
    let mut run = aged("max_age", Some("last_run".to_owned()), last, limit, report.at, says);
    run.broken |= last.is_none();
    vec![waits, run]
}

/// How long ago the last event came in: of all, and of each requestor that has a limit of its own.
fn silences(report: &StatusReport, limits: &MonitorConfig) -> Vec<Check> {
    let requestors = &report.status.requestors;
    let last = requestors.iter().filter_map(|requestor| requestor.arrived_at).max();
    let all = limits.max_silence.0.map(|limit| (None, last, limit));
    let each = limits.max_silence_of.iter().filter_map(|(id, limit)| {
        let found = requestors.iter().find(|requestor| requestor.requestor_id == *id);
        Some((Some(id.clone()), found.and_then(|requestor| requestor.arrived_at), limit.0?))
    });
    let checks = all.into_iter().chain(each).map(|(of, last, limit)| {
        let whose = of.as_deref().map_or_else(String::new, |id| format!(" of {id}"));
        let says = match last {
            Some(at) => format!("the last event{whose} came in {}", ago(at, report.at)),
            None => format!("no event{whose} ever came in"),
        };
        let mut check = aged("max_silence", of, last, limit, report.at, says);
        check.broken |= last.is_none();
        check
    });
    checks.collect()
}

fn aged(
    check: &'static str,
    of: Option<String>,
    since: Option<Instant>,
    limit: Duration,
    now: Instant,
    says: String,
) -> Check {
    let found =
        since.map(|since| now.nanos().saturating_sub(since.nanos()).max(0).unsigned_abs() / 1_000_000_000);
    let broken = found.is_some_and(|found| found > limit.as_secs());
    let says = format!("{says}; {} are allowed", age(limit));
    Check { check, of, broken, found, limit: Some(limit.as_secs()), says }
}

/// Suites whose hits are known to be lost; no limit turns them off.
fn blocked(report: &StatusReport) -> Vec<Check> {
    let blocked = report.status.requestors.iter().filter_map(|requestor| {
        let (rsid, why) = (requestor.rsid.clone()?, requestor.parked_because.as_ref()?);
        let says = format!(
            "nothing is sent to report suite {rsid}, which would lose it ({why}); {} events of {} wait: {}",
            requestor.pending,
            requestor.requestor_id,
            hint::complete(&format!("passbridge suite check {rsid}"))
        );
        let found = Some(requestor.pending.unsigned_abs());
        Some(Check { check: "blocked", of: Some(rsid), broken: true, found, limit: None, says })
    });
    blocked.collect()
}

/// Lines in the rejects files that were written within a day. A file that was mended, ingested and removed counts no more.
fn rejects(folder: &Path, now: Instant) -> Result<u64, CliError> {
    let failed = |source| CliError::File { verb: "read", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(failed)?,
    };
    let mut lines = 0;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        let written_at = metadata.modified().map_err(failed)?;
        let written_at = Instant::from(DateTime::<Utc>::from(written_at));
        let is_old = now.nanos().saturating_sub(written_at.nanos()) > nanos(COUNTED_FOR);
        if metadata.is_file() && !is_old {
            let file = fs::File::open(entry.path()).map_err(failed)?;
            lines += BufReader::new(file).split(b'\n').count() as u64;
        }
    }
    Ok(lines)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
