//! `pending`: lists the pending events by the input that they came with, and takes events back before they are sent.

use serde_json::json;

use super::desk::Desk;
use super::{Context, Ended, Exit, Failure, Table, refused};
use crate::buffer::{Buffer, NotTaken, PendingGroup, PendingSelection, TakenBack};
use crate::event::{Instant, RequestorId};

/// Lists the pending events by the input that they came with, or takes them back before they are sent.
///
/// Afterwards the buffer is as if these events had never been ingested, so that a corrected file can be ingested.
/// Events that were sent, or may have been sent, are never taken back.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = include_str!("help/pending.txt").trim_ascii_end())]
pub(super) enum Command {
    /// Lists the pending events by input and requestor.
    List(SelectionArgs),
    /// Takes pending events back. Without --yes it only says which events these would be.
    ///
    /// An event stays if one of its attempts may have been counted, or if it is in a file that was sent (status 3). Counts lose
    /// exactly the units of the events that are taken back, and the users of a day are counted again if the buffer still has all
    /// events of that day. ESM totals become what they were before. Exchanges with the Pass REST API V2 are only taken back as a
    /// whole input, and only of the newest input with exchanges. No drain and no backfill may run meanwhile (status 75); on PostgreSQL,
    /// drains may.
    TakeBack(TakeBackArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct SelectionArgs {
    /// Only events of this input, by its number in `pending list`.
    #[arg(long, value_name = "N")]
    input: Option<i64>,
    /// Only events of every input with this path or name.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only events of this backfill.
    #[arg(long, value_name = "NAME")]
    backfill: Option<String>,
    /// Only events of this requestor.
    #[arg(long, value_name = "ID", value_parser = RequestorId::new)]
    requestor: Option<RequestorId>,
    /// Only events that happened at or after this instant.
    #[arg(long, value_name = "INSTANT")]
    from: Option<Instant>,
    /// Only events that happened before this instant.
    #[arg(long, value_name = "INSTANT")]
    to: Option<Instant>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["input", "source", "backfill", "requestor", "from", "to"]))]
pub(super) struct TakeBackArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Take the events back.
    #[arg(long)]
    yes: bool,
}

impl SelectionArgs {
    fn selection(&self) -> PendingSelection {
        let SelectionArgs { input, source, backfill, requestor: requestor_id, from, to } = self.clone();
        PendingSelection { input, source, backfill, requestor_id, from, to }
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Ended {
    match command {
        Command::List(args) => list(args, context),
        Command::TakeBack(args) => take_back(args, context),
    }
}

fn list(args: &SelectionArgs, context: &Context) -> Ended {
    let groups = Desk::open(context)?.pending_by_input(&args.selection())?;
    let text = if groups.is_empty() { "nothing pending\n".to_owned() } else { table(&groups).to_string() };
    context.answer(&json!({ "pending": groups }), text.trim_end())
}

fn table(groups: &[PendingGroup]) -> Table {
    let headings =
        ["input", "source", "read", "requestor", "backfill", "events", "units", "first", "last", "attempted"];
    let mut table = Table::new(&headings);
    for one in groups {
        let read_at = one.read_at.map_or("-".to_owned(), Instant::to_the_second);
        let backfill = one.backfill.as_deref().unwrap_or("-");
        let (first, last) = (one.first_occurred_at.to_the_second(), one.last_occurred_at.to_the_second());
        let PendingGroup { input, source, requestor_id, events, units, with_attempt: tried, .. } = one;
        table.row(&[input, source, &read_at, requestor_id, &backfill, events, units, &first, &last, tried]);
    }
    table
}

fn take_back(args: &TakeBackArgs, context: &Context) -> Ended {
    let (desk, selection) = (Desk::open(context)?, args.selection.selection());
    let groups = desk.pending_by_input(&selection)?;
    let events: u64 = groups.iter().map(|group| group.events).sum();
    let free = events - groups.iter().map(|group| group.with_attempt).sum::<u64>();
    if events == 0 {
        return Err(refused("no pending event is selected", "see what is pending: passbridge pending list"));
    }
    if !args.yes {
        let what = format!("{free} of {events} pending events would be taken back:\n{}", table(&groups));
        return Err(refused(what.trim_end(), "look at them, and repeat it with --yes if that is meant"));
    }
    let file = |buffer: &Buffer| buffer.take_back(&selection, &buffer.lock_whole()?);
    let taken = desk.ask(file, async |buffer| Ok(Ok(buffer.take_back(&selection).await?)))?.map_err(why)?;
    let TakenBack { taken_back, units, left_with_attempt, left_below_later, days_with_old_users } = taken;
    let mut text = format!("{taken_back} events ({units} units) taken back: they can be ingested again");
    for (count, what) in [
        (
            left_with_attempt,
            "events left: an attempt may have been counted, or they are in a file that was sent",
        ),
        (left_below_later, "events left: ESM has raised the same count since, and that increase stays"),
        (days_with_old_users, "days of requestors keep their users: other events of them are gone"),
    ] {
        if count > 0 {
            text.push_str(&format!("\n{count} {what}"));
        }
    }
    context.answer(&taken, text)?;
    Ok(if left_with_attempt + left_below_later > 0 { Exit::Unclean } else { Exit::Done })
}

fn why(why: NotTaken) -> Failure {
    match why {
        NotTaken::PartOfExchanges(input) => refused(
            format!("input {input} has exchanges, whose logins and profiles go back only as a whole"),
            format!("take all of it back: passbridge pending take-back --input {input}"),
        ),
        NotTaken::LaterExchanges(input) => refused(
            format!(
                "input {input} has exchanges and is not the newest input that has any (or is of an earlier release): what came in \
                 later may rest on its logins and profiles"
            ),
            "take back the newest one, or let them be sent, and mend the rest at its source",
        ),
    }
}
