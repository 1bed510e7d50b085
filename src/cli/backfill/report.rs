//! What `backfill` reports.

use std::fmt;

use serde::Serialize;

use super::super::exit::Exit;
use super::super::table::Table;
use crate::backfill::{BackfillReport, Ending, ExportReport};
use crate::buffer::{JobCounts, JobRecord};
use crate::job::{JobName, JobState};

#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    pub(super) backfills: Vec<Shown>,
}

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    pub(super) job: JobRecord,
    #[serde(flatten)]
    pub(super) counts: JobCounts,
    /// Whether a process is at it now.
    pub(super) is_at_work: bool,
    pub(super) inputs: Vec<serde_json::Value>,
    /// The keys of the files of which only a look-up says that they are in: whom to ask Adobe about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) looked_up_files: Vec<String>,
}

impl fmt::Display for StatusReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.backfills.is_empty() {
            return writeln!(out, "no backfills");
        }
        let mut table = Table::new(&[
            "backfill",
            "state",
            "via",
            "events",
            "pending",
            "in files",
            "delivered",
            "dead",
            "held",
            "discarded",
        ]);
        for Shown { job, counts, .. } in &self.backfills {
            table.row(&[
                &job.name,
                &job.state.name(),
                &job.settings.route.name(),
                &counts.events,
                &counts.pending,
                &counts.in_files,
                &counts.delivered,
                &counts.dead,
                &counts.held,
                &counts.discarded,
            ]);
        }
        table.fmt(out)?;
        for shown in &self.backfills {
            shown.write_notes(out)?;
        }
        Ok(())
    }
}

impl Shown {
    fn write_notes(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { job, counts, inputs, looked_up_files, .. } = self;
        let name = &job.name;
        match job.state {
            JobState::Stopped => writeln!(out, "  {name} is stopped: passbridge backfill resume {name}")?,
            JobState::Done if counts.pending > 0 => writeln!(
                out,
                "  {name} is done but for events whose requestor had no active suite; once it has: passbridge backfill resume {name}"
            )?,
            JobState::Cancelled if counts.pending > 0 => writeln!(
                out,
                "  {name} is cancelled but for events that may have been counted; to settle them: passbridge backfill resume {name}"
            )?,
            _ => {}
        }
        for rejects in rejects(inputs) {
            writeln!(out, "  rejected lines of {name}: {rejects}")?;
        }
        if !looked_up_files.is_empty() {
            writeln!(out, "  {}", looked_up(name, counts.looked_up_rows))?;
        }
        Ok(())
    }
}

/// The files of lines that were no events.
fn rejects(inputs: &[serde_json::Value]) -> impl Iterator<Item = &str> {
    inputs.iter().filter_map(|input| input["rejects"].as_str())
}

/// What is not known of files whose answers were lost.
fn looked_up(name: &JobName, rows: u64) -> String {
    format!(
        "{rows} rows are in files whose answers were lost: Adobe has the files, and says nothing of rows that it refused \
         (backfill status {name} --json names them)"
    )
}

/// What a run has come to.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    #[serde(flatten)]
    pub(super) report: BackfillReport,
}

impl RunReport {
    fn sum(&self, name: &str) -> u64 {
        self.report.inputs.iter().filter_map(|input| input["counts"][name].as_u64()).sum()
    }

    pub(super) fn exit(&self) -> Exit {
        let BackfillReport { counts, ending, .. } = &self.report;
        let is_unclean = counts.dead + counts.held + self.sum("rejected") + self.sum("conflicts") > 0;
        match ending {
            Ending::Done if is_unclean => Exit::Unclean,
            Ending::Cancelled if counts.pending == 0 => Exit::Done,
            Ending::Done => Exit::Done,
            Ending::Cancelled | Ending::Paused | Ending::Stopped | Ending::Suite => Exit::Pending,
        }
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BackfillReport { job, counts, inputs, ending, parked } = &self.report;
        let name = &job.name;
        let ending = match ending {
            Ending::Done => "done",
            Ending::Paused => "paused",
            Ending::Cancelled => "cancelled",
            Ending::Stopped => "stopped",
            Ending::Suite => "stopped: a collection host refuses a suite; see the log",
        };
        writeln!(out, "backfill {name}: {ending}")?;
        if !inputs.is_empty() {
            let sums = ["read", "stored", "duplicates", "conflicts", "rejected"].map(|sum| self.sum(sum));
            let [read, _, duplicates, conflicts, rejected] = sums;
            writeln!(
                out,
                "  inputs {}: {read} lines read, {duplicates} duplicates, {conflicts} in conflict, {rejected} rejected",
                inputs.len()
            )?;
        }
        let JobCounts { events, pending, delivered, dead, held, discarded, .. } = counts;
        writeln!(
            out,
            "  {events} events = {delivered} delivered + {pending} pending + {dead} dead + {held} held + {discarded} discarded"
        )?;
        for rejects in rejects(inputs) {
            writeln!(out, "  rejected lines: {rejects}")?;
        }
        if *parked > 0 {
            writeln!(
                out,
                "  {parked} pending events have no active suite: see passbridge status; then backfill resume {name}"
            )?;
        }
        if *pending > *parked {
            writeln!(out, "  to go on: passbridge backfill resume {name}")?;
        }
        if counts.looked_up_rows > 0 {
            writeln!(out, "  {}", looked_up(name, counts.looked_up_rows))?;
        }
        if counts.unnamed_rows > 0 {
            writeln!(
                out,
                "  {} of the delivered rows were refused by Adobe, which did not name them",
                counts.unnamed_rows
            )?;
        }
        if *dead > 0 {
            writeln!(out, "  dead: passbridge dead-letter list")?;
        }
        Ok(())
    }
}

/// A job that a person stopped for now.
#[derive(Debug, Serialize)]
pub(super) struct PauseReport {
    pub(super) name: JobName,
    pub(super) state: JobState,
}

impl fmt::Display for PauseReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "backfill {} is {}", self.name, self.state.name())
    }
}

/// A job that a person decided against.
#[derive(Debug, Serialize)]
pub(super) struct CancelReport {
    pub(super) name: JobName,
    /// Events that are discarded now.
    pub(super) discarded: u64,
    /// Events that may have been counted, and go on waiting.
    pub(super) pending: u64,
    /// Those of them that are in files whose answers are not recorded.
    pub(super) in_files: u64,
    /// Whether it had brought no event, and its name is free again.
    pub(super) is_forgotten: bool,
}

impl fmt::Display for CancelReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CancelReport { name, discarded, pending, in_files, is_forgotten } = self;
        if *is_forgotten {
            return writeln!(
                out,
                "backfill {name} is cancelled: it had brought no event, and its name is free again"
            );
        }
        writeln!(
            out,
            "backfill {name} is cancelled: {discarded} events are discarded; backfill resume {name} brings them back"
        )?;
        if *pending > 0 {
            writeln!(
                out,
                "  {pending} events may have been counted and go on waiting, {in_files} of them in files without an answer"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ExportReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportReport { folder, files, rows, unsendable, in_files, parked } = self;
        writeln!(out, "{rows} rows in {} files in {}; nothing was sent", files.len(), folder.display())?;
        if *in_files > 0 {
            writeln!(
                out,
                "  {in_files} events are left out: they are in files that were sent, whose answers are not recorded"
            )?;
        }
        if *parked > 0 {
            writeln!(out, "  {parked} events are left out: they have no active suite")?;
        }
        if *unsendable > 0 {
            writeln!(out, "  {unsendable} events cannot be sent: a run would make them dead letters")?;
        }
        Ok(())
    }
}
