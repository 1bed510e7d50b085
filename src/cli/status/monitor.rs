//! The checks of `status --check`: the limits of `[monitor]`, and what else can be wrong.

use std::cmp::Reverse;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::look::{DrainState, StatusReport};
use crate::buffer::{Buffer, RequestorStatus};
use crate::cli::ages::{age, ago, passed};
use crate::cli::backfill::Shown;
use crate::cli::{Failure, hint};
use crate::config::{IngestConfig, MonitorConfig, Span};
use crate::delivery::{Trouble, TroubleKind};
use crate::event::Instant;
use crate::harmless::few;
use crate::ingest::{files_of_rejects, rejects_limit};
use crate::job::JobState;
use crate::suite::{Readiness, Rsid};
use crate::whole_file::refuse_open_folder;

/// For how long dead letters and rejects count. One day includes the working hours of every operator.
const COUNTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The most requestors or hosts that one line names, so that the line fits on the screen of a telephone.
const NAMED_MAX: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The key of `[monitor]`, or one of the checks without a key there. Of these, `drain`, `disk`, `clock`, `blocked`,
    /// `backfill`, `inbox`, `balanced` and, on PostgreSQL, `database` can be broken; `overruled` never is.
    pub(super) check: &'static str,
    /// What is checked, such as a requestor, suite, host, backfill or setting; `None` for the whole buffer.
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
    IngestConfig { rejects_dir, rejects_max, min_free_bytes, .. }: &IngestConfig,
) -> Result<Vec<Check>, Failure> {
    let status = &report.status;
    let nanos = i64::try_from(COUNTED_FOR.as_nanos()).unwrap_or(i64::MAX);
    let from = Instant::from_nanos(report.at.nanos().saturating_sub(nanos));
    let dead = buffer.dead_since(from)?;
    let unkept = buffer.unkept_rejects_since(from)?;
    let rejects = rejects(rejects_dir, report.at)? + unkept;
    let mut checks = ages(report, limits.max_age);
    checks.extend(troubles(report, limits.max_trouble));
    checks.extend(silences(&status.requestors, report.at, limits));
    let (held, parked) = (status.held.unsigned_abs(), status.parked.unsigned_abs());
    let mut rejected = format!("lines were rejected within 24 hours: see {}", rejects_dir.display());
    if unkept > 0 {
        rejected += &format!(" ({unkept} of them are kept nowhere: {})", rejects_limit(*rejects_max));
    }
    checks.extend(counts([dead, held, parked, rejects], limits, &status.requestors, &rejected));
    let exists = fs::symlink_metadata(rejects_dir).is_ok();
    let unusable = exists.then(|| refuse_open_folder(rejects_dir, buffer.path()).err()).flatten();
    checks.extend(unusable.map(|why| {
        let says = format!("rejected lines cannot be kept in {}: {why}", rejects_dir.display());
        always("max_rejects", "ingest.rejects_dir".to_owned(), true, None, says)
    }));
    checks.extend(house(report, *min_free_bytes));
    checks.extend(blocked(report));
    checks.extend(backfills(report));
    checks.extend(report.inbox_left().map(|why| {
        let (found, says) = (report.status.inbox, format!("{} rows wait, {why}", report.status.inbox));
        always("inbox", "inbox".to_owned(), true, Some(found), says)
    }));
    // An overruled suite is listed, but is no alarm: people would turn off an alarm that never ends.
    checks.extend(report.verdicts.iter().filter(|one| one.readiness == Readiness::Overruled).map(|one| {
        let says = format!("its hits are known to be lost, and somebody overruled that: {}", one.why);
        always("overruled", one.rsid.to_string(), false, None, says)
    }));
    Ok(checks)
}

/// Checks how many events died, are held and are parked, and how many lines were rejected, in this order.
pub(super) fn counts(
    [dead, held, parked_events, rejects]: [u64; 4],
    limits: &MonitorConfig,
    requestors: &[RequestorStatus],
    rejected: &str,
) -> [Check; 4] {
    let parked = format!("events are parked ({}): passbridge status", parked(requestors));
    [
        ("max_dead", dead, limits.max_dead, "events died within 24 hours: passbridge dead-letter list"),
        ("max_held", held, limits.max_held, "events are held: passbridge held list"),
        ("max_parked", parked_events, limits.max_parked, &parked),
        ("max_rejects", rejects, limits.max_rejects, rejected),
    ]
    .map(|(check, found, limit, what)| {
        let says = format!("{found} {}; {limit} are allowed", hint::complete(what));
        let (found, limit, broken) = (Some(found), Some(limit), found > limit);
        Check { check, of: None, broken, found, limit, says }
    })
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
            let hinders = |trouble: &&Trouble| trouble.stopped || trouble.kind == TroubleKind::Throttled;
            let why = few(report.troubles.iter().filter(hinders).map(Trouble::to_string), NAMED_MAX);
            let more: String = happened.into_iter().chain(why.iter().map(|why| format!("; {why}"))).collect();
            format!("events wait since {}{more}", ago(at, now))
        }
    };
    let mut run = match (report.last_completed_at, report.first_arrival_at) {
        (Some(at), _) => format!("the last drain was completed {}", ago(at, now)),
        (None, Some(at)) => {
            format!("no drain was ever completed, and the first event came in {}", ago(at, now))
        }
        (None, None) => "no drain was ever completed, and no event ever came in".to_owned(),
    };
    run += &report.drain_ahead();
    if let (DrainState::CutOff, Some(at)) = (report.drain.state, report.drain.began_at) {
        run += &format!("; one that began {} was cut off", ago(at, now));
    }
    let since = report.last_completed_at.or(report.first_arrival_at);
    vec![
        aged("max_age", None, oldest, limit, now, waits),
        aged("max_age", Some("last_run".to_owned()), since, limit, now, run),
    ]
}

/// Checks since when each host or suite keeps events waiting. If the last run left no event, its troubles are over:
/// the events that wait now came in after that run.
fn troubles(report: &StatusReport, limit: Span) -> Vec<Check> {
    let last = report.status.runs.iter().find_map(|run| run.summary.as_ref());
    let has_left = last.is_none_or(|summary| summary.get("left") != Some(&false.into()));
    let is_waiting = has_left && report.status.oldest_stored_at.is_some();
    let waiting = report.troubles.iter().filter(|_| is_waiting);
    let check = |one: &Trouble| {
        let of = one.rsid.as_ref().map_or_else(|| one.host.to_string(), Rsid::to_string);
        Some(aged("max_trouble", Some(of), Some(one.since), limit.0?, report.at, one.to_string()))
    };
    waiting.filter_map(check).collect()
}

/// Whether a trouble has broken `max_trouble`.
pub(super) fn overdue(checks: &[Check], trouble: &Trouble) -> bool {
    let text = trouble.to_string();
    checks.iter().any(|one| one.check == "max_trouble" && one.broken && one.says.starts_with(&text))
}

/// Checks that the last drain did not fail, the disk is not full, the clock has not jumped, and the account balances.
fn house(report: &StatusReport, floor: u64) -> [Check; 4] {
    let last = report.status.runs.iter().find(|run| run.finished_at.is_some());
    let failure = last.and_then(|run| run.summary.as_ref()?.get("failure")?.as_str());
    let failed = failure.map(|why| format!("the last drain failed: {why}; what to do: passbridge doctor"));
    let free = report.buffer.free_bytes;
    let full = (free < floor).then(|| {
        format!("{free} bytes are free, ingest.min_free_bytes keeps {floor}, so nothing is taken in: free some disk, or move the buffer to a larger one")
    });
    let jumped = report.retention_waits_until.map(|until| {
        let until = until.to_the_second();
        format!("it has jumped, so nothing is deleted until {until}: set it; if it is right now: passbridge retention --trust-clock")
    });
    let off = off(report.status.accounting.balanced);
    [("drain", failed), ("disk", full), ("clock", jumped), ("balanced", off)]
        .map(|(check, why)| well(check, why))
}

/// A check of the whole buffer without a limit; `why` says what is wrong.
pub(super) fn well(check: &'static str, why: Option<String>) -> Check {
    let says = hint::complete(why.as_deref().unwrap_or("well")).into_owned();
    Check { check, of: None, broken: why.is_some(), found: None, limit: None, says }
}

/// What is wrong with the account; `None` if it balances.
pub(super) fn off(is_balanced: bool) -> Option<String> {
    (!is_balanced).then(|| "the account is off: passbridge status --verify".to_owned())
}

fn parked(requestors: &[RequestorStatus]) -> String {
    let mut parked: Vec<(i64, String)> = requestors
        .iter()
        .filter_map(|one| {
            Some((one.pending, format!("{} of {}: {}", one.pending, one.requestor_id, one.why_parked()?)))
        })
        .filter(|(events, _)| *events > 0)
        .collect();
    parked.sort_by_key(|(events, _)| Reverse(*events));
    few(parked.into_iter().map(|(_, text)| text), NAMED_MAX).join("; ")
}

/// Checks the time since the last live event: of all requestors, and of each requestor with its own limit. Events of
/// backfills do not count, because they do not show whether the source of live events still sends.
pub(super) fn silences(requestors: &[RequestorStatus], now: Instant, limits: &MonitorConfig) -> Vec<Check> {
    let last = requestors.iter().filter_map(|requestor| requestor.arrived_at).max();
    let all = limits.max_silence.0.map(|limit| (None, last, limit));
    let each = limits.max_silence_of.iter().filter_map(|(id, limit)| {
        let found = requestors.iter().find(|requestor| requestor.requestor_id == id.as_str());
        Some((Some(id.to_string()), found.and_then(|requestor| requestor.arrived_at), limit.0?))
    });
    let checks = all.into_iter().chain(each).map(|(of, last, limit)| {
        let whose = of.as_deref().map_or_else(String::new, |id| format!(" of {id}"));
        let says = match last {
            Some(at) => format!("the last live event{whose} came in {}", ago(at, now)),
            None => format!("no live event{whose} ever came in"),
        } + ": see whether its source still delivers";
        let mut check = aged("max_silence", of, last, limit, now, says);
        check.broken |= last.is_none();
        check
    });
    checks.collect()
}

pub(super) fn aged(
    check: &'static str,
    of: Option<String>,
    since: Option<Instant>,
    limit: Duration,
    now: Instant,
    says: String,
) -> Check {
    let found = since.map(|since| passed(since, now).as_secs());
    // An instant too far ahead of the clock breaks the limit too, or the check would be silent until that instant.
    let ahead = since.map(|since| passed(now, since).as_secs());
    let broken = found.max(ahead).is_some_and(|seconds| seconds > limit.as_secs());
    let says = format!("{says}; {} are allowed", age(limit));
    Check { check, of, broken, found, limit: Some(limit.as_secs()), says }
}

/// A check without a limit. `of` names what is checked, such as a suite or a backfill.
pub(super) fn always(
    check: &'static str,
    of: String,
    broken: bool,
    found: Option<i64>,
    says: String,
) -> Check {
    Check { check, of: Some(of), broken, found: found.map(i64::unsigned_abs), limit: None, says }
}

/// The requestors whose suites are known to lose their hits.
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

/// Backfills that stopped because of a problem, and finished backfills with events that can be sent again,
/// such as requeued events. They continue only after `resume`. Parked events have their own checks.
fn backfills(report: &StatusReport) -> impl Iterator<Item = Check> {
    let is_alarm = |one: &&Shown| match one.job.state {
        JobState::Stopped => one.obstacles.is_trouble(),
        JobState::Done => one.counts.pending > report.status.parked.unsigned_abs(),
        _ => false,
    };
    report.backfills.iter().filter(is_alarm).map(|Shown { job, counts, obstacles, .. }| {
        let resume = || hint::complete(&format!("passbridge backfill resume {}", job.name)).into_owned();
        let why =
            if obstacles.is_trouble() { obstacles.lines().collect::<Vec<_>>().join("; ") } else { resume() };
        let pending = counts.pending;
        let says = format!("it has ended, and {pending} events wait: {why}");
        always("backfill", job.name.to_string(), true, i64::try_from(pending).ok(), says)
    })
}

/// Counts the lines of those files of rejects whose last write is at most one day ago. A removed file does not count.
pub(super) fn rejects(folder: &Path, now: Instant) -> Result<u64, Failure> {
    let failed = Failure::reading(folder);
    let mut lines = 0;
    for (path, written_at) in files_of_rejects(folder).map_err(&failed)? {
        if passed(written_at, now) <= COUNTED_FOR {
            let file = fs::File::open(path).map_err(&failed)?;
            lines += BufReader::new(file).split(b'\n').count() as u64;
        }
    }
    Ok(lines)
}
