//! `held`: the events that may have been counted and are not repeated.

use super::undecided::{self, ChangedReport, Found, ListArgs, Names, RequeueArgs, SelectionArgs, Undecided};
use super::{Context, Exit, Failure, Table};
use crate::buffer::{Buffer, BufferError, HeldEvent, Requeue, Requeued, Selection, Settlement};
use crate::delivery::Sequence;

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

impl Undecided for HeldEvent {
    const NAMES: Names =
        Names { none: "not held", many: "held events", list: "passbridge held list", keys: ["held", "held"] };

    fn list(buffer: &Buffer, selection: Selection, limit: usize) -> Result<Vec<HeldEvent>, BufferError> {
        buffer.held(selection, limit)
    }

    fn requeue(buffer: &Buffer, selection: Selection, how: Requeue) -> Result<Requeued, BufferError> {
        buffer.requeue_held(selection, how)
    }

    fn seq(&self) -> Sequence {
        self.seq
    }

    fn table(found: &[HeldEvent]) -> Table {
        let headings = ["seq", "requestor", "suite", "event", "occurred_at", "held_at", "attempts", "cause"];
        let mut table = Table::new(&headings);
        for HeldEvent { seq, requestor_id, rsid, event, occurred_at, held_at, attempts, cause, .. } in found {
            table.row(&[&seq.0, requestor_id, rsid, event, occurred_at, held_at, attempts, cause]);
        }
        table
    }

    fn details(&self) -> String {
        let HeldEvent { seq, requestor_id, rsid, event, occurred_at, attempts, cause, held_at, .. } = self;
        format!(
            "{} {event} of {requestor_id}, {occurred_at}\n  held since  {held_at}\n  attempts    {attempts} that report suite \
             {rsid} may have counted\n  cause       {cause}\n",
            seq.0
        )
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let (_, buffer) = context.open()?;
    match command {
        Command::List(args) => undecided::list::<HeldEvent>(args, &buffer, context),
        Command::Show { seq } => undecided::show::<HeldEvent>(*seq, &buffer, context),
        Command::Requeue(args) => undecided::requeue::<HeldEvent>(args, &buffer, context),
        Command::Settle(args) => {
            let Found { selection, missing } = args.selection.find::<HeldEvent>(&buffer)?;
            let mut report = ChangedReport { missing, ..ChangedReport::default() };
            if args.delivered {
                report.delivered = buffer.settle_held(selection, Settlement::Delivered)?;
                report.verb = "settled as delivered";
            } else {
                report.discarded = buffer.settle_held(selection, Settlement::Discarded)?;
                report.verb = "settled as discarded";
            }
            undecided::changed::<HeldEvent>(&report, context)
        }
    }
}
