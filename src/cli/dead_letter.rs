//! `dead-letter`: the events that Adobe rejected.

use super::undecided::{self, ChangedReport, Found, ListArgs, Names, RequeueArgs, SelectionArgs, Undecided};
use super::{Context, Exit, Failure, Table};
use crate::buffer::{Buffer, BufferError, DeadLetter, Requeue, Requeued, Selection};
use crate::delivery::Sequence;

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
    Requeue(RequeueArgs),
    /// Decides against them: they are never sent.
    Discard(SelectionArgs),
}

impl Undecided for DeadLetter {
    const NAMES: Names = Names {
        none: "no dead letter",
        many: "dead letters",
        list: "passbridge dead-letter list",
        keys: ["dead_letter", "dead_letters"],
    };

    fn list(buffer: &Buffer, selection: Selection, limit: usize) -> Result<Vec<DeadLetter>, BufferError> {
        buffer.dead_letters(selection, limit)
    }

    fn requeue(buffer: &Buffer, selection: Selection, how: Requeue) -> Result<Requeued, BufferError> {
        buffer.requeue_dead(selection, how)
    }

    fn seq(&self) -> Sequence {
        self.seq
    }

    fn table(found: &[DeadLetter]) -> Table {
        let mut table =
            Table::new(&["seq", "requestor", "suite", "event", "occurred_at", "died_at", "reason"]);
        for DeadLetter { seq, requestor_id, rsid, event, occurred_at, died_at, reason, .. } in found {
            let rsid = rsid.as_deref().unwrap_or("-");
            table.row(&[&seq.0, requestor_id, &rsid, event, occurred_at, died_at, &reason.code()]);
        }
        table
    }

    fn details(&self) -> String {
        let DeadLetter { seq, requestor_id, event, occurred_at, died_at, reason, explanation, .. } = self;
        format!(
            "{} {event} of {requestor_id}, {occurred_at}\n  dead since  {died_at}\n  reason      {explanation} ({})\n",
            seq.0,
            reason.code()
        )
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let (_, buffer) = context.open()?;
    match command {
        Command::List(args) => undecided::list::<DeadLetter>(args, &buffer, context),
        Command::Show { seq } => undecided::show::<DeadLetter>(*seq, &buffer, context),
        Command::Requeue(args) => undecided::requeue::<DeadLetter>(args, &buffer, context),
        Command::Discard(args) => {
            let Found { selection, missing } = args.find::<DeadLetter>(&buffer)?;
            let discarded = buffer.discard_dead(selection)?;
            let report = ChangedReport { discarded, missing, verb: "discarded", ..ChangedReport::default() };
            undecided::changed::<DeadLetter>(&report, context)
        }
    }
}
