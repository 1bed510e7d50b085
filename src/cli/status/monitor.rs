//! `status --check`: prints the broken limits of `[monitor]`, one per line.

use std::cmp::Reverse;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::look::{BackfillStatus, StatusReport};
use crate::buffer::{Buffer, RequestorStatus};
use crate::cli::ages::{age, ago, passed};
use crate::cli::drain::why_parked;
use crate::cli::{Failure, hint};
use crate::config::{MonitorConfig, Span};
use crate::event::Instant;
use crate::job::JobState;
use crate::suite::Readiness;

/// Dead letters and rejects count for this time: one day includes everybody's working hours.
const COUNTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

const PARKED_NAMED_MAX: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The key of `[monitor]`; or `blocked`, `backfill` or `balanced`, which always count; or `overruled`, which
    /// never does.
    pub(super) check: &'static str,
    /// The requestor or report suite; `None` for the whole buffer.
    pub(super) of: Option<String>,
    pub(super) broken: bool,
    found: Option<u64>,
    limit: Option<u64>,
    pub(super) says: String,
}

pub(super) fn checks(
    report: &StatusReport,
    buffer: &Buffer,
    limits: &MonitorConfig,
    rejects_dir: &Path,
) -> Result<Vec<Check>, Failure> {
    let status = &report.status;
    let nanos = i64::try_from(COUNTED_FOR.as_nanos()).unwrap_or(i64::MAX);
    let from = Instant::from_nanos(report.at.nanos().saturating_sub(nanos));
    let dead = buffer.dead_since(from)?;
    let unkept = buffer.unkept_rejects_since(from)?;
    let rejects = rejects(rejects_dir, report.at)? + unkept;
    let mut checks = ages(report, limits.max_age);
    checks.extend(silences(report, limits));
    let (held, parked_events) = (status.held.unsigned_abs(), status.parked.unsigned_abs());
    let parked = format!("events are parked ({}): passbridge status", parked(&status.requestors));
    let mut rejected = format!("lines were rejected within 24 hours: see {}", rejects_dir.display());
    if unkept > 0 {
        rejected += &format!(" ({unkept} of them are kept nowhere: ingest.rejects_max)");
    }
    for (check, found, limit, what) in [
        ("max_dead", dead, limits.max_dead, "events died within 24 hours: passbridge dead-letter list"),
        ("max_held", held, limits.max_held, "events are held: passbridge held list"),
        ("max_parked", parked_events, limits.max_parked, &parked),
        ("max_rejects", rejects, limits.max_rejects, &rejected),
    ] {
        let says = format!("{found} {}; {limit} are allowed", hint::complete(what));
        let (found, limit, broken) = (Some(found), Some(limit), found > limit);
        checks.push(Check { check, of: None, broken, found, limit, says });
    }
    checks.extend(blocked(report));
    checks.extend(backfills(report));
    // Listed, but no alarm: people would turn off an alarm that never ends.
    checks.extend(report.verdicts.iter().filter(|one| one.readiness == Readiness::Overruled).map(|one| {
        let says = format!("its hits are known to be lost, and somebody overruled that: {}", one.why);
        always("overruled", one.rsid.to_string(), false, None, says)
    }));
    let broken = !status.accounting.balanced;
    let says = if broken { "the account is off: passbridge status --verify" } else { "the account balances" };
    let says = hint::complete(says).into_owned();
    checks.push(Check { check: "balanced", of: None, broken, found: None, limit: None, says });
    Ok(checks)
}

/// Checks the age of events that could be sent, and of the last completed drain.
pub(super) fn ages(report: &StatusReport, limit: Span) -> Vec<Check> {
    let (Some(limit), now) = (limit.0, report.at) else { return Vec::new() };
    let oldest = report.status.oldest_stored_at;
    let waits = match oldest {
        None => "nothing waits that could go".to_owned(),
        Some(at) => {
            let happened =
                report.status.oldest_sendable_at.map(|at| format!("; the oldest happened {}", ago(at, now)));
            let stopped = report.troubles.iter().find(|trouble| trouble.stopped);
            let why = stopped.map(|trouble| format!("; {} is stopped: {}", trouble.host, trouble.cause));
            let more = [happened, why].into_iter().flatten().collect::<String>();
            format!("events wait since {}{more}", ago(at, now))
        }
    };
    let run = match (report.last_completed_at, report.first_arrival_at) {
        (Some(at), _) => format!("the last drain was completed {}", ago(at, now)),
        (None, Some(at)) => {
            format!("no drain was ever completed, and the first event came in {}", ago(at, now))
        }
        (None, None) => "no drain was ever completed, and no event ever came in".to_owned(),
    };
    let since = report.last_completed_at.or(report.first_arrival_at);
    vec![
        aged("max_age", None, oldest, limit, now, waits),
        aged("max_age", Some("last_run".to_owned()), since, limit, now, run),
    ]
}

fn parked(requestors: &[RequestorStatus]) -> String {
    let mut parked: Vec<(i64, String)> = requestors
        .iter()
        .filter_map(|one| {
            Some((one.pending, format!("{} of {}: {}", one.pending, one.requestor_id, why_parked(one)?)))
        })
        .filter(|(events, _)| *events > 0)
        .collect();
    parked.sort_by_key(|(events, _)| Reverse(*events));
    let named: Vec<String> = parked.into_iter().take(PARKED_NAMED_MAX).map(|(_, text)| text).collect();
    named.join("; ")
}

/// Checks the time since the last event: of all requestors, and of each requestor with its own limit.
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
    let found = since.map(|since| passed(since, now).as_secs());
    let broken = found.is_some_and(|found| found > limit.as_secs());
    let says = format!("{says}; {} are allowed", age(limit));
    Check { check, of, broken, found, limit: Some(limit.as_secs()), says }
}

/// A check without a limit, which always counts. `of` is a suite or a backfill.
fn always(check: &'static str, of: String, broken: bool, found: Option<i64>, says: String) -> Check {
    Check { check, of: Some(of), broken, found: found.map(i64::unsigned_abs), limit: None, says }
}

/// Suites that are known to lose their hits.
fn blocked(report: &StatusReport) -> impl Iterator<Item = Check> {
    report.status.requestors.iter().filter_map(|requestor| {
        let (rsid, why) = (requestor.rsid.clone()?, requestor.parked_because.as_ref()?);
        let says = format!(
            "nothing is sent to report suite {rsid}, which would lose it ({why}); {} events of {} wait: {}",
            requestor.pending,
            requestor.requestor_id,
            hint::complete(&format!("passbridge suite check {rsid}"))
        );
        Some(always("blocked", rsid, true, Some(requestor.pending), says))
    })
}

/// Backfills that stopped because of a problem. They go on only after `resume`.
fn backfills(report: &StatusReport) -> impl Iterator<Item = Check> {
    report.backfills.iter().filter(|one| one.state == JobState::Stopped).filter_map(|one| {
        let BackfillStatus { name, pending, obstacles, .. } = one;
        let why = obstacles.lines().reduce(|all, next| format!("{all}; {next}"))?;
        let says = format!("it has ended, and {pending} events wait: {why}");
        Some(always("backfill", name.to_string(), true, i64::try_from(*pending).ok(), says))
    })
}

/// Lines in the files of rejects that were written within one day. A removed file does not count.
fn rejects(folder: &Path, now: Instant) -> Result<u64, Failure> {
    let failed = Failure::reading(folder);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(&failed)?,
    };
    let mut lines = 0;
    for entry in entries {
        let entry = entry.map_err(&failed)?;
        let metadata = entry.metadata().map_err(&failed)?;
        let written_at = Instant::from(DateTime::<Utc>::from(metadata.modified().map_err(&failed)?));
        if metadata.is_file() && passed(written_at, now) <= COUNTED_FOR {
            let file = fs::File::open(entry.path()).map_err(&failed)?;
            lines += BufReader::new(file).split(b'\n').count() as u64;
        }
    }
    Ok(lines)
}
