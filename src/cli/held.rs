//! `held`: the events that may have been counted and are not repeated.

use std::fmt;

use serde::Serialize;

use super::Context;
use super::args::{ListArgs, Names, SelectionArgs};
use super::exit::Exit;
use super::failure::CliError;
use super::output;
use super::table::Table;
use crate::buffer::{Buffer, HeldEvent, Requeue, Requeued, Selection, Settlement};
use crate::delivery::Sequence;
use crate::event::PassEvent;

/// What held events are called.
const NAMES: Names = Names { none: "not held", many: "held events", list: "passbridge held list" };

/// Lists, requeues or settles the events that may have been counted and are not repeated.
///
/// An event is held where its suite says --on-ambiguous hold and a request was sent without a complete reply. Compare with
/// what Analytics shows for its time and event, then say what it was.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Exit status of requeue and settle:
  2  nothing was selected, so nothing was done
  3  done, but some numbers are not held, or a requeue left events that may count twice

Examples:
  passbridge held list
  passbridge held settle --delivered 88 89
  passbridge held requeue --all --accept-repeat")]
pub(super) enum Command {
    /// Lists held events, the latest first.
    List(ListArgs),
    /// Shows one with its event.
    Show {
        /// Its number.
        seq: i64,
    },
    /// Sends them once more, in the next drain, in the form of their first attempt.
    Requeue(RequeueArgs),
    /// Says what they were.
    Settle(SettleArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct RequeueArgs {
    #[command(flatten)]
    pub(super) selection: SelectionArgs,
    /// Also those that Analytics may then count twice.
    #[arg(long)]
    accept_repeat: bool,
}

impl RequeueArgs {
    pub(super) fn requeue(&self) -> Requeue {
        if self.accept_repeat { Requeue::EvenIfDoubled } else { Requeue::OnlyExact }
    }
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("settlement").required(true).args(["delivered", "discarded"]))]
pub(super) struct SettleArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// They were counted.
    #[arg(long)]
    delivered: bool,
    /// They were not, and are not wanted.
    #[arg(long)]
    discarded: bool,
}

#[derive(Debug, Serialize)]
struct ListReport {
    held: Vec<HeldEvent>,
}

impl fmt::Display for ListReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = ["seq", "requestor", "suite", "event", "occurred_at", "held_at", "attempts", "cause"];
        let mut table = Table::new(&headings);
        for held in &self.held {
            table.row(&[
                &held.seq.0,
                &held.requestor_id,
                &held.rsid,
                &held.event,
                &held.occurred_at,
                &held.held_at,
                &held.attempts,
                &held.cause,
            ]);
        }
        if self.held.is_empty() { writeln!(out, "no held events") } else { table.fmt(out) }
    }
}

#[derive(Debug, Serialize)]
struct ShowReport {
    held: HeldEvent,
    event: Option<PassEvent>,
}

impl fmt::Display for ShowReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = &self.held;
        writeln!(out, "{} {} of {}, {}", held.seq.0, held.event, held.requestor_id, held.occurred_at)?;
        writeln!(out, "  held since  {}", held.held_at)?;
        writeln!(out, "  attempts    {} that report suite {} may have counted", held.attempts, held.rsid)?;
        writeln!(out, "  cause       {}", held.cause)?;
        write_event(out, self.event.as_ref())
    }
}

/// The event of a `show`, as one line of NDJSON.
pub(super) fn write_event(out: &mut fmt::Formatter<'_>, event: Option<&PassEvent>) -> fmt::Result {
    match event {
        Some(event) => writeln!(out, "{}", serde_json::to_string(event).map_err(|_| fmt::Error)?),
        None => Ok(()),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct RequeueReport {
    #[serde(flatten)]
    pub(super) done: Requeued,
    /// The numbers that named nothing.
    pub(super) missing: Vec<i64>,
}

impl RequeueReport {
    /// Prints it. Events left behind, and numbers that named nothing, want a word more.
    pub(super) fn print(&self, names: &Names, context: &Context) -> Result<Exit, CliError> {
        context.form.report(self)?;
        let left = if self.done.may_double > 0 { Exit::Unclean } else { Exit::Done };
        Ok(missing_exit(names, &self.missing).unwrap_or(left))
    }
}

/// Names the numbers that named nothing, where there are any.
fn missing_exit(names: &Names, missing: &[i64]) -> Option<Exit> {
    if missing.is_empty() {
        return None;
    }
    output::warn(names.missing(missing));
    Some(Exit::Unclean)
}

impl fmt::Display for RequeueReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} requeued; the next drain sends them, and `backfill resume` those of a backfill",
            self.done.requeued
        )?;
        if self.done.may_double == 0 {
            return Ok(());
        }
        writeln!(
            out,
            "{} left: they may have been counted already, and their suite has no event IDs by which a repeat counts once. \
             To send them all the same: --accept-repeat",
            self.done.may_double
        )
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ChangedReport {
    pub(super) discarded: u64,
    pub(super) delivered: u64,
    /// The numbers that named nothing.
    pub(super) missing: Vec<i64>,
    /// What was done to them, for people.
    #[serde(skip)]
    pub(super) verb: &'static str,
}

impl ChangedReport {
    /// Prints it. Numbers that named nothing want a word more.
    pub(super) fn print(&self, names: &Names, context: &Context) -> Result<Exit, CliError> {
        context.form.report(self)?;
        Ok(missing_exit(names, &self.missing).unwrap_or(Exit::Done))
    }
}

impl fmt::Display for ChangedReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} {}", self.discarded + self.delivered, self.verb)
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    let buffer = context.buffer()?;
    let find = |selection: &SelectionArgs| {
        selection.find(&NAMES, |wanted, limit| buffer.held(wanted, limit), |held: &HeldEvent| held.seq)
    };
    match command {
        Command::List(args) => {
            context.form.report(&ListReport { held: buffer.held(args.selection(), args.limit)? })?;
        }
        Command::Show { seq } => context.form.report(&show(&buffer, Sequence(*seq))?)?,
        Command::Requeue(args) => {
            let found = find(&args.selection)?;
            let done = buffer.requeue_held(found.selection, args.requeue())?;
            return RequeueReport { done, missing: found.missing }.print(&NAMES, context);
        }
        Command::Settle(args) => {
            let found = find(&args.selection)?;
            let report = if args.delivered {
                ChangedReport {
                    delivered: buffer.settle_held(found.selection, Settlement::Delivered)?,
                    discarded: 0,
                    missing: found.missing,
                    verb: "settled as delivered",
                }
            } else {
                ChangedReport {
                    discarded: buffer.settle_held(found.selection, Settlement::Discarded)?,
                    delivered: 0,
                    missing: found.missing,
                    verb: "settled as discarded",
                }
            };
            return report.print(&NAMES, context);
        }
    }
    Ok(Exit::Done)
}

fn show(buffer: &Buffer, seq: Sequence) -> Result<ShowReport, CliError> {
    let held = buffer.held(Selection::Sequences(vec![seq]), 1)?.into_iter().next();
    let held = held.ok_or_else(|| NAMES.refuse(&[seq.0], None))?;
    Ok(ShowReport { held, event: buffer.event(seq)? })
}
