//! `dead-letter`: the events that Adobe rejected.

use std::fmt;

use serde::Serialize;

use super::Context;
use super::args::{ListArgs, Names, SelectionArgs};
use super::exit::Exit;
use super::failure::CliError;
use super::held::{self, ChangedReport, RequeueReport};
use super::table::Table;
use crate::buffer::{Buffer, DeadLetter, Selection};
use crate::delivery::Sequence;
use crate::event::PassEvent;

/// What dead letters are called.
const NAMES: Names =
    Names { none: "no dead letter", many: "dead letters", list: "passbridge dead-letter list" };

/// Lists, requeues or discards the events that Adobe rejected.
///
/// An event is dead when a reply was about the event itself; a fault of the network never kills one. It stays until someone
/// decides: requeue it once the cause is mended (an eVar enabled, a suite's setting), or discard it.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Exit status of requeue and discard:
  2  nothing was selected, so nothing was done
  3  done, but some numbers are no dead letters, or a requeue left events that may count twice

Examples:
  passbridge dead-letter list
  passbridge dead-letter requeue --reason 'adobe:NO timestamp'
  passbridge dead-letter discard 1204 1207")]
pub(super) enum Command {
    /// Lists dead letters, the latest first.
    List(ListArgs),
    /// Shows one with its event.
    Show {
        /// Its number.
        seq: i64,
    },
    /// Sends them once more, in the next drain.
    Requeue(held::RequeueArgs),
    /// Decides against them: they are never sent.
    Discard(SelectionArgs),
}

#[derive(Debug, Serialize)]
struct ListReport {
    dead_letters: Vec<DeadLetter>,
}

impl fmt::Display for ListReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            Table::new(&["seq", "requestor", "suite", "event", "occurred_at", "died_at", "reason"]);
        for dead in &self.dead_letters {
            let rsid = dead.rsid.as_deref().unwrap_or("-");
            let reason = dead.reason.code();
            table.row(&[
                &dead.seq.0,
                &dead.requestor_id,
                &rsid,
                &dead.event,
                &dead.occurred_at,
                &dead.died_at,
                &reason,
            ]);
        }
        if self.dead_letters.is_empty() { writeln!(out, "no dead letters") } else { table.fmt(out) }
    }
}

#[derive(Debug, Serialize)]
struct ShowReport {
    dead_letter: DeadLetter,
    event: Option<PassEvent>,
}

impl fmt::Display for ShowReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dead = &self.dead_letter;
        writeln!(out, "{} {} of {}, {}", dead.seq.0, dead.event, dead.requestor_id, dead.occurred_at)?;
        writeln!(out, "  dead since  {}", dead.died_at)?;
        writeln!(out, "  reason      {} ({})", dead.explanation, dead.reason.code())?;
        held::write_event(out, self.event.as_ref())
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    let buffer = context.buffer()?;
    let find = |selection: &SelectionArgs| {
        selection.find(
            &NAMES,
            |wanted, limit| buffer.dead_letters(wanted, limit),
            |dead: &DeadLetter| dead.seq,
        )
    };
    match command {
        Command::List(args) => {
            let dead_letters = buffer.dead_letters(args.selection(), args.limit)?;
            context.form.report(&ListReport { dead_letters })?;
        }
        Command::Show { seq } => context.form.report(&show(&buffer, Sequence(*seq))?)?,
        Command::Requeue(args) => {
            let found = find(&args.selection)?;
            let done = buffer.requeue_dead(found.selection, args.requeue())?;
            return RequeueReport { done, missing: found.missing }.print(&NAMES, context);
        }
        Command::Discard(selection) => {
            let found = find(selection)?;
            let report = ChangedReport {
                discarded: buffer.discard_dead(found.selection)?,
                delivered: 0,
                missing: found.missing,
                verb: "discarded",
            };
            return report.print(&NAMES, context);
        }
    }
    Ok(Exit::Done)
}

fn show(buffer: &Buffer, seq: Sequence) -> Result<ShowReport, CliError> {
    let found = buffer.dead_letters(Selection::Sequences(vec![seq]), 1)?;
    let dead_letter = found.into_iter().next().ok_or_else(|| NAMES.refuse(&[seq.0], None))?;
    Ok(ShowReport { dead_letter, event: buffer.event(seq)? })
}
