//! The status as text.

use std::fmt;

use indicatif::HumanBytes;
use serde::Serialize;

use super::look::{BufferFile, DrainState, StatusReport, SuiteVerdict};
use super::monitor::Check;
use crate::buffer::{Discrepancy, DoubtedEvent, Holder, JobCounts, RunRecord, Status};
use crate::cli::ages::{age, ago, passed};
use crate::cli::backfill::Shown;
use crate::cli::{Table, hint, inputs};
use crate::event::Instant;
use crate::job::JobState;

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    pub(super) report: StatusReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overdue: Option<Vec<Check>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discrepancies: Option<Vec<Discrepancy>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) doubted: Option<Vec<DoubtedEvent>>,
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { report, discrepancies, doubted, .. } = self;
        report.write_host(out)?;
        report.write_backlog(out)?;
        report.troubles.iter().try_for_each(|trouble| writeln!(out, "trouble      {trouble}"))?;
        report.write_accounting(out)?;
        report.requestors().write_below(out)?;
        for SuiteVerdict { rsid, readiness, why } in &report.verdicts {
            writeln!(out, "suite {rsid}: {readiness}: {why}")?;
        }
        report.dead().write_below(out)?;
        inputs::table(&report.inputs).write_below(out)?;
        if report.status.runs.is_empty() {
            writeln!(out, "\nno drain yet: {}", hint::complete("passbridge drain"))?;
        }
        report.runs().write_below(out)?;
        match discrepancies.as_deref() {
            Some([]) => writeln!(out, "\nverified: counters and rows agree")?,
            Some(found) => write!(out, "\ncounters and rows differ:\n{}", differences(found))?,
            None => {}
        }
        match doubted.as_deref() {
            Some([]) => writeln!(out, "\nnothing is in doubt"),
            Some(found) => doubted_events(found).write_below(out),
            None => Ok(()),
        }
    }
}

impl StatusReport {
    fn write_host(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BufferFile { path, bytes, free_bytes, .. } = &self.buffer;
        let (bytes, free) = (HumanBytes(*bytes), HumanBytes(*free_bytes));
        writeln!(out, "passbridge   {} at {}", self.version, self.at.to_the_second())?;
        writeln!(out, "buffer       {path}: {bytes}, {free} free on its disk")?;
        let began =
            self.drain.began_at.map_or_else(String::new, |at| format!(", run began {}", ago(at, self.at)));
        let drain = match (self.drain.state, &self.drain.holder, self.last_completed_at) {
            (DrainState::Running, holder, _) => {
                let who = holder.as_ref().and_then(Holder::who);
                format!("under way{}{began}", who.map_or_else(String::new, |who| format!(": {who}")))
            }
            (DrainState::CutOff, ..) => {
                format!("none; the last was cut off{began}; what was in flight is in doubt")
            }
            (DrainState::Idle, _, Some(at)) => format!("none; the last ended {}", ago(at, self.at)),
            (DrainState::Idle, _, None) => "none yet".to_owned(),
        };
        writeln!(out, "drain        {drain}{}", self.drain_ahead())
    }

    /// Names a drain that does not count as the last drain: it ended when the clock was ahead, or it was the latest
    /// one and failed.
    pub(super) fn drain_ahead(&self) -> String {
        let told = |at| format!("; one that ended {} does not count", ago(at, self.at));
        let mut ended = self.status.runs.iter().filter_map(|run| run.finished_at);
        let ahead = ended.find(|at| *at > self.at).map_or_else(String::new, told);
        let failure = self.status.runs.first().and_then(|run| run.summary.as_ref()?.get("failure")?.as_str());
        failure.map_or(ahead, |failure| format!("; the latest one failed: {failure}"))
    }

    /// Since when rows stay in the inbox although drains run.
    pub(super) fn inbox_left(&self) -> Option<String> {
        let since = self.status.inbox_left_since.filter(|_| self.status.inbox > 0)?;
        let (since, drain) = (ago(since, self.at), hint::complete("passbridge drain"));
        Some(format!("which drains could not move since {since}: {drain} says why"))
    }

    /// What an unfinished run is doing; `None` if the run has ended.
    pub(super) fn open_run(&self, run: &RunRecord) -> Option<&'static str> {
        let is_current = self.drain.state == DrainState::Running && self.drain.run_id == Some(run.run_id);
        run.finished_at.is_none().then_some(if is_current { "under way" } else { "cut off" })
    }

    fn write_backlog(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status {
            pending, parked, in_doubt, partly_sent, in_files, inbox, dead, held, over_count, ..
        } = &self.status;
        writeln!(out, "pending      {pending}, of which {parked} parked and {in_doubt} in doubt")?;
        for (name, count, next) in [
            ("partly sent", *partly_sent, "they go on at the first hit that was not sent"),
            ("in files", *in_files, "the next drain asks what became of these files"),
        ] {
            if count > 0 {
                writeln!(out, "{name:<13}{count} of them; {next}")?;
            }
        }
        if let Some(stored) = self.status.oldest_stored_at {
            writeln!(out, "waits        since {} (of those that could go)", ago(stored, self.at))?;
        }
        if let Some(oldest) = self.status.oldest_sendable_at {
            writeln!(out, "happened     {} (the oldest of them)", ago(oldest, self.at))?;
        }
        for Shown { job, counts, obstacles, .. } in &self.backfills {
            let (name, state, JobCounts { pending, in_files, .. }) = (&job.name, job.state, counts);
            let files = if *in_files > 0 { format!(" ({in_files} in files)") } else { String::new() };
            let resume =
                || format!(", only {}", hint::complete(&format!("passbridge backfill resume {name}")));
            let next = if state == JobState::Done { resume() } else { String::new() };
            writeln!(
                out,
                "backfill     {pending} of the pending ones{files} are those of {name}, which is {state}: no drain sends them{next}"
            )?;
            for trouble in obstacles.lines() {
                writeln!(out, "             trouble of {name}: {trouble}")?;
            }
        }
        if *inbox > 0 {
            let next = self.inbox_left().unwrap_or_else(|| "moved in by the next drain".to_owned());
            writeln!(out, "inbox        {inbox} rows, {next}")?;
        }
        for (name, count, command) in
            [("dead", *dead, "passbridge dead-letter list"), ("held", *held, "passbridge held list")]
        {
            let next = if count == 0 { String::new() } else { format!("  ({})", hint::complete(command)) };
            writeln!(out, "{name:<13}{count}{next}")?;
        }
        if over_count.events > 0 {
            let (events, units) = (over_count.events, over_count.worst_case_units);
            writeln!(
                out,
                "over-count   at most {units} units of {events} events repeated without event IDs"
            )?;
        }
        Ok(())
    }

    fn write_accounting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = &self.status.accounting;
        let mut table = Table::new(&["accounting", "events", "units"]);
        for (_, name, amount) in account.terms() {
            table.row(&[&name, &amount.events, &amount.units]);
        }
        table.write_below(out)?;
        let unbalanced = "NOT BALANCED: passbridge status --verify";
        let result = if account.balanced { "balanced".into() } else { hint::complete(unbalanced) };
        writeln!(out, "  {result}")
    }

    fn requestors(&self) -> Table {
        let headings =
            ["requestor", "suite", "pending", "waits", "happened", "last in", "last delivered", "parked"];
        let mut table = Table::new(&headings);
        let since = |at: Option<Instant>| at.map_or("-".to_owned(), |at| age(passed(at, self.at)));
        for one in &self.status.requestors {
            let rsid = one.rsid.as_deref().unwrap_or("-");
            let (waits, happened) = (since(one.oldest_stored_at), since(one.oldest_occurred_at));
            let came = one.arrived_at.map_or("none live".to_owned(), Instant::to_the_second);
            let went = one.delivered_at.map_or("-".to_owned(), Instant::to_the_second);
            let parked = one.parked.unwrap_or("");
            table.row(&[&one.requestor_id, &rsid, &one.pending, &waits, &happened, &came, &went, &parked]);
        }
        table
    }

    fn dead(&self) -> Table {
        let mut table = Table::new(&["dead", "reason", "meaning"]);
        for reason in &self.status.dead_by_reason {
            table.row(&[&reason.events, &reason.reason.code(), &reason.explanation]);
        }
        table
    }

    fn runs(&self) -> Table {
        let mut table =
            Table::new(&["run", "started_at", "finished_at", "delivered", "dead", "held", "stopped"]);
        for run in &self.status.runs {
            let began = run.started_at.to_the_second();
            let ended = run.finished_at.map_or("-".to_owned(), Instant::to_the_second);
            let [delivered, dead, held, stopped] =
                ["delivered", "dead", "held", "stopped"].map(|name| summary_text(run, name));
            let stopped = self.open_run(run).map_or(stopped, str::to_owned);
            table.row(&[&run.run_id.0, &began, &ended, &delivered, &dead, &held, &stopped]);
        }
        table
    }
}

/// One value of a run's summary; empty if the run was cut off.
pub(super) fn summary_text(run: &RunRecord, name: &str) -> String {
    match run.summary.as_ref().and_then(|summary| summary.get(name)) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => String::new(),
        Some(value) => value.to_string(),
    }
}

fn differences(found: &[Discrepancy]) -> Table {
    let mut table = Table::new(&["requestor", "event", "hour", "state", "counted", "recounted"]);
    for Discrepancy { requestor_id, event, hour, state, counted, recounted, .. } in found {
        let hour = Instant::from_nanos(hour.saturating_mul(3_600_000_000_000));
        let [counted, recounted] =
            [counted, recounted].map(|amount| format!("{} / {}", amount.events, amount.units));
        table.row(&[requestor_id, event, &hour, state, &counted, &recounted]);
    }
    table
}

fn doubted_events(found: &[DoubtedEvent]) -> Table {
    let mut table =
        Table::new(&["seq", "requestor", "suite", "event", "attempts", "state", "repeat", "cause"]);
    for DoubtedEvent { seq, requestor_id, rsid, event, attempts, state, repeat_is_exact, cause, .. } in found
    {
        let repeat = if *repeat_is_exact { "counts once" } else { "counts again" };
        table.row(&[&seq.0, requestor_id, rsid, event, attempts, state, &repeat, cause]);
    }
    table
}
