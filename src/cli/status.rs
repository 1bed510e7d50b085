//! `status`: where every event is.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Context;
use super::args::duration;
use super::backfill;
use super::exit::Exit;
use super::failure::CliError;
use super::table::Table;
use crate::buffer::{Amount, Buffer, BufferError, Discrepancy, DoubtedEvent, JobCounts, RunRecord, Status};
use crate::event::Instant;
use crate::job::{JobName, JobState};

/// Shows where every event is: backlog, accounting, last runs, what is dead, held or parked.
///
/// It reads counters and is quick whatever the size of the buffer, also while a drain runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status:
  0  done
  1  --verify found a difference
  4  --max-age is exceeded

Examples:
  passbridge status
  passbridge status --max-age 2h >/dev/null || echo 'events wait too long'
  passbridge status --verify --json | jq .accounting")]
pub(super) struct Args {
    /// Exit with status 4 when the oldest event that could go, or the last completed drain, is older than this.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_age: Option<Duration>,
    /// Recount every row and compare with the counters. Reads the whole buffer.
    #[arg(long)]
    verify: bool,
    /// List every event with an attempt of unknown outcome, whatever became of it since.
    #[arg(long)]
    in_doubt: bool,
}

/// What is shown.
#[derive(Debug, Serialize)]
struct StatusReport {
    #[serde(flatten)]
    status: Status,
    /// The backfills that have events waiting: no drain sends those.
    backfills: Vec<BackfillStatus>,
    /// When the last drain ended that was not cut off.
    last_completed_at: Option<Instant>,
    /// With `--max-age`: what is older.
    #[serde(skip_serializing_if = "Option::is_none")]
    overdue: Option<Vec<&'static str>>,
    /// With `--verify`: where counters and rows differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    discrepancies: Option<Vec<Discrepancy>>,
    /// With `--in-doubt`: the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubted: Option<Vec<DoubtedEvent>>,
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
    let buffer = context.buffer()?;
    let status = buffer.status()?;
    let last_completed_at = buffer.last_finished_run()?;
    let report = StatusReport {
        overdue: args.max_age.map(|age| overdue(&status, last_completed_at, context.clock.now(), age)),
        discrepancies: args.verify.then(|| buffer.verify()).transpose()?,
        doubted: args.in_doubt.then(|| buffer.doubted()).transpose()?,
        backfills: backfills(&buffer)?,
        last_completed_at,
        status,
    };
    context.form.report(&report)?;
    let is_unbalanced =
        !report.status.accounting.balanced || report.discrepancies.iter().any(|found| !found.is_empty());
    let is_overdue = report.overdue.iter().any(|found| !found.is_empty());
    Ok(match (args.verify && is_unbalanced, is_overdue) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Pending,
        (false, false) => Exit::Done,
    })
}

/// What is older than the age allows. A drain that never completed is older than any.
fn overdue(
    status: &Status,
    last_completed_at: Option<Instant>,
    now: Instant,
    age: Duration,
) -> Vec<&'static str> {
    let age_nanos = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    let limit = Instant::from_nanos(now.nanos().saturating_sub(age_nanos));
    let mut found = Vec::new();
    if status.oldest_sendable_at.is_some_and(|oldest| oldest < limit) {
        found.push("oldest_event");
    }
    if last_completed_at.is_none_or(|last| last < limit) {
        found.push("last_run");
    }
    found
}

impl fmt::Display for StatusReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_backlog(out)?;
        self.write_accounting(out)?;
        self.write_requestors(out)?;
        self.write_dead(out)?;
        self.write_runs(out)?;
        self.write_asked(out)
    }
}

impl StatusReport {
    fn write_backlog(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { pending, parked, in_doubt, inbox, .. } = self.status;
        writeln!(out, "pending      {pending}, of which {parked} parked and {in_doubt} in doubt")?;
        if let Some(oldest) = self.status.oldest_sendable_at {
            writeln!(out, "oldest       {oldest} (of those that could go)")?;
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
            hint(self.status.dead, "passbridge dead-letter list")
        )?;
        writeln!(out, "held         {}{}", self.status.held, hint(self.status.held, "passbridge held list"))?;
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
                super::hint::complete("NOT BALANCED: passbridge status --verify")
            }
        )
    }

    fn write_requestors(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status.requestors.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["requestor", "suite", "pending", "oldest", "parked"]);
        for requestor in &self.status.requestors {
            table.row(&[
                &requestor.requestor_id,
                &requestor.rsid.as_deref().unwrap_or("-"),
                &requestor.pending,
                &requestor.oldest_occurred_at.map_or("-".to_owned(), |at| at.to_string()),
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
            return writeln!(out, "\nno drain yet: {}", super::hint::complete("passbridge drain"));
        }
        let mut table =
            Table::new(&["run", "started_at", "finished_at", "delivered", "dead", "held", "stopped"]);
        for run in &self.status.runs {
            let finished_at = run.finished_at.map_or("cut off, or running".to_owned(), |at| at.to_string());
            let [delivered, dead, held, stopped] =
                ["delivered", "dead", "held", "stopped"].map(|name| summary_text(run, name));
            table.row(&[&run.run_id.0, &run.started_at, &finished_at, &delivered, &dead, &held, &stopped]);
        }
        write!(out, "\n{table}")
    }

    fn write_asked(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for late in self.overdue.iter().flatten() {
            writeln!(out, "\nOVERDUE: {late}")?;
        }
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

fn hint(count: i64, command: &str) -> String {
    if count == 0 { String::new() } else { format!("  ({})", super::hint::complete(command)) }
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
