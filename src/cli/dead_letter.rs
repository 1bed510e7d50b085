//! `dead-letter`: the events that Adobe rejected.

use super::dead_and_held::{self, DEAD, ListArgs, RequeueArgs, SelectionArgs};
use super::desk::Desk;
use super::{Context, Exit, Failure};
use crate::buffer::Settled;

/// Lists, requeues or discards the events that Adobe rejected.
///
/// An event is dead if a reply rejected the event itself; a network fault never makes an event dead. It stays
/// until a person decides: requeue it once the cause is fixed (an eVar, a suite's setting), or discard it.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = include_str!("help/dead_letter.txt").trim_ascii_end())]
pub(super) enum Command {
    /// Lists dead letters, the latest first.
    List(ListArgs),
    /// Shows one dead letter with its event.
    Show {
        /// The number of the event, as `list` shows it.
        seq: i64,
    },
    /// Sends dead letters again, in the next drain.
    Requeue(RequeueArgs),
    /// Discards dead letters: they are never sent.
    Discard(SelectionArgs),
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let desk = Desk::open(context)?;
    match command {
        Command::List(args) => dead_and_held::list(&DEAD, args, &desk, context),
        Command::Show { seq } => dead_and_held::show(&DEAD, *seq, &desk, context),
        Command::Requeue(args) => dead_and_held::requeue(&DEAD, args, &desk, context),
        Command::Discard(args) => {
            dead_and_held::settle(&DEAD, args, (Settled::Discarded, "discarded"), &desk, context)
        }
    }
}
