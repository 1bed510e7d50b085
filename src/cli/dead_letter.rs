//! `dead-letter`: the events that Adobe rejected.

use super::undecided::{self, ChangedReport, DEAD, Found, ListArgs, RequeueArgs, SelectionArgs};
use super::{Context, Exit, Failure};
use crate::buffer::Undecided;

/// Lists, requeues or discards the events that Adobe rejected.
///
/// An event is dead when a reply was about the event itself; a fault of the network never kills one. It stays until someone
/// decides: requeue it once the cause is mended (an eVar enabled, a suite's setting), or discard it.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = include_str!("help/dead_letter.txt").trim_ascii_end())]
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

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let (_, buffer) = context.open()?;
    match command {
        Command::List(args) => undecided::list(&DEAD, args, &buffer, context),
        Command::Show { seq } => undecided::show(&DEAD, *seq, &buffer, context),
        Command::Requeue(args) => undecided::requeue(&DEAD, args, &buffer, context),
        Command::Discard(args) => {
            let Found { selection, missing } = args.find(&DEAD, &buffer)?;
            let discarded = buffer.discard(Undecided::Dead, selection)?;
            let report = ChangedReport { discarded, missing, verb: "discarded", ..ChangedReport::default() };
            undecided::changed(&DEAD, &report, context)
        }
    }
}
