//! `held`: events that may have been counted, and are not sent again without a decision.

use super::dead_and_held::{self, HELD, ListArgs, RequeueArgs, SelectionArgs};
use super::desk::Desk;
use super::{Context, Exit, Failure};
use crate::buffer::Settled;

/// Lists, requeues or settles the events that may have been counted and therefore are not sent again.
///
/// An event is held if its suite has --on-ambiguous hold and the reply to a request was lost or incomplete. Compare
/// it with what Analytics shows for its time and event, then requeue or settle it.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = include_str!("help/held.txt").trim_ascii_end())]
pub(super) enum Command {
    /// Lists held events, the latest first.
    List(ListArgs),
    /// Shows one held event in full.
    Show {
        /// The number of the event, as `list` shows it.
        seq: i64,
    },
    /// Sends held events again, in the next drain, in the form of their first attempt.
    Requeue(RequeueArgs),
    /// Records whether held events were counted.
    Settle(SettleArgs),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("settlement").required(true).args(["delivered", "discarded"]))]
pub(super) struct SettleArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// The events were counted.
    #[arg(long)]
    delivered: bool,
    /// The events were not counted, and must not be sent.
    #[arg(long)]
    discarded: bool,
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let desk = Desk::open(context)?;
    match command {
        Command::List(args) => dead_and_held::list(&HELD, args, &desk, context),
        Command::Show { seq } => dead_and_held::show(&HELD, *seq, &desk, context),
        Command::Requeue(args) => dead_and_held::requeue(&HELD, args, &desk, context),
        Command::Settle(args) => {
            let becomes = match args.delivered {
                true => (Settled::Delivered, "settled as delivered"),
                false => (Settled::Discarded, "settled as discarded"),
            };
            dead_and_held::settle(&HELD, &args.selection, becomes, &desk, context)
        }
    }
}
