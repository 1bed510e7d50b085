//! The reports of `backfill`.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::backfill::{BackfillReport, Ending, ExportReport};
use crate::buffer::{JobCalls, JobCounts, JobObstacles, JobRecord};
use crate::cli::ages::age;
use crate::cli::table::write_notes;
use crate::cli::{Exit, Table};
use crate::job::{JobName, JobState};

#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    pub(super) backfills: Vec<Shown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub(crate) job: JobRecord,
    #[serde(flatten)]
    pub(crate) counts: JobCounts,
    #[serde(flatten)]
    pub(crate) calls: JobCalls,
    /// When the backfill's hours begin, if it waits for them.
    pub(crate) waits_until: Option<String>,
    pub(crate) is_at_work: bool,
    #[serde(flatten)]
    pub(crate) obstacles: JobObstacles,
    pub(crate) inputs: Vec<Value>,
    /// The plan, as `backfill plan --json` printed it; `None` if an earlier release made the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Value>,
    /// Keys of files whose arrival only a look-up at Adobe confirmed. With a key, a person can ask Adobe about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) looked_up_files: Vec<String>,
}

impl fmt::Display for StatusReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.backfills.is_empty() {
            return writeln!(out, "no backfills");
        }
        let counted = ["events", "pending", "in files", "delivered", "dead", "held", "discarded"];
        let mut table = Table::new(&[&["backfill", "state", "via"], &counted[..]].concat());
        for Shown { job, counts, .. } in &self.backfills {
            let (state, via) = (job.state.as_str(), job.settings.route.as_str());
            let JobCounts { events, pending, in_files, delivered, dead, held, discarded, .. } = counts;
            table
                .row(&[&job.name, &state, &via, events, pending, in_files, delivered, dead, held, discarded]);
        }
        table.fmt(out)?;
        self.backfills.iter().try_for_each(|shown| shown.write_notes(out))
    }
}

impl Shown {
    /// What a person who waits for a backfill asks: how fast, how long, and when it may send.
    fn pace(&self) -> String {
        let mut pace = String::new();
        let JobCalls { calls_per_second, seconds_left, .. } = self.calls;
        if let Some((rate, left)) = calls_per_second.zip(seconds_left).filter(|_| self.is_at_work) {
            pace.push_str(&format!(", {rate} a second, {} left", age(Duration::from_secs(left))));
        }
        if let Some(hours) = self.job.settings.hours {
            pace.push_str(&format!("; window {hours}"));
        }
        if let Some(until) = &self.waits_until {
            pace.push_str(&format!(", waiting until {until}"));
        }
        pace
    }

    fn write_notes(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.job.name;
        if self.job.state != JobState::Planned {
            writeln!(out, "  {name}: {}{}", called(&self.calls), self.pace())?;
        }
        let why = match self.job.state {
            JobState::Stopped => "is stopped",
            JobState::Done if self.counts.pending > 0 => {
                "is done but for events that could not go then, or were requeued since; once they can go"
            }
            JobState::Cancelled if self.counts.pending > 0 => {
                "is cancelled but for events that may have been counted; to settle them"
            }
            _ => "",
        };
        if !why.is_empty() {
            writeln!(out, "  {name} {why}: passbridge backfill resume {name}")?;
        }
        for trouble in self.obstacles.lines() {
            writeln!(out, "  trouble of {name}: {trouble}")?;
        }
        for rejects in rejects(&self.inputs) {
            writeln!(out, "  rejected lines of {name}: {rejects}")?;
        }
        write_notes(out, [(self.looked_up_files.len() as u64, looked_up(name, self.counts.looked_up_rows))])
    }
}

/// How many of the planned server calls were sent.
fn called(calls: &JobCalls) -> String {
    let JobCalls { planned_calls, sent_calls, left_calls, percent, .. } = calls;
    let planned = planned_calls.map_or("an unknown number of".to_owned(), |planned| planned.to_string());
    let percent = percent.map_or_else(String::new, |percent| format!(", {percent} % done"));
    format!("{sent_calls} of {planned} planned server calls sent, {left_calls} left{percent}")
}

/// The files of rejected lines, and the number of rejected lines that are in no file.
fn rejects(inputs: &[Value]) -> impl Iterator<Item = String> {
    inputs.iter().filter_map(|input| {
        let path = input["rejects"].as_str()?;
        Some(match input["rejects_not_kept"].as_u64().unwrap_or(0) {
            0 => path.to_owned(),
            count => format!("{path} ({count} more are kept nowhere: ingest.rejects_max)"),
        })
    })
}

fn looked_up(name: &JobName, rows: u64) -> String {
    format!(
        "{rows} rows are in files whose answers were lost or incomplete: Adobe has the files, and says nothing of rows that it refused \
         (backfill status {name} --json names them)"
    )
}

fn sum(inputs: &[Value], name: &str) -> u64 {
    inputs.iter().filter_map(|input| input["counts"][name].as_u64()).sum()
}

/// The exit status of a run. `Pending` (events are left after an early end) goes before `Unclean`.
pub(super) fn exit(report: &BackfillReport) -> Exit {
    let BackfillReport { counts, inputs, ending, .. } = report;
    let is_unused = inputs.iter().any(|input| input["unused"].is_string());
    let unclean = counts.dead + counts.held + sum(inputs, "rejected") + sum(inputs, "conflicts");
    match ending {
        Ending::Done if unclean > 0 || is_unused => Exit::Unclean,
        Ending::Cancelled if counts.pending == 0 => Exit::Done,
        Ending::Done => Exit::Done,
        Ending::Cancelled | Ending::Paused | Ending::Stopped | Ending::Suite => Exit::Pending,
    }
}

impl fmt::Display for BackfillReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BackfillReport { job, counts, calls, inputs, ending, obstacles, parked } = self;
        let name = &job.name;
        let ending = match ending {
            Ending::Done => "done",
            Ending::Paused => "paused",
            Ending::Cancelled => "cancelled",
            Ending::Stopped => "stopped",
            Ending::Suite => "stopped: a collection host refuses a suite",
        };
        writeln!(out, "backfill {name}: {ending}")?;
        obstacles.lines().try_for_each(|trouble| writeln!(out, "  trouble: {trouble}"))?;
        if !inputs.is_empty() {
            let [read, duplicates, conflicts, rejected] =
                ["read", "duplicates", "conflicts", "rejected"].map(|name| sum(inputs, name));
            writeln!(
                out,
                "  inputs {}: {read} lines read, {duplicates} duplicates, {conflicts} in conflict, {rejected} rejected",
                inputs.len()
            )?;
        }
        let JobCounts { events, pending, delivered, dead, held, discarded, unnamed_rows, .. } = *counts;
        writeln!(
            out,
            "  {events} events = {delivered} delivered + {pending} pending + {dead} dead + {held} held + {discarded} discarded"
        )?;
        writeln!(out, "  {}", called(calls))?;
        for rejects in rejects(inputs) {
            writeln!(out, "  rejected lines: {rejects}")?;
        }
        let notes = [
            (
                *parked,
                format!(
                    "{parked} pending events have no active suite: see passbridge status; then backfill resume {name}"
                ),
            ),
            (
                pending.saturating_sub(*parked) + obstacles.inputs_left,
                format!("to go on: passbridge backfill resume {name}"),
            ),
            (counts.looked_up_rows, looked_up(name, counts.looked_up_rows)),
            (
                unnamed_rows,
                format!("{unnamed_rows} of the delivered rows were refused by Adobe, which named none"),
            ),
            (dead, "dead: passbridge dead-letter list".to_owned()),
        ];
        write_notes(out, notes)
    }
}

impl fmt::Display for ExportReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportReport { folder, files, rows, unsendable, in_files, parked } = self;
        writeln!(out, "{rows} rows in {} files in {}; nothing was sent", files.len(), folder.display())?;
        let notes = [
            (*in_files, "are left out: they are in files that were sent, whose answers are not recorded"),
            (*parked, "are left out: they have no active suite"),
            (*unsendable, "cannot be sent: a run would make them dead letters"),
        ];
        write_notes(out, notes.map(|(events, what)| (events, format!("{events} events {what}"))))
    }
}
