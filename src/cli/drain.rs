//! `drain`: sends the pending events once.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::pass::{DrainReport, Pass};
use super::{Context, Exit, Failure, Table, on_file, output, shared, until_stopped};
use crate::buffer::{AfterRestore, Buffer, RequestorStatus, Status};
use crate::config::duration;
use crate::drain::{RunSummary, StopReason};
use crate::explain::{self, Preview};

/// Sends what is pending, once, and exits: for cron and systemd timers.
///
/// It sends the events that were stored before it began. A buffer has one drain at a time: a second one ends with
/// status 75. At SIGTERM, SIGINT or SIGHUP, the drain waits for the requests in flight and records them. A second
/// signal ends it at once; even then no event is lost.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/drain.txt").trim_ascii_end())]
pub(super) struct Args {
    /// Count what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Send at most this many events. Events that Adobe refuses are not counted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Begin to send no more events after this long.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    deadline: Option<Duration>,
    /// Drain a buffer that was restored from a backup, although some of its suites have no event IDs. What the
    /// original delivered to them after the copy was made is then counted twice.
    #[arg(long)]
    accept_repeat: bool,
    /// Count rows of bulk files as delivered if Adobe refused them without naming them. Without this option, such rows stop the suite.
    #[arg(long)]
    accept_unnamed: bool,
}

#[derive(Debug, Serialize)]
struct PreviewReport {
    #[serde(flatten)]
    preview: Preview,
    /// Rows of the inbox; a drain would also check and send them.
    inbox: i64,
    parked: i64,
    parked_requestors: Vec<RequestorStatus>,
}

impl fmt::Display for PreviewReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Preview { events, hits, dead, suites } = &self.preview;
        writeln!(
            out,
            "would send {events} events in {hits} hits; {dead} would be dead before they are sent"
        )?;
        if self.inbox > 0 {
            writeln!(out, "the inbox has {} rows more", self.inbox)?;
        }
        for parked in &self.parked_requestors {
            let (events, of, why) =
                (parked.pending, &parked.requestor_id, parked.why_parked().unwrap_or_default());
            writeln!(out, "{events} events of {of} stay parked: {why}")?;
        }
        if suites.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["suite", "events", "hits", "dead"]);
        for (rsid, suite) in suites {
            table.row(&[rsid, &suite.events, &suite.hits, &suite.dead]);
        }
        table.fmt(out)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings()?;
    if on_file::is_on_postgres(&settings) {
        let others = [args.dry_run, args.limit.is_some(), args.accept_repeat, args.accept_unnamed];
        on_file::refuse_options(others.contains(&true), "drain takes --deadline alone")?;
        return shared::drain(&settings, args.deadline, context);
    }
    if args.dry_run {
        let buffer = Buffer::open(&context.buffer_options(&settings)?)?;
        let Status { inbox, parked, mut requestors, .. } = buffer.status()?;
        requestors.retain(|requestor| requestor.parked.is_some() && requestor.pending > 0);
        let preview = explain::preview(&buffer, args.limit)?;
        return context.done(&PreviewReport { preview, inbox, parked, parked_requestors: requestors });
    }
    let mut pass = Pass::open(&settings, context)?;
    pass.bulk.accepts_unnamed = args.accept_unnamed;
    pass.options.limit = args.limit;
    pass.options.deadline = args.deadline;
    pass.options.after_restore = if args.accept_repeat { AfterRestore::Accept } else { AfterRestore::Ask };
    let report = until_stopped(async |stop| pass.run(&stop).await)?;
    context.form.report(&report)?;
    if report.failure.is_some() {
        output::warn("the drain is done, but what is old was not deleted");
    }
    let exit = exit(&report);
    report.failure.map_or(Ok(exit), Err)
}

/// The exit status. `Pending` goes before `Unclean`. Events that are left to send do not count if a signal stopped the
/// drain and no request in flight was cut off.
fn exit(report: &DrainReport) -> Exit {
    let RunSummary { left, dead, held, stopped, cut_off, .. } = report.run;
    let is_as_asked = stopped == Some(StopReason::Signal) && cut_off == 0;
    match (left && !is_as_asked, dead + held > 0 || report.inbox.is_unclean()) {
        (true, _) => Exit::Pending,
        (false, false) => Exit::Done,
        (false, true) => Exit::Unclean,
    }
}
