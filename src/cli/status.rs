//! `status`: where every event is, and `status --check`: whether that is as it should be.

use std::fmt;
use std::fs;
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;

use super::Context;
use super::backfill;
use super::exit::Exit;
use super::failure::CliError;
use super::hint;
use super::monitor::{self, Check};
use super::output::{self, Form};
use super::settings::Settings;
use super::table::Table;
use crate::buffer::{
    Amount, Buffer, BufferError, Discrepancy, DoubtedEvent, Holder, JobCounts, RunId, RunRecord, Status,
    SuiteListing,
};
use crate::config::{MonitorConfig, Span, duration};
use crate::delivery::Trouble;
use crate::event::Instant;
use crate::job::{JobName, JobState};
use crate::suite::{Readiness, Rsid};

/// Shows where every event is: what waits and since when, what stands in the way, accounting, last runs.
///
/// It reads counters and is quick whatever the size of the buffer, also while a drain runs. With --check it is the monitor: it
/// prints nothing but the limits of [monitor] that are broken, a line each on standard error. Exit statuses: docs/operating.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status:
  0  done
  1  --verify found a difference
  4  --check or --max-age found a limit broken

Examples:
  passbridge status
  passbridge status --check
  passbridge status --check --max-age 30m --max-silence REF30=6h --json | jq '.checks[] | select(.broken)'
  passbridge status --verify --json | jq .accounting")]
pub(super) struct Args {
    /// Check the limits of [monitor], or of the options below, instead of showing anything.
    #[arg(long, conflicts_with_all = ["verify", "in_doubt"])]
    check: bool,
    /// The longest that an event that could go may wait since it was stored, or the last completed drain lie back. Without
    /// --check the status is shown as well, and no other limit is looked at.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_age: Option<Duration>,
    /// The longest since the last event came in; REQUESTOR=DURATION is of one requestor.
    #[arg(long, value_name = "[ID=]DURATION", value_parser = silence, requires = "check")]
    max_silence: Vec<(Option<String>, Span)>,
    /// Events that may have died within 24 hours.
    #[arg(long, value_name = "N", requires = "check")]
    max_dead: Option<u64>,
    /// Events that may be held.
    #[arg(long, value_name = "N", requires = "check")]
    max_held: Option<u64>,
    /// Events that may be parked.
    #[arg(long, value_name = "N", requires = "check")]
    max_parked: Option<u64>,
    /// Lines that may have been rejected within 24 hours.
    #[arg(long, value_name = "N", requires = "check")]
    max_rejects: Option<u64>,
    /// Recount every row and compare with the counters. Reads the whole buffer.
    #[arg(long)]
    verify: bool,
    /// List every event with an attempt of unknown outcome, whatever became of it since.
    #[arg(long)]
    in_doubt: bool,
}

/// Reads `DURATION`, `off` or `ID=DURATION`.
fn silence(text: &str) -> Result<(Option<String>, Span), String> {
    let (id, span) = text.split_once('=').map_or((None, text), |(id, span)| (Some(id.to_owned()), span));
    Ok((id, span.parse()?))
}

#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    version: &'static str,
    /// When it was looked at.
    pub(super) at: Instant,
    buffer: BufferFile,
    drain: DrainStatus,
    /// What stood in the way of the last run.
    pub(super) troubles: Vec<Trouble>,
    #[serde(flatten)]
    pub(super) status: Status,
    /// The suites whose verdict has a word to say: blocked, overruled, or proved by what is too old or void.
    verdicts: Vec<SuiteVerdict>,
    /// The backfills that have events waiting: no drain sends those.
    backfills: Vec<BackfillStatus>,
    /// When the last drain ended that was not cut off.
    pub(super) last_completed_at: Option<Instant>,
    /// With `--max-age`: which limit is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    overdue: Option<Vec<Check>>,
    /// With `--verify`: where counters and rows differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    discrepancies: Option<Vec<Discrepancy>>,
    /// With `--in-doubt`: the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubted: Option<Vec<DoubtedEvent>>,
}

/// What the last check and probe of a suite came to.
#[derive(Debug, Serialize)]
struct SuiteVerdict {
    rsid: Rsid,
    readiness: Readiness,
    why: String,
}

/// The file that holds everything.
#[derive(Debug, Serialize)]
struct BufferFile {
    path: String,
    /// With what is not yet folded in.
    bytes: u64,
    free_bytes: u64,
}

#[derive(Debug, Serialize)]
struct DrainStatus {
    state: DrainState,
    holder: Option<Holder>,
    /// The run that goes on, or was cut off.
    run_id: Option<RunId>,
    began_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum DrainState {
    /// Nobody drains, and the last run came to its end.
    Idle,
    Running,
    /// Nobody drains, and the last run never came to its end.
    CutOff,
}

/// What `--check` answers.
#[derive(Serialize)]
struct CheckReport {
    checks: Vec<Check>,
}

/// A backfill with events that wait.
#[derive(Debug, Serialize)]
struct BackfillStatus {
    name: JobName,
    state: JobState,
    pending: u64,
    /// Those of them that are in bulk files: they may have been counted where a file has no answer.
    in_files: u64,
}

fn backfills(buffer: &Buffer) -> Result<Vec<BackfillStatus>, BufferError> {
    let mut found = Vec::new();
    let is_running = backfill::is_running(buffer);
    for job in buffer.jobs()? {
        let JobCounts { pending, in_files, .. } = buffer.job_counts(job.key)?;
        if pending > 0 {
            let state = backfill::seen(&job, is_running);
            found.push(BackfillStatus { name: job.name, state, pending, in_files });
        }
    }
    Ok(found)
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let settings = context.settings()?;
    let buffer = Buffer::open(&context.buffer_options(&settings))?;
    let mut report = report(&buffer, context, settings.config.analytics.proof_age())?;
    if args.check {
        return check(args, &report, &buffer, &settings, context.form);
    }
    report.overdue = args.max_age.map(|age| broken(monitor::ages(&report, Span(Some(age)))));
    report.discrepancies = args.verify.then(|| buffer.verify()).transpose()?;
    report.doubted = args.in_doubt.then(|| buffer.doubted()).transpose()?;
    context.form.report(&report)?;
    tell(report.overdue.iter().flatten());
    let is_unbalanced =
        !report.status.accounting.balanced || report.discrepancies.iter().any(|found| !found.is_empty());
    let is_overdue = report.overdue.iter().any(|found| !found.is_empty());
    Ok(match (args.verify && is_unbalanced, is_overdue) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Pending,
        (false, false) => Exit::Done,
    })
}

/// Looks at everything that costs little.
fn report(buffer: &Buffer, context: &Context, proof_age: Duration) -> Result<StatusReport, CliError> {
    let status = buffer.status_with_ages()?;
    let beside = |ending: &str| {
        let mut path = buffer.path().as_os_str().to_owned();
        path.push(ending);
        fs::metadata(path).map_or(0, |metadata| metadata.len())
    };
    let last = status.runs.first();
    let open = last.filter(|run| run.finished_at.is_none());
    let holder = buffer.drain_holder()?;
    let state = match (&holder, open) {
        (Some(_), _) => DrainState::Running,
        (None, Some(_)) => DrainState::CutOff,
        (None, None) => DrainState::Idle,
    };
    let finished = status.runs.iter().find_map(|run| run.summary.as_ref());
    let troubles = finished.and_then(|summary| summary.get("troubles").cloned());
    Ok(StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        at: context.clock.now(),
        buffer: BufferFile {
            path: buffer.path().display().to_string(),
            bytes: beside("") + beside("-wal"),
            free_bytes: buffer.free_bytes()?,
        },
        drain: DrainStatus {
            state,
            holder,
            run_id: open.map(|run| run.run_id),
            began_at: open.map(|run| run.started_at),
        },
        // Runs of earlier releases have none.
        troubles: troubles.and_then(|troubles| serde_json::from_value(troubles).ok()).unwrap_or_default(),
        verdicts: verdicts(buffer, proof_age)?,
        backfills: backfills(buffer)?,
        last_completed_at: buffer.last_finished_run()?,
        overdue: None,
        discrepancies: None,
        doubted: None,
        status,
    })
}

fn verdicts(buffer: &Buffer, proof_age: Duration) -> Result<Vec<SuiteVerdict>, CliError> {
    let told = |SuiteListing { suite, verdict, .. }: SuiteListing| {
        let verdict = verdict?;
        let readiness = Readiness::of(Some(&verdict), buffer.now(), proof_age);
        let aged = match readiness {
            Readiness::ProofAged { proved_at } => Some(format!("proved at {}", proved_at.to_the_second())),
            Readiness::Unchecked | Readiness::Open { .. } | Readiness::Blocks | Readiness::Ready => None,
        };
        let overruled = verdict.overruled.map(|reason| format!("overruled: {reason}"));
        let void = verdict.void.map(|void| format!("void: {void}"));
        let why: Vec<String> = [verdict.blocks, overruled, aged, void].into_iter().flatten().collect();
        (!why.is_empty()).then(|| SuiteVerdict { rsid: suite.form.rsid, readiness, why: why.join("; ") })
    };
    Ok(buffer.suites()?.into_iter().filter_map(told).collect())
}

fn check(
    args: &Args,
    report: &StatusReport,
    buffer: &Buffer,
    settings: &Settings,
    form: Form,
) -> Result<Exit, CliError> {
    let mut limits: MonitorConfig = settings.config.monitor.clone();
    limits.max_age = args.max_age.map_or(limits.max_age, |age| Span(Some(age)));
    for (id, span) in args.max_silence.iter().cloned() {
        match id {
            Some(id) => drop(limits.max_silence_of.insert(id, span)),
            None => limits.max_silence = span,
        }
    }
    limits.max_dead = args.max_dead.unwrap_or(limits.max_dead);
    limits.max_held = args.max_held.unwrap_or(limits.max_held);
    limits.max_parked = args.max_parked.unwrap_or(limits.max_parked);
    limits.max_rejects = args.max_rejects.unwrap_or(limits.max_rejects);
    let checks = monitor::checks(report, buffer, &limits, &settings.config.ingest.rejects_dir)?;
    if form == Form::Json {
        output::document(&CheckReport { checks: checks.clone() })?;
    }
    let broken = broken(checks);
    tell(broken.iter());
    Ok(if broken.is_empty() { Exit::Done } else { Exit::Pending })
}

fn broken(checks: Vec<Check>) -> Vec<Check> {
    checks.into_iter().filter(|check| check.broken).collect()
}

/// A line for each limit that is broken.
fn tell<'a>(broken: impl Iterator<Item = &'a Check>) {
    for Check { check, of, says, .. } in broken {
        let of = of.as_deref().map_or_else(String::new, |of| format!(" ({of})"));
        output::alarm(format_args!("{check}{of}: {says}"));
    }
}

/// How long something lasts, in its two largest units.
pub(super) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// An instant with how long ago it was.
pub(super) fn ago(at: Instant, now: Instant) -> String {
    let passed = Duration::from_nanos(now.nanos().saturating_sub(at.nanos()).max(0).unsigned_abs());
    format!("{} ({} ago)", at.to_the_second(), age(passed))
}

impl fmt::Display for StatusReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_host(out)?;
        self.write_backlog(out)?;
        self.write_troubles(out)?;
        self.write_accounting(out)?;
        self.write_requestors(out)?;
        for SuiteVerdict { rsid, readiness, why } in &self.verdicts {
            writeln!(out, "suite {rsid}: {readiness}: {why}")?;
        }
        self.write_dead(out)?;
        self.write_runs(out)?;
        self.write_asked(out)
    }
}

impl StatusReport {
    fn write_host(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BufferFile { path, bytes, free_bytes } = &self.buffer;
        writeln!(out, "passbridge   {} at {}", self.version, self.at.to_the_second())?;
        writeln!(
            out,
            "buffer       {path}: {}, {} free on its disk",
            HumanBytes(*bytes),
            HumanBytes(*free_bytes)
        )?;
        let began =
            self.drain.began_at.map_or_else(String::new, |at| format!(", run began {}", ago(at, self.at)));
        match (self.drain.state, &self.drain.holder, self.last_completed_at) {
            (DrainState::Running, Some(Holder { pid: Some(pid), command: Some(command), .. }), _) => {
                writeln!(out, "drain        under way: process {pid} ({command}){began}")
            }
            (DrainState::Running, ..) => writeln!(out, "drain        under way{began}"),
            (DrainState::CutOff, ..) => {
                writeln!(
                    out,
                    "drain        none; the last was cut off{began}; what was in flight is in doubt"
                )
            }
            (DrainState::Idle, _, Some(at)) => {
                writeln!(out, "drain        none; the last ended {}", ago(at, self.at))
            }
            (DrainState::Idle, _, None) => writeln!(out, "drain        none yet"),
        }
    }

    fn write_backlog(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { pending, parked, in_doubt, inbox, .. } = self.status;
        writeln!(out, "pending      {pending}, of which {parked} parked and {in_doubt} in doubt")?;
        if let Some(stored) = self.status.oldest_stored_at {
            writeln!(out, "waits        since {} (of those that could go)", ago(stored, self.at))?;
        }
        if let Some(oldest) = self.status.oldest_sendable_at {
            writeln!(out, "happened     {} (the oldest of them)", ago(oldest, self.at))?;
        }
        for BackfillStatus { name, state, pending, in_files } in &self.backfills {
            let files = if *in_files > 0 { format!(" ({in_files} in files)") } else { String::new() };
            let state = state.name();
            writeln!(
                out,
                "backfill     {pending} of the pending ones{files} are those of {name}, which is {state}: no drain sends them"
            )?;
        }
        if inbox > 0 {
            writeln!(out, "inbox        {inbox} rows, moved in by the next drain")?;
        }
        writeln!(
            out,
            "dead         {}{}",
            self.status.dead,
            next(self.status.dead, "passbridge dead-letter list")
        )?;
        writeln!(out, "held         {}{}", self.status.held, next(self.status.held, "passbridge held list"))?;
        let over_count = &self.status.over_count;
        if over_count.events > 0 {
            let (events, units) = (over_count.events, over_count.worst_case_units);
            writeln!(
                out,
                "over-count   at most {units} units of {events} events sent again without event IDs"
            )?;
        }
        Ok(())
    }

    fn write_troubles(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.troubles.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["host", "suite", "since", "stopped", "cause"]);
        for Trouble { host, rsid, cause, since, stopped, .. } in &self.troubles {
            let suite = rsid.as_ref().map_or("-", |rsid| rsid.as_str());
            table.row(&[host, &suite, &ago(*since, self.at), &if *stopped { "yes" } else { "no" }, cause]);
        }
        write!(out, "\n{table}")
    }

    fn write_accounting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = &self.status.accounting;
        let mut table = Table::new(&["accounting", "events", "units"]);
        let terms: [(&str, Amount); 9] = [
            ("ingested", account.ingested),
            ("= pending", account.pending),
            ("+ delivered", account.delivered),
            ("+ dead", account.dead),
            ("+ held", account.held),
            ("+ discarded", account.discarded),
            ("+ expired, delivered", account.expired_delivered),
            ("+ expired, discarded", account.expired_discarded),
            ("+ erased", account.erased),
        ];
        for (name, amount) in terms {
            table.row(&[&name, &amount.events, &amount.units]);
        }
        write!(out, "\n{table}")?;
        writeln!(
            out,
            "  {}",
            if account.balanced {
                "balanced".into()
            } else {
                hint::complete("NOT BALANCED: passbridge status --verify")
            }
        )
    }

    fn write_requestors(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status.requestors.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&[
            "requestor",
            "suite",
            "pending",
            "waits",
            "happened",
            "last in",
            "last delivered",
            "parked",
        ]);
        let passed = |at: Option<Instant>| {
            let nanos = at.map(|at| self.at.nanos().saturating_sub(at.nanos()).max(0).unsigned_abs());
            nanos.map_or("-".to_owned(), |nanos| age(Duration::from_nanos(nanos)))
        };
        let instant = |at: Option<Instant>| at.map_or("-".to_owned(), Instant::to_the_second);
        for requestor in &self.status.requestors {
            table.row(&[
                &requestor.requestor_id,
                &requestor.rsid.as_deref().unwrap_or("-"),
                &requestor.pending,
                &passed(requestor.oldest_stored_at),
                &passed(requestor.oldest_occurred_at),
                &instant(requestor.arrived_at),
                &instant(requestor.delivered_at),
                &requestor.parked.unwrap_or(""),
            ]);
        }
        write!(out, "\n{table}")
    }

    fn write_dead(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status.dead_by_reason.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["dead", "reason", "meaning"]);
        for reason in &self.status.dead_by_reason {
            table.row(&[&reason.events, &reason.reason.code(), &reason.explanation]);
        }
        write!(out, "\n{table}")
    }

    fn write_runs(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status.runs.is_empty() {
            return writeln!(out, "\nno drain yet: {}", hint::complete("passbridge drain"));
        }
        let mut table =
            Table::new(&["run", "started_at", "finished_at", "delivered", "dead", "held", "stopped"]);
        for run in &self.status.runs {
            let finished_at = run.finished_at.map_or("-".to_owned(), Instant::to_the_second);
            let [delivered, dead, held, stopped] =
                ["delivered", "dead", "held", "stopped"].map(|name| summary_text(run, name));
            let started_at = run.started_at.to_the_second();
            table.row(&[&run.run_id.0, &started_at, &finished_at, &delivered, &dead, &held, &stopped]);
        }
        write!(out, "\n{table}")
    }

    fn write_asked(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.discrepancies {
            Some(found) if found.is_empty() => writeln!(out, "\nverified: counters and rows agree")?,
            Some(found) => write!(out, "\ncounters and rows differ:\n{}", discrepancies(found))?,
            None => {}
        }
        match &self.doubted {
            Some(found) if found.is_empty() => writeln!(out, "\nnothing is in doubt"),
            Some(found) => write!(out, "\n{}", doubted(found)),
            None => Ok(()),
        }
    }
}

fn next(count: i64, command: &str) -> String {
    if count == 0 { String::new() } else { format!("  ({})", hint::complete(command)) }
}

/// One value of a run's summary, empty where the run was cut off.
fn summary_text(run: &RunRecord, name: &str) -> String {
    match run.summary.as_ref().and_then(|summary| summary.get(name)) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => String::new(),
        Some(value) => value.to_string(),
    }
}

fn discrepancies(found: &[Discrepancy]) -> Table {
    let mut table = Table::new(&["requestor", "event", "hour", "state", "counted", "recounted"]);
    for each in found {
        let hour = Instant::from_nanos(each.hour.saturating_mul(3_600_000_000_000));
        let amount = |amount: Amount| format!("{} / {}", amount.events, amount.units);
        let (counted, recounted) = (amount(each.counted), amount(each.recounted));
        table.row(&[&each.requestor_id, &each.event, &hour, &each.state, &counted, &recounted]);
    }
    table
}

fn doubted(found: &[DoubtedEvent]) -> Table {
    let mut table =
        Table::new(&["seq", "requestor", "suite", "event", "attempts", "state", "repeat", "cause"]);
    for each in found {
        let repeat = if each.repeat_is_exact { "counts once" } else { "counts again" };
        table.row(&[
            &each.seq.0,
            &each.requestor_id,
            &each.rsid,
            &each.event,
            &each.attempts,
            &each.state,
            &repeat,
            &each.cause,
        ]);
    }
    table
}
