//! `held`: events that may have been counted, and are not sent again without a decision.

use super::undecided::{self, ChangedReport, Found, HELD, ListArgs, RequeueArgs, SelectionArgs};
use super::{Context, Exit, Failure};
use crate::buffer::Undecided;

/// Lists, requeues or settles the events that may have been counted and are not repeated.
///
/// An event is held where its suite says --on-ambiguous hold and a request was sent without a complete reply. Compare with
/// what Analytics shows for its time and event, then say what it was.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = include_str!("help/held.txt").trim_ascii_end())]
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

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let (_, buffer) = context.open()?;
    match command {
        Command::List(args) => undecided::list(&HELD, args, &buffer, context),
        Command::Show { seq } => undecided::show(&HELD, *seq, &buffer, context),
        Command::Requeue(args) => undecided::requeue(&HELD, args, &buffer, context),
        Command::Settle(args) => {
            let Found { selection, missing } = args.selection.find(&HELD, &buffer)?;
            let mut report = ChangedReport { missing, ..ChangedReport::default() };
            if args.delivered {
                report.delivered = buffer.vouch(selection)?;
                report.verb = "settled as delivered";
            } else {
                report.discarded = buffer.discard(Undecided::Held, selection)?;
                report.verb = "settled as discarded";
            }
            undecided::changed(&HELD, &report, context)
        }
    }
}
